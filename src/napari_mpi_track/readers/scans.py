"""The door for scans: a file or a folder comes in, volumes come out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_mpi_track.errors import MpiTrackError, UnreadableScanError
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.damage import reason_of, within_reason
from napari_mpi_track.readers.declared import Declared, declare
from napari_mpi_track.readers.description import lack_of_numbers
from napari_mpi_track.readers.formats import Format, format_of, is_lost_dicom


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that gave no volume, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class FoundScans:
    """Every volume below a path, and every file that gave none."""

    volumes: tuple[Volume, ...]
    skipped: tuple[Skipped, ...]


def read_scans(
    path: str | Path,
    *,
    series: int | None = None,
    modality: Modality | None = None,
    unit: str | None = None,
    spacing_mm: tuple[float, ...] | None = None,
) -> list[Volume]:
    """Return every volume of a file or folder, numbered from 1 as ``series``.

    The order: files by path; the DICOM series of one folder by series number, then UID, then position; frames over
    time as they follow.

    Parameters
    ----------
    path
        A file, or a folder that is searched with all folders in it.
    series
        Only the volume of this number, from 1.
    modality, unit
        Taken in place of what the file says.
    spacing_mm
        (plane, row, column) in mm, or (row, column) of a flat image of unknown thickness, for a file that does not
        say; a file that does say is overruled with a warning.

    Raises
    ------
    UnreadableScanError
        If nothing there can be read, or there is no volume of that number.
    """
    declared = Declared(modality if modality is None else Modality(modality), unit, spacing_mm)
    found = _find(_path(path), declared)
    if series is None:
        return list(found.volumes)
    if not 1 <= series <= len(found.volumes):
        raise UnreadableScanError(
            f"there is no series {series}: {len(found.volumes)} found", file=Path(path), remedy=_choice(found.volumes)
        )
    return [found.volumes[series - 1]]


def read_scan(
    path: str | Path,
    *,
    series: int | None = None,
    modality: Modality | None = None,
    unit: str | None = None,
    spacing_mm: tuple[float, ...] | None = None,
) -> Volume:
    """Return the one volume of a file or folder; parameters as in :func:`read_scans`.

    Raises
    ------
    UnreadableScanError
        If there is none, or several and ``series`` does not choose.
    """
    volumes = read_scans(path, series=series, modality=modality, unit=unit, spacing_mm=spacing_mm)
    if len(volumes) > 1:
        raise UnreadableScanError(
            f"one volume was needed, {len(volumes)} are there", file=Path(path), remedy=_choice(volumes)
        )
    return volumes[0]


def find_scans(
    path: str | Path,
    *,
    modality: Modality | None = None,
    unit: str | None = None,
    spacing_mm: tuple[float, ...] | None = None,
) -> FoundScans:
    """Return every volume below ``path`` and every file that gave none, with the reason; parameters as in
    :func:`read_scans`. A file that cannot be read is not an error here; a path that is not there is one."""
    declared = Declared(modality if modality is None else Modality(modality), unit, spacing_mm)
    try:
        return _find(_path(path), declared)
    except _NothingFoundError as nothing:
        return FoundScans((), nothing.skipped)


class _NothingFoundError(UnreadableScanError):
    """No volume below a path; what was there instead."""

    skipped: tuple[Skipped, ...] = ()


def _path(given: str | Path) -> Path:
    # An empty text would mean the current folder and all below it.
    if not str(given).strip():
        raise UnreadableScanError(
            "a path was needed, got nothing", remedy="give a file or a folder ('.' is the current one)"
        )
    return Path(given)


def _choice(volumes: Iterable[Volume]) -> str:
    listed = [f"{volume.series} '{volume.name}' {'x'.join(map(str, volume.grid.shape))}" for volume in volumes]
    shown = "; ".join(listed[:8]) + ("; ..." if len(listed) > 8 else "")
    return f"choose one with --series N: {shown}"


def _find(path: Path, declared: Declared) -> FoundScans:
    if not path.exists():
        raise UnreadableScanError("there is no such file or folder", file=path, remedy="check the path")
    volumes, skipped = _in_folder(path, declared) if path.is_dir() else _in_file(path, declared)
    if not volumes:
        raise _nothing(path, skipped)
    numbered = (replace(volume, series=number) for number, volume in enumerate(volumes, start=1))
    return FoundScans(tuple(numbered), tuple(skipped))


def _nothing(path: Path, skipped: list[Skipped]) -> _NothingFoundError:
    if len(skipped) == 1:
        fault = _NothingFoundError(skipped[0].reason, file=Path(skipped[0].path))
    elif skipped:
        reasons = "; ".join(dict.fromkeys(f"{Path(entry.path).name}: {entry.reason}" for entry in skipped[:3]))
        fault = _NothingFoundError(
            f"none of {len(skipped)} files is a scan that can be read", file=path, remedy=reasons
        )
    else:
        fault = _NothingFoundError("the folder is empty", file=path, remedy="check the path")
    fault.skipped = tuple(skipped)
    return fault


def _in_file(path: Path, declared: Declared) -> tuple[list[Volume], list[Skipped]]:
    try:
        volumes = [_checked(volume, declared) for volume in _read_file(path, declared)]
    except MpiTrackError as fault:
        return [], [Skipped(str(fault.file or path), reason_of(fault))]
    return volumes, []


def _checked(volume: Volume, declared: Declared) -> Volume:
    """Return a volume with the user's word on it, and with what its voxels lack among its warnings."""
    volume = declare(volume, declared)
    lack = lack_of_numbers(volume.voxels)
    return volume if lack is None else replace(volume, warnings=(*volume.warnings, lack))


def _read_file(path: Path, declared: Declared) -> list[Volume]:
    known = format_of(path)
    if known is None:
        known = _format_of_pair(path)
    if known is None:
        raise UnreadableScanError("the content is of no known format", file=path, remedy="see the list of formats")
    return within_reason(lambda: known.read(path, declared), path, known.name)


def _format_of_pair(path: Path) -> Format | None:
    """Return the format of the header that belongs to an ``.img``, which has no mark of its own."""
    name = path.name.removesuffix(".gz")
    header = path.with_name(name[: -len(".img")] + ".hdr")
    return format_of(header) if name.lower().endswith(".img") and header.is_file() else None


def _in_folder(folder: Path, declared: Declared) -> tuple[list[Volume], list[Skipped]]:
    """Return what is in a folder and all below it; the DICOM files of one folder are read together."""
    volumes: list[Volume] = []
    skipped: list[Skipped] = []
    for place in (folder, *sorted(entry for entry in folder.rglob("*") if entry.is_dir())):
        dicom: list[Path] = []
        unknown: list[Skipped] = []
        found: list[tuple[str, list[Volume]]] = []
        for path in sorted(entry for entry in place.iterdir() if entry.is_file()):
            if path.name.startswith("."):
                continue
            try:
                known = format_of(path) or _format_of_pair(path)
            except MpiTrackError as fault:
                unknown.append(Skipped(str(path), reason_of(fault)))
                continue
            if known is not None and known.module == "dicom":
                dicom.append(path)
            elif known is None:
                unknown.append(Skipped(str(path), "the content is of no known format"))
            elif not _is_voxel_file(path):
                read, passed = _in_file(path, declared)
                found.append((path.name, read))
                skipped.extend(passed)
        # Beside DICOM files, an emptied one may be the slice that a series lacks.
        lost = [Path(entry.path) for entry in unknown if dicom and is_lost_dicom(Path(entry.path), dicom)]
        skipped.extend(entry for entry in unknown if Path(entry.path) not in lost)
        if dicom:
            read, passed = _dicom_folder([*dicom, *lost], declared)
            found.append((dicom[0].name, read))
            skipped.extend(passed)
        for _, read in sorted(found, key=lambda entry: entry[0]):
            volumes.extend(read)
    return volumes, skipped


def _is_voxel_file(path: Path) -> bool:
    """Return whether this is the ``.img`` of a pair, which is read with its header."""
    name = path.name.removesuffix(".gz")
    return name.lower().endswith(".img") and path.with_name(name[: -len(".img")] + ".hdr").is_file()


def _dicom_folder(paths: list[Path], declared: Declared) -> tuple[list[Volume], list[Skipped]]:
    from napari_mpi_track.readers import dicom

    try:
        volumes, refused = within_reason(lambda: dicom.read_series(paths, declared), paths[0].parent, "DICOM")
    except MpiTrackError as fault:
        return [], [Skipped(str(fault.file), reason_of(fault))]
    return [_checked(volume, declared) for volume in volumes], [Skipped(str(path), why) for path, why in refused]
