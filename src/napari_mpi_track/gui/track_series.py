"""All days of one subject on one anatomy: MPI and PET of every day resampled there, for looking at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError, MeasurementError
from napari_mpi_track.gui.day_scans import DayScans, scans_as_measured
from napari_mpi_track.gui.display_grid import display_grid
from napari_mpi_track.gui.looks import hidden_below
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.resample import resample, resample_organs

if TYPE_CHECKING:
    from napari_mpi_track.report.run import RunSummary

# Finer steps than half a voxel of the scan show nothing and fill the memory.
_STEPS_PER_VOXEL = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """One modality over all days: voxels (day, plane, row, column) on ``grid``; days without a scan are empty.

    Below ``low`` nothing is drawn, and ``high`` is brightest, on every day, in the scans' unit.
    """

    first: Volume
    voxels: NDArray[np.float32]
    grid: Grid
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class DaySeries:
    """All days of one subject on the anatomy of one of them.

    Attributes
    ----------
    subject, days
        Whose, and the days in order; a day's place among them is its place in every stack.
    base_day
        The day whose anatomy all lie on.
    anatomy, organs
        Of that day, where there are any.
    stacks
        By modality, lowest first: PET, then MPI.
    notes
        What should be known, one sentence each.
    """

    subject: str
    days: tuple[float, ...]
    base_day: float
    anatomy: Volume | None
    organs: OrganLabels | None
    stacks: tuple[Stack, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return "day 7" of every day."""
        return tuple(f"day {day:g}" for day in self.days)


def day_series(study: Study, subject: Subject, run: "RunSummary", progress: Progress) -> DaySeries:
    """Return all days of a subject, each with the very alignments that the run measured it with.

    Where two days have organs of their own, no run has aligned their anatomies: they are aligned here, rigidly.

    Raises
    ------
    MpiTrackError
        If a scan cannot be read, or the subject has no scan that could be shown.
    """
    scanned = [t for t in subject.timepoints if t.mpi is not None or t.pet is not None]
    if not scanned:
        raise MeasurementError(
            f"{subject.id} was measured without images", remedy="look at its curves; there is nothing to show in space"
        )
    base = _base(subject, scanned)
    failed = {failure.day for failure in run.failures if failure.subject == subject.id and failure.is_whole}
    placed: dict[float, tuple[DayScans, Transform | None]] = {}
    notes: list[str] = []
    base_scans = _scans(study, subject, base, run)
    for at, timepoint in enumerate(scanned):
        progress.report(at / len(scanned), f"day {timepoint.day:g}")
        if progress.should_stop():
            break
        if timepoint.day in failed:
            notes.append(f"Day {timepoint.day:g} was not measured and is not shown.")
            continue
        scans = base_scans if timepoint is base else _scans(study, subject, timepoint, run)
        try:
            placed[timepoint.day] = scans, _from_base(subject, timepoint, base, scans, base_scans, progress)
        except AlignmentError as error:
            notes.append(f"Day {timepoint.day:g} cannot be laid on day {base.day:g} and is not shown: {error.what}.")
    ground = base_scans.anatomy or base_scans.mpi or base_scans.pet
    assert ground is not None
    days = tuple(timepoint.day for timepoint in scanned)
    box = display_grid(ground.grid).grid.in_frame(None)
    organs = _organs_on(base_scans, box)
    stacks = [_stack(days, placed, what, box, organs) for what in ("pet", "mpi")]
    if base_scans.anatomy is not None and len(days) > 1:
        notes.append(f"Every day is drawn on the anatomy of day {base.day:g}, resampled for looking only.")
    if base_scans.anatomy is None:
        notes.append("There is no anatomy: every day is drawn where the scanner put it.")
    shown = tuple(stack for stack in stacks if stack is not None)
    return DaySeries(subject.id, days, base.day, base_scans.anatomy, base_scans.organs, shown, tuple(notes))


def _base(subject: Subject, scanned: Sequence[Timepoint]) -> Timepoint:
    """Return the day whose anatomy all others are laid on: the one the first day's organs were drawn on."""
    after = [t for t in scanned if not t.is_baseline] or list(scanned)
    drawn = subject.day_with_organs(after[0].day)
    if drawn is not None and drawn.anatomy is not None:
        return drawn
    return next((t for t in after if t.anatomy is not None), after[0])


def _scans(study: Study, subject: Subject, timepoint: Timepoint, run: "RunSummary") -> DayScans:
    rows = [row for row in run.analysis.alignments if (row.subject, row.day) == (subject.id, timepoint.day)]
    return scans_as_measured(study, subject, timepoint, rows, run.folder)


def _from_base(
    subject: Subject, timepoint: Timepoint, base: Timepoint, scans: DayScans, base_scans: DayScans, progress: Progress
) -> Transform | None:
    """Return the way from the base's anatomy to this day's; ``None`` where one place serves both."""
    if timepoint is base or scans.anatomy is None or base_scans.anatomy is None:
        return None
    if timepoint.anatomy is not None and base.anatomy is not None and timepoint.anatomy.path == base.anatomy.path:
        return None
    drawn = subject.day_with_organs(timepoint.day)
    if scans.anatomy_from_organs is not None and drawn is not None and drawn.day == base.day:
        return scans.anatomy_from_organs
    alignment = align(base_scans.anatomy, scans.anatomy, method="intensity", should_stop=progress.should_stop)
    return alignment.moving_from_fixed.between(None, None)


def _organs_on(base: DayScans, box: Grid) -> OrganLabels | None:
    if base.organs is None:
        return None
    return resample_organs(base.organs, Transform.identity(None, None), box)


def _stack(
    days: Sequence[float],
    placed: dict[float, tuple[DayScans, Transform | None]],
    what: str,
    box: Grid,
    organs: OrganLabels | None,
) -> Stack | None:
    scans = {day: scan for day, (found, _) in placed.items() if (scan := getattr(found, what)) is not None}
    if not scans:
        return None
    first = next(iter(scans.values()))
    grid = _thinned(box, float(first.grid.spacing_mm.min()) / _STEPS_PER_VOXEL)
    voxels = np.zeros((len(days), *grid.shape), dtype=np.float32)
    for at, day in enumerate(days):
        if day in scans:
            voxels[at] = _resampled(scans[day], *placed[day], what, grid)
    low = max(hidden_below(scan) for scan in scans.values())
    return Stack(first, voxels, grid, low, _brightest(voxels, grid, organs, low))


def _resampled(
    scan: Volume, found: DayScans, day_from_base: Transform | None, what: str, grid: Grid
) -> NDArray[np.float32]:
    way = found.mpi_from_anatomy if what == "mpi" else found.pet_from_anatomy
    whole = Transform.identity(None, None) if way is None else way.between(None, None)
    if day_from_base is not None:
        whole = whole.preceded_by(day_from_base.between(None, None))
    finite = scan.with_voxels(np.nan_to_num(scan.voxels)) if not np.isfinite(scan.voxels).all() else scan
    return np.asarray(resample(finite, whole, grid).voxels, dtype=np.float32)


def _thinned(box: Grid, step_mm: float) -> Grid:
    """Return the same box in steps of about ``step_mm``, but no finer than it is."""
    spacing = np.maximum(box.spacing_mm, step_mm)
    count = np.maximum(1, np.round(np.asarray(box.shape) * box.spacing_mm / spacing)).astype(int)
    spacing = np.asarray(box.shape) * box.spacing_mm / count
    edge = box.origin_mm[::-1] - box.spacing_mm / 2
    shape = (int(count[0]), int(count[1]), int(count[2]))
    return Grid.from_spacing(shape, spacing, (edge + spacing / 2)[::-1], None)


def _brightest(voxels: NDArray[np.float32], grid: Grid, organs: OrganLabels | None, low: float) -> float:
    """Return the highest value in an organ on any day, so that markers leave it light; without organs, of all."""
    if organs is not None:
        inside = resample_organs(organs, Transform.identity(None, None), grid).voxels > 0
        if inside.any() and (high := float(voxels[:, inside].max())) > low:
            return high
    return max(float(voxels.max(initial=0.0)), low + max(abs(low), 1e-9))


def organ_middles(organs: OrganLabels | None) -> dict[str, NDArray[np.float64]]:
    """Return the middle of every organ, LPS mm, by name."""
    if organs is None:
        return {}
    found: Iterable[tuple[int, str]] = organs.names.items()
    places = {name: np.argwhere(organs.voxels == value) for value, name in found}
    return {name: organs.grid.lps_from(where.mean(axis=0)) for name, where in places.items() if len(where)}
