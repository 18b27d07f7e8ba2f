"""One line of words: what was just done, or why it was not and what to do."""

from collections.abc import Callable
from html import escape
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_mpi_track.errors import MpiTrackError


class SaidRow(QLabel):
    """Hidden while there is nothing to say."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setVisible(False)

    def say(self, words: str) -> None:
        """Say what was just done; nothing to say hides the line."""
        self.setText(escape(words))
        self.setVisible(bool(words))

    def attempt(self, step: Callable[[], None]) -> None:
        """Do one thing a person asked for; an error of theirs is a sentence and what to do, not a crash."""
        self.say("")
        try:
            step()
        except MpiTrackError as error:
            self.setText(f"<b>&#9888; Not done.</b> {error_in_words(error)}")
            self.setVisible(True)
        except OSError as error:
            # A folder that may not be written to, a full disk: no fault of the program's either.
            name = "" if error.filename is None else f" ({Path(str(error.filename)).name})"
            why = escape(f"{error.strerror or error}{name}.")
            self.setText(f"<b>&#9888; Not done.</b> {why}<br><b>What to do:</b> Choose another folder.")
            self.setVisible(True)


def error_in_words(error: MpiTrackError) -> str:
    """Return an error as HTML: one sentence, the file's name where there is one, and what to do."""
    place = "" if error.file is None else f" ({error.file.name})"
    what = f"{error.what[:1].upper()}{error.what[1:]}{place}."
    remedy = f"<br><b>What to do:</b> {escape(error.remedy)}." if error.remedy else ""
    return f"{escape(what)}{remedy}"
