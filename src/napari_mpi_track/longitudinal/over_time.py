"""All that follows from the timepoints of a study together: retention, decay, arms, agreement, scores and divisions."""

from collections.abc import Sequence
from dataclasses import dataclass

from napari_mpi_track.longitudinal.agreement import agreement_rows
from napari_mpi_track.longitudinal.arms import arm_rows
from napari_mpi_track.longitudinal.curves import decay_rows, retention_rows
from napari_mpi_track.longitudinal.dilution_by_division import division_rows
from napari_mpi_track.longitudinal.ex_vivo import ex_vivo_agreement
from napari_mpi_track.longitudinal.measurement import (
    AgreementRow,
    ArmRow,
    DecayRow,
    DivisionRow,
    Measurement,
    RetentionRow,
    ScoreRow,
)
from napari_mpi_track.longitudinal.scores import score_rows
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.quantification.calibration import Calibration


@dataclass(frozen=True, slots=True)
class OverTime:
    """The rows of the tables over days, and what there is to warn of."""

    retention: tuple[RetentionRow, ...] = ()
    decay: tuple[DecayRow, ...] = ()
    agreement: tuple[AgreementRow, ...] = ()
    arms: tuple[ArmRow, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    divisions: tuple[DivisionRow, ...] = ()
    warnings: tuple[str, ...] = ()


def over_time(study: Study, rows: Sequence[Measurement], calibration: Calibration | None) -> OverTime:
    """Return the tables over days of rows whose signals hold all their error, the scatter of one measurement too."""
    retention, warnings = retention_rows(study, rows, calibration)
    decay = decay_rows(study, rows, calibration)
    return OverTime(
        tuple(retention),
        tuple(decay),
        (*agreement_rows(retention), *ex_vivo_agreement(rows, retention)),
        tuple(arm_rows(study, rows, retention, decay)),
        tuple(score_rows(study, retention)),
        tuple(division_rows(rows, study.doubling)),
        tuple(warnings),
    )
