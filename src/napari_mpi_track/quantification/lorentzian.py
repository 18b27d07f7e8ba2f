"""The width of a bright place along one line of voxels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEWEST_VOXELS = 6


@dataclass(frozen=True, slots=True)
class Width:
    """Full width at half maximum with its standard error, mm; centre in mm from the line's first voxel."""

    fwhm_mm: float
    se_mm: float
    height: float
    centre_mm: float
    base: float


def fit_lorentzian(
    profile: NDArray[np.float64], spacing_mm: float, peak: int, noise_covariance: NDArray[np.float64]
) -> Width | None:
    """Return the Lorentzian through a line of voxels, or ``None`` where there is none to be fitted.

    Parameters
    ----------
    profile
        Signal along the line, shape (n,).
    spacing_mm
        Between its voxels.
    peak
        Index of the highest voxel.
    noise_covariance
        Of the voxels' noise, shape (n, n), unit of the signal squared.

    Notes
    -----
    Least squares of I0/(1 + ((x - x0)/g)^2) + c, FWHM = 2 g. The standard error is the larger of that from the
    residuals and that from the noise, whose correlation from voxel to voxel is allowed for.
    """
    from scipy.optimize import least_squares

    if profile.size < _FEWEST_VOXELS:
        return None
    x = np.arange(profile.size, dtype=np.float64)
    scale = float(np.ptp(profile))
    if not scale > 0:
        return None
    y = (profile - profile.min()) / scale
    above = int(np.count_nonzero(y > 0.5))
    start = np.array([1.0, float(peak), np.log(max(above / 2, 0.5)), 0.0])

    def unit(parameters: Any) -> NDArray[np.float64]:
        return np.asarray(1.0 / (1.0 + ((x - parameters[1]) / np.exp(parameters[2])) ** 2))

    def residual(parameters: Any) -> NDArray[np.float64]:
        return np.asarray(parameters[0] * unit(parameters) + parameters[3] - y)

    def jacobian(parameters: Any) -> NDArray[np.float64]:
        shape, width = unit(parameters), np.exp(parameters[2])
        offset = (x - parameters[1]) / width
        by_width = 2 * parameters[0] * shape**2 * offset**2
        by_centre = 2 * parameters[0] * shape**2 * offset / width
        return np.stack([shape, by_centre, by_width, np.ones_like(x)], axis=1)

    found = least_squares(residual, start, jac=jacobian, method="lm", max_nfev=400)
    height, centre, log_width, base = found.x
    if not (found.success and height > 0 and 0 <= centre <= profile.size - 1 and np.exp(log_width) < profile.size):
        return None
    slopes = jacobian(found.x)
    normal = np.linalg.pinv(slopes.T @ slopes)
    by_residual = normal * 2 * found.cost / max(profile.size - 4, 1)
    estimator = normal @ slopes.T
    by_noise = estimator @ noise_covariance @ estimator.T / scale**2
    variance = max(float(by_residual[2, 2]), float(by_noise[2, 2]))
    fwhm = 2 * float(np.exp(log_width)) * spacing_mm
    return Width(
        fwhm,
        fwhm * float(np.sqrt(variance)),
        float(height) * scale,
        float(centre) * spacing_mm,
        float(base) * scale + float(profile.min()),
    )
