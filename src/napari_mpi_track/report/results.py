"""What a run comes to: the rows of every table, with the line they were read through."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_mpi_track.longitudinal.measurement import (
    AgreementRow,
    AlignmentRow,
    ArmRow,
    BalanceRow,
    BudgetRow,
    DecayRow,
    DivisionRow,
    DynamicRow,
    DynamicSummaryRow,
    Measurement,
    OrganRuleRow,
    RetentionRow,
    ScoreRow,
    SpillRow,
)
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.report.alignment_evidence import AlignmentEvidence
from napari_mpi_track.report.units import SignalUnits, usual_units


@dataclass(frozen=True, slots=True, eq=False)
class StudyResults:
    """The rows of every table of a study, in the tables' order, its calibration where there is one, and units.

    ``evidence`` is that of the alignments, in any order.
    """

    measurements: tuple[Measurement, ...] = ()
    retention: tuple[RetentionRow, ...] = ()
    decay: tuple[DecayRow, ...] = ()
    budget: tuple[BudgetRow, ...] = ()
    alignments: tuple[AlignmentRow, ...] = ()
    calibration: Calibration | None = None
    units: Mapping[str, SignalUnits] = field(default_factory=dict)
    evidence: tuple[AlignmentEvidence, ...] = ()
    spill: tuple[SpillRow, ...] = ()
    balance: tuple[BalanceRow, ...] = ()
    rules: tuple[OrganRuleRow, ...] = ()
    agreement: tuple[AgreementRow, ...] = ()
    arms: tuple[ArmRow, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    divisions: tuple[DivisionRow, ...] = ()
    dynamic: tuple[DynamicRow, ...] = ()
    dynamic_summary: tuple[DynamicSummaryRow, ...] = ()

    def units_of(self, modality: str) -> SignalUnits:
        """Return the units of a modality's scans, as the scans state them where there are any."""
        return self.units.get(modality) or usual_units(modality)


@dataclass(frozen=True, slots=True)
class Failure:
    """A timepoint that could not be measured, or not wholly, and why.

    ``is_whole`` is false where other rows of the timepoint stand in the tables.
    """

    subject: str
    day: float
    reason: str
    is_whole: bool = True

    def __str__(self) -> str:
        return f"{self.subject}, day {self.day:g}: {self.reason}"
