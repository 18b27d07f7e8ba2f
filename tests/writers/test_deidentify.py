"""What says whose scan it is goes, wherever it stood; what the scan is read by stays."""

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from assertions import assert_same_place
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from simulated_dicom import write_series

from napari_mpi_track.cli import main
from napari_mpi_track.errors import OutputError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.writers import deidentify
from napari_mpi_track.writers.deidentify import deidentified
from napari_mpi_track.writers.identities import Identities

GRID = Grid.from_spacing((3, 4, 5), (2, 1, 0.5), (7, 8, 9), "1.2.3.77")
WHO = "Zwxyq"
PET = {
    "Modality": "PT",
    "Units": "BQML",
    "DecayCorrection": "START",
    "SeriesDate": "20260301",
    "SeriesTime": "093000",
    "AcquisitionDate": "20260301",
    "AcquisitionTime": "100000",
    "PatientID": "m01",
    "PatientName": f"{WHO}^Anna",
    "PatientBirthDate": "19700102",
    "PatientWeight": "0.02",
    "InstitutionName": WHO,
    "SeriesDescription": f"PET of {WHO}",
    "StudyInstanceUID": "1.2.3.88",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128",
}


def voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, GRID.shape).astype(np.int16)


def run(arguments: list[str], status: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == status


def dose() -> Dataset:
    item: Any = Dataset()
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = "10000", "282240"
    item.RadiopharmaceuticalStartDateTime = "20260228093000"
    return item


def test_a_scan_is_read_as_before_and_names_nobody(tmp_path: Path) -> None:
    tags = {**PET, "RadiopharmaceuticalInformationSequence": [dose()]}
    write_series(tmp_path / "in" / WHO, voxels(), GRID, scaling=[(0.5, 1.0)] * 3, **tags)
    run(["deidentify", str(tmp_path / "in"), str(tmp_path / "out")])
    before, after = read_scan(tmp_path / "in"), read_scan(tmp_path / "out")
    np.testing.assert_array_equal(after.voxels, before.voxels)
    assert_same_place(after.grid, before.grid)
    assert (after.modality, after.unit) == (before.modality, before.unit)
    # Decay is counted between times: all of them move alike.
    assert after.acquired_at is not None
    assert before.acquired_at is not None
    for one in (before, after):
        assert one.acquired_at is not None
        assert (one.acquired_at - one.metadata["injected_at"]).total_seconds() == 24.5 * 3600
    assert after.acquired_at < datetime(2025, 2, 1)
    for file in (tmp_path / "out").rglob("*.dcm"):
        assert WHO not in str(file)
        content = file.read_bytes()
        for said in (WHO, "m01", "1.2.3.77", "1.2.3.88", "20260301", "19700102"):
            assert said.encode() not in content
        header = pydicom.dcmread(file)
        assert (header.PatientID, header.PatientIdentityRemoved) == ("S001", "YES")
        assert [item.CodeValue for item in header.DeidentificationMethodCodeSequence] == ["113100", "113107"]
        assert "PatientWeight" not in header


def test_no_text_of_any_attribute_comes_through_but_what_describes_the_image(tmp_path: Path) -> None:
    (file, *_) = write_series(tmp_path / "in", voxels(), GRID, **PET)
    dataset = pydicom.dcmread(file)
    inner = Dataset()
    planted = 0
    for tag, (vr, multiplicity, _, _, keyword) in DicomDictionary.items():
        if not keyword or keyword in dataset or multiplicity != "1" or tag >> 16 in (0, 2, 4):
            continue
        if vr in ("LO", "SH", "PN", "LT", "ST", "UT", "UC", "UR"):
            setattr(dataset, keyword, WHO)
            setattr(inner, keyword, WHO)
            planted += 1
        elif vr == "DA":
            setattr(dataset, keyword, "20260301")
    dataset.add_new(0x00090010, "LO", WHO)
    dataset.add_new(0x00091001, "LO", WHO)
    dataset.RadiopharmaceuticalInformationSequence = [inner]
    dataset.RequestAttributesSequence = [inner]
    clean = deidentified(dataset, Identities(), file)
    # Of hundreds of texts a handful stays: they say what the scanner did, or which organ a segment is.
    left = {element.keyword for element in clean.iterall() if str(element.value) == WHO}
    assert planted > 600
    assert left <= {
        "Manufacturer", "ConvolutionKernel", "CodeMeaning", "CodeValue", "CodingSchemeDesignator", "SegmentLabel",
        "Radiopharmaceutical", "ReconstructionMethod", "RandomsCorrectionMethod", "AttenuationCorrectionMethod",
        "ScatterCorrectionMethod", "StackID", "ImagedNucleus", "RescaleType",
    }  # fmt: skip
    assert not any(element.tag.is_private for element in clean.iterall())
    assert not any(str(element.value) == "20260301" for element in clean.iterall())


def test_identifiers_that_were_one_are_one_and_series_stay_apart(tmp_path: Path) -> None:
    for series in ("1.2.3.1", "1.2.3.2"):
        write_series(tmp_path / "in" / series, voxels(), GRID, SeriesInstanceUID=series, **PET)
    run(["deidentify", str(tmp_path / "in"), str(tmp_path / "out")])
    headers = [pydicom.dcmread(file) for file in (tmp_path / "out").rglob("*.dcm")]
    assert len({header.SOPInstanceUID for header in headers}) == 6
    assert len({header.SeriesInstanceUID for header in headers}) == 2
    assert len({header.FrameOfReferenceUID for header in headers}) == 1
    assert all(str(header.SOPInstanceUID).startswith("2.25.") for header in headers)
    assert all(header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID for header in headers)


TABLE = """subject,group,day,date,organ,cells,operator,reason
m01,treated,1,2026-03-02,liver,12345.678,Dr Zwxyq,scan of m01 repeated
m02,control,1,2026-03-03,liver,20260301,Dr Zwxyq,
m01,treated,3,2026-03-04T10:00:00,liver,1e5,Dr Zwxyq,m012 is nobody
"""


def test_tables_keep_their_numbers_and_lose_names_and_dates(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/m01_rows.csv").write_text(TABLE)
    run(["deidentify", str(tmp_path / "in"), str(tmp_path / "out"), "--key", str(tmp_path / "key.json")])
    with (tmp_path / "out/S001_rows.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["subject"] for row in rows] == ["S001", "S002", "S001"]
    assert [row["cells"] for row in rows] == ["12345.678", "20260301", "1e5"]
    assert {row["operator"] for row in rows} == {""}
    assert rows[0]["reason"] == "scan of S001 repeated"
    assert rows[2]["reason"] == "m012 is nobody"
    dates = [datetime.fromisoformat(row["date"]) for row in rows]
    assert (dates[2] - dates[0]).total_seconds() == 58 * 3600
    assert max(dates) < datetime(2025, 2, 1)
    assert json.loads((tmp_path / "key.json").read_text())["codes"] == {"m01": "S001", "m02": "S002"}


def test_numbers_within_texts_stay_and_dates_within_texts_go(tmp_path: Path) -> None:
    parameters = '{"rate_per_day": 0.106694834123, "start": 20260301.5}'
    with (tmp_path / "a.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                ["subject", "parameters", "reason"],
                ["m01", parameters, "seen 2026-03-02, again on 3.3.2026 (1.2.3 kept)"],
            ]
        )
    run(["deidentify", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    with (tmp_path / "b.csv").open() as lines:
        (row,) = csv.DictReader(lines)
    assert row["parameters"] == parameters
    assert "2026" not in row["reason"]
    assert "(1.2.3 kept)" in row["reason"]


def test_a_key_gives_the_same_codes_and_dates_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    (tmp_path / "b.csv").write_text(TABLE.replace("m01", "m09", 1))
    key = str(tmp_path / "key.json")
    for name in ("a", "b"):
        run(["deidentify", str(tmp_path / f"{name}.csv"), str(tmp_path / f"out_{name}"), "--key", key])
    first, second = ((tmp_path / f"out_{name}/{name}.csv").read_text().splitlines() for name in ("a", "b"))
    assert second[1].startswith("S003,")
    assert first[2:] == second[2:]


def test_copies_of_one_object_are_kept_apart(tmp_path: Path) -> None:
    (file, *_) = write_series(tmp_path / "in/a", voxels(), GRID, **PET)
    (tmp_path / "in/b").mkdir()
    (tmp_path / "in/b/copy.dcm").write_bytes(file.read_bytes())
    run(["deidentify", str(tmp_path / "in"), str(tmp_path / "out")])
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 4


def test_one_file_may_be_given_its_new_name(tmp_path: Path) -> None:
    (file, *_) = write_series(tmp_path / "in", voxels(), GRID, **PET)
    (tmp_path / "organs.csv").write_text("label,name\n1,liver\n")
    run(["deidentify", str(file), str(tmp_path / "clean.dcm")])
    assert pydicom.dcmread(tmp_path / "clean.dcm").PatientID == "S001"
    run(["deidentify", str(tmp_path / "organs.csv"), str(tmp_path / "clean.csv")])
    assert (tmp_path / "clean.csv").read_text() == "label,name\n1,liver\n"


def test_what_cannot_be_cleaned_is_left_out_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "in/good", voxels(), GRID, **PET)
    write_series(tmp_path / "in/burned", voxels()[:1], Grid.from_spacing((1, 4, 5), 1), BurnedInAnnotation="YES")
    (tmp_path / "in/report.pdf").write_bytes(b"%PDF-1.4 Zwxyq")
    run(["deidentify", str(tmp_path / "in"), str(tmp_path / "out")], status=3)
    said = capsys.readouterr().err
    assert "the picture itself shows text" in said
    assert "1 file(s) that are neither DICOM nor a table (.pdf)" in said
    assert len([file for file in (tmp_path / "out").rglob("*") if file.is_file()]) == 3
    run(["deidentify", str(tmp_path / "in"), str(tmp_path / "in/out")], status=2)
    assert "must lie outside the input" in capsys.readouterr().err


def test_objects_that_need_private_attributes_or_show_screens_are_refused(tmp_path: Path) -> None:
    (file, *_) = write_series(tmp_path / "in", voxels(), GRID, **PET)
    for change, reason in (
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}, "mosaic"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
    ):
        dataset = pydicom.dcmread(file)
        for keyword, value in change.items():
            setattr(dataset, keyword, value)
        with pytest.raises(OutputError, match=reason):
            deidentified(dataset, Identities(), file)


# From the basic profile's column of PS3.15 Table E.1-1: a sample of every kind of attribute that is removed.
GONE = """
    AcquisitionComments AdmissionID Allergies BranchOfService ClinicalTrialSubjectID ContentCreatorName
    DeviceSerialNumber EthnicGroup ImageComments InstitutionAddress InstitutionName IssuerOfPatientID MedicalAlerts
    NameOfPhysiciansReadingStudy OperatorsName OtherPatientIDs PatientAddress PatientAge PatientComments
    PatientMotherBirthName PatientSize PatientWeight PerformedProcedureStepDescription PerformingPhysicianName
    PhysiciansOfRecord ProtocolName ReferencedImageSequence RequestAttributesSequence RequestingPhysician
    ResponsiblePerson SeriesDescription SourceImageSequence StationName StudyComments StudyDescription
    UniqueDeviceIdentifier DerivationDescription ScheduledStationName FrameComments LensMake GantryID DetectorID
    PlateID CassetteID AcquisitionProtocolDescription TimezoneOffsetFromUTC
"""


def test_no_attribute_that_must_go_is_on_the_list_of_what_stays() -> None:
    gone = set(GONE.split())
    assert gone <= {entry[4] for entry in DicomDictionary.values()}
    assert not gone & (deidentify._KEPT | deidentify._UIDS | deidentify._DATES | deidentify._TIMES)
