"""How clearly a pose stands out: from its neighbours, inside the body, and from its rivals there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.registration.images.climbing import Movements
from napari_mpi_track.registration.images.similarity import Comparison

# How far the neighbours lie, as a part of the body's radius: 3.4 mm in a mouse.
_ASIDE = 0.16
_MOST_RIVALS = 4

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distinctness:
    """Parts of what a pose tells; the lower, the clearer it stands out.

    A wrong pose that lays body on body is alike in its outline only: inside, it tells hardly more than the poses
    around it, and than other wrong ones.

    Attributes
    ----------
    beside
        Information that is left 0.16 of the body's radius aside, mean over both ways of all six movements.
    beside_inside
        The same, of the inside of the body alone.
    rival_inside
        What the best rival tells of the inside of the body.
    """

    beside: float
    beside_inside: float
    rival_inside: float


def distinctness(
    whole: Comparison, inside: Comparison, movements: Movements, pose: Matrix, rivals: list[Matrix]
) -> Distinctness:
    """Return how clearly a pose stands out, from the whole body and the inside, and the best rivals first."""
    ways = [sign * row for row in np.eye(6) * _ASIDE * movements.radius_mm for sign in (1.0, -1.0)]
    around = [pose @ movements.matrix(way) for way in ways]
    everything = max(whole.information(pose), 1e-9)
    within = max(inside.metric(pose), 1e-9)
    return Distinctness(
        float(np.mean([whole.information(matrix) for matrix in around])) / everything,
        float(np.mean([inside.metric(matrix) for matrix in around])) / within,
        max((inside.metric(matrix) for matrix in rivals[:_MOST_RIVALS]), default=0.0) / within,
    )
