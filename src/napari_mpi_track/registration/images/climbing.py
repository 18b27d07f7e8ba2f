"""Climbing to the nearest top of a comparison, over the movements a model allows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.registration.alignment import rotation_from_vector
from napari_mpi_track.registration.images.similarity import Comparison

Matrix = NDArray[np.float64]

# How many numbers move a model: turns and shifts, then one scale, or six stretches and shears.
FREEDOMS = {"rigid": 6, "similarity": 7, "affine": 12}
_SQUARE = np.array([[0, 0], [1, 1], [2, 2], [0, 1], [0, 2], [1, 2]])


@dataclass(frozen=True, slots=True, eq=False)
class Movements:
    """Small movements of the fixed frame about a centre, each number in mm at the body's radius.

    The order is turns (3), shifts (3), then a scale (similarity), or stretches and shears (affine, 6).
    """

    model: str
    centre_mm: Matrix
    radius_mm: float

    @property
    def count(self) -> int:
        """How many numbers make a movement."""
        return FREEDOMS[self.model]

    def matrix(self, movement_mm: Matrix) -> Matrix:
        """Return the 4x4 of a movement."""
        linear = rotation_from_vector(movement_mm[:3] / self.radius_mm)
        if self.model == "similarity":
            linear = linear * np.exp(movement_mm[6] / self.radius_mm)
        if self.model == "affine":
            stretch = np.eye(3)
            for (row, column), amount in zip(_SQUARE, movement_mm[6:] / self.radius_mm, strict=True):
                stretch[row, column] += amount
                stretch[column, row] += amount if row != column else 0.0
            linear = linear @ stretch
        moved = np.eye(4)
        moved[:3, :3], moved[:3, 3] = linear, self.centre_mm - linear @ self.centre_mm + movement_mm[3:6]
        return moved

    def gradient(self, push: Matrix, arms_mm: Matrix) -> Matrix:
        """Return the change of the metric with each number, shape (count,), from pushes and arms, (3, n) each."""
        return np.asarray(self.gradients(push, arms_mm).sum(axis=1))

    def gradients(self, push: Matrix, arms_mm: Matrix) -> Matrix:
        """Return what each point adds to the gradient, shape (count, n)."""
        (x, y, z), (a, b, c) = arms_mm, push
        turns = np.stack([y * c - z * b, z * a - x * c, x * b - y * a]) / self.radius_mm
        parts = [turns, push]
        if self.model == "similarity":
            parts.append((x * a + y * b + z * c)[None] / self.radius_mm)
        if self.model == "affine":
            rows = [push[i] * arms_mm[j] + (push[j] * arms_mm[i] if i != j else 0.0) for i, j in _SQUARE]
            parts.append(np.stack(rows) / self.radius_mm)
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Top:
    """Where a climb ended.

    Attributes
    ----------
    matrix
        The 4x4 transform.
    metric
        The metric there.
    information
        What poses are compared by, nats.
    trace
        The metric after every step.
    """

    matrix: Matrix
    metric: float
    information: float
    trace: tuple[float, ...]


def climb(
    comparison: Comparison,
    start: Matrix,
    movements: Movements,
    step_mm: float,
    *,
    most_steps: int = 40,
    close_mm: float = 1e-3,
    on_step: Callable[[float, Matrix], None] | None = None,
) -> Top:
    """Return the top that a quasi-Newton climb (BFGS) from ``start`` reaches.

    The first step is ``step_mm`` long, none is longer than four of it; it ends when a step is shorter than
    ``close_mm`` or gains nothing.
    """
    matrix = start
    likeness = comparison.likeness(matrix, with_push=True)
    assert likeness.push is not None
    gradient = movements.gradient(likeness.push, comparison.arms_mm)
    trace = [likeness.metric]
    inverse = np.eye(movements.count) * step_mm / max(float(np.linalg.norm(gradient)), 1e-12)
    is_first = True
    for _ in range(most_steps):
        step = inverse @ gradient
        slope = float(gradient @ step)
        if slope <= 0:
            inverse = np.eye(movements.count) * step_mm / max(float(np.linalg.norm(gradient)), 1e-12)
            step = inverse @ gradient
            slope = float(gradient @ step)
        length = float(np.linalg.norm(step))
        if length > 4 * step_mm:
            step, slope = step * (4 * step_mm / length), slope * (4 * step_mm / length)
        share = 1.0
        for _ in range(8):
            tried = matrix @ movements.matrix(share * step)
            there = comparison.likeness(tried, with_push=True)
            gain = there.metric - likeness.metric
            if gain >= 1e-4 * share * slope and there.covered > 0.5 * likeness.covered:
                break
            share *= min(max(0.5 * share * slope / max(share * slope - gain, 1e-30), 0.1), 0.5)
        else:
            break
        assert there.push is not None
        after = movements.gradient(there.push, comparison.arms_mm)
        moved, change = share * step, gradient - after
        bend = float(moved @ change)
        if bend > 1e-12 * float(np.linalg.norm(moved) * np.linalg.norm(change)):
            if is_first:
                inverse = np.eye(movements.count) * bend / float(change @ change)
                is_first = False
            left = np.eye(movements.count) - np.outer(moved, change) / bend
            inverse = left @ inverse @ left.T + np.outer(moved, moved) / bend
        matrix, likeness, gradient = tried, there, after
        trace.append(likeness.metric)
        if on_step is not None:
            on_step(likeness.metric, matrix)
        if float(np.linalg.norm(moved)) < close_mm:
            break
    return Top(matrix, likeness.metric, likeness.information, tuple(trace))


def slopes_around(
    comparison: Comparison, matrix: Matrix, movements: Movements, step_mm: float
) -> tuple[Matrix, Matrix]:
    """Return the metric's slope, averaged over ``step_mm`` to either side of a pose, and its curvature.

    Shapes (count,) and (count, count). Interpolation makes the metric rough within a voxel; over half of one to
    either side it is smooth.
    """
    slopes = []
    for movement in np.eye(movements.count) * step_mm:
        for moved in (movement, -movement):
            push = comparison.likeness(matrix @ movements.matrix(moved), with_push=True).push
            assert push is not None
            slopes.append(movements.gradient(push, comparison.arms_mm))
    rows = np.stack([(up - down) / (2 * step_mm) for up, down in zip(slopes[::2], slopes[1::2], strict=True)])
    return np.mean(slopes, axis=0), np.asarray((rows + rows.T) / 2)


def settle(comparison: Comparison, top: Top, movements: Movements, step_mm: float) -> tuple[Top, Matrix]:
    """Return the top of the metric smoothed over ``step_mm``, by Newton's steps, and its curvature there.

    Climbs from different starts end on different small tops of a rough metric (0.1 mm apart on a real head); the
    smoothed one has a single top. Where the metric does not fall off on every side, ``top`` is returned.
    """
    matrix = top.matrix
    for _ in range(4):
        slope, curvature = slopes_around(comparison, matrix, movements, step_mm)
        if np.linalg.eigvalsh(curvature).max() >= 0:
            return top, curvature
        step = np.asarray(-np.linalg.solve(curvature, slope), dtype=np.float64)
        length = float(np.linalg.norm(step))
        if length > 4 * step_mm:
            return top, curvature
        matrix = matrix @ movements.matrix(step)
        if length < 0.05 * step_mm:
            break
    likeness = comparison.likeness(matrix)
    return Top(matrix, likeness.metric, likeness.information, (*top.trace, likeness.metric)), curvature
