"""The background of a scan of tubes, beside the tails that tubes shed over the whole of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.lorentzian import Width
from napari_mpi_track.segmentation.tubes import TubePlace

# So many widths from a tube its blur is a tail, whatever the tube's own size and shape.
_CORE_WIDTHS = 2.0
_FAR_SDS = 4.0
_FEWEST_VOXELS, _LEAST_PART = 200, 0.1
# The mode of noise varies two to three times as much as its mean.
_MODE_VARIANCE = 3.0

Widths = tuple[Width | None, Width | None, Width | None]


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What is under the tubes, in the scan's unit.

    Attributes
    ----------
    mean
        The background.
    weights
        By which each voxel makes that mean, shape as the scan's grid; ``None`` where it is the mode of all voxels.
    """

    mean: float
    weights: NDArray[np.float64] | None

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", frozen(self.weights))

    __getstate__ = get_state
    __setstate__ = set_state

    def sd_of_total(self, inside: NDArray[np.bool_], noise: Noise) -> float:
        """Return the SD, in the scan's unit, that the noise gives a sum of voxels with the background taken off.

        Parameters
        ----------
        inside
            The voxels of the sum, shape as the scan's grid.
        noise
            Of the scan.
        """
        count = float(np.count_nonzero(inside))
        if self.weights is not None:
            weights = inside - count * self.weights
            return float(np.sqrt(max(float((weights * noise.smear(weights)).sum()), 0.0)))
        of_voxels = max(float((inside * noise.smear(inside)).sum()), 0.0)
        return float(np.sqrt(of_voxels + count**2 * _variance_of_mode(noise, inside.size)))


def background_beside(
    volume: Volume,
    noise: Noise,
    tubes: Sequence[tuple[TubePlace, Widths]],
    apart: NDArray[np.bool_] | None = None,
) -> Background:
    """Return the background of a scan beside its tubes.

    Parameters
    ----------
    volume, noise
        The scan and its noise.
    tubes
        Where they lie and how wide they are.
    apart
        Voxels that may hold a faint tube and are left out, shape as the scan's grid.

    Notes
    -----
    Far from the tubes a voxel is the background and a share of their tails, which follow the widths measured along
    the axes (a separable Lorentzian); both are fitted by least squares to all voxels farther than two widths from
    any tube, but for those that stand out by 4 SD. The mode of all voxels, in contrast, lies in the tails: of a
    Lorentzian of 5 mm on 120 mm it took 1 to 5 % off a total over 30 mm around. It is kept where it is clearly lower
    (there is other signal than tails), and of a scan clipped at zero, whose mean says nothing.
    """
    voxels = np.asarray(volume.voxels, dtype=np.float64)
    tails = np.zeros(voxels.shape)
    is_core = np.zeros(voxels.shape, dtype=bool) if apart is None else apart.copy()
    for place, widths in tubes:
        away = _in_widths(volume, place, widths)
        if away is None:
            return Background(noise.mean, None)
        shape = np.ones(voxels.shape)
        for axis in away:
            shape = shape / (1.0 + 4.0 * axis**2)
        tails += max(float(voxels[place.peak]) - noise.mean, 0.0) * shape
        is_core |= sum(axis**2 for axis in away) < _CORE_WIDTHS**2
    kept = ~is_core
    if noise.is_clipped or kept.sum() < max(_FEWEST_VOXELS, _LEAST_PART * kept.size):
        return Background(noise.mean, None)
    for _ in range(3):
        mean, share, weights = _fitted(voxels, tails, kept)
        kept = ~is_core & (np.abs(voxels - mean - share * tails) < _FAR_SDS * noise.sd)
        if kept.sum() < _FEWEST_VOXELS:
            return Background(noise.mean, None)
    if mean > noise.mean + 3.0 * float(np.sqrt(_variance_of_mode(noise, kept.size))):
        # Signal only adds: the lower of the two is the nearer, and these are no tails of tubes.
        return Background(noise.mean, None)
    return Background(mean, weights)


def _variance_of_mode(noise: Noise, voxels: int) -> float:
    return _MODE_VARIANCE * noise.sd**2 * max(float(noise.correlation.sum()), 1.0) / voxels


def _in_widths(volume: Volume, place: TubePlace, widths: Widths) -> list[NDArray[np.float64]] | None:
    """Return the distance from the peak along each axis in widths (FWHM), each to be broadcast over the grid.

    Along an axis without a width it is that of the others; ``None`` where there is no width at all.
    """
    known = [width.fwhm_mm for width in widths if width is not None]
    if not known:
        return None
    usual = float(np.exp(np.mean(np.log(known))))
    found: list[NDArray[np.float64]] = []
    for axis, (size, spacing) in enumerate(zip(volume.grid.shape, volume.grid.spacing_mm, strict=True)):
        width = widths[axis]
        wide = usual if width is None else width.fwhm_mm
        away = (np.arange(size, dtype=np.float64) - place.peak[axis]) * (float(spacing) / wide)
        found.append(away.reshape([-1 if a == axis else 1 for a in range(3)]))
    return found


def _fitted(
    voxels: NDArray[np.float64], tails: NDArray[np.float64], kept: NDArray[np.bool_]
) -> tuple[float, float, NDArray[np.float64]]:
    """Return the background, the share of the tails (not below 0), and the weight of each voxel in the background."""
    at, count = tails[kept], float(kept.sum())
    centred = at - at.mean()
    spread = float(centred @ centred)
    share = float(centred @ voxels[kept]) / spread if spread > 0 else 0.0
    weights = np.zeros(voxels.shape)
    weights[kept] = 1.0 / count
    if share > 0:
        weights[kept] -= at.mean() * centred / spread
    return float((weights * voxels).sum()), max(share, 0.0), weights
