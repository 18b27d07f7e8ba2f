"""A grid says where voxels lie; SimpleITK and nibabel say the same."""

import pickle

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from assertions import assert_frozen, assert_same_place
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import affine_transforms, any_grids, grids, indices_in, seeds, sheared_grids

from napari_mpi_track.errors import FrameMismatchError, GridMismatchError
from napari_mpi_track.imaging.grid import Grid, require_same_frame
from napari_mpi_track.imaging.itk import array_to_itk, grid_from_itk

quick = settings(deadline=None, max_examples=25)
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@given(st.data(), any_grids())
@quick
def test_every_index_lies_where_simpleitk_puts_it(data, grid):
    image = array_to_itk(np.zeros(grid.shape, np.uint8), grid)
    index = data.draw(indices_in(grid))
    expected = [image.TransformContinuousIndexToPhysicalPoint([float(i) for i in row[::-1]]) for row in index]
    # 1e-9 mm: doubles of some 500 mm hold 1e-13 mm, a few roundings on top.
    np.testing.assert_allclose(grid.lps_from(index), expected, rtol=0, atol=1e-9)
    for corner in np.ndindex(2, 2, 2):
        voxel = [int(c * (n - 1)) for c, n in zip(corner, grid.shape, strict=True)]
        np.testing.assert_allclose(grid.lps_from(voxel), image.TransformIndexToPhysicalPoint(voxel[::-1]), atol=1e-9)


@given(any_grids())
@quick
def test_a_grid_made_from_a_simpleitk_image_lies_where_the_image_does(grid):
    image = sitk.Image(*[int(n) for n in grid.shape[::-1]], sitk.sitkInt16)
    image.SetSpacing([float(s) for s in grid.spacing_mm[::-1]])
    image.SetOrigin([float(x) for x in grid.origin_mm])
    image.SetDirection([float(d) for d in grid.directions[:, ::-1].ravel()])
    assert_same_place(grid_from_itk(image), grid, tolerance_mm=1e-9)


@given(st.data(), any_grids())
@quick
def test_every_index_lies_where_nibabels_affine_puts_it(data, grid):
    # nibabel indexes (column, row, plane) and counts RAS; its own affine of our voxels is written down from that.
    affine = RAS_FROM_LPS @ grid.lps_from_index[:, [2, 1, 0, 3]]
    image = nibabel.Nifti1Image(np.zeros(grid.shape[::-1], np.uint8), affine)
    index = data.draw(indices_in(grid))
    ras = nibabel.affines.apply_affine(image.affine, index[:, ::-1])
    np.testing.assert_allclose(grid.lps_from(index), ras * [-1, -1, 1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(grid.spacing_mm, nibabel.affines.voxel_sizes(affine)[::-1], rtol=1e-12)


@given(st.data(), any_grids())
@quick
def test_points_come_back_to_their_index_and_lie_inside(data, grid):
    index = data.draw(indices_in(grid))
    np.testing.assert_allclose(grid.index_from(grid.lps_from(index)), index, rtol=0, atol=1e-8)
    inside = 0.999 * (index - (np.array(grid.shape) - 1) / 2) + (np.array(grid.shape) - 1) / 2
    assert grid.contains(grid.lps_from(inside)).all()
    assert not grid.contains(grid.lps_from(np.array(grid.shape) + 0.0)).any()


@given(any_grids())
@quick
def test_the_volume_of_a_grid_is_that_of_its_corners_even_when_sheared(grid):
    first, *_ = corners = grid.corners_mm()
    edges = corners[[4, 2, 1]] - first
    whole = abs(np.linalg.det(edges))
    np.testing.assert_allclose(whole, grid.voxel_volume_mm3 * np.prod(grid.shape), rtol=1e-9)
    np.testing.assert_allclose(corners.mean(axis=0), grid.centre_mm, atol=1e-9)


@given(grids())
@quick
def test_perpendicular_axes_are_known_as_such_and_their_volume_is_the_product_of_spacings(grid):
    assert grid.is_orthogonal
    np.testing.assert_allclose(grid.voxel_volume_mm3, np.prod(grid.spacing_mm), rtol=1e-9)
    np.testing.assert_allclose(grid.pixel_area_mm2, np.prod(grid.spacing_mm[1:]), rtol=1e-9)


@given(sheared_grids())
@quick
def test_a_shear_above_a_thousandth_is_seen(grid):
    cosines = grid.directions.T @ grid.directions - np.eye(3)
    if np.abs(cosines).max() > 1e-3:
        assert not grid.is_orthogonal


@given(any_grids(), seeds())
@quick
def test_agreement_is_in_millimetres_not_in_matrix_entries(grid, seed):
    direction = np.random.default_rng(seed).normal(size=3)
    direction /= np.linalg.norm(direction)

    def moved(by_mm):
        matrix = grid.lps_from_index.copy()
        matrix[:3, 3] += by_mm * direction
        return Grid(grid.shape, matrix)

    assert grid.agrees_with(moved(0.0009))
    assert not grid.agrees_with(moved(0.0011))
    assert grid.farthest_corner_mm(moved(2.0)) == pytest.approx(2.0, abs=1e-9)
    longer = Grid((grid.shape[0] + 1, *grid.shape[1:]), grid.lps_from_index)
    assert not grid.agrees_with(longer)


@given(affine_transforms(), any_grids())
@quick
def test_a_matrix_of_a_grid_cannot_be_written_to_whoever_keeps_it(transform, grid):
    matrix = np.array(grid.lps_from_index)
    made = Grid(grid.shape, matrix)
    matrix[:] = 7
    np.testing.assert_array_equal(made.lps_from_index, grid.lps_from_index)
    assert_frozen(made.lps_from_index)
    assert_frozen(transform.target_from_source)


@given(any_grids())
@quick
def test_a_grid_survives_pickling_and_stays_frozen(grid):
    again = pickle.loads(pickle.dumps(grid))
    assert (again.shape, again.frame) == (grid.shape, grid.frame)
    np.testing.assert_array_equal(again.lps_from_index, grid.lps_from_index)
    assert_frozen(again.lps_from_index)


def test_an_axis_aligned_grid_puts_plane_on_z_row_on_y_and_column_on_x():
    grid = Grid.from_spacing((2, 3, 4), (5.0, 0.5, 0.25), (10.0, 20.0, 30.0), "bed")
    np.testing.assert_allclose(grid.lps_from([1, 2, 3]), [10 + 0.75, 20 + 1.0, 30 + 5.0])
    assert grid.in_frame("other").frame == "other"
    assert grid.frame == "bed"


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3), (2, 3, -1)])
def test_a_grid_needs_three_positive_counts(shape):
    with pytest.raises(GridMismatchError, match="three positive counts"):
        Grid(shape, np.eye(4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((slice(0, 3), 0, 0.0), "independent"),
        ((3, 0, 1.0), "last row"),
        ((0, 3, np.nan), "finite"),
        ((0, 0, np.inf), "finite"),
    ],
)
def test_a_matrix_that_places_nothing_is_refused(change, words):
    *place, value = change
    matrix = np.eye(4)
    matrix[tuple(place)] = value
    with pytest.raises(GridMismatchError, match=words):
        Grid((2, 3, 4), matrix)


def test_parallel_axes_are_refused_however_small_the_voxels():
    matrix = np.diag([1e-4, 1e-4, 1e-4, 1.0])
    assert Grid((2, 3, 4), matrix).voxel_volume_mm3 == pytest.approx(1e-12)
    matrix[:3, 1] = matrix[:3, 0]
    with pytest.raises(GridMismatchError, match="independent"):
        Grid((2, 3, 4), matrix)


@pytest.mark.parametrize(("first", "second"), [(None, None), ("a", None), (None, "a"), ("a", "b")])
def test_an_unknown_frame_equals_nothing_itself_included(first, second):
    with pytest.raises(FrameMismatchError, match="scan and organs"):
        require_same_frame(first, second, "scan and organs")


def test_one_name_is_one_frame():
    require_same_frame("a", "a", "scan and organs")


@given(any_grids(), st.data())
@settings(deadline=None, max_examples=40)
def test_a_cut_out_is_part_of_its_grid_turned_or_not(grid, data):
    low = [data.draw(st.integers(0, n - 1)) for n in grid.shape]
    high = [data.draw(st.integers(a, n - 1)) for a, n in zip(low, grid.shape, strict=True)]
    matrix = grid.lps_from_index.copy()
    matrix[:3, 3] = grid.lps_from(low)
    shape = tuple(b - a + 1 for a, b in zip(low, high, strict=True))
    cut = Grid(shape, matrix)
    assert cut.is_part_of(grid)
    flipped = matrix.copy()
    flipped[:3, 3] = cut.lps_from([shape[0] - 1, 0, 0])
    flipped[:3, 0] *= -1
    assert Grid(shape, flipped).is_part_of(grid)


@given(any_grids())
@settings(deadline=None, max_examples=40)
def test_half_a_voxel_or_one_beyond_is_no_part_of_a_grid(grid):
    for step in (0.5, 1.0):
        matrix = grid.lps_from_index.copy()
        matrix[:3, 3] = grid.lps_from([step, 0, 0])
        assert not Grid(grid.shape, matrix).is_part_of(grid)
    finer = grid.lps_from_index.copy()
    finer[:3, 2] *= 0.5
    assert not Grid(grid.shape, finer).is_part_of(grid)
