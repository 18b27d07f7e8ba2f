"""Fiducials: closed form, pairing, detection and the error that is stated."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError, FrameMismatchError, TableError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Verdict
from napari_mpi_track.registration.markers.closed_form import closed_form
from napari_mpi_track.registration.markers.fiducials import Markers, align_fiducials, error_covariance, markers_given

LAYOUT = np.array([[13.5, 2, 22], [-13.8, -1, 9], [12.6, -3.5, -15], [-2.5, -13, -28]])


def posed(seed: int, degrees: float = 180.0) -> Transform:
    rng = np.random.default_rng(seed)
    rotation = Rotation.from_rotvec(np.radians(rng.uniform(0, degrees)) * _unit(rng)).as_matrix()
    return Transform.from_parts(rotation, rng.uniform(-30, 30, 3))


def _unit(rng: np.random.Generator) -> np.ndarray:
    axis = rng.standard_normal(3)
    return axis / np.linalg.norm(axis)


def given_points(positions: np.ndarray, prefix: str = "p") -> Points:
    return Points([f"{prefix}{k}" for k in range(len(positions))], positions)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.8, 1.25))
def test_the_closed_form_agrees_with_scipy_and_finds_the_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    here, pose = rng.uniform(-20, 20, (5, 3)), posed(seed)
    linear = scale * pose.target_from_source[:3, :3]
    there = here @ linear.T + 3.0
    found, translation = closed_form(here[None], there[None], scaled=True)
    np.testing.assert_allclose(found[0], linear, atol=1e-9)
    np.testing.assert_allclose(translation[0], 3.0, atol=1e-8)
    noisy = pose.map(here) + rng.normal(0, 0.5, here.shape)
    rigid, _ = closed_form(here[None], noisy[None], scaled=False)
    oracle, _ = Rotation.align_vectors(noisy - noisy.mean(axis=0), here - here.mean(axis=0))
    np.testing.assert_allclose(rigid[0], oracle.as_matrix(), atol=1e-7)


def test_a_mirrored_scan_is_never_fitted_by_a_mirror() -> None:
    there = LAYOUT * [1, 1, -1]
    linear, _ = closed_form(LAYOUT[None], there[None], scaled=False)
    assert np.linalg.det(linear[0]) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(8))
def test_markers_are_paired_without_names_among_extra_points_and_with_one_missing(seed: int) -> None:
    rng, pose = np.random.default_rng(seed), posed(seed)
    markers = np.vstack([LAYOUT, [[3, 13.5, 5]]])
    extra = rng.uniform(-30, 30, (6, 3))
    here = np.vstack([markers, extra[:3]])[rng.permutation(8)]
    there = pose.map(np.vstack([markers[1:], rng.uniform(-30, 30, (5, 3))]))[rng.permutation(9)]
    there = there + rng.normal(0, 0.06, there.shape)
    found = align_fiducials(markers_given(given_points(here, "ct ")), markers_given(given_points(there, "mpi ")))
    np.testing.assert_allclose(found.moving_from_fixed.map(LAYOUT), pose.map(LAYOUT), atol=0.6)
    assert found.verdict is Verdict.GOOD, found.reason


def test_points_of_shared_names_are_paired_by_name_in_any_order() -> None:
    pose = posed(4)
    fixed = Points(["a", "b", "c", "d"], LAYOUT)
    moving = Points(["d", "a", "c", "b"], pose.map(LAYOUT)[[3, 0, 2, 1]])
    found = align_fiducials(markers_given(fixed), markers_given(moving))
    assert found.fiducials is not None
    assert found.fiducials.pairs == (("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"))
    np.testing.assert_allclose(found.moving_from_fixed.target_from_source, pose.target_from_source, atol=1e-9)


def test_a_symmetric_layout_is_said_to_be_ambiguous() -> None:
    square = np.array([[10.0, 10, 0], [10, -10, 0], [-10, -10, 0], [-10, 10, 0]])
    there = posed(1).map(square)
    found = align_fiducials(markers_given(given_points(square, "a")), markers_given(given_points(there, "b")))
    assert found.verdict is Verdict.DOUBTFUL
    assert "ambiguous" in found.reason
    assert any("one plane" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("positions", "said"),
    [(LAYOUT[:2], "three fiducials"), (np.outer([0.0, 10, 25, 31], [1, 2, 2]) / 3, "one line")],
)
def test_too_few_or_collinear_fiducials_are_refused(positions: np.ndarray, said: str) -> None:
    points = given_points(positions)
    with pytest.raises(AlignmentError, match=said):
        align_fiducials(markers_given(points), markers_given(points))


def test_points_of_other_distances_are_refused() -> None:
    with pytest.raises(AlignmentError, match="same distances"):
        align_fiducials(markers_given(given_points(LAYOUT, "a")), markers_given(given_points(LAYOUT * 1.7, "b")))


def test_the_expected_target_error_is_that_of_fitzpatrick_and_west() -> None:
    fle = 0.3
    covariance = np.tile(np.eye(3) * fle**2 / 3, (4, 1, 1))
    target = np.array([4.0, -7.0, 11.0])
    ours = np.sqrt(np.trace(error_covariance(LAYOUT, covariance, np.ones(4), target)[3:, 3:]))
    # Fitzpatrick & West 2001, equation for the expected TRE about the principal axes.
    centred = LAYOUT - LAYOUT.mean(axis=0)
    _, _, axes = np.linalg.svd(centred)
    total = 0.0
    for axis in axes:
        arm = (target - LAYOUT.mean(axis=0)) - ((target - LAYOUT.mean(axis=0)) @ axis) * axis
        arms = centred - np.outer(centred @ axis, axis)
        total += (arm @ arm) / np.mean(np.sum(arms**2, axis=1))
    assert ours == pytest.approx(np.sqrt(fle**2 / 4 * (1 + total / 3)), rel=1e-9)


def test_the_stated_error_of_named_points_is_the_true_one_over_many_scans() -> None:
    rng = np.random.default_rng(0)
    target, true, stated = np.array([[5.0, -5.0, 10.0]]), [], []
    for seed in range(300):
        pose = posed(seed)
        moved = pose.map(LAYOUT) + rng.normal(0, 0.2, LAYOUT.shape)
        found = align_fiducials(markers_given(given_points(LAYOUT)), markers_given(given_points(moved)))
        true.append(np.sum((found.moving_from_fixed.map(target) - pose.map(target)) ** 2))
        stated.append(found.target_error_mm(target)[0] ** 2)
    # 300 draws of a sum of squares: its relative SD is about 5 %, of its root about 2.5 %.
    assert np.sqrt(np.mean(stated)) == pytest.approx(np.sqrt(np.mean(true)), rel=0.1)


def test_every_order_of_the_same_points_gives_the_same_transform() -> None:
    pose = posed(9)
    results = []
    for order in list(permutations(range(4)))[::5]:
        fixed, moving = given_points(LAYOUT[list(order)], "a"), given_points(pose.map(LAYOUT), "b")
        found = align_fiducials(markers_given(fixed), markers_given(moving))
        results.append(found.moving_from_fixed.target_from_source)
    for result in results:
        np.testing.assert_allclose(result, pose.target_from_source, atol=1e-9)


def test_leave_one_out_errors_are_those_of_the_other_points_alone() -> None:
    pose = posed(3)
    five = np.vstack([LAYOUT, [[3, 13.5, 5]]])
    moved = pose.map(five) + np.random.default_rng(5).normal(0, 0.3, five.shape)
    found = align_fiducials(markers_given(given_points(five)), markers_given(given_points(moved)))
    assert found.fiducials is not None
    for k in range(5):
        here, there = np.delete(five, k, axis=0), np.delete(moved, k, axis=0)
        turn, _ = Rotation.align_vectors(there - there.mean(axis=0), here - here.mean(axis=0))
        lies = turn.apply(five[k] - here.mean(axis=0)) + there.mean(axis=0)
        expected = np.linalg.norm(lies - moved[k])
        assert found.fiducials.leave_one_out_mm[k] == pytest.approx(expected, rel=1e-6)
    assert f"{found.fiducials.leave_one_out_rms_mm:.3f} mm" in found.reason


def test_a_marker_that_disagrees_is_named_with_how_far_it_is_off() -> None:
    five = np.vstack([LAYOUT, [[3, 13.5, 5]]])
    moved = posed(2).map(five) + np.random.default_rng(0).normal(0, 0.05, five.shape)
    moved[2] += [1.0, -1.2, 0.9]
    found = align_fiducials(markers_given(given_points(five)), markers_given(given_points(moved)))
    assert found.verdict is Verdict.DOUBTFUL
    assert found.reason.startswith("1 of 5 markers disagrees by 1.8 mm (p2)")


def test_of_three_markers_that_disagree_none_is_accused() -> None:
    moved = LAYOUT[:3] * 1.1
    found = align_fiducials(markers_given(given_points(LAYOUT[:3])), markers_given(given_points(moved)))
    assert found.verdict is Verdict.DOUBTFUL
    assert "the 3 markers disagree by up to" in found.reason
    assert "cannot be told" in found.reason


def test_found_markers_that_meet_worse_than_their_errors_are_doubtful() -> None:
    moved = posed(6).map(LAYOUT) + np.random.default_rng(1).normal(0, 0.2, LAYOUT.shape)
    each = np.tile(np.eye(3) * 0.02**2, (4, 1, 1))
    here, there = (Markers(given_points(p), each, np.empty((4, 0)), are_given=False) for p in (LAYOUT, moved))
    found = align_fiducials(here, there)
    assert found.verdict is Verdict.DOUBTFUL
    assert "disagree" in found.reason
    # The residual says what the errors really are, and the expected error follows it.
    assert found.expected_target_error_mm > 0.1


def test_points_at_one_place_are_refused_by_name() -> None:
    twice = LAYOUT.copy()
    twice[3] = twice[1]
    with pytest.raises(AlignmentError, match="'p1' and 'p3' of the moving scan lie at one place"):
        align_fiducials(markers_given(given_points(LAYOUT)), markers_given(given_points(twice)))


def test_the_expected_error_of_a_similarity_holds_its_scale() -> None:
    rng = np.random.default_rng(4)
    target, true, stated = np.array([[0.0, 0.0, 60.0]]), [], []
    for seed in range(200):
        pose = posed(seed)
        moved = 1.02 * pose.map(LAYOUT) + rng.normal(0, 0.2, LAYOUT.shape)
        found = align_fiducials(markers_given(given_points(LAYOUT)), markers_given(given_points(moved)), "similarity")
        true.append(np.sum((found.moving_from_fixed.map(target) - 1.02 * pose.map(target)) ** 2))
        stated.append(1.02**2 * found.target_error_mm(target)[0] ** 2)
    # 200 draws: the relative SD of either root mean square is about 3 to 4 %.
    assert np.sqrt(np.mean(stated)) == pytest.approx(np.sqrt(np.mean(true)), rel=0.12)
    drawn = found.drawn(4000, seed=0)
    spread = np.array([t.map(target)[0] for t in drawn]) - found.moving_from_fixed.map(target)[0]
    # Of 4000 draws the root mean square is known to about 1 %; drawn transforms lie in the moving frame.
    assert np.sqrt(np.mean(np.sum(spread**2, axis=1))) == pytest.approx(
        1.02 * found.target_error_mm(target)[0], rel=0.05
    )


def anatomy(frame: str | None = "ct") -> Volume:
    grid = Grid.from_spacing((40, 30, 30), 1.5, (-22.0, -22.0, -30.0), frame)
    return Volume(np.random.default_rng(0).normal(0, 1, grid.shape).astype(np.float32), grid, Modality.CT)


@pytest.mark.parametrize(
    ("points", "kind", "said"),
    [
        (Points(["a", "b", "c", "d"], LAYOUT, "mpi"), FrameMismatchError, "the points lie in the frame 'mpi'"),
        (Points(["a", "b", "c", "d"], LAYOUT + 200, "ct"), FrameMismatchError, "all 4 points lie more than 10 mm"),
        (Points(["a", "b"], LAYOUT[:2], "ct"), AlignmentError, "three fiducials or more .* got 2"),
        (Points(["a", "b", "c"], np.outer([-9.0, 0, 10], [1, 1, 1]), "ct"), AlignmentError, "on one line"),
        (Points(["a", "b", "c"], LAYOUT[[0, 1, 1]], "ct"), AlignmentError, "'b' and 'c' of the fixed scan"),
    ],
    ids=["another frame", "far outside", "two", "on a line", "at one place"],
)
def test_points_that_cannot_align_scans_are_refused_with_the_reason(points, kind, said) -> None:
    scan = anatomy()
    with pytest.raises(kind, match=said):
        align(scan, scan, method="fiducials", fixed_points=points, moving_points=points)


def test_points_without_coordinates_are_refused_by_name() -> None:
    places = LAYOUT.copy()
    places[2, 1] = np.nan
    with pytest.raises(TableError, match="finite coordinates, got none for 'p2'"):
        given_points(places)


def test_a_size_of_markers_is_refused_where_no_markers_are_looked_for() -> None:
    with pytest.raises(AlignmentError, match="size of markers"):
        align(anatomy(), anatomy("other"), method="intensity", marker_size_mm=2.0)


def test_scans_with_too_few_blobs_say_how_many_were_found() -> None:
    with pytest.raises(AlignmentError, match="three fiducials or more are needed in the fixed scan"):
        align(anatomy(), anatomy("other"), method="fiducials", marker_size_mm=6.0)
