"""Scans made ready to be compared: cropped to the body, clamped, and averaged over blocks for coarse levels."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import AlignmentError, MeasurementError
from napari_mpi_track.imaging.foreground import (
    block_average,
    block_grid,
    block_steps,
    find_body,
    is_in_hounsfield_units,
)
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume

_CT_RANGE_HU = (-300.0, 300.0)
# The body is found, and intensities are clamped by percentiles, on block averages of at most this many voxels.
_BODY_VOXELS = 400_000
_FEWEST_INSIDE = 200
# The inside of the body lies deeper than this part of its radius: beyond the outline's soft edge.
_DEEP = 0.08
# Bodies differ by up to so many blocks where they meet; what lies further off one scan alone shows, such as a bed: it
# is left out with so many blocks around it.
_NEAR_BLOCKS, _AROUND_BLOCKS = 2, 3
# What is kept around the body: air, whose border with it tells as much as the organs do.
_MARGIN_MM = 4.0

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A scan of one body, between 0 and 1, cropped to the body and a margin.

    Attributes
    ----------
    voxels
        Clamped voxels, float32, NaN where the scan holds no number; shape as ``grid.shape``.
    grid
        Where they lie.
    body
        Where the body is, on ``body_grid``, which is coarser.
    body_grid
        Grid of ``body``.
    field
        The whole scan's grid: beyond its faces nothing is known.
    mask
        Where the user wants scans compared, on ``body_grid``; ``None`` is in and just around the body.
    is_emission
        Whether it is a PET or SPECT, whose organs are blurred.
    """

    voxels: NDArray[np.float32]
    grid: Grid
    body: NDArray[np.bool_]
    body_grid: Grid
    field: Grid
    mask: NDArray[np.bool_] | None = None
    is_emission: bool = False

    def at(self, voxel_mm: float) -> "Picture":
        """Return block averages over blocks of about ``voxel_mm``, or the same where voxels are that large."""
        steps = np.maximum(1, np.round(voxel_mm / self.grid.spacing_mm)).astype(int)
        planes, rows, columns = (int(n) for n in np.minimum(steps, self.grid.shape))
        if planes == rows == columns == 1:
            return self
        averaged = _averaged(self.voxels, (planes, rows, columns))
        grid = block_grid(self.grid, (planes, rows, columns))
        return Picture(averaged, grid, self.body, self.body_grid, self.field, self.mask, self.is_emission)

    def blurred(self, sd_mm: float) -> "Picture":
        """Return the picture smoothed by a Gaussian, SD in mm: finer than its voxels, a scan is mostly noise."""
        sd = sd_mm / self.grid.spacing_mm
        gaps = np.isnan(self.voxels)
        smooth = ndimage.gaussian_filter(np.where(gaps, 0, self.voxels), sd, mode="nearest", truncate=3.0)
        if gaps.any():
            weight = ndimage.gaussian_filter((~gaps).astype(np.float32), sd, mode="nearest", truncate=3.0)
            smooth = np.where(gaps, np.nan, smooth / np.maximum(weight, 1e-3)).astype(np.float32)
        return Picture(smooth, self.grid, self.body, self.body_grid, self.field, self.mask, self.is_emission)

    @property
    def compared_where(self) -> NDArray[np.bool_]:
        """Where scans are compared, on ``body_grid``: the mask, or the body and two voxels around it."""
        if self.mask is not None:
            return self.mask
        return np.asarray(ndimage.binary_dilation(self.body, iterations=2))

    @property
    def deep_inside(self) -> NDArray[np.bool_]:
        """Where the body is, without its outline, on ``body_grid``."""
        depth = max(1, round(_DEEP * self.radius_mm / float(self.body_grid.spacing_mm.mean())))
        inside = np.asarray(ndimage.binary_erosion(self.body, iterations=depth)) & self.compared_where
        return inside if np.count_nonzero(inside) >= _FEWEST_INSIDE else self.compared_where

    def shared_with(self, moving: "Picture", moving_from_fixed: Matrix) -> "Picture":
        """Return the picture, to be compared where the other one shows the same body under a 4x4 transform.

        A bed that touches the animal in one scan only draws the pose to its side. Where less than half of what
        both show would be left (a PET of some organs), everything is compared.
        """
        index = np.moveaxis(np.indices(self.body.shape), 0, -1).reshape(-1, 3)
        points = self.body_grid.lps_from(index) @ moving_from_fixed[:3, :3].T + moving_from_fixed[:3, 3]
        seen = moving.field.contains(points)
        nearest = np.rint(moving.body_grid.index_from(points)).astype(np.int64)
        nearest = np.clip(nearest, 0, np.asarray(moving.body.shape) - 1)
        there = (moving.body[tuple(nearest.T)] & seen).reshape(self.body.shape)
        alone = self.body & ~_grown(there, _NEAR_BLOCKS) | there & ~_grown(self.body, _NEAR_BLOCKS)
        compared = self.compared_where
        kept = compared & ~_grown(alone & seen.reshape(self.body.shape), _AROUND_BLOCKS)
        both = self.body & there
        if np.array_equal(kept, compared) or np.count_nonzero(kept & both) < 0.5 * np.count_nonzero(both):
            return self
        return replace(self, mask=kept)

    @property
    def centre_mm(self) -> Matrix:
        """The body's centre of mass, LPS mm, shape (3,)."""
        return np.asarray(self.body_grid.lps_from(np.argwhere(self.body).mean(axis=0)))

    @property
    def radius_mm(self) -> float:
        """Root mean square distance of the body from its centre, mm."""
        return float(np.sqrt(np.sum(np.var(self.body_points_mm(5000), axis=0))))

    @property
    def axes(self) -> Matrix:
        """The body's principal axes, columns, longest first, right-handed."""
        _, axes = np.linalg.eigh(np.cov(self.body_points_mm(20_000).T))
        axes = axes[:, ::-1]
        if np.linalg.det(axes) < 0:
            axes[:, 2] *= -1
        return np.asarray(axes)

    def body_points_mm(self, most: int) -> Matrix:
        """Return at most about ``most`` points spread evenly over the body, LPS mm, shape (n, 3)."""
        index = np.argwhere(self.body)
        return np.asarray(self.body_grid.lps_from(index[:: max(1, len(index) // most)]))

    @property
    def is_cut(self) -> bool:
        """Whether the body runs on beyond the scan's field at some face."""
        for axis in range(3):
            sections = np.sum(self.body, axis=tuple(a for a in range(3) if a != axis))
            if max(sections[0], sections[-1]) > 0.3 * sections.max():
                return True
        return False


def pictured(volume: Volume, name: str, mask: NDArray[Any] | None = None) -> Picture:
    """Return the scan clamped and cropped: a CT to -300..300 HU, others to the 0.5..99.5 % of their body.

    ``name`` is what an error calls the scan; ``mask``, shape as its grid's, where it is to be compared.

    Raises
    ------
    AlignmentError
        If the scan is flat, shows no body, or the mask holds no voxel.
    """
    _refuse_flat(volume, name)
    if mask is not None and not np.any(mask):
        raise AlignmentError("the mask of the fixed scan is empty", remedy="leave it out, or give another")
    steps = block_steps(volume.grid, _BODY_VOXELS)
    blocks = _averaged(volume.voxels, steps)
    body_grid = block_grid(volume.grid, steps)
    try:
        body = find_body(volume.with_voxels(blocks, grid=body_grid))
    except MeasurementError as fault:
        raise AlignmentError(fault.what, file=volume.file, remedy="check the scan, or align by fiducials") from fault
    bottom, top = _range(volume, blocks, body)
    chosen = None if mask is None else block_average(np.asarray(mask, dtype=bool), steps) > 0
    where = body if chosen is None else body | chosen
    box = _box(where, steps, volume.grid)
    voxels = _clamped(volume.voxels[box], bottom, top)
    matrix = volume.grid.lps_from_index.copy()
    matrix[:3, 3] = volume.grid.lps_from([part.start for part in box])
    planes, rows, columns = voxels.shape
    grid = Grid((planes, rows, columns), matrix, volume.grid.frame)
    is_emission = volume.modality in (Modality.PET, Modality.SPECT)
    return Picture(voxels, grid, body, body_grid, volume.grid, chosen, is_emission)


def _grown(mask: NDArray[np.bool_], blocks: int) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(mask, iterations=blocks)) if mask.any() else mask


def _averaged(voxels: NDArray[Any], steps: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return means over blocks of what numbers there are, NaN where fewer than half are numbers."""
    if voxels.dtype.kind in "biu":
        return block_average(voxels, steps)
    known = np.isfinite(voxels)
    if known.all():
        return block_average(voxels, steps)
    part = block_average(known, steps)
    total = block_average(np.where(known, voxels, 0), steps)
    return np.where(part >= 0.5, total / np.maximum(part, 0.5), np.float32(np.nan)).astype(np.float32)


def _refuse_flat(volume: Volume, name: str) -> None:
    if min(volume.grid.shape) < 4:
        raise AlignmentError(
            f"4 planes, rows and columns or more are needed in the {name} scan, got {volume.grid.shape}",
            file=volume.file,
            remedy="align by fiducials or frame",
        )


def _range(volume: Volume, blocks: NDArray[np.float32], body: NDArray[np.bool_]) -> tuple[float, float]:
    if is_in_hounsfield_units(volume):
        return _CT_RANGE_HU
    inside = blocks[body & np.isfinite(blocks)]
    bottom, top = (float(v) for v in np.percentile(inside, (0.5, 99.5)))
    return min(bottom, float(np.nanmin(blocks))), top


def _box(where: NDArray[np.bool_], steps: tuple[int, int, int], grid: Grid) -> tuple[slice, slice, slice]:
    """Return the part of the scan that holds ``where`` (on blocks) and a margin."""
    margin = np.ceil(_MARGIN_MM / grid.spacing_mm).astype(int)
    found = []
    for axis in range(3):
        hit = np.flatnonzero(where.any(axis=tuple(a for a in range(3) if a != axis)))
        low = int(hit[0]) * steps[axis] - int(margin[axis])
        high = (int(hit[-1]) + 1) * steps[axis] + int(margin[axis])
        found.append(slice(max(low, 0), min(high, grid.shape[axis])))
    return found[0], found[1], found[2]


def _clamped(voxels: NDArray[Any], bottom: float, top: float) -> NDArray[np.float32]:
    """Return the voxels between 0 and 1, float32; infinite ones are not numbers either."""
    clamped = voxels.astype(np.float32)
    clamped[np.isinf(clamped)] = np.nan
    clamped -= np.float32(bottom)
    clamped *= np.float32(1.0 / max(top - bottom, 1e-12))
    return np.clip(clamped, 0.0, 1.0, out=clamped)
