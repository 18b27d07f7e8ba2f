"""From a signal to cells (or iron), with an interval that covers what it says."""

from dataclasses import dataclass
from functools import lru_cache
from math import hypot, prod, sqrt
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

# So many signals at a time stay in the processor's cache.
_BLOCK = 16_384
_FEW, _TABLE = 1000, 4000

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
    replicates: float = 1,
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
        How many measurements each signal is the mean of; infinity where ``own_sd`` holds their scatter already.
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
    shape = np.broadcast_shapes(y.shape, own.shape, detection.shape)
    given = [part.ravel() if part.size == 1 else np.broadcast_to(part, shape).ravel() for part in (y, own, detection)]
    numbers, bits = np.empty((3, prod(shape))), np.empty(prod(shape), dtype=np.uint8)
    for start in range(0, bits.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        signal, own_of, least = (part if part.size == 1 else part[block] for part in given)
        bits[block] = _read_block(calibration, signal, own_of, least, replicates, level, numbers[:, block])
    flag = _FLAG_TEXTS[bits]
    for made in (numbers, flag):
        # Nobody else holds them: frozen here, they need no copy to be so.
        made.flags.writeable = False
    value, low, high = (part.reshape(shape) for part in numbers)
    return CellCounts(y, value, low, high, flag.reshape(shape))


def _read_block(
    calibration: Calibration,
    y: NDArray[np.float64],
    own: NDArray[np.float64],
    detection: NDArray[np.float64],
    replicates: float,
    level: float,
    numbers: NDArray[np.float64],
) -> NDArray[Any]:
    """Write value, low and high of a block of signals into ``numbers``, shape (3, n); return the bits of its flags."""
    a, b = calibration.intercept, calibration.slope
    (aa, ab), (_, bb) = calibration.covariance
    value, low, high = numbers
    distance = y - a
    np.divide(distance, b, out=value)
    sample_variance = _sample_variance(calibration, y, value) / replicates
    t_squared = np.square(_t_quantile(calibration, y, value, sample_variance, own, level))
    curvature = b * b - t_squared * bb
    centre = b * distance + t_squared * ab
    constant = distance * distance - t_squared * (sample_variance + own * own + aa)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.sqrt(np.maximum(centre * centre - curvature * constant, 0.0)) / curvature
        middle = centre / curvature
        np.maximum(middle - half, 0.0, out=low)
        np.maximum(middle + half, 0.0, out=high)
    is_open = ~((curvature > 0) & np.isfinite(y))
    if is_open.any():
        low[is_open] = high[is_open] = np.nan

    threshold = np.maximum(calibration.decision_signal(replicates), detection)
    is_below = y < threshold
    bits = (value > calibration.x_range[1]) * 2 + is_open * 4
    if is_below.any():
        # A signal far below the line says no more than a blank does: the bound is never under the threshold.
        bound = np.maximum(high, (threshold - a) / b)
        value[is_below], low[is_below], bits[is_below] = np.nan, 0.0, 1
        np.copyto(high, bound, where=is_below)
    return np.asarray(bits)


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
    inverse = np.nan_to_num(np.atleast_1d(inverse), nan=0.0)
    if inverse.size < _FEW:
        return stdtrit(1.0 / np.maximum(inverse, 1e-12), probability)
    table, steps = _quantiles(probability)
    inverse *= _TABLE
    below = inverse.astype(np.intp)
    inverse -= below
    return table[below] + inverse * steps[below]


@lru_cache(maxsize=8)
def _quantiles(probability: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return t over 1/degrees of freedom from 0 to 1, and its steps: smooth, so that a table is as good to 1e-6."""
    from scipy.special import stdtrit

    inverse = np.linspace(0.0, 1.0, _TABLE + 1)
    t: NDArray[np.float64] = np.asarray(stdtrit(1.0 / np.maximum(inverse, 1e-12), probability), dtype=np.float64)
    return t, np.diff(t, append=t[-1])


def _checked(
    signals: ArrayLike, own_sd: ArrayLike, replicates: float, level: float, detection_signal: ArrayLike | None
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
