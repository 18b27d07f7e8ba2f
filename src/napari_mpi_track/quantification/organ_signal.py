"""Background-corrected signal of every organ, on the grid the scan was acquired on."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError
from napari_mpi_track.imaging.frozen import frozen
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import OUTSIDE, TOTAL, Occupancy, OrganOccupancy


@dataclass(frozen=True, slots=True)
class OrganSignal:
    """The signal of one organ, as measured: nothing corrected but the background.

    Totals are in the scan's unit times mm3 (mm2 for a projection), means and maxima in the scan's unit.
    """

    total: float
    mean: float | None
    maximum: float | None
    volume_mm3: float
    part_in_field: float


@dataclass(frozen=True, slots=True, eq=False)
class OrganSignals:
    """The signals of all organs of a scan, with the error they share through correlated noise.

    Attributes
    ----------
    organs
        Signal by organ name, then ``outside`` and ``total``; organs and outside add up to the total.
    names
        The organs in the order of ``noise_covariance`` (without outside and total).
    noise_covariance
        Covariance of the organs' totals from the scan's noise, shape (k, k), unit of totals squared.
    total_noise_sd
        SD of the totals of ``outside`` and ``total``, by name.
    background
        What was taken off every voxel, in the scan's unit.
    """

    organs: Mapping[str, OrganSignal]
    names: tuple[str, ...]
    noise_covariance: NDArray[np.float64]
    total_noise_sd: Mapping[str, float]
    background: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", MappingProxyType(dict(self.organs)))
        object.__setattr__(self, "total_noise_sd", MappingProxyType(dict(self.total_noise_sd)))
        object.__setattr__(self, "noise_covariance", frozen(self.noise_covariance))

    def totals(self) -> NDArray[np.float64]:
        """Return the organs' totals in the order of ``names``, shape (k,)."""
        return np.array([self.organs[name].total for name in self.names])

    def noise_sd_of(self, name: str) -> float:
        """Return the SD of the total of one organ, of ``outside`` or of ``total``, from the scan's noise."""
        if name in self.total_noise_sd:
            return self.total_noise_sd[name]
        at = self.names.index(name)
        return float(np.sqrt(max(self.noise_covariance[at, at], 0.0)))


def measure_organs(volume: Volume, occupancy: Occupancy, noise: Noise, background: float = 0.0) -> OrganSignals:
    """Return the signal of every organ, of what lies outside them, and of the whole scan.

    Parameters
    ----------
    volume
        The scan on the grid it was acquired on.
    occupancy
        What part of each of its voxels lies in each organ.
    noise
        The scan's noise; its correlation decides the error of a total.
    background
        One background for the whole scan, in its unit, taken off every voxel.

    Raises
    ------
    GridMismatchError
        If the occupancy was measured on another grid.
    MeasurementError
        If the scan has no volume (a single slice of unknown thickness).

    Notes
    -----
    The total of organ k is sum_i w_ik (S_i - B) V, with w the occupancy and V the voxel's volume.
    """
    if not occupancy.grid.agrees_with(volume.grid):
        raise GridMismatchError("the occupancy was measured on another grid than the scan's", file=volume.file)
    measure = volume.voxel_measure
    signal = np.asarray(volume.voxels, dtype=np.float64) - background
    # A voxel without a number (NaN) holds no signal that could be shared out; readers keep NaN, sums cannot.
    signal = np.where(np.isfinite(signal), signal, 0.0)
    flat = signal.ravel()
    names = tuple(occupancy.organs)
    found: dict[str, OrganSignal] = {}
    for name in names:
        organ = occupancy.organs[name]
        in_field = occupancy.volume_in_field_mm3(name)
        total = float(organ.fraction @ flat[organ.voxel]) * measure
        # The fractions' sum, not a volume, since a projection's total is over mm2.
        covered = float(organ.fraction.sum()) * measure
        found[name] = OrganSignal(
            total,
            total / covered if covered else None,
            _maximum(organ.fraction, flat[organ.voxel] + background),
            organ.volume_mm3,
            min(1.0, in_field / organ.volume_mm3) if organ.volume_mm3 else 0.0,
        )
    outside = occupancy.outside()
    covariance, rest_sd = _noise_covariance(occupancy, outside, noise, measure)
    covered = float(outside.sum()) * measure
    outside_total = float(outside.ravel() @ flat) * measure
    found[OUTSIDE] = OrganSignal(
        outside_total, outside_total / covered if covered else None, None, float(outside.sum()) * measure, 1.0
    )
    whole = float(flat.sum()) * measure
    found[TOTAL] = OrganSignal(
        whole, whole / (flat.size * measure), float(flat.max()) + background, flat.size * measure, 1.0
    )
    return OrganSignals(found, names, covariance, rest_sd, background)


def _maximum(fraction: NDArray[np.float64], values: NDArray[np.float64]) -> float | None:
    """Return the highest voxel of those at least half inside; of a smaller organ, of those most inside."""
    if fraction.size == 0:
        return None
    return float(values[fraction >= min(0.5, float(fraction.max()))].max())


def _noise_covariance(
    occupancy: Occupancy, outside: NDArray[np.float64], noise: Noise, measure: float
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Return the covariance of the organs' totals, and the SD of outside's and of the whole scan's total."""
    organs = list(occupancy.organs.values())
    covariance = np.zeros((len(organs), len(organs)))
    for column, organ in enumerate(organs):
        blurred = smeared(noise, organ, occupancy.grid.shape).ravel()
        for row, other in enumerate(organs):
            covariance[row, column] = other.fraction @ blurred[other.voxel]
    covariance = (covariance + covariance.T) / 2 * measure**2
    everything = np.ones(occupancy.grid.shape)
    spread = {
        name: float(np.sqrt(max((weights * noise.smear(weights)).sum(), 0.0))) * measure
        for name, weights in ((OUTSIDE, outside), (TOTAL, everything))
    }
    return covariance, spread


def smeared(noise: Noise, organ: OrganOccupancy, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the noise covariance applied to one organ, worked out in the box that it can reach only."""
    smeared = np.zeros(shape)
    if organ.voxel.size == 0:
        return smeared
    index = np.unravel_index(organ.voxel, shape)
    reach = [n // 2 for n in noise.correlation.shape]
    box = tuple(
        slice(max(int(i.min()) - r, 0), min(int(i.max()) + r + 1, n))
        for i, r, n in zip(index, reach, shape, strict=True)
    )
    smeared[box] = noise.smear(organ.dense(shape)[box])
    return smeared
