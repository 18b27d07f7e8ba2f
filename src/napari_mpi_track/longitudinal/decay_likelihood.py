"""The likelihood of a decay's shape, with its amplitude and the scatter at their best: many shapes at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEWTON_STEPS = 60
_TOLERANCE = 1e-11


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Points in order of time, all arrays of shape (n,).

    ``values`` are limits where censored. ``sd`` are the known errors; without them ones, to be scaled.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float64]
    sd: NDArray[np.float64]
    is_censored: NDArray[np.bool_]
    has_errors: bool

    @property
    def first_day(self) -> float:
        """The first time."""
        return float(self.times[0])

    @property
    def since_first(self) -> NDArray[np.float64]:
        """Days since the first time, shape (n,)."""
        return np.asarray(self.times - self.times[0])


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The best fit of each shape, arrays of shape (g,).

    ``deviance`` is -2 log likelihood up to a constant, ``scale`` the factor on ``sd``.
    """

    deviance: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    scale: NDArray[np.float64]


def profile(samples: Samples, shapes: NDArray[np.float64]) -> Profile:
    """Return the best fit of ``amplitude x shape`` for every shape, shape (g, n).

    Notes
    -----
    Without censored points the amplitude is a weighted mean (variable projection: Golub & Pereyra 1973,
    doi:10.1137/0710036). With them the likelihood is concave in (amplitude/sigma, 1/sigma) (Olsen 1978,
    doi:10.2307/1913082), so Newton's steps find its one maximum.
    """
    fitted = _uncensored(samples, shapes)
    return _censored(samples, shapes, fitted) if samples.is_censored.any() else fitted


def _uncensored(samples: Samples, shapes: NDArray[np.float64]) -> Profile:
    seen = ~samples.is_censored
    values, sd = samples.values[seen], samples.sd[seen]
    scaled, target = shapes[:, seen] / sd, values / sd
    with np.errstate(divide="ignore", invalid="ignore"):
        amplitude = np.nan_to_num((scaled @ target) / np.einsum("gn,gn->g", scaled, scaled))
    squares = np.sum(np.square(target - amplitude[:, None] * scaled), axis=1)
    if samples.has_errors:
        return Profile(squares, amplitude, np.ones(amplitude.size))
    # The smallest scatter that still is a number: exact data must not give log(0).
    floor = np.square(np.finfo(float).eps * np.abs(values).max()) + np.finfo(float).tiny
    variance = np.maximum(squares / values.size, floor)
    return Profile(values.size * (np.log(variance) + 1.0), amplitude, np.sqrt(variance))


def _censored(samples: Samples, shapes: NDArray[np.float64], start: Profile) -> Profile:
    """Newton in (c, h) = (amplitude/sigma, 1/sigma); h stays 1 where errors are known."""
    count = shapes.shape[0]
    largest = float(np.abs(samples.values).max()) or 1.0
    # The detected points alone may ask for an absurd amplitude of a shape that rises to the censored ones.
    h = np.ones(count) if samples.has_errors else np.full(count, 4.0 / largest)
    c = np.clip(start.amplitude, 0.0, 10.0 * largest) * h
    best = _deviance(samples, shapes, c, h)
    for _ in range(_NEWTON_STEPS):
        step_c, step_h = _newton_step(samples, shapes, c, h)
        # Where no detected point sees the shape the likelihood is all but flat: no step beyond reason.
        step_c = np.clip(step_c, -20.0 * (1.0 + np.abs(c)), 20.0 * (1.0 + np.abs(c)))
        length = np.ones(count)
        for _ in range(30):
            new_c, new_h = c + length * step_c, h + length * step_h
            found = _deviance(samples, shapes, new_c, new_h)
            is_worse = ~(found <= best + 1e-12 * np.abs(best)) | (new_h <= 0)
            if not is_worse.any():
                break
            length = np.where(is_worse, 0.5 * length, length)
        new_c, new_h = np.where(is_worse, c, new_c), np.where(is_worse, h, new_h)
        moved = np.max(np.abs(new_c - c) / (1 + np.abs(c)) + np.abs(new_h - h) / h)
        c, h, best = new_c, new_h, np.where(is_worse, best, found)
        if moved < _TOLERANCE:
            break
    return Profile(best, c / h, 1.0 / h)


def _residuals(
    samples: Samples, shapes: NDArray[np.float64], c: NDArray[np.float64], h: NDArray[np.float64]
) -> NDArray[np.float64]:
    return (h[:, None] * samples.values - c[:, None] * shapes) / samples.sd


def _deviance(
    samples: Samples, shapes: NDArray[np.float64], c: NDArray[np.float64], h: NDArray[np.float64]
) -> NDArray[np.float64]:
    from scipy.special import log_ndtr

    z = _residuals(samples, shapes, c, h)
    seen = ~samples.is_censored
    deviance = np.sum(np.square(z[:, seen]), axis=1) - 2.0 * np.sum(log_ndtr(z[:, ~seen]), axis=1)
    if samples.has_errors:
        return np.asarray(deviance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(deviance - 2.0 * int(seen.sum()) * np.log(h))


def _newton_step(
    samples: Samples, shapes: NDArray[np.float64], c: NDArray[np.float64], h: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.special import log_ndtr

    z = _residuals(samples, shapes, c, h)
    # d/dz and d2/dz2 of half the deviance, point by point; Mills' ratio is -z far below (and the exponent cancels).
    near = np.clip(z, -1e4, 40.0)
    mills = np.where(z < -1e4, -z, np.exp(-0.5 * near * near - 0.5 * np.log(2 * np.pi) - log_ndtr(near)))
    bend = np.where(z < -1e4, 1.0, mills * (mills + near))
    first = np.where(samples.is_censored, -mills, z)
    second = np.where(samples.is_censored, bend, 1.0)
    by_c, by_h = -shapes / samples.sd, samples.values / samples.sd
    gradient_c = np.sum(first * by_c, axis=1)
    curvature_cc = np.sum(second * by_c * by_c, axis=1) + 1e-300
    if samples.has_errors:
        return -gradient_c / curvature_cc, np.zeros_like(h)
    seen = int((~samples.is_censored).sum())
    gradient_h = np.sum(first * by_h, axis=1) - seen / h
    curvature_hh = np.sum(second * by_h * by_h, axis=1) + seen / (h * h)
    curvature_ch = np.sum(second * by_c * by_h, axis=1)
    determinant = np.maximum(curvature_cc * curvature_hh - curvature_ch**2, 1e-300)
    step_c = -(curvature_hh * gradient_c - curvature_ch * gradient_h) / determinant
    step_h = -(curvature_cc * gradient_h - curvature_ch * gradient_c) / determinant
    return step_c, step_h
