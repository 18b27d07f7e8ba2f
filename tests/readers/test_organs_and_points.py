"""Labels, their names, and points: as written here, by 3D Slicer and by nibabel."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from assertions import assert_one_line, assert_same_scan
from hypothesis import HealthCheck, given, settings
from strategies import organ_labels

from napari_mpi_track.errors import OutputExistsError, TableError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.readers.organs import holds_labels, read_organ_names, read_organs
from napari_mpi_track.readers.points import read_points
from napari_mpi_track.writers.points import write_points
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((3, 4, 5), (2, 1, 0.5), (7, 8, 9))
LIVER = OrganLabels(np.arange(60).reshape(3, 4, 5) % 3, GRID, {1: "liver", 2: "spleen"}, {2: (0.5, 0.25, 1.0)})


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "seg.nrrd"])
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=organ_labels())
def test_labels_come_back_with_their_names_and_are_known_as_labels(
    tmp_path: Path, ending: str, labels: OrganLabels
) -> None:
    path = tmp_path / f"organs.{ending}"
    write_volume(labels, path, overwrite=True)
    back = read_organs(path)
    assert_same_scan(back, labels)
    assert dict(back.names) == dict(labels.names)
    assert holds_labels(path)


def test_colours_travel_with_the_labels(tmp_path: Path) -> None:
    for ending in ("nii.gz", "seg.nrrd"):
        write_volume(LIVER, tmp_path / f"organs.{ending}")
        assert read_organs(tmp_path / f"organs.{ending}").colours[2] == (0.5, 0.25, 1.0)


def test_nibabel_reads_our_labels_with_their_intent(tmp_path: Path) -> None:
    write_volume(LIVER, tmp_path / "organs.nii.gz")
    image = nib.load(tmp_path / "organs.nii.gz")
    assert image.header.get_intent()[0] == "label"
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, LIVER.voxels)


def test_any_whole_numbers_are_labels_when_the_caller_says_so(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.array(LIVER.voxels, dtype=np.float32).T, np.eye(4)), tmp_path / "float.nii")
    assert not holds_labels(tmp_path / "float.nii")
    organs = read_organs(tmp_path / "float.nii", {1: "lung"})
    assert organs.voxels.dtype == np.uint8
    assert dict(organs.names) == {1: "lung", 2: "2"}


@pytest.mark.parametrize(("value", "reason"), [(0.5, "whole numbers"), (np.nan, "whole numbers"), (-1.0, "from 0")])
def test_fractions_and_negative_numbers_are_no_labels(tmp_path: Path, value: float, reason: str) -> None:
    write_volume(Volume(np.full(GRID.shape, value, np.float32), GRID), tmp_path / "scan.nii")
    with pytest.raises(UnreadableScanError, match=reason):
        read_organs(tmp_path / "scan.nii")


def test_a_scan_is_not_written_as_a_segmentation(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="holds organ labels"):
        write_volume(Volume(np.zeros(GRID.shape), GRID), tmp_path / "scan.seg.nrrd")


def test_segments_that_itk_wrote_keep_names_and_colours(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.array(LIVER.voxels, dtype=np.uint8))
    for key, value in {
        "ID": "Segment_1",
        "Name": "left lung",
        "LabelValue": "2",
        "Layer": "0",
        "Color": "1 0 0.5",
    }.items():
        image.SetMetaData(f"Segment0_{key}", value)
    sitk.WriteImage(image, str(tmp_path / "slicer.seg.nrrd"))
    organs = read_organs(tmp_path / "slicer.seg.nrrd")
    assert dict(organs.names) == {1: "1", 2: "left lung"}
    assert organs.colours[2] == (1.0, 0.0, 0.5)


def test_organ_names_come_from_a_table(tmp_path: Path) -> None:
    (tmp_path / "organs.csv").write_text("label,name,color\n1,liver,#ff0080\n2, left lung ,\n\n7,spleen,0.1 0.2 0.3\n")
    table = read_organ_names(tmp_path / "organs.csv")
    assert table.names == {1: "liver", 2: "left lung", 7: "spleen"}
    assert table.colours == {1: (1.0, 0.0, 128 / 255), 7: (0.1, 0.2, 0.3)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("label,organ\n1,liver\n", "name missing"),
        ("label,name\none,liver\n", "line 2"),
        ("label,name\n1,liver\n1,lung\n", "comes twice .line 3"),
        ("label,name\n1,liver\n2,liver\n", "two labels are called 'liver'"),
        ("label,name\n0,liver\n", "from 1"),
        ("label,name,color\n1,liver,reddish\n", "#rrggbb"),
        ("label;name\n1;liver\n", "separate its columns by commas"),
        ("", "the table is empty"),
        ("label,name\n1,\n", "name the organ or remove the line"),
    ],
)
def test_a_faulty_table_of_names_says_where(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "organs.csv").write_text(text)
    with pytest.raises(TableError, match=reason) as refusal:
        read_organ_names(tmp_path / "organs.csv")
    assert_one_line(refusal.value)
    assert refusal.value.remedy


POINTS = Points(["tail", "nose, left"], np.array([[1.5, -2.25, 3.0], [-40.123456, 0.0, 1e-3]]))


@pytest.mark.parametrize("ending", ["csv", "mrk.json"])
def test_points_come_back_as_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"points.{ending}"
    write_points(POINTS, path)
    back = read_points(path)
    assert back.names == POINTS.names
    np.testing.assert_allclose(back.positions_mm, POINTS.positions_mm, rtol=1e-8)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_points(POINTS, path)


def test_slicers_ras_points_become_lps(tmp_path: Path) -> None:
    (tmp_path / "f.fcsv").write_text(
        "# Markups fiducial file version = 4.10\n# CoordinateSystem = 0\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "vtkMRMLMarkupsFiducialNode_0,1,2,3,0,0,0,1,1,1,0,F-1,,\n"
    )
    markup = {"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": [
        {"label": "F-1", "position": [1, 2, 3]}, {"label": "F-2", "position": [0, 0, 0], "positionStatus": "undefined"}
    ]}  # fmt: skip
    (tmp_path / "f.mrk.json").write_text(json.dumps({"markups": [markup]}))
    for name in ("f.fcsv", "f.mrk.json"):
        points = read_points(tmp_path / name)
        assert points.names == ("F-1",)
        np.testing.assert_array_equal(points.positions_mm, [[-1, -2, 3]])


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("p.csv", "label,x,y,z\n1,2,3,4\n", "label,x_mm,y_mm,z_mm"),
        ("p.csv", "label,x_mm,y_mm,z_mm\na,1,2,three\n", "row 2, column z_mm must be a number in mm, got 'three'"),
        ("p.csv", "label,x_mm,y_mm,z_mm\na,1\n", "row 2, column y_mm must be a number in mm, got nothing"),
        ("p.csv", "label;x_mm;y_mm;z_mm\na;1;2;3\n", "separate its columns by commas"),
        ("p.csv", "", "the table is empty"),
        ("p.csv", "\n \n", "the table is empty"),
        ("p.fcsv", "# Markups fiducial file version = 4.10\n1,x,2,3\n", "row 2, column x .* got 'x'"),
        ("p.mrk.json", '{"markups": [{"controlPoints": [{"position": [1, "a", 3]}]}]}', "point 1, column y"),
        ("p.mrk.json", '{"markups": [{"controlPoints": [{"position": [1, 2]}]}]}', "markups"),
        ("p.csv", "label,x_mm,y_mm,z_mm\na,1,2,3\na,1,2,4\n", "must differ"),
        ("p.csv", "label,x_mm,y_mm,z_mm\na,1,2,inf\n", "finite"),
        ("p.csv", "label,x_mm,y_mm,z_mm\n", "no points"),
        ("p.mrk.json", '{"markups": 3}', "markups"),
        ("p.mrk.json", '{"markups"', "markups"),
        ("p.fcsv", "1,2,3", "Markups fiducial file"),
    ],
)
def test_faulty_points_are_refused_with_the_reason(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TableError, match=reason) as refusal:
        read_points(tmp_path / name)
    assert_one_line(refusal.value)
    assert refusal.value.remedy
