"""Buttons that ask for a file and hand on its path; nothing happens when none is given."""

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtWidgets import QFileDialog, QPushButton


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
