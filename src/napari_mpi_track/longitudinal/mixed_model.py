"""A straight line over animals that differ: restricted likelihood, with Kenward and Roger's small-sample errors."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import TableError

Floats = NDArray[np.float64]
FEWEST_ANIMALS = 3
_LARGEST_RATIO = 1e3
# Less of the squares than this is rounding, not scatter.
_EXACT = 1e-13
# By G's lower triangle: between intercepts, between both, between slopes; then the scatter.
_PAIRS = ((0, 0), (1, 0), (1, 1))


@dataclass(frozen=True, slots=True, eq=False)
class MixedLine:
    """The mean line of a population of animals.

    Attributes
    ----------
    intercept, slope
        Of the mean line.
    intercept_se, slope_se
        Kenward and Roger's adjusted standard errors.
    intercept_df, slope_df
        Degrees of freedom of their t intervals.
    between_sd
        SD between animals of the intercept and of the slope.
    residual_sd
        SD within animals, of a point of mean weight.
    """

    intercept: float
    slope: float
    intercept_se: float
    slope_se: float
    intercept_df: float
    slope_df: float
    between_sd: tuple[float, float]
    residual_sd: float

    def slope_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the t interval of the slope."""
        from scipy.special import stdtrit

        reach = float(stdtrit(self.slope_df, 0.5 + 0.5 * level)) * self.slope_se
        return self.slope - reach, self.slope + reach


@dataclass(frozen=True, slots=True, eq=False)
class _Animal:
    """One animal's points: [1, x] shape (n, 2), y shape (n,), and the relative variance of its scatter (n,)."""

    design: Floats
    values: Floats
    spread: Floats

    def relative_variance(self, factor: Floats) -> Floats:
        half = self.design @ factor
        return np.asarray(half @ half.T + np.diag(self.spread))

    def by_parameter(self) -> list[Floats]:
        """Return the derivatives of this animal's variance by G's three numbers and by the scatter's."""
        found: list[Floats] = []
        for i, k in _PAIRS:
            outer: Floats = self.design[:, i, None] * self.design[:, k]
            found.append(outer if i == k else np.asarray(outer + outer.T))
        return [*found, np.asarray(np.diag(self.spread), dtype=np.float64)]


def fit_mixed_line(
    x: ArrayLike, y: ArrayLike, animal: ArrayLike, *, relative_variance: ArrayLike | None = None
) -> MixedLine:
    """Return the mean line y = a + b x of animals whose intercepts and slopes vary.

    Parameters
    ----------
    x, y
        Shape (n,).
    animal
        Whose each point is, shape (n,), any kind of name.
    relative_variance
        Of each point's scatter, up to a factor that is estimated, shape (n,); ones when not given.

    Raises
    ------
    TableError
        With fewer than three animals that have three different x each: how slopes vary could not be told, and without
        that the interval of two animals covers 68 % instead of 95 %.

    Notes
    -----
    V = Z G Z' + s^2 R is linear in its parameters, so the adjusted covariance of Kenward & Roger 1997
    (doi:10.2307/2533558) has no second derivatives, and for one contrast their degrees of freedom are
    2 (l'Fl)^2 / (g'Wg), g_i = l'F X'V^-1 V_i V^-1 X F l, W the covariance of the variance parameters.
    """
    animals = _animals(x, y, animal, relative_variance)
    return _described(animals, _relative_factor(animals))


def _animals(x: ArrayLike, y: ArrayLike, animal: ArrayLike, relative_variance: ArrayLike | None) -> list[_Animal]:
    days, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    names, member = np.unique(np.asarray(animal), return_inverse=True)
    spread = np.ones(days.size) if relative_variance is None else np.asarray(relative_variance, dtype=np.float64)
    spread = spread / spread.mean()
    design = np.column_stack([np.ones(days.size), days])
    able = sum(np.unique(days[member == at]).size >= 3 for at in range(names.size))
    if able < FEWEST_ANIMALS:
        raise TableError(f"a line over animals needs {FEWEST_ANIMALS} with three days each, got {able}")
    return [_Animal(design[member == at], values[member == at], spread[member == at]) for at in range(names.size)]


def _relative_factor(animals: list[_Animal]) -> Floats:
    """Return the Cholesky factor of G/s^2 of highest restricted likelihood, shape (2, 2)."""
    from scipy.optimize import minimize

    # Slopes are searched in units that make both columns alike.
    reach = sqrt(float(np.mean(np.square(np.concatenate([animal.design[:, 1] for animal in animals]))))) or 1.0

    def factor(theta: Floats) -> Floats:
        # Beyond this ratio to the scatter nothing changes; exact lines would else run off without end.
        kept = np.clip(theta, -_LARGEST_RATIO, _LARGEST_RATIO)
        return np.array([[kept[0], 0.0], [kept[1] / reach, kept[2] / reach]])

    def deviance(theta: NDArray[Any]) -> float:
        return _restricted_deviance(animals, factor(theta))

    starts = np.array([[0.5, 0.0, 0.5], [2.0, -0.5, 0.5], [0.2, 0.0, 2.0]])
    found = [
        minimize(deviance, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}) for start in starts
    ]
    return factor(min(found, key=lambda each: float(each.fun)).x)


def _restricted_deviance(animals: list[_Animal], factor: Floats) -> float:
    """Return -2 log restricted likelihood, the common factor of the variance profiled out, up to a constant."""
    log_determinant, information, along, squares = _sums(animals, factor)
    mean = np.linalg.solve(information, along)
    left = max(squares - float(along @ mean), _EXACT * squares, 1e-300)
    free = sum(animal.values.size for animal in animals) - 2
    return float(log_determinant + np.linalg.slogdet(information)[1] + free * np.log(left))


def _sums(animals: list[_Animal], factor: Floats) -> tuple[float, Floats, Floats, float]:
    """Return log |V|, X'V^-1 X, X'V^-1 y and y'V^-1 y, V relative to the scatter's variance."""
    log_determinant, squares = 0.0, 0.0
    information, along = np.zeros((2, 2)), np.zeros(2)
    for animal in animals:
        variance = animal.relative_variance(factor)
        both = np.linalg.solve(variance, np.column_stack([animal.design, animal.values]))
        log_determinant += float(np.linalg.slogdet(variance)[1])
        information += animal.design.T @ both[:, :2]
        along += animal.design.T @ both[:, 2]
        squares += float(animal.values @ both[:, 2])
    return log_determinant, information, along, squares


def _described(animals: list[_Animal], factor: Floats) -> MixedLine:
    _, information, along, squares = _sums(animals, factor)
    mean = np.linalg.solve(information, along)
    points = sum(animal.values.size for animal in animals)
    scatter = max(squares - float(along @ mean), _EXACT * squares, 1e-300) / (points - 2)
    adjusted, degrees = _kenward_roger(
        animals, factor, scatter, np.asarray(np.linalg.inv(information) * scatter, np.float64)
    )
    between = np.diag(factor @ factor.T) * scatter
    return MixedLine(
        float(mean[0]),
        float(mean[1]),
        sqrt(adjusted[0, 0]),
        sqrt(adjusted[1, 1]),
        degrees[0],
        degrees[1],
        (sqrt(between[0]), sqrt(between[1])),
        sqrt(scatter),
    )


def _kenward_roger(
    animals: list[_Animal], factor: Floats, scatter: float, covariance: Floats
) -> tuple[Floats, tuple[float, float]]:
    """Return the adjusted covariance of the two coefficients, and the degrees of freedom of each."""
    count = len(_PAIRS) + 1
    first = np.zeros((count, 2, 2))
    second = np.zeros((count, count, 2, 2))
    traces = np.zeros((count, count))
    for animal in animals:
        inverse = np.linalg.inv(animal.relative_variance(factor)) / scatter
        inside = [inverse @ part for part in animal.by_parameter()]
        seen = inverse @ animal.design
        for i, part in enumerate(inside):
            first[i] += -animal.design.T @ part @ seen
            for k, other in enumerate(inside):
                second[i, k] += animal.design.T @ part @ other @ seen
                traces[i, k] += float(np.sum(part * other.T))
    # tr(P V_i P V_k), P the projector of restricted likelihood, from sums over animals alone.
    expected = 0.5 * (
        traces
        - 2.0 * np.einsum("ab,ikba->ik", covariance, second)
        + np.einsum("ab,ibc,cd,kda->ik", covariance, first, covariance, first)
    )
    of_parameters = np.linalg.pinv(expected, hermitian=True)
    turned = np.einsum("iab,bc,kcd->ikad", first, covariance, first)
    correction = np.einsum("ik,ikab->ab", of_parameters, second - turned)
    adjusted = covariance + 2.0 * covariance @ correction @ covariance
    slopes = np.einsum("ab,ibc,cd->iad", covariance, first, covariance)
    degrees = [
        float(2.0 * covariance[at, at] ** 2 / max(float(slopes[:, at, at] @ of_parameters @ slopes[:, at, at]), 1e-300))
        for at in range(2)
    ]
    # Rounding must not take from an error what the small sample adds.
    adjusted[np.diag_indices(2)] = np.maximum(np.diag(adjusted), np.diag(covariance))
    return adjusted, (degrees[0], degrees[1])
