"""What a transform does to volumes from place to place: the map of its Jacobian determinant."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentRefusedError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.images.lattice import Bases
from napari_mpi_track.registration.resample import require_frames

# Soft tissue keeps its volume to a few per cent; lungs, gut, bladder and tumours change by a factor of two between
# days. A third, or the threefold, of a volume is another place of the scan taken for the same one.
LEAST_VOLUME_CHANGE = 0.3
MOST_VOLUME_CHANGE = 3.0
_VOXELS_AT_ONCE = 2_000_000


Place = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class VolumeChange:
    """The range of the Jacobian determinant over a body, and where its ends lie (LPS mm, fixed frame)."""

    smallest: float
    largest: float
    smallest_at_mm: Place
    largest_at_mm: Place

    @property
    def is_plausible(self) -> bool:
        """Whether nothing folds, and no tissue shrinks or grows past belief."""
        return self.smallest >= LEAST_VOLUME_CHANGE and self.largest <= MOST_VOLUME_CHANGE

    def refuse_implausible(self) -> None:
        """Raise ``AlignmentRefusedError`` where the deformation folds, or tissue shrinks or grows past belief."""
        remedy = "keep the rigid alignment, or give a mask of what both days show"
        if self.smallest <= 0:
            raise AlignmentRefusedError(
                f"the deformation folds: volumes change by a factor of {self.smallest:.2f} "
                f"at {_place(self.smallest_at_mm)}",
                remedy=remedy,
            )
        for factor, at in ((self.smallest, self.smallest_at_mm), (self.largest, self.largest_at_mm)):
            if not LEAST_VOLUME_CHANGE <= factor <= MOST_VOLUME_CHANGE:
                raise AlignmentRefusedError(
                    f"the deformation is implausible: volumes change by a factor of {factor:.2f} at {_place(at)}, "
                    f"tissue by {LEAST_VOLUME_CHANGE:g} to {MOST_VOLUME_CHANGE:g}",
                    remedy=remedy,
                )


def _place(at_mm: Place) -> str:
    return f"({', '.join(f'{x:.1f}' for x in at_mm)}) mm LPS of the fixed scan"


def volume_change(transform: Transform, grid: Grid, where: NDArray[np.bool_]) -> VolumeChange:
    """Return the range of the Jacobian determinant over the voxels ``where`` (shape as ``grid.shape``)."""
    flat = np.flatnonzero(where)
    factors = jacobian_map(transform, grid).voxels.ravel()[flat].astype(np.float64)
    ends = [flat[int(np.argmin(factors))], flat[int(np.argmax(factors))]]
    places = grid.lps_from(np.stack(np.unravel_index(ends, grid.shape), axis=-1))
    (x, y, z), (a, b, c) = places.tolist()
    return VolumeChange(float(factors.min()), float(factors.max()), (x, y, z), (a, b, c))


def jacobian_map(moving_from_fixed: Transform, grid: Grid) -> Volume:
    """Return the Jacobian determinant at every voxel of ``grid``, in the fixed frame: float32, dimensionless.

    1 keeps volumes; below it the fixed scan's tissue is smaller in the moving scan, above it larger; 0 or less folds.

    Raises
    ------
    FrameMismatchError
        If the transform starts from another frame than the grid's (where both are named).
    """
    require_frames(moving_from_fixed, grid, Grid(grid.shape, grid.lps_from_index))
    voxels = np.empty(grid.shape, dtype=np.float32)
    deep = max(1, _VOXELS_AT_ONCE // int(np.prod(grid.shape[1:])))
    for first in range(0, grid.shape[0], deep):
        slab = _slab(grid, first, min(deep, grid.shape[0] - first))
        voxels[first : first + slab.shape[0]] = _determinants(moving_from_fixed, slab)
    voxels.flags.writeable = False
    return Volume(voxels, grid, unit="1")


def _slab(grid: Grid, first: int, deep: int) -> Grid:
    matrix = grid.lps_from_index.copy()
    matrix[:3, 3] = grid.lps_from((first, 0, 0))
    return Grid((deep, *grid.shape[1:]), matrix)


def _determinants(transform: Transform, grid: Grid) -> NDArray[Any]:
    whole = float(np.linalg.det(transform.target_from_source[:3, :3]))
    deformation = transform.deformation
    if deformation is None:
        return np.full(grid.shape, whole, dtype=np.float32)
    if not Bases.fit(deformation.grid, grid):
        index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
        return np.asarray(transform.volume_change(grid.lps_from(index)))
    slopes = Bases.of(deformation.grid, grid).slopes(np.moveaxis(deformation.coefficients_mm, 0, -1))
    stretched = slopes @ deformation.grid.index_from_lps[:3, :3].astype(np.float32)
    a, b, c = (stretched[..., k, :] + np.eye(3, dtype=np.float32)[k] for k in range(3))
    return np.asarray(whole * np.sum(a * np.cross(b, c), axis=-1))
