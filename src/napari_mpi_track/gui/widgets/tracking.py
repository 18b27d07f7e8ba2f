"""The panel *Track*: what is left of the label over days, how fast it leaves, and where it was on every day."""

from typing import TYPE_CHECKING, Any

from napari_mpi_track.gui.samples import sample_study
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.steps import go_to, step_states
from napari_mpi_track.gui.study_run import run_in_folder
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.track_choices import OfferedChoices, TrackChoices
from napari_mpi_track.gui.track_figures import CurvePoint, figure_of, points_of
from napari_mpi_track.gui.track_results import Followed, follow, offered
from napari_mpi_track.gui.widgets.figure_canvas import FigureView
from napari_mpi_track.gui.widgets.panel_frame import PanelFrame
from napari_mpi_track.gui.widgets.track_body import TrackBody
from napari_mpi_track.gui.widgets.track_days import TrackDays
from napari_mpi_track.gui.widgets.track_saving import TrackSaving
from napari_mpi_track.gui.widgets.views_dock import ViewsDock
from napari_mpi_track.longitudinal.study_file import load_study

if TYPE_CHECKING:
    from napari.viewer import Viewer

SENTENCE = "Follows what is left in every organ over days, and shows all days of an animal on one anatomy."


class TrackPanel(PanelFrame):
    """Curves, half-lives and arms of a measured study; its days as one layer."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__(Session.of(napari_viewer), "Track", SENTENCE)
        self.contents = TrackBody()
        self.body.addWidget(self.contents)
        self.view = FigureView()
        self.dock = ViewsDock(napari_viewer, self, self.view, "Track: curves")
        self.followed: Followed | None = None
        self._drawn: Any = None
        self._working: Task | None = None
        self.days = TrackDays(self.session, napari_viewer, self.contents, self._watch)
        self.saving = TrackSaving(self.session, self.contents, self._watch)
        self._connect(napari_viewer)
        self.listen(self._redraw)
        self._redraw()

    def measure(self) -> None:
        """Measure the days of the study that are not measured yet; the results stand beside its file."""
        study = self.session.state.study
        if study is None:
            return

        def keep(summary: Any) -> None:
            if self.session.state.study is study:
                self.session.keep_run(summary)

        folder = study.file.parent / "results"
        task = Task(lambda progress: run_in_folder(study, folder, progress), "Measuring the study")
        task.succeeded.connect(keep)
        self._watch(task)

    def open_study(self, path: str) -> None:
        """Read a study file and show its days."""
        self._open(Task(lambda _: load_study(path), "Reading the study"))

    def open_sample(self) -> None:
        """Simulate the sample study, unless it is there already, and open it."""
        self._open(Task(lambda progress: load_study(sample_study("car-t", progress)), "Simulating the sample"))

    def _open(self, task: Task) -> None:
        task.succeeded.connect(self.session.open_study)
        self._watch(task)

    def choose(self, choices: TrackChoices) -> None:
        """Show other curves; a choice is a step that can be undone."""
        self.session.choose_track(choices.plain() if isinstance(choices, OfferedChoices) else choices)

    def _redraw(self) -> None:
        state = self.session.state
        self.steps.show_states(step_states(state))
        self.show_history()
        self.contents.show_state(state, is_working=self._working is not None)
        self.followed = None
        if state.study is not None and state.run is not None:
            self._show_curves(offered(state.track, state.study, state.run))
        else:
            self._drawn = None
            self.contents.card.show_followed(None, state.track, None)
            self.view.show_figure(None, ())
        self.dock.want(self.followed is not None)
        self.days.redraw(is_working=self._working is not None)
        self.saving.show(self.followed, self.days.shown.series, has_figure=self.view.has_figure)

    def _show_curves(self, choices: OfferedChoices) -> None:
        state = self.session.state
        assert state.study is not None
        assert state.run is not None
        plain = choices.plain()
        whose = state.subject if plain.view == "animal" else None
        if self._drawn is not None:
            run, study, shown, self.followed = self._drawn
            # Studies are compared as objects: they may hold arrays.
            if run is state.run and study is state.study and shown == (plain, whose):
                return
        self.followed = follow(state.run, state.study, plain)
        self._drawn = (state.run, state.study, (plain, whose), self.followed)
        self.contents.show_choices(choices, self.followed)
        self.contents.card.show_followed(self.followed, plain, state.subject)
        figure, why_not = figure_of(self.followed, plain, state.subject)
        points = [] if figure is None else points_of(figure, self.followed, plain, state.subject)
        self.view.show_figure(figure, points, why_not)

    def _on_point(self, point: CurvePoint) -> None:
        self.days.go_to(point.subject, point.day, point.organ)

    def _watch(self, task: Task) -> None:
        self._working = task
        self.destroyed.connect(task.abandon)
        task.finished.connect(self._end_work)
        self.contents.work.follow(task)
        self._redraw()
        task.start()

    def _end_work(self) -> None:
        self._working = None
        self._redraw()

    def _connect(self, viewer: Any) -> None:
        parts = self.contents
        self.steps.asked_for.connect(lambda step: go_to(viewer, step))
        parts.open_button.chosen.connect(self.open_study)
        parts.sample_button.clicked.connect(self.open_sample)
        parts.run_button.clicked.connect(self.measure)
        parts.form.changed.connect(self.choose)
        parts.curves_button.clicked.connect(self.dock.show_again)
        self.view.clicked.connect(self._on_point)
