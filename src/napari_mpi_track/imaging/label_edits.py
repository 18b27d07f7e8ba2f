"""What was painted over organ labels, kept apart from the labels themselves.

Organs that are carried from another day move when the alignment is made again; what a reader corrected in this day's
anatomy must not. So a correction is kept as voxels of that anatomy's grid, laid over whatever organs arrive there.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import FrameMismatchError, GridMismatchError, MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import Colour, OrganLabels

ERASED = 0xFFFF
_ERASED_NAME = "erased"


@dataclass(frozen=True, slots=True, eq=False)
class LabelEdits:
    """Voxels that a reader gave another organ, or none.

    Attributes
    ----------
    grid
        The grid that was painted on.
    voxel
        Flat indices into an array of ``grid.shape`` (columns fastest), ascending, each once; int64, shape (n,).
    value
        The label each of them got; 0 where an organ was erased. Shape (n,), unsigned.
    names
        Organ name by label value, for every value but 0.
    colours
        RGB in 0..1 by label value, where known.
    """

    grid: Grid
    voxel: NDArray[np.int64]
    value: NDArray[Any]
    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)

    def __post_init__(self) -> None:
        voxel = np.asarray(self.voxel, dtype=np.int64)
        value = np.asarray(self.value)
        if voxel.ndim != 1 or voxel.shape != value.shape or value.dtype.kind not in "biu":
            raise MeasurementError(
                f"edits are one whole number a voxel, got {value.shape} {value.dtype} for {voxel.shape}"
            )
        order = np.argsort(voxel, kind="stable")
        voxel, value = voxel[order], value[order]
        if voxel.size and (voxel[0] < 0 or voxel[-1] >= np.prod(self.grid.shape) or np.any(np.diff(voxel) == 0)):
            raise GridMismatchError("every edited voxel must lie in the grid, and come once")
        if value.size and (int(value.min()) < 0 or np.any(value == ERASED)):
            raise MeasurementError(f"labels of edits must not be negative, nor {ERASED} (that is 'erased' in files)")
        present = [int(one) for one in np.unique(value) if one]
        names = {one: str(self.names.get(one, one)) for one in present}
        if len(set(names.values())) < len(names):
            raise MeasurementError(f"two labels of the edits share one name in {sorted(names.values())}")
        object.__setattr__(self, "voxel", frozen(voxel))
        object.__setattr__(self, "value", frozen(value.astype(np.min_scalar_type(max(present, default=0)))))
        object.__setattr__(self, "names", MappingProxyType(names))
        colours = {one: colour for one, colour in self.colours.items() if one in names}
        object.__setattr__(self, "colours", MappingProxyType(colours))

    __getstate__ = get_state
    __setstate__ = set_state

    @classmethod
    def between(cls, before: OrganLabels, after: OrganLabels) -> Self:
        """Return what was painted to make ``after`` of ``before``: labels of one grid, values of one meaning.

        Raises
        ------
        GridMismatchError
            If the two lie on different grids.
        MeasurementError
            If a value is called differently in the two: then it was renamed, not painted.
        """
        _require_one_grid(before.grid, after.grid)
        renamed = [v for v in before.names.keys() & after.names.keys() if before.names[v] != after.names[v]]
        if renamed:
            raise MeasurementError(
                f"label {renamed[0]} is '{before.names[renamed[0]]}' before and '{after.names[renamed[0]]}' after",
                remedy="rename the organs in both, then take the edits",
            )
        flat = after.voxels.reshape(-1)
        voxel = np.flatnonzero(before.voxels.reshape(-1) != flat)
        return cls(after.grid, voxel, flat[voxel], after.names, after.colours)

    @classmethod
    def from_labels(cls, labels: OrganLabels) -> Self:
        """Return the edits that :meth:`as_labels` made labels of: 0 is untouched, 65535 (or 'erased') erased."""
        flat = labels.voxels.reshape(-1)
        voxel = np.flatnonzero(flat)
        value = flat[voxel].astype(np.uint32)
        erased = [v for v, name in labels.names.items() if v == ERASED or name == _ERASED_NAME]
        value[np.isin(value, erased)] = 0
        return cls(labels.grid, voxel, value, labels.names, labels.colours)

    def as_labels(self) -> OrganLabels:
        """Return the edits as labels for a file: 0 where nothing was touched, 65535 named 'erased' where erased."""
        value = self.value.astype(np.uint32)
        value[value == 0] = ERASED
        voxels = np.zeros(self.grid.shape, dtype=np.min_scalar_type(int(value.max(initial=1))))
        voxels.reshape(-1)[self.voxel] = value
        voxels.flags.writeable = False
        return OrganLabels(voxels, self.grid, {**self.names, ERASED: _ERASED_NAME}, self.colours)

    def applied_to(self, labels: OrganLabels, locked: Collection[str] = ()) -> OrganLabels:
        """Return ``labels`` with the edits over them; organs meet by their names.

        An organ without a name is the one of its number. One that is new here keeps its value where that is free, and
        else gets the next one. Locked organs lose no voxel and gain none: :meth:`kept_out` tells how many were asked
        for.

        Raises
        ------
        GridMismatchError, FrameMismatchError
            If the labels lie on another grid or in another frame than was painted on.
        """
        _require_one_grid(self.grid, labels.grid)
        values = self._values_among(labels)
        target = _looked_up(self.value, values)
        free = ~self._is_locked(labels, target, values, locked)
        voxel, target = self.voxel[free], target[free]
        highest = max([*labels.names, *(int(v) for v in np.unique(target)), 1])
        voxels = labels.voxels.astype(np.result_type(np.min_scalar_type(highest), _unsigned(labels.voxels)))
        voxels.reshape(-1)[voxel] = target
        voxels.flags.writeable = False
        names = {**{values[v]: name for v, name in self.names.items()}, **labels.names}
        colours = {**{values[v]: colour for v, colour in self.colours.items()}, **labels.colours}
        return replace(labels, voxels=voxels, names=names, colours=colours)

    def kept_out(self, labels: OrganLabels, locked: Collection[str]) -> int:
        """Return how many edited voxels :meth:`applied_to` leaves alone, since they are or would become locked."""
        values = self._values_among(labels)
        return int(np.count_nonzero(self._is_locked(labels, _looked_up(self.value, values), values, locked)))

    def then(self, later: "LabelEdits") -> Self:
        """Return these edits with ``later`` ones of the same grid over them, as one.

        Raises
        ------
        GridMismatchError, FrameMismatchError
            If they were painted on another grid.
        """
        _require_one_grid(self.grid, later.grid)
        taken = {name: value for value, name in self.names.items()}
        values = _given_values(later.names, taken, set(self.names))
        stays = ~np.isin(self.voxel, later.voxel)
        return replace(
            self,
            voxel=np.concatenate([self.voxel[stays], later.voxel]),
            value=np.concatenate([self.value[stays].astype(np.uint32), _looked_up(later.value, values)]).astype(
                np.uint32
            ),
            names={**{values[v]: name for v, name in later.names.items()}, **self.names},
            colours={**{values[v]: colour for v, colour in later.colours.items()}, **self.colours},
        )

    def in_frame(self, frame: str | None) -> Self:
        """Return the same edits, their grid said to lie in ``frame``."""
        return replace(self, grid=self.grid.in_frame(frame))

    def _values_among(self, labels: OrganLabels) -> dict[int, int]:
        """Return the value in ``labels`` of every label of the edits."""
        return _given_values(self.names, {name: value for value, name in labels.names.items()}, set(labels.names))

    def _is_locked(
        self, labels: OrganLabels, target: NDArray[Any], values: Mapping[int, int], locked: Collection[str]
    ) -> NDArray[np.bool_]:
        shut = [value for value, name in labels.names.items() if name in locked]
        shut += [values[value] for value, name in self.names.items() if name in locked]
        now = labels.voxels.reshape(-1)[self.voxel]
        return np.asarray(np.isin(now, shut) | np.isin(target, shut))

    def __repr__(self) -> str:
        return f"LabelEdits({self.voxel.size} voxels, {sorted(self.names.values())}, {self.grid!r})"


def _given_values(names: Mapping[int, str], taken: Mapping[str, int], used: set[int]) -> dict[int, int]:
    """Return the value of each label where organs of ``taken`` (name -> value) have theirs and ``used`` are gone."""
    used = set(used)
    values: dict[int, int] = {0: 0}
    for value, name in names.items():
        is_nameless = name == str(value)
        if name in taken or is_nameless or value not in used:
            values[value] = taken.get(name, value)
        else:
            values[value] = max(used | set(names)) + 1
        used.add(values[value])
    return values


def _looked_up(value: NDArray[Any], values: Mapping[int, int]) -> NDArray[np.uint32]:
    unique, place = np.unique(value, return_inverse=True)
    here = np.array([values[int(one)] for one in unique], dtype=np.uint32)
    return here[place] if unique.size else value.astype(np.uint32)


def _unsigned(voxels: NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint8) if voxels.dtype == np.bool_ else np.dtype(f"u{voxels.dtype.itemsize}")


def _require_one_grid(painted: Grid, other: Grid) -> None:
    if painted.frame is not None and other.frame is not None and painted.frame != other.frame:
        raise FrameMismatchError(
            f"edits painted in '{painted.frame}' meet organs in '{other.frame}'",
            remedy="carry the organs into the frame that was painted on first",
        )
    if not painted.agrees_with(other):
        raise GridMismatchError(
            f"edits were painted on another grid ({painted.shape}) than these organs have ({other.shape}),"
            f" or {painted.farthest_corner_mm(other):.3g} mm away",
            remedy="carry the organs onto the grid that was painted on, or paint again on theirs",
        )
