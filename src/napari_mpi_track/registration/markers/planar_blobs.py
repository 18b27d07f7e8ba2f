"""Small round things in a projection, each with its sub-pixel centre and the error of that centre."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.special import ndtr

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Modality, Volume

_FEWEST_PIXELS = 8
# Standard deviations looked for, in pixels: from a ball of one pixel to a wide point spread.
_SCALES = 1.0 * 1.35 ** np.arange(7)
_MOST_CANDIDATES = 16
# A maximum this many times the usual answer is more than the noise.
_LEAST_ANSWER = 4.5
_LEAST_SIGNIFICANCE = 7.0
_REACH_SD = 2.5
_LEAST_EXPLAINED = 0.7
_MOST_OBLONG = 2.5
_FWHM_PER_SD = float(np.sqrt(8 * np.log(2)))


@dataclass(frozen=True, slots=True, eq=False)
class PlanarBlob:
    """One compact blob of a projection.

    Attributes
    ----------
    at
        Centre as (row, column), in pixels, shape (2,).
    covariance
        Covariance of the centre, in pixels squared, shape (2, 2).
    amplitude
        Height above its surroundings in the scan's unit (negative for a dark blob).
    fwhm_mm
        Geometric mean of the full widths at half maximum along the two axes, mm.
    explained
        Part of the variance around it that the fit explains, 0 to 1.
    """

    at: NDArray[np.float64]
    covariance: NDArray[np.float64]
    amplitude: float
    fwhm_mm: float
    explained: float


def find_planar_blobs(projection: Volume) -> list[PlanarBlob]:
    """Return the compact blobs of a projection, best fitted first: bright ones, and dark ones unless it is MPI.

    Candidates are maxima over place and scale; each is fitted by least squares with an elongated Gaussian integrated
    over the pixels, on a sloping background. The error of a centre allows for correlated noise.

    Raises
    ------
    MeasurementError
        If there are fewer than 8 rows or columns, or no finite pixel.
    """
    pixels = np.asarray(projection.voxels[0], dtype=np.float64)
    if min(pixels.shape) < _FEWEST_PIXELS:
        raise MeasurementError(
            f"fiducials of a projection need {_FEWEST_PIXELS} rows and columns or more, got {pixels.shape}",
            file=projection.file,
            remedy="give the points",
        )
    finite = np.isfinite(pixels)
    if not finite.any():
        raise MeasurementError("the scan holds no number", file=projection.file, remedy="export it again")
    pixels = np.where(finite, pixels, np.median(pixels[finite]))
    noise = _noise(projection)
    spacing = projection.grid.spacing_mm[1:]
    signs = (1.0,) if projection.modality is Modality.MPI else (1.0, -1.0)
    found: list[PlanarBlob] = []
    for sign in signs:
        for start, sd in _candidates(sign * pixels):
            if any(sign * b.amplitude > 0 and np.linalg.norm(b.at - start) < 0.8 * sd for b in found):
                # Seen at another scale already.
                continue
            blob = _fitted(sign * pixels, start, sd, noise, spacing)
            if blob is not None:
                found.append(PlanarBlob(blob.at, blob.covariance, sign * blob.amplitude, blob.fwhm_mm, blob.explained))
    return _without_doubles(found, spacing)


def _noise(projection: Volume) -> Noise | None:
    try:
        return estimate_noise(projection)
    except MeasurementError:
        # A picture without noise (a simulated one) has nothing to correlate.
        return None


def _candidates(pixels: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], float]]:
    """Return (row, column) and SD in pixels of the strongest maxima over place and scale."""
    # Normalised so that a Gaussian blob answers most at its own scale (Lindeberg 1998, doi:10.1023/A:1008045108935).
    answers = np.stack([-(s**2) * ndimage.gaussian_laplace(pixels, s, mode="nearest") for s in _SCALES])
    usual = np.median(np.abs(answers), axis=(1, 2), keepdims=True) / 0.6745
    is_peak = answers == ndimage.maximum_filter(answers, size=3, mode="constant", cval=-np.inf)
    is_peak &= (answers > 0) & (answers > _LEAST_ANSWER * usual)
    scale, row, column = np.nonzero(is_peak)
    strength = answers[is_peak]
    order = np.argsort(-strength, kind="stable")[:_MOST_CANDIDATES]
    return [(np.array([row[k], column[k]], dtype=float), float(_SCALES[scale[k]])) for k in order]


def _fitted(
    pixels: NDArray[np.float64],
    start: NDArray[np.float64],
    sd: float,
    noise: Noise | None,
    spacing_mm: NDArray[np.float64],
) -> PlanarBlob | None:
    """Return the blob that fits best around ``start``; ``None`` if none does."""
    # The first fit only says where and how wide the second one is to look.
    first = _window_fit(pixels, start, np.array([sd, sd]))
    last = None if first is None else _window_fit(pixels, first.middle, first.widths)
    if last is None:
        return None
    fit, patch, middle, widths = last.fit, last.patch, last.middle, last.widths
    parts = _parts(fit.x, patch.shape)
    rest = patch.ravel() - parts @ fit.weights
    explained = 1 - float(np.sum(rest**2) / np.sum((patch - patch.mean()) ** 2))
    amplitude = float(fit.weights[0])
    jacobian = np.column_stack([fit.jacobian, parts])
    covariance = _covariance(jacobian, rest, patch.shape, noise)
    if covariance is None or np.any(np.diag(covariance) < 0) or amplitude <= 0 or explained < _LEAST_EXPLAINED:
        return None
    oblong = float(np.max(widths * spacing_mm) / np.min(widths * spacing_mm))
    if amplitude < _LEAST_SIGNIFICANCE * np.sqrt(covariance[4, 4]) or oblong > _MOST_OBLONG:
        return None
    fwhm = _FWHM_PER_SD * float(np.sqrt(np.prod(widths * spacing_mm)))
    return PlanarBlob(middle, covariance[:2, :2], amplitude, fwhm, explained)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Centre and log widths ``x`` (4,), the linear ``weights`` (4,), and d pixel / d x, shape (n, 4)."""

    x: NDArray[np.float64]
    weights: NDArray[np.float64]
    jacobian: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _WindowFit:
    """A fit to the ``patch`` around a place: ``middle`` (row, column) in the picture and ``widths`` (SD), pixels."""

    fit: _Fit
    patch: NDArray[np.float64]
    middle: NDArray[np.float64]
    widths: NDArray[np.float64]


def _window_fit(
    pixels: NDArray[np.float64], middle: NDArray[np.float64], widths: NDArray[np.float64]
) -> _WindowFit | None:
    low = np.maximum(np.rint(middle - _REACH_SD * widths).astype(int) - 1, 0)
    high = np.minimum(np.rint(middle + _REACH_SD * widths).astype(int) + 2, pixels.shape)
    if np.any(high - low < 4):
        return None
    patch = pixels[low[0] : high[0], low[1] : high[1]]
    fit = _least_squares(patch, middle - low, widths)
    if fit is None:
        return None
    middle, widths = fit.x[:2] + low, np.exp(fit.x[2:4])
    if np.any(middle < low) or np.any(middle > high - 1) or np.any(widths > 4 * _SCALES[-1]):
        return None
    return _WindowFit(fit, patch, middle, widths)


def _least_squares(patch: NDArray[np.float64], at: NDArray[np.float64], widths: NDArray[np.float64]) -> _Fit | None:
    """Fit centre and widths; height and background follow linearly (variable projection)."""
    values = patch.ravel()

    def rest(x: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = _parts(x, patch.shape)
        return np.asarray(values - parts @ np.linalg.lstsq(parts, values, rcond=None)[0])

    start = np.concatenate([at, np.log(widths)])
    reach = np.array([3.0, 3.0, 1.2, 1.2]) * np.array([*widths, 1.0, 1.0])
    try:
        found = optimize.least_squares(rest, start, bounds=(start - reach, start + reach), xtol=1e-6, max_nfev=15)
    except (ValueError, np.linalg.LinAlgError):
        return None
    weights = np.linalg.lstsq(_parts(found.x, patch.shape), values, rcond=None)[0]
    steps = 1e-5 * np.eye(4)
    slopes = [(_parts(found.x + h, patch.shape) - _parts(found.x - h, patch.shape)) @ weights / 2e-5 for h in steps]
    return _Fit(np.asarray(found.x), np.asarray(weights, dtype=np.float64), np.stack(slopes, axis=1))


def _parts(x: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a blob of height 1 integrated over every pixel, and 1, row and column: shape (n, 4)."""
    along = []
    for axis in range(2):
        sd = np.exp(x[2 + axis])
        edges = (np.arange(shape[axis] + 1) - 0.5 - x[axis]) / sd
        along.append(np.diff(ndtr(edges)) * sd * np.sqrt(2 * np.pi))
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in shape)
    slope_down, slope_across = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
    return np.column_stack([np.outer(*along).ravel(), np.ones(slope_down.size), slope_down, slope_across])


def _covariance(
    jacobian: NDArray[np.float64], rest: NDArray[np.float64], shape: tuple[int, ...], noise: Noise | None
) -> NDArray[np.float64] | None:
    """Return the covariance of (row, column, log widths, height, background (3)), shape (8, 8)."""
    try:
        normal = np.linalg.inv(jacobian.T @ jacobian)
    except np.linalg.LinAlgError:
        return None
    freedom = max(len(rest) - jacobian.shape[1], 1)
    left_over = float(np.sum(rest**2)) / freedom
    if noise is None:
        return np.asarray(left_over * normal)
    smeared = np.stack([noise.smear(column.reshape(1, *shape)).ravel() for column in jacobian.T], axis=1)
    covariance = normal @ (jacobian.T @ smeared) @ normal
    # What the noise does not explain (another profile than a Gaussian, a neighbour) widens it.
    return np.asarray(covariance * max(1.0, left_over / noise.sd**2))


def _without_doubles(blobs: list[PlanarBlob], spacing_mm: NDArray[np.float64]) -> list[PlanarBlob]:
    kept: list[PlanarBlob] = []
    for blob in sorted(blobs, key=lambda b: -b.explained):
        if all(
            np.linalg.norm((blob.at - other.at) * spacing_mm) > 0.5 * min(blob.fwhm_mm, other.fwhm_mm) for other in kept
        ):
            kept.append(blob)
    return kept
