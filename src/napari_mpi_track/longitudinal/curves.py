"""The rows of all timepoints together: retention against a reference, and decay over days."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import hypot

import numpy as np

from napari_mpi_track.longitudinal.decay import DecayFit, fit_decay
from napari_mpi_track.longitudinal.ex_vivo import EX_VIVO
from napari_mpi_track.longitudinal.ex_vivo_table import GAMMA, ICP
from napari_mpi_track.longitudinal.fluorine_rows import injected_nmol
from napari_mpi_track.longitudinal.groups import AnimalCourse, group_row
from napari_mpi_track.longitudinal.interpolation import between_scans
from napari_mpi_track.longitudinal.measurement import DecayRow, Measurement, RetentionRow
from napari_mpi_track.longitudinal.mpi_rows import detection_signal, scatter_sd
from napari_mpi_track.longitudinal.pet_dose import follows_reporter, injected_kbq
from napari_mpi_track.longitudinal.retention import Retention, retention_of_injected, retention_of_scan
from napari_mpi_track.longitudinal.study import Study, Subject
from napari_mpi_track.longitudinal.vial import drift_of_syringe
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.cell_number import signal_estimate
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.occupancy import FIDUCIALS, OUTSIDE, TOTAL
from napari_mpi_track.quantification.session_drift import error_of_sessions

_NOT_FOLLOWED = (FIDUCIALS, OUTSIDE)
Key = tuple[str, str]


def with_baseline_flags(study: Study, rows: Sequence[Measurement]) -> list[Measurement]:
    """Return the rows with ``no_baseline`` where the scan before injection has no such organ to take off."""
    flagged = []
    for row in rows:
        subject = study.subject(row.subject)
        baseline = subject.baseline
        is_uncorrected = (
            baseline is not None
            and row.day != baseline.day
            and row.modality == "MPI"
            and row.organ not in (*_NOT_FOLLOWED, TOTAL, study.vial_organ)
            and signal_before(subject, rows, row) is None
        )
        flagged.append(replace(row, flag=_joined(row.flag, "no_baseline")) if is_uncorrected else row)
    return flagged


def with_scatter(
    rows: Sequence[Measurement], calibration: Calibration | None, repeatability: float | None = None
) -> list[Measurement]:
    """Return the rows with the scatter of one measurement added to the own error of every MPI signal.

    What makes two samples of one calibration standard differ (positioning, receiver, reconstruction) makes two days
    of one animal differ as well; the noise of a scan does not hold it. Where the study states its repeatability, that
    stands for it.
    """
    return [
        replace(row, signal=scattered(row.signal, calibration, repeatability))
        if row.modality == "MPI" and row.signal
        else row
        for row in rows
    ]


def scattered(signal: Estimate, calibration: Calibration | None, repeatability: float | None) -> Estimate:
    """Return a signal with the scatter of one measurement in its own error."""
    return replace(signal, own_sd=hypot(signal.own_sd, scatter_sd(signal.value, calibration, repeatability)))


def retention_rows(
    study: Study, rows: Sequence[Measurement], calibration: Calibration | None
) -> tuple[list[RetentionRow], list[str]]:
    """Return what is left of the reference in every organ on every day, and what there is to warn of.

    The row ``total`` is the whole body: the scan's total without its markers.
    """
    found: list[RetentionRow] = []
    warnings: list[str] = []
    for subject in study.subjects:
        for (modality, organ), series in _series(subject, rows).items():
            reference = _reference(study, subject, series, modality, calibration)
            if reference is None:
                warnings.append(_why_no_reference(study, subject, modality))
                continue
            asked, told = between_scans(subject.id, series, study.retention_at)
            warnings += told
            for row in sorted([*series, *asked], key=lambda row: row.day):
                kept = _retention(subject, rows, row, reference)
                # Whatever limits the signal limits what is made of it.
                flag = _joined(row.flag, kept.flag)
                percent, low, high = kept.percent, kept.low, kept.high
                if "below_detection" in flag:
                    percent, low, high = None, 0.0, None if high is None else max(high, 0.0)
                found.append(
                    RetentionRow(
                        subject.id, subject.group, row.day, modality, organ, reference[0], percent, low, high, flag
                    )
                )
    return found, warnings


def decay_rows(study: Study, rows: Sequence[Measurement], calibration: Calibration | None) -> list[DecayRow]:
    """Return the decay of every organ of every subject, then of every group (rows with an empty subject).

    Notes
    -----
    Fitted to the signal in percent of the reference's value: the reference's own error is common to all days and
    moves no half-life.
    """
    courses = [
        _course(study, subject, modality, organ, series, rows, calibration)
        for subject in study.subjects
        for (modality, organ), series in _series(subject, rows).items()
        if modality not in EX_VIVO
    ]
    single = [course.row for course in courses]
    groups = dict.fromkeys((row.group, row.modality, row.organ) for row in single)
    together = [
        group_row(*key, [c for c in courses if (c.row.group, c.row.modality, c.row.organ) == key]) for key in groups
    ]
    return single + together


def _series(subject: Subject, rows: Iterable[Measurement]) -> dict[Key, list[Measurement]]:
    """Return the followed rows of one subject by modality and organ, in order of day, without the baseline."""
    baseline_day = None if subject.baseline is None else subject.baseline.day
    series: dict[Key, list[Measurement]] = {}
    for row in rows:
        is_followed = row.subject == subject.id and row.organ not in _NOT_FOLLOWED and row.signal is not None
        if is_followed and row.day != baseline_day:
            series.setdefault((row.modality, row.organ), []).append(row)
    return {key: sorted(found, key=lambda row: row.day) for key, found in series.items()}


def signal_before(subject: Subject, rows: Iterable[Measurement], row: Measurement) -> Estimate | None:
    """Return the same organ's signal before injection; ``None`` where it was not measured, or not alike.

    A whole scan without markers cannot be taken off one with markers, or the other way round.
    """
    if subject.baseline is None or row.modality != "MPI":
        return None
    before = {r.organ: r for r in rows if r.subject == subject.id and r.day == subject.baseline.day}
    if row.organ == TOTAL:
        today = {r.organ for r in rows if (r.subject, r.day, r.modality) == (row.subject, row.day, row.modality)}
        if (FIDUCIALS in today) != (FIDUCIALS in before):
            return None
    found = before.get(row.organ)
    return None if found is None else found.signal


Reference = tuple[str, Estimate, Estimate | None]


def _reference(
    study: Study, subject: Subject, series: Sequence[Measurement], modality: str, calibration: Calibration | None
) -> Reference | None:
    """Return the reference's name and signal, and the residue in the syringe where the reference is injected."""
    # Light was not injected, and a reporter's tracer is injected anew: both are compared with the first image.
    # Organs taken out have no day before.
    is_injected = modality in EX_VIVO or (study.reference == "injected" and modality != "BLI")
    if is_injected and not follows_reporter(subject, modality):
        return injected_signal(study, subject, modality, calibration)
    if study.reference in ("injected", "first"):
        row = series[0]
    else:
        of_day = [row for row in series if row.day == float(study.reference)]
        if not of_day:
            return None
        row = of_day[0]
    return None if row.signal is None else (f"day {row.day:g}", row.signal, None)


def injected_signal(study: Study, subject: Subject, modality: str, calibration: Calibration | None) -> Reference | None:
    if modality in ("PET", "SPECT", GAMMA):
        dose = injected_kbq(subject)
        return None if dose is None else ("injected", Estimate(dose), None)
    injection = subject.injection
    if modality == ICP:
        return None if not injection.iron_ug else ("injected", Estimate(1000 * injection.iron_ug), None)
    if modality == "19F":
        amount = (
            None if study.fluorine is None or not injection.cells else injected_nmol(study.fluorine, injection.cells)
        )
        return None if amount is None else ("injected cells", amount, None)
    if injection.signal is not None:
        residue = None if injection.residue_signal is None else Estimate(injection.residue_signal)
        # The syringe was measured like a calibration sample, and scatters like one.
        syringe = scattered(Estimate(injection.signal), calibration, study.repeatability)
        drift = drift_of_syringe(study, subject)
        if drift is not None:
            syringe, residue = drift.undone(syringe), None if residue is None else drift.undone(residue)
        return "injected", syringe, residue
    if injection.cells and calibration is not None and calibration.x_quantity == "cells":
        return "injected cells", signal_estimate(injection.cells, calibration), None
    if injection.iron_ug and calibration is not None and calibration.x_quantity == "iron_ng":
        return "injected iron", signal_estimate(1000 * injection.iron_ug, calibration), None
    return None


def _why_no_reference(study: Study, subject: Subject, modality: str) -> str:
    if study.reference != "injected" and modality not in EX_VIVO:
        return f"{subject.id}: no {modality} on the reference day {study.reference}, so no retention"
    needed = {
        "PET": "radiotracer activity_kBq",
        "SPECT": "radiotracer activity_kBq",
        GAMMA: "radiotracer activity_kBq",
        ICP: "injection iron_ug",
        "19F": "injection cells",
    }.get(modality, "injection signal (or cells, with a calibration)")
    return f"{subject.id}: retention against the injected {modality} signal needs its {needed}"


def _retention(subject: Subject, rows: Sequence[Measurement], row: Measurement, reference: Reference) -> Retention:
    name, signal, residue = reference
    before = signal_before(subject, rows, row)
    assert row.signal is not None
    if name.startswith("injected"):
        return retention_of_injected(row.signal, signal, pre=before, residue=residue)
    return retention_of_scan(row.signal, signal, pre=before)


def _course(
    study: Study,
    subject: Subject,
    modality: str,
    organ: str,
    series: Sequence[Measurement],
    rows: Sequence[Measurement],
    calibration: Calibration | None,
) -> AnimalCourse:
    """Return one organ's points in percent of the reference, and the decay fitted to them."""
    signals = [row.signal - (signal_before(subject, rows, row) or 0.0) for row in series if row.signal is not None]
    reference = _reference(study, subject, series, modality, calibration)
    whole = 0.0 if reference is None else reference[1].value - (0.0 if reference[2] is None else reference[2].value)
    scale = 100.0 / whole if whole > 0 else 1.0
    errors = np.array([hypot(signal.own_sd, error_of_sessions(signal)) for signal in signals]) * scale
    is_censored = ["below_detection" in row.flag for row in series]
    line = calibration if modality == "MPI" else None
    limits = [detection_signal(row.signal, line) * scale for row in series if row.signal is not None]
    days, values = np.array([row.day for row in series]), np.array([signal.value for signal in signals]) * scale
    known = errors if np.all(errors > 0) else None
    fit = fit_decay(days, values, errors=known, censored_below=is_censored, limits=limits, model=study.decay_model)
    row = _as_row(subject.id, subject.group, modality, organ, fit)
    return AnimalCourse(row, days, values, known, np.array(is_censored, dtype=bool))


def _as_row(subject: str, group: str, modality: str, organ: str, fit: DecayFit) -> DecayRow:
    return DecayRow(
        subject,
        group,
        modality,
        organ,
        fit.model,
        json.dumps({name: float(f"{value:.9g}") for name, value in fit.parameters.items()}) if fit.parameters else "",
        fit.rate_per_day,
        fit.half_life_days,
        fit.low,
        fit.high,
        fit.plateau_percent,
        fit.aicc,
        fit.r_squared,
        fit.points,
        fit.censored_points,
        fit.flag,
        fit.reason,
    )


def _joined(*flags: str) -> str:
    return ";".join(dict.fromkeys(part for flag in flags for part in flag.split(";") if part))
