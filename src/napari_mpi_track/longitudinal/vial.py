"""The reference vial of a study: how far the scanner of a day is from that of the calibration."""

from collections.abc import Sequence
from datetime import timedelta

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.longitudinal.measured import MeasuredScan
from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.longitudinal.study import SignalMetric, Study, Subject, Timepoint, Vial
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.session_drift import SessionDrift, vial_warnings


def drift_of(study: Study, subject: Subject, timepoint: Timepoint, scan: MeasuredScan | None) -> SessionDrift | None:
    """Return the drift of one day's session; ``None`` where the study has no vial.

    The vial's signal is the timepoint's own number, else that of the organ which is the vial.

    Raises
    ------
    MeasurementError
        If neither is there, or the vial gives no signal.
    """
    if study.reference_vial is None:
        return None
    session = f"{subject.id} day {timepoint.day:g}"
    if timepoint.vial is not None:
        today = vial_estimate(timepoint.vial)
    elif scan is not None and study.vial_organ in scan.organs:
        today = _measured(scan, study.vial_organ, study.signal_metric)
    else:
        raise MeasurementError(
            f"the reference vial '{study.vial_organ}' is not among this day's organs",
            file=None if scan is None else scan.scan.file,
            remedy="draw it, or give the timepoint's 'vial: SIGNAL'",
        )
    drift = SessionDrift(vial_estimate(study.reference_vial), today, session)
    drift.undone(Estimate(1.0))
    return drift


def drift_of_syringe(study: Study, subject: Subject) -> SessionDrift | None:
    """Return the drift of the session the syringe was measured in; ``None`` for the calibration's own."""
    vial = subject.injection.vial
    if study.reference_vial is None or vial is None:
        return None
    return SessionDrift(vial_estimate(study.reference_vial), vial_estimate(vial), f"{subject.id} syringe")


def vial_estimate(vial: Vial) -> Estimate:
    """Return a vial's stated signal with its error."""
    return Estimate(vial.signal, vial.sd)


def _measured(scan: MeasuredScan, organ: str, metric: SignalMetric) -> Estimate:
    if metric == "maximum":
        return Estimate(scan.signals.organs[organ].maximum or 0.0, scan.noise.sd)
    return scan.signal_of([organ])[0]


def vial_doubts(study: Study, rows: Sequence[Measurement]) -> list[str]:
    """Return what speaks against the study's vial: a series that falls.

    Sessions are ordered by date where every subject's injection has a time, else by day, subject by subject.
    """
    sessions = [
        (subject, timepoint.day, signal)
        for subject in study.subjects
        for timepoint in subject.timepoints
        if (signal := _vial_signal(study, subject, timepoint, rows)) is not None
    ]
    injected = {subject.id: subject.injection.time for subject in study.subjects}
    known = [time for time in injected.values() if time is not None]
    if len(known) == len(injected) and sessions:
        start = min(known)
        days = [(time - start) / timedelta(days=1) + day for s, day, _ in sessions if (time := injected[s.id])]
        return list(vial_warnings(days, [signal for _, _, signal in sessions]))
    said = []
    for subject in study.subjects:
        mine = [(day, signal) for s, day, signal in sessions if s is subject]
        said += [f"{subject.id}: {text}" for text in vial_warnings([d for d, _ in mine], [v for _, v in mine])]
    return said


def _vial_signal(study: Study, subject: Subject, timepoint: Timepoint, rows: Sequence[Measurement]) -> float | None:
    if timepoint.vial is not None:
        return timepoint.vial.signal
    for row in rows:
        if (row.subject, row.day, row.modality, row.organ) == (subject.id, timepoint.day, "MPI", study.vial_organ):
            if study.signal_metric == "maximum":
                return row.signal_max
            return row.signal_total if row.signal_total_corrected is None else row.signal_total_corrected
    return None
