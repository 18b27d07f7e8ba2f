"""calibrate, count and compare-curves as a new user meets them: figures, conditions, overrides, and bad input."""

import csv
import json

import nibabel
import numpy as np
import pytest

from napari_mpi_track.cli import main

LEVELS = np.repeat([0, 10_000, 50_000, 100_000, 200_000], 3)


def run(arguments, capsys, status=0):
    """Run a command that must end with ``status``; return what it said on stdout and stderr."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert end.value.code == status, said.err
    return said


def refused(arguments, capsys):
    """Return the one error line of a command that is at fault."""
    said = run(arguments, capsys, 2)
    [line] = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert said.err.splitlines()[-1] == line
    assert "Traceback" not in said.err
    return line


def call(table, out, x="cells", kind="in-cells"):
    return ["calibrate", table, "--x", x, "--signal", "signal", "--kind", kind, "--tracer", "ProMag", "--out", out]


@pytest.fixture
def table(tmp_path):
    def write(xs, signals, x="cells"):
        path = tmp_path / "samples.csv"
        path.write_text(f"{x},signal\n" + "".join(f"{a},{b}\n" for a, b in zip(xs, signals, strict=True)))
        return path

    return write


@pytest.fixture
def curve(table, tmp_path, capsys):
    signals = 3 + 1e-3 * LEVELS + np.random.default_rng(1).normal(0, 1, LEVELS.size)
    out = tmp_path / "curve.json"
    run([*call(table(LEVELS, signals), out), "--scan-mode", "high gain", "--metric", "total"], capsys)
    return out


@pytest.mark.parametrize(
    ("xs", "signals", "words"),
    [
        ([0, 0, 1e5, 1e5], [1, 2, 101, 102], "needs samples at 3 different x or more, got 2 (0, 100000)"),
        ([0, 1e4, 1e5], [5, 5, 5], "the signal is 5 in every sample"),
        ([0, 1e4, 1e5], [50, 30, 5], "the signal must rise with x, but the fitted slope is -0.0003"),
        ([0, 10, 50, 100, 200, 0.5], [3, 13, 53, 103, 203, 503], "a thousand times too small (ng and ug mixed up)?"),
        ([], [], "the table has a header and no samples"),
        ([0, 1e4, -1e5], [1, 2, 3], "x must not be negative, got -100000"),
    ],
)
def test_samples_that_make_no_line_are_refused_in_one_line(table, tmp_path, capsys, xs, signals, words):
    out = tmp_path / "c.json"
    line = refused(call(table(xs, signals), out), capsys)
    assert words in line
    assert "samples.csv" in line
    assert not out.exists()


@pytest.mark.parametrize(("column", "kind"), [("cells", "in-cells-iron"), ("iron_ng", "in-cells")])
def test_a_column_of_another_quantity_than_the_kinds_is_refused(table, tmp_path, capsys, column, kind):
    line = refused(call(table(LEVELS, 1 + LEVELS, column), tmp_path / "c.json", column, kind), capsys)
    assert f"a calibration of kind {kind} is against" in line


def test_a_slope_that_may_be_zero_is_warned_of_when_the_curve_is_made(table, tmp_path, capsys):
    out = tmp_path / "c.json"
    samples = table([0, 1e4, 2e4, 3e4, 4e4], [5, 9, 4, 8, 7])
    said = run(call(samples, out), capsys)
    assert "the slope is not told apart from zero (g =" in said.err
    counted = run(["count", "100", "--calibration", out], capsys)
    assert "no finite interval" in counted.out


def test_signals_outside_the_range_are_said_to_be(curve, capsys):
    said = run(["count", "640.2", "1.0", "1e9", "--calibration", curve, "--json"], capsys)
    above, below, far = json.loads(said.out)["counts"]
    assert above["flag"] == far["flag"] == "above_calibration"
    assert above["cells"] > 200_000
    assert below["flag"] == "below_detection"
    assert below["cells"] is None
    assert "1e+09 is far above the calibration's signals: is it in the same unit?" in said.err


def test_what_is_said_of_cells_and_scanner_is_kept(table, tmp_path, capsys):
    out = tmp_path / "c.json"
    facts = {
        "field_of_view": "60 x 60 x 100 mm", "date": "2026-02-11", "iron_per_cell_pg": 16.2,
        "labelling_efficiency_percent": 95.0, "viability_percent": 98.5, "cell_type": "D1 MSC",
    }  # fmt: skip
    options = [part for name, value in facts.items() for part in (f"--{name.replace('_', '-')}", value)]
    run([*call(table(LEVELS, 1 + 1e-3 * LEVELS), out), *options], capsys)
    written = json.loads(out.read_text())
    assert {name: written[name] for name in facts} == facts
    assert written["reconstruction"] is None
    samples = table(LEVELS, 1 + LEVELS)
    line = refused([*call(samples, tmp_path / "d.json"), "--viability-percent", "985"], capsys)
    assert "viability_percent lies between 0 and 100, got 985" in line
    line = refused([*call(samples, tmp_path / "d.json"), "--iron-per-cell-pg", "16200"], capsys)
    assert "is it in fg?" in line
    run([*call(samples, tmp_path / "d.json"), "--iron-per-cell-pg", "16200", "--units-checked"], capsys)


def test_curve_and_residuals_are_drawn(table, tmp_path, capsys):
    samples = table(LEVELS, 3 + 1e-3 * LEVELS + np.random.default_rng(0).normal(0, 1, LEVELS.size))
    figures = [tmp_path / "curve.svg", tmp_path / "residuals.png"]
    run([*call(samples, tmp_path / "c.json"), "--figure", figures[0], "--residual-figure", figures[1]], capsys)
    assert "decision limit" in figures[0].read_text()
    assert figures[1].read_bytes().startswith(b"\x89PNG")
    again = [*call(samples, tmp_path / "d.json"), "--figure", figures[0]]
    assert "already" in refused(again, capsys)
    assert "as .svg or .png" in refused([*again[:-1], tmp_path / "curve.pdf"], capsys)
    assert not (tmp_path / "d.json").exists()


def test_a_count_under_other_conditions_is_refused_until_it_is_overridden(curve, capsys):
    other = ["count", "100", "--calibration", curve, "--condition", "tracer=VivoTrax", "--condition", "scan_mode=fast"]
    line = refused(other, capsys)
    assert "tracer (calibration: ProMag, scan: VivoTrax)" in line
    assert "scan_mode (calibration: high gain, scan: fast)" in line
    assert "scan_mode" in refused([*other, "--override", "tracer"], capsys)
    said = run([*other, "--override", "tracer", "--override", "scan_mode", "--json"], capsys)
    assert json.loads(said.out)["counts"][0]["flag"] == "calibration_overridden"
    assert said.err.count("warning: the calibration is used although it differs in") == 2
    assert "nothing differs in batch" in refused(
        [*other, *(part for name in ("tracer", "scan_mode", "batch") for part in ("--override", name))], capsys
    )


@pytest.mark.parametrize(
    ("condition", "words"),
    [("colour=red", "a calibration says nothing of colour"), ("tracer", "--condition needs NAME=VALUE, got 'tracer'")],
)
def test_a_condition_that_means_nothing_is_refused(curve, capsys, condition, words):
    assert words in refused(["count", "100", "--calibration", curve, "--condition", condition], capsys)


@pytest.fixture
def scan(tmp_path):
    """A scan with one organ of 100 in 64 voxels of 1 mm3, and its labels."""
    voxels = np.random.default_rng(2).normal(0, 1, (16, 14, 12)).astype(np.float32)
    labels = np.zeros(voxels.shape, np.uint8)
    labels[4:8, 4:8, 4:8] = 1
    voxels[labels == 1] += 2
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "mpi.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "organs.nii.gz")
    return ["quantify", tmp_path / "mpi.nii.gz", "--modality", "MPI", "--organs", tmp_path / "organs.nii.gz"]


def test_quantify_refuses_a_curve_of_projections_and_flags_an_overridden_one(scan, curve, tmp_path, capsys):
    flat = tmp_path / "flat.json"
    flat.write_text(json.dumps({**json.loads(curve.read_text()), "dimensions": 2}))
    out = tmp_path / "table.csv"
    quantify = [*scan, "--calibration", flat, "--out", out]
    assert "dimensions (calibration: 2, scan: 3)" in refused(quantify, capsys)
    assert not out.exists()
    run([*quantify, "--override", "dimensions"], capsys)
    with out.open(newline="") as stream:
        flags = {row["organ"]: row["flag"] for row in csv.DictReader(stream)}
    assert "calibration_overridden" in flags["1"]
    assert "calibration_overridden" not in flags["outside"]
    assert "need a calibration" in refused([*scan, "--out", out, "--overwrite", "--override", "tracer"], capsys)


def test_quantify_tells_signals_in_their_unit_with_their_sd_and_errors_term_by_term(scan, tmp_path, capsys):
    out, budget = tmp_path / "table.csv", tmp_path / "budget.csv"
    lit = np.random.default_rng(2).normal(0, 1, (16, 14, 12)).astype(np.float32)
    lit[4:8, 4:8, 4:8] += np.linspace(3, 30, 64).reshape(4, 4, 4)
    nibabel.save(nibabel.Nifti1Image(lit, np.eye(4)), tmp_path / "mpi.nii.gz")
    text = run([*scan, "--unit", "mT", "--compare", "--out", out, "--budget", budget], capsys).out
    head, _, organ, *_ = text.splitlines()
    assert head.split("  ")[0] == "organ"
    assert "signal (mT mm³)" in head
    assert organ.split()[0] == "1"
    with budget.open(newline="") as stream:
        terms = {row["term"]: float(row["sd"]) for row in csv.DictReader(stream) if row["organ"] == "1"}
    # Of a slope from 3 to 30 (total about 1056) half of the maximum keeps three quarters, 5 SD nearly all.
    assert 50 < terms["rule"] < 500
    with out.open(newline="") as stream:
        sd = next(float(row["signal_total_sd"]) for row in csv.DictReader(stream))
    assert terms["noise"] == pytest.approx(sd, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--psf-fwhm-mm", "2"], "the blur is given and not undone"),
        (["--background", "inf"], "the background is a number in the scan's unit"),
        (["--background", "kidney"], "neither a number nor an organ"),
        (["--psf-shape", "lorentzian"], "--psf-shape is that of --psf-fwhm-mm"),
        (["--psf-fwhm-mm", "2,2", "--spill-over"], "a point spread has one width or three, got 2"),
        (["--merge", "1"], "one organ alone (1) cannot be merged"),
        (["--merge", "1,1"], "'1' is merged twice"),
        (["--merge", "1,2", "--margin", "2"], "'2' is merged with others and cannot have a margin"),
    ],
)
def test_quantify_refuses_what_would_do_nothing_or_harm(scan, tmp_path, capsys, words, said):
    out = tmp_path / "table.csv"
    assert said in refused([*scan, *words, "--out", out], capsys)
    assert not out.exists()


def test_quantify_tells_what_part_of_an_organ_holds_no_number(scan, tmp_path, capsys):
    holed = np.random.default_rng(2).normal(0, 1, (16, 14, 12)).astype(np.float32)
    # 16 of the organ's 64 voxels, and two planes beside it.
    holed[4, 4:8, 4:8] = np.nan
    holed[12:14] = np.nan
    nibabel.save(nibabel.Nifti1Image(holed, np.eye(4)), tmp_path / "mpi.nii.gz")
    said = run([*scan, "--out", tmp_path / "table.csv"], capsys).err
    assert f"{16 + 2 * 14 * 12} voxels hold no number and are taken for no signal (25 % of 1)" in said


def test_the_interparticle_model_is_said_and_drawn_from_the_users_table(tmp_path, capsys):
    header = "iron_ng,volume_ul,maximum,total,fwhm_mm"
    undiluted, diluted = tmp_path / "undiluted.csv", tmp_path / "diluted.csv"
    undiluted.write_text("\n".join([header, *(f"{iron},{iron / 50},{2 * iron},{20 * iron},3" for iron in (50, 100))]))
    # Twice as thin, the signal is 10 % below half.
    diluted.write_text("\n".join([header, "100,20,200,2000,3", "50,20,90,900,3"]))
    figure = tmp_path / "spacing.svg"
    said = run(["compare-dilutions", undiluted, diluted, "--spacing-figure", figure], capsys)
    assert "maximum, 2.5 ng/uL: -10.00 % beside the interparticle model (d/d_ref = 1.26)" in said.out
    assert "interparticle" in figure.read_text()
    as_json = run(["compare-dilutions", undiluted, diluted, "--json"], capsys)
    reference, half = json.loads(as_json.out)["spacing"]
    assert reference["measured"] == reference["expected"] == 200
    assert half["expected"] == pytest.approx(100, rel=1e-12)
    line = refused(["compare-dilutions", diluted, undiluted, "--spacing-figure", tmp_path / "s.svg"], capsys)
    assert "in one volume" in line


def test_two_curves_of_the_same_cells_tell_the_iron_per_cell(table, tmp_path, capsys):
    saved = []
    for x, amounts, kind in (("cells", LEVELS, "in-cells"), ("iron_ng", LEVELS * 0.02, "in-cells-iron")):
        saved.append(tmp_path / f"{kind}.json")
        wobble = np.random.default_rng(len(saved)).normal(0, 1, LEVELS.size)
        run(call(table(amounts, 3 + 1e-3 * LEVELS + wobble, x), saved[-1], x, kind), capsys)
    for pair in (saved, saved[::-1]):
        found = json.loads(run(["compare-curves", *pair, "--json"], capsys).out)
        assert found["iron_per_cell_pg_low"] < 20 < found["iron_per_cell_pg_high"]
    assert "iron per cell: " in run(["compare-curves", *saved], capsys).out
    assert "share no figure" in refused(["compare-curves", *saved, "--figure", tmp_path / "f.svg"], capsys)
