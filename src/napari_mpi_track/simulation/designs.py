"""The two studies as planned: animals, days, scanners and doses, small and in full."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.simulation.anatomy import Anatomy, rotation
from napari_mpi_track.simulation.biodistribution import Course, car_t_courses, knee_courses
from napari_mpi_track.simulation.knee import knee
from napari_mpi_track.simulation.mouse import mouse
from napari_mpi_track.simulation.scanner import Blur, Noise


@dataclass(frozen=True, slots=True)
class MpiScanner:
    """An MPI scanner: a total is sum(voxel) x voxel volume, in a.u. mm3.

    ``saturation_signal`` is S_sat of S / (1 + S / S_sat), in a.u.
    """

    grid: Grid
    blur: Blur
    noise: Noise
    saturation_signal: float


@dataclass(frozen=True, slots=True)
class AnatomyScanner:
    """CT or MR beside it."""

    modality: Modality
    grid: Grid
    noise: Noise


@dataclass(frozen=True, slots=True)
class PetScanner:
    """PET in the frame of the CT: noise SD = sqrt(``floor_bq_ml``^2 + ``poisson_bq_ml`` x concentration)."""

    grid: Grid
    blur: Blur
    floor_bq_ml: float
    poisson_bq_ml: float
    correlation_sd: float


@dataclass(frozen=True, slots=True)
class Series:
    """How the calibration samples were made: cells in each (three replicates), and the receiver's scatter."""

    cells: tuple[float, ...]
    intercept: float
    blank_sd: float
    relative_sd: float


@dataclass(frozen=True, slots=True)
class Movement:
    """How far an animal lies from straight and centred: largest turn about x, y, z and largest shift."""

    turn_deg: tuple[float, float, float]
    shift_mm: float


@dataclass(frozen=True, slots=True)
class PlannedSubject:
    """One animal or patient of the plan; ``organs_day`` is when its organs were drawn."""

    id: str
    group: str
    is_cell_free: bool
    organs_day: float
    pet_corrected_to: Literal["scan", "injection"] | None = None


@dataclass(frozen=True, slots=True)
class Design:
    """A study as planned; everything the simulation needs to know of it.

    ``signal_per_cell`` in a.u. mm3, ``marker_signal`` (one fiducial) in a.u. mm3, ``activity_per_million_cells_kBq``
    for PET, ``injected_cells`` the range of the doses in the syringe, ``worst_scores`` the upper end of each clinical
    score, ``repeatability`` the relative SD of one thing measured again, where the study states it.
    """

    key: str
    title: str
    tracer: str
    cell_type: str
    timezone: str
    injected_at: datetime
    days: tuple[float, ...]
    fiducials_day: float
    subjects: tuple[PlannedSubject, ...]
    anatomy: Callable[[np.random.Generator], Anatomy]
    courses: Callable[[np.random.Generator, bool], Mapping[str, Course]]
    weight_g: tuple[float, float]
    injected_cells: tuple[float, float]
    iron_pg_per_cell: float
    signal_per_cell: float
    marker_signal: float
    mpi: MpiScanner
    anatomy_scanner: AnatomyScanner
    series: Series
    pose: Movement
    between_scanners: Movement
    marker_picking_sd_mm: float
    is_compact: bool
    pet: PetScanner | None = None
    activity_per_million_cells_kBq: float = 0.0  # noqa: N815 - the unit's own spelling
    worst_scores: Mapping[str, int] = field(default_factory=dict)
    repeatability: float | None = None


def design(study: str, size: str) -> Design:
    """Return the plan of ``study`` ("car-t" or "knee") in ``size`` ("small" or "full").

    Raises
    ------
    MeasurementError
        If there is no such study or size.
    """
    if size not in ("small", "full"):
        raise MeasurementError(f"a simulated study is 'small' or 'full', got '{size}'")
    if study == "car-t":
        return _car_t(small=size == "small")
    if study == "knee":
        return _knee(small=size == "small")
    raise MeasurementError(f"the simulated studies are 'car-t' and 'knee', got '{study}'")


def _car_t(*, small: bool) -> Design:
    mpi_mm, ct_mm, pet_mm = (1.25, 0.6, 0.9) if small else (1.0, 0.3, 0.6)
    animals = (
        PlannedSubject("m01", "CAR-T", False, organs_day=0.0, pet_corrected_to="scan"),
        PlannedSubject("m02", "CAR-T", False, organs_day=1.0, pet_corrected_to="injection"),
        PlannedSubject("m03", "CAR-T", False, organs_day=0.0, pet_corrected_to="scan"),
    )
    ct_centre = (2.0, -11.0, 64.0)
    return Design(
        key="car-t",
        title="CAR-T cells in tumour-bearing mice",
        tracer="ProMag",
        cell_type="human CAR-T",
        timezone="Europe/Berlin",
        injected_at=datetime(2026, 3, 2, 9, 30),
        days=(0.0, 1.0, 3.0, 7.0),
        fiducials_day=3.0,
        subjects=animals[:1] if small else animals,
        anatomy=lambda rng: mouse(float(rng.uniform(0.97, 1.02)), float(rng.uniform(0.92, 1.08))),
        courses=lambda rng, _: car_t_courses(rng),
        weight_g=(21.0, 24.5),
        injected_cells=(2.8e6, 3.2e6),
        iron_pg_per_cell=2.7,
        signal_per_cell=0.84,
        marker_signal=4.2e4,
        mpi=MpiScanner(
            _centred((120, 64, 64), mpi_mm, (0.0, 0.0, 0.0)),
            Blur("gaussian", (2.5, 2.5, 2.5)),
            Noise(8.0, correlation_sd=1.1 / mpi_mm),
            saturation_signal=30_000.0,
        ),
        anatomy_scanner=AnatomyScanner(
            Modality.CT, _centred((102, 52.8, 52.8), ct_mm, ct_centre), Noise(22.0, correlation_sd=0.5)
        ),
        pet=PetScanner(_centred((102, 48, 48), pet_mm, ct_centre), Blur("gaussian", (1.5, 1.4, 1.4)), 60.0, 15.0, 0.8),
        activity_per_million_cells_kBq=10.0,
        series=Series((0.0, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2e6), 260.0, 600.0, 0.02),
        pose=Movement((6.0, 5.0, 15.0), 2.5),
        between_scanners=Movement((4.0, 4.0, 10.0), 4.0),
        marker_picking_sd_mm=0.03,
        is_compact=small,
        repeatability=0.003,
    )


def _knee(*, small: bool) -> Design:
    mpi_mm, mr_mm = (3.0, 2.0) if small else (2.0, 1.25)
    arms = [("labelled", False), ("cell-free SPIO", True)]
    patients = tuple(
        PlannedSubject(f"{'k' if not cell_free else 'c'}{number:02d}", arm, cell_free, organs_day=-1.0)
        for arm, cell_free in arms
        for number in range(1, 2 if small else 5)
    )
    return Design(
        key="knee",
        title="Labelled MSCs in the osteoarthritic knee",
        tracer="ferumoxytol",
        cell_type="UC-MSC",
        timezone="Asia/Shanghai",
        injected_at=datetime(2026, 1, 12, 10, 0),
        days=(-1.0, 0.0, 1.0, 3.0, 7.0, 30.0),
        fiducials_day=3.0,
        subjects=patients,
        anatomy=lambda rng: knee(float(rng.uniform(0.97, 1.01))),
        courses=lambda rng, cell_free: knee_courses(rng, cell_free=cell_free),
        weight_g=(58_000.0, 82_000.0),
        injected_cells=(5.0e7, 6.0e7),
        iron_pg_per_cell=9.6,
        signal_per_cell=1.3,
        marker_signal=1.6e6,
        mpi=MpiScanner(
            _centred((144, 144, 144), mpi_mm, (0.0, 0.0, 0.0)),
            Blur("lorentzian", (5.0, 5.0, 5.0)),
            Noise(8.0, correlation_sd=2.2 / mpi_mm),
            saturation_signal=40_000.0,
        ),
        anatomy_scanner=AnatomyScanner(Modality.MR, _sagittal((142, 150, 142), mr_mm), Noise(9.0, correlation_sd=0.0)),
        series=Series((0.0, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 6e7), 6_000.0, 20_000.0, 0.02),
        pose=Movement((8.0, 8.0, 12.0), 4.0),
        between_scanners=Movement((5.0, 5.0, 8.0), 4.0),
        marker_picking_sd_mm=0.1,
        is_compact=small,
        worst_scores={"WOMAC": 96, "VAS": 10},
    )


def _centred(extent_mm: tuple[float, float, float], spacing: float, centre: tuple[float, float, float]) -> Grid:
    """Return an axis-aligned grid about ``centre`` (x, y, z); ``extent_mm`` is (plane, row, column)."""
    shape = np.round(np.asarray(extent_mm) / spacing).astype(int)
    origin = np.asarray(centre) - (shape[::-1] - 1) / 2 * spacing
    return Grid.from_spacing((int(shape[0]), int(shape[1]), int(shape[2])), spacing, origin)


def _sagittal(extent_mm: tuple[float, float, float], spacing: float) -> Grid:
    """Return an oblique sagittal grid: planes to the left, rows downwards, columns backwards."""
    shape = np.round(np.asarray(extent_mm) / spacing).astype(int)
    directions = rotation((0.0, 0.0, 7.0)) @ np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    matrix = np.eye(4)
    matrix[:3, :3] = directions * spacing
    matrix[:3, 3] = np.array([-84.0, 12.0, 31.0]) - matrix[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), matrix)
