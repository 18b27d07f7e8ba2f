"""Tables as people have them: copied from a spreadsheet, or saved by one; any separator, either decimal mark."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.quantification.decimal_marks import (
    DecimalMark,
    as_python,
    decimal_mark_of,
    is_either,
    is_number,
)

_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True, slots=True)
class PastedTable:
    """A block of cells as text.

    Attributes
    ----------
    header
        Names of the columns; empty where the block has none.
    rows
        Cells by row, all rows equally long, missing cells empty.
    row_numbers
        Of every row, counted as a spreadsheet does.
    decimal_mark
        Of its numbers that may be read with either; what shows its mark itself is read by that.
    is_mark_guessed
        Whether there are such numbers, and no other says how to read them: 1,000 as one or as a thousand.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    row_numbers: tuple[int, ...]
    decimal_mark: DecimalMark
    is_mark_guessed: bool

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.rows[0]) if self.rows else len(self.header)

    def numbers(self) -> tuple[tuple[str, ...], ...]:
        """Return the rows with every number as Python reads it; what is no number stays as it is."""
        return tuple(tuple(as_python(cell, self.decimal_mark) for cell in row) for row in self.rows)


def parse_table(text: str, *, is_one_column: bool = False) -> PastedTable:
    """Return the cells of a text with tabs, semicolons or commas between columns.

    Parameters
    ----------
    text
        With or without a header.
    is_one_column
        Whether a lone comma is rather a decimal mark than the border of two columns.

    Raises
    ------
    TableError
        No numbers in it, or quotation marks that do not close.
    """
    numbers, rows = _rows(text, is_one_column=is_one_column)
    if not rows:
        raise TableError("there is nothing in the table", remedy="copy the cells with the numbers and paste again")
    has_header = _is_header(rows)
    if has_header and len(rows) == 1:
        raise TableError("there are names in the table and no numbers", remedy="take the rows with the numbers too")
    return _table(text, numbers, rows, has_header=has_header)


def parse_named_table(text: str) -> PastedTable:
    """Return the cells of a text whose first row names the columns; no row, or none but that, is an empty table.

    Raises
    ------
    TableError
        Quotation marks that do not close.
    """
    numbers, rows = _rows(text, is_one_column=False)
    return _table(text, numbers, rows, has_header=bool(rows))


def read_table_file(path: str | Path) -> PastedTable:
    """Return the table of a CSV, TSV or text file, as a spreadsheet saves it in any country.

    Raises
    ------
    TableError
        A file that cannot be read, is a spreadsheet's own format, or holds no table.
    """
    return _of_file(Path(path), parse_table)


def read_named_table_file(path: str | Path) -> PastedTable:
    """Return the table of such a file whose first row names the columns, which may hold no other row.

    Raises
    ------
    TableError
        A file that cannot be read, is a spreadsheet's own format, or no text.
    """
    return _of_file(Path(path), parse_named_table)


def _of_file(path: Path, parse: Callable[[str], PastedTable]) -> PastedTable:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(
            f"the table cannot be read: {error.strerror or error}", file=path, remedy="check the path"
        ) from None
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise TableError(
            "this is a spreadsheet's own format, not a text table",
            file=path,
            remedy="save it as CSV, or copy its cells and paste them",
        )
    try:
        return parse(_text(content))
    except TableError as error:
        raise TableError(error.what, file=path, remedy=error.remedy) from None


def _text(content: bytes) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        # What a western spreadsheet writes when it does not write UTF-8; some bytes of it mean nothing there.
        text = content.decode("cp1252", errors="replace")
    if "\0" in text:
        raise TableError("the table is not text", remedy="save it as CSV in UTF-8")
    return text


def _rows(text: str, *, is_one_column: bool) -> tuple[list[int], list[tuple[str, ...]]]:
    """Return the rows that are not empty, equally long, and their numbers."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    try:
        cells = _split(lines, is_one_column=is_one_column)
    except csv.Error as error:
        raise TableError(f"the table cannot be taken apart: {error}", remedy="save or paste it again") from None
    kept = [(number, row) for number, row in enumerate(cells, start=1) if any(map(str.strip, row))]
    width = max((len(row) for _, row in kept), default=0)
    return [n for n, _ in kept], [tuple(c.strip() for c in row) + ("",) * (width - len(row)) for _, row in kept]


def _table(text: str, numbers: Sequence[int], rows: Sequence[tuple[str, ...]], *, has_header: bool) -> PastedTable:
    body = tuple(rows[has_header:])
    cells = [cell for row in body for cell in row if is_number(cell)]
    mark = decimal_mark_of(cells)
    if mark is None and not any("," in cell for cell in cells) and _separator(text.split("\n")) == ",":
        # A comma that parts columns is not their decimal mark as well.
        mark = "."
    is_guessed = mark is None and any(map(is_either, cells))
    return PastedTable(rows[0] if has_header else (), body, tuple(numbers[has_header:]), mark or ".", is_guessed)


def _split(lines: Sequence[str], *, is_one_column: bool) -> list[list[str]]:
    separator = _separator(lines)
    is_numbers = all(line.count(",") <= 1 and is_number(line) for line in lines if line.strip())
    if separator is None or (separator == "," and is_one_column and is_numbers):
        return [re.split(r" {2,}", line.strip()) for line in lines]
    return list(csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True))


def _separator(lines: Sequence[str]) -> str | None:
    """Return what parts the columns: what the first line has of tabs, semicolons and commas, else any line."""
    bare = [_QUOTED.sub("", line) for line in lines if line.strip(" \t;,\ufeff")]
    for part in (bare[:1], bare):
        for separator in "\t;":
            if any(separator in line for line in part):
                return separator
        # A lone decimal comma in the first line is no border where other lines have a semicolon or a tab.
        if any("," in line and not is_number(line) for line in part):
            return ","
    return "," if any("," in line for line in bare) else None


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row has a word where there is a number below, or nothing but words."""
    words = [bool(cell) and not is_number(cell) for cell in rows[0]]
    below = rows[1] if len(rows) > 1 else rows[0]
    return any(word and is_number(cell) for word, cell in zip(words, below, strict=True)) or all(words)
