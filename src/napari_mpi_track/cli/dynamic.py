"""The command that follows organs over the frames of one scan: measure-dynamic."""

import csv
from pathlib import Path
from typing import Annotated

import typer

from napari_mpi_track.cli.options import (
    AsJson,
    ModalityOption,
    Overwrite,
    SaturationOption,
    Series,
    Spacing,
    Unit,
    draw,
    note,
    numbers,
    print_json,
    require_drawable,
)
from napari_mpi_track.cli.organs import stated_blur, way_of
from napari_mpi_track.imaging.point_spread import PsfShape


def measure_dynamic(
    volume: Annotated[Path, typer.Argument(help="A scan of several frames over time.", show_default=False)],
    organs: Annotated[Path, typer.Option("--organs", help="Labels.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Curves to write, CSV.", show_default=False)],
    names: Annotated[Path | None, typer.Option("--names", help="organs.csv: label,name.")] = None,
    transform: Annotated[
        Path | None, typer.Option("--transform", help="T.tfm (fixed = the organs' scan, moving = VOLUME).")
    ] = None,
    background: Annotated[
        str, typer.Option("--background", help="Of every frame: a number, robust, or an organ whose mean it is.")
    ] = "0",
    psf_shape: Annotated[
        PsfShape | None, typer.Option("--psf-shape", help="Of the blur that --psf-fwhm-mm gives (gaussian).")
    ] = None,
    psf_fwhm_mm: Annotated[
        str | None, typer.Option("--psf-fwhm-mm", help="X, or PLANE,ROW,COLUMN: undo a blur of this width.")
    ] = None,
    psf: Annotated[
        Path | None, typer.Option("--psf", help="PSF.json: undo the blur that measure-psf measured.")
    ] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Curves as a figure, .svg or .png.")] = None,
    saturation: SaturationOption = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Follow every organ over the frames of one scan: curves, area under the curve, peak and time to peak.

    --series names any frame of the scan where the file holds several.

    Example: mpi-track measure-dynamic bolus.mdf --organs organs.nii.gz --out dynamic.csv --figure dynamic.svg
    """
    from napari_mpi_track.longitudinal.dynamic import dynamic_scan, dynamic_summaries
    from napari_mpi_track.longitudinal.measurement import DynamicRow
    from napari_mpi_track.longitudinal.single_scan import measure_frames
    from napari_mpi_track.quantification.saturation import load_saturation
    from napari_mpi_track.readers.organs import read_organ_names, read_organs
    from napari_mpi_track.readers.scans import read_scans
    from napari_mpi_track.report.dynamic_figures import dynamic_figure
    from napari_mpi_track.report.tables import table_text, three_digits
    from napari_mpi_track.report.units import units_of
    from napari_mpi_track.writers.whole import require_absent, whole_file

    require_absent(out, overwrite)
    require_drawable(figure, overwrite)
    spacing = numbers(spacing_mm, "--spacing-mm")
    spacing = spacing * 3 if spacing is not None and len(spacing) == 1 else spacing
    found = read_scans(volume, modality=modality, unit=unit, spacing_mm=spacing)
    scan = dynamic_scan(found, series, None if saturation is None else load_saturation(saturation))
    labels = read_organs(organs, None if names is None else read_organ_names(names).names)
    rows, warnings = measure_frames(
        scan,
        labels,
        None if transform is None else way_of(transform, labels, scan.frames[0]),
        background=background,
        point_spread=stated_blur(psf, psf_shape, psf_fwhm_mm),
    )
    for warning in (*labels.warnings, *scan.frames[0].warnings, *warnings):
        note(warning)
    lines = list(csv.reader(table_text(rows, DynamicRow).splitlines()))
    start = lines[0].index("organ")
    with whole_file(out, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(line[start:] for line in lines)
    total_unit = units_of(scan.frames[0]).total
    if figure is not None:
        draw(dynamic_figure(rows, total_unit, title=volume.name), figure, overwrite)
    summaries = dynamic_summaries(rows)
    if as_json:
        told = ("organ", "frames", "duration_s", "area_under_curve", "area_under_curve_sd", "peak", "peak_sd")
        names_told = (*told, "time_to_peak_s", "flag")
        print_json({"unit": total_unit, "organs": [{name: getattr(s, name) for name in names_told} for s in summaries]})
        return
    for summary in summaries:
        typer.echo(
            f"{summary.organ}: peak {three_digits(summary.peak)} at {three_digits(summary.time_to_peak_s)} s, area"
            f" {three_digits(summary.area_under_curve)} ± {three_digits(summary.area_under_curve_sd)} {total_unit} s"
            f" over {summary.frames} frames{' (still rising)' if summary.flag else ''}"
        )
