"""The search over the shapes a curve can have: its best shape, and where a half-time leaves its interval."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.longitudinal.decay_likelihood import Samples, profile

Floats = NDArray[np.float64]
Box = tuple[tuple[float, float], ...]
LOG_2 = log(2.0)
# A half-life outside these multiples of the shortest gap and the whole span is no longer seen in the data.
_SHORTEST, _LONGEST = 0.02, 1000.0
_ZOOM_ROUNDS = 34
# The deviance is flat about its minimum: half the digits in the coordinates give all that an interval needs.
_INTERVAL_ROUNDS = 14
_ZOOM_KEEPS = 0.55


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The best shape of a model: its own coordinates, the shape at the samples (n,), and whether it does not fall."""

    coordinates: tuple[float, ...]
    shape: Floats
    is_rising: bool


def candidate_rates(samples: Samples) -> Floats:
    """Return rates per day from rising to falling that between them show every rate the days can tell apart."""
    since = samples.since_first
    shortest = float(np.diff(np.unique(since)).min())
    positive = np.geomspace(LOG_2 / (_LONGEST * since[-1]), LOG_2 / (_SHORTEST * shortest), 120)
    return np.concatenate([-positive[::-1], [0.0], positive])


def crossing(excess: Callable[[float], float], start: float, outward: Floats) -> float | None:
    """Return where ``excess`` first rises through zero on the way outward; ``None`` if it never does."""
    from scipy.optimize import brentq

    inside = start
    for place in outward:
        if excess(float(place)) > 0:
            return float(brentq(excess, inside, float(place), rtol=1e-10))
        inside = float(place)
    return None


def half_life_range(samples: Samples) -> tuple[float, float]:
    """Return the shortest and the longest half-life the days could show."""
    since = samples.since_first
    return _SHORTEST * float(np.diff(np.unique(since)).min()), _LONGEST * float(since[-1])


def zoom(
    samples: Samples, box: Box, shapes: Callable[[Floats], Floats], rounds: int = _ZOOM_ROUNDS
) -> tuple[float, ...]:
    """Return the coordinates of lowest deviance in ``box``: a grid, narrowed about its best point round by round.

    A grid needs no start and no derivative, and all of it is one array operation.
    """
    low, high = np.array([b[0] for b in box]), np.array([b[1] for b in box])
    per_axis = {1: 41, 2: 21, 3: 11}[len(box)]
    centre, reach = 0.5 * (low + high), 0.5 * (high - low)
    best, best_deviance = centre, np.inf
    for _ in range(rounds):
        axes = [
            np.linspace(max(c - r, lo), min(c + r, hi), per_axis)
            for c, r, lo, hi in zip(centre, reach, low, high, strict=True)
        ]
        points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")])
        deviance = profile(samples, shapes(points)).deviance
        place = int(np.nanargmin(deviance))
        if deviance[place] < best_deviance:
            best, best_deviance = points[:, place], float(deviance[place])
        centre, reach = best, reach * _ZOOM_KEEPS
    return tuple(float(v) for v in best)


def interval_of(
    samples: Samples, half_life: float, highest_deviance: float, box: Box, shapes: Callable[[float, Floats], Floats]
) -> tuple[float | None, float | None]:
    """Return where the deviance, at its lowest over ``box``, crosses the cut on both sides of the half-life."""

    def excess(log_half: float) -> float:
        half = exp(log_half)
        best = zoom(samples, box, lambda c: shapes(half, c), _INTERVAL_ROUNDS)
        return float(profile(samples, shapes(half, np.array(best)[:, None])).deviance[0]) - highest_deviance

    shortest, longest = half_life_range(samples)
    start = log(half_life)
    steps = np.geomspace(0.02, log(longest / shortest), 30)
    down, up = start - steps, start + steps
    low = crossing(excess, start, down[down > log(shortest)])
    high = crossing(excess, start, up[up < log(longest)])
    return None if low is None else exp(low), None if high is None else exp(high)
