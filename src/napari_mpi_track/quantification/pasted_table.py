"""Tables as people have them: copied from a spreadsheet, or saved by one; any separator, either decimal mark."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal

from napari_mpi_track.errors import TableError

DecimalMark = Literal[".", ","]

# Spaces that spreadsheets group thousands with: no-break, figure, thin, narrow no-break; and the Swiss apostrophes.
_GROUPING = re.compile("[\u0020\u00a0\u2007\u2009\u202f'\u2019]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?%?")
# One to three digits, then comma and three digits: 1,000 is a thousand or one, by who wrote it.
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[,.]\d{3}")


@dataclass(frozen=True, slots=True)
class PastedTable:
    """A block of cells as text.

    Attributes
    ----------
    header
        Names of the columns; empty where the block has none.
    rows
        Cells by row, all rows equally long, missing cells empty.
    decimal_mark
        Of all numbers in it.
    is_mark_guessed
        Whether its numbers could be read with the other mark too: 1,000 as one instead of a thousand.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    decimal_mark: DecimalMark
    is_mark_guessed: bool

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.rows[0]) if self.rows else len(self.header)

    def numbers(self) -> tuple[tuple[str, ...], ...]:
        """Return the rows with every number as Python reads it; what is no number stays as it is."""
        return tuple(tuple(_normal(cell, self.decimal_mark) for cell in row) for row in self.rows)


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
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip(" \t;,\ufeff")]
    if not lines:
        raise TableError("there is nothing in the table", remedy="copy the cells with the numbers and paste again")
    try:
        cells = _split(lines, is_one_column=is_one_column)
    except csv.Error as error:
        raise TableError(f"the table cannot be taken apart: {error}", remedy="paste it from a spreadsheet") from None
    width = max(map(len, cells))
    rows = [tuple(cell.strip() for cell in row) + ("",) * (width - len(row)) for row in cells]
    header = rows[0] if _is_header(rows) else ()
    body = tuple(rows[1:] if header else rows)
    if not body:
        raise TableError("there are names in the table and no numbers", remedy="take the rows with the numbers too")
    mark, guessed = _decimal_mark([_bare(cell) for row in body for cell in row])
    return PastedTable(header, body, mark, guessed)


def read_table_file(path: str | Path) -> PastedTable:
    """Return the table of a CSV, TSV or text file, as a spreadsheet saves it in any country.

    Raises
    ------
    TableError
        A file that cannot be read, is a spreadsheet's own format, or holds no table.
    """
    path = Path(path)
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
        return parse_table(_text(content))
    except TableError as error:
        raise TableError(error.what, file=path, remedy=error.remedy) from None


def to_number(text: str) -> float | None:
    """Return what a cell says, with a decimal point or a decimal comma; ``None`` if it is no finite number."""
    bare = _bare(text)
    if not _NUMBER.fullmatch(bare) or bare.endswith("%"):
        return None
    mark, _ = _decimal_mark([bare])
    try:
        value = float(_normal(bare, mark))
    except ValueError:
        return None
    return value if isfinite(value) else None


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What a western spreadsheet writes when it does not write UTF-8.
        return content.decode("cp1252", errors="replace")


def _split(lines: Sequence[str], *, is_one_column: bool) -> list[list[str]]:
    separator = _separator(lines, is_one_column=is_one_column)
    if separator is None:
        return [re.split(r" {2,}", line.strip()) for line in lines]
    return list(csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True))


def _separator(lines: Sequence[str], *, is_one_column: bool) -> str | None:
    for separator in "\t;":
        if any(separator in line for line in lines):
            return separator
    if not any("," in line for line in lines):
        return None
    is_plain = all(line.count(",") <= 1 and _is_number(line) for line in lines)
    return None if is_plain and is_one_column else ","


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row has a word where there is a number below, or nothing but words."""
    words = [bool(cell) and not _is_number(cell) for cell in rows[0]]
    below = rows[1] if len(rows) > 1 else rows[0]
    return any(word and _is_number(cell) for word, cell in zip(words, below, strict=True)) or all(words)


def _is_number(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(_bare(cell)))


def _decimal_mark(cells: Iterable[str]) -> tuple[DecimalMark, bool]:
    """Return the decimal mark of a block, and whether it was guessed: one number that is clear decides for all."""
    is_unclear = False
    for cell in cells:
        if not _NUMBER.fullmatch(cell):
            continue
        commas, points = cell.count(","), cell.count(".")
        if commas and points:
            return ("," if cell.rindex(",") > cell.rindex(".") else "."), False
        if commas > 1 or points > 1:
            return ("." if commas else ","), False
        if commas and not _EITHER.fullmatch(cell):
            return ",", False
        if points and not _EITHER.fullmatch(cell):
            return ".", False
        is_unclear = is_unclear or bool(commas or points)
    return ".", is_unclear


def _bare(cell: str) -> str:
    """Return a cell without what groups its digits, and with a plain minus sign."""
    return _GROUPING.sub("", cell).replace("\u2212", "-")


def _normal(cell: str, mark: DecimalMark) -> str:
    bare = _bare(cell)
    if not _NUMBER.fullmatch(bare):
        return cell
    grouped = "." if mark == "," else ","
    return bare.replace(grouped, "").replace(mark, ".")
