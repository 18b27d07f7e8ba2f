"""Whether paired markers agree as well as their own errors say, and which of them does not."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.registration.markers.closed_form import closed_form

# One alignment in a thousand of markers that do agree is called in doubt.
_LEVEL = 0.001
# A rest that agrees this well, while any other does far worse, is the true one.
_AGREES, _CLEARLY = 0.02, 100.0
_MOST_LEFT_OUT = 2
# Points placed nearer than half a millimetre to where they belong are placed well, however well the others are.
_LEAST_STRAY_MM = 0.5


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Markers that lie further from their partners than their errors allow.

    Attributes
    ----------
    markers
        Places of the markers that disagree with all the others; empty where it cannot be told which.
    by_mm
        How far they lie off under the alignment of the others (the largest), or the largest residual, mm.
    """

    markers: tuple[int, ...]
    by_mm: float


def find_disagreement(
    here: NDArray[np.float64],
    there: NDArray[np.float64],
    variances_mm2: NDArray[np.float64],
    *,
    scaled: bool,
) -> Disagreement | None:
    """Return which paired markers disagree, or nothing where the residual is what their errors make it.

    Parameters
    ----------
    here, there
        Paired points, LPS mm, both shape (n, 3).
    variances_mm2
        Expected squared distance of each pair (both errors, all axes), mm2, shape (n,).
    scaled
        Whether a similarity is fitted.

    Notes
    -----
    The sum of the squared residuals over the variance per axis follows chi-square with 3n - 6 degrees of freedom
    (3n - 7 with a scale).
    """
    whole = _Rest.of(here, there, variances_mm2, tuple(range(len(here))), scaled)
    if whole.chance >= _LEVEL:
        return None
    for count in range(1, min(_MOST_LEFT_OUT, len(here) - 3) + 1):
        rests = [
            _Rest.of(here, there, variances_mm2, kept, scaled)
            for kept in combinations(range(len(here)), len(here) - count)
        ]
        first, second = sorted(rests, key=lambda rest: -rest.chance)[:2]
        if first.chance > _AGREES and first.chance > _CLEARLY * second.chance:
            left = tuple(k for k in range(len(here)) if k not in first.kept)
            return Disagreement(left, float(first.distances_mm[list(left)].max()))
    return Disagreement((), float(whole.distances_mm.max()))


def find_stray(here: NDArray[np.float64], there: NDArray[np.float64], *, scaled: bool) -> Disagreement | None:
    """Return the one point that the others refute by how well they agree among themselves, or nothing.

    For points that a person placed, whose errors nobody knows: ``here`` and ``there`` are pairs, LPS mm, (n, 3).

    Notes
    -----
    The fall of the sum of squares when a point goes, over what is left, each by its degrees of freedom, follows the F
    distribution; the level is shared between the points (Bonferroni).
    """
    from scipy.special import fdtrc

    even = np.ones(len(here))
    whole = _Rest.of(here, there, even, tuple(range(len(here))), scaled)
    if whole.freedom <= 3:
        return None
    rests = [_Rest.of(here, there, even, kept, scaled) for kept in combinations(range(len(here)), len(here) - 1)]
    best = min(rests, key=lambda rest: rest.squares)
    left = next(k for k in range(len(here)) if k not in best.kept)
    fall = (whole.squares - best.squares) / 3 / max(best.squares / best.freedom, 1e-12)
    if best.distances_mm[left] < _LEAST_STRAY_MM or fdtrc(3, best.freedom, fall) * len(here) > _LEVEL:
        return None
    return Disagreement((left,), float(best.distances_mm[left]))


@dataclass(frozen=True, slots=True, eq=False)
class _Rest:
    """The alignment of some of the markers: the chance of a residual as large, and how far all of them lie off."""

    kept: tuple[int, ...]
    squares: float
    freedom: int
    chance: float
    distances_mm: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        here: NDArray[np.float64],
        there: NDArray[np.float64],
        variances_mm2: NDArray[np.float64],
        kept: tuple[int, ...],
        scaled: bool,
    ) -> "_Rest":
        from scipy.special import chdtrc

        part = list(kept)
        weights = 1 / variances_mm2[part]
        linear, translation = closed_form(here[part][None], there[part][None], weights, scaled=scaled)
        distances = np.linalg.norm(here @ linear[0].T + translation[0] - there, axis=1)
        squares = 3 * float(np.sum(distances[part] ** 2 * weights))
        freedom = 3 * len(part) - (7 if scaled else 6)
        return cls(kept, squares, freedom, float(chdtrc(freedom, squares)), distances)
