"""Alignment by fiducial markers, given as points or found in the scans."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import Alignment, Verdict, movement_jacobian
from napari_mpi_track.registration.evidence import FiducialEvidence
from napari_mpi_track.registration.markers.blobs import find_blobs
from napari_mpi_track.registration.markers.closed_form import closed_form
from napari_mpi_track.registration.markers.disagreement import Disagreement, find_disagreement, find_stray
from napari_mpi_track.registration.markers.pairing import Candidates, Pairing, pair_by_distances

# Nothing is known of how given points were placed until their residual is; about half a voxel of a mouse scan.
_GIVEN_POINT_SD_MM = 0.2
# Points that meet worse than this, each pair's squared distance in mm2, were not all placed with care.
_WORST_GIVEN_PAIR_MM2 = 0.5**2
_SAME_PLACE_MM = 0.01
_SIMILARITY_STRETCH = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Markers:
    """Points that may be fiducials, with what is known of each.

    Attributes
    ----------
    points
        Names and positions.
    covariances_mm2
        Covariance of each position, mm2, shape (n, 3, 3).
    looks
        Logarithms of size and height and the sign of the height, shape (n, 3), in units of the most by which
        markers of one scan differ; shape (n, 0) for given points.
    are_given
        Whether a person gave them, so that their errors are not known and they have no strangers among them.
    """

    points: Points
    covariances_mm2: NDArray[np.float64]
    looks: NDArray[np.float64]
    are_given: bool

    @property
    def candidates(self) -> Candidates:
        """The same for the pairing."""
        sd = np.sqrt(np.trace(self.covariances_mm2, axis1=1, axis2=2))
        return Candidates(self.points.positions_mm, sd, self.looks)


def find_fiducials(volume: Volume, size_mm: float | None = None) -> Points:
    """Return every compact blob of the scan that may be a fiducial, named by modality ("MPI 1"), best fitted first.

    Bright balls in any scan, dark ones in MR as well, and only those of diameter ``size_mm`` where it is given. Blobs
    that are no fiducials (a tumour, an end of a bone) are
    among them: which ones are fiducials shows only in the pairing with another scan (``align_fiducials``).
    """
    return markers_from(volume, size_mm).points


def markers_from(volume: Volume, size_mm: float | None = None) -> Markers:
    """Return the blobs of the scan as markers, those of diameter ``size_mm`` where it is given."""
    blobs = find_blobs(volume, size_mm)
    name = "blob" if volume.modality is None else str(volume.modality)
    points = Points(
        [f"{name} {k + 1}" for k in range(len(blobs))],
        np.array([b.position_mm for b in blobs]).reshape(-1, 3),
        volume.grid.frame,
    )
    covariances = np.array([b.covariance_mm2 for b in blobs]).reshape(-1, 3, 3)
    looks = np.array([blob_looks(b.fwhm_mm, b.amplitude) for b in blobs]).reshape(-1, 3)
    return Markers(points, covariances, looks, are_given=False)


def blob_looks(fwhm_mm: float, amplitude: float) -> tuple[float, float, float]:
    """Return what the pairing compares the blobs of one scan by: log size, log height, and the height's sign."""
    # One unit is the most by which markers of one scan differ: half again in size, four times in height.
    height = np.log(abs(amplitude)) / np.log(4.0)
    return float(np.log(fwhm_mm) / np.log(1.5)), float(height), 10.0 * float(np.sign(amplitude))


def markers_given(points: Points) -> Markers:
    """Return points a person gave as markers."""
    each = np.eye(3) * _GIVEN_POINT_SD_MM**2 / 3
    return Markers(points, np.tile(each, (len(points), 1, 1)), np.empty((len(points), 0)), are_given=True)


def align_fiducials(
    fixed: Markers,
    moving: Markers,
    model: str = "rigid",
    body_centre: Callable[[Transform], NDArray[np.float64] | None] | None = None,
) -> Alignment:
    """Return the alignment of paired markers, rigid or similarity, in closed form, with its error.

    Points given on both sides under shared names are paired by name, all others by their distances.

    Parameters
    ----------
    fixed, moving
        Markers of the two scans.
    model
        "rigid" or "similarity".
    body_centre
        Gives, for the transform found, the centre of the body in the fixed frame (LPS mm), where the expected
        error is stated; the fiducials' own centre without it.

    Raises
    ------
    AlignmentError
        With fewer than three pairs, when they lie on a line, or when two given points lie at one place.

    Notes
    -----
    The error at a target is the one of Fitzpatrick & West 2001, doi:10.1109/42.952729, generalised to errors that
    differ between markers and directions. The residual of the fiducials does not predict it; the error of each
    marker does, from its fit or, for given points, from the residual and its degrees of freedom.
    """
    for side, markers in (("fixed", fixed), ("moving", moving)):
        if len(markers.points) < 3:
            raise AlignmentError(
                f"three fiducials or more are needed in the {side} scan, got {len(markers.points)}",
                remedy="give the points of both scans, or align by another method",
            )
        _require_different_places(side, markers)
    by_name = _paired_by_name(fixed, moving)
    pairing = None if by_name is not None else _paired_by_distances(fixed, moving, model)
    first, second = by_name if by_name is not None else (pairing.fixed, pairing.moving)  # type: ignore[union-attr]
    here, there = fixed.points.positions_mm[first], moving.points.positions_mm[second]
    _require_a_triangle(here, there)
    known = fixed.covariances_mm2[first], moving.covariances_mm2[second]
    weights = 1 / (_variance(known[0]) + _variance(known[1]))
    scaled = model == "similarity"
    linear, translation = (a[0] for a in closed_form(here[None], there[None], weights, scaled=scaled))
    transform = Transform.from_parts(linear, translation, fixed.points.frame, moving.points.frame)
    residual = transform.map(here) - there
    centre = None if body_centre is None else body_centre(transform)
    centre = np.average(here, axis=0, weights=weights) if centre is None else centre
    marker_covariances = _in_fixed_frame(known, linear)
    marker_covariances = marker_covariances * _inflation(fixed, moving, residual, marker_covariances, linear, model)
    evidence = FiducialEvidence(
        Points([fixed.points.names[i] for i in first], here, fixed.points.frame),
        Points([moving.points.names[j] for j in second], there, moving.points.frame),
        np.linalg.norm(residual, axis=1),
        _leave_one_out(here, there, weights, model),
    )
    covariance = error_covariance(here, marker_covariances, weights, centre, scaled=scaled)
    error = float(np.sqrt(np.trace(covariance[3:6, 3:6])))
    both_given = fixed.are_given and moving.are_given
    allowed = np.full(len(here), _WORST_GIVEN_PAIR_MM2) if both_given else 1 / weights
    stray = find_stray(here, there, scaled=scaled) if both_given else None
    disagreement = stray or find_disagreement(here, there, allowed, scaled=scaled)
    verdict, reason = _judged(pairing, evidence, error, disagreement)
    is_ambiguous = pairing is not None and not pairing.is_certain
    return Alignment(
        transform,
        method="fiducials",
        model=model,
        verdict=verdict,
        reason=reason,
        # Of an ambiguous pairing the error is that of the wrong one, which no marker's own error tells.
        error_covariance=None if is_ambiguous else covariance,
        centre_mm=centre,
        fiducials=evidence,
        expected_target_error_mm=None if is_ambiguous else error,
        warnings=_warnings(here, pairing, fixed, moving, evidence.rms_mm),
    )


def error_covariance(
    points_mm: NDArray[np.float64],
    marker_covariances_mm2: NDArray[np.float64],
    weights: NDArray[np.float64],
    centre_mm: NDArray[np.float64],
    *,
    scaled: bool = False,
) -> NDArray[np.float64]:
    """Return the 6x6 covariance (rotation vector about ``centre_mm``, translation) of a closed-form alignment.

    ``points_mm`` are the paired points, shape (n, 3), ``marker_covariances_mm2`` the errors of each pair together,
    shape (n, 3, 3), ``weights`` those of the fit, shape (n,). With a scale it is 7x7, its relative error the last.
    """
    moves = movement_jacobian(points_mm - centre_mm)[:, :, : 7 if scaled else 6]
    normal = np.linalg.inv(np.einsum("n,nij,nik->jk", weights, moves, moves))
    middle = np.einsum("n,nij,nik,nkl->jl", weights**2, moves, marker_covariances_mm2, moves)
    covariance = normal @ middle @ normal
    return np.asarray((covariance + covariance.T) / 2)


def _leave_one_out(
    here: NDArray[np.float64], there: NDArray[np.float64], weights: NDArray[np.float64], model: str
) -> NDArray[np.float64]:
    """Return how far each pair lies apart under the alignment of all the others, mm, shape (n,); NaN for three."""
    errors = np.full(len(here), np.nan)
    if len(here) < 4:
        return errors
    for k in range(len(here)):
        rest = np.arange(len(here)) != k
        if _are_on_a_line(here[rest]) or _are_on_a_line(there[rest]):
            continue
        linear, translation = closed_form(
            here[rest][None], there[rest][None], weights[rest], scaled=model == "similarity"
        )
        errors[k] = float(np.linalg.norm(here[k] @ linear[0].T + translation[0] - there[k]))
    return errors


def _are_on_a_line(points: NDArray[np.float64]) -> bool:
    """Return whether the points lie on a line, so that the turn about it is unknown."""
    spreads = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spreads[1] < max(0.02 * spreads[0], 0.1))


def _paired_by_name(fixed: Markers, moving: Markers) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    if not (fixed.are_given and moving.are_given):
        return None
    shared = [name for name in fixed.points.names if name in set(moving.points.names)]
    if len(shared) < 3:
        return None
    return _places(fixed.points.names, shared), _places(moving.points.names, shared)


def _places(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp]:
    return np.array([list(names).index(name) for name in wanted], dtype=np.intp)


def _paired_by_distances(fixed: Markers, moving: Markers, model: str) -> Pairing:
    stretch = _SIMILARITY_STRETCH if model == "similarity" else 0.0
    return pair_by_distances(fixed.candidates, moving.candidates, stretch)


def _require_a_triangle(here: NDArray[np.float64], there: NDArray[np.float64]) -> None:
    for side, points in (("fixed", here), ("moving", there)):
        if _are_on_a_line(points):
            raise AlignmentError(
                f"the {len(points)} fiducials of the {side} scan lie on one line, so the turn about it is unknown",
                remedy="add a fiducial off that line, or align by another method",
            )


def _require_different_places(side: str, markers: Markers) -> None:
    if not markers.are_given:
        return
    positions, names = markers.points.positions_mm, markers.points.names
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    for first, second in np.argwhere(np.triu(apart < _SAME_PLACE_MM, 1)):
        raise AlignmentError(
            f"the points '{names[first]}' and '{names[second]}' of the {side} scan lie at one place",
            remedy="remove one of them, or place it where it belongs",
        )


def _variance(covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.trace(covariances, axis1=1, axis2=2))


def _in_fixed_frame(
    known: tuple[NDArray[np.float64], NDArray[np.float64]], linear: NDArray[np.float64]
) -> NDArray[np.float64]:
    back = np.linalg.inv(linear)
    return np.asarray(known[0] + back @ known[1] @ back.T)


def _inflation(
    fixed: Markers,
    moving: Markers,
    residual: NDArray[np.float64],
    covariances: NDArray[np.float64],
    linear: NDArray[np.float64],
    model: str,
) -> float:
    """Return by what to multiply the markers' variances so that the residual is as large as it should be.

    Given points have no known errors: their residual alone says how large these are. Errors from the fits stand
    unless the residual refutes them (0.1 % level); the residual of few markers says too little to shrink them.
    """
    from scipy.special import chdtri

    freedom = 3 * len(residual) - (7 if model == "similarity" else 6)
    scale = float(np.cbrt(np.linalg.det(linear)))
    expected = float(np.mean(_variance(covariances))) / 3
    ratio = float(np.sum(residual**2)) / scale**2 / expected
    if fixed.are_given and moving.are_given:
        # Rounded coordinates can agree to the last digit; nobody places a point better than 0.01 mm.
        return max(ratio / freedom, (0.01**2) / expected)
    return ratio / freedom if ratio > chdtri(freedom, 0.001) else 1.0


def _judged(
    pairing: Pairing | None, evidence: FiducialEvidence, error: float, disagreement: Disagreement | None
) -> tuple[Verdict, str]:
    count, rms, left_out = len(evidence.fixed), evidence.rms_mm, evidence.leave_one_out_rms_mm
    told = f"{count} fiducials paired, residual {rms:.3f} mm"
    told += "" if left_out is None else f" (each left out in turn {left_out:.3f} mm)"
    told += f", expected error {error:.3f} mm at the body's centre"
    if pairing is not None and not pairing.is_certain:
        if pairing.runner_up_rms_mm is None:
            return Verdict.DOUBTFUL, f"{told}; so few fiducials could agree by chance"
        other = f"{pairing.runner_up_count} fiducials with residual {pairing.runner_up_rms_mm:.3f} mm"
        return Verdict.DOUBTFUL, f"{told}; the pairing is ambiguous: another one has {other}"
    if disagreement is not None:
        return Verdict.DOUBTFUL, f"{_told(disagreement, evidence)}; {told}"
    if rms > 1.0:
        return Verdict.DOUBTFUL, f"{told}; a residual above 1 mm is no good agreement of markers"
    if error > 1.0:
        return Verdict.DOUBTFUL, f"{told}; an error above 1 mm carries signal between organs"
    if count == 3:
        return Verdict.DOUBTFUL, f"{told}; three fiducials leave little to check the pairing by"
    how = "by name" if pairing is None else "by distances, no other pairing comes near"
    return Verdict.GOOD, f"{told}; {how}"


def _told(disagreement: Disagreement, evidence: FiducialEvidence) -> str:
    count, by = len(evidence.fixed), f"{disagreement.by_mm:.2g} mm"
    if not disagreement.markers:
        return f"the {count} markers disagree by up to {by}, and which of them is wrong cannot be told"
    names = [one if one == other else f"{one} with {other}" for one, other in evidence.pairs]
    verb = "disagree" if len(disagreement.markers) > 1 else "disagrees"
    which = " and ".join(names[k] for k in disagreement.markers)
    return f"{len(disagreement.markers)} of {count} markers {verb} by {by} ({which})"


def _warnings(
    here: NDArray[np.float64], pairing: Pairing | None, fixed: Markers, moving: Markers, rms: float
) -> tuple[str, ...]:
    said = []
    spreads = np.linalg.svd(here - here.mean(axis=0), compute_uv=False)
    if len(here) == 3 or spreads[2] < max(0.05 * spreads[0], 3 * rms):
        said.append("the fiducials lie in one plane: they would fit a mirrored scan as well")
    if pairing is not None and fixed.are_given and moving.are_given:
        left = max(len(fixed.points), len(moving.points)) - len(here)
        if left:
            said.append(f"{left} given point{'s' * (left > 1)} found no partner and took no part")
    return tuple(said)
