"""Figures and tables of the panel Track as files: the report's own figures and columns."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari_mpi_track.errors import OutputError
from napari_mpi_track.report.figures import FigureKind, figure_bytes
from napari_mpi_track.report.tables import columns, write_table
from napari_mpi_track.writers.whole import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 300
_DIGITS = 9


def save_figure(figure: "Figure | None", path: Path) -> None:
    """Write a figure as .svg, .png or .pdf at print size, in place of a file of that name.

    Raises
    ------
    OutputError
        For another ending, or where there is no figure.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("svg", "png", "pdf"):
        raise OutputError("a figure is an .svg, .png or .pdf", file=path, remedy="give it one of these endings")
    if figure is None:
        raise OutputError("there is no figure to save", file=path, remedy="choose curves that can be drawn")
    content = figure_bytes(figure, cast(FigureKind, kind), dots_per_inch=_DOTS_PER_INCH)
    with whole_file(path, overwrite=True) as unfinished:
        unfinished.write_bytes(content)


def save_rows(rows: Sequence[Any], kind: type, path: Path) -> None:
    """Write rows of ``kind`` as .csv or .json with a run's columns and digits, in place of a file of that name.

    Raises
    ------
    OutputError
        For another ending.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".json"):
        raise OutputError("a table is a .csv or a .json", file=path, remedy="give it one of these endings")
    if ending == ".csv":
        write_table(rows, kind, path, overwrite=True)
        return
    names = columns(kind)
    told = [{name: _plain(getattr(row, name)) for name in names} for row in rows]
    with whole_file(path, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") + 0.0 if isinstance(value, float) else value
