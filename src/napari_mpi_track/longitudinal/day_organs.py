"""The organs that serve a day: drawn that day or carried there from another, then corrected, then approved."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import FrameMismatchError, MeasurementError, MpiTrackError
from napari_mpi_track.imaging.approval import is_as_approved
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.label_edits import LabelEdits
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.longitudinal.study import Study, Timepoint
from napari_mpi_track.readers.organs import read_organ_names, read_organs
from napari_mpi_track.registration.resample import resample_organs

# Organs are laid out finer up to so many voxels, a byte each as a rule.
_MOST_VOXELS = 40_000_000


def read_day_organs(study: Study, timepoint: Timepoint, frame: str, file_frame: str | None) -> OrganLabels:
    """Return the organs drawn on a timepoint, in ``frame``, with what was painted over them there.

    ``file_frame`` is what the files of the scan they were drawn on call their frame.

    Raises
    ------
    FrameMismatchError
        If the labels' own file names another frame than the scan's.
    MpiTrackError
        If the labels or the edits cannot be read, or the edits were painted on another grid.
    """
    assert timepoint.organs is not None
    names = None if study.organ_names is None else read_organ_names(study.organ_names)
    organs = read_organs(timepoint.organs, names)
    if None not in (organs.grid.frame, file_frame) and organs.grid.frame != file_frame:
        raise FrameMismatchError(
            f"the organs lie in the frame of reference {organs.grid.frame}, the scan they were to be drawn on in"
            f" {file_frame}",
            file=timepoint.organs,
            remedy="give the segmentation of this scan; if the frames are one all the same, convert it to NIfTI",
        )
    corrected = with_edits(organs.in_frame(frame), timepoint.organ_edits)
    require_an_organ(corrected)
    return corrected


def require_an_organ(organs: OrganLabels) -> None:
    """Raise ``MeasurementError`` if no voxel of the labels is of an organ."""
    if not organs.names:
        raise MeasurementError(
            "the labels hold no organ: every voxel is 0",
            file=organs.file,
            remedy="draw the organs, or leave the file out",
        )


def with_edits(organs: OrganLabels, edits: Path | None) -> OrganLabels:
    """Return organs with the edits of a file over them; as they are where there is none."""
    if edits is None:
        return organs
    painted = LabelEdits.from_labels(read_organs(edits)).in_frame(organs.grid.frame)
    try:
        return painted.applied_to(organs)
    except MpiTrackError as fault:
        raise type(fault)(fault.what, file=edits, remedy=fault.remedy) from fault


def carried_onto(organs: OrganLabels, by: Transform, grid: Grid) -> OrganLabels:
    """Return organs of another day on the grid of this day's anatomy, to be looked at and painted on.

    Each voxel takes the nearest of the organs' voxels; ``by`` leads from the organs to this day.
    """
    return resample_organs(organs, by.inverse_for_looking(), grid)


def carried_back(organs: OrganLabels, by: Transform, carried: OrganLabels, drawn: OrganLabels) -> OrganLabels:
    """Return another day's organs on their own grid, changed as they were ``drawn`` over on this day.

    Measured from there, what was not touched has the very outlines of that day: a grid that the organs are carried
    to shifts all their edges alike by up to half a voxel, which doubled the error of a correction for blur.

    Parameters
    ----------
    organs, by
        The other day's organs, and the way from them to this day.
    carried, drawn
        The same on this day's grid, before and after what was painted there.
    """
    voxels, names = _named_as(organs, carried, drawn)
    whole = replace(organs, voxels=voxels, names=names)
    changed = np.argwhere(carried.voxels != drawn.voxels)
    if not changed.size:
        return whole
    about = whole.grid.index_from(by.inverse_for_looking().map(drawn.grid.lps_from(changed)))
    low, high = np.floor(about.min(axis=0)).astype(int) - 1, np.ceil(about.max(axis=0)).astype(int) + 2
    grid, voxels, low, high = _finer(whole, low, high)
    rows, columns = np.arange(low[1], high[1]), np.arange(low[2], high[2])
    for plane in range(low[0], high[0]):
        place = np.stack(np.meshgrid([plane], rows, columns, indexing="ij"), axis=-1).reshape(-1, 3)
        there = drawn.grid.index_from(by.map(grid.lps_from(place)))
        voxels[tuple(place.T)] = _followed(voxels[tuple(place.T)], there, carried, drawn)
    for gone in carried.names.keys() - drawn.names.keys():
        voxels[voxels == gone] = 0
    voxels.flags.writeable = False
    return replace(whole, voxels=voxels, grid=grid, names=names)


def _named_as(organs: OrganLabels, carried: OrganLabels, drawn: OrganLabels) -> tuple[NDArray[Any], Mapping[int, str]]:
    """Return a copy of organs' voxels, and all names as they are drawn now.

    An organ that did not come into this day's field stays, under a number that no drawn one has.
    """
    voxels = organs.voxels.astype(np.min_scalar_type(max([*organs.names, *drawn.names, 0]) + len(organs.names)))
    names = {**carried.names, **drawn.names}
    for value in organs.names.keys() - carried.names.keys():
        name = organs.names[value]
        now = next((other for other, called in names.items() if called == name), value)
        if names.get(now, name) != name:
            now = max([*names, *organs.names]) + 1
        voxels[organs.voxels == value] = now
        names[now] = name
    return voxels, names


def _finer(
    organs: OrganLabels, low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[Grid, NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return a finer grid over all organs and the voxels from ``low`` to ``high``, the organs on it, and both ends.

    Strokes lie on another grid: on a fine one they come the less out of place, as far as memory allows.
    """
    across = ((1, 2), (0, 2), (0, 1))
    inside = [np.flatnonzero(organs.voxels.any(axis=axes)) for axes in across]
    first, last = low, high
    if inside[0].size:
        first = np.minimum(low, [places[0] for places in inside])
        last = np.maximum(high, [places[-1] + 1 for places in inside])
    times = next((n for n in (4, 3, 2) if n**3 * int(np.prod(last - first)) <= _MOST_VOXELS), 1)
    start, end = np.maximum(first, 0), np.minimum(last, organs.grid.shape)
    voxels = np.zeros(last - first, dtype=organs.voxels.dtype)
    block = tuple(slice(a, max(a, b)) for a, b in zip(start - first, end - first, strict=True))
    voxels[block] = organs.voxels[tuple(slice(a, max(a, b)) for a, b in zip(start, end, strict=True))]
    for axis in range(3):
        voxels = voxels.repeat(times, axis=axis)
    matrix = organs.grid.lps_from_index.copy()
    matrix[:3, :3] /= times
    matrix[:3, 3] = organs.grid.lps_from(first - 0.5 + 0.5 / times)
    grid = replace(organs.grid, shape=voxels.shape, lps_from_index=matrix)
    return grid, voxels, times * (low - first), times * (high - first)


def _followed(own: NDArray[Any], there: NDArray[np.float64], carried: OrganLabels, drawn: OrganLabels) -> NDArray[Any]:
    """Return the labels of voxels that lie ``there`` (index on the painted grid), shape (n,), as they are now.

    Each follows the nearest painted voxel, of those about it, that was carried as its own label: else a rim would
    stay of what was erased, and a rim of the air round it would become part of what an organ is joined with.
    """
    now = own.copy()
    nearest = np.rint(there).astype(int)
    waiting = np.flatnonzero(((nearest >= 0) & (nearest < drawn.grid.shape)).all(axis=1))
    offsets = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    at = np.ravel_multi_index(tuple(nearest[waiting].T), drawn.grid.shape)
    is_same = carried.voxels.reshape(-1)[at] == own[waiting]
    now[waiting[is_same]] = drawn.voxels.reshape(-1)[at[is_same]]
    waiting = waiting[~is_same]
    distance = np.full(len(waiting), np.inf)
    for offset in offsets[np.any(offsets != 0, axis=1)]:
        beside = nearest[waiting] + offset
        away = np.linalg.norm((beside - there[waiting]) * drawn.grid.spacing_mm, axis=1)
        is_inside = ((beside >= 0) & (beside < drawn.grid.shape)).all(axis=1)
        at = np.ravel_multi_index(tuple(np.where(is_inside[:, None], beside, 0).T), drawn.grid.shape)
        is_nearer = is_inside & (away < distance) & (carried.voxels.reshape(-1)[at] == own[waiting])
        now[waiting[is_nearer]] = drawn.voxels.reshape(-1)[at[is_nearer]]
        distance[is_nearer] = away[is_nearer]
    return now


def approvals_told(timepoint: Timepoint, organs: OrganLabels) -> tuple[list[str], list[str]]:
    """Return warnings about approved organs that have changed since or are gone, and notes of those that stand."""
    warnings: list[str] = []
    notes: list[str] = []
    for organ, approval in timepoint.approved.items():
        if organ not in organs.names.values():
            warnings.append(f"organ '{organ}' was approved by {approval} and is not there any more")
            continue
        stands = is_as_approved(organs, organ, approval)
        if stands is None:
            notes.append(f"organ '{organ}': approved by {approval}; no fingerprint was kept, so changes go unnoticed")
        elif stands:
            notes.append(f"organ '{organ}': approved by {approval}, unchanged since")
        else:
            warnings.append(f"organ '{organ}' was approved by {approval} but has changed since")
    return warnings, notes
