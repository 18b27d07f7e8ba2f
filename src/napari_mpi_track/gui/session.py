"""What all panels of one viewer share: the study, the day in view, the results, and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from psygnal import Signal

from napari_mpi_track.gui.alignment_draft import EMPTY_ALIGNMENT, AlignmentDraft
from napari_mpi_track.gui.calibration_draft import EMPTY_DRAFT, Draft
from napari_mpi_track.gui.organ_draft import OrganDay, OrganDraft
from napari_mpi_track.gui.track_choices import TrackChoices
from napari_mpi_track.longitudinal.study import CalibrationChoice, Study, Subject, Timepoint
from napari_mpi_track.quantification.calibration import Calibration

if TYPE_CHECKING:
    from napari_mpi_track.report.run import RunSummary

Day = tuple[str, float]


@dataclass(frozen=True, slots=True)
class State:
    """Everything the panels show, as one immutable thing; a step forward is a new one.

    Attributes
    ----------
    study
        The study now open, or none.
    subject, day
        The day in view, where one was chosen.
    run
        The last finished run of the study: its ``RunSummary``.
    draft
        The calibration being made; it is no part of a study and stays when another one is opened.
    compared
        A saved curve shown beside the draft, with the name of its file.
    alignment
        The alignment being made, of scans of the study or of others; it too stays when another study is opened.
    organs
        The organs being drawn, by the day they are of; they stay too.
    track
        Which curves over days are looked at, by which model and reference.
    is_series
        Whether all days of the animal were asked for in the picture, not the one day in view alone.
    """

    study: Study | None = None
    subject: str | None = None
    day: float | None = None
    run: "RunSummary | None" = None
    draft: Draft = EMPTY_DRAFT
    compared: tuple[str, Calibration] | None = None
    alignment: AlignmentDraft = EMPTY_ALIGNMENT
    organs: Mapping[OrganDay, OrganDraft] = field(default_factory=dict)
    track: TrackChoices = TrackChoices()  # noqa: RUF009 - frozen
    is_series: bool = False

    @property
    def shows_series(self) -> bool:
        """Whether the picture shows all days of the animal; only those of a measured study lie on each other."""
        return self.is_series and self.run is not None

    @property
    def organ_day(self) -> OrganDay | None:
        """Whose organs are drawn now; none before a day is chosen."""
        if self.study is None or self.subject is None or self.day is None:
            return None
        return self.study.file, self.subject, self.day

    @property
    def organ_draft(self) -> OrganDraft | None:
        """The organs of the day in view; none before they are begun."""
        day = self.organ_day
        return None if day is None else self.organs.get(day)

    @property
    def in_view(self) -> tuple[Subject, Timepoint] | None:
        """The subject and timepoint in view; none before a day is chosen."""
        if self.study is None or self.subject is None or self.day is None:
            return None
        subject = self.study.subject(self.subject)
        return subject, subject.timepoint(self.day)


class Session:
    """The state behind all panels, with one ``changed`` signal, undo and redo.

    Opening a study, changing it, finishing a run and every change of a calibration are steps that can be undone.
    Looking at another day is not: undo brings back what was thrown away, not where one looked.
    """

    changed = Signal()
    _of_viewers: ClassVar["WeakKeyDictionary[Any, Session]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.state = State()
        self._past: list[State] = []
        self._future: list[State] = []

    @classmethod
    def of(cls, viewer: Any) -> "Session":
        """Return the session of this viewer, the same for every panel in it."""
        # napari hands every panel its own proxy of the viewer.
        itself = getattr(viewer, "__wrapped__", viewer)
        if itself not in cls._of_viewers:
            cls._of_viewers[itself] = cls()
        return cls._of_viewers[itself]

    def open_study(self, study: Study) -> None:
        """Show another study, or another version of this one; results of the old one go with it."""
        kept = self.state
        self._step(replace(kept, study=study, subject=None, day=None, run=None, is_series=False))

    def look_at(self, subject: str, day: float) -> None:
        """Bring one day into view; ``KeyError`` if the study has no such subject or day."""
        self._look(replace(self.state, subject=subject, day=day, is_series=False))

    def look_at_series(self, subject: str, day: float) -> None:
        """Bring one day into view among all days of its subject; ``KeyError`` if there is no such subject or day."""
        self._look(replace(self.state, subject=subject, day=day, is_series=True))

    def leave_series(self) -> None:
        """Show the day in view alone again."""
        self._look(replace(self.state, is_series=False))

    def choose_track(self, choices: TrackChoices) -> None:
        """Look at other curves, by another model or reference; nothing happens if they are those already."""
        if choices != self.state.track:
            self._step(replace(self.state, track=choices))

    def keep_run(self, run: "RunSummary") -> None:
        """Keep the summary of a finished run."""
        self._step(replace(self.state, run=run))

    def keep_draft(self, draft: Draft) -> None:
        """Keep a calibration as it is now; nothing happens if it is what it was."""
        if draft != self.state.draft:
            self._step(replace(self.state, draft=draft))

    def keep_alignment(self, alignment: AlignmentDraft) -> None:
        """Keep an alignment as it is now; nothing happens if it is what it was."""
        if alignment != self.state.alignment:
            self._step(replace(self.state, alignment=alignment))

    def begin_alignment(self, alignment: AlignmentDraft) -> None:
        """Show scans to align where no work is lost by it; like looking elsewhere, it is no step to undo."""
        if alignment != self.state.alignment:
            self._show(replace(self.state, alignment=alignment))

    def accept_alignment(self, alignment: AlignmentDraft, study: Study | None) -> None:
        """Keep an accepted alignment, and the study that uses it; results by another alignment go."""
        kept = replace(self.state, alignment=alignment)
        self._step(kept if study is None else replace(kept, study=study, run=None))

    def keep_organs(self, day: OrganDay, organs: OrganDraft) -> None:
        """Keep the organs of a day as they are drawn now; nothing happens if they are what they were."""
        if organs is not self.state.organs.get(day):
            self._step(replace(self.state, organs={**self.state.organs, day: organs}))

    def begin_organs(self, day: OrganDay, organs: OrganDraft) -> None:
        """Show the organs a day begins with; like looking elsewhere, it is no step to undo."""
        self._show(replace(self.state, organs={**self.state.organs, day: organs}))

    def accept_organs(self, day: OrganDay, organs: OrganDraft, study: Study) -> None:
        """Keep the organs of a day, and the study that uses them; results with other organs go."""
        self._step(replace(self.state, organs={**self.state.organs, day: organs}, study=study, run=None))

    def compare_with(self, name: str, calibration: Calibration) -> None:
        """Show a saved curve, of a file of that name, beside the draft."""
        self._step(replace(self.state, compared=(name, calibration)))

    def end_comparison(self) -> None:
        """Show the draft alone; nothing happens if it is alone."""
        if self.state.compared is not None:
            self._step(replace(self.state, compared=None))

    def use_curve(self, path: Path) -> None:
        """Have the open study count cells by a saved curve; results by another one go. Nothing without a study."""
        study = self.state.study
        if study is not None:
            used = replace(study, calibration=CalibrationChoice(curve=path))
            self._step(replace(self.state, study=used, run=None))

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back."""
        return bool(self._future)

    def undo(self) -> None:
        """Take back the last step; nothing happens without one."""
        if self._past:
            self._future.append(self.state)
            self._show(self._seen_from_here(self._past.pop()))

    def redo(self) -> None:
        """Do the last undone step again; nothing happens without one."""
        if self._future:
            self._past.append(self.state)
            self._show(self._seen_from_here(self._future.pop()))

    def _seen_from_here(self, other: State) -> State:
        """Return ``other`` with the day now in view, if it is of the same study."""
        if other.study is not self.state.study:
            return other
        here = self.state
        return replace(other, subject=here.subject, day=here.day, is_series=here.is_series)

    def _look(self, new: State) -> None:
        _ = new.in_view
        if new != self.state:
            self._show(new)

    def _step(self, new: State) -> None:
        self._past.append(self.state)
        self._future.clear()
        self._show(new)

    def _show(self, new: State) -> None:
        self.state = new
        self.changed.emit()
