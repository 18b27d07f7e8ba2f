"""The tables of a study: as CSV with nine significant digits, and as text for a terminal."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from io import StringIO
from itertools import groupby
from math import floor, isfinite, log10
from pathlib import Path
from typing import Any

from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.writers.whole import whole_file

# Rows that are sums or leftovers of a scan, not organs; they stand after the organs.
NOT_ORGANS = ("fiducials", "outside", "total")

FLAG_WORDS = {
    "below_detection": "not detected: below the detection limit; the bound is given, not a number of cells",
    "above_calibration": "above the calibrated range: extrapolated",
    "no_calibration": "no calibration: signal only",
    "calibration_overridden": "the calibration was made under other conditions; the user overrode the check",
    "saturated": "the receiver was saturated beyond its measured range",
    "doubtful_alignment": "the alignment is doubtful",
    "outside_field_of_view": "part of the organ lies outside the field of view",
    "margin_refused": "another lit organ lies within the margin: no signal of its own that day",
    "inseparable": "the blur makes it one with another organ: measured as one that day",
    "spill_over_dominated": "most of the signal came from neighbouring organs",
    "not_uniform": "the organ is not lit uniformly; the spill-over correction assumes it is",
    "psf_mismatch": "the point spread does not explain the scan",
    "no_baseline": "no pre-injection scan was subtracted",
    "no_finite_interval": "the data leave the interval open: no finite limit on at least one side",
    "free_89Zr": "bone takes up 89Zr set free by dead cells; not turned into cells",
    "physiological_uptake": "the organ takes up or excretes the reporter's tracer without any cells",
    "rising": "the signal rises; there is no half-life",
    "too_few_points": "too few points for this model",
    "interpolated": "read between two scans on a straight line of logarithms; the shape between them is assumed",
    "small_n": "fewer than ten animals: the interval rests on normal scatter, and one animal can move it",
}


def columns(kind: type) -> tuple[str, ...]:
    """Return the columns of a table of ``kind`` (a dataclass), in order."""
    return tuple(field.name for field in fields(kind) if field.metadata.get("column", True))


def table_text(rows: Iterable[Any], kind: type) -> str:
    """Return ``rows`` (instances of the dataclass ``kind``) as CSV, header first, lines ended by a line feed.

    ``None`` and numbers that are not finite are empty cells; numbers have nine significant digits.
    """
    names = columns(kind)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def table_json(rows: Iterable[Any], kind: type) -> str:
    """Return ``rows`` as a JSON list of objects: the columns of the CSV, its nine digits, null where a cell is empty.

    What stands as JSON in a cell (the parameters of a decay) is an object here.
    """
    names = columns(kind)
    lines = [
        json.dumps({name: _json_value(name, getattr(row, name)) for name in names}, ensure_ascii=False) for row in rows
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def write_table(rows: Iterable[Any], kind: type, path: str | Path, *, overwrite: bool = False) -> None:
    """Write ``rows`` (instances of the dataclass ``kind``) as a CSV file, whole or not at all.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is false.
    """
    text = table_text(rows, kind)
    with whole_file(path, overwrite) as unfinished:
        unfinished.write_bytes(text.encode("utf-8"))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # + 0.0 turns a negative zero into zero, which would else depend on the order of a sum.
        return f"{float(value) + 0.0:.9g}" if isfinite(value) else ""
    return str(value)


def _json_value(name: str, value: object) -> object:
    if isinstance(value, bool | int) or value is None:
        return value
    text = _cell(value)
    if isinstance(value, float):
        return float(text) if text else None
    return json.loads(text) if name == "parameters" and text else text


def three_digits(value: float) -> str:
    """Return ``value`` for reading: three significant digits, thousands set apart by commas."""
    if value == 0 or not isfinite(value):
        return "0" if value == 0 else "not finite"
    rounded = float(f"{value:.3g}")
    decimals = max(2 - floor(log10(abs(rounded))), 0)
    return f"{rounded:,.{decimals}f}" if abs(rounded) >= 1e-3 else f"{value:.2e}"


def cells_in_words(row: Measurement) -> str:
    """Return a measurement's apparent cells (or iron) with the interval as a person reads it; '' if it has none."""
    if row.cells_high is None and row.cells is None and (row.iron_ng is not None or row.iron_ng_high is not None):
        return _amount_in_words(row.iron_ng, row.iron_ng_low, row.iron_ng_high, row.flag, " ng iron")
    return _amount_in_words(row.cells, row.cells_low, row.cells_high, row.flag, "")


def _amount_in_words(value: float | None, low: float | None, high: float | None, flag: str, unit: str) -> str:
    if "below_detection" in flag.split(";"):
        bound = "" if high is None else f" (< {three_digits(high)}{unit or ' cells'})"
        return f"not detected{bound}"
    if value is None:
        return ""
    if low is None or high is None:
        return f"{three_digits(value)}{unit} (no finite interval)"
    return f"{three_digits(value)}{unit} ({three_digits(low)} to {three_digits(high)})"


def uncorrected_in_words(row: Measurement, calibration: Calibration | None) -> str:
    """Return the apparent cells an organ would have had without spill-over correction; '' where none was done."""
    counted = row.cells is not None or row.cells_high is not None
    if row.signal_total is None or not row.signal_total_corrected or not counted:
        return ""
    if row.modality != "MPI":
        # Cells are proportional to activity: there is no intercept.
        return "" if row.cells is None else three_digits(row.cells * row.signal_total / row.signal_total_corrected)
    if calibration is None or calibration.x_quantity != "cells" or calibration.metric == "maximum":
        return ""
    cells = (row.signal_total - calibration.intercept) / calibration.slope
    return three_digits(cells) if cells > calibration.decision_limit else "not detected"


def in_reading_order(rows: Iterable[Measurement]) -> list[Measurement]:
    """Return measurements by subject, day and modality as they come, organs before what is not an organ."""
    ordered = []
    for _, scan in groupby(rows, key=lambda row: (row.subject, row.day, row.modality)):
        ordered += sorted(scan, key=lambda row: NOT_ORGANS.index(row.organ) if row.organ in NOT_ORGANS else -1)
    return ordered


def organ_table(measurements: Sequence[Measurement], calibration: Calibration | None = None) -> str:
    """Return the organs in cells as text for a terminal, one line an organ.

    Parameters
    ----------
    measurements
        Rows of measurements.csv, scan by scan.
    calibration
        With it, the uncorrected cells stand beside those corrected for spill-over.
    """
    rows = [row for row in in_reading_order(measurements) if row.signal_total is not None or row.activity_kBq]
    several = len({row.modality for row in rows}) > 1
    corrected = any(row.signal_total_corrected is not None for row in rows)
    beside = any(uncorrected_in_words(row, calibration) for row in rows)
    head = ["subject", "day", *(["scan"] if several else []), "organ", "cells (apparent, 95 % interval)"]
    head += ["uncorrected cells"] if beside else []
    head += ["signal", *(["corrected signal"] if corrected else []), "flags"]
    lines = []
    for row in rows:
        line = [row.subject, f"{row.day:g}", *([row.modality] if several else []), row.organ, cells_in_words(row)]
        line += [uncorrected_in_words(row, calibration)] if beside else []
        line += [number_in_words(row.signal_total)]
        line += [number_in_words(row.signal_total_corrected)] if corrected else []
        lines.append([*line, flags_in_words(row.flag)])
    return _aligned(head, lines, right={"day", "uncorrected cells", "signal", "corrected signal"})


def scan_table(measurements: Sequence[Measurement], unit: str, calibration: Calibration | None = None) -> str:
    """Return the organs of one scan as text for a terminal: signals in ``unit`` (that of totals) with their SD.

    Parameters
    ----------
    measurements
        Rows of one scan.
    unit
        Of totals, as ``units_of(scan).total``.
    calibration
        With it cells (or iron) are told, and the uncorrected cells beside those corrected for spill-over.
    """
    rows = in_reading_order(measurements)
    corrected = any(row.signal_total_corrected is not None for row in rows)
    beside = any(uncorrected_in_words(row, calibration) for row in rows)
    numbers = [f"signal ({unit})", "SD", *(["corrected signal"] if corrected else [])]
    head = ["organ", *([] if calibration is None else ["cells (apparent, 95 % interval)"])]
    head += [*(["uncorrected cells"] if beside else []), *numbers, "flags"]
    lines = []
    for row in rows:
        line = [row.organ, *([] if calibration is None else [cells_in_words(row)])]
        line += [uncorrected_in_words(row, calibration)] if beside else []
        line += [number_in_words(row.signal_total), number_in_words(row.signal_total_sd)]
        line += [number_in_words(row.signal_total_corrected)] if corrected else []
        lines.append([*line, flags_in_words(row.flag)])
    return "\n".join(_columns(head, lines, right={"uncorrected cells", *numbers})) + "\n"


def flags_in_words(flag: str) -> str:
    """Return the flags of a row with spaces and commas, for reading."""
    return ", ".join(name.replace("_", " ") for name in flag.split(";") if name)


def number_in_words(value: float | None) -> str:
    """Return a number for reading; '' for none."""
    return "" if value is None else three_digits(value)


def _aligned(head: list[str], lines: list[list[str]], right: set[str]) -> str:
    shown: list[list[str]] = []
    before: list[str] = []
    for line in lines:
        if before and before[0] != line[0]:
            shown.append([""] * len(head))
        same_day = before[:2] == line[:2]
        shown.append(["" if same_day and i < 2 else cell for i, cell in enumerate(line)])
        before = line
    return "\n".join(_columns(head, shown, right)) + "\n"


def _columns(head: list[str], lines: list[list[str]], right: set[str]) -> list[str]:
    """Return a table's lines with its columns below each other, the names of those set to the right in ``right``."""
    widths = [max([len(name), *(len(line[i]) for line in lines)]) for i, name in enumerate(head)]
    padded = [
        [
            text.rjust(width) if name in right else text.ljust(width)
            for text, width, name in zip(line, widths, head, strict=True)
        ]
        for line in [head, ["-" * width for width in widths], *lines]
    ]
    return ["  ".join(cells).rstrip() for cells in padded]
