"""How far readers agree: intraclass correlation, limits of agreement, variation within, and overlap."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import MeasurementError

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LimitsOfAgreement:
    """Bland and Altman's limits between two readers, first less second.

    ``bias`` is the mean difference, ``lower`` and ``upper`` the bias -+ 1.96 SD, each with its own interval; ``sd`` the
    SD of the differences, ``count`` how many there are.
    """

    bias: Interval
    lower: Interval
    upper: Interval
    sd: float
    count: int


def icc_agreement(table: ArrayLike) -> Interval | None:
    """Return ICC(2,1): absolute agreement of single readings, readers being a sample of all readers.

    Parameters
    ----------
    table
        Readings, shape (targets, readers): at least two of each, every one a number.

    Returns
    -------
    Interval or None
        ``None`` where all readings are equal: nothing can be told from nothing.

    Raises
    ------
    MeasurementError
        For fewer than two targets or readers, or a missing reading.

    Notes
    -----
    Shrout & Fleiss 1979 (doi:10.1037/0033-2909.86.2.420), case 2; the interval by Satterthwaite's degrees of freedom
    as in McGraw & Wong 1996 (doi:10.1037/1082-989X.1.1.30), their ICC(A,1).
    """
    from scipy.stats import f

    n, k, rows, columns, error = _mean_squares(table)
    spread = rows + (k - 1) * error + k * (columns - error) / n
    if not spread > 0:
        return None
    icc = (rows - error) / spread
    if error <= 0 and columns <= 0:
        return Interval(float(icc), 1.0, 1.0)
    # McGraw & Wong's a and b, both times n (1 - icc): finite where readers agree wholly.
    a, b = k * icc, n * (1 - icc) + k * icc * (n - 1)
    parts = (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    freedom = (a * columns + b * error) ** 2 / parts if parts > 0 else float((n - 1) * (k - 1))
    below = f.ppf((1 + _LEVEL) / 2, n - 1, freedom)
    above = f.ppf((1 + _LEVEL) / 2, freedom, n - 1)
    rest = k * columns + (k * n - k - n) * error
    low = n * (rows - below * error) / (below * rest + n * rows)
    high = n * (above * rows - error) / (rest + n * above * rows)
    return Interval(float(icc), float(low), float(high))


def icc_consistency(table: ArrayLike) -> Interval | None:
    """Return ICC(3,1): consistency of single readings of these very readers; a reader's constant bias is left out.

    Parameters and errors are those of :func:`icc_agreement`.

    Notes
    -----
    Shrout & Fleiss 1979 (doi:10.1037/0033-2909.86.2.420), case 3.
    """
    from scipy.stats import f

    n, k, rows, _, error = _mean_squares(table)
    if not rows + (k - 1) * error > 0:
        return None
    icc = (rows - error) / (rows + (k - 1) * error)
    if error <= 0:
        return Interval(float(icc), 1.0, 1.0)
    ratio, residual = rows / error, (n - 1) * (k - 1)
    low = ratio / f.ppf((1 + _LEVEL) / 2, n - 1, residual)
    high = ratio * f.ppf((1 + _LEVEL) / 2, residual, n - 1)
    return Interval(float(icc), float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1)))


def limits_of_agreement(first: ArrayLike, second: ArrayLike) -> LimitsOfAgreement:
    """Return bias and limits of agreement between two readers.

    For ratios, give the logarithms of both readers' readings and take the exponential of what comes back.

    Raises
    ------
    MeasurementError
        For fewer than two targets, unequal counts, or a missing reading.

    Notes
    -----
    Bland & Altman 1999 (doi:10.1177/096228029900800204): bias -+ 1.96 SD of the differences; SE of the bias
    SD / sqrt(n), of a limit SD sqrt(1/n + 1.96^2 / (2 (n - 1))), both with Student's t of n - 1.
    """
    from scipy.stats import norm, t

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or a.size < 2:
        raise MeasurementError(f"two readers of two targets or more were needed, got {a.shape} and {b.shape}")
    difference = a - b
    if not np.isfinite(difference).all():
        raise MeasurementError("a reading is missing", remedy="leave its target out for both readers")
    n, bias, sd = a.size, float(difference.mean()), float(difference.std(ddof=1))
    width, factor = float(norm.ppf((1 + _LEVEL) / 2)), float(t.ppf((1 + _LEVEL) / 2, n - 1))
    of_bias = factor * sd / n**0.5
    of_limit = factor * sd * (1 / n + width**2 / (2 * (n - 1))) ** 0.5
    lower, upper = bias - width * sd, bias + width * sd
    return LimitsOfAgreement(
        Interval(bias, bias - of_bias, bias + of_bias),
        Interval(lower, lower - of_limit, lower + of_limit),
        Interval(upper, upper - of_limit, upper + of_limit),
        sd,
        n,
    )


def variation_within(table: ArrayLike) -> float | None:
    """Return the coefficient of variation between readers within a target, in percent.

    ``table`` holds readings, shape (targets, readers); ``None`` where a target's mean is not positive.

    Raises
    ------
    MeasurementError
        For fewer than two readers, no target, or a missing reading.

    Notes
    -----
    Root of the mean of (SD / mean)^2 over targets, SD with k - 1: the mean of CVs would be too low (Bland,
    An Introduction to Medical Statistics, 4th ed., section 20.2).
    """
    readings = _complete(table, least_targets=1)
    means = readings.mean(axis=1)
    if not (means > 0).all():
        return None
    return 100 * float(np.sqrt(np.mean(readings.var(axis=1, ddof=1) / means**2)))


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float | None:
    """Return Dice's overlap of two masks, 0 to 1; ``None`` if both are empty (doi:10.2307/1932409)."""
    return generalised_dice({"": first}, {"": second})


def generalised_dice(first: Mapping[str, NDArray[np.bool_]], second: Mapping[str, NDArray[np.bool_]]) -> float | None:
    """Return the overlap of two readers' organs taken together, 0 to 1; ``None`` if neither drew any.

    An organ that only one of them drew counts as no overlap.

    Notes
    -----
    2 sum_l |A_l and B_l| / sum_l (|A_l| + |B_l|): Crum et al. 2006 (doi:10.1109/TMI.2006.880587), every voxel
    of the same weight, so that large organs weigh more.
    """
    both = sum(int(np.count_nonzero(first[name] & second[name])) for name in first.keys() & second.keys())
    each = sum(int(np.count_nonzero(mask)) for organs in (first, second) for mask in organs.values())
    return 2 * both / each if each else None


def _complete(table: ArrayLike, least_targets: int = 2) -> NDArray[np.float64]:
    readings = np.asarray(table, dtype=np.float64)
    if readings.ndim != 2 or readings.shape[0] < least_targets or readings.shape[1] < 2:
        raise MeasurementError(
            f"agreement needs {least_targets} targets and 2 readers or more, got a table of {readings.shape}",
            remedy="give more scans, or more label files of a scan",
        )
    if not np.isfinite(readings).all():
        raise MeasurementError("a reading is missing", remedy="leave its target out for all readers")
    return readings


def _mean_squares(table: ArrayLike) -> tuple[int, int, float, float, float]:
    """Return counts of targets and readers, and the mean squares of targets, readers and what is left."""
    readings = _complete(table)
    n, k = readings.shape
    whole = readings.mean()
    of_rows, of_columns = readings.mean(axis=1) - whole, readings.mean(axis=0) - whole
    left = readings - whole - of_rows[:, None] - of_columns
    # What rounding leaves of equal readings is no scatter.
    floor = (1e-12 * max(abs(float(readings.max())), abs(float(readings.min())))) ** 2
    squares = (
        k * float(of_rows @ of_rows) / (n - 1),
        n * float(of_columns @ of_columns) / (k - 1),
        float((left**2).sum()) / ((n - 1) * (k - 1)),
    )
    rows, columns, error = (square if square > floor else 0.0 for square in squares)
    return n, k, rows, columns, error
