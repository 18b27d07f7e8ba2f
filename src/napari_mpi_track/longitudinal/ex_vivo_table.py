"""A table of organs taken out: counted in a gamma counter, or dissolved and their iron measured by ICP."""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.quantification.decimal_marks import to_number
from napari_mpi_track.readers.tables import require_columns, text_of

GAMMA, ICP = "gamma", "ICP"
_NUMBERS = (
    "weight_g", "activity_kbq", "activity_sd_kbq", "iron_ng", "iron_sd_ng", "tissue_iron_ng", "percent_id",
    "percent_id_per_g", "cells",
)  # fmt: skip
_AMOUNTS = {"activity_kbq": GAMMA, "iron_ng": ICP, "percent_id": GAMMA, "percent_id_per_g": GAMMA, "cells": None}
_KNOWN = ("organ", "method", "counted_at", *_NUMBERS)


@dataclass(frozen=True, slots=True)
class ExVivoOrgan:
    """One organ as it was counted or dissolved; ``None`` where the table does not say.

    ``activity_kBq`` is at ``counted_at``; ``tissue_iron_ng`` the iron that such an organ has without any tracer, still
    within ``iron_ng``.
    """

    organ: str
    method: str
    weight_g: float | None = None
    activity_kBq: float | None = None  # noqa: N815 - the unit's own spelling
    activity_sd_kBq: float | None = None  # noqa: N815
    counted_at: datetime | None = None
    iron_ng: float | None = None
    iron_sd_ng: float | None = None
    tissue_iron_ng: float | None = None
    percent_id: float | None = None
    percent_id_per_g: float | None = None
    cells: float | None = None


def read_ex_vivo(path: Path) -> list[ExVivoOrgan]:
    """Return the organs of a table with the column ``organ`` and any of those of :class:`ExVivoOrgan`, plus ``method``.

    ``method`` is gamma or ICP, and told by the columns where it is left out. Commas, semicolons or tabs part columns.

    Raises
    ------
    TableError
        If the table cannot be read, or rows are at fault: all of them are listed, each with its line.
    """
    lines = text_of(path).splitlines()
    delimiter = max(",;\t", key=lines[0].count)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    header = [name.strip().lower() for name in next(reader)]
    require_columns(header, ("organ",), path)
    strange = [name for name in header if name and name not in _KNOWN]
    if strange:
        raise TableError(f"unknown columns: {', '.join(strange)}", file=path, remedy=f"known are {', '.join(_KNOWN)}")
    organs: list[ExVivoOrgan] = []
    faults: list[str] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, [cell.strip() for cell in cells] + [""] * len(header), strict=False))
        wrong = _faults(row)
        if (row["organ"], _method(row)) in {(known.organ, known.method) for known in organs}:
            wrong.append(f"{row['organ']} is there twice")
        faults += [f"line {reader.line_num}: {fault}" for fault in wrong]
        if not wrong:
            organs.append(_organ(row))
    if faults or not organs:
        what = "the table holds no organ" if not faults else "; ".join(faults)
        raise TableError(what, file=path, remedy="mend the table: one row an organ, with activity_kBq or iron_ng ...")
    return organs


def _faults(row: dict[str, str]) -> list[str]:
    faults = [] if row["organ"] else ["'organ' is empty"]
    for name in _NUMBERS:
        if row.get(name) and (number := to_number(row[name])) is None:
            faults.append(f"'{name}' needs a number, got '{row[name]}'")
        elif row.get(name) and (number is None or number < 0 or (name == "weight_g" and number == 0)):
            faults.append(f"'{name}' must not be negative, got '{row[name]}'")
    if row.get("counted_at"):
        try:
            datetime.fromisoformat(row["counted_at"])
        except ValueError:
            faults.append(f"'counted_at' is a date and time (2026-03-08T16:00:00), got '{row['counted_at']}'")
    if not any(row.get(name) for name in _AMOUNTS):
        faults.append(f"one of {', '.join(_AMOUNTS)} is needed")
    elif _method(row) not in (GAMMA, ICP):
        faults.append(f"'method' is {GAMMA} or {ICP}, got '{row.get('method', '')}'")
    return faults


def _method(row: dict[str, str]) -> str | None:
    said = {GAMMA: GAMMA, "icp": ICP, "icp-ms": ICP, "icp-oes": ICP}
    if row.get("method"):
        return said.get(row["method"].lower())
    return next((method for name, method in _AMOUNTS.items() if row.get(name)), None)


def _organ(row: dict[str, str]) -> ExVivoOrgan:
    numbers = {name: to_number(row[name]) if row.get(name) else None for name in _NUMBERS}
    method = _method(row)
    assert method is not None
    return ExVivoOrgan(
        row["organ"],
        method,
        numbers["weight_g"],
        numbers["activity_kbq"],
        numbers["activity_sd_kbq"],
        datetime.fromisoformat(row["counted_at"]) if row.get("counted_at") else None,
        numbers["iron_ng"],
        numbers["iron_sd_ng"],
        numbers["tissue_iron_ng"],
        numbers["percent_id"],
        numbers["percent_id_per_g"],
        numbers["cells"],
    )
