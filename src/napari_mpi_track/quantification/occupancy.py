"""What part of each acquired voxel lies in each organ."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.frozen import frozen
from napari_mpi_track.imaging.grid import Grid, require_same_frame
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.quantification.organ_sampling import (
    DrawnOrgans,
    drawn_organs,
    points_needed,
    share_out,
    window_of,
)

FIDUCIALS = "fiducials"
OUTSIDE = "outside"
TOTAL = "total"
REST_OF_BODY = "rest of body"
_RESERVED = (OUTSIDE, TOTAL, FIDUCIALS, REST_OF_BODY)
# How many voxels of an organ say what a deformation does to its volume: a smooth one differs little between them.
_VOXELS_OF_A_VOLUME = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class OrganOccupancy:
    """The voxels one organ touches, and the part of each that lies inside it.

    Attributes
    ----------
    voxel
        Flat (C order) voxel numbers in the acquired grid, int64, shape (n,).
    fraction
        Part of each of these voxels inside the organ, 0..1, shape (n,).
    volume_mm3
        Volume of the whole organ as it lies in the scan, in mm3, the part beyond the field of view included.
    """

    voxel: NDArray[np.int64]
    fraction: NDArray[np.float64]
    volume_mm3: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "voxel", frozen(self.voxel, np.int64))
        object.__setattr__(self, "fraction", frozen(self.fraction, np.float64))

    def dense(self, shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """Return the fractions of every voxel of a grid of this shape."""
        fractions = np.zeros(shape)
        fractions.flat[self.voxel] = self.fraction
        return fractions


@dataclass(frozen=True, slots=True, eq=False)
class Occupancy:
    """How the voxels of one grid are shared out between organs; what no organ takes is outside.

    ``organs`` maps each name to its voxels, in the order of the labels; fractions of one voxel never exceed 1 in
    sum, so organs plus outside add up to the scan whatever the alignment.
    """

    grid: Grid
    organs: Mapping[str, OrganOccupancy]

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", MappingProxyType(dict(self.organs)))

    def outside(self) -> NDArray[np.float64]:
        """Return the part of every voxel that lies in no organ, shape as ``grid.shape``."""
        rest = np.ones(int(np.prod(self.grid.shape)))
        for organ in self.organs.values():
            rest[organ.voxel] -= organ.fraction
        # Sums of exact multiples of 1/n leave rounding of 1e-16, never more.
        return rest.reshape(self.grid.shape)

    def volume_in_field_mm3(self, organ: str) -> float:
        """Return the volume of ``organ`` inside the grid, in mm3."""
        return float(self.organs[organ].fraction.sum()) * self.grid.voxel_volume_mm3

    def with_balls(self, centres: Points, radius_mm: float) -> "Occupancy":
        """Return the same occupancy with a ball around each of ``centres`` (same frame) as an organ of its own.

        The balls are called ``fiducials 1``, ``fiducials 2`` ... Voxels are taken from outside only: an organ that
        reaches into a ball keeps what it has, and two balls that overlap share nothing twice.
        """
        organs = dict(self.organs)
        free = self.outside()
        for number, centre in enumerate(centres.positions_mm, start=1):
            taken = np.minimum(_ball_fraction(self.grid, centre, radius_mm), free)
            free = free - taken
            organs[f"{FIDUCIALS} {number}"] = _from_dense(taken, 4 / 3 * np.pi * radius_mm**3)
        return Occupancy(self.grid, organs)

    def with_rest_of_body(self, body: NDArray[Any]) -> "Occupancy":
        """Return the same occupancy with the rest of the body as one more organ, called ``rest of body``.

        ``body`` is the part of every voxel inside the animal, 0..1, shape as ``grid.shape``; what organs hold of it
        is theirs.
        """
        rest = np.minimum(np.asarray(body, dtype=np.float64), self.outside())
        volume = float(rest.sum()) * self.grid.voxel_volume_mm3
        return Occupancy(self.grid, {**self.organs, REST_OF_BODY: _from_dense(rest, volume)})


def _from_dense(fraction: NDArray[np.float64], volume_mm3: float) -> OrganOccupancy:
    voxel = np.flatnonzero(fraction > 1e-12)
    return OrganOccupancy(voxel, fraction.flat[voxel], volume_mm3)


def measure_occupancy(
    organs: OrganLabels, grid: Grid, grid_from_organs: Transform | None = None, samples_per_axis: int | None = None
) -> Occupancy:
    """Return what part of each voxel of ``grid`` lies in each organ.

    Parameters
    ----------
    organs
        Labels on their own grid.
    grid
        The grid of the scan to be measured; it is never resampled.
    grid_from_organs
        Map from the organs' frame to the scan's. Without it both must lie in one named frame.
    samples_per_axis
        The cube root of the number of points in a voxel at which the organs are looked up; by default 509 points,
        and up to 524,287 where small organs lie, so that an organ's volume is known to 0.1 % of it.

    Raises
    ------
    FrameMismatchError
        Without a transform, if the frames differ or are unknown.
    GridMismatchError
        If no organ lies inside the grid at all, or 3-D organs meet a single plane.
    MeasurementError
        If an organ has a name that a row of its own has (outside, total), or the labels hold none.

    Notes
    -----
    The points are the scan's own and lie nowhere on a label's face, so labels of the same shapes give the same
    fractions whatever their order, orientation or spacing. Voxels within one label hold one organ without any point.
    """
    for name in organs.names.values():
        if name in _RESERVED:
            raise MeasurementError(
                f"an organ cannot be called '{name}', which is a row of its own",
                file=organs.file,
                remedy="rename it in the table of organ names",
            )
    if grid.shape[0] == 1 and organs.grid.shape[0] > 1:
        raise GridMismatchError(
            f"organs drawn over {organs.grid.shape[0]} planes cannot be shared out over a single plane",
            file=organs.file,
            remedy="draw the organs on the plane itself",
        )
    require_organs(organs)
    if grid_from_organs is None:
        require_same_frame(organs.grid.frame, grid.frame, "organs and scan")
        grid_from_organs = Transform.identity(organs.grid.frame, grid.frame)
    drawn = drawn_organs(organs)
    windows = [window_of(box, organs.grid, grid, grid_from_organs) for box in drawn.boxes[1:]]
    if not any(_touches(window, grid) for window in windows):
        raise GridMismatchError(
            "no organ lies inside the scan's field of view",
            file=organs.file,
            remedy="check the alignment and the frames of scan and organs",
        )
    scale = abs(np.linalg.det(grid_from_organs.target_from_source[:3, :3])) * organs.grid.voxel_volume_mm3
    sizes = drawn.counts[1:] * scale
    counts = [samples_per_axis**3 if samples_per_axis else points_needed(v / grid.voxel_volume_mm3) for v in sizes]
    shares = share_out(drawn, organs.grid, grid, grid_from_organs, windows, counts)
    found = {}
    for code, (voxel, fraction) in enumerate(shares, start=1):
        size = sizes[code - 1]
        if grid_from_organs.deformation is not None:
            size = _deformed_volume_mm3(drawn, code, organs.grid, grid, grid_from_organs, float(fraction.sum()))
        found[_named(organs, code)] = OrganOccupancy(voxel, fraction, float(size))
    return Occupancy(grid, found)


def require_organs(organs: OrganLabels) -> None:
    """Raise ``MeasurementError`` unless the labels hold an organ."""
    if not organs.names:
        raise MeasurementError(
            "the labels hold no organ: every voxel is 0",
            file=organs.file,
            remedy="draw an organ, or choose another file",
        )


def _named(organs: OrganLabels, code: int) -> str:
    return organs.names[sorted(organs.names)[code - 1]]


def _touches(window: NDArray[np.int64], grid: Grid) -> bool:
    return bool(np.all(window[:, 1] > 0) and np.all(window[:, 0] < grid.shape))


def _deformed_volume_mm3(
    drawn: DrawnOrgans, code: int, labels: Grid, grid: Grid, grid_from_organs: Transform, voxels_in_field: float
) -> float:
    """Return an organ's volume as a deformation makes it: what the scan holds of it, if that is all.

    Of an organ cut by the field of view it is the drawn volume times the mean Jacobian over its voxels.
    """
    box = drawn.boxes[code]
    part = drawn.codes[drawn.labels[tuple(slice(a, b) for a, b in box)]] == code
    voxel = np.flatnonzero(part)
    some = voxel[:: max(1, voxel.size // _VOXELS_OF_A_VOLUME)]
    places = labels.lps_from(np.stack(np.unravel_index(some, part.shape), axis=-1) + box[:, 0])
    if grid.contains(grid_from_organs.map(places)).all():
        return voxels_in_field * grid.voxel_volume_mm3
    change = float(np.mean(np.abs(grid_from_organs.volume_change(places))))
    return voxel.size * labels.voxel_volume_mm3 * change


def _ball_fraction(grid: Grid, centre_mm: NDArray[np.float64], radius_mm: float) -> NDArray[np.float64]:
    """Return the part of every voxel inside a ball, from 7 points per voxel axis."""
    fraction = np.zeros(grid.shape)
    reach = np.ceil(radius_mm / grid.spacing_mm).astype(int) + 2
    middle = np.rint(grid.index_from(centre_mm)).astype(int)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, grid.shape)
    if np.any(low >= high):
        return fraction
    index = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), axis=-1)
    steps = (np.arange(7) + 0.5) / 7 - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    to_centre = grid.lps_from(index) - centre_mm
    inside = np.zeros(index.shape[:3])
    for step in offsets @ grid.lps_from_index[:3, :3].T:
        inside += ((to_centre + step) ** 2).sum(axis=-1) <= radius_mm**2
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    fraction[window] = inside / len(offsets)
    return fraction
