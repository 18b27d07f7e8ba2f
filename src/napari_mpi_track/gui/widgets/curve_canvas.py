"""The live curve: drawn anew in milliseconds, and read by hovering over it."""

from typing import Any

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QWidget

from napari_mpi_track.gui.looks import curve_inks
from napari_mpi_track.gui.signal_reading import in_words, nearest_point, point_in_words, read_signal
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.report.calibration_curve import BLUE, CalibrationCurve
from napari_mpi_track.report.light_frame import Inks
from napari_mpi_track.report.tables import three_digits

HEIGHT_PX = 310
_POINT_REACH_PX = 7.0


class CurveCanvas(FigureCanvasQTAgg):
    """A calibration on the screen; ``read`` says what the mouse points at, or nothing when it leaves."""

    read = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        figure = Figure(figsize=(3.5, HEIGHT_PX / 100), dpi=100)
        super().__init__(figure)
        self.setParent(parent)
        self.setFixedHeight(HEIGHT_PX)
        self.setMinimumWidth(200)
        self.setToolTip("Hover over the curve: the height of the mouse is read as cells.")
        self.curve = CalibrationCurve(figure)
        self.replicates = 1
        self._calibration: Calibration | None = None
        self._other: Calibration | None = None
        self._is_low_end = False
        self._laid_out: tuple[float, float] | None = None
        self._ground: Any = None
        self._scene: Any = None
        axes = self.curve.axes
        (self._across,) = axes.plot([], [], color=BLUE, linewidth=1.0)
        (self._down,) = axes.plot([], [], color=BLUE, linewidth=1.0, linestyle=":")
        self._interval = axes.axvspan(0, 0, color=BLUE, alpha=0.25, linewidth=0)
        self._cursor = (self._interval, self._across, self._down)
        for artist in self._cursor:
            artist.set_animated(True)
        self.mpl_connect("motion_notify_event", self._hover)
        self.mpl_connect("axes_leave_event", self._leave)
        self.mpl_connect("figure_leave_event", self._leave)

    def show_curve(self, calibration: Calibration | None, other: Calibration | None, *, is_low_end: bool) -> None:
        """Draw a calibration, and another one beside it; at once if the frame stays, else at the next repaint."""
        self._calibration, self._other, self._is_low_end = calibration, other, is_low_end
        self.setVisible(calibration is not None)
        if calibration is None:
            return
        is_new_frame = self.curve.show(calibration, other, is_low_end=is_low_end)
        if is_new_frame or self._ground is None:
            self.draw()
            return
        self.restore_region(self._ground)
        self._finish()

    def follow_theme(self, viewer: Any) -> None:
        """Draw in the colours of the viewer's theme, now and whenever it changes."""
        changed = viewer.events.theme

        def repaint(_: object = None) -> None:
            self.set_inks(curve_inks(viewer.theme))

        changed.connect(repaint)
        self.destroyed.connect(lambda: changed.disconnect(repaint))
        repaint()

    def set_inks(self, inks: Inks) -> None:
        """Draw in the colours of a theme."""
        self.curve.set_inks(inks)
        self._ground = None
        self.draw_idle()

    def draw(self) -> None:
        """Draw the whole: the frame, kept for the next time, and the curve on it."""
        size = (self.figure.bbox.width, self.figure.bbox.height)
        if self._calibration is not None and size != self._laid_out:
            # The frame is laid out in pixels, and those are others now.
            self.curve.show(self._calibration, self._other, is_low_end=self._is_low_end)
        self._laid_out = size
        super().draw()
        self._ground = self.copy_from_bbox(self.figure.bbox)
        self._finish()

    def read_at(self, x: float, signal: float) -> None:
        """Show what a place on the curve reads as, and which sample is there."""
        if self._calibration is None or self._scene is None:
            return
        counts = read_signal(self._calibration, signal, self.replicates)
        words = f"signal {three_digits(signal)} reads as <b>{in_words(counts, self._calibration)}</b>"
        point = nearest_point(self._calibration, x, signal, self._reach())
        if point is not None:
            words += f"<br>{point_in_words(self._calibration, point)}"
        self.read.emit(words)
        left, right = self.curve.axes.get_xlim()
        value = float(counts.value)
        low, high = float(counts.low), float(counts.high)
        is_finite = low == low and high == high
        self._across.set_data([left, min(value, right) if value == value else right], [signal, signal])
        self._down.set_data([value, value], [self.curve.axes.get_ylim()[0], signal])
        self._down.set_visible(value == value)
        self._interval.set_visible(is_finite)
        if is_finite:
            self._interval.set_x(low)
            self._interval.set_width(high - low)
        self.restore_region(self._scene)
        for artist in self._cursor:
            self.curve.axes.draw_artist(artist)
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        # The wheel scrolls the panel; there is nothing to zoom here.
        event.ignore()

    def _finish(self) -> None:
        if self._calibration is not None:
            self.curve.draw_moving()
        self._scene = self.copy_from_bbox(self.figure.bbox)
        self.update()

    def _reach(self) -> tuple[float, float]:
        """Return what a few pixels are in x and in signal."""
        box, (left, right), (low, high) = self.curve.axes.bbox, self.curve.axes.get_xlim(), self.curve.axes.get_ylim()
        reach = _POINT_REACH_PX * self.device_pixel_ratio
        return reach * (right - left) / box.width, reach * (high - low) / box.height

    def _hover(self, event: Any) -> None:
        if event.inaxes is self.curve.axes:
            self.read_at(event.xdata, event.ydata)

    def _leave(self, _: Any) -> None:
        if self._scene is not None:
            self.restore_region(self._scene)
            self.update()
        self.read.emit("")
