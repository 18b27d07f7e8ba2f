"""One subject of a simulated study: its body, its dose, and how it lies in the scanners on each day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.simulation.anatomy import Anatomy, rotation
from napari_mpi_track.simulation.biodistribution import Course, free_zirconium_in_bone, zr89_left
from napari_mpi_track.simulation.designs import Design, Movement, PlannedSubject

RESIDUE = 0.004  # of the dose, left in the syringe
SOLUTION_GAIN = 1.25  # signal of free particles against the same iron in cells (METHODS 2: about 20 % less in cells)
ASSAY_BEFORE_INJECTION_H = 1.5
POSES_TRIED = 200


@dataclass(frozen=True, slots=True, eq=False)
class Animal:
    """A subject with everything that stays the same from day to day.

    ``syringe_cells``, ``syringe_signal`` (a.u. mm3) and ``iron_ug`` are what was drawn up; a part ``RESIDUE`` of it
    stayed in the syringe. The measured signals of syringe and residue carry the scatter of their measurement.
    """

    plan: PlannedSubject
    anatomy: Anatomy
    courses: Mapping[str, Course]
    injected_at: datetime
    weight_g: float
    syringe_cells: float
    syringe_signal: float
    measured_signal: float
    measured_residue: float
    iron_ug: float
    marker_signals: NDArray[np.float64]
    activity_per_million_cells_kBq: float  # noqa: N815 - the unit's own spelling
    scores: Mapping[str, Mapping[float, int]]

    def fraction(self, organ: str, day: float) -> float:
        """Return the part of what was injected that is in ``organ`` on ``day``; nothing before the injection."""
        return self.courses[organ].fraction(day) if day >= 0 else 0.0

    def cells(self, organ: str, day: float) -> float:
        """Return the cells in ``organ`` on ``day``; none in the cell-free arm, whatever its signal."""
        if self.plan.is_cell_free:
            return 0.0
        return self.syringe_cells * (1 - RESIDUE) * self.fraction(organ, day)

    def signal(self, organ: str, day: float) -> float:
        """Return the true MPI signal of ``organ`` on ``day`` in a.u. mm3."""
        return self.syringe_signal * (1 - RESIDUE) * self.fraction(organ, day)

    def activity_kBq(self, organ: str, day: float) -> float:  # noqa: N802 - the unit's own spelling
        """Return the activity of ``organ`` at the scan of ``day`` in kBq: its cells', and in bone free 89Zr."""
        fraction = self.fraction(organ, day)
        if organ == "bone" and day >= 0:
            fraction += free_zirconium_in_bone().fraction(day)
        injected = self.syringe_cells * (1 - RESIDUE) * self.activity_per_million_cells_kBq / 1e6
        return injected * fraction * zr89_left(24 * day + ASSAY_BEFORE_INJECTION_H)

    @property
    def assayed_at(self) -> datetime:
        """When the dose's activity was measured."""
        return self.injected_at - timedelta(hours=ASSAY_BEFORE_INJECTION_H)

    def time_of(self, day: float) -> datetime:
        """Return when the scans of ``day`` began."""
        return self.injected_at + timedelta(days=day)


def animal(design: Design, plan: PlannedSubject, number: int, rng: np.random.Generator) -> Animal:
    """Return subject ``number`` of the study, drawn from the design's ranges."""
    anatomy = design.anatomy(rng)
    courses = design.courses(rng, plan.is_cell_free)
    cells = float(np.round(rng.uniform(*design.injected_cells), -4))
    gain = SOLUTION_GAIN if plan.is_cell_free else 1.0
    signal = cells * design.signal_per_cell * gain
    return Animal(
        plan=plan,
        anatomy=anatomy,
        courses=courses,
        injected_at=design.injected_at + timedelta(minutes=25 * number),
        weight_g=float(np.round(rng.uniform(*design.weight_g), 1)),
        syringe_cells=0.0 if plan.is_cell_free else cells,
        syringe_signal=signal,
        measured_signal=signal * float(rng.normal(1.0, 0.003)),
        measured_residue=signal * RESIDUE * float(rng.normal(1.0, 0.02)),
        iron_ug=cells * design.iron_pg_per_cell * 1e-6,
        marker_signals=design.marker_signal * rng.uniform(0.9, 1.1, len(anatomy.markers_mm)),
        activity_per_million_cells_kBq=design.activity_per_million_cells_kBq,
        scores=_scores(design, plan, rng),
    )


def _scores(design: Design, plan: PlannedSubject, rng: np.random.Generator) -> Mapping[str, Mapping[float, int]]:
    """Return clinical scores on the day of injection and at the end; cells relieve more than particles alone."""
    better = (0.80, 1.00) if plan.is_cell_free else (0.50, 0.85)
    scores = {}
    for name, worst in design.worst_scores.items():
        before = worst * rng.uniform(0.45, 0.65)
        scores[name] = {0.0: round(before), design.days[-1]: round(before * rng.uniform(*better))}
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """How a subject lay on one day: 4x4 maps, LPS mm to LPS mm."""

    anatomy_from_body: NDArray[np.float64]
    mpi_from_anatomy: NDArray[np.float64]

    @property
    def mpi_from_body(self) -> NDArray[np.float64]:
        """4x4 map from body mm to the MPI scanner's."""
        return np.asarray(self.mpi_from_anatomy @ self.anatomy_from_body)


def pose(design: Design, anatomy: Anatomy, rng: np.random.Generator) -> Pose:
    """Return a random pose in which markers and organs lie within both scanners' fields of view."""
    mpi, scanner = design.mpi.grid, design.anatomy_scanner.grid
    for _ in range(POSES_TRIED):
        lying = _moved(design.pose, rng)
        anatomy_from_body = _shift(scanner.centre_mm) @ lying
        mpi_from_anatomy = _shift(mpi.centre_mm) @ _moved(design.between_scanners, rng) @ _shift(-scanner.centre_mm)
        drawn = Pose(anatomy_from_body, mpi_from_anatomy)
        margin_mm = anatomy.marker_radius_mm + max(design.mpi.blur.fwhm_mm)
        in_mpi = _sees(mpi, drawn.mpi_from_body, anatomy, margin_mm)
        if in_mpi and _sees(scanner, anatomy_from_body, anatomy, anatomy.marker_radius_mm + 1.0):
            return drawn
    raise AssertionError("the design's movements leave its fields of view")


def _sees(grid: Grid, grid_from_body: NDArray[np.float64], anatomy: Anatomy, margin_mm: float) -> bool:
    points = [anatomy.markers_mm]
    for organ in anatomy.organs.values():
        low, high = organ.box_mm
        points.append(
            np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        )
    index = grid.index_from(np.concatenate(points) @ grid_from_body[:3, :3].T + grid_from_body[:3, 3])
    margin = margin_mm / grid.spacing_mm
    return bool(np.all((index >= margin - 0.5) & (index <= np.asarray(grid.shape) - 0.5 - margin)))


def _moved(movement: Movement, rng: np.random.Generator) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(rng.uniform(-1, 1, 3) * movement.turn_deg)
    matrix[:3, 3] = rng.uniform(-1, 1, 3) * movement.shift_mm
    return matrix


def _shift(by_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, 3] = by_mm
    return matrix
