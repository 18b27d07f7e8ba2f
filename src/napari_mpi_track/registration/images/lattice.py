"""Control points along the axes of a grid of voxels: displacements of all voxels at once, and how bent they are."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_mpi_track.imaging.deformation import Deformation, spline_weights
from napari_mpi_track.imaging.grid import Grid

Coefficients = NDArray[np.float64]
# Rings of control points over which a displacement fades to nothing beyond the box it was found in.
_FADING_RINGS = 6
_PAIRS = ((2, 0, 0, 1.0), (0, 2, 0, 1.0), (0, 0, 2, 1.0), (1, 1, 0, 2.0), (1, 0, 1, 2.0), (0, 1, 1, 2.0))


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Control points that cover a box, their axes those of the box's grid.

    Coefficients are arrays of shape (planes, rows, columns, 3), LPS mm: of ``Deformation`` with the vectors last.
    """

    control: Grid

    @classmethod
    def over(cls, grid: Grid, step_mm: float) -> Self:
        """Return control points about ``step_mm`` apart, whose displacements cover all voxels of ``grid``."""
        extent = np.asarray(grid.shape) * grid.spacing_mm
        cells = np.maximum(np.ceil(extent / step_mm - 1e-9).astype(int), 1)
        matrix = grid.lps_from_index.copy()
        matrix[:3, :3] = grid.directions * (extent / cells)
        # The first covered place is the outer face of the first voxel; one control point lies before it.
        matrix[:3, 3] = grid.lps_from(np.full(3, -0.5)) - matrix[:3, :3].sum(axis=1)
        planes, rows, columns = (int(n) + 3 for n in cells)
        return cls(Grid((planes, rows, columns), matrix))

    def zeros(self) -> Coefficients:
        """Return the coefficients that displace nothing."""
        return np.zeros((*self.control.shape, 3))

    def halved(self, coefficients: Coefficients) -> tuple[Self, Coefficients]:
        """Return control points half as far apart, and the coefficients of the very same displacement."""
        shape = tuple(2 * (n - 3) + 3 for n in self.control.shape)
        matrix = self.control.lps_from_index.copy()
        matrix[:3, :3] /= 2
        matrix[:3, 3] = self.control.lps_from(np.full(3, 0.5))
        finer = type(self)(Grid((shape[0], shape[1], shape[2]), matrix))
        return finer, _along_axes([_halving(n) for n in self.control.shape], coefficients)

    def deformation(self, coefficients: Coefficients) -> Deformation:
        """Return the displacement, fading to nothing beyond the covered box."""
        rings = _FADING_RINGS
        padded = np.pad(coefficients, [(rings, rings)] * 3 + [(0, 0)], mode="edge")
        fade = (1 + np.cos(np.pi * np.arange(1, rings + 1) / (rings - 2))) / 2
        # The last three rings are zero: the displacement is, too, where the lattice ends.
        fade[rings - 3 :] = 0
        for axis in range(3):
            profile = np.ones(padded.shape[axis])
            profile[-rings:], profile[:rings] = fade, fade[::-1]
            padded = padded * profile.reshape([-1 if a == axis else 1 for a in range(4)])
        matrix = self.control.lps_from_index.copy()
        matrix[:3, 3] = self.control.lps_from(np.full(3, -float(rings)))
        planes, rows, columns, _ = padded.shape
        return Deformation(Grid((planes, rows, columns), matrix), np.moveaxis(padded, -1, 0))

    def bending(self) -> "Bending":
        """Return the measure of how bent a displacement is over the covered box."""
        axes = zip(self.control.shape, self.control.spacing_mm, strict=True)
        return Bending(tuple(_grams(count, float(step)) for count, step in axes))


@dataclass(frozen=True, slots=True, eq=False)
class Bases:
    """How control points move the voxels of a grid whose axes are theirs: one sparse matrix for each axis.

    ``value`` and ``slope`` (per step of the lattice) have shape (voxels along the axis, control points along it).
    """

    value: tuple[Any, ...]
    slope: tuple[Any, ...]

    @classmethod
    def of(cls, control: Grid, grid: Grid) -> Self:
        """Return the bases of ``control`` at the voxel centres of ``grid``."""
        index_from_index = control.index_from_lps @ grid.lps_from_index
        value, slope = [], []
        for axis in range(3):
            places = index_from_index[axis, 3] + index_from_index[axis, axis] * np.arange(grid.shape[axis])
            matrices = _basis(places, control.shape[axis])
            value.append(matrices[0])
            slope.append(matrices[1])
        return cls(tuple(value), tuple(slope))

    @staticmethod
    def fit(control: Grid, grid: Grid) -> bool:
        """Return whether the axes of ``control`` are those of ``grid``."""
        turn = (control.index_from_lps @ grid.lps_from_index)[:3, :3]
        return bool(np.abs(turn - np.diag(np.diag(turn))).max() < 1e-9)

    def displaced(self, coefficients: Coefficients) -> NDArray[np.float32]:
        """Return the displacement of every voxel, shape (planes, rows, columns, 3), LPS mm."""
        return _along_axes(self.value, coefficients.astype(np.float32))

    def gathered(self, pull: NDArray[np.float32]) -> Coefficients:
        """Return what a pull on every voxel, (planes, rows, columns, 3), is on every coefficient: the adjoint."""
        return _along_axes([matrix.T.tocsr() for matrix in self.value], pull).astype(np.float64)

    def slopes(self, coefficients: Coefficients) -> NDArray[np.float32]:
        """Return d u_i / d (index of the lattice)_j of every voxel, shape (planes, rows, columns, 3, 3)."""
        single = coefficients.astype(np.float32)
        by_axis = [
            _along_axes([(self.slope if axis == k else self.value)[axis] for axis in range(3)], single)
            for k in range(3)
        ]
        return np.stack(by_axis, axis=-1)


@dataclass(frozen=True, slots=True, eq=False)
class Bending:
    """The mean square second derivative of a displacement over a box, mm^-2 (thin-plate energy)."""

    grams: tuple[tuple[Any, Any, Any], ...]

    def pull(self, coefficients: Coefficients) -> Coefficients:
        """Return half the derivative of the energy by every coefficient; the energy is its product with them."""
        total = np.zeros_like(coefficients)
        for *orders, weight in _PAIRS:
            grams = [self.grams[axis][int(order)] for axis, order in enumerate(orders)]
            total += weight * _along_axes(grams, coefficients)
        return total


def _along_axes(matrices: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Return ``values`` with one matrix applied along each of its first three axes."""
    for matrix in matrices:
        # The axis in front is worked on, then goes behind the other two.
        first, second, third, parts = values.shape
        worked = (matrix @ values.reshape(first, -1)).reshape(matrix.shape[0], second, third, parts)
        values = np.ascontiguousarray(np.moveaxis(worked, 0, 2))
    return values


def _basis(places: NDArray[np.float64], count: int) -> tuple[Any, Any]:
    """Return the values and slopes of ``count`` splines at places (index of the lattice), sparse, (n, count)."""
    start = np.clip(np.floor(places).astype(np.intp), 1, count - 3)
    value, slope = spline_weights(places - start)
    rows = np.repeat(np.arange(len(places)), 4)
    columns = (start[:, None] + np.arange(-1, 3)).ravel()
    shape = (len(places), count)
    outside = np.repeat((places < 1 - 1e-9) | (places > count - 2 + 1e-9), 4)
    found = [
        sparse.csr_matrix((np.where(outside, 0, weights.ravel()).astype(np.float32), (rows, columns)), shape)
        for weights in (value, slope)
    ]
    return found[0], found[1]


def _halving(count: int) -> Any:
    """Return the matrix that gives the coefficients of a lattice with half the step."""
    matrix = np.zeros((2 * (count - 3) + 3, count))
    for fine in range(len(matrix)):
        # Fine control point 1 lies on coarse control point 1.
        whole, between = divmod(fine + 1, 2)
        if between:
            matrix[fine, whole : whole + 2] = 0.5
        else:
            matrix[fine, whole - 1 : whole + 2] = (0.125, 0.75, 0.125)
    return sparse.csr_matrix(matrix)


def _grams(count: int, step_mm: float) -> tuple[Any, Any, Any]:
    """Return the mean products of splines, of their first and of their second derivatives over the covered part."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    past, weights = (nodes + 1) / 2, weights / 2 / (count - 3)
    value, slope = spline_weights(past)
    curve = np.stack([1 - past, 3 * past - 2, 1 - 3 * past, past], axis=-1)
    grams = []
    for order, splines in enumerate((value, slope, curve)):
        cell = (splines * weights[:, None]).T @ splines / step_mm ** (2 * order)
        gram = np.zeros((count, count))
        for first in range(count - 3):
            gram[first : first + 4, first : first + 4] += cell
        grams.append(sparse.csr_matrix(gram))
    return grams[0], grams[1], grams[2]
