"""Studies proposed from folders and tables; the truth is the study file that was taken away, or that the test wrote."""

import shutil
from pathlib import Path, PurePath

import nibabel
import numpy as np
import pytest
from simulated_dicom import write_series

from napari_mpi_track.cli.main import main
from napari_mpi_track.errors import TableError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.file_names import FileUse, days_of, subjects_of, words_of
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.longitudinal.study_proposal import propose_study
from napari_mpi_track.longitudinal.study_table import import_study

SAMPLES = Path(__file__).parents[2] / "sample_data"


def files_of(study):
    """Every scan and file of every day, by subject and day."""
    root = study.file.parent

    def short(thing):
        path = getattr(thing, "path", thing)
        return None if path is None else path.relative_to(root).as_posix()

    return {
        (subject.id, timepoint.day): [
            short(getattr(timepoint, name))
            for name in ("mpi", "anatomy", "organs", "pet", "mpi_fiducials", "anatomy_fiducials")
        ]
        + [timepoint.is_baseline]
        for subject in study.subjects
        for timepoint in subject.timepoints
    }


@pytest.mark.parametrize("name", ["car-t", "knee"])
def test_a_folder_without_its_study_file_gives_the_same_subjects_days_and_files(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(SAMPLES / name, folder)
    truth = load_study(folder / "study.yaml")
    (folder / "study.yaml").unlink()
    text = propose_study(folder)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    proposed = load_study(folder / "study.yaml")
    assert files_of(proposed) == files_of(truth)
    assert proposed.organ_names == truth.organ_names
    for subject, meant in zip(proposed.subjects, truth.subjects, strict=True):
        for day, right in zip(subject.timepoints, meant.timepoints, strict=True):
            assert day.anatomy.modality == right.anatomy.modality
    assert "could not tell: what was in the samples of calibration.csv" in text
    assert text.count("could not tell: the injection") == len(truth.subjects)


def test_dicom_folders_tell_subject_weight_isotope_dose_and_time(tmp_path):
    """Folders named after nothing: everything stands in the headers."""
    grid = Grid.from_spacing((4, 10, 12), 1.0, frame="1.2.3")
    voxels = np.arange(480, dtype=np.int16).reshape(4, 10, 12)
    for at, date in enumerate(("20260302", "20260305")):
        common = {
            "PatientID": "mouse 7",
            "PatientWeight": "0.0227",
            "AcquisitionDate": date,
            "AcquisitionTime": "093000",
            "StudyInstanceUID": f"1.2.{at + 1}",
        }
        write_series(tmp_path / f"{at}a", voxels, grid, Modality="CT", RescaleIntercept="0", RescaleSlope="1", **common)
        write_series(tmp_path / f"{at}b", voxels, grid, Modality="PT", Units="BQML", DecayCorrection="START", **common)
    text = propose_study(tmp_path)
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    (subject,) = load_study(tmp_path / "study.yaml").subjects
    assert subject.id == "mouse 7"
    assert subject.weight_g == pytest.approx(22.7)
    assert [timepoint.day for timepoint in subject.timepoints] == [0.0, 3.0]
    assert [timepoint.anatomy.path.name for timepoint in subject.timepoints] == ["0a", "1a"]
    assert [timepoint.pet.path.name for timepoint in subject.timepoints] == ["0b", "1b"]
    assert subject.timepoints[1].time.isoformat() == "2026-03-05T09:30:00"
    assert "days are counted from the first scan" in text
    assert "the isotope, its dose" in text
    assert "whether 0a, 0b, 1a, 1b are one subject: their headers all say 'mouse 7'" in text
    assert "decay_corrected_to" not in text


def test_a_scan_that_cannot_be_read_is_told_of_and_what_is_no_scan_is_not(tmp_path):
    shutil.copytree(SAMPLES / "car-t" / "m01", tmp_path / "m01", ignore=lambda *_: ["day07_mpi.nii.gz"])
    (tmp_path / "m01" / "day07_mpi.nii.gz").write_bytes(b"broken off")
    (tmp_path / "m01" / "Thumbs.db").write_bytes(b"\0\1")
    (tmp_path / "m01" / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    text = propose_study(tmp_path)
    assert "could not tell: what m01/day07_mpi.nii.gz is" in text
    assert "Thumbs" not in text
    assert "photo" not in text


def test_frames_over_time_are_proposed_as_a_dynamic_scan(tmp_path):
    (tmp_path / "m01" / "day0").mkdir(parents=True)
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4, 8), np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((1.0, 1.0, 1.0, 2.0))
    nibabel.save(image, tmp_path / "m01" / "day0" / "mpi_bolus.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4), np.float32), np.eye(4)), tmp_path / "m01" / "day0" / "mpi.nii")
    text = propose_study(tmp_path)
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    [timepoint] = load_study(tmp_path / "study.yaml").subjects[0].timepoints
    assert (timepoint.mpi.path.name, timepoint.dynamic.path.name) == ("mpi.nii", "mpi_bolus.nii")
    assert "# 8 frames" in text


def test_folders_of_series_are_nobodys_names(tmp_path):
    """Two animals, each with folders SE0 and SE1 in every session: the headers tell whose they are."""
    grid = Grid.from_spacing((4, 10, 12), 1.0, frame="1.2.3")
    voxels = np.arange(480, dtype=np.int16).reshape(4, 10, 12)
    for mouse in ("1", "2"):
        common = {"PatientID": f"M{mouse}", "AcquisitionDate": "20260302", "AcquisitionTime": "093000"}
        write_series(tmp_path / f"M{mouse}" / "SE0", voxels, grid, Modality="CT", StudyInstanceUID="1.2", **common)
        write_series(
            tmp_path / f"M{mouse}" / "SE1", voxels, grid, Modality="PT", Units="BQML", StudyInstanceUID="1.2", **common
        )
    text = propose_study(tmp_path)
    assert "are one subject" not in text
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    assert [subject.id for subject in load_study(tmp_path / "study.yaml").subjects] == ["M1", "M2"]


def test_two_series_in_one_folder_are_told_apart_by_their_number(tmp_path):
    grid = Grid.from_spacing((4, 10, 12), 1.0, frame="1.2.3")
    voxels = np.arange(480, dtype=np.int16).reshape(4, 10, 12)
    folder = tmp_path / "m01" / "day3"
    write_series(folder, voxels, grid, order=range(4), Modality="CT", SeriesNumber=1)
    write_series(folder, voxels, grid, order=range(4, 8), Modality="PT", SeriesNumber=2, Units="BQML")
    (tmp_path / "study.yaml").write_text(propose_study(tmp_path), encoding="utf-8")
    (timepoint,) = load_study(tmp_path / "study.yaml").subjects[0].timepoints
    assert timepoint.day == 3.0
    assert (timepoint.anatomy.series, timepoint.pet.series) == (1, 2)


@pytest.mark.parametrize(
    ("path", "day", "modality", "use"),
    [
        ("m01/day07_mpi.nii.gz", 7.0, Modality.MPI, None),
        ("m01/Day 0.17/CT/recon.nrrd", 0.17, Modality.CT, None),
        ("group A/m01/d3-T2w.nii", 3.0, Modality.MR, None),
        ("m01_week2_PET.nii.gz", 14.0, Modality.PET, None),
        ("m01/24h/organs.seg.nrrd", 1.0, None, FileUse.ORGANS),
        ("m01/markers-mpi-7d.csv", 7.0, Modality.MPI, FileUse.FIDUCIALS),
    ],
)
def test_a_path_tells_day_modality_and_use(path, day, modality, use):
    words = words_of(PurePath(path))
    assert days_of([words]) == [pytest.approx(day)]
    assert words.modality is modality
    assert words.use is use


def test_a_dash_before_a_day_is_a_minus_only_beside_days_without_one():
    with_dashes = [words_of(PurePath(f"m01/day-{n}_mpi.nii")) for n in (1, 7)]
    assert days_of(with_dashes) == [1.0, 7.0]
    mixed = [words_of(PurePath(f"m01/{name}_mpi.nii")) for name in ("day-1", "day1", "day7")]
    assert days_of(mixed) == [-1.0, 1.0, 7.0]


def test_the_innermost_folder_is_the_subject_and_the_one_above_it_the_group():
    paths = ["trial/CAR-T/m01/day1/mpi.nii", "trial/control/m02/day1/mpi.nii"]
    assert subjects_of([words_of(PurePath(path)) for path in paths]) == [("m01", "CAR-T"), ("m02", "control")]
    flat = [words_of(PurePath(path)) for path in ("m01_d1_mpi.nii", "m02_d1_mpi.nii")]
    assert [subject for subject, _ in subjects_of(flat)] == ["m01", "m02"]


def test_a_folder_without_a_scan_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UnreadableScanError, match="none of 1 files"):
        propose_study(tmp_path)
    with pytest.raises(UnreadableScanError, match="a folder with scans"):
        propose_study(tmp_path / "elsewhere")


TABLE = """subject;group;day;signal;injected_cells;injected_signal;isotope;weight_g
m01;labelled;0;640,2;5e5;812,5;89Zr;24,1
m01;;7;310;;;;
c01;control;0;120;;;;
"""


def test_a_table_of_timepoints_becomes_a_study_that_loads(tmp_path):
    """As a German spreadsheet writes it: semicolons and decimal commas."""
    (tmp_path / "days.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(import_study(tmp_path / "days.csv"), encoding="utf-8")
    first, second = load_study(tmp_path / "study.yaml").subjects
    assert (first.id, first.group, first.weight_g) == ("m01", "labelled", 24.1)
    assert (first.injection.cells, first.injection.signal) == (5e5, 812.5)
    assert [(t.day, t.signal) for t in first.timepoints] == [(0.0, 640.2), (7.0, 310.0)]
    assert first.radiotracer.isotope == "89Zr"
    assert (second.id, second.injection.cells) == ("c01", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "subject,day,signal\nm01,one,5\nm01,2,much\n,3,1\n",
            ["line 2: 'day'", "line 3: 'signal'", "line 4: 'subject'"],
        ),
        ("subject,day,singal\nm01,1,5\n", ["'singal' (did you mean 'signal'?)"]),
        ("subject,day,group\nm01,1,a\nm01,2,b\n", ["line 3: 'group' of m01 is b here and a further up"]),
        ("animal,day\nm01,1\n", ["needs the columns 'subject'"]),
        ("subject,day,day\nm01,1,1\n", ["columns are there twice: day"]),
        ("subject,day\n", ["no rows"]),
    ],
)
def test_faults_of_a_table_are_listed_by_line(text, words, tmp_path):
    (tmp_path / "days.csv").write_text(text, encoding="utf-8")
    with pytest.raises(TableError) as caught:
        import_study(tmp_path / "days.csv")
    for word in words:
        assert word in str(caught.value)


def test_the_command_writes_beside_the_scans_only(tmp_path, capsys):
    (tmp_path / "days.csv").write_text(TABLE, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["init", str(tmp_path / "days.csv"), "--out", str(tmp_path / "study.yaml")])
    assert ended.value.code == 0
    assert "could not be told" in capsys.readouterr().out
    load_study(tmp_path / "study.yaml")
    with pytest.raises(SystemExit) as ended:
        main(["init", str(tmp_path / "days.csv"), "--out", str(tmp_path.parent / "study.yaml")])
    assert ended.value.code == 2
    assert "save it in" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["init", str(tmp_path / "days.csv")])
    assert capsys.readouterr().out == (tmp_path / "study.yaml").read_text(encoding="utf-8")
