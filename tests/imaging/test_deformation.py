"""Displacements are ITK's, their slopes are their own, and chains with affines stay exact."""

import pickle

import numpy as np
import pytest
from assertions import assert_frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import affine_transforms, any_grids_of, deformations, rigid_transforms, seeds, shapes

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.itk import from_itk_transform, to_itk_transform
from napari_mpi_track.imaging.transform import Transform

quick = settings(deadline=None, max_examples=25)


def points_about(grid, seed, count=40):
    """Points in and around a lattice, LPS mm, none of them on the face where ITK's rounding decides."""
    index = np.random.default_rng(seed).uniform(-1.0, np.array(grid.shape), (count, 3))
    at_face = np.isclose(index, 1.0, atol=1e-6) | np.isclose(index, np.array(grid.shape) - 2.0, atol=1e-6)
    return grid.lps_from(index + 1e-3 * at_face)


def by_itk(transform, points):
    itk = to_itk_transform(transform)
    return np.array([itk.TransformPoint([float(x) for x in point]) for point in points])


@given(deformations(), affine_transforms("ct", "mpi"), seeds())
@quick
def test_itk_displaces_every_point_the_same_inside_the_lattice_and_beyond(deformation, affine, seed):
    points = points_about(deformation.grid, seed)
    deformed = Transform(affine.target_from_source, "ct", "mpi", deformation)
    np.testing.assert_allclose(deformed.map(points), by_itk(deformed, points), atol=1e-8)
    outside = ~deformation.covers(points)
    np.testing.assert_array_equal(deformation.displacement(points)[outside], 0)
    assert outside.any()


@given(deformations(), seeds())
@quick
def test_itk_has_the_same_jacobian(deformation, seed):
    points = points_about(deformation.grid, seed)
    # By finite differences, since SimpleITK gives no Jacobian of a point away.
    step = 1e-5 * float(deformation.grid.spacing_mm.min())
    transform = Transform(np.eye(4), deformation=deformation)
    ends = [by_itk(transform, points + sign * step * axis) for axis in np.eye(3) for sign in (1, -1)]
    slopes = np.stack([(ends[2 * k] - ends[2 * k + 1]) / (2 * step) for k in range(3)], axis=-1)
    smooth = deformation.covers(points)
    for axis in np.eye(3):
        smooth &= deformation.covers(points + step * axis) & deformation.covers(points - step * axis)
    np.testing.assert_allclose(transform.jacobian(points)[smooth], slopes[smooth], atol=1e-6)
    np.testing.assert_allclose(transform.volume_change(points)[smooth], np.linalg.det(slopes[smooth]), atol=1e-5)


def test_a_linear_lattice_stretches_by_exactly_its_slope():
    grid = Grid.from_spacing((6, 5, 7), (2.0, 3.0, 1.5), (-4.0, 8.0, 1.0))
    # Cubic splines reproduce linear functions: u = S (x - x0) everywhere inside.
    stretch = np.array([[0.1, 0.02, 0.0], [0.0, -0.2, 0.05], [0.03, 0.0, 0.3]])
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    vectors = np.moveaxis(grid.lps_from(index) @ stretch.T, -1, 0)
    inside = grid.lps_from(np.random.default_rng(0).uniform(1, np.array(grid.shape) - 2, (50, 3)))
    deformation = Deformation(grid, vectors)
    np.testing.assert_allclose(deformation.displacement(inside), inside @ stretch.T, atol=1e-12)
    np.testing.assert_allclose(deformation.gradient(inside), np.broadcast_to(stretch, (50, 3, 3)), atol=1e-12)
    change = Transform(np.eye(4), deformation=deformation).volume_change(inside)
    np.testing.assert_allclose(change, np.linalg.det(np.eye(3) + stretch), atol=1e-12)


def test_points_on_the_first_and_on_the_last_face_are_displaced():
    grid = Grid.from_spacing((5, 6, 7), (0.7, 0.9, 1.1), (0.3, -0.2, 0.1))
    deformation = Deformation(grid, np.full((3, 5, 6, 7), 0.5))
    faces = grid.lps_from([[1, 1, 1], [3, 4, 5], [1, 4, 3]])
    np.testing.assert_allclose(deformation.displacement(faces), 0.5, atol=1e-12)
    np.testing.assert_array_equal(deformation.displacement(grid.lps_from([[0.99, 2, 2], [2, 2, 5.01]])), 0)


@given(deformations(), affine_transforms("a", "b"), affine_transforms("b", "c"), affine_transforms("c", "d"), seeds())
@quick
def test_affines_on_either_side_of_a_deformation_chain_exactly(deformation, first, middle, last, seed):
    deformed = Transform(middle.target_from_source, "b", "c", deformation)
    points = points_about(deformation.grid, seed)
    before = first.search_back(points)[0]
    chained = last @ deformed @ first
    np.testing.assert_allclose(chained.map(before), last.map(deformed.map(first.map(before))), atol=1e-8)
    assert (chained.source_frame, chained.target_frame) == ("a", "d")
    np.testing.assert_allclose(
        chained.jacobian(before),
        last.target_from_source[:3, :3] @ deformed.jacobian(points) @ first.target_from_source[:3, :3],
        atol=1e-8,
    )


@given(deformations(), rigid_transforms("ct", "mpi"), seeds())
@quick
def test_the_way_back_leads_to_where_a_point_came_from(deformation, rigid, seed):
    deformed = Transform(rigid.target_from_source, "ct", "mpi", deformation)
    size = np.array(deformation.grid.shape)
    points = deformation.grid.lps_from(np.random.default_rng(seed).uniform(1.3, size - 2.3, (60, 3)))
    found = deformed.map_back(deformed.map(points))
    # 1e-6 mm is what the search stops at; a slope of up to 1 - 0.3 spreads it.
    np.testing.assert_allclose(found, points, atol=5e-6)


def test_a_point_that_nothing_is_mapped_to_is_said_to_be_so():
    grid = Grid.from_spacing((6, 6, 6), 1.0)
    # The whole inside moves 0.5 mm along x: what it leaves behind at x = 1 to 1.5 is reached from nowhere.
    vectors = np.zeros((3, 6, 6, 6))
    vectors[0] = 0.5
    leaping = Transform(np.eye(4), deformation=Deformation(grid, vectors))
    found, is_found = leaping.search_back([[1.2, 2.0, 2.0], [2.0, 2.0, 2.0], [-3.0, 2.0, 2.0]])
    np.testing.assert_array_equal(is_found, [False, True, True])
    np.testing.assert_allclose(found[1:], [[1.5, 2.0, 2.0], [-3.0, 2.0, 2.0]], atol=1e-6)
    with pytest.raises(AlignmentError, match=r"1 of 3 points have no way back.*\(1.20, 2.00, 2.00\)"):
        leaping.map_back([[1.2, 2.0, 2.0], [2.0, 2.0, 2.0], [-3.0, 2.0, 2.0]])


@given(deformations(), affine_transforms("ct", "mpi"))
@quick
def test_a_deformed_transform_has_no_inverse_and_is_not_rigid(deformation, affine):
    deformed = Transform(affine.target_from_source, "ct", "mpi", deformation)
    assert not Transform(np.eye(4), deformation=deformation).is_rigid
    with pytest.raises(AlignmentError, match="no exact inverse"):
        deformed.inverse()
    with pytest.raises(AlignmentError, match="two deformed transforms"):
        deformed.between("mpi", "pet") @ deformed


@given(deformations(), affine_transforms("ct", "mpi"))
@quick
def test_a_deformed_transform_comes_back_from_itk_to_the_last_bit(deformation, affine):
    deformed = Transform(affine.target_from_source, "ct", "mpi", deformation)
    again = from_itk_transform(to_itk_transform(deformed), "ct", "mpi")
    np.testing.assert_array_equal(again.target_from_source, deformed.target_from_source)
    np.testing.assert_array_equal(again.deformation.coefficients_mm, deformation.coefficients_mm)
    np.testing.assert_array_equal(again.deformation.grid.lps_from_index, deformation.grid.lps_from_index)


@given(deformations())
@quick
def test_a_deformation_survives_pickling_and_stays_frozen(deformation):
    again = pickle.loads(pickle.dumps(Transform(np.eye(4), "ct", "mpi", deformation)))
    np.testing.assert_array_equal(again.deformation.coefficients_mm, deformation.coefficients_mm)
    assert_frozen(again.deformation.coefficients_mm)


@given(any_grids_of(shapes(2, 5)), st.sampled_from([0.0, np.nan]))
@quick
def test_a_lattice_too_small_or_without_numbers_is_refused(grid, value):
    for vectors in (np.full((3, *grid.shape), value), np.zeros(grid.shape)):
        if min(grid.shape) >= 4 and vectors.ndim == 4 and np.isfinite(value):
            Deformation(grid, vectors)
            continue
        with pytest.raises(AlignmentError, match="a deformation needs"):
            Deformation(grid, vectors)
