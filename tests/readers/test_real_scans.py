"""Every real file beside what nibabel and SimpleITK say of it."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.scans import find_scans, read_scan, read_scans

pytestmark = pytest.mark.real_data

PLACE_MM = 1e-4
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _place_by_nibabel(image: nib.Nifti1Image) -> np.ndarray:
    return (_LPS_FROM_RAS @ image.affine)[:, [2, 1, 0, 3]]


def _assert_corners_agree(volume: Volume, matrix: np.ndarray, tolerance_mm: float = PLACE_MM) -> None:
    shape = np.array(volume.grid.shape) - 1
    corners = np.array([(a, b, c, 1) for a in (0, shape[0]) for b in (0, shape[1]) for c in (0, shape[2])])
    apart = np.abs(corners @ matrix.T - corners @ volume.grid.lps_from_index.T)
    assert apart.max() < tolerance_mm, f"{volume.file}: {apart.max()} mm"


def test_every_nifti_lies_where_nibabel_says_with_the_same_values(real_data: Path) -> None:
    # The reoriented copies and codec copies hold the same voxels again.
    paths = [path for path in sorted(real_data.rglob("*.nii*")) if "rgb" not in path.parts[-2]]
    paths = [path for path in paths if "compressed" not in path.parts[-2]]
    seen = 0
    for path in paths:
        image = nib.load(path)
        volumes = read_scans(path)
        _assert_corners_agree(volumes[0], _place_by_nibabel(image))
        expected = np.asanyarray(image.dataobj)
        expected = expected.reshape(*expected.shape, *[1] * (4 - expected.ndim))
        for frame, volume in enumerate(volumes):
            shown, wanted = volume.voxels[::3, ::5, ::5], expected[::5, ::5, ::3, frame].T
            np.testing.assert_allclose(shown, wanted, rtol=1e-6)
        seen += 1
    assert seen > 45


def test_every_nrrd_and_metaimage_lies_where_simpleitk_says_with_the_same_values(real_data: Path) -> None:
    seen = 0
    for path in sorted(p for p in real_data.rglob("*") if p.suffix in (".mha", ".mhd", ".nrrd", ".nhdr")):
        found = find_scans(path)
        if not found.volumes:
            continue
        image = sitk.ReadImage(str(path))
        values = sitk.GetArrayFromImage(image)
        frames = values if values.ndim == 4 else values.reshape(1, *([1] * (3 - values.ndim)), *values.shape)
        assert len(frames) == len(found.volumes)
        for volume, expected in zip(found.volumes, frames, strict=True):
            np.testing.assert_array_equal(volume.voxels, expected)
            for index in np.ndindex(2, 2, 2):
                corner = [int(i * (n - 1)) for i, n in zip(index, volume.grid.shape, strict=True)]
                asked = [*corner[::-1], 0][: image.GetDimension()]
                at = image.TransformIndexToPhysicalPoint(asked)
                count = min(3, image.GetDimension())
                np.testing.assert_allclose(volume.grid.lps_from(corner)[:count], at[:count], atol=PLACE_MM)
        seen += 1
    assert seen >= 35


@pytest.mark.parametrize(
    "name",
    [
        "failing/slicecount/001",
        "ge/anatomical/001",
        "ge/anatomical/001_implicit",
        "ge/anatomical/001_single_slice",
        "generic/anatomical/001",
        "generic/anatomical/001_implicit",
        "generic/anatomical/002_non_isotropic",
        "generic/compressed/001",
        "generic/compressed_j2k/001",
        "generic/compressed_jpeg/001",
        "generic/compressed_jpegls/001",
        "generic/compressed_rle/001",
        "hitachi/anatomical/001",
        "hitachi/anatomical/001_implicit",
        "hyperfine/anatomical/001",
        "philips/anatomical/001",
        "philips/anatomical/001_implicit",
        "philips_enhanced/anatomical/001",
        "philips_enhanced/anatomical/001_implicit",
        "siemens/anatomical/001",
        "siemens/anatomical/001_implicit",
        "siemens_multiframe/anatomical/001",
    ],
)
def test_dicom_shows_at_every_point_what_its_reference_nifti_shows_there(real_data: Path, name: str) -> None:
    folder = real_data / "dicom2nifti-tests" / name
    volume = read_scan(folder)
    reference = nib.load(f"{folder}_ground_truth.nii.gz")
    expected = np.asanyarray(reference.dataobj)
    _assert_same_at_every_voxel(volume, expected.reshape(expected.shape[:3]), _LPS_FROM_RAS @ reference.affine)


def _assert_same_at_every_voxel(volume: Volume, expected: np.ndarray, lps_from_ijk: np.ndarray) -> None:
    """Both may store their axes in other orders: look up every voxel's own place in the reference."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.grid.shape), indexing="ij"), axis=-1)
    places = volume.grid.lps_from(index)
    inverse = np.linalg.inv(lps_from_ijk)
    ijk = places @ inverse[:3, :3].T + inverse[:3, 3]
    nearest = np.rint(ijk).astype(int)
    spacing = np.linalg.norm(lps_from_ijk[:3, :3], axis=0)
    depth = np.array(volume.grid.shape) > 1
    # The references' float32 matrices are good to some 1e-4 mm; a single slice's thickness is the writer's choice.
    assert np.abs((ijk - nearest) * spacing)[..., :].max() < 1e-3 or not depth.all()
    values = expected[nearest[..., 0], nearest[..., 1], nearest[..., 2]]
    np.testing.assert_allclose(volume.voxels, values, rtol=1e-5, atol=1e-5)


def test_a_siemens_mosaic_in_nine_encodings_is_one_and_the_same_volume(real_data: Path) -> None:
    volumes = read_scans(real_data / "dcmqa-ts" / "In")
    assert len(volumes) == 9
    for number, volume in enumerate(volumes, start=1):
        reference = nib.load(real_data / "dcmqa-ts" / "Ref" / f"{number}.nii")
        assert volume.grid.shape == (35, 64, 64)
        _assert_same_at_every_voxel(volume, np.asanyarray(reference.dataobj), _LPS_FROM_RAS @ reference.affine)


def test_a_tilted_gantry_stays_a_sheared_grid_with_its_own_voxels(real_data: Path) -> None:
    volume = read_scan(real_data / "dicom2nifti-tests/failing/gantrytilting/001")
    assert not volume.grid.is_orthogonal
    assert any("tilted by 14.0 degrees" in warning for warning in volume.warnings)
    assert volume.grid.voxel_volume_mm3 == pytest.approx(5 * np.cos(np.radians(14.0)) * 0.41796875**2, rel=1e-4)
    assert (volume.modality, volume.unit) == (Modality.CT, "HU")


def test_two_orientations_in_one_series_are_two_volumes(real_data: Path) -> None:
    volumes = read_scans(real_data / "dicom2nifti-tests/failing/sliceorientation/001")
    assert [volume.grid.shape for volume in volumes] == [(2, 288, 288)] * 2
    assert abs(volumes[0].grid.directions[:, 0] @ volumes[1].grid.directions[:, 0]) < 0.5


def test_magnitude_and_phase_in_one_series_are_two_volumes_with_their_own_scaling(real_data: Path) -> None:
    magnitude, phase = read_scans(real_data / "dicom2nifti-tests/philips/anatomical/002")
    assert magnitude.voxels.min() >= 0
    assert phase.voxels.min() < -1000


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dicom2nifti-tests/failing/sliceincrement/001", "slice.* missing"),
        ("dicom2nifti-tests/failing/sliceincrement/002", "slice.* missing"),
        ("dicom2nifti-tests/generic/rgb/001", "colour"),
        ("itk-volumes/MetaImageError.mhd", "Error.raw.* missing"),
        ("itk-volumes/mini-complex-slow.nrrd", "complex"),
        ("itk-volumes/small-tensors.nhdr", "3D-symmetric-matrix"),
        ("itk-volumes/testrgba.nrrd", "4 values a voxel"),
        ("itk-volumes/LinearTransform.h5", "transform"),
        ("mpi-ffl-buaa/Noise/noise_k_2.mat", "--spacing-mm plane,row,column"),
        ("mpi-ffl-buaa/phantom.mat", "-v7.3"),
    ],
)
def test_what_cannot_be_read_is_refused_on_one_line_with_its_reason(real_data: Path, name: str, reason: str) -> None:
    with pytest.raises(UnreadableScanError, match=reason) as refusal:
        read_scans(real_data / name)
    assert "\n" not in str(refusal.value)


def test_the_buaa_mpi_images_open_transposed_once_their_spacing_is_given(real_data: Path) -> None:
    import h5py

    path = real_data / "mpi-ffl-buaa/limited_angle_task/test_demo_dataset/output/data_1.mat"
    volume = read_scan(path, modality=Modality.MPI, spacing_mm=(0.5, 0.3))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(volume.voxels[0], file["reconstructed_full"][()].T)
    np.testing.assert_allclose(volume.grid.spacing_mm[1:], [0.5, 0.3])
    assert volume.modality is Modality.MPI
    assert not volume.has_thickness
    assert not volume.is_projection


def test_a_file_without_orientation_opens_with_its_warning(real_data: Path) -> None:
    volume = read_scan(real_data / "itk-volumes/BigEndian.hdr")
    assert any("orientation unknown" in warning for warning in volume.warnings)


def test_every_file_is_either_a_volume_or_skipped_with_a_reason_on_one_line(real_data: Path) -> None:
    for folder in ("itk-volumes", "dicom2nifti-tests", "dcmqa-ts", "mpi-ffl-buaa", "elastix-lung3dct"):
        found = find_scans(real_data / folder)
        assert [volume.series for volume in found.volumes] == list(range(1, len(found.volumes) + 1))
        assert all(entry.reason and "\n" not in entry.reason for entry in found.skipped)
