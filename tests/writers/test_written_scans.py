"""What we write, nibabel and SimpleITK find in its place; what we read back is what we wrote."""

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from assertions import assert_frozen, assert_one_line, assert_same_scan
from hypothesis import HealthCheck, given, settings
from strategies import any_grids, grids, volumes

from napari_mpi_track.errors import MpiTrackError, OutputExistsError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.writers.scans import write_volume
from napari_mpi_track.writers.whole import whole_file

quick = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
ENDINGS = ("nii", "nii.gz", "nrrd", "mha", "mhd")
SCAN = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), Grid.from_spacing((2, 3, 4), (3, 2, 1), (5, 6, 7)))


@pytest.mark.parametrize("ending", ENDINGS)
@quick
@given(volume=volumes(any_grids()))
def test_a_scan_comes_back_in_place_with_its_values_and_type(tmp_path: Path, ending: str, volume: Volume) -> None:
    path = tmp_path / f"scan.{ending}"
    write_volume(volume, path, overwrite=True)
    back = read_scan(path)
    assert_same_scan(back, volume)
    assert_frozen(back.voxels)
    assert back.voxels.dtype == volume.voxels.dtype.newbyteorder("<")
    assert back.grid.frame is None
    assert back.warnings == ()


@quick
@given(volume=volumes(any_grids()))
def test_nibabel_finds_the_scan_in_its_place(tmp_path: Path, volume: Volume) -> None:
    write_volume(volume, tmp_path / "scan.nii.gz", overwrite=True)
    image = nib.load(tmp_path / "scan.nii.gz")
    matrix = (np.diag([-1, -1, 1, 1]) @ image.affine)[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(matrix, volume.grid.lps_from_index, atol=1e-4)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, volume.voxels)
    assert image.get_data_dtype() == volume.voxels.dtype.newbyteorder("<")
    if volume.grid.is_orthogonal:
        np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-3)


@pytest.mark.parametrize("ending", ENDINGS)
@quick
@given(volume=volumes(grids()))
def test_simpleitk_finds_the_scan_in_its_place(tmp_path: Path, ending: str, volume: Volume) -> None:
    path = tmp_path / f"scan.{ending}"
    write_volume(volume, path, overwrite=True)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.voxels)
    for corner in ((0, 0, 0), tuple(np.array(volume.grid.shape) - 1)):
        at = image.TransformIndexToPhysicalPoint([int(index) for index in corner[::-1]])
        # ITK takes NIfTI's place from the quaternion of three float32: some 1e-6 of an angle.
        np.testing.assert_allclose(volume.grid.lps_from(corner), at, atol=1e-3 if ending.startswith("nii") else 1e-4)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_scan_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    for folder in ("a", "b"):
        write_volume(SCAN, tmp_path / folder / f"scan.{ending}")
    first, second = (sorted((tmp_path / folder).iterdir()) for folder in ("a", "b"))
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_gzipped_scan_carries_neither_time_nor_name(tmp_path: Path) -> None:
    write_volume(SCAN, tmp_path / "scan.nii.gz")
    head = (tmp_path / "scan.nii.gz").read_bytes()[:10]
    assert head[3] == 0
    assert head[4:8] == b"\0\0\0\0"
    assert gzip.decompress((tmp_path / "scan.nii.gz").read_bytes())[344:347] == b"n+1"


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_overwritten_unless_asked(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"scan.{ending}"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="--overwrite") as refusal:
        write_volume(SCAN, path)
    assert_one_line(refusal.value)
    assert path.read_bytes() == b"precious"
    write_volume(SCAN, path, overwrite=True)
    assert_same_scan(read_scan(path), SCAN)


def test_the_raw_file_beside_a_header_is_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "scan.raw").write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        write_volume(SCAN, tmp_path / "scan.mhd")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.raw"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("old")

    def fail(name: str) -> None:
        with whole_file(tmp_path / name, overwrite=True) as temporary:
            assert temporary.parent == tmp_path
            temporary.write_text("half")
            raise RuntimeError("out of luck")

    for name in ("new.nii.gz", "there.txt"):
        with pytest.raises(RuntimeError, match="out of luck"):
            fail(name)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("there.txt", "old")]


def test_a_temporary_file_keeps_the_whole_ending(tmp_path: Path) -> None:
    with whole_file(tmp_path / "scan.v2.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.touch()
    assert (tmp_path / "scan.v2.nii.gz").exists()


def test_an_unknown_ending_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MpiTrackError, match=r"not written as .jpg"):
        write_volume(SCAN, tmp_path / "scan.jpg")
    assert list(tmp_path.iterdir()) == []


def test_types_without_a_place_in_a_file_become_the_next_larger(tmp_path: Path) -> None:
    for dtype, kept in ((np.bool_, np.uint8), (np.float16, np.float32)):
        scan = SCAN.with_voxels((SCAN.voxels > 3).astype(dtype))
        for ending in ENDINGS:
            write_volume(scan, tmp_path / f"a.{ending}", overwrite=True)
            back = read_scan(tmp_path / f"a.{ending}")
            assert back.voxels.dtype == kept
            np.testing.assert_array_equal(back.voxels, scan.voxels)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["日 2", "Mäuse µ"])
def test_a_name_in_any_script_is_read_back(tmp_path: Path, ending: str, name: str) -> None:
    write_volume(SCAN, tmp_path / f"{name}.{ending}")
    assert_same_scan(read_scan(tmp_path / f"{name}.{ending}"), SCAN)


def test_a_header_in_latin_1_still_finds_its_voxels(tmp_path: Path) -> None:
    write_volume(SCAN, tmp_path / "scan.mhd")
    (tmp_path / "scan.raw").rename(tmp_path / "M\xe4use.raw")
    header = (tmp_path / "scan.mhd").read_bytes().replace(b"scan.raw", b"M\xe4use.raw")
    (tmp_path / "scan.mhd").write_bytes(header)
    assert_same_scan(read_scan(tmp_path / "scan.mhd"), SCAN)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("modality", "unit"), [(Modality.CT, "HU"), (Modality.F19, "µmol/L Fe"), (None, "a = b"), (Modality.MPI, None)]
)
def test_modality_and_unit_come_back_and_others_read_on(
    tmp_path: Path, ending: str, modality: Modality | None, unit: str | None
) -> None:
    path = tmp_path / f"scan.{ending}"
    write_volume(replace(SCAN, modality=modality, unit=unit), path)
    back = read_scan(path)
    assert (back.modality, back.unit) == (modality, unit)
    assert read_scan(path, modality=Modality.PET, unit="Bq/mL").unit == "Bq/mL"
    assert_same_scan(back, SCAN)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), SCAN.voxels)
    if ending.startswith("nii"):
        np.testing.assert_array_equal(np.asanyarray(nib.load(path).dataobj).T, SCAN.voxels)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_unit_of_two_lines_does_not_break_the_header(tmp_path: Path, ending: str) -> None:
    write_volume(replace(SCAN, unit="a\nElementDataFile = b"), tmp_path / f"scan.{ending}")
    assert read_scan(tmp_path / f"scan.{ending}").unit == "a ElementDataFile = b"
