"""What a scan holds in every organ drawn on its own grid: numbers for a table, and for a total that follows a brush."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.frozen import get_state, set_state
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import Occupancy, require_organs
from napari_mpi_track.quantification.organ_sampling import words_of

Window = tuple[slice, slice, slice]

# Slabs are summed apart and joined in order, so that the sums do not hang on how many threads there are.
_PLANES_AT_ONCE = 16
_THREADS = max(1, min(4, os.cpu_count() or 1))
# Organs whose medians are counted at once: 64 MB.
_MEDIANS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class OrganStatistic:
    """What one organ's voxels hold; voxels that hold no number (NaN, infinity) are counted apart and left out.

    Attributes
    ----------
    count, missing
        Voxels with and without a number.
    volume_mm3
        Volume of all of them; ``None`` in a projection and in a slice of unknown thickness.
    total
        Sum of the numbers, in the scan's unit (times a voxel's volume it is the organ's signal).
    mean, sd, minimum, maximum, median
        Of the numbers, in the scan's unit; ``sd`` has n - 1 below, ``median`` is exact. ``None`` where there are none.
    centre_mm
        Middle of the voxels with a number, LPS mm.
    centre_of_mass_mm
        Their middle weighted by the numbers, LPS mm; ``None`` where these do not add up to more than 0.
    box
        Voxels of the bounding box: (first, last + 1) along plane, row and column.
    extent_mm
        Its sides along plane, row and column, in mm.
    """

    count: int
    missing: int
    volume_mm3: float | None
    total: float
    mean: float | None
    sd: float | None
    minimum: float | None
    maximum: float | None
    median: float | None
    centre_mm: tuple[float, float, float] | None
    centre_of_mass_mm: tuple[float, float, float] | None
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    extent_mm: tuple[float, float, float]

    @property
    def longest_extent_mm(self) -> float:
        """The longest side of the bounding box, in mm."""
        return max(self.extent_mm)


@dataclass(frozen=True, slots=True, eq=False)
class OrganStatistics:
    """The statistics of all organs by name, in the order of their labels."""

    organs: Mapping[str, OrganStatistic]

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", MappingProxyType(dict(self.organs)))

    __getstate__ = get_state
    __setstate__ = set_state


def organ_statistics(
    volume: Volume, organs: OrganLabels, *, with_median: bool = True, window: Window | None = None
) -> OrganStatistics:
    """Return count, volume, mean, SD, extremes, sum, middle, extent and median of every organ.

    Parameters
    ----------
    volume, organs
        A scan and the organs drawn on its grid.
    with_median
        The median takes two passes more over the organs' voxels (four for numbers of 64 bits).
    window
        A part of the grid that is looked at alone: what a brush has touched. Sums and counts of two windows without
        a common voxel add up; an organ without a voxel in the window is left out.

    Raises
    ------
    GridMismatchError
        If the organs lie on another grid.
    MeasurementError
        If the labels hold no organ, or ``window`` holds no voxel.

    Notes
    -----
    Joined as by Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115. The median is found by counting
    the numbers' leading bits and then those that follow, so no organ is ever copied.
    """
    _require_one_grid(volume, organs)
    bounds = _bounds(volume, window)
    voxels, labels = _native(volume.voxels), _native(_unsigned(organs.voxels))
    keys = np.array(sorted(organs.names), dtype=labels.dtype)
    kept, boxes = _sums(voxels, labels, keys, bounds)
    medians: list[float | None] = [None] * len(keys)
    if with_median and kept[:, 0].any():
        around = np.stack([boxes[:, ::2].min(axis=0), boxes[:, 1::2].max(axis=0) + 1], axis=1)
        medians = _medians(voxels, labels, keys, around, kept[:, 0])
    found = {}
    for key, sums, box, median in zip(keys.tolist(), kept, boxes, medians, strict=True):
        if sums[0] + sums[1] > 0:
            found[organs.names[key]] = _statistic(volume, sums, box, median)
    return OrganStatistics(found)


def _require_one_grid(volume: Volume, organs: OrganLabels) -> None:
    require_organs(organs)
    if organs.grid.agrees_with(volume.grid):
        return
    raise GridMismatchError(
        f"the organs lie on another grid {organs.grid.shape} than the scan {volume.grid.shape}",
        file=organs.file,
        remedy="share the scan's voxels out between them (measure_occupancy), or resample the labels onto its grid",
    )


def _bounds(volume: Volume, window: Window | None) -> NDArray[np.int64]:
    shape = volume.grid.shape
    ranges = [s.indices(n)[:2] for s, n in zip(window or (slice(None),) * 3, shape, strict=True)]
    if any(low >= high for low, high in ranges):
        raise MeasurementError(f"no voxel of {shape} lies in the window {window}", file=volume.file)
    return np.array(ranges, dtype=np.int64)


def _unsigned(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels (never negative) as unsigned whole numbers; they share the memory."""
    return labels.view(labels.dtype.str.replace("b", "u").replace("i", "u"))


def _native(values: NDArray[Any]) -> NDArray[Any]:
    """Return the array as compiled code reads it: C order and the machine's bytes; copied only where it is not."""
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    values = values.view()
    values.flags.writeable = False
    return values


def _slabs(bounds: NDArray[np.int64], planes: int) -> list[NDArray[np.int64]]:
    slabs = []
    for first in range(int(bounds[0, 0]), int(bounds[0, 1]), planes):
        slab = bounds.copy()
        slab[0] = first, min(first + planes, int(bounds[0, 1]))
        slabs.append(slab)
    return slabs


def _sums(
    voxels: NDArray[Any], labels: NDArray[Any], keys: NDArray[Any], bounds: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what :mod:`organ_passes` keeps of every organ, (k, 13), and its box, (k, 6)."""
    from napari_mpi_track.quantification.organ_passes import FILL, KEPT, sum_organs

    words, fill = words_of(labels), np.uint64(FILL[labels.itemsize])

    def of_slab(slab: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        kept = np.zeros((len(keys), KEPT))
        boxes = np.tile(np.array([2**62, -1] * 3), (len(keys), 1))
        sum_organs(voxels, labels, words, fill, keys, slab, kept, boxes)
        return kept, boxes

    with ThreadPoolExecutor(_THREADS) as pool:
        parts = list(pool.map(of_slab, _slabs(bounds, _PLANES_AT_ONCE)))
    kept, boxes = parts[0]
    for more, others in parts[1:]:
        _join(kept, more)
        boxes[:, ::2] = np.minimum(boxes[:, ::2], others[:, ::2])
        boxes[:, 1::2] = np.maximum(boxes[:, 1::2], others[:, 1::2])
    return kept, boxes


def _join(kept: NDArray[np.float64], more: NDArray[np.float64]) -> None:
    """Add another slab's sums to ``kept``, brought to its shift."""
    is_new = (kept[:, 0] == 0) & (more[:, 0] > 0)
    kept[is_new, 2] = more[is_new, 2]
    kept[is_new, 5:7] = more[is_new, 5:7]
    moved = np.where(more[:, 0] > 0, more[:, 2] - kept[:, 2], 0.0)
    count = more[:, 0]
    kept[:, 4] += more[:, 4] + moved * (2 * more[:, 3] + count * moved)
    kept[:, 3] += more[:, 3] + count * moved
    kept[:, 10:13] += more[:, 10:13] + more[:, 7:10] * moved[:, None]
    kept[:, 7:10] += more[:, 7:10]
    kept[:, :2] += more[:, :2]
    has = count > 0
    kept[has, 5] = np.minimum(kept[has, 5], more[has, 5])
    kept[has, 6] = np.maximum(kept[has, 6], more[has, 6])


def _statistic(
    volume: Volume, sums: NDArray[np.float64], box: NDArray[np.int64], median: float | None
) -> OrganStatistic:
    count, missing = int(sums[0]), int(sums[1])
    ends = box.reshape(3, 2) + [0, 1]
    sides = (ends[:, 1] - ends[:, 0]) * volume.grid.spacing_mm
    has_volume = not volume.is_projection and volume.has_thickness
    size = (count + missing) * volume.grid.voxel_volume_mm3 if has_volume else None
    total = sums[2] * count + sums[3]
    mean = sums[2] + sums[3] / count if count else None
    spread = np.sqrt(max(sums[4] - sums[3] ** 2 / count, 0.0) / (count - 1)) if count > 1 else None
    middle = volume.grid.lps_from(sums[7:10] / count) if count else None
    weighted = volume.grid.lps_from((sums[10:13] + sums[2] * sums[7:10]) / total) if total > 0 else None
    return OrganStatistic(
        count,
        missing,
        size,
        float(total),
        None if mean is None else float(mean),
        None if spread is None else float(spread),
        float(sums[5]) if count else None,
        float(sums[6]) if count else None,
        median,
        _place(middle),
        _place(weighted),
        ((int(ends[0, 0]), int(ends[0, 1])), (int(ends[1, 0]), int(ends[1, 1])), (int(ends[2, 0]), int(ends[2, 1]))),
        (float(sides[0]), float(sides[1]), float(sides[2])),
    )


def _place(point: NDArray[np.float64] | None) -> tuple[float, float, float] | None:
    return None if point is None else (float(point[0]), float(point[1]), float(point[2]))


def _medians(
    voxels: NDArray[Any],
    labels: NDArray[Any],
    keys: NDArray[Any],
    bounds: NDArray[np.int64],
    counts: NDArray[np.float64],
) -> list[float | None]:
    medians: list[float | None] = []
    for first in range(0, len(keys), _MEDIANS_AT_ONCE):
        part = slice(first, first + _MEDIANS_AT_ONCE)
        medians += _medians_of(voxels, labels, keys[part], bounds, counts[part])
    return medians


def _medians_of(
    voxels: NDArray[Any],
    labels: NDArray[Any],
    keys: NDArray[Any],
    bounds: NDArray[np.int64],
    counts: NDArray[np.float64],
) -> list[float | None]:
    """Return the mean of the two middle numbers of every organ, their bits found 16 at a time from the top."""
    from napari_mpi_track.quantification.organ_passes import FILL, count_digits

    words, fill = words_of(labels), np.uint64(FILL[labels.itemsize])
    width = 8 * voxels.itemsize
    bits = voxels.view(f"u{voxels.itemsize}")
    kind = {"f": 2, "i": 1}.get(voxels.dtype.kind, 0)
    ranks = np.stack([(counts - 1) // 2, counts // 2]).astype(np.int64)
    prefixes = np.zeros((2, len(keys)), dtype=np.uint64)
    # A table of digits for every thread, so as few slabs as there are threads.
    slabs = _slabs(bounds, ceil(int(bounds[0, 1] - bounds[0, 0]) / _THREADS))
    for shift in range(max(width - 16, 0), -1, -16):

        def count(slab: NDArray[np.int64], shift: int = shift) -> NDArray[np.uint32]:
            digits = np.zeros((2, len(keys), 1 << 16), dtype=np.uint32)
            count_digits(bits, labels, words, fill, keys, slab, kind, shift, prefixes, digits)
            return digits

        with ThreadPoolExecutor(_THREADS) as pool:
            found = np.sum(list(pool.map(count, slabs)), axis=0)
        for organ in np.flatnonzero(counts):
            is_one = prefixes[0, organ] == prefixes[1, organ]
            for which in (0, 1):
                digits = np.cumsum(found[0 if is_one else which, organ], dtype=np.int64)
                digit = int(np.searchsorted(digits, ranks[which, organ], side="right"))
                ranks[which, organ] -= digits[digit - 1] if digit else 0
                prefixes[which, organ] = (prefixes[which, organ] << np.uint64(16)) | np.uint64(digit)
    middle = _numbers(prefixes, voxels.dtype).mean(axis=0)
    return [float(value) if count else None for value, count in zip(middle, counts, strict=True)]


def _numbers(ordered: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """Return the numbers whose ordered bits these are."""
    width = 8 * dtype.itemsize
    sign = np.uint64(1 << (width - 1))
    everything = np.uint64(2**width - 1)
    if dtype.kind == "f":
        ordered = np.where(ordered & sign, ordered ^ sign, ordered ^ everything)
    elif dtype.kind == "i":
        ordered = ordered ^ sign
    return (ordered & everything).astype(f"u{dtype.itemsize}").view(dtype).astype(np.float64)


@dataclass(frozen=True, slots=True)
class SignalPlace:
    """Where an organ's signal lies in a scan it is shared out on.

    Attributes
    ----------
    centre_mm
        Middle of the organ's part of the scan, LPS mm, each voxel weighted by its part inside.
    centre_of_mass_mm
        The same weighted by the signal above the background too; ``None`` where that does not add up to more than 0.
    box
        Voxels the organ touches: (first, last + 1) along plane, row and column.
    extent_mm
        How far it reaches along plane, row and column, in mm: from the first to the last voxel, the outermost
        layers counted by the largest part in them.
    """

    centre_mm: tuple[float, float, float]
    centre_of_mass_mm: tuple[float, float, float] | None
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    extent_mm: tuple[float, float, float]

    @property
    def longest_extent_mm(self) -> float:
        """The longest of the three extents, in mm."""
        return max(self.extent_mm)


def signal_place(volume: Volume, occupancy: Occupancy, organ: str, background: float = 0.0) -> SignalPlace:
    """Return the middle and the extent of one organ and of its signal, in the scan it is shared out on.

    Parameters
    ----------
    volume
        The scan on the grid it was acquired on; voxels without a number hold no signal.
    occupancy
        What part of each of its voxels lies in each organ.
    organ
        Name of one of them.
    background
        Taken off every voxel, in the scan's unit.

    Raises
    ------
    GridMismatchError
        If the occupancy was measured on another grid.
    MeasurementError
        If there is no such organ, or none of it lies in the scan.
    """
    if not occupancy.grid.agrees_with(volume.grid):
        raise GridMismatchError("the occupancy was measured on another grid than the scan's", file=volume.file)
    part = occupancy.organs.get(organ)
    if part is None or part.voxel.size == 0:
        raise MeasurementError(
            f"no part of an organ '{organ}' lies in the scan",
            file=volume.file,
            remedy=f"choose one of {', '.join(occupancy.organs)}, or check the alignment",
        )
    index = np.stack(np.unravel_index(part.voxel, volume.grid.shape), axis=-1)
    values = volume.voxels.ravel()[part.voxel].astype(np.float64) - background
    weights = part.fraction * np.where(np.isfinite(values), values, 0.0)
    total = float(weights.sum())
    ends, sides = [], []
    for axis in range(3):
        along = np.zeros(volume.grid.shape[axis])
        np.maximum.at(along, index[:, axis], part.fraction)
        first, last = int(index[:, axis].min()), int(index[:, axis].max())
        ends.append((first, last + 1))
        rim = along[first] + along[last] if last > first else along[first]
        sides.append(float((max(last - first - 1, 0) + rim) * volume.grid.spacing_mm[axis]))
    middle = _place(volume.grid.lps_from(part.fraction @ index / part.fraction.sum()))
    assert middle is not None
    return SignalPlace(
        middle,
        _place(volume.grid.lps_from(weights @ index / total)) if total > 0 else None,
        (ends[0], ends[1], ends[2]),
        (sides[0], sides[1], sides[2]),
    )
