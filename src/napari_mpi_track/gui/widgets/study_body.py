"""What stands in the panel *Study*, top to bottom; what a click does is the panel's business."""

from pathlib import Path

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_mpi_track.gui.day_picture import DayPicture
from napari_mpi_track.gui.session import State
from napari_mpi_track.gui.study_run import DayResult, day_states
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.progress_row import ProgressRow
from napari_mpi_track.gui.widgets.result_card import ResultCard
from napari_mpi_track.gui.widgets.timepoint_grid import TimepointGrid
from napari_mpi_track.gui.widgets.where_we_are import WhereWeAre
from napari_mpi_track.longitudinal.study import Study


class StudyBody(QWidget):
    """The parts of the panel; ``show_state`` and ``show_result`` fill them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._study: Study | None = None
        self.folder: Path | None = None
        self.first = wrapped("<b>Begin here.</b> Open the study file that lists your scans, or try the sample.")
        self.open_button = _button("Open a study", "Choose a study.yaml.")
        self.another_button = _button("Open another study", "Choose another study.yaml; Undo brings this one back.")
        self.sample_button = _button("Try the sample", "Simulate a small study with known truth and open it.")
        self.where, self.grid, self.result = WhereWeAre(), TimepointGrid(), ResultCard()
        self.looking, self.work = ProgressRow(), ProgressRow()
        self.align_button = _button("", "Align the scans as the study says and draw them so.")
        self.run_button = _button("Measure organs of all days", "Align and measure every day, write tables and report.")
        self.run_button.setStyleSheet("font-weight: bold; padding: 6px;")
        self.why_not = wrapped()
        self.report_button = _button("Open the report", "Tables, curves and pictures, in the browser.")
        self.folder_button = _button("Change ...", "Choose the folder the results go to.")
        self.folder_label = wrapped()
        self.more = _more_switch()
        self._more_row = QWidget()
        self._lay_out()
        self.more.toggled.connect(self._more_row.setVisible)

    def show_state(self, state: State, *, is_working: bool) -> None:
        """Show the study and the day in view; while it is working nothing else can be begun."""
        study = state.study
        for beginning in (self.first, self.open_button, self.sample_button):
            beginning.setVisible(study is None)
            beginning.setEnabled(not is_working)
        for part in (self.grid, self.run_button, self.more, self.another_button):
            part.setVisible(study is not None)
        self.where.show_state(state)
        self.run_button.setEnabled(not is_working)
        self.another_button.setEnabled(not is_working)
        self.why_not.setVisible(study is not None and is_working)
        self.why_not.setText("Wait until this is done, or cancel it.")
        self._more_row.setVisible(study is not None and self.more.isChecked())
        if study is None:
            self._study = None
            return
        if study is not self._study:
            self._study = study
            self.show_folder(study.file.parent / "results")
        self.grid.show_study(study, day_states(state))
        self.grid.mark(state.subject, state.day)

    def show_result(self, state: State, result: DayResult | None) -> None:
        """Show what the run came to for the day in view, and the way to the report."""
        self.report_button.setVisible(state.run is not None)
        if result is None or state.subject is None or state.day is None:
            self.result.clear()
        elif result.failure is not None:
            self.result.show_failure((state.subject, state.day), result.failure)
        else:
            self.result.show_day((state.subject, state.day), result.measurements, result.alignments)

    def show_picture(self, picture: DayPicture | None) -> None:
        """Show what should be known of the picture now drawn, and the way to a better aligned one."""
        self.where.show_notes(() if picture is None else picture.notes)
        missing = "" if picture is None else picture.missing
        self.align_button.setText(missing)
        self.align_button.setVisible(bool(missing))

    def show_folder(self, folder: Path) -> None:
        """Show where the results will go."""
        self.folder = folder
        self.folder_label.setText(f"Results go to the folder <b>{folder.name}</b>")
        self.folder_label.setToolTip(str(folder))

    def _lay_out(self) -> None:
        row = QHBoxLayout(self._more_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.folder_label, 1)
        row.addWidget(self.folder_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        parts = (
            self.first, self.open_button, self.sample_button, self.where, self.grid, self.looking, self.align_button,
            self.run_button, self.why_not, self.more, self._more_row, self.work, self.result, self.report_button,
            self.another_button,
        )  # fmt: skip
        for part in parts:
            column.addWidget(part)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _more_switch() -> QToolButton:
    switch = QToolButton()
    switch.setText("More")
    switch.setCheckable(True)
    switch.setToolTip("Settings that rarely need changing.")
    return switch
