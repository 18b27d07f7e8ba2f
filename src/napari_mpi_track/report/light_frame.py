"""Ticks, grid and names of two stacked panels, drawn in a third of the time matplotlib's own axes take.

A calibration is redrawn at every key stroke; four of five milliseconds would go into axes that hardly ever change.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mpi_track.report.light_words import light_word

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Limits = tuple[float, float]
_FONT: dict[str, Any] = {"fontsize": 8}
_LETTER_PX, _LINE_PX = 6.0, 13.0


@dataclass(frozen=True, slots=True)
class Inks:
    """Colours of text and lines, of the ground they stand on, and of the grid."""

    text: str = "#222222"
    ground: str = "#ffffff"
    grid: str = "#e6e6e6"


class LightFrame:
    """The frame of a panel and of a lower one that shares its x."""

    def __init__(self, figure: "Figure", upper: "Axes", lower: "Axes") -> None:
        from matplotlib.collections import LineCollection

        self._figure = figure
        self._panels = (upper, lower)
        self._shown: Any = None
        self._grids: list[Any] = []
        self._spines: list[Any] = []
        self._labels: list[Any] = []
        for axes in self._panels:
            axes.set_axis_off()
            grid, spines = LineCollection([], linewidths=0.6, zorder=0), LineCollection([], linewidths=0.9, zorder=5)
            spines.set_clip_on(False)
            for lines, kept in ((grid, self._grids), (spines, self._spines)):
                lines.set_transform(axes.transAxes)
                axes.add_artist(lines)
                kept.append(lines)
        self._x_name = light_word(figure, ha="center", va="bottom", **_FONT)
        self._y_names = [light_word(figure, rotation=90, ha="center", va="center", **_FONT) for _ in self._panels]
        self._inks = Inks()
        self.set_inks(self._inks)

    def set_inks(self, inks: Inks) -> None:
        """Draw in the colours of a theme."""
        self._inks = inks
        self._figure.set_facecolor(inks.ground)
        for lines in self._grids:
            lines.set_color(inks.grid)
        for lines in self._spines:
            lines.set_color(inks.text)
        for text in (self._x_name, *self._y_names, *self._labels):
            text.set_color(inks.text)

    def show(self, x: Limits, y: Limits, below: Limits, names: tuple[str, str, str]) -> bool:
        """Move to these limits and names (of x, y and the lower y); return whether anything changed."""
        box = self._figure.bbox
        width, height = (100 * float(side) / self._figure.dpi for side in (box.width, box.height))
        shown = (x, y, below, names, width, height)
        if shown == self._shown:
            return False
        self._shown = shown
        # Few ticks: a word costs a millisecond, all lines together cost two.
        ticks = (_ticks(x, 3), _ticks(y, 4), _ticks(below, 3))
        left = 2.8 * _LINE_PX + _LETTER_PX * max(len(_word(tick)) for tick in (*ticks[1], *ticks[2]))
        bottom, right, top = 3.2 * _LINE_PX, 0.5 * _LETTER_PX * len(_word(ticks[0][-1])), 8.0
        room = height - bottom - top
        self._place(self._panels[0], (left, bottom + 0.29 * room, width - left - right, 0.71 * room), (width, height))
        self._place(self._panels[1], (left, bottom, width - left - right, 0.24 * room), (width, height))
        places: list[tuple[Any, float, float, str, tuple[int, int], tuple[str, str]]] = []
        for at, (axes, limits) in enumerate(zip(self._panels, (y, below), strict=True)):
            axes.set_xlim(x)
            axes.set_ylim(limits)
            self._rule(at, [_part(tick, x) for tick in ticks[0]], [_part(tick, limits) for tick in ticks[1 + at]])
            for tick in ticks[1 + at]:
                places.append((axes, 0.0, _part(tick, limits), _word(tick), (-6, 0), ("right", "center_baseline")))
            self._y_names[at].set_text(names[1 + at])
            box = axes.get_position()
            self._y_names[at].set_position((_LINE_PX * (0.9 + at * 0.35) / width, (box.y0 + box.y1) / 2))
        for tick in ticks[0]:
            places.append((self._panels[1], _part(tick, x), 0.0, _word(tick), (0, -5), ("center", "top")))
        self._write(places)
        self._x_name.set_text(names[0])
        self._x_name.set_position(((left + width - right) / 2 / width, 3 / height))
        return True

    def _place(self, axes: "Axes", box: tuple[float, float, float, float], size: tuple[float, float]) -> None:
        (left, bottom, wide, high), (width, height) = box, size
        axes.set_position((left / width, bottom / height, wide / width, high / height))

    def _rule(self, at: int, columns: list[float], rows: list[float]) -> None:
        self._grids[at].set_segments([*([(c, 0), (c, 1)] for c in columns), *([(0, r), (1, r)] for r in rows)])
        marks = [[(-0.012, r), (0, r)] for r in rows]
        if at:
            marks += [[(c, -0.06), (c, 0)] for c in columns]
        self._spines[at].set_segments([[(0, 0), (0, 1)], [(0, 0), (1, 0)], *marks])

    def _write(self, places: list[tuple[Any, float, float, str, tuple[int, int], tuple[str, str]]]) -> None:
        """Write every tick's word; words written before are moved."""
        while len(self._labels) < len(places):
            self._labels.append(light_word(self._figure, color=self._inks.text, **_FONT))
        points = self._figure.dpi / 72
        for label, place in zip(self._labels, [*places, *[None] * len(self._labels)], strict=False):
            label.set_visible(place is not None)
            if place is None:
                continue
            axes, x, y, word, offset, align = place
            label.set_text(word)
            label.set_horizontalalignment(align[0])
            label.set_verticalalignment(align[1])
            corner, side = axes.bbox.p0, axes.bbox.size
            pixel = corner + side * (x, y) + np.multiply(offset, points)
            label.set_position(pixel / self._figure.bbox.size)


def rounded_limits(low: float, high: float) -> Limits:
    """Return limits a little wider, at a quarter of a tick: they stay while the data move a little."""
    step = _step(low, high, 5) / 4
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step)


def _step(low: float, high: float, count: int) -> float:
    """Return the distance of about ``count`` ticks: 1, 2 or 5 times a power of ten."""
    rough = max(high - low, 1e-300) / count
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= 0.999 * rough))


def _ticks(limits: Limits, count: int) -> list[float]:
    step = _step(*limits, count)
    first, last = np.ceil(limits[0] / step - 1e-9), np.floor(limits[1] / step + 1e-9)
    return [float(number * step) for number in np.arange(first, last + 1)]


def _part(value: float, limits: Limits) -> float:
    return (value - limits[0]) / (limits[1] - limits[0])


def _word(value: float) -> str:
    return f"{value + 0.0:,.10g}"
