"""Transform files round-trip to the last bit; those of ITK, elastix and 3D Slicer are read in the same place."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from strategies import affine_transforms, deformations, seeds

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.registration.alignment import Alignment, chain
from napari_mpi_track.registration.alignment_files import load_alignment, save_alignment

with_folder = settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])

HEAD = "#Insight Transform File V1.0\n"


def text_file(folder: Path, *transforms: tuple[str, str, str]) -> Path:
    """A file as 3D Slicer and ITK write it, one entry for every transform."""
    path = folder / "slicer.tfm"
    entries = [
        f"#Transform {k}\nTransform: {kind}\nParameters: {numbers}\nFixedParameters: {fixed}\n"
        for k, (kind, numbers, fixed) in enumerate(transforms)
    ]
    path.write_text(HEAD + "".join(entries))
    return path


def as_itk_maps(path: Path, points: np.ndarray) -> np.ndarray:
    itk = sitk.ReadTransform(str(path))
    return np.array([itk.TransformPoint(point) for point in points.tolist()])


def points_mm(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-60, 60, (20, 3))


@pytest.mark.parametrize("ending", [".tfm", ".txt", ".h5"])
@given(transform=affine_transforms("ct", "mpi"), deformation=deformations())
@with_folder
def test_what_is_written_comes_back_to_the_last_bit(tmp_path, ending, transform, deformation):
    deformed = replace(transform, deformation=deformation)
    path = tmp_path / f"t{ending}"
    for written in (transform, deformed):
        model = "affine" if written is transform else "bspline"
        save_alignment(Alignment(written, "file", model), path, overwrite=True)
        read = load_alignment(path).moving_from_fixed
        np.testing.assert_array_equal(read.target_from_source, written.target_from_source)
        assert (read.source_frame, read.target_frame) == ("ct", "mpi")
        if written is deformed:
            np.testing.assert_array_equal(read.deformation.coefficients_mm, deformation.coefficients_mm)
            np.testing.assert_array_equal(read.deformation.grid.lps_from_index, deformation.grid.lps_from_index)
            points = deformation.grid.lps_from(np.random.default_rng(0).uniform(1.01, 1.99, (10, 3)))
            np.testing.assert_allclose(as_itk_maps(path, points), deformed.map(points), atol=1e-8)


def linear_transforms() -> list[sitk.Transform]:
    """One of every linear kind of ITK, about a centre where it has one."""
    centre, shift = (3.0, -7.0, 11.0), (1.0, 2.0, -4.0)
    versor = (0.0, 0.6, 0.8)
    euler = sitk.Euler3DTransform(centre, 0.1, -0.2, 0.3, shift)
    euler_zyx = sitk.Euler3DTransform(centre, 0.1, -0.2, 0.3, shift)
    euler_zyx.SetComputeZYX(True)
    similarity = sitk.Similarity3DTransform(1.1, versor, 0.4, shift, centre)
    scale_versor = sitk.ScaleVersor3DTransform((1.1, 0.9, 1.2), versor, 0.4, shift, centre)
    skew = sitk.ScaleSkewVersor3DTransform((1.1, 0.9, 1.2), (0.01, 0.02, 0.03, 0, 0, 0.1), versor, 0.4, shift, centre)
    affine = sitk.AffineTransform((1.1, 0.1, 0, 0, 0.9, 0.2, 0.05, 0, 1.0), shift, centre)
    return [
        euler,
        euler_zyx,
        sitk.VersorTransform(versor, 0.4, centre),
        sitk.VersorRigid3DTransform(versor, 0.4, shift, centre),
        similarity,
        scale_versor,
        skew,
        affine,
        sitk.TranslationTransform(3, shift),
        sitk.ScaleTransform(3, (1.1, 0.9, 1.2)),
        sitk.CompositeTransform([affine, euler, similarity]),
    ]


@pytest.mark.parametrize("itk", linear_transforms(), ids=lambda itk: itk.GetName())
@pytest.mark.parametrize("ending", [".tfm", ".h5"])
def test_every_linear_kind_of_itk_is_read_in_its_place_and_kept(tmp_path, itk, ending):
    path = tmp_path / f"itk{ending}"
    sitk.WriteTransform(itk, str(path))
    read = load_alignment(path)
    np.testing.assert_allclose(read.moving_from_fixed.map(points_mm()), as_itk_maps(path, points_mm()), atol=1e-10)
    save_alignment(read, tmp_path / "again.h5")
    again = load_alignment(tmp_path / "again.h5").moving_from_fixed
    np.testing.assert_array_equal(again.target_from_source, read.moving_from_fixed.target_from_source)


@given(deformation=deformations(), before=affine_transforms(), after=affine_transforms(), seed=seeds())
@with_folder
def test_a_composite_with_affines_on_both_sides_is_read_in_its_place(tmp_path, deformation, before, after, seed):
    # elastix puts the affine start first and the B-spline after it; SimpleITK's registration the other way round.
    grid = deformation.grid
    alone = Transform(np.eye(4), "b", "c", deformation)
    save_alignment(Alignment(alone, "file", "bspline"), tmp_path / "alone.h5", overwrite=True)
    bspline = sitk.CompositeTransform(sitk.ReadTransform(str(tmp_path / "alone.h5"))).GetNthTransform(1)
    itk = [sitk.AffineTransform(3), sitk.AffineTransform(3)]
    for affine, ours in zip(itk, (after, before), strict=True):
        affine.SetMatrix(ours.target_from_source[:3, :3].ravel().tolist())
        affine.SetTranslation(ours.target_from_source[:3, 3].tolist())
    path = tmp_path / "composite.h5"
    sitk.WriteTransform(sitk.CompositeTransform([itk[0], bspline, itk[1]]), str(path))
    inside = grid.lps_from(np.random.default_rng(seed).uniform(1.05, np.array(grid.shape) - 2.05, (15, 3)))
    points = before.search_back(inside)[0]
    read = load_alignment(path)
    assert read.model == "bspline"
    np.testing.assert_allclose(read.moving_from_fixed.map(points), as_itk_maps(path, points), atol=1e-7)


def test_a_linear_transform_of_3d_slicer_maps_fixed_points_to_moving_points(tmp_path):
    # What Slicer writes for 90 degrees about S with 10 mm to the left: from the parent (fixed), LPS, centre at 0.
    path = text_file(tmp_path, ("AffineTransform_double_3_3", "0 -1 0 1 0 0 0 0 1 10 0 -2.5", "0 0 0"))
    read = load_alignment(path)
    np.testing.assert_allclose(read.moving_from_fixed.map([[1.0, 2.0, 3.0]]), [[8.0, 1.0, 0.5]], atol=1e-12)
    assert read.model == "rigid"
    assert "no .json beside it" in read.warnings[0]


def test_a_bspline_of_3d_slicer_is_read_in_its_place(tmp_path):
    rng = np.random.default_rng(1)
    numbers = " ".join(str(v) for v in rng.normal(0, 1, 3 * 5 * 6 * 7))
    # Slicer's own lattice: size, origin of the control points, spacing, directions (LPS, here a patient on the side).
    lattice = "5 6 7 -30 20 -10 12 10 9 0 -1 0 1 0 0 0 0 1"
    path = text_file(tmp_path, ("BSplineTransform_double_3_3", numbers, lattice))
    read = load_alignment(path).moving_from_fixed
    points = read.deformation.grid.lps_from(rng.uniform(1.05, [4.95, 3.95, 2.95], (30, 3)))
    np.testing.assert_allclose(read.map(points), as_itk_maps(path, points), atol=1e-9)
    np.testing.assert_array_equal(read.deformation.grid.origin_mm, [-30, 20, -10])
    assert np.abs(read.map(points) - points).max() > 0.1


def test_what_cannot_be_kept_exactly_is_refused_by_name(tmp_path):
    nothing, lattice = " ".join(["0"] * 192), "4 4 4 0 0 0 1 1 1 1 0 0 0 1 0 0 0 1"
    affine = ("AffineTransform_double_3_3", "1 0 0 0 1 0 0 0 1 0 0 0", "0 0 0")
    for entries, fault in (
        ([("InverseBSplineTransform_double_3_3", nothing, lattice)], "InverseBSplineTransform.*no exact form.*Slicer"),
        ([("BSplineDeformableTransform_double_3_3", nothing, lattice), affine], "2 transforms side by side.*harden"),
        (
            [("BSplineDeformableTransform_double_3_3", nothing, lattice)],
            "BSplineDeformable.*not one.*version 3",
        ),
        ([affine, affine], "2 transforms side by side"),
        ([("BSplineTransform_double_3_3_2", nothing, lattice)], "order 2.*order 3"),
        ([("AffineTransform_double_2_2", "1 0 0 1 0 0", "0 0")], "3-D was needed"),
        ([("ThinPlateSplineKernelTransform_double_3_3", "1 2 3", "0 0 0")], "ThinPlateSpline.*not one we have"),
        ([("ComposeScaleSkewVersor3DTransform_double_3_3", ".1 .2 .3 1 2 3 1 1 1 0 0 0", "0 0 0")], "Compose"),
        ([("MadeUpTransform_double_3_3", "1 2 3", "0 0 0")], "the kind MadeUpTransform_double_3_3 cannot be read"),
    ):
        with pytest.raises(AlignmentError, match=fault):
            load_alignment(text_file(tmp_path, *entries))


def test_a_displacement_field_is_refused_by_name(tmp_path):
    field = sitk.DisplacementFieldTransform(sitk.Image((4, 4, 4), sitk.sitkVectorFloat64))
    for ending in (".h5", ".tfm"):
        sitk.WriteTransform(field, str(tmp_path / f"field{ending}"))
        with pytest.raises(AlignmentError, match=r"DisplacementFieldTransform.*BSplineTransform"):
            load_alignment(tmp_path / f"field{ending}")
    (tmp_path / "broken.h5").write_bytes(b"no hdf5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["voxels"] = np.zeros(3)
    for name in ("broken.h5", "other.h5"):
        with pytest.raises(AlignmentError, match="not an ITK transform"):
            load_alignment(tmp_path / name)


@given(deformation=deformations(), rigid=affine_transforms("ct", "day 0"))
@with_folder
def test_a_deformed_step_chains_with_the_scanners_and_errors_add(tmp_path, deformation, rigid):
    middle = deformation.grid.centre_mm
    square = np.diag([0.0, 0, 0, 0.01, 0.01, 0.01])
    deformed = Alignment(
        replace(rigid, deformation=deformation), "intensity", "bspline", error_covariance=square, centre_mm=middle
    )
    bed = Alignment(
        Transform.identity("mpi", "ct"), "fiducials", error_covariance=square, centre_mm=middle, reason="the bed"
    )
    whole = chain(deformed, bed)
    assert whole.model == "bspline"
    # Two steps of 0.1 mm per axis each: sqrt(2 * 3) * 0.1 mm, whatever the second step deforms.
    assert whole.target_error_mm(middle[None])[0] == pytest.approx(0.1 * np.sqrt(6), rel=1e-6)
    assert np.isfinite(whole.drawn(1, 0)[0].map(middle)).all()
    save_alignment(whole, tmp_path / "chain.tfm", overwrite=True)
    assert load_alignment(tmp_path / "chain.tfm").model == "bspline"
    with pytest.raises(AlignmentError, match="two deformed"):
        chain(replace(deformed, moving_from_fixed=deformed.moving_from_fixed.between("day 0", "x")), deformed)
