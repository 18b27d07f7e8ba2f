"""Buttons that ask for a file and hand on its path; nothing happens when none is given."""

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QToolButton, QWidget


class OpenButton(QPushButton):
    """Asks for a file that is there; ``chosen`` holds its path."""

    chosen = Signal(str)

    def __init__(self, text: str, tip: str, kinds: str) -> None:
        super().__init__(text)
        self.setToolTip(tip)
        self._kinds = kinds
        self.clicked.connect(self._ask)

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self.text(), "", self._kinds)
        if path:
            self.chosen.emit(path)


class SaveButton(QPushButton):
    """Asks for a file to write, and whether one that is there may be replaced; ``chosen`` holds its path."""

    chosen = Signal(str)

    def __init__(self, text: str, tip: str, kinds: str, suffix: str) -> None:
        super().__init__(text)
        self.setToolTip(tip)
        self._kinds, self._suffix = kinds, suffix
        self.clicked.connect(self._ask)

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, self.text(), "", self._kinds)
        if path:
            self.chosen.emit(path if Path(path).suffix else path + self._suffix)


class FileField(QWidget):
    """A path that can be typed, chosen, or left open; ``changed`` when it was given whole."""

    changed = Signal()

    def __init__(self, kinds: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kinds = kinds
        self.line, self.button = QLineEdit(), QToolButton()
        self.line.setPlaceholderText("none")
        self.line.setClearButtonEnabled(True)
        self.button.setText("…")
        self.button.setToolTip("Choose the file.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line, 1)
        row.addWidget(self.button)
        self.setFocusProxy(self.line)
        self.line.editingFinished.connect(self.changed)
        self.button.clicked.connect(self._ask)

    def text(self) -> str:
        """Return the path, empty for none."""
        return self.line.text()

    def setText(self, text: str) -> None:  # noqa: N802 - as a line edit has it
        """Show a path."""
        self.line.setText(text)

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self.accessibleName(), self.text(), self._kinds)
        if path:
            self.setText(path)
            self.changed.emit()
