"""Simulated studies: what stands on disk agrees with the truth beside it. Read with nibabel and ruamel, not by us."""

import csv
import json
import runpy
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy.ndimage import center_of_mass, label

from napari_mpi_track.errors import MeasurementError, OutputExistsError
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.simulation.studies import simulate_study

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"
ZR89_HALF_LIFE_DAYS = 78.41 / 24
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def sample_maker() -> Mapping[str, Any]:
    return runpy.run_path(str(SAMPLE_DATA / "make_sample_data.py"))


@pytest.fixture(scope="module")
def made(sample_maker: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sample studies, made anew."""
    folder = tmp_path_factory.mktemp("sample")
    sample_maker["make"](folder)
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _truth(path: Path, column: str) -> dict[tuple[str, float, str], float]:
    return {(row["subject"], float(row["day"]), row["organ"]): float(row[column]) for row in _rows(path)}


def _scan(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Voxels by (i, j, k) and the 4x4 map from there to LPS mm, as nibabel reads them."""
    image = nibabel.load(path)
    return np.asarray(image.dataobj, dtype=float), RAS_FROM_LPS @ image.affine


def _tree(study: Path) -> Any:
    return YAML(typ="safe").load((study / "study.yaml").read_text(encoding="utf-8"))


def _poses(study: Path, subject: str, day: float) -> dict[str, NDArray[np.float64]]:
    record = json.loads((study / "truth_transforms.json").read_text())["subjects"][subject][f"{day:g}"]
    return {name: np.array(values) for name, values in record.items()}


def test_the_sample_data_is_what_its_script_makes(sample_maker: Mapping[str, Any], made: Path) -> None:
    differing = sample_maker["differences"](made, SAMPLE_DATA)
    # The content is compared everywhere; how it is packed depends on the platform's zlib.
    assert [line for line in differing if not line.endswith("packed otherwise")] == []


def test_the_sample_data_stays_under_15_mb() -> None:
    assert sum(path.stat().st_size for path in SAMPLE_DATA.rglob("*") if path.is_file()) < 15e6


def test_the_same_seed_gives_the_same_bytes_and_progress_runs_from_nothing_to_all(made: Path, tmp_path: Path) -> None:
    told: list[float] = []
    simulate_study(tmp_path, study="car-t", seed=2026, progress=lambda part, _: told.append(part))
    again = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert again == {p.relative_to(made / "car-t"): p.read_bytes() for p in (made / "car-t").rglob("*") if p.is_file()}
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


class _EnoughError(Exception):
    pass


def test_another_seed_gives_another_study_and_what_is_cut_short_is_no_study(made: Path, tmp_path: Path) -> None:
    def stop_after_a_day(part: float, _: str) -> None:
        if part > 0:
            raise _EnoughError

    with pytest.raises(_EnoughError):
        simulate_study(tmp_path, study="car-t", seed=7, progress=stop_after_a_day)
    scan = "m01/day00_mpi.nii.gz"
    assert (tmp_path / scan).read_bytes() != (made / "car-t" / scan).read_bytes()
    assert not (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize("name", ["car-t", "knee"])
def test_the_study_file_is_one_that_the_program_reads(made: Path, name: str) -> None:
    study = load_study(made / name / "study.yaml")
    assert study.psf is not None
    assert study.spill_over
    assert study.saturation == made / name / "saturation.json"
    for subject in study.subjects:
        assert sum(t.organs is not None for t in subject.timepoints) == 1
        assert sum(t.mpi_fiducials is not None for t in subject.timepoints) == 1


def test_the_studies_follow_their_designs(made: Path) -> None:
    mice, knees = _tree(made / "car-t"), _tree(made / "knee")
    assert [t["day"] for t in mice["subjects"][0]["timepoints"]] == [0, 1, 3, 7]
    assert all("pet" in t for t in mice["subjects"][0]["timepoints"])
    assert [s["control"] for s in knees["subjects"]] == [False, True]
    for subject in knees["subjects"]:
        assert [t["day"] for t in subject["timepoints"]] == [-1, 0, 1, 3, 7, 30]
        assert [t.get("baseline", False) for t in subject["timepoints"]] == [True] + [False] * 5
        assert {"time", "signal", "residue_signal", "iron_ug"} <= set(subject["injection"])
        assert all(0 < after <= before <= 96 for before, after in (s.values() for s in subject["scores"].values()))
    organs = {row["name"] for row in _rows(made / "car-t" / "organs.csv")}
    assert organs == {"tumour", "lungs", "liver", "spleen", "bone"}


@pytest.mark.parametrize("name", ["car-t", "knee"])
def test_every_time_is_the_injection_plus_its_day(made: Path, name: str) -> None:
    for subject in _tree(made / name)["subjects"]:
        for timepoint in subject["timepoints"]:
            elapsed: timedelta = timepoint["time"] - subject["injection"]["time"]
            assert isinstance(timepoint["time"], datetime)
            assert elapsed / timedelta(days=1) == timepoint["day"]


def test_an_mpi_scan_holds_the_signal_of_its_organs_and_fiducials(made: Path) -> None:
    study = made / "car-t"
    signals = _truth(study / "truth_signal.csv", "signal")
    saturation = json.loads((study / "saturation.json").read_text())["s_sat"]
    for timepoint in _tree(study)["subjects"][0]["timepoints"]:
        measured, lps_from_index = _scan(study / timepoint["mpi"])
        total = (measured / (1 - measured / saturation)).sum() * abs(np.linalg.det(lps_from_index[:3, :3]))
        expected = sum(signal for (_, day, _), signal in signals.items() if day == timepoint["day"])
        # The noise of the whole scan: SD 8, correlated over 0.88 voxels, 236,000 voxels of 1.95 mm3: 45,000 a.u. mm3.
        assert abs(total - expected) < 4 * 45_000


def test_a_pet_scan_holds_the_activity_of_its_organs(made: Path) -> None:
    study = made / "car-t"
    activities = _truth(study / "truth_activity.csv", "activity_kBq")
    for timepoint in _tree(study)["subjects"][0]["timepoints"]:
        concentration, lps_from_index = _scan(study / timepoint["pet"]["path"])
        millilitres = abs(np.linalg.det(lps_from_index[:3, :3])) / 1000
        expected = sum(activity for (_, day, _), activity in activities.items() if day == timepoint["day"])
        assert concentration.sum() * millilitres / 1000 == pytest.approx(expected, rel=0.01, abs=0.15)


def test_activity_is_cells_times_specific_activity_decayed_since_its_assay(made: Path) -> None:
    study = made / "car-t"
    cells, activities = _truth(study / "truth.csv", "cells"), _truth(study / "truth_activity.csv", "activity_kBq")
    subject = _tree(study)["subjects"][0]
    tracer = subject["radiotracer"]
    specific = tracer["activity_per_million_cells_kBq"]
    assert tracer["activity_kBq"] == pytest.approx(subject["injection"]["cells"] * specific / 1e6)
    for (name, day, organ), activity in activities.items():
        since = (subject["injection"]["time"] - tracer["assayed_at"]) / timedelta(days=1) + day
        from_cells = cells[name, day, organ] * specific / 1e6 * 2 ** (-since / ZR89_HALF_LIFE_DAYS)
        if organ == "bone":
            assert cells[name, day, organ] == 0
            assert (activity > 0) == (day > 0)
        else:
            assert activity == pytest.approx(from_cells, rel=1e-6)


@pytest.mark.parametrize("name", ["car-t", "knee"])
def test_signals_are_cells_times_the_slope_of_the_calibration(made: Path, name: str) -> None:
    cells, signals = _truth(made / name / "truth.csv", "cells"), _truth(made / name / "truth_signal.csv", "signal")
    samples = _rows(made / name / "calibration.csv")
    x, y = (np.array([float(row[column]) for row in samples]) for column in ("cells", "signal_total"))
    assert np.all(np.unique(x, return_counts=True)[1] == 3)
    assert x.min() == 0
    slope = np.polyfit(x, y, 1)[0]
    ratios = [signals[key] / count for key, count in cells.items() if count > 0]
    assert np.ptp(ratios) < 1e-6 * ratios[0]
    # 2 % scatter, three replicates at each of eight or nine steps.
    assert slope == pytest.approx(ratios[0], rel=0.03)


@pytest.mark.parametrize("name", ["car-t", "knee"])
def test_organs_with_a_half_life_fall_exponentially_in_the_truth(made: Path, name: str) -> None:
    signals = _truth(made / name / "truth_signal.csv", "signal")
    half_lives = _rows(made / name / "truth_half_lives.csv")
    assert half_lives
    for row in half_lives:
        days = [
            day for (subject, day, organ) in signals if (subject, organ) == (row["subject"], row["organ"]) and day >= 0
        ]
        logs = [np.log2(signals[row["subject"], day, row["organ"]]) for day in days]
        assert np.diff(logs) == pytest.approx(-np.diff(days) / float(row["half_life_days"]), rel=1e-6)


def test_no_more_is_found_than_was_injected_and_nothing_before(made: Path) -> None:
    for name in ("car-t", "knee"):
        signals = _truth(made / name / "truth_signal.csv", "signal")
        for subject in _tree(made / name)["subjects"]:
            injected = subject["injection"]["signal"] - subject["injection"]["residue_signal"]
            for timepoint in subject["timepoints"]:
                day = timepoint["day"]
                found = sum(
                    s for (i, d, o), s in signals.items() if (i, d) == (subject["id"], day) and o != "fiducials"
                )
                assert found == 0 if day < 0 else 0 < found < injected


def test_the_cell_free_arm_holds_signal_but_no_cells(made: Path) -> None:
    cells, signals = (_truth(made / "knee" / n, c) for n, c in (("truth.csv", "cells"), ("truth_signal.csv", "signal")))
    assert all(count == 0 for (subject, _, _), count in cells.items() if subject.startswith("c"))
    assert signals["c01", 0.0, "joint_cavity"] > 1e7


@pytest.mark.parametrize(
    ("name", "brightness", "air", "reach_mm"), [("car-t", 1900, -1000, 2.7), ("knee", 1050, 0, 6.5)]
)
def test_the_fiducials_lie_in_the_anatomy_where_the_truth_says(
    made: Path, name: str, brightness: float, air: float, reach_mm: float
) -> None:
    for subject in _tree(made / name)["subjects"]:
        for timepoint in subject["timepoints"]:
            voxels, lps_from_index = _scan(made / name / timepoint["anatomy"]["path"])
            blobs, count = label(voxels > brightness)
            centres = np.array(center_of_mass(voxels, blobs, range(1, count + 1)))
            found = np.array([_centroid_mm(voxels - air, lps_from_index, centre, reach_mm) for centre in centres])
            expected = _poses(made / name, subject["id"], timepoint["day"])["anatomy_fiducials_mm"]
            assert len(found) == 5
            apart = np.linalg.norm(found[:, None] - expected, axis=-1)
            assert apart.min(axis=0).max() < 0.1 * np.linalg.norm(lps_from_index[:3, 0])


def _centroid_mm(
    voxels: NDArray[np.float64], lps_from_index: NDArray[np.float64], near: NDArray[np.float64], reach_mm: float
) -> NDArray[np.float64]:
    """Centroid of everything within ``reach_mm`` of an index: the fiducials stand alone in air."""
    first = np.rint(near).astype(int) - 6
    box = voxels[tuple(slice(a, a + 13) for a in first)]
    places = (np.indices(box.shape).reshape(3, -1).T + first) @ lps_from_index[:3, :3].T + lps_from_index[:3, 3]
    middle = lps_from_index[:3, :3] @ near + lps_from_index[:3, 3]
    weights = box.ravel() * (np.linalg.norm(places - middle, axis=1) < reach_mm)
    return np.asarray(weights @ places / weights.sum())


@pytest.mark.parametrize(("name", "scan"), [("car-t", "ct"), ("knee", "mr")])
def test_the_mpi_shows_each_fiducial_as_a_peak_where_the_pose_puts_it(made: Path, name: str, scan: str) -> None:
    for subject in _tree(made / name)["subjects"]:
        for timepoint in subject["timepoints"]:
            voxels, lps_from_index = _scan(made / name / timepoint["mpi"])
            poses = _poses(made / name, subject["id"], timepoint["day"])
            mapped = (
                poses["anatomy_fiducials_mm"] @ poses["mpi_from_anatomy"][:3, :3].T + poses["mpi_from_anatomy"][:3, 3]
            )
            assert mapped == pytest.approx(poses["mpi_fiducials_mm"], abs=1e-6)
            inverse = np.linalg.inv(lps_from_index)
            for point in mapped @ inverse[:3, :3].T + inverse[:3, 3]:
                first = np.rint(point).astype(int) - 2
                near = voxels[tuple(slice(a, a + 5) for a in first)]
                peak = first + np.unravel_index(near.argmax(), near.shape)
                assert np.abs(peak - point).max() < 1.0, scan


@pytest.mark.parametrize(("name", "scan"), [("car-t", "ct"), ("knee", "mr")])
def test_fiducials_given_as_files_are_the_true_ones_within_their_picking_error(
    made: Path, name: str, scan: str
) -> None:
    for subject in _tree(made / name)["subjects"]:
        for timepoint in subject["timepoints"]:
            poses = _poses(made / name, subject["id"], timepoint["day"])
            for what in timepoint.get("fiducials", {}):
                rows = _rows(made / name / timepoint["fiducials"][what])
                given = np.array([[float(row[axis]) for axis in ("x_mm", "y_mm", "z_mm")] for row in rows])
                sd_mm = {"ct": 0.03, "mr": 0.1}[scan]
                assert np.abs(given - poses[f"{what}_fiducials_mm"]).max() < 4.5 * sd_mm


@pytest.mark.parametrize("name", ["car-t", "knee"])
def test_no_two_days_have_one_pose_and_all_poses_are_rigid(made: Path, name: str) -> None:
    record = json.loads((made / name / "truth_transforms.json").read_text())["subjects"]
    matrices = [
        np.array(day[m])
        for s in record.values()
        for day in s.values()
        for m in ("anatomy_from_body", "mpi_from_anatomy")
    ]
    for matrix in matrices:
        assert matrix[:3, :3].T @ matrix[:3, :3] == pytest.approx(np.eye(3), abs=1e-8)
        assert np.linalg.det(matrix[:3, :3]) > 0
    firsts = np.array(matrices[::2])
    apart = np.abs(firsts[:, None] - firsts).max(axis=(2, 3)) + np.eye(len(firsts))
    assert apart.min() > 0.1


def test_the_drawn_organs_lie_on_the_grid_of_that_days_anatomy(made: Path) -> None:
    for name in ("car-t", "knee"):
        for subject in _tree(made / name)["subjects"]:
            (drawn,) = [t for t in subject["timepoints"] if "organs" in t]
            organs, anatomy = (nibabel.load(made / name / file) for file in (drawn["organs"], drawn["anatomy"]["path"]))
            assert organs.shape == anatomy.shape
            assert organs.affine == pytest.approx(anatomy.affine)
            names = {int(row["label"]) for row in _rows(made / name / "organs.csv")}
            assert set(np.unique(np.asarray(organs.dataobj)).astype(int)) == {0, *names}


def test_in_the_ct_the_lungs_are_dark_and_bones_bright(made: Path) -> None:
    ct, _ = _scan(made / "car-t" / "m01" / "day00_ct.nii.gz")
    organs, _ = _scan(made / "car-t" / "m01" / "day00_organs.nii.gz")
    value = {row["name"]: int(row["label"]) for row in _rows(made / "car-t" / "organs.csv")}
    mean = {name: ct[organs == number].mean() for name, number in value.items()}
    assert mean["lungs"] < -400
    assert mean["bone"] > 500
    assert 30 < mean["liver"] < 80


def test_a_study_that_is_there_is_not_overwritten_unasked(made: Path) -> None:
    with pytest.raises(OutputExistsError, match=r"study\.yaml"):
        simulate_study(made / "car-t")


@pytest.mark.parametrize(("study", "size"), [("rat", "small"), ("knee", "tiny")])
def test_an_unknown_study_or_size_is_named(tmp_path: Path, study: Any, size: Any) -> None:
    with pytest.raises(MeasurementError, match=study if study == "rat" else size):
        simulate_study(tmp_path, study=study, size=size)
    assert list(tmp_path.iterdir()) == []
