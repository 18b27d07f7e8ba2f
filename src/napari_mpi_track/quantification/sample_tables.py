"""Tables of calibration samples with a header, as commands and studies read them: separators and decimal marks of any
country, the same numbers as the panel *Calibrate* takes from them."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.quantification.decimal_marks import DecimalMark, as_python, is_either
from napari_mpi_track.quantification.dilution import DilutionSample
from napari_mpi_track.quantification.pasted_table import read_named_table_file

_AMOUNTS = ("iron_ng", "volume_ul")
_MEASURES = ("maximum", "total")


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row of a table.

    Attributes
    ----------
    number
        As a spreadsheet counts.
    cells
        By the name of the column.
    decimal_mark
        ``None`` where the table does not show it.
    file
        Of the table.
    """

    number: int
    cells: dict[str, str]
    decimal_mark: DecimalMark | None
    file: Path

    def text(self, column: str) -> str:
        """Return the text in a cell, empty where there is none."""
        return self.cells.get(column, "")

    def number_in(self, column: str) -> float | None:
        """Return the number in a cell, ``None`` where it is empty or not there.

        Raises
        ------
        TableError
            For anything else than a finite number, and for one that may be read in two ways.
        """
        text = self.text(column)
        if not text:
            return None
        where = f"row {self.number}, column {column!r}"
        if self.decimal_mark is None and is_either(text):
            readings = " or ".join(f"{float(as_python(text, mark)):g}" for mark in (".", ","))
            raise TableError(
                f"{where} holds {text!r}, which may be {readings}: no other number shows the table's decimal mark",
                file=self.file,
                remedy="write it without marks between thousands, and with one decimal more or less",
            )
        try:
            value = float(as_python(text, self.decimal_mark or "."))
        except ValueError:
            raise TableError(
                f"{where} must be a number, got {text!r}", file=self.file, remedy="correct or empty the cell"
            ) from None
        if not isfinite(value):
            raise TableError(
                f"{where} must be a finite number, got {text!r}", file=self.file, remedy="correct or empty the cell"
            )
        return value


@dataclass(frozen=True, slots=True)
class SampleTable:
    """Names of the columns, and the rows below them."""

    header: tuple[str, ...]
    rows: tuple[SampleRow, ...]


def read_table(path: str | Path, needed: tuple[str, ...] = ()) -> SampleTable:
    """Return a table with a header: commas, semicolons or tabs between columns, decimal points or commas.

    Raises
    ------
    TableError
        A file that is not such a table, that holds no rows, or that lacks a needed column or has it twice.
    """
    path = Path(path)
    table = read_named_table_file(path)
    if not table.rows:
        what = "the table has a header and no samples" if table.header else "the table is empty"
        raise TableError(what, file=path, remedy="a header and one row a sample are needed")
    missing = [name for name in needed if name not in table.header]
    if missing:
        raise TableError(
            f"the table has no column {', '.join(map(repr, missing))}, it has {', '.join(table.header)}",
            file=path,
            remedy="name one of these, or its columns so",
        )
    for name in needed:
        if table.header.count(name) > 1:
            raise TableError(
                f"the table has {table.header.count(name)} columns {name!r}", file=path, remedy="rename one"
            )
    mark = None if table.is_mark_guessed else table.decimal_mark
    rows = (
        SampleRow(number, dict(zip(table.header, cells, strict=False)), mark, path)
        for number, cells in zip(table.row_numbers, table.rows, strict=True)
    )
    return SampleTable(table.header, tuple(rows))


def read_dilution_samples(path: str | Path, *, fwhm_column: str = "fwhm_mm") -> list[DilutionSample]:
    """Return the samples of a table with the columns iron_ng and volume_ul, and any of maximum, total and fwhm_mm.

    That is what ``mpi-track measure-tubes`` writes; ``fwhm_column`` may be the width along one axis (fwhm_row_mm).

    Raises
    ------
    TableError
        A column that is not there, or a cell that is not a number.
    """
    table = read_table(path, _AMOUNTS)
    measures = (*_MEASURES, fwhm_column)
    if not set(measures) & set(table.header):
        raise TableError(
            f"the table has none of the columns {', '.join(measures[:2])} and {fwhm_column}",
            file=path,
            remedy="make it with mpi-track measure-tubes, or name its columns so",
        )
    samples = []
    for row in table.rows:
        amounts = [row.number_in(name) for name in _AMOUNTS]
        if amounts[0] is None or amounts[1] is None:
            raise TableError(
                f"row {row.number} has no iron_ng or no volume_ul", file=path, remedy="fill it in, or remove the row"
            )
        values = [row.number_in(name) for name in measures]
        samples.append(DilutionSample(amounts[0], amounts[1], *values))
    return samples
