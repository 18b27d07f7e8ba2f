"""Text that changes at every key stroke without the whole panel being laid out again."""

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent, QWheelEvent
from qtpy.QtWidgets import QFrame, QSizePolicy, QTextEdit, QWidget


class StillText(QTextEdit):
    """HTML to be read and copied, as high as its text.

    A label asks for a new layout of all that it lies in whenever its text changes; this asks only when its height does.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._html = ""
        self.setReadOnly(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setStyleSheet("background: transparent; border: none; padding: 0; margin: 0;")
        if (document := self.document()) is not None:
            document.setDocumentMargin(0)

    def show_html(self, html: str) -> None:
        """Show this text; nothing happens if it is there already."""
        if html != self._html:
            self._html = html
            self.setHtml(html)
            self._fit()

    def text(self) -> str:
        """Return the HTML that is shown."""
        return self._html

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        super().resizeEvent(event)
        self._fit()

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        # The wheel scrolls the panel; all of the text is in view.
        if event is not None:
            event.ignore()

    def _fit(self) -> None:
        document = self.document()
        if document is None:
            return
        height = int(document.size().height()) + 1
        if height != self.height():
            self.setFixedHeight(height)
