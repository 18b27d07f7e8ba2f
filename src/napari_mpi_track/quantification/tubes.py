"""What a scan shows of tubes and wells: maximum, total and width of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.lorentzian import Width, fit_lorentzian
from napari_mpi_track.quantification.saturation import is_beyond_linear_range
from napari_mpi_track.quantification.tube_background import Background, Widths, background_beside
from napari_mpi_track.segmentation.tubes import TubePlace, find_tubes

NOT_DETECTED = "not_detected"
SATURATED = "saturated"


class TubeRule(StrEnum):
    """Which voxels make a tube's total."""

    WIDE = "wide"
    NOISE = "noise"
    FRACTION_OF_MAX = "fraction-of-max"


@dataclass(frozen=True, slots=True)
class TotalRule:
    """How a tube's total is drawn; the background is always taken off.

    Attributes
    ----------
    rule
        ``wide``: all within ``margin_mm`` of the part above half of the maximum. ``noise``: above ``times_sd`` SD
        of the noise. ``fraction-of-max``: above ``fraction`` of the maximum. Never beyond the valley to a neighbour.
    """

    rule: TubeRule = TubeRule.WIDE
    margin_mm: float = 10.0
    times_sd: float = 5.0
    fraction: float = 0.5

    def __post_init__(self) -> None:
        if not (self.margin_mm > 0 and self.times_sd > 0 and 0 < self.fraction < 1):
            raise MeasurementError(
                f"a tube needs a positive margin and multiple of the noise and a fraction between 0 and 1, got "
                f"{self.margin_mm:g} mm, {self.times_sd:g}, {self.fraction:g}"
            )

    def __str__(self) -> str:
        if self.rule is TubeRule.NOISE:
            return f"above {self.times_sd:g} SD of the noise, background subtracted"
        if self.rule is TubeRule.FRACTION_OF_MAX:
            return f"above {self.fraction:g} of the maximum, background subtracted"
        return f"within {self.margin_mm:g} mm of the half maximum, background subtracted"


@dataclass(frozen=True, slots=True)
class TubeSignal:
    """One tube as measured.

    Attributes
    ----------
    name
        The scan's, with ``/1``, ``/2`` ... where a scan holds several; or the point's.
    scan
        Name of the scan.
    position_mm
        Centre of the highest voxel, LPS mm.
    maximum
        Highest voxel, in the scan's unit, nothing taken off; the expected voxel of a tube that was not detected.
    total, total_sd
        In that unit times mm3 (mm2 for a projection), and the SD that the noise gives it, in its voxels
        and in the background taken off.
    background, noise_sd
        Of the scan, in its unit.
    widths
        Along plane, row and column; ``None`` where no Lorentzian could be fitted.
    rule
        How the total was drawn, in words: a part of the calibration.
    flag
        ``not_detected`` (measured where the tube was expected), ``saturated``, joined by ``;``.
    """

    name: str
    scan: str
    position_mm: tuple[float, float, float]
    maximum: float
    total: float
    total_sd: float
    background: float
    noise_sd: float
    widths: Widths
    rule: str
    flag: str = ""

    @property
    def fwhm_mm(self) -> float | None:
        """Geometric mean of the widths along the axes they are known of, mm."""
        known = [width.fwhm_mm for width in self.widths if width is not None]
        return float(np.exp(np.mean(np.log(known)))) if known else None

    @property
    def fwhm_se_mm(self) -> float | None:
        """Standard error of :attr:`fwhm_mm`, mm."""
        known = [width.se_mm / width.fwhm_mm for width in self.widths if width is not None]
        mean = self.fwhm_mm
        return None if mean is None else mean * float(np.sqrt(np.sum(np.square(known)))) / len(known)


def measure_tubes(
    scans: Sequence[tuple[str, Volume]],
    rule: TotalRule | None = None,
    points: Points | None = None,
    *,
    progress: Callable[[float, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[TubeSignal]:
    """Return every tube of every scan.

    Parameters
    ----------
    scans
        Names, all different, and scans, linearised where the receiver saturates.
    rule
        How totals are drawn; the wide rule when not given.
    points
        Where the tubes of every scan lie and what they are called (wells, blanks among them). Without points tubes
        are searched; a scan in which none is found is taken for one of the same tube holder and measured where the
        other scans' single tubes lie, with the flag ``not_detected``.
    progress
        Told the part that is done, 0 to 1, and what is done next.
    should_stop
        Asked before each scan.

    Raises
    ------
    MeasurementError
        No tube in any scan, or no place to measure a scan without one; a scan without noise; or it was stopped.

    Notes
    -----
    The maximum of a tube that was not found is the voxel where it was expected: the highest of many voxels of noise
    lies above their mean and would tilt a curve of maxima.
    """
    rule = rule or TotalRule()
    count = max(len(scans), 1)

    def at(done: float, doing: str) -> None:
        if progress is not None:
            progress(done / (2 * count), doing)
        if should_stop is not None and should_stop():
            raise MeasurementError("the measurement of the tubes was stopped")

    read, found = [], []
    for number, (name, volume) in enumerate(scans):
        at(number, f"looking for tubes in {name}")
        read.append((name, volume, estimate_noise(volume)))
        found.append(find_tubes(volume, read[-1][2]))
    if points is None and not any(found):
        raise MeasurementError(
            "no tube stands out of the noise in any scan", remedy="give the places of the tubes (--points)"
        )
    singles = [v.grid.lps_from(f[0].peak) for (_, v, _), f in zip(read, found, strict=True) if len(f) == 1]
    tubes = []
    for number, ((name, volume, noise), places) in enumerate(zip(read, found, strict=True)):
        at(count + number, f"measuring {name}")
        seen = _Seen(name, volume, noise, places, [_widths(volume, noise, place, rule.margin_mm) for place in places])
        if points is not None:
            tubes += _at_points(seen, points, rule, is_alone=len(read) == 1)
        elif not places:
            tubes.append(_undetected(seen, singles, rule))
        else:
            background = background_beside(volume, noise, seen.tubes)
            tubes += [
                _measured(name if len(places) == 1 else f"{name}/{nth}", seen, nth - 1, background, rule)
                for nth in range(1, len(places) + 1)
            ]
    return tubes


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One scan with its noise, and the tubes that stand out of it."""

    name: str
    volume: Volume
    noise: Noise
    places: list[TubePlace]
    widths: list[Widths]

    @property
    def tubes(self) -> list[tuple[TubePlace, Widths]]:
        return list(zip(self.places, self.widths, strict=True))


def _at_points(seen: _Seen, points: Points, rule: TotalRule, *, is_alone: bool) -> list[TubeSignal]:
    tubes, background = [], background_beside(seen.volume, seen.noise, seen.tubes)
    for point, position in zip(points.names, points.positions_mm, strict=True):
        if not seen.volume.grid.contains(position):
            raise MeasurementError(f"the point '{point}' lies outside the scan", file=seen.volume.file)
        called = point if is_alone else f"{seen.name}/{point}"
        away = [float(np.linalg.norm(seen.volume.grid.lps_from(place.peak) - position)) for place in seen.places]
        nearest = int(np.argmin(away)) if away else 0
        if away and away[nearest] <= rule.margin_mm / 2:
            tubes.append(_measured(called, seen, nearest, background, rule))
        else:
            tubes.append(_measured_at(called, seen, position, rule))
    return tubes


def _undetected(seen: _Seen, singles: list[NDArray[np.float64]], rule: TotalRule) -> TubeSignal:
    if not singles:
        raise MeasurementError(
            f"no tube stands out of the noise in '{seen.name}', and no other scan with a single tube says where it lay",
            file=seen.volume.file,
            remedy="give the places of the tubes (--points)",
        )
    place = np.median(singles, axis=0)
    if not seen.volume.grid.contains(place):
        raise MeasurementError(
            f"no tube stands out of the noise in '{seen.name}', and where the others lay is outside its field of view",
            file=seen.volume.file,
            remedy="give the places of the tubes (--points)",
        )
    return _measured_at(seen.name, seen, place, rule)


def _measured_at(called: str, seen: _Seen, position: NDArray[np.float64], rule: TotalRule) -> TubeSignal:
    """Return what is at a place where no tube was found: the whole ball of the margin, whatever the rule.

    A threshold would leave nothing of it, or its highest noise.
    """
    volume = seen.volume
    near = _within(volume, position, rule.margin_mm)
    peak = np.clip(np.round(volume.grid.index_from(position)).astype(int), 0, np.asarray(volume.grid.shape) - 1)
    free = near.copy()
    for other in seen.places:
        free &= ~other.basin | _within(volume, position, rule.margin_mm / 4)
    at = (int(peak[0]), int(peak[1]), int(peak[2]))
    background = background_beside(volume, seen.noise, seen.tubes, apart=free)
    return _signal(called, seen, at, free, (None, None, None), background, rule, NOT_DETECTED)


def _measured(called: str, seen: _Seen, number: int, background: Background, rule: TotalRule) -> TubeSignal:
    place, volume = seen.places[number], seen.volume
    voxels = np.asarray(volume.voxels, dtype=np.float64)
    height = float(voxels[place.peak]) - background.mean
    if rule.rule is TubeRule.NOISE:
        inside = place.basin & (voxels > background.mean + rule.times_sd * seen.noise.sd)
    elif rule.rule is TubeRule.FRACTION_OF_MAX:
        inside = place.basin & (voxels > background.mean + rule.fraction * height)
    else:
        inside = _around(volume, place, background.mean + 0.5 * height, rule.margin_mm)
    flag = SATURATED if is_beyond_linear_range(volume)[place.basin].any() else ""
    return _signal(called, seen, place.peak, inside, seen.widths[number], background, rule, flag)


def _signal(
    called: str,
    seen: _Seen,
    peak: tuple[int, int, int],
    inside: NDArray[np.bool_],
    widths: Widths,
    background: Background,
    rule: TotalRule,
    flag: str,
) -> TubeSignal:
    volume = seen.volume
    voxels = np.asarray(volume.voxels, dtype=np.float64)
    x, y, z = (float(v) for v in volume.grid.lps_from(peak))
    return TubeSignal(
        called,
        seen.name,
        (x, y, z),
        float(voxels[peak]),
        float((voxels[inside] - background.mean).sum()) * volume.voxel_measure,
        background.sd_of_total(inside, seen.noise) * volume.voxel_measure,
        background.mean,
        seen.noise.sd,
        widths,
        str(rule),
        flag,
    )


def _within(volume: Volume, position: NDArray[np.float64], radius_mm: float) -> NDArray[np.bool_]:
    index = np.indices(volume.grid.shape).reshape(3, -1).T
    away = np.linalg.norm(volume.grid.lps_from(index) - position, axis=1)
    return np.asarray(away <= radius_mm).reshape(volume.grid.shape)


def _around(volume: Volume, place: TubePlace, level: float, margin_mm: float) -> NDArray[np.bool_]:
    """Return the basin's voxels within the margin of those above ``level`` that hang together with the peak."""
    from scipy import ndimage

    pieces, _ = ndimage.label(place.basin & (np.asarray(volume.voxels) > level))
    bright = pieces == pieces[place.peak]
    # Distances along the axes: the grids of scanners are orthogonal to far within a voxel over such a margin.
    away = ndimage.distance_transform_edt(~bright, sampling=volume.grid.spacing_mm)
    return np.asarray(place.basin & (away <= margin_mm))


def _widths(volume: Volume, noise: Noise, place: TubePlace, margin_mm: float) -> Widths:
    plane, row, column = (_width(volume, noise, place, axis, margin_mm) for axis in range(3))
    return plane, row, column


def _width(volume: Volume, noise: Noise, place: TubePlace, axis: int, margin_mm: float) -> Width | None:
    line = tuple(slice(None) if a == axis else place.peak[a] for a in range(3))
    inside, peak = place.basin[line], place.peak[axis]
    spacing = float(volume.grid.spacing_mm[axis])
    reach = int(2 * margin_mm / spacing)
    low, high = peak, peak
    while low > 0 and inside[low - 1] and peak - low < reach:
        low -= 1
    while high < inside.size - 1 and inside[high + 1] and high - peak < reach:
        high += 1
    profile = np.asarray(volume.voxels, dtype=np.float64)[line][low : high + 1]
    middle = [n // 2 for n in noise.correlation.shape]
    lags = noise.correlation[tuple(slice(None) if a == axis else middle[a] for a in range(3))]
    apart = np.abs(np.subtract.outer(np.arange(profile.size), np.arange(profile.size)))
    by_lag = np.zeros(max(profile.size, middle[axis] + 1))
    by_lag[: middle[axis] + 1] = lags[middle[axis] :]
    return fit_lorentzian(profile, spacing, peak - low, noise.sd**2 * by_lag[apart])
