"""Scans of tubes from a folder, each with the name its tube is called by."""

from dataclasses import replace
from pathlib import Path

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.scans import Skipped, find_scans, read_scans
from napari_mpi_track.writers.whole import suffix_of

_TABLES = (".csv", ".tsv", ".txt", ".json")


def read_tube_scans(
    place: str | Path,
    *,
    modality: Modality | None = None,
    unit: str | None = None,
    spacing_mm: tuple[float, ...] | None = None,
    is_projection: bool = False,
) -> tuple[list[tuple[str, Volume]], list[Skipped]]:
    """Return every scan of a folder, or of one file, with its name; and what is there that is neither scan nor table.

    Parameters
    ----------
    place
        A folder, searched with all folders in it, or a file.
    modality, unit, spacing_mm
        Taken in place of what the files say.
    is_projection
        The user's word that scans of one plane are 2-D projections.

    Raises
    ------
    MeasurementError
        No scan is there.
    UnreadableScanError
        The path is not there, or the one file given cannot be read.

    Notes
    -----
    A scan is called as its file without the ending, a DICOM series as its folder; scans that would be called alike
    get the number of their series.
    """
    place = Path(place)
    skipped: list[Skipped] = []
    if place.is_dir():
        found = find_scans(place, modality=modality, unit=unit, spacing_mm=spacing_mm)
        volumes = list(found.volumes)
        skipped = [entry for entry in found.skipped if Path(entry.path).suffix.lower() not in _TABLES]
    else:
        volumes = read_scans(place, modality=modality, unit=unit, spacing_mm=spacing_mm)
    if not volumes:
        raise MeasurementError("no scan was found", file=place, remedy="give the folder of the scans of tubes")
    if is_projection:
        volumes = [replace(volume, is_projection=True) for volume in volumes]
    names = [_name(volume) for volume in volumes]
    unique = [name if names.count(name) == 1 else f"{name}#{v.series}" for name, v in zip(names, volumes, strict=True)]
    return list(zip(unique, volumes, strict=True)), skipped


def _name(volume: Volume) -> str:
    if volume.file is None:
        return volume.name
    path = Path(volume.file)
    return path.name if path.is_dir() else path.name[: len(path.name) - len(suffix_of(path))]
