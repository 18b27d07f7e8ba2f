"""The voxels that are painted on: one array that napari's layer and the three views share, and what changed in it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.gui.display_grid import display_grid
from napari_mpi_track.gui.organ_draft import OrganDraft, edited_in_either, labels_at, voxels_of
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.registration.resample import resample_organs

_BYTES_AT_ONCE = 8


class WorkingLabels:
    """A draft's organs as an array to be painted on.

    ``voxels`` lie in the acquired order. ``shown`` is what napari draws and paints: a view of the same memory, or,
    for organs on an oblique grid, an upright copy whose painted voxels are carried over by their nearest neighbours.
    ``counts`` are the voxels of every label.
    """

    def __init__(self, draft: OrganDraft) -> None:
        self._draft = draft
        self.voxels = voxels_of(draft)
        self._kept = self.voxels.copy()
        self.counts = _counted(self.voxels)
        display = display_grid(draft.base.grid)
        self.shown_grid = display.grid
        self._ordering = display.ordering
        self.shown: NDArray[Any] = self._as_shown()
        self._kept_shown = None if self.is_shared else self.shown.copy()

    @property
    def is_shared(self) -> bool:
        """Whether what is drawn is the very memory of ``voxels``."""
        return self._ordering is not None

    @property
    def grid(self) -> Grid:
        """The grid of ``voxels``."""
        return self._draft.base.grid

    def take_painted(self) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
        """Return the voxels painted since this was asked last (flat, acquired order), their labels before and now."""
        if self._kept_shown is not None:
            self._carry_painted(self._kept_shown)
        voxel = differing(self.voxels, self._kept)
        before, now = self._kept.reshape(-1)[voxel], self.voxels.reshape(-1)[voxel]
        self._kept.reshape(-1)[voxel] = now
        _recount(self.counts, before, now)
        self._show_changed(voxel)
        return voxel, before, now

    def painted_so_far(self) -> tuple[NDArray[np.int64], NDArray[Any], dict[int, int]]:
        """Return what :meth:`take_painted` would, voxels and labels, in the midst of a stroke, and the counts with it.

        On an oblique grid that is nothing: strokes are carried over when they end.
        """
        voxel = differing(self.voxels, self._kept)
        before, now = self._kept.reshape(-1)[voxel], self.voxels.reshape(-1)[voxel]
        counts = dict(self.counts)
        _recount(counts, before, now)
        return voxel, now, counts

    def put(self, voxel: NDArray[np.int64], value: NDArray[Any]) -> None:
        """Give voxels labels; they count as kept."""
        _recount(self.counts, self._kept.reshape(-1)[voxel], value)
        for array in (self.voxels, self._kept):
            array.reshape(-1)[voxel] = value
        self._show_changed(voxel)

    def show(self, draft: OrganDraft) -> NDArray[np.int64]:
        """Bring the array to what a draft says, the labels on the same grid; return the voxels that changed."""
        old, self._draft = self._draft, draft
        if draft.base is old.base:
            asked = edited_in_either(old, draft)
            target = labels_at(draft, asked).astype(self.voxels.dtype)
            is_new = self._kept.reshape(-1)[asked] != target
            voxel, value = asked[is_new], target[is_new]
        else:
            whole = voxels_of(draft).astype(self.voxels.dtype, copy=False)
            voxel = differing(whole, self._kept)
            value = whole.reshape(-1)[voxel]
        self.put(voxel, value)
        return np.asarray(voxel, dtype=np.int64)

    def can_show(self, draft: OrganDraft) -> bool:
        """Return whether a draft's labels lie on the same grid, and fit into the array."""
        highest = max(draft.names, default=0)
        return draft.base.grid is self.grid or (
            draft.base.grid.agrees_with(self.grid) and highest <= np.iinfo(self.voxels.dtype).max
        )

    def _as_shown(self) -> NDArray[Any]:
        if self._ordering is not None:
            return self._ordering.apply(self.voxels)
        whole = OrganLabels(self.voxels, self.grid)
        return resample_organs(whole, _stay(self.grid), self.shown_grid).voxels.astype(self.voxels.dtype, copy=True)

    def _carry_painted(self, kept: NDArray[Any]) -> None:
        """Carry what was painted on the upright copy to the organs' own voxels."""
        painted = differing(self.shown, kept)
        own, nearest = _looking_up(self.grid, self.shown_grid, painted)
        is_painted = np.isin(nearest, painted)
        self.voxels.reshape(-1)[own[is_painted]] = self.shown.reshape(-1)[nearest[is_painted]]
        kept.reshape(-1)[painted] = self.shown.reshape(-1)[painted]

    def _show_changed(self, voxel: NDArray[np.int64]) -> None:
        """Carry changes of the organs' own voxels to the upright copy."""
        if self._kept_shown is None or not voxel.size:
            return
        seen, nearest = _looking_up(self.shown_grid, self.grid, voxel)
        is_changed = np.isin(nearest, voxel)
        for array in (self.shown, self._kept_shown):
            array.reshape(-1)[seen[is_changed]] = self.voxels.reshape(-1)[nearest[is_changed]]


def differing(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.int64]:
    """Return the flat places (C order) in which two arrays of one shape and type differ.

    Eight bytes are compared at once: 18 million voxels in 3 ms instead of 35.
    """
    flat, beside = one.reshape(-1), other.reshape(-1)
    each = _BYTES_AT_ONCE // flat.itemsize
    whole = flat.size // each * each
    words = np.flatnonzero(flat[:whole].view(np.uint64) != beside[:whole].view(np.uint64))
    near = (words[:, None] * each + np.arange(each)).reshape(-1)
    near = np.concatenate([near, np.arange(whole, flat.size)])
    return np.asarray(near[flat[near] != beside[near]], dtype=np.int64)


def _recount(counts: dict[int, int], before: NDArray[Any], now: NDArray[Any]) -> None:
    for labels, sign in ((before, -1), (now, 1)):
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            counts[int(label)] = counts.get(int(label), 0) + sign * int(count)


def _counted(voxels: NDArray[Any]) -> dict[int, int]:
    """Return how many voxels each label has; plane by plane, so that little memory is needed."""
    counts: dict[int, int] = {}
    for plane in voxels:
        # Labels as large as an atlas pleases cannot be counted in a row of boxes.
        if plane.dtype.itemsize <= 2:
            boxes = np.bincount(plane.reshape(-1))
            found = zip(np.flatnonzero(boxes), boxes[boxes > 0], strict=True)
        else:
            found = zip(*np.unique(plane, return_counts=True), strict=True)
        for label, count in found:
            counts[int(label)] = counts.get(int(label), 0) + int(count)
    return counts


def _looking_up(grid: Grid, other: Grid, voxel: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the voxels of ``grid`` about those of ``other``, and the nearest voxel of ``other`` to each (flat)."""
    if not voxel.size:
        return voxel, voxel
    at = np.stack(np.unravel_index(voxel, other.shape), axis=-1)
    ends = np.array([at.min(axis=0) - 1, at.max(axis=0) + 1])
    corners = [(ends[a, 0], ends[b, 1], ends[c, 2]) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    box = grid.index_from(other.lps_from(corners))
    low = np.maximum(np.floor(box.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(box.max(axis=0)).astype(int) + 1, grid.shape)
    ranges = [np.arange(a, max(a, b)) for a, b in zip(low, high, strict=True)]
    index = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    there = np.rint(other.index_from(grid.lps_from(index))).astype(int)
    is_inside = ((there >= 0) & (there < other.shape)).all(axis=1)
    own = np.ravel_multi_index(tuple(index[is_inside].T), grid.shape)
    return own, np.ravel_multi_index(tuple(there[is_inside].T), other.shape)


def _stay(grid: Grid) -> Transform:
    return Transform.identity(grid.frame, grid.frame)
