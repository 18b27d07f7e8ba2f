"""Two animals in one scan: each is reported for itself, and what one sheds over the other is taken off."""

import csv

import numpy as np
import pytest
from scipy import ndimage

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.analysis import analyse_timepoint
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.report.provenance import InputHashes, timepoint_key
from napari_mpi_track.report.run import run_study
from napari_mpi_track.writers.scans import write_volume

SHAPE, FINE, FWHM_MM = (24, 22, 30), 4, 2.5
TRUTH = {"m01": 4000.0, "m02": 90_000.0}
STUDY = """schema: 1
psf: {shape: gaussian, fwhm_mm: 2.5}
spill_over: true
reference: first
subjects:
  - {id: m01, timepoints: [{day: 0, mpi: hotel.nii.gz, organs: m01.nii.gz}]}
  - {id: m02, timepoints: [{day: 0, mpi: hotel.nii.gz, organs: m02.nii.gz}]}
"""
ALONE = STUDY.replace("  - {id: m02, timepoints: [{day: 0, mpi: hotel.nii.gz, organs: m02.nii.gz}]}\n", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A weak tumour of one animal a millimetre from a bright liver of the next, blurred on voxels a quarter as wide."""
    place = tmp_path_factory.mktemp("hotel")
    grid = Grid.from_spacing(SHAPE, 1.0)
    labels = {animal: np.zeros(SHAPE, np.uint8) for animal in ("m01", "m02")}
    labels["m01"][8:15, 7:14, 5:11] = 1
    labels["m02"][7:17, 6:16, 12:22] = 1
    source = sum(TRUTH[animal] / drawn.sum() / FINE**3 * drawn for animal, drawn in labels.items())
    fine = source.repeat(FINE, 0).repeat(FINE, 1).repeat(FINE, 2)
    blurred = ndimage.gaussian_filter(fine, FWHM_MM / 2.35482 * FINE, mode="constant", truncate=6)
    scan = blurred.reshape(SHAPE[0], FINE, SHAPE[1], FINE, SHAPE[2], FINE).sum(axis=(1, 3, 5))
    scan = scan + np.random.default_rng(0).normal(0, 0.05, SHAPE)
    write_volume(Volume(scan.astype(np.float32), grid), place / "hotel.nii.gz")
    for animal, drawn in labels.items():
        write_volume(OrganLabels(drawn, grid), place / f"{animal}.nii.gz")
    for name, text in (("study.yaml", STUDY), ("alone.yaml", ALONE)):
        (place / name).write_text(text, encoding="utf-8")
    return place


def rows(folder, study, subject):
    found = load_study(folder / study)
    analysis = analyse_timepoint(found, found.subject(subject), found.subject(subject).timepoints[0])
    return {row.organ: row for row in analysis.measurements}, analysis


def test_the_other_animals_light_is_taken_off_and_without_it_the_tumour_is_far_off(folder):
    together, _ = rows(folder, "study.yaml", "m01")
    alone, _ = rows(folder, "alone.yaml", "m01")
    truth = TRUTH["m01"]
    assert together["1"].signal_total_corrected == pytest.approx(truth, rel=0.03)
    assert alone["1"].signal_total_corrected > 1.1 * truth
    other, _ = rows(folder, "study.yaml", "m02")
    # A box whose faces are those of voxels is the worst case of a blur that is sampled at their centres.
    assert other["1"].signal_total_corrected == pytest.approx(TRUTH["m02"], rel=0.03)


def test_each_animal_is_reported_for_itself_and_the_rows_still_add_up(folder):
    found, analysis = rows(folder, "study.yaml", "m01")
    assert set(found) == {"1", "outside", "total"}
    assert found["1"].signal_total + found["outside"].signal_total == pytest.approx(found["total"].signal_total)
    assert {row.source for row in analysis.spill} == {"1", "m02: 1"}
    # What is followed of a whole animal is its own.
    # To a few percent of the light that the other animal is found to hold.
    assert found["total"].signal.value == pytest.approx(TRUTH["m01"], abs=0.03 * TRUTH["m02"])
    assert found["total"].signal_total == pytest.approx(sum(TRUTH.values()), rel=0.02)


def test_what_the_other_animal_is_measured_by_counts_for_a_resumed_run(folder):
    study = load_study(folder / "study.yaml")
    first = study.subjects[0]
    keys = [timepoint_key(study, first, first.timepoints[0], InputHashes(study))]
    kept = (folder / "m02.nii.gz").read_bytes()
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:16, 6:16, 14:22] = 1
    write_volume(OrganLabels(labels, Grid.from_spacing(SHAPE, 1.0)), folder / "m02.nii.gz", overwrite=True)
    keys.append(timepoint_key(study, first, first.timepoints[0], InputHashes(study)))
    (folder / "m02.nii.gz").write_bytes(kept)
    assert keys[0] != keys[1]


def test_another_animal_that_cannot_be_measured_is_named_and_the_first_goes_on(folder):
    broken = STUDY.replace("organs: m02.nii.gz", "organs: wrong.nii.gz")
    write_volume(OrganLabels(np.ones((4, 4, 4), np.uint8), Grid.from_spacing((4, 4, 4), 9.0)), folder / "wrong.nii.gz")
    (folder / "broken.yaml").write_text(broken, encoding="utf-8")
    found, analysis = rows(folder, "broken.yaml", "m01")
    assert found["1"].signal_total_corrected is not None
    assert any("m02 lies in the same scan" in warning for warning in analysis.warnings)


def test_the_matrix_of_a_run_names_the_other_animal(folder, tmp_path):
    run_study(load_study(folder / "study.yaml"), tmp_path / "out")
    with (tmp_path / "out" / "spill_over.csv").open(newline="", encoding="utf-8") as stream:
        shares = {(r["subject"], r["organ"], r["source"]): float(r["percent"]) for r in csv.DictReader(stream)}
    assert shares["m01", "1", "m02: 1"] > 10
    assert shares["m01", "1", "1"] + shares["m01", "1", "m02: 1"] == pytest.approx(100)
    assert (tmp_path / "out" / "figures" / "spill_m01_day0_MPI.png").is_file()
