"""Cells from 19F-MRI: an organ's signal against a capillary of known spins."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.estimate import Estimate

_ROUNDS = 60
# Of pure noise, in SDs of the real and of the imaginary part: SD of magnitudes (Rayleigh), of what voxel_fluorine makes
# of them (by simulation), and the magnitudes' median.
SD_OF_MAGNITUDE = float(np.sqrt(2 - np.pi / 2))
SD_OF_VOXEL = 1.22
_MEDIAN_OF_NOISE = float(np.sqrt(2 * np.log(2)))


def magnitude_noise_sd(background: ArrayLike) -> float:
    """Return the SD of the real and of the imaginary part from magnitudes without signal, any shape.

    Raises
    ------
    MeasurementError
        If the background shows no noise.

    Notes
    -----
    The median of a Rayleigh distribution is sqrt(2 ln 2) SD, and a few lit voxels hardly move it. Exact zeros were
    masked, not measured, and are left out.
    """
    values = np.asarray(background, dtype=np.float64).ravel()
    values = values[np.isfinite(values) & (values > 0)]
    if values.size == 0:
        raise MeasurementError(
            "the 19F scan shows no noise: its background is zero",
            remedy="export it without a mask, or give noise_sd",
        )
    return float(np.median(values)) / _MEDIAN_OF_NOISE


def rician_signal(mean_magnitude: ArrayLike, noise_sd: float) -> NDArray[np.float64]:
    """Return the signal behind a mean magnitude: what is there without the noise that magnitudes turn positive.

    Parameters
    ----------
    mean_magnitude
        Mean over voxels of about the same signal (an organ, a capillary), any shape.
    noise_sd
        SD of the real and of the imaginary part (of a background's mean magnitude it is 0.798), in the same unit.

    Raises
    ------
    MeasurementError
        If the SD is not positive.

    Notes
    -----
    The inverse of E[M] = s sqrt(pi/2) L(-S^2/(2 s^2)), L the Laguerre polynomial of order 1/2 (Koay & Basser 2006,
    doi:10.1016/j.jmr.2006.01.016; Gudbjartsson & Patz 1995, doi:10.1002/mrm.1910340618). Means at or below pure noise
    are 0. At ten SD the correction is 0.5 %. Single voxels cannot be corrected without bias: average first.
    """
    from scipy.special import ive

    if not noise_sd > 0:
        raise MeasurementError(f"the Rician correction needs a positive SD of the noise, got {noise_sd:g}")
    mean = np.asarray(mean_magnitude, dtype=np.float64) / noise_sd

    def expected(signal: NDArray[np.float64]) -> NDArray[np.float64]:
        half = signal * signal / 4
        # L_{1/2}(-2h) = (1 + 2h) e^-h I0(h) + 2h e^-h I1(h), scaled Bessel functions against overflow.
        return np.asarray(np.sqrt(np.pi / 2) * ((1 + 2 * half) * ive(0, half) + 2 * half * ive(1, half)))

    low, high = np.zeros_like(mean), np.maximum(mean, 1.0)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        is_low = expected(middle) < mean
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return np.where(mean <= np.sqrt(np.pi / 2), 0.0, (low + high) / 2) * noise_sd


def organ_fluorine(magnitude: ArrayLike, noise_sd: float) -> Estimate:
    """Return the summed 19F signal of an organ's voxels, corrected for the bias of magnitudes, with its error.

    Parameters
    ----------
    magnitude
        Of every voxel in the organ, shape (n,); the organ is taken to be lit about evenly.
    noise_sd
        SD of the real and of the imaginary part.
    """
    values = np.asarray(magnitude, dtype=np.float64).ravel()
    if values.size == 0:
        raise MeasurementError("an organ without voxels has no 19F signal")
    mean = float(values.mean())
    signal = float(rician_signal(mean, noise_sd))
    # What a mean moves by moves the signal by the inverse slope of the Rician mean, steep near the noise floor.
    step = 0.01 * noise_sd
    slope = (float(rician_signal(mean + step, noise_sd)) - signal) / step
    spread = np.sqrt(_magnitude_variance(signal, noise_sd) / values.size)
    return Estimate(signal * values.size, float(slope * spread) * values.size)


def voxel_fluorine(magnitude: ArrayLike, noise_sd: float) -> NDArray[np.float64]:
    """Return voxels to be summed over an organ that is lit in spots: their noise sums to nothing, shape as given.

    Parameters
    ----------
    magnitude
        Of every voxel, any shape.
    noise_sd
        SD s of the real and of the imaginary part.

    Raises
    ------
    MeasurementError
        If the SD is not positive.

    Notes
    -----
    sqrt(max(M^2 - s^2, 0)) - s sqrt(2 pi/e) exp(-M^2/(2 s^2)). The first term is the usual correction of a single voxel
    (Gudbjartsson & Patz 1995, doi:10.1002/mrm.1910340618), which leaves a mean of 0.76 s where there is no signal; the
    second takes off just that there and vanishes where there is one. The expectation is 0 for noise alone, and 0.47,
    0.30, 0.10 and 0.02 s too low at signals of 1, 2, 3 and 4 s. Inverting an organ's mean (:func:`organ_fluorine`) is
    exact where the organ is lit evenly, and reads several times too much where a few voxels are lit.
    """
    if not noise_sd > 0:
        raise MeasurementError(f"the Rician correction needs a positive SD of the noise, got {noise_sd:g}")
    squared = np.square(np.asarray(magnitude, dtype=np.float64) / noise_sd)
    single = np.sqrt(np.maximum(squared - 1.0, 0.0))
    return np.asarray((single - np.sqrt(2 * np.pi / np.e) * np.exp(-squared / 2)) * noise_sd)


def cells_from_fluorine(
    organ_sum: Estimate,
    reference_mean: Estimate,
    *,
    spins_per_reference_voxel: float,
    spins_per_cell: Estimate | float,
    session: str = "",
) -> Estimate:
    """Return cells: (sum S_organ / mean S_reference) x spins in a voxel of the reference / spins per cell.

    Parameters
    ----------
    organ_sum
        Sum over the organ's voxels, see :func:`organ_fluorine`.
    reference_mean
        Mean over the capillary's voxels, Rician-corrected, same sequence and voxel size; its error is shared by all
        organs of the scan.
    spins_per_reference_voxel
        19F nuclei in a voxel of the capillary.
    spins_per_cell
        19F nuclei in a labelled cell (by NMR of a pellet); give its error as shared.
    session
        Names the scan, so that its organs share the error of its capillary and other scans do not.

    Raises
    ------
    MeasurementError
        For numbers that are not positive.
    """
    per_cell = spins_per_cell.value if isinstance(spins_per_cell, Estimate) else spins_per_cell
    for what, number in (
        ("the reference's signal", reference_mean.value),
        ("spins in a voxel of the reference", spins_per_reference_voxel),
        ("spins per cell", per_cell),
    ):
        if not number > 0:
            raise MeasurementError(f"{what} must be positive, got {number:g}", remedy="check it and its unit")
    source = f"19F:reference {session}".strip()
    reference = Estimate(reference_mean.value, 0.0, {**reference_mean.shared, source: reference_mean.own_sd})
    return organ_sum / reference * spins_per_reference_voxel / spins_per_cell


def _magnitude_variance(signal: float, noise_sd: float) -> float:
    """Return the variance of one magnitude: E[M^2] - E[M]^2 with E[M^2] = S^2 + 2 s^2."""
    from scipy.special import ive

    half = (signal / noise_sd) ** 2 / 4
    mean = np.sqrt(np.pi / 2) * ((1 + 2 * half) * ive(0, half) + 2 * half * ive(1, half))
    return float(max((signal / noise_sd) ** 2 + 2 - mean**2, 0.0)) * noise_sd**2
