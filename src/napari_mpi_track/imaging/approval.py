"""Who approved an organ as it was drawn, and whether it still is as it was then."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels

# Places are compared on a lattice that no scanner's spacing falls in with: a value on its edge would be rounded one way
# in one file format and the other way in the next.
_QUANTUM_MM, _OFFSET = 0.01371, 0.3719
# What files round by, 1e-3 mm, in quanta.
_NEAR = 1e-3 / _QUANTUM_MM


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved an organ, when, and the fingerprint of its voxels then; ``None`` where nobody took one."""

    by: str
    at: datetime
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not self.by.strip():
            raise MeasurementError("an approval needs a name", remedy="say who approves")

    def __str__(self) -> str:
        return f"{self.by}, {self.at:%Y-%m-%d}"


def approve(labels: OrganLabels, organ: str, by: str, at: datetime) -> Approval:
    """Return the approval of an organ as it is drawn; ``MeasurementError`` if there is no such organ, or no name."""
    return Approval(by.strip(), at, fingerprint_of(labels, organ))


def is_as_approved(labels: OrganLabels, organ: str, approval: Approval) -> bool | None:
    """Return whether an organ's voxels are those that were approved; ``None`` where no fingerprint was taken.

    A place that is the same to 1e-3 mm is the same: file formats round.
    """
    if approval.sha256 is None:
        return None
    if organ not in labels.names.values():
        return False
    shape, places = _shape_and_places(labels, organ)
    near = [sorted({math.floor(place - _NEAR), math.floor(place + _NEAR)}) for place in places]
    return any(_digest(shape, rounded) == approval.sha256 for rounded in product(*near))


def fingerprint_of(labels: OrganLabels, organ: str) -> str:
    """Return the SHA-256 of an organ: its voxels and where they lie, whatever the order in which a file holds them.

    Other organs, names, label values, frames and the empty space around take no part.
    """
    shape, places = _shape_and_places(labels, organ)
    return _digest(shape, [math.floor(place) for place in places])


def _shape_and_places(labels: OrganLabels, organ: str) -> tuple[bytes, list[float]]:
    """Return a digest of the organ's form, and where its box begins and how it reaches, in quanta of length."""
    mask, grid = _upright(labels.mask(organ), labels.grid)
    ends = [np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    box = mask[tuple(slice(int(found[0]), int(found[-1]) + 1) for found in ends)]
    first = grid.lps_from([int(found[0]) for found in ends])
    reach = grid.lps_from_index[:3, :3] * np.asarray(box.shape)
    form = hashlib.sha256(np.asarray(box.shape, dtype="<i8").tobytes())
    form.update(np.packbits(box).tobytes())
    places = np.concatenate([first, reach.ravel()]) / _QUANTUM_MM + _OFFSET
    return form.digest(), [float(place) for place in places]


def _digest(shape: bytes, places: Sequence[int]) -> str:
    return hashlib.sha256(shape + np.asarray(places, dtype="<i8").tobytes()).hexdigest()


def _upright(mask: NDArray[np.bool_], grid: Grid) -> tuple[NDArray[np.bool_], Grid]:
    """Return mask and grid with axes reordered and turned so that they lie nearest to z, y and x, and rise."""
    matrix = np.array(grid.lps_from_index)
    order = _nearest_axes(grid.directions)
    mask, matrix = np.transpose(mask, order), matrix[:, [*order, 3]]
    for axis, world in enumerate((2, 1, 0)):
        if matrix[world, axis] < 0:
            matrix[:3, 3] += matrix[:3, axis] * (mask.shape[axis] - 1)
            matrix[:3, axis] *= -1
            mask = np.flip(mask, axis)
    return mask, Grid((mask.shape[0], mask.shape[1], mask.shape[2]), matrix)


def _nearest_axes(directions: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return which axis of an array lies nearest to z, to y and to x, each taken once, the clearest first."""
    clear = np.abs(directions[[2, 1, 0]])
    order = [0, 0, 0]
    for _ in range(3):
        world, axis = (int(i) for i in np.unravel_index(np.argmax(clear), (3, 3)))
        order[world] = axis
        clear[world, :], clear[:, axis] = -1.0, -1.0
    return order[0], order[1], order[2]
