"""An isolated deposit measured with a margin round its organ, and organs too close for the blur measured as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import MarginRefusedError
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import Occupancy, OrganOccupancy
from napari_mpi_track.quantification.spill_over import SpillOver

_LEAST_MARGIN_MM = 3.0
# A neighbour within the margin that lights so much of what is measured there leaves no deposit by itself.
_MOST_FROM_A_NEIGHBOUR = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Margin:
    """One organ measured with a margin.

    Attributes
    ----------
    region
        The organ and what is free round it.
    deposit
        Where its light comes from: the middle of its brightest part, as parts of the voxels round it.
    within
        The parts that the margin reaches, by name.
    """

    region: OrganOccupancy
    deposit: OrganOccupancy
    within: tuple[str, ...]


def margin_mm(point_spread: PointSpread | None) -> float:
    """Return how wide a margin is: 3 mm, or the blur's width where that is more."""
    return _LEAST_MARGIN_MM if point_spread is None else max(_LEAST_MARGIN_MM, float(point_spread.fwhm_mm.max()))


def margin_of(volume: Volume, occupancy: Occupancy, organ: str, width_mm: float) -> Margin:
    """Return an organ with a margin of ``width_mm``, as far as no other part has the voxels.

    Parameters
    ----------
    volume, occupancy
        The scan and how its voxels are shared out.
    organ
        The organ that holds a deposit.
    width_mm
        How far round it signal is collected, in mm.

    Notes
    -----
    The deposit, not the whole organ, is the source that the transfer matrix then blurs: what leaves the margin is
    brought back (1 % of a Gaussian, a third and more of a Lorentzian), and what neighbours send into it taken off.
    """
    shape, spacing = occupancy.grid.shape, occupancy.grid.spacing_mm
    part = occupancy.organs[organ]
    index = np.unravel_index(part.voxel, shape)
    reach = np.ceil(width_mm / spacing).astype(int) + 1
    box = tuple(
        slice(max(int(at.min()) - int(r), 0), min(int(at.max()) + int(r) + 1, n))
        for at, r, n in zip(index, reach, shape, strict=True)
    )
    inside = part.dense(shape)[box]
    is_organ = inside >= min(0.5, float(inside.max()))
    distance = ndimage.distance_transform_edt(~is_organ, sampling=spacing)
    near = np.asarray(distance <= width_mm)
    taken = np.zeros(shape)
    taken[box] = np.where(near, np.maximum(occupancy.outside()[box], 0.0), 0.0) + inside
    voxel = np.flatnonzero(taken > 1e-12)
    reached = np.zeros(shape, dtype=bool)
    reached[box] = near
    within = tuple(
        name for name, other in occupancy.organs.items() if name != organ and reached.ravel()[other.voxel].any()
    )
    region = OrganOccupancy(voxel, taken.ravel()[voxel], part.volume_mm3)
    return Margin(region, _deposit(volume, part), within)


def _deposit(volume: Volume, part: OrganOccupancy) -> OrganOccupancy:
    """Return the middle of the organ's voxels above half of its maximum, spread linearly over the voxels round it."""
    shape = volume.grid.shape
    inside = part.fraction >= min(0.5, float(part.fraction.max()))
    voxel = part.voxel[inside]
    values = np.nan_to_num(np.asarray(volume.voxels.ravel()[voxel], dtype=np.float64))
    values = values - float(np.median(values))
    bright = values >= 0.5 * values.max()
    index = np.stack(np.unravel_index(voxel[bright], shape), axis=-1).astype(np.float64)
    weights = np.maximum(values[bright], 0.0)
    middle = np.average(index, axis=0, weights=weights if weights.sum() > 0 else None)
    low = np.clip(np.floor(middle), 0, np.array(shape) - 1).astype(np.int64)
    share = middle - low
    corners = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    fraction = np.prod(np.where(corners == 1, share, 1 - share), axis=1)
    at = np.minimum(low + corners, np.array(shape) - 1)
    flat = np.ravel_multi_index(tuple(at.T), shape)
    found = np.unique(flat)
    shares = np.array([fraction[flat == one].sum() for one in found])
    kept = shares > 0
    return OrganOccupancy(found[kept], shares[kept], part.volume_mm3)


def require_isolated(volume: Volume, spill: SpillOver | None, margins: Mapping[str, Margin]) -> None:
    """Refuse a margin that another lit part lies within, or any part where spill-over is not corrected.

    Raises
    ------
    MarginRefusedError
        Naming the neighbour, and what part of the signal in the margin is its.
    """
    for organ, margin in margins.items():
        if spill is None and margin.within:
            raise MarginRefusedError(
                f"'{organ}' cannot be measured with a margin: '{margin.within[0]}' lies within it, and without the "
                "correction of spill-over its light cannot be told apart",
                file=volume.file,
                remedy="correct spill-over (--psf or --psf-fwhm-mm, --spill-over), or leave the margin out",
                organs=(organ,),
            )
        if spill is not None:
            _require_dark(volume, spill, organ, margin)


def _require_dark(volume: Volume, spill: SpillOver, organ: str, margin: Margin) -> None:
    sds = np.sqrt(np.maximum(np.diag(spill.noise_covariance), 0.0))
    for other in margin.within:
        at = spill.names.index(other)
        share = abs(spill.spill_in_from(organ, other))
        # Where a deposit has faded, noise alone may be a large part of what is left.
        if share > _MOST_FROM_A_NEIGHBOUR and spill.totals[at] > 3 * sds[at]:
            raise MarginRefusedError(
                f"'{organ}' cannot be measured with a margin: '{other}' lies within it and lights "
                f"{100 * share:.0f} % of what is there",
                file=volume.file,
                remedy=f"measure '{organ}' without a margin, or the two as one "
                f"(merge: [[{organ}, {other}]] in the study, --merge '{organ},{other}')",
                organs=(organ,),
            )


def merged(occupancy: Occupancy, groups: Sequence[Sequence[str]]) -> Occupancy:
    """Return the occupancy with the organs of every group as one, called "a + b", where the first of them stood.

    Organs of a group that this scan does not show are left out of it.
    """
    organs: dict[str, OrganOccupancy] = {}
    group_of = {name: group for group in groups for name in group}
    for name, part in occupancy.organs.items():
        group = group_of.get(name)
        if group is None:
            organs[name] = part
            continue
        title = merged_name(group)
        if title not in organs:
            organs[title] = _sum([occupancy.organs[one] for one in group if one in occupancy.organs])
    return Occupancy(occupancy.grid, organs)


def merged_name(group: Sequence[str]) -> str:
    """Return what organs measured as one are called."""
    return " + ".join(group)


def _sum(parts: Sequence[OrganOccupancy]) -> OrganOccupancy:
    voxel, place = np.unique(np.concatenate([part.voxel for part in parts]), return_inverse=True)
    fraction: NDArray[np.float64] = np.zeros(voxel.size)
    np.add.at(fraction, place, np.concatenate([part.fraction for part in parts]))
    return OrganOccupancy(voxel, fraction, sum(part.volume_mm3 for part in parts))
