"""Studies with parts missing run: signals beside scans, scans without markers, a vial in a PET."""

import numpy as np
import pytest

from napari_mpi_track.errors import StudyFileError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.writers.points import write_points
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((24, 18, 16), 1.0)
LIVER, VIAL = (slice(4, 10), slice(4, 12), slice(4, 12)), (slice(14, 18), slice(12, 16), slice(10, 14))
MARKER = (20, 4, 4)
LIVER_MM3 = 6 * 8 * 8


def noisy(seed=0):
    return np.random.default_rng(seed).normal(0, 0.5, GRID.shape)


@pytest.fixture
def folder(tmp_path):
    """Two MPI scans, 100 and 50 in the liver, with a marker of 3000; labels of liver and vial."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[LIVER], labels[VIAL] = 1, 2
    write_volume(OrganLabels(labels, GRID), tmp_path / "organs.nii.gz")
    (tmp_path / "organs.csv").write_text("label,name\n1,liver\n2,vial\n")
    for day, level in ((0, 100), (7, 50)):
        voxels = noisy(day)
        voxels[LIVER] += level
        voxels[MARKER] += 3000
        write_volume(Volume(voxels.astype(np.float32), GRID, Modality.MPI, "a.u."), tmp_path / f"day{day}.nii.gz")
    write_points(Points(["F1"], GRID.lps_from(np.array([MARKER], dtype=float))), tmp_path / "markers.csv")
    return tmp_path


def loaded(folder, timepoints, extra="", subject=""):
    lines = ["schema: 1", "reference: first", "organs: organs.csv", *extra.splitlines()]
    lines += ["subjects:", "  - id: a1", *(f"    {line}" for line in subject.splitlines()), "    timepoints:"]
    lines += [f"      - {{{timepoint}}}" for timepoint in timepoints]
    (folder / "study.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_study(folder / "study.yaml")


def kept(analysis, organ="total"):
    return {row.day: row.retention_percent for row in analysis.retention if row.organ == organ}


def test_signals_without_an_image_are_followed_with_the_totals_of_scans_and_it_is_said(folder):
    study = loaded(folder, ["day: 0, mpi: day0.nii.gz, organs: organs.nii.gz", "day: 7, signal: 19800, signal_sd: 198"])
    analysis = analyse_study(study)
    # The scan's whole sum: the liver and a marker that nobody named.
    whole = 100 * LIVER_MM3 + 3000
    assert kept(analysis)[7] == pytest.approx(100 * 19800 / whole, rel=0.01)
    assert kept(analysis, "liver") == {0: 100.0}
    [row] = [row for row in analysis.retention if row.organ == "total" and row.day == 7]
    # One percent of the signal, and the noise of the scan: 0.5 in each of 6912 voxels.
    relative = np.hypot(0.01, 0.5 * np.sqrt(24 * 18 * 16) / whole)
    assert row.retention_high - row.retention_low == pytest.approx(2 * 1.96 * relative * row.retention_percent, rel=0.1)
    assert any("signals without an image (day 7) are followed together" in text for text in analysis.warnings)
    assert not any("error is not known" in text for text in analysis.warnings)


def test_a_signal_of_unknown_error_is_told(folder):
    analysis = analyse_study(loaded(folder, ["day: 0, signal: 200", "day: 7, signal: 100"]))
    assert kept(analysis) == {0: 100.0, 7: 50.0}
    assert any("a1, days 0, 7: the signal's error is not known" in text for text in analysis.warnings)
    assert not any("followed together" in text for text in analysis.warnings)


def test_a_total_with_its_markers_in_it_is_not_followed_beside_one_without(folder):
    days = [
        "day: 0, mpi: day0.nii.gz, organs: organs.nii.gz, fiducials: {mpi: markers.csv}",
        "day: 7, mpi: day7.nii.gz, organs: organs.nii.gz",
    ]
    analysis = analyse_study(loaded(folder, days))
    assert kept(analysis) == {0: 100.0}
    assert kept(analysis, "liver")[7] == pytest.approx(50, rel=0.01)
    assert any("a1, day 7: the total holds the markers" in text for text in analysis.warnings)
    named = analyse_study(loaded(folder, [days[0], days[1] + ", fiducials: {mpi: markers.csv}"]))
    assert kept(named)[7] == pytest.approx(50, rel=0.02)


def test_an_sd_without_its_signal_is_a_fault(folder):
    with pytest.raises(StudyFileError, match="line 7: day 0 has a signal_sd but no signal"):
        loaded(folder, ["day: 0, mpi: day0.nii.gz, signal_sd: 3"])


TRACER = """injection: {time: 2026-03-01T09:00:00, cells: 1.0e+6}
radiotracer: {isotope: 89Zr, activity_kBq: %s, assayed_at: 2026-03-01T09:00:00, activity_per_million_cells_kBq: %s}"""


def write_pet(folder, name, liver_bq_ml, vial_bq_ml=0.0):
    voxels = np.zeros(GRID.shape)
    voxels[LIVER], voxels[VIAL] = liver_bq_ml, vial_bq_ml
    write_volume(Volume(voxels.astype(np.float32), GRID, Modality.PET, "Bq/mL"), folder / name)


def pet_of(folder, dose, subject=None, more="", extra=""):
    """The analysis of a liver of 0.384 mL at 25 kBq/mL: 9.6 kBq, corrected to the injection, a day later."""
    write_pet(folder, "pet.nii.gz", 25e3, 1e3)
    text = TRACER % (dose, dose) if subject is None else subject
    day = "day: 1, time: 2026-03-02T09:00:00, pet: {path: pet.nii.gz, unit: Bq/mL}, organs: organs.nii.gz"
    study = loaded(folder, [f"{day}, decay_corrected_to: injection{more}"], extra, text)
    analysis = analyse_timepoint(study, study.subjects[0], study.subjects[0].timepoints[0])
    return analysis, {row.organ: row for row in analysis.measurements}


def test_a_vial_for_mpi_is_no_cells_in_a_pet(folder):
    analysis, rows = pet_of(folder, 10, more=", vial: 100", extra="reference_vial: {signal: 100, organ: vial}")
    assert analysis.failures == ()
    assert rows["liver"].cells == pytest.approx(0.96e6, rel=1e-3)
    assert (rows["vial"].cells, rows["vial"].cells_high, rows["vial"].signal) == (None, None, None)
    assert rows["vial"].activity_kBq > 0
    assert "below_detection" not in rows["vial"].flag


@pytest.mark.parametrize(
    ("dose", "words"),
    [(10, None), (14, "69 % of the injected activity is in the field of view"), (7, "138 % of the injected activity")],
)
def test_what_is_found_is_compared_with_what_was_injected(folder, dose, words):
    analysis, rows = pet_of(folder, dose)
    assert rows["total"].percent_id == pytest.approx(100 * 9.664 / dose, rel=1e-3)
    doubts = [text for text in analysis.warnings if "injected activity" in text]
    assert [words in text for text in doubts] == ([] if words is None else [True])
    assert any("of the injected activity is in the field of view" in text for text in analysis.notes)


def test_the_part_of_the_body_in_the_field_is_told(folder):
    """A body of 40 planes of which the PET sees 24."""
    tall = Grid.from_spacing((44, 18, 16), 1.0)
    body = np.full(tall.shape, -1000.0)
    body[2:42, 2:16, 2:14] = 40
    body += np.random.default_rng(0).normal(0, 5, tall.shape)
    write_volume(Volume(body.astype(np.float32), tall, Modality.CT, "HU"), folder / "ct.nii.gz")
    labels = np.zeros(tall.shape, np.uint8)
    labels[LIVER] = 1
    write_volume(OrganLabels(labels, tall), folder / "organs.nii.gz", overwrite=True)
    analysis, _ = pet_of(folder, 20, more=", anatomy: {path: ct.nii.gz, modality: CT}")
    [doubt] = [text for text in analysis.warnings if "injected activity" in text]
    # 22 of the body's 40 planes, its rim aside.
    seen = float(doubt.split("and ")[1].split(" %")[0])
    assert seen == pytest.approx(100 * 22 / 40, abs=3)
    assert "excreted in 24 h" in doubt


@pytest.mark.parametrize(
    ("injected", "scanned", "hours"),
    [
        # The clocks of Berlin go forward on March 29 2026 at two, and back on October 25 at three.
        ("2026-03-28T12:00:00", "2026-03-29T12:00:00", 23.0),
        ("2026-03-28T23:30:00", "2026-03-29T00:30:00", 1.0),
        ("2026-10-24T12:00:00", "2026-10-25T12:00:00", 25.0),
        ("2026-02-27T09:00:00", "2026-03-06T09:00:00", 168.0),
    ],
)
def test_decay_is_by_the_hours_that_passed_across_midnights_months_and_clock_changes(folder, injected, scanned, hours):
    write_pet(folder, "pet.nii.gz", 25e3)
    subject = TRACER.replace("2026-03-01T09:00:00", injected) % (10, 10)
    day = f"time: {scanned}, pet: {{path: pet.nii.gz, unit: Bq/mL}}, organs: organs.nii.gz, decay_corrected_to: scan"
    study = loaded(folder, [day], "timezone: Europe/Berlin", subject)
    timepoint = study.subjects[0].timepoints[0]
    assert timepoint.day == pytest.approx(hours / 24)
    rows = {row.organ: row for row in analyse_timepoint(study, study.subjects[0], timepoint).measurements}
    assert rows["liver"].percent_id == pytest.approx(96 * 2 ** (hours / 78.41), rel=1e-3)


REPORTER = """injection: {time: 2026-03-01T09:00:00, cells: 1.0e+6}
radiotracer: {isotope: 18F, reporter: NIS}"""
DOSE = ", dose: {activity_kBq: 12.0, residual_kBq: 2.0, injected_at: '2026-03-02T08:00:00'}"


def test_a_reporter_gene_gives_uptake_by_its_own_dose_and_no_cells(folder):
    analysis, rows = pet_of(folder, 0, REPORTER, DOSE)
    assert analysis.failures == ()
    assert rows["liver"].percent_id == pytest.approx(96, rel=1e-3)
    assert rows["liver"].percent_id_per_g == pytest.approx(96 / 0.384, rel=1e-3)
    # An hour of 109.77 min: 18F at the scan.
    assert rows["liver"].activity_kBq == pytest.approx(9.6 * 2 ** (-60 / 109.77), rel=1e-4)
    assert [row.cells_high for row in rows.values()] == [None] * len(rows)
    assert rows["liver"].flag == ""
    assert any("reporter gene NIS" in text for text in analysis.notes)


def test_days_of_a_reporter_are_compared_in_parts_of_their_doses(folder):
    write_pet(folder, "pet0.nii.gz", 25e3)
    write_pet(folder, "pet7.nii.gz", 100e3)
    (folder / "organs.csv").write_text("label,name\n1,stomach\n2,vial\n")
    days = [
        f"day: {day}, time: 2026-03-0{day + 1}T09:00:00, pet: {{path: pet{day}.nii.gz, unit: Bq/mL}},"
        " organs: organs.nii.gz, decay_corrected_to: injection,"
        f" dose: {{activity_kBq: {dose}, injected_at: '2026-03-0{day + 1}T08:30:00'}}"
        for day, dose in ((0, 10.0), (7, 20.0))
    ]
    analysis = analyse_study(loaded(folder, days, "", REPORTER.replace("reference: first", "")))
    assert kept(analysis, "stomach") == {0: 100.0, 7: pytest.approx(200.0)}
    assert all("physiological_uptake" in row.flag for row in analysis.measurements if row.organ == "stomach")


@pytest.mark.parametrize(
    ("subject", "more", "words"),
    [
        (REPORTER, "", "a reporter gene's scan needs 'dose"),
        (TRACER % (10, 10), DOSE, "a dose for one scan needs the subject's"),
        (REPORTER.replace("NIS", "NIS, activity_kBq: 10"), DOSE, "cells with the reporter NIS carry no label"),
        (REPORTER.replace("NIS", "NISS"), DOSE, "'subjects.0.radiotracer.reporter'"),
        (REPORTER, ", dose: {activity_kBq: 12.0}", "'injected_at' is missing"),
    ],
)
def test_doses_at_fault_are_told(folder, subject, more, words):
    with pytest.raises(StudyFileError) as caught:
        pet_of(folder, 0, subject, more)
    assert words in str(caught.value)
