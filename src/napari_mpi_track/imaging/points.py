"""Named points in the world: fiducials and landmarks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import TableError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Named points, LPS mm.

    Attributes
    ----------
    names
        One name a point, all different.
    positions_mm
        LPS x, y, z in mm, shape (number of points, 3), finite.
    frame
        Physical frame, ``None`` if unknown.
    """

    names: Sequence[str]
    positions_mm: NDArray[np.float64]
    frame: str | None = None

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in self.names)
        positions = np.asarray(self.positions_mm, dtype=np.float64).reshape(-1, 3)
        if len(names) != len(positions):
            raise TableError(f"{len(names)} names for {len(positions)} points")
        if len(set(names)) < len(names):
            raise TableError(f"point names must differ, got {sorted(names)}")
        lost = [name for name, place in zip(names, positions, strict=True) if not np.all(np.isfinite(place))]
        if lost:
            raise TableError(
                f"points must have finite coordinates, got none for {', '.join(repr(name) for name in lost)}",
                remedy="place these points, or leave them out",
            )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "positions_mm", frozen(positions))

    __getstate__ = get_state
    __setstate__ = set_state

    def __len__(self) -> int:
        return len(self.names)

    def in_frame(self, frame: str | None) -> Self:
        """Return the same points, said to lie in ``frame``."""
        return replace(self, frame=frame)
