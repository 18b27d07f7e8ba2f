"""What a trial shares of a run: derived tables with codes for subjects, and one line a participant and organ."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_mpi_track.report.provenance import PACKAGE
from napari_mpi_track.report.study_tables import TABLE_FILES
from napari_mpi_track.writers.deidentified_tables import deidentified_table, read_text_table, subjects_in
from napari_mpi_track.writers.identities import Identities

# Alignments hold names of files and the words of a program about one scan: nothing that is derived from many.
_KEPT_BACK = ("alignments.csv",)
_DECAY = {
    "model": "decay_model",
    "rate_per_day": "decay_rate_per_day",
    "half_life_days": "half_life_days",
    "half_life_low_days": "half_life_low_days",
    "half_life_high_days": "half_life_high_days",
    "points": "points",
    "flag": "decay_flag",
}
_LEFT = ("retention_percent", "retention_low", "retention_high")
_WHO = ("subject", "group", "modality", "organ")
Row = Mapping[str, str]


def is_results(folder: Path) -> bool:
    """Return whether a folder is what a run wrote."""
    try:
        document = json.loads((folder / "provenance.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("package") == PACKAGE


def shared_tables(folder: Path, identities: Identities) -> dict[str, str]:
    """Return the derived tables of a run by file name, with codes in place of subjects: no names, dates or paths.

    Beside them ``participants.csv``: per participant, modality and organ the signal retention on every day, in percent
    of the reference, and the rate of decay with its half-life.

    Raises
    ------
    TableError
        If a table of the run cannot be read.
    """
    wanted = [name for name in TABLE_FILES if name.endswith(".csv") and name not in _KEPT_BACK]
    tables = {name: read_text_table(folder / name) for name in wanted if (folder / name).is_file()}
    # All names first: one may stand in a table of the others.
    for table in tables.values():
        for subject in subjects_in(table):
            identities.code_of(subject)
    shared = {name: deidentified_table(table, identities) for name, table in tables.items()}
    shared["participants.csv"] = participants_table(_rows(shared, "retention.csv"), _rows(shared, "decay.csv"))
    return shared


def _rows(shared: Mapping[str, str], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(shared.get(name, ""))))


def participants_table(retention: Sequence[Row], decay: Sequence[Row]) -> str:
    """Return one line a participant, modality and organ, as CSV: retention day by day, then the decay fitted to it.

    Parameters
    ----------
    retention, decay
        Rows of retention.csv and decay.csv as text; rows of groups are left out.
    """
    fits = {_who(row): row for row in decay if row["subject"]}
    days = sorted({row["day"] for row in retention}, key=float)
    names = [f"{what}_day_{day}" for day in days for what in _LEFT]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["participant", *_WHO[1:], "reference", *names, *_DECAY.values()])
    for who in dict.fromkeys([*map(_who, retention), *fits]):
        mine = {row["day"]: row for row in retention if _who(row) == who}
        reference = next((row["reference"] for row in mine.values()), "")
        left = [mine.get(day, {}).get(what, "") for day in days for what in _LEFT]
        fit = fits.get(who, {})
        writer.writerow([*who, reference, *left, *(fit.get(name, "") for name in _DECAY)])
    return text.getvalue()


def _who(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in _WHO)
