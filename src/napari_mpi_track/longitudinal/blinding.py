"""Reading without knowing whose scan it is: names are hidden until every reading is signed.

This hides names; it is no cryptography. The sealed file is packed so that nobody reads it in passing, and whoever
unpacks it by hand leaves no trace. What is kept honestly: the readings that were signed and their fingerprints, and by
whom and when the names were opened.
"""

import base64
import hashlib
import json
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi_track.errors import MeasurementError, OutputError, OutputExistsError, StudyFileError
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.study import ScanFile, Study, Timepoint
from napari_mpi_track.readers.organs import read_organs
from napari_mpi_track.readers.points import read_points
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.writers.points import write_points
from napari_mpi_track.writers.scans import write_volume
from napari_mpi_track.writers.whole import whole_file

_SEALED, _READINGS = "sealed.json", "readings.json"
_METHODS = ("frame", "fiducials", "intensity", "moments")
_SAID = (
    "Names hidden until every reading is signed (mpi-track unblind). Packed, not encrypted: please do not unpack it."
)


@dataclass(frozen=True, slots=True)
class HiddenScan:
    """What a code stands for: one subject on one day."""

    code: str
    subject: str
    day: float
    group: str


@dataclass(frozen=True, slots=True)
class SignedReading:
    """A reading that its reader stands by: the file of organs, and its SHA-256 when it was signed."""

    code: str
    reader: str
    at: str
    file: str
    sha256: str


def blind(study: Study, folder: Path, at: datetime, seed: int | None = None) -> tuple[str, ...]:
    """Write the scans of a study under code names into ``folder``; returns the codes, in their order.

    Every subject on every day with an image becomes a subject of its own of the study file in ``folder``, so that
    neither names nor days nor groups nor which scans belong together can be seen. Scans are written anew as NIfTI: no
    tag, date or file name comes along. Organs drawn already and fiducials go with their scan; saved transforms do not.

    Parameters
    ----------
    study
        The study to read.
    folder
        A new or empty folder, one for each reader.
    at
        Now.
    seed
        Of the order of the codes; ``None`` for one that nobody knows. It stands in the sealed file.

    Raises
    ------
    OutputExistsError
        If the folder holds anything.
    MeasurementError
        If no timepoint has an image.
    MpiTrackError
        If a scan cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputExistsError("blinded scans need an empty folder", file=folder, remedy="name a new one")
    days = [(s, t) for s in study.subjects for t in s.timepoints if t.mpi is not None or t.anatomy is not None]
    if not days:
        raise MeasurementError("no timepoint of this study has an image to read", file=study.file)
    seed = secrets.randbits(63) if seed is None else seed
    order = np.random.default_rng(seed).permutation(len(days))
    hidden: list[HiddenScan] = []
    blocks: list[str] = []
    for number, place in enumerate(order, start=1):
        subject, timepoint = days[place]
        code = f"R{number:0{max(2, len(str(len(days))))}d}"
        blocks += _written(timepoint, folder / code, code, timepoint.alignment or study.alignment)
        hidden.append(HiddenScan(code, subject.id, timepoint.day, subject.group))
    _put(folder / "study.yaml", "\n".join(["schema: 1", "name: blinded reading", "subjects:", *blocks, ""]))
    key = {"seed": seed, "study": str(study.file.resolve()), "scans": [asdict(one) for one in hidden]}
    _put_json(folder / _READINGS, {"readings": []})
    _put_json(folder / _SEALED, {"about": _SAID, "blinded_at": at.isoformat(), "sealed": _packed(key), "opened": []})
    return tuple(one.code for one in hidden)


def sign_reading(folder: Path, code: str, labels: Path, reader: str, at: datetime) -> SignedReading:
    """Return the reading of a code as signed by its reader, kept in ``folder``; an earlier one of it is replaced.

    Raises
    ------
    MeasurementError
        If there is no such code, no name, the labels hold no organ, or the names were opened already.
    MpiTrackError
        If the labels cannot be read.
    """
    if not reader.strip():
        raise MeasurementError("a reading needs the name of its reader", remedy="say who signs it")
    if _sealed(folder)["opened"]:
        raise MeasurementError(
            "the names were opened: a reading signed now is not blinded any more",
            file=folder,
            remedy="blind the study again into a new folder",
        )
    codes = [one.code for one in _hidden(folder)]
    if code not in codes:
        raise MeasurementError(
            f"there is no scan called '{code}'", file=folder, remedy=f"the codes are {', '.join(codes)}"
        )
    if not read_organs(labels).names:
        raise MeasurementError(
            "the labels hold no organ", file=labels, remedy="draw the organs first; a reading of nothing is not signed"
        )
    signed = SignedReading(code, reader.strip(), at.isoformat(), str(labels.resolve()), _sha256(labels))
    kept = [one for one in signed_readings(folder) if one.code != code]
    _put_json(folder / _READINGS, {"readings": [asdict(one) for one in sorted([*kept, signed], key=lambda r: r.code)]})
    return signed


def signed_readings(folder: Path) -> tuple[SignedReading, ...]:
    """Return the readings signed so far, by code."""
    return tuple(SignedReading(**entry) for entry in _json(folder / _READINGS)["readings"])


def unsigned_codes(folder: Path) -> tuple[str, ...]:
    """Return the codes whose reading nobody signed yet."""
    signed = {one.code for one in signed_readings(folder)}
    return tuple(one.code for one in _hidden(folder) if one.code not in signed)


def unblind(folder: Path, by: str, at: datetime) -> tuple[HiddenScan, ...]:
    """Return what the codes stand for, and record who opened them and when.

    Raises
    ------
    MeasurementError
        If a reading is not signed, has changed since it was, or nobody says who opens the names.
    """
    if not by.strip():
        raise MeasurementError("opening the names needs a name", remedy="say who opens them")
    waiting = unsigned_codes(folder)
    if waiting:
        raise MeasurementError(
            f"{len(waiting)} reading(s) are not signed yet: {', '.join(waiting)}",
            file=folder,
            remedy="sign every reading first (mpi-track sign-reading)",
        )
    for reading in signed_readings(folder):
        if not Path(reading.file).is_file() or _sha256(Path(reading.file)) != reading.sha256:
            raise MeasurementError(
                f"the reading of {reading.code} is not the one that {reading.reader} signed",
                file=reading.file,
                remedy="bring the signed file back, or have it signed again",
            )
    sealed = _sealed(folder)
    sealed["opened"].append({"by": by.strip(), "at": at.isoformat()})
    _put_json(folder / _SEALED, sealed)
    return _hidden(folder)


def _written(timepoint: Timepoint, folder: Path, code: str, alignment: str) -> list[str]:
    """Write the scans of one day, and return its block of the study file."""
    lines = [f"  - id: {code}", "    timepoints:", "      - day: 0"]
    scans = {"mpi": (timepoint.mpi, Modality.MPI), "anatomy": (timepoint.anatomy, None), "pet": (timepoint.pet, None)}
    for what, (scan, modality) in scans.items():
        if scan is None:
            continue
        volume = _nameless(scan, modality)
        write_volume(volume, folder / f"{what}.nii.gz")
        told = f"{{path: {code}/{what}.nii.gz, projection: true}}" if volume.is_projection else f"{code}/{what}.nii.gz"
        lines.append(f"        {what}: {told}")
    if timepoint.organs is not None:
        drawn = read_organs(timepoint.organs)
        organs = OrganLabels(drawn.voxels, drawn.grid, drawn.names, drawn.colours)
        write_volume(organs, folder / "organs.nii.gz")
        lines.append(f"        organs: {code}/organs.nii.gz")
    points = {"mpi": timepoint.mpi_fiducials, "anatomy": timepoint.anatomy_fiducials}
    given = [f"{what}: {code}/{what}_points.csv" for what, file in points.items() if file is not None]
    for what, file in points.items():
        if file is not None:
            write_points(read_points(file), folder / f"{what}_points.csv")
    if given:
        lines.append(f"        fiducials: {{{', '.join(given)}}}")
    if alignment in _METHODS:
        lines.append(f"        alignment: {alignment}")
    return lines


def _nameless(scan: ScanFile, modality: Modality | None) -> Volume:
    """Return a scan with its voxels, place, modality and unit, and nothing else that its file says."""
    volume = read_scan(
        scan.path, series=scan.series, modality=scan.modality or modality, unit=scan.unit, spacing_mm=scan.spacing_mm
    )
    return Volume(
        volume.voxels,
        volume.grid,
        volume.modality,
        volume.unit,
        is_projection=volume.is_projection or scan.is_projection,
        has_thickness=volume.has_thickness,
    )


def _hidden(folder: Path) -> tuple[HiddenScan, ...]:
    key = json.loads(zlib.decompress(base64.b64decode(_sealed(folder)["sealed"])))
    return tuple(HiddenScan(**entry) for entry in key["scans"])


def _packed(key: Mapping[str, Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(key).encode())).decode()


def _sealed(folder: Path) -> dict[str, Any]:
    return _json(folder / _SEALED)


def _json(file: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise StudyFileError(
            "this is no folder of a blinded reading", file=file, remedy="give the folder that mpi-track blind wrote"
        ) from fault
    return document


def _put_json(file: Path, document: Mapping[str, Any]) -> None:
    _put(file, json.dumps(document, indent=1) + "\n")


def _put(file: Path, text: str) -> None:
    try:
        with whole_file(file, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise OutputError(f"the file cannot be written: {fault.strerror or fault}", file=file) from fault


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
