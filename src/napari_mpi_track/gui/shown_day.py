"""The layers of the day in view, in napari's viewer: put there, taken away again, nothing of the user's touched."""

from typing import Any

import numpy as np

from napari_mpi_track.gui.canvas import write_on_canvas
from napari_mpi_track.gui.day_picture import DayPicture
from napari_mpi_track.gui.layers import METADATA_KEY
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume


class ShownDay:
    """What one panel has put into a viewer; a later day takes its place."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layers: list[Any] = []
        self._subject: str | None = None

    def show(self, picture: DayPicture) -> None:
        """Draw the layers of a day in place of the last one's; the view goes to the plane worth looking at."""
        viewer = self._viewer
        reusable = self._reusable(picture)
        self._remove([layer for layer in self._layers if layer not in reusable.values()])
        drawn = []
        for content, settings, kind in picture.layers:
            layer = reusable.get(_kind_of(settings))
            if layer is None:
                drawn.append(_added(viewer, content, settings, kind))
            else:
                drawn.append(_refilled(layer, content, settings, kind))
        self._layers = drawn
        images = [layer for layer in self._layers if _is_scan(layer)]
        if images:
            # The scan on top is what one looks at: its values follow the mouse, its colours have a bar.
            viewer.layers.selection.active = images[-1]
        write_on_canvas(viewer, f"{picture.subject}   day {picture.day:g}", images[-1] if images else None)
        if self._subject != picture.subject:
            viewer.reset_view()
        self._subject = picture.subject
        if picture.focus_mm is not None:
            viewer.dims.set_point(range(viewer.dims.ndim - 3, viewer.dims.ndim), tuple(picture.focus_mm))

    def clear(self) -> None:
        """Take away what was put here; organs painted since stay, hidden and called so."""
        self._remove(self._layers)
        self._layers = []

    def _remove(self, layers: list[Any]) -> None:
        for layer in layers:
            if layer not in self._viewer.layers:
                continue
            if _was_painted(layer):
                layer.name = f"{layer.name} (painted)"
                layer.visible = False
                continue
            self._viewer.layers.remove(layer)

    def _reusable(self, picture: DayPicture) -> dict[str, Any]:
        """Return, by kind, the layers that can show the new day.

        What the user chose (which layers are on, their colours) stays so, and napari takes seconds to remove one.
        New layers come on top, which is wrong for another scan: with other scans than before none is kept.
        """
        layers = [layer for layer in self._layers if layer in self._viewer.layers and not _was_painted(layer)]
        before = [_kind_of_layer(layer) for layer in layers if _is_scan(layer)]
        after = [_kind_of(settings) for _, settings, kind in picture.layers if kind == "image"]
        if before != after:
            return {}
        kinds = {_kind_of(settings) for _, settings, _ in picture.layers}
        return {_kind_of_layer(layer): layer for layer in layers if _kind_of_layer(layer) in kinds}


def _kind_of(settings: dict[str, Any]) -> str:
    """Return "MPI" of a layer to be called "MPI m01 day 7"."""
    return str(settings["name"]).split(" ", 1)[0]


def _kind_of_layer(layer: Any) -> str:
    return str(layer.name).split(" ", 1)[0]


def _is_scan(layer: Any) -> bool:
    return isinstance(layer.metadata[METADATA_KEY].scan, Volume)


def _added(viewer: Any, content: Any, settings: dict[str, Any], kind: str) -> Any:
    layer = getattr(viewer, f"add_{kind}")(content, **settings)
    if kind == "labels":
        layer.contour = 1
    return layer


def _refilled(layer: Any, content: Any, settings: dict[str, Any], kind: str) -> Any:
    layer.data = content
    layer.name = settings["name"]
    layer.metadata = settings["metadata"]
    if "scale" in settings:
        layer.scale, layer.translate = settings["scale"], settings["translate"]
    if kind == "image":
        layer.contrast_limits_range = settings["contrast_limits"]
        layer.contrast_limits = settings["contrast_limits"]
        layer.interpolation2d = settings.get("interpolation2d", "nearest")
    else:
        layer.features = settings["features"]
    if kind == "labels":
        layer.colormap = settings["colormap"]
    return layer


def _was_painted(layer: Any) -> bool:
    shown = layer.metadata.get(METADATA_KEY)
    is_of_organs = shown is not None and isinstance(shown.scan, OrganLabels)
    return is_of_organs and not np.array_equal(layer.data, shown.voxels)
