"""One of the three views of organs: a slice with outlines, looked at, painted on, or clicked into."""

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_mpi_track.gui.alignment_slices import FACINGS, Pane, ViewName
from napari_mpi_track.gui.organ_look import OrganLook
from napari_mpi_track.gui.widgets.slice_marks import paint_frame

PAINTING = ("paint", "erase")


class OrganView(QWidget):
    """Shows organs from one side; in LPS mm it tells of clicks and of the brush's way."""

    looked_at = Signal(object)
    brushed = Signal(object)
    ended = Signal()
    clicked = Signal(object)
    scrolled = Signal(int)
    zoomed = Signal(int)
    resized = Signal()

    def __init__(self, name: ViewName, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name, self.facing = name, FACINGS[name]
        self.mm_per_pixel, self.tool, self.radius_mm = 1.0, "look", 1.0
        self._look: OrganLook | None = None
        self._scans: tuple[Any, Any, Any] | None = None
        self._image: QImage | None = None
        self._last: Any = None
        self._at: QPointF | None = None
        self.setMinimumSize(120, 120)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(f"{name} view of the organs")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(240, 260)

    def show_look(self, look: OrganLook | None, mm_per_pixel: float) -> None:
        """Show this; the scale is in mm a pixel of the widget."""
        self._look, self.mm_per_pixel, self._image = look, mm_per_pixel, None
        self.update()

    @property
    def pane(self) -> Pane:
        """What the widget shows, in its own pixels."""
        assert self._look is not None
        return self._look.look.pane(self.facing, self.mm_per_pixel, self.width(), self.height())

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802, ARG002 - Qt's name
        painter = QPainter(self)
        # Ended by hand: one that outlives the event, in a traceback say, takes the program down.
        try:
            painter.fillRect(self.rect(), Qt.GlobalColor.black)
            if self._look is not None:
                if self._image is None:
                    self._image = self._drawn(self._look)
                painter.drawImage(QRectF(self.rect()), self._image)
                paint_frame(painter, self._look.look.cross_mm, self.pane, self.name)
                self._paint_brush(painter)
        finally:
            painter.end()

    def _paint_brush(self, painter: QPainter) -> None:
        if self._at is not None and self.tool in PAINTING:
            radius = self.radius_mm / self.mm_per_pixel
            painter.setPen(QPen(QColor("white"), 1.2))
            painter.drawEllipse(self._at, radius, radius)

    def _drawn(self, look: OrganLook) -> QImage:
        ratio = self.devicePixelRatioF()
        width, height = round(self.width() * ratio), round(self.height() * ratio)
        pane = look.look.pane(self.facing, self.mm_per_pixel / ratio, width, height)
        under = look.look
        seen = (
            under.fixed, under.moving, under.pose, under.opacity, pane.mm_per_pixel, width, height,
            tuple(pane.centre_mm),
        )  # fmt: skip
        # While one paints or moves the threshold the scans themselves stay as they are.
        if self._scans is None or self._scans[0] != seen:
            self._scans = (seen, look.scans_at(pane), None)
        if look.threshold is not None and self._scans[2] is None:
            self._scans = (*self._scans[:2], look.tracer_at(pane))
        labels = look.labels_at(pane)
        pixels = look.with_organs(self._scans[1], labels, self._scans[2], width_px=max(1, round(ratio)))
        content = np.ascontiguousarray(pixels).tobytes()
        return QImage(content, width, height, 3 * width, QImage.Format.Format_RGB888).copy()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        self._image = None
        super().resizeEvent(event)
        self.resized.emit()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is None or self._look is None or event.button() != Qt.MouseButton.LeftButton:
            return
        place = self._mm(event.position())
        if self.tool in PAINTING:
            self._last = place
            self.brushed.emit(np.array([place]))
        elif self.tool == "grow":
            self.clicked.emit(place)
        else:
            self.looked_at.emit(place)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is None or self._look is None:
            return
        self._at = event.position()
        place = self._mm(self._at)
        if self._last is not None:
            self.brushed.emit(np.array([self._last, place]))
            self._last = place
        elif self.tool == "look" and event.buttons() & Qt.MouseButton.LeftButton:
            self.looked_at.emit(place)
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is not None and self._last is not None:
            self._last = None
            self.ended.emit()

    def leaveEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        self._at = None
        self.update()
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is None or self._look is None:
            return
        delta = event.angleDelta()
        steps = 1 if delta.y() + delta.x() > 0 else -1
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.zoomed.emit(steps)
        else:
            self.scrolled.emit(steps)
        event.accept()

    def _mm(self, at: QPointF) -> Any:
        return self.pane.mm_at(at.x(), at.y())
