"""Organs drawn in depth, shared out over a projection: by their shadows, and in groups where shadows overlap."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import Occupancy, OrganOccupancy, measure_occupancy, require_organs
from napari_mpi_track.registration.view import view_of

# Two shadows that share more than this part of the smaller one cannot be told apart by what lies where.
_SHARED_SHADOW = 0.01
# A pixel is looked through at so many places along each of its sides.
_PARTS = 3
_SAMPLES_PER_AXIS = 4
_PLANES = 400
# Rounding and the few points of a part may let two neighbours fill a little more than all of it.
_MORE_THAN_FULL = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Shadows:
    """How the pixels of a projection are shared out between organs drawn in depth.

    Attributes
    ----------
    occupancy
        The part of every pixel that each organ, or group of organs, takes.
    lengths
        How much of each lies along the ray of every pixel, by name, as a part of the most: where the signal of an
        evenly lit organ comes from.
    groups
        The organs that overlap along the ray and are one in ``occupancy``, named ``liver + stomach``.
    """

    occupancy: Occupancy
    lengths: Mapping[str, OrganOccupancy]
    groups: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", MappingProxyType(dict(self.lengths)))

    def doubts(self) -> list[str]:
        """Return what a reader of the totals should know, one sentence each."""
        return [
            f"{', '.join(group[:-1])} and {group[-1]} overlap along the ray: they are measured as one,"
            f" '{_joined(group)}', since no projection tells how much of it is whose"
            for group in self.groups
        ]


def share_shadows(organs: OrganLabels, projection: Volume, projection_from_organs: Transform | None = None) -> Shadows:
    """Return how the pixels of a projection are shared out between organs drawn over several planes.

    Parameters
    ----------
    organs
        Labels on their own grid, drawn in depth.
    projection
        The scan to be measured; its ray is normal to its plane.
    projection_from_organs
        Map from the organs' frame to the projection's. Without it both must lie in one named frame.

    Raises
    ------
    FrameMismatchError
        Without a transform, if the frames differ or are unknown.
    GridMismatchError
        If no organ is seen in the projection.
    MeasurementError
        If the labels hold no organ.

    Notes
    -----
    An organ takes the part of a pixel that its shadow covers. Where shadows overlap the pixel is shared by the organs'
    lengths along the ray, which is right only if all are lit alike: organs that share more than 1 % of the smaller
    one's shadow are therefore one group, whose total needs no such guess.
    """
    require_organs(organs)
    deep, first = _looked_through(organs, projection, projection_from_organs)
    shared = measure_occupancy(organs, deep, projection_from_organs, samples_per_axis=_SAMPLES_PER_AXIS)
    names = list(shared.organs)
    planes = [_seen_through(shared.organs[name], deep.shape) for name in names]
    lengths, covers = (np.stack(kind) for kind in zip(*planes, strict=True))
    groups = _groups(names, covers)
    shares = _shares(lengths, covers)
    pixels, paths = {}, {}
    for group in groups:
        members = [names.index(name) for name in group]
        pixels[_joined(group)] = _cut_to(_by_pixel(shares[members].sum(axis=0)), first, projection.grid)
        along = _by_pixel(lengths[members].sum(axis=0))
        paths[_joined(group)] = _cut_to(along / max(along.max(), 1e-12), first, projection.grid)
    if not any(part.fraction.size for part in pixels.values()):
        raise GridMismatchError(
            "no organ is seen in the projection",
            file=organs.file,
            remedy="check the alignment and the frames of projection and organs",
        )
    return Shadows(
        Occupancy(projection.grid, pixels),
        {name: path for name, path in paths.items() if path.fraction.size},
        tuple(group for group in groups if len(group) > 1),
    )


def _joined(group: tuple[str, ...]) -> str:
    return " + ".join(group)


def _looked_through(organs: OrganLabels, projection: Volume, way: Transform | None) -> tuple[Grid, tuple[int, int]]:
    """Return a grid of parts of pixels, plane behind plane along the ray, round all organs, and its first pixel."""
    grid, ray = projection.grid, view_of(projection).ray
    upright = grid.lps_from_index.copy()
    upright[:3, 0] = ray
    around = Grid(grid.shape, upright)
    ends = [np.flatnonzero(organs.voxels.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    corners = organs.grid.lps_from(list(product(*(end + [-0.5, 0.5] for end in ends))))
    if way is not None:
        if way.deformation is not None:
            reach = np.abs(way.deformation.coefficients_mm).max(axis=(1, 2, 3))
            corners = np.concatenate([corners + reach * sign for sign in product((1, -1), repeat=3)])
        corners = replace(way, deformation=None).map(corners)
    places = around.index_from(corners)
    low = np.floor(places.min(axis=0) + 0.5).astype(int)
    high = np.ceil(places.max(axis=0) + 0.5).astype(int)
    reach = float(np.ptp(places[:, 0]))
    # Half a label voxel, so that even one layer of them fills a plane.
    step = max(min(float(grid.spacing_mm[1:].min()) / _PARTS, float(organs.grid.spacing_mm.min()) / 2), reach / _PLANES)
    depth = int(np.ceil(reach / step)) + 1
    matrix = upright.copy()
    matrix[:3, 0] *= step
    matrix[:3, 1:3] /= _PARTS
    corner = np.array([places[:, 0].min() + step / 2, *(low[1:] - 0.5 + 0.5 / _PARTS)])
    matrix[:3, 3] = around.lps_from(corner)
    rows, columns = (high - low)[1:] * _PARTS
    return Grid((depth, int(rows), int(columns)), matrix, grid.frame), (int(low[1]), int(low[2]))


def _seen_through(
    organ: OrganOccupancy, shape: tuple[int, int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the length of an organ along each ray, in planes, and the part of each ray's area it covers."""
    _, rows, columns = shape
    place = organ.voxel % (rows * columns)
    length = np.bincount(place, organ.fraction, minlength=rows * columns).astype(np.float64)
    cover = np.zeros(rows * columns)
    # The plane that an organ fills most is the one where its outline is widest.
    np.maximum.at(cover, place, organ.fraction)
    return length.reshape(rows, columns), cover.reshape(rows, columns)


def _groups(names: list[str], covers: NDArray[np.float64]) -> list[tuple[str, ...]]:
    """Return the organs in groups of those whose shadows overlap, directly or through others, in their order."""
    group = list(range(len(names)))
    shadows = covers.sum(axis=(1, 2))
    for a, b in combinations(range(len(names)), 2):
        overlap = float(np.clip(covers[a] + covers[b] - 1 - _MORE_THAN_FULL, 0, None).sum())
        if overlap > _SHARED_SHADOW * min(shadows[a], shadows[b]):
            kept, gone = sorted((group[a], group[b]))
            group = [kept if g == gone else g for g in group]
    return [tuple(n for n, g in zip(names, group, strict=True) if g == which) for which in sorted(set(group))]


def _shares(lengths: NDArray[np.float64], covers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of each ray that every organ takes: what it covers, or by length where organs overlap."""
    together, along = covers.sum(axis=0), lengths.sum(axis=0)
    is_overlap = together > 1 + _MORE_THAN_FULL
    by_length = lengths / np.where(along > 0, along, 1.0)
    return np.where(is_overlap, by_length, covers / np.maximum(together, 1.0))


def _by_pixel(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = parts.shape
    return np.asarray(parts.reshape(rows // _PARTS, _PARTS, columns // _PARTS, _PARTS).mean(axis=(1, 3)))


def _cut_to(pixels: NDArray[np.float64], first: tuple[int, int], grid: Grid) -> OrganOccupancy:
    """Return the pixels that lie in the projection; the volume counts those beyond too, as a voxel of its grid each."""
    at = np.argwhere(pixels > 1e-12)
    values = pixels[tuple(at.T)]
    place = at + first
    is_inside = np.all((place >= 0) & (place < grid.shape[1:]), axis=1)
    voxel = place[is_inside, 0] * grid.shape[2] + place[is_inside, 1]
    return OrganOccupancy(voxel, values[is_inside], float(values.sum()) * grid.voxel_volume_mm3)
