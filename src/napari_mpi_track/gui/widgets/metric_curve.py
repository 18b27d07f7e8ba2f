"""How alike the scans are, step by step, while an alignment runs: a light curve that is drawn in no time."""

from itertools import groupby

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_mpi_track.report.tables import three_digits

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


class MetricCurve(QWidget):
    """Metric over steps, one line a stage (values of two stages are of different samples); hidden without steps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.trace: list[tuple[str, float]] = []
        self.setFixedHeight(96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("How alike the scans are after every step; each colour is one stage, higher is more alike.")
        self.setVisible(False)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(320, 96)

    def show_trace(self, trace: list[tuple[str, float]]) -> None:
        """Show (stage, metric) of every step so far."""
        self.trace = trace
        self.setVisible(len(trace) > 1)
        self.setAccessibleName(self.in_words())
        self.update()

    def in_words(self) -> str:
        """Return where it stands, for who cannot see the curve."""
        if not self.trace:
            return "no step yet"
        stage, metric = self.trace[-1]
        return f"{stage}: {three_digits(metric)} after {len(self.trace)} steps"

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802, ARG002 - Qt's name
        if len(self.trace) < 2:
            return
        painter = QPainter(self)
        # Ended by hand: one that outlives the event, in a traceback say, takes the program down.
        try:
            self._paint(painter)
        finally:
            painter.end()

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = painter.fontMetrics().height()
        box = QRectF(4, line + 4, self.width() - 8, self.height() - 2 * line - 8)
        values = np.array([metric for _, metric in self.trace])
        low, high = float(values.min()), float(values.max())
        ink = self.palette().text().color()
        painter.setPen(QPen(ink, 1))
        painter.drawLine(box.bottomLeft(), box.bottomRight())
        at, number = 0, 0
        for number, (_, steps) in enumerate(groupby(self.trace, key=lambda step: step[0])):
            count = len(list(steps))
            places = [self._place(box, n, values, low, high) for n in range(at, at + count)]
            painter.setPen(QPen(QColor(_COLOURS[number % len(_COLOURS)]), 1.8))
            painter.drawPolyline(QPolygonF(places if count > 1 else places * 2))
            at += count
        painter.setPen(QPen(QColor(_COLOURS[number % len(_COLOURS)]), 4))
        painter.drawPoint(self._place(box, len(values) - 1, values, low, high))
        painter.setPen(ink)
        words = QRectF(4, 0, self.width() - 8, self.height())
        painter.drawText(words, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, "alike: more is better")
        now = f"now {three_digits(float(values[-1]))}"
        painter.drawText(words, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight, now)
        painter.drawText(words, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft, self.trace[-1][0])
        painter.drawText(words, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignRight, f"step {len(values)}")

    def _place(self, box: QRectF, step: int, values: "np.ndarray", low: float, high: float) -> QPointF:
        x = box.left() + box.width() * step / max(len(values) - 1, 1)
        return QPointF(x, box.bottom() - box.height() * (values[step] - low) / max(high - low, 1e-12))
