"""What is written on the canvas: whose day it is, a scale bar in mm, letters of orientation."""

from collections.abc import Callable
from typing import Any

from napari.components.overlays import TextOverlay

from napari_mpi_track.gui.layers import METADATA_KEY

# Towards lower and higher LPS coordinates along z, y, x.
_LETTERS = (("I", "S"), ("A", "P"), ("R", "L"))
_EDGES = ("top_center", "bottom_center", "middle_left", "middle_right")


def write_on_canvas(viewer: Any, title: str, scan_layer: Any = None) -> None:
    """Write ``title`` at the top left, a scale bar in mm, letters of orientation, and the colours of a scan's layer."""
    if viewer.canvas.background_color_override is None:
        # Scans are added up like light, which needs a dark ground, whatever the theme.
        viewer.canvas.background_color_override = "black"
    overlays = viewer.canvas.overlays
    overlays.scale_bar.visible = True
    overlays.text.text = title
    overlays.text.font_size = 12
    overlays.text.position = "top_left"
    overlays.text.visible = bool(title)
    _letters_follow(viewer)()
    _colour_bar(overlays, scan_layer)


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


def _colour_bar(overlays: Any, scan_layer: Any) -> None:
    """Show the colour bar of a scan with its modality and unit beside it."""
    if _key("unit") not in overlays:
        overlays[_key("unit")] = TextOverlay(position="top_right", font_size=10)
    shown = None if scan_layer is None else scan_layer.metadata.get(METADATA_KEY)
    overlays[_key("unit")].visible = shown is not None
    if shown is not None:
        scan_layer.colorbar.visible = True
        overlays[_key("unit")].text = f"{shown.scan.modality or 'scan'}, {shown.scan.unit or 'a.u.'}"


def _key(edge: str) -> str:
    return f"mpi_track_{edge}"
