"""The section *Signal*: a threshold whose outline and total follow the slider, and the rules side by side."""

from collections.abc import Callable
from typing import Any

from napari_mpi_track.gui.organ_day import MeasuredOrgans, OrganScene
from napari_mpi_track.gui.organ_draft import OrganDraft
from napari_mpi_track.gui.organ_finding import above_threshold
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.organ_drawing import Drawing
from napari_mpi_track.gui.widgets.organ_measuring import Measuring
from napari_mpi_track.gui.widgets.organs_body import OrgansBody
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.segmentation.rule_comparison import RuleComparison, compare_rules
from napari_mpi_track.segmentation.signal_rules import RuleSettings, rule_threshold
from napari_mpi_track.segmentation.threshold_curve import ThresholdCurve


class OrganSignal:
    """Joins the slider and the rules to the day's MPI; ``watch`` starts what takes its time."""

    def __init__(
        self,
        session: Session,
        parts: OrgansBody,
        drawing: Drawing,
        measuring: Measuring,
        watch: Callable[[Task], None],
    ) -> None:
        self.session, self.parts, self.drawing, self._measuring, self._watch = session, parts, drawing, measuring, watch
        self.threshold: float | None = None
        self.settings = RuleSettings()
        self._mpi: Volume | None = None
        self._curve: ThresholdCurve | None = None
        self._inside: tuple[Any, int, ThresholdCurve | None] = (None, 0, None)
        self._compared: tuple[RuleComparison, MeasuredOrgans | None] | None = None
        part = parts.signal_part
        part.moved.connect(self.move)
        part.ruled.connect(self.rule)
        part.take_button.clicked.connect(self.take)
        part.compare_button.clicked.connect(self.compare)
        parts.signal.toggled.connect(lambda _: self._show())
        parts.table.chosen.connect(lambda _: self._show())

    @property
    def unit(self) -> str:
        """The MPI's."""
        return "a.u." if self._mpi is None else self._mpi.unit or "a.u."

    def show(self, scene: OrganScene | None) -> None:
        """Show the signal of a day; another scan is begun with anew."""
        mpi = None if scene is None else scene.scene.mpi
        if mpi is not self._mpi:
            self._mpi, self._curve, self._compared, self.threshold = mpi, None, None, None
            self.parts.signal_part.measure = "mm²" if mpi is not None and mpi.is_projection else "mm³"
            self.parts.signal_part.show_comparison(None, "", self.unit)
        self._show()

    def move(self, threshold: float) -> None:
        """Set the threshold, in the scan's unit: outline and totals follow."""
        self.threshold = threshold
        self._show()

    def rule(self, settings: RuleSettings) -> None:
        """Set the threshold by a rule."""
        self.settings = settings
        mpi = self._mpi
        if mpi is not None:
            self.parts.said.attempt(lambda: self.move(rule_threshold(mpi, settings)))

    def take(self) -> None:
        """Give the chosen organ all above the threshold."""
        scene, draft = self._measuring.scene_of(self.session.state), self.session.state.organ_draft
        label, threshold = self.drawing.chosen, self.threshold
        if scene is None or draft is None or threshold is None:
            return
        if label not in draft.names:
            self.parts.said.say("Choose an organ in the list first, or add one.")
            return
        task = Task(lambda _: above_threshold(scene, draft, label, threshold), "Taking what is above the threshold")

        def keep(changed: OrganDraft) -> None:
            if self.session.state.organ_draft is draft:
                self.session.keep_organs(scene.key, changed)

        task.succeeded.connect(keep)
        self._watch(task)

    def compare(self) -> None:
        """Find the signal by every rule."""
        mpi, settings, measured = self._mpi, self.settings, self._measuring.measured
        if mpi is None:
            return
        organs = None if measured is None else measured.scan.occupancy.organs
        background = None if measured is None else measured.scan.signals.background
        task = Task(
            lambda _: compare_rules(mpi, settings=settings, organs=organs, background=background), "Comparing the rules"
        )

        def keep(found: RuleComparison) -> None:
            if mpi is self._mpi:
                self._compared = (found, measured)
                self._show()

        task.succeeded.connect(keep)
        self._watch(task)

    def _show(self) -> None:
        mpi, part = self._mpi, self.parts.signal_part
        if mpi is None or not self.parts.signal.isChecked():
            self.drawing.views.change(threshold=None)
            return
        if self._curve is None:
            measured = self._measuring.measured
            self._curve = ThresholdCurve(mpi, background=0.0 if measured is None else measured.scan.signals.background)
            low, high = self._curve.range
            part.show_range(max(low, 0.0), high, self.unit)
        if self.threshold is None:
            self.rule(self.settings)
            return
        part.show_threshold(self.threshold, self.settings)
        name, inside = self._organ()
        part.show_above(
            self._curve.at(self.threshold), name, None if inside is None else inside.at(self.threshold), self.unit
        )
        found, of = self._compared or (None, None)
        # What rules keep of an organ is of the organ as it was drawn then.
        part.show_comparison(found, name if of is not None and of is self._measuring.measured else "", self.unit)
        self.drawing.views.change(threshold=self.threshold)

    def _organ(self) -> tuple[str, ThresholdCurve | None]:
        """Return the chosen organ's name, and its curve as it was measured last."""
        measured, label = self._measuring.measured, self.drawing.chosen
        name = "" if measured is None else measured.draft.names.get(label, "")
        if measured is None or self._mpi is None or name not in measured.scan.occupancy.organs:
            return name, None
        if self._inside[:2] != (measured.scan, label):
            organ = measured.scan.occupancy.organs[name]
            curve = ThresholdCurve(self._mpi, organ, measured.scan.signals.background) if organ.voxel.size else None
            self._inside = (measured.scan, label, curve)
        return name, self._inside[2]
