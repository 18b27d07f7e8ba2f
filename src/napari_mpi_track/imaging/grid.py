"""Where voxels lie: shape, place and physical frame of a scan."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import FrameMismatchError, GridMismatchError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A lattice of voxels in the world: LPS millimetres, voxel centres, indices (plane, row, column).

    Attributes
    ----------
    shape
        Number of planes, rows and columns.
    lps_from_index
        4x4 matrix from (plane, row, column, 1) to LPS millimetres (x to the patient's left, y to posterior,
        z to superior). It may be oblique, sheared or left-handed; never singular.
    frame
        Name of the physical frame (DICOM FrameOfReferenceUID, a scanner's session). ``None`` is unknown and
        equals nothing, itself included.
    """

    shape: tuple[int, int, int]
    lps_from_index: NDArray[np.float64]
    frame: str | None = None

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GridMismatchError(f"a grid needs three positive counts (planes, rows, columns), got {self.shape}")
        matrix = np.asarray(self.lps_from_index, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)):
            raise GridMismatchError("a grid needs a finite 4x4 matrix from index to LPS mm")
        if not np.array_equal(matrix[3], [0, 0, 0, 1]):
            raise GridMismatchError(f"the last row of a grid's matrix must be 0 0 0 1, got {matrix[3]}")
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if np.any(lengths == 0) or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
            raise GridMismatchError("the axes of a grid must be independent; two of them are parallel or zero")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "lps_from_index", frozen(matrix))

    __getstate__ = get_state
    __setstate__ = set_state

    @classmethod
    def from_spacing(
        cls,
        shape: tuple[int, int, int],
        spacing_mm: ArrayLike,
        origin_mm: ArrayLike = (0.0, 0.0, 0.0),
        frame: str | None = None,
    ) -> Self:
        """Return an axis-aligned grid: plane along z, row along y, column along x.

        ``spacing_mm`` is (plane, row, column); ``origin_mm`` the LPS centre (x, y, z) of the first voxel.
        """
        plane, row, column = np.broadcast_to(np.asarray(spacing_mm, dtype=float), 3)
        matrix = np.zeros((4, 4))
        matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 3] = plane, row, column, 1.0
        matrix[:3, 3] = np.asarray(origin_mm, dtype=float)
        return cls(shape, matrix, frame)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Distance between neighbouring voxel centres along plane, row and column, in mm."""
        return np.asarray(np.linalg.norm(self.lps_from_index[:3, :3], axis=0))

    @property
    def directions(self) -> NDArray[np.float64]:
        """3x3, columns: unit vectors (LPS) along plane, row and column."""
        return np.asarray(self.lps_from_index[:3, :3] / self.spacing_mm)

    @property
    def origin_mm(self) -> NDArray[np.float64]:
        """LPS centre (x, y, z) of the first voxel, in mm."""
        return self.lps_from_index[:3, 3]

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """LPS centre (x, y, z) of the whole grid, in mm."""
        return self.lps_from((np.asarray(self.shape) - 1) / 2)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm3, exact for sheared grids too."""
        return float(abs(np.linalg.det(self.lps_from_index[:3, :3])))

    @property
    def pixel_area_mm2(self) -> float:
        """Area of one voxel within its plane (row x column) in mm2."""
        return float(np.linalg.norm(np.cross(self.lps_from_index[:3, 1], self.lps_from_index[:3, 2])))

    @property
    def index_from_lps(self) -> NDArray[np.float64]:
        """4x4 inverse of ``lps_from_index``."""
        return np.asarray(np.linalg.inv(self.lps_from_index))

    @property
    def is_orthogonal(self) -> bool:
        """Whether the three axes are perpendicular to within 1e-5 (no shear)."""
        return bool(np.allclose(self.directions.T @ self.directions, np.eye(3), atol=1e-5))

    def lps_from(self, index: ArrayLike) -> NDArray[np.float64]:
        """Return LPS mm, shape (..., 3), of indices (plane, row, column), shape (..., 3), fractions allowed."""
        points = np.asarray(index, dtype=np.float64)
        return np.asarray(points @ self.lps_from_index[:3, :3].T + self.lps_from_index[:3, 3])

    def index_from(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return fractional indices (plane, row, column), shape (..., 3), of LPS mm points, shape (..., 3)."""
        points = np.asarray(points_mm, dtype=np.float64)
        inverse = self.index_from_lps
        return np.asarray(points @ inverse[:3, :3].T + inverse[:3, 3])

    def contains(self, points_mm: ArrayLike) -> NDArray[np.bool_]:
        """Return whether LPS mm points, shape (..., 3), lie inside the voxels' outer faces; shape (...)."""
        index = self.index_from(points_mm)
        return np.asarray(np.all((index >= -0.5) & (index <= np.asarray(self.shape) - 0.5), axis=-1))

    def corners_mm(self) -> NDArray[np.float64]:
        """Return the eight outer corners of the grid (voxel faces, not centres), LPS mm, shape (8, 3)."""
        ends = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)], dtype=float)
        return self.lps_from(ends * np.asarray(self.shape) - 0.5)

    def farthest_corner_mm(self, other: "Grid") -> float:
        """Return how far apart the same corner of the two grids lies at most, in mm (shapes are not compared)."""
        return float(np.max(np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1)))

    def agrees_with(self, other: "Grid", tolerance_mm: float = 1e-3) -> bool:
        """Return whether both grids have one shape and no corner further apart than ``tolerance_mm``.

        Frames are not compared: two grids may agree in numbers and still lie in different frames.
        """
        return self.shape == other.shape and self.farthest_corner_mm(other) <= tolerance_mm

    def is_part_of(self, other: "Grid", tolerance_mm: float = 1e-2) -> bool:
        """Return whether this grid's voxels are voxels of ``other``: the whole of it or a cut-out, turned or not.

        Frames are not compared. No voxel centre may be off by more than ``tolerance_mm``, nor lie beyond ``other``.
        """
        index = other.index_from_lps @ self.lps_from_index
        ends = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * (np.asarray(self.shape) - 1)
        places = ends @ index[:3, :3].T + index[:3, 3]
        steps = np.rint(index[:3, :3])
        is_turn = np.array_equal(np.abs(steps).sum(axis=0), np.ones(3)) and abs(round(np.linalg.det(steps))) == 1
        nearest = ends @ steps.T + np.rint(index[:3, 3])
        off_mm = np.abs((places - nearest) * other.spacing_mm).max()
        is_inside = bool(np.all(nearest >= 0) and np.all(nearest <= np.asarray(other.shape) - 1))
        return bool(is_turn and off_mm <= tolerance_mm and is_inside)

    def in_frame(self, frame: str | None) -> Self:
        """Return the same grid, said to lie in ``frame``."""
        return replace(self, frame=frame)

    def __repr__(self) -> str:
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing_mm)
        return f"Grid(shape={self.shape}, spacing={spacing} mm, frame={self.frame!r})"


def require_same_frame(first: str | None, second: str | None, what: str) -> None:
    """Raise ``FrameMismatchError`` unless both frames are named and equal; ``what`` says what met what."""
    if first is not None and first == second:
        return
    raise FrameMismatchError(
        f"{what} lie in different physical frames ({_named(first)} and {_named(second)})",
        remedy="give the transform between them, or say that the frames are one (method 'frame')",
    )


def _named(frame: Any) -> str:
    return "unknown" if frame is None else f"'{frame}'"
