"""Volume and total above any threshold, at once: what a slider asks for while it is moved."""

from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.segmentation.rule_comparison import PartOfVoxels

# Sums are kept for blocks of so many voxels and added up anew within one: exact, at a quarter of the memory.
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class AboveThreshold:
    """What lies above a threshold.

    Attributes
    ----------
    volume_mm3
        In mm3; mm2 for a projection.
    total
        Background subtracted, in the scan's unit x mm3 (mm2).
    count
        Number of voxels; of an organ, of those it holds any part of.
    """

    volume_mm3: float
    total: float
    count: int


class ThresholdCurve:
    """A scan, or what an organ holds of it, sorted once by intensity.

    Parameters
    ----------
    volume
        A linearised scan; voxels without a number are left out.
    organ
        What an organ holds of the scan (``OrganOccupancy``, same grid); the whole scan without it.
    background
        Taken off every voxel for totals, in the scan's unit.

    Raises
    ------
    GridMismatchError
        If the organ holds voxels beyond the scan's grid.
    MeasurementError
        If there is no voxel with a number, or the scan has no volume.
    """

    __slots__ = ("_background", "_measure", "_sums", "_values", "_volume", "_weight_sums", "_weights")

    def __init__(self, volume: Volume, organ: PartOfVoxels | None = None, background: float = 0.0) -> None:
        values = np.asarray(volume.voxels).ravel()
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        weights: NDArray[np.float64] | None = None
        if organ is not None:
            if organ.voxel.size and int(organ.voxel.max()) >= values.size:
                raise GridMismatchError("the organ lies on another grid than the scan's", file=volume.file)
            values, weights = values[organ.voxel], np.asarray(organ.fraction)
        if values.dtype.kind == "f":
            is_number = np.isfinite(values)
            if not is_number.all():
                values, weights = values[is_number], None if weights is None else weights[is_number]
        if not values.size:
            raise MeasurementError("there is no voxel with a number", file=volume.file, remedy="choose another organ")
        if weights is None:
            self._values = np.sort(values)
        else:
            order = np.argsort(values, kind="stable")
            self._values, weights = values[order], weights[order]
        self._weights = weights
        self._volume = volume
        self._measure = volume.voxel_measure
        self._background = background
        starts = np.arange(0, values.size, _BLOCK)
        weighted = self._values if weights is None else self._values * weights
        self._sums = _from_the_top(np.add.reduceat(weighted, starts, dtype=np.float64))
        self._weight_sums = None if weights is None else _from_the_top(np.add.reduceat(weights, starts))

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest voxel, in the scan's unit."""
        return float(self._values[0]), float(self._values[-1])

    def at(self, threshold: float) -> AboveThreshold:
        """Return volume, total and number of the voxels above ``threshold`` (in the scan's unit), exactly."""
        # The values' own type keeps numpy from converting all of them, and is how the mask compares too.
        first = int(np.searchsorted(self._values, _in_type_of(self._values, threshold), side="right"))
        block = -(-first // _BLOCK)
        edge = min(block * _BLOCK, self._values.size)
        some = self._values[first:edge].astype(np.float64)
        if self._weights is None or self._weight_sums is None:
            held = float(self._values.size - first)
            total = float(some.sum() + self._sums[block])
        else:
            weights = self._weights[first:edge]
            held = float(weights.sum() + self._weight_sums[block])
            total = float(some @ weights + self._sums[block])
        count = self._values.size - first
        return AboveThreshold(held * self._measure, (total - held * self._background) * self._measure, count)

    def mask_of_slice(self, threshold: float, axis: int, index: int) -> NDArray[np.bool_]:
        """Return where one slice of the scan (plane, row or column: ``axis`` 0, 1, 2) is above ``threshold``, 2-D."""
        return np.asarray(np.asarray(self._volume.voxels).take(index, axis=axis) > float(threshold))


def _from_the_top(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of every block and all above it, and a 0 for "above the last"."""
    return np.asarray(np.append(np.cumsum(blocks[::-1])[::-1], 0.0), dtype=np.float64)


def _in_type_of(values: NDArray[Any], threshold: float) -> Any:
    """Return a threshold as a number of the voxels' own type that parts them alike."""
    if values.dtype.kind == "f":
        return values.dtype.type(threshold)
    low, high = (0, 1) if values.dtype.kind == "b" else (np.iinfo(values.dtype).min, np.iinfo(values.dtype).max)
    whole = floor(threshold)
    # Below the lowest number of the type every voxel is above it, and no number of the type says so.
    return values.dtype.type(min(whole, high)) if whole >= low else float(low) - 1
