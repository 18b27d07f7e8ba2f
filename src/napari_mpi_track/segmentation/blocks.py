"""Block averages of an anatomical scan, and the pieces that tissue falls into on them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.foreground import (
    between_blocks,
    block_average,
    block_grid,
    block_steps,
    body_threshold,
    finite_voxels,
    is_in_hounsfield_units,
)
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Volume

# Outlines are found on blocks of voxels and drawn between them.
_MOST_VOXELS = 1_500_000
# Air need not stand at -1000: a scanner may be off by 50 HU, and lungs breathed in come near it.
_PADDING_BELOW_HU, _AIR_HU, _SURELY_GAS_HU, _GAS_ABOVE_AIR_HU = -1100.0, -1000.0, -950.0, 50.0
_LEAST_AIR = 0.005
_EDGE_BLOCKS = 2
_LEAST_ENCLOSED = 0.6
# Less than this of what is solid is no lung; a windpipe is thinner than this part of the widest cavity's radius.
_LEAST_LUNG_OF_SOLID, _OPENED_OF_CAVITY = 0.004, 0.3

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Block averages of a scan: ``grey``, float32, on ``grid``; ``threshold`` parts air from tissue."""

    volume: Volume
    grey: NDArray[np.float32]
    steps: tuple[int, int, int]
    grid: Grid
    threshold: float

    @classmethod
    def of(cls, volume: Volume) -> "Blocks":
        """Return the scan on at most 1.5 million blocks, as cubic as may be."""
        steps = block_steps(volume.grid, _MOST_VOXELS)
        grey = block_average(finite_voxels(volume), steps)
        return cls(volume, grey, steps, block_grid(volume.grid, steps), body_threshold(volume, grey))

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Size of the blocks along plane, row and column, mm, shape (3,)."""
        return self.grid.spacing_mm

    def gas(self) -> Mask:
        """Return where a CT in Hounsfield units shows only gas: hardly denser than its own air, neighbours averaged."""
        smooth = ndimage.uniform_filter(self.grey, 3)
        return np.asarray(smooth < _gas_below_hu(smooth))

    def gas_below_hu(self) -> float:
        """Return the density up to which what a CT in Hounsfield units shows is gas, beside the scan's own air."""
        return _gas_below_hu(ndimage.uniform_filter(self.grey, 3))

    def tissue(self) -> Mask:
        """Return what is no air: above the threshold, and lungs within it; ``MeasurementError`` if there is none."""
        solid = self.grey > self.threshold
        if not solid.any():
            raise MeasurementError(
                "no body was found in the scan", file=self.volume.file, remedy="check the unit of the voxels"
            )
        return solid | _enclosed_lung(self, solid)

    def on_all_voxels(self, values: NDArray[np.float32], threshold: float) -> Mask:
        """Return where ``values`` of blocks, drawn linearly between their middles, are above ``threshold``."""
        return np.asarray(between_blocks(values, self.steps, self.volume.grid.shape) > threshold)


def _gas_below_hu(smooth: NDArray[np.float32]) -> float:
    thin = smooth[(smooth > _PADDING_BELOW_HU) & (smooth < _SURELY_GAS_HU)]
    air = float(np.percentile(thin, 10)) if thin.size > _LEAST_AIR * smooth.size else _AIR_HU
    return min(air, _AIR_HU) + _GAS_ABOVE_AIR_HU


def filled(mask: Mask) -> Mask:
    """Return the mask with all that it encloses in space, or in the planes of two of the three directions.

    Where the scan cuts the body, its outline there encloses too. A windpipe opens the lungs in space, not in planes;
    the gap between a leg and the trunk is closed in the planes of one direction at most.
    """
    closed = np.pad(mask, 1)
    for axis in range(3):
        for end, inner in ((0, 1), (-1, -2)):
            face = np.take(closed, inner, axis)
            at = tuple(end if a == axis else slice(None) for a in range(3))
            closed[at] = ndimage.binary_fill_holes(face)
    empty = ~np.pad(closed, 1)
    in_space = ~_reached(empty, (0, 1, 2))
    votes = sum((~_reached(empty, tuple(a for a in range(3) if a != axis))).astype(np.uint8) for axis in range(3))
    return np.asarray((in_space | (votes >= 2))[2:-2, 2:-2, 2:-2])


def _reached(empty: Mask, axes: tuple[int, ...]) -> Mask:
    """Return what of ``empty`` is reached from the outer faces by steps along ``axes``."""
    near = np.zeros((3, 3, 3), dtype=bool)
    near[1, 1, 1] = True
    for axis in axes:
        near[tuple(slice(None) if a == axis else 1 for a in range(3))] = True
    pieces, count = ndimage.label(empty, near)
    outside = np.zeros(count + 1, dtype=bool)
    for axis in axes:
        for end in (0, -1):
            outside[np.take(pieces, end, axis).ravel()] = True
    outside[0] = False
    return np.asarray(outside[pieces])


def grown(mask: Mask, radius_mm: float, spacing: NDArray[np.float64]) -> Mask:
    """Return the mask and all within ``radius_mm`` of it; ``spacing`` of its voxels in mm, shape (3,)."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, spacing) <= radius_mm)


def largest(mask: Mask) -> Mask:
    """Return the largest piece of the mask."""
    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == int(np.argmax(sizes)))


def _enclosed_lung(blocks: Blocks, solid: Mask) -> Mask:
    """Return what is thinner than tissue, thicker than air, and lies within tissue; foam of a bed lies in air."""
    if not is_in_hounsfield_units(blocks.volume):
        return np.zeros_like(solid)
    gas = blocks.gas()
    outside = ndimage.binary_dilation(_reached(gas, (0, 1, 2)), iterations=_EDGE_BLOCKS) & ~solid
    # The blurred edge of a body is as thin as a lung, and lies beside the air outside.
    thin = ~solid & ~gas & ~outside
    thin = np.asarray(ndimage.binary_opening(thin))
    pieces, count = ndimage.label(thin)
    around = ndimage.grey_dilation(pieces, size=(3, 3, 3))
    around[thin] = 0
    rim = around > 0
    walls = np.bincount(around[rim & solid], minlength=count + 1)
    # Gas within the lungs has no way out of the scan; what a foam lies in has.
    openings = np.bincount(around[rim & outside], minlength=count + 1)
    enclosed = walls > _LEAST_ENCLOSED * np.maximum(walls + openings, 1)
    enclosed[0] = False
    found = np.asarray(enclosed[pieces])
    if np.count_nonzero(found) > _LEAST_LUNG_OF_SOLID * np.count_nonzero(solid):
        return found
    return found | _cavities_of_lung(blocks, solid)


def _cavities_of_lung(blocks: Blocks, solid: Mask) -> Mask:
    """Return the cavities that are lungs as a whole, though much of them is as thin as air: breathed in, or ill.

    Their voxels cannot be told from air one by one, the mean of a cavity can. A windpipe is closed by opening.
    """
    padded = np.pad(~solid, 1, mode="edge")
    depth = ndimage.distance_transform_edt(padded, blocks.spacing)[1:-1, 1:-1, 1:-1]
    radius = _OPENED_OF_CAVITY * float(depth.max())
    pieces, count = ndimage.label(depth > radius)
    index = np.arange(count + 1)
    mean = ndimage.mean(blocks.grey, pieces, index)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    cut = np.zeros(count + 1)
    for axis in range(3):
        for end in (0, -1):
            cut += np.bincount(np.take(pieces, end, axis).ravel(), minlength=count + 1)
    # What the scan cuts is a small part of the surface of a lung, and most of that of the air outside.
    surface = np.bincount(pieces[(pieces > 0) & ~ndimage.binary_erosion(pieces > 0)], minlength=count + 1)
    kept = (mean > blocks.gas_below_hu()) & (cut < (1 - _LEAST_ENCLOSED) * np.maximum(surface, 1))
    kept &= sizes > _LEAST_LUNG_OF_SOLID * np.count_nonzero(solid)
    kept[0] = False
    return np.asarray(grown(kept[pieces], 1.5 * radius, blocks.spacing) & ~solid)
