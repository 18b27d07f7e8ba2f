"""The error of an alignment by intensity, measured on the scans themselves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.registration.images.climbing import Movements
from napari_mpi_track.registration.images.similarity import Comparison

Matrix = NDArray[np.float64]


# The scatter of the metric's slope is taken over cubes of this part of the body's radius, and of at least so many of
# the largest voxels: what differs between modalities, and what thick slices blur, is alike over such lengths. With
# these, the stated error of simulated animals is that of the truth (benchmarks/alignment/capture.py).
_BLOCK = 0.125
_BLOCK_VOXELS = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredError:
    """The error of an alignment: 6x6 covariance as ``Alignment.error_covariance``, and at the body's centre, mm."""

    covariance: Matrix
    at_centre_mm: float


def measured_error(
    comparison: Comparison, top: Matrix, curvature: Matrix, movements: Movements, body_mm: Matrix, voxel_mm: float
) -> MeasuredError | None:
    """Return the error of a top of the metric; ``None`` where the metric does not fall off on every side.

    The metric's slope is zero at the top. Its scatter is taken over cubes of the body, and divided by the metric's
    ``curvature`` (of ``slopes_around``): the sandwich of Huber. Where the model stretches too, the
    error of turns is widened so that the root mean square over the body (points ``body_mm``, (n, 3)) is the whole.
    ``voxel_mm`` is the largest voxel edge of the two scans.

    Notes
    -----
    Huber 1967, "The behavior of maximum likelihood estimates under nonstandard conditions"; White 1982,
    doi:10.2307/1912526.
    """
    likeness = comparison.likeness(top, with_push=True)
    assert likeness.push is not None
    if np.linalg.eigvalsh(curvature).max() >= 0:
        return None
    gradients = movements.gradients(likeness.push, comparison.arms_mm)
    block_mm = max(_BLOCK * movements.radius_mm, _BLOCK_VOXELS * voxel_mm)
    scatter = _scatter(gradients, comparison.arms_mm, block_mm)
    inverse = np.linalg.inv(curvature)
    covariance = inverse @ scatter @ inverse.T
    scale = np.diag([1 / movements.radius_mm] * 3 + [1.0] * 3)
    small = scale @ covariance[:6, :6] @ scale
    widened = np.diag([np.sqrt(_widening(covariance, movements, body_mm))] * 3 + [1.0] * 3)
    small = widened @ small @ widened
    small = (small + small.T) / 2
    return MeasuredError(small, float(np.sqrt(np.trace(small[3:, 3:]))))


def _scatter(gradients: Matrix, arms_mm: Matrix, block_mm: float) -> Matrix:
    """Return the covariance of the summed gradients from their sums over cubes, which are taken as independent."""
    cells = np.floor(arms_mm / block_mm).astype(np.int64)
    cells -= cells.min(axis=1, keepdims=True)
    extent = cells.max(axis=1) + 1
    number = (cells[0] * extent[1] + cells[1]) * extent[2] + cells[2]
    filled = np.bincount(number) > 0
    sums = np.stack([np.bincount(number, gradient)[filled] for gradient in gradients])
    count, freedoms = sums.shape[1], len(sums)
    sums -= sums.mean(axis=1, keepdims=True)
    return np.asarray(np.sum(sums[:, None] * sums[None], axis=2) * count / max(count - freedoms, 1))


def _widening(covariance: Matrix, movements: Movements, body_mm: Matrix) -> float:
    """Return by what the variance of turns is to be multiplied to hold that of stretches as well."""
    if movements.count == 6:
        return 1.0
    step = 1e-3
    moves = np.stack(
        [
            ((body_mm @ m[:3, :3].T + m[:3, 3]) - body_mm) / step
            for m in (movements.matrix(step * row) for row in np.eye(movements.count))
        ]
    )
    spread = np.einsum("pnx,pq,qnx->n", moves, covariance, moves).mean()
    turns = np.einsum("pnx,pq,qnx->n", moves[:3], covariance[:3, :3], moves[:3]).mean()
    shifts = float(np.trace(covariance[3:6, 3:6]))
    return float(max(spread - shifts, turns) / turns)
