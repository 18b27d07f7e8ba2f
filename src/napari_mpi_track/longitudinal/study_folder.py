"""A folder looked through for what a study is made of: scans, organs, fiducials, calibrations, by subject and day."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from napari_mpi_track.errors import MpiTrackError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.file_names import FileUse, PathWords, days_of, subjects_of, words_of
from napari_mpi_track.readers.formats import FORMATS, format_of
from napari_mpi_track.readers.organs import holds_labels, read_organs
from napari_mpi_track.readers.points import read_points
from napari_mpi_track.readers.scans import FoundScans, find_scans

# Files of these endings are scans, so that one which cannot be read is told of; of the others nobody expects a scan.
_SCAN_ENDINGS = tuple(suffix for known in FORMATS if known.module for suffix in known.suffixes)
_NO_SCANS = (
    ".yaml", ".yml", ".md", ".txt", ".tfm", ".html", ".pdf", ".xlsx", ".docx", ".pptx", ".png", ".svg", ".jpg", ".jpeg",
    ".bmp", ".gif", ".db", ".ini", ".log", ".py", ".ipynb",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class FoundFile:
    """One scan, label map or file of points, and what is known of it; ``None`` where nothing tells.

    Attributes
    ----------
    path
        Relative to the folder; of DICOM the folder of the series.
    use
        Organs or fiducials; ``None`` for a scan.
    series
        The number of the series where the path holds several.
    modality, states_modality
        How it was made (a file of points: the scan they were picked in), and whether the file says so itself.
    unit, acquired_at, facts, tracer
        What the file states.
    frames
        How many volumes over time the path holds.
    grid
        Where the voxels lie.
    subject, group, day, is_baseline
        Whose, and of when; ``day`` from the path alone.
    folder
        What the path alone calls the subject.
    doubt
        What was taken by its name only.
    """

    path: PurePath
    use: FileUse | None = None
    series: int | None = None
    modality: Modality | None = None
    states_modality: bool = False
    unit: str | None = None
    acquired_at: datetime | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    tracer: str | None = None
    frames: int = 1
    grid: Grid | None = None
    subject: str | None = None
    group: str = ""
    day: float | None = None
    is_baseline: bool = False
    folder: str | None = None
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """What lies in a folder: files of subjects, tables of the study, and what could not be read (path, reason)."""

    name: str
    files: tuple[FoundFile, ...]
    calibration_tables: tuple[tuple[PurePath, str, str], ...] = ()
    calibration_curves: tuple[PurePath, ...] = ()
    organ_names: tuple[PurePath, ...] = ()
    point_spreads: tuple[PurePath, ...] = ()
    skipped: tuple[tuple[PurePath, str], ...] = ()


def look_through(folder: str | Path, progress: Callable[[float, str], None] | None = None) -> StudyFolder:
    """Return what lies in ``folder`` and all folders in it.

    Raises
    ------
    UnreadableScanError
        If it is no folder, or holds no scan that can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UnreadableScanError("a folder with scans was needed", file=folder, remedy="check the path")
    looked = _Looked(folder)
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(folder)))
    for at, path in enumerate(paths):
        if progress is not None:
            progress(at / len(paths), f"reading {path.name}")
        looked.take(path)
    if not any(f.use is None for f in looked.files):
        raise UnreadableScanError(
            f"none of {len(paths)} files is a scan that can be read", file=folder, remedy="see mpi-track info FOLDER"
        )
    return StudyFolder(
        folder.resolve().name,
        tuple(_placed(looked.files, looked.words)),
        tuple(looked.calibration_tables),
        tuple(looked.calibration_curves),
        tuple(looked.organ_names),
        tuple(looked.point_spreads),
        tuple(looked.skipped),
    )


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


class _Looked:
    """Gathers what the files are; lives for one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[FoundFile] = []
        self.words: list[PathWords] = []
        self.calibration_tables: list[tuple[PurePath, str, str]] = []
        self.calibration_curves: list[PurePath] = []
        self.organ_names: list[PurePath] = []
        self.point_spreads: list[PurePath] = []
        self.skipped: list[tuple[PurePath, str]] = []
        self._read_folders: set[Path] = set()

    def take(self, path: Path) -> None:
        """Read one file and keep what it is."""
        relative = path.relative_to(self.folder)
        suffix = path.suffix.lower()
        if suffix in (".csv", ".fcsv", ".tsv") or path.name.lower().endswith(".mrk.json"):
            self._table(path, relative)
        elif suffix == ".json":
            self._record(path, relative)
        elif suffix not in _NO_SCANS:
            self._scan(path, relative)

    def _keep(self, found: FoundFile, words: PathWords) -> None:
        self.files.append(found)
        self.words.append(words)

    def _table(self, path: Path, relative: PurePath) -> None:
        words = words_of(relative)
        try:
            read_points(path)
        except MpiTrackError:
            header = _header(path)
            if {"label", "name"} <= header:
                self.organ_names.append(relative)
            amount = next((c for c in ("cells", "iron_ng") if c in header), None)
            signal = next((c for c in ("signal_total", "signal", "signal_max", "signal_maximum") if c in header), None)
            if amount is not None and signal is not None and "subject" not in header and "organ" not in header:
                self.calibration_tables.append((relative, amount, signal))
            return
        self._keep(FoundFile(relative, FileUse.FIDUCIALS, modality=words.modality), words)

    def _record(self, path: Path, relative: PurePath) -> None:
        try:
            keys = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if not isinstance(keys, dict):
            return
        if {"kind", "slope", "intercept"} <= keys.keys():
            self.calibration_curves.append(relative)
        elif {"shape", "fwhm_mm"} <= keys.keys():
            self.point_spreads.append(relative)

    def _scan(self, path: Path, relative: PurePath) -> None:
        try:
            known = format_of(path)
        except MpiTrackError as fault:
            self.skipped.append((relative, fault.what))
            return
        if holds_labels(path):
            self._labels(path, relative, None)
        elif known is not None and known.module == "dicom":
            self._dicom_folder(path.parent)
        elif words_of(relative).use is FileUse.ORGANS:
            self._labels(path, relative, "taken for organs by its name")
        else:
            found = find_scans(path)
            if found.skipped and (known is not None or path.name.lower().endswith(_SCAN_ENDINGS)):
                self.skipped.append((relative, found.skipped[0].reason))
            self._volumes(found, relative, words_of(relative))

    def _labels(self, path: Path, relative: PurePath, doubt: str | None) -> None:
        try:
            organs = read_organs(path)
        except MpiTrackError as fault:
            self.skipped.append((relative, fault.what))
            return
        self._keep(FoundFile(relative, FileUse.ORGANS, grid=organs.grid, doubt=doubt), words_of(relative))

    def _dicom_folder(self, place: Path) -> None:
        """Read all series of one folder at once: their slices may be mixed."""
        if place in self._read_folders:
            return
        self._read_folders.add(place)
        relative = place.relative_to(self.folder)
        found = find_scans(place)
        # A study names a scan by its folder and the number of the series in all that lies below it.
        own = tuple(v for v in found.volumes if v.file is not None and _folder_of(Path(v.file)) == place)
        self._volumes(
            replace(found, volumes=own), relative, words_of(relative / "scan"), is_several=len(found.volumes) > 1
        )

    def _volumes(self, found: FoundScans, relative: PurePath, words: PathWords, is_several: bool | None = None) -> None:
        frames = [v for v in found.volumes if v.time_s is not None]
        several = len(found.volumes) > 1 if is_several is None else is_several
        for volume in found.volumes:
            if volume.time_s and volume is not frames[0]:
                continue
            self._keep(
                FoundFile(
                    relative,
                    None,
                    volume.series if several else None,
                    volume.modality or words.modality,
                    volume.modality is not None,
                    volume.unit,
                    volume.acquired_at,
                    dict(volume.metadata),
                    volume.tracer,
                    max(1, len(frames)) if volume.time_s is not None else 1,
                    volume.grid,
                ),
                words,
            )


def _folder_of(file: Path) -> Path:
    return file if file.is_dir() else file.parent


def _header(path: Path) -> set[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            row: list[str] = next(csv.reader(stream), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return set()
    return {name.strip().lower() for name in row}


def _placed(files: Sequence[FoundFile], words: Sequence[PathWords]) -> Iterator[FoundFile]:
    """Return the files with the subject and day of each."""
    named = subjects_of(words)
    stated = [str(found.facts["subject"]) if "subject" in found.facts else None for found in files]
    # Organs and points drawn later state no subject: they belong to the one whose scans lie in the same folder.
    of_path = {subject: own for (subject, _), own in zip(named, stated, strict=True) if own is not None}
    for at, (found, word, day) in enumerate(zip(files, words, days_of(words), strict=True)):
        (subject, group), own = named[at], stated[at]
        yield replace(
            found,
            subject=own or of_path.get(subject, subject),
            group=group,
            day=day,
            is_baseline=word.is_baseline,
            folder=subject,
        )
