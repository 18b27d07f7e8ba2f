"""How alike two scans are under a transform, evaluated at a fixed set of points."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.imaging.foreground import (
    block_average,
    block_grid,
    block_steps,
    find_body,
    is_in_hounsfield_units,
)
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Volume

_BINS = 24
_CT_RANGE_HU = (-300.0, 300.0)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A scan made ready for comparison: clamped voxels between 0 and 1 on ``grid``, and where the body is.

    ``mask`` is where the user wants scans compared; ``None`` is in and just around the body.
    """

    voxels: NDArray[np.float32]
    body: NDArray[np.bool_]
    grid: Grid
    mask: NDArray[np.bool_] | None = None

    @property
    def compared_where(self) -> NDArray[np.bool_]:
        """Where scans are compared, shape as the voxels: the mask, or the body and two voxels around it."""
        if self.mask is not None:
            return self.mask
        return np.asarray(ndimage.binary_dilation(self.body, iterations=2))

    def binned(self, most_voxels: int) -> "Picture":
        """Return block averages, of no more than ``most_voxels`` voxels."""
        steps = block_steps(self.grid, most_voxels)
        body = block_average(self.body, steps) >= 0.5
        mask = None if self.mask is None else block_average(self.mask, steps) >= 0.5
        return Picture(block_average(self.voxels, steps), body, block_grid(self.grid, steps), mask)


def prepared(volume: Volume, mask: NDArray[np.bool_] | None = None) -> Picture:
    """Return the scan cropped to its body and a margin, clamped: a CT to -300..300 HU, others to 0.5..99.5 %.

    Raises
    ------
    MeasurementError
        If the scan shows no body.
    """
    body = find_body(volume)
    margin = np.ceil(4.0 / volume.grid.spacing_mm).astype(int)
    inside = (
        np.argwhere(np.any(body, axis=(1, 2))),
        np.argwhere(np.any(body, axis=(0, 2))),
        np.argwhere(np.any(body, axis=(0, 1))),
    )
    low = [max(int(i.min()) - int(m), 0) for i, m in zip(inside, margin, strict=True)]
    high = [min(int(i.max()) + int(m) + 1, n) for i, m, n in zip(inside, margin, volume.grid.shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    voxels, body = volume.voxels[box], body[box]
    bottom, top = _CT_RANGE_HU
    if not is_in_hounsfield_units(volume):
        bottom, top = (float(v) for v in np.nanpercentile(voxels[body], (0.5, 99.5)))
        bottom = min(bottom, float(np.nanmin(voxels)))
    clamped = np.nan_to_num(np.clip(voxels, bottom, top).astype(np.float32), nan=bottom)
    scaled = (clamped - np.float32(bottom)) / np.float32(max(top - bottom, 1e-12))
    matrix = volume.grid.lps_from_index.copy()
    matrix[:3, 3] = volume.grid.lps_from(low)
    planes, rows, columns = scaled.shape
    grid = Grid((planes, rows, columns), matrix, volume.grid.frame)
    return Picture(scaled, body, grid, None if mask is None else mask[box])


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Fixed points with their values, to be looked up in a moving picture; larger is more alike.

    Attributes
    ----------
    points_mm, values
        Sample points (LPS mm, fixed frame, shape (n, 3)) and the fixed picture there, shape (n,).
    in_body
        Which of them lie in the body, shape (n,).
    moving
        The other picture; beyond its field there is air.
    same_modality
        Correlation is taken within one modality, mutual information across two.
    """

    points_mm: NDArray[np.float64]
    values: NDArray[np.float64]
    in_body: NDArray[np.bool_]
    moving: Picture
    same_modality: bool

    def metric(self, moving_from_fixed: NDArray[np.float64]) -> float:
        """Return correlation (-1 to 1), or mutual information in nats, under the 4x4 transform."""
        other = self._looked_up(moving_from_fixed, self.moving.voxels, 1)
        if self.same_modality:
            if other.std() < 1e-9 or self.values.std() < 1e-9:
                return 0.0
            return float(np.corrcoef(self.values, other)[0, 1])
        return mutual_information(self.values, other)

    def body_overlap(self, moving_from_fixed: NDArray[np.float64]) -> float:
        """Return the Dice overlap of the two bodies, 0 to 1, over the fixed points."""
        there = self._looked_up(moving_from_fixed, self.moving.body.astype(np.float32), 0) > 0.5
        both = 2.0 * np.sum(there & self.in_body)
        return float(both / max(int(there.sum() + self.in_body.sum()), 1))

    def _looked_up(
        self, transform: NDArray[np.float64], voxels: NDArray[np.float32], order: Literal[0, 1]
    ) -> NDArray[np.float64]:
        index_from_fixed = self.moving.grid.index_from_lps @ transform
        index = index_from_fixed[:3, :3] @ self.points_mm.T + index_from_fixed[:3, 3:]
        found = np.empty(len(self.points_mm))
        ndimage.map_coordinates(voxels, index, output=found, order=order, mode="constant", cval=0.0)
        return found


def compared(fixed: Picture, moving: Picture, same_modality: bool, count: int, seed: int) -> Comparison:
    """Return a comparison at ``count`` random points where the fixed picture is to be compared."""
    index = np.argwhere(fixed.compared_where)
    rng = np.random.default_rng(seed)
    if len(index) > count:
        index = index[np.sort(rng.choice(len(index), count, replace=False))]
    values = fixed.voxels[tuple(index.T)].astype(np.float64)
    return Comparison(fixed.grid.lps_from(index), values, fixed.body[tuple(index.T)], moving, same_modality)


def mutual_information(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the mutual information of two sets of values between 0 and 1, in nats.

    Each value is shared linearly between its two nearest bins, so that the result is continuous.
    """
    a, b = np.clip(first, 0, 1) * (_BINS - 1), np.clip(second, 0, 1) * (_BINS - 1)
    a_bin, b_bin = np.minimum(a.astype(np.intp), _BINS - 2), np.minimum(b.astype(np.intp), _BINS - 2)
    a_part, b_part = a - a_bin, b - b_bin
    joint = np.zeros(_BINS * _BINS)
    for da, wa in ((0, 1 - a_part), (1, a_part)):
        for db, wb in ((0, 1 - b_part), (1, b_part)):
            joint += np.bincount((a_bin + da) * _BINS + b_bin + db, wa * wb, minlength=_BINS * _BINS)
    density = (joint / joint.sum()).reshape(_BINS, _BINS)
    expected = density.sum(axis=1)[:, None] * density.sum(axis=0)[None]
    filled = density > 0
    return float(np.sum(density[filled] * np.log(density[filled] / expected[filled])))
