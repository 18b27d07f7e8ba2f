"""The rows of one MPI scan: every organ's signal and its apparent cells."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np

from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.measured import MeasuredScan, SignalErrors
from napari_mpi_track.longitudinal.measurement import (
    WHOLE_ORGAN,
    BudgetRow,
    Measurement,
    OrganRuleRow,
    ScanRows,
    SpillRow,
)
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.longitudinal.refusals import measure_as_far_as_possible
from napari_mpi_track.longitudinal.scene import Scene
from napari_mpi_track.longitudinal.study import SignalMetric, Study, Subject, Timepoint
from napari_mpi_track.longitudinal.vial import drift_of
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.cell_number import cell_estimate, count_cells
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.occupancy import FIDUCIALS, OUTSIDE, TOTAL
from napari_mpi_track.quantification.organ_statistics import signal_place
from napari_mpi_track.quantification.session_drift import SessionDrift

_ONE_SIDED_95 = 1.645


def mpi_rows(
    study: Study, subject: Subject, timepoint: Timepoint, scene: Scene, calibration: Calibration | None
) -> ScanRows:
    """Return the rows of one MPI scan, the budget of their errors, and what there is to warn of.

    Without organs only the rows ``outside`` and ``total`` are there. Cells are read from the corrected totals where
    the study asks for spill-over correction, else from the measured ones; the cell-free control arm has none.
    """
    if scene.mpi is None:
        return _rows_of_a_number(study, subject, timepoint, calibration_of(subject, calibration))
    return rows_of_day(study, subject, timepoint, measure_day(study, scene.mpi, scene), calibration)


def measure_day(study: Study, mpi: Volume, scene: Scene) -> MeasuredScan:
    """Return the MPI of one day measured in its scene, as the study says."""
    noise = estimate_noise(mpi)

    def measure(merge: Sequence[Sequence[str]], with_margin: Collection[str]) -> MeasuredScan:
        return measure_scan(
            mpi,
            noise,
            scene.organs,
            scene.mpi_from_organs,
            markers=scene.mpi_fiducials,
            anatomy=scene.anatomy,
            scan_from_anatomy=scene.mpi_from_anatomy,
            point_spread=study.psf if study.spill_over else None,
            background=study.background,
            neighbours=scene.neighbours,
            with_rules=study.rules == "compare",
            merge=merge,
            with_margin=with_margin,
        )

    there = () if scene.organs is None else tuple(scene.organs.names.values())
    return measure_as_far_as_possible(measure, there, study.vial_organ, study.merge, study.with_margin)


def rows_of_day(
    study: Study, subject: Subject, timepoint: Timepoint, scan: MeasuredScan, calibration: Calibration | None
) -> ScanRows:
    """Return the rows of one measured day, the budget of their errors, and what there is to warn of."""
    calibration = calibration_of(subject, calibration)
    warnings = [f"MPI: {doubt}" for doubt in scan.doubts()]
    if study.spill_over and study.psf is None:
        warnings.append("spill_over is asked for, but the study gives no point spread (psf): nothing is corrected")
    named = Measurement(subject.id, subject.group, timepoint.day, "MPI", "")
    rows, budget = rows_of_scan(
        named,
        scan,
        calibration,
        study.signal_metric,
        drift=drift_of(study, subject, timepoint, scan),
        vial=study.vial_organ,
        repeatability=study.repeatability,
    )
    return ScanRows(
        tuple(rows),
        tuple(budget),
        tuple(warnings),
        spill=tuple(spill_rows(named, scan)),
        rules=rule_rows(named, scan),
    )


def rule_rows(named: Measurement, scan: MeasuredScan) -> tuple[OrganRuleRow, ...]:
    """Return what each rule keeps of every organ, the whole organ first; none where rules were not asked for."""
    return tuple(
        OrganRuleRow(named.subject, named.day, named.modality, organ, rule, total)
        for organ, under in scan.rules.items()
        for rule, total in ((WHOLE_ORGAN, under.whole), *((str(rule), total) for rule, total in under.totals.items()))
    )


def spill_rows(named: Measurement, scan: MeasuredScan) -> list[SpillRow]:
    """Return what part of every organ's measured signal came from where, in percent; none without a correction."""
    if scan.spill is None:
        return []
    arrived = scan.spill.transfer * scan.spill.totals
    rows = []
    for organ in scan.organs:
        of_organ = arrived[scan.spill.names.index(organ)]
        whole = float(of_organ.sum())
        if whole <= 0:
            continue
        rows += [
            SpillRow(named.subject, named.day, named.modality, organ, source, 100 * float(part) / whole)
            for source, part in zip(scan.spill.names, of_organ, strict=True)
        ]
    return rows


def calibration_of(subject: Subject, calibration: Calibration | None) -> Calibration | None:
    """Return what a subject's cells are counted by: nothing in the cell-free arm.

    It has no cells to count, and tracer in solution gives another signal than in cells.
    """
    is_of_cells = calibration is not None and calibration.x_quantity == "cells"
    return None if subject.is_control and is_of_cells else calibration


def rows_of_scan(
    named: Measurement,
    scan: MeasuredScan,
    calibration: Calibration | None,
    metric: SignalMetric,
    *,
    drift: SessionDrift | None = None,
    vial: str | None = None,
    repeatability: float | None = None,
) -> tuple[list[Measurement], list[BudgetRow]]:
    """Return the rows of one measured scan and the budget of their errors.

    Parameters
    ----------
    named
        A row with subject, group, day and modality, which all rows take over.
    scan
        What was measured.
    calibration
        Reads signals as cells or iron; without it the rows are flagged ``no_calibration``.
    metric
        Whether an organ's signal is its total or its maximum.
    drift
        Of the scanner since the calibration, undone in the corrected totals and in what is made of them.
    vial
        The organ that is the reference vial: measured, and neither counted nor followed.
    repeatability
        Relative SD of one thing's signal scanned again; without it a scan scatters as calibration samples do.
    """
    blank = replace(
        named,
        background_mean=scan.signals.background,
        background_sd=scan.background.sd,
        noise_sd=scan.noise.sd,
        noise_degrees_of_freedom=scan.noise.degrees_of_freedom if np.isfinite(scan.noise.degrees_of_freedom) else None,
        flag=";".join(scan.scan_flags()),
    )
    rows, budget = [], []
    for organ in scan.organs:
        row, errors = _organ_row(blank, scan, organ, metric == "maximum")
        if organ == vial:
            rows.append(replace(row, signal=None))
            continue
        if organ in scan.refused:
            rows.append(without_signal(row))
            continue
        row = _undrifted(row, drift)
        rows.append(counted(row, calibration, repeatability))
        budget += _budget(row, errors, scan, calibration, drift, repeatability)
    rows += [replace(blank, organ=name, flag=";".join(scan.flags_beyond())) for name in scan.beyond]
    rows += [replace(blank, organ=name, flag=scan.refused[name]) for name in scan.refused_whole()]
    return rows + [_undrifted(row, drift) for row in _remaining_rows(blank, scan, vial)], budget


def without_signal(row: Measurement) -> Measurement:
    """Return the row of an organ that could not be measured as asked: what lies in it, and no signal of its own."""
    return replace(row, signal=None, signal_total_corrected=None, spill_in_fraction=None)


def _undrifted(row: Measurement, drift: SessionDrift | None) -> Measurement:
    """Return the row with its signal, and the corrected total, as they would be in the calibration's session."""
    if drift is None or row.signal is None:
        return row
    total = row.signal_total if row.signal_total_corrected is None else row.signal_total_corrected
    corrected = None if total is None else total * drift.factor
    return replace(row, signal=drift.undone(row.signal), signal_total_corrected=corrected)


def _organ_row(
    blank: Measurement, scan: MeasuredScan, organ: str, is_maximum: bool
) -> tuple[Measurement, SignalErrors]:
    measured = scan.signals.organs[organ]
    signal, errors = scan.signal_of([organ])
    total, total_sd = scan.measured_of([organ])
    is_corrected = scan.spill is not None or organ in scan.local
    if is_maximum:
        signal = Estimate(measured.maximum or 0.0, scan.noise.sd)
    place = signal_place(scan.scan, scan.occupancy, organ)
    row = replace(
        blank,
        organ=organ,
        organ_volume_mm3=scan.volume_mm3([organ]),
        signal_total=total,
        signal_total_sd=total_sd,
        signal_total_corrected=scan.signal_of([organ])[0].value if is_corrected else None,
        background_local=scan.local[organ].level if organ in scan.local else None,
        signal_total_local=scan.local_of(organ),
        centre_x_mm=place.centre_mm[0],
        centre_y_mm=place.centre_mm[1],
        centre_z_mm=place.centre_mm[2],
        extent_plane_mm=place.extent_mm[0],
        extent_row_mm=place.extent_mm[1],
        extent_column_mm=place.extent_mm[2],
        signal_mean=measured.mean,
        signal_max=measured.maximum,
        spill_in_fraction=None if scan.spill is None else scan.spill.spill_in[organ],
        alignment_error_mm=scan.alignment_error_mm(organ),
        flag=";".join(scan.flags_of(organ)),
        signal=signal,
    )
    return row, errors


def _remaining_rows(blank: Measurement, scan: MeasuredScan, vial: str | None) -> list[Measurement]:
    """Return the rows of the markers, of what lies in no organ, and of the whole scan."""
    rows = []
    if scan.markers:
        total, total_sd = scan.measured_of(scan.markers)
        parts = [scan.signals.organs[name] for name in scan.markers]
        signal = scan.signal_of(scan.markers)[0]
        rows.append(
            replace(
                blank,
                organ=FIDUCIALS,
                organ_volume_mm3=scan.volume_mm3(scan.markers),
                signal_total=total,
                signal_total_sd=total_sd,
                signal_total_corrected=None if scan.spill is None else signal.value,
                signal_max=max((part.maximum for part in parts if part.maximum is not None), default=None),
                flag=_with_saturation(blank.flag, scan.is_saturated(scan.markers)),
                signal=signal,
            )
        )
    outside, outside_sd = scan.outside()
    rows.append(
        replace(
            blank,
            organ=OUTSIDE,
            signal_total=outside,
            signal_total_sd=outside_sd,
            signal=Estimate(outside, outside_sd),
        )
    )
    whole = scan.signals.organs[TOTAL]
    whole_sd = scan.whole()[1]
    aside = scan.of_markers_in_scan() + scan.of_others_in_scan() + _of_vial(scan, vial)
    rows.append(
        replace(
            blank,
            organ=TOTAL,
            signal_total=whole.total,
            signal_total_sd=whole_sd,
            signal_mean=whole.mean,
            signal_max=whole.maximum,
            # What is followed of a whole body leaves the markers, the vial and other animals out.
            signal=Estimate(whole.total - aside, whole_sd),
            flag=_with_saturation(blank.flag, scan.is_saturated()),
        )
    )
    return rows


def _of_vial(scan: MeasuredScan, vial: str | None) -> float:
    return scan.signal_of([vial])[0].value if vial in scan.organs else 0.0


def _with_saturation(flag: str, is_saturated: bool) -> str:
    return ";".join([*([flag] if flag else []), *(["saturated"] if is_saturated else [])])


def _rows_of_a_number(
    study: Study, subject: Subject, timepoint: Timepoint, calibration: Calibration | None
) -> ScanRows:
    """Return the one row of a timepoint that was measured without an image (a vial, a handheld probe)."""
    if timepoint.signal is None:
        return ScanRows()
    row = Measurement(
        subject.id,
        subject.group,
        timepoint.day,
        "MPI",
        TOTAL,
        signal_total=timepoint.signal,
        signal_total_sd=timepoint.signal_sd,
        signal=Estimate(timepoint.signal, timepoint.signal_sd or 0.0),
    )
    row = _undrifted(row, drift_of(study, subject, timepoint, None))
    return ScanRows((counted(row, calibration, study.repeatability),))


def with_override_flag(rows: Iterable[Measurement]) -> list[Measurement]:
    """Return the rows with ``calibration_overridden`` where cells or iron were read through the calibration."""
    return [
        replace(row, flag=";".join([*([row.flag] if row.flag else []), "calibration_overridden"]))
        if any(value is not None for value in (row.cells, row.cells_high, row.iron_ng, row.iron_ng_high))
        else row
        for row in rows
    ]


def counted(row: Measurement, calibration: Calibration | None, repeatability: float | None = None) -> Measurement:
    """Return the row with its signal read as cells, or as iron.

    ``repeatability`` is the relative SD of one thing scanned again; without it the scatter of a calibration sample,
    which holds that of its pipette too, stands for it.
    """
    signal = row.signal
    flags = [row.flag] if row.flag else []
    if signal is None or calibration is None:
        is_lost = signal is not None and signal.value <= _ONE_SIDED_95 * signal.own_sd
        return replace(row, flag=";".join([*flags, *(["below_detection"] if is_lost else []), "no_calibration"]))
    known = repeatability is not None
    counts = count_cells(
        [signal.value],
        calibration,
        own_sd=np.hypot(signal.sd, (repeatability or 0.0) * signal.value),
        # Of a signal whose whole scatter is stated, the mean of many samples would know no more.
        replicates=np.inf if known else 1,
        detection_signal=detection_signal(signal, calibration),
    )
    flags += [str(counts.flag[0])] if counts.flag[0] else []
    value, low, high = (float(x[0]) if np.isfinite(x[0]) else None for x in (counts.value, counts.low, counts.high))
    if calibration.x_quantity == "cells":
        return replace(row, cells=value, cells_low=low, cells_high=high, flag=";".join(flags))
    return replace(row, iron_ng=value, iron_ng_low=low, iron_ng_high=high, flag=";".join(flags))


def scatter_sd(signal: float, calibration: Calibration | None, repeatability: float | None) -> float:
    """Return the SD of one measurement of this signal: as stated, else as calibration samples scatter."""
    if repeatability is not None:
        return repeatability * abs(signal)
    if calibration is None:
        return 0.0
    x = max((signal - calibration.intercept) / calibration.slope, 0.0)
    return float(np.sqrt(float(calibration.variance_model.variance(x, max(signal, calibration.intercept)))))


def detection_signal(signal: Estimate, calibration: Calibration | None) -> float:
    """Return the signal below which nothing can be told to be there: the image's limit or the calibration's."""
    by_image = _ONE_SIDED_95 * signal.own_sd
    return by_image if calibration is None else max(by_image, calibration.decision_signal())


def _budget(
    row: Measurement,
    errors: SignalErrors,
    scan: MeasuredScan,
    calibration: Calibration | None,
    drift: SessionDrift | None,
    repeatability: float | None,
) -> list[BudgetRow]:
    factor = 1.0 if drift is None else drift.factor
    terms = [("noise", errors.noise * factor, False)]
    if scan.background.sd or scan.local:
        terms.append(("background", errors.background * factor, False))
    if row.organ in scan.rules:
        terms.append(("rule", errors.rule * factor, False))
    if scan.spill is not None:
        terms.append(("spill_over", errors.spill_over * factor, False))
    terms.append(("alignment", errors.alignment * factor, False))
    if drift is not None and row.signal is not None:
        terms.append(("drift", row.signal.shared_sd, True))
    if row.signal is not None and (calibration is not None or repeatability is not None):
        terms.append(("scatter", scatter_sd(row.signal.value, calibration, repeatability), False))
    if calibration is not None and row.signal is not None:
        terms.append(("calibration", line_sd(row.signal.value, calibration), True))
    return [BudgetRow(row.subject, row.day, row.modality, row.organ, term, sd, shared) for term, sd, shared in terms]


def line_sd(signal: float, calibration: Calibration) -> float:
    """Return the calibration's error in signal, like the other terms: that in cells times its slope."""
    return cell_estimate(Estimate(signal), calibration).shared_sd * calibration.slope
