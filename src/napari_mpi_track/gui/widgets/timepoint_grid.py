"""Subjects x days: what was scanned when, what is measured already; a click brings a day into view."""

from qtpy.QtCore import QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QColor, QFont, QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QAbstractButton, QFrame, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_mpi_track.gui.looks import MODALITY_COLOURS
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint

CELL_SIZE = QSize(42, 36)
_NAME_WIDTH = 62
# Each kind of scan has its place in a cell, its letter and its colour.
_PLACES = (("M", "MPI", "MPI"), ("A", "anatomy", "CT"), ("O", "organs", "organs"), ("P", "PET", "PET"))
STATE_MARKS = {"": "", "measured": "✓", "doubtful": "!", "failed": "✗"}


class DayCell(QAbstractButton):
    """One day of one subject: a letter for each thing that is there, and a mark for what became of it."""

    def __init__(self, subject: Subject, timepoint: Timepoint, state: str) -> None:
        super().__init__()
        there = (timepoint.mpi or timepoint.signal, timepoint.anatomy, timepoint.organs, timepoint.pet)
        self._letters = [(letter, kind) for (letter, _, kind), thing in zip(_PLACES, there, strict=True) if thing]
        self._mark = STATE_MARKS[state]
        names = [name for (_, name, _), thing in zip(_PLACES, there, strict=True) if thing]
        day = f"{subject.id}, day {timepoint.day:g}{' (before injection)' if timepoint.is_baseline else ''}"
        said = f"{day}: {', '.join(names) or 'no scans'}; {state or 'not measured yet'}"
        self.setToolTip(said)
        self.setAccessibleName(said)
        self.setCheckable(True)
        self.setAutoExclusive(True)
        self.setFixedSize(CELL_SIZE)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def paintEvent(self, _: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        pen = QPen(text, 2.5 if self.isChecked() else (1.5 if self.hasFocus() or self.underMouse() else 0.6))
        painter.setPen(pen)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(2, 2, -2, -2), 4, 4)
        bold = QFont(self.font())
        bold.setBold(True)
        bold.setPixelSize(10)
        painter.setFont(bold)
        for place, (letter, kind) in enumerate(self._letters):
            box = QRectF(5 + 12.5 * (place % 2), 5 + 13.5 * (place // 2), 11.5, 12.5)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(MODALITY_COLOURS[kind]))
            painter.drawRoundedRect(box, 2, 2)
            painter.setPen(QColor("white"))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, letter)
        painter.setPen(text)
        bold.setPixelSize(12)
        painter.setFont(bold)
        painter.drawText(QRectF(29, 0, self.width() - 31, self.height()), Qt.AlignmentFlag.AlignCenter, self._mark)


class TimepointGrid(QWidget):
    """The days of every subject, ``chosen`` by a click."""

    chosen = Signal(str, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cells: dict[tuple[str, float], DayCell] = {}
        self._scroll = QScrollArea()
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setWidgetResizable(True)
        legend = QLabel("M MPI   A anatomy   O organs   P PET\n✓ measured   ! doubtful   ✗ failed")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._scroll)
        column.addWidget(legend)

    def show_study(self, study: Study, states: dict[tuple[str, float], str]) -> None:
        """Show every day of ``study``; ``states`` says measured, doubtful or failed of the days it knows of."""
        table = QWidget()
        grid = QGridLayout(table)
        grid.setContentsMargins(2, 2, 2, 2)
        grid.setSpacing(2)
        self.cells = {}
        for column, day in enumerate(study.days, start=1):
            grid.addWidget(QLabel(f"<small>day {day:g}</small>"), 0, column, Qt.AlignmentFlag.AlignCenter)
        for row, subject in enumerate(study.subjects, start=1):
            name = QLabel(_row_name(subject))
            name.setWordWrap(True)
            name.setFixedWidth(_NAME_WIDTH)
            grid.addWidget(name, row, 0)
            for timepoint in subject.timepoints:
                key = (subject.id, timepoint.day)
                cell = self.cells[key] = DayCell(subject, timepoint, states.get(key, ""))
                cell.clicked.connect(lambda _, key=key: self.chosen.emit(*key))
                grid.addWidget(cell, row, study.days.index(timepoint.day) + 1)
        grid.setColumnStretch(len(study.days) + 1, 1)
        grid.setRowStretch(len(study.subjects) + 1, 1)
        self._scroll.setWidget(table)
        hint = table.sizeHint()
        bar_below = 18 if hint.width() > self.width() else 0
        self._scroll.setFixedHeight(min(300, hint.height() + bar_below + 4))

    def mark(self, subject: str | None, day: float | None) -> None:
        """Mark the day in view."""
        if subject is not None and day is not None and (cell := self.cells.get((subject, day))):
            cell.setChecked(True)
            self._scroll.ensureWidgetVisible(cell)


def _row_name(subject: Subject) -> str:
    below = ", ".join(word for word in (subject.group, "control" if subject.is_control else "") if word)
    return f"{subject.id}<br><small>{below}</small>" if below else subject.id
