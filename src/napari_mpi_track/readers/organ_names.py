"""What label values mean: names and colours from a table beside the labels.

Three kinds, told apart by their content: our CSV ``label,name[,color]``; ITK-SNAP's label descriptions (seven numbers
and a quoted name a line); a colour table of 3D Slicer or FreeSurfer (number, name, red, green, blue, alpha).
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.imaging.labels import Colour
from napari_mpi_track.readers.tables import require_columns, text_of

# ITK-SNAP: IDX R G B A VIS MSH "LABEL", with A between 0 and 1 and colours up to 255.
_ITK_SNAP = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+[01]\s+[01]\s+"(.*)"\s*')
_COLOUR_TABLE = re.compile(r"\s*(\d+)\s+(\S.*?)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*")
_NO_ORGAN = 0


@dataclass(frozen=True, slots=True)
class OrganNames:
    """What label values mean: names, and RGB colours in 0..1 where stated, by value."""

    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    line: int
    value: int
    name: str
    colour: Colour | None


def read_organ_names(path: str | Path) -> OrganNames:
    """Return names and colours from a table ``label,name[,color]``; a colour is ``#rrggbb`` or ``r g b`` in 0..1.

    Label descriptions of ITK-SNAP and colour tables of 3D Slicer and FreeSurfer are read as well.

    Raises
    ------
    TableError
        If a column is missing, a label is no positive whole number or comes twice, or two organs share a name.
    """
    path = Path(path)
    text = text_of(path)
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip() and line.strip()[0] != "#"]
    for pattern, entry_of in ((_ITK_SNAP, _itk_snap_entry), (_COLOUR_TABLE, _colour_table_entry)):
        if lines and pattern.fullmatch(lines[0][1]):
            return _checked((entry_of(_matched(pattern, line, path, n), path, n) for n, line in lines), path)
    return _checked(_csv_entries(text, path), path)


def _checked(entries: Iterable[_Entry], path: Path) -> OrganNames:
    """Return what the entries say, once it is sure that every label and every name comes once."""
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    for entry in entries:
        if entry.value == _NO_ORGAN:
            continue
        if entry.value in names:
            raise TableError(
                f"label {entry.value} comes twice (line {entry.line})", file=path, remedy="keep one of them"
            )
        if not entry.name:
            raise TableError(
                f"label {entry.value} has no name (line {entry.line})",
                file=path,
                remedy="name the organ or remove the line",
            )
        if entry.name in names.values():
            raise TableError(
                f"two labels are called '{entry.name}' (line {entry.line})",
                file=path,
                remedy="give each its own name, such as 'left lung' and 'right lung'",
            )
        names[entry.value] = entry.name
        if entry.colour is not None:
            colours[entry.value] = entry.colour
    return OrganNames(names, colours)


def _matched(pattern: re.Pattern[str], text: str, path: Path, line: int) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise TableError(
            f"line {line} is not like those before it: '{text.strip()[:60]}'",
            file=path,
            remedy="save the table again from the program that made it",
        )
    return match


def _itk_snap_entry(match: re.Match[str], path: Path, line: int) -> _Entry:
    value, red, green, blue, name = match.groups()
    return _Entry(line, int(value), name.strip(), _bytes_colour((red, green, blue), path, line))


def _colour_table_entry(match: re.Match[str], path: Path, line: int) -> _Entry:
    value, name, red, green, blue, _ = match.groups()
    return _Entry(line, int(value), name.strip('"'), _bytes_colour((red, green, blue), path, line))


def _bytes_colour(parts: tuple[str, str, str], path: Path, line: int) -> Colour:
    red, green, blue = (int(part) / 255 for part in parts)
    if max(red, green, blue) > 1:
        raise TableError(
            f"a colour's parts must lie in 0..255, got {' '.join(parts)} (line {line})",
            file=path,
            remedy="correct the colour",
        )
    return red, green, blue


def _csv_entries(text: str, path: Path) -> Iterable[_Entry]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    require_columns([(name or "").strip().lower() for name in reader.fieldnames or ()], ("label", "name"), path)
    for row in reader:
        cells = {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key}
        if not any(cells.values()):
            continue
        said = cells.get("color") or cells.get("colour")
        colour = _colour(said, path, reader.line_num) if said else None
        yield _Entry(reader.line_num, _label(cells["label"], path, reader.line_num), cells["name"], colour)


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
