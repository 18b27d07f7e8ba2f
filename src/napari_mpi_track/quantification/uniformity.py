"""Whether organs are lit as evenly as the correction of spill-over takes them to be, and under that point spread."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.imaging.frozen import get_state, set_state
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.quantification.occupancy import Occupancy, OrganOccupancy

_FALSE_ALARMS = 0.05
# What labels of finite voxels, sampled kernels and the like leave of an organ's signal is no uneven light.
_ALLOWED = 0.10
# Part of the blur's widths by which the residual is smoothed.
_SMOOTHING = 0.5
# The widths that all organs ask for must differ by more than this from the one given.
_ALLOWED_WIDENING = 0.08


@dataclass(frozen=True, slots=True, eq=False)
class Uniformity:
    """The test of every organ's light.

    Attributes
    ----------
    p_value
        Of a residual so large or larger, were the organ lit evenly under the right point spread, by name.
    widening
        By how much wider the blur would have to be to explain the organ's residual (0.1 is 10 %), and its SD from
        noise and displacement, by name.
    is_psf_wrong
        Whether the organs together speak for another point spread.
    """

    p_value: Mapping[str, float]
    widening: Mapping[str, tuple[float, float]]
    is_psf_wrong: bool

    def __post_init__(self) -> None:
        for name in ("p_value", "widening"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    __getstate__ = get_state
    __setstate__ = set_state

    def is_uneven(self, organ: str) -> bool:
        """Return whether the residual within an organ is too large for chance, under a point spread that fits."""
        return not self.is_psf_wrong and self.p_value.get(organ, 1.0) < _FALSE_ALARMS


def check_uniformity(
    residual: NDArray[np.float64],
    model: NDArray[np.float64],
    widening: NDArray[np.float64],
    occupancy: Occupancy,
    organs: Collection[str],
    noise: Noise,
    point_spread: PointSpread,
    displacement_mm: float = 0.0,
) -> Uniformity:
    """Return the test of the organs' light.

    Parameters
    ----------
    residual
        The scan less its background and ``model``, shape as the grid's, unit of the scan.
    model
        The organs' corrected totals, evenly spread and blurred again.
    widening
        What ``model`` changes by per relative widening of the blur (per 1 = 100 %), its totals corrected anew.
    occupancy, organs
        The organs, and those to be tested.
    noise
        The scan's, whose correlation decides what a large residual is.
    displacement_mm
        SD of the organs' place in the scan along one axis: edges out of place are no uneven light.

    Notes
    -----
    Light that the scanner shows is as smooth as its blur, so the residual is smoothed by a Gaussian of half the
    blur's widths first. Under even light Q = sum_i w_i r_i^2 then has the mean s^2 sum w and the variance
    2 s^4 w' (R o R) w, R the smoothed noise's autocorrelation (Satterthwaite's gamma with these moments; Box 1954,
    doi:10.1214/aoms/1177728786). What labels and alignment leave unexplained adds up to ``allowed`` to the mean.
    """
    if not organs:
        return Uniformity({}, {}, False)
    sds = _smoothing_sds(point_spread, occupancy)
    smooth_noise = _smoothed_noise(noise, sds)
    smooth_model = _smooth(model, sds)
    smooth_residual, smooth_widening = _smooth(residual, sds), _smooth(widening, sds)
    # To second order a shift by u narrows or widens a blur of variance v by u^2 / 2v.
    narrowest = float(point_spread.fwhm_mm[sds > 0].min()) / np.sqrt(8 * np.log(2)) if np.any(sds > 0) else np.inf
    displaced = displacement_mm**2 / (2 * narrowest**2)
    reach = np.ceil(3 * sds).astype(int) + [n // 2 for n in noise.correlation.shape]
    p_value, widths = {}, {}
    for name in organs:
        box = _box_of(occupancy.organs[name], model.shape, reach)
        inside = occupancy.organs[name].dense(occupancy.grid.shape)[box]
        organ = _Organ(inside, model[box], smooth_residual[box], noise, smooth_noise, sds)
        allowed = _ALLOWED**2 * float((inside * smooth_model[box] ** 2).sum())
        slopes = _slopes(smooth_model[box], occupancy) if displacement_mm > 0 else []
        allowed += displacement_mm**2 * sum(float((inside * slope**2).sum()) for slope in slopes)
        p_value[name], (by, sd) = organ.tested(allowed, smooth_widening[box])
        moved = _widening_of_displacement(inside * smooth_widening[box], smooth_widening[box], slopes)
        widths[name] = by, float(np.hypot(sd, np.hypot(moved * displacement_mm, displaced)))
    known = float(np.max(point_spread.fwhm_relative_sd))
    return Uniformity(p_value, widths, _ask_for_another_blur(widths, max(_ALLOWED_WIDENING, 2 * known)))


def _ask_for_another_blur(widths: Mapping[str, tuple[float, float]], allowed: float) -> bool:
    """Return whether two organs or more clearly ask for another blur the same way, and none speaks against it."""
    found = np.array(list(widths.values()))
    for sign in (1.0, -1.0):
        by, sd = sign * found[:, 0], found[:, 1]
        if np.count_nonzero(by - 2 * sd > allowed) >= 2 and not np.any(by + 2 * sd < allowed):
            return True
    return False


@dataclass(frozen=True, slots=True, eq=False)
class _Organ:
    """One organ in the box that smoothing reaches: its fractions, the model and the smoothed residual there."""

    inside: NDArray[np.float64]
    model: NDArray[np.float64]
    residual: NDArray[np.float64]
    noise: Noise
    smooth_noise: Noise
    sds: NDArray[np.float64]

    def tested(self, allowed: float, change: NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
        """Return the chance of so large a residual under even light, and the widening it asks for with its SD."""
        weight, sd = self.inside, self.smooth_noise.sd
        # The organ's own total was fitted: of noise n the residual keeps n - model (w.n)/(w.model), which takes the
        # smoothed covariance R to R + U M U' with U and M of two columns.
        shape = _smooth(self.model / float((weight * self.model).sum()), self.sds)
        together = self.noise.smear(weight)
        images = [shape, _smooth(together, self.sds)]
        mixed = np.array([[float((weight * together).sum()), -1.0], [-1.0, 0.0]])
        inner = np.array([[float((a * weight * b).sum()) for b in images] for a in images])
        slope = weight * change
        by_pairs, squared = self._quadratic_forms([weight * images[0], weight * images[1], slope], weight)
        crossed = by_pairs[:2, :2]
        mean = sd**2 * float(weight.sum()) + float(np.trace(mixed @ inner)) + allowed
        variance = 2 * (squared + 2 * float(np.trace(mixed @ crossed)) + float(np.trace(mixed @ inner @ mixed @ inner)))
        # A fixed misfit b of b'b = allowed adds 4 b'Cb, C's largest eigenvalue being below the sum of its row.
        variance += 4 * allowed * sd**2 * float(self.smooth_noise.correlation.sum())
        chance = _chance(float((weight * self.residual**2).sum()), mean, variance)
        power = float((slope * change).sum())
        if not power > 0:
            return chance, (0.0, np.inf)
        spread = float(np.sqrt(max(by_pairs[2, 2], 0.0)))
        return chance, (float((slope * self.residual).sum()) / power, spread / power)

    def _quadratic_forms(
        self, images: list[NDArray[np.float64]], weight: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float]:
        """Return a'Rb for every pair of images, and w'(R o R)w, all from one transform each (Parseval)."""
        from scipy import fft

        correlation = self.smooth_noise.correlation
        size = [fft.next_fast_len(n + m // 2, real=True) for n, m in zip(weight.shape, correlation.shape, strict=True)]
        # Only lags that fit into the box count; the kernel's middle goes to index 0.
        reach = [min(m // 2, n - 1) for n, m in zip(weight.shape, correlation.shape, strict=True)]
        middle = tuple(slice(m // 2 - r, m // 2 + r + 1) for r, m in zip(reach, correlation.shape, strict=True))
        kernel = np.zeros(size)
        kernel[tuple(slice(0, 2 * r + 1) for r in reach)] = correlation[middle]
        kernel = np.roll(kernel, [-r for r in reach], axis=(0, 1, 2))
        plain, squared = fft.rfftn(kernel).real, fft.rfftn(kernel**2).real
        # Of a real transform every frequency but the first and the last along the last axis stands for two.
        doubled = np.full(plain.shape[-1], 2.0)
        doubled[0] = 1.0
        if size[-1] % 2 == 0:
            doubled[-1] = 1.0
        count, sd = float(np.prod(size)), self.smooth_noise.sd
        spectra = [fft.rfftn(image, size) for image in images]
        pairs = [[float((doubled * plain * (a * b.conj()).real).sum()) for b in spectra] for a in spectra]
        of_weight = fft.rfftn(weight, size)
        square = float((doubled * squared * (of_weight * of_weight.conj()).real).sum())
        return sd**2 * np.array(pairs) / count, sd**4 * square / count


def _chance(found: float, mean: float, variance: float) -> float:
    """Return the chance that a gamma of this mean and variance is as large as ``found``."""
    from scipy.special import gammaincc

    if not (mean > 0 and variance > 0):
        return 1.0
    return float(gammaincc(mean**2 / variance, found * mean / variance))


def _smoothing_sds(point_spread: PointSpread, occupancy: Occupancy) -> NDArray[np.float64]:
    """Return the SDs of the smoothing along the axes, in voxels."""
    spacing, counts = occupancy.grid.spacing_mm, np.array(occupancy.grid.shape)
    sds = _SMOOTHING * point_spread.fwhm_mm / np.sqrt(8 * np.log(2)) / spacing
    return np.where(counts > 1, sds, 0.0)


def _smooth(image: NDArray[np.float64], sds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(ndimage.gaussian_filter(image, sds, truncate=3.0, mode="constant"))


def _smoothed_noise(noise: Noise, sds: NDArray[np.float64]) -> Noise:
    """Return the noise once it is smoothed as the residual is."""
    padded = np.pad(noise.correlation, [(2 * int(3 * sd + 0.5) + 1,) * 2 if sd > 0 else (0, 0) for sd in sds])
    padded = _smooth(_smooth(padded, sds), sds)
    variance = float(padded[tuple(n // 2 for n in padded.shape)])
    if not variance > 0:
        return Noise(0.0, 0.0, np.ones((1, 1, 1)), "")
    return Noise(noise.sd * float(np.sqrt(variance)), 0.0, padded / variance, "")


def _slopes(model: NDArray[np.float64], occupancy: Occupancy) -> list[NDArray[np.float64]]:
    """Return the model's slopes along the axes, per mm."""
    spacing = occupancy.grid.spacing_mm
    return [np.gradient(model, axis=axis) / spacing[axis] for axis in range(3) if model.shape[axis] > 1]


def _widening_of_displacement(
    slope: NDArray[np.float64], change: NDArray[np.float64], slopes: list[NDArray[np.float64]]
) -> float:
    """Return how much widening a displacement of 1 mm is taken for, all axes together."""
    power = float((slope * change).sum())
    if not (power > 0 and slopes):
        return 0.0
    return float(np.linalg.norm([float((slope * along).sum()) / power for along in slopes]))


def _box_of(organ: OrganOccupancy, shape: tuple[int, ...], reach: NDArray[np.int64]) -> tuple[slice, ...]:
    """Return the box that holds the organ and ``reach`` voxels round it."""
    index = np.unravel_index(organ.voxel, shape)
    ends = [(int(at.min()) - int(r), int(at.max()) + int(r) + 1) for at, r in zip(index, reach, strict=True)]
    return tuple(slice(max(low, 0), min(high, n)) for (low, high), n in zip(ends, shape, strict=True))
