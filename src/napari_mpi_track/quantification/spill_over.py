"""What blur carries from one organ into its neighbours, and its correction."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

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
        Change of the corrected totals with the relative error of the point spread's width (per 1 = 100 %),
        shape (k,).
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
    spill_in: Mapping[str, float]
    lost: Mapping[str, float]
    misfit: Mapping[str, float]

    def __post_init__(self) -> None:
        for name in ("transfer", "totals", "noise_covariance", "psf_sensitivity"):
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
    transfer, blurred = _transfer(occupancy, templates, point_spread)
    condition = float(np.linalg.cond(transfer))
    if not condition < _WORST_CONDITION:
        raise MeasurementError(
            f"the organs {', '.join(names)} cannot be told apart at this blur (condition number {condition:.3g})",
            file=volume.file,
            remedy="join the organs that overlap, leave out those outside the field of view, or switch spill_over off",
        )
    measured = signals.totals()
    totals = np.asarray(np.linalg.solve(transfer, measured), dtype=np.float64)
    inverse = np.linalg.inv(transfer)
    arriving = transfer * totals
    whole = arriving.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        own_part = np.where(whole != 0, np.diag(arriving) / whole, 1.0)
    return SpillOver(
        names,
        transfer,
        condition,
        totals,
        inverse @ signals.noise_covariance @ inverse.T,
        _psf_sensitivity(occupancy, templates, point_spread, measured),
        dict(zip(names, (float(1 - part) for part in own_part), strict=True)),
        dict(zip(names, (float(1 - part) for part in transfer.sum(axis=0)), strict=True)),
        _misfit(volume, occupancy, signals, noise, totals, blurred),
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


def _transfer(
    occupancy: Occupancy, templates: list[NDArray[np.float64]], point_spread: PointSpread
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return W and every template as the scanner would show it."""
    organs = list(occupancy.organs.values())
    transfer = np.zeros((len(organs), len(organs)))
    blurred = []
    for column, template in enumerate(templates):
        shown = point_spread.blur(template, occupancy.grid)
        blurred.append(shown)
        transfer[:, column] = [organ.fraction @ shown.ravel()[organ.voxel] for organ in organs]
    return transfer, blurred


def _psf_sensitivity(
    occupancy: Occupancy,
    templates: list[NDArray[np.float64]],
    point_spread: PointSpread,
    measured: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return d(corrected totals) / d(relative width), by a central difference of 2 %."""
    if point_spread.fwhm_relative_sd == 0:
        return np.zeros(len(measured))
    step = 0.02
    wider, narrower = (
        np.linalg.solve(_transfer(occupancy, templates, point_spread.widened(1 + sign * step))[0], measured)
        for sign in (1, -1)
    )
    return np.asarray((wider - narrower) / (2 * step))


def _misfit(
    volume: Volume,
    occupancy: Occupancy,
    signals: OrganSignals,
    noise: Noise,
    totals: NDArray[np.float64],
    blurred: list[NDArray[np.float64]],
) -> dict[str, float]:
    signal = np.where(np.isfinite(volume.voxels), volume.voxels, signals.background) - signals.background
    model = sum(total * shown for total, shown in zip(totals, blurred, strict=True)) / volume.voxel_measure
    residual = (signal - model).ravel()
    flat = signal.ravel()
    misfit = {}
    for name, organ in occupancy.organs.items():
        weight = organ.fraction.sum()
        unexplained = organ.fraction @ residual[organ.voxel] ** 2 / weight - noise.sd**2
        shown = organ.fraction @ flat[organ.voxel] ** 2 / weight - noise.sd**2
        # An organ no brighter than its noise cannot show how it is lit.
        visible = shown > noise.sd**2
        misfit[name] = float(np.sqrt(max(unexplained, 0.0) / shown)) if visible else 0.0
    return misfit
