"""One of the three views: a slice painted at the screen's resolution, and what the mouse does on it."""

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QImage, QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_mpi_track.gui.alignment_look import RINGS_WITHIN_MM, Look
from napari_mpi_track.gui.alignment_slices import FACINGS, Pane, ViewName
from napari_mpi_track.gui.widgets.slice_marks import HANDLE_PX, handle_at, paint_marks

_CLICK_PX = 3.0
_RING_REACH_PX = 9.0


class SliceView(QWidget):
    """Shows a look from one side. In mm and degrees it tells: drags, turns, clicks, the wheel."""

    began = Signal()
    shifted = Signal(object)
    turned = Signal(float)
    ended = Signal()
    looked_at = Signal(object)
    clicked = Signal(object)
    ring_dragged = Signal(object, object)
    scrolled = Signal(int)
    wheel_turned = Signal(int)
    zoomed = Signal(int)
    resized = Signal()

    def __init__(self, name: ViewName, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name, self.facing = name, FACINGS[name]
        self.mm_per_pixel = 1.0
        self._look: Look | None = None
        self._image: QImage | None = None
        self._below: tuple[Any, Any] | None = None
        self._pressed: Any = None
        self.setMinimumSize(120, 120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(f"{name} view")

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(240, 260)

    def show_look(self, look: Look | None, mm_per_pixel: float) -> None:
        """Show this; the scale is in mm a pixel of the widget."""
        self._look, self.mm_per_pixel, self._image = look, mm_per_pixel, None
        self.update()

    @property
    def pane(self) -> Pane:
        """What the widget shows, in its own pixels."""
        assert self._look is not None
        return self._look.pane(self.facing, self.mm_per_pixel, self.width(), self.height())

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802, ARG002 - Qt's name
        painter = QPainter(self)
        # Ended by hand: one that outlives the event, in a traceback say, takes the program down.
        try:
            painter.fillRect(self.rect(), Qt.GlobalColor.black)
            if self._look is not None:
                if self._image is None:
                    self._image = self._drawn(self._look)
                painter.drawImage(QRectF(self.rect()), self._image)
                paint_marks(painter, self._look, self.pane, self.name)
        finally:
            painter.end()

    def _drawn(self, look: Look) -> QImage:
        ratio = self.devicePixelRatioF()
        width, height = round(self.width() * ratio), round(self.height() * ratio)
        pane = look.pane(self.facing, self.mm_per_pixel / ratio, width, height)
        seen = (look.fixed, pane.mm_per_pixel, width, height, tuple(pane.centre_mm), look.fixed_tones.high)
        if self._below is None or self._below[0] != seen:
            self._below = (seen, look.fixed_light(pane))
        pixels = np.ascontiguousarray(look.pixels(pane, self._below[1]))
        return QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        self._image = None
        super().resizeEvent(event)
        self.resized.emit()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is None or self._look is None:
            return
        at = event.position()
        is_placing = self._look.only is not None
        ring = self._ring_at(at) if is_placing else None
        if ring is not None:
            kind = "ring"
        elif is_placing:
            kind = "click"
        elif event.button() == Qt.MouseButton.RightButton or _has_control(event) or self._is_on_handle(at):
            kind = "turn"
        else:
            kind = "shift"
        self._pressed = (kind, at, ring, False)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is None or self._pressed is None or self._look is None:
            return
        kind, start, ring, is_moving = self._pressed
        at = event.position()
        if not is_moving:
            if (at - start).manhattanLength() < _CLICK_PX:
                return
            self._pressed = (kind, start, ring, True)
            if kind in ("shift", "turn"):
                self._pivot = QPointF(*self.pane.pixel_at(self._look.centre_mm))
                self.began.emit()
        if kind == "shift":
            self.shifted.emit(self._mm(at) - self._mm(start))
        elif kind == "turn":
            self.turned.emit(self._degrees(start, at))
        elif kind == "ring":
            self.ring_dragged.emit(ring, self._mm(at))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is None or self._pressed is None:
            return
        kind, _, _, was_moving = self._pressed
        self._pressed = None
        if kind == "click" and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(self._mm(event.position()))
        elif was_moving:
            self.ended.emit()
        elif kind == "shift":
            self.looked_at.emit(self._mm(event.position()))

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        if event is None or self._look is None:
            return
        delta = event.angleDelta()
        # With Alt, Qt turns the wheel on its side.
        steps = 1 if delta.y() + delta.x() > 0 else -1
        if _has_control(event):
            self.wheel_turned.emit(steps)
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.zoomed.emit(steps)
        else:
            self.scrolled.emit(steps)
        event.accept()

    def _mm(self, at: QPointF) -> Any:
        return self.pane.mm_at(at.x(), at.y())

    def _degrees(self, start: QPointF, at: QPointF) -> float:
        """Return the turn from one pixel to another about the pivot, by the right-hand rule of the view's axis."""
        first, second = (np.arctan2(p.y() - self._pivot.y(), p.x() - self._pivot.x()) for p in (start, at))
        # Clockwise on the screen is right-handed about the axis that points into it.
        sign = float(self.facing.away["xyz".index(self.facing.axis)])
        return float(sign * np.degrees((second - first + np.pi) % (2 * np.pi) - np.pi))

    def _is_on_handle(self, at: QPointF) -> bool:
        assert self._look is not None
        if self._look.moving is None:
            return False
        return (at - handle_at(self._look, self.pane)).manhattanLength() < 2 * HANDLE_PX

    def _ring_at(self, at: QPointF) -> Any:
        assert self._look is not None
        for ring in self._look.rings:
            if abs(self.pane.depth_mm(ring.at_mm)) < RINGS_WITHIN_MM:
                x, y = self.pane.pixel_at(ring.at_mm)
                if np.hypot(at.x() - x, at.y() - y) < _RING_REACH_PX:
                    return ring
        return None


def _has_control(event: Any) -> bool:
    return bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
