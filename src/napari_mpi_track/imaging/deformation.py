"""A smooth displacement of points, held by a lattice of control points."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid

# Points whose neighbourhoods of 4 x 4 x 4 control points are gathered at once: some 30 MB.
_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Deformation:
    """A cubic B-spline displacement, u(x) = sum over control points k of c_k B(i(x) - k): ITK's ``BSplineTransform``.

    Attributes
    ----------
    grid
        The control points; 4 or more along every axis. Its frame is that of the transform it belongs to.
    coefficients_mm
        LPS displacement of every control point, shape (3, planes, rows, columns), in mm.

    Notes
    -----
    Where a neighbourhood of 4 x 4 x 4 control points is not whole, nothing is displaced, as in ITK. Rueckert et al.
    1999, doi:10.1109/42.796284.
    """

    grid: Grid
    coefficients_mm: NDArray[np.float64]

    def __post_init__(self) -> None:
        coefficients = np.asarray(self.coefficients_mm, dtype=np.float64)
        if min(self.grid.shape) < 4:
            raise AlignmentError(f"a deformation needs 4 control points or more along each axis, got {self.grid.shape}")
        if coefficients.shape != (3, *self.grid.shape) or not np.all(np.isfinite(coefficients)):
            raise AlignmentError(
                f"a deformation needs finite coefficients of shape {(3, *self.grid.shape)}, got {coefficients.shape}"
            )
        # ITK cannot turn a lattice's axes round over numbers next to the smallest there are.
        matrix = self.grid.lps_from_index
        object.__setattr__(self, "grid", Grid(self.grid.shape, np.where(np.abs(matrix) < 1e-100, 0.0, matrix)))
        object.__setattr__(self, "coefficients_mm", frozen(coefficients))

    __getstate__ = get_state
    __setstate__ = set_state

    def covers(self, points_mm: ArrayLike) -> NDArray[np.bool_]:
        """Return whether points (LPS mm, shape (..., 3)) lie where the deformation displaces, shape (...)."""
        return self._covers(self.grid.index_from(points_mm))

    def displacement(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return the displacement at points (LPS mm, shape (..., 3)), LPS mm, shape (..., 3); 0 where not covered."""
        index = self.grid.index_from(points_mm)
        inside = self._covers(index)
        found = np.zeros(index.shape)
        # A point on the last face has its neighbourhood one step earlier.
        places = np.clip(index[inside], 1.0, np.nextafter(np.asarray(self.grid.shape) - 2.0, 0)).T
        for axis in range(3):
            found[inside, axis] = ndimage.map_coordinates(
                self.coefficients_mm[axis], places, order=3, mode="nearest", prefilter=False
            )
        return found

    def gradient(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return d u_i / d x_j at points (LPS mm, shape (..., 3)), dimensionless, shape (..., 3, 3)."""
        index = self.grid.index_from(points_mm)
        inside = self._covers(index)
        found = np.zeros((*index.shape, 3))
        places = index[inside]
        slopes = np.empty((len(places), 3, 3))
        for first in range(0, len(places), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            slopes[part] = self._slopes(places[part])
        found[inside] = slopes @ self.grid.index_from_lps[:3, :3]
        return found

    def seen_from(self, source_from_new: NDArray[np.float64]) -> Self:
        """Return v with A(x + v(x)) = A x + u(A x) for the affine A, 4x4: the lattice moved back, vectors turned."""
        new_from_source = np.linalg.inv(source_from_new)
        matrix = new_from_source @ self.grid.lps_from_index
        matrix[3] = [0, 0, 0, 1]
        turned = np.einsum("ij,jzyx->izyx", new_from_source[:3, :3], self.coefficients_mm)
        return type(self)(Grid(self.grid.shape, matrix), turned)

    def _covers(self, index: NDArray[np.float64]) -> NDArray[np.bool_]:
        # The rounding of an index must not decide about a point on the very face.
        last = np.asarray(self.grid.shape) - 2.0
        return np.asarray(np.all((index >= 1.0 - 1e-12) & (index <= last + 1e-12), axis=-1))

    def _slopes(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return d u_i / d index_j, shape (n, 3, 3), of covered points."""
        start = np.clip(np.floor(index).astype(np.intp), 1, np.asarray(self.grid.shape) - 3)
        value, slope = spline_weights(index - start)
        taps = np.arange(-1, 3)
        plane, row, column = (start[:, k, None] + taps for k in range(3))
        _, rows, columns = self.grid.shape
        flat = (plane[:, :, None, None] * rows + row[:, None, :, None]) * columns + column[:, None, None, :]
        vectors = self.coefficients_mm.reshape(3, -1).T[flat]
        by_column = np.stack([value[:, 2], slope[:, 2]], axis=1)
        rest = np.einsum("nabcv,nwc->nabwv", vectors, by_column)
        across = np.einsum("nabwv,nb->nawv", rest, value[:, 1])
        along = np.einsum("nabv,nb->nav", rest[:, :, :, 0], slope[:, 1])
        by_plane = np.einsum("nav,na->nv", across[:, :, 0], slope[:, 0])
        by_row = np.einsum("nav,na->nv", along, value[:, 0])
        return np.stack([by_plane, by_row, np.einsum("nav,na->nv", across[:, :, 1], value[:, 0])], axis=-1)


def spline_weights(past: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights of the four control points around places, and their slopes, shape (..., 4) each.

    ``past`` is how far, 0 to 1, a place lies beyond the second of the four, in steps of the lattice.
    """
    t = np.asarray(past, dtype=np.float64)
    s = 1.0 - t
    value = np.stack(
        [s**3, 4.0 - 6.0 * t**2 + 3.0 * t**3, 4.0 - 6.0 * s**2 + 3.0 * s**3, t**3],
        axis=-1,
    )
    slope = np.stack([-(s**2), -4.0 * t + 3.0 * t**2, 4.0 * s - 3.0 * s**2, t**2], axis=-1)
    return value / 6.0, slope / 2.0
