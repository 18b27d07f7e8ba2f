"""What keeps the numbers of organs up with the brush: measured in the background, one measurement at a time."""

from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time

from napari_mpi_track.gui.organ_day import MeasuredOrgans, OrganScene, measured_organs
from napari_mpi_track.gui.organ_draft import OrganDraft
from napari_mpi_track.gui.session import State
from napari_mpi_track.gui.tasks import Task

# A stroke that follows within this time is waited for: both are measured as one.
_PAUSE_MS = 120


class Measuring(QObject):
    """The scene of the day in view, once it is set, and the newest measurement of its organs."""

    changed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.scene: OrganScene | None = None
        self.measured: MeasuredOrgans | None = None
        self.problem = ""
        self._scenes: list[OrganScene] = []
        self._task: Task | None = None
        self._wanted: OrganDraft | None = None
        self._failed: OrganDraft | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._measure)

    @property
    def is_measuring(self) -> bool:
        """Whether the numbers shown are not those of the newest stroke."""
        return self._task is not None or self._soon.isActive()

    def scene_of(self, state: State) -> OrganScene | None:
        """Return the scene of the day in view; none if it is not set, or the study has changed since."""
        for scene in self._scenes:
            if scene.study is state.study and scene.key == state.organ_day:
                self.scene = scene
                return scene
        return None

    def take(self, scene: OrganScene) -> None:
        """Take the scene of a day for what is measured from now on."""
        self.scene, self.measured, self.problem, self._failed = scene, None, "", None
        self._scenes = [scene]

    def use(self, scene: OrganScene, draft: OrganDraft) -> None:
        """Take another version of the same scene and draft, as the study says them now."""
        if self.scene is not None and self.scene.carried is not scene.carried:
            # Carried organs that became this day's own are measured from here, without the error of their way.
            self.measured = None
        self.scene = scene
        # Undo leads back to the study as it was: the earlier version is kept.
        self._scenes.append(scene)
        if self.measured is not None and draft is not self.measured.draft:
            self.measured = self.measured.of(draft)

    def follow(self, scene: OrganScene, draft: OrganDraft) -> None:
        """Have these organs measured, unless they are or it was tried."""
        self._wanted = draft
        known = self.measured
        if known is not None and known.draft is not draft and _is_same(known.draft, draft):
            # Names, locks and approvals change no number.
            self.measured = known.of(draft)
            return
        is_known = known is not None and known.draft is draft
        if not is_known and draft is not self._failed and scene.scene.mpi is not None and not self._soon.isActive():
            self._soon.start(_PAUSE_MS)

    def stop(self) -> None:
        """Measure no more."""
        self._soon.stop()
        if self._task is not None:
            self._task.abandon()

    def _measure(self) -> None:
        scene, draft = self.scene, self._wanted
        if self._task is not None or scene is None or draft is None:
            return
        self._task = Task(lambda _: measured_organs(scene, draft), "Measuring the organs")
        self._task.succeeded.connect(lambda found: self._keep(scene, found))
        self._task.failed.connect(lambda failure: self._fail(draft, failure))
        self._task.finished.connect(self._end)
        self._task.start()

    def _keep(self, scene: OrganScene, found: MeasuredOrgans) -> None:
        if self.scene is not None and self.scene.scene is scene.scene:
            self.measured, self.problem = found, ""

    def _fail(self, draft: OrganDraft, failure: Any) -> None:
        self._failed = draft
        self.problem = f"{failure.sentence} {failure.remedy}".strip()

    def _end(self) -> None:
        self._task = None
        self.changed.emit()


def _is_same(one: OrganDraft, other: OrganDraft) -> bool:
    return one.base is other.base and one.edits is other.edits and one.names == other.names
