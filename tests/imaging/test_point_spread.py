"""A blur of the width it says, and of all the signal it is given."""

import pickle

import numpy as np
import pytest
from assertions import assert_frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape

SD_OF_FWHM = 1 / np.sqrt(8 * np.log(2))
BOTH = pytest.mark.parametrize("shape", list(PsfShape))


def _point_on_a_line(length_mm: float, spacing_mm: float):
    """One lit voxel in the middle of a line along the columns, and where its voxels lie, in mm."""
    count = 2 * round(length_mm / spacing_mm / 2) + 1
    source = np.zeros((1, 1, count))
    source[0, 0, count // 2] = 1.0
    x_mm = (np.arange(count) - count // 2) * spacing_mm
    return source, Grid.from_spacing(source.shape, spacing_mm), x_mm


@BOTH
@pytest.mark.parametrize("fwhm_mm", [0.9, 2.5, 3.0])
def test_the_width_at_half_height_is_what_the_point_spread_says(shape, fwhm_mm):
    source, grid, x_mm = _point_on_a_line(30, 0.02)
    shown = PointSpread(shape, fwhm_mm).blur(source, grid)[0, 0]
    right = x_mm > 0
    half = np.interp(-0.5 * shown.max(), -shown[right], x_mm[right])
    assert 2 * half == pytest.approx(fwhm_mm, rel=2e-3)


@given(st.floats(0.3, 4.0), st.just(0.0) | st.floats(0.01, 8.0))
@settings(deadline=None, max_examples=60)
def test_a_gaussian_keeps_all_signal_at_any_width_against_the_voxel(spacing_mm, fwhm_mm):
    source, grid, _ = _point_on_a_line(80, spacing_mm)
    shown = PointSpread(PsfShape.GAUSSIAN, fwhm_mm).blur(source, grid)
    # 1e-5: what sampling a Gaussian of two voxels' width adds (2 exp(-2 pi^2 sd^2)).
    assert shown.sum() == pytest.approx(1.0, abs=1e-5)


@given(st.floats(0.3, 4.0), st.floats(0.1, 8.0))
@settings(deadline=None, max_examples=60)
def test_a_lorentzian_keeps_all_signal_but_its_tails_beyond_the_field(spacing_mm, fwhm_mm):
    source, grid, x_mm = _point_on_a_line(400, spacing_mm)
    shown = PointSpread(PsfShape.LORENTZIAN, fwhm_mm).blur(source, grid)
    edge_mm = x_mm[-1] + spacing_mm / 2
    within = 2 / np.pi * np.arctan(2 * edge_mm / fwhm_mm)
    # 5e-4: the kernel is divided by its sum on an endless lattice, tails included, up to 2 % at 1.5 voxels.
    assert shown.sum() == pytest.approx(within, abs=5e-4)


def test_a_lorentzian_of_3_mm_leaves_26_percent_outside_10_mm_and_9_outside_30_mm():
    # Separable in three axes: METHODS' "+-10 mm" is the cube of that half-width.
    spacing, count = 1.0, 241
    source = np.zeros((count, 1, 1))
    source[count // 2] = 1
    line = PointSpread(PsfShape.LORENTZIAN, 3.0).blur(source, Grid.from_spacing((count, 1, 1), spacing)).ravel()
    middle = count // 2
    for half_mm, outside in ((10, 0.26), (30, 0.09)):
        part = (
            line[middle - half_mm : middle + half_mm + 1].sum() - (line[middle - half_mm] + line[middle + half_mm]) / 2
        )
        assert 1 - part**3 == pytest.approx(outside, abs=0.006)


@pytest.mark.parametrize("fwhm_mm", [(2.0, 3.0, 4.0), (3.5, 0.0, 2.2)])
def test_a_gaussian_is_scipys(fwhm_mm):
    rng = np.random.default_rng(1)
    grid = Grid.from_spacing((20, 30, 40), (1.0, 0.9, 0.5))
    source = np.zeros(grid.shape)
    source[8:12, 12:18, 15:25] = rng.random((4, 6, 10))
    shown = PointSpread(PsfShape.GAUSSIAN, fwhm_mm).blur(source, grid)
    sds = np.array(fwhm_mm) * SD_OF_FWHM / grid.spacing_mm
    expected = ndimage.gaussian_filter(source, sds, mode="constant", truncate=8)
    np.testing.assert_allclose(shown, expected, atol=1e-6 * source.max())


@BOTH
@pytest.mark.parametrize("fwhm_mm", [1.0, 1.5, 1.9, 2.1, 4.0])
def test_a_voxel_of_occupancy_is_blurred_as_the_box_it_is(shape, fwhm_mm):
    # A wide box, blurred exactly by the integral of the line profile, averaged over scan voxels of 1 mm.
    grid = Grid.from_spacing((1, 1, 81), 1.0)
    source = np.zeros(grid.shape)
    source[0, 0, 35:46] = 1.0
    psf = PointSpread(shape, fwhm_mm)
    fine = np.arange(-40.5 + 0.005, 40.5, 0.01)
    exact = psf.cumulative(fine + 5.5, fwhm_mm) - psf.cumulative(fine - 5.5, fwhm_mm)
    expected = exact.reshape(81, 100).mean(axis=1)
    # 6 % of full height, in the voxels at the edge of the box and where the width is one voxel; less elsewhere.
    np.testing.assert_allclose(psf.blur(source, grid)[0, 0], expected, atol=0.06)
    np.testing.assert_allclose(psf.blur(source, grid)[0, 0, 36:45].sum(), expected[36:45].sum(), rtol=0.015)


@BOTH
def test_the_line_profile_is_the_slope_of_its_cumulative(shape):
    psf = PointSpread(shape, 2.0)
    x_mm = np.linspace(-6, 6, 121)
    slope = (psf.cumulative(x_mm + 1e-4, 2.0) - psf.cumulative(x_mm - 1e-4, 2.0)) / 2e-4
    np.testing.assert_allclose(psf.density(x_mm, 2.0), slope, rtol=1e-5, atol=1e-9)
    assert psf.density(np.array([1.0]), 2.0) == pytest.approx(psf.density(np.array([0.0]), 2.0) / 2)
    assert psf.cumulative(np.array([0.0]), 2.0) == pytest.approx(0.5)


def test_no_width_is_no_blur_and_one_plane_is_not_blurred_across():
    grid = Grid.from_spacing((1, 5, 6), (4.0, 1.0, 1.0))
    source = np.random.default_rng(0).random(grid.shape)
    np.testing.assert_array_equal(PointSpread(PsfShape.GAUSSIAN, (3.0, 0.0, 0.0)).blur(source, grid), source)


def test_a_point_spread_is_frozen_pickles_and_widens():
    kept = np.array([1.0, 2.0, 3.0])
    psf = PointSpread(PsfShape.LORENTZIAN, kept, 0.05)
    kept[:] = 0
    again = pickle.loads(pickle.dumps(psf))
    assert_frozen(psf.fwhm_mm)
    assert_frozen(again.fwhm_mm)
    assert again.shape is PsfShape.LORENTZIAN
    np.testing.assert_allclose(again.widened(1.1).fwhm_mm, [1.1, 2.2, 3.3])
    np.testing.assert_array_equal(psf.widened(1.1).fwhm_relative_sd, [0.05] * 3)
    np.testing.assert_allclose(again.widened(np.array([1.0, 2.0, 1.0])).fwhm_mm, [1.0, 4.0, 3.0])


def test_one_relative_error_is_shared_and_three_are_independent():
    one, three = PointSpread(PsfShape.GAUSSIAN, 2.0, 0.1), PointSpread(PsfShape.GAUSSIAN, 2.0, (0.1, 0.2, 0.0))
    np.testing.assert_allclose(one.relative_covariance, np.full((3, 3), 0.01))
    np.testing.assert_allclose(three.relative_covariance, np.diag([0.01, 0.04, 0.0]))
    np.testing.assert_allclose(one.widened(1.5).relative_covariance, np.full((3, 3), 0.01))


@BOTH
def test_the_slope_of_the_blur_is_its_change_under_another_width(shape):
    grid = Grid.from_spacing((11, 13, 15), (1.0, 0.9, 0.7))
    source = np.zeros(grid.shape)
    source[4:8, 3:9, 6:8] = 1.0
    psf = PointSpread(shape, (2.5, 3.0, 2.2))
    for axis, slope in enumerate(psf.blur_slopes(source, grid)):
        factor = np.ones(3)
        factor[axis] = 1.01
        change = psf.widened(factor).blur(source, grid) - psf.widened(2 - factor).blur(source, grid)
        np.testing.assert_allclose(slope, change / 0.02, atol=2e-3 * np.abs(slope).max())


@BOTH
def test_a_small_source_in_a_wide_field_is_blurred_as_in_a_field_full_of_nothing_else(shape):
    grid = Grid.from_spacing((20, 21, 22), 1.0)
    rng = np.random.default_rng(0)
    everywhere, small = rng.random(grid.shape), np.zeros(grid.shape)
    small[3:6, 15:21, 0:2] = rng.random((3, 6, 2))
    psf = PointSpread(shape, (2.0, 0.0, 3.0))
    together = psf.blur(everywhere + small, grid)
    np.testing.assert_allclose(psf.blur(small, grid), together - psf.blur(everywhere, grid), atol=1e-12)
    assert not psf.blur(np.zeros(grid.shape), grid).any()


@pytest.mark.parametrize("fwhm_mm", [-1.0, np.nan, np.inf, (1.0, -2.0, 3.0)])
def test_a_width_that_is_none_is_refused(fwhm_mm):
    with pytest.raises(MeasurementError):
        PointSpread(PsfShape.GAUSSIAN, fwhm_mm)


@pytest.mark.parametrize("relative_sd", [-0.1, np.nan, (0.1, -0.1, 0.0)])
def test_a_relative_error_below_zero_is_refused(relative_sd):
    with pytest.raises(MeasurementError):
        PointSpread(PsfShape.GAUSSIAN, 2.0, relative_sd)
