"""Pairing by distances: right among strangers, silent about nothing."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.registration.markers.closed_form import closed_form
from napari_mpi_track.registration.markers.pairing import Candidates, pair_by_distances

MARKERS = np.array([[13.5, 2, 22], [-13.8, -1, 9], [12.6, -3.5, -15], [-2.5, -13, -28], [3, 13.5, 5]])


def candidates(positions: np.ndarray, sd_mm: float = 0.2, sizes: np.ndarray | None = None) -> Candidates:
    looks = np.empty((len(positions), 0)) if sizes is None else np.log(sizes)[:, None] / np.log(1.5)
    return Candidates(positions, np.full(len(positions), sd_mm), looks)


def turned(points: np.ndarray, seed: int) -> np.ndarray:
    return points @ Rotation.random(rng=np.random.default_rng(seed)).as_matrix().T + [3.0, -40.0, 12.0]


@pytest.mark.parametrize("seed", range(10))
def test_markers_are_told_from_strangers_at_a_marker_error_of_0_3_mm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    here = np.vstack([MARKERS, rng.uniform(-25, 25, (6, 3))]) + rng.normal(0, 0.12, (11, 3))
    there = np.vstack([turned(MARKERS, seed), rng.uniform(-25, 25, (6, 3))]) + rng.normal(0, 0.12, (11, 3))
    order = rng.permutation(11)
    found = pair_by_distances(candidates(here), candidates(there[order]))
    assert {(int(i), int(order[j])) for i, j in zip(found.fixed, found.moving, strict=True)} == {
        (k, k) for k in range(5)
    }
    assert found.is_certain


def test_a_symmetric_layout_is_ambiguous_and_its_runner_up_is_told() -> None:
    legs = np.array([[0.0, 0, 0], [30, 8, 0], [30, -8, 0], [14, 0, 0]])
    found = pair_by_distances(candidates(legs), candidates(turned(legs, 1)))
    assert not found.is_certain
    assert found.runner_up_rms_mm == pytest.approx(0.0, abs=1e-9)
    assert found.runner_up_count == 4


def test_three_markers_among_many_strangers_are_not_called_certain() -> None:
    certain = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        here = np.vstack([MARKERS[:3], rng.uniform(-25, 25, (6, 3))]) + rng.normal(0, 0.12, (9, 3))
        there = np.vstack([turned(MARKERS[:3], seed), rng.uniform(-25, 25, (6, 3))]) + rng.normal(0, 0.12, (9, 3))
        certain += pair_by_distances(candidates(here), candidates(there)).is_certain
    assert certain == 0


def test_two_strangers_that_lie_near_each_other_by_chance_are_dropped() -> None:
    rng = np.random.default_rng(3)
    stranger = np.array([[-20.0, 15, -30]])
    here = np.vstack([MARKERS, stranger]) + rng.normal(0, 0.05, (6, 3))
    there = np.vstack([turned(MARKERS, 2), turned(stranger + [0.9, 0.8, -0.9], 2)]) + rng.normal(0, 0.05, (6, 3))
    found = pair_by_distances(candidates(here), candidates(there))
    assert sorted(found.fixed.tolist()) == [0, 1, 2, 3, 4]


def test_size_parts_markers_from_strangers_that_keep_the_same_distances() -> None:
    # Two equal constellations in the moving scan: only the size of the blobs tells which is the markers'.
    other = turned(MARKERS, 8) + [200.0, 0, 0]
    there = np.vstack([other, turned(MARKERS, 4)])
    sizes = np.concatenate([[8.0, 3.0, 9.0, 1.2, 6.0], np.full(5, 3.0)])
    blind = pair_by_distances(candidates(MARKERS), candidates(there))
    assert not blind.is_certain
    seeing = pair_by_distances(candidates(MARKERS, sizes=np.full(5, 3.0)), candidates(there, sizes=sizes))
    assert sorted(seeing.moving.tolist()) == [5, 6, 7, 8, 9]
    assert seeing.is_certain


def test_a_scan_drawn_larger_is_paired_where_a_similarity_is_sought() -> None:
    there = 1.02 * turned(MARKERS, 5)
    found = pair_by_distances(candidates(MARKERS, 0.02), candidates(there, 0.02), stretch=0.03)
    assert found.fixed.tolist() == found.moving.tolist()
    assert len(found.fixed) == 5


def test_points_in_a_plane_are_turned_within_it_and_never_mirrored() -> None:
    flat = MARKERS[:, [0, 2]]
    angle = np.radians(130)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    there = (flat @ turn.T + [4.0, -7.0])[[3, 0, 4, 1, 2]]
    found = pair_by_distances(candidates(flat), candidates(there))
    assert found.is_certain
    assert {(int(i), int(j)) for i, j in zip(found.fixed, found.moving, strict=True)} == {
        (3, 0), (0, 1), (4, 2), (1, 3), (2, 4)
    }  # fmt: skip
    linear, translation = closed_form(flat[found.fixed][None], there[found.moving][None], scaled=False)
    np.testing.assert_allclose(linear[0], turn, atol=1e-9)
    np.testing.assert_allclose(translation[0], [4.0, -7.0], atol=1e-9)
    # The mirrored layout keeps every distance; in space it is a turn over, within the plane it is no pairing.
    mirrored = flat * [1, -1]
    try:
        wrong = pair_by_distances(candidates(flat), candidates(mirrored))
    except AlignmentError:
        return
    assert not (wrong.is_certain and len(wrong.fixed) == 5)


def test_candidates_that_keep_no_distances_are_refused() -> None:
    with pytest.raises(AlignmentError, match="same distances"):
        pair_by_distances(candidates(MARKERS[:4]), candidates(MARKERS[:4] * 1.7))
