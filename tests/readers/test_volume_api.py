"""One validator of what every reader promises, run on every format."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from assertions import assert_frozen, assert_same_place, assert_same_scan
from simulated_dicom import write_enhanced, write_series

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers import description
from napari_mpi_track.readers.description import describe
from napari_mpi_track.readers.formats import FORMATS
from napari_mpi_track.readers.scans import find_scans, read_scan, read_scans
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((4, 5, 6), (2, 1, 0.5), (7, 8, 9))
VOXELS = np.arange(120, dtype=np.int16).reshape(4, 5, 6)


def _written(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        write_volume(Volume(VOXELS, GRID, name="scan"), folder / name)
        return folder / name

    return write


def _nifti_2(folder: Path) -> Path:
    matrix = np.diag([-1.0, -1, 1, 1]) @ GRID.lps_from_index[:, [2, 1, 0, 3]]
    nib.save(nib.Nifti2Image(VOXELS.T, matrix), folder / "scan.nii")
    return folder / "scan.nii"


def _nifti_pair(folder: Path) -> Path:
    matrix = np.diag([-1.0, -1, 1, 1]) @ GRID.lps_from_index[:, [2, 1, 0, 3]]
    nib.save(nib.Nifti1Pair(VOXELS.T, matrix), folder / "scan.img")
    return folder / "scan.img"


def _renamed(folder: Path) -> Path:
    return _written("scan.nii.gz")(folder).rename(folder / "scan.dat")


def _series(folder: Path) -> Path:
    write_series(folder, VOXELS, GRID)
    return folder


def _enhanced(folder: Path) -> Path:
    write_enhanced(folder / "frames", VOXELS, GRID, [(1, 0)] * 4)
    return folder / "frames"


def _mdf(folder: Path) -> Path:
    with h5py.File(folder / "scan.mdf", "w") as file:
        file["version"] = "2.1.0"
        file["uuid"] = "1"
        file["reconstruction/data"] = VOXELS.reshape(1, 120, 1)
        file["reconstruction/size"] = np.array([6, 5, 4])
        file["reconstruction/fieldOfView"] = np.array([0.003, 0.005, 0.008])
        file["reconstruction/fieldOfViewCenter"] = GRID.centre_mm / 1000
    return folder / "scan.mdf"


FILES = {
    "NIfTI-1": _written("scan.nii"),
    "NIfTI-1 gz": _written("scan.nii.gz"),
    "NIfTI-1 under another name": _renamed,
    "NIfTI-1 pair": _nifti_pair,
    "NIfTI-2": _nifti_2,
    "NRRD": _written("scan.nrrd"),
    "MetaImage": _written("scan.mha"),
    "MetaImage with raw": _written("scan.mhd"),
    "DICOM series": _series,
    "DICOM multi-frame": _enhanced,
    "MDF": _mdf,
}


@pytest.mark.parametrize("kind", FILES)
def test_every_format_gives_the_same_scan_with_its_provenance(tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tmp_path)
    volume = read_scan(path)
    assert_same_scan(volume, Volume(VOXELS, GRID))
    assert_frozen(volume.voxels)
    assert volume.series == 1
    assert volume.file is not None
    assert Path(volume.file).exists()
    assert kind.startswith(str(volume.file_format))
    assert (volume.grid.frame is None) == (not kind.startswith(("DICOM", "MDF")))
    again = pickle.loads(pickle.dumps(volume))
    assert_same_scan(again, volume)
    assert_frozen(again.voxels)


@pytest.mark.parametrize("kind", FILES)
def test_every_description_is_json_of_finite_numbers(tmp_path: Path, kind: str) -> None:
    record = describe(read_scan(FILES[kind](tmp_path)))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["minimum"], record["maximum"], record["sum"]) == (0.0, 119.0, 7140.0)
    assert record["shape"] == [4, 5, 6]
    np.testing.assert_allclose(record["spacing_mm"], [2, 1, 0.5])


@pytest.mark.parametrize("kind", FILES)
def test_the_users_word_stands_in_every_format(tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tmp_path)
    volume = read_scan(path, modality=Modality.MPI, unit="a.u.", spacing_mm=(3, 1, 0.5))
    assert (volume.modality, volume.unit) == (Modality.MPI, "a.u.")
    np.testing.assert_allclose(volume.grid.spacing_mm, [3, 1, 0.5])
    np.testing.assert_allclose(volume.grid.origin_mm, GRID.origin_mm, atol=1e-4)
    assert any("given by the user" in warning for warning in volume.warnings)


@pytest.mark.parametrize("name", ["scan.nii", "scan.mha"])
def test_plain_voxels_are_a_map_of_the_file_not_a_copy(tmp_path: Path, name: str) -> None:
    import mmap

    owner = read_scan(_written(name)(tmp_path)).voxels
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap) or isinstance(getattr(owner, "obj", None), mmap.mmap)


def test_infinite_voxels_leave_the_description_finite() -> None:
    voxels = np.array([[[1.0, np.inf, np.nan, -2.0]]])
    record = describe(Volume(voxels, Grid.from_spacing((1, 1, 4), 1)))
    assert (record["minimum"], record["maximum"], record["sum"]) == (-2.0, 1.0, -1.0)
    empty = describe(Volume(voxels * np.nan, Grid.from_spacing((1, 1, 4), 1)))
    assert (empty["minimum"], empty["maximum"], empty["sum"]) == (None, None, None)


def test_the_sform_goes_before_the_qform_and_none_is_a_warning(tmp_path: Path) -> None:
    sform, qform = np.diag([2.0, 3, 4, 1]), np.diag([2.0, 3, 4, 1])
    sform[:3, 3], qform[:3, 3] = (10, 20, 30), (-1, -2, -3)
    image = nib.Nifti1Image(VOXELS.T, None)
    for s_code, q_code, origin in ((1, 1, (-10, -20, 30)), (0, 1, (1, 2, -3)), (2, 0, (-10, -20, 30)), (0, 0, None)):
        image.set_sform(sform, s_code)
        image.set_qform(qform, q_code)
        nib.save(image, tmp_path / "a.nii")
        volume = read_scan(tmp_path / "a.nii")
        if origin is None:
            assert any("orientation unknown" in warning for warning in volume.warnings)
        else:
            np.testing.assert_allclose(volume.grid.origin_mm, origin)
            assert volume.warnings == ()


@pytest.mark.parametrize(("unit", "per_mm"), [("mm", 1.0), ("micron", 1000.0), ("meter", 0.001)])
def test_a_nifti_in_another_unit_of_length_is_brought_to_mm(tmp_path: Path, unit: str, per_mm: float) -> None:
    image = nib.Nifti1Image(VOXELS.T, np.diag([0.5 * per_mm, per_mm, 2 * per_mm, 1]))
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(read_scan(tmp_path / "a.nii").grid.spacing_mm, [2, 1, 0.5], rtol=1e-6)


@pytest.mark.parametrize(("unit", "seconds"), [("sec", 1.5), ("msec", 0.0015)])
def test_a_nifti_of_several_frames_is_as_many_volumes_with_their_time(
    tmp_path: Path, unit: str, seconds: float
) -> None:
    frames = np.stack([VOXELS.T + frame for frame in range(3)], axis=-1)
    image = nib.Nifti1Image(frames, np.eye(4))
    image.header.set_zooms((1, 1, 1, 1.5))
    image.header.set_xyzt_units("mm", unit)
    nib.save(image, tmp_path / "a.nii.gz")
    volumes = read_scans(tmp_path / "a.nii.gz")
    np.testing.assert_allclose([volume.time_s for volume in volumes], np.arange(3) * seconds)
    for frame, volume in enumerate(volumes):
        np.testing.assert_array_equal(volume.voxels, VOXELS + frame)
        assert volume.series == frame + 1


def test_a_scaled_nifti_is_float32_of_slope_and_intercept(tmp_path: Path) -> None:
    write_volume(Volume(VOXELS, GRID), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:120] = np.array([0.25, -3.0], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    volume = read_scan(tmp_path / "a.nii")
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, VOXELS * 0.25 - 3)


def test_nrrd_spaces_and_units_are_brought_to_lps_mm(tmp_path: Path) -> None:
    text = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 6 5 4\n"
        "space directions: (-50,0,0) (0,-100,0) (0,0,200)\nspace origin: (-700,-800,900)\n"
        'space units: "um" "um" "um"\nencoding: raw\nendian: little\n\n'
    )
    for units, per_mm in (('"um" "um" "um"', 1000), ('"mm" "mm" "mm"', 1)):
        (tmp_path / "a.nrrd").write_bytes(text.replace('"um" "um" "um"', units).encode() + VOXELS.tobytes())
        expected = Grid.from_spacing(
            (4, 5, 6), (200 / per_mm, 100 / per_mm, 50 / per_mm), np.array([7, 8, 9]) * 100 / per_mm
        )
        assert_same_place(read_scan(tmp_path / "a.nrrd").grid, expected)


def test_a_folder_gives_its_scans_in_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.nii", "a.mha", "c/d.nrrd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_volume(Volume(VOXELS, GRID), tmp_path / name)
    (tmp_path / ".hidden").write_text("no")
    (tmp_path / "notes.txt").write_text("no")
    found = find_scans(tmp_path)
    assert [Path(str(volume.file)).name for volume in found.volumes] == ["a.mha", "b.nii", "d.nrrd"]
    assert [Path(entry.path).name for entry in found.skipped] == ["notes.txt"]


def test_every_format_in_the_table_is_read_or_refused_with_what_to_do() -> None:
    for known in FORMATS:
        assert known.suffixes
        assert bool(known.module) != bool(known.reason)


@pytest.mark.parametrize(
    ("dtype", "value", "count"),
    [(np.uint64, 2**64 - 1, 8), (np.int64, -(2**63), 8), (np.int64, 2**53 + 1, 8), (np.uint32, 2**32 - 1, 8)],
)
def test_a_sum_of_large_whole_numbers_neither_wraps_nor_rounds(dtype: type, value: int, count: int) -> None:
    voxels = np.full((2, 2, count // 4), value, dtype=dtype)
    record = describe(Volume(voxels, Grid.from_spacing(voxels.shape, 1)))
    assert record["sum"] == float(value * count)


@pytest.mark.parametrize("find", [find_scans, read_scans, read_scan])
@pytest.mark.parametrize("nothing", ["", " "])
def test_no_path_is_not_the_current_folder(
    find: Callable[[str], object], nothing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _written("scan.nii")(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableScanError, match="a path was needed, got nothing"):
        find(nothing)
    assert len(find_scans(".").volumes) == 1


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha"])
@pytest.mark.parametrize(("lacking", "warning"), [(0, ()), (12, ("12 of 120 voxels hold no number (NaN)",)),
                                                  (120, ("no voxel holds a number (all are NaN)",))])  # fmt: skip
def test_voxels_that_are_no_numbers_are_counted_in_a_warning(
    tmp_path: Path, name: str, lacking: int, warning: tuple[str, ...]
) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels.reshape(-1)[:lacking] = np.nan
    write_volume(Volume(voxels, GRID), tmp_path / name)
    assert read_scan(tmp_path / name).warnings == warning


@pytest.mark.parametrize(("limit", "is_counted"), [(480, True), (479, False)])
def test_a_large_mapped_file_is_not_read_at_opening_only_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, is_counted: bool
) -> None:
    monkeypatch.setattr(description, "_SMALL_MAP_BYTES", limit)
    write_volume(Volume(VOXELS * np.float32(np.nan), GRID), tmp_path / "mapped.nii")
    write_volume(Volume(VOXELS * np.float32(np.nan), GRID), tmp_path / "packed.nii.gz")
    assert bool(read_scan(tmp_path / "mapped.nii").warnings) is is_counted
    assert read_scan(tmp_path / "packed.nii.gz").warnings
