"""Least squares of one blob on a patch of voxels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.registration.markers.profiles import Profile, blob_and_gradient


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Voxels around a blob (or means over blocks of ``steps`` voxels); ``offset`` is the index of the first."""

    values: NDArray[np.float64]
    offset: NDArray[np.float64]
    steps: NDArray[np.intp]
    spacing_mm: NDArray[np.float64]

    @property
    def everywhere(self) -> NDArray[np.bool_]:
        """All voxels kept, shape (voxels,)."""
        return np.ones(self.values.size, dtype=bool)

    def index(self, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scan's index of a place in the patch, shape (3,)."""
        return np.asarray(centre * self.steps + self.offset)

    def guess(self, index: NDArray[np.float64], sds_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return centre and log widths, shape (6,), of a Gaussian at the scan's ``index``, in voxels of the patch."""
        return np.concatenate([(index - self.offset) / self.steps, np.log(sds_mm / self.spacing_mm)])


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """How residuals count.

    Attributes
    ----------
    whitener
        W with W C W' = 1, C the covariance of the kept voxels' noise up to a factor; ``None`` for white noise.
    least_variance
        The known noise's variance in one (whitened) residual, 0 where it is not known: a residual that falls below it
        does not make the noise smaller.
    evenness
        Weighs the logarithms of the three widths' distance from their mean as further residuals.
    """

    whitener: NDArray[np.float64] | None = None
    least_variance: float = 0.0
    evenness: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fit in units of the patch's voxels; the Jacobian is whitened and of the kept voxels."""

    parameters: NDArray[np.float64]
    profile: Profile
    values: NDArray[np.float64]
    kept: NDArray[np.bool_]
    cost: float
    jacobian: NDArray[np.float64]
    least_variance: float

    @property
    def centre(self) -> NDArray[np.float64]:
        """Place in the patch, shape (3,)."""
        return self.parameters[:3]

    @property
    def fwhm(self) -> NDArray[np.float64]:
        """Full widths at half maximum, voxels of the patch, shape (3,)."""
        return np.asarray(self.profile.fwhm * np.exp(self.parameters[3:6]))

    @property
    def amplitude(self) -> float:
        """Height above the background, in the scan's unit."""
        return float(self.parameters[6])

    @property
    def freedom(self) -> int:
        """Voxels kept less parameters."""
        return int(np.count_nonzero(self.kept)) - len(self.parameters)

    def is_compact(self, patch: Patch) -> bool:
        """Return whether it is a blob inside the patch, not much longer than wide where voxels can tell."""
        inside = np.all((self.centre > -0.5) & (self.centre < np.asarray(patch.values.shape) - 0.5))
        seen = np.hypot(self.fwhm, 1.0) * patch.spacing_mm
        reach = np.asarray(patch.values.shape) * patch.spacing_mm
        return bool(inside and self.amplitude > 0 and seen.max() < 2.5 * seen.min() and seen.max() < 2 * reach.min())

    def covariance(self) -> NDArray[np.float64]:
        """Return the covariance of all parameters, shape (11, 11)."""
        return np.asarray(self.variance * np.linalg.pinv(self.jacobian.T @ self.jacobian))

    @property
    def variance(self) -> float:
        """Variance of one residual, from the residuals, no less than the known noise's."""
        return max(self.cost / self.freedom, self.least_variance)

    @property
    def significance(self) -> float:
        """Height over its standard error, place and widths taken as known."""
        columns = self.jacobian[:, 6:]
        variance = self.variance * np.linalg.pinv(columns.T @ columns)[0, 0]
        return self.amplitude / max(float(np.sqrt(variance)), 1e-300)

    def explained(self, patch: Patch, noise_sd: float) -> float:
        """Return the part of the variance, the noise's left out, that the fit explains."""
        data = patch.values.ravel()[self.kept]
        noise = noise_sd**2 / float(np.prod(patch.steps)) * len(data)
        left = float(np.sum((data - self.values[self.kept]) ** 2))
        whole = float(np.sum((data - data.mean()) ** 2))
        return 1 - max(left - noise, 0.0) / max(whole - noise, 1e-300)


def least_squares(
    patch: Patch,
    first: NDArray[np.float64],
    profile: Profile,
    kept: NDArray[np.bool_],
    weights: Weights,
) -> Fitted:
    """Return the least squares fit of centre, widths, height and a sloping background to the kept voxels."""
    shape = patch.values.shape
    tilts = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    plane = np.stack([np.ones(patch.values.size), *(tilt.ravel() for tilt in tilts)], axis=1)
    lowest_value = float(patch.values.min())
    scale = float(patch.values.max()) - lowest_value or 1.0
    logs = np.log(patch.spacing_mm)
    to_mean = np.zeros((3, 11))
    to_mean[:, 3:6] = np.eye(3) - 1 / 3
    data = (patch.values.ravel() - lowest_value) / scale

    def model(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        unit, gradient = blob_and_gradient(profile, shape, parameters)
        whole = np.concatenate([parameters[6] * gradient, unit[:, None], plane], axis=1)
        return parameters[6] * unit + plane @ parameters[7:], whole

    def whitened(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values, gradient = model(parameters)
        residual, gradient = (data - values)[kept], gradient[kept]
        if weights.whitener is not None:
            residual, gradient = weights.whitener @ residual, weights.whitener @ gradient
        uneven = weights.evenness / scale * (parameters[3:6] + logs - np.mean(parameters[3:6] + logs))
        return np.concatenate([residual, -uneven]), np.concatenate([gradient, weights.evenness / scale * to_mean])

    background = float(np.median(data))
    guess = np.concatenate([first, [max(1.0 - background, 0.1), background, 0.0, 0.0, 0.0]])
    # A width under a quarter of a voxel shows nothing that a quarter does not.
    lowest = np.concatenate([guess[:3] - 3.0, np.maximum(guess[3:6] - 1.6, np.log(0.25)), [0.0], np.full(4, -np.inf)])
    highest = np.concatenate([guess[:3] + 3.0, np.maximum(guess[3:6] + 1.2, np.log(0.5)), np.full(5, np.inf)])
    answer = _bounded_steps(whitened, np.clip(guess, lowest, highest), lowest, highest)
    residual, gradient = whitened(answer)
    values = model(answer)[0] * scale + lowest_value
    gradient[:, :6] *= scale
    answer[6] *= scale
    return Fitted(
        answer, profile, values, kept, float(residual @ residual) * scale**2, gradient, weights.least_variance
    )


def _bounded_steps(
    model: Any,
    guess: NDArray[np.float64],
    lowest: NDArray[np.float64],
    highest: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the parameters of least squares by Levenberg-Marquardt steps kept between bounds."""
    at, damping = guess, 1e-3
    residual, gradient = model(at)
    cost = float(residual @ residual)
    for _ in range(25):
        normal, slope = gradient.T @ gradient, gradient.T @ residual
        step = np.linalg.solve(normal + np.diag(damping * np.diag(normal) + 1e-12), slope)
        trial = np.clip(at + step, lowest, highest)
        trial_residual, trial_gradient = model(trial)
        trial_cost = float(trial_residual @ trial_residual)
        if trial_cost > cost:
            damping *= 10
            if damping > 1e5:
                break
            continue
        gain = cost - trial_cost
        at, residual, gradient, cost = trial, trial_residual, trial_gradient, trial_cost
        damping = max(damping / 5, 1e-9)
        if gain < 1e-4 * cost or cost < 1e-20:
            break
    return np.asarray(at)
