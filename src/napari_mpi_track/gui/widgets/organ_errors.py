"""The section *Errors*: what the error of the chosen organ is made of, as a waterfall."""

from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_mpi_track.gui.organ_day import MeasuredOrgans
from napari_mpi_track.gui.organ_files import error_picture
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.file_buttons import SaveButton
from napari_mpi_track.gui.widgets.panel_frame import wrapped

_WIDTH_PX = 350


class ErrorsPart(QWidget):
    """Draws off the window's thread, one picture at a time; the newest that was asked for is drawn."""

    drawn = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.picture, self.said = QLabel(), wrapped()
        self.picture.setAccessibleName("terms of the chosen organ's error, each as an SD")
        self.picture.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.save_button = SaveButton(
            "Save picture ...", "Save the terms of every organ's error.", "Pictures (*.png *.svg)", ".png"
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.said, self.picture, self.save_button):
            column.addWidget(part)
        self._shown: Any = None
        self._wanted: Any = None
        self._task: Task | None = None

    def show_organ(self, measured: MeasuredOrgans | None, organ: str) -> None:
        """Draw the terms of an organ's error as it was measured last."""
        row = None if measured is None else measured.row(organ)
        terms = [] if measured is None or row is None else [t for t in measured.rows.budget if t.organ == row.organ]
        self.save_button.setEnabled(measured is not None and bool(measured.rows.budget))
        self.said.setText("" if terms else "Choose an organ that is measured.")
        self.said.setVisible(not terms)
        self.picture.setVisible(bool(terms))
        self._wanted = (measured, row.organ) if terms and row is not None else None
        self._draw()

    def _draw(self) -> None:
        wanted = self._wanted
        if wanted is None or self._task is not None or _is_same(wanted, self._shown):
            return
        ratio = self.devicePixelRatioF()
        measured, organ = wanted
        self._task = Task(lambda _: error_picture(measured, organ, round(_WIDTH_PX * ratio)), "Drawing the errors")
        self._task.succeeded.connect(lambda content: self._show(wanted, content, ratio))
        self._task.finished.connect(self._end)
        self.destroyed.connect(self._task.abandon)
        self._task.start()

    def _show(self, wanted: Any, content: bytes, ratio: float) -> None:
        self._shown = wanted
        pixels = QPixmap()
        pixels.loadFromData(content)
        pixels.setDevicePixelRatio(ratio)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignLeft)
        self.picture.setPixmap(pixels)
        self.picture.setFixedHeight(round(pixels.height() / ratio))

    def _end(self) -> None:
        self._task = None
        self.drawn.emit()
        if self._shown is not None:
            self._draw()


def _is_same(one: Any, other: Any) -> bool:
    return other is not None and one[0] is other[0] and one[1] == other[1]
