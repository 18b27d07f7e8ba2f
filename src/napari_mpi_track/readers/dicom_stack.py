"""Slices of one kind into volumes: which belong to one moment, in which order, and where they lie."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.readers.dicom_facts import number
from napari_mpi_track.readers.dicom_files import Slice

# Parts of the distance between slices: what is rounding, and what is another slice's place.
_ROUNDING = 0.01
_UNEVEN = 0.1
_SAME_PLACE_MM = 1e-3


def split_by_time(group: list[Slice]) -> list[list[Slice]]:
    """Return the slices of each moment, in order of time; one list where no position is taken twice.

    Raises
    ------
    UnreadableScanError
        If positions are taken twice and nothing tells the images apart in equal, complete sets.
    """
    if len(group) < 2 or any(one.position_mm is None for one in group):
        return [group]
    places = [_place_key(one) for one in group]
    count = len(set(places))
    if count == len(group):
        return [group]
    tellers: list[Callable[[Slice], Any]] = [
        lambda one: one.temporal,
        lambda one: one.reference_ms,
        lambda one: one.acquired,
        lambda one: one.acquisition,
    ]
    for teller in tellers:
        moments: dict[Any, list[Slice]] = defaultdict(list)
        for one in group:
            moments[teller(one)].append(one)
        if None not in moments and all(_is_complete(stack, count) for stack in moments.values()):
            return [moments[key] for key in sorted(moments)]
    return _by_rank(group, count)


def _by_rank(group: list[Slice], count: int) -> list[list[Slice]]:
    """Return the first, second, ... image of every position, by instance number."""
    at: dict[Any, list[Slice]] = defaultdict(list)
    for one in sorted(group, key=lambda one: one.instance):
        at[_place_key(one)].append(one)
    depths = {len(stack) for stack in at.values()}
    distinct = len({one.instance for one in group}) == len(group)
    if len(depths) > 1 or not distinct:
        raise UnreadableScanError(
            f"{len(group)} slices at {count} positions: some positions are taken twice and nothing tells which image "
            "belongs to which volume",
            file=group[0].file.path,
            remedy="separate them into folders",
        )
    return [[stack[rank] for stack in at.values()] for rank in range(depths.pop())]


def _is_complete(stack: Sequence[Slice], count: int) -> bool:
    return len(stack) == count and len({_place_key(one) for one in stack}) == count


def _place_key(one: Slice) -> tuple[int, ...]:
    assert one.position_mm is not None
    return tuple(int(value) for value in np.round(one.position_mm / _SAME_PLACE_MM / 10))


def placed(stack: list[Slice], spacing_mm: tuple[float, ...] | None) -> tuple[list[Slice], Grid, bool, list[str]]:
    """Return slices in order along the normal, their grid, whether the thickness is known, and what is not sure.

    Column 0 (plane) of the grid's matrix is (last - first position) / (slices - 1), so a gantry tilt stays as shear.

    Raises
    ------
    UnreadableScanError
        If slices are missing or unevenly placed, or spacing or positions are not stated.
    """
    first = stack[0]
    warnings: list[str] = []
    spacing = first.spacing_mm or (None if spacing_mm is None else (spacing_mm[-2], spacing_mm[-1]))
    if spacing is None:
        raise UnreadableScanError(
            "PixelSpacing (0028,0030) is not stated", file=first.file.path, remedy="give --spacing-mm plane,row,column"
        )
    axes = first.orientation
    if axes is None:
        axes = np.eye(3)[:2]
        warnings.append("orientation unknown: ImageOrientationPatient is not stated")
    normal = np.cross(axes[0], axes[1])
    stack, positions = _ordered(stack, normal, spacing_mm, warnings)
    step, has_thickness = _step(stack, positions, normal, warnings)
    matrix = np.eye(4)
    matrix[:3, 0] = step
    matrix[:3, 1] = axes[1] * spacing[0]
    matrix[:3, 2] = axes[0] * spacing[1]
    matrix[:3, 3] = positions[0]
    return stack, Grid((len(stack), *first.shape), matrix), has_thickness, warnings


def _ordered(
    stack: list[Slice], normal: NDArray[np.float64], spacing_mm: tuple[float, ...] | None, warnings: list[str]
) -> tuple[list[Slice], NDArray[np.float64]]:
    """Return slices along the normal and their positions, shape (slices, 3), LPS mm."""
    known = [one.position_mm for one in stack if one.position_mm is not None]
    if len(known) == len(stack):
        positions = np.array(known)
        order = np.argsort(positions @ normal, kind="stable")
        return [stack[index] for index in order], positions[order]
    warnings.append("position unknown: ImagePositionPatient is not stated")
    if len(stack) == 1:
        return stack, np.zeros((1, 3))
    if spacing_mm is None or len(spacing_mm) != 3:
        raise UnreadableScanError(
            f"{len(stack)} slices without ImagePositionPatient (0020,0032)",
            file=stack[0].file.path,
            remedy="give --spacing-mm plane,row,column to stack them by instance number",
        )
    warnings.append("slices are stacked by instance number")
    stack = sorted(stack, key=lambda one: (one.instance, one.frame))
    return stack, np.outer(np.arange(len(stack)) * spacing_mm[0], normal)


def _step(
    stack: list[Slice], positions: NDArray[np.float64], normal: NDArray[np.float64], warnings: list[str]
) -> tuple[NDArray[np.float64], bool]:
    """Return the vector from slice to slice, LPS mm, and whether the slices' thickness is known."""
    if len(stack) == 1:
        thickness = _thickness(stack[0])
        if thickness is None:
            warnings.append("a single slice of unknown thickness")
        return np.asarray(normal * (thickness or 1.0)), thickness is not None
    step = (positions[-1] - positions[0]) / (len(stack) - 1)
    length = float(np.linalg.norm(step))
    along = float(step @ normal)
    if along <= _SAME_PLACE_MM:
        raise UnreadableScanError("the slices do not follow each other along their normal", file=stack[0].file.path)
    off = np.linalg.norm(positions - positions[0] - np.outer(np.arange(len(stack)), step), axis=1)
    if off.max() > _UNEVEN * length:
        raise UnreadableScanError(
            _gap(positions @ normal), file=stack[0].file.path, remedy="export the complete series again"
        )
    if off.max() > _ROUNDING * length:
        warnings.append(f"slices lie up to {off.max():.3g} mm off even spacing")
    tilt = float(np.degrees(np.arccos(min(along / length, 1.0))))
    if tilt > 0.1:
        warnings.append(f"the gantry was tilted by {tilt:.1f} degrees; the grid is sheared accordingly")
    return np.asarray(step), True


def _gap(along: NDArray[np.float64]) -> str:
    """Say which slices are missing, by the distances along the normal."""
    gaps = np.diff(along)
    usual, widest = float(gaps.min()), int(np.argmax(gaps))
    if usual > _SAME_PLACE_MM:
        multiples = gaps / usual
        if np.abs(multiples - np.rint(multiples)).max() < _UNEVEN:
            return (
                f"{int(np.sum(np.rint(multiples) - 1))} slice(s) missing between slice {widest + 1} and {widest + 2} "
                f"of {len(along)}: {gaps[widest]:.4g} mm apart where {usual:.4g} mm is usual"
            )
    return f"slices are unevenly placed: {gaps.min():.4g} to {gaps.max():.4g} mm apart"


def _thickness(one: Slice) -> float | None:
    header = one.file.header
    places: list[Any] = [header]
    for keyword in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for group in header.get(keyword) or ():
            places.extend(group.get("PixelMeasuresSequence") or ())
    for place in places:
        thickness = number(place, 0x00180050)
        if thickness is not None and thickness > 0:
            return thickness
    return None
