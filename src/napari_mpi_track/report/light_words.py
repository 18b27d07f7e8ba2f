"""Words of a figure that is drawn again and again: each is drawn once as letters, and then as a picture of them."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

_ROOM_PX = 24


def light_word(figure: "Figure", **looks: Any) -> "Text":
    """Return an empty text of a figure, placed in parts of it, that costs next to nothing to draw a second time.

    ``looks`` are those of matplotlib's ``Text``. Where a figure is written as SVG or PDF it is text like any other.
    """
    word = _light_text()(0.0, 0.0, "", transform=figure.transSubfigure, **looks)
    figure.add_artist(word)
    return word


@lru_cache(maxsize=1)
def _light_text() -> "type[Text]":
    # A class of matplotlib's, made where it is needed: importing matplotlib takes half a second.
    from matplotlib.text import Text

    class LightText(Text):
        def draw(self, renderer: Any) -> None:
            if not hasattr(renderer, "buffer_rgba"):
                super().draw(renderer)
                return
            if not self.get_visible() or not self.get_text():
                return
            looks = (
                self.get_text(), self.get_fontsize(), self.get_rotation(), str(self.get_color()),
                self.get_horizontalalignment(), self.get_verticalalignment(), float(renderer.dpi),
            )  # fmt: skip
            picture, left, bottom = _pictured(*looks)
            x, y = np.round(self.get_transform().transform(self.get_position()))
            context = renderer.new_gc()
            renderer.draw_image(context, x + left, y + bottom, picture)
            context.restore()
            self.stale = False

    return LightText


@lru_cache(maxsize=512)
def _pictured(
    word: str, size: float, rotation: float, colour: str, across: str, down: str, dpi: float
) -> tuple[NDArray[np.uint8], int, int]:
    """Return a word as RGBA, shape (rows, columns, 4), and its lower left corner from its place, in pixels."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure

    figure = Figure(dpi=dpi)
    text = figure.text(0, 0, word, fontsize=size, rotation=rotation, color=colour, ha=across, va=down)
    text.set_transform(None)
    box = text.get_window_extent(RendererAgg(1, 1, dpi))
    left, bottom = int(np.floor(box.x0)) - _ROOM_PX, int(np.floor(box.y0)) - _ROOM_PX
    width, height = int(np.ceil(box.width)) + 2 * _ROOM_PX, int(np.ceil(box.height)) + 2 * _ROOM_PX
    text.set_position((-left, -bottom))
    renderer = RendererAgg(width, height, dpi)
    text.draw(renderer)
    drawn = np.asarray(renderer.buffer_rgba())
    rows, columns = (np.flatnonzero(drawn[..., 3].any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return np.zeros((1, 1, 4), dtype=np.uint8), 0, 0
    cropped = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Pictures are handed on from their lowest row up.
    return cropped[::-1].copy(), left + int(columns[0]), bottom + height - 1 - int(rows[-1])
