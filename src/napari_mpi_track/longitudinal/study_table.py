"""A study from a spreadsheet of its timepoints: one row a subject and day."""

import csv
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.study_text import (
    Key,
    ProposedDay,
    ProposedStudy,
    ProposedSubject,
    mapping,
    scalar,
    study_text,
)
from napari_mpi_track.quantification.decimal_marks import to_number
from napari_mpi_track.readers.tables import text_of

# Column -> key of the subject, of its injection, of its radiotracer, of its timepoint.
_SUBJECT = {"group": "group", "control": "control", "weight_g": "weight_g"}
_INJECTION = {
    "injection_time": "time",
    "injected_cells": "cells",
    "injected_signal": "signal",
    "residue_signal": "residue_signal",
    "injected_iron_ug": "iron_ug",
}
_RADIOTRACER = {
    "isotope": "isotope",
    "activity_kbq": "activity_kBq",
    "residual_kbq": "residual_kBq",
    "assayed_at": "assayed_at",
    "activity_per_million_cells_kbq": "activity_per_million_cells_kBq",
}
_DAY = (
    "day", "time", "baseline", "mpi", "signal", "signal_sd", "anatomy", "organs", "pet", "spect", "decay_corrected_to",
    "alignment", "pet_alignment", "vial",
)  # fmt: skip
_FIDUCIALS = {"mpi_fiducials": "mpi", "anatomy_fiducials": "anatomy"}
_NUMBERS = (
    "weight_g", "day", "signal", "signal_sd", "vial", "injected_cells", "injected_signal", "residue_signal",
    "injected_iron_ug", "activity_kbq", "residual_kbq", "activity_per_million_cells_kbq",
)  # fmt: skip
_CLAIMS = ("control", "baseline")
_TIMES = ("time", "injection_time", "assayed_at")
_KNOWN = ("subject", *_SUBJECT, *_INJECTION, *_RADIOTRACER, *_DAY, *_FIDUCIALS)
_YES, _NO = ("true", "yes", "y", "1", "x"), ("false", "no", "n", "0", "")


def import_study(table: str | Path) -> str:
    """Return the text of a study.yaml for a CSV of timepoints; paths in it are relative to the table's folder.

    Columns: ``subject`` and ``day`` or ``time``; of the scans mpi, anatomy, organs, pet, spect, mpi_fiducials,
    anatomy_fiducials; ``signal`` of a measurement without an image; of the subject group, control, weight_g,
    injection_time, injected_cells, injected_signal (in the unit of organ totals), residue_signal, injected_iron_ug,
    isotope, activity_kBq, residual_kBq, assayed_at, activity_per_million_cells_kBq, which may stand in one row of the
    subject only. Commas, semicolons or tabs part the columns.

    Raises
    ------
    TableError
        If a column is not known, or rows are at fault: all of them are listed, each with its line.
    """
    path = Path(table)
    rows = _rows(path)
    faults: list[str] = []
    subjects: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in rows:
        if not row.get("subject"):
            faults.append(f"line {line}: 'subject' is empty")
            continue
        faults += [f"line {line}: {fault}" for fault in _row_faults(row)]
        subjects.setdefault(row["subject"], []).append((line, row))
    proposed = [_subject(name, members, faults) for name, members in subjects.items()]
    if faults:
        what = faults[0] if len(faults) == 1 else f"{len(faults)} faults: " + "; ".join(faults)
        raise TableError(what, file=path, remedy="mend the table and import it again")
    unknown = ("the tracer, the calibration and the point spread (tracer, calibration, psf)",)
    study = ProposedStudy((Key("name", scalar(path.stem)),), tuple(proposed), unknown)
    return study_text(study, f"the table '{path.name}'")


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    text = text_of(path)
    head = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    header = [name.strip().lower() for name in next(reader, [])]
    if "subject" not in header or not {"day", "time"} & set(header):
        raise TableError(
            f"a table of timepoints needs the columns 'subject' and 'day' or 'time', it has {', '.join(header)}",
            file=path,
            remedy="name the columns as mpi-track init --help lists them",
        )
    strange = [name for name in header if name and name not in _KNOWN]
    if strange:
        near = [get_close_matches(name, _KNOWN, 1) for name in strange]
        told = [f"'{n}'" + (f" (did you mean '{m[0]}'?)" if m else "") for n, m in zip(strange, near, strict=True)]
        raise TableError(
            f"unknown columns: {', '.join(told)}",
            file=path,
            remedy=f"rename or remove them; known are {', '.join(_KNOWN)}",
        )
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if doubled:
        raise TableError(f"columns are there twice: {', '.join(doubled)}", file=path, remedy="keep one of each")
    rows = []
    for cells in reader:
        if any(cell.strip() for cell in cells):
            filled = [cell.strip() for cell in cells] + [""] * len(header)
            rows.append((reader.line_num, dict(zip(header, filled, strict=False))))
    if not rows:
        raise TableError("the table holds no rows", file=path, remedy="add one row a subject and day")
    return rows


def _row_faults(row: Mapping[str, str]) -> list[str]:
    faults = []
    for name in _NUMBERS:
        if row.get(name) and to_number(row[name]) is None:
            faults.append(f"'{name}' needs a number, got '{row[name]}'")
    for name in _CLAIMS:
        if row.get(name, "").lower() not in (*_YES, *_NO):
            faults.append(f"'{name}' is true or false, got '{row[name]}'")
    if not row.get("day") and not row.get("time"):
        faults.append("a day or a time is needed")
    return faults


def _value(name: str, text: str) -> str:
    if name in _NUMBERS:
        return scalar(to_number(text) or 0.0)
    if name in _CLAIMS:
        return scalar(text.lower() in _YES)
    # A time is read as one only without quotes; a space in it is YAML's as well as ISO 8601's.
    return text if name in _TIMES else scalar(text)


def _subject(name: str, rows: list[tuple[int, dict[str, str]]], faults: list[str]) -> ProposedSubject:
    stated: dict[str, str] = {}
    for line, row in rows:
        for column in (*_SUBJECT, *_INJECTION, *_RADIOTRACER):
            text = row.get(column, "")
            if text and stated.setdefault(column, text) != text:
                faults.append(f"line {line}: '{column}' of {name} is {text} here and {stated[column]} further up")
    keys = [Key("id", scalar(name))]
    keys += [Key(key, _value(column, stated[column])) for column, key in _SUBJECT.items() if column in stated]
    for block, columns in (("injection", _INJECTION), ("radiotracer", _RADIOTRACER)):
        said = [f"{key}: {_value(column, stated[column])}" for column, key in columns.items() if column in stated]
        if said:
            keys.append(Key(block, "{" + ", ".join(said) + "}"))
    unknown = () if _INJECTION.keys() & stated.keys() else ("the injection (injection_time, injected_cells ...)",)
    return ProposedSubject(tuple(keys), tuple(_day(row) for _, row in rows), unknown)


def _day(row: Mapping[str, str]) -> ProposedDay:
    keys = [Key(column, _value(column, row[column])) for column in _DAY if row.get(column)]
    points = {key: row[column] for column, key in _FIDUCIALS.items() if row.get(column)}
    if points:
        keys.append(Key("fiducials", mapping(dict(points))))
    return ProposedDay(tuple(keys))
