"""Labels of other programs: 3D Slicer's layers, ITK-SNAP's tables, TotalSegmentator's folders and tables."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from assertions import assert_one_line
from simulated_dicom import write_series

from napari_mpi_track.errors import MpiTrackError, TableError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.readers.organs import Overlap, holds_labels, read_organ_names, read_organs
from napari_mpi_track.writers.scans import write_volume

SHAPE = (4, 3, 2)
GRID = Grid.from_spacing(SHAPE, (2, 1, 0.5), (7, 8, 9))


def slicer_layers(path: Path, layers: np.ndarray, segments: list[tuple[str, int, int]]) -> None:
    """Write a segmentation as 3D Slicer does: one list of layers a voxel, columns next, each segment in its layer."""
    count, planes, rows, columns = layers.shape
    lines = [
        "NRRD0004",
        "type: unsigned char",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {count} {columns} {rows} {planes}",
        "space directions: none (0.5,0,0) (0,1,0) (0,0,2)",
        "kinds: list domain domain domain",
        "encoding: raw",
        "space origin: (7,8,9)",
    ]
    for number, (name, layer, value) in enumerate(segments):
        lines += [
            f"Segment{number}_Color:=1 0.5 0",
            f"Segment{number}_ID:=Segment_{number}",
            f"Segment{number}_LabelValue:={value}",
            f"Segment{number}_Layer:={layer}",
            f"Segment{number}_Name:={name}",
        ]
    voxels = np.ascontiguousarray(np.moveaxis(layers, 0, -1), dtype=np.uint8)
    path.write_bytes(("\n".join(lines) + "\n\n").encode() + voxels.tobytes())


def nested_layers() -> np.ndarray:
    layers = np.zeros((2, *SHAPE), np.uint8)
    layers[0, :3] = 1
    layers[1, 2] = 1
    return layers


def test_segments_of_several_layers_that_do_not_overlap_are_organs(tmp_path: Path) -> None:
    layers = nested_layers()
    layers[0, 2] = 0
    slicer_layers(tmp_path / "a.seg.nrrd", layers, [("liver", 0, 1), ("tumour", 1, 1)])
    organs = read_organs(tmp_path / "a.seg.nrrd")
    assert dict(organs.names) == {1: "liver", 2: "tumour"}
    np.testing.assert_array_equal(organs.mask("liver"), layers[0] == 1)
    np.testing.assert_array_equal(organs.mask("tumour"), layers[1] == 1)
    np.testing.assert_allclose(organs.grid.origin_mm, (7, 8, 9))
    np.testing.assert_allclose(organs.grid.spacing_mm, (2, 1, 0.5))
    assert organs.colours[2] == (1.0, 0.5, 0.0)


def test_overlapping_segments_are_refused_with_their_names_and_voxels(tmp_path: Path) -> None:
    slicer_layers(tmp_path / "a.seg.nrrd", nested_layers(), [("liver", 0, 1), ("tumour", 1, 1)])
    with pytest.raises(UnreadableScanError, match=r"'liver' and 'tumour' share 6 voxel.*--overlap smallest") as error:
        read_organs(tmp_path / "a.seg.nrrd")
    assert_one_line(error.value)


def test_overlapping_voxels_go_to_the_smaller_organ_where_somebody_says_so(tmp_path: Path) -> None:
    layers = nested_layers()
    slicer_layers(tmp_path / "a.seg.nrrd", layers[::-1], [("tumour", 0, 1), ("liver", 1, 1)])
    organs = read_organs(tmp_path / "a.seg.nrrd", overlap=Overlap.SMALLEST)
    np.testing.assert_array_equal(organs.mask("tumour"), layers[1] == 1)
    np.testing.assert_array_equal(organs.mask("liver"), (layers[0] == 1) & (layers[1] == 0))
    assert "share 6 voxel(s) went to the smaller one" in organs.warnings[0]


def test_a_segment_in_a_layer_that_is_not_there_is_named(tmp_path: Path) -> None:
    slicer_layers(tmp_path / "a.seg.nrrd", nested_layers(), [("liver", 0, 1), ("tumour", 2, 1)])
    with pytest.raises(UnreadableScanError, match="'tumour' is said to lie in layer 3 of 2"):
        read_organs(tmp_path / "a.seg.nrrd")


@pytest.mark.real_data
def test_the_segments_of_a_bone_are_read_apart_and_overlaps_named(real_data: Path) -> None:
    path = real_data / "itk-volumes/Wrapping/images/TestVLV.seg.nrrd"
    assert holds_labels(path)
    with pytest.raises(UnreadableScanError, match=r"organs overlap.*'Tibia' and 'Tibia"):
        read_organs(path)
    organs = read_organs(path, overlap=Overlap.SMALLEST)
    assert {"Tibia Diaphysis", "Tibia Cortical"} <= set(organs.names.values())
    # The header: 0.05 mm voxels, the first at x -1.4002 mm.
    np.testing.assert_allclose(organs.grid.spacing_mm, 0.05, rtol=1e-6)
    np.testing.assert_allclose(organs.grid.origin_mm, (-1.40020740, -0.99520825, -1.03795145), atol=1e-6)


ITK_SNAP = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0  128        1  1  1    "left lung"
    5     0  255    0        0.5  1  0    "liver"
"""
COLOUR_TABLE = """# Color table file C:/organs.ctbl
# 3 values
0 Background 0 0 0 0
1 left lung 255 0 128 255
5 liver 0 255 0 255
"""


@pytest.mark.parametrize("text", [ITK_SNAP, COLOUR_TABLE])
def test_tables_of_itk_snap_and_slicer_name_and_colour_labels(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    table = read_organ_names(tmp_path / "labels.txt")
    assert table.names == {1: "left lung", 5: "liver"}
    assert table.colours == {1: (1.0, 0.0, 128 / 255), 5: (0.0, 1.0, 0.0)}
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[0], voxels[1] = 1, 5
    write_volume(OrganLabels(voxels, GRID), tmp_path / "organs.nii.gz")
    organs = read_organs(tmp_path / "organs.nii.gz", table)
    assert dict(organs.names) == {1: "left lung", 5: "liver"}
    assert organs.colours[5] == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('    1   255    0  128        1  1  1    "spleen"', "label 1 comes twice .line 9"),
        ('    7   255    0  128        1  1  1    "liver"', "two labels are called 'liver' .line 9"),
        ('    7   255    0  300        1  1  1    "knee"', "0..255, got 255 0 300 .line 9"),
        ("    7   knee", "line 9 is not like those before it"),
    ],
)
def test_a_faulty_label_description_says_where(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "labels.txt").write_text(ITK_SNAP + line + "\n")
    with pytest.raises(TableError, match=reason):
        read_organ_names(tmp_path / "labels.txt")


def nifti(voxels: np.ndarray, path: Path, extension: bytes | None = None) -> None:
    image = nib.Nifti1Image(voxels, np.diag([-0.5, -1.0, 2.0, 1.0]))
    if extension is not None:
        image.header.extensions.append(nib.nifti1.Nifti1Extension(0, extension))
    nib.save(image, path)


def test_a_folder_of_one_mask_an_organ_is_read_by_the_files_names(tmp_path: Path) -> None:
    folder = tmp_path / "segmentations"
    folder.mkdir()
    for name, column in (("liver", 0), ("kidney_left", 1), ("gallbladder", None)):
        mask = np.zeros((2, 3, 4), np.uint8)
        if column is not None:
            mask[column] = 1
        nifti(mask, folder / f"{name}.nii.gz")
    (folder / "statistics.json").write_text('{"liver": {"volume": 1.0}}')
    organs = read_organs(folder)
    assert dict(organs.names) == {2: "kidney_left", 3: "liver"}
    assert organs.mask("liver")[..., 0].all()
    assert organs.mask("kidney_left")[..., 1].all()
    assert "no voxel has the label of 1 'gallbladder'" in organs.warnings[-1]


def test_masks_of_a_folder_that_overlap_or_lie_elsewhere_are_named(tmp_path: Path) -> None:
    nifti(np.ones((2, 3, 4), np.uint8), tmp_path / "liver.nii.gz")
    nifti(np.ones((2, 3, 4), np.uint8), tmp_path / "spleen.nii.gz")
    with pytest.raises(UnreadableScanError, match="'liver' and 'spleen' share 24 voxel"):
        read_organs(tmp_path)
    nifti(np.ones((2, 3, 5), np.uint8), tmp_path / "spleen.nii.gz")
    with pytest.raises(UnreadableScanError, match="another grid than the first one"):
        read_organs(tmp_path)
    nifti(np.full((2, 3, 4), 7, np.uint8), tmp_path / "spleen.nii.gz")
    with pytest.raises(UnreadableScanError, match=r"a mask of one organ .*, the highest value is 7"):
        read_organs(tmp_path)


def test_the_label_table_of_totalsegmentator_names_its_labels(tmp_path: Path) -> None:
    table = (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <Date><![CDATA[2013-07-14T05:45:09]]></Date>'
        '   <VolumeInformation Index="0">   <LabelTable>\n'
        '<Label Key="1" Red="0.0" Green="1.0" Blue="0.0" Alpha="1"><![CDATA[spleen]]></Label>\n'
        '<Label Key="5" Red="0.0" Green="0.0" Blue="1.0" Alpha="1"><![CDATA[liver]]></Label>\n'
        "\n  </LabelTable>  <StudyMetaDataLinkSet>  </StudyMetaDataLinkSet>  <VolumeType><![CDATA[Label]]></VolumeType>"
        "   </VolumeInformation></CaretExtension>\n              "
    )
    voxels = np.zeros((2, 3, 4), np.uint8)
    voxels[0], voxels[1] = 1, 5
    nifti(voxels, tmp_path / "ml.nii.gz", table.encode())
    organs = read_organs(tmp_path / "ml.nii.gz")
    assert dict(organs.names) == {1: "spleen", 5: "liver"}
    assert organs.colours[1] == (0.0, 1.0, 0.0)


def test_whole_floats_are_labels_with_a_note(tmp_path: Path) -> None:
    nifti(np.full((2, 3, 4), 3.0, np.float32), tmp_path / "float.nii")
    assert read_organs(tmp_path / "float.nii").warnings == (
        "labels are stored as float32; all of them are whole numbers",
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0.25, "1 voxel.s. hold fractions.*nearest neighbour"),
        (np.nan, "1 voxel.s. are not a number"),
        (-2.0, "from 0 to 2147483647, got -2 to 1"),
        (4e9, "got 1 to 4e[+]09"),
    ],
)
def test_what_is_no_label_is_named_with_what_to_do(tmp_path: Path, value: float, reason: str) -> None:
    voxels = np.ones((2, 3, 4), np.float32)
    voxels[1, 2, 3] = value
    nifti(voxels, tmp_path / "labels.nii")
    with pytest.raises(UnreadableScanError, match=reason) as error:
        read_organs(tmp_path / "labels.nii")
    assert_one_line(error.value)


def test_names_of_labels_that_no_voxel_has_are_told(tmp_path: Path) -> None:
    nifti(np.ones((2, 3, 4), np.uint8), tmp_path / "labels.nii")
    organs = read_organs(tmp_path / "labels.nii", {1: "liver", 4: "spleen"})
    assert dict(organs.names) == {1: "liver"}
    assert "no voxel has the label of 4 'spleen'" in organs.warnings[-1]


def test_two_labels_of_one_name_are_named(tmp_path: Path) -> None:
    voxels = np.ones((2, 3, 4), np.uint8)
    voxels[1] = 2
    nifti(voxels, tmp_path / "labels.nii")
    with pytest.raises(UnreadableScanError, match="labels 1 and 2 are both called 'lung'"):
        read_organs(tmp_path / "labels.nii", {1: "lung", 2: "lung"})
    with pytest.raises(MpiTrackError, match=r"labels 1 and 2 are both called 'lung'.*'left lung'"):
        OrganLabels(voxels, Grid.from_spacing((2, 3, 4), 1), {1: "lung", 2: "lung"})


def test_labels_exported_as_slices_of_a_scan_are_labels_too(tmp_path: Path) -> None:
    voxels = np.zeros(SHAPE, np.int16)
    voxels[2] = 3
    paths = write_series(tmp_path / "slices", voxels, GRID)
    np.testing.assert_array_equal(read_organs(tmp_path / "slices").voxels, voxels)
    assert read_organs(paths[2]).voxels.max() == 3


def test_a_folder_without_labels_says_what_was_needed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UnreadableScanError, match="one mask an organ"):
        read_organs(tmp_path)
    assert not holds_labels(tmp_path)
