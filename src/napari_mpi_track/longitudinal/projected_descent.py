"""The search for the rates of many sums of exponentials side by side, their amplitudes at their best throughout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_MOST_STEPS = 500
# What a last step may still promise, of the squares: with Newton's steps the rates then have all their digits.
_SMALLEST_GAIN, _SMALLEST_STEP = 1e-10, 1e-11
# Differences of squares below this are rounding; steps are still taken, or half the digits of a rate would be lost.
_ROUNDING = 1e-13
_FIRST_DAMPING, _MOST_DAMPING = 1e-3, 1e12
_LONGEST_STEP = 2.0
# Two rates nearer than this are one to eight digits of the squares; at no distance their courses would be the same.
_NEAREST = 5e-5
_TINY = 1e-300
# Newton's own curvature is taken where it is clearly convex and the rates stand apart, else that of Gauss and Newton.
_CONVEX, _APART = 0.02, 0.02


class Courses(Protocol):
    """The courses that a term can have, by a coordinate u of its rate."""

    @property
    def has_constant(self) -> bool:
        """Whether a constant is added."""

    @property
    def slowest(self) -> float:
        """The least u."""

    @property
    def fastest(self) -> float:
        """The greatest u."""

    @property
    def far(self) -> float:
        """Beyond it no slope leads any more; a step there goes on to the end."""

    def column(self, u: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the course, shape (n, c), with its first and second derivative by u."""


@dataclass(slots=True)
class State:
    """Where the search of every curve stands: u (p, c), squares (c,), and what the next step needs."""

    u: Floats
    squares: Floats
    gradient: list[Floats]
    curvature: list[list[Floats]]
    coefficients: list[Floats]


def some_of(weights: Floats, which: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Floats:
    """Return the weights of some curves; one row of weights serves all."""
    return weights if weights.shape[1] == 1 else weights[:, which]


def descend(courses: Courses, weights: Floats, targets: Floats, start: Floats) -> State:
    """Return every curve at its minimum: Levenberg-Marquardt steps, each curve with a damping of its own."""
    state = _state(courses, weights, targets, start)
    done = state
    place = np.arange(start.shape[1])
    damping = np.full(start.shape[1], _FIRST_DAMPING)
    for _ in range(_MOST_STEPS):
        new_u = _stepped(courses, state, damping)
        promised, moved = _promised(state), np.abs(new_u - state.u).max(axis=0)
        new = _state(courses, weights, targets, new_u)
        is_better = new.squares <= state.squares * (1.0 + _ROUNDING)
        state = _chosen(is_better, new, state)
        damping = np.where(is_better, damping * 0.1, damping * 8.0)
        is_going = (promised > _SMALLEST_GAIN * new.squares) & (moved > _SMALLEST_STEP) & (damping < _MOST_DAMPING)
        if is_going.all():
            continue
        put(done, place, state)
        if not is_going.any():
            return done
        state = taken(state, is_going)
        place, damping = place[is_going], damping[is_going]
        targets = targets[:, is_going]
        weights = some_of(weights, is_going)
    put(done, place, state)
    return done


def _state(courses: Courses, weights: Floats, targets: Floats, u: Floats) -> State:
    """Return the residual's squares at ``u`` with the gradient and curvature of the projected problem."""
    terms = [courses.column(row) for row in u]
    columns = [course * weights for course, _, _ in terms]
    if courses.has_constant:
        columns.insert(0, np.broadcast_to(weights, targets.shape))
    basis: list[Floats] = []
    triangle: list[list[Floats]] = []
    along: list[Floats] = []
    residual = targets
    for column in columns:
        left, parts = column, []
        for unit in basis:
            parts.append(dot(unit, left))
            left = left - parts[-1] * unit
        parts.append(np.maximum(np.sqrt(dot(left, left)), _TINY))
        basis.append(left / parts[-1])
        triangle.append(parts)
        along.append(dot(basis[-1], residual))
        residual = residual - along[-1] * basis[-1]
    coefficients = _solved(triangle, along)
    weighed = residual * weights
    slopes, inside, bent, turned = [], [], [], []
    for at, (_, by_u, by_u_twice) in enumerate(terms, start=len(columns) - len(terms)):
        slope = by_u * weights * coefficients[at]
        inside.append([dot(unit, slope) for unit in basis])
        for unit, part in zip(basis, inside[-1], strict=True):
            slope = slope - part * unit
        slopes.append(slope)
        bent.append(coefficients[at] * dot(weighed, by_u_twice))
        turned.append(_lifted(triangle, at, dot(weighed, by_u)))
    gradient = [dot(slope, residual) for slope in slopes]
    squares = dot(residual, residual)
    kaufman = [[dot(a, b) for b in slopes[: at + 1]] for at, a in enumerate(slopes)]
    exact = [[_exact(kaufman, inside, turned, i, k) for k in range(i + 1)] for i in range(len(terms))]
    for i, bend in enumerate(bent):
        exact[i][i] = exact[i][i] - bend
    if len(terms) == 1:
        is_convex = exact[0][0] > _CONVEX * kaufman[0][0]
        return State(u, squares, gradient, [[np.where(is_convex, exact[0][0], kaufman[0][0])]], coefficients)
    half = 0.5 * (u[1] - u[0])
    # By the mean of the two and the square of half their distance: both are smooth where the rates meet.
    slopes = [slopes[0] + slopes[1], (slopes[1] - slopes[0]) / (2.0 * half)]
    plain = [[dot(a, b) for b in slopes[: at + 1]] for at, a in enumerate(slopes)]
    full = _by_mean_and_square(exact, gradient, half)
    gradient = [dot(slope, residual) for slope in slopes]
    is_convex = (half > _APART) & (full[0][0] > _CONVEX * plain[0][0]) & (full[1][1] > _CONVEX * plain[1][1])
    is_convex &= full[0][0] * full[1][1] - full[1][0] ** 2 > _CONVEX * full[0][0] * full[1][1]
    curvature = [
        [np.where(is_convex, newton, gauss) for newton, gauss in zip(*rows, strict=True)]
        for rows in zip(full, plain, strict=True)
    ]
    return State(u, squares, gradient, curvature, coefficients)


def _exact(
    kaufman: list[list[Floats]], inside: list[list[Floats]], turned: list[list[Floats]], i: int, k: int
) -> Floats:
    """Return Newton's second derivative of half the squares by terms i and k, without the course's own bend.

    The Hessian of all coordinates, its amplitudes solved for: H_uu - H_ua H_aa^-1 H_au.
    """
    more = sum(p * t + q * s - s * t for p, q, s, t in zip(inside[i], inside[k], turned[i], turned[k], strict=True))
    return np.asarray(kaufman[i][k] + more)


def dot(first: Floats, second: Floats) -> Floats:
    return np.asarray(np.einsum("nc,nc->c", first, second))


def _by_mean_and_square(exact: list[list[Floats]], gradient: list[Floats], half: Floats) -> list[list[Floats]]:
    """Return second derivatives by the two u as those by their mean and the square of half their distance."""
    (low,), (mixed, high) = exact
    by_half = gradient[1] - gradient[0]
    # The gradient here is that of minus half the squares.
    square = (low - 2.0 * mixed + high + by_half / half) / (4.0 * half * half)
    return [[low + 2.0 * mixed + high], [(high - low) / (2.0 * half), square]]


def _lifted(triangle: Sequence[Sequence[Floats]], at: int, value: Floats) -> list[Floats]:
    """Return R^-T (value at place ``at``, else 0), R the triangle of the columns."""
    found: list[Floats] = []
    for row, parts in enumerate(triangle):
        left = value if row == at else np.zeros_like(value)
        for earlier, part in zip(found, parts, strict=False):
            left = left - part * earlier
        found.append(left / parts[row])
    return found


def _solved(triangle: Sequence[Sequence[Floats]], along: Sequence[Floats]) -> list[Floats]:
    """Return the coefficients of the columns, from those of the orthogonal basis."""
    found: list[Floats] = []
    for at in reversed(range(len(along))):
        value = along[at]
        for later, coefficient in enumerate(reversed(found)):
            value = value - triangle[at + 1 + later][at] * coefficient
        found.append(value / triangle[at][at])
    return found[::-1]


def _stepped(courses: Courses, state: State, damping: Floats) -> Floats:
    """Return the u of the damped Gauss-Newton step, shape (p, c), moved by no more than 2."""
    first = state.curvature[0][0] * (1.0 + damping) + _TINY
    if len(state.gradient) == 1:
        step = np.clip(state.gradient[0] / first, -_LONGEST_STEP, _LONGEST_STEP)
        return np.clip(state.u + step, courses.slowest, courses.fastest)
    second, cross = state.curvature[1][1] * (1.0 + damping) + _TINY, state.curvature[1][0]
    determinant = np.maximum(first * second - cross * cross, _TINY)
    half = 0.5 * (state.u[1] - state.u[0])
    by_square = (first * state.gradient[1] - cross * state.gradient[0]) / determinant
    square = np.clip(half * half + by_square, _NEAREST**2, np.square(half + 0.5 * _LONGEST_STEP))
    # The other coordinate is best for the one as it was let to go: two rates may have met.
    by_mean = (state.gradient[0] - cross * (square - half * half)) / first
    mean = 0.5 * (state.u[0] + state.u[1]) + np.clip(by_mean, -_LONGEST_STEP, _LONGEST_STEP)
    new_half = np.sqrt(square)
    new = np.stack([mean - new_half, mean + new_half])
    is_beyond = (new[0] < -courses.far) | (new[1] > courses.far)
    return np.where(is_beyond, _along_the_edge(courses, state, damping, new), new) if is_beyond.any() else new


def _promised(state: State) -> Floats:
    """Return by how much the squares would fall in all were they a parabola; that is next to nothing at the minimum."""
    first = np.square(state.gradient[0]) / (state.curvature[0][0] + _TINY)
    if len(state.gradient) == 1:
        return first
    left = state.curvature[1][1] - np.square(state.curvature[1][0]) / (state.curvature[0][0] + _TINY)
    slope = state.gradient[1] - state.curvature[1][0] * state.gradient[0] / (state.curvature[0][0] + _TINY)
    return np.asarray(first + np.square(slope) / np.maximum(left, _TINY))


def _along_the_edge(courses: Courses, state: State, damping: Floats, new: Floats) -> Floats:
    """Return the step of the rate that is free where the other has reached the end of what can be told."""
    half = 0.5 * (state.u[1] - state.u[0])
    low, mixed, high = state.curvature[0][0], 2.0 * half * state.curvature[1][0], 4.0 * half**2 * state.curvature[1][1]
    moved = []
    for row, sign in ((0, -1.0), (1, 1.0)):
        gradient = 0.5 * (state.gradient[0] + sign * 2.0 * half * state.gradient[1])
        curvature = 0.25 * (low + 2.0 * sign * mixed + high) * (1.0 + damping) + _TINY
        moved.append(state.u[row] + np.clip(gradient / curvature, -_LONGEST_STEP, _LONGEST_STEP))
    slow = np.where(new[0] < -courses.far, courses.slowest, moved[0])
    fast = np.where(new[1] > courses.far, courses.fastest, moved[1])
    slow = np.clip(slow, courses.slowest, courses.fastest - 2.0 * _NEAREST)
    return np.stack([slow, np.clip(fast, slow + 2.0 * _NEAREST, courses.fastest)])


def _arrays(state: State) -> list[Floats]:
    flat = [part for row in state.curvature for part in row]
    return [*state.u, state.squares, *state.gradient, *flat, *state.coefficients]


def _rebuilt(like: State, arrays: Sequence[Floats]) -> State:
    rest = iter(arrays)
    u = np.stack([next(rest) for _ in like.u])
    squares = next(rest)
    gradient = [next(rest) for _ in like.gradient]
    curvature = [[next(rest) for _ in row] for row in like.curvature]
    return State(u, squares, gradient, curvature, list(rest))


def _chosen(is_new: NDArray[np.bool_], new: State, old: State) -> State:
    return _rebuilt(old, [np.where(is_new, a, b) for a, b in zip(_arrays(new), _arrays(old), strict=True)])


def taken(state: State, which: NDArray[np.bool_] | NDArray[np.intp]) -> State:
    return _rebuilt(state, [part[which] for part in _arrays(state)])


def put(done: State, place: NDArray[np.intp], state: State) -> None:
    done.u[:, place] = state.u
    done.squares[place] = state.squares
    for kept, found in zip(done.coefficients, state.coefficients, strict=True):
        kept[place] = found
