"""What an alignment does in the viewer: it listens to the layers, adds new ones, and touches none of the user's."""

from collections.abc import Callable
from typing import Any

from napari_mpi_track.gui.alignment_draft import ChosenScan
from napari_mpi_track.gui.alignment_scans import Offer, companions, offers, scan_of
from napari_mpi_track.gui.layers import LayerTuple


class LayersInView:
    """The layers of one viewer as scans to choose from, and the one layer that shows an accepted alignment."""

    def __init__(self, viewer: Any, changed: Callable[[], None]) -> None:
        self.viewer = viewer
        self._changed = changed
        self._shown: Any = None
        self._events = viewer.layers.events
        self._events.inserted.connect(self._inserted)
        self._events.removed.connect(self._told)
        for layer in viewer.layers:
            layer.events.name.connect(self._told)

    def close(self) -> None:
        """Listen no more."""
        self._events.inserted.disconnect(self._inserted)
        self._events.removed.disconnect(self._told)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._told)

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The layers that hold a scan."""
        return offers(self.viewer.layers)

    @property
    def companions(self) -> tuple[str, ...]:
        """The layers that can be brought along."""
        return companions(self.viewer.layers)

    def scan(self, name: str) -> ChosenScan:
        """Return the scan of a layer; ``KeyError`` without such a layer."""
        return scan_of(self.viewer.layers[name])

    def layer(self, name: str) -> Any:
        """Return a layer by its name."""
        return self.viewer.layers[name]

    def add(self, layer: LayerTuple) -> Any:
        """Add one layer to the viewer, on top."""
        content, settings, kind = layer
        added = getattr(self.viewer, f"add_{kind}")(content, **settings)
        if kind == "labels":
            added.contour = 1
        return added

    def show_accepted(self, layer: LayerTuple) -> None:
        """Show the moving scan where an accepted alignment puts it, in place of what was shown so before."""
        self.take_away()
        self._shown = self.add(layer)

    def take_away(self) -> None:
        """Take the layer of an accepted alignment away again."""
        if self._shown is not None and self._shown in self.viewer.layers:
            self.viewer.layers.remove(self._shown)
        self._shown = None

    def leave(self) -> None:
        """Leave the layer of an accepted alignment to the user: other scans are being aligned now."""
        self._shown = None

    def _inserted(self, event: Any) -> None:
        event.value.events.name.connect(self._told)
        self._told()

    def _told(self, *_: Any) -> None:
        self._changed()
