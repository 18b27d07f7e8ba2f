"""The command that makes a calibration table from scans: measure-tubes."""

import csv
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mpi_track.cli.options import AsJson, ModalityOption, Overwrite, Spacing, Unit, note, numbers, print_json


class TotalRuleOption(StrEnum):
    """Which voxels make a total: named here too, so that the command line need not load what measures them."""

    WIDE = "wide"
    NOISE = "noise"
    FRACTION_OF_MAX = "fraction-of-max"


def measure_tubes(
    folder: Annotated[Path, typer.Argument(help="Scans of tubes or wells (or one scan).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Table to write, CSV.", show_default=False)],
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="CSV: name, cells, iron_ng, volume_ul, replicate.")
    ] = None,
    points: Annotated[
        Path | None, typer.Option("--points", help="Where tubes lie and their names (CSV, .fcsv, .mrk.json).")
    ] = None,
    rule: Annotated[TotalRuleOption, typer.Option("--rule", help="Which voxels make a total.")] = TotalRuleOption.WIDE,
    margin_mm: Annotated[float, typer.Option("--margin-mm", help="wide: around the half maximum.")] = 10.0,
    times_sd: Annotated[float, typer.Option("--times-sd", help="noise: multiple of the noise's SD.")] = 5.0,
    fraction: Annotated[float, typer.Option("--fraction", help="fraction-of-max: part of the maximum.")] = 0.5,
    saturation: Annotated[
        Path | None, typer.Option("--saturation", help="Receiver's curve: scans are linearised first.")
    ] = None,
    projection: Annotated[
        bool, typer.Option("--projection", help="Scans of one plane are 2-D projections: totals over mm2.")
    ] = False,
    units_checked: Annotated[
        bool, typer.Option("--units-checked", help="Amounts are right, however odd they look.")
    ] = False,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure tubes in scans: maximum, total and FWHM of each, beside what the sample sheet says was in it.

    A tube is called as its scan's file (without its ending); several in one scan SCAN/1, SCAN/2 ... by plane, row and
    column, or as the points. The table is one that calibrate and compare-dilutions read.

    Example: mpi-track measure-tubes tubes/ --sheet samples.csv --out calibration.csv
    """
    from napari_mpi_track.quantification.sample_sheet import COLUMNS, Sample, join_sheet, read_sample_sheet, table_rows
    from napari_mpi_track.quantification.saturation import load_saturation
    from napari_mpi_track.quantification.tube_scans import read_tube_scans
    from napari_mpi_track.quantification.tubes import TotalRule, TubeRule
    from napari_mpi_track.quantification.tubes import measure_tubes as measure
    from napari_mpi_track.readers.points import read_points
    from napari_mpi_track.writers.whole import require_absent, whole_file

    require_absent(out, overwrite)
    samples = None if sheet is None else read_sample_sheet(sheet, units_checked=units_checked)
    spacing = numbers(spacing_mm, "--spacing-mm")
    if spacing is not None and len(spacing) == 1:
        spacing = spacing * 3
    scans, skipped = read_tube_scans(folder, modality=modality, unit=unit, spacing_mm=spacing, is_projection=projection)
    for entry in skipped:
        note(f"{entry.path} was not read: {entry.reason}")
    if saturation is not None:
        curve = load_saturation(saturation)
        scans = [(name, curve.linearise(volume)) for name, volume in scans]
    for name, volume in scans:
        for warning in volume.warnings:
            note(f"{name}: {warning}")
    tubes = measure(
        scans,
        TotalRule(TubeRule(rule), margin_mm, times_sd, fraction),
        None if points is None else read_points(points),
    )
    if samples is None:
        joined = [(tube, Sample(tube.name)) for tube in tubes]
    else:
        joined, unknown = join_sheet(tubes, samples, file=sheet)
        if unknown:
            note(f"not in the sheet, and left out: {', '.join(unknown)}")
    rows = table_rows(joined)
    with whole_file(out, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    if as_json:
        print_json({"rule": tubes[0].rule, "tubes": [_record(tube, sample) for tube, sample in joined]})
        return
    typer.echo(f"{len(joined)} tubes; totals {tubes[0].rule} (give calibrate --total-rule the same words)")
    for tube, _ in joined:
        width = "" if tube.fwhm_mm is None else f", FWHM {tube.fwhm_mm:.3g} +- {tube.fwhm_se_mm:.1g} mm"
        typer.echo(f"{tube.name}: maximum {tube.maximum:.4g}, total {tube.total:.5g}{width} {tube.flag}".rstrip())


def _record(tube: Any, sample: Any) -> dict[str, Any]:
    widths = [None if width is None else {"fwhm_mm": width.fwhm_mm, "se_mm": width.se_mm} for width in tube.widths]
    amounts = {name: getattr(sample, name) for name in ("cells", "iron_ng", "volume_ul", "replicate")}
    names = ("name", "scan", "position_mm", "maximum", "total", "total_sd", "fwhm_mm", "fwhm_se_mm", "flag")
    return {**{name: getattr(tube, name) for name in names}, "widths": widths, **amounts}
