"""What part of each acquired voxel lies in each organ."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
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

FIDUCIALS = "fiducials"
OUTSIDE = "outside"
TOTAL = "total"
REST_OF_BODY = "rest of body"
_RESERVED = (OUTSIDE, TOTAL, FIDUCIALS, REST_OF_BODY)


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
        Volume of the whole organ, in mm3, the part beyond the field of view included.
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
        Points per voxel axis at which the organs are looked up; by default as many as put one in every label
        voxel, at least 5 (within 0.1 % of the exact overlap) and at most 16.

    Raises
    ------
    FrameMismatchError
        Without a transform, if the frames differ or are unknown.
    GridMismatchError
        If no organ lies inside the grid at all, or 3-D organs meet a single plane.
    MeasurementError
        If an organ has a name that a row of its own has (outside, total).
    """
    for name in organs.names.values():
        if name in _RESERVED:
            raise MeasurementError(
                f"an organ cannot be called '{name}', which is a row of its own",
                file=organs.file,
                remedy="rename it in the table of organ names",
            )
    if grid_from_organs is None:
        require_same_frame(organs.grid.frame, grid.frame, "organs and scan")
        grid_from_organs = Transform.identity(organs.grid.frame, grid.frame)
    labels_from_grid = organs.grid.index_from_lps @ grid_from_organs.inverse().target_from_source @ grid.lps_from_index
    counts = samples_per_axis or _samples_per_axis(organs.grid, grid)
    window = _window(organs, grid, np.linalg.inv(labels_from_grid))
    if window is None:
        raise GridMismatchError(
            "no organ lies inside the scan's field of view",
            file=organs.file,
            remedy="check the alignment and the frames of scan and organs",
        )
    inside = _sample(organs, labels_from_grid, window, grid.shape, np.broadcast_to(counts, 3))
    voxel_volume = organs.grid.voxel_volume_mm3
    sizes = np.bincount(organs.voxels.ravel()) if organs.voxels.size else np.zeros(1)
    return Occupancy(
        grid,
        {
            name: OrganOccupancy(*inside[value], volume_mm3=float(sizes[value]) * voxel_volume)
            for value, name in organs.names.items()
        },
    )


def _samples_per_axis(organs: Grid, grid: Grid) -> NDArray[np.int64]:
    finest = float(organs.spacing_mm.min())
    return np.array([min(16, max(5, ceil(1.2 * spacing / finest))) for spacing in grid.spacing_mm])


Window = tuple[slice, slice, slice]


def _window(organs: OrganLabels, grid: Grid, grid_from_labels: NDArray[Any]) -> Window | None:
    """Return the part of ``grid`` that the box around all organs touches, or None."""
    ends = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        present = np.flatnonzero(organs.voxels.any(axis=others))
        if present.size == 0:
            return None
        ends.append((present[0] - 0.5, present[-1] + 0.5))
    corners = np.array([(a, b, c) for a in ends[0] for b in ends[1] for c in ends[2]])
    places = corners @ grid_from_labels[:3, :3].T + grid_from_labels[:3, 3]
    low = np.maximum(np.floor(places.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(places.max(axis=0)).astype(int) + 1, grid.shape)
    if np.any(low >= high):
        return None
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _sample(
    organs: OrganLabels,
    labels_from_grid: NDArray[np.float64],
    window: Window,
    shape: tuple[int, int, int],
    counts: NDArray[Any],
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return, for every label value, the voxels that hold it and the part of each that does.

    The label under every sample point is counted; one pass a sample point, so memory stays at a few arrays of the
    window's size.
    """
    values = list(organs.names)
    code_of = np.zeros(int(organs.voxels.max()) + 1, dtype=np.int64)
    code_of[values] = np.arange(1, len(values) + 1)
    # A rim of "no organ" lets points beyond the labels' grid be looked up like all others.
    codes = np.pad(code_of[organs.voxels], 1)
    index = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in window], indexing="ij"), axis=-1)
    voxel = np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), shape).ravel()
    centres = index.reshape(-1, 3) @ labels_from_grid[:3, :3].T + labels_from_grid[:3, 3] + 1
    limit = np.array(codes.shape) - 1
    hits = np.zeros((len(values) + 1) * len(voxel), dtype=np.uint16)
    everyone = np.arange(len(voxel))
    offsets = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
    for offset in np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1).reshape(-1, 3):
        nearest = np.rint(centres + labels_from_grid[:3, :3] @ offset).astype(np.int64)
        np.clip(nearest, 0, limit, out=nearest)
        hits[codes[nearest[:, 0], nearest[:, 1], nearest[:, 2]] * len(voxel) + everyone] += 1
    table = hits.reshape(len(values) + 1, len(voxel))
    samples = float(np.prod(counts))
    found = {}
    for row, value in enumerate(values, start=1):
        touched = np.flatnonzero(table[row])
        found[value] = (voxel[touched], table[row, touched] / samples)
    return found


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
