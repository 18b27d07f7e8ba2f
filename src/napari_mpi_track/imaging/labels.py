"""Organs as integer voxels, with their names and colours."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class OrganLabels:
    """Integer voxels on a grid: 0 is no organ, every other value one organ.

    Attributes
    ----------
    voxels
        Integers, shape (planes, rows, columns) as ``grid.shape``.
    grid
        Where the voxels lie.
    names
        Organ name by label value, for every value present; an organ without a name is called by its number.
    colours
        RGB in 0..1 by label value, where the file says.
    file
        Where it was read from.
    """

    voxels: NDArray[Any]
    grid: Grid
    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)
    file: str | None = None

    def __post_init__(self) -> None:
        voxels = frozen(self.voxels)
        if voxels.shape != self.grid.shape:
            raise GridMismatchError(f"labels have shape {voxels.shape}, their grid {self.grid.shape}", file=self.file)
        if voxels.dtype.kind not in "biu":
            raise MeasurementError(f"labels must be integers, got {voxels.dtype}", file=self.file)
        if voxels.dtype.kind == "i" and voxels.size and int(voxels.min()) < 0:
            raise MeasurementError("labels must not be negative", file=self.file)
        present = [int(value) for value in np.unique(voxels) if value]
        names = {value: str(self.names.get(value, value)) for value in present}
        if len(set(names.values())) < len(names):
            raise MeasurementError(f"two labels share one name in {sorted(names.values())}", file=self.file)
        object.__setattr__(self, "voxels", voxels)
        object.__setattr__(self, "names", MappingProxyType(names))
        object.__setattr__(self, "colours", MappingProxyType(dict(self.colours)))

    __getstate__ = get_state
    __setstate__ = set_state

    def renamed(self, names: Mapping[int, str]) -> Self:
        """Return the same labels with organs called by ``names`` (label value -> name)."""
        return replace(self, names=dict(names))

    def in_frame(self, frame: str | None) -> Self:
        """Return the same labels, their grid said to lie in ``frame``; voxels are shared."""
        return replace(self, grid=self.grid.in_frame(frame))

    def mask(self, organ: str) -> NDArray[np.bool_]:
        """Return where ``organ`` lies, shape as ``grid.shape``; ``MeasurementError`` if there is no such organ."""
        for value, name in self.names.items():
            if name == organ:
                return np.asarray(self.voxels == value)
        raise MeasurementError(f"there is no organ '{organ}' among {sorted(self.names.values())}", file=self.file)

    def __repr__(self) -> str:
        return f"OrganLabels({sorted(self.names.values())}, {self.grid!r})"
