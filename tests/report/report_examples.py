"""A small study built by hand: rows, pictures and files, without running any analysis."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.analysis import TimepointAnalysis
from napari_mpi_track.longitudinal.measurement import AlignmentRow, BudgetRow, Measurement
from napari_mpi_track.longitudinal.study import CalibrationChoice, Injection, ScanFile, Study, Subject, Timepoint
from napari_mpi_track.quantification.calibration import Calibration, fit_calibration
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.registration.alignment import Alignment, Verdict

DAYS = (0.0, 1.0, 3.0, 7.0)
CALIBRATION_TABLE = "cells,signal\n" + "".join(
    f"{x},{1.0 + 0.002 * x + wobble}\n" for x in (0, 5000, 20000, 100000) for wobble in (-0.9, 0.2, 0.7)
)


def example_calibration() -> Calibration:
    rng = np.random.default_rng(7)
    x = np.repeat([0.0, 5e3, 2e4, 1e5], 3)
    return fit_calibration(x, 1.0 + 0.002 * x + rng.normal(0, 1, x.size), kind="in-cells", tracer="ProMag", batch="B7")


def example_study(folder: Path, subjects: tuple[str, ...] = ("m01", "m02")) -> Study:
    """A study whose scan files are a few bytes each: they are only hashed, never read."""
    (folder / "calibration.csv").write_text(CALIBRATION_TABLE)
    people = []
    for name in subjects:
        days = []
        for day in DAYS:
            scan = folder / f"{name}_{day:g}_mpi.nii.gz"
            scan.write_bytes(f"{name} {day}".encode())
            days.append(Timepoint(day, mpi=ScanFile(scan)))
        organs = folder / f"{name}_organs.nii.gz"
        organs.write_bytes(name.encode())
        days[0] = replace(days[0], organs=organs)
        given = Injection(datetime(2026, 3, 1, 9, 30), cells=5e5, signal=1000.0)
        people.append(Subject(name, "labelled", injection=given, timepoints=tuple(days)))
    file = folder / "study.yaml"
    file.write_text("schema: 1\n")
    return Study(
        "Cells <in> the & mouse",
        file,
        tuple(people),
        tracer="ProMag",
        calibration=CalibrationChoice(
            table=folder / "calibration.csv", kind="in-cells", x="cells", signal="signal", stated={"batch": "B7"}
        ),
        psf=PointSpread(PsfShape.GAUSSIAN, np.array([2.5, 2.5, 2.5])),
        spill_over=True,
    )


def example_measurements(subject: str = "m01", day: float = 1.0, group: str = "labelled") -> tuple[Measurement, ...]:
    left = 2.0 ** (-day / 4)
    total = Measurement(
        subject, group, day, "MPI", "total", signal_total=520.0 * left, signal=Estimate(520.0 * left, 5.0)
    )
    return (
        Measurement(
            subject, group, day, "MPI", "liver", 1500.0, 400.0 * left, 4.0, 420.0 * left, noise_sd=0.5,
            background_mean=0.0, spill_in_fraction=0.05, cells=209500.0 * left, cells_low=200000.0 * left,
            cells_high=219000.0 * left, signal=Estimate(420.0 * left, 4.5, {"calibration:slope": 1.25}),
        ),
        Measurement(
            subject, group, day, "MPI", "bone", 900.0, 20.0 * left, 3.0, -0.4, noise_sd=0.5, cells_low=0.0,
            cells_high=3123.4, flag="below_detection;spill_over_dominated", signal=Estimate(-0.4, 3.2),
        ),
        total,
    )  # fmt: skip


def example_volume(modality: Modality = Modality.MPI, seed: int = 0, frame: str = "scanner") -> Volume:
    rng = np.random.default_rng(seed)
    voxels = rng.normal(0, 0.5, (12, 9, 7)).astype(np.float32)
    voxels[5:8, 3:6, 2:5] += 40.0
    return Volume(voxels, Grid.from_spacing((12, 9, 7), (2.0, 1.5, 1.0), (1.0, 2.0, 3.0), frame), modality, unit="a.u.")


def example_organs(frame: str = "scanner") -> OrganLabels:
    voxels = np.zeros((12, 9, 7), np.uint8)
    voxels[5:8, 3:6, 2:5] = 1
    voxels[1:3, 1:3, 1:6] = 2
    grid = Grid.from_spacing((12, 9, 7), (2.0, 1.5, 1.0), (1.0, 2.0, 3.0), frame)
    return OrganLabels(voxels, grid, {1: "liver", 2: "bone"})


def example_alignment(seconds: float | None = None) -> Alignment:
    turned = Transform.from_parts(np.eye(3), (1.0, 0.0, 0.0), "anatomy", "mpi")
    return Alignment(turned, "fiducials", verdict=Verdict.DOUBTFUL, reason="two markers disagree", seconds=seconds)


def example_analysis(subject: str = "m01", day: float = 1.0, seconds: float | None = None) -> TimepointAnalysis:
    """What analysing one timepoint might give; ``seconds`` differs from run to run, as a clock does."""
    name = f"{subject}_day{day:g}_MPI_to_anatomy"
    row = AlignmentRow(
        subject, day, "MPI", "anatomy", "fiducials", "rigid", "doubtful", "two markers disagree", 0.12, 0.3, None,
        f"transforms/{name}.tfm",
    )  # fmt: skip
    here = Transform.identity("scanner", "scanner")
    return TimepointAnalysis(
        example_measurements(subject, day),
        (row,),
        (BudgetRow(subject, day, "MPI", "liver", "noise", 4.0, False),),
        ((name, example_alignment(seconds)),),
        (f"the markers of {subject} are dim",),
        (),
        example_volume(seed=int(day)),
        None,
        None,
        example_organs(),
        here,
        here,
        None,
        compared=((example_volume(Modality.MR, seed=9, frame="anatomy"), example_volume(frame="mpi")),),
    )


def read_json(path: Path) -> dict[str, object]:
    document = json.loads(path.read_text())
    assert isinstance(document, dict)
    return document
