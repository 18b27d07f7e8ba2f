"""Whatever is in a file, a reader gives volumes or one of our errors on one line."""

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from assertions import assert_one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_dicom import write_enhanced, write_series

from napari_mpi_track.errors import MpiTrackError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.readers.organs import holds_labels, read_organs
from napari_mpi_track.readers.scans import find_scans, read_scans
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((4, 5, 6), (2, 1, 0.5), (7, 8, 9))
VOXELS = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
fuzz = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _scan(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        write_volume(Volume(VOXELS, GRID), folder / name, overwrite=True)
        return folder / name

    return write


def _dicom(folder: Path) -> Path:
    return write_series(folder, VOXELS[:1], GRID)[0]


def _enhanced(folder: Path) -> Path:
    write_enhanced(folder / "enhanced.dcm", VOXELS, GRID, [(1, 0)] * 4)
    return folder / "enhanced.dcm"


def _mdf(folder: Path) -> Path:
    with h5py.File(folder / "a.mdf", "w") as file:
        file["version"] = "2.1.0"
        file["reconstruction/data"] = VOXELS.reshape(1, 120, 1)
        file["reconstruction/size"] = np.array([6, 5, 4])
        file["reconstruction/fieldOfView"] = np.array([0.006, 0.005, 0.004])
    return folder / "a.mdf"


WRITERS = [_scan("a.nii"), _scan("a.nii.gz"), _scan("a.nrrd"), _scan("a.mha"), _scan("a.mhd"), _dicom, _enhanced, _mdf]


def _try(path: Path) -> None:
    for read in (read_scans, read_organs):
        try:
            read(path)
        except MpiTrackError as error:
            assert_one_line(error)
    holds_labels(path)
    find_scans(path)
    find_scans(path.parent)


@pytest.mark.parametrize("write", WRITERS)
@fuzz
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_never_raises_anything_else(
    tmp_path: Path, write: Callable[[Path], Path], share: float
) -> None:
    path = write(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    _try(path)


@pytest.mark.parametrize("write", WRITERS)
@fuzz
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12))
def test_bytes_changed_anywhere_never_raise_anything_else(
    tmp_path: Path, write: Callable[[Path], Path], flips: list[tuple[float, int]]
) -> None:
    path = write(tmp_path)
    content = bytearray(path.read_bytes())
    # Headers lie at the front: half of the changes go into the first 400 bytes.
    for number, (share, value) in enumerate(flips):
        content[int((min(400, len(content)) if number % 2 else len(content)) * share)] = value
    path.write_bytes(content)
    _try(path)


@fuzz
@given(
    content=st.binary(max_size=600), magic=st.sampled_from([b"", b"NRRD0004\n", b"NDims = 3\n", b"\x1f\x8b", b"%PDF"])
)
def test_random_bytes_never_raise_anything_else(tmp_path: Path, content: bytes, magic: bytes) -> None:
    path = tmp_path / "random"
    path.write_bytes(magic + content)
    _try(path)


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_without_its_last_bytes_is_called_truncated_or_damaged(
    tmp_path: Path, write: Callable[[Path], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    at_fault = path.with_suffix(".raw") if path.suffix == ".mhd" else path
    at_fault.write_bytes(at_fault.read_bytes()[:-30])
    with pytest.raises(UnreadableScanError):
        read_scans(path)
    assert capfd.readouterr() == ("", "")


def test_a_header_that_claims_terabytes_takes_no_memory(tmp_path: Path) -> None:
    header = bytearray((_scan("a.nii")(tmp_path)).read_bytes())
    header[40:48] = struct.pack("<4h", 3, 30000, 30000, 30000)
    (tmp_path / "a.nii").write_bytes(header)
    (tmp_path / "b.mha").write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 90000 90000 90000\nElementType = MET_DOUBLE\n"
        b"ElementDataFile = LOCAL\n1"
    )
    (tmp_path / "c.nrrd").write_bytes(
        b"NRRD0004\ntype: double\ndimension: 3\nsizes: 90000 90000 90000\nencoding: gzip\nendian: little\n\n"
        + b"\x1f\x8b1"
    )
    (tmp_path / "d.nrrd").write_bytes(
        b"NRRD0004\ntype: double\ndimension: 3\nsizes: 90000 90000 90000\nencoding: ascii\n\n1 2 3"
    )
    for name in ("a.nii", "b.mha", "c.nrrd", "d.nrrd"):
        with pytest.raises(UnreadableScanError, match="truncated"):
            read_scans(tmp_path / name)


def test_a_folder_of_pdfs_is_one_clear_line(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.pdf").write_bytes(b"%PDF-1.4")
    with pytest.raises(UnreadableScanError, match="none of 3 files is a scan") as refusal:
        read_scans(tmp_path)
    assert_one_line(refusal.value)
    assert len(find_scans(tmp_path).skipped) == 3


def test_an_empty_file_an_empty_folder_and_nothing_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.nii").touch()
    (tmp_path / "folder").mkdir()
    for name, reason in (("empty.nii", "empty"), ("folder", "folder is empty"), ("none.nii", "no such file")):
        with pytest.raises(UnreadableScanError, match=reason):
            read_scans(tmp_path / name)


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_complex_and_coloured_nifti_are_refused_by_name(tmp_path: Path, dtype: object) -> None:
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4), dtype=dtype), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(UnreadableScanError, match=r"complex|RGB"):
        read_scans(tmp_path / "a.nii")


def test_a_nifti_of_vectors_is_refused_by_name(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4, 1, 3), dtype=np.float32), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(UnreadableScanError, match="vectors"):
        read_scans(tmp_path / "a.nii")
