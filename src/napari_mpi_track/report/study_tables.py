"""Which tables a study is written into: each as CSV, and beside it the same rows as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_mpi_track.longitudinal.measurement import (
    AgreementRow,
    AlignmentRow,
    ArmRow,
    BalanceRow,
    BudgetRow,
    DecayRow,
    DivisionRow,
    DynamicRow,
    DynamicSummaryRow,
    Measurement,
    OrganRuleRow,
    RetentionRow,
    ScoreRow,
    SpillRow,
)
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.tables import table_json, write_table

# A table's name, the class of its rows, and where they stand in the results.
_TABLES: tuple[tuple[str, type, str], ...] = (
    ("measurements", Measurement, "measurements"),
    ("retention", RetentionRow, "retention"),
    ("decay", DecayRow, "decay"),
    ("budget", BudgetRow, "budget"),
    ("spill_over", SpillRow, "spill"),
    ("balance", BalanceRow, "balance"),
    ("rules", OrganRuleRow, "rules"),
    ("alignments", AlignmentRow, "alignments"),
    ("agreement", AgreementRow, "agreement"),
    ("arms", ArmRow, "arms"),
    ("scores", ScoreRow, "scores"),
    ("divisions", DivisionRow, "divisions"),
    ("dynamic", DynamicRow, "dynamic"),
    ("dynamic_summary", DynamicSummaryRow, "dynamic_summary"),
)
TABLE_FILES = tuple(f"{name}.{ending}" for name, _, _ in _TABLES for ending in ("csv", "json"))


def study_tables(results: StudyResults) -> list[tuple[str, type, Sequence[Any]]]:
    """Return every table of a study: its name, the class of its rows, and the rows."""
    return [(name, kind, getattr(results, place)) for name, kind, place in _TABLES]


def write_study_tables(results: StudyResults, folder: Path) -> None:
    """Write every table into ``folder``, as CSV and as JSON."""
    for name, kind, rows in study_tables(results):
        write_table(rows, kind, folder / f"{name}.csv", overwrite=True)
        (folder / f"{name}.json").write_bytes(table_json(rows, kind).encode())
