"""Where the injected signal is, day by day: found in the scan, or missing."""

from collections.abc import Sequence

from napari_mpi_track.longitudinal.curves import injected_signal, scattered, signal_before
from napari_mpi_track.longitudinal.measurement import BalanceRow, Measurement
from napari_mpi_track.longitudinal.study import Study, Subject
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.occupancy import FIDUCIALS, OUTSIDE, TOTAL


def balance_rows(study: Study, rows: Sequence[Measurement], calibration: Calibration | None) -> list[BalanceRow]:
    """Return the balance of every MPI scan after injection: injected = found + missing, in signal.

    Sums belong in signal: every organ read as cells carries the calibration's intercept once more. Nothing is balanced
    of a subject whose syringe was not measured and whose cells no calibration turns into signal; what adds up to the
    scan's total is told all the same.

    Notes
    -----
    First order, all errors joint: what two of them share (a vial, the calibration's two numbers) is counted once.
    """
    found = []
    for subject in study.subjects:
        days = dict.fromkeys(row.day for row in rows if row.subject == subject.id and row.modality == "MPI")
        for day in days:
            if subject.baseline is None or day != subject.baseline.day:
                scan = {r.organ: r for r in rows if (r.subject, r.day, r.modality) == (subject.id, day, "MPI")}
                found += _of_scan(study, subject, scan, rows, calibration)
    return found


def _of_scan(
    study: Study,
    subject: Subject,
    scan: dict[str, Measurement],
    rows: Sequence[Measurement],
    calibration: Calibration | None,
) -> list[BalanceRow]:
    whole = scan.get(TOTAL)
    if whole is None or whole.signal is None or whole.signal_total is None:
        return []
    in_scan = scattered(whole.signal, calibration, study.repeatability)
    before = signal_before(subject, rows, whole)
    if before is not None:
        in_scan = in_scan - scattered(before, calibration, study.repeatability)
    injected = _injected(study, subject, calibration)
    missing = None if injected is None else injected - in_scan
    organs = [row.signal_total or 0.0 for name, row in scan.items() if name not in (FIDUCIALS, OUTSIDE, TOTAL)]
    markers, outside = scan.get(FIDUCIALS), scan.get(OUTSIDE)
    return [
        BalanceRow(
            subject.id,
            subject.group,
            whole.day,
            whole.modality,
            None if injected is None else injected.value,
            None if injected is None else injected.sd,
            in_scan.value,
            in_scan.sd,
            None if missing is None else missing.value,
            None if missing is None else missing.sd,
            None if injected is None or missing is None else 100 * missing.value / injected.value,
            sum(organs),
            0.0 if markers is None else markers.signal_total or 0.0,
            # A number without an image has no parts: it is the total itself.
            whole.signal_total if outside is None else outside.signal_total or 0.0,
            whole.signal_total,
            whole.flag,
        )
    ]


def _injected(study: Study, subject: Subject, calibration: Calibration | None) -> Estimate | None:
    """Return the signal that went into the animal; ``None`` where neither syringe nor calibration tells it."""
    reference = injected_signal(study, subject, "MPI", calibration)
    if reference is None or not reference[1].value > 0:
        return None
    _, syringe, residue = reference
    return syringe if residue is None else syringe - residue
