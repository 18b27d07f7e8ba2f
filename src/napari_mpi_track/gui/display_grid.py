"""Where napari can draw a scan exactly: arrays with plane along z, row along y, column along x, unrotated."""

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.resample import resample, resample_organs

# A corner this far off its place (in parts of the finest spacing) still falls on the same voxel of the picture.
TILT_TOLERANCE_VOXELS = 0.25
# World axes in napari's order: an LPS point (x, y, z) is drawn at (z, y, x).
_SHOWN_AXES = (2, 1, 0)


@dataclass(frozen=True, slots=True)
class Ordering:
    """How an array is turned so that its axes run along z, y, x: transposed, then flipped. A view, never a copy.

    ``axes`` names the array axis shown along z, y and x; ``flips`` whether it then runs backwards.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @property
    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)

    def apply(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Return ``voxels`` (plane, row, column as acquired) in the order they are shown."""
        return voxels.transpose(self.axes)[self._steps]

    def undo(self, shown: NDArray[Any]) -> NDArray[Any]:
        """Return ``shown`` in the order the scan was acquired in."""
        return shown[self._steps].transpose(np.argsort(self.axes))


@dataclass(frozen=True, slots=True, eq=False)
class DisplayGrid:
    """The axis-aligned grid a scan is drawn on, and how it gets there.

    ``ordering`` is ``None`` for a scan so oblique that its voxels must be resampled onto ``grid``.
    """

    grid: Grid
    ordering: Ordering | None


def display_grid(grid: Grid) -> DisplayGrid:
    """Return the axis-aligned grid on which a scan of ``grid`` is drawn at its place."""
    ordering = _ordering_of(grid)
    straight = _straightened(_reordered(grid, ordering))
    true = _reordered(grid, ordering)
    if true.farthest_corner_mm(straight) <= TILT_TOLERANCE_VOXELS * float(grid.spacing_mm.min()):
        return DisplayGrid(straight, ordering)
    return DisplayGrid(_box_around(true), None)


def shown_voxels(scan: Volume | OrganLabels, display: DisplayGrid) -> NDArray[Any]:
    """Return the voxels of ``scan`` as they are drawn, shape ``display.grid.shape``."""
    if display.ordering is not None:
        return display.ordering.apply(scan.voxels)
    # Both grids lie in the scan's own frame, whatever its name: nothing moves.
    same_place = Transform.identity(scan.grid.frame, scan.grid.frame)
    if isinstance(scan, OrganLabels):
        return resample_organs(scan, same_place, display.grid).voxels
    return resample(scan, same_place, display.grid).voxels


def _ordering_of(grid: Grid) -> Ordering:
    along = grid.directions[list(_SHOWN_AXES)]  # rows: z, y, x; columns: array axes
    axes = max(permutations(range(3)), key=lambda order: sum(abs(along[i, a]) for i, a in enumerate(order)))
    flips = tuple(bool(along[i, a] < 0) for i, a in enumerate(axes))
    return Ordering((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))


def _reordered(grid: Grid, ordering: Ordering) -> Grid:
    """Return the true grid of ``ordering.apply(voxels)``."""
    shape = [grid.shape[axis] for axis in ordering.axes]
    linear = grid.lps_from_index[:3, list(ordering.axes)]
    first = np.where(ordering.flips, np.asarray(shape) - 1, 0)
    matrix = np.eye(4)
    matrix[:3, :3] = linear * np.where(ordering.flips, -1.0, 1.0)
    matrix[:3, 3] = grid.origin_mm + linear @ first
    return Grid((shape[0], shape[1], shape[2]), matrix, grid.frame)


def _straightened(grid: Grid) -> Grid:
    """Return the axis-aligned grid of the same shape, spacing and centre."""
    half_mm = grid.spacing_mm * (np.asarray(grid.shape) - 1) / 2
    return Grid.from_spacing(grid.shape, grid.spacing_mm, grid.centre_mm - half_mm[::-1], grid.frame)


def _box_around(grid: Grid) -> Grid:
    """Return an axis-aligned grid of about the same spacing that holds every voxel of ``grid``."""
    corners = grid.corners_mm()[:, list(_SHOWN_AXES)]
    low, high = corners.min(axis=0), corners.max(axis=0)
    count = np.maximum(1, np.ceil((high - low) / grid.spacing_mm - 1e-6)).astype(int)
    first = (low + high) / 2 - (count - 1) / 2 * grid.spacing_mm
    shape = (int(count[0]), int(count[1]), int(count[2]))
    return Grid.from_spacing(shape, grid.spacing_mm, first[::-1], grid.frame)
