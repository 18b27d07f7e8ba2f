"""Places that hang together and places that touch, against SimpleITK and scikit-image."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from skimage.segmentation import watershed

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.segmentation.components import connected_organs, connected_parts, split_touching

SPACING_MM = (0.8, 0.5, 0.6)


def scan(voxels, **facts):
    return Volume(voxels, Grid.from_spacing(voxels.shape, SPACING_MM, frame="f"), Modality.MPI, "a.u.", **facts)


def noise(sd):
    return Noise(sd, 0.0, np.ones((1, 1, 1)), "known")


def two_blobs(distance, shape=(20, 24, 44), sd_voxels=3.0, peaks=(100.0, 60.0)):
    """Two Gaussians on one row, so many voxels apart: two maxima from 2 SD on."""
    index = np.indices(shape).transpose(1, 2, 3, 0)
    middle = (np.array(shape) - 1) // 2
    centres = [middle - (0, 0, distance // 2), middle + (0, 0, distance - distance // 2)]
    near = [np.exp(-0.5 * ((index - centre) ** 2).sum(-1) / sd_voxels**2) for centre in centres]
    return peaks[0] * near[0] + peaks[1] * near[1], [tuple(int(i) for i in centre) for centre in centres]


@pytest.mark.parametrize("smallest", [0.0, 1.0, 2.4])
def test_places_and_their_sizes_are_those_of_simpleitk(smallest):
    rng = np.random.default_rng(3)
    voxels = ndimage.gaussian_filter(rng.normal(size=(14, 17, 19)), 0.8)
    mask = voxels > 0.45
    volume = scan(voxels)
    found = connected_parts(mask, volume, smallest) > 0
    numbered = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True)
    least = int(np.ceil(smallest / volume.grid.voxel_volume_mm3 - 1e-9))
    truth = sitk.GetArrayFromImage(sitk.RelabelComponent(numbered, minimumObjectSize=least)) > 0
    assert 0 < truth.sum() < mask.sum() or smallest == 0.0
    np.testing.assert_array_equal(found, truth)


def test_organs_are_numbered_by_their_signal_not_their_size():
    voxels = np.zeros((6, 12, 20), dtype=np.float32)
    voxels[1:5, 1:9, 1:9] = 1.0
    voxels[2, 3, 12] = 900.0
    voxels[4, 9, 15:17] = 20.0
    organs = connected_organs(voxels > 0, scan(voxels))
    assert list(organs.names.values()) == ["signal 1", "signal 2", "signal 3"]
    assert [int(organs.mask(f"signal {n}").sum()) for n in (1, 2, 3)] == [1, 256, 2]


def test_voxels_that_share_a_corner_hang_together():
    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    assert connected_organs(mask, scan(mask.astype(float))).names == {1: "signal 1"}


def test_blobs_that_touch_are_parted_as_scikit_image_parts_them_from_their_peaks():
    voxels, centres = two_blobs(distance=10)
    mask = voxels > 5
    organs = split_touching(mask, scan(voxels), noise(1.0))
    markers = np.zeros(voxels.shape, dtype=int)
    markers[centres[0]], markers[centres[1]] = 1, 2
    truth = watershed(-voxels, markers, connectivity=np.ones((3, 3, 3)), mask=mask)
    np.testing.assert_array_equal(organs.voxels > 0, mask)
    # Voxels at the valley's very floor belong to either side.
    assert np.mean(organs.voxels[mask] != truth[mask]) < 0.03
    assert organs.voxels[centres[0]] == 1
    assert organs.voxels[centres[1]] == 2


def test_a_valley_shallower_than_5_sd_parts_nothing():
    voxels, _ = two_blobs(distance=10)
    valley = voxels[9, 11, 16:27].min()
    drop = 60 - valley
    mask = voxels > 5
    assert len(split_touching(mask, scan(voxels), noise(drop / 5.5)).names) == 2
    assert len(split_touching(mask, scan(voxels), noise(drop / 4.0)).names) == 1


@pytest.mark.parametrize("blur_voxels", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_noise_splits_no_evenly_lit_organ(seed, blur_voxels):
    rng = np.random.default_rng(seed)
    index = np.indices((26, 28, 30)).transpose(1, 2, 3, 0) - 13.0
    inside = (index**2).sum(-1) < 100
    hiss = ndimage.gaussian_filter(rng.normal(size=inside.shape), blur_voxels)
    hiss /= hiss.std()
    voxels = 40.0 * inside + hiss
    assert split_touching(voxels > 20, scan(voxels), noise(1.0)).names == {1: "signal 1"}


def test_blobs_of_a_projection_are_parted_too():
    voxels, _ = two_blobs(distance=10)
    plane = voxels.sum(axis=0, keepdims=True)
    organs = split_touching(plane > 5 * 8, scan(plane, is_projection=True), noise(1.0))
    assert len(organs.names) == 2


def test_a_mask_of_another_shape_or_without_a_voxel_is_refused():
    volume = scan(np.zeros((4, 5, 6)))
    with pytest.raises(GridMismatchError, match="shape"):
        connected_organs(np.ones((5, 4, 6), dtype=bool), volume)
    with pytest.raises(MeasurementError, match="no place"):
        connected_organs(np.zeros((4, 5, 6), dtype=bool), volume)
