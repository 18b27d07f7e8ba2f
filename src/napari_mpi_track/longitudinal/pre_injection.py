"""The scan before injection as the background of later ones: organ by organ, in signal."""

from collections.abc import Sequence
from dataclasses import replace

from napari_mpi_track.longitudinal.curves import signal_before
from napari_mpi_track.longitudinal.measurement import BudgetRow, Measurement
from napari_mpi_track.longitudinal.mpi_rows import calibration_of, counted, with_override_flag
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.quantification.backgrounds import PRE_INJECTION
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.occupancy import FIDUCIALS, OUTSIDE, TOTAL

_OF_COUNTING = (
    "below_detection", "above_calibration", "no_finite_interval", "no_calibration", "calibration_overridden",
)  # fmt: skip


def with_background_before(
    study: Study, rows: Sequence[Measurement], calibration: Calibration | None
) -> tuple[list[Measurement], list[BudgetRow]]:
    """Return the rows with what was there before injection taken off, and that background's terms of the budget.

    Each day and the scan before it are aligned to the organs by themselves, so what is taken off is the same organ's
    corrected total, with its own noise and the error of its own alignment. An organ that was not drawn on the scan
    before injection keeps what it has (and is flagged ``no_baseline``). Nothing happens unless the study asks for it.
    """
    if study.background != PRE_INJECTION:
        return list(rows), []
    found, budget = [], []
    for row in rows:
        subject = study.subject(row.subject)
        is_of_baseline = subject.baseline is not None and row.day == subject.baseline.day
        is_apart = is_of_baseline or row.organ in (FIDUCIALS, OUTSIDE)
        before = None if is_apart else signal_before(subject, rows, row)
        if before is None or row.signal is None or row.signal_total is None:
            found.append(row)
            continue
        then = next(
            r for r in rows if (r.subject, r.modality, r.organ) == (row.subject, "MPI", row.organ)
            and subject.baseline is not None and r.day == subject.baseline.day
        )  # fmt: skip
        corrected = row.signal_total if row.signal_total_corrected is None else row.signal_total_corrected
        net = replace(
            row,
            signal=row.signal - before,
            signal_total_corrected=corrected - before.value,
            signal_total_local=row.signal_total - (then.signal_total or 0.0),
            background_local=then.signal_mean,
            cells=None,
            cells_low=None,
            cells_high=None,
            iron_ng=None,
            iron_ng_low=None,
            iron_ng_high=None,
        )
        budget.append(BudgetRow(row.subject, row.day, row.modality, row.organ, "background", before.own_sd, False))
        found.append(_read_again(net, row, calibration_of(subject, calibration), study.repeatability))
    return found, [term for term in budget if term.organ != TOTAL]


def _read_again(
    net: Measurement, row: Measurement, calibration: Calibration | None, repeatability: float | None
) -> Measurement:
    """Return the row counted anew, where its row was counted: the whole scan is not."""
    flags = row.flag.split(";")
    if not set(flags) & {"no_calibration"} and row.cells_high is None and row.iron_ng_high is None:
        return net
    kept = ";".join(flag for flag in flags if flag and flag not in _OF_COUNTING)
    read = counted(replace(net, flag=kept), calibration, repeatability)
    return with_override_flag([read])[0] if "calibration_overridden" in flags else read
