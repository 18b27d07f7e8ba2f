"""What is done to the list of organs, and organs that are found rather than painted."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.gui.organ_day import OrganScene
from napari_mpi_track.gui.organ_draft import (
    OrganDraft,
    joined,
    renamed,
    with_approval,
    with_lock,
    with_organ,
    without_organ,
)
from napari_mpi_track.gui.organ_finding import atlas_carried, grown, grown_from_seeds, loaded, with_found
from napari_mpi_track.gui.organ_live import OrganLine
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Progress, Task
from napari_mpi_track.gui.widgets.organ_drawing import Drawing
from napari_mpi_track.gui.widgets.organ_measuring import Measuring
from napari_mpi_track.gui.widgets.organs_body import OrgansBody


class OrganEdits:
    """Joins the list, its buttons and the section *Find organs* to the session; ``watch`` starts what takes long."""

    def __init__(
        self,
        session: Session,
        parts: OrgansBody,
        drawing: Drawing,
        measuring: Measuring,
        watch: Callable[[Task], None],
    ) -> None:
        self.session, self.parts, self.drawing, self._watch = session, parts, drawing, watch
        self._measuring = measuring
        self._lines: Sequence[OrganLine] = ()
        self._connect()

    def show(self, draft: OrganDraft | None, lines: Sequence[OrganLine]) -> None:
        """Show what is known of the organ that is chosen."""
        self._lines = lines
        self._show_chosen(draft)

    def choose(self, label: int) -> None:
        """Choose the organ to be painted and read about."""
        self.drawing.choose(label)
        self._show_chosen(self.session.state.organ_draft)

    def add(self) -> None:
        """Add an organ to be painted, and choose it."""
        name = self.parts.name.currentText().strip()

        def add(draft: OrganDraft) -> OrganDraft:
            changed, label = with_organ(draft, name)
            self._added = label
            return changed

        self._added = 0
        self._keep(add)
        if self._added:
            self.parts.table.choose(self._added)

    def lock(self) -> None:
        """Lock the chosen organ, or open its lock."""
        label = self.drawing.chosen
        self._keep(lambda draft: with_lock(draft, label, is_locked=label not in draft.shut))

    def approve(self) -> None:
        """Approve the chosen organ, by name and time."""
        now, work, by = datetime.now().astimezone().replace(microsecond=0), self.drawing.work, self.parts.by.text()
        if work is not None:
            self._keep(lambda draft: with_approval(draft, self.drawing.chosen, by, now, work.voxels))

    def delete(self) -> None:
        """Take the chosen organ away."""
        work = self.drawing.work
        if work is not None:
            self._keep(lambda draft: without_organ(draft, self.drawing.chosen, work.voxels))

    def join(self) -> None:
        """Make the chosen organ part of another one."""
        work, other = self.drawing.work, self.parts.other.currentData()
        if work is not None and other:
            self._keep(lambda draft: joined(draft, self.drawing.chosen, other, work.voxels))

    def grow(self, at_mm: Any) -> None:
        """Give the chosen organ what hangs together with a click, LPS mm."""

        def find(scene: OrganScene, draft: OrganDraft, _: Progress) -> tuple[OrganDraft, str]:
            return grown(scene, draft, self.drawing.chosen, at_mm)

        self._find("Growing from the click", find)

    def find(self, what: str) -> None:
        """Find the body, the bone or the lungs."""

        def find(scene: OrganScene, draft: OrganDraft, _: Progress) -> tuple[OrganDraft, str]:
            return with_found(scene, draft, what)

        self._find(f"Finding the {what}", find)

    def grow_seeds(self) -> None:
        """Grow what is painted."""
        method = self.parts.finds_part.method.currentData()

        def find(scene: OrganScene, draft: OrganDraft, _: Progress) -> tuple[OrganDraft, str]:
            return grown_from_seeds(scene, draft, method), "Grown; Undo brings the seeds back."

        self._find("Growing organs from what is painted", find)

    def load(self, path: str) -> None:
        """Take the organs of a file."""

        def find(scene: OrganScene, draft: OrganDraft, _: Progress) -> tuple[OrganDraft, str]:
            changed = loaded(scene, draft, path)
            return changed, f"Loaded {changed.origin}; what was painted lies over it."

        self._find("Loading organs", find)

    def carry_atlas(self) -> None:
        """Carry an atlas over."""
        part = self.parts.finds_part
        scan, organs = part.atlas_scan.text().strip(), part.atlas_organs.text().strip()

        def find(scene: OrganScene, draft: OrganDraft, progress: Progress) -> tuple[OrganDraft, str]:
            return atlas_carried(scene, draft, scan, organs, progress)

        self._find("Carrying the atlas over", find)

    def _find(self, name: str, find: Callable[[OrganScene, OrganDraft, Progress], tuple[OrganDraft, str]]) -> None:
        """Make a draft of another one off the window's thread; not kept if something was painted meanwhile."""
        scene, draft = self._measuring.scene_of(self.session.state), self.session.state.organ_draft
        if scene is None or draft is None:
            self.parts.said.say("Measure the organs first: that reads the day's scans.")
            return
        task = Task(lambda progress: find(scene, draft, progress), name)

        def keep(found: tuple[OrganDraft, str]) -> None:
            if self.session.state.organ_draft is not draft:
                self.parts.said.say("Something was drawn meanwhile: what was found is not kept. Try again.")
                return
            self.session.keep_organs(scene.key, found[0])
            self.parts.said.say(found[1])

        task.succeeded.connect(keep)
        self._watch(task)

    def _keep(self, change: Callable[[OrganDraft], OrganDraft]) -> None:
        key, draft = self.session.state.organ_day, self.session.state.organ_draft

        def keep() -> None:
            if key is None or draft is None:
                raise MeasurementError("there are no organs to change", remedy="measure the organs first")
            self.session.keep_organs(key, change(draft))

        self.parts.said.attempt(keep)

    def _show_chosen(self, draft: OrganDraft | None) -> None:
        line = next((line for line in self._lines if line.label == self.drawing.chosen), None)
        flags = () if line is None else tuple(filter(None, (line.state, *line.flags)))
        self.parts.show_chosen(draft, self.drawing.chosen, "" if line is None else line.details, flags)

    def _connect(self) -> None:
        parts, finds = self.parts, self.parts.finds_part
        parts.table.chosen.connect(self.choose)
        parts.table.renamed.connect(lambda label, name: self._keep(lambda draft: renamed(draft, label, name)))
        parts.add_button.clicked.connect(self.add)
        parts.lock_button.clicked.connect(self.lock)
        parts.approve_button.clicked.connect(self.approve)
        parts.delete_button.clicked.connect(self.delete)
        parts.join_button.clicked.connect(self.join)
        self.drawing.views.clicked.connect(self.grow)
        finds.finder_asked.connect(self.find)
        finds.seeds_button.clicked.connect(self.grow_seeds)
        finds.load_button.chosen.connect(self.load)
        finds.atlas_button.clicked.connect(self.carry_atlas)
