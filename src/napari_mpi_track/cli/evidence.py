"""What proves an alignment, for `align` and for `check`: errors at landmarks, pictures, and what is said of it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mpi_track.cli.options import AsJson, ModalityOption, Overwrite, note, print_json, read_one
from napari_mpi_track.errors import AlignmentError, MeasurementError, OutputExistsError
from napari_mpi_track.imaging.volume import Modality, Volume

if TYPE_CHECKING:
    from napari_mpi_track.registration.alignment import Alignment

FixedLandmarks = Annotated[
    Path | None,
    typer.Option(
        "--fixed-landmarks",
        help="Points of FIXED that take no part: the error is measured there, in mm (names as in --moving-landmarks).",
    ),
]
MovingLandmarks = Annotated[
    Path | None, typer.Option("--moving-landmarks", help="The same places in MOVING, under the same names.")
]
EvidenceFolder = Annotated[
    Path | None,
    typer.Option("--evidence", help="Folder for pictures (PNG): outline, checkerboard, blend, overlay, error map."),
]
FixedSeries = Annotated[int | None, typer.Option("--fixed-series", min=1, help="Number of the volume in FIXED.")]
FixedModality = Annotated[Modality | None, typer.Option("--fixed-modality", help="What made FIXED.")]
FixedUnit = Annotated[str | None, typer.Option("--fixed-unit", help="Unit of FIXED, where the file does not say.")]
FixedSpacing = Annotated[str | None, typer.Option("--fixed-spacing-mm", help="Spacing of FIXED, likewise.")]


def check(
    transform: Annotated[Path, typer.Argument(help="A transform: T.tfm or T.h5, of any program.", show_default=False)],
    fixed: Annotated[Path, typer.Argument(help="The scan it leads from.", show_default=False)],
    moving: Annotated[Path, typer.Argument(help="The scan it leads to.", show_default=False)],
    fixed_landmarks: FixedLandmarks = None,
    moving_landmarks: MovingLandmarks = None,
    evidence: EvidenceFolder = None,
    series: Annotated[int | None, typer.Option("--series", min=1, help="Number of the volume in MOVING.")] = None,
    modality: ModalityOption = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Unit of MOVING, where the file does not say.")] = None,
    spacing_mm: Annotated[str | None, typer.Option("--spacing-mm", help="Spacing of MOVING, likewise.")] = None,
    fixed_series: FixedSeries = None,
    fixed_modality: FixedModality = None,
    fixed_unit: FixedUnit = None,
    fixed_spacing_mm: FixedSpacing = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Judge a transform that is there already: overlap of bodies, agreement of edges, error at landmarks, pictures.

    Example: mpi-track check T.tfm ct.nii.gz mr.nii.gz --fixed-landmarks ct.csv --moving-landmarks mr.csv --evidence DIR
    """
    from napari_mpi_track.registration.alignment_files import load_alignment
    from napari_mpi_track.registration.quality import checked

    require_landmark_pair(fixed_landmarks, moving_landmarks)
    require_evidence_absent(evidence, overwrite)
    known = load_alignment(transform)
    fixed_scan = read_one(fixed, fixed_series, fixed_modality, fixed_unit, fixed_spacing_mm)
    moving_scan = read_one(moving, series, modality, unit, spacing_mm)
    way = known.moving_from_fixed.between(fixed_scan.grid.frame, moving_scan.grid.frame)
    alignment = checked(replace(known, moving_from_fixed=way), fixed_scan, moving_scan)
    alignment = with_landmarks(alignment, fixed_landmarks, moving_landmarks)
    write_evidence(evidence, alignment, fixed_scan, moving_scan, overwrite)
    tell(alignment, as_json)


def require_landmark_pair(fixed: Path | None, moving: Path | None) -> None:
    """Raise ``AlignmentError`` where landmarks of one scan only are given."""
    if (fixed is None) != (moving is None):
        raise AlignmentError(
            "landmarks are needed of both scans, got those of one",
            remedy="give --fixed-landmarks and --moving-landmarks, with the same names in both files",
        )


def require_evidence_absent(folder: Path | None, overwrite: bool) -> None:
    """Raise ``OutputExistsError`` where the folder for pictures is a file, or holds something already."""
    if folder is None or not folder.exists():
        return
    if not folder.is_dir():
        raise OutputExistsError("pictures go into a folder, and a file is there", file=folder, remedy="name another")
    if any(folder.glob("*.png")) and not overwrite:
        raise OutputExistsError("there are pictures already", file=folder, remedy="give --overwrite to replace them")


def with_landmarks(alignment: "Alignment", fixed: Path | None, moving: Path | None) -> "Alignment":
    """Return the alignment with the errors at these landmarks, where there are any."""
    from napari_mpi_track.readers.points import read_points
    from napari_mpi_track.registration.quality import landmark_evidence

    if fixed is None or moving is None:
        return alignment
    way = alignment.moving_from_fixed
    here, there = read_points(fixed).in_frame(way.source_frame), read_points(moving).in_frame(way.target_frame)
    return replace(alignment, landmarks=landmark_evidence(alignment, here, there))


def write_evidence(
    folder: Path | None, alignment: "Alignment", fixed_scan: Volume, moving_scan: Volume, overwrite: bool
) -> None:
    """Write every picture of the alignment into ``folder``, where one was asked for."""
    if folder is None:
        return
    from napari_mpi_track.report.alignment_evidence import evidence_files
    from napari_mpi_track.report.alignment_views import alignment_picture
    from napari_mpi_track.writers.whole import whole_file

    picture = alignment_picture(alignment, fixed_scan, moving_scan, noise_sd=_noise_sd(moving_scan))
    for name, content in evidence_files(picture).items():
        with whole_file(folder / name, overwrite) as temporary:
            Path(temporary).write_bytes(content)


def _noise_sd(scan: Volume) -> float | None:
    from napari_mpi_track.imaging.noise import estimate_noise

    if scan.modality is not Modality.MPI:
        return None
    try:
        return estimate_noise(scan).sd
    except MeasurementError:
        return None


def tell(alignment: "Alignment", as_json: bool) -> None:
    """Say on stdout what an alignment came to."""
    from napari_mpi_track.report.alignment_evidence import evidence_facts

    if as_json:
        print_json(summary(alignment))
        return
    for warning in alignment.warnings:
        note(warning)
    typer.echo(f"{alignment.verdict}: {alignment.reason}")
    for name, value in evidence_facts(alignment):
        typer.echo(f"{name}: {value}")


def summary(alignment: "Alignment") -> dict[str, Any]:
    """Return what an alignment came to, for JSON."""
    images, fiducials, landmarks = alignment.images, alignment.fiducials, alignment.landmarks
    return {
        "method": alignment.method,
        "model": alignment.model,
        "metric": None if images is None else images.metric,
        "metric_before": None if images is None else images.before,
        "metric_after": None if images is None else images.after,
        "body_overlap": None if images is None else images.body_overlap,
        "edge_agreement": None if images is None else images.edge_agreement,
        "fiducial_rms_mm": None if fiducials is None else fiducials.rms_mm,
        "leave_one_out_mm": None if fiducials is None else fiducials.leave_one_out_rms_mm,
        "landmark_mean_mm": None if landmarks is None else landmarks.mean_mm,
        "landmark_rms_mm": None if landmarks is None else landmarks.rms_mm,
        "landmark_errors_mm": {}
        if landmarks is None
        else dict(zip(landmarks.fixed.names, landmarks.errors_mm.tolist(), strict=True)),
        "volume_change": None
        if alignment.deformation is None
        else [alignment.deformation.smallest_volume_change, alignment.deformation.largest_volume_change],
        "expected_target_error_mm": alignment.expected_target_error_mm,
        "pairs": [] if fiducials is None else fiducials.pairs,
        "verdict": alignment.verdict,
        "reason": alignment.reason,
        "seconds": alignment.seconds,
        "warnings": alignment.warnings,
    }
