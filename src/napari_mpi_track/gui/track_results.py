"""What a run's measurements come to over days by the choices made: refitted at once, nothing measured anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_mpi_track.gui.track_choices import ALL_ORGANS, OfferedChoices, TrackChoices, offered_choices
from napari_mpi_track.longitudinal.analysis import over_days
from napari_mpi_track.longitudinal.measurement import DecayRow, RetentionRow
from napari_mpi_track.longitudinal.over_time import OverTime
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.retention_figures import organs_of

if TYPE_CHECKING:
    from napari_mpi_track.report.run import RunSummary


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """The tables over days of one run, by a reference and a model.

    Attributes
    ----------
    study
        The study, with the reference and the model that were chosen.
    days
        Retention, decay, arms and agreement.
    is_as_run
        Whether these are the tables that the run wrote.
    """

    study: Study
    days: OverTime
    is_as_run: bool

    def retention(self, choices: TrackChoices, subject: str | None = None) -> list[RetentionRow]:
        """Return the rows of retention that are looked at: of one modality, of one organ or all, of one subject."""
        organs = organs_of(self.days.retention)
        return [
            row
            for row in self.days.retention
            if row.modality == choices.modality
            and (row.organ == choices.organ if choices.organ != ALL_ORGANS else row.organ in organs)
            and subject in (None, row.subject)
        ]

    def decay(self, choices: TrackChoices, subject: str | None = None) -> list[DecayRow]:
        """Return the fits that are looked at: of one subject, or with ``""`` of the groups."""
        return [
            row
            for row in self.days.decay
            if row.modality == choices.modality
            and choices.organ in (ALL_ORGANS, row.organ)
            and subject in (None, row.subject)
        ]


def chosen_study(study: Study, choices: TrackChoices) -> Study:
    """Return the study as it would be if its file named the chosen reference and model."""
    reference, model = choices.reference or study.reference, choices.model or study.decay_model
    return replace(study, reference=reference, decay_model=model)  # type: ignore[arg-type]


def follow(run: "RunSummary", study: Study, choices: TrackChoices) -> Followed:
    """Return the tables over days of a finished run by the chosen reference and model."""
    wanted = chosen_study(study, choices)
    results = run.analysis
    if (wanted.reference, wanted.decay_model) == (study.reference, study.decay_model):
        return Followed(wanted, _as_run(results, run.warnings), is_as_run=True)
    return Followed(wanted, over_days(wanted, results.measurements, results.calibration), is_as_run=False)


def _as_run(results: StudyResults, warnings: Sequence[str]) -> OverTime:
    return OverTime(
        results.retention,
        results.decay,
        results.agreement,
        results.arms,
        results.scores,
        results.divisions,
        tuple(warnings),
    )


def offered(chosen: TrackChoices, study: Study, run: "RunSummary | None") -> OfferedChoices:
    """Return the choices with what can be chosen in this study, and of this run."""
    retention = () if run is None else run.analysis.retention
    modalities = list(dict.fromkeys(row.modality for row in retention))
    return offered_choices(chosen, study, modalities, organs_of(retention))
