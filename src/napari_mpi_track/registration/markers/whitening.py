"""Weights for voxels whose noise is correlated."""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

# What no real noise lies below at any frequency, as a part of its mean power: whitening trusts no silence.
_LEAST_POWER = 0.05


def whitening(
    correlation: NDArray[np.float64], shape: tuple[int, ...], steps: NDArray[np.intp], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return W, shape (kept, kept), with W C W' = 1, C the covariance of the kept blocks' noise, over the
    variance of one voxel.

    ``correlation`` is by lag of the scan's voxels (as ``Noise.correlation``), the patch of ``shape`` blocks of
    ``steps`` voxels each, ``kept`` of shape (blocks,).
    """
    lags = _lagged(correlation, shape, steps)
    planes, rows, columns = (np.subtract.outer(np.arange(n), np.arange(n)) for n in shape)
    covariance = lags[planes[:, None, None, :, None, None], rows[:, None, None, :, None], columns[:, None, None, :]]
    factor = np.linalg.cholesky(covariance.reshape(kept.size, kept.size)[np.ix_(kept, kept)])
    return np.asarray(linalg.solve_triangular(factor, np.eye(len(factor)), lower=True))


def _lagged(correlation: NDArray[np.float64], shape: tuple[int, ...], steps: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the correlation of blocks' noise by lag, negative lags from the far ends, a positive definite one.

    An estimate cut off at small correlations has frequencies of negative power; they are raised to a small part of
    the mean power (a stationary process has none: Bochner's theorem).
    """
    period = [2 * n * s for n, s in zip(shape, steps, strict=True)]
    wide = np.zeros(period)
    reach = [min(n // 2, p // 2 - 1) for n, p in zip(correlation.shape, period, strict=True)]
    middle = tuple(slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(correlation.shape, reach, strict=True))
    wide[np.ix_(*[np.arange(-r, r + 1) % p for r, p in zip(reach, period, strict=True)])] = correlation[middle]
    power = np.fft.fftn(wide).real
    power = np.maximum(power, _LEAST_POWER)
    for axis, step in enumerate(steps):
        angle = 2 * np.pi * np.fft.fftfreq(period[axis])
        mean = np.abs(np.exp(1j * np.outer(angle, np.arange(step))).mean(axis=1)) ** 2
        power = power * mean.reshape([-1 if a == axis else 1 for a in range(3)])
    lags = np.fft.ifftn(power).real[tuple(slice(None, None, int(s)) for s in steps)]
    lags[0, 0, 0] *= 1 + 1e-6
    return np.asarray(lags)
