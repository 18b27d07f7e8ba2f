"""One shape of blur fitted to a small source of known size in a scan."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.known_source import KnownSource

# The box that is fitted reaches so many widths at half height from the source's middle: there a Lorentzian has
# fallen to 1.5 %, and its tails and a background are told apart.
_REACH_WIDTHS = 4.0
# No blur makes a source look so much narrower than it is.
_LEAST_OF_SOURCE = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class PointSourceFit:
    """One shape fitted to the scan of a point source.

    Attributes
    ----------
    fwhm_mm, fwhm_sd_mm
        Width of the point spread along plane, row and column (the source's own size taken out) and its standard
        error, in mm, shape (3,); 0 along an axis of one voxel.
    centre_mm
        Middle of the source in LPS mm, shape (3,).
    total
        All signal of the source, unit of the scan times mm3 (mm2 for a projection).
    background
        Level beneath it, unit of the scan.
    misfit
        RMS of the residual beyond the noise where the source is above a tenth of its peak, as a part of the peak.
    """

    fwhm_mm: NDArray[np.float64]
    fwhm_sd_mm: NDArray[np.float64]
    centre_mm: NDArray[np.float64]
    total: float
    background: float
    misfit: float

    def __post_init__(self) -> None:
        for name in ("fwhm_mm", "fwhm_sd_mm", "centre_mm"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    __getstate__ = get_state
    __setstate__ = set_state


@dataclass(frozen=True, slots=True, eq=False)
class SourceProfile:
    """The scan along one axis through the source's brightest voxel, and what each shape makes of it."""

    axis: int
    position_mm: NDArray[np.float64]
    measured: NDArray[np.float64]
    fitted: Mapping[PsfShape, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Parameters (centres mm, log widths, amplitude, background) of one shape, its model and slopes."""

    shape: PsfShape
    parameters: NDArray[np.float64]
    model: NDArray[np.float64]
    slopes: NDArray[np.float64]
    cost: float


@dataclass(frozen=True, slots=True, eq=False)
class SourceScene:
    """The box round the source, in scaled units, and what is needed to blur a source in it.

    ``axes`` are those with more than one voxel; ``start`` the first guess (centres in mm from the box's first voxel,
    then logarithms of widths); ``offsets`` and ``shares`` stand for the source.
    """

    volume: Volume
    voxels: NDArray[np.float64]
    origin: NDArray[np.int64]
    axes: tuple[int, ...]
    scale: float
    start: NDArray[np.float64]
    offsets: NDArray[np.float64]
    shares: NDArray[np.float64]
    peak: tuple[int, int, int]

    @classmethod
    def around_source(cls, volume: Volume, source: KnownSource, near_mm: ArrayLike | None) -> "SourceScene":
        whole = np.asarray(volume.voxels, dtype=np.float64)
        spacing = volume.grid.spacing_mm
        axes = tuple(axis for axis in range(3) if whole.shape[axis] > 1)
        peak = _brightest(volume, near_mm)
        if any(peak[axis] in (0, whole.shape[axis] - 1) for axis in axes):
            raise MeasurementError(
                "the scan is brightest at its edge: a source cut off there shows no whole blur",
                file=volume.file,
                remedy="scan the source well inside the field, or say where it is (--near-mm)",
            )
        base = float(np.nanmedian(whole))
        height = float(whole[peak]) - base
        if not height > 0:
            raise MeasurementError("the scan shows no source", file=volume.file, remedy="give the scan of one")
        rough = np.array([_rough_width(whole - base, peak, axis) for axis in range(3)]) * spacing
        if np.all((rough + spacing < _LEAST_OF_SOURCE * source.size_mm)[list(axes)]):
            raise unlike_a_source(volume)
        blur = np.sqrt(np.maximum(rough**2 - (0.7 * source.size_mm) ** 2, (0.7 * spacing) ** 2))
        reach = np.ceil((_REACH_WIDTHS * blur + source.size_mm / 2) / spacing).astype(int)
        low = np.maximum(np.array(peak) - reach, 0)
        high = np.minimum(np.array(peak) + reach + 1, whole.shape)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        voxels = whole[box]
        if not np.all(np.isfinite(voxels)):
            raise MeasurementError(
                "voxels near the source hold no number", file=volume.file, remedy="export the scan again"
            )
        if any(voxels.shape[axis] < 6 for axis in axes) or not axes:
            raise MeasurementError(
                f"a scan of {' x '.join(map(str, whole.shape))} voxels is too small for a point spread",
                file=volume.file,
                remedy="scan the source in a field several widths of the blur across",
            )
        finest = float(np.min(np.hypot(blur, spacing)[list(axes)]))
        offsets, shares = source.points(finest)
        start = np.concatenate([((np.array(peak) - low) * spacing)[list(axes)], np.log(blur[list(axes)])])
        inside = (int(peak[0] - low[0]), int(peak[1] - low[1]), int(peak[2] - low[2]))
        return cls(volume, voxels, low, axes, height, start, offsets, shares, inside)

    @property
    def spacing(self) -> NDArray[np.float64]:
        return self.volume.grid.spacing_mm

    def fitted(self, shape: PsfShape) -> Solution:
        """Return the least-squares fit of one shape.

        Raises
        ------
        MeasurementError
            If the fit runs away: no source of this size under any blur looks like this.
        """
        from scipy.optimize import least_squares

        target = self.voxels.ravel() / self.scale
        unit, _ = self._unit(shape, self.start)
        linear = np.linalg.lstsq(np.stack([unit, np.ones_like(unit)], axis=1), target, rcond=None)[0]

        def residual(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(self._unit(shape, parameters)[0] * parameters[-2] + parameters[-1] - target)

        def jacobian(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
            unit, slopes = self._unit(shape, parameters)
            return np.column_stack([slopes * parameters[-2], unit, np.ones_like(unit)])

        first = np.concatenate([self.start, linear])
        found = least_squares(residual, first, jac=jacobian, method="lm", x_scale="jac", max_nfev=60)
        count = len(self.axes)
        widths, centres = np.exp(found.x[count : 2 * count]), found.x[:count]
        limits = np.array([self.voxels.shape[axis] * self.spacing[axis] for axis in self.axes])
        smallest = 0.3 * self.spacing[list(self.axes)]
        if found.x[-2] <= 0 or np.any(centres < 0) or np.any(centres > limits) or np.any(widths > 2 * limits):
            raise unlike_a_source(self.volume)
        if np.any(widths < smallest):
            raise MeasurementError(
                "the blur is narrower than the voxels, or the source is smaller than was said",
                file=self.volume.file,
                remedy="check the source's size; scan a smaller source on a finer grid",
            )
        model = (target + found.fun).reshape(self.voxels.shape) * self.scale
        return Solution(shape, found.x, model, np.asarray(found.jac), float(np.sum(found.fun**2)))

    def _unit(
        self, shape: PsfShape, parameters: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the scan of a source of total 1, shape (n,), and its slopes by centres and log widths, (n, 2 axes)."""
        blur, count = PointSpread(shape, np.ones(3)), len(self.axes)
        parts: list[list[NDArray[np.float64]]] = []
        for axis in range(3):
            if axis not in self.axes:
                parts.append([np.ones((1, len(self.shares)))])
                continue
            at = self.axes.index(axis)
            fwhm = float(np.exp(np.clip(parameters[count + at], -20.0, 20.0)))
            spacing = float(self.spacing[axis])
            middles = np.arange(self.voxels.shape[axis]) * spacing
            low = middles[:, None] - spacing / 2 - parameters[at] - self.offsets[None, :, axis]
            high = low + spacing
            below, above = blur.density(low, fwhm), blur.density(high, fwhm)
            parts.append(
                [
                    (blur.cumulative(high, fwhm) - blur.cumulative(low, fwhm)) / spacing,
                    (below - above) / spacing,
                    (low * below - high * above) / spacing,
                ]
            )
        unit = self._product(parts[0][0], parts[1][0], parts[2][0])
        slopes = np.empty((unit.size, 2 * count))
        for at, axis in enumerate(self.axes):
            for kind in (1, 2):
                chosen = [parts[other][kind if other == axis else 0] for other in range(3)]
                slopes[:, at + (kind - 1) * count] = self._product(*chosen)
        return unit, slopes

    def _product(
        self, planes: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return sum_q share_q planes_q rows_q columns_q for every voxel, flat."""
        sheet = rows.T[:, :, None] * columns.T[:, None, :]
        return np.asarray(((planes * self.shares) @ sheet.reshape(len(self.shares), -1)).ravel())

    def fit(self, solution: Solution, noise: Noise) -> PointSourceFit:
        """Return a solution in mm, with the errors that this noise gives it."""
        slopes = solution.slopes
        normal = np.linalg.inv(slopes.T @ slopes)
        smeared = [noise.smear(column.reshape(self.voxels.shape)).ravel() for column in slopes.T]
        covariance = normal @ (slopes.T @ np.stack(smeared, axis=1)) @ normal / self.scale**2
        residual = self.voxels - solution.model
        # What the fit leaves beyond the noise is no blur of this shape: the widths are that much less sure.
        excess = max(1.0, float(np.mean(residual**2)) / noise.sd**2)
        count, axes = len(self.axes), list(self.axes)
        fwhm, sd = np.zeros(3), np.zeros(3)
        fwhm[axes] = np.exp(solution.parameters[count : 2 * count])
        sd[axes] = fwhm[axes] * np.sqrt(excess * np.diag(covariance)[count : 2 * count])
        index = self.origin.astype(np.float64)
        index[axes] += solution.parameters[:count] / self.spacing[axes]
        background = float(solution.parameters[-1]) * self.scale
        lit = solution.model - background
        near = lit > 0.1 * lit.max()
        beyond = float(np.mean(residual[near] ** 2) - np.mean(residual[~near] ** 2)) if not near.all() else 0.0
        return PointSourceFit(
            fwhm,
            sd,
            np.asarray(self.volume.grid.lps_from(index)),
            float(solution.parameters[-2]) * self.scale,
            background,
            float(np.sqrt(max(beyond, 0.0)) / lit.max()),
        )

    def profiles(self, solutions: Mapping[PsfShape, Solution]) -> tuple[SourceProfile, ...]:
        """Return the lines through the brightest voxel, positions in mm from it."""
        found = []
        for axis in self.axes:
            line = tuple(slice(None) if other == axis else self.peak[other] for other in range(3))
            steps = np.arange(self.voxels.shape[axis], dtype=np.float64) - self.peak[axis]
            fitted = {shape: solution.model[line] for shape, solution in solutions.items()}
            found.append(SourceProfile(axis, np.asarray(steps * self.spacing[axis]), self.voxels[line], fitted))
        return tuple(found)


def _brightest(volume: Volume, near_mm: ArrayLike | None) -> tuple[int, int, int]:
    voxels = np.where(np.isfinite(volume.voxels), volume.voxels, -np.inf)
    if near_mm is not None:
        index = np.rint(volume.grid.index_from(np.asarray(near_mm, dtype=np.float64))).astype(int)
        reach = np.ceil(5.0 / volume.grid.spacing_mm).astype(int)
        low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, voxels.shape)
        if np.any(low >= high):
            raise MeasurementError("the point lies outside the scan", file=volume.file)
        kept = np.full(voxels.shape, -np.inf)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        kept[box] = voxels[box]
        voxels = kept
    plane, row, column = np.unravel_index(int(np.argmax(voxels)), voxels.shape)
    return int(plane), int(row), int(column)


def _rough_width(signal: NDArray[np.float64], peak: tuple[int, int, int], axis: int) -> float:
    """Return for how many voxels the line through the peak stays above half of it."""
    line = signal[tuple(slice(None) if other == axis else peak[other] for other in range(3))]
    below = np.flatnonzero(~(line > 0.5 * signal[peak]))
    left, right = below[below < peak[axis]], below[below > peak[axis]]
    first = left[-1] + 1 if left.size else 0
    last = right[0] - 1 if right.size else len(line) - 1
    return float(last - first + 1)


def unlike_a_source(volume: Volume, more: str = "") -> MeasurementError:
    return MeasurementError(
        f"the scan does not look like a blurred source of this size{more}",
        file=volume.file,
        remedy="check the source's size; scan one small source, well inside the field of view and apart from others",
    )
