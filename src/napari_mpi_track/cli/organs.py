"""Commands that measure organs in one scan, and follow them: quantify, fit."""

import csv
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mpi_track.cli.options import (
    Conditions,
    ModalityOption,
    Override,
    Overwrite,
    Projection,
    SaturationOption,
    Series,
    Spacing,
    Unit,
    note,
    numbers,
    read_one,
    stated,
)
from napari_mpi_track.errors import MpiTrackError, TableError
from napari_mpi_track.imaging.point_spread import PsfShape

if TYPE_CHECKING:
    from napari_mpi_track.imaging.point_spread import PointSpread

# A signal so many times the highest standard's is more likely of another unit than of so many cells.
_FAR_ABOVE = 300.0


class ModelOption(StrEnum):
    """How a signal decays."""

    AUTO = "auto"
    EXPONENTIAL = "exponential"
    PLATEAU = "plateau"
    BIEXPONENTIAL = "biexponential"
    WEIBULL = "weibull"
    UPTAKE = "uptake"


class TimeUnit(StrEnum):
    """Unit of a column of times."""

    DAY = "day"
    HOUR = "hour"


def quantify(
    volume: Annotated[Path, typer.Argument(help="A scan on the grid it was acquired on.", show_default=False)],
    organs: Annotated[Path, typer.Option("--organs", help="Labels.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Table to write, CSV.", show_default=False)],
    budget: Annotated[
        Path | None, typer.Option("--budget", help="Also write every organ's error, term by term, CSV.")
    ] = None,
    names: Annotated[Path | None, typer.Option("--names", help="organs.csv: label,name.")] = None,
    transform: Annotated[
        Path | None, typer.Option("--transform", help="T.tfm (fixed = the organs' scan, moving = VOLUME).")
    ] = None,
    calibration: Annotated[Path | None, typer.Option("--calibration", help="C.json: signals as cells too.")] = None,
    background: Annotated[
        str,
        typer.Option(
            "--background",
            help="A number; robust (the scan's mode); an organ whose mean it is; or shell (round each organ).",
        ),
    ] = "0",
    psf_shape: Annotated[
        PsfShape | None, typer.Option("--psf-shape", help="Of the blur that --psf-fwhm-mm gives (gaussian).")
    ] = None,
    psf_fwhm_mm: Annotated[
        str | None, typer.Option("--psf-fwhm-mm", help="X, or PLANE,ROW,COLUMN: width of the blur.")
    ] = None,
    psf: Annotated[Path | None, typer.Option("--psf", help="PSF.json: the blur as measure-psf measured it.")] = None,
    spill_over: Annotated[
        bool, typer.Option("--spill-over", help="Undo the blur between organs; needs --psf or --psf-fwhm-mm.")
    ] = False,
    repeatability: Annotated[
        float | None,
        typer.Option(
            "--repeatability",
            min=0.0,
            max=1.0,
            help="Relative SD of one thing scanned again (0.01); without it a scan scatters as calibration samples do.",
        ),
    ] = None,
    merge: Annotated[
        list[str] | None, typer.Option("--merge", help="A,B: measure these organs as one; as often as needed.")
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option("--margin", help="ORGAN: an isolated deposit, measured with a margin; as often as needed."),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Try every rule for signal in each organ; their spread is an error of its total."
        ),
    ] = False,
    projection: Projection = False,
    saturation: SaturationOption = None,
    condition: Conditions = None,
    override: Override = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure organs in one scan: totals that add up to the scan's, and cells where a calibration is given.

    A calibration made with another tracer, scan mode ... is refused, as far as the scan or --condition says.

    Example: mpi-track quantify mpi.nii.gz --organs organs.nii.gz --transform ct_to_mpi.tfm --calibration promag.json
    --psf-fwhm-mm 2.5 --spill-over --out organs.csv
    """
    from napari_mpi_track.longitudinal.measurement import BudgetRow, Measurement
    from napari_mpi_track.longitudinal.single_scan import quantify_scan
    from napari_mpi_track.quantification.calibration import load_calibration
    from napari_mpi_track.readers.organs import read_organ_names, read_organs
    from napari_mpi_track.report.tables import scan_table, table_text
    from napari_mpi_track.report.units import units_of
    from napari_mpi_track.writers.whole import require_absent

    for table in (out, budget):
        if table is not None:
            require_absent(table, overwrite)
    if calibration is None and (condition or override):
        raise MpiTrackError("--condition and --override need a calibration", remedy="give --calibration")
    blur = stated_blur(psf, psf_shape, psf_fwhm_mm)
    if spill_over and blur is None:
        raise MpiTrackError("--spill-over needs the width of the blur", remedy="give --psf, or --psf-fwhm-mm above 0")
    if blur is not None and not spill_over:
        raise MpiTrackError("the blur is given and not undone", remedy="add --spill-over, or leave the blur out")
    scan = read_one(volume, series, modality, unit, spacing_mm, saturation, is_projection=projection)
    labels = read_organs(organs, None if names is None else read_organ_names(names).names)
    line = None if calibration is None else load_calibration(calibration)
    found = quantify_scan(
        scan,
        labels,
        None if transform is None else way_of(transform, labels, scan),
        line,
        background=background,
        point_spread=blur if spill_over else None,
        merge=[[name.strip() for name in group.split(",")] for group in merge or ()],
        with_margin=margin or (),
        conditions={**stated(condition), **({} if saturation is None else {"saturation": saturation.name})},
        override=override or (),
        repeatability=repeatability,
        with_rules=compare,
    )
    for warning in (*labels.warnings, *found.warnings):
        note(warning)
    typer.echo(scan_table(found.measurements, units_of(scan).total, line))
    _write_from_organ(table_text(found.measurements, Measurement), out, overwrite)
    if budget is not None:
        _write_from_organ(table_text(found.budget, BudgetRow), budget, overwrite)


def _write_from_organ(text: str, out: Path, overwrite: bool) -> None:
    """Write a table from its column of organs on: a single scan has no subject, group, day or modality to tell."""
    from napari_mpi_track.writers.whole import whole_file

    lines = list(csv.reader(text.splitlines()))
    start = lines[0].index("organ")
    with whole_file(out, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(line[start:] for line in lines)


def stated_blur(file: Path | None, shape: PsfShape | None, fwhm_mm: str | None) -> "PointSpread | None":
    """Return the point spread that the options give, measured or by its widths; ``None`` where they give none."""
    from napari_mpi_track.imaging.point_spread import PointSpread

    if shape is not None and fwhm_mm is None:
        raise MpiTrackError("--psf-shape is that of --psf-fwhm-mm", remedy="give the width too, or leave the shape out")
    if file is not None:
        from napari_mpi_track.quantification.point_spread_file import load_point_spread

        if fwhm_mm is not None:
            raise MpiTrackError("--psf and --psf-fwhm-mm are both given", remedy="keep one")
        return load_point_spread(file)
    widths = numbers(fwhm_mm, "--psf-fwhm-mm")
    if not any(widths or ()):
        return None
    return PointSpread(shape or PsfShape.GAUSSIAN, widths)  # type: ignore[arg-type]


def way_of(path: Path, labels: Any, scan: Any) -> Any:
    """Return a saved alignment for these organs and this scan, with what is not known of it said."""
    from napari_mpi_track.registration.alignment_files import load_alignment
    from napari_mpi_track.registration.saved import for_session

    used = for_session(
        load_alignment(path),
        path.name,
        fixed_frame=labels.grid.frame,
        moving_frame=scan.grid.frame,
        scanned_at=scan.acquired_at,
    )
    if used.method.startswith("bed ("):
        note(used.reason.partition(";")[0])
    for warning in used.warnings:
        note(warning)
    return used


def fit(
    table: Annotated[Path, typer.Argument(help="CSV, one row a measurement.", show_default=False)],
    time: Annotated[str, typer.Option("--time", help="Column of times.", show_default=False)],
    value: Annotated[str, typer.Option("--value", help="Column of values.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Table to write, CSV.", show_default=False)],
    time_unit: Annotated[TimeUnit, typer.Option("--time-unit")] = TimeUnit.DAY,
    error: Annotated[str | None, typer.Option("--error", help="Column of SDs of the values.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Columns that name a curve, separated by commas.")] = None,
    model: Annotated[ModelOption, typer.Option("--model")] = ModelOption.AUTO,
    overwrite: Overwrite = False,
) -> None:
    """Fit the decay of every curve in a table: half-lives with intervals.

    Example: mpi-track fit retention.csv --time day --value retention_percent --by subject,organ --out decay.csv
    """
    from napari_mpi_track.longitudinal.decay_table import fit_decay_table
    from napari_mpi_track.writers.whole import whole_file

    keys = [] if by is None else [name.strip() for name in by.split(",") if name.strip()]
    header, records = fit_decay_table(
        _read_rows(table),
        time=time,
        value=value,
        error=error,
        by=keys,
        days_per_unit=1.0 if time_unit is TimeUnit.DAY else 1 / 24,
        model=model.value,
        file=table,
    )
    with whole_file(out, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(records)
    for record in records:
        typer.echo(_curve_in_words(dict(zip(header, record, strict=True)), keys))


def _curve_in_words(record: dict[str, str], keys: list[str]) -> str:
    name = ", ".join(record[key] for key in keys) or "all rows"
    half_life = record["half_life_days"]
    interval = f"{_three(record['half_life_low_days'])} to {_three(record['half_life_high_days'])}"
    told = f"half-life {_three(half_life)} days ({interval})" if half_life else "no half-life"
    points = "1 point" if record["points"] == "1" else f"{record['points']} points"
    return f"{name}: {told}, {points}" + (f": {record['reason']}" if record["reason"] else "")


def _three(number: str) -> str:
    return f"{float(number):.3g}" if number else "not finite"


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = [dict(row) for row in reader]
            names = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise TableError(f"the table cannot be read ({problem})", file=path, remedy="give a CSV in UTF-8") from None
    if not rows:
        raise TableError("the table holds no rows", file=path, remedy="give a CSV with a header and rows")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise TableError(f"the column '{twice[0]}' is there twice", file=path, remedy="name every column once")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise TableError(
                f"row {number} does not have the {len(names)} cells of the header", file=path, remedy="mend the table"
            )
    return rows
