"""What part of each acquired voxel lies in each organ."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, gcd
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
        The cube root of the number of points in a voxel at which the organs are looked up; by default as many as
        put one in every label voxel, at least 5 (within 0.1 % of the exact overlap) and at most 16.

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
    if grid.shape[0] == 1 and organs.grid.shape[0] > 1:
        raise GridMismatchError(
            f"organs drawn over {organs.grid.shape[0]} planes cannot be shared out over a single plane",
            file=organs.file,
            remedy="draw the organs on the plane itself",
        )
    if grid_from_organs is None:
        require_same_frame(organs.grid.frame, grid.frame, "organs and scan")
        grid_from_organs = Transform.identity(organs.grid.frame, grid.frame)
    counts = np.broadcast_to(samples_per_axis or _samples_per_axis(organs.grid, grid), 3)
    window = _window(organs, grid, grid_from_organs)
    if window is None:
        raise GridMismatchError(
            "no organ lies inside the scan's field of view",
            file=organs.file,
            remedy="check the alignment and the frames of scan and organs",
        )
    # Numbered one after the other, since label values may be as large as an atlas pleases (614,454,277 in Allen's).
    codes = np.searchsorted(np.array([0, *organs.names]), organs.voxels)
    codes = codes.astype(np.min_scalar_type(len(organs.names)))
    sizes = _volumes_mm3(codes, organs.grid, grid_from_organs)
    places = _places(organs.grid, grid, grid_from_organs, window)
    inside = _sample(codes, len(organs.names), places, int(np.prod(counts)))
    return Occupancy(
        grid,
        {
            name: OrganOccupancy(*found, volume_mm3=float(size))
            for name, found, size in zip(organs.names.values(), inside, sizes[1:], strict=True)
        },
    )


def _samples_per_axis(organs: Grid, grid: Grid) -> NDArray[np.int64]:
    finest = float(organs.spacing_mm.min())
    return np.array([min(16, max(5, ceil(1.2 * spacing / finest))) for spacing in grid.spacing_mm])


Window = tuple[slice, slice, slice]


def _window(organs: OrganLabels, grid: Grid, grid_from_organs: Transform) -> Window | None:
    """Return the part of ``grid`` that the box around all organs touches, or None."""
    ends = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        present = np.flatnonzero(organs.voxels.any(axis=others))
        if present.size == 0:
            return None
        ends.append((present[0] - 0.5, present[-1] + 0.5))
    corners = organs.grid.lps_from([(a, b, c) for a in ends[0] for b in ends[1] for c in ends[2]])
    if grid_from_organs.deformation is not None:
        # No spline reaches further than its coefficients.
        reach = np.abs(grid_from_organs.deformation.coefficients_mm).max(axis=(1, 2, 3))
        corners = np.concatenate([corners + reach * sign for sign in product((1, -1), repeat=3)])
    affine = replace(grid_from_organs, deformation=None)
    places = grid.index_from(affine.map(corners))
    low = np.maximum(np.floor(places.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(places.max(axis=0)).astype(int) + 1, grid.shape)
    if np.any(low >= high):
        return None
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _volumes_mm3(codes: NDArray[Any], labels: Grid, grid_from_organs: Transform) -> NDArray[np.float64]:
    """Return the volume of every code as it lies in the scan: what the map does to volumes is its Jacobian."""
    drawn = np.bincount(codes.ravel()).astype(np.float64) * labels.voxel_volume_mm3
    if grid_from_organs.deformation is None:
        drawn *= abs(np.linalg.det(grid_from_organs.target_from_source[:3, :3]))
        return drawn
    for code in range(1, len(drawn)):
        voxel = np.flatnonzero(codes == code)
        if not voxel.size:
            continue
        some = voxel[:: max(1, voxel.size // _VOXELS_OF_A_VOLUME)]
        index = np.stack(np.unravel_index(some, codes.shape), axis=-1)
        drawn[code] *= float(np.mean(np.abs(grid_from_organs.volume_change(labels.lps_from(index)))))
    return drawn


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where the voxels of a window of the scan's grid lie in the labels.

    ``voxel`` are their flat numbers in the whole grid, shape (n,); ``middles`` the label index of their centres,
    (n, 3), and ``steps`` how it changes along their axes, (3, 3), or (n, 3, 3) where every voxel has its own.
    """

    voxel: NDArray[np.int64]
    middles: NDArray[np.float64]
    steps: NDArray[np.float64]


def _places(labels: Grid, grid: Grid, grid_from_organs: Transform, window: Window) -> _Places:
    index = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in window], indexing="ij"), axis=-1)
    voxel = np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), grid.shape).ravel()
    index = index.reshape(-1, 3)
    if grid_from_organs.deformation is None:
        matrix = labels.index_from_lps @ grid_from_organs.inverse().target_from_source @ grid.lps_from_index
        return _Places(voxel, index @ matrix[:3, :3].T + matrix[:3, 3], matrix[:3, :3])
    # Within one voxel a smooth map is straight: its middle is followed back, its corners by the slope there.
    back, is_found = grid_from_organs.search_back(grid.lps_from(index))
    middles = np.where(is_found[:, None], labels.index_from(back), -1.0)
    slopes = np.linalg.inv(grid_from_organs.jacobian(back[is_found]))
    steps = np.zeros((len(index), 3, 3))
    steps[is_found] = labels.index_from_lps[:3, :3] @ slopes @ grid.lps_from_index[:3, :3]
    return _Places(voxel, middles, steps)


def _sample(
    codes: NDArray[Any], organ_count: int, places: _Places, samples: int
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return, for organs 1 to ``organ_count`` of ``codes``, the voxels that hold each and the part of each that does.

    The organ under every sample point is counted; one pass a sample point, so memory stays at a few arrays of the
    window's size.
    """
    # A rim of "no organ" lets points beyond the labels' grid be looked up like all others.
    rimmed = np.pad(codes, 1)
    voxel, centres = places.voxel, places.middles + 1
    limit = np.array(rimmed.shape) - 1
    hits = np.zeros((organ_count + 1) * len(voxel), dtype=np.min_scalar_type(samples))
    everyone = np.arange(len(voxel))
    for offset in _points_in_a_voxel(samples):
        nearest = np.rint(centres + places.steps @ offset).astype(np.int64)
        np.clip(nearest, 0, limit, out=nearest)
        organ = rimmed[nearest[:, 0], nearest[:, 1], nearest[:, 2]].astype(np.int64)
        hits[organ * len(voxel) + everyone] += 1
    table = hits.reshape(organ_count + 1, len(voxel))
    found = []
    for row in table[1:]:
        touched = np.flatnonzero(row)
        found.append((voxel[touched], row[touched] / samples))
    return found


def _points_in_a_voxel(count: int) -> NDArray[np.float64]:
    """Return ``count`` points spread over a voxel, -0.5..0.5, shape (count, 3): a rank-1 lattice.

    On every axis they stand at ``count`` evenly spaced places. A cubic raster has only its cube root of them, and
    an organ's face along the scan's planes then falls between two at once in all its voxels: 5 per axis is wrong
    by up to a tenth of a voxel's layer, the lattice of as many points by less than a hundredth.
    """
    # The plastic number and its square spread the points most evenly over the plane (Roberts' R2 sequence).
    steps = [1]
    for ratio in (1.32471796, 1.75487767):
        steps.append(next(step for step in range(max(round(count / ratio), 1), 0, -1) if gcd(step, count) == 1))
    return (np.outer(np.arange(count), steps) % count + 0.5) / count - 0.5


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
