"""Voxels through SimpleITK: same place, same order, same values."""

import numpy as np
import pytest
import SimpleITK as sitk
from assertions import assert_frozen, assert_same_place
from hypothesis import given, settings
from strategies import any_grids, organ_labels, sheared_grids, volumes

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.itk import array_from_itk, grid_from_itk, to_itk
from napari_mpi_track.imaging.volume import Volume

quick = settings(deadline=None, max_examples=25)


@given(volumes(any_grids()))
@quick
def test_an_oblique_scan_keeps_its_place_and_its_values_through_itk(scan):
    image = to_itk(scan)
    assert image.GetSize() == scan.grid.shape[::-1]
    assert_same_place(grid_from_itk(image, scan.grid.frame), scan.grid, tolerance_mm=1e-9)
    back = array_from_itk(image)
    np.testing.assert_array_equal(back, scan.voxels)
    assert back.dtype == scan.voxels.dtype.newbyteorder("=")
    assert_frozen(back)
    plane, row, column = (n - 1 for n in scan.grid.shape)
    assert image[column, row, plane] == scan.voxels[plane, row, column]
    assert image[column, 0, 0] == scan.voxels[0, 0, column]


@given(organ_labels(sheared_grids()))
@quick
def test_labels_on_a_sheared_grid_keep_their_place_and_their_values(labels):
    image = to_itk(labels)
    assert_same_place(grid_from_itk(image), labels.grid, tolerance_mm=1e-9)
    np.testing.assert_array_equal(array_from_itk(image), labels.voxels)


def test_the_image_is_a_copy_and_writing_to_it_leaves_the_scan_alone():
    scan = Volume(np.ones((2, 3, 4)), Grid.from_spacing((2, 3, 4), 1.0))
    image = to_itk(scan)
    image[0, 0, 0] = 5
    assert scan.voxels.max() == 1


@pytest.mark.parametrize(("ours", "theirs"), [(np.bool_, sitk.sitkUInt8), (np.float16, sitk.sitkFloat32)])
def test_a_kind_of_number_itk_does_not_know_becomes_one_that_holds_it(ours, theirs):
    voxels = (np.arange(24).reshape(2, 3, 4) % 2).astype(ours)
    image = to_itk(Volume(voxels, Grid.from_spacing((2, 3, 4), 1.0)))
    assert image.GetPixelID() == theirs
    np.testing.assert_array_equal(array_from_itk(image), voxels)


@pytest.mark.parametrize("direction", [(1, 0, 0, 1), (0, 1, -1, 0), (0, 1, 1, 0), (-1, 0, 0, 1)])
def test_a_2d_image_is_one_plane_in_the_place_itk_gives_its_pixels(direction):
    image = sitk.GetImageFromArray(np.arange(12, dtype=np.int16).reshape(3, 4))
    image.SetSpacing((0.5, 2.0))
    image.SetOrigin((10.0, -20.0))
    image.SetDirection(direction)
    grid = grid_from_itk(image, "bed")
    assert grid.shape == (1, 3, 4)
    assert array_from_itk(image).shape == (1, 3, 4)
    assert array_from_itk(image)[0, 2, 1] == image[1, 2]
    for row, column in ((0, 0), (2, 3), (1, 2)):
        expected = (*image.TransformIndexToPhysicalPoint((column, row)), 0.0)
        np.testing.assert_allclose(grid.lps_from((0, row, column)), expected)


def test_of_frames_over_time_the_place_in_space_is_taken():
    image = sitk.Image([2, 3, 4, 5], sitk.sitkUInt8)
    image.SetSpacing((0.5, 0.6, 0.7, 60.0))
    image.SetOrigin((1.0, 2.0, 3.0, 0.0))
    grid = grid_from_itk(image)
    assert grid.shape == (4, 3, 2)
    np.testing.assert_allclose(grid.lps_from((3, 2, 1)), image.TransformIndexToPhysicalPoint((1, 2, 3, 0))[:3])


def test_time_mixed_with_space_and_five_dimensions_are_refused():
    image = sitk.Image([2, 2, 2, 2], sitk.sitkUInt8)
    turned = np.eye(4)[[0, 1, 3, 2]]
    image.SetDirection(turned.ravel().tolist())
    with pytest.raises(UnreadableScanError, match="mixed with the three of space"):
        grid_from_itk(image)
    with pytest.raises(UnreadableScanError, match="2 to 4 dimensions"):
        grid_from_itk(sitk.Image([2, 2, 2, 2, 2], sitk.sitkUInt8))
