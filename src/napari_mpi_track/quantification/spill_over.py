"""What blur carries from one organ into its neighbours, and its correction."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from napari_mpi_track.errors import InseparableOrgansError, MeasurementError
from napari_mpi_track.imaging.frozen import frozen
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import REST_OF_BODY, Occupancy, OrganOccupancy
from napari_mpi_track.quantification.organ_signal import OrganSignals
from napari_mpi_track.quantification.uniformity import Uniformity, check_uniformity

_WORST_CONDITION = 1e4
# Two organs are too close where the correction multiplies one's SD by this, and ties its noise to the other's.
_MOST_INFLATION = 3.0
_MOST_TIED = 0.7
# An organ that shows mostly its neighbours' light does not show how its own is spread.
_LEAST_OWN = 0.3


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
        Condition number of W, every row scaled to length 1 (a small organ is no badly known one), dimensionless.
    totals
        Corrected totals, shape (k,), unit of the scan times mm3 (mm2 for a projection).
    noise_covariance
        Of the corrected totals from the scan's noise, shape (k, k).
    psf_sensitivity
        Change of the corrected totals with the relative error of the point spread's width along plane, row and
        column (per 1 = 100 %), shape (k, 3).
    psf_covariance
        Of the corrected totals from the errors of those widths, shape (k, k).
    arriving
        Shape (k, k), dimensionless: ``arriving[j, k]`` is the part of organ j's measured signal that came from organ
        k. Rows add up to 1; parts may leave 0..1 in noise.
    spill_in
        Part of each organ's measured signal that came from all other organs, by name.
    lost
        Part of each organ's signal that lies in no organ or beyond the field of view, by name.
    misfit
        RMS of what the reblurred model leaves unexplained within each organ, beyond the noise, as a part of the
        organ's own RMS signal, by name. A uniformly lit organ under the right point spread is near 0.
    uniformity
        Whether that is more than chance: a test of every organ's light, and of the point spread. Sources with a place
        of their own (vials), the rest of the body and organs without clear light of their own are not tested.
    inflation
        By what factor the correction makes each organ's SD from noise larger than the blur alone would, by name:
        1 for an organ by itself, large for two that the blur hardly tells apart.
    """

    names: tuple[str, ...]
    transfer: NDArray[np.float64]
    condition: float
    totals: NDArray[np.float64]
    noise_covariance: NDArray[np.float64]
    psf_sensitivity: NDArray[np.float64]
    psf_covariance: NDArray[np.float64]
    arriving: NDArray[np.float64]
    spill_in: Mapping[str, float]
    lost: Mapping[str, float]
    misfit: Mapping[str, float]
    uniformity: Uniformity
    inflation: Mapping[str, float]

    def __post_init__(self) -> None:
        for name in ("transfer", "totals", "noise_covariance", "psf_sensitivity", "psf_covariance", "arriving"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        for name in ("spill_in", "lost", "misfit", "inflation"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def spill_in_from(self, organ: str, source: str) -> float:
        """Return the part of ``organ``'s measured signal that came from ``source`` (itself included)."""
        return float(self.arriving[self.names.index(organ), self.names.index(source)])

    def too_close(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs of organs that the blur hardly tells apart: what one gains of the noise the other loses."""
        sds = np.sqrt(np.maximum(np.diag(self.noise_covariance), 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            tied = self.noise_covariance / np.outer(sds, sds)
        inflated = np.array([self.inflation[name] for name in self.names])
        return tuple(
            (self.names[j], self.names[k])
            for j, k in zip(*np.nonzero(np.triu(tied < -_MOST_TIED, 1)), strict=True)
            if max(inflated[j], inflated[k]) > _MOST_INFLATION
        )

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
    displacement_mm: float = 0.0,
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
    displacement_mm
        SD of the organs' place in the scan along one axis, in mm: edges out of place are no uneven light.

    Raises
    ------
    InseparableOrgansError
        If two organs cannot be told apart at this blur (W is singular).
    MeasurementError
        If an organ lies outside the field of view.

    Notes
    -----
    Geometric transfer matrix, t_measured = W t_true (Rousset, Ma and Evans 1998, J Nucl Med 39:904-911). It takes
    every organ to be lit uniformly, which ``misfit`` tests.
    """
    names = signals.names
    templates = _templates(occupancy, sources or {})
    membership = _membership(list(occupancy.organs.values()), occupancy)
    transfer = np.stack(
        [_received(membership, point_spread.blur(t.dense(occupancy.grid.shape), occupancy.grid)) for t in templates],
        axis=1,
    )
    scaled = transfer / np.linalg.norm(transfer, axis=1, keepdims=True)
    condition = float(np.linalg.cond(scaled))
    if not condition < _WORST_CONDITION:
        raise _inseparable(volume, names, scaled, condition)
    totals = np.asarray(np.linalg.solve(transfer, signals.totals()), dtype=np.float64)
    inverse = np.asarray(np.linalg.inv(transfer), dtype=np.float64)
    covariance = inverse @ signals.noise_covariance @ inverse.T
    arriving = _parts_arriving(transfer * totals)

    shared_out = _membership(templates, occupancy).T

    def spread(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(shared_out @ amounts).reshape(occupancy.grid.shape)

    source = spread(totals)
    slopes = point_spread.blur_slopes(source, occupancy.grid)
    sensitivity = -inverse @ np.stack([_received(membership, slope) for slope in slopes], axis=1)
    measure = volume.voxel_measure
    model = point_spread.blur(source, occupancy.grid) / measure
    widening = sum(slopes, point_spread.blur(spread(sensitivity.sum(axis=1)), occupancy.grid)) / measure
    residual = np.where(np.isfinite(volume.voxels), volume.voxels - signals.background - model, 0.0)
    tested = [
        name
        for name, total, sd, own in zip(names, totals, np.sqrt(np.diag(covariance)), np.diag(arriving), strict=True)
        if name not in (sources or {}) and REST_OF_BODY not in name and total > 3 * sd and own > _LEAST_OWN
    ]
    return SpillOver(
        names,
        transfer,
        condition,
        totals,
        covariance,
        sensitivity,
        sensitivity @ point_spread.relative_covariance @ sensitivity.T,
        arriving,
        dict(zip(names, (1.0 - np.diag(arriving)).tolist(), strict=True)),
        dict(zip(names, (1.0 - transfer.sum(axis=0)).tolist(), strict=True)),
        _misfit(occupancy, noise, residual, model),
        check_uniformity(residual, model, widening, occupancy, tested, noise, point_spread, displacement_mm),
        _inflation(names, transfer, signals.noise_covariance, covariance),
    )


def _inseparable(
    volume: Volume, names: tuple[str, ...], scaled: NDArray[np.float64], condition: float
) -> InseparableOrgansError:
    """Return the error that names the organs whose blurred shapes are one."""
    weakest = np.abs(np.linalg.svd(scaled)[2][-1])
    pair = sorted(names[at] for at in np.argsort(weakest)[-2:])
    return InseparableOrgansError(
        f"the organs {' and '.join(pair)} cannot be told apart at this blur (condition number {condition:.3g})",
        file=volume.file,
        remedy=f"measure them as one (merge: [[{', '.join(pair)}]] in the study, --merge '{','.join(pair)}'), "
        "leave one out, or switch spill_over off",
        organs=tuple(pair),
    )


def _parts_arriving(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return every row as parts of its sum; an organ where nothing arrives has all from itself."""
    whole = amounts.sum(axis=1, keepdims=True)
    parts = np.divide(amounts, whole, out=np.zeros_like(amounts), where=whole != 0)
    return np.asarray(parts + np.diag((whole[:, 0] == 0).astype(np.float64)))


def _inflation(
    names: tuple[str, ...],
    transfer: NDArray[np.float64],
    measured: NDArray[np.float64],
    corrected: NDArray[np.float64],
) -> dict[str, float]:
    alone = np.sqrt(np.maximum(np.diag(measured), 0.0)) / np.diag(transfer)
    together = np.sqrt(np.maximum(np.diag(corrected), 0.0))
    factors = np.divide(together, alone, out=np.ones_like(alone), where=alone > 0)
    return dict(zip(names, factors.tolist(), strict=True))


def _templates(occupancy: Occupancy, sources: Mapping[str, OrganOccupancy]) -> list[OrganOccupancy]:
    """Return where the signal of each organ comes from, normalised to 1 in sum."""
    templates = []
    for name, organ in occupancy.organs.items():
        source = sources.get(name, organ)
        weight = source.fraction.sum()
        if weight <= 0:
            raise MeasurementError(
                f"organ '{name}' lies outside the field of view",
                remedy="take it out of the organs, or switch spill_over off",
            )
        templates.append(OrganOccupancy(source.voxel, source.fraction / weight, source.volume_mm3))
    return templates


def _membership(parts: list[OrganOccupancy], occupancy: Occupancy) -> csr_array:
    """Return the parts' fractions as one sparse matrix, shape (k, voxels of the grid)."""
    ends = np.cumsum([0, *(part.voxel.size for part in parts)])
    fraction = np.concatenate([part.fraction for part in parts])
    voxel = np.concatenate([part.voxel for part in parts])
    return csr_array((fraction, voxel, ends), shape=(len(parts), int(np.prod(occupancy.grid.shape))))


def _received(membership: csr_array, shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what every organ receives of a blurred source, shape (k,)."""
    return np.asarray(membership @ shown.ravel())


def _misfit(
    occupancy: Occupancy, noise: Noise, residual: NDArray[np.float64], model: NDArray[np.float64]
) -> dict[str, float]:
    left, flat = residual.ravel(), (model + residual).ravel()
    misfit = {}
    for name, organ in occupancy.organs.items():
        weight = organ.fraction.sum()
        unexplained = organ.fraction @ left[organ.voxel] ** 2 / weight - noise.sd**2
        seen = organ.fraction @ flat[organ.voxel] ** 2 / weight - noise.sd**2
        # An organ no brighter than its noise cannot show how it is lit.
        misfit[name] = float(np.sqrt(max(unexplained, 0.0) / seen)) if seen > noise.sd**2 else 0.0
    return misfit
