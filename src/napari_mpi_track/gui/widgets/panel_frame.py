"""What every panel has in common: name, sentence, step bar, a body that scrolls, undo and redo."""

from collections.abc import Callable

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.widgets.step_bar import StepBar

WIDTH = 380


class PanelFrame(QWidget):
    """A panel without its contents; those go into ``body``."""

    def __init__(self, session: Session, name: str, sentence: str) -> None:
        super().__init__()
        self.session = session
        self.setMinimumWidth(WIDTH)
        self.steps = StepBar(name)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(0, 0, 0, 0)
        self.undo = QPushButton("Undo")
        self.redo = QPushButton("Redo")
        self.undo.setToolTip("Go back to the study as it was before the last step.")
        self.redo.setToolTip("Do the step again that was taken back.")
        self.undo.clicked.connect(session.undo)
        self.redo.clicked.connect(session.redo)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setSpacing(8)
        column.addWidget(headline(name))
        column.addWidget(wrapped(sentence))
        column.addWidget(self.steps)
        column.addWidget(rule())
        column.addLayout(self.body)
        column.addStretch(1)
        column.addLayout(self._history())
        scroll = QScrollArea()
        scroll.setWidget(inside)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(WIDTH, 700)

    def listen(self, redraw: Callable[[], None]) -> None:
        """Have ``redraw`` called at every change of the session, for as long as this panel lives."""
        changed = self.session.changed
        changed.connect(redraw)
        self.destroyed.connect(lambda: changed.disconnect(redraw, missing_ok=True))

    def show_history(self) -> None:
        """Say whether there is anything to undo or redo."""
        self.undo.setEnabled(self.session.can_undo)
        self.redo.setEnabled(self.session.can_redo)

    def _history(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(self.undo)
        row.addWidget(self.redo)
        row.addStretch(1)
        return row


def headline(text: str) -> QLabel:
    """Return a panel's name."""
    label = QLabel(f"<h2 style='margin:0'>{text}</h2>")
    label.setTextFormat(Qt.TextFormat.RichText)
    return label


def wrapped(text: str = "") -> QLabel:
    """Return a label of HTML that breaks its lines and can be copied from."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def rule() -> QFrame:
    """Return a thin line across the panel."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFixedHeight(1)
    return line
