"""Points from files: CSV, 3D Slicer's ``.fcsv`` and ``.mrk.json``; LPS mm."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MpiTrackError, TableError
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.readers.tables import require_columns, text_of

_COLUMNS = ("label", "x_mm", "y_mm", "z_mm")
_FLIP_RAS = np.array([-1.0, -1.0, 1.0])


def read_points(path: str | Path) -> Points:
    """Return named points, LPS mm; those that 3D Slicer wrote as RAS are converted.

    A CSV has the columns ``label,x_mm,y_mm,z_mm`` (LPS). In Slicer's files points without a name are called by their
    number, and points that are not placed are left out.

    Raises
    ------
    TableError
        If a column is missing, a number is none, or two points share a name.
    """
    path = Path(path)
    text = text_of(path)
    try:
        names, positions = _parsed(text, path)
        if not names:
            raise TableError("there are no points in this file", remedy="add one row a point, or place points first")
        return Points(names, np.array(positions, dtype=float))
    except MpiTrackError as fault:
        remedy = fault.remedy or "give every point a name of its own"
        raise TableError(fault.what, file=path, remedy=remedy) from fault


def _parsed(text: str, path: Path) -> tuple[list[str], list[NDArray[np.float64]]]:
    if text.lstrip().startswith("{"):
        return _markups(text)
    if text.startswith("# Markups fiducial file"):
        return _fcsv(text)
    if path.suffix.lower() == ".fcsv":
        raise TableError(
            "a 3D Slicer fiducial file begins with '# Markups fiducial file', this one does not",
            remedy="call a table of points .csv",
        )
    return _table(text)


def _table(text: str) -> tuple[list[str], list[NDArray[np.float64]]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    fields = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    require_columns(fields, _COLUMNS)
    names: list[str] = []
    positions: list[NDArray[np.float64]] = []
    for row in reader:
        cells = {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key}
        if not any(cells.values()):
            continue
        names.append(cells["label"] or str(len(names) + 1))
        positions.append(_position({axis: cells[axis] for axis in _COLUMNS[1:]}, f"row {reader.line_num}"))
    return names, positions


def _position(said: Mapping[str, Any], where: str) -> NDArray[np.float64]:
    """Return a position from what is said by column; ``where`` names the row."""
    coordinates = []
    for column, value in said.items():
        try:
            coordinates.append(float(value))
        except (TypeError, ValueError):
            came = "nothing" if value in (None, "") else f"'{value}'"
            raise TableError(
                f"{where}, column {column} must be a number in mm, got {came}", remedy="correct or remove the row"
            ) from None
    if not np.all(np.isfinite(coordinates)):
        raise TableError(f"{where} must hold finite numbers, got {coordinates}", remedy="correct or remove the row")
    return np.array(coordinates)


def _fcsv(text: str) -> tuple[list[str], list[NDArray[np.float64]]]:
    # Slicer up to 4.10 wrote "0" for RAS and "1" for LPS.
    system = re.search(r"^#\s*CoordinateSystem\s*=\s*(\w+)", text, re.MULTILINE)
    flip = _flip_of(system[1] if system else "RAS")
    columns = re.search(r"^#\s*columns\s*=\s*(.+)$", text, re.MULTILINE)
    order = [name.strip() for name in (columns[1] if columns else "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label").split(",")]
    names: list[str] = []
    positions: list[NDArray[np.float64]] = []
    for line, row in enumerate(csv.reader(text.splitlines()), start=1):
        if not row or row[0].startswith("#"):
            continue
        cells = dict(zip(order, row, strict=False))
        positions.append(_position({axis: cells.get(axis) for axis in "xyz"}, f"row {line}") * flip)
        names.append(cells.get("label") or cells.get("id") or str(len(names) + 1))
    return names, positions


def _markups(text: str) -> tuple[list[str], list[NDArray[np.float64]]]:
    names: list[str] = []
    positions: list[NDArray[np.float64]] = []
    try:
        content = json.loads(text)
        for markup in content["markups"]:
            flip = _flip_of(str(markup.get("coordinateSystem", "LPS")))
            scale = {"mm": 1.0, "m": 1000.0, "cm": 10.0}[markup.get("coordinateUnits", "mm") or "mm"]
            for number, point in enumerate(markup.get("controlPoints", []), start=1):
                if point.get("positionStatus", "defined") != "defined":
                    continue
                x, y, z = point["position"]
                positions.append(_position({"x": x, "y": y, "z": z}, f"point {number}") * flip * scale)
                names.append(str(point.get("label") or number))
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise TableError(
            f"not a 3D Slicer markups file ({type(fault).__name__}: {fault})",
            remedy="save the points again in 3D Slicer",
        ) from fault
    return names, positions


def _flip_of(system: str) -> NDArray[np.float64]:
    if system.upper() in ("LPS", "1"):
        return np.ones(3)
    if system.upper() in ("RAS", "0"):
        return _FLIP_RAS
    raise TableError(
        f"the coordinate system must be LPS or RAS, got '{system}'", remedy="save the points again in 3D Slicer"
    )
