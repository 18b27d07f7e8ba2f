"""A place grown from a click, against balls of known size and SimpleITK's region growing."""

import numpy as np
import pytest
import SimpleITK as sitk

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.segmentation.growing import grow_region, index_at

NOISE = Noise(1.0, 0.0, np.ones((1, 1, 1)), "known")
SHAPE = (24, 28, 50)


def scan(voxels, **facts):
    grid = Grid.from_spacing(voxels.shape, (0.8, 0.5, 0.6), (5.0, -20.0, 100.0), frame="f")
    return Volume(voxels, grid, Modality.MPI, "a.u.", **facts)


def blobs(*places, seed=0):
    """Gaussians of 2.5 voxels SD: (plane, row, column), peak; and noise of SD 1."""
    index = np.indices(SHAPE).transpose(1, 2, 3, 0)
    voxels = np.random.default_rng(seed).normal(size=SHAPE)
    for centre, peak in places:
        voxels += peak * np.exp(-0.5 * ((index - centre) ** 2).sum(-1) / 2.5**2)
    return voxels


def test_a_click_grows_what_simpleitk_grows():
    voxels = blobs(((12, 14, 15), 100.0), ((12, 14, 38), 60.0))
    found = grow_region(scan(voxels), (12, 15, 16), NOISE, threshold=20.0)
    image = sitk.GetImageFromArray(voxels)
    truth = sitk.ConnectedThreshold(
        image, [(16, 15, 12)], 20.0, 1e9, 1, sitk.ConnectedThresholdImageFilter.FullConnectivity
    )
    np.testing.assert_array_equal(found.mask, sitk.GetArrayFromImage(truth) > 0)
    assert found.leak == ""
    assert found.cut_mm3 == 0
    assert found.volume_mm3 == pytest.approx(found.mask.sum() * 0.8 * 0.5 * 0.6)


def test_the_fraction_is_of_the_hill_that_was_clicked_on_not_of_the_scan():
    voxels = blobs(((12, 14, 12), 400.0), ((12, 14, 38), 50.0))
    found = grow_region(scan(voxels), (12, 14, 40), NOISE, fraction=0.5)
    # The highest voxel of noise on a peak of 50 stands 1 to 3 above it.
    assert found.threshold == pytest.approx(25, abs=2)
    assert np.abs(np.array(found.peak) - (12, 14, 38)).max() <= 1
    radius = 2.5 * np.sqrt(2 * np.log(50 / found.threshold))
    # Noise of 1 on a flank of 10 a voxel, and voxels counted: some 8 %.
    assert found.mask.sum() == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.08)


def test_a_region_that_runs_into_a_neighbour_is_cut_at_the_valley_and_says_so():
    voxels = blobs(((12, 14, 18), 60.0), ((12, 14, 30), 300.0))
    volume = scan(voxels)
    found = grow_region(volume, (12, 14, 18), NOISE, threshold=6.0)
    assert "ran into a brighter neighbour" in found.leak
    assert found.cut_mm3 > 0
    assert not found.mask[12, 14, 30]
    assert found.mask[12, 14, 18]
    other = grow_region(volume, (12, 14, 30), NOISE, threshold=6.0)
    assert "fainter" in other.leak
    assert not np.any(other.mask & found.mask)
    whole = found.volume_mm3 + found.cut_mm3
    assert other.volume_mm3 + other.cut_mm3 == pytest.approx(whole)


def test_a_faint_place_is_never_grown_into_the_noise():
    voxels = blobs(((12, 14, 25), 9.0))
    found = grow_region(scan(voxels), (12, 14, 25), NOISE, fraction=0.2)
    assert found.threshold == pytest.approx(5.0)


def test_a_region_larger_than_allowed_is_refused_with_what_to_do():
    voxels = blobs(((12, 14, 25), 100.0))
    with pytest.raises(MeasurementError, match="more than the 5 allowed") as refused:
        grow_region(scan(voxels), (12, 14, 25), NOISE, largest_mm3=5.0)
    assert "raise the threshold" in refused.value.remedy


@pytest.mark.parametrize(
    ("seed_index", "options", "said"),
    [
        ((2, 2, 2), {}, "no signal at the click"),
        ((12, 14, 21), {"fraction": 0.9}, "not above the threshold"),
        ((12, 14, 99), {}, "outside the scan"),
        ((12, 14, 25), {"fraction": 1.5}, "between 0 and 1"),
        ((12, 14, 25), {"threshold": -100.0}, "over the whole scan"),
        ((0, 0, 0), {}, "holds no number"),
    ],
)
def test_a_click_that_gives_no_region_says_why(seed_index, options, said):
    voxels = blobs(((12, 14, 25), 60.0))
    if said == "holds no number":
        voxels[0, 0, 0] = np.nan
    with pytest.raises(MeasurementError, match=said):
        grow_region(scan(voxels), seed_index, NOISE, **options)


def test_a_click_in_mm_is_the_voxel_that_simpleitk_says():
    volume = scan(blobs())
    image = sitk.GetImageFromArray(np.asarray(volume.voxels))
    image.SetSpacing((0.6, 0.5, 0.8))
    image.SetOrigin((5.0, -20.0, 100.0))
    point = (12.13, -14.9, 106.3)
    assert index_at(volume, point) == image.TransformPhysicalPointToIndex(point)[::-1]
    with pytest.raises(MeasurementError, match="outside the scan") as refused:
        index_at(volume, (0.0, 0.0, 0.0))
    assert "x 4.7 to 34.7" in refused.value.remedy
