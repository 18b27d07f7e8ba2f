"""The panel *Calibrate*: from a table of samples to the line that turns signal into cells."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mpi_track.gui.calibration_columns import Columns, choose_columns, draft_with, require_room
from napari_mpi_track.gui.calibration_draft import Draft, Rows, fitted
from napari_mpi_track.gui.calibration_files import curve_beside, draft_of_file, draft_of_study, save_draft
from napari_mpi_track.gui.samples import sample_study
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.steps import go_to, step_states
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.tube_filling import FilledTable, draft_filled
from napari_mpi_track.gui.widgets.calibration_body import CalibrationBody
from napari_mpi_track.gui.widgets.panel_frame import PanelFrame
from napari_mpi_track.gui.widgets.table_keys import copied_text
from napari_mpi_track.quantification.pasted_table import parse_table, read_table_file

if TYPE_CHECKING:
    from napari.viewer import Viewer

SENTENCE = "Fits the line from signal to cells, or iron, through samples of known amount."

_ONLY_NOW = "its file is as it was: name the curve there, under calibration, to keep it."


class CalibrationPanel(PanelFrame):
    """One calibration being made: its samples, the curve through them, and a saved one beside it."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__(Session.of(napari_viewer), "Calibrate", SENTENCE)
        self._seen: Draft | None = None
        self._saved: tuple[Draft, Path] | None = None
        self.contents = CalibrationBody()
        self.body.addWidget(self.contents)
        self._connect()
        self.steps.asked_for.connect(lambda step: go_to(napari_viewer, step))
        self.contents.canvas.follow_theme(napari_viewer)
        self.listen(self._redraw)
        self._redraw()

    @property
    def _draft(self) -> Draft:
        return self.session.state.draft

    def keep_rows(self, rows: Rows) -> None:
        """Keep the table as it is now; a step that can be undone."""
        require_room(rows)
        self.session.keep_draft(replace(self._draft, rows=rows))

    def paste(self, text: str) -> None:
        """Take cells copied in a spreadsheet: a table with a header as the samples, a bare block at the cursor."""
        table = self.contents.table

        def take() -> None:
            pasted = parse_table(text, is_one_column=table.currentColumn() > 0)
            if pasted.width > 1 and (pasted.header or not self._draft.rows):
                self._take(choose_columns(pasted, self._draft.settings.x_quantity), "")
            else:
                self.keep_rows(table.with_block(pasted.numbers()))

        self.contents.said.attempt(take)

    def open_table(self, path: str | Path) -> None:
        """Take the samples of a CSV or text table."""
        quantity = self._draft.settings.x_quantity
        self.contents.said.attempt(lambda: self._take(choose_columns(read_table_file(path), quantity), Path(path).name))

    def take_sample(self) -> None:
        """Take the samples of the simulated study, which is made if it is not there yet."""
        task = Task(
            lambda progress: sample_study("car-t", progress).with_name("calibration.csv"), "Simulating the sample"
        )
        task.succeeded.connect(self.open_table)
        self.contents.work.run(task, self.contents.sample_button)

    def take_tubes(self, table: FilledTable) -> None:
        """Take the tubes that were measured in scans; a step that can be undone."""
        self.session.keep_draft(draft_filled(self._draft, table))
        self.contents.scans_button.setChecked(False)
        self.contents.said.say(table.said)

    def take_study(self) -> None:
        """Take the samples, and what is said of them, that the open study names."""
        study = self.session.state.study
        if study is not None:
            self.contents.said.attempt(lambda: self.session.keep_draft(draft_of_study(study)))

    def open_curve(self, path: str | Path) -> None:
        """Show a saved curve with its samples and what is said of them."""
        self.contents.said.attempt(lambda: self.session.keep_draft(draft_of_file(path)))

    def compare_with(self, path: str | Path) -> None:
        """Show a saved curve beside this one."""
        self.contents.said.attempt(lambda: self.session.compare_with(*curve_beside(self._draft, path)))

    def save(self, path: str | Path) -> None:
        """Write the curve as JSON or, by its name, as a picture; in place of a file of that name."""

        def save() -> None:
            save_draft(self._draft, path)
            if Path(path).suffix.lower() == ".json":
                self._saved = (self._draft, Path(path))
                self._redraw()
            self.contents.said.say(f"Saved as {Path(path).name}.")

        self.contents.said.attempt(save)

    def use_in_study(self) -> None:
        """Have the open study count its cells by the curve that was saved."""
        if self._saved is not None:
            self.session.use_curve(self._saved[1])
            self.contents.said.say(f"The open study now counts cells by {self._saved[1].name}; {_ONLY_NOW}")

    def _take(self, columns: Columns, source: str) -> None:
        self.session.keep_draft(draft_with(self._draft, columns, source))
        self.contents.columns.show_columns(columns)

    def _redraw(self) -> None:
        state = self.session.state
        self.steps.show_states(step_states(state))
        self.show_history()
        is_saved = self._saved is not None and self._saved[0] == state.draft
        self.contents.show_state(state, fitted(state.draft), is_saved=is_saved)
        if self._seen is None or state.draft.rows != self._seen.rows:
            self.contents.columns.show_columns(None)
        if state.draft != self._seen:
            # What was said was of the draft as it was.
            self.contents.said.say("")
        self._seen = state.draft

    def _connect(self) -> None:
        parts, session, attempt = self.contents, self.session, self.contents.said.attempt
        parts.table.edited.connect(lambda rows: attempt(lambda: self.keep_rows(rows)))
        parts.table.pasted.connect(self.paste)
        parts.table.undo_asked.connect(session.undo)
        parts.table.redo_asked.connect(session.redo)
        parts.columns.chosen.connect(lambda columns: attempt(lambda: self._take(columns, self._draft.source)))
        parts.form.changed.connect(lambda settings: session.keep_draft(replace(self._draft, settings=settings)))
        parts.low_end.toggled.connect(self._redraw)
        parts.paste_button.clicked.connect(lambda: self.paste(copied_text()))
        parts.clear_button.clicked.connect(lambda: session.keep_draft(Draft(settings=self._draft.settings)))
        parts.sample_button.clicked.connect(self.take_sample)
        parts.tubes.filled.connect(self.take_tubes)
        parts.study_button.clicked.connect(self.take_study)
        parts.alone_button.clicked.connect(session.end_comparison)
        parts.use_button.clicked.connect(self.use_in_study)
        parts.open_button.chosen.connect(self.open_table)
        parts.load_button.chosen.connect(self.open_curve)
        parts.compare_button.chosen.connect(self.compare_with)
        parts.save_button.chosen.connect(self.save)
        parts.picture_button.chosen.connect(self.save)
