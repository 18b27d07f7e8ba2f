"""Ways an animal may lie in the scanner, to start the search from."""

from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.registration.alignment import rotation_from_vector
from napari_mpi_track.registration.images.pictures import Picture


def axis_aligned_rotations() -> list[NDArray[np.float64]]:
    """Return the 24 rotations that carry the axes onto the axes: head or tail first, on any side; identity first."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            rotation = np.zeros((3, 3))
            rotation[range(3), order] = signs
            if np.linalg.det(rotation) > 0:
                found.append(rotation)
    return sorted(found, key=lambda r: -float(np.trace(r)))


def tilts() -> list[NDArray[np.float64]]:
    """Return 15 rotations that fill the room between the 24: none, 30 degrees about an axis, 40 about a diagonal.

    With them no rotation lies further than about 25 degrees from a start.
    """
    vectors = [np.zeros(3)]
    vectors += [sign * np.radians(30) * axis for axis in np.eye(3) for sign in (1, -1)]
    vectors += [np.radians(40) / np.sqrt(3) * np.array(signs) for signs in product((1.0, -1.0), repeat=3)]
    return [rotation_from_vector(vector) for vector in vectors]


def principal_rotations(fixed: Picture, moving: Picture) -> list[NDArray[np.float64]]:
    """Return the four rotations that carry the fixed body's principal axes onto the moving body's."""
    signs = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
    return [moving.axes @ np.diag(np.array(s, dtype=float)) @ fixed.axes.T for s in signs]


def pose(
    rotation: NDArray[np.float64], fixed_centre: NDArray[np.float64], moving_centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the 4x4 that turns by ``rotation`` and carries one centre onto the other."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = moving_centre - rotation @ fixed_centre
    return matrix


def apart(
    first: NDArray[np.float64], second: NDArray[np.float64], centre: NDArray[np.float64], radius_mm: float
) -> float:
    """Return the root mean square distance between two poses over points ``radius_mm`` from ``centre``, mm."""
    ends = centre + radius_mm * np.concatenate([np.eye(3), -np.eye(3)])
    moved = ends @ (first - second)[:3, :3].T + (first - second)[:3, 3]
    return float(np.sqrt(np.mean(np.sum(moved**2, axis=1))))
