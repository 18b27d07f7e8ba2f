"""Organs by thresholds: the rules that labs use to draw a region around a signal."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.volume import Volume


class ThresholdRule(StrEnum):
    """How the threshold is chosen."""

    NOISE = "noise"
    FRACTION_OF_MAX = "fraction-of-max"


def above_noise(volume: Volume, *, times_sd: float = 5.0, noise_sd: float | None = None) -> OrganLabels:
    """Return the voxels above the background by ``times_sd`` standard deviations of the noise, as one organ "signal".

    Parameters
    ----------
    volume
        A linearised MPI scan: the rule comes after the saturation correction.
    times_sd
        Dimensionless; 5 is the field's habit.
    noise_sd
        SD of the noise in the scan's unit; measured in the scan itself if not given, its mean then being the
        background. With a given SD the background is 0.
    """
    if not times_sd > 0:
        raise MeasurementError(f"the threshold needs a positive multiple of the noise, got {times_sd:g}")
    if noise_sd is not None:
        if not noise_sd > 0:
            raise MeasurementError(f"the noise needs a positive SD, got {noise_sd:g}")
        return _as_organ(volume, times_sd * noise_sd)
    noise = estimate_noise(volume)
    return _as_organ(volume, noise.mean + times_sd * noise.sd)


def above_fraction_of_max(volume: Volume, *, fraction: float = 0.5) -> OrganLabels:
    """Return the voxels above ``fraction`` of the scan's maximum, as one organ "signal".

    Kept because labs report it: it is biased by blur and by the size of what is measured.
    """
    if not 0 < fraction < 1:
        raise MeasurementError(f"the fraction of the maximum lies between 0 and 1, got {fraction:g}")
    return _as_organ(volume, fraction * float(np.nanmax(volume.voxels)))


def _as_organ(volume: Volume, threshold: float) -> OrganLabels:
    inside: NDArray[np.uint8] = (np.asarray(volume.voxels) > threshold).astype(np.uint8)
    if not inside.any():
        raise MeasurementError(
            f"no voxel is above the threshold of {threshold:.4g}",
            file=volume.file,
            remedy="choose a lower threshold; there may be no signal",
        )
    return OrganLabels(inside, volume.grid, {1: "signal"}, file=volume.file)
