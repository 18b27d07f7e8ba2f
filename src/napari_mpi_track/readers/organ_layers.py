"""Organs that come one by one, each its own mask, into one map of labels.

Where two of them overlap, somebody must say whose voxels those are.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import Colour, OrganLabels

_SHOWN = 4


class Overlap(StrEnum):
    """What happens to voxels that two organs of a file claim.

    ``refused``: the file is refused, naming the organs. ``smallest``: they go to the organ of fewer voxels, so that a
    tumour drawn within the liver stays whole and the liver has a hole there; of equals, to the later one.
    """

    REFUSED = "refused"
    SMALLEST = "smallest"


@dataclass(frozen=True, slots=True)
class OrganLayer:
    """One organ of a file that may overlap others.

    Attributes
    ----------
    value
        The label it gets.
    name, colour
        As the file says; an empty name and ``None`` where it does not.
    mask
        Makes where it lies, shape as the grid; called up to twice.
    """

    value: int
    name: str
    colour: Colour | None
    mask: Callable[[], NDArray[np.bool_]]


def merged(
    layers: Sequence[OrganLayer],
    grid: Grid,
    path: Path,
    names: Mapping[int, str],
    overlap: Overlap = Overlap.REFUSED,
    warnings: tuple[str, ...] = (),
) -> OrganLabels:
    """Return layers as labels, in the smallest integer type that holds them; ``names`` go before their own.

    Raises
    ------
    UnreadableScanError
        If organs overlap and ``overlap`` refuses it, or two of them share a name.
    """
    called = {layer.value: names.get(layer.value) or layer.name or str(layer.value) for layer in layers}
    require_one_each(called, path)
    dtype = np.min_scalar_type(max((layer.value for layer in layers), default=0))
    voxels: NDArray[Any] = np.zeros(grid.shape, dtype=dtype)
    shared: Counter[tuple[str, str]] = Counter()
    sizes: dict[int, int] = {}
    for layer in _in_order(layers, overlap):
        mask = layer.mask()
        sizes[layer.value] = int(np.count_nonzero(mask))
        beneath = voxels[mask]
        for value, count in enumerate(np.bincount(beneath)) if beneath.any() else ():
            if value and count:
                shared[called[value], called[layer.value]] += int(count)
        voxels[mask] = layer.value
    if shared and overlap is Overlap.REFUSED:
        raise _overlapping(shared, path)
    said = [*warnings]
    if shared:
        said.append(f"overlapping organs: {_listed(shared)} went to the smaller one")
    said += without_voxels({value: name for value, name in called.items() if not sizes[value]})
    colours = {layer.value: layer.colour for layer in layers if layer.colour is not None}
    voxels.flags.writeable = False
    return OrganLabels(voxels, grid, called, colours, str(path), tuple(said))


def require_one_each(names: Mapping[int, str], path: Path) -> None:
    """Refuse two labels of one name, by name."""
    counts = Counter(names.values())
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        labels = " and ".join(str(value) for value, name in names.items() if name == twice[0])
        raise UnreadableScanError(
            f"labels {labels} are both called '{twice[0]}'",
            file=path,
            remedy="rename one of them where they were drawn, or give a table of names (--names)",
        )


def without_voxels(names: Mapping[int, str]) -> list[str]:
    """Return the warning about organs that are named and have no voxel; none where there is no such organ."""
    if not names:
        return []
    listed = [f"{value} '{name}'" for value, name in list(names.items())[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"no voxel has the label of {', '.join(listed)}{more}: named organs that are empty are not measured"]


def _in_order(layers: Sequence[OrganLayer], overlap: Overlap) -> Sequence[OrganLayer]:
    """Return the layers in the order they are laid down: the last one stays whole."""
    if overlap is Overlap.REFUSED:
        return layers
    sizes = [int(np.count_nonzero(layer.mask())) for layer in layers]
    return [layers[n] for n in sorted(range(len(layers)), key=lambda n: -sizes[n])]


def _listed(shared: Counter[tuple[str, str]]) -> str:
    pairs = [f"'{a}' and '{b}' share {count} voxel(s)" for (a, b), count in shared.most_common(_SHOWN)]
    return "; ".join(pairs) + (f"; {len(shared) - _SHOWN} more pairs" if len(shared) > _SHOWN else "")


def _overlapping(shared: Counter[tuple[str, str]], path: Path) -> UnreadableScanError:
    return UnreadableScanError(
        f"organs overlap, and a voxel can be of one organ only: {_listed(shared)}",
        file=path,
        remedy="say whose they are (mpi-track convert LABELS OUT --overlap smallest), or draw them apart",
    )
