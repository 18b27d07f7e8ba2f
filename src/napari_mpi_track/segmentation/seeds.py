"""Organs grown from a few painted voxels each."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.foreground import between_blocks, block_average, block_grid, block_steps, finite_voxels
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume

BACKGROUND = "background"
# Edges are looked for after smoothing by this many of the finest voxels; finer ones are noise.
_SMOOTHED_VOXELS = 1.0
# The random walk takes some 1 kB a voxel: where the box holds more, it goes over blocks and is drawn between them.
_MOST_VOXELS = 250_000
_MARGIN_OF_SEEDS, _LEAST_MARGIN_MM = 0.35, 3.0
_WALK_BETA = 300.0
_SMOOTHED_BLOCKS = 0.7
_GREY_LEVELS, _GREY_BLUR, _LEAST_USUAL = 256, 8.0, 1e-4
_WALK_TOLERANCE = 1e-2
# Grey values far from those of the seeds (air, metal) would leave no contrast between organs.
_MARGIN_OF_GREY = 1.0

Box = tuple[slice, slice, slice]


class SeedMethod(StrEnum):
    """How organs grow from seeds."""

    WATERSHED = "watershed"
    RANDOM_WALKER = "random-walker"


def grow_seeds(volume: Volume, seeds: OrganLabels, method: SeedMethod | str = SeedMethod.RANDOM_WALKER) -> OrganLabels:
    """Return the organs that a few painted voxels each stand for, on the scan's grid, under the seeds' names.

    Seeds called "background" hold back the others and are left out of the result; without any, the whole scan is
    shared out among the organs. The same seeds give the same organs.

    Parameters
    ----------
    volume
        The anatomy, any modality.
    seeds
        Painted voxels on the scan's grid, two labels or more.
    method
        "watershed": up to the steepest edges of the scan; fast. "random-walker": to whichever seeds a walk that
        shuns edges comes first; bridges weak and broken edges, and needs more time.

    Raises
    ------
    GridMismatchError
        If the seeds lie on another grid.
    MeasurementError
        For fewer than two labels of seeds, or a method that there is not.

    Notes
    -----
    Watershed: Beucher & Meyer 1993, doi:10.1201/9781482277234-12. Random walker: Grady 2006,
    doi:10.1109/TPAMI.2006.233.
    """
    method = _known(method)
    if not seeds.grid.agrees_with(volume.grid):
        raise GridMismatchError(
            f"the seeds were painted on another grid ({seeds.grid!r}) than the scan's ({volume.grid!r})",
            file=seeds.file,
            remedy="paint them on this scan",
        )
    if len(seeds.names) < 2:
        painted = ", ".join(seeds.names.values()) or "nothing"
        raise MeasurementError(
            f"growing needs seeds of two labels or more, here there is {painted}",
            file=seeds.file,
            remedy=f"paint a few voxels of what the organ is not, and call them '{BACKGROUND}'",
        )
    names = dict(seeds.names)
    markers = np.searchsorted(np.array([0, *names]), seeds.voxels).astype(np.uint16)
    box = _box(markers, volume) if BACKGROUND in names.values() else tuple(slice(0, n) for n in markers.shape)
    grow = _watershed if method is SeedMethod.WATERSHED else _random_walk
    found = np.zeros_like(markers)
    found[box] = grow(finite_voxels(volume)[box], markers[box], volume)
    values = np.array([0, *(0 if name == BACKGROUND else value for value, name in names.items())])
    kept = {value: name for value, name in names.items() if name != BACKGROUND}
    voxels = values[found].astype(np.min_scalar_type(int(values.max())))
    return OrganLabels(voxels, volume.grid, kept, _colours(seeds, kept), file=volume.file)


def _known(method: SeedMethod | str) -> SeedMethod:
    try:
        return SeedMethod(method)
    except ValueError:
        raise MeasurementError(
            f"no way of growing seeds is called '{method}'", remedy=f"use {' or '.join(SeedMethod)}"
        ) from None


def _colours(seeds: OrganLabels, kept: Mapping[int, str]) -> dict[int, Any]:
    return {value: colour for value, colour in seeds.colours.items() if value in kept}


def _box(markers: NDArray[np.uint16], volume: Volume) -> Box:
    """Return the box around all seeds, with a margin: what lies beyond the background's seeds is background."""
    spans = []
    for axis, spacing in enumerate(volume.grid.spacing_mm):
        present = np.flatnonzero(markers.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = int(present[0]), int(present[-1]) + 1
        margin = int(np.ceil(max(_MARGIN_OF_SEEDS * (last - first), _LEAST_MARGIN_MM / spacing)))
        spans.append(slice(max(first - margin, 0), min(last + margin, markers.shape[axis])))
    return spans[0], spans[1], spans[2]


def _window(grey: NDArray[np.float32], markers: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the grey values cut to those near the seeds', 0 to 1."""
    seen = grey[markers > 0]
    low, high = float(seen.min()), float(seen.max())
    means = ndimage.mean(grey, markers, np.unique(markers[markers > 0]))
    margin = _MARGIN_OF_GREY * float(np.ptp(means))
    low, high = max(low, float(means.min()) - margin), min(high, float(means.max()) + margin)
    return np.asarray((np.clip(grey, low, high) - low) / max(high - low, 1e-30), dtype=np.float32)


def _watershed(voxels: NDArray[Any], markers: NDArray[np.uint16], volume: Volume) -> NDArray[np.uint16]:
    import SimpleITK as sitk

    spacing = tuple(float(s) for s in volume.grid.spacing_mm[::-1])
    grey = sitk.GetImageFromArray(_window(np.asarray(voxels, dtype=np.float32), markers))
    places = sitk.GetImageFromArray(markers)
    grey.SetSpacing(spacing)
    places.SetSpacing(spacing)
    sigma = _SMOOTHED_VOXELS * min(spacing)
    if min(voxels.shape) < 4:
        # The recursive filter needs four voxels along every axis.
        edges = sitk.GradientMagnitude(grey)
    else:
        edges = sitk.GradientMagnitudeRecursiveGaussian(grey, sigma)
    found = sitk.MorphologicalWatershedFromMarkers(edges, places, markWatershedLine=False, fullyConnected=False)
    return np.asarray(sitk.GetArrayFromImage(found), dtype=np.uint16)


def _random_walk(voxels: NDArray[Any], markers: NDArray[np.uint16], volume: Volume) -> NDArray[np.uint16]:
    from skimage.segmentation import random_walker

    steps = block_steps(replace(volume.grid, shape=voxels.shape), _MOST_VOXELS)
    grey = block_average(voxels, steps)
    seeds = _blocks_of_seeds(markers, steps)
    grid = block_grid(replace(volume.grid, shape=voxels.shape), steps)
    present = np.unique(seeds[seeds > 0])
    if len(present) < 2:
        raise MeasurementError(
            "the seeds are closer together than a random walk over so large a box can part",
            file=volume.file,
            remedy="paint more of them, or use the method watershed",
        )
    numbers = np.searchsorted(present, seeds) + (seeds > 0)
    smooth = ndimage.gaussian_filter(_window(grey, seeds), _SMOOTHED_BLOCKS)
    part = random_walker(
        smooth,
        numbers.astype(np.int32),
        beta=_WALK_BETA,
        mode="cg_j",
        tol=_WALK_TOLERANCE,
        return_full_prob=True,
        prob_tol=1.0,
        spacing=tuple(grid.spacing_mm / grid.spacing_mm.min()),
    )
    fine = ndimage.gaussian_filter(_window(np.asarray(voxels, dtype=np.float32), markers), _SMOOTHED_VOXELS)
    best, at_best = np.full(voxels.shape, -1.0, dtype=np.float32), np.zeros(voxels.shape, dtype=np.uint16)
    for label, chance in zip(present, part, strict=True):
        drawn = between_blocks(np.clip(chance, 0.0, 1.0).astype(np.float32), steps, voxels.shape)
        drawn *= _how_usual(fine, markers == label)
        is_better = drawn > best
        best[is_better] = drawn[is_better]
        at_best[is_better] = label
    # What a person painted stands, whatever the walk says.
    return np.asarray(np.where(markers > 0, markers, at_best))


def _how_usual(grey: NDArray[np.float32], seeds: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how usual every voxel's grey value (0 to 1) is among those of these seeds, density, shape as ``grey``."""
    counts = np.bincount((grey[seeds] * (_GREY_LEVELS - 1)).astype(int), minlength=_GREY_LEVELS).astype(float)
    density = ndimage.gaussian_filter1d(counts / counts.sum(), _GREY_BLUR, mode="nearest") + _LEAST_USUAL
    return np.take(density.astype(np.float32), (grey * (_GREY_LEVELS - 1)).astype(int))


def _blocks_of_seeds(markers: NDArray[np.uint16], steps: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Return a seed for every block that holds seeds: its largest label, of blocks that hold one label alone."""
    whole = tuple(slice(0, n // step * step) for n, step in zip(markers.shape, steps, strict=True))
    cut = markers[whole]
    shape = [n for count, step in zip(cut.shape, steps, strict=True) for n in (count // step, step)]
    blocks = cut.reshape(shape)
    highest = blocks.max(axis=(1, 3, 5))
    lowest = np.where(blocks > 0, blocks, np.iinfo(np.uint16).max).min(axis=(1, 3, 5))
    return np.where(highest == lowest, highest, 0).astype(np.uint16)
