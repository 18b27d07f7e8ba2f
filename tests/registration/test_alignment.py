"""What an alignment carries, how alignments chain, and how they are kept in files."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError, FrameMismatchError, OutputExistsError
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.registration.alignment import Alignment, Verdict, chain, rotation_from_vector
from napari_mpi_track.registration.alignment_files import load_alignment, save_alignment
from napari_mpi_track.registration.evidence import FiducialEvidence, ImageEvidence


def some_alignment(seed: int, source: str = "ct", target: str = "mpi", verdict: Verdict = Verdict.GOOD) -> Alignment:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=seed).as_matrix()
    factor = rng.standard_normal((6, 6)) * np.array([0.003] * 3 + [0.05] * 3)[:, None]
    return Alignment(
        Transform.from_parts(rotation, rng.uniform(-40, 40, 3), source, target),
        method="fiducials",
        verdict=verdict,
        reason="four fiducials",
        error_covariance=factor @ factor.T,
        centre_mm=rng.uniform(-20, 20, 3),
        images=ImageEvidence("mutual information", 0.1, 0.5, (0.2, 0.5), 0.3, 12.0, 0.9, None),
        fiducials=FiducialEvidence(
            Points(["a", "b"], rng.standard_normal((2, 3)), source),
            Points(["1", "2"], rng.standard_normal((2, 3)), target),
            np.array([0.1, 0.2]),
            np.array([np.nan, 0.3]),
        ),
        measured_at="2026-03-01T09:30:00+01:00",
        expected_target_error_mm=0.07,
        seconds=1.5,
        warnings=("said",),
    )


def test_a_saved_alignment_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    for seed in range(5):
        alignment = some_alignment(seed)
        save_alignment(alignment, tmp_path / "t.tfm", overwrite=True)
        back = load_alignment(tmp_path / "t.tfm")
        for name in Alignment.__dataclass_fields__:
            one, other = getattr(alignment, name), getattr(back, name)
            if name == "moving_from_fixed":
                assert np.array_equal(one.target_from_source, other.target_from_source)
                assert (one.source_frame, one.target_frame) == (other.source_frame, other.target_frame)
            elif name == "fiducials":
                assert one.pairs == other.pairs
                for side in ("fixed", "moving"):
                    assert np.array_equal(getattr(one, side).positions_mm, getattr(other, side).positions_mm)
                    assert getattr(one, side).frame == getattr(other, side).frame
                assert np.array_equal(one.residuals_mm, other.residuals_mm)
                assert np.array_equal(one.leave_one_out_mm, other.leave_one_out_mm, equal_nan=True)
            elif isinstance(one, np.ndarray):
                assert np.array_equal(one, other)
            else:
                assert one == other


def test_the_saved_transform_maps_fixed_to_moving_points_in_itk(tmp_path: Path) -> None:
    alignment = some_alignment(3)
    save_alignment(alignment, tmp_path / "t.tfm")
    transform = sitk.ReadTransform(str(tmp_path / "t.tfm"))
    point = (3.0, -4.0, 5.5)
    np.testing.assert_allclose(transform.TransformPoint(point), alignment.moving_from_fixed.map(point), atol=1e-12)


def test_what_is_not_known_is_null_in_the_file(tmp_path: Path) -> None:
    alignment = Alignment(Transform.identity(), "frame", images=ImageEvidence("correlation", 0.0, float("nan")))
    save_alignment(alignment, tmp_path / "t.tfm")
    stated = json.loads((tmp_path / "t.json").read_text())
    assert stated["images"]["after"] is None
    assert stated["error_covariance"] is None


def test_a_transform_without_its_description_has_unknown_frames_and_says_so(tmp_path: Path) -> None:
    euler = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0))
    sitk.WriteTransform(euler, str(tmp_path / "slicer.tfm"))
    back = load_alignment(tmp_path / "slicer.tfm")
    assert back.moving_from_fixed.source_frame is None
    assert "unknown" in back.warnings[0]
    np.testing.assert_allclose(back.moving_from_fixed.map((7.0, 8.0, 9.0)), euler.TransformPoint((7, 8, 9)), atol=1e-12)


def test_files_at_fault_and_files_that_are_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tfm").write_text("no transform")
    with pytest.raises(AlignmentError, match="not an ITK transform"):
        load_alignment(tmp_path / "text.tfm")
    with pytest.raises(AlignmentError, match="no such transform"):
        load_alignment(tmp_path / "absent.tfm")
    save_alignment(some_alignment(1), tmp_path / "t.tfm")
    with pytest.raises(OutputExistsError):
        save_alignment(some_alignment(2), tmp_path / "t.tfm")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(AlignmentError, match="cannot be read"):
        load_alignment(tmp_path / "t.tfm")


def test_drawn_transforms_scatter_as_the_target_error_says() -> None:
    alignment = some_alignment(7)
    points = np.array([[10.0, -20.0, 30.0], [0.0, 0.0, 0.0]])
    drawn = np.stack([t.map(points) for t in alignment.drawn(4000, seed=1)])
    scatter = np.sqrt(np.mean(np.sum((drawn - alignment.moving_from_fixed.map(points)) ** 2, axis=2), axis=0))
    # 4000 draws know a root mean square to about 1.5 %.
    np.testing.assert_allclose(scatter, alignment.target_error_mm(points), rtol=0.05)
    again = alignment.drawn(2, seed=1)
    assert np.array_equal(again[1].target_from_source, alignment.drawn(2, seed=1)[1].target_from_source)


def test_a_chain_composes_transforms_and_errors_as_draws_of_both_do() -> None:
    inner, outer = some_alignment(1, "a", "b"), some_alignment(2, "b", "c", Verdict.DOUBTFUL)
    whole = chain(outer, inner)
    point = np.array([[12.0, -7.0, 33.0]])
    np.testing.assert_allclose(
        whole.moving_from_fixed.map(point), outer.moving_from_fixed.map(inner.moving_from_fixed.map(point))
    )
    draws = [
        second.map(first.map(point)) for first, second in zip(inner.drawn(4000, 1), outer.drawn(4000, 2), strict=True)
    ]
    scatter = np.sqrt(np.mean(np.sum((np.stack(draws) - whole.moving_from_fixed.map(point)) ** 2, axis=(1, 2))))
    assert whole.target_error_mm(point)[0] == pytest.approx(scatter, rel=0.05)
    assert whole.verdict is Verdict.DOUBTFUL
    assert (whole.moving_from_fixed.source_frame, whole.moving_from_fixed.target_frame) == ("a", "c")


def test_a_chain_across_other_frames_is_refused() -> None:
    with pytest.raises(FrameMismatchError):
        chain(some_alignment(1, "a", "b"), some_alignment(2, "x", "c"))


def test_an_unknown_error_is_not_zero() -> None:
    alignment = Alignment(Transform.identity("a", "b"), "file")
    assert np.isnan(alignment.target_error_mm([0.0, 0.0, 0.0])[0])
    with pytest.raises(AlignmentError, match="not known"):
        alignment.drawn(1, 0)
    assert chain(some_alignment(1, "b", "c"), alignment).error_covariance is None


def test_a_rotation_vector_turns_as_scipy_says() -> None:
    for seed in range(5):
        vector = np.random.default_rng(seed).standard_normal(3)
        np.testing.assert_allclose(rotation_from_vector(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
    assert np.array_equal(rotation_from_vector(np.zeros(3)), np.eye(3))
