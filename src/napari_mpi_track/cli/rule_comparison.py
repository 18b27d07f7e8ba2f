"""What every rule for signal finds in a scan, on the terminal."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_mpi_track.cli.options import note, print_json
from napari_mpi_track.imaging.volume import Volume

if TYPE_CHECKING:
    from napari_mpi_track.imaging.noise import Noise
    from napari_mpi_track.quantification.occupancy import Occupancy
    from napari_mpi_track.segmentation.rule_comparison import RuleComparison, RuleSpread
    from napari_mpi_track.segmentation.signal_rules import RuleSettings, SignalRule


def tell_comparison(
    scan: Volume,
    settings: "RuleSettings",
    noise: "Noise | None",
    organs: "Occupancy | None",
    calibration: Path | None,
    as_json: bool,
) -> None:
    """Show every rule's findings, their spread, and what each keeps of organs."""
    from napari_mpi_track.segmentation.rule_comparison import compare_rules

    comparison = compare_rules(scan, noise, settings, organs=None if organs is None else organs.organs)
    cells = _cells(scan, comparison, calibration)
    if as_json:
        print_json(_record(scan, comparison, cells))
        return
    measure = "mm2" if scan.is_projection else "mm3"
    unit = scan.unit or "unit not stated"
    typer.echo(f"background {comparison.background:.4g} {unit}, taken off every total")
    header = ("rule", "setting", "threshold", f"volume {measure}", f"total x {measure}", "maximum", "places")
    rows = [list(header) + ([] if cells is None else [cells.quantity])]
    for row in comparison.rows:
        if row.total is None:
            rows.append([row.rule.value, row.setting, row.problem])
            continue
        numbers = (row.threshold, row.volume_mm3, row.total, row.maximum)
        line = [row.rule.value, row.setting, *(f"{number:.4g}" for number in numbers), str(row.components)]
        rows.append(line + ([] if cells is None else [_cell(cells.of_rule[row.rule])]))
    _print_columns(rows)
    for row in comparison.rows:
        if row.doubt:
            typer.echo(f"{row.rule.value} is no part of the spread: {row.doubt}")
    typer.echo(f"spread of totals: {_spread(comparison.spread)}")
    for name, organ in comparison.organs.items():
        parts = [f"{rule} {100 * kept:.3g} %" for rule in organ.totals if (kept := organ.kept(rule)) is not None]
        typer.echo(f"{name}: total {organ.whole:.4g}; kept by {', '.join(parts) or 'no rule'}; {_spread(organ.spread)}")


def _print_columns(rows: list[list[str]]) -> None:
    """Print rows in columns; the last cell of a shorter row is a sentence and may be longer than its column."""
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[at]) for row in full) for at in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())


def _cell(found: tuple[float, float, float]) -> str:
    value, _, high = found
    return f"{value:.4g}" if isfinite(value) else f"< {high:.4g}"


def _spread(spread: "RuleSpread | None") -> str:
    if spread is None:
        return "no spread, fewer than two rules could be used"
    if spread.sd_percent is None:
        return f"SD {spread.sd:.4g}, range {spread.low:.4g} to {spread.high:.4g}"
    return (
        f"SD {spread.sd:.4g} ({spread.sd_percent:.3g} % of the mean), "
        f"range {spread.low:.4g} to {spread.high:.4g} ({spread.range_percent:.3g} %)"
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """What signals are by a calibration, by rule: value, low and high, in ``quantity`` (cells or iron_ng)."""

    quantity: str
    of_rule: "Mapping[SignalRule, tuple[float, float, float]]"


def _cells(scan: Volume, comparison: "RuleComparison", path: Path | None) -> _Cells | None:
    from napari_mpi_track.longitudinal.conditions import scan_facts
    from napari_mpi_track.quantification.calibration import load_calibration, require_match
    from napari_mpi_track.quantification.cell_number import count_cells

    if path is None:
        return None
    line = load_calibration(path)
    require_match(line, override=(), file=scan.file, **scan_facts(scan))
    if line.total_rule is not None and line.metric != "maximum":
        note(f"the calibration's totals are by its own rule ({line.total_rule}); cells by other rules are off")
    signals = {row.rule: row.maximum if line.metric == "maximum" else row.total for row in comparison.rows}
    known = {rule: signal for rule, signal in signals.items() if signal is not None}
    counts = count_cells(list(known.values()), line)
    numbers = zip(counts.value.tolist(), counts.low.tolist(), counts.high.tolist(), strict=True)
    return _Cells(line.x_quantity, dict(zip(known, numbers, strict=True)))


def _record(scan: Volume, comparison: "RuleComparison", cells: _Cells | None) -> dict[str, Any]:
    rows = []
    for row in comparison.rows:
        record = asdict(row)
        covered = record.pop("volume_mm3")
        record |= {"volume_mm3": None, "area_mm2": covered} if scan.is_projection else {"volume_mm3": covered}
        if cells is not None:
            keys = (cells.quantity, f"{cells.quantity}_low", f"{cells.quantity}_high")
            record |= zip(keys, cells.of_rule.get(row.rule, (None, None, None)), strict=True)
        rows.append(record)
    organs = {
        name: {
            "total": organ.whole,
            "kept": {rule.value: organ.kept(rule) for rule in organ.totals},
            "spread": _spread_record(organ.spread),
        }
        for name, organ in comparison.organs.items()
    }
    return {
        "scan": scan.file,
        "unit": scan.unit,
        "is_linearised": scan.is_linearised,
        "background": comparison.background,
        "voxels_without_number": comparison.left_out,
        "rules": rows,
        "spread": _spread_record(comparison.spread),
        "organs": organs,
    }


def _spread_record(spread: "RuleSpread | None") -> dict[str, Any] | None:
    if spread is None:
        return None
    return {**asdict(spread), "sd_percent": spread.sd_percent, "range_percent": spread.range_percent}
