"""The noise of a scan: its standard deviation, and how far it is correlated from voxel to voxel."""

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.volume import Volume

# MPI reconstructions correlate noise over two or three voxels; lags beyond this hold estimation error only.
_LONGEST_LAG = 8
_FEWEST_BACKGROUND_VOXELS = 200
# Lags below this are not told from their scatter one by one; those above it and below the other shape the tail.
_CLEAR = 0.03
_LOWER_PART = 0.5
_MOST_TAIL = 2.0
# The robust estimates use half of the noise (of a clipped scan one quantile), and their mode is not sure: n voxels
# count as n over (a times the sum of squared correlations plus b), simulated in benchmarks/noise.py.
_WORTH_OF_HALF = (2.4, 5.5)
_WORTH_OF_A_CLIP = (6.0, 8.0)
# Half a Gaussian's squares, from its fourth moment.
_WORTH_OF_A_MARKED_CLIP = (2.5, 0.0)
_LEAST_CLIPPED = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """What the scanner shows where there is nothing.

    Attributes
    ----------
    sd
        Standard deviation of one voxel, in the scan's unit.
    mean
        Mean of the background, in the scan's unit.
    correlation
        Autocorrelation by lag, dimensionless, shape (2a+1, 2b+1, 2c+1), 1 at the centre.
    method
        How the background was found, in words.
    is_clipped
        Whether the scan was clipped at zero (negative noise is missing); ``sd`` allows for it.
    degrees_of_freedom
        How sure ``sd`` is: it scatters as that of so many independent voxels would, by ``sd / sqrt(2 * this)``.
        Infinite where the noise was given, not measured.

    Notes
    -----
    The variance of a sample variance of correlated Gaussian numbers is 2 sd^4 / n^2 times the sum of all their
    squared correlations (Bartlett 1935, J R Stat Soc 98:536; Bayley and Hammersley 1946, doi:10.2307/2983560), so n
    voxels count as n over the sum of the squared autocorrelation.
    """

    sd: float
    mean: float
    correlation: NDArray[np.float64]
    method: str
    is_clipped: bool = False
    degrees_of_freedom: float = inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "correlation", frozen(self.correlation))

    __getstate__ = get_state
    __setstate__ = set_state

    def smear(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return C @ weights, shape as ``weights`` (planes, rows, columns), C the noise covariance (unit squared).

        The variance of a weighted sum of voxels is then ``(weights * smear(weights)).sum()``, the covariance of
        two sums ``(weights_1 * smear(weights_2)).sum()``.
        """
        from scipy.signal import fftconvolve

        dense = np.asarray(weights, dtype=np.float64)
        if self.correlation.size == 1:
            return self.sd**2 * dense
        return np.asarray(self.sd**2 * fftconvolve(dense, self.correlation, mode="same"))


def estimate_noise(volume: Volume, background: NDArray[np.bool_] | None = None) -> Noise:
    """Return the noise of ``volume``, from a marked background or, without one, from the scan's own quiet part.

    Parameters
    ----------
    volume
        An MPI (or other emission) scan: mostly background, signal positive.
    background
        Where there is no signal, shape as the scan's grid. Without it the mode of all voxels and the spread
        below the mode are used, which positive signal hardly touches; ``method`` says so.

    Raises
    ------
    MeasurementError
        If the background has too few voxels, or the scan no noise at all (constant).
    """
    voxels = np.asarray(volume.voxels, dtype=np.float64)
    finite = np.isfinite(voxels)
    if not finite.any():
        raise MeasurementError("the scan holds no number", file=volume.file, remedy="export it again")
    if background is not None:
        return _marked_noise(volume, voxels, np.asarray(background, dtype=bool) & finite)
    values = voxels[finite]
    clipped_part = _clipped_part(values)
    if clipped_part > _LEAST_CLIPPED:
        mean, sd = 0.0, _sd_above_a_clip(values, clipped_part)
        method = "robust, of a scan clipped at zero: negative noise is missing"
    else:
        mean, sd = mode_and_spread_below(values)
        method = "robust: mode of all voxels and the spread below it"
    if not sd > 0:
        raise MeasurementError(
            "the scan's noise cannot be measured: its background is constant",
            file=volume.file,
            remedy="a scan with its background is needed, not one that was cut out or thresholded",
        )
    quiet = _quiet_voxels(voxels, finite, mean, sd)
    is_clipped = clipped_part > _LEAST_CLIPPED
    correlation = _autocorrelation(voxels - mean, quiet)
    freedom = _worth(int(quiet.sum()), correlation, _WORTH_OF_A_CLIP if is_clipped else _WORTH_OF_HALF)
    return Noise(sd, mean, correlation, method, is_clipped, freedom)


def _marked_noise(volume: Volume, voxels: NDArray[np.float64], background: NDArray[np.bool_]) -> Noise:
    values = voxels[background]
    if values.size < _FEWEST_BACKGROUND_VOXELS:
        raise MeasurementError(
            f"a background of {_FEWEST_BACKGROUND_VOXELS} voxels or more is needed, got {values.size}",
            file=volume.file,
            remedy="mark a larger background region",
        )
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    if not sd > 0:
        raise MeasurementError(
            "the marked background is constant", file=volume.file, remedy="mark another, or give the noise"
        )
    correlation = _autocorrelation(voxels - mean, background)
    if _clipped_part(values) > _LEAST_CLIPPED:
        freedom = _worth(values.size, correlation, _WORTH_OF_A_MARKED_CLIP)
        sd = float(np.sqrt(2 * np.mean(values**2)))
        return Noise(sd, 0.0, correlation, "marked background, clipped at zero: twice its mean square", True, freedom)
    freedom = _worth(values.size - 1, correlation, (1.0, 0.0))
    return Noise(sd, mean, correlation, "SD of the marked background", False, freedom)


def _clipped_part(values: NDArray[np.float64]) -> float:
    """Return the part of the voxels that is exactly zero, where nothing is below."""
    return float(np.mean(values == 0)) if values.size and values.min() == 0 else 0.0


def _worth(count: int, correlation: NDArray[np.float64], costs: tuple[float, float]) -> float:
    """Return how many independent voxels so many correlated ones are worth for their SD."""
    times, plus = costs
    return max(count / (times * float((correlation**2).sum()) + plus), 1.0)


def mode_and_spread_below(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mode and the RMS distance below it; positive signal biases neither, unlike median and MAD."""
    if values.size < _FEWEST_BACKGROUND_VOXELS:
        centre = float(np.median(values)) if values.size else 0.0
        return centre, float(1.4826 * np.median(np.abs(values - centre))) if values.size else 0.0
    mode = float(np.median(values))
    spread = float(1.4826 * np.median(np.abs(values - mode)))
    for _ in range(4):
        if not spread > 0:
            return mode, 0.0
        width = 0.1 * spread
        edges = np.arange(mode - 4 * spread, mode + 4 * spread + width, width)
        density = ndimage.gaussian_filter1d(np.histogram(values, edges)[0].astype(float), 3.0)
        top = int(np.clip(np.argmax(density), 1, len(density) - 2))
        left, peak, right = density[top - 1 : top + 2]
        curvature = left - 2 * peak + right
        shift = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
        mode = float(edges[top] + width * (0.5 + shift))
        below = values[(values < mode) & (values > mode - 6 * spread)]
        spread = float(np.sqrt(np.mean((below - mode) ** 2))) if below.size else 0.0
    return mode, spread


def _sd_above_a_clip(values: NDArray[np.float64], clipped_part: float) -> float:
    """Return the SD of zero-mean noise of which only the positive half is left, from its lower quartile.

    Of the noise, half is clipped; so a quarter of all noise lies between 0 and the 50 % quantile of the positive
    half, which is 0.674 SD. Signal sits in the upper half and is left out.
    """
    noise_count = min(values.size, 2 * round(clipped_part * values.size))
    positive = np.sort(values[values > 0])
    quarter = noise_count // 4
    if quarter < 1 or positive.size <= quarter:
        return 0.0
    return float(positive[quarter] / 0.6745)


def _quiet_voxels(voxels: NDArray[np.float64], finite: NDArray[np.bool_], mean: float, sd: float) -> NDArray[np.bool_]:
    """Return where the scan shows noise only: smooth signal stands out of it after a short average."""
    filled = np.where(finite, voxels - mean, 0.0)
    size = tuple(min(5, n) for n in voxels.shape)
    local = ndimage.uniform_filter(filled, size)
    mode, spread = mode_and_spread_below(local.ravel())
    quiet = finite & (np.abs(local - mode) < 3 * spread) & (filled < 5 * sd)
    return quiet if quiet.sum() >= _FEWEST_BACKGROUND_VOXELS else finite & (filled < 3 * sd)


def _autocorrelation(residual: NDArray[np.float64], background: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the autocorrelation of ``residual`` over pairs of background voxels, up to ``_LONGEST_LAG`` voxels."""
    lags = [min(_LONGEST_LAG, n // 4) for n in residual.shape]
    padded = [fft.next_fast_len(n + lag, real=True) for n, lag in zip(residual.shape, lags, strict=True)]
    inside = background.astype(np.float64)
    # The mean over the background goes, so that a slow gradient is not taken for correlation of all with all.
    centred = np.where(background, residual - residual[background].mean(), 0.0)
    products = fft.irfftn(np.abs(fft.rfftn(centred, padded)) ** 2, padded)
    pairs = fft.irfftn(np.abs(fft.rfftn(inside, padded)) ** 2, padded)
    window = np.ix_(*[np.arange(-lag, lag + 1) % n for lag, n in zip(lags, padded, strict=True)])
    covariance = products[window] / np.maximum(pairs[window], 1.0)
    variance = covariance[tuple(lags)]
    if not variance > 0:
        return np.ones((1, 1, 1))
    correlation = covariance / variance
    return _connected_positive(correlation, tuple(lags))


def _connected_positive(correlation: NDArray[np.float64], centre: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the lags joined to lag 0 by clear correlation, and a smooth tail for the ones beyond.

    The scatter of the lags beyond would add up over an organ; left out, they would cost up to 6 % of its SD.
    """
    regions, _ = ndimage.label(correlation > _CLEAR)
    joined = np.where(regions == regions[centre], correlation, 0.0)
    return joined + _tail(correlation, joined, centre)


def _tail(
    correlation: NDArray[np.float64], joined: NDArray[np.float64], centre: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return what a Gaussian through the lower part of the joined lags says of the others, shape as both.

    How much of it there is, the others tell all together (their regression on it). It is nothing where no lag but
    lag 0 is joined, and along axes where none is.
    """
    shown = (joined > _CLEAR) & (joined < _LOWER_PART)
    squares = (np.stack(np.nonzero(shown), axis=-1) - centre) ** 2.0
    along = np.asarray(squares.any(axis=0))
    if not along.any():
        return np.zeros(joined.shape)
    from scipy.optimize import nnls

    heights = joined[shown]
    decay, _ = nnls(squares * heights[:, None], -np.log(heights) * heights)
    tail = np.ones(joined.shape)
    for axis, count in enumerate(joined.shape):
        lag = np.arange(count) - centre[axis]
        line = np.exp(-decay[axis] * lag**2) if along[axis] else (lag == 0).astype(np.float64)
        tail *= np.expand_dims(line, [other for other in range(3) if other != axis])
    tail = np.where(joined == 0, np.minimum(tail, _CLEAR), 0.0)
    length = float((tail**2).sum())
    amount = float((tail * correlation).sum()) / length if length > 0 else 0.0
    return tail * float(np.clip(amount, 0.0, _MOST_TAIL))
