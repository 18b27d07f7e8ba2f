"""A weighted straight line through samples, with the covariance of its two numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LineFit:
    """Least-squares line ``intercept + slope x``.

    Attributes
    ----------
    intercept, slope
        In the unit of y, and of y per x.
    unscaled_covariance
        (X' W X)^-1 in the order intercept, slope: times the variance of unit weight it is their covariance.
        A line through the origin has zeros for the intercept.
    weighted_ss
        Sum of squared residuals, each times its weight.
    total_ss
        Sum of squares about the weighted mean (about zero for a line through the origin), each times its weight.
    residuals
        y minus the line, shape (n,).
    degrees_of_freedom
        n minus the number of fitted coefficients.
    """

    intercept: float
    slope: float
    unscaled_covariance: tuple[tuple[float, float], tuple[float, float]]
    weighted_ss: float
    total_ss: float
    residuals: NDArray[np.float64]
    degrees_of_freedom: int

    @property
    def r_squared(self) -> float:
        """Coefficient of determination, uncentred for a line through the origin (as NIST and statsmodels do)."""
        return 1.0 - self.weighted_ss / self.total_ss


def fit_line(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    *,
    through_origin: bool = False,
) -> LineFit:
    """Return the line of least weighted squares.

    Parameters
    ----------
    x, y
        Samples, shape (n,).
    weights
        Inverse variances up to a common factor, shape (n,); equal when not given.
    through_origin
        Fit the slope alone.

    Notes
    -----
    Centred sums (Draper & Smith, Applied Regression Analysis, 3rd ed. 1998, ch. 1 and 9, doi:10.1002/9781118625590):
    subtracting the weighted means first keeps full precision where the x are far from zero.
    """
    w = np.ones_like(x) if weights is None else weights
    if through_origin:
        sum_xx = float(np.sum(w * x * x))
        slope = float(np.sum(w * x * y)) / sum_xx
        residuals = y - slope * x
        covariance = ((0.0, 0.0), (0.0, 1.0 / sum_xx))
        total = float(np.sum(w * y * y))
        return LineFit(0.0, slope, covariance, float(np.sum(w * residuals**2)), total, residuals, x.size - 1)
    sum_w = float(np.sum(w))
    x_mean, y_mean = float(np.sum(w * x)) / sum_w, float(np.sum(w * y)) / sum_w
    dx, dy = x - x_mean, y - y_mean
    sum_xx = float(np.sum(w * dx * dx))
    slope = float(np.sum(w * dx * dy)) / sum_xx
    residuals = dy - slope * dx
    cross = -x_mean / sum_xx
    covariance = ((1.0 / sum_w + x_mean * x_mean / sum_xx, cross), (cross, 1.0 / sum_xx))
    total = float(np.sum(w * dy * dy))
    return LineFit(
        y_mean - slope * x_mean, slope, covariance, float(np.sum(w * residuals**2)), total, residuals, x.size - 2
    )
