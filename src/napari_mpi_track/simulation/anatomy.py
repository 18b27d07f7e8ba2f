"""Bodies as analytic shapes: what part of any voxel, in any pose, lies inside which organ."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.imaging.frozen import frozen

Box = tuple[NDArray[np.float64], NDArray[np.float64]]
Coordinates = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


class Shape(Protocol):
    """An implicit solid in body coordinates (mm; x to the left, y to the back, z to the head)."""

    @property
    def box_mm(self) -> Box:
        """Lower and upper corner of a box around it, shape (3,) each."""

    def distance_mm(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distance to the surface in mm, negative inside; exact near the surface."""

    def scaled(self, factor: float) -> "Shape":
        """Return the shape of a body ``factor`` times as large."""

    def moved(self, by_mm: ArrayLike) -> "Shape":
        """Return the shape ``by_mm`` (x, y, z) further on."""


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoid:
    """An ellipsoid; ``body_from_own`` (3x3) turns its own axes into the body's."""

    centre_mm: NDArray[np.float64]
    semi_axes_mm: NDArray[np.float64]
    body_from_own: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    @property
    def box_mm(self) -> Box:
        """Lower and upper corner of the tightest box around it, shape (3,) each."""
        half = np.linalg.norm(self.body_from_own * self.semi_axes_mm, axis=1)
        return self.centre_mm - half, self.centre_mm + half

    def distance_mm(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distance to the surface in mm, negative inside (first order: exact near the surface)."""
        # f / |grad f| with f = k (k - 1), k the radius in units of the surface's: right to first order, which is
        # all that a soft edge of one voxel needs; the exact distance to an ellipsoid has no closed form.
        offsets = (x - self.centre_mm[0], y - self.centre_mm[1], z - self.centre_mm[2])
        k_squared: Any = 0.0
        gradient_squared: Any = 0.0
        for axis, semi in zip(self.body_from_own.T, self.semi_axes_mm, strict=True):
            along = (offsets[0] * axis[0] + offsets[1] * axis[1] + offsets[2] * axis[2]) / semi
            square = along * along
            k_squared = k_squared + square
            gradient_squared = gradient_squared + square / (semi * semi)
        k = np.sqrt(k_squared)
        near_centre = k < 1e-6
        slope = np.sqrt(np.where(near_centre, 1.0, gradient_squared))
        return np.asarray(np.where(near_centre, -float(np.min(self.semi_axes_mm)), k * (k - 1.0) / slope))

    def scaled(self, factor: float) -> Self:
        """Return the shape of a body ``factor`` times as large."""
        return replace(self, centre_mm=self.centre_mm * factor, semi_axes_mm=self.semi_axes_mm * factor)

    def moved(self, by_mm: ArrayLike) -> Self:
        """Return the ellipsoid ``by_mm`` (x, y, z) further on."""
        return replace(self, centre_mm=self.centre_mm + np.asarray(by_mm))


@dataclass(frozen=True, slots=True, eq=False)
class Capsule:
    """All points within ``radius_mm`` of the line from ``start_mm`` to ``end_mm``."""

    start_mm: NDArray[np.float64]
    end_mm: NDArray[np.float64]
    radius_mm: float

    @property
    def box_mm(self) -> Box:
        """Lower and upper corner of the tightest box around it, shape (3,) each."""
        ends = np.stack([self.start_mm, self.end_mm])
        return ends.min(axis=0) - self.radius_mm, ends.max(axis=0) + self.radius_mm

    def distance_mm(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        """Return the exact distance to the surface in mm, negative inside."""
        axis = self.end_mm - self.start_mm
        dx, dy, dz = x - self.start_mm[0], y - self.start_mm[1], z - self.start_mm[2]
        along = (dx * axis[0] + dy * axis[1] + dz * axis[2]) / max(float(axis @ axis), 1e-12)
        along = np.clip(along, 0.0, 1.0)
        squared = (dx - along * axis[0]) ** 2 + (dy - along * axis[1]) ** 2 + (dz - along * axis[2]) ** 2
        return np.asarray(np.sqrt(squared) - self.radius_mm)

    def scaled(self, factor: float) -> Self:
        """Return the shape of a body ``factor`` times as large."""
        return replace(
            self, start_mm=self.start_mm * factor, end_mm=self.end_mm * factor, radius_mm=self.radius_mm * factor
        )

    def moved(self, by_mm: ArrayLike) -> Self:
        """Return the rod ``by_mm`` (x, y, z) further on."""
        by = np.asarray(by_mm)
        return replace(self, start_mm=self.start_mm + by, end_mm=self.end_mm + by)


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """The union of ``parts``, less everything inside ``without``."""

    parts: tuple[Shape, ...]
    without: tuple[Shape, ...] = ()

    @property
    def box_mm(self) -> Box:
        """Lower and upper corner of a box around all parts, shape (3,) each."""
        boxes = [part.box_mm for part in self.parts]
        return np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0)

    def scaled(self, factor: float) -> Self:
        """Return the solid of a body ``factor`` times as large."""
        parts = tuple(part.scaled(factor) for part in self.parts)
        return replace(self, parts=parts, without=tuple(part.scaled(factor) for part in self.without))

    def moved(self, by_mm: ArrayLike) -> Self:
        """Return the solid ``by_mm`` (x, y, z) further on."""
        parts = tuple(part.moved(by_mm) for part in self.parts)
        return replace(self, parts=parts, without=tuple(part.moved(by_mm) for part in self.without))


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """A solid as the anatomical scanner sees it: ``brightness`` in HU for CT, in a.u. for MR."""

    solid: Solid
    brightness: float


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """A body.

    Attributes
    ----------
    tissues
        What the anatomical scan shows, painted in this order; where two overlap the later one is seen.
    organs
        What is measured; no two of them overlap.
    markers_mm
        Centres of the fiducials in body coordinates, shape (markers, 3). They ride on the animal's holder and so
        move with the animal.
    marker_radius_mm, marker_brightness
        Their radius, and how the anatomical scanner shows them.
    air
        What the anatomical scanner shows where there is nothing.
    """

    tissues: tuple[Tissue, ...]
    organs: Mapping[str, Solid]
    markers_mm: NDArray[np.float64]
    marker_radius_mm: float
    marker_brightness: float
    air: float

    @property
    def markers(self) -> tuple[Solid, ...]:
        """The fiducials as solids, one each."""
        radii = np.full(3, self.marker_radius_mm)
        return tuple(Solid((Ellipsoid(centre, radii),)) for centre in self.markers_mm)

    def scaled(self, factor: float) -> Self:
        """Return an animal ``factor`` times as large; its markers keep their place and size."""
        return replace(
            self,
            tissues=tuple(Tissue(tissue.solid.scaled(factor), tissue.brightness) for tissue in self.tissues),
            organs={name: organ.scaled(factor) for name, organ in self.organs.items()},
        )


def ellipsoid(centre_mm: ArrayLike, semi_axes_mm: ArrayLike, turn_deg: ArrayLike = (0.0, 0.0, 0.0)) -> Ellipsoid:
    """Return an ellipsoid turned about x, then y, then z by ``turn_deg``."""
    return Ellipsoid(frozen(centre_mm, float), frozen(semi_axes_mm, float), frozen(rotation(turn_deg)))


def capsule(start_mm: ArrayLike, end_mm: ArrayLike, radius_mm: float) -> Capsule:
    """Return a rod with round ends."""
    return Capsule(frozen(start_mm, float), frozen(end_mm, float), radius_mm)


def chain(points_mm: ArrayLike, radius_mm: float) -> tuple[Capsule, ...]:
    """Return rods from point to point, shape (n, 3)."""
    points = np.asarray(points_mm, dtype=float)
    return tuple(capsule(start, end, radius_mm) for start, end in pairwise(points))


def rotation(turn_deg: ArrayLike) -> NDArray[np.float64]:
    """Return the 3x3 rotation about x, then y, then z, by these degrees."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def inverse(target_from_source: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 4x4 map back."""
    return np.asarray(np.linalg.inv(target_from_source), dtype=np.float64)


def index_box(box: Box, index_from_body: NDArray[np.float64], margin: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return first and one-past-last index, shape (3,) each, of the voxels that a box in body mm can touch.

    ``margin`` is in voxels. Indices may lie outside the scan: they are not clipped.
    """
    low, high = box
    corners = np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    index = corners @ index_from_body[:3, :3].T + index_from_body[:3, 3]
    first = np.floor(index.min(axis=0) - margin).astype(int)
    return first, np.ceil(index.max(axis=0) + margin).astype(int) + 1


def occupied(
    solid: Solid, body_from_index: NDArray[np.float64], first: NDArray[Any], last: NDArray[Any]
) -> NDArray[np.float64]:
    """Return what part of every voxel lies inside ``solid``, for voxels ``first`` up to, not including, ``last``.

    Parameters
    ----------
    solid
        A solid in body coordinates.
    body_from_index
        4x4 map from index (plane, row, column) to body mm.
    first, last
        Index range, shape (3,) each.

    Returns
    -------
    occupancy
        0 to 1, dimensionless, shape ``last - first``. The edge is a ramp one voxel wide across the surface, which
        is exact for a plane face seen square on.
    """
    edge_mm = float(np.cbrt(abs(np.linalg.det(body_from_index[:3, :3]))))
    index_from_body = inverse(body_from_index)
    inside = np.zeros(tuple(int(n) for n in np.maximum(last - first, 0)))
    for part in solid.parts:
        for where, occupancy in _part(part, body_from_index, index_from_body, first, last, edge_mm):
            np.maximum(inside[where], occupancy, out=inside[where])
    for part in solid.without:
        for where, occupancy in _part(part, body_from_index, index_from_body, first, last, edge_mm):
            np.minimum(inside[where], 1.0 - occupancy, out=inside[where])
    return inside


def _part(
    part: Shape,
    body_from_index: NDArray[np.float64],
    index_from_body: NDArray[np.float64],
    first: NDArray[Any],
    last: NDArray[Any],
    edge_mm: float,
) -> list[tuple[tuple[slice, ...], NDArray[np.float64]]]:
    """Return where one shape lies within the range and its occupancy there; nothing if it lies elsewhere."""
    start, stop = index_box(part.box_mm, index_from_body, margin=1.0)
    start, stop = np.maximum(start, first), np.minimum(stop, last)
    if np.any(stop <= start):
        return []
    distance = part.distance_mm(*_body_coordinates(body_from_index, start, stop))
    where = tuple(slice(int(a), int(b)) for a, b in zip(start - first, stop - first, strict=True))
    return [(where, np.clip(0.5 - distance / edge_mm, 0.0, 1.0))]


def _body_coordinates(body_from_index: NDArray[np.float64], start: NDArray[Any], stop: NDArray[Any]) -> Coordinates:
    planes, rows, columns = (np.arange(a, b, dtype=float) for a, b in zip(start, stop, strict=True))
    x, y, z = (
        (matrix_row[0] * planes)[:, None, None]
        + (matrix_row[1] * rows)[None, :, None]
        + (matrix_row[2] * columns + matrix_row[3])[None, None, :]
        for matrix_row in body_from_index[:3]
    )
    return x, y, z
