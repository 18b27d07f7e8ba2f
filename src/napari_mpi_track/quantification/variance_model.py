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
        found = _best_share(x, y, relative, through_origin=through_origin)
        fit = fit_line(x, y, 1.0 / _shape(found, relative), through_origin=through_origin)
        if abs(found - share) < _SHARE_TOLERANCE:
            break
        share = found
    return fit, _variance_of(x, fit, found, relative, float(np.mean(np.square(y - fit.residuals))), through_origin)


def _shape(share: float, relative: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(max(1.0 - share, _LEAST_CONSTANT_SHARE) + share * relative)


def _best_share(
    x: NDArray[np.float64], y: NDArray[np.float64], relative: NDArray[np.float64], *, through_origin: bool
) -> float:
    from scipy.optimize import minimize_scalar

    def deviance(share: float) -> float:
        shape = _shape(share, relative)
        fit = fit_line(x, y, 1.0 / shape, through_origin=through_origin)
        (aa, ab), (_, bb) = fit.unscaled_covariance
        log_information = -np.log(bb) if through_origin else -np.log(aa * bb - ab * ab)
        scale = max(fit.weighted_ss, np.finfo(float).tiny)
        return float(fit.degrees_of_freedom * np.log(scale) + np.sum(np.log(shape)) + log_information)

    # The share is searched through its logit: both ends matter, and each is a plateau.
    logits = np.linspace(-12.0, 12.0, 25)
    shares = np.concatenate([[0.0], 1.0 / (1.0 + np.exp(-logits)), [1.0]])
    values = [deviance(share) for share in shares]
    best = int(np.argmin(values))
    low, high = shares[max(best - 1, 0)], shares[min(best + 1, shares.size - 1)]
    refined = minimize_scalar(deviance, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    return float(refined.x) if refined.fun < values[best] else float(shares[best])


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
    constant, slope = scale * float(max(1.0 - share, _LEAST_CONSTANT_SHARE)), scale * share
    design = x[:, None] if through_origin else np.column_stack([np.ones_like(x), x])
    inverse = np.diag(1.0 / shape)
    weighted = inverse @ design
    projector = inverse - weighted @ np.linalg.solve(design.T @ weighted, weighted.T)
    by_constant, by_slope = projector, projector * relative[None, :]
    information = 0.5 * np.array(
        [
            [np.sum(by_constant * by_constant.T), np.sum(by_constant * by_slope.T)],
            [np.sum(by_slope * by_constant.T), np.sum(by_slope * by_slope.T)],
        ]
    )
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
