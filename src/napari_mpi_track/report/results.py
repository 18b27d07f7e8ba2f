"""What a run comes to: the rows of every table, with the line they were read through."""

from dataclasses import dataclass

from napari_mpi_track.longitudinal.measurement import AlignmentRow, BudgetRow, DecayRow, Measurement, RetentionRow
from napari_mpi_track.quantification.calibration import Calibration


@dataclass(frozen=True, slots=True, eq=False)
class StudyResults:
    """The rows of every table of a study, in the tables' order, and its calibration where there is one."""

    measurements: tuple[Measurement, ...] = ()
    retention: tuple[RetentionRow, ...] = ()
    decay: tuple[DecayRow, ...] = ()
    budget: tuple[BudgetRow, ...] = ()
    alignments: tuple[AlignmentRow, ...] = ()
    calibration: Calibration | None = None


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
