"""Where the animal is: the body in a scan of its anatomy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import mode_and_spread_below
from napari_mpi_track.imaging.volume import Modality, Volume

# A body is found on blocks of voxels; finer detail than this many voxels says nothing about where the body is.
_MOST_VOXELS = 400_000
_AIR_BELOW_HU = -300.0
# Of the body in PET and SPECT, in voxels and in SDs of the background.
_EMISSION_BLUR_VOXELS = 2.5
_CLOSED_VOXELS = 4
# How far the blur carries what shines, and what part of all that stands out of the noise has to lie beyond for there
# to be a dimmer body around it: 0.44 or more in mice with labelled cells, 0.08 at most with FDG.
_EMISSION_REACH_VOXELS = 6
_LEAST_DIM = 0.2
_SURELY_LIT_SD = 5.0
_ABOVE_NOISE_SD = 3.0


def find_body(volume: Volume) -> NDArray[np.bool_]:
    """Return where the body is, shape as ``volume.grid.shape``: the largest bright piece, its holes filled.

    In a CT in Hounsfield units everything above -300 HU, in MR and the like everything above Otsu's threshold of the
    square roots (which keeps dim tissue), found on block averages of the scan. In PET and SPECT that threshold holds
    where all of the body shines (FDG: Dice overlap 0.89 to 0.90 in simulated mice). Where organs outshine it a hundred
    times, something stands out of the noise far beyond what is above the threshold; the body is then what stands out
    of the blurred background: of simulated mice with labelled cells to a Dice overlap of 0.6 to 0.8 (0.2 by the
    threshold), and its middle to 3 mm.

    Raises
    ------
    MeasurementError
        If the scan is constant, holds no finite voxel, or is an MPI scan, which shows no body.

    Notes
    -----
    Otsu 1979, doi:10.1109/TSMC.1979.4310076.
    """
    if volume.modality is Modality.MPI:
        raise MeasurementError("an MPI scan shows tracer, not the body", file=volume.file, remedy="use the anatomy")
    steps = block_steps(volume.grid, _MOST_VOXELS)
    coarse = block_average(finite_voxels(volume), steps)
    if volume.modality in (Modality.PET, Modality.SPECT):
        body = _emission_body(volume, coarse)
    else:
        body = _largest_piece(coarse > body_threshold(volume, coarse))
    if not body.any():
        raise MeasurementError("no body was found in the scan", file=volume.file, remedy="give a mask of the body")
    return _on_all_voxels(body, steps, volume.grid.shape)


def is_in_hounsfield_units(volume: Volume) -> bool:
    """Return whether the voxels are Hounsfield units: a CT, or a scan of unstated modality, with air far below 0.

    NIfTI states no modality, and nothing but Hounsfield units puts air at -1000.
    """
    if volume.modality not in (Modality.CT, None):
        return False
    return bool(np.nanmin(volume.voxels) < -500)


def block_steps(grid: Grid, most_voxels: int) -> tuple[int, int, int]:
    """Return how many voxels to join along plane, row and column, blocks as cubic as may be, for ``most_voxels``."""
    spacing = grid.spacing_mm
    edge = float(spacing.min())
    while True:
        steps = np.maximum(1, np.round(edge / spacing)).astype(int)
        steps = np.minimum(steps, grid.shape)
        if np.prod(np.asarray(grid.shape) // steps) <= most_voxels:
            return int(steps[0]), int(steps[1]), int(steps[2])
        edge *= 1.2


def block_average(voxels: NDArray[Any], steps: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return means over blocks of ``steps`` voxels, float32; what is left over at the far ends is dropped."""
    averaged = np.asarray(voxels)
    for axis, step in enumerate(steps):
        if step == 1:
            continue
        count = averaged.shape[axis] // step
        slabs = [averaged[_along(axis, start, count * step, step)] for start in range(step)]
        total = slabs[0].astype(np.float32)
        for slab in slabs[1:]:
            total += slab
        averaged = total / np.float32(step)
    return averaged.astype(np.float32, copy=False)


def between_blocks(
    values: NDArray[np.float32], steps: tuple[int, int, int], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return values of blocks of ``steps`` voxels on a scan of ``shape``, linear between the blocks' middles."""
    drawn = values
    for axis, (count, step) in enumerate(zip(shape, steps, strict=True)):
        last = values.shape[axis] - 1
        if step == 1:
            continue
        at = np.clip((np.arange(count) - (step - 1) / 2) / step, 0, last)
        low = np.minimum(at.astype(int), max(last - 1, 0))
        part = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        first = np.take(drawn, low, axis)
        drawn = first + part * (np.take(drawn, np.minimum(low + 1, last), axis) - first)
    return drawn


def block_grid(grid: Grid, steps: tuple[int, int, int]) -> Grid:
    """Return where the blocks of ``block_average`` lie."""
    matrix = grid.lps_from_index.copy()
    matrix[:3, :3] = grid.lps_from_index[:3, :3] * np.asarray(steps)
    matrix[:3, 3] = grid.lps_from((np.asarray(steps) - 1) / 2)
    planes, rows, columns = (n // step for n, step in zip(grid.shape, steps, strict=True))
    return Grid((planes, rows, columns), matrix, grid.frame)


def body_centre_mm(body: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Return the centre of mass of the body, LPS mm, shape (3,)."""
    return grid.lps_from([float(c) for c in ndimage.center_of_mass(body)])


def otsu_threshold(values: NDArray[Any], bins: int = 256) -> float:
    """Return the value that parts ``values`` into two classes of least variance (Otsu 1979)."""
    counts, edges = np.histogram(values, bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1].astype(float)
    above = counts.sum() - below
    total_below = np.cumsum(counts * centres)[:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = total_below / below - ((counts * centres).sum() - total_below) / above
    between = np.nan_to_num(below * above * difference**2)
    # A plateau of equally good thresholds (an empty gap between the classes) is cut in its middle.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(edges[1 + int(np.median(best))])


def finite_voxels(volume: Volume) -> NDArray[Any]:
    """Return the voxels with NaN and infinity as the lowest finite value; ``MeasurementError`` if none is finite."""
    voxels = volume.voxels
    if voxels.dtype.kind in "biu":
        return voxels
    finite = np.isfinite(voxels)
    if not finite.any():
        raise MeasurementError("the scan holds no finite voxel", file=volume.file, remedy="check the file")
    return voxels if finite.all() else np.where(finite, voxels, voxels[finite].min())


def body_threshold(volume: Volume, coarse: NDArray[np.float32]) -> float:
    """Return the value that parts body from air, by block averages of the scan; ``MeasurementError`` if constant."""
    low, high = float(coarse.min()), float(np.percentile(coarse, 99.5))
    if not high > low:
        high = float(coarse.max())
    if not high > low:
        raise MeasurementError("the scan is constant: it shows no body", file=volume.file, remedy="check the file")
    if is_in_hounsfield_units(volume) and low < _AIR_BELOW_HU:
        return _AIR_BELOW_HU
    roots = np.sqrt(np.clip(coarse, low, high) - low)
    return low + otsu_threshold(roots) ** 2


def _along(axis: int, start: int, stop: int, step: int) -> tuple[slice, ...]:
    return tuple(slice(start, stop, step) if a == axis else slice(None) for a in range(3))


def _emission_body(volume: Volume, coarse: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the body of an emission scan: what shines where all of it does (FDG), else what stands out of noise."""
    threshold = body_threshold(volume, coarse)
    high = float(coarse.max())
    background, sd = mode_and_spread_below(coarse.astype(np.float64))
    # A lit organ's blur would reach far beyond the body, so it counts for no more than what is surely not noise.
    ceiling = background + (_SURELY_LIT_SD * sd if sd > 0 else 0.01 * (high - background))
    blurred = ndimage.gaussian_filter(np.minimum(coarse, np.float32(ceiling)), _EMISSION_BLUR_VOXELS)
    around, spread = mode_and_spread_below(blurred.astype(np.float64))
    lit = _largest_piece(blurred > around + max(_ABOVE_NOISE_SD * spread, 0.05 * (ceiling - background)))
    if not lit.any():
        return lit
    shining = _largest_piece(coarse > threshold)
    around_it = ndimage.binary_dilation(shining, iterations=_EMISSION_REACH_VOXELS)
    if threshold > ceiling and np.count_nonzero(lit & ~around_it) < _LEAST_DIM * np.count_nonzero(lit):
        return shining
    # The blur of a bright body reaches beyond it; its outline is where half of it has gone.
    outline = around + 0.5 * (float(np.median(blurred[lit])) - around)
    margin = _CLOSED_VOXELS
    # Padded, since closing eats what touches the edge of the field.
    piece = np.pad(_largest_piece(lit & (blurred > outline)), margin)
    closed = ndimage.binary_closing(piece, iterations=margin)[(slice(margin, -margin),) * 3]
    return np.asarray(ndimage.binary_fill_holes(closed))


def _largest_piece(bright: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(bright)
    if count == 0:
        return bright
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    body = pieces == int(np.argmax(sizes))
    # Lungs and gut open to the outside at the ends of the field, so holes are filled plane by plane as well.
    body = np.asarray(ndimage.binary_fill_holes(body))
    for plane in body:
        plane[...] = ndimage.binary_fill_holes(plane)
    return body


def _on_all_voxels(
    blocks: NDArray[np.bool_], steps: tuple[int, int, int], shape: tuple[int, int, int]
) -> NDArray[np.bool_]:
    index = [np.minimum(np.arange(n) // step, m - 1) for n, step, m in zip(shape, steps, blocks.shape, strict=True)]
    return blocks[np.ix_(*index)]
