"""What a timepoint needs, and what it does not."""

import numpy as np
import pytest

from napari_mpi_track.errors import GridMismatchError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.writers.scans import write_volume

STUDY = """schema: 1
alignment: frame
reference: first
subjects:
  - id: a1
    timepoints:
      - {day: 0, mpi: mpi.nii.gz, anatomy: ct.nii.gz, organs: organs.nii.gz}
      - {day: 14, signal: 900.0}
"""


@pytest.fixture
def study(tmp_path):
    """One day of scans that share a frame, and a later day measured without an image."""
    generator = np.random.default_rng(0)
    mpi = generator.normal(0, 1, (16, 14, 12)).astype(np.float32)
    mpi[6:9, 5:8, 4:7] += 100
    write_volume(Volume(mpi, Grid.from_spacing(mpi.shape, 1.0)), tmp_path / "mpi.nii.gz")
    ct = generator.normal(0, 10, (32, 28, 24)).astype(np.float32)
    ct[4:28, 4:24, 4:20] += 500
    fine = Grid.from_spacing(ct.shape, 0.5, (-0.25, -0.25, -0.25))
    write_volume(Volume(ct, fine), tmp_path / "ct.nii.gz")
    labels = np.zeros(ct.shape, np.uint8)
    labels[12:18, 10:16, 8:14] = 1
    write_volume(OrganLabels(labels, fine), tmp_path / "organs.nii.gz")
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    return load_study(tmp_path / "study.yaml")


def test_a_day_measured_without_an_image_needs_no_anatomy(study):
    subject = study.subjects[0]
    analysis = analyse_timepoint(study, subject, subject.timepoint(14))
    assert analysis.failures == ()
    (row,) = analysis.measurements
    assert (row.organ, row.signal_total) == ("total", 900.0)


def test_organs_and_outside_add_up_and_the_lit_organ_holds_the_signal(study):
    analysis = analyse_study(study)
    rows = {row.organ: row for row in analysis.measurements if row.day == 0}
    assert rows["1"].signal_total == pytest.approx(2700, abs=30)
    assert rows["1"].signal_total + rows["outside"].signal_total == pytest.approx(rows["total"].signal_total, rel=1e-9)
    assert rows["1"].alignment_error_mm is None


def test_organs_of_another_grid_than_their_anatomy_are_refused(study, tmp_path):
    other = Grid.from_spacing((32, 28, 24), 0.6)
    write_volume(OrganLabels(np.ones((32, 28, 24), np.uint8), other), tmp_path / "organs.nii.gz", overwrite=True)
    subject = study.subjects[0]
    with pytest.raises(GridMismatchError, match="another grid"):
        analyse_timepoint(study, subject, subject.timepoint(0))


def test_a_cut_out_of_the_anatomy_serves_as_organs(study, tmp_path):
    labels = np.ones((6, 6, 6), np.uint8)
    cut = Grid.from_spacing((6, 6, 6), 0.5, (3.75, 4.75, 5.75))
    write_volume(OrganLabels(labels, cut), tmp_path / "organs.nii.gz", overwrite=True)
    subject = study.subjects[0]
    rows = {row.organ: row for row in analyse_timepoint(study, subject, subject.timepoint(0)).measurements}
    assert rows["1"].signal_total == pytest.approx(2700, abs=30)
