"""The panel *Align*: two scans brought together, and shown to be."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_mpi_track.gui.alignment_draft import AlignmentDraft, chosen, with_result, with_settings
from napari_mpi_track.gui.alignment_pairs import fit_of, pairs_of
from napari_mpi_track.gui.alignment_run import LiveSteps, run_alignment, run_markers
from napari_mpi_track.gui.alignment_scans import day_of, usual_pair
from napari_mpi_track.gui.alignment_viewer import LayersInView
from napari_mpi_track.gui.samples import open_car_t
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.steps import go_to, step_states
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.align_body import AlignBody
from napari_mpi_track.gui.widgets.align_hand import HandWork
from napari_mpi_track.gui.widgets.align_outcome import Outcome
from napari_mpi_track.gui.widgets.aligned_layers import AlignedLayers
from napari_mpi_track.gui.widgets.panel_frame import PanelFrame
from napari_mpi_track.gui.widgets.three_views import ThreeViews
from napari_mpi_track.gui.widgets.views_dock import ViewsDock

if TYPE_CHECKING:
    from napari.viewer import Viewer

SENTENCE = "Brings one scan to another one of the same body, and says how well it fits."
_REDRAW_MS = 80


class AlignPanel(PanelFrame):
    """One alignment: what is chosen, how it is found or made by hand, and what came of it."""

    def __init__(self, napari_viewer: "Viewer") -> None:
        super().__init__(Session.of(napari_viewer), "Align", SENTENCE)
        self.contents, self.views = AlignBody(), ThreeViews()
        self.body.addWidget(self.contents)
        self.layers = LayersInView(napari_viewer, self._layers_changed)
        self.dock = ViewsDock(napari_viewer, self, self.views, "Align: three views")
        self.hand = HandWork(self.session, self.contents, self.views)
        self.outcome = Outcome(self.session, self.contents, self._watch)
        self.aligned = AlignedLayers(self.session, self.contents, self.layers, self._watch)
        self._working: Task | None = None
        self._steps = LiveSteps()
        self._centre: Any = None
        self._live, self._soon = QTimer(self), QTimer(self)
        self._live.setInterval(_REDRAW_MS)
        self._live.timeout.connect(self._show_steps)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._follow_layers)
        self._connect(napari_viewer)
        self.destroyed.connect(self.layers.close)
        self.listen(self._redraw)
        self._follow_layers()

    @property
    def _draft(self) -> AlignmentDraft:
        return self.session.state.alignment

    def choose(self, side: Any, name: str) -> None:
        """Take a layer as the fixed or the moving scan; a step that can be undone."""
        if name in {offer.name for offer in self.layers.offers}:
            self.contents.said.attempt(
                lambda: self.session.keep_alignment(chosen(self._draft, side, self.layers.scan(name)))
            )

    def run(self) -> None:
        """Align as the settings say; the curve and the views follow."""
        draft, self._steps = self._draft, LiveSteps()
        steps = self._steps
        self._begin(
            Task(lambda progress: run_alignment(draft, progress, steps), self.contents.run_button.text()), draft
        )
        self._live.start()

    def find_markers(self) -> None:
        """Find markers in both scans; the pairs they make fill the table."""
        draft = self._draft
        self._begin(Task(lambda progress: run_markers(draft, progress), "Finding markers"), draft)

    def open_sample(self) -> None:
        """Open the scans of a simulated mouse."""
        task = Task(lambda _: open_car_t(), "Simulating the sample")
        task.succeeded.connect(lambda layers: [self.layers.add(layer) for layer in layers])
        self._watch(task)

    def _begin(self, task: Task, draft: AlignmentDraft) -> None:
        def keep(found: Any) -> None:
            now = self._draft
            if (now.fixed, now.moving) != (draft.fixed, draft.moving):
                self.contents.said.say("Other scans were chosen meanwhile: what was found is not kept.")
                return
            pairs = pairs_of(found.alignment)
            told = with_result(now, found)
            self.session.keep_alignment(replace(told, pairs=pairs) if pairs and not now.used_pairs else told)

        task.succeeded.connect(keep)
        self.contents.curve.show_trace([])
        self.dock.show_again()
        self._watch(task)

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
            self._live.stop()
            self._redraw()

    def _show_steps(self) -> None:
        trace, pose = self._steps.so_far()
        self.contents.curve.show_trace(trace)
        if pose is not None:
            self.views.show_pose(pose)

    def _layers_changed(self) -> None:
        # A layer that is being refilled has its new name before its new voxels: look once it is whole.
        self._soon.start(0)

    def _follow_layers(self) -> None:
        """Begin with the scans one would mean, while nothing is begun and those chosen are not there."""
        draft, offered = self._draft, self.layers.offers
        names = {offer.name for offer in offered}
        is_there = all(scan is not None and scan.name in names for scan in (draft.fixed, draft.moving))
        is_done = not draft.is_begun or (draft.accepted is not None and draft.accepted is draft.found)
        usual = usual_pair(offered)
        if usual is not None and is_done and not is_there and self._working is None:
            self.contents.said.attempt(lambda: self._begin_with(usual))
        self._redraw()

    def _begin_with(self, names: tuple[str, str]) -> None:
        begun = AlignmentDraft(settings=self._draft.settings)
        for side, name in zip(("fixed", "moving"), names, strict=True):
            begun = chosen(begun, side, self.layers.scan(name))  # type: ignore[arg-type]
        self.session.begin_alignment(begun)

    def _redraw(self) -> None:
        state, draft, parts = self.session.state, self._draft, self.contents
        fit = fit_of(draft, self.outcome.body_centre(draft))
        self.steps.show_states(step_states(state))
        self.show_history()
        parts.choice.show_choice(self.layers.offers, draft, day_of(state.study, draft))
        parts.show_draft(draft, fit, is_working=self._working is not None)
        self.outcome.show(draft)
        self.aligned.show(draft, is_working=self._working is not None)
        if self._working is None:
            self.views.show_draft(draft, fit)
            self.dock.want(draft.fixed is not None and draft.moving is not None)

    def _connect(self, viewer: Any) -> None:
        parts, session = self.contents, self.session
        self.steps.asked_for.connect(lambda step: go_to(viewer, step))
        parts.study_button.clicked.connect(lambda: go_to(viewer, "Study"))
        parts.sample_button.clicked.connect(self.open_sample)
        parts.choice.chosen.connect(self.choose)
        parts.form.changed.connect(lambda settings: session.keep_alignment(with_settings(self._draft, settings)))
        parts.run_button.clicked.connect(self.run)
        parts.points_part.markers_button.clicked.connect(self.find_markers)
        parts.work.stopped.connect(self._cancel)
        parts.points_part.place_button.clicked.connect(self.dock.show_again)
        for section in (parts.hand, parts.points):
            section.clicked.connect(self.dock.show_again)
