"""Which totals of a subject measure the same thing, so that days can be compared."""

from collections.abc import Sequence

from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.longitudinal.study import Study, Subject
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.occupancy import FIDUCIALS, TOTAL


def followed_rows(
    study: Study, rows: Sequence[Measurement], calibration: Calibration | None
) -> tuple[list[Measurement], list[str]]:
    """Return the rows that days are compared by, and what there is to warn of.

    A scan's total in which markers were not found holds their signal: beside days that leave theirs out it is not
    followed. Signals without an image are followed together with the totals of scans, which is said.
    """
    left = list(rows)
    warnings: list[str] = []
    for subject in study.subjects:
        unlike = _with_markers(subject, left)
        if unlike:
            warnings.append(
                f"{subject.id}, {_days(unlike)}: the total holds the markers, which were not found there, and is not"
                " followed beside days without theirs: give fiducials: {mpi: FILE} at the timepoint"
            )
            left = [row for row in left if not (_is_total(row, subject) and row.day in unlike)]
        warnings += _of_numbers(study, subject, left, calibration)
    return left, warnings


def _is_total(row: Measurement, subject: Subject) -> bool:
    return row.subject == subject.id and row.modality == "MPI" and row.organ == TOTAL


def _with_markers(subject: Subject, rows: Sequence[Measurement]) -> list[float]:
    """Return the days whose scan's markers were not found, where those of other days were."""
    scanned = {t.day for t in subject.timepoints if t.mpi is not None and not t.is_baseline}
    totals = [row.day for row in rows if _is_total(row, subject) and row.day in scanned]
    found = {row.day for row in rows if row.subject == subject.id and row.organ == FIDUCIALS and row.modality == "MPI"}
    return [day for day in totals if day not in found] if found & set(totals) else []


def _of_numbers(
    study: Study, subject: Subject, rows: Sequence[Measurement], calibration: Calibration | None
) -> list[str]:
    """Return what is to be known of signals that were measured without an image."""
    numbers = [t for t in subject.timepoints if t.signal is not None and not t.is_baseline]
    imaged = {row.day for row in rows if _is_total(row, subject)} - {t.day for t in numbers}
    said = []
    if numbers and imaged:
        said.append(
            f"{subject.id}: signals without an image ({_days([t.day for t in numbers])}) are followed together with the"
            f" totals of scans ({_days(sorted(imaged))}): both must be of the whole body, in one unit"
        )
    unsure = [t.day for t in numbers if t.signal_sd is None]
    if unsure and calibration is None and study.repeatability is None:
        said.append(
            f"{subject.id}, {_days(unsure)}: the signal's error is not known (signal_sd, repeatability or a calibration"
            " tells it): intervals hold none of it"
        )
    return said


def _days(days: Sequence[float]) -> str:
    return f"day{'s' if len(days) > 1 else ''} {', '.join(f'{day:g}' for day in days)}"
