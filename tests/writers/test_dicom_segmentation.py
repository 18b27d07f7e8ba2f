"""DICOM Segmentations: written by highdicom alone and read here, and there and back with place, names and colours."""

from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from assertions import assert_one_line, assert_same_place
from hypothesis import HealthCheck, given, settings
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation
from simulated_dicom import write_series
from strategies import organ_labels

from napari_mpi_track.cli import main
from napari_mpi_track.errors import MpiTrackError, OutputError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.readers.organs import Overlap, holds_labels, read_organs
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.writers.dicom_segmentation import write_segmentation
from napari_mpi_track.writers.scans import write_volume

FRAME = "1.2.826.0.1.3680043.8.498.7"
SHAPE = (5, 6, 7)


def oblique_grid() -> Grid:
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    # Planes along the cross product of columns and rows, as a stack of DICOM slices lies.
    matrix[:3, :3] = np.stack([np.cross(turn[:, 0], turn[:, 1]) * 2.0, turn[:, 1] * 0.7, turn[:, 0] * 0.4], axis=1)
    matrix[:3, 3] = (12.5, -30.25, 7.0)
    return Grid(SHAPE, matrix, FRAME)


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    tags: dict[str, Any] = {"StudyInstanceUID": "1.2.3.4", "PatientID": "m01", "PatientName": "mouse^"}
    tags |= {"PatientBirthDate": "", "PatientSex": "", "AccessionNumber": "", "StudyID": "7", "StudyDate": "20260301"}
    tags |= {"StudyTime": "", "SliceThickness": "2.0"}
    return write_series(tmp_path / "series", np.zeros(SHAPE, np.int16), oblique_grid(), **tags)


def described(number: int, name: str, rgb: tuple[int, int, int] = (255, 128, 0)) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type="MANUAL",
        display_color=hd.color.CIELabColor.from_rgb(*rgb),
    )


def made_by_highdicom(series: list[Path], masks: np.ndarray, kind: str, path: Path, **further: Any) -> Path:
    """Write masks of shape (planes, rows, columns, segments) through highdicom; empty frames are left out."""
    names = ["liver", "left lung"][: masks.shape[3]]
    hd.seg.Segmentation(
        source_images=[pydicom.dcmread(file) for file in series],
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=[described(number, name) for number, name in enumerate(names, start=1)],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="a",
        manufacturer_model_name="b",
        software_versions="c",
        device_serial_number="d",
        **further,
    ).save_as(path)
    return path


def test_binary_segments_of_highdicom_lie_where_their_scan_says(series: list[Path], tmp_path: Path) -> None:
    masks = np.zeros((*SHAPE, 2), np.uint8)
    masks[1:3, 2:4, 1:6, 0] = 1
    masks[3, 4, 5, 1] = 1
    organs = read_organs(made_by_highdicom(series, masks, "BINARY", tmp_path / "a.dcm"))
    scan = read_scan(series[0].parent)
    assert organs.grid.frame == scan.grid.frame == FRAME
    # Planes without any organ are not in the file: what is left is a part of the scan's grid, in its place.
    assert organs.grid.shape == (3, 6, 7)
    assert organs.grid.is_part_of(scan.grid)
    for segment, name in enumerate(("liver", "left lung")):
        placed = organs.grid.lps_from(np.argwhere(organs.mask(name)))
        # Decimal strings of 16 characters keep far more than 1e-4 mm.
        np.testing.assert_allclose(placed, scan.grid.lps_from(np.argwhere(masks[..., segment])), atol=1e-4)
    assert organs.colours[1] == (1.0, 128 / 255, 0.0)
    assert organs.warnings == ()


def test_planes_missing_in_between_leave_a_gap_not_a_shift(series: list[Path], tmp_path: Path) -> None:
    masks = np.zeros((*SHAPE, 1), np.uint8)
    masks[[0, 2, 4], 1, 1] = 1
    organs = read_organs(made_by_highdicom(series, masks, "BINARY", tmp_path / "a.dcm"))
    np.testing.assert_array_equal(organs.voxels, masks[..., 0])


def test_fractional_segments_count_from_one_half(series: list[Path], tmp_path: Path) -> None:
    masks = np.zeros((*SHAPE, 1))
    masks[:, 2, 2, 0] = (0.0, 0.2, 0.49, 0.51, 1.0)
    masks[0, 0, 0, 0] = 0.9
    organs = read_organs(made_by_highdicom(series, masks, "FRACTIONAL", tmp_path / "a.dcm", max_fractional_value=200))
    assert organs.voxels[:, 2, 2].tolist() == [0, 0, 0, 1, 1]
    assert "fractional segmentation (probability)" in organs.warnings[0]


def test_label_maps_are_read_as_segments(series: list[Path], tmp_path: Path) -> None:
    masks = np.zeros((*SHAPE, 2), np.uint8)
    masks[1, ..., 0], masks[2, ..., 1] = 1, 1
    organs = read_organs(made_by_highdicom(series, masks, "LABELMAP", tmp_path / "a.dcm", omit_empty_frames=False))
    np.testing.assert_array_equal(organs.mask("left lung"), masks[..., 1] == 1)


def test_overlapping_segments_of_dicom_are_refused_by_name(series: list[Path], tmp_path: Path) -> None:
    masks = np.zeros((*SHAPE, 2), np.uint8)
    masks[1:4, ..., 0], masks[2, 3, 3, 1] = 1, 1
    path = made_by_highdicom(series, masks, "BINARY", tmp_path / "a.dcm")
    with pytest.raises(UnreadableScanError, match="'liver' and 'left lung' share 1 voxel") as error:
        read_organs(path)
    assert_one_line(error.value)
    assert read_organs(path, overlap=Overlap.SMALLEST).mask("left lung").sum() == 1


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=organ_labels())
def test_labels_come_back_from_dicom_in_place_with_names_and_colours(tmp_path: Path, labels: OrganLabels) -> None:
    path = tmp_path / "organs.dcm"
    write_volume(labels, path, overwrite=True)
    assert holds_labels(path)
    back = read_organs(path)
    assert sorted(back.names.values()) == sorted(labels.names.values())
    assert sorted(back.grid.shape) == sorted(labels.grid.shape)
    for name in labels.names.values():
        there, here = (one.grid.lps_from(np.argwhere(one.mask(name))) for one in (labels, back))
        order = [np.lexsort(np.round(points, 3).T) for points in (there, here)]
        # Decimal strings of 16 characters and metres of distance: 1e-3 mm.
        np.testing.assert_allclose(here[order[1]], there[order[0]], atol=1e-3)


def test_an_upright_grid_comes_back_whole_with_empty_planes(tmp_path: Path) -> None:
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[2, 3, 4], voxels[2, 0, 0] = 2, 9
    labels = OrganLabels(voxels, oblique_grid(), {2: "liver", 9: "spleen"}, {9: (0.2, 0.4, 0.6)})
    write_volume(labels, tmp_path / "a.dcm")
    back = read_organs(tmp_path / "a.dcm")
    assert_same_place(back.grid, labels.grid)
    assert back.grid.frame == FRAME
    np.testing.assert_array_equal(back.mask("spleen"), voxels == 9)
    assert back.colours[2] == (0.2, 0.4, 0.6)
    assert not any("Referenced" in element.keyword for element in pydicom.dcmread(tmp_path / "a.dcm"))


def test_the_command_refers_to_the_series_and_converts_back(series: list[Path], tmp_path: Path) -> None:
    scan = read_scan(series[0].parent)
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[2:4, 3, 4] = 1
    write_volume(OrganLabels(voxels, scan.grid, {1: "liver"}), tmp_path / "a.nii.gz")
    run(["convert", str(tmp_path / "a.nii.gz"), str(tmp_path / "a.dcm"), "--source", str(series[0].parent)])
    segmentation = hd.seg.segread(tmp_path / "a.dcm")
    assert segmentation.PatientID == "m01"
    assert segmentation.FrameOfReferenceUID == FRAME
    assert {str(uid[2]) for uid in segmentation.get_source_image_uids()} <= {
        str(pydicom.dcmread(file).SOPInstanceUID) for file in series
    }
    run(["convert", str(tmp_path / "a.dcm"), str(tmp_path / "b.nii.gz")])
    back = read_organs(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(back.voxels, voxels)
    assert_same_place(back.grid, scan.grid)
    assert dict(back.names) == {1: "liver"}


def run(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0


def test_a_source_in_another_frame_and_a_sheared_grid_are_refused(series: list[Path], tmp_path: Path) -> None:
    voxels = np.ones(SHAPE, np.uint8)
    with pytest.raises(OutputError, match=r"in the frame 1\.2\.9, their source in"):
        write_segmentation(OrganLabels(voxels, oblique_grid().in_frame("1.2.9")), tmp_path / "a.dcm", source=series)
    sheared = np.eye(4)
    sheared[0, 1] = 0.3
    with pytest.raises(OutputError, match="sheared"):
        write_segmentation(OrganLabels(voxels, Grid(SHAPE, sheared)), tmp_path / "a.dcm")
    with pytest.raises(OutputError, match="no organ to write"):
        write_segmentation(OrganLabels(voxels * 0, oblique_grid()), tmp_path / "a.dcm")
    with pytest.raises(MpiTrackError, match="organ labels only"):
        write_volume(Volume(voxels, oblique_grid()), tmp_path / "a.dcm")
    assert not (tmp_path / "a.dcm").exists()


def test_a_truncated_or_emptied_segmentation_is_named(series: list[Path], tmp_path: Path) -> None:
    masks = np.ones((*SHAPE, 1), np.uint8)
    path = made_by_highdicom(series, masks, "BINARY", tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.PixelData = dataset.PixelData[:4]
    dataset.save_as(path)
    with pytest.raises(UnreadableScanError, match="210 bits of pixels were announced, 32 are there"):
        read_organs(path)
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.save_as(path)
    with pytest.raises(UnreadableScanError, match="functional groups for 0"):
        read_organs(path)


def test_a_liver_segmented_with_dcmqi_lies_where_its_frame_says(tmp_path: Path) -> None:
    # pydicom keeps one frame of three, with the functional groups of all of them.
    dataset = pydicom.dcmread(get_testdata_file("liver_1frame.dcm", download=False))
    assert dataset.Manufacturer == "QIICR"
    dataset.NumberOfFrames = 1
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:1]
    dataset.save_as(tmp_path / "liver.dcm")
    organs = read_organs(tmp_path / "liver.dcm")
    assert list(organs.names.values()) == [dataset.SegmentSequence[0].SegmentLabel]
    np.testing.assert_array_equal(organs.voxels[0], dataset.pixel_array)
    place = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    np.testing.assert_allclose(organs.grid.origin_mm, [float(value) for value in place])
    assert organs.grid.frame == dataset.FrameOfReferenceUID
