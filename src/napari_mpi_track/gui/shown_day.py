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
        self.clear()
        viewer = self._viewer
        for voxels, settings, kind in picture.layers:
            layer = getattr(viewer, f"add_{kind}")(voxels, **settings)
            if kind == "labels":
                layer.contour = 1
            self._layers.append(layer)
        images = [layer for layer in self._layers if isinstance(layer.metadata[METADATA_KEY].scan, Volume)]
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
        for layer in self._layers:
            if layer not in self._viewer.layers:
                continue
            if _was_painted(layer):
                layer.name = f"{layer.name} (painted)"
                layer.visible = False
                continue
            self._viewer.layers.remove(layer)
        self._layers = []


def _was_painted(layer: Any) -> bool:
    shown = layer.metadata.get(METADATA_KEY)
    is_of_organs = shown is not None and isinstance(shown.scan, OrganLabels)
    return is_of_organs and not np.array_equal(layer.data, shown.voxels)
