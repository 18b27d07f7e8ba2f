"""A scanner that reads less on another day is seen through its vial, and undone with the vial's error."""

import json

import numpy as np
import pytest

from napari_mpi_track.errors import MeasurementError, StudyFileError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.report.run import run_study
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((20, 18, 16), 1.0)
LIVER, VIAL = (slice(4, 8),) * 3, (slice(12, 16),) * 3
SAMPLES = "cells,signal\n" + "".join(f"{x},{5 + 1e-2 * x + w}\n" for x in (0, 5e4, 5e5) for w in (-2.0, 0.5, 1.5))
# The scanner of day 7 reads four fifths: 6400 a.u. mm3 as 5120, and the vial of 3200 as 2560.
GAINS = {0: 1.0, 7: 0.8}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "calibration.csv").write_text(SAMPLES)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[LIVER], labels[VIAL] = 1, 2
    write_volume(OrganLabels(labels, GRID), tmp_path / "organs.nii.gz")
    (tmp_path / "organs.csv").write_text("label,name\n1,liver\n2,vial\n")
    for day, gain in GAINS.items():
        voxels = np.random.default_rng(day).normal(0, 0.5, GRID.shape)
        voxels[LIVER] += 100 * gain
        voxels[VIAL] += 50 * gain
        scan = Volume(voxels.astype(np.float32), GRID, Modality.MPI, "a.u.")
        write_volume(scan, tmp_path / f"day{day}.nii.gz")

    def load(vial="reference_vial: {signal: 3200, sd: 16, organ: vial}", further="", injection="", day7=""):
        text = f"""\
schema: 1
reference: {"injected" if injection else "first"}
organs: organs.csv
alignment: frame
{vial}
calibration: {{table: calibration.csv, kind: in-cells, x: cells, signal: signal}}
subjects:
  - id: a1
    {injection}
    timepoints:
      - {{day: 0, mpi: {{path: day0.nii.gz, modality: MPI}}, organs: organs.nii.gz}}
      - {{day: 7, mpi: {{path: day7.nii.gz, modality: MPI}}, organs: organs.nii.gz{day7}}}
{further}"""
        (tmp_path / "study.yaml").write_text(text)
        return load_study(tmp_path / "study.yaml")

    return load


def rows_of(study, day):
    return {row.organ: row for row in analyse_timepoint(study, study.subjects[0], study.subjects[0].timepoint(day))
            .measurements}  # fmt: skip


def test_a_weaker_scanner_reads_the_same_cells(study):
    truth = (6400 - 5) / 1e-2
    drifting = rows_of(study(vial=""), 7)["liver"]
    assert drifting.cells == pytest.approx(0.8 * truth, rel=0.01)
    for day in GAINS:
        rows = rows_of(study(), day)
        # Noise of 0.5 in 64 voxels of vial and liver: 0.1 % of the vial.
        assert rows["liver"].cells == pytest.approx(truth, rel=0.005)
        assert rows["liver"].cells_low < truth < rows["liver"].cells_high
        # What was measured stays, and adds up.
        assert rows["liver"].signal_total == pytest.approx(6400 * GAINS[day], rel=0.005)
        parts = sum(rows[name].signal_total for name in ("liver", "vial", "outside"))
        assert parts == pytest.approx(rows["total"].signal_total, rel=1e-9)


def test_the_vial_is_neither_counted_nor_followed(study):
    analysis = analyse_study(study())
    vials = [row for row in analysis.measurements if row.organ == "vial"]
    assert [round(row.signal_total, -2) for row in vials] == [3200, 2600]
    assert all(row.cells is None and row.cells_high is None and row.flag == "" for row in vials)
    assert {row.organ for row in analysis.retention} == {"liver", "total"}
    # The whole body's signal is the liver's: of the vial only the drift remains.
    kept = {row.organ: row.retention_percent for row in analysis.retention if row.day == 7}
    assert kept["liver"] == pytest.approx(100, abs=1)
    assert kept["total"] == pytest.approx(100, abs=2)


def test_the_vials_error_widens_every_interval_and_is_a_term_of_the_budget(study):
    sure, unsure = (
        rows_of(study(vial=f"reference_vial: {{signal: 3200, sd: {sd}, organ: vial}}"), 7)["liver"] for sd in (0, 160)
    )
    # 5 % of 6400, beside which the scatter of a sample is nothing.
    assert unsure.signal.shared_sd == pytest.approx(320, rel=0.01)
    assert (unsure.cells_high - unsure.cells_low) / 2 == pytest.approx(1.96 * 320 / 1e-2, rel=0.05)
    assert (sure.cells_high - sure.cells_low) < 0.3 * (unsure.cells_high - unsure.cells_low)
    loaded = study(vial="reference_vial: {signal: 3200, sd: 160, organ: vial}")
    budget = analyse_timepoint(loaded, loaded.subjects[0], loaded.subjects[0].timepoint(7)).budget
    terms = {row.term: row for row in budget if row.organ == "liver"}
    assert terms["drift"].sd == pytest.approx(320, rel=0.01)
    assert terms["drift"].shared
    assert terms["calibration"].sd < 100


def test_what_all_sessions_share_cancels_in_retention(study):
    def width(vial, day7=""):
        rows = analyse_study(study(vial=vial, day7=day7)).retention
        [row] = [row for row in rows if (row.organ, row.day) == ("liver", 7)]
        return row.retention_high - row.retention_low

    exact = width("reference_vial: {signal: 3200, organ: vial}")
    # Fieller's interval of a denominator known to 5 % is 1 % wider to second order; uncancelled it were 13 points.
    assert width("reference_vial: {signal: 3200, sd: 160, organ: vial}") == pytest.approx(exact, rel=0.02)
    # A vial known to 5 % on day 7 is worth 5 % of retention.
    of_day_7 = width("reference_vial: {signal: 3200, organ: vial}", ", vial: {signal: 2560, sd: 128}")
    assert of_day_7 == pytest.approx(2 * 1.96 * 5, rel=0.05)


def test_a_syringe_of_another_session_is_undone_too(study):
    given = "injection: {signal: 5120, vial: 2560}"
    [row] = [r for r in analyse_study(study(injection=given)).retention if (r.organ, r.day) == ("liver", 0)]
    assert row.retention_percent == pytest.approx(100, abs=1)


def test_a_measurement_without_an_image_has_its_own_vial(study):
    loaded = study(further="      - {day: 14, signal: 3200.0, vial: 1600}\n")
    row = rows_of(loaded, 14)["total"]
    assert (row.signal_total, row.signal_total_corrected) == (3200, 6400)
    assert row.cells == pytest.approx((6400 - 5) / 1e-2, rel=1e-3)


def test_a_vial_that_dries_out_is_warned_of_in_the_report(study, tmp_path):
    days = "".join(f"      - {{day: {d}, signal: 640.0, vial: {3200 - 40 * d}}}\n" for d in (14, 21, 28))
    loaded = study(further=days, day7=", vial: 2920")
    summary = run_study(loaded, tmp_path / "out")
    assert any("the reference vial lost" in text for text in summary.warnings)
    page = summary.report.read_text(encoding="utf-8")
    for words in ("the reference vial lost", "S_ref = 3,200 ± 16", "corrected for the scanner&#39;s drift"):
        assert words in page
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["study"]["vial_organ"] == "vial"
    steady = study(day7=", vial: 3190")
    assert not any("lost" in text for text in analyse_study(steady).warnings)


def test_a_day_whose_organs_lack_the_vial_fails_with_what_to_do(study):
    loaded = study(vial="reference_vial: {signal: 3200, organ: tube}")
    with pytest.raises(MeasurementError, match="'tube' is not among this day's organs") as raised:
        rows_of(loaded, 7)
    assert "vial: SIGNAL" in raised.value.remedy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vial": "reference_vial: {signal: 3200}"}, "this timepoint no 'vial'"),
        ({"vial": "", "day7": ", vial: 3"}, "needs the study's 'reference_vial"),
        ({"vial": "", "injection": "injection: {signal: 5, vial: 3}"}, "needs the study's 'reference_vial"),
        ({"further": "      - {day: 9, signal: 4}\n"}, "this timepoint no 'vial'"),
        ({"day7": ", vial: 0"}, "greater than 0"),
        ({"vial": "reference_vial: {signal: -1}"}, "greater than 0"),
    ],
)
def test_a_vial_that_is_missing_or_impossible_is_a_fault_of_the_study_file(study, change, words):
    with pytest.raises(StudyFileError) as raised:
        study(**change)
    assert words in str(raised.value)
    assert "line " in str(raised.value)
