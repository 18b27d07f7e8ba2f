"""What is going on: a line of words, a bar with time left, Cancel; and, when it went wrong, what to do."""

from html import escape
from time import monotonic

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import (
    QHBoxLayout,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mpi_track.gui.tasks import Failure, Task
from napari_mpi_track.gui.widgets.panel_frame import wrapped


class ProgressRow(QWidget):
    """Follows one task at a time; hidden while there is nothing to say."""

    stopped = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task: Task | None = None
        self._began = 0.0
        self.words = wrapped()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop this; what is finished already is kept.")
        self.cancel.clicked.connect(self._ask_to_stop)
        self.details_switch = QToolButton()
        self.details_switch.setText("Details")
        self.details_switch.setCheckable(True)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setMaximumHeight(160)
        self.details_switch.toggled.connect(self.details.setVisible)
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        column.addLayout(row)
        column.addWidget(self.details_switch)
        column.addWidget(self.details)
        self.clear()

    def follow(self, task: Task) -> None:
        """Show this task until it ends, and why it failed if it does."""
        self.clear()
        self._task, self._began = task, monotonic()
        self.words.setText(escape(task.name))
        self.bar.setValue(0)
        for part in (self, self.words, self.bar, self.cancel):
            part.setVisible(True)
        self.cancel.setEnabled(True)
        task.progressed.connect(lambda fraction, text: self._tell(task, fraction, text))
        task.succeeded.connect(lambda _: self._end(task))
        task.cancelled.connect(lambda: self._end(task))
        task.failed.connect(lambda failure: self._fail(task, failure))

    def run(self, task: Task, button: QPushButton) -> None:
        """Start a task and follow it; the button that asked for it rests until it ends."""
        button.setEnabled(False)
        self.destroyed.connect(task.abandon)
        task.finished.connect(lambda: button.setEnabled(True))
        self.follow(task)
        task.start()

    def clear(self) -> None:
        """Say nothing and hide."""
        self._task = None
        self.details_switch.setChecked(False)
        for part in (self, self.words, self.bar, self.cancel, self.details_switch, self.details):
            part.setVisible(False)

    def _tell(self, task: Task, fraction: float, text: str) -> None:
        if task is not self._task or task.is_cancelled:
            return
        self.bar.setValue(round(1000 * fraction))
        self.words.setText(escape(f"{task.name}: {text}") + _time_left(monotonic() - self._began, fraction))

    def _ask_to_stop(self) -> None:
        if self._task is None:
            return
        self.words.setText("Stopping after the step at hand")
        self.cancel.setEnabled(False)
        self._task.cancel()
        self.stopped.emit()

    def _end(self, task: Task) -> None:
        if task is self._task:
            self.clear()

    def _fail(self, task: Task, failure: Failure) -> None:
        if task is not self._task:
            return
        self._task = None
        remedy = f"<br><b>What to do:</b> {escape(failure.remedy)}" if failure.remedy else ""
        lines = escape(failure.sentence).replace("\n", "<br>")
        self.words.setText(f"<b>&#9888; Not done.</b> {lines}{remedy}")
        self.details.setPlainText(failure.details)
        self.bar.setVisible(False)
        self.cancel.setVisible(False)
        self.details_switch.setVisible(True)


def _time_left(elapsed_s: float, fraction: float) -> str:
    """Return how long it will still take, in words; nothing before that can be told."""
    if elapsed_s < 2 or not 0.05 <= fraction < 1:
        return ""
    left_s = elapsed_s * (1 - fraction) / fraction
    if left_s < 60:
        return f" (about {max(1, round(left_s))} s left)"
    return f" (about {round(left_s / 60)} min left)"
