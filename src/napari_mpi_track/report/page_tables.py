"""The rows of the report's tables, in words and numbers as a person reads them."""

from collections.abc import Iterable, Sequence
from typing import Any

from napari_mpi_track.longitudinal.measurement import AlignmentRow, DecayRow, Measurement, RetentionRow
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.tables import (
    FLAG_WORDS,
    NOT_ORGANS,
    cells_in_words,
    flags_in_words,
    in_reading_order,
    number_in_words,
    three_digits,
    uncorrected_in_words,
)


def day_in_words(day: float) -> str:
    """Return a day as a person says it."""
    return f"day {day:g} (before injection)" if day < 0 else f"day {day:g}"


def alignment_row(row: AlignmentRow) -> dict[str, str]:
    return {
        "subject": row.subject,
        "day": f"{row.day:g}",
        "moving": row.moving,
        "fixed": row.fixed,
        "method": row.method,
        "model": row.model,
        "verdict": row.verdict,
        "rms": "" if row.fiducial_rms_mm is None else f"{row.fiducial_rms_mm:.3f}",
        "error": "not known" if row.expected_target_error_mm is None else f"{row.expected_target_error_mm:.3f}",
        "metric": number_in_words(row.metric),
        "reason": row.reason,
    }


def retention_tables(rows: Sequence[RetentionRow]) -> list[dict[str, Any]]:
    tables = []
    for subject, group, modality in dict.fromkeys((row.subject, row.group, row.modality) for row in rows):
        mine = [row for row in rows if (row.subject, row.group, row.modality) == (subject, group, modality)]
        days = sorted({row.day for row in mine})
        by_place = {(row.organ, row.day): row for row in mine}
        organs = dict.fromkeys(row.organ for row in mine)
        lines = [
            {"organ": organ, "cells": [_retention_cell(by_place.get((organ, day))) for day in days]} for organ in organs
        ]
        who = subject or f"group {group}"
        tables.append({"title": f"{who}, {modality}", "days": [f"{day:g}" for day in days], "rows": lines})
    return tables


def _retention_cell(row: RetentionRow | None) -> str:
    if row is None:
        return ""
    if "below_detection" in row.flag.split(";"):
        return "not detected" if row.retention_high is None else f"not detected (< {three_digits(row.retention_high)})"
    if row.retention_percent is None:
        return ""
    if row.retention_low is None or row.retention_high is None:
        return f"{three_digits(row.retention_percent)}"
    low, high = three_digits(row.retention_low), three_digits(row.retention_high)
    return f"{three_digits(row.retention_percent)} ({low} to {high})"


def decay_row(row: DecayRow) -> dict[str, str]:
    low, high = row.half_life_low_days, row.half_life_high_days
    interval = ""
    if row.half_life_days is not None and (low is not None or high is not None):
        lower = three_digits(low) if low is not None else "0"
        interval = f"{lower} to {three_digits(high)}" if high is not None else f"at least {lower}"
    return {
        "subject": row.subject or "all of the group",
        "group": row.group,
        "modality": row.modality,
        "organ": row.organ,
        "model": row.model or "none",
        "half_life": number_in_words(row.half_life_days),
        "interval": interval,
        "plateau": number_in_words(row.plateau_percent),
        "r_squared": "" if row.r_squared is None else f"{row.r_squared:.3f}",
        "points": f"{row.points} ({row.censored_points})",
        "flags": "; ".join(words for words in (flags_in_words(row.flag), row.reason) if words),
    }


def organ_tables(results: StudyResults) -> list[dict[str, Any]]:
    """Return one table a subject and modality, its rows by day, with only the columns that hold something."""
    tables, measurements = [], results.measurements
    for subject, modality in dict.fromkeys((row.subject, row.modality) for row in measurements):
        mine = [row for row in measurements if (row.subject, row.modality) == (subject, modality)]
        columns = _organ_columns(results.calibration, results.units_of(modality).total)
        shown = [column for column in columns if any(column[2](row) for row in mine)]
        days = [
            {
                "words": day_in_words(day),
                "rows": [
                    {
                        "organ": row.organ,
                        "rest": row.organ in NOT_ORGANS,
                        "cells": [value(row) for _, _, value in shown],
                    }
                    for row in in_reading_order(r for r in mine if r.day == day)
                ],
            }
            for day in sorted({row.day for row in mine})
        ]
        group = f", {mine[0].group}" if mine[0].group else ""
        names = [(name, numeric) for name, numeric, _ in shown]
        tables.append({"title": f"{subject}{group}: {modality}", "columns": names, "days": days})
    return tables


def _organ_columns(calibration: Calibration | None, unit: str) -> list[tuple[str, bool, Any]]:
    iron = calibration is not None and calibration.x_quantity == "iron_ng"
    amount = "apparent iron (95 % interval)" if iron else "apparent cells (95 % interval)"
    return [
        (amount, False, cells_in_words),
        ("uncorrected cells", True, lambda row: uncorrected_in_words(row, calibration)),
        (f"signal total ± SD ({unit})", True, _signal_in_words),
        (f"corrected signal ({unit})", True, lambda row: number_in_words(row.signal_total_corrected)),
        ("spill-in (%)", True, lambda row: _percent(row.spill_in_fraction)),
        ("kBq", True, lambda row: number_in_words(row.activity_kBq)),
        ("%ID", True, lambda row: number_in_words(row.percent_id)),
        ("%ID/g", True, lambda row: number_in_words(row.percent_id_per_g)),
        ("SUV mean", True, lambda row: number_in_words(row.suv_mean)),
        ("flags", False, lambda row: flags_in_words(row.flag)),
    ]


def _signal_in_words(row: Measurement) -> str:
    return _with_sd(row.signal_total, row.signal_total_sd)


def _percent(part: float | None) -> str:
    # + 0.0: no "-0".
    return "" if part is None else f"{round(100 * part) + 0.0:.0f}"


def balance_tables(results: StudyResults) -> list[dict[str, Any]]:
    """Return one table a modality: what of the injected signal was found on each day, and what is missing."""
    tables = []
    for modality in dict.fromkeys(row.modality for row in results.balance):
        rows = [row for row in results.balance if row.modality == modality]
        lines = [
            [
                row.subject,
                f"{row.day:g}",
                _with_sd(row.injected, row.injected_sd),
                _with_sd(row.found, row.found_sd),
                _with_sd(row.missing, row.missing_sd),
                "" if row.missing_percent is None else f"{row.missing_percent + 0.0:.1f}",
                number_in_words(row.organs),
                number_in_words(row.fiducials),
                number_in_words(row.outside),
                number_in_words(row.total),
            ]
            for row in rows
        ]
        tables.append({"title": f"{modality} ({results.units_of(modality).total})", "rows": lines})
    return tables


def _with_sd(value: float | None, sd: float | None) -> str:
    if value is None:
        return ""
    return three_digits(value) + (f" ± {three_digits(sd)}" if sd else "")


def flags_that_occur(rows: Iterable[Measurement | RetentionRow | DecayRow]) -> list[tuple[str, str]]:
    """Return the flags that occur, with what they say."""
    found = {flag for row in rows for flag in row.flag.split(";") if flag}
    return [(flag.replace("_", " "), FLAG_WORDS.get(flag, "")) for flag in sorted(found)]
