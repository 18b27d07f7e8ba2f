"""What joins the scans of one session: a bed, a frame, a projection's plane; and what is said of it."""

import json
from datetime import datetime

import numpy as np
import pytest

from napari_mpi_track.errors import StudyFileError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.analysis import analyse_timepoint
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment_files import save_alignment
from napari_mpi_track.writers.points import write_points
from napari_mpi_track.writers.scans import write_volume

BALLS = np.array([[0.0, 0, 0], [12, 3, -8], [-11, 10, 6], [4, -12, 11], [-9, -6, -14]])
SHIFT = np.array([3.0, -2.0, 4.0])


def write_day(folder, day: int) -> None:
    """An anatomy, an organ of 6 mm in it, and an MPI whose scanner puts everything SHIFT further."""
    fine = Grid.from_spacing((32, 28, 24), 1.0, (-11.5, -13.5, -15.5))
    ct = np.random.default_rng(day).normal(0, 10, fine.shape).astype(np.float32)
    ct[4:28, 4:24, 4:20] += 500
    write_volume(Volume(ct, fine), folder / f"ct{day}.nii.gz")
    labels = np.zeros(fine.shape, np.uint8)
    labels[12:18, 10:16, 8:14] = 1
    write_volume(OrganLabels(labels, fine), folder / f"organs{day}.nii.gz")
    mpi = np.random.default_rng(day + 10).normal(0, 1, fine.shape).astype(np.float32)
    mpi[13:17, 11:15, 9:13] += 100
    write_volume(Volume(mpi, Grid.from_spacing(fine.shape, 1.0, fine.origin_mm + SHIFT)), folder / f"mpi{day}.nii.gz")


def write_bed(folder, shift: np.ndarray = SHIFT) -> None:
    off = np.random.default_rng(0).normal(0, 0.05, BALLS.shape)
    scans = [
        Volume(
            np.zeros((9, 9, 9), np.float32),
            Grid.from_spacing((9, 9, 9), 5.0, (-20, -20, -20)),
            modality,
            acquired_at=at,
        )
        for modality, at in ((Modality.CT, None), (Modality.MPI, datetime(2026, 3, 1, 8)))
    ]
    names = [f"b{k}" for k in range(len(BALLS))]
    found = align(*scans, fixed_points=Points(names, BALLS), moving_points=Points(names, BALLS + off + shift))
    save_alignment(found, folder / "bed.tfm")


STUDY = """schema: 1
alignment: bed.tfm
reference: first
subjects:
  - id: a1
    injection: {time: 2026-04-01T09:00:00}
    timepoints:
      - {day: 1, mpi: mpi1.nii.gz, anatomy: ct1.nii.gz, organs: organs1.nii.gz}
      - {day: 3, mpi: mpi3.nii.gz, anatomy: ct3.nii.gz, organs: organs3.nii.gz%s}
"""


def load(folder, text: str):
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return load_study(folder / "study.yaml")


def analysed(study, day: float):
    subject = study.subjects[0]
    return analyse_timepoint(study, subject, subject.timepoint(day))


def test_a_bed_measured_once_serves_every_day_of_a_study(tmp_path) -> None:
    for day in (1, 3):
        write_day(tmp_path, day)
    write_bed(tmp_path)
    analysis = analysed(load(tmp_path, STUDY % ""), 3)
    (row,) = analysis.alignments
    assert row.method == "bed (fiducials)"
    assert "bed measured 2026-03-01, 34 days before this scan" in row.reason
    assert any("put back in the same place" in warning for warning in analysis.warnings)
    organ = next(row for row in analysis.measurements if row.organ == "1")
    # 4 x 4 x 4 voxels of 100, well inside the organ; noise of 1.
    assert organ.signal_total == pytest.approx(6400, abs=80)
    assert 0 < organ.alignment_error_mm < 0.2
    assert organ.flag == "no_calibration"
    assert next(row.sd for row in analysis.budget if row.term == "alignment") > 0


def test_a_bed_that_moved_is_shown_by_the_sessions_own_fiducials_and_flags_every_organ(tmp_path) -> None:
    for day in (1, 3):
        write_day(tmp_path, day)
    write_bed(tmp_path, SHIFT + [0, 0, 1.5])
    names = [f"b{k}" for k in range(len(BALLS))]
    write_points(Points(names, BALLS), tmp_path / "ct.csv")
    write_points(Points(names, BALLS + SHIFT), tmp_path / "mpi.csv")
    given = ", fiducials: {anatomy: ct.csv, mpi: mpi.csv}"
    analysis = analysed(load(tmp_path, STUDY % given), 3)
    (row,) = analysis.alignments
    assert row.verdict == "doubtful"
    assert "5 fiducials lie 1.49 mm from where it puts them" in row.reason
    organs = [row for row in analysis.measurements if row.organ not in ("outside", "total", "fiducials")]
    assert organs
    assert all("doubtful_alignment" in row.flag for row in organs)


def test_organs_are_carried_between_days_by_the_model_the_study_names(tmp_path) -> None:
    for day in (1, 3):
        write_day(tmp_path, day)
    write_bed(tmp_path)
    assert load(tmp_path, STUDY % "").between_days == "rigid"
    assert load(tmp_path, "between_days: affine\n" + STUDY % "").between_days == "affine"
    with pytest.raises(StudyFileError, match="between_days"):
        load(tmp_path, "between_days: elastic\n" + STUDY % "")


def projection_study(organs: str) -> str:
    return f"""schema: 1
alignment: fiducials
reference: first
subjects:
  - id: a1
    timepoints:
      - day: 1
        mpi: {{path: mpi.nii.gz, projection: true}}
        anatomy: {{path: view.nii.gz, projection: true}}
        organs: {organs}
        fiducials: {{anatomy: ct.csv, mpi: mpi.csv}}
"""


def write_projection(folder, organ_planes: int) -> None:
    """A lit square of 10 x 10 pixels within an organ of 16 x 16, seen along z by a plane of another thickness."""
    generator = np.random.default_rng(5)
    seen = Grid.from_spacing((1, 60, 50), (30.0, 1.0, 1.0), (-24.5, -29.5, 0))
    mpi = generator.normal(0, 1, seen.shape)
    mpi[0, 23:33, 18:28] += 50
    write_volume(Volume(mpi.astype(np.float32), seen), folder / "mpi.nii.gz")
    view = Grid.from_spacing((1, 60, 50), (2.0, 1.0, 1.0), (-24.5, -29.5, 80.0) - np.array([3.0, -2.0, 0]))
    picture = generator.normal(0, 1, view.shape)
    picture[0, 5:55, 10:40] += 300
    write_volume(Volume(picture.astype(np.float32), view), folder / "view.nii.gz")
    labels = np.zeros((organ_planes, 60, 50), np.uint8)
    labels[:, 20:36, 15:31] = 1
    write_volume(OrganLabels(labels, Grid(labels.shape, view.lps_from_index)), folder / "organs.nii.gz")
    names = [f"b{k}" for k in range(len(BALLS))]
    write_points(Points(names, BALLS + [-3.0, 2, 80]), folder / "ct.csv")
    write_points(Points(names, BALLS), folder / "mpi.csv")


def test_organs_drawn_on_the_projected_anatomy_hold_all_their_signal_whatever_the_thickness(tmp_path) -> None:
    write_projection(tmp_path, 1)
    analysis = analysed(load(tmp_path, projection_study("organs.nii.gz")), 1)
    (row,) = analysis.alignments
    assert row.method == "projection (fiducials)"
    rows = {row.organ: row for row in analysis.measurements}
    # 100 pixels of 1 mm2 and 50 a.u.; noise of 1 over 256 of them.
    assert rows["1"].signal_total == pytest.approx(5000, abs=60)
    assert rows["1"].organ_volume_mm3 is None
    assert "outside_field_of_view" not in rows["1"].flag
    parts = [rows[name].signal_total for name in ("1", "fiducials", "outside")]
    assert sum(parts) == pytest.approx(rows["total"].signal_total, rel=1e-9)
    assert analysis.failures == ()


def test_organs_drawn_in_depth_are_measured_in_a_projection_by_their_shadows(tmp_path) -> None:
    write_projection(tmp_path, 1)
    deep = Grid.from_spacing((3, 60, 50), (10.0, 1.0, 1.0), (-24.5, -29.5, 70.0) - np.array([3.0, -2.0, 0]))
    ct = np.random.default_rng(0).normal(0, 1, deep.shape)
    ct[:, 5:55, 10:40] += 300
    write_volume(Volume(ct.astype(np.float32), deep), tmp_path / "ct.nii.gz")
    labels = np.zeros(deep.shape, np.uint8)
    labels[:, 20:36, 15:31] = 1
    write_volume(OrganLabels(labels, deep), tmp_path / "deep.nii.gz")
    text = projection_study("deep.nii.gz").replace("{path: view.nii.gz, projection: true}", "ct.nii.gz")
    analysis = analysed(load(tmp_path, text), 1)
    rows = {row.organ: row for row in analysis.measurements}
    # 100 pixels of 1 mm2 and 50 a.u.; noise of 1 over 256 of them.
    assert rows["1"].signal_total == pytest.approx(5000, abs=60)
    parts = [rows[name].signal_total for name in ("1", "fiducials", "outside")]
    assert sum(parts) == pytest.approx(rows["total"].signal_total, rel=1e-9)
    assert analysis.failures == ()
    assert analysis.alignments[0].verdict == "good"


def test_a_pet_in_the_anatomys_frame_is_said_to_know_nothing_of_breathing(tmp_path) -> None:
    write_day(tmp_path, 1)
    pet = np.random.default_rng(0).random((16, 14, 12)).astype(np.float32)
    grid = Grid.from_spacing(pet.shape, 2.0, (-11, -13, -15))
    write_volume(Volume(pet, grid, Modality.PET, "Bq/mL"), tmp_path / "pet.nii.gz")
    text = """schema: 1
reference: first
subjects:
  - id: a1
    injection: {time: 2026-04-01T09:00:00, cells: 1.0e6}
    radiotracer: {isotope: 89Zr, activity_kBq: 10.0, assayed_at: 2026-04-01T09:00:00}
    timepoints:
      - {day: 1, time: 2026-04-02T09:00:00, pet: pet.nii.gz, anatomy: ct1.nii.gz, organs: organs1.nii.gz,
         decay_corrected_to: scan}
"""
    analysis = analysed(load(tmp_path, text), 1)
    (row,) = analysis.alignments
    assert (row.moving, row.method, row.verdict) == ("PET", "frame", "good")
    assert "breathing and movement between the two scans are not known" in row.reason
    organ = next(row for row in analysis.measurements if row.organ == "1")
    assert organ.alignment_error_mm is None


def test_the_models_between_days_stand_in_the_provenance(tmp_path) -> None:
    from napari_mpi_track.report.provenance import plain

    for day in (1, 3):
        write_day(tmp_path, day)
    write_bed(tmp_path)
    study = load(tmp_path, "between_days: affine\n" + STUDY % "")
    assert json.loads(json.dumps(plain(study, tmp_path)))["between_days"] == "affine"
