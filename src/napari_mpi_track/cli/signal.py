"""Commands that make cells of signal: calibrate, count."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_mpi_track.cli.options import (
    AsJson,
    Conditions,
    Override,
    Overwrite,
    draw,
    note,
    numbers,
    print_json,
    require_drawable,
    stated,
)
from napari_mpi_track.errors import MpiTrackError, TableError
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


def calibrate(
    table: Annotated[
        Path, typer.Argument(help="CSV (any country's), one row a sample; blanks: x = 0.", show_default=False)
    ],
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
    field_of_view: Annotated[str | None, typer.Option("--field-of-view", help="Such as '60 x 60 x 100 mm'.")] = None,
    reconstruction: Annotated[str | None, typer.Option("--reconstruction", help="Version of it.")] = None,
    saturation: Annotated[
        Path | None, typer.Option("--saturation", help="Saturation curve the signals were linearised with.")
    ] = None,
    projection: Annotated[bool, typer.Option("--projection", help="Signals of 2-D projections.")] = False,
    date: Annotated[str | None, typer.Option("--date", help="Of the measurement.")] = None,
    iron_per_cell_pg: Annotated[
        float | None, typer.Option("--iron-per-cell-pg", help="Iron in a labelled cell, pg (by ICP, say).")
    ] = None,
    labelling_efficiency_percent: Annotated[
        float | None, typer.Option("--labelling-efficiency-percent", help="Cells that took up label.")
    ] = None,
    viability_percent: Annotated[
        float | None, typer.Option("--viability-percent", help="Cells alive after labelling.")
    ] = None,
    units_checked: Annotated[
        bool, typer.Option("--units-checked", help="Amounts are right, however odd they look.")
    ] = False,
    figure: Annotated[Path | None, typer.Option("--figure", help="Draw the curve: a .svg or .png file.")] = None,
    residual_figure: Annotated[
        Path | None, typer.Option("--residual-figure", help="Draw residuals and Cook's distances: .svg or .png.")
    ] = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a calibration line, with detection limits.

    What is said of tracer, cells and scanner is kept: scans that differ are refused.

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
    from napari_mpi_track.quantification.unit_suspicion import suspected_column, suspected_load, suspected_table

    require_drawable(figure, overwrite)
    require_drawable(residual_figure, overwrite)
    cells_or_iron, signals = read_calibration_table(table, x, signal)
    question = suspected_column(cells_or_iron, signals) or suspected_table(table) or suspected_load(iron_per_cell_pg)
    if question and not units_checked:
        raise TableError(question, file=table, remedy="correct it, or say --units-checked")
    if saturation is not None:
        load_saturation(saturation)
    calibration = fit_calibration(
        cells_or_iron,
        signals,
        kind=kind.value,
        x_quantity=_quantity(x),
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
        field_of_view=field_of_view,
        reconstruction=reconstruction,
        saturation=None if saturation is None else saturation.name,
        date=date,
        iron_per_cell_pg=iron_per_cell_pg,
        labelling_efficiency_percent=labelling_efficiency_percent,
        viability_percent=viability_percent,
    )
    save_calibration(calibration, out, overwrite)
    influence = measure_influence(calibration) if calibration.n > 3 else None
    if figure is not None:
        from napari_mpi_track.report.calibration_figures import calibration_figure

        draw(calibration_figure(calibration), figure, overwrite)
    if residual_figure is not None and influence is not None:
        from napari_mpi_track.report.calibration_figures import residual_figure as drawn

        draw(drawn(calibration, influence), residual_figure, overwrite)
    elif residual_figure is not None:
        note("three samples leave no residuals to judge: no figure of them is drawn")
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


def _quantity(column: str) -> Literal["cells", "iron_ng"] | None:
    """Return what a column holds by its name: cells or iron; ``None`` where the name does not say."""
    name = column.casefold()
    if "iron" in name or name.endswith("_ng"):
        return "iron_ng"
    return "cells" if "cell" in name else None


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
    condition: Conditions = None,
    override: Override = None,
    as_json: AsJson = False,
) -> None:
    """Read signals as cells (or iron) with their 95 % interval; --vial undoes the scanner's drift.

    A calibration made with another tracer, scan mode ... than --condition says is refused.

    Example: mpi-track count 640.2 12.5 --calibration promag.json --condition tracer=ProMag
    """
    from napari_mpi_track.quantification.calibration import load_calibration, require_match, require_needed
    from napari_mpi_track.quantification.cell_number import count_cells

    for signal in signals:
        if not math.isfinite(signal):
            raise MpiTrackError(f"a signal must be a finite number, got {signal}", remedy="leave it out")
    line = load_calibration(calibration)
    overridden = require_match(line, override=override or (), file=calibration, **stated(condition))
    require_needed(override or (), overridden)
    for difference in overridden:
        note(f"the calibration is used although it differs in {difference}")
    undrifted = [_undrifted(value, vial) for value in signals]
    counts = count_cells([s.value for s in undrifted], line, own_sd=[s.sd for s in undrifted], replicates=replicates)
    name = line.x_quantity
    records = [
        {"signal": s, name: v, f"{name}_low": low, f"{name}_high": high, "flag": _flag(flag, bool(overridden))}
        for s, v, low, high, flag in zip(
            signals,
            counts.value.tolist(),
            counts.low.tolist(),
            counts.high.tolist(),
            counts.flag,
            strict=True,
        )
    ]
    for signal in signals:
        if signal > _FAR_ABOVE * line.signal_at(line.x_range[1]):
            note(f"{signal:g} is far above the calibration's signals: is it in the same unit?")
    if as_json:
        print_json({"counts": records})
        return
    unit = "cells (apparent)" if name == "cells" else "ng iron"
    for record in records:
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


def _flag(flag: str, is_overridden: bool) -> str:
    return ";".join([*([str(flag)] if flag else []), *(["calibration_overridden"] if is_overridden else [])])


def _undrifted(signal: float, vial: str | None) -> Estimate:
    """Return a signal as it would have been on the calibration's day; ``vial`` is THEN,NOW[,SD]."""
    parts = numbers(vial, "--vial")
    if parts is None:
        return Estimate(signal)
    if len(parts) < 2:
        raise MpiTrackError(f"--vial needs THEN,NOW[,SD], got '{vial}'")
    sd = parts[2] if len(parts) == 3 else 0.0
    return corrected_for_drift(Estimate(signal), Estimate(parts[0], sd), Estimate(parts[1], sd))
