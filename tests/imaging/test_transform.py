"""Transforms compose by name, come back, and are ITK's."""

import pickle

import numpy as np
import pytest
import SimpleITK as sitk
from assertions import assert_frozen
from hypothesis import given, settings
from strategies import affine_transforms, rigid_transforms, seeds

from napari_mpi_track.errors import AlignmentError, FrameMismatchError
from napari_mpi_track.imaging.itk import from_itk_transform, to_itk_transform
from napari_mpi_track.imaging.transform import Transform

quick = settings(deadline=None, max_examples=25)


def _points(seed):
    return np.random.default_rng(seed).uniform(-300, 300, (5, 3))


@given(affine_transforms("ct", "mpi"), affine_transforms("mpi", "pet"), seeds())
@quick
def test_a_chain_does_first_what_stands_last(mpi_from_ct, pet_from_mpi, seed):
    points = _points(seed)
    chained = pet_from_mpi @ mpi_from_ct
    np.testing.assert_allclose(chained.map(points), pet_from_mpi.map(mpi_from_ct.map(points)), atol=1e-8)
    assert (chained.source_frame, chained.target_frame) == ("ct", "pet")


@given(affine_transforms("ct", "mpi"), seeds())
@quick
def test_the_inverse_leads_back_and_swaps_the_frames(mpi_from_ct, seed):
    points = _points(seed)
    back = mpi_from_ct.inverse()
    np.testing.assert_allclose(back.map(mpi_from_ct.map(points)), points, atol=1e-8)
    assert (back.source_frame, back.target_frame) == ("mpi", "ct")
    round_trip = back @ mpi_from_ct
    np.testing.assert_allclose(round_trip.target_from_source, np.eye(4), atol=1e-9)


@given(affine_transforms(), affine_transforms())
@quick
def test_what_does_not_meet_in_one_named_frame_is_not_chained(first, second):
    for outer, inner in (
        (second.between("b", "c"), first.between("a", "other")),
        (second.between(None, "c"), first.between("a", None)),
        (second.between("b", "c"), first.between("a", None)),
        (second.between(None, "c"), first.between("a", "b")),
    ):
        with pytest.raises(FrameMismatchError, match="cannot chain"):
            outer @ inner


@given(affine_transforms("ct", "mpi"), seeds())
@quick
def test_itk_maps_every_point_the_same_and_gives_the_transform_back(mpi_from_ct, seed):
    points = _points(seed)
    by_itk = to_itk_transform(mpi_from_ct)
    expected = [by_itk.TransformPoint([float(x) for x in point]) for point in points]
    np.testing.assert_allclose(mpi_from_ct.map(points), expected, atol=1e-9)
    again = from_itk_transform(by_itk, "ct", "mpi")
    np.testing.assert_allclose(again.target_from_source, mpi_from_ct.target_from_source, atol=1e-12)
    assert (again.source_frame, again.target_frame) == ("ct", "mpi")


@given(rigid_transforms(), seeds())
@quick
def test_itks_rigid_transform_about_a_centre_and_composites_come_in_as_one_matrix(rigid, seed):
    centre = _points(seed)[0]
    euler = sitk.Euler3DTransform()
    euler.SetCenter([float(x) for x in centre])
    euler.SetRotation(0.3, -0.2, 1.1)
    euler.SetTranslation((3.0, -2.0, 1.0))
    composite = sitk.CompositeTransform([to_itk_transform(rigid), euler])
    for itk in (euler, composite):
        ours = from_itk_transform(itk)
        point = _points(seed + 1)[0]
        np.testing.assert_allclose(ours.map(point), itk.TransformPoint([float(x) for x in point]), atol=1e-9)
        assert ours.is_rigid


def test_a_transform_that_is_not_in_space_or_not_smooth_is_refused():
    field = sitk.DisplacementFieldTransform(sitk.Image((4, 4, 4), sitk.sitkVectorFloat64))
    quadratic = sitk.BSplineTransformInitializer(sitk.Image(8, 8, 8, sitk.sitkUInt8), [2, 2, 2], 2)
    two = sitk.CompositeTransform(
        [sitk.BSplineTransformInitializer(sitk.Image(8, 8, 8, sitk.sitkUInt8), [2, 2, 2])] * 2
    )
    for itk, fault in (
        (sitk.Euler2DTransform(), "in 3-D was needed"),
        (field, "DisplacementFieldTransform is neither linear nor a B-spline"),
        (quadratic, "of order 2"),
        (two, "two deformed transforms"),
    ):
        with pytest.raises(AlignmentError, match=fault):
            from_itk_transform(itk)


@given(rigid_transforms())
@quick
def test_rigid_is_a_rotation_and_a_shift_and_nothing_else(rigid):
    assert rigid.is_rigid
    for linear in (np.diag([1.0, 1.0, -1.0]), np.eye(3) * 1.001, np.array([[1, 0.01, 0], [0, 1, 0], [0, 0, 1.0]])):
        changed = Transform.from_parts(linear @ rigid.target_from_source[:3, :3], (0, 0, 0))
        assert not changed.is_rigid


def test_a_transform_that_cannot_be_undone_is_refused():
    for matrix in (
        np.zeros((4, 4)),
        np.diag([1.0, 1.0, 0.0, 1.0]),
        np.eye(3),
        np.eye(4) * np.nan,
        np.diag([1, 1, 1, 2]),
    ):
        with pytest.raises(AlignmentError):
            Transform(matrix)


@given(affine_transforms("ct", "mpi"))
@quick
def test_a_transform_survives_pickling_and_stays_frozen(mpi_from_ct):
    again = pickle.loads(pickle.dumps(mpi_from_ct))
    np.testing.assert_array_equal(again.target_from_source, mpi_from_ct.target_from_source)
    assert (again.source_frame, again.target_frame) == ("ct", "mpi")
    assert_frozen(again.target_from_source)


def test_the_identity_is_the_users_word_that_two_frames_are_one():
    same = Transform.identity("ct", "mpi")
    np.testing.assert_array_equal(same.map([[1.0, 2.0, 3.0]]), [[1.0, 2.0, 3.0]])
    assert (same.source_frame, same.target_frame) == ("ct", "mpi")
