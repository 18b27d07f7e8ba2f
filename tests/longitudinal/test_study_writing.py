"""A saved study reads as it is, and what was not changed stays as a person wrote it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from napari_mpi_track.errors import OutputExistsError, StudyFileError
from napari_mpi_track.imaging.approval import Approval
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.dilution_by_division import Doubling
from napari_mpi_track.longitudinal.study import (
    CalibrationChoice,
    Fluorine,
    FreeLabel,
    Injection,
    Radiotracer,
    ScanFile,
    Study,
    Subject,
    Timepoint,
    TracerDose,
    Vial,
)
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.longitudinal.study_tree import study_tree
from napari_mpi_track.longitudinal.study_writing import save_study

SAMPLES = Path(__file__).parents[2] / "sample_data"
TEXT = """\
# kept by hand
schema: 1
name: "knees"   # as in the protocol
timezone: Europe/Berlin
psf_fwhm_mm: 3.0
subjects:
- id: m01      # the large one
  weight_g: 24.1   # on day 0
  injection: {time: 2026-03-28T09:30:00, cells: 5.0e5}   # by J.
  timepoints:
  # the day after
  - day: 1
    time: 2026-03-29T10:30:00
    signal: 640.2
  - {day: 0, signal: 700}
- id: 7
  timepoints:
  - day: 0
    signal: 5
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "study.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "study.yaml"


@pytest.mark.parametrize("name", ["car-t", "knee"])
def test_a_study_saved_elsewhere_reads_the_same_and_keeps_its_comments(name, tmp_path):
    source = SAMPLES / name / "study.yaml"
    study = load_study(source)
    # Every path is another one from there.
    save_study(study, tmp_path / "study.yaml")
    assert study_tree(load_study(tmp_path / "study.yaml"), tmp_path) == study_tree(study, tmp_path)
    text = (tmp_path / "study.yaml").read_text(encoding="utf-8")
    assert [line.partition("#")[2] for line in text.splitlines()] == [
        line.partition("#")[2] for line in source.read_text(encoding="utf-8").splitlines()
    ]


def test_only_what_changed_is_written_anew(file):
    study = load_study(file)
    save_study(study, file, overwrite=True)
    assert file.read_text(encoding="utf-8") == TEXT
    mouse = replace(study.subjects[0], weight_g=25.0)
    later = Timepoint(3.0, time=datetime(2026, 3, 31, 7, 30, tzinfo=UTC), signal=300.0)
    mouse = replace(mouse, timepoints=(*mouse.timepoints, later))
    save_study(replace(study, subjects=(mouse, study.subjects[1]), reference="first"), file, overwrite=True)
    text = file.read_text(encoding="utf-8")
    lines = set(text.splitlines())
    assert set(TEXT.splitlines()) - lines == {"  weight_g: 24.1   # on day 0"}
    assert "  weight_g: 25     # on day 0" in lines
    assert "reference: first" in lines
    loaded = load_study(file)
    assert loaded.subjects[0].timepoints[-1] == later
    assert [t.day for t in loaded.subjects[0].timepoints] == [0, 1, 3]


def test_subjects_and_days_that_are_gone_are_gone_from_the_file(file):
    study = load_study(file)
    mouse = replace(study.subjects[0], timepoints=study.subjects[0].timepoints[1:])
    save_study(replace(study, subjects=(mouse,)), file, overwrite=True)
    [left] = load_study(file).subjects
    assert [t.day for t in left.timepoints] == [1]
    assert "# kept by hand" in file.read_text(encoding="utf-8")


def test_a_point_spread_takes_the_place_of_a_width(file):
    blur = PointSpread(PsfShape.LORENTZIAN, np.array([2.0, 3.0, 4.0]))
    save_study(replace(load_study(file), psf=blur), file, overwrite=True)
    assert load_study(file).psf.fwhm_mm.tolist() == [2, 3, 4]
    assert "psf_fwhm_mm" not in file.read_text(encoding="utf-8")


def test_everything_a_study_can_say_survives_a_new_file(tmp_path):
    for name in ("a.nii.gz", "c.csv", "bed.tfm", "sat.json", "organs.csv"):
        (tmp_path / name).touch()
    scan, table = ScanFile(tmp_path / "a.nii.gz", 2, Modality.MR, "a.u.", (1.0, 0.5, 0.5), True), tmp_path / "c.csv"
    at = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    full = Timepoint(
        1.0, at, False, ScanFile(scan.path), None, scan, scan.path, ScanFile(scan.path, modality=Modality.SPECT),
        "scan", table, table, str(tmp_path / "bed.tfm"), "intensity", ScanFile(scan.path), ScanFile(scan.path),
        scan.path, Vial(3.0, 0.1), scan.path, {"liver": Approval("JD", at, "0" * 64)}, None, None, table,
        ScanFile(scan.path),
    )  # fmt: skip
    reporter = Timepoint(2.0, pet=ScanFile(scan.path), dose=TracerDose(9.5, at, 0.5, at), decay_corrected_to="none")
    nis = Radiotracer("18F", reporter="NIS")
    study = Study(
        name="all of it",
        file=tmp_path / "not-there.yaml",
        timezone="Europe/Berlin",
        tracer="ProMag",
        calibration=CalibrationChoice(None, table, "in-cells", "cells", "signal", {"batch": "B7"}, ("tracer",)),
        conditions={"scanner": "Momentum", "viability_percent": 91.0},
        saturation=tmp_path / "sat.json",
        reference_vial=Vial(3.5, 0.2),
        fluorine=Fluorine("capillary", 100.0, 3e12, 1e11, 0.5),
        organ_names=tmp_path / "organs.csv",
        psf=PointSpread(PsfShape.GAUSSIAN, np.array([2.5, 2.5, 3.0]), 0.02),
        spill_over=True,
        organ_rules={"tumour": "margin"},
        merge=(("lungs", "heart"),),
        background="robust",
        repeatability=0.01,
        rules="compare",
        reference="1",
        retention_at=(7.0,),
        free_label=FreeLabel(0.1, 0.02),
        doubling=Doubling(0.5, 0.1),
        subjects=(
            Subject(
                "m 01 large", "CAR-T", True, 24.1, Injection(at, 5e5, 812.0, 3.0, 8.1, Vial(3.0)),
                Radiotracer("89Zr", 10.0, 0.1, at, 20.0), {"WOMAC": {0.0: 52.0, 42.0: 31.5}}, (full,),
            ),
            Subject("2", injection=Injection(at), radiotracer=nis, timepoints=(reporter,)),
        ),
    )  # fmt: skip
    save_study(study, tmp_path / "study.yaml")
    loaded = load_study(tmp_path / "study.yaml")
    assert loaded.subjects == study.subjects
    assert study_tree(loaded, tmp_path) == study_tree(study, tmp_path)
    assert (loaded.calibration, loaded.free_label, loaded.merge) == (study.calibration, study.free_label, study.merge)
    assert loaded.doubling.divisions_per_day == pytest.approx(0.5)


def test_what_would_not_read_as_it_is_is_not_written(file):
    study = load_study(file)
    lost = replace(study, subjects=(replace(study.subjects[0], id="m/01"),))
    with pytest.raises(StudyFileError, match="cannot be saved so that it reads as it is"):
        save_study(lost, file, overwrite=True)
    assert file.read_text(encoding="utf-8") == TEXT
    assert [entry.name for entry in file.parent.iterdir()] == ["study.yaml"]
    with pytest.raises(OutputExistsError):
        save_study(study, file)
