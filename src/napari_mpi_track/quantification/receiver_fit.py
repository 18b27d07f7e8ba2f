"""A receiver's curve from a dilution series: which model, and its numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite, log
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.receiver import Receiver
from napari_mpi_track.quantification.receiver_curves import LinearReceiver, PolynomialReceiver, TabledReceiver
from napari_mpi_track.quantification.receiver_kinks import fit_broken_line
from napari_mpi_track.quantification.receiver_test import judge_receiver
from napari_mpi_track.quantification.saturation import Saturation

Model = Literal["auto", "linear", "rational", "polynomial", "spline", "kinked"]
MODELS: tuple[Model, ...] = ("auto", "linear", "rational", "polynomial", "spline", "kinked")
_NODES = 64
# Simpler models are kept unless a richer one is better by this much (Burnham & Anderson 2002, section 2.6).
_CLEARLY_BETTER = 2.0
# A slope under this part of the first one is clipping: readings there say nothing of the signal.
_FLAT = 0.02
# Readings of clipped samples scatter about the limit; they lie beyond what is measured, but for one in a thousand.
_CLIPPED_SDS = 3.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model tried: its name with the degree or knots, its numbers fitted, AICc, and why it cannot serve."""

    model: str
    description: str
    parameters: int
    aicc: float
    refused: str = ""


@dataclass(frozen=True, slots=True)
class ReceiverFit:
    """The chosen curve and how it was chosen.

    Attributes
    ----------
    curve
        From true signals to readings; its slope at 0 is 1, so that small signals stay what they are.
    gain
        True signal per x.
    candidates
        Every model tried, from simple to rich.
    residual_sd
        Of the readings about the curve, in their unit.
    n
        Samples.
    lack_of_fit_p
        p-value of the F test of the curve against the means of replicates; ``None`` without replicates.
    doubts
        Sentences on what the curve does not do; empty for a curve that passed the test.
    """

    curve: Receiver
    gain: float
    candidates: tuple[Candidate, ...]
    residual_sd: float
    n: int
    lack_of_fit_p: float | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Fitted:
    description: str
    model: str
    parameters: int
    gain: float
    curve: Callable[[], Receiver]
    reading: NDArray[np.float64]
    doubt: str = ""


def fit_receiver(x: ArrayLike, reading: ArrayLike, *, model: Model = "auto") -> ReceiverFit:
    """Return the receiver's curve that a dilution series shows.

    Parameters
    ----------
    x
        What each sample held (iron, concentration, in any unit): the true signal is proportional to it. Shape (n,).
    reading
        Of each sample, in the unit of voxels, background taken off (the maximum of a tube), shape (n,).
    model
        ``auto``: the simplest within 2 of the lowest AICc.

    Raises
    ------
    CalibrationError
        Fewer than four levels, readings that do not rise, numbers that are not finite, or no model that serves.

    Notes
    -----
    Least squares without weights: the curve bends where readings are high, and there they must fit. AICc after Hurvich
    & Tsai 1989 (doi:10.1093/biomet/76.2.297). The spline is quadratic with rising coefficients (Ramsay 1988,
    doi:10.1214/ss/1177012761). A receiver that clips has a hard kink, which none of the smooth models can follow
    (they are up to 30 % off beside it): broken lines of one and two kinks stand among the candidates, and of a flat
    piece nothing is used. The chosen curve is tested against the means of replicates (Draper & Smith 1998, section
    2.1); where it misses them, the range it is valid for ends before, and ``doubts`` says so.
    """
    if model not in MODELS:
        raise CalibrationError(f"the model must be one of {', '.join(MODELS)}, got {model!r}")
    xs, ys = _checked(x, reading)
    fits = [fit for fit in _fits(xs, ys) if model in ("auto", fit.model)]
    candidates, curves = [], []
    for fit in fits:
        try:
            curve, refused = fit.curve(), ""
        except CalibrationError as error:
            curve, refused = None, error.what
        curves.append(curve)
        candidates.append(Candidate(fit.model, fit.description, fit.parameters, _aicc(fit, ys), refused))
    usable = [at for at, c in enumerate(candidates) if not c.refused and isfinite(c.aicc)]
    if not usable:
        reasons = "; ".join(f"{c.description}: {c.refused or 'too few samples'}" for c in candidates)
        raise CalibrationError(
            f"no receiver's curve fits the series ({reasons})", remedy="measure more dilutions, or choose another model"
        )
    lowest = min(candidates[at].aicc for at in usable)
    chosen = min(
        (at for at in usable if candidates[at].aicc <= lowest + _CLEARLY_BETTER),
        key=lambda at: (candidates[at].parameters, candidates[at].aicc),
    )
    curve, fit = curves[chosen], fits[chosen]
    assert curve is not None
    spread = float(np.sqrt(np.sum((ys - fit.reading) ** 2) / max(xs.size - fit.parameters, 1)))
    tested = judge_receiver(curve, xs, ys, fit.reading, fit.parameters)
    doubts = (*tested.doubts, *([fit.doubt] if fit.doubt else []))
    return ReceiverFit(tested.curve, fit.gain, tuple(candidates), spread, xs.size, tested.p_value, doubts)


def _checked(x: ArrayLike, reading: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    xs, ys = np.array(x, dtype=np.float64).ravel(), np.array(reading, dtype=np.float64).ravel()
    if xs.size != ys.size or not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        raise CalibrationError("every sample of a dilution series needs a finite x and a finite reading")
    if (xs < 0).any():
        raise CalibrationError(f"x must not be negative, got {xs.min():g}")
    levels = np.unique(xs[xs > 0])
    if levels.size < 4:
        raise CalibrationError(
            f"a receiver's curve needs 4 different dilutions or more, got {levels.size}", remedy="add dilutions"
        )
    means = [float(ys[xs == level].mean()) for level in levels]
    if not (means[-1] > means[0] and max(means) > 0):
        raise CalibrationError("the readings must rise with x", remedy="check the columns of x and reading")
    return xs, ys


def _aicc(fit: _Fitted, y: NDArray[np.float64]) -> float:
    count, parameters = y.size, fit.parameters + 1
    if count - parameters - 1 <= 0:
        return inf
    # Readings without scatter would make any AICc: below single precision nothing is better than anything.
    squares = max(float(np.sum((y - fit.reading) ** 2)), count * (1e-7 * float(np.abs(y).max())) ** 2)
    return count * log(squares / count) + 2 * parameters + 2 * parameters * (parameters + 1) / (count - parameters - 1)


def _fits(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[_Fitted]:
    levels = np.unique(x[x > 0]).size
    found = [_polynomial(x, y, 1), _rational(x, y), _polynomial(x, y, 2), _polynomial(x, y, 3)]
    found += [_spline(x, y, knots) for knots in (1, 2, 3) if levels >= knots + 4]
    return found + [_kinked(x, y, kinks) for kinks in (1, 2) if levels >= 3 * kinks + 2]


def _polynomial(x: NDArray[np.float64], y: NDArray[np.float64], degree: int) -> _Fitted:
    top = float(x.max())
    powers = np.stack([(x / top) ** k for k in range(1, degree + 1)], axis=1)
    weights = np.linalg.lstsq(powers, y, rcond=None)[0]
    gain, end = float(weights[0]) / top, float(weights.sum())

    def curve() -> Receiver:
        if not gain > 0:
            raise CalibrationError("it does not rise at its foot")
        if degree == 1:
            return LinearReceiver(end)
        scale = float(weights[0])
        return PolynomialReceiver(tuple(float(w) / scale**k for k, w in enumerate(weights[1:], start=2)), end)

    name = "linear" if degree == 1 else f"polynomial of degree {degree}"
    return _Fitted(name, name.split()[0], degree, gain, curve, powers @ weights)


def _rational(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Fitted:
    from scipy.optimize import least_squares

    top = float(x.max())

    def reading(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        # The bend 1/s_sat is the parameter: no saturation at all is its zero, and not infinitely far away.
        return np.asarray(parameters[0] * x / (1.0 + parameters[1] * x / top))

    def residual(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return reading(parameters) - y

    start = np.array([2.0 * float(y.max()) / top, 1.0])
    found = least_squares(residual, start, bounds=([0.0, 0.0], [inf, inf]), x_scale=start)
    gain, bend = float(found.x[0]), float(found.x[1])

    def curve() -> Receiver:
        if not (gain > 0 and bend > 1e-9):
            raise CalibrationError("it shows no saturation")
        s_sat = gain * top / bend
        return Saturation(s_sat, gain * top / (1.0 + bend))

    return _Fitted("rational, S/(1 + S/S_sat)", "rational", 2, gain, curve, reading(found.x))


def _spline(x: NDArray[np.float64], y: NDArray[np.float64], knots: int) -> _Fitted:
    from scipy.interpolate import BSpline
    from scipy.optimize import nnls

    degree, top = 2, float(x.max())
    inner = np.linspace(0, top, knots + 2)[1:-1]
    ends = np.concatenate([np.zeros(degree + 1), inner, np.full(degree + 1, top)])
    count = knots + degree + 1
    # A spline whose coefficients start at 0 and rise is 0 at 0 and rises.
    rising = np.tril(np.ones((count, count)))[:, 1:]

    def basis(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(BSpline.design_matrix(np.minimum(at, top), ends, degree).toarray() @ rising)

    weights, _ = nnls(basis(x), y)
    gain = degree * float(weights[0]) / float(ends[degree + 1] - ends[1])

    def curve() -> Receiver:
        at = np.linspace(0.0, top, _NODES + 1)[1:]
        readings = basis(at) @ weights
        if not (gain > 0 and (np.diff(readings, prepend=0.0) > 0).all()):
            raise CalibrationError("it does not rise everywhere")
        return TabledReceiver(tuple((gain * at).tolist()), tuple(readings.tolist()))

    description = f"monotone spline with {knots} knot{'s' if knots > 1 else ''}"
    return _Fitted(description, "spline", count - 1, gain, curve, basis(x) @ weights)


def _kinked(x: NDArray[np.float64], y: NDArray[np.float64], kinks: int) -> _Fitted:
    line = fit_broken_line(x, y, kinks)
    gain, top, reading = line.slopes[0], float(x.max()), line.at(x)
    # The search for its place makes a kink worth three parameters (Friedman 1991, doi:10.1214/aos/1176347963).
    parameters = 3 * kinks + 1
    flat = [at for at, slope in enumerate(line.slopes) if at and slope < _FLAT * gain]
    scatter = float(np.sqrt(np.sum((y - reading) ** 2) / max(x.size - parameters, 1)))
    end = line.kinks[flat[0] - 1] if flat else top

    def curve() -> Receiver:
        if not gain > 0:
            raise CalibrationError("it does not rise at its foot")
        limit = float(line.at(np.array([end]))[0])
        if flat:
            limit -= min(_CLIPPED_SDS * scatter, 0.5 * limit)
        if flat and flat[0] == 1:
            return LinearReceiver(limit)
        nodes = np.unique(np.concatenate([np.linspace(0.0, end, _NODES + 1)[1:], [k for k in line.kinks if k < end]]))
        table = TabledReceiver(tuple((gain * nodes).tolist()), tuple(line.at(nodes).tolist()))
        return table.up_to(limit) if flat else table

    doubt = f"the receiver clips: beyond {line.at(np.array([end]))[0]:.4g} its readings say nothing" if flat else ""
    name = f"broken line with {kinks} kink{'s' if kinks > 1 else ''}"
    return _Fitted(name, "kinked", parameters, gain, curve, reading, doubt)
