"""A run from files to report with nothing replaced: two small mice, scanned three times."""

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.report.run import RunSummary, run_study
from napari_mpi_track.writers.scans import write_volume

SIGNAL_PER_CELL = 2.0e-3
INJECTED_CELLS = 4.0e5
BLUR = PointSpread(PsfShape.GAUSSIAN, np.array([2.5, 2.5, 2.5]))
GRID = Grid.from_spacing((28, 24, 20), (1.0, 1.0, 1.0))
HALF_LIFE_DAYS = {"liver": 8.0, "lungs": 2.0}


def organ_voxels() -> np.ndarray:
    voxels = np.zeros(GRID.shape, np.uint8)
    voxels[6:14, 7:17, 5:15] = 1
    voxels[17:22, 8:16, 6:14] = 2
    return voxels


def cells_in(organ: str, day: float) -> float:
    return {"liver": 0.5, "lungs": 0.3}[organ] * INJECTED_CELLS * 2 ** (-day / HALF_LIFE_DAYS[organ])


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two mice")
    rng = np.random.default_rng(5)
    voxels = organ_voxels()
    write_volume(OrganLabels(voxels, GRID, {1: "liver", 2: "lungs"}), folder / "organs.nii.gz")
    (folder / "organs.csv").write_text("label,name\n1,liver\n2,lungs\n")
    rows = [
        f"{x},{SIGNAL_PER_CELL * x + rng.normal(0, 1 + 0.01 * SIGNAL_PER_CELL * x):.6f}"
        for x in (0, 10_000, 50_000, 200_000, 400_000)
        for _ in range(3)
    ]
    (folder / "calibration.csv").write_text("cells,signal\n" + "\n".join(rows) + "\n")
    subjects = ""
    for mouse in ("m01", "m02"):
        days = ""
        for day in (0, 1, 3):
            truth = np.zeros(GRID.shape)
            for label, organ in ((1, "liver"), (2, "lungs")):
                inside = voxels == label
                truth[inside] = SIGNAL_PER_CELL * cells_in(organ, day) / inside.sum()
            scan = BLUR.blur(truth, GRID) + rng.normal(0, 0.004, GRID.shape)
            name = f"{mouse}_day{day}.nii.gz"
            write_volume(Volume(scan.astype(np.float32), GRID, Modality.MPI, unit="a.u."), folder / name)
            organs = ", organs: organs.nii.gz"
            days += f"      - {{day: {day}, mpi: {name}{organs}}}\n"
        signal = SIGNAL_PER_CELL * INJECTED_CELLS
        subjects += f"  - id: {mouse}\n    group: labelled\n    injection: {{cells: 4.0e5, signal: {signal}}}\n"
        subjects += f"    timepoints:\n{days}"
    (folder / "study.yaml").write_text(
        "schema: 1\nname: two mice\ntracer: ProMag\norgans: organs.csv\nspill_over: true\n"
        "psf: {shape: gaussian, fwhm_mm: [2.5, 2.5, 2.5]}\n"
        "calibration: {table: calibration.csv, kind: in-cells, x: cells, signal: signal}\n"
        f"subjects:\n{subjects}"
    )
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def summary(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    return run_study(load_study(study_file), tmp_path_factory.mktemp("alone") / "out")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_cells_come_out_of_the_scans_as_they_went_in(summary: RunSummary) -> None:
    assert summary.failures == ()
    with (summary.folder / "measurements.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["organ"] in HALF_LIFE_DAYS]
    assert len(rows) == 12
    for row in rows:
        truth = cells_in(row["organ"], float(row["day"]))
        # 8 %: what the study of sample_data is held to.
        assert float(row["cells"]) == pytest.approx(truth, rel=0.08)
        assert float(row["cells_low"]) < float(row["cells"]) < float(row["cells_high"])


def test_the_organs_and_outside_add_up_to_the_scan(summary: RunSummary) -> None:
    for scan in {(row.subject, row.day) for row in summary.measurements}:
        signals = {r.organ: r.signal_total for r in summary.measurements if (r.subject, r.day) == scan}
        total = signals.pop("total")
        assert total is not None
        assert sum(value for value in signals.values() if value is not None) == pytest.approx(total, rel=1e-6)


def test_workers_and_resume_change_nothing(study_file: Path, summary: RunSummary, tmp_path: Path) -> None:
    study = load_study(study_file)
    beside = run_study(study, tmp_path / "two", workers=2)
    assert (beside.measured, beside.reused) == (6, 0)
    assert contents(beside.folder) == contents(summary.folder)
    again = run_study(study, tmp_path / "two", resume=True)
    assert (again.measured, again.reused) == (0, 6)
    assert contents(again.folder) == contents(summary.folder)


def test_the_report_holds_every_picture(summary: RunSummary) -> None:
    page = summary.report.read_text()
    assert page.count("data:image/png") == 6
    # Calibration, retention, and of each mouse its decay; the errors of both, and of each mouse's worst day.
    drawn = {file.stem for file in (summary.folder / "figures").iterdir()}
    assert {"calibration", "retention", "decay_m01", "decay_m02", "budget_MPI"} <= drawn
    assert page.count("<img ") == len(drawn)
