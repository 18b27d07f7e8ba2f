"""What is written on the canvas: whose day it is, a scale bar in mm, letters of orientation."""

from collections.abc import Callable
from typing import Any

from napari.components.overlays import TextOverlay

# Towards lower and higher LPS coordinates along z, y, x.
_LETTERS = (("I", "S"), ("A", "P"), ("R", "L"))
_EDGES = ("top_center", "bottom_center", "middle_left", "middle_right")


def write_on_canvas(viewer: Any, title: str) -> None:
    """Write ``title`` at the top left, a scale bar in mm, and letters of orientation at the edges."""
    overlays = viewer.canvas.overlays
    overlays.scale_bar.visible = True
    overlays.text.text = title
    overlays.text.font_size = 12
    overlays.text.position = "top_left"
    overlays.text.visible = bool(title)
    _letters_follow(viewer)()


def _letters_follow(viewer: Any) -> Callable[..., None]:
    """Return a function that writes the letters for the axes in view; made and connected once a viewer."""
    overlays = viewer.canvas.overlays
    is_new = _key(_EDGES[0]) not in overlays
    if is_new:
        for edge in _EDGES:
            overlays[_key(edge)] = TextOverlay(position=edge, font_size=12)

    def write(*_: Any) -> None:
        vertical, horizontal = (axis - viewer.dims.ndim + 3 for axis in viewer.dims.displayed[-2:])
        letters = (*_LETTERS[vertical], *_LETTERS[horizontal])
        for edge, letter in zip(_EDGES, letters, strict=True):
            overlays[_key(edge)].text = letter
            overlays[_key(edge)].visible = viewer.dims.ndisplay == 2 and vertical >= 0 and horizontal >= 0

    if is_new:
        viewer.dims.events.order.connect(write)
        viewer.dims.events.ndisplay.connect(write)
    return write


def _key(edge: str) -> str:
    return f"mpi_track_{edge}"
