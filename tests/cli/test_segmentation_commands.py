"""``mpi-track segment``: every rule from a file to a file, all of them side by side, and faults named."""

import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from napari_mpi_track.cli import main
from napari_mpi_track.readers.organs import read_organs

AFFINE = np.diag([-0.6, -0.5, 0.8, 1.0])
SHAPE = (40, 32, 24)


def run(*words, status=0):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == status


def write(path, voxels, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture
def scan(tmp_path):
    """Two blobs that touch and one apart, in noise of SD 1."""
    index = np.indices(SHAPE).transpose(1, 2, 3, 0)
    voxels = np.random.default_rng(0).normal(size=SHAPE)
    for centre, peak in (((10, 16, 12), 100.0), ((18, 16, 12), 60.0), ((32, 8, 6), 200.0)):
        voxels += peak * np.exp(-0.5 * ((index - centre) ** 2).sum(-1) / 2.2**2)
    return write(tmp_path / "mpi.nii.gz", voxels.astype(np.float32))


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (["--rule", "noise", "--noise-sd", "1"], 3),
        (["--rule", "fraction-of-max", "--fraction", "0.15"], 3),
        (["--rule", "kmeans", "--classes", "4", "--seed", "3"], 3),
        (["--rule", "otsu"], 3),
    ],
)
def test_every_rule_writes_places_that_keep_their_names(scan, tmp_path, rule, names):
    out = tmp_path / "labels.nii.gz"
    run("segment", scan, "--modality", "MPI", *rule, "--split", "--minimum-volume-mm3", "3", "--out", out)
    organs = read_organs(out)
    assert list(organs.names.values()) == [f"signal {n + 1}" for n in range(names)]
    whole = tmp_path / "whole.nii.gz"
    run("segment", scan, "--modality", "MPI", *rule, "--minimum-volume-mm3", "3", "--out", whole)
    together = read_organs(whole)
    assert list(together.names.values()) == ["signal"]
    np.testing.assert_array_equal(together.voxels > 0, organs.voxels > 0)


def test_the_noise_is_measured_where_its_labels_say(scan, tmp_path, capsys):
    quiet = np.zeros(SHAPE, dtype=np.uint8)
    quiet[25:, 20:, 14:] = 1
    labels, out = write(tmp_path / "quiet.nii.gz", quiet), tmp_path / "s.nii.gz"
    run("segment", scan, "--modality", "MPI", "--background", labels, "--out", out, "--json")
    values = nibabel.load(scan).get_fdata()[quiet > 0]
    assert json.loads(capsys.readouterr().out)["threshold"] == pytest.approx(values.mean() + 5 * values.std(ddof=1))
    other = write(tmp_path / "other.nii.gz", quiet, np.diag([1.0, 1.0, 1.0, 1.0]))
    run("segment", scan, "--background", other, "--out", tmp_path / "no.nii.gz", status=2)
    assert "another grid" in capsys.readouterr().err


def test_a_point_grows_the_place_it_lies_in_and_a_leak_is_said(scan, tmp_path, capsys):
    out = tmp_path / "grown.nii.gz"
    # NIfTI is RAS, the point LPS: both first axes of this file point to the left and back.
    place = ",".join(f"{n * s:g}" for n, s in zip((18, 16, 12), (0.6, 0.5, 0.8), strict=True))
    run("segment", scan, "--modality", "MPI", "--seed-point", place, "--noise-sd", "1", "--out", out)
    said = capsys.readouterr()
    assert "ran into a brighter neighbour" in said.err
    grown = nibabel.load(out).get_fdata() > 0
    assert grown[18, 16, 12]
    assert not grown[10, 16, 12]
    run("segment", scan, "--seed-point", "-300,0,0", "--noise-sd", "1", "--out", tmp_path / "no.nii.gz", status=2)
    assert "outside the scan" in capsys.readouterr().err
    tight = ["--rule", "fraction-of-max", "--fraction", "0.8", "--largest-mm3", "2"]
    run("segment", scan, "--seed-point", place, "--noise-sd", "1", *tight, "--out", tmp_path / "no.nii.gz", status=2)
    assert "more than the 2 allowed" in capsys.readouterr().err


def test_compare_shows_every_rule_and_the_spread(scan, tmp_path, capsys):
    organs = np.zeros(SHAPE, dtype=np.uint8)
    organs[26:38, 2:14, 1:12] = 1
    labels = write(tmp_path / "organs.nii.gz", organs)
    run("segment", scan, "--modality", "MPI", "--compare", "--organs", labels, "--json")
    found = json.loads(capsys.readouterr().out)
    totals = [row["total"] for row in found["rules"]]
    voxels = nibabel.load(scan).get_fdata()
    for row in found["rules"]:
        above = voxels[voxels > row["threshold"]]
        assert row["total"] == pytest.approx((above - found["background"]).sum() * 0.6 * 0.5 * 0.8, rel=1e-5)
    assert found["spread"]["sd_percent"] == pytest.approx(100 * np.std(totals, ddof=1) / np.mean(totals), rel=1e-6)
    assert 0.2 < found["organs"]["1"]["kept"]["fraction-of-max"] < found["organs"]["1"]["kept"]["noise"] < 1.05
    run("segment", scan, "--modality", "MPI", "--compare", "--organs", labels)
    text = capsys.readouterr().out
    for word in ("noise", "fraction-of-max", "kmeans", "otsu", "spread of totals", "% of the mean", "kept by"):
        assert word in text


def test_compare_reads_signals_as_cells_by_a_calibration(scan, tmp_path, capsys):
    table = tmp_path / "samples.csv"
    samples = [(x, 0.02 * x + e) for x, e in ((0, 0.3), (0, -0.2), (1e4, 2), (5e4, -4), (1e5, 5), (2e5, -8))]
    table.write_text("cells,signal\n" + "".join(f"{x},{s}\n" for x, s in samples))
    line = tmp_path / "line.json"
    fit = ["--x", "cells", "--signal", "signal", "--kind", "in-cells", "--tracer", "ProMag"]
    run("calibrate", table, *fit, "--total-rule", "5 SD", "--units-checked", "--out", line)
    capsys.readouterr()
    run("segment", scan, "--modality", "MPI", "--compare", "--calibration", line, "--json")
    said = capsys.readouterr()
    assert "cells by other rules are off" in said.err
    for row in json.loads(said.out)["rules"]:
        assert row["cells"] == pytest.approx(row["total"] / 0.02, rel=0.05)
        assert row["cells_low"] < row["cells"] < row["cells_high"]


def test_a_curve_made_with_saturation_undone_refuses_a_scan_that_was_not(scan, tmp_path, capsys):
    table, line = tmp_path / "samples.csv", tmp_path / "line.json"
    table.write_text("cells,signal\n" + "".join(f"{x},{0.02 * x + x % 7}\n" for x in (0, 1e4, 3e4, 5e4, 1e5)))
    fit = ["--x", "cells", "--signal", "signal", "--kind", "in-cells", "--tracer", "ProMag"]
    run("calibrate", table, *fit, "--units-checked", "--out", line)
    line.write_text(json.dumps({**json.loads(line.read_text()), "saturation": "receiver A"}))
    run("segment", scan, "--modality", "MPI", "--compare", "--calibration", line, status=2)
    assert "saturation" in capsys.readouterr().err


def test_a_projection_is_compared_in_mm2(tmp_path, capsys):
    voxels = np.random.default_rng(2).normal(size=(40, 32, 1))
    voxels[10:20, 10:20] += 50
    plane = write(tmp_path / "plane.nii.gz", voxels.astype(np.float32))
    run("segment", plane, "--modality", "MPI", "--projection", "--compare", "--json")
    row = json.loads(capsys.readouterr().out)["rules"][0]
    assert row["volume_mm3"] is None
    assert row["area_mm2"] == pytest.approx(100 * 0.6 * 0.5)


def test_voxels_without_a_number_are_said(scan, tmp_path, capsys):
    voxels = nibabel.load(scan).get_fdata()
    voxels[0, 0, :5] = np.nan
    holed = write(tmp_path / "holed.nii.gz", voxels.astype(np.float32))
    run("segment", holed, "--modality", "MPI", "--rule", "otsu", "--out", tmp_path / "s.nii.gz")
    assert "5 voxels hold no number; they are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --out LABELS, or --compare"),
        (["--rule", "body", "--compare"], "--compare: for signal, not for body"),
        (["--rule", "lungs", "--times-sd", "4", "--out", "x.nii.gz"], "--times-sd: for signal, not for lungs"),
        (["--fraction", "0.3", "--out", "x.nii.gz"], "choose --rule fraction-of-max"),
        (["--rule", "otsu", "--classes", "4", "--out", "x.nii.gz"], "--classes: not of the rule otsu"),
        (["--rule", "kmeans", "--seed", "-1", "--out", "x.nii.gz"], "'--seed'"),
        (["--seed-point", "1,2,3", "--minimum-volume-mm3", "3", "--out", "x.nii.gz"], "one place already"),
        (["--compare", "--transform", "t.tfm"], "--transform places --organs"),
        (["--largest-mm3", "5", "--out", "x.nii.gz"], "goes with --seed-point"),
        (["--split", "--seed-point", "1,2,3", "--out", "x.nii.gz"], "leave out --split"),
        (["--seed-point", "1,2", "--out", "x.nii.gz"], "X,Y,Z in mm"),
        (["--organs", "o.nii.gz", "--out", "x.nii.gz"], "add --compare"),
        (["--noise-sd", "-1", "--out", "x.nii.gz"], "positive SD"),
        (["--rule", "kmeans", "--classes", "9", "--out", "x.nii.gz"], "2 to 5 classes"),
        (["--times-sd", "1e9", "--out", "x.nii.gz"], "choose a lower threshold"),
        (["--rule", "bone", "--out", "x.nii.gz"], "density in a CT only"),
    ],
)
def test_a_call_that_makes_no_sense_says_what_to_do(scan, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    run("segment", scan, "--modality", "MPI", *words, status=2)
    assert said in capsys.readouterr().err


def test_fractions_are_no_labels(scan, tmp_path, capsys):
    halves = write(tmp_path / "halves.nii.gz", np.full(SHAPE, 0.5, dtype=np.float32))
    run("segment", scan, "--modality", "MPI", "--compare", "--organs", halves, status=2)
    assert "labels must be whole numbers" in capsys.readouterr().err


def test_a_body_in_a_ct_is_found_by_its_rule(tmp_path):
    voxels = np.full((60, 40, 30), -1000, dtype=np.int16)
    voxels[5:55, 8:32, 5:25] = 40
    ct = write(tmp_path / "ct.nii.gz", voxels)
    run("segment", ct, "--modality", "CT", "--unit", "HU", "--rule", "body", "--out", tmp_path / "body.nii.gz")
    body = read_organs(tmp_path / "body.nii.gz")
    assert list(body.names.values()) == ["body"]
    # The block's edge is smoothed by less than a voxel: 10 % of its volume.
    assert np.count_nonzero(body.voxels) == pytest.approx(50 * 24 * 20, rel=0.1)


def test_organs_of_another_grid_are_compared_where_a_transform_places_them(scan, tmp_path, capsys):
    here = np.zeros(SHAPE, dtype=np.uint8)
    here[26:38, 2:14, 0:12] = 7
    on_scan = write(tmp_path / "here.nii.gz", here)
    # Voxels of half the size, and the whole 5 mm further along x: a transform takes it back.
    fine = AFFINE.copy()
    fine[:, :3] /= 2
    fine[:3, 3] = AFFINE[:3, :3] @ (-0.25, -0.25, -0.25)
    fine[0, 3] -= 5.0
    elsewhere = write(tmp_path / "fine.nii.gz", np.kron(here, np.ones((2, 2, 2), dtype=np.uint8)), fine)
    back = sitk.AffineTransform(3)
    back.SetTranslation((-5.0, 0.0, 0.0))
    sitk.WriteTransform(back, str(tmp_path / "back.tfm"))
    run("segment", scan, "--compare", "--organs", on_scan, "--json")
    expected = json.loads(capsys.readouterr().out)["organs"]["7"]
    run("segment", scan, "--compare", "--organs", elsewhere, "--transform", tmp_path / "back.tfm", "--json")
    found = json.loads(capsys.readouterr().out)["organs"]["7"]
    # The sampled shares of a voxel end in single precision of the labels' grid.
    assert found["total"] == pytest.approx(expected["total"], rel=1e-4)
    assert found["kept"]["noise"] == pytest.approx(expected["kept"]["noise"], rel=1e-4)
    run("segment", scan, "--compare", "--organs", elsewhere, status=2)
    assert "give --transform" in capsys.readouterr().err


def test_what_is_found_is_told_in_voxels_and_mm3(scan, tmp_path, capsys):
    run("segment", scan, "--unit", "a.u.", "--rule", "otsu", "--out", tmp_path / "s.nii.gz")
    count = int(np.count_nonzero(read_organs(tmp_path / "s.nii.gz").voxels))
    # 0.6 x 0.5 x 0.8 mm
    assert f"{count} voxels ({count * 0.24:.5g} mm3) above" in capsys.readouterr().out
