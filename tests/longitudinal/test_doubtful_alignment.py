"""An alignment that is in doubt puts its doubt on every row that rests on it, and on no other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.alignment_files import save_alignment
from napari_mpi_track.writers.scans import write_volume

STUDY = """schema: 1
organs: organs.csv
reference: first
subjects:
  - id: a1
    radiotracer: {isotope: 89Zr, activity_kBq: 10.0, assayed_at: 2026-03-01T08:00:00}
    injection: {time: 2026-03-01T09:30:00}
    timepoints:
      - day: 0
        mpi: mpi.nii.gz
        anatomy: {path: ct.nii.gz, modality: CT}
        organs: organs.nii.gz
        alignment: bed.tfm
      - time: 2026-03-02T09:30:00
        mpi: mpi.nii.gz
        anatomy: {path: ct.nii.gz, modality: CT}
        pet: {path: pet.nii.gz, unit: Bq/mL}
        organs: organs.nii.gz
        alignment: frame
        pet_alignment: bed.tfm
        decay_corrected_to: scan
"""
DOUBTED = {"liver", "tail", "outside", "total"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small scans in one place, a liver in all of them, a tail that only the CT sees, a bed in doubt."""
    place = tmp_path_factory.mktemp("doubt")
    generator = np.random.default_rng(0)
    emission = generator.normal(0, 1, (16, 14, 12)).astype(np.float32)
    emission[6:9, 5:8, 4:7] += 100
    coarse = Grid.from_spacing((16, 14, 12), 1.0)
    write_volume(Volume(emission, coarse, Modality.MPI, "a.u."), place / "mpi.nii.gz")
    write_volume(Volume(emission, coarse, Modality.PET, "Bq/mL"), place / "pet.nii.gz")
    ct = generator.normal(-1000, 10, (64, 28, 24)).astype(np.float32)
    ct[4:60, 4:24, 4:20] += 1050
    fine = Grid.from_spacing(ct.shape, 0.5, (-0.25, -0.25, -0.25))
    write_volume(Volume(ct, fine, Modality.CT, "HU"), place / "ct.nii.gz")
    labels = np.zeros(ct.shape, np.uint8)
    labels[12:18, 10:16, 8:14] = 1
    labels[50:56, 10:16, 8:14] = 2
    write_volume(OrganLabels(labels, fine), place / "organs.nii.gz")
    (place / "organs.csv").write_text("label,name\n1,liver\n2,tail\n")
    bed = Alignment(Transform.identity(), "fiducials", verdict=Verdict.DOUBTFUL, reason="two markers disagree")
    save_alignment(replace(bed, error_covariance=np.eye(6) * 1e-4), place / "bed.tfm")
    (place / "study.yaml").write_text(STUDY, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return load_study(folder / "study.yaml")


def doubted(rows: tuple[Measurement, ...], modality: str) -> set[str]:
    return {row.organ for row in rows if row.modality == modality and "doubtful_alignment" in row.flag.split(";")}


def test_every_organs_row_of_a_doubtful_scan_says_so_also_of_an_organ_the_scan_does_not_see(study: Study) -> None:
    subject = study.subjects[0]
    analysis = analyse_timepoint(study, subject, subject.timepoint(0))
    (alignment,) = analysis.alignments
    assert (alignment.verdict, alignment.reason) == ("doubtful", "two markers disagree")
    assert doubted(analysis.measurements, "MPI") == DOUBTED == {row.organ for row in analysis.measurements}
    tail = next(row for row in analysis.measurements if row.organ == "tail")
    assert tail.flag == "doubtful_alignment;outside_field_of_view"


def test_only_the_scan_whose_alignment_is_in_doubt_is_flagged(study: Study) -> None:
    subject = study.subjects[0]
    analysis = analyse_timepoint(study, subject, subject.timepoint(1))
    assert analysis.failures == ()
    assert doubted(analysis.measurements, "PET") == DOUBTED
    assert doubted(analysis.measurements, "MPI") == set()


def test_retention_keeps_the_doubt(study: Study) -> None:
    retention = {(row.day, row.organ): row.flag for row in analyse_study(study).retention if row.modality == "MPI"}
    assert "doubtful_alignment" in retention[0.0, "liver"].split(";")
    assert "doubtful_alignment" not in retention[1.0, "liver"].split(";")


def test_the_scans_of_every_alignment_come_with_it_for_pictures(study: Study) -> None:
    subject = study.subjects[0]
    analysis = analyse_timepoint(study, subject, subject.timepoint(1))
    seen = [(str(fixed.modality), str(moving.modality)) for fixed, moving in analysis.compared]
    assert seen == [("CT", "MPI"), ("CT", "PET")]
    assert len(analysis.compared) == len(analysis.saved_alignments) == len(analysis.alignments)
