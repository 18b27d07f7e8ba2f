"""The rows of one 19F-MRI scan: every organ's cells against a capillary of known spins."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.measured import MeasuredScan
from napari_mpi_track.longitudinal.measurement import BudgetRow, Measurement, ScanRows
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.longitudinal.scene import Scene, frame_of
from napari_mpi_track.longitudinal.study import Fluorine, Study, Subject, Timepoint
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.fluorine import (
    SD_OF_MAGNITUDE,
    SD_OF_VOXEL,
    cells_from_fluorine,
    magnitude_noise_sd,
    organ_fluorine,
    voxel_fluorine,
)
from napari_mpi_track.quantification.occupancy import OUTSIDE, TOTAL
from napari_mpi_track.readers.scans import read_scan

_AVOGADRO = 6.02214076e23
# mmol/L = nmol/mm3.
_SPINS_PER_NMOL = 1e-9 * _AVOGADRO
_SPINS = "19F:spins_per_cell"
_WHOLLY_INSIDE = 0.99
# A magnitude above so many SDs is noise in one voxel of 90.
_SEEN = 3.0
_ONE_SIDED_95 = 1.645
_Z_95 = 1.96


def fluorine_rows(study: Study, subject: Subject, timepoint: Timepoint, scene: Scene) -> tuple[ScanRows, Volume | None]:
    """Return the rows of one 19F scan with what there is to know of it, and the scan in the anatomy's frame.

    ``signal_total`` sums the magnitudes as they are; ``signal_total_corrected`` is free of what noise adds to
    magnitudes; ``noise_sd`` is that of the real and of the imaginary part; ``signal`` of each row is the amount of 19F
    in nmol, which retention is made of.

    Raises
    ------
    MeasurementError
        If the reference capillary is not among the organs or has no signal, or noise cannot be measured.
    """
    if timepoint.fluorine is None or study.fluorine is None:
        return ScanRows(), None
    file = timepoint.fluorine
    scan = read_scan(file.path, series=file.series, modality=Modality.F19, unit=file.unit, spacing_mm=file.spacing_mm)
    scan = scan.in_frame(frame_of(subject, timepoint, "anatomy"))
    if scene.organs is None:
        raise MeasurementError("a 19F scan needs organs, its capillary among them", file=scan.file)
    noise_sd = study.fluorine.noise_sd or _noise_sd(scan, scene)
    bare = scan.with_voxels(voxel_fluorine(scan.voxels, noise_sd).astype(np.float32))
    correlation = _correlation(scan)
    raw, corrected = (
        measure_scan(volume, Noise(sd * noise_sd, 0.0, correlation, ""), scene.organs, scene.anatomy_from_organs)
        for volume, sd in ((scan, SD_OF_MAGNITUDE), (bare, SD_OF_VOXEL))
    )
    writer = _FluorineRows(subject, timepoint, raw, corrected, study.fluorine, noise_sd)
    warnings = tuple(f"19F: {doubt}" for doubt in raw.doubts())
    return ScanRows(tuple(writer.rows()), tuple(writer.budget), warnings, (writer.note(),)), scan


def injected_nmol(given: Fluorine, cells: float) -> Estimate:
    """Return the 19F that so many labelled cells brought, in nmol."""
    spins = Estimate(given.spins_per_cell, 0.0, {_SPINS: given.spins_per_cell_sd})
    return spins * (cells / _SPINS_PER_NMOL)


def _noise_sd(scan: Volume, scene: Scene) -> float:
    """Return the SD of the real and of the imaginary part, from all that lies in no organ."""
    bare = measure_scan(scan, Noise(0.0, 0.0, np.ones((1, 1, 1)), ""), scene.organs, scene.anatomy_from_organs)
    free = bare.occupancy.outside() > _WHOLLY_INSIDE
    return magnitude_noise_sd(np.asarray(scan.voxels)[free])


def _correlation(scan: Volume) -> NDArray[np.float64]:
    """Return how the noise of neighbours is correlated (zero filling); not at all where it cannot be measured."""
    try:
        return estimate_noise(scan).correlation
    except MeasurementError:
        return np.ones((1, 1, 1))


class _FluorineRows:
    def __init__(
        self,
        subject: Subject,
        timepoint: Timepoint,
        raw: MeasuredScan,
        corrected: MeasuredScan,
        given: Fluorine,
        noise_sd: float,
    ) -> None:
        self.session = f"{subject.id} day {timepoint.day:g}"
        self.raw = raw
        self.corrected = corrected
        self.given = given
        self.noise_sd = noise_sd
        self.voxel_mm3 = raw.scan.voxel_measure
        self.budget: list[BudgetRow] = []
        self.reference = self._reference()
        flag = ";".join(raw.scan_flags())
        self.blank = Measurement(subject.id, subject.group, timepoint.day, "19F", "", noise_sd=noise_sd, flag=flag)

    def rows(self) -> list[Measurement]:
        organs = [self._organ(organ) for organ in self.raw.organs]
        organs += [replace(self.blank, organ=name, flag=";".join(self.raw.flags_beyond())) for name in self.raw.beyond]
        outside, outside_sd = self.raw.outside()
        whole, whole_sd = self.raw.signals.organs[TOTAL], self.raw.signals.noise_sd_of(TOTAL)
        rest = replace(self.blank, organ=OUTSIDE, signal_total=outside, signal_total_sd=outside_sd)
        total = replace(self.blank, organ=TOTAL, signal_total=whole.total, signal_total_sd=whole_sd)
        return [*organs, rest, replace(total, signal_mean=whole.mean, signal_max=whole.maximum)]

    def note(self) -> str:
        """Return what cells are measured against, and how many a voxel must hold to stand out of the noise."""
        seen = self._cells(Estimate(_SEEN * self.noise_sd)).value
        return (
            f"19F: capillary {self.reference.value:.4g} at {self.given.capillary_mmol_per_l:g} mmol/L, noise SD "
            f"{self.noise_sd:.3g}; a voxel of {self.voxel_mm3:.3g} mm3 stands out of the noise from {seen:.2g} cells on"
        )

    def _reference(self) -> Estimate:
        """Return the mean signal of the capillary; voxels at its wall hold less than its concentration."""
        name = self.given.capillary
        part = self.raw.occupancy.organs.get(name)
        inside = None if part is None else part.voxel[part.fraction >= _WHOLLY_INSIDE]
        if inside is None or inside.size == 0:
            raise MeasurementError(
                f"the capillary '{name}' fills no voxel of the 19F scan",
                file=self.raw.scan.file,
                remedy="draw it among this day's organs, wholly",
            )
        magnitudes = np.asarray(self.raw.scan.voxels, dtype=np.float64).ravel()[inside]
        return organ_fluorine(magnitudes, self.noise_sd) / inside.size

    def _cells(self, summed: Estimate) -> Estimate:
        spins = Estimate(self.given.spins_per_cell, 0.0, {_SPINS: self.given.spins_per_cell_sd})
        return cells_from_fluorine(
            summed,
            self.reference,
            spins_per_reference_voxel=self.given.capillary_mmol_per_l * self.voxel_mm3 * _SPINS_PER_NMOL,
            spins_per_cell=spins,
            session=self.session,
        )

    def _organ(self, organ: str) -> Measurement:
        measured = self.raw.signals.organs[organ]
        total, total_sd = self.raw.measured_of([organ])
        row = replace(
            self.blank, organ=organ, organ_volume_mm3=measured.volume_mm3, signal_total=total, signal_total_sd=total_sd,
            signal_mean=measured.mean, signal_max=measured.maximum, flag=";".join(self.raw.flags_of(organ)),
        )  # fmt: skip
        if organ == self.given.capillary:
            return row
        signal, errors = self.corrected.signal_of([organ])
        cells = self._cells(signal / self.voxel_mm3)
        amount = cells * (self.given.spins_per_cell / _SPINS_PER_NMOL)
        # The amount is known without the spins of a cell.
        amount = replace(amount, shared={name: sd for name, sd in amount.shared.items() if name != _SPINS})
        row = replace(row, signal=amount, signal_total_corrected=signal.value)
        per_cell = signal.value / cells.value if cells.value else 0.0
        terms = [("noise", errors.noise, False), ("alignment", errors.alignment, False)]
        terms.append(("calibration", cells.shared_sd * per_cell, True))
        self.budget += [BudgetRow(row.subject, row.day, "19F", organ, term, sd, shared) for term, sd, shared in terms]
        high = max(cells.value, 0.0) + _Z_95 * cells.sd
        if signal.value < _ONE_SIDED_95 * signal.own_sd:
            flags = [*([row.flag] if row.flag else []), "below_detection"]
            return replace(row, cells_low=0.0, cells_high=high, flag=";".join(flags))
        return replace(row, cells=cells.value, cells_low=max(cells.value - _Z_95 * cells.sd, 0.0), cells_high=high)
