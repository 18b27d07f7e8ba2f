"""The organs being drawn as a layer of napari's: its strokes are told, and its undo is the session's."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QTimer

from napari_mpi_track.gui.layers import AXIS_LABELS, METADATA_KEY, UNITS, Shown, shown_of_organs
from napari_mpi_track.gui.organ_draft import OrganDraft
from napari_mpi_track.gui.organ_work import WorkingLabels
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.report.figures import organ_colour

_MODES = {"look": "pan_zoom", "paint": "paint", "erase": "erase", "grow": "pan_zoom"}
_ORDERS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}


class OrganLayer:
    """Holds the layer.

    ``stroking`` is called in the midst of a stroke, ``stroked`` after it, ``undo`` and ``redo`` by Ctrl+Z and
    Ctrl+Shift+Z.
    """

    def __init__(
        self,
        viewer: Any,
        stroking: Callable[[], None],
        stroked: Callable[[], None],
        undo: Callable[[], None],
        redo: Callable[[], None],
    ) -> None:
        self._viewer, self._stroking, self._stroked, self._undo, self._redo = viewer, stroking, stroked, undo, redo
        self.layer: Any = None
        self._hidden: list[Any] = []
        self._names: Any = None
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        viewer.dims.events.ndisplay.connect(self._turned)

    def close(self) -> None:
        """Listen no more, and take the layer away."""
        self._viewer.layers.events.inserted.disconnect(self._inserted)
        self._viewer.layers.events.removed.disconnect(self._removed)
        self._viewer.dims.events.ndisplay.disconnect(self._turned)
        self.take_away()

    def take_away(self) -> None:
        """Take the layer away, and show again what it hid; the session still holds what was drawn."""
        layer, self.layer = self.layer, None
        if layer is not None:
            layer.events.paint.disconnect(self._painted)
            layer.events.labels_update.disconnect(self._updated)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        hidden, self._hidden = self._hidden, []
        for other in hidden:
            if other in self._viewer.layers:
                other.visible = True

    def show(self, work: WorkingLabels, draft: OrganDraft, name: str) -> None:
        """Show other voxels, to be painted on, above all else; the day's own organs are hidden meanwhile."""
        self.take_away()
        settings = {
            "name": name,
            "opacity": 0.7,
            "scale": tuple(float(s) for s in work.shown_grid.spacing_mm),
            "translate": tuple(float(x) for x in work.shown_grid.origin_mm[::-1]),
            "units": UNITS,
            "axis_labels": AXIS_LABELS,
            "metadata": {METADATA_KEY: shown_of_organs(draft.base)},
        }
        self.layer = self._viewer.add_labels(work.shown, **settings)
        self._turned()
        self.layer.events.paint.connect(self._painted)
        self.layer.events.labels_update.connect(self._updated)
        # One history for all panels: napari's own would take back what the session still holds.
        for keys, step in (("Control-Z", self._undo), ("Control-Shift-Z", self._redo)):
            self.layer.bind_key(keys, lambda _, step=step: step(), overwrite=True)
        self._names = None
        self.name(draft)
        for other in self._viewer.layers:
            self._hide(other)

    def name(self, draft: OrganDraft) -> None:
        """Show an organ's colour and name."""
        if self.layer is None or draft.names == self._names:
            return
        self._names = dict(draft.names)
        colours: dict[int | None, Any] = {label: (*organ_colour(name), 1.0) for label, name in draft.names.items()}
        self.layer.colormap = {None: (0.6, 0.6, 0.6, 1.0), 0: (0.0, 0.0, 0.0, 0.0), **colours}
        self.layer.features = {"index": [0, *draft.names], "name": ["", *draft.names.values()]}

    def redraw(self) -> None:
        """Draw the voxels as they are now."""
        if self.layer is not None:
            self.layer.refresh()

    def take_up(self, tool: str, label: int, diameter_mm: float, *, is_ball: bool) -> None:
        """Take a tool in hand in napari's picture too."""
        if self.layer is None:
            return
        self.layer.selected_label = label
        self.layer.brush_size = max(1.0, diameter_mm / min(self.layer.scale))
        self.layer.n_edit_dimensions = 3 if is_ball else 2
        self._viewer.layers.selection.active = self.layer
        self.layer.mode = _MODES[tool]

    def turn_picture(self, picture: str) -> None:
        """Turn napari's picture: "axial", "coronal", "sagittal", or "3-D"."""
        dims = self._viewer.dims
        if self.layer is not None and picture == "3-D":
            self.layer.contour = 0
        dims.ndisplay = 3 if picture == "3-D" else 2
        if picture in _ORDERS:
            before = dims.ndim - 3
            dims.order = (*range(before), *(before + axis for axis in _ORDERS[picture]))
            self._viewer.reset_view()

    def look_at(self, at_mm: Any) -> None:
        """Lay the plane of napari's picture through a point, LPS mm."""
        dims = self._viewer.dims
        if self.layer is not None:
            dims.set_point(range(dims.ndim - 3, dims.ndim), tuple(float(x) for x in at_mm[::-1]))

    def _turned(self, _: Any = None) -> None:
        # In 3-D napari draws whole organs, and warns of outlines.
        if self.layer is not None:
            self.layer.contour = 1 if self._viewer.dims.ndisplay == 2 else 0

    def _painted(self, _: Any) -> None:
        self._stroked()

    def _updated(self, _: Any) -> None:
        self._stroking()

    def _inserted(self, event: Any) -> None:
        self._hide(event.value)
        if METADATA_KEY in event.value.metadata:
            # The day's scans may come after its organs: above them they would hide the outlines. Not within the event:
            # others who listen still have to put the new layer in its place.
            QTimer.singleShot(0, self._raise)

    def _raise(self) -> None:
        layers = self._viewer.layers
        places = [at for at, layer in enumerate(layers) if _itself(layer) is _itself(self.layer)]
        if self.layer is not None and places and places[0] < len(layers) - 1:
            layers.move(places[0], len(layers))

    def _removed(self, event: Any) -> None:
        # Taken away by hand: the session still holds what was drawn, and the three views paint on.
        if self.layer is not None and _itself(event.value) is _itself(self.layer):
            self.layer = None

    def _hide(self, layer: Any) -> None:
        """Hide another layer of organs: two outlines of one organ, of which one follows the brush, confuse."""
        shown = layer.metadata.get(METADATA_KEY)
        is_of_organs = isinstance(shown, Shown) and isinstance(shown.scan, OrganLabels)
        if self.layer is not None and _itself(layer) is not _itself(self.layer) and is_of_organs:
            if layer.visible:
                self._hidden.append(layer)
            layer.visible = False


def _itself(layer: Any) -> Any:
    """Return the layer that napari's proxy stands for."""
    return getattr(layer, "__wrapped__", layer)
