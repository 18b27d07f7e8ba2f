"""Tables without identity: codes for subjects, moved dates, no names of people, no paths."""

import csv
import io
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.writers.identities import Identities

_SUBJECTS = (
    "subject",
    "subject_id",
    "animal",
    "animal_id",
    "patient",
    "patient_id",
    "participant",
    "participant_id",
    "mouse",
    "id",
)
# Columns of people and of free text: nobody can tell what stands there.
_PEOPLE = re.compile(
    r"(^|_)(\w+_name|surname|operator|reader|by|owner|person|investigator|physician|birth\w*|address|phone|email|comments?|notes?|"
    r"remarks?|file|path|folder|hospital|institution)($|_)"
)
_WHEN = re.compile(r"(^|_)(date|time|at|datetime|timestamp)($|_)")
_DAY_NUMBER = re.compile(r"(19|20)\d{6}")
# Dates within a text: ISO ones, with a time or without, and those of days, months and years between dots or slashes.
_ISO = re.compile(r"(?<![\d-])\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?([.]\d+)?(Z|[+-]\d{2}:?\d{2})?)?(?![\d-])")
_WRITTEN = re.compile(r"(?<![\d./])\d{1,2}[./]\d{1,2}[./](\d{4}|\d{2})(?![\d./])")


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table as text: its columns, its rows, and the sign between cells."""

    columns: list[str]
    rows: list[list[str]]
    separator: str


def read_text_table(path: Path) -> TextTable:
    """Return a table of text; ``TableError`` if it is none with a first line of names."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise TableError("the table is not text in UTF-8", file=path, remedy="save it as CSV in UTF-8") from fault
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    lines = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(cell.strip() for cell in row)]
    if not lines or any(len(row) != len(lines[0]) for row in lines):
        raise TableError("the rows of this table have different lengths", file=path, remedy="leave it out, or mend it")
    return TextTable([name.strip() for name in lines[0]], lines[1:], separator)


def subjects_in(table: TextTable) -> list[str]:
    """Return the subjects that a table names, in its order."""
    at = _subject_column(table)
    return [] if at is None else list(dict.fromkeys(row[at].strip() for row in table.rows if row[at].strip()))


def deidentified_table(table: TextTable, identities: Identities) -> str:
    """Return a table as text without identity.

    Subjects become codes, wherever their names stand; dates are moved as all of their subject's, or emptied in a table
    without subjects; columns of people, paths and free text are emptied. Numbers stay as they are.
    """
    subject_at = _subject_column(table)
    known = [name for name in identities.codes if re.search("[A-Za-z]", name)]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=table.separator, lineterminator="\n")
    writer.writerow([hidden_in(name, known, identities) for name in table.columns])
    for row in table.rows:
        subject = "" if subject_at is None else row[subject_at].strip()
        cells = []
        for at, cell in enumerate(row):
            if at == subject_at:
                cells.append(identities.code_of(subject) if subject else "")
            else:
                cells.append(_cell(cell, table.columns[at], subject, known, identities))
        writer.writerow(cells)
    return out.getvalue()


def hidden_in(text: str, known: list[str], identities: Identities) -> str:
    """Return text with the names of known subjects replaced by their codes, the longest first."""
    for name in sorted(known, key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", identities.codes[name], text)
    return text


def _subject_column(table: TextTable) -> int | None:
    lowered = [name.lower() for name in table.columns]
    return next((lowered.index(name) for name in _SUBJECTS if name in lowered), None)


def _cell(cell: str, column: str, subject: str, known: list[str], identities: Identities) -> str:
    lowered = column.lower().replace(" ", "_")
    # A bare name is a person's beside a subject, an organ's in a table of organs.
    if _PEOPLE.search(lowered) or (lowered == "name" and subject):
        return ""
    is_when = _WHEN.search(lowered) is not None
    if _is_number(cell) and not (is_when and _DAY_NUMBER.fullmatch(cell.strip())):
        return cell
    if is_when:
        return _moved(cell, subject, identities)
    text = _ISO.sub(lambda found: _moved(found[0], subject, identities), cell)
    return hidden_in(_WRITTEN.sub("", text), known, identities)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _moved(cell: str, subject: str, identities: Identities) -> str:
    """Return an ISO date or time moved by its subject's days; empty for any other way of writing, or no subject."""
    try:
        when = datetime.fromisoformat(cell.strip())
    except ValueError:
        return ""
    if not subject:
        return ""
    moved = identities.shifted(when, subject)
    is_date = len(cell.strip()) <= 10
    return moved.date().isoformat() if is_date else moved.isoformat()
