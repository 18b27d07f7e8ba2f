"""Alignment of projections within their plane: three numbers, and what no projection can tell said."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError, AlignmentRefusedError
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.evidence import FiducialEvidence
from napari_mpi_track.registration.markers.closed_form import closed_form
from napari_mpi_track.registration.markers.fiducials import blob_looks, markers_from, markers_given
from napari_mpi_track.registration.markers.pairing import Candidates, Pairing, pair_by_distances
from napari_mpi_track.registration.markers.planar_blobs import find_planar_blobs
from napari_mpi_track.registration.view import View, view_of

_MOST_ANGLE_DEGREES = 45.0
# Nobody places a point better than this; and mirrored points must fit this much worse to be told from others.
_BEST_POINT_MM = 0.01
_MIRROR_LEAD = 3.0
_CLEAR_LEAD = 2.0

NOT_KNOWN = (
    "a projection tells nothing of depth along its ray and nothing of turns out of its plane: an animal tilted by 5 "
    "degrees shifts what lies 10 mm above the markers by 0.9 mm, which is in no error here"
)


def align_projection(
    fixed: Volume,
    moving: Volume,
    method: str,
    *,
    model: str = "rigid",
    fixed_points: Points | None = None,
    moving_points: Points | None = None,
    body_centre: Callable[[Transform], NDArray[np.float64] | None] | None = None,
) -> Alignment:
    """Return the alignment of two scans one or both of which are projections, within the plane.

    The ray is the projection's normal. An anatomy in 3-D is looked at along the same LPS direction: the animal must
    lie likewise in both scanners but for a turn in the plane and a shift. Depth is kept: the middle of the anatomy
    goes to the middle of the projection.

    Parameters
    ----------
    fixed, moving
        The two scans.
    method
        "fiducials" or "frame".
    model
        "rigid".
    fixed_points, moving_points
        Fiducials in the frames of their scans; what is not given is found. In a scan in 3-D they are points in 3-D,
        in a projection their depth does not matter. Three or more, or two of the same names.
    body_centre
        Gives, for the transform found, the centre of the body in the fixed frame, where the expected error is stated.

    Raises
    ------
    AlignmentError
        If the method or model needs depth, there are fewer than two pairs, or a scan is a single plane that is not
        said to be a projection.
    AlignmentRefusedError
        If no pairing keeps the distances, or the fiducials fit only mirrored.

    Notes
    -----
    Expected error: Fitzpatrick & West 2001, doi:10.1109/42.952729, in the plane and for errors that differ between
    markers and directions.
    """
    if method not in ("fiducials", "frame") or model != "rigid":
        raise AlignmentError(
            f"a projection cannot be aligned by {method} with the model {model}",
            file=moving.file if moving.is_projection else fixed.file,
            remedy="use --method fiducials (or frame), rigid within the plane",
        )
    here, there, doubts = _views(fixed, moving)
    if method == "frame":
        return _by_frame(fixed, moving, here, doubts)
    first, second = _markers(fixed, fixed_points, here), _markers(moving, moving_points, there)
    return _by_markers(first, second, (here, there), body_centre, doubts)


def _views(fixed: Volume, moving: Volume) -> tuple[View, View, tuple[str, ...]]:
    """Return the planes in which the two scans are compared, and what is doubtful about them."""
    for volume, other in ((fixed, moving), (moving, fixed)):
        if volume.grid.shape[0] == 1 and not volume.is_projection:
            raise AlignmentError(
                f"{volume.name or 'a scan'} is a single plane that nobody calls a projection",
                file=volume.file,
                remedy="say that it is one (--projection, --fixed-projection, 'projection: true' in a study)",
            )
        if not volume.is_projection:
            seen = view_of(other)
            own = View(volume.grid.centre_mm, seen.axes)
            return (own, seen, ()) if volume is fixed else (seen, own, ())
    here, there = view_of(fixed), view_of(moving)
    cosine = float(here.ray @ there.ray)
    if cosine < 0:
        here, cosine = here.turned_over(), -cosine
    angle = float(np.degrees(np.arccos(min(1.0, cosine))))
    if angle <= _MOST_ANGLE_DEGREES:
        return here, there, ()
    doubt = f"the files say that the two projections look along rays {angle:.0f} degrees apart: they are taken for one"
    return here, there, (doubt,)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Markers as a view sees them: ``flat_mm`` (n, 2), ``covariances_mm2`` (n, 2, 2), ``looks`` as in the pairing."""

    points: Points
    flat_mm: NDArray[np.float64]
    covariances_mm2: NDArray[np.float64]
    looks: NDArray[np.float64]
    are_given: bool

    def candidates(self, mirror: float = 1.0) -> Candidates:
        """Return the same for the pairing; seen from behind with ``mirror`` -1."""
        sd = np.sqrt(np.trace(self.covariances_mm2, axis1=1, axis2=2))
        return Candidates(self.flat_mm * [1.0, mirror], sd, self.looks)


def _markers(volume: Volume, points: Points | None, view: View) -> _Seen:
    if points is None and volume.is_projection:
        return _found_in_plane(volume, view)
    markers = markers_from(volume) if points is None else markers_given(points.in_frame(volume.grid.frame))
    across = view.axes[:, :2]
    covariances = np.einsum("ia,nij,jb->nab", across, markers.covariances_mm2, across)
    return _Seen(markers.points, view.flat(markers.points.positions_mm), covariances, markers.looks, points is not None)


def _found_in_plane(volume: Volume, view: View) -> _Seen:
    blobs = find_planar_blobs(volume)
    name = "blob" if volume.modality is None else str(volume.modality)
    at = np.array([[0.0, *blob.at] for blob in blobs]).reshape(-1, 3)
    points = Points([f"{name} {k + 1}" for k in range(len(blobs))], volume.grid.lps_from(at), volume.grid.frame)
    by_pixel = view.axes[:, :2].T @ volume.grid.lps_from_index[:3, 1:3]
    covariances = np.array([by_pixel @ blob.covariance @ by_pixel.T for blob in blobs]).reshape(-1, 2, 2)
    looks = np.array([blob_looks(blob.fwhm_mm, blob.amplitude) for blob in blobs]).reshape(-1, 3)
    return _Seen(points, view.flat(points.positions_mm), covariances, looks, are_given=False)


def _by_frame(fixed: Volume, moving: Volume, view: View, doubts: tuple[str, ...]) -> Alignment:
    one, other = (view.flat(volume.grid.corners_mm()) for volume in (fixed, moving))
    if not np.all((one.max(axis=0) > other.min(axis=0)) & (other.max(axis=0) > one.min(axis=0))):
        raise AlignmentError(
            "the two scans do not overlap in the plane when their frames are taken as one",
            remedy="align them by fiducials",
        )
    same = fixed.grid.frame is not None and fixed.grid.frame == moving.grid.frame
    reason = f"both scans name the frame '{fixed.grid.frame}'" if same else "the frames are one by the user's word"
    return Alignment(
        Transform.identity(fixed.grid.frame, moving.grid.frame),
        method="projection (frame)",
        verdict=Verdict.DOUBTFUL if doubts else Verdict.GOOD,
        reason=f"{reason}; no error of it is known, and none is added",
        error_covariance=np.zeros((6, 6)),
        centre_mm=fixed.grid.centre_mm,
        ray=view.ray,
        warnings=(*doubts, NOT_KNOWN),
    )


def _by_markers(
    first: _Seen,
    second: _Seen,
    views: tuple[View, View],
    body_centre: Callable[[Transform], NDArray[np.float64] | None] | None,
    doubts: tuple[str, ...],
) -> Alignment:
    for side, markers in (("fixed", first), ("moving", second)):
        if len(markers.points) < 2:
            raise AlignmentError(
                f"two fiducials or more are needed in the {side} scan, got {len(markers.points)}",
                remedy="give the points of both scans, named alike",
            )
    pairing, pairs = _paired(first, second)
    a, b = pairs
    here, there = first.flat_mm[a], second.flat_mm[b]
    if np.linalg.norm(here - here.mean(axis=0), axis=1).max() < 1.0:
        raise AlignmentError("the fiducials lie in one place, so the turn is unknown", remedy="give others")
    known = first.covariances_mm2[a], second.covariances_mm2[b]
    weights = 1 / (np.trace(known[0], axis1=1, axis2=2) + np.trace(known[1], axis1=1, axis2=2))
    rotation, shift = _in_plane(here, there, weights)
    residual = here @ rotation.T + shift - there
    transform = _in_the_world(rotation, shift, views, first.points.frame, second.points.frame)
    own = views[0]
    centre = None if body_centre is None else body_centre(transform)
    centre = own.middle_mm + own.axes[:, :2] @ (weights @ here / weights.sum()) if centre is None else centre
    errors = known[0] + rotation.T @ known[1] @ rotation
    errors = errors * _inflation(first.are_given and second.are_given, residual, errors)
    covariance = _covariance(here - own.flat(centre), errors, weights, own)
    evidence = FiducialEvidence(
        Points([first.points.names[i] for i in a], first.points.positions_mm[a], first.points.frame),
        Points([second.points.names[j] for j in b], second.points.positions_mm[b], second.points.frame),
        np.linalg.norm(residual, axis=1),
        _leave_one_out(here, there, weights),
    )
    error = float(np.sqrt(np.trace(covariance[3:, 3:])))
    is_ambiguous = pairing is not None and not pairing.is_certain
    verdict, reason = _judged(pairing, evidence, error, is_on_a_line=_is_on_a_line(here))
    if doubts:
        verdict, reason = Verdict.DOUBTFUL, "; ".join((reason, *doubts))
    left = max(len(first.points), len(second.points)) - len(a)
    unpaired = (f"{left} given points found no partner and took no part",)
    return Alignment(
        transform,
        method="projection (fiducials)",
        verdict=verdict,
        reason=reason,
        error_covariance=None if is_ambiguous else covariance,
        centre_mm=centre,
        fiducials=evidence,
        expected_target_error_mm=None if is_ambiguous else error,
        ray=own.ray,
        warnings=(*doubts, NOT_KNOWN, *(unpaired if left and first.are_given and second.are_given else ())),
    )


def _in_the_world(
    rotation: NDArray[np.float64],
    shift: NDArray[np.float64],
    views: tuple[View, View],
    fixed_frame: str | None,
    moving_frame: str | None,
) -> Transform:
    """Return the transform that turns and shifts within the plane and keeps how far a point lies from it."""
    here, there = views
    turn = np.eye(3)
    turn[:2, :2] = rotation
    linear = there.axes @ turn @ here.axes.T
    return Transform.from_parts(
        linear,
        there.middle_mm + there.axes[:, :2] @ shift - linear @ here.middle_mm,
        fixed_frame,
        moving_frame,
    )


def _paired(first: _Seen, second: _Seen) -> tuple[Pairing | None, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the pairing (``None`` where names made it) and the indices of the pairs.

    Raises
    ------
    AlignmentRefusedError
        If the fiducials fit mirrored and not as they are.
    """
    names, others = list(first.points.names), list(second.points.names)
    shared = [name for name in names if name in others]
    if first.are_given and second.are_given and len(shared) >= 2:
        a, b = (np.array([side.index(name) for name in shared], dtype=np.intp) for side in (names, others))
        _refuse_a_mirror(first.flat_mm[a], second.flat_mm[b])
        return None, (a, b)
    try:
        mirrored = pair_by_distances(first.candidates(), second.candidates(mirror=-1.0))
    except AlignmentRefusedError:
        mirrored = None
    try:
        pairing = pair_by_distances(first.candidates(), second.candidates())
    except AlignmentRefusedError as refusal:
        if mirrored is not None and mirrored.is_certain:
            raise _mirrored(len(mirrored.fixed), mirrored.rms_mm) from refusal
        raise
    if mirrored is None:
        return pairing, (pairing.fixed, pairing.moving)
    if mirrored.is_certain and mirrored.chance < pairing.chance - _CLEAR_LEAD:
        raise _mirrored(len(mirrored.fixed), mirrored.rms_mm)
    if pairing.runner_up_chance is None or mirrored.chance < pairing.runner_up_chance:
        pairing = replace(
            pairing,
            runner_up_chance=mirrored.chance,
            runner_up_rms_mm=mirrored.rms_mm,
            runner_up_count=len(mirrored.fixed),
        )
    return pairing, (pairing.fixed, pairing.moving)


def _refuse_a_mirror(here: NDArray[np.float64], there: NDArray[np.float64]) -> None:
    if len(here) < 3 or _is_on_a_line(here):
        return
    straight, mirrored = _rms(here, there), _rms(here, there * [1.0, -1.0])
    if straight > 1.0 and straight > _MIRROR_LEAD * mirrored:
        raise _mirrored(len(here), mirrored)


def _mirrored(count: int, rms_mm: float) -> AlignmentRefusedError:
    return AlignmentRefusedError(
        f"{count} fiducials fit the projection mirrored (residual {rms_mm:.2f} mm) and not as it is: the animal lay "
        "the other way up, or one picture is seen from behind",
        remedy="mend the orientation in the file (swap its columns), or scan the anatomy in the same position",
    )


def _in_plane(
    here: NDArray[np.float64], there: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (rotation (2, 2), shift (2,)) of least squares, there = rotation @ here + shift."""
    linear, shift = closed_form(here[None], there[None], weights, scaled=False)
    return linear[0], shift[0]


def _rms(here: NDArray[np.float64], there: NDArray[np.float64]) -> float:
    rotation, shift = _in_plane(here, there)
    return float(np.sqrt(np.mean(np.sum((here @ rotation.T + shift - there) ** 2, axis=1))))


def _is_on_a_line(points: NDArray[np.float64]) -> bool:
    spreads = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spreads[1] < max(0.05 * spreads[0], 0.3))


def _inflation(are_given: bool, residual: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """Return by what to multiply the markers' variances, as for fiducials in 3-D, with 2n - 3 degrees of freedom."""
    from scipy.special import chdtri

    freedom = 2 * len(residual) - 3
    expected = float(np.mean(np.trace(errors, axis1=1, axis2=2))) / 2
    ratio = float(np.sum(residual**2)) / expected
    if are_given:
        return max(ratio / freedom, _BEST_POINT_MM**2 / expected)
    return ratio / freedom if ratio > chdtri(freedom, 0.01) else 1.0


def _covariance(
    arms: NDArray[np.float64], errors: NDArray[np.float64], weights: NDArray[np.float64], view: View
) -> NDArray[np.float64]:
    """Return the 6x6 covariance of a movement within the plane: a turn about the ray, a shift across it."""
    moves = np.zeros((len(arms), 2, 3))
    moves[:, 0, 0], moves[:, 1, 0] = -arms[:, 1], arms[:, 0]
    moves[:, [0, 1], [1, 2]] = 1.0
    normal = np.linalg.inv(np.einsum("n,nij,nik->jk", weights, moves, moves))
    middle = np.einsum("n,nij,nik,nkl->jl", weights**2, moves, errors, moves)
    in_world = np.zeros((6, 3))
    in_world[:3, 0] = view.ray
    in_world[3:, 1:] = view.axes[:, :2]
    covariance = in_world @ normal @ middle @ normal @ in_world.T
    return np.asarray((covariance + covariance.T) / 2)


def _leave_one_out(
    here: NDArray[np.float64], there: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    errors = np.full(len(here), np.nan)
    if len(here) < 3:
        return errors
    for k in range(len(here)):
        rest = np.arange(len(here)) != k
        rotation, shift = _in_plane(here[rest], there[rest], weights[rest])
        errors[k] = np.linalg.norm(rotation @ here[k] + shift - there[k])
    return errors


def _judged(
    pairing: Pairing | None, evidence: FiducialEvidence, error: float, *, is_on_a_line: bool
) -> tuple[Verdict, str]:
    count, rms = len(evidence.fixed), evidence.rms_mm
    told = f"{count} fiducials paired within the plane, residual {rms:.3f} mm"
    if pairing is not None and not pairing.is_certain:
        if pairing.runner_up_rms_mm is None:
            return Verdict.DOUBTFUL, f"{told}; so few fiducials could agree by chance"
        other = (
            f"another, or a mirrored one, has {pairing.runner_up_count} with residual {pairing.runner_up_rms_mm:.3f} mm"
        )
        return Verdict.DOUBTFUL, f"{told}; the pairing is ambiguous: {other}"
    told = f"{told}, expected in-plane error {error:.3f} mm at the body's centre"
    if rms > 1.0:
        return Verdict.DOUBTFUL, f"{told}; a residual above 1 mm is no good agreement of markers"
    if error > 1.0:
        return Verdict.DOUBTFUL, f"{told}; an error above 1 mm carries signal between organs"
    if count == 2:
        return Verdict.DOUBTFUL, f"{told}; of two fiducials only their distance can be checked"
    if is_on_a_line:
        return Verdict.DOUBTFUL, f"{told}; fiducials on one line would fit a mirrored projection as well"
    how = "by name" if pairing is None else "by distances, no other pairing comes near"
    return Verdict.GOOD, f"{told}; {how}"
