"""Which scan stays and which is brought to it: layers by name, with the colour of their modality."""

from html import escape

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_mpi_track.gui.alignment_draft import AlignmentDraft, ChosenScan
from napari_mpi_track.gui.alignment_scans import DayOfStudy, Offer
from napari_mpi_track.gui.looks import MODALITY_COLOURS
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox

_NONE = "choose a scan"
_TIPS = {
    "fixed": "The scan that stays: the anatomy.",
    "moving": "The scan that is brought to it: the MPI. Its layer is not touched.",
}


class ScanChoice(QWidget):
    """Two scans and the day of the study they are of; ``chosen`` holds the side and the layer's name."""

    chosen = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.day, self.note = wrapped(), wrapped()
        self.boxes = {side: CalmComboBox() for side in _TIPS}
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for side, box in self.boxes.items():
            box.setToolTip(_TIPS[side])
            box.setAccessibleName(f"{side} scan")
            box.activated.connect(lambda _, side=side, box=box: self._tell(side, box.currentData()))
            form.addRow(QLabel(side.capitalize()), box)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.day)
        column.addLayout(form)
        column.addWidget(self.note)

    def show_choice(self, offered: tuple[Offer, ...], draft: AlignmentDraft, day: DayOfStudy | None) -> None:
        """Show what can be chosen and what is; a scan whose layer is gone stays chosen and is said to be gone."""
        self.day.setText(
            "" if day is None else f"<b>{escape(day.subject.id)}</b>, <b>day {day.timepoint.day:g}</b> of the study"
        )
        self.day.setVisible(day is not None)
        for side, scan in (("fixed", draft.fixed), ("moving", draft.moving)):
            _fill(self.boxes[side], offered, scan)
        notes = [scan.note for scan in (draft.fixed, draft.moving) if scan is not None and scan.note]
        self.note.setText("<br>".join(escape(note) for note in notes))
        self.note.setVisible(bool(notes))

    def _tell(self, side: str, name: str) -> None:
        if name:
            self.chosen.emit(side, name)


def _fill(box: CalmComboBox, offered: tuple[Offer, ...], scan: ChosenScan | None) -> None:
    with QSignalBlocker(box):
        box.clear()
        if scan is None:
            box.addItem(_NONE, "")
        for offer in offered:
            box.addItem(_square(offer.modality), offer.name, offer.name)
        if scan is not None and box.findData(scan.name) < 0:
            box.insertItem(0, f"{scan.name} (not in the viewer)", scan.name)
        box.setCurrentIndex(max(0 if scan is None else box.findData(scan.name), 0))


def _square(modality: str) -> QIcon:
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(MODALITY_COLOURS.get(modality, "#b8b8b8")))
    return QIcon(pixmap)
