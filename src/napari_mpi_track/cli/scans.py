"""Commands that look at scans: info, convert, project."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mpi_track.cli.options import (
    AsJson,
    ModalityOption,
    Overwrite,
    Series,
    Spacing,
    Unit,
    note,
    numbers,
    print_json,
    read_one,
)
from napari_mpi_track.errors import MpiTrackError, UnreadableScanError
from napari_mpi_track.readers.organ_layers import Overlap
from napari_mpi_track.writers.whole import suffix_of


class Along(StrEnum):
    """Which way a projection looks."""

    X = "x"
    Y = "y"
    Z = "z"


def info(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders.", show_default=False)],
    as_json: AsJson = False,
    every: Annotated[bool, typer.Option("--all", help="With --json: list also what was skipped, and why.")] = False,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
) -> int:
    """Show every volume found in files or folders.

    Example: mpi-track info scans/ --json
    """
    from napari_mpi_track.readers.description import describe
    from napari_mpi_track.readers.scans import find_scans

    spacing = numbers(spacing_mm, "--spacing-mm")
    if spacing is not None and len(spacing) == 1:
        spacing = spacing * 3
    volumes: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for path in paths:
        if not path.exists():
            skipped.append({"path": str(path), "reason": "there is no such file or folder"})
            continue
        found = find_scans(path, modality=modality, unit=unit, spacing_mm=spacing)
        volumes += [describe(volume) for volume in found.volumes if series in (None, volume.series)]
        skipped += [{"path": entry.path, "reason": entry.reason} for entry in found.skipped]
    if not volumes:
        if len(skipped) == 1:
            raise UnreadableScanError(skipped[0]["reason"], file=skipped[0]["path"])
        raise UnreadableScanError(
            f"no scan could be read among {len(skipped)} files; most of all: {_telling_reason(skipped)}"
            if skipped
            else "there is no scan",
            file=paths[0],
            remedy="give a file or folder with DICOM, NIfTI, NRRD, MetaImage or MDF scans",
        )
    if as_json:
        print_json({"volumes": volumes, "skipped": skipped} if every else volumes)
    else:
        for volume in volumes:
            _print_volume(volume)
    for entry in skipped:
        note(f"skipped {entry['path']}: {entry['reason']}")
    return 3 if skipped else 0


def _telling_reason(skipped: list[dict[str, str]]) -> str:
    """Return the commonest reason, those about scans before those about files that are none."""
    counts = Counter(entry["reason"] for entry in skipped)
    about_scans = {reason: n for reason, n in counts.items() if "no known format" not in reason} or counts
    return max(about_scans, key=lambda reason: about_scans[reason])


def _print_volume(volume: dict[str, Any]) -> None:
    shape = " x ".join(str(n) for n in volume["shape"])
    spacing = " x ".join(f"{s:.4g}" for s in volume["spacing_mm"])
    kind = volume["modality"] or "modality not stated"
    if volume["is_projection"]:
        kind += ", 2-D projection"
    unit = volume["unit"] or "unit not stated"
    numbers_text = ", ".join(
        f"{name} {volume[name]:.6g}" for name in ("minimum", "maximum", "sum") if volume[name] is not None
    )
    typer.echo(f"{volume['path']} [{volume['series']}]: {kind}, {volume['format']}")
    typer.echo(f"    {shape} voxels (plane, row, column) of {spacing} mm, {volume['dtype']}, {unit}")
    typer.echo(f"    {numbers_text}")
    for warning in volume["warnings"]:
        typer.echo(f"    warning: {warning}")


def convert(
    path: Annotated[Path, typer.Argument(help="A scan, or organ labels.", show_default=False)],
    out: Annotated[
        Path,
        typer.Argument(
            help="OUT.nii.gz, .nii, .nrrd, .mha or .mhd; .seg.nrrd and .dcm (segmentation) for labels.",
            show_default=False,
        ),
    ],
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    labels: Annotated[bool, typer.Option("--labels", help="PATH is organ labels, where its format does not say.")] = (
        False
    ),
    names: Annotated[
        Path | None,
        typer.Option("--names", help="Labels: names by label (CSV label,name[,color], ITK-SNAP or colour table)."),
    ] = None,
    overlap: Annotated[
        Overlap, typer.Option("--overlap", help="Labels: whose voxels those are that several organs claim.")
    ] = Overlap.REFUSED,
    source: Annotated[
        Path | None, typer.Option("--source", help="Labels to .dcm: folder of the DICOM series they were drawn on.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one volume as NIfTI, NRRD or MetaImage: same place, same values; labels with their names and colours.

    Example: mpi-track convert dicom-folder/ scan.nii.gz --series 2
    """
    from napari_mpi_track.readers.organs import holds_labels
    from napari_mpi_track.writers.scans import write_volume

    if labels or holds_labels(path) or names is not None or suffix_of(out) in (".dcm", ".seg.nrrd"):
        _convert_labels(path, out, names, overlap, source, overwrite)
        return
    if overlap is not Overlap.REFUSED or source is not None:
        raise MpiTrackError("--overlap and --source are for organ labels", file=path, remedy="say --labels too")
    write_volume(read_one(path, series, modality, unit, spacing_mm), out, overwrite=overwrite)


def _convert_labels(
    path: Path, out: Path, names: Path | None, overlap: Overlap, source: Path | None, overwrite: bool
) -> None:
    from napari_mpi_track.readers.organs import read_organ_names, read_organs
    from napari_mpi_track.writers.dicom_segmentation import series_in, write_segmentation
    from napari_mpi_track.writers.scans import require_writable, write_volume

    require_writable(out, overwrite, is_labels=True)
    organs = read_organs(path, None if names is None else read_organ_names(names), overlap)
    for warning in organs.warnings:
        note(f"{path}: {warning}")
    if source is None:
        write_volume(organs, out, overwrite=overwrite)
    elif suffix_of(out) == ".dcm":
        write_segmentation(organs, out, source=series_in(source, organs.grid.frame), overwrite=overwrite)
    else:
        raise MpiTrackError("--source is for a DICOM segmentation", file=out, remedy="end its name in .dcm")


def project(
    path: Annotated[Path, typer.Argument(help="A scan in 3-D: an anatomy.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The picture to write: one plane.", show_default=False)],
    along: Annotated[
        Along, typer.Option("--along", help="The ray: x is left-right, y front-back, z head-feet.", show_default=False)
    ],
    maximum: Annotated[bool, typer.Option("--maximum", help="The highest voxel on the ray, not the mean.")] = False,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    overwrite: Overwrite = False,
) -> None:
    """Look at a scan along a ray, as a 2-D MPI projection does: to draw organs on, and to align.

    Example: mpi-track project ct.nii.gz ct_from_above.nii.gz --along y
    """
    from napari_mpi_track.registration.view import project as look
    from napari_mpi_track.writers.scans import write_volume

    scan = read_one(path, series, modality, unit, spacing_mm)
    ray = [float(along == axis) for axis in Along]
    write_volume(look(scan, ray, "maximum" if maximum else "mean"), out, overwrite=overwrite)
