"""The keys of a table as in a spreadsheet, the clipboard, and cells that take a pasted block whole."""

from typing import Any

from qtpy.QtCore import QEvent, QLocale, QObject
from qtpy.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QStyledItemDelegate

from napari_mpi_track.quantification.decimal_marks import to_number

_KEYS = {
    "paste": QKeySequence.StandardKey.Paste,
    "copy": QKeySequence.StandardKey.Copy,
    "cut": QKeySequence.StandardKey.Cut,
    "undo": QKeySequence.StandardKey.Undo,
    "redo": QKeySequence.StandardKey.Redo,
    "delete": QKeySequence.StandardKey.Delete,
}


def asked_by(event: QKeyEvent) -> str:
    """Return what a key asks for: paste, copy, cut, undo, redo, delete, or nothing of these."""
    return next((name for name, key in _KEYS.items() if event.matches(key)), "")


def copied_text() -> str:
    """Return the text that was copied last, here or in another program."""
    clipboard = QGuiApplication.clipboard()
    return "" if clipboard is None else clipboard.text()


def copy_text(text: str) -> None:
    """Put a text where another program can paste it from."""
    clipboard = QGuiApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)


class NumberCells(QStyledItemDelegate):
    """Numbers as they are read; and a block pasted into a cell being typed in goes to the table, not into the cell."""

    def displayText(self, value: Any, locale: QLocale) -> str:  # noqa: N802 - Qt's name
        number = to_number(str(value))
        return super().displayText(value, locale) if number is None else f"{number:,.7g}"

    def eventFilter(self, editor: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and asked_by(event) == "paste":
            text = copied_text().strip("\r\n")
            table: Any = self.parent()
            if "\t" in text or "\n" in text:
                table.closeEditor(editor, QStyledItemDelegate.EndEditHint.RevertModelCache)
                table.paste()
                return True
        return super().eventFilter(editor, event)
