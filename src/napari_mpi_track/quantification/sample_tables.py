"""Tables of calibration samples with what was measured of each: read as samples of a dilution."""

import csv
from math import isfinite
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.quantification.dilution import DilutionSample

_AMOUNTS = ("iron_ng", "volume_ul")
_MEASURES = ("maximum", "total")


def read_table(path: str | Path, needed: tuple[str, ...] = ()) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a CSV table by column name, each with its row number as a spreadsheet counts.

    Raises
    ------
    TableError
        A file that is not such a table, that holds no rows, or that lacks a needed column.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [(n, row) for n, row in enumerate(csv.reader(stream), start=1) if any(map(str.strip, row))]
    except OSError as error:
        raise TableError(
            f"the table cannot be read: {error.strerror or error}", file=path, remedy="check the path"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(
            f"the table is not CSV in UTF-8: {error}", file=path, remedy="save it as CSV in UTF-8"
        ) from None
    if len(lines) < 2:
        raise TableError("the table holds no rows", file=path, remedy="a header and one row a sample are needed")
    header = [name.strip() for name in lines[0][1]]
    missing = [name for name in needed if name not in header]
    if missing:
        raise TableError(
            f"the table has no column {', '.join(missing)}, it has {', '.join(header)}",
            file=path,
            remedy="name its columns so, separated by commas",
        )
    return [(n, dict(zip(header, map(str.strip, row), strict=False))) for n, row in lines[1:]]


def number_in(row: dict[str, str], column: str, *, number: int, path: str | Path) -> float | None:
    """Return the number in a cell of a row, ``None`` where it is empty or not there.

    Raises
    ------
    TableError
        For anything else than a finite number.
    """
    text = row.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise TableError(
            f"row {number}, column {column!r} must be a number, got {text!r}",
            file=path,
            remedy="correct or empty the cell",
        )
    return value


def read_dilution_samples(path: str | Path, *, fwhm_column: str = "fwhm_mm") -> list[DilutionSample]:
    """Return the samples of a table with the columns iron_ng and volume_ul, and any of maximum, total and fwhm_mm.

    That is what ``mpi-track measure-tubes`` writes; ``fwhm_column`` may be the width along one axis (fwhm_row_mm).

    Raises
    ------
    TableError
        A column that is not there, or a cell that is not a number.
    """
    rows = read_table(path, _AMOUNTS)
    measures = (*_MEASURES, fwhm_column)
    if not set(measures) & set(rows[0][1]):
        raise TableError(
            f"the table has none of the columns {', '.join(measures[:2])} and {fwhm_column}",
            file=path,
            remedy="make it with mpi-track measure-tubes, or name its columns so",
        )
    samples = []
    for number, row in rows:
        amounts = [number_in(row, name, number=number, path=path) for name in _AMOUNTS]
        if amounts[0] is None or amounts[1] is None:
            raise TableError(
                f"row {number} has no iron_ng or no volume_ul", file=path, remedy="fill it in, or remove the row"
            )
        values = [number_in(row, name, number=number, path=path) for name in measures]
        samples.append(DilutionSample(amounts[0], amounts[1], *values))
    return samples
