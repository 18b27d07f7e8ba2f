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
# Labels up to here are found by counting, others by sorting.
_MOST_COUNTED = 1 << 16


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
    warnings
        What is not sure about them, one sentence each: organs named without a voxel, halves counted as whole.
    """

    voxels: NDArray[Any]
    grid: Grid
    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)
    file: str | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        voxels = frozen(self.voxels)
        if voxels.shape != self.grid.shape:
            raise GridMismatchError(f"labels have shape {voxels.shape}, their grid {self.grid.shape}", file=self.file)
        if voxels.dtype.kind not in "biu":
            raise MeasurementError(
                f"labels must be integers, got {voxels.dtype}",
                file=self.file,
                remedy="give a file of labels, not the scan; or round them and save them as integers",
            )
        if voxels.dtype.kind == "i" and voxels.size and int(voxels.min()) < 0:
            raise MeasurementError(
                f"labels must not be negative, the lowest is {int(voxels.min())}",
                file=self.file,
                remedy="give every organ a number from 1, and 0 where there is none",
            )
        names = {value: str(self.names.get(value, value)) for value in values_in(voxels) if value}
        _require_one_label_a_name(names, self.file)
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


def values_in(voxels: NDArray[Any]) -> list[int]:
    """Return every value among whole numbers from 0, ascending; plane by plane, so that no copy is made."""
    highest = int(voxels.max(initial=0))
    if highest > _MOST_COUNTED:
        return sorted({int(value) for plane in voxels for value in np.unique(plane)})
    seen = np.zeros(highest + 1, dtype=np.int64)
    for plane in voxels:
        seen += np.bincount(plane.reshape(-1), minlength=seen.size)
    return [int(value) for value in np.flatnonzero(seen)]


def _require_one_label_a_name(names: Mapping[int, str], file: str | None) -> None:
    holder: dict[str, int] = {}
    for value, name in names.items():
        if name in holder:
            raise MeasurementError(
                f"labels {holder[name]} and {value} are both called '{name}': two labels share one name",
                file=file,
                remedy="give each its own name, such as 'left lung' and 'right lung', or one label to both",
            )
        holder[name] = value
