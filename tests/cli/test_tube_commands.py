"""From scans of tubes to a curve on the command line."""

import csv
import json

import numpy as np
import pytest
from tube_scans import noise, save, tube

from napari_mpi_track.cli import main
from napari_mpi_track.quantification.saturation import Saturation


def run(arguments, status=0):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == status


@pytest.fixture
def tubes(tmp_path):
    """A folder of scans, a tube each, of 0 to 400 ng at 50 a.u. mm3 per ng; and its sheet."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "tubes"
    folder.mkdir()
    lines = ["name,iron_ng,volume_ul,replicate"]
    for iron in (0, 50, 100, 200, 400):
        for replicate in (1, 2):
            save(tube((16, 18, 20), 50.0 * iron) + noise(rng), folder / f"t{iron}_{replicate}.nii.gz")
            lines.append(f"t{iron}_{replicate},{iron},10,{replicate}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_scans_of_tubes_become_a_curve(tubes, tmp_path, capsys):
    table, out = tmp_path / "table.csv", tmp_path / "curve.json"
    sheet = ["--sheet", tubes / "samples.csv", "--modality", "MPI"]
    run(["measure-tubes", tubes, *sheet, "--out", table])
    assert "10 tubes; totals within 10 mm" in capsys.readouterr().out
    with table.open() as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert rows["t0_1"]["flag"] == "not_detected"
    assert rows["t400_2"]["flag"] == ""
    assert float(rows["t400_2"]["fwhm_row_mm"]) == pytest.approx(3.5, rel=0.05)
    run(
        ["calibrate", table, "--x", "iron_ng", "--signal", "total", "--kind", "solution-fixed-volume"]
        + ["--tracer", "ProMag", "--out", out]
    )
    curve = json.loads(out.read_text())
    # 10 mm around the half maximum keep some two thirds of a separable Lorentzian.
    assert 0.55 < curve["slope"] / 50 < 0.8
    assert curve["r_squared"] > 0.995
    run(["measure-tubes", tubes, *sheet, "--out", table], status=2)
    assert "--overwrite" in capsys.readouterr().err


def test_tubes_are_told_as_json_too(tubes, tmp_path, capsys):
    run(["measure-tubes", tubes, "--modality", "MPI", "--rule", "noise", "--out", tmp_path / "t.csv", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["rule"].startswith("above 5 SD")
    assert len(found["tubes"]) == 10


def test_a_sheet_that_names_another_tube_is_refused(tubes, tmp_path, capsys):
    (tubes / "samples.csv").write_text("name,iron_ng\ntube7,1\n")
    sheet = ["--sheet", tubes / "samples.csv", "--modality", "MPI"]
    run(["measure-tubes", tubes, *sheet, "--out", tmp_path / "t.csv"], status=2)
    assert "the sheet names tube7" in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()


def test_a_receiver_is_calibrated_and_its_curve_straightens_scans(tmp_path, capsys):
    rng = np.random.default_rng(1)
    receiver, s_sat = Saturation(800.0), 800.0
    table, out = tmp_path / "dilutions.csv", tmp_path / "receiver.json"
    iron = np.repeat([1.0, 2, 5, 10, 20, 40, 60, 80], 3)
    readings = receiver.measured(10 * iron) + rng.normal(0, 1, iron.size)
    lines = [f"{x},{y:.6f}" for x, y in zip(iron, readings, strict=True)]
    table.write_text("\n".join(["iron_ng,maximum", *lines]) + "\n")
    run(["calibrate-receiver", table, "--out", out])
    assert "chosen: rational" in capsys.readouterr().out
    assert json.loads(out.read_text())["s_sat"] == pytest.approx(s_sat, rel=0.03)
    bent = receiver.measured(tube((16, 18, 20), 5_000) + tube((16, 18, 20), 25_000)) + noise(rng)
    save(bent, tmp_path / "tube.nii.gz")
    common = [tmp_path / "tube.nii.gz", "--modality", "MPI", "--json", "--out"]
    run(["measure-tubes", *common, tmp_path / "raw.csv"])
    raw = json.loads(capsys.readouterr().out)["tubes"][0]
    run(["measure-tubes", *common, tmp_path / "straight.csv", "--saturation", out])
    straight = json.loads(capsys.readouterr().out)["tubes"][0]
    truth = (tube((16, 18, 20), 30_000)).max()
    assert raw["maximum"] < 0.9 * truth
    assert straight["maximum"] == pytest.approx(truth, rel=0.03)
    run(["segment", tmp_path / "tube.nii.gz", "--modality", "MPI", "--saturation", out, "--out", tmp_path / "s.nii.gz"])


def test_units_mixed_up_are_asked_about(tmp_path, capsys):
    table = tmp_path / "mixed.csv"
    table.write_text("iron_ng,total\n0,5\n50,105\n100,205\n200,405\n0.4,805\n")
    call = ["calibrate", table, "--x", "iron_ng", "--signal", "total", "--kind", "in-cells-iron", "--tracer", "P"]
    run([*call, "--weights", "none", "--out", tmp_path / "c.json"], status=2)
    assert "(ng and ug mixed up)?" in capsys.readouterr().err


def test_a_count_without_a_finite_interval_says_why(tmp_path, capsys):
    table = tmp_path / "poor.csv"
    table.write_text("cells,total\n0,9\n0,1\n1000,2\n1000,12\n2000,4\n2000,16\n")
    out = tmp_path / "c.json"
    call = ["calibrate", table, "--x", "cells", "--signal", "total", "--kind", "in-cells", "--tracer", "P"]
    run([*call, "--weights", "none", "--out", out])
    capsys.readouterr()
    run(["count", "100", "1e6", "--calibration", out])
    said = capsys.readouterr()
    assert "no finite interval: the slope of the calibration is not told apart from zero (g >= 1)" in said.out
    assert "is it in the same unit?" in said.err


@pytest.mark.parametrize("command", ["measure-tubes", "calibrate-receiver"])
def test_every_command_has_an_example_in_its_help(command, capsys):
    run([command, "--help"])
    assert f"Example: mpi-track {command}" in " ".join(capsys.readouterr().out.split())
