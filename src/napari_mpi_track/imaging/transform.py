"""Maps between physical frames."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_mpi_track.errors import AlignmentError, FrameMismatchError
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid

# A way back that has been followed to this distance has arrived.
_ARRIVED_MM = 1e-6
_MOST_STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """A map of LPS mm points from one frame to another; called by both ends, ``target_from_source``.

    Attributes
    ----------
    target_from_source
        4x4 matrix, LPS mm to LPS mm, invertible.
    source_frame, target_frame
        The frames it joins; ``None`` where the scans name none.
    deformation
        A displacement u in the source frame, done before the matrix: x goes to M (x + u(x)). ``None`` for an affine.
    """

    target_from_source: NDArray[np.float64]
    source_frame: str | None = None
    target_frame: str | None = None
    deformation: Deformation | None = None

    def __post_init__(self) -> None:
        matrix = np.asarray(self.target_from_source, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)):
            raise AlignmentError("a transform needs a finite 4x4 matrix")
        if not np.array_equal(matrix[3], [0, 0, 0, 1]) or abs(np.linalg.det(matrix)) < 1e-12:
            raise AlignmentError("a transform needs an invertible affine matrix")
        object.__setattr__(self, "target_from_source", frozen(matrix))

    __getstate__ = get_state
    __setstate__ = set_state

    @classmethod
    def identity(cls, source_frame: str | None = None, target_frame: str | None = None) -> Self:
        """Return the map that moves nothing: the user's word that two frames are one."""
        return cls(np.eye(4), source_frame, target_frame)

    @classmethod
    def from_parts(
        cls,
        linear: ArrayLike,
        translation_mm: ArrayLike,
        source_frame: str | None = None,
        target_frame: str | None = None,
    ) -> Self:
        """Return x -> linear @ x + translation; ``linear`` 3x3, ``translation_mm`` shape (3,)."""
        matrix = np.eye(4)
        matrix[:3, :3] = linear
        matrix[:3, 3] = translation_mm
        return cls(matrix, source_frame, target_frame)

    def map(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return the points, LPS mm, shape (..., 3), in the target frame."""
        points = np.asarray(points_mm, dtype=np.float64)
        if self.deformation is not None:
            points = points + self.deformation.displacement(points)
        return np.asarray(points @ self.target_from_source[:3, :3].T + self.target_from_source[:3, 3])

    def map_back(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return where points of the target frame, LPS mm, shape (..., 3), come from in the source frame.

        Raises
        ------
        AlignmentError
            If no way back is found for a point of a deformed map: it folds there, or leaps at its lattice's edge.
        """
        found, is_found = self.search_back(points_mm)
        if not is_found.all():
            lost = np.asarray(points_mm, dtype=np.float64)[~is_found]
            raise AlignmentError(
                f"{len(lost)} of {is_found.size} points have no way back through this deformation, "
                f"the first at ({', '.join(f'{x:.2f}' for x in lost[0])}) mm",
                remedy="check its Jacobian map: a deformation that folds cannot be undone",
            )
        return found

    def search_back(self, points_mm: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return where points of the target frame come from, shape (..., 3), and where that is known, shape (...).

        Exact for an affine; by Newton's method, to 1e-6 mm, for a deformed map.
        """
        matrix = np.linalg.inv(self.target_from_source)
        points = np.asarray(points_mm, dtype=np.float64)
        undeformed = np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])
        if self.deformation is None:
            return undeformed, np.ones(undeformed.shape[:-1], dtype=bool)
        found, is_found = _undone(self.deformation, undeformed.reshape(-1, 3))
        return found.reshape(undeformed.shape), is_found.reshape(undeformed.shape[:-1])

    def jacobian(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return d target_i / d source_j at points of the source frame (LPS mm, (..., 3)), shape (..., 3, 3)."""
        linear = self.target_from_source[:3, :3]
        points = np.asarray(points_mm, dtype=np.float64)
        if self.deformation is None:
            return np.broadcast_to(linear, (*points.shape, 3)).copy()
        return np.asarray(linear @ (np.eye(3) + self.deformation.gradient(points)))

    def volume_change(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return the Jacobian determinant at points of the source frame, dimensionless, shape (...).

        1 keeps volumes, 0.5 halves them on the way to the target; 0 or less is a fold (or a mirror).
        """
        return np.asarray(np.linalg.det(self.jacobian(points_mm)))

    def __matmul__(self, first: "Transform") -> "Transform":
        """Return the map that does ``first``, then this one: C_from_B @ B_from_A = C_from_A.

        Raises
        ------
        FrameMismatchError
            If they do not meet in one named frame.
        AlignmentError
            If both are deformed: a lattice cannot hold two deformations exactly.
        """
        if self.source_frame is None or self.source_frame != first.target_frame:
            raise FrameMismatchError(
                f"cannot chain a transform into '{first.target_frame}' with one from '{self.source_frame}'",
                remedy="name the frames with between(source_frame, target_frame)",
            )
        return replace(self.preceded_by(first), source_frame=first.source_frame)

    def preceded_by(self, first: "Transform") -> "Transform":
        """Return the map that does ``first``, then this one, whatever frames ``first`` joins: this one's are kept.

        Raises
        ------
        AlignmentError
            If both are deformed.
        """
        if self.deformation is not None and first.deformation is not None:
            raise AlignmentError(
                "two deformed transforms cannot be chained into one",
                remedy="keep one of the two steps rigid or affine, or align the outer scans directly",
            )
        matrix = np.asarray(self.target_from_source @ first.target_from_source)
        matrix[3] = [0, 0, 0, 1]
        carried = None if self.deformation is None else self.deformation.seen_from(first.target_from_source)
        return replace(self, target_from_source=matrix, deformation=carried or first.deformation)

    def inverse(self) -> "Transform":
        """Return the map back.

        Raises
        ------
        AlignmentError
            If the map is deformed: a B-spline has no analytic inverse.
        """
        if self.deformation is not None:
            raise AlignmentError(
                "a deformed transform has no exact inverse",
                remedy="map points back with map_back, or align the scans the other way round",
            )
        matrix = np.asarray(np.linalg.inv(self.target_from_source), dtype=np.float64)
        matrix[3] = [0, 0, 0, 1]
        return Transform(matrix, self.target_frame, self.source_frame)

    def inverse_for_looking(self) -> "Transform":
        """Return the map back: exact for an affine, for a deformed map one as smooth, for pictures.

        A lattice three times as fine holds the way back of its control points: a hundredth of a millimetre from
        ``map_back`` where volumes change by half. Measure with that one.
        """
        if self.deformation is None:
            return self.inverse()
        fine = _three_times_finer(self.deformation.grid)
        nodes = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in fine.shape], indexing="ij"), axis=-1)
        # The outermost nodes lie beyond the lattice's edge, where nothing is displaced: they take what the edge has.
        places = fine.lps_from(np.clip(nodes, 1, np.asarray(fine.shape) - 2.0)).reshape(-1, 3)
        back, is_found = _undone(self.deformation, places)
        moves = np.where(is_found[:, None], back - places, -self.deformation.displacement(places))
        values = np.moveaxis(moves.reshape(*fine.shape, 3), -1, 0)
        coefficients = np.stack([ndimage.spline_filter(value, 3, mode="mirror") for value in values])
        undone = Transform(np.eye(4), deformation=Deformation(fine, coefficients))
        linear = Transform(self.target_from_source).inverse()
        return undone.preceded_by(linear).between(self.target_frame, self.source_frame)

    def between(self, source_frame: str | None, target_frame: str | None) -> Self:
        """Return the same map, said to join these frames."""
        return replace(self, source_frame=source_frame, target_frame=target_frame)

    @property
    def is_rigid(self) -> bool:
        """Whether it is a rotation and a translation (no scale, no mirror, no deformation), to 1e-6."""
        if self.deformation is not None:
            return False
        linear = self.target_from_source[:3, :3]
        return bool(np.allclose(linear.T @ linear, np.eye(3), atol=1e-6) and np.linalg.det(linear) > 0)

    def __repr__(self) -> str:
        kind = "Transform" if self.deformation is None else "Deformed transform"
        return f"{kind}('{self.source_frame}' -> '{self.target_frame}')"


def _three_times_finer(coarse: Grid) -> Grid:
    """Return the lattice over the same covered box, with a third of the step."""
    shape = tuple(3 * (n - 3) + 3 for n in coarse.shape)
    matrix = coarse.lps_from_index.copy()
    matrix[:3, :3] /= 3
    matrix[:3, 3] = coarse.lps_from(np.full(3, 2 / 3))
    return Grid((shape[0], shape[1], shape[2]), matrix)


def _undone(deformation: Deformation, moved: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return x with x + u(x) = ``moved``, shape (n, 3), and where it was found, shape (n,)."""
    found = moved - deformation.displacement(moved)
    off = found + deformation.displacement(found) - moved
    open_ = np.flatnonzero(np.abs(off).max(axis=1, initial=0.0) > _ARRIVED_MM)
    for _ in range(_MOST_STEPS):
        if not len(open_):
            break
        here, rest = found[open_], off[open_]
        step = _newton_step(deformation.gradient(here), rest)
        # A step that leads further away (a fold, the lattice's edge) is halved until it does not.
        length, before = np.ones(len(here)), np.linalg.norm(rest, axis=1)
        for _ in range(8):
            there = here - length[:, None] * step
            after = there + deformation.displacement(there) - moved[open_]
            is_worse = np.linalg.norm(after, axis=1) > before
            if not is_worse.any():
                break
            length[is_worse] /= 2
        found[open_], off[open_] = there, after
        open_ = open_[np.abs(after).max(axis=1) > _ARRIVED_MM]
    is_found = np.ones(len(moved), dtype=bool)
    is_found[open_] = False
    return found, is_found


def _newton_step(gradient: NDArray[np.float64], off: NDArray[np.float64]) -> NDArray[np.float64]:
    jacobian = np.eye(3) + gradient
    # Near a fold the plain step of the fixed-point iteration is taken instead.
    jacobian[np.abs(np.linalg.det(jacobian)) < 1e-3] = np.eye(3)
    return np.asarray(np.linalg.solve(jacobian, off[:, :, None])[:, :, 0])
