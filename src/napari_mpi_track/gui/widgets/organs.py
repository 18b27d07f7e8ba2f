"""The panel *Organs*: which voxels are which organ, and what is in them, while one draws."""

from typing import TYPE_CHECKING, Any

from napari_mpi_track.gui.organ_day import OrganScene, draft_of_scene, organ_scene, organs_of_file
from napari_mpi_track.gui.organ_draft import OrganDraft
from napari_mpi_track.gui.organ_live import Change, OrganLine, change_since, organ_lines
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.steps import go_to, step_states
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.organ_drawing import Drawing
from napari_mpi_track.gui.widgets.organ_edits import OrganEdits
from napari_mpi_track.gui.widgets.organ_measuring import Measuring
from napari_mpi_track.gui.widgets.organ_outcome import OrganOutcome
from napari_mpi_track.gui.widgets.organ_signal import OrganSignal
from napari_mpi_track.gui.widgets.organ_views import OrganViews
from napari_mpi_track.gui.widgets.organ_words import where_in_words
from napari_mpi_track.gui.widgets.organs_body import OrgansBody
from napari_mpi_track.gui.widgets.panel_frame import PanelFrame
from napari_mpi_track.gui.widgets.views_dock import ViewsDock
from napari_mpi_track.imaging.volume import Modality

if TYPE_CHECKING:
    from napari.viewer import Viewer

SENTENCE = "Says which voxels are which organ, and what is in them while you draw."


class OrgansPanel(PanelFrame):
    """The organs of the day in view: listed, painted, found, measured, approved, used in the study."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__(Session.of(napari_viewer), "Organs", SENTENCE)
        self.contents, self.views = OrgansBody(), OrganViews()
        self.body.addWidget(self.contents)
        self.measuring = Measuring(self)
        self.drawing = Drawing(self.session, napari_viewer, self.views, self.contents.said.say)
        self.drawing.tell_so_far(self._show_so_far)
        self.dock = ViewsDock(napari_viewer, self, self.views, "Organs: three views")
        self.edits = OrganEdits(self.session, self.contents, self.drawing, self.measuring, self._watch)
        self.signal = OrganSignal(self.session, self.contents, self.drawing, self.measuring, self._watch)
        self.outcome = OrganOutcome(self.session, self.contents, self.measuring, self._watch)
        self.contents.reading_part.start(self.session, self.contents.by, self.contents.said, self._watch)
        self._working: Task | None = None
        self._reading: Any = None
        self._organs = self.session.state.organs
        self._connect(napari_viewer)
        self.listen(self._redraw)
        self._redraw()

    def measure(self) -> None:
        """Read and align the day's scans, and measure its organs: they are measured anew at every change then."""
        state = self.session.state
        if state.study is None or state.in_view is None:
            return
        study, (subject, timepoint) = state.study, state.in_view

        def take(scene: OrganScene) -> None:
            self.measuring.take(scene)
            if scene.key == self.session.state.organ_day:
                self.contents.said.attempt(self._begin_with_scene)
            self._redraw()

        task = Task(
            lambda progress: organ_scene(study, subject, timepoint, progress),
            f"Setting {subject.id}, day {timepoint.day:g}",
        )
        task.succeeded.connect(take)
        self._watch(task)

    def _begin_with_scene(self) -> None:
        scene = self.measuring.scene_of(self.session.state)
        if scene is not None and self.session.state.organ_draft is None:
            self.session.begin_organs(scene.key, draft_of_scene(scene))

    def _begin_with_file(self) -> None:
        """Read the day's own organs, where it has some and they are not read yet."""
        state = self.session.state
        key, in_view = state.organ_day, state.in_view
        if state.study is None or in_view is None or key is None or self._reading == key:
            return
        if state.organ_draft is not None or in_view[1].organs is None:
            return
        self._reading = key
        study, (subject, timepoint) = state.study, in_view
        task = Task(lambda _: organs_of_file(study, subject, timepoint), "Reading the organs")

        def keep(draft: OrganDraft | None) -> None:
            if draft is not None and self.session.state.organ_day == key:
                self.session.begin_organs(key, draft)

        task.succeeded.connect(keep)
        task.failed.connect(lambda failure: self.contents.said.say(f"{failure.sentence} {failure.remedy}"))
        task.finished.connect(lambda: setattr(self, "_reading", None))
        self.destroyed.connect(task.abandon)
        task.start()

    def _watch(self, task: Task) -> None:
        self._working = task
        self.destroyed.connect(task.abandon)
        task.finished.connect(lambda: self._end(task))
        self.contents.work.follow(task)
        self._redraw()
        task.start()

    def _cancel(self) -> None:
        """Be ready again at once: the thread ends when it next looks up, and what it says is not heard."""
        if self._working is not None:
            task = self._working
            task.abandon()
            self.contents.work.clear()
            self._end(task)

    def _end(self, task: Task) -> None:
        if task is self._working:
            self._working = None
            self._redraw()

    def _follow_history(self) -> None:
        """Go to the day whose organs a step back or forth has changed, if another one is in view."""
        state, before = self.session.state, self._organs
        self._organs = state.organs
        changed = [key for key, draft in before.items() if state.organs.get(key) not in (draft, None)]
        here = state.organ_day
        if before is not state.organs:
            # What was said is of a step before.
            self.contents.said.say("")
            if self._working is None:
                self.contents.work.clear()
        for file, subject, day in changed:
            if (file, subject, day) != here and state.study is not None and state.study.file == file:
                self.session.look_at(subject, day)
                self.contents.said.say(f"The step was of {subject}, day {day:g}: here it is.")

    def _redraw(self) -> None:
        self._follow_history()
        self._begin_with_file()
        state, parts = self.session.state, self.contents
        draft, scene = state.organ_draft, self.measuring.scene_of(state)
        self.steps.show_states(step_states(state))
        self.show_history()
        anatomy = None if scene is None else scene.scene.anatomy
        is_ct = anatomy is not None and anatomy.modality is Modality.CT
        parts.show_state(state, draft, is_set=scene is not None, is_working=self._working is not None, is_ct=is_ct)
        name = "" if state.subject is None else f"organs {state.subject} day {state.day:g} (drawing)"
        self.drawing.show(state.organ_day, draft, scene, name)
        self.dock.want(scene is not None and draft is not None)
        if scene is not None and draft is not None:
            self.measuring.follow(scene, draft)
        lines = self._show_lines(draft, scene)
        self.edits.show(draft, lines)
        self.signal.show(scene)
        self.outcome.show(draft, scene)
        parts.reading_part.show_now()

    def _show_lines(self, draft: OrganDraft | None, scene: OrganScene | None) -> list[OrganLine]:
        work = self.drawing.work
        painted = 0.0 if draft is None else draft.edits.voxel.size * draft.base.grid.voxel_volume_mm3
        self.contents.show_where(where_in_words(self.session.state, draft, painted))
        if draft is None or work is None:
            self.contents.table.show_lines([])
            return []
        lines = self._lines(draft, work.counts, scene)
        self.contents.table.show_lines(lines)
        return lines

    def _show_so_far(self, draft: OrganDraft, counts: dict[int, int]) -> None:
        self.contents.table.show_lines(self._lines(draft, counts, self.measuring.scene_of(self.session.state)))

    def _lines(self, draft: OrganDraft, counts: dict[int, int], scene: OrganScene | None) -> list[OrganLine]:
        measured = self.measuring.measured if scene is not None else None
        change = None
        if measured is not None and scene is not None:
            change = Change({}) if measured.draft is draft else change_since(scene, measured, draft)
        return organ_lines(draft, counts, measured, change, is_awaited=self.measuring.is_measuring)

    def _show_again(self) -> None:
        self.drawing.show_again()
        self.dock.show_again()
        self._redraw()

    def _connect(self, viewer: Any) -> None:
        parts = self.contents
        self.steps.asked_for.connect(lambda step: go_to(viewer, step))
        parts.study_button.clicked.connect(lambda: go_to(viewer, "Study"))
        parts.run_button.clicked.connect(self.measure)
        parts.work.stopped.connect(self._cancel)
        parts.views_button.clicked.connect(self._show_again)
        self.measuring.changed.connect(self._redraw)
        self.destroyed.connect(self.measuring.stop)
        self.destroyed.connect(self.drawing.layer.close)
