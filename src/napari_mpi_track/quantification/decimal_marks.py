"""Numbers as people of several countries write them: which mark is the decimal one, and what only groups digits."""

import re
from collections.abc import Iterable
from math import isfinite
from typing import Literal

DecimalMark = Literal[".", ","]

# Spaces that spreadsheets group thousands with (no-break, figure, thin, narrow no-break) and the Swiss apostrophes.
_GROUPING = re.compile("(?<=\\d)[\u0020\u00a0\u2007\u2009\u202f'\u2019](?=\\d{3}(?!\\d))")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+|\d{1,3}(,\d{3})+(\.\d*)?|\d{1,3}(\.\d{3})+(,\d*)?)([eE][+-]?\d+)?%?")
# One to three digits, then comma and three digits: 1,000 is a thousand or one, by who wrote it.
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[,.]\d{3}")


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, or one followed by a percent sign."""
    return bool(_NUMBER.fullmatch(_bare(cell)))


def is_either(cell: str) -> bool:
    """Return whether a cell is one number with a decimal point and another with a decimal comma: 1,000."""
    return bool(_EITHER.fullmatch(_bare(cell)))


def decimal_mark_of(cells: Iterable[str]) -> DecimalMark | None:
    """Return the decimal mark of all numbers that show it, ``None`` where they show none or both."""
    marks = {mark for cell in cells if (mark := _shown(_bare(cell))) is not None}
    return marks.pop() if len(marks) == 1 else None


def to_number(text: str) -> float | None:
    """Return what a cell says, with a decimal point or a decimal comma; ``None`` if it is no finite number."""
    if text.rstrip().endswith("%"):
        return None
    try:
        value = float(as_python(text, "."))
    except ValueError:
        return None
    return value if isfinite(value) else None


def as_python(cell: str, mark: DecimalMark) -> str:
    """Return a number as Python reads it, any other cell as it is; ``mark`` decides only for what may be either."""
    bare = _bare(cell)
    if not _NUMBER.fullmatch(bare):
        return cell
    own = _shown(bare) or mark
    return bare.replace("." if own == "," else ",", "").replace(own, ".")


def _shown(bare: str) -> DecimalMark | None:
    """Return the decimal mark that a number shows by itself."""
    commas, points = bare.count(","), bare.count(".")
    if not commas + points or _EITHER.fullmatch(bare) or not _NUMBER.fullmatch(bare):
        return None
    if commas and points:
        return "," if bare.rindex(",") > bare.rindex(".") else "."
    if commas + points > 1:
        return "." if commas else ","
    return "," if commas else "."


def _bare(cell: str) -> str:
    """Return a cell without what groups its digits, and with a plain minus sign."""
    return _GROUPING.sub("", cell.strip().replace("\u2212", "-"))
