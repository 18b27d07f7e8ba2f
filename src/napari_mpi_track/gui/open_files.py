"""napari's File > Open and File > Save for scans and organs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.gui.layers import LayerTuple, organ_layer, organs_from_layer, scan_from_layer, scan_layer
from napari_mpi_track.readers.organs import holds_labels, read_organs
from napari_mpi_track.readers.scans import FoundScans, find_scans
from napari_mpi_track.writers.scans import write_volume

Reader = Callable[[str | Sequence[str]], list[LayerTuple]]
_STUDY_FILES = (".yaml", ".yml")


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the reader of these paths, ``None`` if they are not for this plugin (npe2)."""
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    if not paths or any(not one.exists() or one.suffix in _STUDY_FILES for one in paths):
        return None
    # Folders of other kinds of pictures that napari has readers for.
    if any(one.suffix in (".zarr", ".n5") for one in paths):
        return None
    return read_layers


def read_layers(path: str | Sequence[str]) -> list[LayerTuple]:
    """Return a layer for every scan and every organ file in these files or folders, where they lie.

    Raises
    ------
    UnreadableScanError
        If nothing in them can be read; the first reason is given.
    """
    paths = [path] if isinstance(path, str) else list(path)
    layers: list[LayerTuple] = []
    for one in paths:
        layers += _layers_of(Path(one))
    return layers


def write_scan(path: str, voxels: Any, settings: dict[str, Any]) -> list[str]:
    """Write an image layer as acquired: true voxels, true place; return the path (npe2)."""
    write_volume(scan_from_layer(voxels, settings), path, overwrite=True)
    return [path]


def write_organs(path: str, voxels: Any, settings: dict[str, Any]) -> list[str]:
    """Write a Labels layer on the grid of the scan it belongs to, with its names; return the path (npe2)."""
    write_volume(organs_from_layer(voxels, settings), path, overwrite=True)
    return [path]


def _layers_of(path: Path) -> list[LayerTuple]:
    if path.is_file() and holds_labels(path):
        return [_organ_layer_of(path)]
    found = find_scans(path)
    # Some labels are no scans to any reader: DICOM segmentations, segments in several layers.
    labels = [Path(entry.path) for entry in found.skipped if holds_labels(entry.path)]
    found = replace(found, skipped=tuple(entry for entry in found.skipped if Path(entry.path) not in labels))
    if not found.volumes and not labels:
        reasons = [f"{Path(entry.path).name}: {entry.reason}" for entry in found.skipped[:3]]
        raise UnreadableScanError("no scan was found", file=path, remedy="; ".join(reasons) or "choose another")
    _say_what_is_not_sure(found)
    layers = []
    for volume in found.volumes:
        source = Path(volume.file or path)
        layers.append(_organ_layer_of(source) if holds_labels(source) else scan_layer(volume))
    return [*layers, *(_organ_layer_of(file) for file in labels)]


def _organ_layer_of(file: Path) -> LayerTuple:
    from napari.utils.notifications import show_warning

    organs = read_organs(file)
    for sentence in organs.warnings:
        show_warning(f"{file.name}: {sentence}")
    return organ_layer(organs, file.name)


def _say_what_is_not_sure(found: FoundScans) -> None:
    from napari.utils.notifications import show_warning

    said = [f"{volume.name}: {warning}" for volume in found.volumes for warning in volume.warnings]
    if found.skipped:
        names = [Path(entry.path).name for entry in found.skipped]
        more = ", ..." if len(names) > 3 else ""
        said.append(f"{len(names)} other files are no scans ({', '.join(names[:3])}{more})")
    for sentence in dict.fromkeys(said):
        show_warning(sentence)
