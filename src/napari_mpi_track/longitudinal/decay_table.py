"""The decay of every curve in a table of times and values."""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.decay import DecayFit, ModelChoice, fit_decay

_HEADER = (
    "model", "parameters", "rate_per_day", "half_life_days", "half_life_low_days", "half_life_high_days",
    "plateau_percent", "aicc", "r_squared", "points", "censored_points", "flag", "reason",
)  # fmt: skip


def fit_decay_table(
    rows: Sequence[Mapping[str, str | None]],
    *,
    time: str,
    value: str,
    error: str | None = None,
    by: Sequence[str] = (),
    days_per_unit: float = 1.0,
    model: ModelChoice = "auto",
    file: Path | None = None,
) -> tuple[list[str], list[list[str]]]:
    """Return a table with one line a curve: the ``by`` columns, then those of decay.csv.

    Parameters
    ----------
    rows
        The table's lines by column name; a line whose value is empty is left out.
    time, value, error
        Columns of times, of values, and of the SDs of the values.
    by
        Columns that together name a curve; without them all lines are one curve.
    days_per_unit
        What one unit of the time column is in days.
    model
        The decay model, or ``auto``.
    file
        Where the table came from, for messages.

    Raises
    ------
    TableError
        For a column that is not there, text where a number is needed, or an error that is not above 0: with row (the
        header is 1) and column; for what :func:`fit_decay` refuses, with the curve.
    """
    for name in (time, value, *([] if error is None else [error]), *by):
        if name not in rows[0]:
            known = ", ".join(str(key) for key in rows[0])
            raise TableError(f"the table has no column '{name}', it has {known}", file=file, remedy="name a column")
    curves: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    for number, row in enumerate(rows, start=2):
        if not (row[value] or "").strip():
            continue
        sd = 0.0 if error is None else _number(row, error, number, file)
        if error is not None and sd <= 0:
            raise TableError(
                f"row {number}, column '{error}': an error must be above 0, got {sd:g}",
                file=file,
                remedy="leave out a reference that is 100 % by construction: it is no point",
            )
        point = (_number(row, time, number, file) * days_per_unit, _number(row, value, number, file), sd)
        curves.setdefault(tuple(row[name] or "" for name in by), []).append(point)
    records = []
    for key, points in curves.items():
        times, values, errors = zip(*points, strict=True)
        try:
            fit = fit_decay(times, values, errors=None if error is None else errors, model=model)
        except TableError as refused:
            raise TableError(f"{', '.join(key)}: {refused.what}" if key else refused.what, file=file) from None
        records.append([*key, *_columns(fit)])
    return [*by, *_HEADER], records


def _columns(fit: DecayFit) -> list[str]:
    parameters = json.dumps({name: float(f"{value:.9g}") for name, value in fit.parameters.items()})
    measures = (fit.rate_per_day, fit.half_life_days, fit.low, fit.high, fit.plateau_percent, fit.aicc, fit.r_squared)
    numbers = ["" if number is None or not isfinite(number) else f"{number:.9g}" for number in measures]
    return [
        fit.model,
        parameters if fit.parameters else "",
        *numbers,
        str(fit.points),
        str(fit.censored_points),
        fit.flag,
        fit.reason,
    ]


def _number(row: Mapping[str, str | None], column: str, number: int, file: Path | None) -> float:
    text = (row[column] or "").strip()
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not isfinite(found):
        raise TableError(
            f"row {number}, column '{column}': a number was needed, got '{text}'",
            file=file,
            remedy="leave a value empty that is missing; give times as days or hours since the injection, not as dates",
        )
    return found
