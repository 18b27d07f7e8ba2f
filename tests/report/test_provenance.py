"""What a result was made from."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_examples import example_study

from napari_mpi_track import __version__
from napari_mpi_track.longitudinal.study import ScanFile, Study, Timepoint
from napari_mpi_track.report.provenance import InputHashes, provenance_of, timepoint_key


def key(study: Study, day: float) -> str:
    subject = study.subjects[0]
    return timepoint_key(study, subject, subject.timepoint(day), InputHashes(study))


def test_every_input_is_listed_with_its_sha256_by_its_path_in_the_study(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    told = provenance_of(study, InputHashes(study), warnings=[])
    names = ["study.yaml", "calibration.csv", *(p.name for p in tmp_path.glob("*.nii.gz"))]
    assert sorted(told["inputs"]) == sorted(names)
    for name, digest in told["inputs"].items():
        assert digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert told["versions"]["napari-mpi-track"] == __version__
    json.dumps(told, allow_nan=False)


def test_provenance_names_no_machine_and_no_clock(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
    first, second = (example_study(folder) for folder in (tmp_path / "one", tmp_path / "two"))
    assert provenance_of(first, InputHashes(first)) == provenance_of(second, InputHashes(second))
    assert str(tmp_path) not in json.dumps(provenance_of(first, InputHashes(first)))


def test_a_folder_is_hashed_file_by_file_and_a_header_with_its_voxels(tmp_path: Path) -> None:
    study = example_study(tmp_path, ("m01",))
    (tmp_path / "dicom" / "a").mkdir(parents=True)
    (tmp_path / "dicom" / "a" / "1.dcm").write_bytes(b"1")
    (tmp_path / "scan [1].mhd").write_text("ElementDataFile = scan [1].raw")
    (tmp_path / "scan [1].raw").write_bytes(b"2")
    scans = (ScanFile(tmp_path / "dicom"), ScanFile(tmp_path / "scan [1].mhd"))
    found = InputHashes(study).of([Timepoint(0.0, mpi=scans[0], anatomy=scans[1])])
    assert sorted(found) == ["dicom/a/1.dcm", "scan [1].mhd", "scan [1].raw"]


def test_a_saved_alignment_named_by_path_is_an_input(tmp_path: Path) -> None:
    study = replace(example_study(tmp_path, ("m01",)), alignment="T.tfm")
    (tmp_path / "T.tfm").write_text("transform")
    (tmp_path / "T.json").write_text("{}")
    assert {"T.tfm", "T.json"} <= set(provenance_of(study, InputHashes(study))["inputs"])


@pytest.mark.parametrize("changed", ["m01_3_mpi.nii.gz", "m01_organs.nii.gz", "calibration.csv"])
def test_a_timepoint_is_measured_again_when_a_file_it_rests_on_changes(tmp_path: Path, changed: str) -> None:
    study = example_study(tmp_path)
    before = key(study, 3.0)
    assert before == key(study, 3.0)
    (tmp_path / changed).write_bytes(b"changed")
    assert key(study, 3.0) != before


def test_a_timepoint_stands_when_what_it_does_not_rest_on_changes(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    before = key(study, 3.0)
    (tmp_path / "m01_7_mpi.nii.gz").write_bytes(b"changed")
    (tmp_path / "m02_3_mpi.nii.gz").write_bytes(b"changed")
    (tmp_path / "study.yaml").write_text("schema: 1  # a comment\n")
    assert key(replace(study, name="another name", reference="first", decay_model="plateau"), 3.0) == before


@pytest.mark.parametrize(
    "change", [{"spill_over": False}, {"psf": None}, {"alignment": "frame"}, {"tracer": "VivoTrax"}]
)
def test_a_setting_that_changes_numbers_changes_the_key(tmp_path: Path, change: dict[str, object]) -> None:
    study = example_study(tmp_path)
    assert key(replace(study, **change), 3.0) != key(study, 3.0)  # type: ignore[arg-type]


def test_moving_the_whole_study_keeps_its_finished_timepoints(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
    assert key(example_study(tmp_path / "one"), 1.0) == key(example_study(tmp_path / "two"), 1.0)
