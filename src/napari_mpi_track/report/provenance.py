"""What a result was made from: every input with its SHA-256, the settings, the versions. No clock and no machine."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from platform import python_version
from typing import Any

import numpy as np

from napari_mpi_track import __version__
from napari_mpi_track.longitudinal.neighbours import sharing_scan
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint

PACKAGE = "napari-mpi-track"
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "nibabel", "pydicom", "h5py", "matplotlib")
# Headers whose voxels lie in a file of another ending beside them.
_HEADERS = (".mhd", ".nhdr", ".hdr", ".img", ".tfm")


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python, and of the libraries numbers come from."""
    found = {PACKAGE: __version__, "python": python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def plain(thing: Any, folder: Path) -> Any:
    """Return a study, or a part of one, as JSON values; paths as they stand to ``folder``."""
    if is_dataclass(thing) and not isinstance(thing, type):
        return {field.name: plain(getattr(thing, field.name), folder) for field in fields(thing)}
    if isinstance(thing, Mapping):
        return {
            f"{key:g}" if isinstance(key, float) else str(key): plain(value, folder) for key, value in thing.items()
        }
    if isinstance(thing, np.ndarray):
        return thing.tolist()
    if isinstance(thing, PurePath):
        return told_from(folder, Path(thing))
    if isinstance(thing, Enum):
        return thing.value
    if isinstance(thing, datetime):
        return thing.isoformat()
    if isinstance(thing, (list, tuple)):
        return [plain(value, folder) for value in thing]
    return thing


def told_from(folder: Path, path: Path) -> str:
    """Return ``path`` as a person standing in ``folder`` would write it, with forward slashes."""
    try:
        return PurePath(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        # Another drive on Windows.
        return path.as_posix()


class InputHashes:
    """SHA-256 of the study's inputs, each file read once."""

    def __init__(self, study: Study) -> None:
        self.folder = study.file.parent
        self._known: dict[Path, str] = {}

    def of(self, things: Iterable[Any]) -> dict[str, str]:
        """Return the SHA-256 of every file named anywhere in ``things``, by its path as the study writes it."""
        files = sorted({file for thing in things for path in _paths(thing, self.folder) for file in _files(path)})
        return {told_from(self.folder, file): self._sha256(file) for file in files}

    def _sha256(self, file: Path) -> str:
        if file not in self._known:
            with file.open("rb") as stream:
                self._known[file] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._known[file]


def _paths(thing: Any, folder: Path) -> Iterator[Path]:
    if isinstance(thing, PurePath):
        yield Path(thing)
    elif isinstance(thing, (Study, Timepoint)):
        # An alignment is a method's name or the path of a saved one.
        named = (thing.alignment, getattr(thing, "pet_alignment", None))
        yield from (folder / text for text in named if text and (folder / text).is_file())
        yield from (path for field in fields(thing) for path in _paths(getattr(thing, field.name), folder))
    elif is_dataclass(thing) and not isinstance(thing, type):
        yield from (path for field in fields(thing) for path in _paths(getattr(thing, field.name), folder))
    elif isinstance(thing, (list, tuple)):
        yield from (path for value in thing for path in _paths(value, folder))


def _files(path: Path) -> Iterator[Path]:
    """Yield the files behind one path: itself, a folder's, and the voxels a header points to."""
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file())
    elif path.is_file():
        yield path
        if path.suffix.lower() in _HEADERS:
            yield from (file for file in path.parent.glob(f"{_escaped(path.stem)}.*") if file.is_file())


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def timepoint_key(study: Study, subject: Subject, timepoint: Timepoint, hashes: InputHashes) -> str:
    """Return a hash of all that one timepoint's measurements depend on: settings, files, version.

    The organs may come from another day, and the baseline is every day's; other animals in the same scan count too.
    """
    days = [timepoint, subject.day_with_organs(timepoint.day), subject.baseline]
    settings = replace(study, name="", subjects=(), reference="injected", decay_model="auto")
    person = replace(subject, timepoints=(), scores={})
    parts: list[Any] = [settings, person, [day for day in days if day is not None]]
    for other, theirs in sharing_scan(study, subject, timepoint):
        parts.append([other.id, theirs, other.day_with_organs(theirs.day)])
    inputs = hashes.of(parts)
    # The study file's text is no input: what it says is in the settings, and a comment or another subject is not.
    inputs.pop(told_from(hashes.folder, study.file), None)
    text = {"versions": versions(), "settings": plain(parts, hashes.folder), "inputs": inputs}
    return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()


def provenance_of(study: Study, hashes: InputHashes, **told: Any) -> dict[str, Any]:
    """Return what provenance.json holds; ``told`` are further entries (warnings, overrides, failures, seeds)."""
    return {
        "package": PACKAGE,
        "versions": versions(),
        "study": plain(study, hashes.folder),
        "inputs": hashes.of([study]),
        **told,
    }
