"""How fast a signal leaves: models of decay, the choice between them, and half-lives with honest intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import TableError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.longitudinal.decay_likelihood import Samples, profile
from napari_mpi_track.longitudinal.decay_models import MODELS, DecayModel
from napari_mpi_track.longitudinal.decay_search import LOG_2, Best, half_life_range
from napari_mpi_track.longitudinal.uptake import UPTAKES

ModelChoice = Literal["auto", "exponential", "plateau", "biexponential", "weibull", "uptake"]
RISING = "rising"
BELOW_DETECTION = "below_detection"
TOO_FEW_POINTS = "too_few_points"
NO_FINITE_INTERVAL = "no_finite_interval"
_CLOSE_AICC = 2.0
_MISFIT = 0.01
_LARGEST = 1e100
_NO_SIGNAL = "there is no signal above zero that could leave"
ALL_MODELS: dict[str, DecayModel] = {**MODELS, **UPTAKES}


@dataclass(frozen=True, slots=True, eq=False)
class DecayFit:
    """A decay and its half-life; what does not apply is ``None``.

    Attributes
    ----------
    model
        ``exponential``, ``plateau``, ``biexponential`` or ``weibull``; of a rising organ ``uptake``,
        ``uptake_from_start``, ``uptake_washout`` or ``uptake_washout_from_start``; empty when nothing was fitted.
    parameters
        By name: ``amplitude`` (at time 0) and ``plateau`` in the unit of the values, rates per day, times in days. Of
        an uptake also ``half_rise_days``, from day 0 to half of the plateau, with its interval where it is finite.
    rate_per_day
        Of the exponential alone; negative when the signal rises.
    half_life_days, low, high
        Time from the first day until the fit is half of what it was then, and its interval; a limit that cannot be
        told is ``None`` (flag ``no_finite_interval``).
    plateau_percent
        What stays for ever, in percent of the fit on the first day.
    aicc
        Akaike's criterion for small samples, up to a constant that all models of these data share.
    r_squared
        Of the detected points, weighted as the fit.
    points, censored_points
        How many were used in all, and how many of them were below detection.
    flag
        Blank, or one of ``rising``, ``too_few_points``, ``no_finite_interval``, ``below_detection``.
    reason
        Why there is no fit or no half-life, or that the points lie further from the curve than their errors, in words.
    """

    model: str
    points: int
    censored_points: int
    parameters: Mapping[str, float] = field(default_factory=dict)
    rate_per_day: float | None = None
    half_life_days: float | None = None
    low: float | None = None
    high: float | None = None
    plateau_percent: float | None = None
    aicc: float | None = None
    r_squared: float | None = None
    flag: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    __getstate__ = get_state
    __setstate__ = set_state

    def curve(self, time_days: ArrayLike) -> NDArray[np.float64]:
        """Return the fit at these times, in the unit of the values; NaN when nothing was fitted."""
        times = np.asarray(time_days, dtype=np.float64)
        if not self.model:
            return np.full(times.shape, np.nan)
        return ALL_MODELS[self.model].curve(times, self.parameters)


def fit_decay(
    time_days: ArrayLike,
    values: ArrayLike,
    *,
    errors: ArrayLike | None = None,
    censored_below: ArrayLike | None = None,
    limits: ArrayLike | None = None,
    model: ModelChoice = "auto",
    level: float = 0.95,
) -> DecayFit:
    """Return the decay of a signal, or of a retention, over time.

    Parameters
    ----------
    time_days, values
        Shape (n,), any order. Times may repeat.
    errors
        Known SD of each value, shape (n,), all positive. Without them one common SD is estimated.
    censored_below
        True where the value was below detection, shape (n,): all that is used of it is that it was below its limit.
    limits
        Detection limit of each point, shape (n,), used where censored; the values themselves when not given.
    model
        One model, or ``auto``: the exponential, unless another's AICc is lower by more than 2; then the simplest of
        the others within 2 of the lowest. Where the signal rises, or its highest value is not the first day's, an
        uptake if it fits better by more than 2. ``uptake`` takes the simplest of these: from nothing on day 0 to a
        plateau, from what was there on day 0, or up and down again, from nothing or from what was there.
    level
        Of the interval.

    Returns
    -------
    DecayFit
        Too few points, or a rising signal, are said in its flag and reason.

    Raises
    ------
    TableError
        Numbers that are not finite or beyond 1e+-100, errors that are not positive, arrays that do not match, an
        unknown model.

    Notes
    -----
    Normal errors on the natural scale; points below detection enter with the probability of being there (Tobin 1958,
    doi:10.2307/1907382). Intervals by profile likelihood: chi-square where errors are known, else n log(1 + F/(n - p))
    with F(1, n - p) (Bates & Watts 1988, doi:10.1002/9780470316757, ch. 6). A model of p parameters needs p + 2 points
    with known errors and p + 3 without: below that AICc (Hurvich & Tsai 1989, doi:10.1093/biomet/76.2.297) is infinite.
    AICc corrects for a scatter that is estimated. Where errors are known it is kept to protect the exponential, and
    the richer models are told apart by AIC itself, or two exponentials would pass for a Weibull curve too often.
    A reference that is 100 % by construction is no point.
    """
    samples = _samples(time_days, values, errors, censored_below, limits)
    if model not in ("auto", "uptake", *MODELS):
        raise TableError(f"the model must be auto or one of {', '.join([*MODELS, 'uptake'])}, got {model!r}")
    families: dict[str, list[DecayModel]] = {"auto": [*MODELS.values()], "uptake": [*UPTAKES.values()]}
    wanted = families.get(model) or [MODELS[model]]
    count, censored = samples.times.size, int(samples.is_censored.sum())
    if not any(_is_allowed(each, samples) for each in wanted):
        return DecayFit("", count, censored, flag=TOO_FEW_POINTS, reason=_too_few(wanted[0], samples))
    if not (samples.values[~samples.is_censored] > 0).any():
        return DecayFit("", count, censored, flag=BELOW_DETECTION, reason=_NO_SIGNAL)
    found = _simplest(wanted, samples)
    assert found is not None
    if model == "uptake" and _falls(samples, found):
        return DecayFit("", count, censored, reason="the signal falls: it has no uptake")
    if model == "auto" and (found.best.is_rising or _peaks_late(samples)):
        risen = _simplest([*UPTAKES.values()], samples)
        if risen is not None and risen.aicc < found.aicc - (0.0 if found.best.is_rising else _CLOSE_AICC):
            found = risen
    return _described(found, samples, level)


def _simplest(models: Sequence[DecayModel], samples: Samples) -> "_Fitted | None":
    """Return the first model, unless another's AICc is lower by more than 2: then the first of those within 2 of the
    lowest criterion. ``None`` if the points allow none of them.
    """
    fits = [_fitted(m, samples) for m in models if _is_allowed(m, samples)]
    if not fits or fits[0].aicc <= min(fit.aicc for fit in fits) + _CLOSE_AICC:
        return fits[0] if fits else None
    lowest = min(fit.criterion for fit in fits[1:])
    return next(fit for fit in fits[1:] if fit.criterion <= lowest + _CLOSE_AICC)


def _falls(samples: Samples, risen: "_Fitted") -> bool:
    if not _is_allowed(MODELS["exponential"], samples):
        return False
    decay = _fitted(MODELS["exponential"], samples)
    return not decay.best.is_rising and decay.aicc < risen.aicc - _CLOSE_AICC


def _peaks_late(samples: Samples) -> bool:
    seen = ~samples.is_censored
    return bool(seen.any() and samples.times[seen][np.argmax(samples.values[seen])] > samples.times[seen][0])


def _too_few(model: DecayModel, samples: Samples) -> str:
    known = "known" if samples.has_errors else "unknown"
    count, days = samples.times.size, np.unique(samples.times).size
    return (
        f"{model.name} decay with {known} errors needs {_points_needed(model, samples)} points on "
        f"{model.parameter_count + 1} days, 2 of them above detection; got {count} points on {days} days, "
        f"{count - int(samples.is_censored.sum())} above detection"
    )


@dataclass(frozen=True, slots=True)
class _Fitted:
    model: DecayModel
    best: Best
    amplitude: float
    scale: float
    deviance: float
    aicc: float
    criterion: float


def _points_needed(model: DecayModel, samples: Samples) -> int:
    return model.parameter_count + (2 if samples.has_errors else 3)


def _is_allowed(model: DecayModel, samples: Samples) -> bool:
    detected_days = np.unique(samples.times[~samples.is_censored]).size
    return bool(
        samples.times.size >= _points_needed(model, samples)
        and np.unique(samples.times).size > model.parameter_count
        and detected_days >= 2
    )


def _fitted(model: DecayModel, samples: Samples) -> _Fitted:
    best = model.best(samples)
    found = profile(samples, best.shape[None, :])
    deviance = float(found.deviance[0])
    free = model.parameter_count + (0 if samples.has_errors else 1)
    aicc = deviance + 2 * free + 2 * free * (free + 1) / (samples.times.size - free - 1)
    criterion = deviance + 2 * free if samples.has_errors else aicc
    return _Fitted(model, best, float(found.amplitude[0]), float(found.scale[0]), deviance, aicc, criterion)


def _described(fit: _Fitted, samples: Samples, level: float) -> DecayFit:
    """Return the fit in the words of its model, with the half-life and its interval."""
    model, best = fit.model, fit.best
    parameters = model.parameters(best, fit.amplitude, samples.first_day)
    common: dict[str, Any] = {
        "model": model.name,
        "points": samples.times.size,
        "censored_points": int(samples.is_censored.sum()),
        "parameters": parameters,
        "rate_per_day": parameters["rate_per_day"] if model.name == "exponential" else None,
        "plateau_percent": model.plateau_percent(best),
        "aicc": fit.aicc,
        "r_squared": _r_squared(samples, fit.amplitude * best.shape, fit.scale),
    }
    half_life = model.half_life(best)
    if fit.amplitude <= 0:
        return DecayFit(**common, flag=BELOW_DETECTION, reason=_NO_SIGNAL)
    misfit = _misfit(fit, samples)
    if model.name in UPTAKES:
        common["parameters"] = {**parameters, **_half_rise(fit, samples, level)}
        return DecayFit(**common, flag=RISING, reason=f"the signal rises: an uptake, without a half-life{misfit}")
    if best.is_rising:
        return DecayFit(**common, flag=RISING, reason=f"the signal does not fall{misfit}")
    if half_life is None:
        return DecayFit(**common, reason=f"the plateau is above one half of the first day: no half-life{misfit}")
    low, high = model.half_life_interval(samples, half_life, fit.deviance + _cut(model, samples, level))
    flag = "" if low is not None and high is not None else NO_FINITE_INTERVAL
    reason = f"the half-life has no {_open_side(low, high)} within the data{misfit}" if flag else misfit.lstrip("; ")
    return DecayFit(**common, half_life_days=half_life, low=low, high=high, flag=flag, reason=reason)


def _open_side(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "limit on either side"
    return "lower limit" if low is None else "upper limit"


def _misfit(fit: _Fitted, samples: Samples) -> str:
    """Return words where the points lie further from the curve than their known errors: p below 0.01, chi-square."""
    from scipy.special import chdtrc

    degrees = samples.times.size - fit.model.parameter_count
    if not samples.has_errors or samples.is_censored.any() or chdtrc(degrees, fit.deviance) >= _MISFIT:
        return ""
    return "; the points lie further from the curve than their errors: the interval is too narrow"


def _half_rise(fit: _Fitted, samples: Samples, level: float) -> dict[str, float]:
    """Return the time to half of the plateau and its limits, by name; what cannot be told is not there."""
    model = UPTAKES[fit.model.name]
    half_rise = model.half_rise(fit.best)
    if half_rise is None:
        return {}
    slow, fast = half_life_range(samples)
    is_seen = 1.01 * slow < LOG_2 / fit.best.coordinates[0] < 0.99 * fast
    low, high = model.half_rise_interval(samples, half_rise, fit.deviance + _cut(model, samples, level))
    # At the edge of what was searched no plateau, or no rise, is in sight.
    found = {"half_rise_days": half_rise if is_seen else None, "half_rise_low_days": low, "half_rise_high_days": high}
    return {name: value for name, value in found.items() if value is not None}


def _cut(model: DecayModel, samples: Samples, level: float) -> float:
    """Return how far the deviance may rise above its minimum inside the interval."""
    from scipy.special import ndtri, stdtrit

    probability = 0.5 + 0.5 * level
    if samples.has_errors:
        return float(ndtri(probability)) ** 2
    count = int((~samples.is_censored).sum())
    degrees = max(count - model.parameter_count, 1)
    return count * log(1.0 + float(stdtrit(degrees, probability)) ** 2 / degrees)


def _r_squared(samples: Samples, fitted: NDArray[np.float64], scale: float) -> float | None:
    seen = ~samples.is_censored
    weights = 1.0 / np.square(samples.sd[seen] * scale)
    values = samples.values[seen]
    mean = float(np.average(values, weights=weights))
    total = float(np.sum(weights * np.square(values - mean)))
    return None if total == 0 else 1.0 - float(np.sum(weights * np.square(values - fitted[seen]))) / total


def _samples(
    time_days: ArrayLike,
    values: ArrayLike,
    errors: ArrayLike | None,
    censored_below: ArrayLike | None,
    limits: ArrayLike | None,
) -> Samples:
    times, signal = np.asarray(time_days, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if times.ndim != 1 or times.shape != signal.shape:
        raise TableError(f"a decay needs one value per time, got shapes {times.shape} and {signal.shape}")
    is_censored = np.zeros(times.size, bool) if censored_below is None else np.asarray(censored_below, dtype=bool)
    bounds = signal if limits is None else np.asarray(limits, dtype=np.float64)
    sd = np.ones(times.size) if errors is None else np.asarray(errors, dtype=np.float64)
    for name, array in (("censored_below", is_censored), ("limits", bounds), ("errors", sd)):
        if array.shape != times.shape:
            raise TableError(f"{name} must have one entry per time, got shape {array.shape} for {times.size} times")
    used = np.where(is_censored, bounds, signal)
    if not (np.isfinite(times).all() and np.isfinite(used).all() and np.isfinite(sd).all()):
        raise TableError("times, values and errors must be finite numbers", remedy="leave out days without a value")
    largest = float(np.abs(used).max(initial=0.0))
    if largest > _LARGEST or 0 < largest < 1 / _LARGEST:
        raise TableError(f"a value of {largest:.3g} is beyond what can be computed with", remedy="give another unit")
    if (sd <= 0).any():
        raise TableError(
            "every error must be above 0", remedy="leave out a reference that is 100 % by construction: it is no point"
        )
    order = np.argsort(times, kind="stable")
    return Samples(
        frozen(times[order]), frozen(used[order]), frozen(sd[order]), frozen(is_censored[order]), errors is not None
    )
