"""Every command does what its help says, on small scans of known content."""

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from napari_mpi_track.cli import main


def run(arguments: list[str], status: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == status


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """An MPI of 1 mm voxels: noise of SD 1 and a cube of 4 x 4 x 4 voxels at 100, at an odd place."""
    voxels = np.random.default_rng(0).normal(0, 1, (24, 20, 16)).astype(np.float32)
    voxels[8:12, 6:10, 5:9] += 100
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = [10, 20, -30]
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "mpi.nii.gz")
    return tmp_path / "mpi.nii.gz"


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    table = tmp_path / "calibration.csv"
    rows = ["cells,signal_total"]
    generator = np.random.default_rng(3)
    for cells in (0, 1000, 2000, 4000, 8000):
        rows += [f"{cells},{cells * 1.0 + generator.normal(0, 20):.4f}" for _ in range(3)]
    table.write_text("\n".join(rows) + "\n")
    out = tmp_path / "promag.json"
    run(
        ["calibrate", str(table), "--x", "cells", "--signal", "signal_total", "--kind", "in-cells"]
        + ["--tracer", "ProMag", "--weights", "none", "--out", str(out)]
    )
    return out


def test_info_says_where_a_scan_lies_as_nibabel_does(scan, capsys):
    run(["info", str(scan), "--json"])
    (record,) = json.loads(capsys.readouterr().out)
    affine = nibabel.load(scan).affine
    assert record["shape"] == [16, 20, 24]
    assert record["spacing_mm"] == [1, 1, 1]
    expected = np.diag([-1, -1, 1, 1]) @ affine @ np.eye(4)[[2, 1, 0, 3]]
    np.testing.assert_allclose(record["lps_from_index"], expected, atol=1e-6)


def test_info_lists_what_it_skipped_and_says_so_by_its_status(scan, capsys):
    (scan.parent / "notes.pdf").write_bytes(b"%PDF-1.4")
    run(["info", str(scan.parent), "--json", "--all"], status=3)
    found = json.loads(capsys.readouterr().out)
    assert len(found["volumes"]) == 1
    assert found["skipped"][0]["path"].endswith("notes.pdf")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_convert_keeps_place_and_values(scan, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    run(["convert", str(scan), str(out)])
    before, after = sitk.ReadImage(str(scan)), sitk.ReadImage(str(out))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after), sitk.GetArrayFromImage(before))
    for corner in ((0, 0, 0), (23, 19, 15)):
        np.testing.assert_allclose(
            after.TransformIndexToPhysicalPoint(corner), before.TransformIndexToPhysicalPoint(corner), atol=1e-4
        )


def test_segment_by_noise_finds_the_bright_cube(scan, tmp_path):
    out = tmp_path / "signal.nii.gz"
    run(["segment", str(scan), "--modality", "MPI", "--rule", "noise", "--times-sd", "6", "--out", str(out)])
    assert np.count_nonzero(nibabel.load(out).get_fdata()) == 64


def test_calibrate_writes_the_line_of_the_contract(calibration):
    line = json.loads(calibration.read_text())
    assert line["schema"] == 1
    assert line["slope"] == pytest.approx(1.0, abs=0.02)
    for key in ("kind", "tracer", "intercept", "covariance", "residual_sd", "x_range", "decision_limit", "points"):
        assert key in line


def test_count_reads_signals_as_cells(calibration, capsys):
    capsys.readouterr()
    run(["count", "3000", "-12", "--calibration", str(calibration), "--json"])
    first, second = json.loads(capsys.readouterr().out)["counts"]
    assert first["cells_low"] < 3000 < first["cells_high"]
    assert second["flag"] == "below_detection"
    assert second["cells"] is None
    assert second["cells_low"] == 0


def test_quantify_shares_the_whole_scan_out(scan, calibration, tmp_path):
    labels = np.zeros((24, 20, 16), np.uint8)
    labels[8:12, 6:10, 5:9] = 1
    labels[15:20, 12:18, 3:9] = 2
    nibabel.save(nibabel.Nifti1Image(labels, nibabel.load(scan).affine), tmp_path / "organs.nii.gz")
    (tmp_path / "organs.csv").write_text("label,name\n1,tumour\n2,muscle\n")
    out = tmp_path / "table.csv"
    run(
        ["quantify", str(scan), "--modality", "MPI", "--organs", str(tmp_path / "organs.nii.gz"), "--names"]
        + [str(tmp_path / "organs.csv"), "--calibration", str(calibration), "--out", str(out)]
    )
    with out.open() as stream:
        rows = {row["organ"]: row for row in csv.DictReader(stream)}
    assert list(rows) == ["tumour", "muscle", "outside", "total"]
    parts = sum(float(rows[name]["signal_total"]) for name in ("tumour", "muscle", "outside"))
    assert parts == pytest.approx(float(rows["total"]["signal_total"]), rel=1e-6)
    assert float(rows["tumour"]["signal_total"]) == pytest.approx(6400, abs=40)
    assert float(rows["tumour"]["cells_low"]) < 6400 < float(rows["tumour"]["cells_high"])
    assert "below_detection" in rows["muscle"]["flag"]


def test_align_by_points_and_apply_bring_the_scan_back(scan, tmp_path, capsys):
    generator = np.random.default_rng(5)
    fixed = generator.uniform(-20, 20, (5, 3))
    shift = np.array([3.0, -2.0, 5.0])
    for name, points in (("fixed", fixed), ("moving", fixed + shift)):
        lines = [f"f{i},{x:.6f},{y:.6f},{z:.6f}" for i, (x, y, z) in enumerate(points)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["label,x_mm,y_mm,z_mm", *lines]) + "\n")
    out = tmp_path / "t.tfm"
    run(
        ["align", str(scan), str(scan), "--method", "fiducials", "--fixed-points", str(tmp_path / "fixed.csv")]
        + ["--moving-points", str(tmp_path / "moving.csv"), "--out", str(out), "--json"]
    )
    found = json.loads(capsys.readouterr().out)
    assert found["fiducial_rms_mm"] < 1e-5
    assert len(found["pairs"]) == 5
    mapped = sitk.ReadTransform(str(out)).TransformPoint((1.0, 2.0, 3.0))
    np.testing.assert_allclose(mapped, [4.0, 0.0, 8.0], atol=1e-5)
    assert json.loads((tmp_path / "t.json").read_text())["verdict"] == found["verdict"]
    brought = tmp_path / "brought.nii.gz"
    run(["apply", str(out), str(scan), "--onto", str(scan), "--out", str(brought)])
    before, after = nibabel.load(scan).get_fdata(), nibabel.load(brought).get_fdata()
    # x and y run against LPS in this file's index only through the affine: a shift of +3 mm in LPS x is +3 columns.
    np.testing.assert_allclose(after[2:20, 4:20, 0:10], before[5:23, 2:18, 5:15], atol=1e-3)


def test_fit_finds_the_half_life_of_an_exponential_per_curve(tmp_path):
    table = tmp_path / "curves.csv"
    lines = ["organ,hour,value,sd"]
    for organ, half_life_h in (("liver", 48.0), ("lungs", 20.0)):
        lines += [f"{organ},{hour},{100 * 2 ** (-hour / half_life_h):.6f},1.0" for hour in (0, 12, 24, 48, 96)]
    table.write_text("\n".join(lines) + "\n")
    out = tmp_path / "decay.csv"
    run(
        ["fit", str(table), "--time", "hour", "--time-unit", "hour", "--value", "value", "--error", "sd"]
        + ["--by", "organ", "--model", "exponential", "--out", str(out)]
    )
    with out.open() as stream:
        rows = {row["organ"]: row for row in csv.DictReader(stream)}
    assert float(rows["liver"]["half_life_days"]) == pytest.approx(2.0, rel=1e-3)
    assert float(rows["lungs"]["half_life_days"]) == pytest.approx(20 / 24, rel=1e-3)


def test_every_command_has_an_example_in_its_help(capsys):
    for command in (
        "info",
        "convert",
        "align",
        "check",
        "apply",
        "segment",
        "calibrate",
        "count",
        "quantify",
        "fit",
        "run",
    ):
        run([command, "--help"])
        assert f"Example: mpi-track {command}" in " ".join(capsys.readouterr().out.split())


def test_an_alignment_that_failed_is_refused_with_status_3(scan, tmp_path, capsys):
    generator = np.random.default_rng(6)
    for name in ("fixed", "moving"):
        # Two sets within the scan (LPS), of other distances.
        points = np.array([-22.0, -30.0, -28.0]) + generator.uniform(0, 1, (4, 3)) * [22, 18, 14]
        lines = [f"{name}{i},{x:.6f},{y:.6f},{z:.6f}" for i, (x, y, z) in enumerate(points)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["label,x_mm,y_mm,z_mm", *lines]) + "\n")
    out = tmp_path / "t.tfm"
    arguments = ["align", str(scan), str(scan), "--method", "fiducials", "--out", str(out)]
    run([*arguments, "--fixed-points", str(tmp_path / "fixed.csv"), "--moving-points", str(tmp_path / "moving.csv")], 3)
    assert capsys.readouterr().err.startswith("error: no three of 4 fiducials")
    assert not out.exists()
