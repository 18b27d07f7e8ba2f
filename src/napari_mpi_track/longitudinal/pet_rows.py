"""The rows of one PET scan: every organ's activity, uptake and apparent cells."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.measured import MeasuredScan, measure_scan
from napari_mpi_track.longitudinal.measurement import BudgetRow, Measurement, ScanRows
from napari_mpi_track.longitudinal.scene import Scene
from napari_mpi_track.longitudinal.study import DecayReference, Study, Subject, Timepoint
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.half_lives import isotope_name
from napari_mpi_track.quantification.occupancy import OUTSIDE, TOTAL
from napari_mpi_track.quantification.radioactivity import (
    cells_from_activity,
    decay_correction,
    decay_factor,
    injected_activity,
    label_warnings,
    percent_of_injected,
    percent_per_gram,
    suv_mean,
)

# (Bq/mL) mm3 = 1e-3 Bq = 1e-6 kBq.
_KBQ_PER_BQ_ML_MM3 = 1e-6
_UNITS = {"bq/ml": 1.0, "bqml": 1.0, "kbq/ml": 1e3, "kbq/cc": 1e3, "bq/cc": 1.0, "mbq/ml": 1e6, "bq/mm3": 1e3}
# 89Zr that dead cells let go of binds to bone mineral: there it no longer counts cells.
_BONE_WORDS = ("bone", "femur", "tibia", "marrow", "spine", "vertebra", "skull", "skelet", "joint", "epiphys")
_DECAY_TAGS: dict[str, DecayReference] = {"ADMIN": "injection", "START": "scan", "NONE": "none"}
_Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class _Dose:
    """What is needed to read activity as uptake and cells; ``None`` where the study does not say."""

    isotope: str
    to_injection: float
    to_scan: float
    at_injection_kbq: float | None
    per_million_at_injection_kbq: float | None
    text: str


def pet_rows(study: Study, subject: Subject, timepoint: Timepoint, scene: Scene) -> ScanRows:
    """Return the rows of one PET or SPECT scan, the budget of their errors, and what there is to warn of and to know.

    ``activity_kBq`` is at the start of the scan; ``signal`` of each row the activity in kBq, decay-corrected to the
    injection, which retention is made of.

    Raises
    ------
    MeasurementError
        If unit, time or decay correction of the scan are not known, or the subject has no radiotracer.
    """
    pet = scene.pet
    if pet is None:
        return ScanRows()
    factor, warnings = _to_bq_per_ml(pet)
    dose = _dose(subject, timepoint, pet)
    scan = measure_scan(
        pet,
        _noise(pet),
        scene.organs,
        scene.pet_from_organs,
        anatomy=scene.anatomy,
        scan_from_anatomy=scene.pet_from_anatomy,
        point_spread=study.pet_psf if study.spill_over else None,
        merge=study.merge,
        with_margin=study.with_margin,
    )
    modality = str(pet.modality)
    warnings += [f"{modality}: {doubt}" for doubt in scan.doubts()]
    radiotracer = subject.radiotracer
    if radiotracer is not None and radiotracer.activity_per_million_cells_kBq is not None:
        of_curve = {} if study.calibration is None else study.calibration.stated
        cell_type = study.conditions.get("cell_type") or of_curve.get("cell_type")
        warnings += label_warnings(radiotracer.activity_per_million_cells_kBq, cell_type, isotope=dose.isotope)
    writer = _PetRows(subject, timepoint, scan, factor * _KBQ_PER_BQ_ML_MM3, dose)
    rows = [writer.organ(organ) for organ in scan.organs]
    rows += [replace(writer.blank, organ=name, flag=";".join(scan.flags_beyond())) for name in scan.beyond]
    notes = (f"{modality}: {dose.text}",)
    return ScanRows((*rows, *writer.remaining()), tuple(writer.budget), tuple(warnings), notes)


def _to_bq_per_ml(pet: Volume) -> tuple[float, list[str]]:
    if pet.unit is None:
        return 1.0, [f"{pet.name or 'PET'}: the file states no unit, Bq/mL is taken (say 'unit' in the study file)"]
    factor = _UNITS.get(pet.unit.casefold().replace(" ", ""))
    if factor is None:
        raise MeasurementError(
            f"{pet.modality} in Bq/mL or kBq/mL was needed, got {pet.unit}",
            file=pet.file,
            remedy="export the scan in Bq/mL, or give its unit in the study file",
        )
    return factor, []


def _noise(pet: Volume) -> Noise:
    try:
        return estimate_noise(pet)
    except MeasurementError:
        # Reconstructions that are exactly zero outside the animal show no noise to measure.
        return Noise(0.0, 0.0, np.ones((1, 1, 1)), "not measurable: the background is constant")


def _dose(subject: Subject, timepoint: Timepoint, pet: Volume) -> _Dose:
    radiotracer, injected_at = subject.radiotracer, subject.injection.time
    if radiotracer is None:
        raise MeasurementError(
            f"subject {subject.id} has a {pet.modality} but no radiotracer",
            file=pet.file,
            remedy="give radiotracer: {isotope, activity_kBq, assayed_at, ...}",
        )
    scanned_at = _like(timepoint.time or pet.acquired_at, injected_at)
    if scanned_at is None or injected_at is None:
        missing = "the time of the scan" if scanned_at is None else "the time of injection"
        raise MeasurementError(
            f"{pet.modality} needs {missing} to be corrected for decay, and neither the study nor the file gives it",
            file=pet.file,
            remedy="give 'time' at the timepoint and in the injection (ISO 8601)",
        )
    corrected_to = _DECAY_TAGS.get(str(pet.metadata.get("decay_correction"))) or timepoint.decay_corrected_to
    if corrected_to is None:
        raise MeasurementError(
            f"what the {pet.modality} was decay-corrected to is not known",
            file=pet.file,
            remedy="give decay_corrected_to: injection, scan or none",
        )
    correction = decay_correction(
        radiotracer.isotope,
        injected_at=injected_at,
        scan_started_at=scanned_at,
        corrected_to=corrected_to,
        frame_duration_s=float(pet.metadata.get("frame_duration_s") or 0.0),
    )
    specific = radiotracer.activity_per_million_cells_kBq
    if specific is not None:
        assayed_at = _like(radiotracer.assayed_at, injected_at) or injected_at
        specific *= decay_factor(radiotracer.isotope, assayed_at, injected_at)
    return _Dose(
        isotope_name(radiotracer.isotope),
        correction.to_injection,
        correction.to_scan,
        injected_kbq(subject),
        specific,
        correction.text,
    )


def injected_kbq(subject: Subject) -> float | None:
    """Return the activity that went into the subject, in kBq at the injection; ``None`` where it is not stated."""
    radiotracer, injected_at = subject.radiotracer, subject.injection.time
    if radiotracer is None or radiotracer.activity_kBq is None or injected_at is None:
        return None
    return injected_activity(
        radiotracer.isotope,
        radiotracer.activity_kBq,
        residual_kBq=radiotracer.residual_kBq or 0.0,
        assayed_at=_like(radiotracer.assayed_at, injected_at) or injected_at,
        injected_at=injected_at,
    )


def _like(time: datetime | None, other: datetime | None) -> datetime | None:
    """Return a DICOM's local time in the zone of the study, which is where it was scanned."""
    if time is None or other is None or time.tzinfo is not None or other.tzinfo is None:
        return time
    return time.replace(tzinfo=other.tzinfo)


class _PetRows:
    def __init__(
        self, subject: Subject, timepoint: Timepoint, scan: MeasuredScan, kbq_per_total: float, dose: _Dose
    ) -> None:
        self.subject = subject
        self.scan = scan
        self.kbq_per_total = kbq_per_total
        self.dose = dose
        self.budget: list[BudgetRow] = []
        self.blank = Measurement(
            subject.id,
            subject.group,
            timepoint.day,
            str(scan.scan.modality),
            "",
            background_mean=scan.signals.background,
            noise_sd=scan.noise.sd,
            flag=";".join(scan.scan_flags()),
        )

    def organ(self, organ: str) -> Measurement:
        scan = self.scan
        measured = scan.signals.organs[organ]
        signal, errors = scan.signal_of([organ])
        total, total_sd = scan.measured_of([organ])
        row = replace(
            self.blank,
            organ=organ,
            organ_volume_mm3=measured.volume_mm3,
            signal_total=total,
            signal_total_sd=total_sd,
            signal_total_corrected=None if scan.spill is None else signal.value,
            signal_mean=measured.mean,
            signal_max=measured.maximum,
            spill_in_fraction=None if scan.spill is None else scan.spill.spill_in[organ],
            alignment_error_mm=scan.alignment_error_mm(organ),
            flag=";".join(scan.flags_of(organ)),
        )
        for term, sd in (("noise", errors.noise), ("alignment", errors.alignment), ("spill_over", errors.spill_over)):
            if term != "spill_over" or scan.spill is not None:
                self.budget.append(BudgetRow(row.subject, row.day, row.modality, organ, term, sd, False))
        return self._cells(self._uptake(row, signal))

    def remaining(self) -> list[Measurement]:
        """Return the rows of what lies in no organ and of the whole scan."""
        outside, outside_sd = self.scan.outside()
        whole, whole_sd = self.scan.signals.organs[TOTAL], self.scan.signals.noise_sd_of(TOTAL)
        outside_row = replace(self.blank, organ=OUTSIDE, signal_total=outside, signal_total_sd=outside_sd)
        whole_row = replace(
            self.blank,
            organ=TOTAL,
            signal_total=whole.total,
            signal_total_sd=whole_sd,
            signal_mean=whole.mean,
            signal_max=whole.maximum,
        )
        return [
            self._uptake(outside_row, Estimate(outside, outside_sd)),
            self._uptake(whole_row, Estimate(whole.total, whole_sd)),
        ]

    def _uptake(self, row: Measurement, signal: Estimate) -> Measurement:
        """Return the row with its activity, and its uptake where dose, volume and weight are known."""
        dose = self.dose
        at_injection = signal * (self.kbq_per_total * dose.to_injection)
        row = replace(row, activity_kBq=signal.value * self.kbq_per_total * dose.to_scan, signal=at_injection)
        if dose.at_injection_kbq is None:
            return row
        percent = percent_of_injected(at_injection, dose.at_injection_kbq)
        row = replace(row, percent_id=percent.value)
        if not row.organ_volume_mm3:
            return row
        row = replace(row, percent_id_per_g=percent_per_gram(percent, row.organ_volume_mm3).value)
        if self.subject.weight_g is None or row.organ_volume_mm3 is None:
            return row
        suv = suv_mean(at_injection, row.organ_volume_mm3, dose.at_injection_kbq, self.subject.weight_g)
        return replace(row, suv_mean=suv.value)

    def _cells(self, row: Measurement) -> Measurement:
        flags = [row.flag] if row.flag else []
        specific = self.dose.per_million_at_injection_kbq
        if self.dose.isotope == "89Zr" and any(word in row.organ.casefold() for word in _BONE_WORDS):
            return replace(row, flag=";".join([*flags, "free_89Zr"]))
        if row.signal is None or specific is None:
            return replace(row, flag=";".join([*flags, "no_calibration"]))
        cells = cells_from_activity(row.signal, specific)
        high = max(cells.value, 0.0) + _Z_95 * cells.sd
        if cells.sd > 0 and cells.value < 1.645 * cells.sd:
            return replace(row, cells_low=0.0, cells_high=high, flag=";".join([*flags, "below_detection"]))
        low = max(cells.value - _Z_95 * cells.sd, 0.0)
        return replace(row, cells=cells.value, cells_low=low, cells_high=high, flag=";".join(flags))
