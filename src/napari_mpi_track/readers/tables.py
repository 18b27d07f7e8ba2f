"""What every table that people write has in common: text in UTF-8, with named columns."""

from collections.abc import Sequence
from pathlib import Path

from napari_mpi_track.errors import TableError


def text_of(path: Path) -> str:
    """Return the text of a table.

    Raises
    ------
    TableError
        If it cannot be opened, is empty, or is not in UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise TableError("the table is not text in UTF-8", file=path, remedy="save it as CSV in UTF-8") from None
    except OSError as fault:
        raise TableError(
            f"the table cannot be read: {fault.strerror or fault}", file=path, remedy="check the path"
        ) from fault
    if not text.strip():
        raise TableError(
            "the table is empty", file=path, remedy="name the columns in the first line, then one row each"
        )
    return text


def require_columns(present: Sequence[str], needed: Sequence[str], path: Path | None = None) -> None:
    """Raise ``TableError`` if a column that is needed is not there, saying what came and what to do."""
    missing = [column for column in needed if column not in present]
    if not missing:
        return
    remedy = "name the columns in the first line"
    if len(present) == 1 and (";" in present[0] or "\t" in present[0]):
        remedy = "separate its columns by commas, with points in the numbers"
    raise TableError(
        f"the table needs the columns {','.join(needed)}; {', '.join(missing)} missing, it has {', '.join(present)}",
        file=path,
        remedy=remedy,
    )
