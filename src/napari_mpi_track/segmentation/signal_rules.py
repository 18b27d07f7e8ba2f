"""Where a scan's signal is: the rules that labs use to draw a region around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.segmentation.clusters import intensity_classes, otsu_threshold

SIGNAL = "signal"
# Of noise alone, one voxel in 740 is above this.
NOISE_SDS = 3.0
_CLASS_OF_SIGNAL_SDS = 5.0


class SignalRule(StrEnum):
    """How the threshold is chosen."""

    NOISE = "noise"
    FRACTION_OF_MAX = "fraction-of-max"
    KMEANS = "kmeans"
    OTSU = "otsu"


RULE_NAMES = {
    SignalRule.NOISE: "Multiple of the noise",
    SignalRule.FRACTION_OF_MAX: "Fraction of the maximum",
    SignalRule.KMEANS: "K-means++",
    SignalRule.OTSU: "Otsu",
}
_EXPLAINED = {
    SignalRule.NOISE: "Background + so many SD of the noise. Weak places lose more of their total than bright ones.",
    SignalRule.FRACTION_OF_MAX: "Kept because labs report it: one bright place decides what is seen of all others.",
    SignalRule.KMEANS: "All classes of intensity that stand out of the noise; the lowest never does.",
    SignalRule.OTSU: "Two classes of intensity of least scatter.",
}


def _said(
    label: str,
    tip: str,
    span: tuple[float, float, str] | None = None,
    choices: Mapping[Any, str] | None = None,
    explained: Mapping[Any, str] | None = None,
) -> dict[str, Any]:
    """Return what a form has to know of a field; ``span`` is least, most and unit of a number."""
    said = {"label": label, "tip": tip, "span": span, "choices": choices, "explained": explained or {}}
    return {**said, "is_rare": False, "files": ""}


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """A rule and its numbers; those of other rules are left unused.

    Raises
    ------
    MeasurementError
        For a number outside its range.
    """

    rule: SignalRule = field(
        default=SignalRule.NOISE,
        metadata=_said("Rule", "How the threshold is chosen.", choices=RULE_NAMES, explained=_EXPLAINED),
    )
    times_sd: float = field(
        default=5.0,
        metadata=_said("Times SD", "Signal stands so many SD of the noise above the background.", (0.5, 100.0, "SD")),
    )
    fraction: float = field(
        default=0.5, metadata=_said("Fraction", "Signal is above this part of the maximum.", (0.01, 0.99, ""))
    )
    classes: int = field(default=3, metadata=_said("Classes", "Classes of intensity, 2 to 5.", (2, 5, "")))
    seed: int = field(default=0, metadata=_said("Seed", "Of K-means++: one seed, one answer.", (0, 2**31 - 1, "")))
    minimum_volume_mm3: float = field(
        default=0.0,
        metadata=_said("Least volume", "Smaller places are left out: noise, mostly.", (0.0, 10_000.0, "mm³")),
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", SignalRule(self.rule))
        if not (self.times_sd > 0 and np.isfinite(self.times_sd)):
            raise MeasurementError(f"the threshold needs a positive multiple of the noise, got {self.times_sd:g}")
        if not 0 < self.fraction < 1:
            raise MeasurementError(f"the fraction of the maximum lies between 0 and 1, got {self.fraction:g}")
        if self.seed < 0:
            raise MeasurementError(f"the seed is a whole number of 0 or more, got {self.seed}")
        if not (self.minimum_volume_mm3 >= 0 and np.isfinite(self.minimum_volume_mm3)):
            raise MeasurementError(f"the least volume is 0 mm3 or more, got {self.minimum_volume_mm3:g}")


def rule_threshold(volume: Volume, settings: RuleSettings, noise: Noise | None = None) -> float:
    """Return the threshold of a rule, in the scan's unit; voxels above it are signal.

    Parameters
    ----------
    volume
        A linearised scan: every rule comes after the saturation correction.
    settings
        The rule and its numbers.
    noise
        The scan's noise, for the noise rule and K-means++; without it, it is measured in the scan.

    Raises
    ------
    MeasurementError
        If the scan holds no number, is constant, or nothing above 0 a fraction could be taken of; if its noise
        cannot be measured; if no class of intensity stands out of the noise.

    Notes
    -----
    noise: mean of the background + ``times_sd`` x SD. fraction-of-max: ``fraction`` x the highest voxel. kmeans: by
    K-means++, border below the lowest class of intensity whose centre stands 5 SD above the background (in a large
    and faint scan two classes part the noise alone); of a scan whose noise cannot be measured, the border above the
    lowest class. otsu: Otsu 1979.
    """
    if settings.rule is SignalRule.NOISE:
        found = estimate_noise(volume) if noise is None else noise
        return found.mean + settings.times_sd * found.sd
    if settings.rule is SignalRule.FRACTION_OF_MAX:
        return settings.fraction * _maximum(volume)
    if settings.rule is SignalRule.KMEANS:
        return _kmeans_threshold(volume, settings, noise)
    return otsu_threshold(volume)


def sds_above_background(threshold: float, noise: Noise) -> float:
    """Return how many SD a threshold lies above the background; below ``NOISE_SDS`` it takes noise for signal."""
    return (threshold - noise.mean) / noise.sd


def find_signal(volume: Volume, settings: RuleSettings, noise: Noise | None = None) -> OrganLabels:
    """Return where the scan's signal is by a rule, as one organ called "signal".

    Places smaller than ``settings.minimum_volume_mm3`` (connected by faces, edges or corners) are left out. Voxels
    without a number are no signal. Parameters and errors are those of :func:`rule_threshold`, and those of
    :func:`segment`.
    """
    return segment(volume, rule_threshold(volume, settings, noise), settings.minimum_volume_mm3)


def segment(volume: Volume, threshold: float, minimum_volume_mm3: float = 0.0) -> OrganLabels:
    """Return the voxels above ``threshold`` (in the scan's unit) as one organ called "signal".

    Raises
    ------
    MeasurementError
        If no voxel is above it, every voxel is, or no place is as large as ``minimum_volume_mm3``.
    """
    inside = signal_mask(volume, threshold)
    if minimum_volume_mm3 > 0:
        # It brings SimpleITK along, which the command line need not wait for.
        from napari_mpi_track.segmentation.components import connected_parts

        inside = connected_parts(inside, volume, minimum_volume_mm3) > 0
    return OrganLabels(inside.astype(np.uint8), volume.grid, {1: SIGNAL}, file=volume.file)


def signal_mask(volume: Volume, threshold: float) -> NDArray[np.bool_]:
    """Return where the scan is above ``threshold`` (in its unit), shape as its grid.

    Raises
    ------
    MeasurementError
        If that is nowhere, or everywhere.
    """
    voxels = np.asarray(volume.voxels)
    inside: NDArray[np.bool_] = voxels > float(threshold)
    if voxels.dtype.kind == "f":
        inside &= voxels < np.inf
    if not inside.any():
        raise MeasurementError(
            f"no voxel is above the threshold of {threshold:.4g}",
            file=volume.file,
            remedy="choose a lower threshold; there may be no signal",
        )
    if inside.all():
        raise MeasurementError(
            f"every voxel is above the threshold of {threshold:.4g}: it parts nothing from the background",
            file=volume.file,
            remedy="choose a higher threshold, or give a scan with its background",
        )
    return inside


def voxels_without_number(volume: Volume) -> int:
    """Return how many voxels hold no number (NaN, infinite): no rule sees them."""
    if volume.voxels.dtype.kind != "f":
        return 0
    return int(volume.voxels.size - np.count_nonzero(np.isfinite(volume.voxels)))


def _kmeans_threshold(volume: Volume, settings: RuleSettings, noise: Noise | None) -> float:
    found = intensity_classes(volume, settings.classes, settings.seed)
    if noise is None:
        try:
            noise = estimate_noise(volume)
        except MeasurementError:
            # Clipped or cut out: what is left of the background is the lowest class.
            return float(found.borders[0])
    signal = np.flatnonzero(found.centres[1:] > noise.mean + _CLASS_OF_SIGNAL_SDS * noise.sd)
    if not signal.size:
        raise MeasurementError(
            f"none of the {settings.classes} classes of intensity stands {_CLASS_OF_SIGNAL_SDS:g} SD out of the noise",
            file=volume.file,
            remedy="ask for more classes, or use the noise rule; there may be no signal",
        )
    return float(found.borders[signal[0]])


def _maximum(volume: Volume) -> float:
    voxels = np.asarray(volume.voxels)
    numbers = voxels[np.isfinite(voxels)] if voxels.dtype.kind == "f" else voxels.ravel()
    if not numbers.size:
        raise MeasurementError("the scan holds no number", file=volume.file, remedy="export it again")
    low, high = float(numbers.min()), float(numbers.max())
    if not high > 0:
        raise MeasurementError(
            f"the scan's maximum is {high:.4g}, of which no fraction can be taken",
            file=volume.file,
            remedy="there is no signal, or its background was not left in; use the noise rule",
        )
    if low == high:
        raise MeasurementError(
            f"the scan is constant ({high:.4g}): it cannot be parted into signal and background",
            file=volume.file,
            remedy="give the scan itself, not a mask of it",
        )
    return high
