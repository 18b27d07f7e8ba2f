"""The days of one subject as layers over days: one slider, one colour scale, the day's name at the slider."""

from collections.abc import Callable
from typing import Any

from napari_mpi_track.gui.canvas import write_on_canvas
from napari_mpi_track.gui.layers import AXIS_LABELS, METADATA_KEY, UNITS, Shown, organ_layer, scan_layer
from napari_mpi_track.gui.looks import look_of
from napari_mpi_track.gui.track_series import DaySeries, Stack, organ_middles

_DIMMING = 2.0


class ShownSeries:
    """What the panel Track has put into a viewer; ``on_day`` is told the day whenever the slider stands on another."""

    def __init__(self, viewer: Any, on_day: Callable[[float], None]) -> None:
        self._viewer, self._on_day = viewer, on_day
        self._layers: list[Any] = []
        self._stacks: list[Any] = []
        self.series: DaySeries | None = None
        self._day: float | None = None
        self._middles: dict[str, Any] = {}

    def show(self, series: DaySeries, day: float) -> None:
        """Draw a series in place of the last one, at one of its days."""
        self.clear()
        self.series, self._middles = series, organ_middles(series.organs)
        viewer = self._viewer
        if series.anatomy is not None:
            modality = str(series.anatomy.modality or "anatomy")
            voxels, settings, _ = scan_layer(series.anatomy, f"{modality} {series.subject} day {series.base_day:g}")
            low, high = settings["contrast_limits"]
            settings["contrast_limits"] = (low, low + _DIMMING * (high - low))
            self._layers.append(viewer.add_image(voxels, **settings))
        for stack in series.stacks:
            layer = viewer.add_image(stack.voxels, **_settings(stack, series))
            layer.visible = stack is series.stacks[-1]
            self._layers.append(layer)
            self._stacks.append(layer)
        if series.organs is not None:
            voxels, settings, _ = organ_layer(series.organs, f"organs {series.subject} day {series.base_day:g}")
            layer = viewer.add_labels(voxels, **settings)
            layer.contour = 1
            self._layers.append(layer)
        viewer.dims.events.current_step.connect(self._follow)
        viewer.reset_view()
        self._day = None
        self.go_to(day)
        self.look_at_organ(next(iter(self._middles), ""))
        if self._stacks:
            viewer.layers.selection.active = self._stacks[-1]

    def go_to(self, day: float) -> None:
        """Bring a day to view; nothing happens where it has no scan."""
        if self.series is not None and day in self.series.days:
            self._viewer.dims.set_current_step(0, self.series.days.index(day))
            self._follow()

    def look_at_organ(self, organ: str) -> None:
        """Lay the planes through the middle of an organ, and choose it; nothing happens for one that is not drawn."""
        middle = self._middles.get(organ)
        if middle is None or self.series is None or self.series.organs is None:
            return
        dims = self._viewer.dims
        dims.set_point(range(dims.ndim - 3, dims.ndim), tuple(middle[::-1]))
        label = next(value for value, name in self.series.organs.names.items() if name == organ)
        self._layers[-1].selected_label = label

    def clear(self) -> None:
        """Take away what was put here."""
        if self.series is not None:
            self._viewer.dims.events.current_step.disconnect(self._follow)
        for layer in self._layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._layers, self._stacks, self.series = [], [], None

    def _follow(self, _: object = None) -> None:
        series = self.series
        stacks = [layer for layer in self._stacks if layer in self._viewer.layers]
        if series is None or not stacks:
            return
        at = min(int(self._viewer.dims.current_step[0]), len(series.days) - 1)
        day = series.days[at]
        if day == self._day:
            return
        self._day = day
        for layer in stacks:
            # The slider is called by the layers' own axis.
            layer.axis_labels = (series.names[at], *AXIS_LABELS)
        write_on_canvas(self._viewer, f"{series.subject}   {series.names[at]}", stacks[-1])
        self._on_day(day)


def _settings(stack: Stack, series: DaySeries) -> dict[str, Any]:
    look = look_of(stack.first, stack.high)
    grid = stack.grid
    return {
        **look,
        "name": f"{stack.first.modality} {series.subject}, {len(series.days)} days",
        "contrast_limits": (stack.low, stack.high),
        "interpolation2d": "linear",
        # One step a scan: days are not evenly spaced, so the slider's name says which it is.
        "scale": (1.0, *(float(step) for step in grid.spacing_mm)),
        "translate": (0.0, *(float(x) for x in grid.origin_mm[::-1])),
        "units": ("day", *UNITS),
        "axis_labels": (series.names[0], *AXIS_LABELS),
        "metadata": {METADATA_KEY: Shown(stack.first, stack.voxels, grid)},
    }
