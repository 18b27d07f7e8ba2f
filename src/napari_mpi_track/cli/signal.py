"""Commands that make cells of signal: calibrate, count, quantify, fit."""

import csv
import math
from enum import StrEnum
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
    note,
    numbers,
    print_json,
    read_one,
)
from napari_mpi_track.errors import MpiTrackError, TableError
from napari_mpi_track.imaging.point_spread import PsfShape
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.session_drift import corrected_for_drift

# A signal so many times the highest standard's is more likely of another unit than of so many cells.
_FAR_ABOVE = 300.0


class WeightsOption(StrEnum):
    """How calibration samples are weighted."""

    AUTO = "auto"
    NONE = "none"
    REPLICATES = "replicates"
    ONE_OVER_X = "1/x"
    ONE_OVER_X2 = "1/x2"


class KindOption(StrEnum):
    """What was in the calibration samples."""

    IN_CELLS = "in-cells"
    IN_CELLS_IRON = "in-cells-iron"
    FIXED_CONCENTRATION = "solution-fixed-concentration"
    FIXED_VOLUME = "solution-fixed-volume"


class MetricOption(StrEnum):
    """What the signal of a sample is."""

    TOTAL = "total"
    MAXIMUM = "maximum"


class ModelOption(StrEnum):
    """How a signal decays."""

    AUTO = "auto"
    EXPONENTIAL = "exponential"
    PLATEAU = "plateau"
    BIEXPONENTIAL = "biexponential"
    WEIBULL = "weibull"


class TimeUnit(StrEnum):
    """Unit of a column of times."""

    DAY = "day"
    HOUR = "hour"


def calibrate(
    table: Annotated[Path, typer.Argument(help="CSV, one row a sample; blanks have x = 0.", show_default=False)],
    x: Annotated[str, typer.Option("--x", help="Column of cells, or of iron in ng.", show_default=False)],
    signal: Annotated[str, typer.Option("--signal", help="Column of the signal.", show_default=False)],
    kind: Annotated[KindOption, typer.Option("--kind", help="What was in the samples.", show_default=False)],
    tracer: Annotated[str, typer.Option("--tracer", help="Name of the tracer.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Calibration to write, C.json.", show_default=False)],
    weights: Annotated[
        WeightsOption, typer.Option("--weights", help="auto: variance model by REML; none: least squares.")
    ] = WeightsOption.AUTO,
    through_origin: Annotated[
        bool, typer.Option("--through-origin", help="Force the line through 0 (for blank-corrected signals only).")
    ] = False,
    metric: Annotated[MetricOption | None, typer.Option("--metric", help="What the signal is.")] = None,
    total_rule: Annotated[str | None, typer.Option("--total-rule", help="How the total was drawn.")] = None,
    cell_type: Annotated[str | None, typer.Option("--cell-type")] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Batch of the tracer.")] = None,
    labelling: Annotated[str | None, typer.Option("--labelling", help="How cells were labelled.")] = None,
    scan_mode: Annotated[str | None, typer.Option("--scan-mode")] = None,
    reconstruction: Annotated[str | None, typer.Option("--reconstruction", help="Version of it.")] = None,
    saturation: Annotated[
        Path | None, typer.Option("--saturation", help="Saturation curve the signals were linearised with.")
    ] = None,
    projection: Annotated[bool, typer.Option("--projection", help="Signals of 2-D projections.")] = False,
    units_checked: Annotated[
        bool, typer.Option("--units-checked", help="Amounts are right, however odd they look.")
    ] = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a calibration line, with detection limits.

    Example: mpi-track calibrate calibration.csv --x cells --signal signal_total --kind in-cells --tracer ProMag
    --out promag.json
    """
    from napari_mpi_track.quantification.calibration import (
        calibration_to_json,
        fit_calibration,
        read_calibration_table,
        save_calibration,
    )
    from napari_mpi_track.quantification.influence import influence_in_words, measure_influence
    from napari_mpi_track.quantification.saturation import load_saturation
    from napari_mpi_track.quantification.unit_suspicion import suspected_column

    cells_or_iron, signals = read_calibration_table(table, x, signal)
    question = "" if units_checked else suspected_column(cells_or_iron, signals)
    if question:
        raise TableError(question, file=table, remedy="correct it, or say --units-checked")
    if saturation is not None:
        load_saturation(saturation)
    calibration = fit_calibration(
        cells_or_iron,
        signals,
        kind=kind.value,
        weights=weights.value,
        through_origin=through_origin,
        table=table.name,
        tracer=tracer,
        batch=batch,
        cell_type=cell_type,
        labelling=labelling,
        metric=None if metric is None else metric.value,
        total_rule=total_rule,
        dimensions=2 if projection else 3,
        scan_mode=scan_mode,
        reconstruction=reconstruction,
        saturation=None if saturation is None else saturation.name,
    )
    save_calibration(calibration, out, overwrite)
    influence = measure_influence(calibration) if calibration.n > 3 else None
    judged = [] if influence is None else influence_in_words(calibration, influence)
    for weakness in (*calibration.weak_points, *judged):
        note(weakness)
    if as_json:
        names = ("leverage", "studentised", "cooks_distance", "outlier", "influential")
        shown = None if influence is None else {name: getattr(influence, name) for name in names}
        print_json({**calibration_to_json(calibration), "influence": shown})
        return
    unit = "cells" if calibration.x_quantity == "cells" else "ng iron"
    typer.echo(f"signal = {calibration.intercept:.4g} + {calibration.slope:.5g} x {unit}")
    typer.echo(
        f"standard errors {calibration.intercept_se:.2g} and {calibration.slope_se:.2g}, "
        f"R2 {calibration.r_squared:.5f}, {calibration.n} samples"
    )
    typer.echo(
        f"decision limit {calibration.decision_limit:.3g} {unit}, detection limit {calibration.detection_limit:.3g}"
        f" {unit} (Currie); range {calibration.x_range[0]:.4g} to {calibration.x_range[1]:.4g} {unit}"
    )


def count(
    signals: Annotated[list[float], typer.Argument(help="Signals, each a mean of m.", show_default=False)],
    calibration: Annotated[Path, typer.Option("--calibration", help="C.json.", show_default=False)],
    replicates: Annotated[int, typer.Option("--replicates", min=1, help="m: measurements behind each signal.")] = 1,
    vial: Annotated[
        str | None,
        typer.Option(
            "--vial", help="THEN,NOW[,SD]: a vial's signal with the calibration and today, and the SD of each."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read signals as cells (or iron) with their 95 % interval; --vial undoes the scanner's drift.

    Example: mpi-track count 640.2 12.5 --calibration promag.json
    """
    from napari_mpi_track.quantification.calibration import load_calibration
    from napari_mpi_track.quantification.cell_number import count_cells

    for signal in signals:
        if not math.isfinite(signal):
            raise MpiTrackError(f"a signal must be a finite number, got {signal}", remedy="leave it out")
    line = load_calibration(calibration)
    undrifted = [_undrifted(value, vial) for value in signals]
    counts = count_cells([s.value for s in undrifted], line, own_sd=[s.sd for s in undrifted], replicates=replicates)
    name = line.x_quantity
    records = [
        {"signal": s, name: v, f"{name}_low": low, f"{name}_high": high, "flag": str(flag)}
        for s, v, low, high, flag in zip(
            signals,
            counts.value.tolist(),
            counts.low.tolist(),
            counts.high.tolist(),
            counts.flag,
            strict=True,
        )
    ]
    if as_json:
        print_json({"counts": records})
        return
    unit = "cells (apparent)" if name == "cells" else "ng iron"
    for record in records:
        if record["signal"] > _FAR_ABOVE * line.signal_at(line.x_range[1]):
            note(f"{record['signal']:g} is far above the calibration's signals: is it in the same unit?")
        if "below_detection" in record["flag"]:
            high = record[f"{name}_high"]
            bound = f"< {high:,.3g} {unit}" if math.isfinite(high) else "no bound: the slope may be zero"
            typer.echo(f"{record['signal']:g}: not detected ({bound})")
        elif "no_finite_interval" in record["flag"]:
            typer.echo(
                f"{record['signal']:g}: {record[name]:,.3g} {unit}, no finite interval: the slope of the calibration "
                f"is not told apart from zero (g >= 1); add standards or replicates {record['flag']}"
            )
        else:
            interval = f"95 % interval {record[f'{name}_low']:,.3g} to {record[f'{name}_high']:,.3g}"
            typer.echo(f"{record['signal']:g}: {record[name]:,.3g} {unit}, {interval} {record['flag']}".rstrip())


def _undrifted(signal: float, vial: str | None) -> Estimate:
    """Return a signal as it would have been on the calibration's day; ``vial`` is THEN,NOW[,SD]."""
    parts = numbers(vial, "--vial")
    if parts is None:
        return Estimate(signal)
    if len(parts) < 2:
        raise MpiTrackError(f"--vial needs THEN,NOW[,SD], got '{vial}'")
    sd = parts[2] if len(parts) == 3 else 0.0
    return corrected_for_drift(Estimate(signal), Estimate(parts[0], sd), Estimate(parts[1], sd))


def quantify(
    volume: Annotated[Path, typer.Argument(help="A scan on the grid it was acquired on.", show_default=False)],
    organs: Annotated[Path, typer.Option("--organs", help="Labels.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Table to write, CSV.", show_default=False)],
    names: Annotated[Path | None, typer.Option("--names", help="organs.csv: label,name.")] = None,
    transform: Annotated[
        Path | None, typer.Option("--transform", help="T.tfm (fixed = the organs' scan, moving = VOLUME).")
    ] = None,
    calibration: Annotated[Path | None, typer.Option("--calibration", help="C.json: signals as cells too.")] = None,
    background: Annotated[str, typer.Option("--background", help="A number, or an organ whose mean it is.")] = "0",
    psf_shape: Annotated[PsfShape, typer.Option("--psf-shape")] = PsfShape.GAUSSIAN,
    psf_fwhm_mm: Annotated[
        str | None, typer.Option("--psf-fwhm-mm", help="X, or PLANE,ROW,COLUMN: width of the blur.")
    ] = None,
    spill_over: Annotated[bool, typer.Option("--spill-over", help="Undo the blur between organs.")] = False,
    saturation: SaturationOption = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure organs in one scan: totals that add up to the scan's, and cells where a calibration is given.

    Example: mpi-track quantify mpi.nii.gz --organs organs.nii.gz --transform ct_to_mpi.tfm --calibration promag.json
    --psf-fwhm-mm 2.5 --spill-over --out organs.csv
    """
    from napari_mpi_track.imaging.point_spread import PointSpread
    from napari_mpi_track.longitudinal.measurement import Measurement
    from napari_mpi_track.longitudinal.single_scan import quantify_scan
    from napari_mpi_track.quantification.calibration import load_calibration
    from napari_mpi_track.readers.organs import read_organ_names, read_organs
    from napari_mpi_track.registration.alignment import load_alignment
    from napari_mpi_track.report.tables import organ_table, table_text
    from napari_mpi_track.writers.whole import require_absent, whole_file

    require_absent(out, overwrite)
    widths = numbers(psf_fwhm_mm, "--psf-fwhm-mm")
    if spill_over and not any(widths or ()):
        raise MpiTrackError("--spill-over needs the width of the blur", remedy="give --psf-fwhm-mm above 0")
    scan = read_one(volume, series, modality, unit, spacing_mm, saturation)
    labels = read_organs(organs, None if names is None else read_organ_names(names).names)
    psf = None if widths is None else PointSpread(psf_shape, widths if len(widths) > 1 else widths[0])  # type: ignore[arg-type]
    line = None if calibration is None else load_calibration(calibration)
    rows, warnings = quantify_scan(
        scan,
        labels,
        None if transform is None else load_alignment(transform),
        line,
        background=background,
        point_spread=psf if spill_over else None,
    )
    for warning in warnings:
        note(warning)
    typer.echo(organ_table(rows, line))
    # A single scan has no subject, group, day or modality to tell: the table starts with the organ.
    lines = list(csv.reader(table_text(rows, Measurement).splitlines()))
    start = lines[0].index("organ")
    with whole_file(out, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(line[start:] for line in lines)


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
    return f"{name}: {told}, {record['points']} points {record['flag'].replace('_', ' ')}".rstrip()


def _three(number: str) -> str:
    return f"{float(number):.3g}" if number else "not finite"


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [dict(row) for row in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise TableError(f"the table cannot be read ({problem})", file=path, remedy="give a CSV in UTF-8") from None
    if not rows:
        raise TableError("the table holds no rows", file=path, remedy="give a CSV with a header and rows")
    return rows
