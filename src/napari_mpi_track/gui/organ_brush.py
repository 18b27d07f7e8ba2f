"""A round brush in mm: which voxels it covers, in one plane or as a ball."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.imaging.grid import Grid


def brushed(grid: Grid, path_mm: ArrayLike, radius_mm: float, plane: ArrayLike | None = None) -> NDArray[np.int64]:
    """Return the flat voxels that a brush drawn along a path covers, each once.

    Parameters
    ----------
    grid
        Of the labels that are painted.
    path_mm
        Where the brush went, LPS mm, shape (n, 3): straight from each point to the next.
    radius_mm
        Of the brush.
    plane
        LPS direction, shape (3,), across which one layer of voxels is painted; ``None`` paints balls.
    """
    path = np.atleast_2d(np.asarray(path_mm, dtype=np.float64))
    reach = radius_mm + grid.spacing_mm.max()
    ends = np.array([path.min(axis=0) - reach, path.max(axis=0) + reach])
    corners = [(ends[a, 0], ends[b, 1], ends[c, 2]) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    box = grid.index_from(corners)
    low = np.maximum(np.floor(box.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(box.max(axis=0)).astype(int) + 1, grid.shape)
    if np.any(low >= high):
        return np.zeros(0, dtype=np.int64)
    ranges = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    index = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    centres = grid.lps_from(index)
    away = None if plane is None else np.asarray(plane, dtype=np.float64)
    if away is not None:
        # One layer: the voxels that the plane itself passes through.
        thickness = float(np.abs(grid.directions.T @ away) @ grid.spacing_mm)
        depth = (centres - path[0]) @ away
        is_near = (depth > -thickness / 2 - 1e-9) & (depth <= thickness / 2 - 1e-9)
        index, centres = index[is_near], centres[is_near]
    is_covered = _distance_mm(centres, path, away) <= radius_mm
    return np.asarray(np.ravel_multi_index(tuple(index[is_covered].T), grid.shape), dtype=np.int64)


def _distance_mm(
    points: NDArray[np.float64], path: NDArray[np.float64], away: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return how far points lie from a path of straight pieces; in a plane, without their depth."""
    nearest = np.full(len(points), np.inf)
    starts, ends = (path, path) if len(path) == 1 else (path[:-1], path[1:])
    for start, end in zip(starts, ends, strict=True):
        along = end - start
        length = float(along @ along)
        part = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
        arm = points - (start + part[:, None] * along)
        if away is not None:
            arm = arm - (arm @ away)[:, None] * away
        nearest = np.minimum(nearest, np.linalg.norm(arm, axis=1))
    return nearest
