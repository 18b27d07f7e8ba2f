"""How alike the scans are, step by step, while an alignment runs: a light curve that is drawn in no time."""

from itertools import groupby

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


class MetricCurve(QWidget):
    """Metric over steps, every stage by itself: two stages compare other samples; hidden without steps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.trace: list[tuple[str, float]] = []
        self.setFixedHeight(96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("How alike the scans are after every step, higher is more; every stage has its own scale.")
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
        name, values = self.stages[-1]
        came = f"{values[0]:.4f} to {values[-1]:.4f}"
        return f"{name}: more alike from {came}; {len(self.trace)} steps in all"

    @property
    def stages(self) -> list[tuple[str, list[float]]]:
        """The metric of every step, by stage, in the order they came."""
        parts = groupby(self.trace, key=lambda step: step[0])
        return [(name, [metric for _, metric in steps]) for name, steps in parts]

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
        ink = self.palette().text().color()
        stages = self.stages
        width = box.width() / len(stages)
        for number, (_, values) in enumerate(stages):
            part = QRectF(box.left() + number * width, box.top(), width, box.height()).adjusted(3, 0, -3, 0)
            painter.setPen(QPen(ink, 1))
            painter.drawLine(part.bottomLeft(), part.bottomRight())
            places = _places(part, values)
            colour = QColor(_COLOURS[number % len(_COLOURS)])
            painter.setPen(QPen(colour, 1.8))
            painter.drawPolyline(QPolygonF(places))
            painter.setPen(QPen(colour, 4))
            painter.drawPoint(places[-1])
        name, values = stages[-1]
        painter.setPen(ink)
        words = QRectF(4, 0, self.width() - 8, self.height())
        painter.drawText(words, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, "alike, stage by stage")
        now = f"{values[0]:.4f} to {values[-1]:.4f}"
        painter.drawText(words, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight, now)
        painter.drawText(words, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft, name)
        steps = f"step {len(self.trace)}"
        painter.drawText(words, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignRight, steps)


def _places(box: QRectF, values: list[float]) -> list[QPointF]:
    """Return where the values of one stage are drawn, from the lowest to the highest of its own."""
    low, high = min(values), max(values)
    heights = [(value - low) / (high - low) if high > low else 0.5 for value in values]
    wide = box.width() / max(len(values) - 1, 1)
    return [QPointF(box.left() + at * wide, box.bottom() - box.height() * high) for at, high in enumerate(heights)]
