"""Organ labels and their names from files.

A file is labels when its format says so (``.seg.nrrd``, NIfTI intent 1002) or the caller does, never by guess; whoever
calls :func:`read_organs` says so, and integer values are all that is asked.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MpiTrackError, TableError, UnreadableScanError
from napari_mpi_track.imaging.frozen import frozen
from napari_mpi_track.imaging.label_extension import names_in
from napari_mpi_track.imaging.labels import Colour, OrganLabels
from napari_mpi_track.readers.formats import format_of
from napari_mpi_track.readers.nifti import LABEL_INTENT, extensions_of, intent_of
from napari_mpi_track.readers.scans import read_scans
from napari_mpi_track.readers.tables import require_columns, text_of
from napari_mpi_track.readers.text_header import TextHeader, read_text_header


@dataclass(frozen=True, slots=True)
class OrganNames:
    """What label values mean: names, and RGB colours in 0..1 where stated, by value."""

    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)


def holds_labels(path: str | Path) -> bool:
    """Return whether a file's format says that its voxels are labels; false for what cannot be opened."""
    path = Path(path)
    try:
        known = format_of(path) if path.is_file() else None
        if known is not None and known.name == "NIfTI":
            return intent_of(path) == LABEL_INTENT
        return known is not None and known.name == "NRRD" and bool(_segments(read_text_header(path)))
    except MpiTrackError:
        return False


def read_organs(path: str | Path, names: Mapping[int, str] | None = None) -> OrganLabels:
    """Return a file's voxels as organ labels, in the smallest integer type that holds them.

    Names and colours travel with 3D Slicer's ``.seg.nrrd`` and with our own NIfTI files; ``names`` (by label value)
    goes before them. An organ without a name is called by its number.

    Raises
    ------
    UnreadableScanError
        If values are not whole numbers from 0, or the file holds several volumes or overlapping segments.
    """
    path = Path(path)
    header = _nrrd_header(path)
    segments = _segments(header) if header is not None else []
    if len({segment["Layer"] for segment in segments}) > 1:
        raise UnreadableScanError(
            f"the {len(segments)} segments of this file overlap (they lie in several layers), one layer was needed",
            file=path,
            remedy="in 3D Slicer, export them as a labelmap, or collapse the layers",
        )
    volumes = read_scans(path)
    if len(volumes) > 1:
        raise UnreadableScanError(f"one volume of labels was needed, the file holds {len(volumes)}", file=path)
    voxels = _whole_numbers(volumes[0].voxels, path)
    stated = _names_of_segments(segments) if segments else _names_in_nifti(path, volumes[0].file_format)
    said = {int(value): name for value, name in {**stated.names, **(names or {})}.items()}
    try:
        return OrganLabels(voxels, volumes[0].grid, said, stated.colours, str(path))
    except MpiTrackError as fault:
        raise UnreadableScanError(fault.what, file=path, remedy=fault.remedy) from fault


def _whole_numbers(voxels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return voxels as unsigned integers of the fewest bytes."""
    if voxels.dtype.kind == "f" and (not np.all(np.isfinite(voxels)) or np.any(voxels != np.rint(voxels))):
        raise UnreadableScanError(
            "labels must be whole numbers, the file holds fractions", file=path, remedy="give a file of labels"
        )
    low, high = (float(voxels.min()), float(voxels.max())) if voxels.size else (0.0, 0.0)
    if low < 0 or high > 0xFFFFFFFF:
        raise UnreadableScanError(f"labels must lie from 0 to {0xFFFFFFFF}, got {low:g} to {high:g}", file=path)
    dtype = np.uint8 if high <= 0xFF else np.uint16 if high <= 0xFFFF else np.uint32
    return voxels if voxels.dtype == dtype else frozen(voxels.astype(dtype))


def _nrrd_header(path: Path) -> TextHeader | None:
    if not path.is_file():
        return None
    known = format_of(path)
    return read_text_header(path) if known is not None and known.name == "NRRD" else None


def _segments(header: TextHeader) -> list[dict[str, str]]:
    """Return 3D Slicer's segments: Name, LabelValue, Layer, Color and more, as written."""
    segments: dict[int, dict[str, str]] = {}
    for key, value in header.keys.items():
        match = re.fullmatch(r"Segment(\d+)_(\w+)", key)
        if match:
            segments.setdefault(int(match[1]), {})[match[2]] = value.strip()
    # Before Slicer 4.11 every segment had the layer and the value of its number.
    return [
        {"Layer": "0", "LabelValue": str(number + 1), **segment}
        for number, segment in sorted(segments.items())
        if {"Name", "ID", "LabelValue"} & segment.keys()
    ]


def _names_of_segments(segments: list[dict[str, str]]) -> OrganNames:
    names = {int(segment["LabelValue"]): segment.get("Name") or segment.get("ID", "") for segment in segments}
    colours: dict[int, Colour] = {}
    for segment in segments:
        parts = [float(part) for part in segment.get("Color", "").split()]
        if len(parts) == 3:
            colours[int(segment["LabelValue"])] = (parts[0], parts[1], parts[2])
    return OrganNames({value: name for value, name in names.items() if name}, colours)


def _names_in_nifti(path: Path, file_format: str | None) -> OrganNames:
    if not (file_format or "").startswith("NIfTI"):
        return OrganNames()
    names, colours = names_in(extensions_of(path))
    return OrganNames(names, colours)


def read_organ_names(path: str | Path) -> OrganNames:
    """Return names and colours from a table ``label,name[,color]``; a colour is ``#rrggbb`` or ``r g b`` in 0..1.

    Raises
    ------
    TableError
        If a column is missing, a label is no positive whole number or comes twice, or two organs share a name.
    """
    path = Path(path)
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    for line, row in _rows(path, ("label", "name")):
        value = _label(row["label"], path, line)
        if value in names:
            raise TableError(f"label {value} comes twice (line {line})", file=path, remedy="keep one of them")
        if not row["name"]:
            raise TableError(
                f"label {value} has no name (line {line})", file=path, remedy="name the organ or remove the line"
            )
        if row["name"] in names.values():
            raise TableError(
                f"two labels are called '{row['name']}' (line {line})",
                file=path,
                remedy="give each its own name, such as 'left lung' and 'right lung'",
            )
        names[value] = row["name"]
        said = row.get("color") or row.get("colour")
        if said:
            colours[value] = _colour(said, path, line)
    return OrganNames(names, colours)


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(text_of(path).splitlines(), skipinitialspace=True)
    require_columns([(name or "").strip().lower() for name in reader.fieldnames or ()], columns, path)
    rows = []
    for row in reader:
        cells = {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key}
        if any(cells.values()):
            rows.append((reader.line_num, cells))
    return rows


def _label(said: str, path: Path, line: int) -> int:
    if not said.isdecimal() or int(said) == 0:
        came = f"'{said}'" if said else "nothing"
        raise TableError(
            f"a label must be a whole number from 1, got {came} (line {line})",
            file=path,
            remedy="give the value that the organ's voxels have; the background (0) needs no name",
        )
    return int(said)


def _colour(said: str, path: Path, line: int) -> Colour:
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", said)
    if match:
        red, green, blue = (int(part, 16) / 255 for part in match.groups())
        return red, green, blue
    try:
        parts = [float(part) for part in said.split()]
    except ValueError:
        parts = []
    if len(parts) != 3 or not all(0 <= part <= 1 for part in parts):
        raise TableError(
            f"a colour must be #rrggbb or three numbers in 0..1, got '{said}' (line {line})",
            file=path,
            remedy="correct the colour or leave it out",
        )
    return parts[0], parts[1], parts[2]
