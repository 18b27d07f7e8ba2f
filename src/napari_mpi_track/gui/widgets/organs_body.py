"""What stands in the panel *Organs*, top to bottom; what a click does is the panel's business."""

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_mpi_track.gui.organ_draft import OrganDraft
from napari_mpi_track.gui.session import State
from napari_mpi_track.gui.widgets.file_buttons import SaveButton
from napari_mpi_track.gui.widgets.finds_part import FindsPart
from napari_mpi_track.gui.widgets.organ_card import OrganCard
from napari_mpi_track.gui.widgets.organ_errors import ErrorsPart
from napari_mpi_track.gui.widgets.organ_table import OrganTable
from napari_mpi_track.gui.widgets.organ_words import first_words
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.panel_parts import button, section, side_by_side, stacked
from napari_mpi_track.gui.widgets.progress_row import ProgressRow
from napari_mpi_track.gui.widgets.reading_part import ReadingPart
from napari_mpi_track.gui.widgets.said_row import SaidRow
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox
from napari_mpi_track.gui.widgets.signal_part import SignalPart
from napari_mpi_track.gui.widgets.still_text import StillText

_MAIN = "font-weight: bold; padding: 6px;"
_USUAL = ("tumour", "liver", "lungs", "spleen", "kidneys", "bladder", "bone", "heart", "brain", "knee", "background")
_LABELS = "Labels (*.nii.gz *.nii *.nrrd *.seg.nrrd *.mha);;DICOM Segmentation (*.dcm)"


class OrgansBody(QWidget):
    """The parts of the panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.first = wrapped("<b>Begin here.</b> Open a study and click one of its days: its organs are drawn there.")
        self.study_button = button("Go to the study", "Open a study and click a day.")
        self.where, self.said, self.details = wrapped(), SaidRow(), StillText()
        self.table = OrganTable()
        self.name = CalmComboBox()
        self.name.setEditable(True)
        self.name.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.name.addItems(_USUAL)
        self.name.setToolTip("Of an organ to be added. “background” holds seeds back, and goes when they have grown.")
        self.add_button = button("Add organ", "Add an organ of this name, to be painted.")
        self.lock_button = button("Lock", "Painting neither takes from a locked organ nor adds to it.")
        self.delete_button = button("Delete", "Take the chosen organ away; Undo brings it back.")
        self.other = CalmComboBox()
        self.other.setToolTip("The organ that the chosen one becomes part of.")
        self.join_button = button("Join with", "Make the chosen organ part of the other one.")
        self.by = QLineEdit()
        self.by.setPlaceholderText("your name")
        self.by.setToolTip("Who approves, or signs a reading: it is kept with the time.")
        self.approve_button = button("Approve", "Say that this organ is right as it is drawn: it is locked.")
        self.views_button = button("Show the three views", "Paint in axial, coronal and sagittal views.")
        self.run_button = button("Measure organs", "Align the day's scans and measure every organ, as a run would.")
        self.why_not, self.work, self.card = wrapped(), ProgressRow(), OrganCard()
        self.use_button = button("Use in the study", "Write the organs beside the study; the open study uses them.")
        for main in (self.run_button, self.use_button):
            main.setStyleSheet(_MAIN)
        self.write_button = button("Write it into the study file", "Put the lines into study.yaml.")
        self.signal = section("Signal above a threshold, by rule", "A slider with a live outline; all rules compared.")
        self.blur = section("Spill-over between organs", "What part of each organ's signal appears in another one.")
        self.errors = section("Error of the chosen organ", "Which term makes how much of it: a waterfall.")
        self.finds = section("Find organs", "Body, bone, lungs; grown from seeds; an atlas's; a file's.")
        self.reading = section("Blinded reading", "Draw without knowing whose scan it is.")
        self.signal_part, self.matrix, self.finds_part = SignalPart(), wrapped(), FindsPart()
        self.reading_part, self.errors_part = ReadingPart(), ErrorsPart()
        self.matrix_button = SaveButton("Save picture ...", "Save the matrix.", "Pictures (*.png *.svg)", ".png")
        self.save_button = SaveButton("Save organs ...", "Write the labels with their names.", _LABELS, ".nii.gz")
        self.table_button = SaveButton("Save table ...", "Write all numbers as CSV.", "Tables (*.csv)", ".csv")
        self._lay_out()

    def show_state(
        self, state: State, draft: OrganDraft | None, *, is_set: bool, is_working: bool, is_ct: bool
    ) -> None:
        """Show where one is, and what can be done now; bone and lungs are found in a CT alone."""
        has_day = state.organ_day is not None
        self.first.setVisible(not has_day)
        self.study_button.setVisible(not has_day)
        self.first.setText(first_words(state))
        self.where.setVisible(has_day)
        self.finds.setVisible(has_day)
        has_draft = draft is not None
        for part in (self.table, self.details, self._edits, self._approval, self.views_button, self.saves):
            part.setVisible(has_draft)
        self.run_button.setVisible(has_day and not is_set)
        self.signal.setVisible(is_set)
        self.blur.setVisible(is_set)
        self.use_button.setVisible(has_draft and is_set)
        self.errors.setVisible(is_set)
        self.errors_part.setVisible(is_set and self.errors.isChecked())
        self._signal_box.setVisible(is_set and self.signal.isChecked())
        self._blur_box.setVisible(is_set and self.blur.isChecked())
        self.finds_part.setVisible(has_day and self.finds.isChecked())
        self.reading.setVisible(state.study is not None)
        self.reading_part.setVisible(state.study is not None and self.reading.isChecked())
        busy = "Wait until this is done, or cancel it." if is_working else ""
        unset = "" if is_set else "Measure the organs first: that reads the day's scans."
        self.finds_part.show_ready(busy or unset, is_ct=is_ct)
        self.why_not.setText(busy or (unset if self.finds.isChecked() else ""))
        self.why_not.setVisible(has_day and bool(self.why_not.text()))
        for part in (self.run_button, self.use_button, self.signal_part.take_button, self.signal_part.compare_button):
            part.setEnabled(not is_working)

    def show_where(self, text: str) -> None:
        """Show whose organs these are, in HTML."""
        self.where.setText(text)

    def show_chosen(self, draft: OrganDraft | None, label: int, details: str, flags: tuple[str, ...]) -> None:
        """Show what is known of the organ that is chosen, and what can be done with it."""
        is_organ = draft is not None and label in draft.names
        is_shut = draft is not None and label in draft.shut
        self.lock_button.setText("Open lock" if is_shut else "Lock")
        for part in (self.lock_button, self.approve_button):
            part.setEnabled(is_organ)
        for part in (self.delete_button, self.join_button):
            part.setEnabled(is_organ and not is_shut)
        self.details.show_html("<br>".join(escape(line) for line in (details, *flags) if line))
        others = {} if draft is None else {n: name for n, name in draft.names.items() if n != label}
        if [self.other.itemData(n) for n in range(self.other.count())] != list(others):
            self.other.clear()
            for value, name in others.items():
                self.other.addItem(name, value)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._edits = stacked(
            side_by_side(self.name, self.add_button),
            side_by_side(self.lock_button, self.delete_button),
            side_by_side(self.join_button, self.other),
        )
        self._approval = stacked(side_by_side(self.by, self.approve_button))
        self.saves = stacked(side_by_side(self.save_button, self.table_button))
        self._signal_box = stacked(self.signal_part)
        self._blur_box = stacked(self.matrix, self.matrix_button)
        for part in (
            self.first, self.study_button, self.where, self.table, self.details, self._edits, self._approval,
            self.said, self.views_button, self.run_button, self.why_not, self.work, self.card, self.use_button,
            self.write_button, self.signal, self._signal_box, self.blur, self._blur_box, self.errors,
            self.errors_part, self.finds, self.finds_part, self.reading, self.reading_part, self.saves,
        ):  # fmt: skip
            column.addWidget(part)
        boxes = {
            self.signal: self._signal_box, self.blur: self._blur_box, self.errors: self.errors_part,
            self.finds: self.finds_part, self.reading: self.reading_part,
        }  # fmt: skip
        for switch, box in boxes.items():
            switch.toggled.connect(box.setVisible)
        self.write_button.setVisible(False)
        self.details.setAlignment(Qt.AlignmentFlag.AlignLeft)
