"""Organs of a labelled animal carried over to another one, each with how far it is to be trusted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import AlignmentError, AlignmentRefusedError, FrameMismatchError, MeasurementError
from napari_mpi_track.imaging.frozen import get_state, set_state
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.images.deformable import align_deformable
from napari_mpi_track.registration.quality import checked
from napari_mpi_track.segmentation.carried_edges import expected_overlap

# An organ is named as one to look at below this expected overlap.
LOW_CONFIDENCE = 0.7
_VOXELS_AT_ONCE = 400_000
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class CarriedAtlas:
    """Organs carried over from an atlas.

    Attributes
    ----------
    organs
        On the grid of the anatomy they were carried to.
    confidence
        By organ, 0 to 1: the Dice overlap with the true organ that is to be expected, from how far the edges of
        this anatomy lie from the organ's outline.
    alignment
        From the anatomy (fixed) to the atlas (moving), with its evidence.
    missing
        Organs of the atlas that no voxel of the anatomy falls into.
    """

    organs: OrganLabels
    confidence: Mapping[str, float]
    alignment: Alignment
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "confidence", MappingProxyType(dict(self.confidence)))

    __getstate__ = get_state
    __setstate__ = set_state

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Organs to look at before they are used: those of an expected overlap below 0.7, the least certain first."""
        low = [(value, name) for name, value in self.confidence.items() if not value >= LOW_CONFIDENCE]
        return tuple(name for _, name in sorted(low))


def carry_atlas(
    anatomy: Volume,
    atlas_anatomy: Volume,
    atlas_organs: OrganLabels,
    *,
    model: str = "bspline",
    initial: Transform | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> CarriedAtlas:
    """Return the organs of an atlas on ``anatomy``, each with the overlap that is to be expected of it.

    The anatomy is aligned with the atlas affinely, then by a B-spline; every voxel takes the organ that holds most of
    it by linear interpolation of the organs.

    Parameters
    ----------
    anatomy
        The scan whose organs are wanted: CT or MR.
    atlas_anatomy, atlas_organs
        A scan of another animal (or of another day) and its organs; they lie in one frame.
    model
        "affine" or "bspline".
    initial
        Where points of the anatomy lie in the atlas, to start from.
    seed
        Of the alignment's sampling.
    progress, should_stop
        As of ``registration.align``.

    Raises
    ------
    AlignmentRefusedError
        If the alignment fails, or is so doubtful that the atlas may lie another way up.
    FrameMismatchError
        If the atlas and its organs name different frames.
    MeasurementError
        If the atlas holds no organ, or none of it falls into the anatomy.
    """
    if model not in ("affine", "bspline"):
        raise AlignmentError(f"an atlas is carried by an affine or bspline transform, not by '{model}'")
    if not atlas_organs.names:
        raise MeasurementError("the atlas holds no organ", file=atlas_organs.file, remedy="give labels of organs")
    frames = atlas_anatomy.grid.frame, atlas_organs.grid.frame
    if None not in frames and frames[0] != frames[1]:
        raise FrameMismatchError(
            f"the atlas lies in the frame '{frames[0]}', its organs in '{frames[1]}'",
            file=atlas_organs.file,
            remedy="give the organs that were drawn on this atlas",
        )
    share = 0.5 if model == "bspline" else 0.9
    alignment = align(
        anatomy,
        atlas_anatomy,
        method="intensity",
        model="affine",
        initial=initial,
        seed=seed,
        progress=None if progress is None else lambda part, doing: progress(share * part, doing),
        should_stop=should_stop,
    )
    if model == "bspline":
        alignment = _deformed(anatomy, atlas_anatomy, alignment, seed, progress, should_stop)
    if alignment.verdict is Verdict.FAILED:
        raise AlignmentRefusedError(
            f"the atlas could not be aligned with the anatomy: {alignment.reason}",
            file=anatomy.file,
            remedy="give a start, or an atlas of an animal scanned alike",
        )
    return carried(anatomy, atlas_anatomy, atlas_organs, alignment)


def _deformed(
    anatomy: Volume,
    atlas_anatomy: Volume,
    start: Alignment,
    seed: int,
    progress: Progress | None,
    should_stop: Callable[[], bool] | None,
) -> Alignment:
    """Return the affine alignment deformed by a B-spline; as it is, and saying so, where that would be implausible."""
    try:
        deformed = align_deformable(
            anatomy,
            atlas_anatomy,
            start,
            seed=seed,
            progress=None if progress is None else lambda part, doing: progress(0.5 + 0.4 * part, doing),
            should_stop=should_stop,
        )
    except AlignmentRefusedError as problem:
        return replace(start, warnings=(*start.warnings, f"the affine alignment is kept: {problem}"))
    return checked(deformed, anatomy, atlas_anatomy)


def carried(anatomy: Volume, atlas_anatomy: Volume, atlas_organs: OrganLabels, alignment: Alignment) -> CarriedAtlas:
    """Return the organs of an atlas under an alignment that there is already; arguments as of ``carry_atlas``."""
    organs = carry_organs(atlas_organs, alignment.moving_from_fixed, anatomy.grid)
    if not organs.names:
        raise MeasurementError(
            "no organ of the atlas falls into the anatomy", file=anatomy.file, remedy="check the alignment"
        )
    missing = tuple(name for name in atlas_organs.names.values() if name not in organs.names.values())
    confidence = {
        name: expected_overlap(organs.mask(name), anatomy, atlas_anatomy, alignment.moving_from_fixed)
        for name in organs.names.values()
    }
    return CarriedAtlas(organs, confidence, alignment, missing)


def carry_organs(labels: OrganLabels, moving_from_fixed: Transform, onto: Grid) -> OrganLabels:
    """Return ``labels`` on the grid ``onto``: every voxel takes the organ with the largest part of it, or none.

    The part of an organ is its indicator, linearly interpolated; outlines move by less than half a voxel where nearest
    neighbours leave steps.
    """
    names = list(labels.names)
    codes = np.searchsorted(np.array([0, *names]), labels.voxels).astype(np.int32)
    rimmed = np.pad(codes, 1)
    near = np.asarray(ndimage.maximum_filter(rimmed > 0, size=3))
    found = np.zeros(onto.shape, dtype=np.int32)
    for slab in _slabs(onto):
        points = moving_from_fixed.map(onto.lps_from(slab.reshape(-1, 3)))
        found[slab[0, 0, 0, 0] : slab[-1, 0, 0, 0] + 1] = _most_of(
            rimmed, near, labels.grid.index_from(points)
        ).reshape(slab.shape[:3])
    values = np.array([0, *names])
    voxels = values[found].astype(np.min_scalar_type(int(values.max())))
    return replace(labels, voxels=voxels, grid=onto)


def _slabs(grid: Grid) -> Any:
    deep = max(1, _VOXELS_AT_ONCE // int(np.prod(grid.shape[1:])))
    for first in range(0, grid.shape[0], deep):
        planes = np.arange(first, min(first + deep, grid.shape[0]))
        axes = (planes, np.arange(grid.shape[1]), np.arange(grid.shape[2]))
        yield np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _most_of(rimmed: NDArray[np.int32], near: NDArray[np.bool_], index: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the code that most of the eight neighbours' weight is of, at places in labels with a rim, shape (n,).

    ``near`` says, shape as ``rimmed``, from which voxels on a neighbour holds an organ: all others are left alone.
    """
    limit = np.asarray(rimmed.shape) - 2
    place = np.clip(index + 1, 0, limit + 1 - 1e-9)
    low = np.minimum(place.astype(np.intp), limit)
    found = np.zeros(len(index), dtype=np.int32)
    some = np.flatnonzero(near[tuple(low.T)])
    if not some.size:
        return found
    low, part = low[some], place[some] - low[some]
    corners = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    codes = np.stack([rimmed[low[:, 0] + a, low[:, 1] + b, low[:, 2] + c] for a, b, c in corners], axis=1)
    found[some] = codes[:, 0]
    # Within an organ all eight are of it: only at outlines are they weighed.
    mixed = np.flatnonzero((codes != codes[:, :1]).any(axis=1))
    if not mixed.size:
        return found
    codes, part = codes[mixed], part[mixed]
    weights = np.stack([np.prod(np.where(np.array(corner) == 1, part, 1 - part), axis=1) for corner in corners], axis=1)
    totals = np.einsum("nij,nj->ni", codes[:, :, None] == codes[:, None, :], weights)
    found[some[mixed]] = codes[np.arange(len(mixed)), np.argmax(totals, axis=1)]
    return found
