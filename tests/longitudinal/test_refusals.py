"""A day whose margin is refused, or two of whose organs the blur makes one, keeps its other organs."""

import numpy as np
import pytest
from scipy import ndimage

from napari_mpi_track.errors import InseparableOrgansError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.quantification.occupancy import OUTSIDE, TOTAL
from napari_mpi_track.simulation.anatomy import Solid, ellipsoid
from napari_mpi_track.simulation.scanner import Blur, blurred, labelled
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((22, 26, 30), 1.0)
FWHM_MM = 4.0
LIVER = (slice(7, 15), slice(8, 16), slice(4, 12))
TUMOUR, NODE = (Solid((ellipsoid(at, size),)) for at, size in (((22, 10, 11), (3, 3, 3)), ((22, 16, 11), (2, 2, 2))))
CORE = Solid((ellipsoid((22, 10, 11), (1, 1, 1)),))
PSF = f"spill_over: true\npsf: {{shape: gaussian, fwhm_mm: {FWHM_MM}}}"


def scan(path, liver, lit, seed):
    clean = blurred(lit, GRID, np.eye(4), Blur("gaussian", (FWHM_MM,) * 3))
    box = np.zeros(GRID.shape)
    box[LIVER] = liver / 8**3
    clean += ndimage.gaussian_filter(box, FWHM_MM / 2.3548, mode="constant")
    voxels = clean + np.random.default_rng(seed).normal(0, 0.3, GRID.shape)
    write_volume(Volume(voxels.astype(np.float32), GRID, Modality.MPI, "a.u."), path)


@pytest.fixture
def folder(tmp_path):
    """A liver, a deposit in a tumour's core, and a lymph node beside it that is lit on day 7 alone."""
    labels = labelled({"tumour": TUMOUR, "node": NODE}, GRID, np.eye(4))
    labels[LIVER] = 3
    write_volume(OrganLabels(labels, GRID), tmp_path / "organs.nii.gz")
    # The liver's voxels by turns: two organs that no blur of four voxels leaves apart.
    labels[(labels == 3) & (np.indices(GRID.shape).sum(axis=0) % 2 == 1)] = 4
    write_volume(OrganLabels(labels, GRID), tmp_path / "halves.nii.gz")
    (tmp_path / "organs.csv").write_text("label,name\n3,liver\n1,tumour\n2,node\n4,other half\n")
    scan(tmp_path / "day0.nii.gz", 6e4, [(CORE, 2e4)], 0)
    scan(tmp_path / "day7.nii.gz", 3e4, [(CORE, 1e4), (NODE, 1e4)], 1)
    return tmp_path


def study(folder, extra, organs="organs.nii.gz"):
    lines = ["schema: 1", "reference: first", "organs: organs.csv", *extra.splitlines(), "subjects:", "  - id: a1"]
    lines += ["    timepoints:"]
    lines += [f"      - {{day: {day}, mpi: day{day}.nii.gz, organs: {organs}}}" for day in (0, 7)]
    (folder / "study.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_study(folder / "study.yaml")


def rows_of(analysis, day):
    return {row.organ: row for row in analysis.measurements if row.day == day}


def test_a_refused_margin_leaves_that_organ_of_that_day_without_a_signal_and_all_else_stands(folder):
    analysis = analyse_study(study(folder, PSF + "\norgan_rules: {tumour: margin}"))
    before, after = rows_of(analysis, 0), rows_of(analysis, 7)
    # Labels of whole voxels; noise is below 1 %.
    assert before["tumour"].signal_total_corrected == pytest.approx(2e4, rel=0.05)
    assert after["liver"].signal_total_corrected == pytest.approx(3e4, rel=0.05)
    refused = after["tumour"]
    assert "margin_refused" in refused.flag.split(";")
    assert (refused.signal, refused.signal_total_corrected, refused.cells) == (None, None, None)
    assert refused.signal_total > 0
    assert "margin_refused" not in before["tumour"].flag
    kept = {(row.organ, row.day) for row in analysis.retention if row.retention_percent is not None}
    assert {("liver", 0), ("liver", 7), ("tumour", 0)} <= kept
    assert ("tumour", 7) not in kept
    assert not any(row.organ == "tumour" and row.day == 7 for row in analysis.budget)


def test_the_day_says_why_its_margin_was_refused(folder):
    found = study(folder, PSF + "\norgan_rules: {tumour: margin}")
    [subject] = found.subjects
    warnings = analyse_timepoint(found, subject, subject.timepoints[1]).warnings
    assert any("'node' lies within it and lights" in said and "no signal of its own" in said for said in warnings)


def test_two_organs_that_the_blur_makes_one_are_measured_as_one_that_day_and_neither_by_itself(folder):
    found = study(folder, PSF, "halves.nii.gz")
    [subject] = found.subjects
    day = analyse_timepoint(found, subject, subject.timepoints[0])
    rows = {row.organ: row for row in day.measurements}
    assert rows["liver + other half"].signal_total_corrected == pytest.approx(6e4, rel=0.05)
    for name in ("liver", "other half"):
        assert rows[name].flag == "inseparable"
        assert (rows[name].signal, rows[name].signal_total) == (None, None)
    assert any("cannot be told apart" in said and "measured as one" in said for said in day.warnings)
    parts = [row.signal_total for name, row in rows.items() if name != TOTAL and row.signal_total is not None]
    assert sum(parts) == pytest.approx(rows[TOTAL].signal_total, rel=1e-6)
    assert OUTSIDE in rows


def test_organs_that_the_study_merges_are_one_row_every_day(folder):
    analysis = analyse_study(study(folder, PSF + "\nmerge: [[tumour, node]]"))
    for day in (0, 7):
        assert set(rows_of(analysis, day)) == {"liver", "tumour + node", OUTSIDE, TOTAL}
    assert {row.organ for row in analysis.retention} >= {"tumour + node"}
    assert all("margin_refused" not in row.flag and "inseparable" not in row.flag for row in analysis.measurements)


def test_a_pet_of_such_a_day_keeps_its_other_organs_too(folder):
    study(folder, PSF.replace("psf", "pet_psf") + "\norgan_rules: {tumour: margin}", "halves.nii.gz")
    text = (folder / "study.yaml").read_text()
    pet = "time: 2026-03-01T09:00:00, pet: {path: day7.nii.gz, unit: Bq/mL}, decay_corrected_to: injection"
    tracer = "radiotracer: {isotope: 89Zr, activity_kBq: 50, assayed_at: 2026-03-01T09:00:00}"
    text = (
        text.replace("mpi: day7.nii.gz", pet).replace("day: 7, ", "").replace("reference: first", "reference: injected")
    )
    text = text.replace("  - id: a1", f"  - id: a1\n    {tracer}\n    injection: {{time: 2026-02-22T09:00:00}}")
    (folder / "study.yaml").write_text(text)
    found = load_study(folder / "study.yaml")
    [subject] = found.subjects
    rows = {row.organ: row for row in analyse_timepoint(found, subject, subject.timepoints[-1]).measurements}
    assert rows["liver + other half"].activity_kBq == pytest.approx(3e-2 * 2 ** (-7 / 3.267), rel=0.05)
    assert rows["liver"].flag == "inseparable"
    assert "margin_refused" in rows["tumour"].flag
    assert (rows["tumour"].activity_kBq, rows["tumour"].percent_id, rows["tumour"].cells) == (None, None, None)


def test_a_rule_for_an_organ_that_is_not_there_is_told(folder):
    found = study(folder, PSF + "\norgan_rules: {tumor: margin}")
    [subject] = found.subjects
    warnings = analyse_timepoint(found, subject, subject.timepoints[0]).warnings
    assert any("there is no organ 'tumor'" in said for said in warnings)


def test_what_no_merging_mends_is_still_refused(folder):
    vial = "\nreference_vial: {organ: other half, signal: 100}"
    found = study(folder, PSF + vial, "halves.nii.gz")
    [subject] = found.subjects
    with pytest.raises(InseparableOrgansError, match="cannot be told apart"):
        analyse_timepoint(found, subject, subject.timepoints[0])
