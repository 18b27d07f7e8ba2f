"""Whether a receiver's curve fits the series it was fitted to, and how far it may be used where it does not."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.receiver import Receiver
from napari_mpi_track.quantification.receiver_curves import TabledReceiver

_MISFIT_LEVEL = 0.01
# Of some ten means of replicates the farthest lies three of its SDs off in one series of forty.
_MISSED_SDS = 3.0
# What a curve misses by less than that is far below what pipettes do.
_LEAST_PART = 0.02


@dataclass(frozen=True, slots=True)
class Judged:
    """A curve with the range it may be used over, the p-value of its test, and sentences on what it does not do."""

    curve: Receiver
    p_value: float | None
    doubts: tuple[str, ...] = ()


def judge_receiver(
    curve: Receiver, x: NDArray[np.float64], y: NDArray[np.float64], fitted: NDArray[np.float64], parameters: int
) -> Judged:
    """Return the curve as far as the means of replicates bear it out.

    Parameters
    ----------
    curve
        As fitted.
    x, y, fitted
        What the samples held, their readings, and the curve's; shape (n,).
    parameters
        How many numbers were fitted.

    Raises
    ------
    CalibrationError
        If the curve misses the series from its foot on.
    """
    from scipy.special import fdtrc

    levels, level_of, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(level_of, y) / counts
    pure_ss, pure_degrees = float(np.sum(np.square(y - means[level_of]))), x.size - levels.size
    lack_degrees = int(np.count_nonzero(levels > 0)) - parameters
    if pure_degrees == 0 or lack_degrees <= 0:
        return Judged(curve, None, ("the series has no replicates to spare: nothing tests whether the curve fits it",))
    off = means - np.bincount(level_of, fitted) / counts
    of_positive = levels > 0
    lack_ss = float(np.sum((counts * np.square(off))[of_positive]))
    if pure_ss == 0:
        return Judged(curve, None)
    ratio = (lack_ss / lack_degrees) / (pure_ss / pure_degrees)
    p_value = float(fdtrc(lack_degrees, pure_degrees, ratio))
    if p_value >= _MISFIT_LEVEL:
        return Judged(curve, p_value)
    sd = np.sqrt(pure_ss / pure_degrees / counts)
    is_missed = of_positive & (np.abs(off) > np.maximum(_MISSED_SDS * sd, _LEAST_PART * np.abs(means)))
    if not is_missed.any():
        return Judged(curve, p_value)
    first = int(np.argmax(is_missed))
    worst = 100 * float(np.max(np.abs(off[is_missed]) / np.abs(means[is_missed])))
    borne_out = means[(levels > 0) & (levels < levels[first])]
    if borne_out.size < 2:
        raise CalibrationError(
            f"no model fits the series: the best one misses the readings of x = {levels[first]:g} and up by as much as "
            f"{worst:.0f} % (lack of fit, p = {p_value:.1g})",
            remedy="measure more dilutions about the bend, and check the amounts",
        )
    limit = float(borne_out.max())
    said = (
        f"the curve misses readings from x = {levels[first]:g} on by up to {worst:.0f} % (lack of fit, "
        f"p = {p_value:.1g}): it is used up to a reading of {limit:.4g} only"
    )
    return Judged(_up_to(curve, limit), p_value, (said,))


def _up_to(curve: Receiver, reading: float) -> Receiver:
    if isinstance(curve, TabledReceiver):
        return curve.up_to(reading)
    cut: Receiver = replace(curve, valid_to=reading)  # type: ignore[type-var]  # every other receiver is a dataclass
    return cut
