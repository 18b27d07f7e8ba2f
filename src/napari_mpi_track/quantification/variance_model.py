"""How the scatter of a sample's signal depends on what was in it, and its estimation by REML."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.quantification.linear_fit import LineFit, fit_line

_OUTER_ROUNDS = 12
_SHARE_TOLERANCE = 1e-7
_NO_SHARE = 1e-4
# Below this share of the variance at the mean signal the constant part would let one blank rule the line.
_LEAST_CONSTANT_SHARE = 1e-6
_TINY = float(np.finfo(float).tiny)
# The share is searched through its logit: both ends matter, and each is a plateau.
_SHARES = np.concatenate([[0.0], 1.0 / (1.0 + np.exp(-np.linspace(-12.0, 12.0, 25))), [1.0 - _LEAST_CONSTANT_SHARE]])


class VarianceForm(StrEnum):
    """The formula of a sample's variance."""

    CONSTANT = "constant"
    SIGNAL = "signal"
    X = "x"
    X_SQUARED = "x-squared"


@dataclass(frozen=True, slots=True)
class VarianceModel:
    """Variance of one measured signal.

    Attributes
    ----------
    form
        ``constant``: sd^2. ``signal``: sd^2 + (relative_sd mu)^2 with mu the expected signal. ``x``:
        sd^2 max(x, floor_x). ``x-squared``: (sd max(x, floor_x))^2.
    sd
        In the unit of the signal (per root of x, or per x, for the forms of x).
    relative_sd
        Dimensionless, of ``signal`` alone.
    floor_x
        Lowest positive standard, of the forms of x.
    degrees_of_freedom
        With which the variance is known, for all forms but ``signal``, and the most it can have there.
    parameter_covariance
        Of (sd^2, relative_sd^2), of ``signal`` alone: inverse of the REML information.
    """

    form: VarianceForm
    sd: float
    degrees_of_freedom: float
    relative_sd: float = 0.0
    floor_x: float = 0.0
    parameter_covariance: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.0), (0.0, 0.0))

    def variance(self, x: Any, mu: Any) -> Any:
        """Return the variance of one signal expected to be ``mu`` at ``x``, in the signal's unit squared."""
        if self.form is VarianceForm.SIGNAL:
            return self.sd**2 + self.relative_sd**2 * np.square(mu)
        if self.form is VarianceForm.CONSTANT:
            return self.sd**2
        floored = np.maximum(x, self.floor_x)
        return self.sd**2 * (floored if self.form is VarianceForm.X else floored**2)

    def degrees_of_freedom_at(self, mu: Any) -> Any:
        """Return the degrees of freedom with which the variance at signal ``mu`` is known.

        Notes
        -----
        Satterthwaite: nu = 2 V^2 / Var(V), from the REML information of the two variances, kept between 1 and the
        residual degrees of freedom (Fai & Cornelius 1996, doi:10.1080/00949659608811740, for one contrast).
        """
        if self.form is not VarianceForm.SIGNAL:
            return self.degrees_of_freedom
        (constant, cross), (_, relative) = self.parameter_covariance
        mu_squared = np.square(mu)
        spread = constant + 2 * cross * mu_squared + relative * mu_squared**2
        with np.errstate(divide="ignore", invalid="ignore"):
            degrees = 2 * np.square(self.variance(0.0, mu)) / spread
        return np.clip(np.nan_to_num(degrees, nan=np.inf, posinf=np.inf), 1.0, self.degrees_of_freedom)

    def to_json(self) -> dict[str, Any]:
        """Return the model as plain values, for C.json."""
        return {
            "form": self.form.value,
            "sd": self.sd,
            "relative_sd": self.relative_sd,
            "floor_x": self.floor_x,
            "degrees_of_freedom": self.degrees_of_freedom,
            "parameter_covariance": [list(row) for row in self.parameter_covariance],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the model written by :meth:`to_json`."""
        rows = values.get("parameter_covariance") or [[0.0, 0.0], [0.0, 0.0]]
        return cls(
            VarianceForm(values["form"]),
            float(values["sd"]),
            float(values["degrees_of_freedom"]),
            float(values.get("relative_sd") or 0.0),
            float(values.get("floor_x") or 0.0),
            ((float(rows[0][0]), float(rows[0][1])), (float(rows[1][0]), float(rows[1][1]))),
        )


def fit_variance_by_reml(
    x: NDArray[np.float64], y: NDArray[np.float64], *, through_origin: bool = False
) -> tuple[LineFit, VarianceModel]:
    """Return the line fitted with weights 1/(s0^2 + (c mu)^2), and that variance, s0 and c found by REML.

    Parameters
    ----------
    x, y
        Samples, shape (n,), n above the number of coefficients.

    Notes
    -----
    The variance is s^2 ((1 - p) + p (mu/m)^2), m the root mean square of mu: one search over the share p in [0, 1]
    with s^2 profiled out of the restricted likelihood (Patterson & Thompson 1971, doi:10.1093/biomet/58.3.545),
    mu taken from the line before and the two repeated until p stands still (generalised least squares with a
    variance function: Carroll & Ruppert, Transformation and Weighting in Regression, 1988,
    doi:10.1201/9780203735268, ch. 3).
    """
    share = 0.0
    fit = fit_line(x, y, through_origin=through_origin)
    for _ in range(_OUTER_ROUNDS):
        relative = np.square(y - fit.residuals)
        relative /= relative.mean()
        found = _best_share(x, fit.residuals, relative, through_origin=through_origin)
        fit = fit_line(x, y, 1.0 / _shape(found, relative), through_origin=through_origin)
        if abs(found - share) < _SHARE_TOLERANCE:
            break
        share = found
    return fit, _variance_of(x, fit, found, relative, float(np.mean(np.square(y - fit.residuals))), through_origin)


def _shape(share: Any, relative: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1.0 - share) + share * relative)


def _best_share(
    x: NDArray[np.float64], residuals: NDArray[np.float64], relative: NDArray[np.float64], *, through_origin: bool
) -> float:
    """Return the share of least deviance: the best of a grid, refined to where the deviance stands still."""
    from scipy.optimize import brentq

    # In units of its largest x the sums of squares are far from any overflow.
    samples = (x / np.abs(x).max(), residuals, relative)
    deviances, slopes = _deviance(_SHARES, *samples, through_origin=through_origin)
    best = int(np.argmin(deviances))
    low, high = (best, best + 1) if slopes[best] < 0 else (best - 1, best)
    if low < 0 or high >= _SHARES.size:
        return float(_SHARES[best])

    def slope(share: float) -> float:
        return float(_deviance(share, *samples, through_origin=through_origin)[1])

    # Samples without scatter leave nothing but rounding, of any sign.
    if not slope(_SHARES[low]) < 0 < slope(_SHARES[high]):
        return float(_SHARES[best])
    return float(brentq(slope, _SHARES[low], _SHARES[high], xtol=1e-12, rtol=1e-9))


def _deviance(
    shares: Any,
    x: NDArray[np.float64],
    residuals: NDArray[np.float64],
    relative: NDArray[np.float64],
    *,
    through_origin: bool,
) -> tuple[Any, Any]:
    """Return twice the negative restricted log-likelihood of every share and its slope by the share, shaped as shares.

    ``residuals`` are those of any line: the best one through them is taken off.
    """
    share = np.asarray(shares)[..., None]
    shape = _shape(share, relative)
    rising = relative - 1.0
    weights = 1.0 / shape
    away, left, sums = x, residuals, 1.0
    if not through_origin:
        sums = np.vecdot(weights, 1.0 + 0.0 * x)
        away = x - np.asarray((weights @ x) / sums)[..., None]
        left = residuals - np.asarray((weights @ residuals) / sums)[..., None]
    leaning = weights * away
    spread = np.vecdot(leaning, away)
    left = left - np.asarray(np.vecdot(leaning, left) / spread)[..., None] * away
    weighted = weights * left
    scale = np.maximum(np.vecdot(weighted, left), _TINY)
    degrees = x.size - (1 if through_origin else 2)
    # Each is d log / d share: of the determinant of V, of the sum of squares, and of the information on the line.
    slope = (
        np.vecdot(weights, rising)
        - degrees * np.vecdot(np.square(weighted), rising) / scale
        - np.vecdot(np.square(leaning), rising) / spread
    )
    deviance = degrees * np.log(scale) + np.log(shape).sum(axis=-1) + np.log(spread) + np.log(sums)
    return deviance, slope if through_origin else slope - np.vecdot(np.square(weights), rising) / sums


def _variance_of(
    x: NDArray[np.float64],
    fit: LineFit,
    share: float,
    relative: NDArray[np.float64],
    mean_square: float,
    through_origin: bool,
) -> VarianceModel:
    scale = fit.weighted_ss / fit.degrees_of_freedom
    shape = _shape(share, relative)
    constant, slope = scale * (1.0 - share), scale * share
    design = x[:, None] if through_origin else np.column_stack([np.ones_like(x), x])
    weighted = design / shape[:, None]
    projector = np.diag(1.0 / shape) - weighted @ np.linalg.solve(design.T @ weighted, weighted.T)
    # tr(P D P E) of diagonal D and E is d' P^2 e, P squared element by element.
    parts = np.stack([np.ones_like(relative), relative])
    information = 0.5 * parts @ np.square(projector) @ parts.T
    # At its edge the relative part is not free, and the constant one has all the degrees of freedom.
    is_constant = share < _NO_SHARE
    covariance = np.diag([1.0 / information[0, 0], 0.0]) if is_constant else np.linalg.pinv(information)
    # The information above is that of unit scatter.
    to_signal = scale * np.array([1.0, 1.0 / mean_square])
    covariance = covariance * np.outer(to_signal, to_signal)
    return VarianceModel(
        VarianceForm.SIGNAL,
        float(np.sqrt(constant)),
        float(fit.degrees_of_freedom),
        float(np.sqrt(slope / mean_square)),
        parameter_covariance=(
            (float(covariance[0, 0]), float(covariance[0, 1])),
            (float(covariance[1, 0]), float(covariance[1, 1])),
        ),
    )
