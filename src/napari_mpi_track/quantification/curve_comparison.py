"""Two calibration curves side by side: how much lower one is, and whether their slopes are the same."""

from dataclasses import dataclass
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.quantification.calibration_line import COMPARED, Calibration, Difference, mismatches
from napari_mpi_track.quantification.variance_model import VarianceForm

_PLACES = 41
# These tell the curves apart; that they differ is why they are compared.
_MAY_DIFFER = ("kind", "cell_type", "labelling")


@dataclass(frozen=True, slots=True)
class PercentDifference:
    """How far one quantity lies above another, in percent of the other, with its confidence interval.

    ``value`` is 100 (second/first - 1): -30 is a reduction by 30 %. ``low`` and ``high`` are NaN where the interval
    is not finite (the first quantity is not significantly different from zero).
    """

    value: float
    low: float
    high: float

    @property
    def is_finite(self) -> bool:
        """Whether there is a finite interval."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


@dataclass(frozen=True, slots=True)
class SlopeTest:
    """Test that two slopes are equal: the F ratio of one and so many degrees of freedom, and its p-value."""

    f_ratio: float
    degrees_of_freedom: float
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class CurveComparison:
    """The second curve against the first, over the x that both were measured at.

    Attributes
    ----------
    first, second
        The curves; the first is what percentages are of.
    common_range
        In x (cells, or ng of iron).
    over_range
        Difference of the mean signals over the common range, in percent of the first's.
    of_slopes
        Difference of the slopes, in percent of the first's: what remains when both blanks are taken off.
    equal_slopes
        Analysis of covariance with one common scatter; where a curve has weights, each sample by its own SD (without
        them a scatter that grows with the signal refutes 38 % of equal slopes and not 5 %).
    equal_slopes_own_scatter
        Each curve with its own weights and scatter (Welch): the one to read where the scatters differ.
    x
        Places over the common range, shape (n,).
    at_x
        Difference at each place: value, low, high in percent, shape (n, 3); NaN as in :class:`PercentDifference`.
    differences
        Facts besides the kind in which the curves were made differently: percentages then hold these effects too.
    level
        Of all intervals.
    """

    first: Calibration
    second: Calibration
    common_range: tuple[float, float]
    over_range: PercentDifference
    of_slopes: PercentDifference
    equal_slopes: SlopeTest
    equal_slopes_own_scatter: SlopeTest
    x: NDArray[np.float64]
    at_x: NDArray[np.float64]
    differences: tuple[Difference, ...]
    level: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", frozen(self.x))
        object.__setattr__(self, "at_x", frozen(self.at_x))

    __getstate__ = get_state
    __setstate__ = set_state


def compare_curves(first: Calibration, second: Calibration, *, level: float = 0.95) -> CurveComparison:
    """Return how the second curve differs from the first.

    Parameters
    ----------
    first
        The reference: what percentages are of (the solution, where cells are compared with it).
    second
        The other.
    level
        Of the intervals.

    Raises
    ------
    CalibrationError
        Curves against different quantities (cells and iron) or of different metrics, curves without their samples, a
        level outside 0..1, or no common range.

    Notes
    -----
    The mean of a line over a range is the line at the range's middle, so the percentage over the range is the ratio
    of the lines there. Ratios have Fieller's interval (doi:10.1111/j.2517-6161.1954.tb00159.x), with the degrees of
    freedom of both curves by Welch-Satterthwaite. Equal slopes: analysis of covariance, the F test of the interaction
    of x and curve (Draper & Smith, Applied Regression Analysis, 3rd ed. 1998, doi:10.1002/9781118625590, ch. 14).
    """
    if not 0 < level < 1:
        raise CalibrationError(f"the level of an interval lies between 0 and 1, got {level}")
    _require_comparable(first, second)
    low, high = max(first.x_range[0], second.x_range[0]), min(first.x_range[1], second.x_range[1])
    if not low < high:
        raise CalibrationError(
            f"the curves have no range in common: {_range_text(first)} and {_range_text(second)}",
            remedy="compare curves whose standards overlap",
        )
    x = np.linspace(low, high, _PLACES)
    at_x = np.array([_tuple(_of_lines(first, second, float(place), level)) for place in x])
    stated = {name: getattr(second, name) for name in COMPARED if name not in _MAY_DIFFER}
    return CurveComparison(
        first,
        second,
        (low, high),
        _of_lines(first, second, (low + high) / 2, level),
        percent_difference(
            (first.slope, first.slope_se**2, _slope_degrees(first)),
            (second.slope, second.slope_se**2, _slope_degrees(second)),
            level,
        ),
        _analysis_of_covariance(first, second),
        _own_scatter_test(first, second),
        x,
        at_x,
        tuple(mismatches(first, **stated)),
        level,
    )


def percent_difference(
    first: tuple[float, float, float], second: tuple[float, float, float], level: float = 0.95
) -> PercentDifference:
    """Return how far ``second`` lies above ``first`` in percent, with Fieller's interval.

    Parameters
    ----------
    first, second
        Each (mean, variance of the mean, degrees of freedom of that variance), independent of each other.
    level
        Of the interval.

    Notes
    -----
    All ratios r with (s - r f)^2 <= t^2 (V_s + r^2 V_f); g = t^2 V_f/f^2 >= 1 has no finite interval.
    """
    (f, f_variance, f_degrees), (s, s_variance, s_degrees) = first, second
    ratio = s / f if f else nan
    terms = ((s_variance, s_degrees), (ratio * ratio * f_variance, f_degrees))
    t_squared = _t_quantile(_joint_degrees(terms), level) ** 2
    curvature = f * f - t_squared * f_variance
    if not (curvature > 0 and np.isfinite(ratio)):
        return PercentDifference(100.0 * (ratio - 1.0), nan, nan)
    constant = s * s - t_squared * s_variance
    half = sqrt(max((s * f) ** 2 - curvature * constant, 0.0)) / curvature
    middle = s * f / curvature
    return PercentDifference(100.0 * (ratio - 1.0), 100.0 * (middle - half - 1.0), 100.0 * (middle + half - 1.0))


def _require_comparable(first: Calibration, second: Calibration) -> None:
    if first.x_quantity != second.x_quantity:
        raise CalibrationError(
            f"one curve is against {first.x_quantity}, the other against {second.x_quantity}",
            remedy="compare two curves against iron (in-cells-iron for cells), or two against cells",
        )
    if first.metric is not None and second.metric is not None and first.metric != second.metric:
        raise CalibrationError(
            f"one curve is of the {first.metric}, the other of the {second.metric}",
            remedy="compare curves of the same metric",
        )
    if min(first.x.size, second.x.size) < 3:
        raise CalibrationError(
            "a comparison needs the samples of both curves, and one was saved without",
            remedy="make it again with mpi-track calibrate",
        )


def _range_text(curve: Calibration) -> str:
    return f"{curve.x_range[0]:.4g} to {curve.x_range[1]:.4g}"


def _tuple(difference: PercentDifference) -> tuple[float, float, float]:
    return difference.value, difference.low, difference.high


def _of_lines(first: Calibration, second: Calibration, x: float, level: float) -> PercentDifference:
    def at(curve: Calibration) -> tuple[float, float, float]:
        mean = float(curve.signal_at(x))
        return mean, float(curve.line_variance_at(x)), float(curve.variance_model.degrees_of_freedom_at(max(mean, 0.0)))

    return percent_difference(at(first), at(second), level)


def _slope_degrees(curve: Calibration) -> float:
    """Return the degrees of freedom of the slope's variance: of the scatter at the middle of the standards."""
    return float(curve.variance_model.degrees_of_freedom_at(float(np.mean(curve.signal))))


def _joint_degrees(terms: tuple[tuple[float, float], ...]) -> float:
    """Return Welch-Satterthwaite's degrees of freedom of a sum of (variance, degrees of freedom)."""
    whole = sum(variance for variance, _ in terms)
    spread = sum(variance**2 / degrees for variance, degrees in terms if degrees > 0)
    return whole * whole / spread if spread > 0 else inf


def _t_quantile(degrees: float, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(min(degrees, 1e12), 0.5 + 0.5 * level))


def _analysis_of_covariance(first: Calibration, second: Calibration) -> SlopeTest:
    from scipy.special import fdtrc

    weights = _weights_of(first, second)
    sums = [_centred_sums(curve.x, curve.signal, w) for curve, w in zip((first, second), weights, strict=True)]
    residual = sum(yy - xy * xy / xx for xx, xy, yy in sums)
    all_xx, all_xy = sum(s[0] for s in sums), sum(s[1] for s in sums)
    with_one_slope = sum(s[2] for s in sums) - all_xy**2 / all_xx
    degrees = first.x.size + second.x.size - 4
    explained = max(with_one_slope - residual, 0.0)
    if not residual > 0:
        return SlopeTest(inf if explained > 0 else nan, degrees, 0.0 if explained > 0 else nan)
    ratio = explained / (residual / degrees)
    return SlopeTest(ratio, degrees, float(fdtrc(1, degrees, ratio)))


def _weights_of(first: Calibration, second: Calibration) -> list[NDArray[np.float64]]:
    """Return the weight of every sample of both curves: 1, or one over its variance where a curve is weighted."""
    curves = (first, second)
    ones = [np.ones(curve.x.size) for curve in curves]
    if all(curve.variance_model.form is VarianceForm.CONSTANT for curve in curves):
        return ones
    variances = [
        np.broadcast_to(curve.variance_model.variance(curve.x, curve.signal_at(curve.x)), curve.x.shape)
        for curve in curves
    ]
    return [1.0 / variance for variance in variances] if all((v > 0).all() for v in variances) else ones


def _centred_sums(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float, float]:
    dx, dy = x - np.average(x, weights=weights), y - np.average(y, weights=weights)
    return float((weights * dx) @ dx), float((weights * dx) @ dy), float((weights * dy) @ dy)


def _own_scatter_test(first: Calibration, second: Calibration) -> SlopeTest:
    from scipy.special import fdtrc

    variances = [(curve.slope_se**2, _slope_degrees(curve)) for curve in (first, second)]
    whole, degrees = variances[0][0] + variances[1][0], _joint_degrees((variances[0], variances[1]))
    if not whole > 0:
        is_same = first.slope == second.slope
        return SlopeTest(nan if is_same else inf, degrees, nan if is_same else 0.0)
    ratio = (first.slope - second.slope) ** 2 / whole
    return SlopeTest(ratio, degrees, float(fdtrc(1, min(degrees, 1e12), ratio)))
