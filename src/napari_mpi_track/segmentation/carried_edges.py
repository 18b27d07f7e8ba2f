"""How far a carried organ's outline lies from the edges of the scan it was carried to."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from napari_mpi_track.imaging.foreground import finite_voxels, is_in_hounsfield_units
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume

# Lines across the outline are compared in samples of this many voxels, over so many to either side.
_STEP_VOXELS = 0.5
_HALF_SEEN, _HALF_TRIED = 6, 8
_MOST_POINTS = 600
# One line is noise; so many neighbours on the outline are asked together.
_NEIGHBOURS = 12
_LEAST_LIKENESS = 0.5
# Of simulated mice: bones, which meet to within this, and organs whose outline is hidden in parts.
_LEAST_VOXELS = 0.22
_UNSEEN_OF_SEEN = 2.0
_CT_RANGE_HU = (-1000.0, 1000.0)


def expected_overlap(organ: NDArray[np.bool_], anatomy: Volume, atlas: Volume, atlas_from_anatomy: Transform) -> float:
    """Return the Dice overlap with the true organ that is to be expected of a carried ``organ``, 0 to 1.

    Every part of the outline that lies d off the true one puts its area times d into one organ and not into the other:
    Dice is 1 - area x mean |d| / (2 x volume). d is ``outline_shift``, no less than 0.22 of a voxel (what voxels
    leave of thin bones); where the scan shows no edge it is taken for twice the mean elsewhere.

    Notes
    -----
    Dice 1945, doi:10.2307/1932409. Its truth by simulated mice: benchmarks/atlas.py.
    """
    shift = np.abs(outline_shift(organ, anatomy, atlas, atlas_from_anatomy))
    seen = np.isfinite(shift)
    if not seen.any():
        return 0.0
    grid = anatomy.grid
    least_mm = _LEAST_VOXELS * float(np.cbrt(grid.voxel_volume_mm3))
    off_mm = np.hypot(np.where(seen, shift, _UNSEEN_OF_SEEN * float(shift[seen].mean())), least_mm)
    faces = sum(
        np.count_nonzero(np.diff(organ, axis=axis)) * grid.voxel_volume_mm3 / grid.spacing_mm[axis] for axis in range(3)
    )
    # Faces of voxels are half as much again as a smooth surface in all directions.
    area = float(faces) * 2 / 3
    volume = float(np.count_nonzero(organ)) * grid.voxel_volume_mm3
    return float(np.clip(1 - area * off_mm.mean() / (2 * volume), 0.0, 1.0))


def outline_shift(
    organ: NDArray[np.bool_], anatomy: Volume, atlas: Volume, atlas_from_anatomy: Transform
) -> NDArray[np.float64]:
    """Return how far outside the outline of ``organ`` the edges of ``anatomy`` lie, mm, shape (places,).

    NaN where the scan shows no edge like the atlas's. Grey values along lines across the outline are compared with
    those of the atlas along the carried lines: by correlation within one modality, by that of their steepness across
    two.
    """
    grid = anatomy.grid
    finest = float(grid.spacing_mm.min())
    box = tuple(slice(max(s.start - 3, 0), s.stop + 3) for s in ndimage.find_objects(organ.astype(np.uint8))[0])
    part = organ[box]
    rim = np.argwhere(part & ~ndimage.binary_erosion(part, border_value=1))
    smooth = ndimage.gaussian_filter(part.astype(np.float32), 1.2 * finest / grid.spacing_mm)
    slopes = np.stack([np.gradient(smooth, s, axis=a)[tuple(rim.T)] for a, s in enumerate(grid.spacing_mm)], axis=1)
    steep = np.linalg.norm(slopes, axis=1)
    has_normal = steep > 1e-4
    rim, slopes, steep = rim[has_normal], slopes[has_normal], steep[has_normal]
    chosen = slice(None, None, max(1, len(rim) // _MOST_POINTS))
    normals = -(slopes[chosen] / steep[chosen, None]) @ grid.directions.T
    places = grid.lps_from(rim[chosen] + [s.start for s in box])
    step = _STEP_VOXELS * finest
    reach = _HALF_SEEN + _HALF_TRIED
    along = np.arange(-reach, reach + 1) * step
    lines = places[:, None, :] + along[None, :, None] * normals[:, None, :]
    here = _grey_at(anatomy, lines)
    there = _grey_at(atlas, atlas_from_anatomy.map(lines[:, _HALF_TRIED:-_HALF_TRIED]))
    if anatomy.modality is not atlas.modality or anatomy.modality is None:
        here, there = np.abs(np.gradient(here, axis=1)), np.abs(np.gradient(there, axis=1))
    likeness = _likeness(here, there)
    near = KDTree(places).query(places, min(_NEIGHBOURS, len(places)))[1]
    likeness = likeness[near.reshape(len(places), -1)].mean(axis=1)
    best = np.argmax(likeness, axis=1)
    found = (best - _HALF_TRIED) * step
    return np.where(likeness.max(axis=1) > _LEAST_LIKENESS, found, np.nan)


def _grey_at(volume: Volume, points: NDArray[np.float64]) -> NDArray[np.float64]:
    index = np.moveaxis(volume.grid.index_from(points), -1, 0)
    low = np.maximum(np.floor(index.reshape(3, -1).min(axis=1)).astype(int) - 4, 0)
    high = np.minimum(np.ceil(index.reshape(3, -1).max(axis=1)).astype(int) + 5, volume.grid.shape)
    box = tuple(slice(a, max(b, a + 1)) for a, b in zip(low, high, strict=True))
    voxels = np.asarray(finite_voxels(volume)[box], dtype=np.float32)
    if is_in_hounsfield_units(volume):
        voxels = np.clip(voxels, *_CT_RANGE_HU)
    smooth = ndimage.gaussian_filter(voxels, 0.7)
    return np.asarray(
        ndimage.map_coordinates(smooth, index - low.reshape(3, 1, 1), order=1, mode="nearest"), dtype=np.float64
    )


def _likeness(here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of every line of the atlas with the anatomy's at every shift, shape (n, shifts)."""
    windows = np.lib.stride_tricks.sliding_window_view(here, there.shape[1], axis=1)
    apart = windows - windows.mean(axis=2, keepdims=True)
    other = there - there.mean(axis=1, keepdims=True)
    shared = np.einsum("nsk,nk->ns", apart, other)
    size = np.linalg.norm(apart, axis=2) * np.linalg.norm(other, axis=1)[:, None]
    return np.asarray(shared / np.maximum(size, 1e-9))
