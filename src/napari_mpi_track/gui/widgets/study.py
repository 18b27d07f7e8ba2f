"""The panel *Study*: open a study, see its days, run it to cells per organ."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog

from napari_mpi_track.gui.day_picture import DayPicture, day_picture
from napari_mpi_track.gui.day_scans import DayScans, brightest_mpi, scans_aligned
from napari_mpi_track.gui.samples import sample_study
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.shown_day import ShownDay
from napari_mpi_track.gui.steps import go_to, step_states
from napari_mpi_track.gui.study_run import result_of_day, run_in_folder, scans_to_look_at
from napari_mpi_track.gui.tasks import Progress, Task
from napari_mpi_track.gui.widgets.panel_frame import PanelFrame
from napari_mpi_track.gui.widgets.study_body import StudyBody
from napari_mpi_track.longitudinal.study_file import load_study

if TYPE_CHECKING:
    from napari.viewer import Viewer

# A quick hand on the grid asks for many days; they are read one after the other, those passed over not at all.
_ONE_LOOK_AT_A_TIME = Lock()
SENTENCE = "Shows what was scanned of whom and when, and measures the whole study: cells per organ per day."


class StudyPanel(PanelFrame):
    """One study: its days as a grid, the day in view in the viewer, and what a run of it came to."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__(Session.of(napari_viewer), "Study", SENTENCE)
        self._shown = ShownDay(napari_viewer)
        self._brightest: dict[tuple[Path, str], float | None] = {}
        self._wanted: Any = None
        self._looking: Task | None = None
        self._working: Task | None = None
        self.contents = StudyBody()
        self.body.addWidget(self.contents)
        self.contents.open_button.clicked.connect(self._choose_file)
        self.contents.another_button.clicked.connect(self._choose_file)
        self.contents.sample_button.clicked.connect(self.open_sample)
        self.contents.run_button.clicked.connect(self.run)
        self.contents.align_button.clicked.connect(self._align)
        self.contents.folder_button.clicked.connect(self._choose_folder)
        self.contents.report_button.clicked.connect(self._open_report)
        self.contents.grid.chosen.connect(self.session.look_at)
        self.steps.asked_for.connect(lambda step: go_to(napari_viewer, step))
        self.listen(self._redraw)
        self._redraw()

    def open_study(self, path: str | Path) -> None:
        """Read a study file and show its days."""
        self._begin(Task(lambda _: load_study(path), "Reading the study"), self.session.open_study)

    def open_sample(self) -> None:
        """Simulate the sample study, unless it is there already, and show its days."""
        task = Task(lambda progress: load_study(sample_study("car-t", progress)), "Simulating the sample")
        self._begin(task, self.session.open_study)

    def run(self) -> None:
        """Measure every day of the study and write tables, figures and report into the chosen folder."""
        study = self.session.state.study
        if study is None:
            return
        folder = self.contents.folder or study.file.parent / "results"

        def keep(summary: Any) -> None:
            if self.session.state.study is study:
                self.session.keep_run(summary)

        self._begin(Task(lambda progress: run_in_folder(study, folder, progress), "Measuring the study"), keep)

    def _begin(self, task: Task, on_success: Any) -> None:
        self._working = task
        self.destroyed.connect(task.abandon)
        task.succeeded.connect(on_success)
        task.finished.connect(self._end_work)
        self.contents.work.follow(task)
        self._redraw()
        task.start()

    def _end_work(self) -> None:
        self._working = None
        self._redraw()

    def _redraw(self) -> None:
        state = self.session.state
        self.steps.show_states(step_states(state))
        self.show_history()
        self.contents.show_state(state, is_working=self._working is not None)
        self.contents.show_result(state, result_of_day(state))
        wanted = (state.study, state.subject, state.day, state.run, state.shows_series)
        if wanted != self._wanted:
            self._wanted = wanted
            self._look(lambda progress: scans_to_look_at(state, progress), "Reading")

    def _align(self) -> None:
        state = self.session.state
        if state.study is not None and state.in_view is not None:
            study, (subject, timepoint) = state.study, state.in_view
            self._look(lambda progress: scans_aligned(study, subject, timepoint, progress), "Aligning")

    def _look(self, scans_of: Callable[[Progress], DayScans], verb: str) -> None:
        """Draw the day in view, read off the GUI thread; a day asked for later takes its place."""
        state = self.session.state
        if self._looking is not None:
            self._looking.cancel()
        self.contents.show_picture(None)
        # The panel Track draws all days where they are looked at together.
        if state.study is None or state.in_view is None or state.shows_series:
            self._shown.clear()
            return
        study, (subject, timepoint) = state.study, state.in_view
        known = self._brightest.get((study.file, subject.id))

        def work(progress: Progress) -> DayPicture | None:
            with _ONE_LOOK_AT_A_TIME:
                if progress.should_stop():
                    return None
                top = known if known is not None else brightest_mpi(study, subject)
                return day_picture(subject.id, timepoint.day, scans_of(progress), top)

        self._looking = Task(work, f"{verb} {subject.id}, day {timepoint.day:g}")
        self._looking.succeeded.connect(lambda picture: self._draw(study.file, picture))
        self.destroyed.connect(self._looking.abandon)
        self.contents.looking.follow(self._looking)
        self._looking.start()

    def _draw(self, study_file: Path, picture: DayPicture) -> None:
        self._brightest[study_file, picture.subject] = picture.brightest
        self._shown.show(picture)
        self.contents.show_picture(picture)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a study", "", "Study (*.yaml *.yml)")
        if path:
            self.open_study(path)

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Where the results go")
        if path:
            self.contents.show_folder(Path(path))

    def _open_report(self) -> None:
        run = self.session.state.run
        if run is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(run.report)))
