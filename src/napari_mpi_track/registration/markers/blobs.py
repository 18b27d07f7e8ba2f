"""Small round things in a scan, each with its sub-voxel centre and the error of that centre."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.markers.blob_fit import Blob, BlobFitter
from napari_mpi_track.registration.markers.blob_search import blob_candidates, channels

# The Gaussian fitted to a sharp ball of diameter 1 has this FWHM; blur and voxels only widen it.
_FWHM_OF_A_BALL = 0.66
_FWHM_PER_SD = float(np.sqrt(8 * np.log(2)))


def find_blobs(volume: Volume, size_mm: float | None = None) -> list[Blob]:
    """Return the compact blobs of a scan, best fitted first: bright ones, in MR dark ones as well.

    Candidates are maxima over space and scale; each is fitted by least squares with an elongated Gaussian (in MPI
    also a separable Lorentzian, whichever fits better) integrated over the voxels, on a sloping background, so that
    a lit organ beside it does not pull its centre. Flat, long and badly fitted ones are left out. The error of a
    centre allows for correlated noise.

    Parameters
    ----------
    volume
        The scan.
    size_mm
        Diameter of the markers, where it is known: blobs of other sizes are left out (in MPI, whose blur is not
        known, only smaller ones), and a CT is searched for dark ones too.

    Raises
    ------
    MeasurementError
        If the scan has fewer than 5 voxels along an axis, so that no blob in it has a centre in 3-D, or the size
        is not above 0.
    """
    if min(volume.grid.shape) < 5:
        raise MeasurementError(
            f"fiducials need 5 voxels or more along every axis, got {volume.grid.shape}",
            file=volume.file,
            remedy="give the points",
        )
    if size_mm is not None and not (np.isfinite(size_mm) and size_mm > 0):
        raise MeasurementError(f"the size of markers is a diameter above 0 mm, got {size_mm}")
    is_emission = volume.modality is Modality.MPI
    smallest, largest = _fwhm_range_mm(volume, size_mm)
    noise = _noise(volume)
    found: list[Blob] = []
    for channel in channels(volume, any_contrast=size_mm is not None):
        fitter = BlobFitter(volume.voxels, volume.grid, channel.seen, noise, is_emission)
        for start, sd_mm in blob_candidates(volume, channel, (smallest / _FWHM_PER_SD, largest / _FWHM_PER_SD)):
            if _is_known(found, volume.grid.lps_from(start), sd_mm):
                continue
            blob = fitter.fit(start, sd_mm)
            if blob is not None and smallest <= blob.fwhm_mm <= largest:
                found.append(replace(blob, amplitude=channel.sign * blob.amplitude))
    return _without_doubles(found)


def _fwhm_range_mm(volume: Volume, size_mm: float | None) -> tuple[float, float]:
    """Return between which FWHM a marker's fit may lie."""
    if size_mm is None:
        return 0.0, float(np.inf)
    expected = _FWHM_OF_A_BALL * size_mm
    if volume.modality is Modality.MPI:
        return 0.7 * expected, float(np.inf)
    return 0.7 * expected, 1.5 * float(np.hypot(expected, volume.grid.spacing_mm.max()))


def _noise(volume: Volume) -> Noise | None:
    """Return the noise of emission scans, whose reconstruction smears it."""
    if volume.modality is not Modality.MPI:
        return None
    try:
        return estimate_noise(volume)
    except MeasurementError:
        # A scan without noise (a simulated one) has nothing to correlate.
        return None


def _is_known(found: list[Blob], position_mm: NDArray[np.float64], sd_mm: float) -> bool:
    """Return whether a well fitted blob is there already (most blobs are seen at several scales)."""
    return any(b.explained > 0.85 and np.linalg.norm(b.position_mm - position_mm) < 0.8 * sd_mm for b in found)


def _without_doubles(blobs: list[Blob]) -> list[Blob]:
    """Return the blobs, best fitted first, without those whose centre lies within another's half width."""
    kept: list[Blob] = []
    for blob in sorted(blobs, key=lambda b: -b.explained):
        if all(
            np.linalg.norm(blob.position_mm - other.position_mm) > 0.5 * min(blob.fwhm_mm, other.fwhm_mm)
            for other in kept
        ):
            kept.append(blob)
    return kept
