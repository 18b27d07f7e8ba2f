"""One function for every way of bringing two scans together."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError, FrameMismatchError, GridMismatchError, MeasurementError
from napari_mpi_track.imaging.foreground import body_centre_mm, find_body
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.evidence import AlignmentStep
from napari_mpi_track.registration.markers.fiducials import Markers, align_fiducials, markers_from, markers_given
from napari_mpi_track.registration.projection import align_projection
from napari_mpi_track.registration.quality import checked

AlignmentMethod = Literal["auto", "frame", "fiducials", "intensity", "moments"]
METHODS: tuple[str, ...] = ("auto", "frame", "fiducials", "intensity", "moments")
MODELS: tuple[str, ...] = ("rigid", "similarity", "affine", "bspline")
_OUTSIDE_MM = 10.0
Effort = Literal["thorough", "fast"]
EFFORTS: tuple[str, ...] = ("thorough", "fast")
_MODELS_BY: dict[str, tuple[str, ...]] = {
    "frame": ("rigid",),
    "fiducials": ("rigid", "similarity"),
    "intensity": ("rigid", "similarity", "affine"),
    "moments": ("rigid",),
}


def align(
    fixed: Volume,
    moving: Volume,
    *,
    method: AlignmentMethod | str = "auto",
    model: str = "rigid",
    fixed_points: Points | None = None,
    moving_points: Points | None = None,
    marker_size_mm: float | None = None,
    fixed_mask: NDArray[Any] | None = None,
    initial: Transform | None = None,
    seed: int = 0,
    effort: Effort | str = "thorough",
    progress: Callable[[float, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_step: Callable[[AlignmentStep], None] | None = None,
) -> Alignment:
    """Return where the points of ``fixed`` lie in ``moving``, with the evidence for it.

    Parameters
    ----------
    fixed, moving
        The two scans.
    method
        "frame": the caller's word that both frames are one. "fiducials": by points that are given, or else found
        in the scans. "intensity": by what the images share. "moments": by the bodies' centres and principal axes,
        a rough start. "auto": fiducials when points are given or one scan is MPI, frame when both scans name the
        same one, intensity otherwise. Projections are aligned within their plane, by fiducials or frame only.
    model
        "rigid", "similarity" (one scale), "affine" (by intensity only), or "bspline": rigid by the method,
        then deformed by intensity (CT and MRI only).
    fixed_points, moving_points
        Fiducials, in the frame of their scan.
    marker_size_mm
        Diameter of the markers to be found in the scans: blobs of other sizes are no candidates then.
    fixed_mask
        Where to compare images, shape as ``fixed.grid.shape``; the body without it.
    initial
        A transform to start from (intensity); the top nearest to it is kept unless another one is clearly better.
    seed
        Of the sampling (intensity).
    effort
        "thorough", or "fast": fewer samples on coarser images, for half the time (intensity).
    progress
        Called with the part done (0 to 1) and what is being done.
    should_stop
        Asked now and then; when it says yes, ``AlignmentError`` is raised.
    on_step
        Called with every step of the refinement (intensity).

    Raises
    ------
    AlignmentError
        When the alignment fails, or cannot be tried on these scans.
    """
    started = time.perf_counter()
    if model == "bspline":
        from napari_mpi_track.registration.images.deformable import align_deformable, refuse_tracer

        refuse_tracer(fixed, moving)
        start = align(
            fixed,
            moving,
            method=method,
            fixed_points=fixed_points,
            moving_points=moving_points,
            marker_size_mm=marker_size_mm,
            fixed_mask=fixed_mask,
            initial=initial,
            seed=seed,
            effort=effort,
            progress=None if progress is None else lambda part, doing: progress(part / 2, doing),
            should_stop=should_stop,
            on_step=on_step,
        )
        found = align_deformable(
            fixed,
            moving,
            start,
            fixed_mask=fixed_mask,
            seed=seed,
            progress=None if progress is None else lambda part, doing: progress((1 + part) / 2, doing),
            should_stop=should_stop,
            on_step=on_step,
        )
        return _finished(found, fixed, moving, started)
    if method not in METHODS or model not in MODELS or effort not in EFFORTS:
        raise AlignmentError(
            f"no alignment with method '{method}', model '{model}' and effort '{effort}'",
            remedy=f"methods are {', '.join(METHODS)}; models {', '.join(MODELS)}; efforts {', '.join(EFFORTS)}",
        )
    if initial is not None and initial.deformation is not None:
        raise AlignmentError("an alignment starts from a rigid or affine transform, not from a deformed one")
    if fixed_mask is not None and np.shape(fixed_mask) != fixed.grid.shape:
        raise GridMismatchError(f"the mask has shape {np.shape(fixed_mask)}, the fixed scan {fixed.grid.shape}")
    if fixed_mask is not None and not np.any(fixed_mask):
        raise AlignmentError("the mask of the fixed scan is empty", remedy="leave it out, or give another")
    if seed < 0:
        raise AlignmentError(f"a seed is 0 or more, got {seed}")
    for volume in (fixed, moving):
        if not np.isfinite(volume.voxels).any():
            raise AlignmentError("the scan holds no finite voxel", file=volume.file, remedy="export it again")
    chosen = _chosen(method, fixed, moving, fixed_points, moving_points)
    if marker_size_mm is not None and (chosen != "fiducials" or fixed.is_projection or moving.is_projection):
        raise AlignmentError(
            "the size of markers tells which blobs of 3-D scans are markers; here none are looked for",
            remedy="leave the size out, or use the method fiducials",
        )
    if fixed.is_projection or moving.is_projection:
        found = align_projection(
            fixed,
            moving,
            chosen,
            model=model,
            fixed_points=_in_frame_of(fixed, fixed_points),
            moving_points=_in_frame_of(moving, moving_points),
            body_centre=lambda transform: _body_centre(fixed, moving, fixed_mask, transform),
        )
        return _finished(found, fixed, moving, started)
    if model not in _MODELS_BY[chosen]:
        raise AlignmentError(
            f"no alignment with method '{chosen}' and model '{model}'",
            remedy=f"with this method the model may be {', '.join(_MODELS_BY[chosen])}",
        )
    if chosen == "frame":
        found = _by_frame(fixed, moving)
    elif chosen == "fiducials":
        found = _by_fiducials(fixed, moving, fixed_points, moving_points, marker_size_mm, fixed_mask, model)
    else:
        _refuse_emission(fixed, moving, chosen)
        from napari_mpi_track.registration.images.intensity import align_intensity, align_moments

        if chosen == "moments":
            found = align_moments(fixed, moving, fixed_mask)
        else:
            found = align_intensity(
                fixed,
                moving,
                model=model,
                effort=effort,
                fixed_mask=fixed_mask,
                initial=initial,
                seed=seed,
                progress=progress,
                should_stop=should_stop,
                on_step=on_step,
            )
    return _finished(found, fixed, moving, started)


def _finished(found: Alignment, fixed: Volume, moving: Volume, started: float) -> Alignment:
    """Return the alignment between the scans' frames, looked at, dated, and with the time it took."""
    transform = found.moving_from_fixed.between(fixed.grid.frame, moving.grid.frame)
    found = checked(replace(found, moving_from_fixed=transform), fixed, moving)
    measured_at = None if moving.acquired_at is None else moving.acquired_at.isoformat()
    return replace(found, measured_at=measured_at, seconds=time.perf_counter() - started)


def _chosen(
    method: str, fixed: Volume, moving: Volume, fixed_points: Points | None, moving_points: Points | None
) -> str:
    if method != "auto":
        return method
    if fixed_points is not None or moving_points is not None:
        return "fiducials"
    if fixed.grid.frame is not None and fixed.grid.frame == moving.grid.frame:
        return "frame"
    return "fiducials" if Modality.MPI in (fixed.modality, moving.modality) else "intensity"


def _by_frame(fixed: Volume, moving: Volume) -> Alignment:
    if not _overlap(fixed.grid, moving.grid):
        raise AlignmentError(
            "the two scans do not overlap at all when their frames are taken as one",
            remedy="align them by fiducials or intensity",
        )
    same = fixed.grid.frame is not None and fixed.grid.frame == moving.grid.frame
    reason = f"both scans name the frame '{fixed.grid.frame}'" if same else "the frames are one by the user's word"
    return Alignment(
        Transform.identity(fixed.grid.frame, moving.grid.frame),
        method="frame",
        verdict=Verdict.GOOD,
        reason=f"{reason}; no error of it is known, and none is added{_moved_meanwhile(fixed, moving)}",
        error_covariance=np.zeros((6, 6)),
        centre_mm=fixed.grid.centre_mm,
    )


def _moved_meanwhile(fixed: Volume, moving: Volume) -> str:
    """Return what one frame of a CT (or MR) and a PET leaves unknown, as the end of a sentence."""
    slow = [volume for volume in (fixed, moving) if volume.modality in (Modality.PET, Modality.SPECT)]
    return "; breathing and movement between the two scans are not known" if len(slow) == 1 else ""


def _overlap(first: Grid, second: Grid) -> bool:
    """Return whether the boxes of the two grids, in the world, share any space."""
    one, other = first.corners_mm(), second.corners_mm()
    return bool(np.all((one.max(axis=0) > other.min(axis=0)) & (other.max(axis=0) > one.min(axis=0))))


def _by_fiducials(
    fixed: Volume,
    moving: Volume,
    fixed_points: Points | None,
    moving_points: Points | None,
    marker_size_mm: float | None,
    fixed_mask: NDArray[Any] | None,
    model: str,
) -> Alignment:
    def centre(transform: Transform) -> NDArray[np.float64] | None:
        return _body_centre(fixed, moving, fixed_mask, transform)

    here, there = _markers(fixed, fixed_points, marker_size_mm), _markers(moving, moving_points, marker_size_mm)
    return _doubted_outside(align_fiducials(here, there, model, centre), fixed, moving)


def _doubted_outside(found: Alignment, fixed: Volume, moving: Volume) -> Alignment:
    """Return the alignment, doubtful where a pair lies where its scan could not show it: the files may be swapped."""
    assert found.fiducials is not None
    for side, volume, points in (("fixed", fixed, found.fiducials.fixed), ("moving", moving, found.fiducials.moving)):
        count = int(_are_far_outside(volume, points).sum())
        if count:
            told = f"{count} of {len(points)} points lie more than {_OUTSIDE_MM:.0f} mm outside the {side} scan"
            return replace(found, verdict=Verdict.DOUBTFUL, reason=f"{told}, like those of another; {found.reason}")
    return found


def _markers(volume: Volume, points: Points | None, size_mm: float | None) -> Markers:
    within = _in_frame_of(volume, points)
    return markers_from(volume, size_mm) if within is None else markers_given(within)


def _in_frame_of(volume: Volume, points: Points | None) -> Points | None:
    """Return the points in the scan's frame; those of another one are refused."""
    if points is None:
        return None
    if points.frame is not None and volume.grid.frame is not None and points.frame != volume.grid.frame:
        raise FrameMismatchError(
            f"the points lie in the frame '{points.frame}', their scan in '{volume.grid.frame}'",
            remedy="give points marked in the same scan",
        )
    if len(points) and _are_far_outside(volume, points).all():
        raise FrameMismatchError(
            f"all {len(points)} points lie more than {_OUTSIDE_MM:.0f} mm outside their scan, like those of another",
            file=volume.file,
            remedy="give points marked in this scan, in LPS mm (RAS has the signs of x and y turned)",
        )
    return points.in_frame(volume.grid.frame)


def _are_far_outside(volume: Volume, points: Points) -> NDArray[np.bool_]:
    """Return which points lie too far outside the scan to have been seen in it, shape (n,)."""
    index = volume.grid.index_from(points.positions_mm)
    if volume.is_projection:
        # Its depth is a name without a meaning.
        index[:, 0] = 0.0
    margin = _OUTSIDE_MM / volume.grid.spacing_mm
    return np.asarray(np.any((index < -margin) | (index > np.array(volume.grid.shape) - 1 + margin), axis=1))


def _body_centre(
    fixed: Volume, moving: Volume, fixed_mask: NDArray[Any] | None, moving_from_fixed: Transform
) -> NDArray[np.float64] | None:
    """Return the body's centre in the fixed frame, from whichever scan shows a body."""
    if fixed_mask is not None:
        return body_centre_mm(np.asarray(fixed_mask, dtype=bool), fixed.grid)
    for volume, is_moving in ((fixed, False), (moving, True)):
        if volume.modality is Modality.MPI:
            continue
        try:
            centre = body_centre_mm(find_body(volume), volume.grid)
        except MeasurementError:
            continue
        return moving_from_fixed.inverse().map(centre) if is_moving else centre
    return None


def _refuse_emission(fixed: Volume, moving: Volume, method: str) -> None:
    for volume in (fixed, moving):
        if volume.modality is Modality.MPI:
            raise AlignmentError(
                f"an MPI scan shows tracer and no anatomy, so it cannot be aligned by {method}",
                file=volume.file,
                remedy="use --method fiducials, or --method frame when the scanners share one bed",
            )
