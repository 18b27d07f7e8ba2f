"""What is drawn over a slice: letters of orientation, a scale bar, the cross, the handle to turn by, rings, arrows."""

import numpy as np
from numpy.typing import ArrayLike
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen

from napari_mpi_track.gui.alignment_look import ARROWS_TIMES, RINGS_WITHIN_MM, Look, Ring
from napari_mpi_track.gui.alignment_slices import Pane, ViewName

HANDLE_PX = 7.0
_RING_PX = 7.0
_INK, _SHADOW, _CROSS = QColor("#f5f5f5"), QColor(0, 0, 0, 160), QColor(255, 255, 255, 90)
# Okabe-Ito: sky blue for the fixed scan's points, orange for the moving one's, yellow for what lies between.
SIDE_COLOURS = {"fixed": "#56b4e9", "moving": "#e69f00"}
_ARROW = QColor("#f0e442")
_BARS_MM = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)


def paint_marks(painter: QPainter, look: Look, pane: Pane, name: ViewName) -> None:
    """Draw everything that stands over a slice."""
    paint_frame(painter, look.cross_mm, pane, name)
    if look.moving is not None and look.only is None:
        _paint_handle(painter, look, pane)
    for ring in look.rings:
        # Both rings of a pair lie close together: one name is enough.
        _paint_ring(painter, ring, pane, is_named=ring.side == "fixed" or look.only is not None)


def paint_frame(painter: QPainter, cross_mm: ArrayLike, pane: Pane, name: ViewName) -> None:
    """Draw where the other planes cross (LPS mm), the letters of orientation, the view's name and a scale bar."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _paint_cross(painter, cross_mm, pane)
    _paint_words(painter, pane, name)
    _paint_bar(painter, pane)


def handle_at(look: Look, pane: Pane) -> QPointF:
    """Return where the handle to turn by is, in pixels: above the moving scan's centre, kept in the picture."""
    centre, radius = _wheel(look, pane)
    return QPointF(centre.x(), centre.y() - radius)


def _wheel(look: Look, pane: Pane) -> tuple[QPointF, float]:
    radius = 0.3 * min(pane.width, pane.height)
    x, y = pane.pixel_at(look.centre_mm)
    margin = 2 * HANDLE_PX
    x = float(np.clip(x, margin, pane.width - margin))
    y = float(np.clip(y, margin + radius, pane.height - margin))
    return QPointF(x, y), radius


def _paint_cross(painter: QPainter, cross_mm: ArrayLike, pane: Pane) -> None:
    x, y = pane.pixel_at(cross_mm)
    painter.setPen(QPen(_CROSS, 1))
    painter.drawLine(QPointF(x, 0), QPointF(x, pane.height))
    painter.drawLine(QPointF(0, y), QPointF(pane.width, y))


def _paint_handle(painter: QPainter, look: Look, pane: Pane) -> None:
    centre, radius = _wheel(look, pane)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(QColor(230, 159, 0, 120), 1.2, Qt.PenStyle.DashLine))
    painter.drawEllipse(centre, radius, radius)
    painter.setPen(QPen(_SHADOW, 1))
    painter.setBrush(QColor(SIDE_COLOURS["moving"]))
    painter.drawEllipse(handle_at(look, pane), HANDLE_PX, HANDLE_PX)
    painter.setBrush(Qt.BrushStyle.NoBrush)


def _paint_ring(painter: QPainter, ring: Ring, pane: Pane, *, is_named: bool) -> None:
    depth = abs(pane.depth_mm(ring.at_mm))
    if depth > RINGS_WITHIN_MM:
        return
    colour = QColor(SIDE_COLOURS[ring.side])
    colour.setAlphaF(1.0 - 0.75 * depth / RINGS_WITHIN_MM)
    at = QPointF(*pane.pixel_at(ring.at_mm))
    style = Qt.PenStyle.SolidLine if ring.is_used else Qt.PenStyle.DotLine
    painter.setPen(QPen(colour, 1.8, style))
    painter.drawEllipse(at, _RING_PX, _RING_PX)
    tip = at if ring.arrow_mm is None else QPointF(*pane.pixel_at(ring.at_mm + ARROWS_TIMES * ring.arrow_mm))
    if is_named:
        # On the side that the arrow leaves free.
        left = -painter.fontMetrics().horizontalAdvance(ring.name) - _RING_PX - 2
        painter.drawText(at + QPointF(left if tip.x() > at.x() else _RING_PX + 2, -_RING_PX + 3), ring.name)
    _paint_arrow(painter, at, tip)


def _paint_arrow(painter: QPainter, start: QPointF, tip: QPointF) -> None:
    along = tip - start
    length = float(np.hypot(along.x(), along.y()))
    if length < 1.5:
        return
    painter.setPen(QPen(_ARROW, 1.8))
    painter.drawLine(start, tip)
    back, side = along / length * min(6.0, length / 2), QPointF(-along.y(), along.x()) / length * 3.5
    painter.drawLine(tip, tip - back + side)
    painter.drawLine(tip, tip - back - side)


def _paint_words(painter: QPainter, pane: Pane, name: ViewName) -> None:
    left, right, top, bottom = pane.facing.letters
    box = QRectF(0, 0, pane.width, pane.height).adjusted(5, 3, -5, -3)
    centre, across = Qt.AlignmentFlag.AlignVCenter, Qt.AlignmentFlag.AlignHCenter
    places = (
        (left, Qt.AlignmentFlag.AlignLeft | centre),
        (right, Qt.AlignmentFlag.AlignRight | centre),
        (top, Qt.AlignmentFlag.AlignTop | across),
        (bottom, Qt.AlignmentFlag.AlignBottom | across),
        (name, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft),
    )
    for text, place in places:
        _write(painter, box, place, text)


def _paint_bar(painter: QPainter, pane: Pane) -> None:
    longest = 0.3 * pane.width * pane.mm_per_pixel
    length_mm = max((mm for mm in _BARS_MM if mm <= longest), default=_BARS_MM[0])
    end = QPointF(pane.width - 10, pane.height - 10)
    start = QPointF(end.x() - length_mm / pane.mm_per_pixel, end.y())
    for pen in (QPen(_SHADOW, 5), QPen(_INK, 2.5)):
        painter.setPen(pen)
        painter.drawLine(start, end)
    box = QRectF(0, 0, pane.width - 8, pane.height - 14)
    _write(painter, box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom, f"{length_mm:g} mm")


def _write(painter: QPainter, box: QRectF, place: Qt.AlignmentFlag, text: str) -> None:
    painter.setPen(_SHADOW)
    painter.drawText(box.translated(1, 1), place, text)
    painter.setPen(_INK)
    painter.drawText(box, place, text)
