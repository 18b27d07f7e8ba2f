"""Bioluminescence: total flux, which says how cells change and not how many they are."""

from math import pi

import numpy as np
from numpy.typing import ArrayLike

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.estimate import Estimate


def total_flux(radiance: ArrayLike, pixel_area_mm2: float, *, solid_angle_sr: float = 4 * pi) -> float:
    """Return the total flux in photons/s: sum of radiance x area x solid angle.

    Parameters
    ----------
    radiance
        Of every pixel of the organ, photons/s/cm2/sr, background taken off.
    pixel_area_mm2
        Of one pixel, on the animal.
    solid_angle_sr
        4 pi by convention.

    Raises
    ------
    MeasurementError
        For an area or an angle that is not positive.
    """
    if not (pixel_area_mm2 > 0 and solid_angle_sr > 0):
        raise MeasurementError(
            f"a flux needs a positive area and solid angle, got {pixel_area_mm2:g} mm2, {solid_angle_sr:g} sr"
        )
    return float(np.sum(np.asarray(radiance, dtype=np.float64))) * pixel_area_mm2 * 1e-2 * solid_angle_sr


def relative_flux(flux: Estimate, reference: Estimate) -> Estimate:
    """Return a flux in percent of the same organ's flux in another scan.

    There is no flux per cell: depth, tissue and the substrate's dose decide it, so no cells are made of it.

    Raises
    ------
    MeasurementError
        For a reference that is not positive.
    """
    if not reference.value > 0:
        raise MeasurementError(f"the reference flux must be positive, got {reference.value:g}")
    return flux * 100.0 / reference
