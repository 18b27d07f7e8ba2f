"""Organs looked up at points within a scan's voxels: which points, how many, and what they hit."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform

Window = tuple[slice, slice, slice]

# Points in a voxel and the generator a of their lattice, (i, a i, a^2 i) / n: of all a (or some hundreds drawn at
# random) the one whose shortest wave that the points cannot see is shortest in wavelength (spectral test, 0.91 to 0.96
# of what the best lattice of any kind has).
_LATTICES = {
    509: 64,
    1021: 328,
    2039: 766,
    4093: 2415,
    8191: 7510,
    16381: 6753,
    32749: 11623,
    65521: 30544,
    131071: 13078,
    262139: 233468,
    524287: 361703,
}
# Where the first point lies: irrational, so that no point falls on a label's face where the grids are parallel and
# their spacings and places simple numbers; which side it were on would be for rounding to decide.
_FIRST = np.sqrt([2.0, 3.0, 5.0]) % 1.0
# What the SD of an organ's volume may be, as a part of it.
_VOLUME_SD = 2e-4
# A face of the box round an organ that lies on a face between voxels, to rounding, touches one of them only.
_TOUCH = 1e-6
_VOXELS_AT_ONCE = 50_000
_HITS_AT_ONCE = 4_000_000
_THREADS = max(1, min(4, os.cpu_count() or 1))


@dataclass(frozen=True, slots=True, eq=False)
class DrawnOrgans:
    """Labels as the passes read them.

    ``labels`` are the labels as unsigned numbers of 8 or 16 bits in C order; ``codes`` number the organs by label, 0
    for none; ``counts`` (k + 1,) and ``boxes`` (k + 1, 3, 2: first, last + 1) say how many voxels each has and where.
    """

    labels: NDArray[Any]
    codes: NDArray[np.uint16]
    counts: NDArray[np.int64]
    boxes: NDArray[np.int64]


def drawn_organs(organs: OrganLabels) -> DrawnOrgans:
    """Return the labels as the passes read them, with every organ's number of voxels and box."""
    from napari_mpi_track.quantification.organ_passes import FILL, find_organs, number

    labels = np.ascontiguousarray(organs.voxels).view(_unsigned(organs.voxels.dtype))
    labels = labels.astype(labels.dtype.newbyteorder("="), copy=False).view()
    labels.flags.writeable = False
    keys = np.array(sorted(organs.names), dtype=labels.dtype)
    if labels.itemsize > 2:
        # Label values may be as large as an atlas pleases (614,454,277 in Allen's).
        numbers = np.empty(labels.shape, np.min_scalar_type(len(keys)))
        number(labels, keys, numbers)
        labels, keys = numbers, np.arange(1, len(keys) + 1, dtype=numbers.dtype)
        labels.flags.writeable = False
    codes = np.zeros(1 << 8 * labels.itemsize, dtype=np.uint16)
    codes[keys] = np.arange(1, len(keys) + 1)
    counts, boxes = np.zeros(len(keys) + 1, np.int64), np.tile([2**62, 0] * 3, (len(keys) + 1, 1))
    find_organs(labels, words_of(labels), np.uint64(FILL[labels.itemsize]), codes, counts, boxes)
    return DrawnOrgans(labels, codes, counts, boxes.reshape(-1, 3, 2))


def _unsigned(dtype: np.dtype[Any]) -> str:
    return dtype.str.replace("b", "u").replace("i", "u")


def words_of(labels: NDArray[Any]) -> NDArray[np.uint64]:
    """Return labels in C order in words of 8 bytes, or rows of none where a row is not a whole number of them."""
    if labels.shape[2] * labels.itemsize % 8:
        labels = np.ascontiguousarray(labels[:, :, :0])
    words = labels.view(np.uint64)
    words.flags.writeable = False
    return words


def window_of(box: NDArray[np.int64], labels: Grid, grid: Grid, grid_from_organs: Transform) -> NDArray[np.int64]:
    """Return the voxels of ``grid`` that a box of label voxels (first, last + 1; (3, 2)) may touch, (3, 2).

    It is not cut at the grid's ends. A deformed box is as much larger as the deformation reaches.
    """
    corners = labels.lps_from(np.array(list(product(*(box - 0.5)))))
    if grid_from_organs.deformation is not None:
        # No spline reaches further than its coefficients.
        reach = np.abs(grid_from_organs.deformation.coefficients_mm).max(axis=(1, 2, 3))
        corners = np.concatenate([corners + reach * sign for sign in product((1, -1), repeat=3)])
    places = grid.index_from(replace(grid_from_organs, deformation=None).map(corners)) + 0.5
    low, high = places.min(axis=0), places.max(axis=0)
    return np.stack([np.floor(low + _TOUCH), np.ceil(high - _TOUCH)], axis=1).astype(np.int64)


def points_needed(volume_voxels: float) -> int:
    """Return how many points a voxel needs for an organ of so many voxels to be known to 0.02 % (1 SD).

    Of n points a voxel, one lattice cell in n^(1/3) along a face is cut, and a cut cell is off by 1/12 of its square:
    the SD is sqrt(B / 12) n^(-2/3) voxels for an organ whose surface runs through B of them.
    """
    surface = max(8.0, 12.0 * volume_voxels ** (2 / 3))
    needed = (np.sqrt(surface / 12) / (volume_voxels * _VOLUME_SD)) ** 1.5
    return next((count for count in _LATTICES if count >= needed), max(_LATTICES))


def points_in_a_voxel(count: int) -> NDArray[np.float64]:
    """Return ``count`` points spread over a voxel, -0.5..0.5, shape (count, 3): a rank-1 lattice.

    On every axis they stand at ``count`` evenly spaced places. A cubic raster has only its cube root of them, and
    an organ's face along the scan's planes then falls between two at once in all its voxels.
    """
    if count in _LATTICES:
        a = _LATTICES[count]
        steps = [1, a, a * a % count]
    else:
        # The plastic number and its square spread the points most evenly over the plane (Roberts' R2 sequence).
        steps = [1]
        for ratio in (1.32471796, 1.75487767):
            steps.append(next(step for step in range(max(round(count / ratio), 1), 0, -1) if gcd(step, count) == 1))
    return (np.outer(np.arange(count), steps) % count + _FIRST) / count - 0.5


Share = tuple[NDArray[np.int64], NDArray[np.float64]]


def share_out(
    drawn: DrawnOrgans,
    labels: Grid,
    grid: Grid,
    grid_from_organs: Transform,
    windows: Sequence[NDArray[np.int64]],
    counts: Sequence[int],
) -> list[Share]:
    """Return, for organs 1, 2 ..., the voxels of ``grid`` that hold each and the part of each that does.

    ``windows`` are the organs' own (see :func:`window_of`), ``counts`` the points a voxel that each asks for; a voxel
    gets as many as the most demanding organ that may touch it. The points are the scan's: labels drawn in another
    order, orientation or spacing are looked up at the same places.
    """
    inside = [np.clip(window, 0, np.array(grid.shape)[:, None]) for window in windows]
    low, high = np.min([w[:, 0] for w in inside], axis=0), np.max([w[:, 1] for w in inside], axis=0)
    shape = np.maximum(high - low, 0)
    levels = sorted({*counts})
    asked = np.zeros(shape, np.uint8)
    for window, count in zip(inside, counts, strict=True):
        part = asked[tuple(slice(a, b) for a, b in window - low[:, None])]
        np.maximum(part, levels.index(count) + 1, out=part)
    size = int(np.prod(shape))
    parts = range(0, size, _VOXELS_AT_ONCE)

    def of_part(first: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        # Only where an organ may be: a curved way is long to follow back.
        flat = first + np.flatnonzero(asked.ravel()[first : first + _VOXELS_AT_ONCE])
        index = np.stack(np.unravel_index(flat, shape), axis=-1)
        return _hits(drawn, index + low, _Way(labels, grid, grid_from_organs), np.take(asked, flat) - 1, levels)

    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(of_part, parts))
    organ, voxel, fraction = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(organ, kind="stable")
    ends = np.cumsum(np.bincount(organ, minlength=len(counts) + 1))
    return [(voxel[order[a:b]], fraction[order[a:b]]) for a, b in pairwise(ends)]


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """The way from the scan's voxels to the labels: followed back at places, and straight around them."""

    labels: Grid
    grid: Grid
    grid_from_organs: Transform

    @property
    def pieces(self) -> NDArray[np.float64]:
        """Middles of the parts of a voxel within which the way is taken to be straight, in voxels, (n, 3)."""
        if self.grid_from_organs.deformation is None:
            return np.zeros((1, 3))
        # Eight parts leave a quarter of what a bent way is off from a straight one over a whole voxel.
        return np.array(list(product((-0.25, 0.25), repeat=3)))

    def back(self, index: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the label index plus one half of places in the scan's index, both (n, 3), and how it changes there.

        The change with the scan's index has shape (1, 3, 3), or (n, 3, 3) where every place has its own.
        """
        labels, grid = self.labels, self.grid
        if self.grid_from_organs.deformation is None:
            back = self.grid_from_organs.inverse().target_from_source
            matrix = labels.index_from_lps @ back @ grid.lps_from_index
            middles = index @ matrix[:3, :3].T + matrix[:3, 3] + 0.5
            return middles, np.ascontiguousarray(matrix[None, :3, :3])
        places, is_found = self.grid_from_organs.search_back(grid.lps_from(index))
        middles = np.where(is_found[:, None], labels.index_from(places) + 0.5, -1.0)
        slopes = np.linalg.inv(self.grid_from_organs.jacobian(places[is_found]))
        steps = np.zeros((len(index), 3, 3))
        steps[is_found] = labels.index_from_lps[:3, :3] @ slopes @ grid.lps_from_index[:3, :3]
        return middles, steps


def _hits(
    drawn: DrawnOrgans, index: NDArray[np.int64], way: _Way, asked: NDArray[np.uint8], levels: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return organ, voxel and fraction of all that organs hold of these voxels, by voxel."""
    from napari_mpi_track.quantification.occupancy_passes import MIXED, count_hits, whole_voxels

    label = np.empty(len(index), np.int64)
    whole_voxels(drawn.labels, *way.back(index), label)
    at = np.flatnonzero(label > 0)
    found = [(drawn.codes[label[at]].astype(np.int64), at, np.ones(len(at)))]
    organs = len(drawn.counts)
    at_once = max(1, _HITS_AT_ONCE // organs)
    for level, count in enumerate(levels):
        points = points_in_a_voxel(count)
        mixed = np.flatnonzero((label == MIXED) & (asked == level))
        for first in range(0, len(mixed), at_once):
            some = mixed[first : first + at_once]
            hits = np.zeros((len(some), organs), np.int32)
            for middle in way.pieces:
                part = points[np.all(np.sign(points) == np.sign(middle), axis=1)] if middle.any() else points
                count_hits(drawn.labels, drawn.codes, *way.back(index[some] + middle), part - middle, hits)
            touched, organ = np.nonzero(hits[:, 1:])
            found.append((organ + 1, some[touched], hits[touched, organ + 1] / count))
    organ, at, fraction = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(at, kind="stable")
    voxel = np.ravel_multi_index(tuple(index.T), way.grid.shape)
    return organ[order], voxel[at[order]], fraction[order]
