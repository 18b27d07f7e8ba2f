"""The shapes a decay can have, each 1 on the first day, and the search for the one that fits."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Protocol

import numpy as np

from napari_mpi_track.longitudinal.decay_likelihood import Samples, profile
from napari_mpi_track.longitudinal.decay_search import (
    LOG_2,
    Best,
    Floats,
    candidate_rates,
    crossing,
    half_life_range,
    interval_of,
    zoom,
)
from napari_mpi_track.longitudinal.exponential_sums import SumForm, fit_exponential_sums

_FLAT = 1e-3


class DecayModel(Protocol):
    """What :func:`decay.fit_decay` asks of a model."""

    @property
    def name(self) -> str:
        """As users call it."""

    @property
    def parameter_count(self) -> int:
        """Of the curve, the scatter left out."""

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood."""

    def half_life(self, best: Best) -> float | None:
        """Return the days from the first to half of it; ``None`` where half is never reached."""

    def half_life_interval(
        self, samples: Samples, half_life: float, highest_deviance: float
    ) -> tuple[float | None, float | None]:
        """Return where the profile deviance of the half-life stays under ``highest_deviance``."""

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:
        """Return the curve's parameters by name, in time since day 0."""

    def plateau_percent(self, best: Best) -> float | None:
        """Return what stays for ever, in percent of the first day; ``None`` where the model has no such thing."""

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """amplitude e^(-k t); k may be negative (rising)."""

    name: str = "exponential"
    parameter_count: int = 2

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood: one search over the rate."""
        from scipy.optimize import minimize_scalar

        rates = candidate_rates(samples)
        deviance = self._deviance(samples, rates)
        place = int(np.argmin(deviance))
        low, high = rates[max(place - 1, 0)], rates[min(place + 1, rates.size - 1)]
        found = minimize_scalar(
            lambda k: float(self._deviance(samples, np.array([k]))[0]),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-11 * max(abs(low), abs(high))},
        )
        rate = float(found.x) if found.fun <= deviance[place] else float(rates[place])
        return Best((rate,), np.exp(-rate * samples.since_first), rate <= 0)

    def half_life(self, best: Best) -> float | None:
        """Return ln 2 over the rate."""
        return LOG_2 / best.coordinates[0] if best.coordinates[0] > 0 else None

    def half_life_interval(
        self, samples: Samples, half_life: float, highest_deviance: float
    ) -> tuple[float | None, float | None]:
        """Return the half-lives of the rates at which the profile deviance crosses the cut."""
        rate = LOG_2 / half_life
        rates = candidate_rates(samples)

        def excess(k: float) -> float:
            return float(self._deviance(samples, np.array([k]))[0]) - highest_deviance

        def reached(outward: Floats) -> float | None:
            # All rates at once, up to the first outside; the walk then has two places to look at.
            outside = np.flatnonzero(self._deviance(samples, outward) > highest_deviance)
            if not outside.size:
                return None
            return crossing(excess, rate, outward[max(outside[0] - 1, 0) : outside[0] + 1])

        fastest = reached(rates[rates > rate])
        slowest = reached(rates[rates < rate][::-1])
        low = None if fastest is None else LOG_2 / fastest
        high = None if slowest is None or slowest <= 0 else LOG_2 / slowest
        return low, high

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:
        """Return amplitude and rate_per_day."""
        rate = best.coordinates[0]
        return {"amplitude": amplitude * exp(rate * first_day), "rate_per_day": rate}

    def plateau_percent(self, best: Best) -> float | None:  # noqa: ARG002 - the protocol's signature
        """Return none: all of it leaves."""
        return None

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""
        return np.asarray(parameters["amplitude"] * np.exp(-parameters["rate_per_day"] * times))

    def _deviance(self, samples: Samples, rates: Floats) -> Floats:
        # Shapes are scaled to 1 at their largest, or a rising one would overflow.
        exponents = -rates[:, None] * samples.since_first
        return profile(samples, np.exp(exponents - exponents.max(axis=1, keepdims=True))).deviance


@dataclass(frozen=True, slots=True)
class Plateau:
    """decaying e^(-k t) + plateau. Coordinates: log rate, and the plateau's part of the first day."""

    name: str = "plateau"
    parameter_count: int = 3

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood."""
        slow, fast = half_life_range(samples)
        box = ((log(LOG_2 / fast), log(LOG_2 / slow)), (0.0, 1.0))
        log_rate, part = zoom(samples, box, lambda c: self._shape(samples.since_first, np.exp(c[0]), c[1]))
        shape = self._shape(samples.since_first, np.array([exp(log_rate)]), np.array([part]))[0]
        return Best((exp(log_rate), part), shape, bool(1.0 - shape[-1] < _FLAT))

    def half_life(self, best: Best) -> float | None:
        """Return ln((1 - q)/(1/2 - q))/k, q being the plateau's part of the first day."""
        rate, part = best.coordinates
        return log((1.0 - part) / (0.5 - part)) / rate if part < 0.5 else None

    def half_life_interval(
        self, samples: Samples, half_life: float, highest_deviance: float
    ) -> tuple[float | None, float | None]:
        """Return where the profile deviance crosses the cut."""

        def shapes(half: float, c: Floats) -> Floats:
            rate = np.log((1.0 - c[0]) / (0.5 - c[0])) / half
            return self._shape(samples.since_first, rate, c[0])

        return interval_of(samples, half_life, highest_deviance, ((0.0, 0.5 - 1e-9),), shapes)

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:
        """Return amplitude (of what leaves), rate_per_day and plateau."""
        rate, part = best.coordinates
        leaving = amplitude * (1.0 - part) * exp(rate * first_day)
        return {"amplitude": leaving, "rate_per_day": rate, "plateau": amplitude * part}

    def plateau_percent(self, best: Best) -> float | None:
        """Return the plateau in percent of the fit on the first day."""
        return 100.0 * best.coordinates[1]

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""
        leaving = parameters["amplitude"] * np.exp(-parameters["rate_per_day"] * times)
        return np.asarray(leaving + parameters["plateau"])

    @staticmethod
    def _shape(since: Floats, rate: Floats, part: Floats) -> Floats:
        return np.asarray((1.0 - part[:, None]) * np.exp(-rate[:, None] * since) + part[:, None])


@dataclass(frozen=True, slots=True)
class Biexponential:
    """fast e^(-k1 t) + slow e^(-k2 t). Coordinates: log half-life, fast part of the first day, log of k2/k1."""

    name: str = "biexponential"
    parameter_count: int = 4

    _BOX = ((0.01, 0.99), (log(1e-3), log(0.99)))

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood."""
        slow, fast = half_life_range(samples)
        plain = self._least_squares(samples)
        if plain is None:
            box = ((log(slow), log(fast)), *self._BOX)
            found = zoom(samples, box, lambda c: self._shape(samples.since_first, np.exp(c[0]), c[1], np.exp(c[2])))
            plain = exp(found[0]), found[1], exp(found[2])
        half, part, ratio = plain
        shape = self._shape(samples.since_first, *(np.array([v]) for v in (half, part, ratio)))[0]
        return Best((half, part, ratio), shape, bool(1.0 - shape[-1] < _FLAT))

    def half_life(self, best: Best) -> float | None:
        """Return the half-life, which is a coordinate."""
        return best.coordinates[0]

    def half_life_interval(
        self, samples: Samples, half_life: float, highest_deviance: float
    ) -> tuple[float | None, float | None]:
        """Return where the profile deviance crosses the cut."""

        def shapes(half: float, c: Floats) -> Floats:
            return self._shape(samples.since_first, np.full(c.shape[1], half), c[0], np.exp(c[1]))

        return interval_of(samples, half_life, highest_deviance, self._BOX, shapes)

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:
        """Return both amplitudes and both rates."""
        half, part, ratio = best.coordinates
        fast = float(_fast_exponent(np.array([part]), np.array([ratio]))[0]) / half
        return {
            "amplitude_fast": amplitude * part * exp(fast * first_day),
            "rate_fast_per_day": fast,
            "amplitude_slow": amplitude * (1.0 - part) * exp(ratio * fast * first_day),
            "rate_slow_per_day": ratio * fast,
        }

    def plateau_percent(self, best: Best) -> float | None:  # noqa: ARG002 - the protocol's signature
        """Return none: all of it leaves."""
        return None

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""
        fast = parameters["amplitude_fast"] * np.exp(-parameters["rate_fast_per_day"] * times)
        return np.asarray(fast + parameters["amplitude_slow"] * np.exp(-parameters["rate_slow_per_day"] * times))

    def _least_squares(self, samples: Samples) -> tuple[float, float, float] | None:
        """Return the coordinates of the least-squares fit where it is a decay of two parts, seen on days of their own.

        With points below detection, or days measured twice, there is none.
        """
        if samples.is_censored.any() or not np.all(np.diff(samples.times) > 0):
            return None
        sums = fit_exponential_sums(samples.since_first, samples.values, form=SumForm.BIEXPONENTIAL, sd=samples.sd)
        (fast, slow), amplitudes = sums.rates_per_day[:, 0], sums.amplitudes[:, 0]
        if slow <= 0 or (amplitudes <= 0).any():
            return None
        part, ratio = float(amplitudes[0] / amplitudes.sum()), float(slow / fast)
        (low, high), (least, most) = self._BOX
        if not (low < part < high and least < log(ratio) < most):
            return None
        return float(_fast_exponent(np.array([part]), np.array([ratio]))[0]) / float(fast), part, ratio

    @staticmethod
    def _shape(since: Floats, half: Floats, part: Floats, ratio: Floats) -> Floats:
        fast = (_fast_exponent(part, ratio) / half)[:, None]
        slow = (1.0 - part[:, None]) * np.exp(-ratio[:, None] * fast * since)
        return np.asarray(part[:, None] * np.exp(-fast * since) + slow)


def _fast_exponent(part: Floats, ratio: Floats) -> Floats:
    """Return u with part e^-u + (1 - part) e^(-ratio u) = 1/2; convex and falling, so Newton climbs from the left."""
    u = np.full(part.shape, LOG_2)
    for _ in range(80):
        fast, slow = part * np.exp(-u), (1.0 - part) * np.exp(-ratio * u)
        step = (fast + slow - 0.5) / (fast + ratio * slow)
        u = u + step
        if np.max(np.abs(step) / u) < 1e-13:
            break
    return u


@dataclass(frozen=True, slots=True)
class Weibull:
    """amplitude e^(-(t/scale)^shape), t since day 0. Coordinates: log half-life from the first day, log shape."""

    name: str = "weibull"
    parameter_count: int = 3

    _BOX = ((log(0.2), log(6.0)),)

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood."""
        slow, fast = half_life_range(samples)
        box = ((log(slow), log(fast)), *self._BOX)
        found = zoom(samples, box, lambda c: self._shape(samples.times, np.exp(c[0]), np.exp(c[1])))
        half, power = exp(found[0]), exp(found[1])
        shape = self._shape(samples.times, np.array([half]), np.array([power]))[0]
        return Best((half, power), shape, bool(1.0 - shape[-1] < _FLAT))

    def half_life(self, best: Best) -> float | None:
        """Return the half-life, which is a coordinate."""
        return best.coordinates[0]

    def half_life_interval(
        self, samples: Samples, half_life: float, highest_deviance: float
    ) -> tuple[float | None, float | None]:
        """Return where the profile deviance crosses the cut."""

        def shapes(half: float, c: Floats) -> Floats:
            return self._shape(samples.times, np.full(c.shape[1], half), np.exp(c[0]))

        return interval_of(samples, half_life, highest_deviance, self._BOX, shapes)

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:
        """Return amplitude, scale_days and shape."""
        half, power = best.coordinates
        start = _weibull_start(first_day)
        scale = ((start + half) ** power - start**power) ** (1.0 / power) / LOG_2 ** (1.0 / power)
        return {"amplitude": amplitude * exp((start / scale) ** power), "scale_days": scale, "shape": power}

    def plateau_percent(self, best: Best) -> float | None:  # noqa: ARG002 - the protocol's signature
        """Return none: all of it leaves."""
        return None

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""
        passed = np.maximum(times, 0.0) / parameters["scale_days"]
        return np.asarray(parameters["amplitude"] * np.exp(-(passed ** parameters["shape"])))

    @staticmethod
    def _shape(times: Floats, half: Floats, power: Floats) -> Floats:
        start = _weibull_start(float(times[0]))
        power = power[:, None]
        since = np.maximum(times, 0.0) ** power - start**power
        return np.exp(-LOG_2 * since / ((start + half[:, None]) ** power - start**power))


def _weibull_start(first_day: float) -> float:
    # Nothing has begun to leave before day 0.
    return max(first_day, 0.0)


_ALL: tuple[DecayModel, ...] = (Exponential(), Plateau(), Weibull(), Biexponential())
# In order of parameters: the first that fits well enough is the simplest.
MODELS: dict[str, DecayModel] = {model.name: model for model in _ALL}
