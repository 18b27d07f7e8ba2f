"""Commands that bring scans together: align, apply, chain."""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mpi_track.cli.evidence import (
    EvidenceFolder,
    FixedLandmarks,
    FixedModality,
    FixedSeries,
    FixedSpacing,
    FixedUnit,
    MovingLandmarks,
    require_evidence_absent,
    require_landmark_pair,
    tell,
    with_landmarks,
    write_evidence,
)
from napari_mpi_track.cli.options import (
    AsJson,
    FixedProjection,
    ModalityOption,
    Overwrite,
    ProgressLine,
    Projection,
    note,
    read_one,
)
from napari_mpi_track.errors import AlignmentError, GridMismatchError, OutputExistsError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality


class Method(StrEnum):
    """How two scans are aligned."""

    AUTO = "auto"
    FIDUCIALS = "fiducials"
    INTENSITY = "intensity"
    MOMENTS = "moments"
    FRAME = "frame"


class Model(StrEnum):
    """What the transform may do."""

    RIGID = "rigid"
    SIMILARITY = "similarity"
    AFFINE = "affine"
    BSPLINE = "bspline"


class Effort(StrEnum):
    """How much is spent on a search."""

    THOROUGH = "thorough"
    FAST = "fast"


def align(
    fixed: Annotated[Path, typer.Argument(help="The scan that stays: the anatomy.", show_default=False)],
    moving: Annotated[Path, typer.Argument(help="The scan to bring to it: the MPI.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Transform to write, T.tfm.", show_default=False)],
    method: Annotated[Method, typer.Option("--method", help="How.")] = Method.AUTO,
    model: Annotated[Model, typer.Option("--model", help="What the transform may do.")] = Model.RIGID,
    fixed_points: Annotated[Path | None, typer.Option("--fixed-points", help="Fiducials of FIXED.")] = None,
    moving_points: Annotated[Path | None, typer.Option("--moving-points", help="Fiducials of MOVING.")] = None,
    marker_size_mm: Annotated[
        float | None, typer.Option("--marker-size-mm", min=0.01, help="Diameter of the markers to find.")
    ] = None,
    fixed_mask: Annotated[Path | None, typer.Option("--fixed-mask", help="Labels: where to compare images.")] = None,
    initial: Annotated[
        Path | None, typer.Option("--initial", help="Transform to start from (intensity): a bed's, for one.")
    ] = None,
    projection: Projection = False,
    fixed_projection: FixedProjection = False,
    measured_at: Annotated[
        datetime | None, typer.Option("--measured-at", help="When MOVING was scanned, where the file does not say.")
    ] = None,
    resampled: Annotated[Path | None, typer.Option("--resampled", help="Also write MOVING on FIXED's grid.")] = None,
    jacobian: Annotated[
        Path | None, typer.Option("--jacobian", help="Also write what a B-spline does to volumes, on FIXED's grid.")
    ] = None,
    fixed_landmarks: FixedLandmarks = None,
    moving_landmarks: MovingLandmarks = None,
    evidence: EvidenceFolder = None,
    effort: Annotated[
        Effort, typer.Option("--effort", help="fast: a rougher result in half the time (intensity).")
    ] = Effort.THOROUGH,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sampling.")] = 0,
    series: Annotated[int | None, typer.Option("--series", min=1, help="Number of the volume in MOVING.")] = None,
    modality: Annotated[Modality | None, typer.Option("--modality", help="What made MOVING.")] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Unit of MOVING, where the file does not say.")] = None,
    spacing_mm: Annotated[str | None, typer.Option("--spacing-mm", help="Spacing of MOVING, likewise.")] = None,
    fixed_series: FixedSeries = None,
    fixed_modality: FixedModality = None,
    fixed_unit: FixedUnit = None,
    fixed_spacing_mm: FixedSpacing = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Find the transform from FIXED's points to MOVING's, with its error in mm.

    Example: mpi-track align ct.nii.gz mpi.nii.gz --modality MPI --method fiducials --out ct_to_mpi.tfm
    """
    from napari_mpi_track.readers.points import read_points
    from napari_mpi_track.registration.align import align as find_alignment
    from napari_mpi_track.registration.alignment_files import load_alignment, require_saveable, save_alignment
    from napari_mpi_track.registration.images.jacobian import jacobian_map
    from napari_mpi_track.registration.resample import resample
    from napari_mpi_track.writers.scans import require_writable, write_volume

    require_saveable(out, overwrite)
    for path in (resampled, jacobian):
        if path is not None:
            require_writable(path, overwrite)
    if resampled is not None and resampled == jacobian:
        raise OutputExistsError("two outputs have one name", file=resampled, remedy="name them differently")
    _refuse_unused(method, fixed_points or moving_points, initial)
    require_landmark_pair(fixed_landmarks, moving_landmarks)
    require_evidence_absent(evidence, overwrite)
    fixed_scan = read_one(
        fixed, fixed_series, fixed_modality, fixed_unit, fixed_spacing_mm, is_projection=fixed_projection
    )
    moving_scan = read_one(moving, series, modality, unit, spacing_mm, is_projection=projection)
    if measured_at is not None:
        moving_scan = replace(moving_scan, acquired_at=measured_at)
    with ProgressLine() as progress:
        alignment = find_alignment(
            fixed_scan,
            moving_scan,
            method=method.value,
            model=model.value,
            fixed_points=None if fixed_points is None else read_points(fixed_points),
            moving_points=None if moving_points is None else read_points(moving_points),
            marker_size_mm=marker_size_mm,
            fixed_mask=None if fixed_mask is None else _mask(fixed_mask, fixed_scan),
            initial=None if initial is None else load_alignment(initial).moving_from_fixed,
            seed=seed,
            effort=effort.value,
            progress=progress,
        )
    alignment = with_landmarks(alignment, fixed_landmarks, moving_landmarks)
    save_alignment(alignment, out, overwrite)
    write_evidence(evidence, alignment, fixed_scan, moving_scan, overwrite)
    if resampled is not None:
        shown = resample(moving_scan, alignment.moving_from_fixed, fixed_scan.grid)
        write_volume(shown, resampled, overwrite=overwrite)
    if jacobian is not None:
        write_volume(jacobian_map(alignment.moving_from_fixed, fixed_scan.grid), jacobian, overwrite=overwrite)
    tell(alignment, as_json)


def _refuse_unused(method: Method, points: Path | None, initial: Path | None) -> None:
    """Refuse what the method would pass over: its user believes that it counts."""
    if points is not None and method not in (Method.AUTO, Method.FIDUCIALS):
        raise AlignmentError(
            f"the method {method} takes no points",
            file=points,
            remedy="use --method fiducials, or leave the points out",
        )
    if initial is not None and method not in (Method.AUTO, Method.INTENSITY):
        raise AlignmentError(
            f"the method {method} takes no start", file=initial, remedy="use --method intensity, or leave --initial out"
        )


def _mask(path: Path, scan: Any) -> Any:
    from napari_mpi_track.readers.organs import read_organs

    labels = read_organs(path)
    if not labels.grid.agrees_with(scan.grid):
        raise GridMismatchError(
            "the mask lies on another grid than FIXED", file=path, remedy="draw it on FIXED, or leave it out"
        )
    return labels.voxels > 0


def apply(
    transform: Annotated[Path, typer.Argument(help="A transform: T.tfm or T.h5.", show_default=False)],
    moving: Annotated[
        Path, typer.Argument(help="The scan, or with --labels the organs, to bring.", show_default=False)
    ],
    onto: Annotated[Path, typer.Option("--onto", help="The scan whose grid is filled: FIXED.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="What to write.", show_default=False)],
    labels: Annotated[bool, typer.Option("--labels", help="MOVING holds organs: nearest voxel, names kept.")] = False,
    series: Annotated[int | None, typer.Option("--series", min=1, help="Number of the volume in MOVING.")] = None,
    modality: ModalityOption = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Unit of MOVING, where the file does not say.")] = None,
    spacing_mm: Annotated[str | None, typer.Option("--spacing-mm", help="Spacing of MOVING, likewise.")] = None,
    fixed_series: FixedSeries = None,
    fixed_modality: FixedModality = None,
    fixed_unit: FixedUnit = None,
    fixed_spacing_mm: FixedSpacing = None,
    overwrite: Overwrite = False,
) -> None:
    """Resample a scan or organs onto another scan's grid, for looking (signal is measured where it was acquired).

    Example: mpi-track apply ct_to_mpi.tfm mpi.nii.gz --onto ct.nii.gz --out mpi_on_ct.nii.gz
    """
    from napari_mpi_track.readers.organs import read_organs
    from napari_mpi_track.registration.alignment_files import load_alignment
    from napari_mpi_track.registration.resample import resample, resample_organs
    from napari_mpi_track.registration.saved import for_session
    from napari_mpi_track.writers.scans import require_writable, write_volume

    require_writable(out, overwrite, is_labels=labels)
    alignment = load_alignment(transform)
    grid = read_one(onto, fixed_series, fixed_modality, fixed_unit, fixed_spacing_mm).grid
    brought = read_organs(moving) if labels else read_one(moving, series, modality, unit, spacing_mm)
    scanned_at = None if isinstance(brought, OrganLabels) else brought.acquired_at
    used = for_session(
        alignment, transform.name, fixed_frame=grid.frame, moving_frame=brought.grid.frame, scanned_at=scanned_at
    )
    if used.method.startswith("bed ("):
        note(used.reason.partition(";")[0])
    if isinstance(brought, OrganLabels):
        write_volume(resample_organs(brought, used.moving_from_fixed, grid), out, overwrite=overwrite)
        return
    write_volume(resample(brought, used.moving_from_fixed, grid), out, overwrite=overwrite)


def chain(
    transforms: Annotated[list[Path], typer.Argument(help="T.tfm ..., the first step first.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Transform to write, T.tfm.", show_default=False)],
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Join transforms into one, its error composed: anatomy of day 0 to that of day 7, then to the MPI of day 7.

    Example: mpi-track chain day0_to_day7.tfm day7_ct_to_mpi.tfm --out day0_to_mpi7.tfm
    """
    from napari_mpi_track.registration.alignment_files import load_alignment, require_saveable, save_alignment
    from napari_mpi_track.registration.saved import chained

    require_saveable(out, overwrite)
    whole = chained([(path.name, load_alignment(path)) for path in transforms])
    save_alignment(whole, out, overwrite)
    tell(whole, as_json)
