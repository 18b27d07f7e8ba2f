"""A place of signal grown from a click."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.segmentation.components import NEIGHBOURHOOD, touching_parts

Index = tuple[int, int, int]
_LEAST_SDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class GrownRegion:
    """What hangs together with a click.

    Attributes
    ----------
    mask
        The region, shape as the scan's grid.
    threshold
        Its voxels are above this, in the scan's unit.
    peak
        Index (plane, row, column) of the top of the hill that was clicked on.
    volume_mm3
        Volume of the region in mm3 (mm2 for a projection).
    cut_mm3
        What was cut off at the valley towards its neighbours, in mm3 (mm2): 0 if the region reached none.
    leak
        What is to be said of the neighbours that the region ran into; empty if it ran into none.
    """

    mask: NDArray[np.bool_]
    threshold: float
    peak: Index
    volume_mm3: float
    cut_mm3: float = 0.0
    leak: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", frozen(self.mask))

    __getstate__ = get_state
    __setstate__ = set_state


def index_at(volume: Volume, point_mm: ArrayLike) -> Index:
    """Return the voxel (plane, row, column) that holds a point, LPS mm (x, y, z).

    Raises
    ------
    MeasurementError
        If the point lies outside the scan.
    """
    place = np.asarray(point_mm, dtype=np.float64)
    if place.shape != (3,) or not np.isfinite(place).all():
        raise MeasurementError(f"a point needs x,y,z in mm, got {place.tolist()}")
    if not volume.grid.contains(place):
        low, high = volume.grid.corners_mm().min(axis=0), volume.grid.corners_mm().max(axis=0)
        reach = ", ".join(f"{a} {x:.4g} to {y:.4g}" for a, x, y in zip("xyz", low, high, strict=True))
        raise MeasurementError(
            f"the point ({', '.join(f'{x:.4g}' for x in place)}) lies outside the scan",
            file=volume.file,
            remedy=f"the scan reaches over {reach} mm (LPS)",
        )
    plane, row, column = np.rint(volume.grid.index_from(place)).astype(int)
    return int(plane), int(row), int(column)


def grow_region(
    volume: Volume,
    seed_index: Index,
    noise: Noise,
    *,
    fraction: float = 0.5,
    threshold: float | None = None,
    largest_mm3: float = np.inf,
) -> GrownRegion:
    """Return what hangs together with a voxel above a threshold, cut at the valley where it runs into a neighbour.

    Parameters
    ----------
    volume
        A linearised scan.
    seed_index
        The voxel clicked on: plane, row, column.
    noise
        The scan's noise: hills that stand less than 5 SD out of a valley are no neighbours.
    fraction
        The threshold as a part of the way from the background up to the top of the hill clicked on; never below 5 SD.
    threshold
        The threshold itself, in the scan's unit; ``fraction`` is then not used.
    largest_mm3
        A region larger than this (mm2 of a projection) is refused.

    Raises
    ------
    MeasurementError
        If the click lies outside the scan, on a voxel without a number, or not above the threshold (5 SD of the noise
        at least, where none is given); if the region grows larger than allowed or over the whole scan; for a fraction
        not between 0 and 1.

    Notes
    -----
    Seeded region growing of Adams & Bischof 1994 (doi:10.1109/34.295913) with a threshold for a criterion: what
    grows is the connected component of the seed. Neighbours are parted by the watershed of :func:`split_touching`.
    """
    if not 0 < fraction < 1:
        raise MeasurementError(f"the fraction of the local maximum lies between 0 and 1, got {fraction:g}")
    voxels = np.asarray(volume.voxels)
    if len(seed_index) != 3 or not all(0 <= at < n for at, n in zip(seed_index, voxels.shape, strict=True)):
        raise MeasurementError(f"voxel {tuple(seed_index)} lies outside the scan's {voxels.shape}", file=volume.file)
    clicked = float(voxels[seed_index])
    if not np.isfinite(clicked):
        raise MeasurementError("the voxel clicked on holds no number", file=volume.file, remedy="click beside it")
    floor = noise.mean + _LEAST_SDS * noise.sd if threshold is None else threshold
    if not clicked > floor:
        raise MeasurementError(
            f"there is no signal at the click: {clicked:.4g}, where {floor:.4g} was needed",
            file=volume.file,
            remedy="click on a brighter place, or give a lower threshold",
        )
    around = _connected((voxels > floor) & np.isfinite(voxels), seed_index)
    if around.all():
        raise MeasurementError(
            "the region grew over the whole scan", file=volume.file, remedy="raise the threshold or the fraction"
        )
    hills = touching_parts(around, volume, noise)
    hill = hills == hills[seed_index]
    top = np.unravel_index(int(np.argmax(np.where(hill, voxels, -np.inf))), voxels.shape)
    peak = (int(top[0]), int(top[1]), int(top[2]))
    # Below 5 SD a region would run away through the noise.
    level = max(floor, noise.mean + fraction * (float(voxels[peak]) - noise.mean)) if threshold is None else threshold
    if not clicked > level:
        raise MeasurementError(
            f"the voxel clicked on ({clicked:.4g}) is not above the threshold of {level:.4g}",
            file=volume.file,
            remedy="click nearer to the middle of the place, or lower the threshold",
        )
    grown = _connected(around & (voxels > level), seed_index)
    own = grown & hill
    measure = volume.voxel_measure
    volume_mm3 = float(np.count_nonzero(own)) * measure
    unit = "mm2" if volume.is_projection else "mm3"
    if volume_mm3 > largest_mm3:
        raise MeasurementError(
            f"the region grew to {volume_mm3:.4g} {unit}, more than the {largest_mm3:g} allowed",
            file=volume.file,
            remedy="raise the threshold or the fraction, or allow more",
        )
    cut = grown & ~hill
    return GrownRegion(
        own, float(level), peak, volume_mm3, float(np.count_nonzero(cut)) * measure, _leak(voxels, cut, hills, own)
    )


def _connected(mask: NDArray[np.bool_], seed_index: Index) -> NDArray[np.bool_]:
    """Return the part of a mask that hangs together with one of its voxels."""
    parts = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, NEIGHBOURHOOD, output=parts)
    return np.asarray(parts == parts[seed_index])


def _leak(voxels: NDArray[Any], cut: NDArray[np.bool_], hills: NDArray[np.int32], own: NDArray[np.bool_]) -> str:
    """Return what is to be said of the neighbours that a region ran into."""
    neighbours = np.unique(hills[cut]).size
    if not neighbours:
        return ""
    kind = "brighter" if float(voxels[cut].max()) > float(voxels[own].max()) else "fainter"
    who = f"a {kind} neighbour" if neighbours == 1 else f"{neighbours} neighbours, the brightest of them {kind}"
    return f"the region ran into {who}; it was cut at the valley between"
