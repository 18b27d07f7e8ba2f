"""Whole simulated studies on disk: scans, tables, the study file, and the truth."""

import json
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError, OutputExistsError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.simulation.anatomy import inverse
from napari_mpi_track.simulation.animals import Animal, Pose, animal, pose
from napari_mpi_track.simulation.biodistribution import half_lives_days, zr89_left
from napari_mpi_track.simulation.designs import Design, PetScanner, design
from napari_mpi_track.simulation.scanner import Noise, blurred, ct_scan, labelled, mr_scan, noise_field, saturated
from napari_mpi_track.simulation.study_text import scan_name, study_text, suffix, table
from napari_mpi_track.writers.points import write_points
from napari_mpi_track.writers.scans import write_volume
from napari_mpi_track.writers.whole import whole_file

Progress = Callable[[float, str], None]
# Streams of random numbers: one of its own for everything that is drawn, so that one more animal, day or scan
# leaves all others as they are.
STREAMS = {"animal": 0, "pose": 1, "mpi": 2, "anatomy": 3, "pet": 4, "fiducials": 5, "calibration": 6}
LARGEST_COUNT = 32_767
COMPRESSION = 6


def simulate_study(
    folder: str | Path,
    *,
    study: Literal["car-t", "knee"] = "car-t",
    size: Literal["small", "full"] = "small",
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Return the path of the study.yaml of a simulated study of known truth, written into ``folder``.

    Parameters
    ----------
    folder
        Made where it does not exist.
    study
        "car-t": mice with CAR-T cells, MPI + CT + 89Zr-PET, days 0, 1, 3, 7. "knee": labelled MSCs and a
        cell-free arm in the human knee, MPI + MR, days -1 (before injection), 0, 1, 3, 7, 30.
    size
        "small": one subject an arm, coarse, 16-bit, compressed. "full": float32 MPI and PET, uncompressed.
    seed
        The same seed gives the same bytes.
    overwrite
        Replace what is there.
    progress
        Called with the part that is done (0 to 1) and what comes next.

    Raises
    ------
    OutputExistsError
        If the folder holds a study already and ``overwrite`` is false.
    MeasurementError
        If there is no such study or size.

    Notes
    -----
    Beside the study: ``truth.csv`` (subject, day, organ, cells), ``truth_signal.csv`` (true MPI signal in a.u. mm3,
    fiducials too), ``truth_activity.csv`` (kBq at the scan), ``truth_half_lives.csv`` (days, of what falls
    exponentially) and ``truth_transforms.json`` (poses, and where the fiducials are in each scan).
    """
    return simulate_design(folder, design(study, size), seed=seed, overwrite=overwrite, progress=progress)


def simulate_design(
    folder: str | Path, plan: Design, *, seed: int = 0, overwrite: bool = False, progress: Progress | None = None
) -> Path:
    """Return the path of the study.yaml of a study simulated as planned; otherwise as :func:`simulate_study`."""
    target = _Folder(Path(folder), overwrite)
    if (target.path / "study.yaml").exists() and not overwrite:
        raise OutputExistsError(
            "the folder holds a study already", file=target.path / "study.yaml", remedy="give --overwrite to replace it"
        )
    report = progress or (lambda *_: None)
    animals = [
        animal(plan, subject, number, _stream(seed, "animal", number)) for number, subject in enumerate(plan.subjects)
    ]
    poses: dict[str, dict[str, Any]] = {}
    steps = len(animals) * len(plan.days)
    for number, one in enumerate(animals):
        poses[one.plan.id] = {}
        for at, day in enumerate(plan.days):
            report((number * len(plan.days) + at) / steps, f"{one.plan.id}, day {day:g}")
            streams = {what: _stream(seed, what, number, at) for what in STREAMS}
            lying = pose(plan, one.anatomy, streams["pose"])
            _write_day(target, plan, one, day, lying, streams)
            poses[one.plan.id][f"{day:g}"] = _pose_record(one, lying)
    _write_tables(target, plan, animals, _stream(seed, "calibration"))
    target.text("truth_transforms.json", json.dumps({"schema": 1, "subjects": poses}, indent=1) + "\n")
    # The study file comes last: where it stands, everything it names stands too.
    target.text("study.yaml", study_text(plan, animals))
    report(1.0, "done")
    return target.path / "study.yaml"


def _stream(seed: int, what: str, *place: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS[what], *place)))


def _write_day(
    target: "_Folder", plan: Design, one: Animal, day: float, lying: Pose, streams: dict[str, np.random.Generator]
) -> None:
    """Write all scans of one subject on one day."""
    ending = suffix(plan)
    scanner = plan.anatomy_scanner
    kind = scanner.modality.value.lower()
    body_from_anatomy = inverse(lying.anatomy_from_body)
    mpi = _mpi(plan, one, day, inverse(lying.mpi_from_body), streams["mpi"])
    target.scan(scan_name(one, day, "mpi") + ending, mpi, plan.mpi.grid, plan.is_compact)
    scan = ct_scan if scanner.modality is Modality.CT else mr_scan
    anatomy = scan(one.anatomy, scanner.grid, body_from_anatomy, scanner.noise, streams["anatomy"])
    # Scanners store CT and MR as whole numbers, so the full size does too.
    target.scan(scan_name(one, day, kind) + ending, anatomy, scanner.grid, True)
    if plan.pet is not None:
        pet = _pet(plan.pet, one, day, body_from_anatomy, streams["pet"])
        target.scan(scan_name(one, day, "pet") + ending, pet, plan.pet.grid, plan.is_compact)
    if day == one.plan.organs_day:
        labels = labelled(one.anatomy.organs, scanner.grid, body_from_anatomy)
        target.labels(scan_name(one, day, "organs") + ending, labels, scanner.grid, tuple(one.anatomy.organs))
    if day == plan.fiducials_day:
        for what, frame_from_body in (("mpi", lying.mpi_from_body), (kind, lying.anatomy_from_body)):
            found = _placed(one, frame_from_body)
            found = found + streams["fiducials"].normal(0.0, plan.marker_picking_sd_mm, found.shape)
            target.points(f"{scan_name(one, day, what)}_fiducials.csv", found)


def _mpi(
    plan: Design, one: Animal, day: float, body_from_mpi: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    organs = [(solid, one.signal(name, day)) for name, solid in one.anatomy.organs.items()]
    markers = list(zip(one.anatomy.markers, one.marker_signals.tolist(), strict=True))
    signal = blurred([*organs, *markers], plan.mpi.grid, body_from_mpi, plan.mpi.blur)
    return saturated(signal, plan.mpi.saturation_signal) + noise_field(plan.mpi.grid.shape, plan.mpi.noise, rng)


def _pet(
    scanner: PetScanner, one: Animal, day: float, body_from_pet: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    # 1 kBq spread over 1 mm3 is 1e6 Bq/mL.
    organs = [(solid, one.activity_kBq(name, day) * 1e6) for name, solid in one.anatomy.organs.items()]
    concentration = blurred(organs, scanner.grid, body_from_pet, scanner.blur)
    sd = np.sqrt(scanner.floor_bq_ml**2 + scanner.poisson_bq_ml * concentration)
    scan = concentration + sd * noise_field(scanner.grid.shape, Noise(1.0, scanner.correlation_sd), rng)
    return scan / zr89_left(24 * day) if one.plan.pet_corrected_to == "injection" else scan


def _placed(one: Animal, frame_from_body: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fiducials' centres in a scanner's frame, LPS mm, shape (markers, 3)."""
    return np.asarray(one.anatomy.markers_mm @ frame_from_body[:3, :3].T + frame_from_body[:3, 3])


def _pose_record(one: Animal, lying: Pose) -> dict[str, Any]:
    return {
        "anatomy_from_body": _rounded(lying.anatomy_from_body),
        "mpi_from_anatomy": _rounded(lying.mpi_from_anatomy),
        "anatomy_fiducials_mm": _rounded(_placed(one, lying.anatomy_from_body)),
        "mpi_fiducials_mm": _rounded(_placed(one, lying.mpi_from_body)),
    }


def _rounded(values: NDArray[np.float64]) -> Any:
    return np.round(values, 9).tolist()


def _write_tables(target: "_Folder", plan: Design, animals: list[Animal], rng: np.random.Generator) -> None:
    organs = tuple(animals[0].anatomy.organs)
    every = [(one, day, organ) for one in animals for day in plan.days for organ in organs]
    target.text("organs.csv", table(("label", "name"), enumerate(organs, start=1)))
    target.text(
        "truth.csv",
        table(
            ("subject", "day", "organ", "cells"),
            ((o.plan.id, day, organ, o.cells(organ, day)) for o, day, organ in every),
        ),
    )
    signals = [(o.plan.id, day, organ, o.signal(organ, day)) for o, day, organ in every]
    signals += [(o.plan.id, day, "fiducials", float(o.marker_signals.sum())) for o in animals for day in plan.days]
    target.text("truth_signal.csv", table(("subject", "day", "organ", "signal"), signals))
    if plan.pet is not None:
        activities = ((o.plan.id, day, organ, o.activity_kBq(organ, day)) for o, day, organ in every)
        target.text("truth_activity.csv", table(("subject", "day", "organ", "activity_kBq"), activities))
    half_lives = ((o.plan.id, organ, days) for o in animals for organ, days in half_lives_days(o.courses).items())
    target.text("truth_half_lives.csv", table(("subject", "organ", "half_life_days"), half_lives))
    target.text(
        "calibration.csv", table(("sample", "replicate", "cells", "iron_ng", "signal_total"), _samples(plan, rng))
    )
    saturation = {
        "schema": 1,
        "model": "rational",
        "s_sat": plan.mpi.saturation_signal,
        "valid_to": plan.mpi.saturation_signal / 2,
    }
    target.text("saturation.json", json.dumps(saturation, indent=1) + "\n")


def _samples(plan: Design, rng: np.random.Generator) -> Iterator[tuple[object, ...]]:
    """Yield the calibration's rows: every number of cells three times, scattered as S = a + b x is measured."""
    series = plan.series
    for sample, cells in enumerate(series.cells):
        for replicate in range(1, 4):
            iron_ng = cells * plan.iron_pg_per_cell * 1e-3 * rng.normal(1.0, 0.01)
            signal = series.intercept + plan.signal_per_cell * cells * rng.normal(1.0, series.relative_sd)
            name = "blank" if cells == 0 else f"s{sample}"
            yield name, replicate, cells, float(iron_ng), float(signal + rng.normal(0.0, series.blank_sd))


@dataclass(frozen=True, slots=True)
class _Folder:
    """Where the study is written."""

    path: Path
    overwrite: bool

    def text(self, name: str, text: str) -> None:
        self._bytes(name, text.encode("utf-8"))

    def points(self, name: str, positions_mm: NDArray[np.float64]) -> None:
        points = Points([f"F{number}" for number in range(1, len(positions_mm) + 1)], np.round(positions_mm, 4))
        write_points(points, self.path / name, overwrite=self.overwrite)

    def scan(self, name: str, voxels: NDArray[np.float64], grid: Grid, as_counts: bool) -> None:
        stored = _counts(voxels, name) if as_counts else voxels.astype(np.float32)
        # As scanners' exports do, the files say neither modality nor unit: the study file does.
        self._nifti(name, Volume(stored, grid, name=Path(name).name))

    def labels(self, name: str, voxels: NDArray[np.uint8], grid: Grid, organs: tuple[str, ...]) -> None:
        self._nifti(name, OrganLabels(voxels, grid, dict(enumerate(organs, start=1))))

    def _nifti(self, name: str, what: Volume | OrganLabels) -> None:
        if not name.endswith(".gz"):
            write_volume(what, self.path / name, overwrite=self.overwrite)
            return
        with tempfile.TemporaryDirectory() as scratch:
            plain = Path(scratch) / "scan.nii"
            write_volume(what, plain)
            content = plain.read_bytes()
        self._bytes(name, _gzipped(content))

    def _bytes(self, name: str, content: bytes) -> None:
        with whole_file(self.path / name, self.overwrite) as path:
            path.write_bytes(content)


def _counts(voxels: NDArray[np.float64], name: str) -> NDArray[np.int16]:
    rounded = np.rint(voxels)
    if np.abs(rounded).max() > LARGEST_COUNT:
        raise MeasurementError("a simulated scan does not fit into 16 bits", file=name, remedy="simulate the full size")
    return rounded.astype(np.int16)


def _gzipped(content: bytes) -> bytes:
    """Return ``content`` as a gzip file without name and time: Python's own headers differ between its versions."""
    deflate = zlib.compressobj(COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(content) + deflate.flush()
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return header + body + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
