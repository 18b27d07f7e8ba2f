"""The shapes a decay can have, each 1 on the first day, and the search for the one that fits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.longitudinal.decay_likelihood import Samples, profile

Floats = NDArray[np.float64]
Box = tuple[tuple[float, float], ...]
_LOG_2 = log(2.0)
# A half-life outside these multiples of the shortest gap and the whole span is no longer seen in the data.
_SHORTEST, _LONGEST = 0.02, 1000.0
_ZOOM_ROUNDS = 34
# The deviance is flat about its minimum: half the digits in the coordinates give all that an interval needs.
_INTERVAL_ROUNDS = 14
_ZOOM_KEEPS = 0.55
_FLAT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The best shape of a model: its own coordinates, the shape at the samples (n,), and whether it does not fall."""

    coordinates: tuple[float, ...]
    shape: Floats
    is_rising: bool


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

        rates = _rates(samples)
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
        return _LOG_2 / best.coordinates[0] if best.coordinates[0] > 0 else None

    def half_life_interval(
        self, samples: Samples, half_life: float, highest_deviance: float
    ) -> tuple[float | None, float | None]:
        """Return the half-lives of the rates at which the profile deviance crosses the cut."""
        rate = _LOG_2 / half_life
        rates = _rates(samples)

        def excess(k: float) -> float:
            return float(self._deviance(samples, np.array([k]))[0]) - highest_deviance

        def crossing(outward: Floats) -> float | None:
            # All rates at once, up to the first outside; the walk then has two places to look at.
            outside = np.flatnonzero(self._deviance(samples, outward) > highest_deviance)
            if not outside.size:
                return None
            return _crossing(excess, rate, outward[max(outside[0] - 1, 0) : outside[0] + 1])

        fastest = crossing(rates[rates > rate])
        slowest = crossing(rates[rates < rate][::-1])
        low = None if fastest is None else _LOG_2 / fastest
        high = None if slowest is None or slowest <= 0 else _LOG_2 / slowest
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


def _rates(samples: Samples) -> Floats:
    """Return rates per day from rising to falling that between them show every rate the days can tell apart."""
    since = samples.since_first
    shortest = float(np.diff(np.unique(since)).min())
    positive = np.geomspace(_LOG_2 / (_LONGEST * since[-1]), _LOG_2 / (_SHORTEST * shortest), 120)
    return np.concatenate([-positive[::-1], [0.0], positive])


def _crossing(excess: Callable[[float], float], start: float, outward: Floats) -> float | None:
    """Return where ``excess`` first rises through zero on the way outward; ``None`` if it never does."""
    from scipy.optimize import brentq

    inside = start
    for place in outward:
        if excess(float(place)) > 0:
            return float(brentq(excess, inside, float(place), rtol=1e-10))
        inside = float(place)
    return None


@dataclass(frozen=True, slots=True)
class Plateau:
    """decaying e^(-k t) + plateau. Coordinates: log rate, and the plateau's part of the first day."""

    name: str = "plateau"
    parameter_count: int = 3

    def best(self, samples: Samples) -> Best:
        """Return the shape of highest likelihood."""
        slow, fast = _half_life_range(samples)
        box = ((log(_LOG_2 / fast), log(_LOG_2 / slow)), (0.0, 1.0))
        log_rate, part = _zoom(samples, box, lambda c: self._shape(samples.since_first, np.exp(c[0]), c[1]))
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

        return _interval(samples, half_life, highest_deviance, ((0.0, 0.5 - 1e-9),), shapes)

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
        slow, fast = _half_life_range(samples)
        box = ((log(slow), log(fast)), *self._BOX)
        found = _zoom(samples, box, lambda c: self._shape(samples.since_first, np.exp(c[0]), c[1], np.exp(c[2])))
        half, part, ratio = exp(found[0]), found[1], exp(found[2])
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

        return _interval(samples, half_life, highest_deviance, self._BOX, shapes)

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

    @staticmethod
    def _shape(since: Floats, half: Floats, part: Floats, ratio: Floats) -> Floats:
        fast = (_fast_exponent(part, ratio) / half)[:, None]
        slow = (1.0 - part[:, None]) * np.exp(-ratio[:, None] * fast * since)
        return np.asarray(part[:, None] * np.exp(-fast * since) + slow)


def _fast_exponent(part: Floats, ratio: Floats) -> Floats:
    """Return u with part e^-u + (1 - part) e^(-ratio u) = 1/2; convex and falling, so Newton climbs from the left."""
    u = np.full(part.shape, _LOG_2)
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
        slow, fast = _half_life_range(samples)
        box = ((log(slow), log(fast)), *self._BOX)
        found = _zoom(samples, box, lambda c: self._shape(samples.times, np.exp(c[0]), np.exp(c[1])))
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

        return _interval(samples, half_life, highest_deviance, self._BOX, shapes)

    def parameters(self, best: Best, amplitude: float, first_day: float) -> dict[str, float]:
        """Return amplitude, scale_days and shape."""
        half, power = best.coordinates
        start = _weibull_start(first_day)
        scale = ((start + half) ** power - start**power) ** (1.0 / power) / _LOG_2 ** (1.0 / power)
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
        return np.exp(-_LOG_2 * since / ((start + half[:, None]) ** power - start**power))


def _weibull_start(first_day: float) -> float:
    # Nothing has begun to leave before day 0.
    return max(first_day, 0.0)


def _half_life_range(samples: Samples) -> tuple[float, float]:
    """Return the shortest and the longest half-life the days could show."""
    since = samples.since_first
    return _SHORTEST * float(np.diff(np.unique(since)).min()), _LONGEST * float(since[-1])


def _zoom(
    samples: Samples, box: Box, shapes: Callable[[Floats], Floats], rounds: int = _ZOOM_ROUNDS
) -> tuple[float, ...]:
    """Return the coordinates of lowest deviance in ``box``: a grid, narrowed about its best point round by round.

    A grid needs no start and no derivative, and all of it is one array operation.
    """
    low, high = np.array([b[0] for b in box]), np.array([b[1] for b in box])
    per_axis = {1: 41, 2: 21, 3: 11}[len(box)]
    centre, reach = 0.5 * (low + high), 0.5 * (high - low)
    best, best_deviance = centre, np.inf
    for _ in range(rounds):
        axes = [
            np.linspace(max(c - r, lo), min(c + r, hi), per_axis)
            for c, r, lo, hi in zip(centre, reach, low, high, strict=True)
        ]
        points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")])
        deviance = profile(samples, shapes(points)).deviance
        place = int(np.nanargmin(deviance))
        if deviance[place] < best_deviance:
            best, best_deviance = points[:, place], float(deviance[place])
        centre, reach = best, reach * _ZOOM_KEEPS
    return tuple(float(v) for v in best)


def _interval(
    samples: Samples, half_life: float, highest_deviance: float, box: Box, shapes: Callable[[float, Floats], Floats]
) -> tuple[float | None, float | None]:
    """Return where the deviance, at its lowest over ``box``, crosses the cut on both sides of the half-life."""

    def excess(log_half: float) -> float:
        half = exp(log_half)
        best = _zoom(samples, box, lambda c: shapes(half, c), _INTERVAL_ROUNDS)
        return float(profile(samples, shapes(half, np.array(best)[:, None])).deviance[0]) - highest_deviance

    shortest, longest = _half_life_range(samples)
    start = log(half_life)
    steps = np.geomspace(0.02, log(longest / shortest), 30)
    down, up = start - steps, start + steps
    low = _crossing(excess, start, down[down > log(shortest)])
    high = _crossing(excess, start, up[up < log(longest)])
    return None if low is None else exp(low), None if high is None else exp(high)


_ALL: tuple[DecayModel, ...] = (Exponential(), Plateau(), Weibull(), Biexponential())
# In order of parameters: the first that fits well enough is the simplest.
MODELS: dict[str, DecayModel] = {model.name: model for model in _ALL}
