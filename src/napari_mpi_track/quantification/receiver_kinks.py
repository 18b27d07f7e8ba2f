"""Receivers with hard kinks: straight up to a limit and flatter beyond, as an amplifier or converter that clips."""

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

_STEPS_PER_GAP = 3
_HALVINGS = 10

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line through the origin whose slope changes at ``kinks``; none of its ``slopes`` (one more) is negative."""

    kinks: tuple[float, ...]
    slopes: tuple[float, ...]

    def at(self, x: _Floats) -> _Floats:
        """Return the line at ``x``, shape (n,)."""
        return np.asarray(_pieces(x, self.kinks) @ np.array(self.slopes))


def fit_broken_line(x: _Floats, y: _Floats, kinks: int) -> BrokenLine:
    """Return the broken line of least squares, its kinks wherever they fit best.

    Parameters
    ----------
    x, y
        Samples, shape (n,), x not negative; at least ``kinks`` + 2 different positive x.
    kinks
        How many.

    Notes
    -----
    Every set of places on a grid is tried (a sum of squares has many minima over the places of kinks), and the best
    is refined by halving the grid about each kink.
    """
    levels = np.unique(np.concatenate([[0.0], x]))
    gaps = [np.linspace(a, b, _STEPS_PER_GAP, endpoint=False) for a, b in pairwise(levels[1:])]
    grid = np.concatenate(gaps)
    squares, best, slopes = min(_solved(x, y, places) for places in combinations(grid.tolist(), kinks))
    step = float(np.diff(levels).max()) / _STEPS_PER_GAP
    for _ in range(_HALVINGS):
        step /= 2
        for at in range(kinks):
            for shift in (-step, step):
                places = (*best[:at], best[at] + shift, *best[at + 1 :])
                if levels[1] <= places[0] and places[-1] < levels[-1] and list(places) == sorted(places):
                    squares, best, slopes = min((squares, best, slopes), _solved(x, y, places))
    return BrokenLine(best, slopes)


def _solved(x: _Floats, y: _Floats, kinks: tuple[float, ...]) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Return the root of the sum of squares, the kinks, and the slopes between them."""
    from scipy.optimize import nnls

    slopes, root = nnls(_pieces(x, kinks), y)
    return float(root), kinks, tuple(slopes.tolist())


def _pieces(x: _Floats, kinks: tuple[float, ...]) -> _Floats:
    """Return how much of each x lies in each piece of the line, shape (n, kinks + 1)."""
    starts, ends = (0.0, *kinks), (*kinks, np.inf)
    return np.stack([np.clip(x, a, b) - a for a, b in zip(starts, ends, strict=True)], axis=1)
