"""Small round things in a scan, each with its sub-voxel centre and the error of that centre."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal, special

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.foreground import block_average, block_grid, block_steps, is_in_hounsfield_units
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.volume import Modality, Volume

_SEARCH_VOXELS = 1_000_000
_FWHM_PER_SD = float(np.sqrt(8 * np.log(2)))
_MOST_FITTED = 60
# A blob of SD s answers strongest in a difference of Gaussians at the scale s / 1.22 (Lindeberg 1998, 3-D).
_SD_PER_SCALE = 1.22


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """One compact blob.

    Attributes
    ----------
    position_mm
        Centre, LPS mm, shape (3,).
    covariance_mm2
        Covariance of the centre, mm2, shape (3, 3).
    amplitude
        Height above its surroundings in the scan's unit (negative for a dark blob).
    fwhm_mm
        Geometric mean of the full widths at half maximum along the three axes, mm.
    explained
        Part of the variance around it that the fit explains, 0 to 1.
    """

    position_mm: NDArray[np.float64]
    covariance_mm2: NDArray[np.float64]
    amplitude: float
    fwhm_mm: float
    explained: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "position_mm", frozen(self.position_mm))
        object.__setattr__(self, "covariance_mm2", frozen(self.covariance_mm2))

    __getstate__ = get_state
    __setstate__ = set_state

    @property
    def sd_mm(self) -> float:
        """Standard error of the centre, root of the sum over the three axes, mm."""
        return float(np.sqrt(np.trace(self.covariance_mm2)))


def find_blobs(volume: Volume) -> list[Blob]:
    """Return the compact blobs of a scan, best fitted first: bright ones, in MR dark ones as well.

    Candidates are maxima over space and scale of a difference of Gaussians; each is fitted by least squares with
    an elongated Gaussian (in MPI also a separable Lorentzian, whichever fits better) integrated over the voxels,
    on a sloping background, so that a lit organ beside it does not pull its centre. Flat, long and badly fitted
    ones are left out. The error of a centre allows for correlated noise.

    Raises
    ------
    MeasurementError
        If the scan has fewer than 5 voxels along an axis, so that no blob in it has a centre in 3-D.

    Notes
    -----
    Lindeberg 1998, doi:10.1023/A:1008045108935 (scale-space).
    """
    if min(volume.grid.shape) < 5:
        raise MeasurementError(
            f"fiducials need 5 voxels or more along every axis, got {volume.grid.shape}",
            file=volume.file,
            remedy="give the points",
        )
    correlation = _correlation(volume)
    found: list[Blob] = []
    for seen, sign in _channels(volume):
        for start, scale_mm in _candidates(seen, volume.grid, is_emission=volume.modality is Modality.MPI):
            if _is_known(found, volume.grid.lps_from(start), scale_mm):
                continue
            blob = _fit(seen, volume.grid, start, _SD_PER_SCALE * scale_mm, correlation)
            if blob is not None:
                found.append(replace(blob, amplitude=sign * blob.amplitude))
    return _without_doubles(found)


def _is_known(found: list[Blob], position_mm: NDArray[np.float64], scale_mm: float) -> bool:
    """Return whether a well fitted blob is there already (most blobs are seen at several scales)."""
    return any(b.explained > 0.85 and np.linalg.norm(b.position_mm - position_mm) < scale_mm for b in found)


def _correlation(volume: Volume) -> NDArray[np.float64] | None:
    """Return the noise's autocorrelation for emission scans, whose reconstruction smears the noise."""
    if volume.modality is not Modality.MPI:
        return None
    try:
        return estimate_noise(volume).correlation
    except MeasurementError:
        # A scan without noise (a simulated one) has nothing to correlate.
        return None


def _channels(volume: Volume) -> list[tuple[NDArray[np.float32], int]]:
    """Return the voxels as they are searched, with their sign; every blob of interest is bright in one of them."""
    voxels = np.nan_to_num(volume.voxels.astype(np.float32), posinf=0.0, neginf=0.0)
    if is_in_hounsfield_units(volume):
        # A ball on the skin lies half in air, half in tissue. Cut above both, the step between them is gone.
        return [(np.clip(voxels, -1000, 4000), 1), (np.clip(voxels, 200, 4000), 1)]
    if volume.modality in (Modality.MR, None):
        return [(voxels, 1), (-voxels, -1)]
    return [(voxels, 1)]


def _candidates(voxels: NDArray[np.float32], grid: Grid, is_emission: bool) -> list[tuple[NDArray[np.float64], float]]:
    """Return (index, scale in mm) of maxima over space and scale, strongest first."""
    steps = block_steps(grid, _SEARCH_VOXELS)
    coarse, where = block_average(voxels, steps), block_grid(grid, steps)
    smallest = 0.6 * float(np.prod(where.spacing_mm) ** (1 / 3))
    scales = smallest * 1.45 ** np.arange(6 if is_emission else 7)
    smooth = [
        ndimage.gaussian_filter(coarse, scale / where.spacing_mm, truncate=3.0, mode="nearest") for scale in scales
    ]
    hits: list[tuple[float, NDArray[np.float64], float]] = []
    answers = [fine - wide for fine, wide in pairwise(smooth)]
    for level, answer in enumerate(answers):
        strongest = ndimage.maximum_filter(answer, 3, mode="nearest")
        quiet = 1.4826 * float(np.median(np.abs(answer)))
        is_peak = (answer == strongest) & (answer > max(5 * quiet, 1e-6 * float(answer.max())))
        for place in np.argwhere(is_peak):
            if _is_round(answer, place) and _leads(answers, level, place):
                index = where.lps_from(place)
                hits.append((float(answer[tuple(place)]), grid.index_from(index), float(scales[level])))
    hits.sort(key=lambda hit: -hit[0])
    return [(index, scale) for _, index, scale in hits[:_MOST_FITTED]]


def _is_round(answer: NDArray[np.float32], place: NDArray[np.intp]) -> bool:
    """Return whether the answer falls off in all three directions (a rod or a sheet does not)."""
    if np.any(place < 1) or np.any(place > np.asarray(answer.shape) - 2):
        return False
    near = answer[tuple(slice(p - 1, p + 2) for p in place)].astype(np.float64)
    hessian = np.empty((3, 3))
    for i in range(3):
        for j in range(i, 3):
            hessian[i, j] = hessian[j, i] = _second_difference(near, i, j)
    curvatures = np.linalg.eigvalsh(hessian)
    return bool(curvatures[2] < 0 and curvatures[2] < 0.15 * curvatures[0])


def _second_difference(near: NDArray[np.float64], i: int, j: int) -> float:
    def at(first: int, second: int) -> float:
        place = [1, 1, 1]
        place[i] += first
        place[j] += second
        return float(near[tuple(place)])

    if i == j:
        return at(1, 0) - 2 * at(0, 0) + at(-1, 0)
    return (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4


def _leads(answers: list[NDArray[np.float32]], level: int, place: NDArray[np.intp]) -> bool:
    """Return whether the next scales answer less strongly at this place."""
    here = answers[level][tuple(place)]
    around = tuple(slice(max(p - 1, 0), p + 2) for p in place)
    neighbours = [answers[k] for k in (level - 1, level + 1) if 0 <= k < len(answers)]
    # A little tolerance: the peak may lie between two scales, and doubles are removed after the fit.
    return all(here >= 0.9 * float(other[around].max()) for other in neighbours)


def _fit(
    voxels: NDArray[np.float32],
    grid: Grid,
    start: NDArray[np.float64],
    sd_mm: float,
    correlation: NDArray[np.float64] | None,
) -> Blob | None:
    """Return the blob fitted around index ``start``, or nothing when there is no compact blob."""
    half = np.maximum(2, np.round(2.6 * sd_mm / grid.spacing_mm)).astype(int)
    centre = np.round(start).astype(int)
    low = np.maximum(centre - half, 0)
    high = np.minimum(centre + half + 1, grid.shape)
    if np.any(high - low < 4):
        return None
    near = voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    # Voxels much finer than the blob only cost time: the mean over blocks keeps what they say of the centre.
    steps = np.maximum(1, (np.asarray(near.shape) // 8).astype(int))
    patch = block_average(near, (int(steps[0]), int(steps[1]), int(steps[2]))).astype(np.float64)
    offset = low + (steps - 1) / 2
    axes_mm = grid.lps_from_index[:3, :3] * steps
    first = np.concatenate([(start - offset) / steps, np.log(sd_mm / (grid.spacing_mm * steps))])
    shapes = (_GAUSSIAN,) if correlation is None else (_GAUSSIAN, _LORENTZIAN)
    fits = [_least_squares(patch, first, shape) for shape in shapes]
    best = min(fits, key=lambda fit: fit.residual)
    inside = np.all((best.centre > -0.5) & (best.centre < np.asarray(patch.shape) - 0.5))
    widths_mm = best.fwhm * grid.spacing_mm * steps
    if (
        not inside
        or widths_mm.max() > 2.5 * widths_mm.min()
        or widths_mm.max() > 2 * float(np.min(half * 2 * grid.spacing_mm))
    ):
        return None
    covariance = axes_mm @ best.covariance(correlation) @ axes_mm.T
    explained = 1 - best.residual / max(float(np.sum((patch - patch.mean()) ** 2)), 1e-300)
    if not np.all(np.isfinite(covariance)) or best.amplitude <= 0 or explained < 0.5:
        return None
    # No fit of a real ball on real voxels is better than a fiftieth of a voxel.
    covariance = covariance + np.diag((0.02 * grid.spacing_mm.mean()) ** 2 * np.ones(3))
    width = float(np.prod(widths_mm) ** (1 / 3))
    if np.sqrt(np.trace(covariance)) > 0.35 * width:
        return None
    return Blob(grid.lps_from(best.centre * steps + offset), covariance, best.amplitude, width, explained)


@dataclass(frozen=True, slots=True)
class _Profile:
    """A line profile: F and its derivative f, the factor that makes f(0) = 1, and FWHM in units of its scale."""

    name: str
    fwhm: float

    def primitive(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.name == "gaussian":
            return np.asarray(np.sqrt(2 * np.pi) * special.ndtr(x))
        return np.arctan(x)

    def density(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.name == "gaussian":
            return np.asarray(np.exp(-0.5 * x * x))
        return np.asarray(1 / (1 + x * x))


_GAUSSIAN = _Profile("gaussian", _FWHM_PER_SD)
_LORENTZIAN = _Profile("lorentzian", 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """A fit in units of the patch's voxels; ``noise`` is the squared residual in units of the patch's range."""

    centre: NDArray[np.float64]
    fwhm: NDArray[np.float64]
    amplitude: float
    residual: float
    noise: float
    jacobian: NDArray[np.float64]
    shape: tuple[int, ...]

    def covariance(self, correlation: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the 3x3 covariance of the centre, the noise's variance taken from the residual."""
        count, parameters = self.jacobian.shape
        normal = np.linalg.pinv(self.jacobian.T @ self.jacobian)
        variance = self.noise / max(count - parameters, 1)
        if correlation is None or correlation.size == 1:
            return np.asarray(variance * normal[:3, :3])
        estimator = normal[:3] @ self.jacobian.T
        rows = estimator.reshape(3, *self.shape)
        smeared = signal.fftconvolve(rows, correlation[None], mode="same", axes=(1, 2, 3)).reshape(3, -1)
        # The fit follows part of the correlated noise, so the residual shows less than all of it.
        return np.asarray(1.2 * variance * estimator @ smeared.T)


def _least_squares(patch: NDArray[np.float64], first: NDArray[np.float64], profile: _Profile) -> _Fitted:
    """Return the least squares fit of centre, widths, height and a sloping background."""
    axes = [np.arange(n, dtype=np.float64) for n in patch.shape]
    scale = float(patch.max() - patch.min()) or 1.0
    data = (patch - patch.min()) / scale
    tilts = [a.ravel() for a in np.meshgrid(*(x - x.mean() for x in axes), indexing="ij")]
    plane = np.stack([np.ones(patch.size), *tilts], axis=1)

    def model(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lines, by_centre, by_width = zip(
            *(_line(x, c, s, profile) for x, c, s in zip(axes, parameters[:3], np.exp(parameters[3:6]), strict=True)),
            strict=True,
        )
        unit = _outer(lines)
        columns = [_outer([*lines[:k], by_centre[k], *lines[k + 1 :]]) for k in range(3)]
        columns += [_outer([*lines[:k], by_width[k], *lines[k + 1 :]]) for k in range(3)]
        gradient = np.concatenate([parameters[6] * np.stack(columns, axis=1), unit[:, None], plane], axis=1)
        return parameters[6] * unit + plane @ parameters[7:], gradient

    flat = data.ravel()
    guess = np.concatenate([first, [1.0, float(np.median(data)), 0.0, 0.0, 0.0]])
    guess[6] = max(1.0 - guess[7], 0.1)
    lowest = np.concatenate([guess[:3] - 3.0, guess[3:6] - 1.6, [0.0, -np.inf, -np.inf, -np.inf, -np.inf]])
    highest = np.concatenate([guess[:3] + 3.0, guess[3:6] + 1.2, np.full(5, np.inf)])
    answer = _bounded_steps(model, flat, guess, lowest, highest)
    values, gradient = model(answer)
    return _Fitted(
        centre=answer[:3],
        fwhm=profile.fwhm * np.exp(answer[3:6]),
        amplitude=float(answer[6]) * scale,
        residual=float(np.sum((values - flat) ** 2)) * scale**2,
        noise=float(np.sum((values - flat) ** 2)),
        jacobian=gradient,
        shape=patch.shape,
    )


def _bounded_steps(
    model: Any,
    flat: NDArray[np.float64],
    guess: NDArray[np.float64],
    lowest: NDArray[np.float64],
    highest: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the parameters of least squares by Levenberg-Marquardt steps kept between bounds."""
    at, damping = guess, 1e-3
    values, gradient = model(at)
    cost = float(np.sum((values - flat) ** 2))
    for _ in range(40):
        normal, slope = gradient.T @ gradient, gradient.T @ (flat - values)
        step = np.linalg.solve(normal + np.diag(damping * np.diag(normal) + 1e-12), slope)
        trial = np.clip(at + step, lowest, highest)
        trial_values, trial_gradient = model(trial)
        trial_cost = float(np.sum((trial_values - flat) ** 2))
        if trial_cost > cost:
            damping *= 10
            if damping > 1e5:
                break
            continue
        gain = cost - trial_cost
        at, values, gradient, cost = trial, trial_values, trial_gradient, trial_cost
        damping = max(damping / 5, 1e-9)
        if gain < 1e-5 * cost or cost < 1e-20:
            break
    return at


def _line(
    x: NDArray[np.float64], centre: float, width: float, profile: _Profile
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the profile integrated over voxels, and its derivatives by centre and by the log of the width."""
    right, left = (x + 0.5 - centre) / width, (x - 0.5 - centre) / width
    integral = profile.primitive(right) - profile.primitive(left)
    by_centre = profile.density(left) - profile.density(right)
    by_width = width * (integral - right * profile.density(right) + left * profile.density(left))
    return width * integral, by_centre, by_width


def _outer(lines: Any) -> NDArray[np.float64]:
    return np.asarray(np.einsum("i,j,k->ijk", *lines).ravel())


def _without_doubles(blobs: list[Blob]) -> list[Blob]:
    """Return the blobs, best fitted first, without those whose centre lies within another's half width."""
    kept: list[Blob] = []
    for blob in sorted(blobs, key=lambda b: -b.explained):
        if all(
            np.linalg.norm(blob.position_mm - other.position_mm) > 0.5 * min(blob.fwhm_mm, other.fwhm_mm)
            for other in kept
        ):
            kept.append(blob)
    return kept
