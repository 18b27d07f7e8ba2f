"""Curves compared on the command line."""

import json

import numpy as np
import pytest

from napari_mpi_track.cli import main


def run(arguments, status=0):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == status


@pytest.fixture
def curves(tmp_path):
    """Two saved curves against iron, the second 30 % lower."""
    rng = np.random.default_rng(1)
    saved = []
    for name, slope, kind in (("solution", 2.0, "solution-fixed-concentration"), ("cells", 1.4, "in-cells-iron")):
        table, out = tmp_path / f"{name}.csv", tmp_path / f"{name}.json"
        rows = [f"{x},{slope * x + rng.normal(0, 2):.5f}" for x in (0, 50, 100, 200, 400) for _ in range(3)]
        table.write_text("\n".join(["iron_ng,signal", *rows]) + "\n")
        run(
            ["calibrate", table, "--x", "iron_ng", "--signal", "signal", "--kind", kind, "--tracer", "ProMag"]
            + ["--weights", "none", "--metric", "maximum", "--out", out]
        )
        saved.append(out)
    return saved


def test_a_reduction_by_30_percent_is_found_with_its_interval(curves, capsys):
    capsys.readouterr()
    run(["compare-curves", *curves, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["percent_difference_low"] < -30 < found["percent_difference_high"]
    assert found["slope_percent_difference_low"] < -30 < found["slope_percent_difference_high"]
    assert found["equal_slopes"]["p_value"] < 1e-6
    assert found["common_range"] == [50, 400]


def test_a_comparison_is_said_and_drawn(curves, tmp_path, capsys):
    capsys.readouterr()
    run(["compare-curves", *curves, "--figure", tmp_path / "both.svg"])
    said = capsys.readouterr().out
    assert "common range 50 to 400 ng iron; percentages are of solution.json" in said
    assert "95 % interval" in said
    assert (tmp_path / "both.svg").read_text().lstrip().startswith("<?xml")
    run(["compare-curves", *curves, "--figure", tmp_path / "both.svg"], status=2)
    run(["compare-curves", *curves, "--figure", tmp_path / "both.pdf"], status=2)


def test_dilutions_are_compared_from_two_tables(tmp_path, capsys):
    header = "iron_ng,volume_ul,maximum,total,fwhm_mm"
    for name, volume, maximum, fwhm in (("undiluted", 1, 100, 3.0), ("diluted", 20, 90, 3.7)):
        rows = [f"50,{volume},{maximum * f},{1000 * f},{fwhm * f}" for f in (0.99, 1.0, 1.01)]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    tables = [tmp_path / "undiluted.csv", tmp_path / "diluted.csv"]
    run(["compare-dilutions", *tables, "--json"])
    effects = {e["measure"]: e for e in json.loads(capsys.readouterr().out)["effects"]}
    assert effects["maximum"]["percent_difference"] == pytest.approx(-10)
    assert effects["maximum"]["percent_difference_low"] < -10 < effects["maximum"]["percent_difference_high"]
    assert effects["maximum"]["dilution_ratio"] == 20
    run(["compare-dilutions", *tables, "--figure", tmp_path / "dilution.png"])
    assert "fwhm_mm, 50 ng, diluted 20 times: +23.33 % (95 % interval" in capsys.readouterr().out
    assert (tmp_path / "dilution.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["compare-curves", "compare-dilutions"])
def test_every_command_has_an_example_in_its_help(command, capsys):
    run([command, "--help"])
    assert f"Example: mpi-track {command}" in " ".join(capsys.readouterr().out.split())


def test_a_count_undoes_the_scanners_drift_through_its_vial(curves, capsys):
    capsys.readouterr()
    call = ["count", "--calibration", curves[0], "--json"]
    run([*call, "400"])
    then = json.loads(capsys.readouterr().out)["counts"][0]
    run([*call, "360", "--vial", "50,45,0.5"])
    now = json.loads(capsys.readouterr().out)["counts"][0]
    assert now["signal"] == 360
    assert now["iron_ng"] == pytest.approx(then["iron_ng"])
    assert now["iron_ng_high"] - now["iron_ng_low"] > then["iron_ng_high"] - then["iron_ng_low"]
    run([*call, "360", "--vial", "50"], status=2)


def test_an_outlier_is_said_and_kept(tmp_path, capsys):
    table = tmp_path / "c.csv"
    rows = [f"{x},{2 * x + (60 if (x, r) == (200, 1) else r)}" for x in (0, 50, 100, 200, 400) for r in (0, 1, 2)]
    table.write_text("\n".join(["iron_ng,signal", *rows]) + "\n")
    call = ["calibrate", table, "--x", "iron_ng", "--signal", "signal", "--kind", "in-cells-iron", "--tracer", "P"]
    run([*call, "--weights", "none", "--out", tmp_path / "c.json", "--json"])
    said = capsys.readouterr()
    assert "sample 11 (x = 200, signal 460) does not fit the others" in said.err
    assert json.loads(said.out)["n"] == 15
    assert json.loads(said.out)["influence"]["outlier"].index(True) == 10
