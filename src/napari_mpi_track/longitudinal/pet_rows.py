"""The rows of one PET scan: every organ's activity, uptake and apparent cells."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.measured import MeasuredScan
from napari_mpi_track.longitudinal.measurement import BudgetRow, Measurement, ScanRows
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.longitudinal.mpi_rows import without_signal
from napari_mpi_track.longitudinal.pet_dose import PetDose, dose_of
from napari_mpi_track.longitudinal.refusals import measure_as_far_as_possible
from napari_mpi_track.longitudinal.scan_parts import body_in_field
from napari_mpi_track.longitudinal.scene import Scene
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.occupancy import OUTSIDE, TOTAL
from napari_mpi_track.quantification.radioactivity import (
    cells_from_activity,
    label_warnings,
    percent_of_injected,
    percent_per_gram,
    suv_mean,
)
from napari_mpi_track.quantification.reporters import takes_up_by_itself

# (Bq/mL) mm3 = 1e-3 Bq = 1e-6 kBq.
_KBQ_PER_BQ_ML_MM3 = 1e-6
_UNITS = {"bq/ml": 1.0, "bqml": 1.0, "kbq/ml": 1e3, "kbq/cc": 1e3, "bq/cc": 1.0, "mbq/ml": 1e6, "bq/mm3": 1e3}
# 89Zr that dead cells let go of binds to bone mineral: there it no longer counts cells.
_BONE_WORDS = ("bone", "femur", "tibia", "marrow", "spine", "vertebra", "skull", "skelet", "joint", "epiphys")
_Z_95 = 1.96
# Of the injected activity, in percent: what a whole animal in the field must give, excretion and calibration allowed.
_RECOVERED = (80.0, 120.0)


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
    dose = dose_of(subject, timepoint, pet)
    scan = _measured(study, pet, scene)
    modality = str(pet.modality)
    warnings += [f"{modality}: {doubt}" for doubt in scan.doubts()]
    radiotracer = subject.radiotracer
    if radiotracer is not None and radiotracer.activity_per_million_cells_kBq is not None:
        of_curve = {} if study.calibration is None else study.calibration.stated
        cell_type = study.conditions.get("cell_type") or of_curve.get("cell_type")
        warnings += label_warnings(radiotracer.activity_per_million_cells_kBq, cell_type, isotope=dose.isotope)
    writer = _PetRows(subject, timepoint, scan, factor * _KBQ_PER_BQ_ML_MM3, dose, study.vial_organ)
    rows = [writer.organ(organ) for organ in scan.organs]
    rows += [replace(writer.blank, organ=name, flag=";".join(scan.flags_beyond())) for name in scan.beyond]
    rows += [replace(writer.blank, organ=name, flag=scan.refused[name]) for name in scan.refused_whole()]
    remaining = writer.remaining()
    notes = [f"{modality}: {dose.text}"]
    if dose.reporter is not None:
        notes.append(
            f"{modality}: reporter gene {dose.reporter}, seen by a tracer injected for every scan: it follows living"
            " cells and their offspring; what a cell takes up in the body is not known, so there are no cells"
        )
    elif (found := remaining[-1].percent_id) is not None:
        notes.append(f"{modality}: {found:.1f} % of the injected activity is in the field of view")
        warnings += _recovery_doubts(found, dose, scene)
    return ScanRows((*rows, *remaining), tuple(writer.budget), tuple(warnings), tuple(notes))


def _measured(study: Study, pet: Volume, scene: Scene) -> MeasuredScan:
    noise = _noise(pet)

    def measure(merge: Sequence[Sequence[str]], with_margin: Collection[str]) -> MeasuredScan:
        return measure_scan(
            pet,
            noise,
            scene.organs,
            scene.pet_from_organs,
            anatomy=scene.anatomy,
            scan_from_anatomy=scene.pet_from_anatomy,
            point_spread=study.pet_psf if study.spill_over else None,
            merge=merge,
            with_margin=with_margin,
        )

    there = () if scene.organs is None else tuple(scene.organs.names.values())
    return measure_as_far_as_possible(measure, there, study.vial_organ, study.merge, study.with_margin)


def _recovery_doubts(found: float, dose: PetDose, scene: Scene) -> list[str]:
    """Return what is to be thought of a scan that does not hold what was injected."""
    low, high = _RECOVERED
    if low <= found <= high or scene.pet is None:
        return []
    told = f"{scene.pet.modality}: {found:.0f} % of the injected activity is in the field of view"
    if found > high:
        return [f"{told}: check the dose, its unit and time, and what the scan was decay-corrected to"]
    if scene.anatomy is None:
        return [
            f"{told}: how much of the body lies in it is not known without an anatomy; else label was excreted, or the"
            " dose, a time or the unit is at fault"
        ]
    seen = 100 * body_in_field(scene.anatomy, scene.pet, scene.pet_from_anatomy)
    return [
        f"{told}, and {seen:.0f} % of the body that the anatomy shows: else label was excreted in"
        f" {dose.elapsed_h:.3g} h, or the dose, a time or the unit is at fault"
    ]


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


def holds_free_label(isotope: str, organ: str) -> bool:
    """Return whether an organ of this name takes up what dead cells let go of the isotope: bone, of 89Zr."""
    return isotope == "89Zr" and any(word in organ.casefold() for word in _BONE_WORDS)


class _PetRows:
    def __init__(
        self,
        subject: Subject,
        timepoint: Timepoint,
        scan: MeasuredScan,
        kbq_per_total: float,
        dose: PetDose,
        vial: str | None,
    ) -> None:
        self.subject = subject
        self.scan = scan
        self.kbq_per_total = kbq_per_total
        self.dose = dose
        self.vial = vial
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
        if organ in scan.refused:
            return without_signal(row)
        for term, sd in (("noise", errors.noise), ("alignment", errors.alignment), ("spill_over", errors.spill_over)):
            if term != "spill_over" or scan.spill is not None:
                self.budget.append(BudgetRow(row.subject, row.day, row.modality, organ, term, sd, False))
        if organ == self.vial:
            # A vial of tracer for MPI: what activity its place shows is no cells' and nothing to follow.
            return replace(row, activity_kBq=signal.value * self.kbq_per_total * self.dose.to_scan)
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
        if dose.reporter is not None:
            # Every scan has a dose of its own: days are compared in parts of theirs.
            row = replace(row, signal=percent)
        if not row.organ_volume_mm3:
            return row
        row = replace(row, percent_id_per_g=percent_per_gram(percent, row.organ_volume_mm3).value)
        if self.subject.weight_g is None or row.organ_volume_mm3 is None:
            return row
        suv = suv_mean(at_injection, row.organ_volume_mm3, dose.at_injection_kbq, self.subject.weight_g)
        return replace(row, suv_mean=suv.value)

    def _cells(self, row: Measurement) -> Measurement:
        flags = [row.flag] if row.flag else []
        if self.dose.reporter is not None:
            own = ["physiological_uptake"] if takes_up_by_itself(self.dose.reporter, row.organ) else []
            return replace(row, flag=";".join([*flags, *own]))
        specific = self.dose.per_million_at_injection_kbq
        if holds_free_label(self.dose.isotope, row.organ):
            return replace(row, flag=";".join([*flags, "free_89Zr"]))
        if row.signal is None or specific is None:
            return replace(row, flag=";".join([*flags, "no_calibration"]))
        cells = cells_from_activity(row.signal, specific)
        high = max(cells.value, 0.0) + _Z_95 * cells.sd
        if cells.sd > 0 and cells.value < 1.645 * cells.sd:
            return replace(row, cells_low=0.0, cells_high=high, flag=";".join([*flags, "below_detection"]))
        low = max(cells.value - _Z_95 * cells.sd, 0.0)
        return replace(row, cells=cells.value, cells_low=low, cells_high=high, flag=";".join(flags))
