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


def noise_threshold(volume: Volume, *, times_sd: float = 5.0, noise_sd: float | None = None) -> float:
    """Return the threshold of the noise rule, in the scan's unit: background + ``times_sd`` x SD of the noise.

    Parameters
    ----------
    volume
        A linearised MPI scan: the rule comes after the saturation correction.
    times_sd
        Dimensionless; 5 is the field's habit.
    noise_sd
        SD of the noise in the scan's unit, the background then being 0; without it both are measured in the scan.

    Raises
    ------
    MeasurementError
        For a multiple or an SD that is not positive, or a scan whose noise cannot be measured.
    """
    if not times_sd > 0:
        raise MeasurementError(f"the threshold needs a positive multiple of the noise, got {times_sd:g}")
    if noise_sd is None:
        noise = estimate_noise(volume)
        return noise.mean + times_sd * noise.sd
    if not noise_sd > 0:
        raise MeasurementError(f"the noise needs a positive SD, got {noise_sd:g}")
    return times_sd * noise_sd


def fraction_threshold(volume: Volume, *, fraction: float = 0.5) -> float:
    """Return ``fraction`` of the scan's maximum, in its unit.

    Kept because labs report it: it is biased by blur and by the size of what is measured.

    Raises
    ------
    MeasurementError
        For a fraction that is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise MeasurementError(f"the fraction of the maximum lies between 0 and 1, got {fraction:g}")
    return fraction * float(np.nanmax(volume.voxels))


def segment(volume: Volume, threshold: float) -> OrganLabels:
    """Return the voxels above ``threshold`` (in the scan's unit) as one organ called "signal".

    Raises
    ------
    MeasurementError
        If no voxel is above it.
    """
    inside: NDArray[np.uint8] = (np.asarray(volume.voxels) > threshold).astype(np.uint8)
    if not inside.any():
        raise MeasurementError(
            f"no voxel is above the threshold of {threshold:.4g}",
            file=volume.file,
            remedy="choose a lower threshold; there may be no signal",
        )
    return OrganLabels(inside, volume.grid, {1: "signal"}, file=volume.file)
