"""Sums of exponentials fitted to many curves at once, by least squares over the rates alone."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.projected_descent import descend, dot, put, some_of, taken

Floats = NDArray[np.float64]
# Curves that the grid is tried on together: its arrays stay in the processor's cache.
_CHUNK = 500
# A rate beyond this over the shortest gap leaves nothing to the next point, to the last digit.
_FASTEST, _FASTEST_START = 40.0, 5.0
# One that would step beyond this is put there at once: the slope is too slight to lead it.
_FAR = 10.0
# A term faster than this is of the kind that is gone by the second point.
_INSIDE = 2.5
# A kind whose best of the grid has up to this times the squares found elsewhere is searched too.
_WORTH = 2.5
_TINY = 1e-300


class SumForm(StrEnum):
    """What is summed: A e^(-k t), or A (1 - e^(-k t)) for an uptake from nothing on day 0."""

    EXPONENTIAL = "exponential"
    PLATEAU = "plateau"
    BIEXPONENTIAL = "biexponential"
    BIEXPONENTIAL_PLATEAU = "biexponential-plateau"
    UPTAKE = "uptake"

    @property
    def rate_count(self) -> int:
        """How many rates it has."""
        return 2 if self.startswith("biexponential") else 1

    @property
    def has_constant(self) -> bool:
        """Whether a constant is added."""
        return self in (SumForm.PLATEAU, SumForm.BIEXPONENTIAL_PLATEAU)


@dataclass(frozen=True, slots=True, eq=False)
class ExponentialSums:
    """The best sum of every curve, c of them.

    Attributes
    ----------
    rates_per_day
        Shape (p, c), the fastest first; negative where a term grows.
    amplitudes
        Shape (p, c), in the unit of the values: of a term at the first time where it falls, at the last where it
        grows, and the value it tends to for an uptake.
    constant
        Shape (c,); zeros where the form has none.
    squares
        Sum of the squared residuals in units of their SD, shape (c,).
    """

    rates_per_day: Floats
    amplitudes: Floats
    constant: Floats
    squares: Floats


def fit_exponential_sums(
    time_days: ArrayLike, values: ArrayLike, *, form: SumForm, sd: ArrayLike | None = None
) -> ExponentialSums:
    """Return the least-squares sum of exponentials of every curve; amplitudes and rates of either sign.

    Parameters
    ----------
    time_days
        Shape (n,), rising, shared by all curves.
    values
        Shape (c, n) or (n,); NaN where a curve has no value.
    form
        Which sum.
    sd
        Of each value, shape as ``values``; without it every value counts the same.

    Raises
    ------
    TableError
        Times that do not rise, shapes that do not match, an error that is not positive, or a curve with fewer
        values than the form has parameters.

    Notes
    -----
    For given rates the amplitudes are linear, so only rates are searched (variable projection: Golub & Pereyra 1973,
    doi:10.1137/0710036, with the Jacobian of Kaufman 1975, doi:10.1007/BF01932995): the best of a grid over all rates
    that the times can tell apart, then damped Gauss-Newton steps for all curves side by side. No start is needed.
    """
    times, signal = np.asarray(time_days, dtype=np.float64), np.atleast_2d(np.asarray(values, dtype=np.float64))
    errors = np.ones((1, times.size)) if sd is None else np.atleast_2d(np.asarray(sd, dtype=np.float64))
    _check(times, signal, errors, form)
    is_there = np.isfinite(signal)
    weights = np.where(is_there, 1.0 / errors, 0.0).T.copy()
    targets = np.where(is_there, signal, 0.0).T * weights
    courses = _Courses(times, form)
    return _fit(courses, weights, targets)


def _check(times: Floats, signal: Floats, errors: Floats, form: SumForm) -> None:
    if times.ndim != 1 or times.size < 2 or not np.all(np.diff(times) > 0):
        raise TableError("the times of curves must rise", remedy="sort them, and leave out doubled ones")
    if signal.shape[1] != times.size or errors.shape not in ((1, times.size), signal.shape):
        raise TableError(f"curves need {times.size} values each, got shapes {signal.shape} and {errors.shape}")
    if not (errors > 0).all():
        raise TableError("every error must be above 0")
    needed = 2 * form.rate_count + form.has_constant
    fewest = int(np.isfinite(signal).sum(axis=1).min(initial=needed))
    if fewest < needed:
        raise TableError(f"{form} has {needed} parameters, but a curve has {fewest} values")


class _Courses:
    """The courses a term can have, by u = asinh(k x span): even steps in u are fine steps near zero, wide ones far."""

    def __init__(self, times: Floats, form: SumForm) -> None:
        self.form = form
        self.has_constant = form.has_constant
        self.times = times[:, None]
        self.span = float(times[-1] - times[0])
        gap = float(np.diff(times).min())
        self.fastest = float(np.arcsinh(_FASTEST * self.span / gap))
        self.far = float(np.arcsinh(_FAR * self.span / gap))
        self.inside = float(np.arcsinh(_INSIDE * self.span / gap))
        is_uptake = form is SumForm.UPTAKE
        self.slowest = 1e-4 if is_uptake else -self.fastest
        if form.rate_count == 1:
            self.grid = np.linspace(self.slowest, self.fastest, 41)
        else:
            # Not from the fastest: no slope there would lead back to a rate that can be told.
            fast = float(np.arcsinh(_FASTEST_START * self.span / gap))
            self.grid = np.concatenate([np.arange(-fast, -0.5, 1.3), np.linspace(0.0, fast, int(fast / 0.25) + 1)])

    def column(self, u: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the course, shape (n, c), and its first and second derivative by u."""
        rate = np.sinh(u) / self.span
        by_u = np.cosh(u) / self.span
        if self.form is SumForm.UPTAKE:
            left = np.exp(-rate * self.times)
            slope = self.times * left * by_u
            return 1.0 - left, slope, slope * (rate / by_u - self.times * by_u)
        # Growing terms are 1 on the last day, or they would overflow.
        since = self.times - np.where(rate >= 0, self.times[0], self.times[-1])
        course = np.exp(-rate * since)
        slope = -since * course * by_u
        return course, slope, slope * (rate / by_u - since * by_u)


def _fit(courses: _Courses, weights: Floats, targets: Floats) -> ExponentialSums:
    count = targets.shape[1]
    found_in_grid = [
        _best_of_grid(courses, some_of(weights, slice(at, at + _CHUNK)), targets[:, at : at + _CHUNK])
        for at in range(0, count, _CHUNK)
    ]
    starts = np.concatenate([found for found, _ in found_in_grid], axis=2)
    squares = np.concatenate([found for _, found in found_in_grid], axis=1)
    rank, every = np.argsort(squares, axis=0), np.arange(count)
    found = descend(courses, weights, targets, starts[rank[0], :, every].T)
    # Another valley is walked into only where the grid shows it nearly as deep as the first one's bottom.
    place, kind = np.nonzero((squares[rank[1:], every] < _WORTH * found.squares).T)
    if place.size:
        own = starts[rank[1:][kind, place], :, place].T
        again = descend(courses, some_of(weights, place), targets[:, place], own)
        for turn in range(len(rank) - 1):
            at = np.flatnonzero((kind == turn) & (again.squares < found.squares[place]))
            put(found, place[at], taken(again, at))
    order = np.argsort(-found.u, axis=0)
    amplitudes = np.stack(found.coefficients[-courses.form.rate_count :])
    return ExponentialSums(
        np.take_along_axis(np.sinh(found.u) / courses.span, order, axis=0),
        np.take_along_axis(amplitudes, order, axis=0),
        found.coefficients[0] if courses.has_constant else np.zeros(found.squares.size),
        found.squares,
    )


def _best_of_grid(courses: _Courses, weights: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Return the grid's best u of every kind of pair, shape (kinds, p, c), and the squares there (kinds, c).

    From sums over the points alone. Kinds: one term grows; one is gone by the second point; neither.
    """
    grid = courses.grid
    single, _, _ = courses.column(grid)
    squared = np.square(weights)
    weighted = weights * targets
    own = np.square(single).T @ squared
    along = single.T @ weighted
    if courses.has_constant:
        total = squared.sum(axis=0)
        mean = single.T @ squared
        own -= mean * mean / total
        along -= mean * (weighted.sum(axis=0) / total)
    whole = dot(targets, targets)
    if courses.has_constant:
        whole = whole - np.square(weighted.sum(axis=0)) / total
    if courses.form.rate_count == 1:
        gained = np.square(along) / np.maximum(own, _TINY)
        place = np.argmax(gained, axis=0)
        return grid[None, None, place], (whole - gained.max(axis=0))[None]
    first, second = np.triu_indices(grid.size, 1)
    cross = (single[:, first] * single[:, second]).T @ squared
    if courses.has_constant:
        cross -= mean[first] * mean[second] / total
    determinant = own[first] * own[second] - cross * cross
    gained = own[second] * np.square(along[first]) + own[first] * np.square(along[second])
    gained -= 2.0 * cross * along[first] * along[second]
    # Where two courses are the same to rounding, the quotient is noise.
    is_plain = determinant > 1e-10 * own[first] * own[second]
    gained = np.where(is_plain, gained / np.where(is_plain, determinant, 1.0), 0.0)
    starts, squares = [], []
    is_growing, is_far = grid[first] < 0, grid[second] > courses.inside
    for kind in (is_growing, is_far & ~is_growing, ~is_far & ~is_growing):
        among = np.flatnonzero(kind)
        place = among[np.argmax(gained[among], axis=0)]
        starts.append(np.stack([grid[first[place]], grid[second[place]]]))
        squares.append(whole - gained[place, np.arange(place.size)])
    return np.stack(starts), np.stack(squares)
