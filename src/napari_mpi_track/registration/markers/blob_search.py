"""Where a scan may hold small round things: maxima over space and scale."""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.imaging.foreground import block_average, block_grid, block_steps, is_in_hounsfield_units
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume

_SEARCH_VOXELS = 1_000_000
_MOST_FOUND = 60
_SMALLEST_SCALE_VOXELS, _SCALE_STEP, _SCALES = 0.6, 1.45, 8
# Above this scale every second voxel shows all there is.
_HALVED_ABOVE_VOXELS = 2.4
# A blob of SD s answers strongest in a difference of Gaussians at the scale s / 1.22 (Lindeberg 1998, 3-D).
SD_PER_SCALE = 1.22
_NEIGHBOURS = [step for step in product((-1, 0, 1), repeat=3) if any(step)]


@dataclass(frozen=True, slots=True)
class Channel:
    """One way of looking at voxels, in which a blob is bright: cut to a window, dark turned to bright by the sign."""

    low: float
    high: float
    sign: int = 1

    def seen(self, voxels: NDArray[Any]) -> NDArray[np.float32]:
        """Return the voxels as they look, float32, NaN and infinity at 0."""
        cut = voxels if np.isinf(self.low) and np.isinf(self.high) else _clipped(voxels, self.low, self.high)
        plain = cut.astype(np.float32)
        if voxels.dtype.kind == "f" and not np.isfinite(plain).all():
            plain = np.nan_to_num(plain, posinf=0.0, neginf=0.0)
        return plain if self.sign > 0 else -plain


def _clipped(voxels: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    if voxels.dtype.kind in "iu":
        # Whole numbers are cut before they take four bytes each.
        limits = np.iinfo(voxels.dtype)
        return np.asarray(np.clip(voxels, max(int(low), int(limits.min)), min(int(high), int(limits.max))))
    return np.asarray(np.clip(voxels, low, high))


def channels(volume: Volume, any_contrast: bool = False) -> list[Channel]:
    """Return how to look at a scan: every blob of interest is bright in one of the channels.

    MR is searched for dark blobs as well; a CT in Hounsfield units only with ``any_contrast``.
    """
    if is_in_hounsfield_units(volume):
        # A ball on the skin lies half in air, half in tissue. Cut above both, the step between them is gone.
        bright = [Channel(200, 4000), Channel(-1000, 4000)]
        return [*bright, Channel(-1000, 200, -1)] if any_contrast else bright
    whole = Channel(-np.inf, np.inf)
    if volume.modality in (Modality.MR, None):
        return [whole, Channel(-np.inf, np.inf, -1)]
    return [whole]


def blob_candidates(
    volume: Volume, channel: Channel, sds_mm: tuple[float, float] = (0.0, np.inf)
) -> list[tuple[NDArray[np.float64], float]]:
    """Return (index, SD in mm) where a blob may be, strongest first, its SD within ``sds_mm``.

    They are maxima over space and scale of a difference of Gaussians of the scan's block averages.

    Notes
    -----
    Lindeberg 1998, doi:10.1023/A:1008045108935 (scale-space).
    """
    grid = volume.grid
    steps = block_steps(grid, _SEARCH_VOXELS)
    coarse, where = block_average(channel.seen(volume.voxels), steps), block_grid(grid, steps)
    levels = _scale_space(coarse, where)
    hits: list[tuple[float, NDArray[np.float64], float]] = []
    for k, level in enumerate(levels):
        if not 0.6 * sds_mm[0] <= SD_PER_SCALE * level.scale_mm <= 1.6 * sds_mm[1]:
            continue
        places = level.round_peaks()
        for other in (levels[j] for j in (k - 1, k + 1) if 0 <= j < len(levels)):
            places = level.leading(places, other)
        hits += [(level.at(p), grid.index_from(level.grid.lps_from(p)), SD_PER_SCALE * level.scale_mm) for p in places]
    hits.sort(key=lambda hit: -hit[0])
    return [(index, sd_mm) for _, index, sd_mm in hits[:_MOST_FOUND]]


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The answer of one scale, on the grid of its voxels."""

    answer: NDArray[np.float32]
    scale_mm: float
    grid: Grid

    def at(self, place: NDArray[np.intp]) -> float:
        return float(self.answer[tuple(place)])

    def round_peaks(self) -> NDArray[np.intp]:
        """Return the maxima well above the scan's unrest that fall off in all directions, shape (n, 3)."""
        answer = self.answer
        quiet = 1.4826 * float(np.median(np.abs(answer.ravel()[::5])))
        inner = answer[1:-1, 1:-1, 1:-1]
        if not inner.size:
            return np.empty((0, 3), dtype=np.intp)
        places = np.argwhere(inner > max(5 * quiet, 1e-6 * float(answer.max()))) + 1
        heights = answer[tuple(places.T)]
        for step in _NEIGHBOURS:
            is_higher = heights >= answer[tuple((places + step).T)]
            places, heights = places[is_higher], heights[is_higher]
        return places[self._are_round(places)]

    def _are_round(self, places: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return where the answer falls off in all three directions (for a rod or a sheet it does not)."""
        if not len(places):
            return np.zeros(0, dtype=bool)
        hessian = np.empty((len(places), 3, 3))
        unit = np.eye(3, dtype=int)
        for i, j in product(range(3), repeat=2):
            a, b = unit[i], unit[j]
            if i == j:
                hessian[:, i, i] = self._near(places, a) - 2 * self._near(places, 0 * a) + self._near(places, -a)
            else:
                along = self._near(places, a + b) + self._near(places, -a - b)
                hessian[:, i, j] = (along - self._near(places, a - b) - self._near(places, b - a)) / 4
        curvatures = np.linalg.eigvalsh(hessian)
        return np.asarray((curvatures[:, 2] < 0) & (curvatures[:, 2] < 0.15 * curvatures[:, 0]))

    def _near(self, places: NDArray[np.intp], step: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray(self.answer[tuple((places + step).T)], dtype=np.float64)

    def leading(self, places: NDArray[np.intp], other: "_Level") -> NDArray[np.intp]:
        """Return the places around which another scale answers no more strongly."""
        if not len(places):
            return places
        there = np.round(other.grid.index_from(self.grid.lps_from(places))).astype(int)
        strongest = np.full(len(places), -np.inf)
        for step in product((-1, 0, 1), repeat=3):
            inside = np.clip(there + step, 0, np.asarray(other.answer.shape) - 1)
            strongest = np.maximum(strongest, other.answer[tuple(inside.T)])
        # A little tolerance: the peak may lie between two scales, and doubles are removed after the fit.
        return np.asarray(places[self.answer[tuple(places.T)] >= 0.9 * strongest])


def _scale_space(coarse: NDArray[np.float32], grid: Grid) -> list[_Level]:
    """Return differences of Gaussians, fine scales first, each on as many voxels as it needs."""
    edge = float(np.prod(grid.spacing_mm) ** (1 / 3))
    scales = edge * _SMALLEST_SCALE_VOXELS * _SCALE_STEP ** np.arange(_SCALES)
    smooth = _smoothed(coarse, float(scales[0]), grid)
    levels = []
    for fine, wide in pairwise(float(s) for s in scales):
        if fine > _HALVED_ABOVE_VOXELS * float(grid.spacing_mm.max()) and min(smooth.shape) >= 10:
            smooth, grid = np.ascontiguousarray(smooth[::2, ::2, ::2]), _every_second(grid)
        wider = _smoothed(smooth, float(np.sqrt(wide**2 - fine**2)), grid)
        levels.append(_Level(smooth - wider, fine, grid))
        smooth = wider
    return levels


def _smoothed(voxels: NDArray[np.float32], sd_mm: float, grid: Grid) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(voxels, sd_mm / grid.spacing_mm, truncate=3.0, mode="nearest"))


def _every_second(grid: Grid) -> Grid:
    matrix = grid.lps_from_index.copy()
    matrix[:3, :3] *= 2
    planes, rows, columns = ((n + 1) // 2 for n in grid.shape)
    return Grid((planes, rows, columns), matrix, grid.frame)
