"""A calibration made under other conditions is refused, or used by the user's will, which is told everywhere."""

import json

import numpy as np
import pytest

from napari_mpi_track.errors import CalibrationError, CalibrationMismatchError, StudyFileError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.conditions import idle_overrides, study_calibration
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.report.run import run_study
from napari_mpi_track.writers.scans import write_volume

SAMPLES = "cells,signal\n" + "".join(
    f"{x},{2 + 1e-3 * x + wobble}\n" for x in (0, 100_000, 500_000) for wobble in (-1.0, 0.3, 0.7)
)
STUDY = """schema: 1
tracer: VivoTrax
alignment: frame
reference: first
calibration: {{table: calibration.csv, kind: in-cells, x: cells, signal: signal, tracer: ProMag,
  scan_mode: high gain, field_of_view: 60 x 60 x 100 mm, date: 2026-02-11, iron_per_cell_pg: 16.2,
  labelling_efficiency_percent: 95, viability_percent: 98.5{override}}}
conditions: {{scan_mode: high speed, field_of_view: 60x60x100 mm, scanner: Momentum, viability_percent: 91}}
subjects:
  - id: a1
    timepoints:
      - {{day: 0, mpi: {{path: mpi.nii.gz, modality: MPI}}, organs: organs.nii.gz}}
      - {{day: 14, signal: 300.0}}
"""


@pytest.fixture
def study(tmp_path):
    """A study file with an override (none when empty), whose scans are of another tracer and scan mode."""
    (tmp_path / "calibration.csv").write_text(SAMPLES)
    grid = Grid.from_spacing((16, 14, 12), 1.0)
    voxels = np.random.default_rng(0).normal(0, 1, grid.shape).astype(np.float32)
    voxels[6:9, 5:8, 4:7] += 10
    labels = np.zeros(grid.shape, np.uint8)
    labels[6:9, 5:8, 4:7] = 1
    write_volume(Volume(voxels, grid, Modality.MPI, "a.u."), tmp_path / "mpi.nii.gz")
    write_volume(OrganLabels(labels, grid), tmp_path / "organs.nii.gz")

    def load(override=""):
        file = tmp_path / "study.yaml"
        text = STUDY.format(override=f", override: [{override}]" if override else "")
        file.write_text(text, encoding="utf-8")
        return load_study(file)

    return load


def test_every_difference_is_told_before_a_scan_is_read(study, tmp_path):
    loaded = study()
    (tmp_path / "mpi.nii.gz").write_bytes(b"never read")
    with pytest.raises(CalibrationMismatchError) as raised:
        analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(0))
    assert "tracer (calibration: ProMag, scan: VivoTrax)" in str(raised.value)
    assert "scan_mode (calibration: high gain, scan: high speed)" in str(raised.value)
    assert "field_of_view" not in str(raised.value)
    assert "override knowingly: tracer, scan_mode" in raised.value.remedy


def test_an_override_of_one_difference_leaves_the_other(study):
    with pytest.raises(CalibrationMismatchError, match="scan_mode") as raised:
        analyse_study(study("tracer"))
    assert "ProMag" not in str(raised.value)


def test_what_is_overridden_is_flagged_on_counted_rows_and_told(study):
    loaded = study("tracer, scan_mode")
    for day in (0, 14):
        analysis = analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(day))
        for row in analysis.measurements:
            was_counted = row.cells is not None or row.cells_high is not None
            assert ("calibration_overridden" in row.flag.split(";")) == was_counted, row.organ
        assert [text.split(" (")[0] for text in analysis.overridden] == ["tracer", "scan_mode"]


def test_a_run_tells_overrides_and_the_cells_in_provenance_and_report(study, tmp_path):
    summary = run_study(study("tracer, scan_mode"), tmp_path / "out")
    overrides = json.loads((tmp_path / "out" / "provenance.json").read_text())["overrides"]
    assert overrides == [
        "a1, days 0, 14: tracer (calibration: ProMag, scan: VivoTrax)",
        "a1, days 0, 14: scan_mode (calibration: high gain, scan: high speed)",
    ]
    page = summary.report.read_text(encoding="utf-8")
    for words in (
        *overrides, "Overridden by the user", "16.2 pg (of the calibration)", "95 % (of the calibration)",
        "<dd>91 %</dd>", "<dd>98.5 %</dd>", "<dd>2026-02-11</dd>", "Momentum", "60x60x100 mm",
        "95 % of the cells were labelled, 91 % were viable and a cell held 16.2 pg of iron",
    ):  # fmt: skip
        assert words in page, words


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tracer, scan_mode, field_of_view", "nothing differs in field_of_view"),
        ("tracer, scan_mode, saturation", "does not state saturation"),
    ],
)
def test_an_override_of_nothing_is_a_fault(study, override, words):
    with pytest.raises(CalibrationError, match=words):
        study_calibration(study(override))


def test_an_override_that_no_scan_needed_is_warned_of(study, tmp_path):
    (tmp_path / "calibration.csv").write_text(SAMPLES)
    loaded = study("tracer, scan_mode, dimensions")
    file = tmp_path / "study.yaml"
    file.write_text(file.read_text().replace("high gain,", "high gain, dimensions: 3,"))
    loaded = load_study(file)
    overridden = analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(0)).overridden
    [said] = idle_overrides(loaded, overridden)
    assert said.startswith("the override of dimensions overrides nothing")


def test_an_unknown_override_is_a_fault_of_the_study_file(study):
    with pytest.raises(StudyFileError, match="says nothing of colour"):
        study("colour")


def test_a_saved_curve_may_be_overridden_too(study, tmp_path):
    from napari_mpi_track.quantification.calibration import save_calibration

    save_calibration(study_calibration(study()), tmp_path / "curve.json")
    file = tmp_path / "study.yaml"
    head, rest = file.read_text().split("calibration:", 1)
    rest = rest.split("\nconditions:", 1)[1]
    choice = "calibration: {curve: curve.json, override: [tracer, scan_mode]}\nconditions:"
    file.write_text(head + choice + rest)
    rows = analyse_study(load_study(file)).measurements
    assert any("calibration_overridden" in row.flag for row in rows)


def test_scans_that_were_not_linearised_are_no_match_for_a_curve_that_was(study, tmp_path):
    file = tmp_path / "study.yaml"
    study("tracer, scan_mode")
    file.write_text(file.read_text().replace("high gain,", "high gain, saturation: receiver.json,"))
    loaded = load_study(file)
    with pytest.raises(CalibrationMismatchError, match=r"saturation \(calibration: receiver.json, scan: none\)"):
        analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(0))


@pytest.mark.parametrize(
    ("kind", "rule", "words"),
    [
        ("solution-fixed-concentration", "wide", "less signal than in solution"),
        ("in-cells", "above 5 SD of the noise, background subtracted", "drawn by a threshold"),
    ],
)
def test_a_curve_of_another_kind_or_rule_is_warned_of(study, tmp_path, kind, rule, words):
    file = tmp_path / "study.yaml"
    study("tracer, scan_mode")
    x = "cells" if kind == "in-cells" else "iron_ng"
    (tmp_path / "calibration.csv").write_text(SAMPLES.replace("cells", x))
    text = file.read_text().replace("kind: in-cells, x: cells,", f"kind: {kind}, x: {x}, total_rule: '{rule}',")
    file.write_text(text)
    assert any(words in warning for warning in analyse_study(load_study(file)).warnings)


def test_units_that_look_mixed_up_are_asked_about_in_a_study(study, tmp_path):
    study("tracer, scan_mode")
    mixed = "cells,signal\n0,1\n100,102\n100000,105\n200000,203\n500000,502\n"
    (tmp_path / "calibration.csv").write_text(mixed)
    file = tmp_path / "study.yaml"
    file.write_text(file.read_text().replace("iron_per_cell_pg: 16.2", "iron_per_cell_pg: 16200"))
    assert any("x = 100 is" in warning and "?" in warning for warning in analyse_study(load_study(file)).warnings)
    (tmp_path / "calibration.csv").write_text(SAMPLES)
    assert any("is it in fg?" in warning for warning in analyse_study(load_study(file)).warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("scan_mode: high gain", "scanmode: high gain"), "unknown key 'scanmode' (is 'scan_mode' meant?)"),
        (("viability_percent: 98.5", "viability_percent: 985"), "less than or equal to 100"),
        (("iron_per_cell_pg: 16.2", "iron_per_cell_pg: 0"), "greater than 0"),
        (("scanner: Momentum", "scaner: Momentum"), "unknown key 'scaner' (is 'scanner' meant?)"),
    ],
)
def test_a_slip_in_the_description_is_a_fault_with_its_line(study, tmp_path, change, words):
    study()
    file = tmp_path / "study.yaml"
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(StudyFileError) as raised:
        load_study(file)
    assert words in str(raised.value)
    assert "line " in str(raised.value)
