"""Several animals in one scan: which place is whose, and whose organs shine into whose."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from napari_mpi_track.errors import FrameMismatchError, MeasurementError
from napari_mpi_track.imaging.foreground import block_average, block_grid, block_steps, finite_voxels
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.segmentation.anatomy import body_within, outlined, without_bed
from napari_mpi_track.segmentation.blocks import Blocks, Mask

# An animal is as deep as this part of the deepest one at least; a bed and a tube are not.
_LEAST_DEPTH = 0.5
_DEPTHS_TRIED = 24
_LEAST_OF_LARGEST = 0.2
# Animals lie in one row if they are one below another by less than this part of their depth.
_ROW_OF_DEPTH = 1.0
_LIT_SD = 5.0
_MOST_VOXELS_MPI = 400_000
_MOST_PLACES = 20_000
_LEAST_APART = 2.0


@dataclass(frozen=True, slots=True)
class Animal:
    """One animal of a scan.

    Attributes
    ----------
    name, label
        What it is called, and its value in the labels.
    centre_mm
        Centre of its region, LPS mm.
    low_mm, high_mm
        Corners of the box around its region, LPS mm.
    volume_mm3
        Volume of its region.
    """

    name: str
    label: int
    centre_mm: tuple[float, float, float]
    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]
    volume_mm3: float


@dataclass(frozen=True, slots=True, eq=False)
class AnimalSplit:
    """A scan shared out among its animals: ``labels`` (one region each, on the scan's grid) and ``animals``."""

    labels: OrganLabels
    animals: tuple[Animal, ...]


def split_animals(scan: Volume, count: int, names: Sequence[str] = ()) -> AnimalSplit:
    """Return the animals of one scan, in rows from front to back (y), within a row from right to left (x, LPS).

    In an anatomy (CT, MR) the regions are the animals' bodies, parted where they are thinnest: animals that touch each
    other, or one bed, are told apart by their depth. In an MPI scan, which shows no bodies, the field is shared out by
    the groups that lit places form across the long axis of the animals (z): a guess, refused where they form none.

    Parameters
    ----------
    scan
        CT, MR, or MPI.
    count
        How many animals there are.
    names
        What they are called, in that order; "animal 1", "animal 2" ... without them.

    Raises
    ------
    MeasurementError
        If there are fewer (or more) animals to be seen than ``count``, or names are missing or given twice.
    """
    called = _called(count, names)
    if scan.modality in (Modality.MPI, Modality.PET, Modality.SPECT):
        regions = _regions_by_signal(scan, count)
    else:
        regions = _bodies(scan, count)
    order = _in_order(regions, scan.grid)
    voxels = np.zeros(scan.grid.shape, dtype=np.uint8)
    for value, at in enumerate(order, start=1):
        voxels[regions[at] & (voxels == 0)] = value
    labels = OrganLabels(voxels, scan.grid, dict(enumerate(called, start=1)), file=scan.file)
    return AnimalSplit(labels, tuple(_animal(labels, value, name) for value, name in labels.names.items()))


def organs_of(organs: OrganLabels, animals: OrganLabels, name: str) -> OrganLabels:
    """Return the organs of one animal; ``organs`` may be drawn for all at once, each voxel is the nearest animal's.

    Raises
    ------
    MeasurementError
        If there is no animal of this name, or it has no organ.
    FrameMismatchError
        If organs and animals name different frames.
    """
    flat, owner = _owned(organs, animals, name)
    voxels = np.zeros_like(organs.voxels)
    own = flat[owner == _label_of(animals, name)]
    voxels.flat[own] = organs.voxels.flat[own]
    return replace(organs, voxels=voxels)


def organs_with_neighbours(organs: OrganLabels, animals: OrganLabels, name: str) -> OrganLabels:
    """Return the organs of one animal under their own names, those of its neighbours as "NEIGHBOUR: ORGAN".

    Measured together in one scan, the neighbours' organs are sources whose blur is taken off this animal's, and the
    other way round. Raises as ``organs_of``.
    """
    flat, owner = _owned(organs, animals, name)
    drawn = organs.voxels.ravel()[flat].astype(np.int64)
    step = max(organs.names) + 1
    voxels = np.zeros(organs.voxels.size, dtype=np.int64)
    names: dict[int, str] = {}
    for number, (value, called) in enumerate(animals.names.items(), start=1):
        shift = 0 if called == name else step * number
        here = owner == value
        voxels[flat[here]] = drawn[here] + shift
        before = "" if called == name else f"{called}: "
        names |= {code + shift: f"{before}{organ}" for code, organ in organs.names.items()}
    whole = voxels.reshape(organs.grid.shape).astype(np.min_scalar_type(int(voxels.max())))
    return replace(organs, voxels=whole, names=names, colours={})


def anatomy_of(anatomy: Volume, animals: OrganLabels, name: str) -> Volume:
    """Return the scan with air wherever the animal ``name`` is not; ``GridMismatchError`` on another grid."""
    own = (animals.voxels == _label_of(animals, name)).astype(np.uint8)
    return without_bed(anatomy, replace(animals, voxels=own, names={1: name}))


def _label_of(animals: OrganLabels, name: str) -> int:
    for value, called in animals.names.items():
        if called == name:
            return value
    raise MeasurementError(f"there is no animal '{name}' among {sorted(animals.names.values())}", file=animals.file)


def _owned(organs: OrganLabels, animals: OrganLabels, name: str) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the flat numbers of all voxels of organs, and the label of the animal each belongs to."""
    own = _label_of(animals, name)
    frames = organs.grid.frame, animals.grid.frame
    if None not in frames and frames[0] != frames[1]:
        raise FrameMismatchError(
            f"the organs lie in the frame '{frames[0]}', the animals in '{frames[1]}'",
            file=organs.file,
            remedy="split the scan that the organs were drawn on",
        )
    flat = np.flatnonzero(organs.voxels)
    owner = _owners(organs.grid.lps_from(np.stack(np.unravel_index(flat, organs.grid.shape), axis=-1)), animals)
    if not np.any(owner == own):
        raise MeasurementError(f"no organ lies in the animal '{name}'", file=organs.file, remedy="check its region")
    return flat, owner


def _called(count: int, names: Sequence[str]) -> list[str]:
    if count < 2:
        raise MeasurementError(f"a scan is split between two animals or more, got {count}")
    called = [str(name) for name in names] or [f"animal {number}" for number in range(1, count + 1)]
    if len(called) != count or len(set(called)) < count:
        raise MeasurementError(
            f"{count} animals need {count} names, each another one, got {', '.join(called)}",
            remedy="name them in the order of their places, or leave the names out",
        )
    return called


def _bodies(scan: Volume, count: int) -> list[Mask]:
    coarse = Blocks.of(scan)
    tissue = coarse.tissue()
    depth = ndimage.distance_transform_edt(np.pad(tissue, 1, mode="edge"), coarse.spacing)[1:-1, 1:-1, 1:-1]
    pieces = _parted(depth, count, scan)
    owner = _flooded(depth, pieces)
    return [outlined(body_within(tissue & (owner == value), coarse), coarse) for value in range(1, count + 1)]


def _parted(depth: NDArray[np.float64], count: int, scan: Volume) -> NDArray[np.int32]:
    """Return the middles of the animals, 1 to ``count``: the first pieces that a rising depth leaves so many of."""
    most = 0
    for level in np.linspace(0.0, _LEAST_DEPTH, _DEPTHS_TRIED) * float(depth.max()):
        pieces, found = ndimage.label(depth > level)
        sizes = np.bincount(pieces.ravel(), minlength=found + 1)
        deepest = ndimage.maximum(depth, pieces, np.arange(found + 1))
        sizes[0] = 0
        sizes[np.asarray(deepest) < _LEAST_DEPTH * float(depth.max())] = 0
        large = np.flatnonzero(sizes > _LEAST_OF_LARGEST * sizes.max())
        most = max(most, len(large))
        if len(large) > count:
            break
        if len(large) == count:
            number = np.zeros(found + 1, dtype=np.int32)
            number[large] = np.arange(1, count + 1)
            return number[pieces]
    raise MeasurementError(
        f"{most} {'animal is' if most == 1 else 'animals are'} seen in the scan, not {count}",
        file=scan.file,
        remedy="give the number of animals that are in the field, or draw their regions by hand",
    )


def _flooded(depth: NDArray[np.float64], pieces: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the pieces grown downhill from their middles until they meet, over the whole grid."""
    import SimpleITK as sitk

    heights = sitk.GetImageFromArray((float(depth.max()) - depth).astype(np.float32))
    places = sitk.GetImageFromArray(pieces)
    found = sitk.MorphologicalWatershedFromMarkers(heights, places, markWatershedLine=False)
    return np.asarray(sitk.GetArrayFromImage(found), dtype=np.int32)


def _regions_by_signal(scan: Volume, count: int) -> list[Mask]:
    from scipy.cluster.vq import kmeans2

    noise = estimate_noise(scan)
    steps = block_steps(scan.grid, _MOST_VOXELS_MPI)
    grey, grid = block_average(finite_voxels(scan), steps), block_grid(scan.grid, steps)
    lit = np.argwhere(grey > noise.mean + _LIT_SD * noise.sd)
    if len(lit) < count:
        raise MeasurementError(
            "too little of the scan is lit to tell its animals apart", file=scan.file, remedy="split their anatomy"
        )
    places = grid.lps_from(lit)[:, :2]
    places = places[:: max(1, len(places) // _MOST_PLACES)]
    centres, nearest = kmeans2(places, count, minit="++", seed=np.random.default_rng(0), iter=50)
    spread = [float(np.sqrt(np.mean(np.sum((places[nearest == k] - centres[k]) ** 2, axis=1)))) for k in range(count)]
    for k in range(count):
        for other in range(k):
            if np.linalg.norm(centres[k] - centres[other]) < _LEAST_APART * max(spread[k], spread[other]):
                raise MeasurementError(
                    f"the lit places of the scan do not fall into {count} groups side by side",
                    file=scan.file,
                    remedy="split the anatomy of the same session, or draw the regions by hand",
                )
    axes = np.stack(np.meshgrid(*[np.arange(n) for n in scan.grid.shape], indexing="ij"), axis=-1)
    owner = np.empty(scan.grid.shape, dtype=np.int32)
    tree = KDTree(centres)
    for plane in range(scan.grid.shape[0]):
        owner[plane] = tree.query(scan.grid.lps_from(axes[plane])[..., :2])[1]
    return [owner == k for k in range(count)]


def _in_order(regions: Sequence[Mask], grid: Grid) -> list[int]:
    """Return the numbers of the regions: by rows along y, then along x."""
    centres = np.array([grid.lps_from(np.array(ndimage.center_of_mass(region))) for region in regions])
    widths = [np.cbrt(np.count_nonzero(region) * grid.voxel_volume_mm3) for region in regions]
    by_y = np.argsort(centres[:, 1], kind="stable")
    gaps = np.diff(centres[by_y, 1], prepend=centres[by_y[0], 1])
    row = np.empty(len(regions), dtype=int)
    row[by_y] = np.cumsum(gaps > _ROW_OF_DEPTH * float(np.mean(widths)) / 2)
    return sorted(range(len(regions)), key=lambda at: (int(row[at]), float(centres[at, 0])))


def _animal(labels: OrganLabels, value: int, name: str) -> Animal:
    index = np.argwhere(labels.voxels == value)
    low, high = index.min(axis=0), index.max(axis=0)
    corners = labels.grid.lps_from(
        [(a, b, c) for a in _ends(low, high, 0) for b in _ends(low, high, 1) for c in _ends(low, high, 2)]
    )
    volume = len(index) * labels.grid.voxel_volume_mm3
    return Animal(
        name,
        value,
        _point(labels.grid.lps_from(index.mean(axis=0))),
        _point(corners.min(axis=0)),
        _point(corners.max(axis=0)),
        volume,
    )


def _ends(low: NDArray[Any], high: NDArray[Any], axis: int) -> tuple[float, float]:
    return float(low[axis]) - 0.5, float(high[axis]) + 0.5


def _point(values: NDArray[Any]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _owners(points_mm: NDArray[np.float64], animals: OrganLabels) -> NDArray[np.int64]:
    """Return the label of the animal that each point lies in or nearest to, shape (n,)."""
    index = np.rint(animals.grid.index_from(points_mm)).astype(np.int64)
    inside = np.all((index >= 0) & (index < np.asarray(animals.grid.shape)), axis=1)
    owner = np.zeros(len(points_mm), dtype=np.int64)
    owner[inside] = animals.voxels[tuple(index[inside].T)]
    lost = np.flatnonzero(owner == 0)
    if lost.size:
        region = np.argwhere(animals.voxels)
        region = region[:: max(1, len(region) // 200_000)]
        nearest = KDTree(animals.grid.lps_from(region)).query(points_mm[lost])[1]
        owner[lost] = animals.voxels[tuple(region[nearest].T)]
    return owner
