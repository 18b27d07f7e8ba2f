"""The centre of one round blob by least squares, with the covariance that its noise gives it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.registration.markers.blob_squares import Fitted, Patch, Weights, least_squares
from napari_mpi_track.registration.markers.profiles import GAUSSIAN, LORENTZIAN
from napari_mpi_track.registration.markers.whitening import whitening

# A first look over 2 SD is hardly pulled by neighbours; at 3 SD a sloping background costs the centre 8 % of its error.
_FIRST_REACH_SD, _REACH_SD = 2.0, 3.0
_MOST_ALONG = 11
# No fit of a real ball on real voxels is better than this part of a voxel along an axis.
_BEST_IN_VOXELS = 0.003
_LEAST_SIGNIFICANCE, _LEAST_EXPLAINED = 7.0, 0.5
# By what factor (as a logarithm) a point spread differs between axes: it decides only where voxels cannot tell.
_UNEVEN = 0.3


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
        Part of the variance around it, noise left out where it is known, that the fit explains, 0 to 1.
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


class BlobFitter:
    """Fits blobs in one scan; what its correlated noise asks for is worked out once for every size of patch.

    Parameters
    ----------
    voxels, grid
        The scan.
    seen
        How voxels are looked at, so that a blob is bright.
    noise
        The noise of the scan; ``None`` where it is not known, and then taken as white.
    is_emission
        Whether the blob may have the tails of a Lorentzian point spread.
    """

    def __init__(
        self,
        voxels: NDArray[Any],
        grid: Grid,
        seen: Callable[[NDArray[Any]], NDArray[np.float32]],
        noise: Noise | None,
        is_emission: bool,
    ) -> None:
        self._voxels, self._grid, self._seen = voxels, grid, seen
        self._noise_sd = 0.0 if noise is None else noise.sd
        is_white = noise is None or float(noise.correlation.sum()) < 1.2
        self._correlation = None if is_white or noise is None else noise.correlation
        self._profiles = (GAUSSIAN, LORENTZIAN) if is_emission else (GAUSSIAN,)
        self._whiteners: dict[tuple[Any, ...], NDArray[np.float64]] = {}

    def fit(self, start: NDArray[np.float64], sd_mm: float) -> Blob | None:
        """Return the blob near index ``start`` whose SD is about ``sd_mm``, or nothing where none is compact.

        The blob is an elongated Gaussian (or separable Lorentzian, whichever fits better) integrated over the voxels
        on a sloping background. Voxels around it that belong to something brighter are left out. With correlated
        noise the squares are those of the whitened residual.
        """
        rough = self._patch(start, np.full(3, sd_mm), _FIRST_REACH_SD)
        if rough is None:
            return None
        first = least_squares(rough, rough.guess(start, np.full(3, sd_mm)), GAUSSIAN, rough.everywhere, Weights())
        if not first.is_compact(rough) or first.explained(rough, self._noise_sd) < _LEAST_EXPLAINED:
            return None
        where, sds_mm = rough.index(first.centre), first.fwhm * rough.spacing_mm / GAUSSIAN.fwhm
        patch = self._patch(where, sds_mm, _REACH_SD)
        if patch is None:
            return None
        kept, guess = _own_voxels(patch, patch.guess(where, sds_mm))
        weights = self._weights(patch, kept, float(np.sqrt(first.cost / first.freedom)))
        fits = [least_squares(patch, guess, profile, kept, weights) for profile in self._profiles]
        return self._blob(patch, min(fits, key=lambda fit: fit.cost))

    def _patch(self, index: NDArray[np.float64], sds_mm: NDArray[np.float64], reach: float) -> Patch | None:
        """Return the voxels within ``reach`` SD of ``index``, joined to blocks where they are many."""
        spacing = self._grid.spacing_mm
        half = np.clip(np.round(reach * sds_mm / spacing), 2, np.asarray(self._voxels.shape)).astype(int)
        centre = np.round(index).astype(int)
        low = np.maximum(centre - half, 0)
        high = np.minimum(centre + half + 1, self._voxels.shape)
        if np.any(high - low < 4):
            return None
        steps = np.ceil((high - low) / _MOST_ALONG).astype(int)
        near = self._seen(self._voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
        return Patch(_blocks(near, steps), low + (steps - 1) / 2, steps, spacing * steps)

    def _weights(self, patch: Patch, kept: NDArray[np.bool_], unrest: float) -> Weights:
        """Return how the kept voxels of a patch count, ``unrest`` being the SD of a residual."""
        if self._correlation is None:
            return Weights(None, self._noise_sd**2 / float(np.prod(patch.steps)), unrest / _UNEVEN)
        key = (patch.values.shape, tuple(patch.steps), kept.tobytes())
        if key not in self._whiteners:
            self._whiteners[key] = whitening(self._correlation, patch.values.shape, patch.steps, kept)
        return Weights(self._whiteners[key], self._noise_sd**2, unrest / _UNEVEN)

    def _blob(self, patch: Patch, fit: Fitted) -> Blob | None:
        if not fit.is_compact(patch) or fit.freedom < 1:
            return None
        covariance = fit.covariance()
        if not np.all(np.isfinite(covariance)) or fit.significance < _LEAST_SIGNIFICANCE:
            return None
        widths_mm = fit.fwhm * patch.spacing_mm
        explained = fit.explained(patch, self._noise_sd)
        axes_mm = self._grid.lps_from_index[:3, :3] * patch.steps
        of_centre = axes_mm @ covariance[:3, :3] @ axes_mm.T
        of_centre += (_BEST_IN_VOXELS * self._grid.spacing_mm.mean()) ** 2 * np.eye(3)
        seen = float(np.prod(np.hypot(widths_mm, patch.spacing_mm)) ** (1 / 3))
        if explained < _LEAST_EXPLAINED or np.sqrt(np.trace(of_centre)) > 0.35 * seen:
            return None
        position = self._grid.lps_from(patch.index(fit.centre))
        return Blob(position, of_centre, fit.amplitude, float(np.prod(widths_mm) ** (1 / 3)), explained)


def _own_voxels(patch: Patch, guess: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which voxels show the blob and its surroundings and no brighter neighbour, and a better guess.

    Beyond 2 SD from the centre, voxels that stand far above the fit are left out, and the fit is made again.
    """
    outskirts = _radius(patch.values.shape, guess[:3], np.exp(guess[3:6])) > 2.0
    kept = patch.everywhere
    fit = least_squares(patch, guess, GAUSSIAN, kept, Weights())
    for _ in range(4):
        residual = patch.values.ravel() - fit.values
        spread = 1.4826 * float(np.median(np.abs(residual[kept])))
        stray = outskirts & (residual > 3.5 * spread)
        still = ~ndimage.binary_dilation(stray.reshape(patch.values.shape)).ravel() | ~outskirts
        if stray.sum() < 3 or np.array_equal(still, kept) or still.sum() < max(40, 0.4 * still.size):
            break
        kept = still
        fit = least_squares(patch, fit.parameters[:6], GAUSSIAN, kept, Weights())
    return kept, fit.parameters[:6]


def _radius(shape: tuple[int, ...], centre: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of every voxel from the centre in units of the widths, shape (voxels,)."""
    x, y, z = (((np.arange(n) - c) / max(w, 0.5)) ** 2 for n, c, w in zip(shape, centre, widths, strict=True))
    return np.asarray(np.sqrt(x[:, None, None] + y[None, :, None] + z[None, None, :]).ravel())


def _blocks(near: NDArray[np.float32], steps: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return means over blocks; what is left over at the far ends is dropped."""
    counts = np.asarray(near.shape) // steps
    whole = near[tuple(slice(n * s) for n, s in zip(counts, steps, strict=True))].astype(np.float64)
    parted = whole.reshape(counts[0], steps[0], counts[1], steps[1], counts[2], steps[2])
    return np.asarray(parted.mean(axis=(1, 3, 5)))
