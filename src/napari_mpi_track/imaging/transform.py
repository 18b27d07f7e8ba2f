"""Maps between physical frames."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import AlignmentError, FrameMismatchError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """An affine map of LPS mm points from one frame to another; called by both ends, ``target_from_source``.

    Attributes
    ----------
    target_from_source
        4x4 matrix, LPS mm to LPS mm, invertible.
    source_frame, target_frame
        The frames it joins; ``None`` where the scans name none.
    """

    target_from_source: NDArray[np.float64]
    source_frame: str | None = None
    target_frame: str | None = None

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
        return np.asarray(points @ self.target_from_source[:3, :3].T + self.target_from_source[:3, 3])

    def __matmul__(self, first: "Transform") -> "Transform":
        """Return the map that does ``first``, then this one: C_from_B @ B_from_A = C_from_A."""
        if self.source_frame is None or self.source_frame != first.target_frame:
            raise FrameMismatchError(
                f"cannot chain a transform into '{first.target_frame}' with one from '{self.source_frame}'",
                remedy="name the frames with between(source_frame, target_frame)",
            )
        matrix = np.asarray(self.target_from_source @ first.target_from_source)
        matrix[3] = [0, 0, 0, 1]
        return Transform(matrix, first.source_frame, self.target_frame)

    def inverse(self) -> "Transform":
        """Return the map back."""
        matrix = np.asarray(np.linalg.inv(self.target_from_source), dtype=np.float64)
        matrix[3] = [0, 0, 0, 1]
        return Transform(matrix, self.target_frame, self.source_frame)

    def between(self, source_frame: str | None, target_frame: str | None) -> Self:
        """Return the same map, said to join these frames."""
        return replace(self, source_frame=source_frame, target_frame=target_frame)

    @property
    def is_rigid(self) -> bool:
        """Whether it is a rotation and a translation (no scale, no mirror), to 1e-6."""
        linear = self.target_from_source[:3, :3]
        return bool(np.allclose(linear.T @ linear, np.eye(3), atol=1e-6) and np.linalg.det(linear) > 0)

    def __repr__(self) -> str:
        return f"Transform('{self.source_frame}' -> '{self.target_frame}')"
