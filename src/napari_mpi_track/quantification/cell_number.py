"""From a signal to cells (or iron), with an interval that covers what it says."""

from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.quantification.calibration_line import Calibration
from napari_mpi_track.quantification.estimate import Estimate

BELOW_DETECTION = "below_detection"
ABOVE_CALIBRATION = "above_calibration"
NO_FINITE_INTERVAL = "no_finite_interval"
_FLAGS = (BELOW_DETECTION, ABOVE_CALIBRATION, NO_FINITE_INTERVAL)
# Every combination of flags as text, indexed by its bits.
_FLAG_TEXTS = np.array([";".join(f for i, f in enumerate(_FLAGS) if bits >> i & 1) for bits in range(8)], dtype=object)

INTERCEPT = "calibration:intercept"
SLOPE = "calibration:slope"


@dataclass(frozen=True, slots=True, eq=False)
class CellCounts:
    """Signals read through a calibration; every array has the shape of the signals.

    Attributes
    ----------
    signal
        As given.
    value, low, high
        Cells, or iron in ng; NaN is an empty cell. Below detection: value NaN, low 0, high the bound. Without a
        finite interval: low and high NaN.
    flag
        Text, several joined by ``;``, empty for none.
    """

    signal: NDArray[np.float64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    flag: NDArray[np.object_]

    __getstate__ = get_state
    __setstate__ = set_state

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            object.__setattr__(self, name, frozen(getattr(self, name)))


def count_cells(
    signals: ArrayLike,
    calibration: Calibration,
    *,
    own_sd: ArrayLike = 0.0,
    replicates: int = 1,
    level: float = 0.95,
    detection_signal: ArrayLike | None = None,
) -> CellCounts:
    """Return signals as cells (or ng of iron), with Fieller intervals and flags.

    Parameters
    ----------
    signals
        Each a mean of ``replicates`` measurements, in the unit of the calibration's signal; any shape.
    calibration
        The line.
    own_sd
        SD of each signal's own further error (noise, alignment, spill-over), not reduced by ``replicates``; in the
        unit of the signal, broadcast against the signals.
    replicates
        How many measurements each signal is the mean of.
    level
        Of the interval.
    detection_signal
        Signal below which the image alone cannot tell that something is there; the larger of it and the calibration's
        decision limit decides. Broadcast against the signals.

    Raises
    ------
    CalibrationError
        Fewer than one replicate, a negative SD, a level outside 0..1.

    Notes
    -----
    x = (y - a)/b. Its interval holds every x whose expected signal differs from y by no more than t SDs:
    (y - a - b x)^2 <= t^2 (V(y)/m + own_sd^2 + Var(a) + 2 x Cov(a, b) + x^2 Var(b)) (Fieller 1954,
    doi:10.1111/j.2517-6161.1954.tb00159.x), V(y) the variance of a sample of that signal. Without weights this is the
    textbook g-interval, g = t^2 Var(b)/b^2, and at g >= 1 it is not finite. The scatter of the calibration is known
    with its degrees of freedom, ``own_sd`` is taken as known: t has Welch-Satterthwaite's degrees of freedom, from
    the calibration's own where ``own_sd`` is 0 towards the normal where it dominates. Cells are not negative, so
    limits stop at 0, which leaves the coverage as it is.
    """
    y, own, detection = _checked(signals, own_sd, replicates, level, detection_signal)
    a, b = calibration.intercept, calibration.slope
    (aa, ab), (_, bb) = calibration.covariance
    distance = y - a
    value = distance / b
    sample_variance = _sample_variance(calibration, y, value) / replicates
    t = _t_quantile(calibration, y, value, sample_variance, own, level)
    t_squared = t * t
    curvature = b * b - t_squared * bb
    centre = b * distance + t_squared * ab
    constant = distance * distance - t_squared * (sample_variance + own * own + aa)
    has_interval = curvature > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.sqrt(np.maximum(centre * centre - curvature * constant, 0.0)) / curvature
        middle = centre / curvature
    is_finite = has_interval & np.isfinite(y)
    low = np.where(is_finite, np.maximum(middle - half, 0.0), np.nan)
    high = np.where(is_finite, np.maximum(middle + half, 0.0), np.nan)

    decision = calibration.decision_signal(replicates)
    threshold = np.maximum(decision, detection)
    is_below = y < threshold
    if is_below.any():
        value = np.where(is_below, np.nan, value)
        low = np.where(is_below, 0.0, low)
        # A signal far below the line says no more than a blank does: the bound is never under the threshold.
        high = np.where(is_below, np.maximum(high, (threshold - a) / b), high)
    bits = is_below * 1 + ((value > calibration.x_range[1]) & ~is_below) * 2 + (~is_finite & ~is_below) * 4
    return CellCounts(y, value, low, high, _FLAG_TEXTS[bits])


def cell_estimate(signal: Estimate, calibration: Calibration, *, replicates: int = 1) -> Estimate:
    """Return cells (or ng of iron) as an estimate that knows what error it shares through the calibration.

    The own error is the signal's own and the scatter of one calibration sample over ``replicates``; the shared ones
    are the signal's and the line's two numbers, made independent by the Cholesky factor of their covariance.

    Notes
    -----
    First order. Sums of organs belong in signal: each organ read through the line carries the intercept once more.
    """
    value = (signal.value - calibration.intercept) / calibration.slope
    variance = float(_sample_variance(calibration, np.float64(signal.value), np.float64(value))) / replicates
    by_line = _line_errors(calibration, value)
    shared = {name: sd / calibration.slope for name, sd in signal.shared.items()}
    for name, sd in by_line.items():
        shared[name] = shared.get(name, 0.0) - sd / calibration.slope
    return Estimate(value, hypot(signal.own_sd, sqrt(variance)) / calibration.slope, shared)


def signal_estimate(cells: Estimate | float, calibration: Calibration) -> Estimate:
    """Return the signal expected of a number of cells (or ng of iron): a + b N with all the error of the line.

    For a reference whose number of cells is known and whose signal was not measured. It shares its error with every
    :func:`cell_estimate` of the same calibration.
    """
    number = cells if isinstance(cells, Estimate) else Estimate(float(cells))
    from_cells = number * calibration.slope
    return from_cells + Estimate(calibration.intercept, 0.0, _line_errors(calibration, number.value))


def _line_errors(calibration: Calibration, x: float) -> dict[str, float]:
    """Return how far one SD of each independent source moves the line at ``x``, in the unit of the signal."""
    (aa, ab), (_, bb) = calibration.covariance
    first = sqrt(aa)
    first_on_slope = ab / first if first else 0.0
    second = sqrt(max(bb - first_on_slope**2, 0.0))
    return {INTERCEPT: first + x * first_on_slope, SLOPE: x * second}


def _sample_variance(calibration: Calibration, y: Any, x: Any) -> Any:
    """Return the variance of one measurement at signal ``y``; below a blank it is a blank's."""
    return calibration.variance_model.variance(np.maximum(x, 0.0), np.maximum(y, calibration.intercept))


def _t_quantile(
    calibration: Calibration, y: Any, x: Any, sample_variance: Any, own: NDArray[np.float64], level: float
) -> Any:
    """Return the two-sided t for each signal, degrees of freedom by Welch-Satterthwaite (doi:10.2307/3002019)."""
    from scipy.special import stdtrit

    probability = 0.5 + 0.5 * level
    degrees = calibration.variance_model.degrees_of_freedom_at(np.maximum(y, calibration.intercept))
    if not own.any() and np.ndim(degrees) == 0:
        return float(stdtrit(float(degrees), probability))
    by_line = sample_variance + np.maximum(calibration.line_variance_at(np.maximum(x, 0.0)), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.square(by_line / (by_line + own * own)) / degrees
    inverse = np.nan_to_num(inverse, nan=0.0)
    if inverse.size < 1000:
        return stdtrit(1.0 / np.maximum(inverse, 1e-12), probability)
    # t is smooth in 1/degrees: a table of it is as good to 1e-6 and a hundred times as fast.
    table = np.linspace(0.0, float(inverse.max()), 4001)
    return np.interp(inverse, table, stdtrit(1.0 / np.maximum(table, 1e-12), probability))


def _checked(
    signals: ArrayLike, own_sd: ArrayLike, replicates: int, level: float, detection_signal: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    if replicates < 1:
        raise CalibrationError(f"a signal is the mean of 1 replicate or more, got {replicates}")
    if not 0 < level < 1:
        raise CalibrationError(f"the level of an interval lies between 0 and 1, got {level}")
    y, own = np.asarray(signals, dtype=np.float64), np.asarray(own_sd, dtype=np.float64)
    if (own < 0).any():
        raise CalibrationError(f"an SD must not be negative, got {own.min():g}")
    detection = np.asarray(-np.inf if detection_signal is None else detection_signal, dtype=np.float64)
    return y, own, detection
