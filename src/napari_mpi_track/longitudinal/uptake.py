"""The shapes of an organ that takes cells up: it has no half-life, but a time in which it has half of what it gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

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


class _Rising:
    """What all shapes of uptake share: none of them has a half-life."""

    __slots__ = ()

    def half_life(self, best: Best) -> float | None:  # noqa: ARG002 - the signature of a decay model
        """Return none: what rises has no half-life."""
        return None

    def half_life_interval(
        self,
        samples: Samples,  # noqa: ARG002
        half_life: float,  # noqa: ARG002
        highest_deviance: float,  # noqa: ARG002
    ) -> tuple[float | None, float | None]:
        """Return none."""
        return None, None

    def plateau_percent(self, best: Best) -> float | None:  # noqa: ARG002
        """Return none: the first day is no measure of what is still to come."""
        return None


@dataclass(frozen=True, slots=True)
class Uptake(_Rising):
    """plateau (1 - e^(-k t)), t since day 0, when there was nothing. Coordinate: the rate."""

    name: str = "uptake"
    parameter_count: int = 2

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood: one search over the rate."""
        slow, fast = half_life_range(samples)
        box = ((log(LOG_2 / fast), log(LOG_2 / slow)),)
        (log_rate,) = zoom(samples, box, lambda c: self._shape(samples.times, np.exp(c[0])))
        rate = exp(log_rate)
        return Best((rate,), self._shape(samples.times, np.array([rate]))[0], is_rising=True)

    def half_rise(self, best: Best) -> float | None:
        """Return the days from day 0 to half of the plateau."""
        return LOG_2 / best.coordinates[0]

    def half_rise_interval(
        self, samples: Samples, half_rise: float, highest_deviance: float
    ) -> tuple[float | None, float | None]:
        """Return where the profile deviance crosses the cut."""

        def excess(rate: float) -> float:
            shape = self._shape(samples.times, np.array([rate]))
            return float(profile(samples, shape).deviance[0]) - highest_deviance

        rates = candidate_rates(samples)
        rate = LOG_2 / half_rise
        fastest = crossing(excess, rate, rates[rates > rate])
        slowest = crossing(excess, rate, rates[(rates < rate) & (rates > 0)][::-1])
        return (None if fastest is None else LOG_2 / fastest), (None if slowest is None else LOG_2 / slowest)

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:  # noqa: ARG002
        """Return plateau and rate_per_day."""
        return {"plateau": amplitude, "rate_per_day": best.coordinates[0]}

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""
        risen = -np.expm1(-parameters["rate_per_day"] * np.maximum(times, 0.0))
        return np.asarray(parameters["plateau"] * risen)

    @staticmethod
    def _shape(times: Floats, rate: Floats) -> Floats:
        return np.asarray(-np.expm1(-rate[:, None] * np.maximum(times, 0.0)))


@dataclass(frozen=True, slots=True)
class UptakeFromStart(_Rising):
    """plateau - (plateau - start) e^(-k t), t since day 0. Coordinates: rate, the start's part of the plateau."""

    name: str = "uptake_from_start"
    parameter_count: int = 3

    _BOX = ((0.0, 1.0),)

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood."""
        slow, fast = half_life_range(samples)
        box = ((log(LOG_2 / fast), log(LOG_2 / slow)), *self._BOX)
        log_rate, start = zoom(samples, box, lambda c: self._shape(samples.times, np.exp(c[0]), c[1]))
        rate = exp(log_rate)
        shape = self._shape(samples.times, np.array([rate]), np.array([start]))[0]
        return Best((rate, start), shape, is_rising=True)

    def half_rise(self, best: Best) -> float | None:
        """Return the days from day 0 to half of the plateau; none where more than half was there at the start."""
        rate, start = best.coordinates
        return log((1.0 - start) / 0.5) / rate if start < 0.5 else None

    def half_rise_interval(
        self, samples: Samples, half_rise: float, highest_deviance: float
    ) -> tuple[float | None, float | None]:
        """Return where the profile deviance crosses the cut."""

        def shapes(half: float, c: Floats) -> Floats:
            return self._shape(samples.times, np.log((1.0 - c[0]) / 0.5) / half, c[0])

        return interval_of(samples, half_rise, highest_deviance, ((0.0, 0.5 - 1e-9),), shapes)

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:  # noqa: ARG002
        """Return start, plateau and rate_per_day."""
        rate, start = best.coordinates
        return {"start": amplitude * start, "plateau": amplitude, "rate_per_day": rate}

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""
        missing = parameters["plateau"] - parameters["start"]
        left = np.exp(-parameters["rate_per_day"] * np.maximum(times, 0.0))
        return np.asarray(parameters["plateau"] - missing * left)

    @staticmethod
    def _shape(times: Floats, rate: Floats, start: Floats) -> Floats:
        return np.asarray(1.0 - (1.0 - start[:, None]) * np.exp(-rate[:, None] * np.maximum(times, 0.0)))


@dataclass(frozen=True, slots=True)
class UptakeWashout(_Rising):
    """size (e^(-k_out t) - e^(-k_in t)), t since day 0. Coordinates: log k_out, log of k_in/k_out."""

    name: str = "uptake_washout"
    parameter_count: int = 3

    _BOX = ((0.01, log(1e4)),)

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood."""
        slow, fast = half_life_range(samples)
        box = ((log(LOG_2 / fast), log(LOG_2 / slow)), *self._BOX)
        found = zoom(samples, box, lambda c: self._shape(samples.times, np.exp(c[0]), np.exp(c[1])))
        out, ratio = exp(found[0]), exp(found[1])
        return Best((out, ratio), self._shape(samples.times, np.array([out]), np.array([ratio]))[0], is_rising=True)

    def half_rise(self, best: Best) -> float | None:  # noqa: ARG002
        """Return none: there is no plateau; the day of the peak is among the parameters."""
        return None

    def half_rise_interval(
        self,
        samples: Samples,  # noqa: ARG002
        half_rise: float,  # noqa: ARG002
        highest_deviance: float,  # noqa: ARG002
    ) -> tuple[float | None, float | None]:
        """Return none."""
        return None, None

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:  # noqa: ARG002
        """Return peak, peak_day, and the rates in and out."""
        out, ratio = best.coordinates
        return {
            "peak": amplitude,
            "peak_day": log(ratio) / (out * (ratio - 1.0)),
            "rate_in_per_day": ratio * out,
            "rate_out_per_day": out,
        }

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""
        out = np.array([parameters["rate_out_per_day"]])
        ratio = parameters["rate_in_per_day"] / out
        return np.asarray(parameters["peak"] * self._shape(np.ravel(times), out, ratio)[0].reshape(np.shape(times)))

    @staticmethod
    def _shape(times: Floats, out: Floats, ratio: Floats) -> Floats:
        """Return shapes that are 1 at their peak."""
        since = np.maximum(times, 0.0)
        at_peak = (np.log(ratio) / (out * (ratio - 1.0)))[:, None]
        out, into = out[:, None], (ratio * out)[:, None]

        def height(at: Floats) -> Floats:
            return np.asarray(-np.exp(-out * at) * np.expm1(-(into - out) * at))

        return np.asarray(height(since) / height(at_peak))


@dataclass(frozen=True, slots=True)
class UptakeWashoutFromStart(_Rising):
    """size (e^(-k_out t) - q e^(-k_in t)), t since day 0. Coordinates: log k_out, log of k_in/k_out, q.

    The curve starts at size (1 - q); it rises where q k_in is above k_out.
    """

    name: str = "uptake_washout_from_start"
    parameter_count: int = 4

    _BOX = ((0.01, log(1e4)), (0.01, 1.0))

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood."""
        slow, fast = half_life_range(samples)
        box = ((log(LOG_2 / fast), log(LOG_2 / slow)), *self._BOX)
        found = zoom(samples, box, lambda c: self._shape(samples.times, np.exp(c[0]), np.exp(c[1]), c[2]))
        out, ratio, part = exp(found[0]), exp(found[1]), found[2]
        shape = self._shape(samples.times, *(np.array([value]) for value in (out, ratio, part)))[0]
        return Best((out, ratio, part), shape, is_rising=True)

    def half_rise(self, best: Best) -> float | None:  # noqa: ARG002
        """Return none: there is no plateau; the day of the peak is among the parameters."""
        return None

    def half_rise_interval(
        self,
        samples: Samples,  # noqa: ARG002
        half_rise: float,  # noqa: ARG002
        highest_deviance: float,  # noqa: ARG002
    ) -> tuple[float | None, float | None]:
        """Return none."""
        return None, None

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:  # noqa: ARG002
        """Return start, peak, peak_day, and the rates in and out."""
        out, ratio, part = best.coordinates
        coordinates = tuple(np.array([value]) for value in (out, ratio, part))
        return {
            "start": amplitude * float(self._shape(np.zeros(1), *coordinates)[0, 0]),
            "peak": amplitude,
            "peak_day": float(self._peak_day(*coordinates)[0]),
            "rate_in_per_day": ratio * out,
            "rate_out_per_day": out,
        }

    def curve(self, times: Floats, parameters: Mapping[str, float]) -> Floats:
        """Return the curve at ``times``."""
        out, into = parameters["rate_out_per_day"], parameters["rate_in_per_day"]
        peak, start, at = parameters["peak"], parameters["start"], parameters["peak_day"]
        # size and q follow from the start and the peak, in both of which they are linear.
        size = (peak - start * exp(-into * at)) / (exp(-out * at) - exp(-into * at)) if at > 0 else peak
        since = np.maximum(times, 0.0)
        return np.asarray(size * np.exp(-out * since) - (size - start) * np.exp(-into * since))

    @staticmethod
    def _peak_day(out: Floats, ratio: Floats, part: Floats) -> Floats:
        return np.asarray(np.log(np.maximum(part * ratio, 1.0)) / (out * (ratio - 1.0)))

    def _shape(self, times: Floats, out: Floats, ratio: Floats, part: Floats) -> Floats:
        """Return shapes that are 1 at their peak, on day 0 where they do not rise."""
        at_peak = self._peak_day(out, ratio, part)[:, None]
        out, into, part = out[:, None], (ratio * out)[:, None], part[:, None]

        def height(at: Floats) -> Floats:
            return np.asarray(np.exp(-out * at) - part * np.exp(-into * at))

        return np.asarray(height(np.maximum(times, 0.0)) / height(at_peak))


UPTAKES: dict[str, Uptake | UptakeFromStart | UptakeWashout | UptakeWashoutFromStart] = {
    model.name: model for model in (Uptake(), UptakeFromStart(), UptakeWashout(), UptakeWashoutFromStart())
}
