"""What stands in the panel Track, top to bottom; what a click does is the panel's business."""

from html import escape

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mpi_track.gui.session import State
from napari_mpi_track.gui.study_run import day_states
from napari_mpi_track.gui.track_choices import MODELS, OfferedChoices, TrackChoices
from napari_mpi_track.gui.track_movie import MOVIES
from napari_mpi_track.gui.track_results import Followed
from napari_mpi_track.gui.widgets.file_buttons import OpenButton, SaveButton
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.panel_parts import button, section, side_by_side, stacked
from napari_mpi_track.gui.widgets.progress_row import ProgressRow
from napari_mpi_track.gui.widgets.said_row import SaidRow
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox, SettingsForm
from napari_mpi_track.gui.widgets.timepoint_grid import TimepointGrid
from napari_mpi_track.gui.widgets.track_card import TrackCard

_MAIN = "font-weight: bold; padding: 6px;"
_FIGURES = "Pictures (*.svg *.png *.pdf)"
_TABLES = "Tables (*.csv *.json)"
_FILMS = "Movies (*.mp4 *.gif)"


class TrackBody(QWidget):
    """The parts of the panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.first = wrapped("<b>Begin here.</b> Open the study file that lists your scans, or try the sample.")
        self.open_button = OpenButton("Open a study", "Choose a study.yaml.", "Study (*.yaml *.yml)")
        self.sample_button = button("Try the sample", "Simulate a small study with known truth and open it.")
        self.where, self.grid, self.notes = wrapped(), TimepointGrid(), wrapped()
        self.run_button = button("Measure all days", "Align and measure every day; what is measured already is kept.")
        self.run_button.setStyleSheet(_MAIN)
        self.why_not, self.work, self.said = wrapped(), ProgressRow(), SaidRow()
        self.form = SettingsForm(TrackChoices())
        self.in_file = wrapped()
        self.card = TrackCard()
        self.curves_button = button("Show the curves", "Bring back the curves beneath the picture.")
        self.series_button = button("Show all days in the picture", "One layer over the days of this animal.")
        self.figure_button = SaveButton("Save figure ...", "Write this figure at print size.", _FIGURES, ".svg")
        self.table_button = SaveButton("Save retention ...", "Write the rows of retention shown.", _TABLES, ".csv")
        self.decay_button = SaveButton("Save half-lives ...", "Write the fits shown, with intervals.", _TABLES, ".csv")
        self.movie_button = SaveButton("Save movie ...", "Days one after the other, or turning.", _FILMS, ".mp4")
        self.movie_kind = CalmComboBox()
        self.movie_kind.setToolTip("What the movie shows.")
        for kind, words in MOVIES.items():
            self.movie_kind.addItem(words, kind)
        self.saves = section("Save and export", "Figure, tables and movie.")
        self._lay_out()

    def show_state(self, state: State, *, is_working: bool) -> None:
        """Show where one is, and what can be done now."""
        has_study, has_run = state.study is not None, state.run is not None
        for part in (self.first, self.open_button, self.sample_button):
            part.setVisible(not has_study)
            part.setEnabled(not is_working)
        self.where.setVisible(has_study)
        self.grid.setVisible(has_study)
        self.run_button.setVisible(has_study and not has_run)
        self.run_button.setEnabled(not is_working)
        self.form.setVisible(has_run)
        self.saves.setVisible(has_run)
        for one in (self.curves_button, self.series_button):
            one.setVisible(has_run)
        self.series_button.setVisible(has_run and not state.shows_series)
        self._save_box.setVisible(has_run and self.saves.isChecked())
        self.why_not.setText(_why_not(state, is_working=is_working))
        self.why_not.setVisible(has_study and bool(self.why_not.text()))
        has_day = state.in_view is not None
        self.series_button.setEnabled(has_day and not is_working)
        self.series_button.setToolTip("One layer over the days." if has_day else "Click a day first: whose days?")
        if state.study is not None:
            self.where.setText(_where(state))
            self.grid.show_study(state.study, day_states(state))
            self.grid.mark(state.subject, state.day)

    def show_choices(self, choices: OfferedChoices, followed: Followed | None) -> None:
        """Show what is chosen, and what a study file must say for a run to do the same."""
        self.form.show_settings(choices)
        self.form.show_row("modality", is_shown=choices.view != "pet")
        is_other = followed is not None and not followed.is_as_run
        self.in_file.setVisible(is_other)
        if followed is not None and is_other:
            lines = f"reference: {followed.study.reference}", f"decay_model: {followed.study.decay_model}"
            self.in_file.setText(
                "Refitted from the same measurements; the report keeps the study's own choice. For a run like this,"
                f" the study file says <b>{escape(lines[0])}</b> and <b>{escape(lines[1])}</b>"
                f" ({escape(MODELS[followed.study.decay_model])})."
            )

    def show_ready(self, *, figure: str, movie: str) -> None:
        """Show what can be saved; of each, why not, or nothing."""
        told = ((self.figure_button, figure), (self.movie_button, movie))
        for saver, why in told:
            saver.setEnabled(not why)
            saver.setToolTip(why or saver.text().removesuffix(" ..."))
        self.movie_why.setText(escape(" ".join(dict.fromkeys(why for _, why in told if why))))
        self.movie_why.setVisible(bool(self.movie_why.text()))

    def _lay_out(self) -> None:
        self.movie_why = wrapped()
        self._save_box = stacked(
            side_by_side(self.figure_button, self.table_button),
            side_by_side(self.decay_button),
            side_by_side(self.movie_button, self.movie_kind),
            self.movie_why,
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (
            self.first, self.open_button, self.sample_button, self.where, self.grid, self.run_button, self.why_not,
            self.work, self.notes, self.form, self.in_file, self.card, self.series_button, self.curves_button,
            self.saves, self._save_box, self.said,
        ):  # fmt: skip
            column.addWidget(part)
        self.saves.toggled.connect(self._save_box.setVisible)
        self.in_file.setVisible(False)
        self.notes.setVisible(False)


def _where(state: State) -> str:
    assert state.study is not None
    lines = [f"<b>{escape(state.study.name)}</b>"]
    if state.in_view is not None:
        subject, timepoint = state.in_view
        group = f" ({escape(subject.group)})" if subject.group else ""
        lines.append(f"<b>{escape(subject.id)}</b>{group}, <b>day {timepoint.day:g}</b>")
    else:
        lines.append("Click a day below: its animal's days are shown.")
    return "<br>".join(lines)


def _why_not(state: State, *, is_working: bool) -> str:
    if is_working:
        return "Wait until this is done, or cancel it."
    if state.study is not None and state.run is None:
        return "Curves need measured days: this measures those that are not measured yet."
    return ""
