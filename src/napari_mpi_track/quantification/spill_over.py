"""What blur carries from one organ into its neighbours, and its correction."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import Occupancy, OrganOccupancy
from napari_mpi_track.quantification.organ_signal import OrganSignals

_WORST_CONDITION = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class SpillOver:
    """The geometric transfer between the organs of one scan and the totals it corrects to.

    Attributes
    ----------
    names
        The organs, in the order of every array here.
    transfer
        W, shape (k, k), dimensionless: ``transfer[j, k]`` is the part of organ k's signal that appears in organ j.
    condition
        Condition number of W, dimensionless.
    totals
        Corrected totals, shape (k,), unit of the scan times mm3 (mm2 for a projection).
    noise_covariance
        Of the corrected totals from the scan's noise, shape (k, k).
    psf_sensitivity
        Change of the corrected totals with the relative error of the point spread's width along plane, row and
        column (per 1 = 100 %), shape (k, 3).
    psf_covariance
        Of the corrected totals from the errors of those widths, shape (k, k).
    spill_in
        Part of each organ's measured signal that came from other organs, by name; may leave 0..1 in noise.
    lost
        Part of each organ's signal that lies in no organ or beyond the field of view, by name.
    misfit
        RMS of what the reblurred model leaves unexplained within each organ, beyond the noise, as a part of the
        organ's own RMS signal, by name. A uniformly lit organ under the right point spread is near 0.
    """

    names: tuple[str, ...]
    transfer: NDArray[np.float64]
    condition: float
    totals: NDArray[np.float64]
    noise_covariance: NDArray[np.float64]
    psf_sensitivity: NDArray[np.float64]
    psf_covariance: NDArray[np.float64]
    spill_in: Mapping[str, float]
    lost: Mapping[str, float]
    misfit: Mapping[str, float]

    def __post_init__(self) -> None:
        for name in ("transfer", "totals", "noise_covariance", "psf_sensitivity", "psf_covariance"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        for name in ("spill_in", "lost", "misfit"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def corrected(self, change: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a small change of the measured totals, shape (k, ...), makes of the corrected ones."""
        return np.asarray(np.linalg.solve(self.transfer, change))


def correct_spill_over(
    volume: Volume,
    occupancy: Occupancy,
    signals: OrganSignals,
    noise: Noise,
    point_spread: PointSpread,
    sources: Mapping[str, OrganOccupancy] | None = None,
) -> SpillOver:
    """Return the organs' totals with the blur between them undone.

    Parameters
    ----------
    volume, occupancy, signals
        The scan, its organs, and what :func:`~napari_mpi_track.quantification.organ_signal.measure_organs`
        measured with both.
    noise
        The scan's noise.
    point_spread
        The scanner's blur along the axes of the scan's grid.
    sources
        Where an organ's signal comes from, if not from all of the region it is measured in (a small vial within
        the ball that collects its blur), by name.

    Raises
    ------
    MeasurementError
        If the organs cannot be told apart at this blur (W is singular).

    Notes
    -----
    Geometric transfer matrix, t_measured = W t_true (Rousset, Ma and Evans 1998, J Nucl Med 39:904-911). It takes
    every organ to be lit uniformly, which ``misfit`` tests.
    """
    names = signals.names
    templates = _templates(occupancy, sources or {})
    membership = _membership(occupancy)
    transfer = np.stack([_received(membership, point_spread.blur(t, occupancy.grid)) for t in templates], axis=1)
    condition = float(np.linalg.cond(transfer))
    if not condition < _WORST_CONDITION:
        raise MeasurementError(
            f"the organs {', '.join(names)} cannot be told apart at this blur (condition number {condition:.3g})",
            file=volume.file,
            remedy="join the organs that overlap, leave out those outside the field of view, or switch spill_over off",
        )
    totals = np.asarray(np.linalg.solve(transfer, signals.totals()), dtype=np.float64)
    inverse = np.asarray(np.linalg.inv(transfer), dtype=np.float64)
    arriving = transfer * totals
    whole = arriving.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        own_part = np.where(whole != 0, np.diag(arriving) / whole, 1.0)
    source = sum((total * t for total, t in zip(totals, templates, strict=True)), np.zeros(occupancy.grid.shape))
    sensitivity = _psf_sensitivity(membership, source, occupancy, point_spread, inverse)
    return SpillOver(
        names,
        transfer,
        condition,
        totals,
        inverse @ signals.noise_covariance @ inverse.T,
        sensitivity,
        sensitivity @ point_spread.relative_covariance @ sensitivity.T,
        dict(zip(names, (float(1 - part) for part in own_part), strict=True)),
        dict(zip(names, (float(1 - part) for part in transfer.sum(axis=0)), strict=True)),
        _misfit(volume, occupancy, signals, noise, point_spread.blur(source, occupancy.grid)),
    )


def _templates(occupancy: Occupancy, sources: Mapping[str, OrganOccupancy]) -> list[NDArray[np.float64]]:
    """Return where the signal of each organ comes from, normalised to 1 in sum."""
    templates = []
    for name, organ in occupancy.organs.items():
        dense = sources.get(name, organ).dense(occupancy.grid.shape)
        weight = dense.sum()
        if weight <= 0:
            raise MeasurementError(
                f"organ '{name}' lies outside the field of view",
                remedy="take it out of the organs, or switch spill_over off",
            )
        templates.append(dense / weight)
    return templates


def _membership(occupancy: Occupancy) -> csr_array:
    """Return the organs' fractions as one sparse matrix, shape (k, voxels of the grid)."""
    organs = list(occupancy.organs.values())
    ends = np.cumsum([0, *(organ.voxel.size for organ in organs)])
    fraction = np.concatenate([organ.fraction for organ in organs])
    voxel = np.concatenate([organ.voxel for organ in organs])
    return csr_array((fraction, voxel, ends), shape=(len(organs), int(np.prod(occupancy.grid.shape))))


def _received(membership: csr_array, shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what every organ receives of a blurred source, shape (k,)."""
    return np.asarray(membership @ shown.ravel())


def _psf_sensitivity(
    membership: csr_array,
    source: NDArray[np.float64],
    occupancy: Occupancy,
    point_spread: PointSpread,
    inverse: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return d(corrected totals) / d(relative width of each axis), shape (k, 3).

    From W t = measured, dt = -W^-1 dW t, and dW t is the blurred source's own change: three blurs, however many
    organs there are.
    """
    if not np.any(point_spread.fwhm_relative_sd):
        return np.zeros((len(inverse), 3))
    slopes = [_received(membership, slope) for slope in point_spread.blur_slopes(source, occupancy.grid)]
    return np.asarray(-inverse @ np.stack(slopes, axis=1))


def _misfit(
    volume: Volume,
    occupancy: Occupancy,
    signals: OrganSignals,
    noise: Noise,
    shown: NDArray[np.float64],
) -> dict[str, float]:
    signal = np.where(np.isfinite(volume.voxels), volume.voxels, signals.background) - signals.background
    residual = (signal - shown / volume.voxel_measure).ravel()
    flat = signal.ravel()
    misfit = {}
    for name, organ in occupancy.organs.items():
        weight = organ.fraction.sum()
        unexplained = organ.fraction @ residual[organ.voxel] ** 2 / weight - noise.sd**2
        seen = organ.fraction @ flat[organ.voxel] ** 2 / weight - noise.sd**2
        # An organ no brighter than its noise cannot show how it is lit.
        misfit[name] = float(np.sqrt(max(unexplained, 0.0) / seen)) if seen > noise.sd**2 else 0.0
    return misfit
