"""What drawn alignments do to totals, beside measuring the organs anew where each draw puts them."""

import numpy as np
import pytest

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import measure_occupancy
from napari_mpi_track.quantification.organ_displacement import displaced_covariance, displacement_sensitivity
from napari_mpi_track.quantification.organ_signal import measure_organs
from napari_mpi_track.registration.alignment import Alignment

WHITE = Noise(1e-6, 0.0, np.ones((1, 1, 1)), "none")
GRID = Grid.from_spacing((28, 26, 24), (1.0, 1.1, 0.9), frame="scan")
CENTRE = GRID.centre_mm


def organs() -> OrganLabels:
    fine = Grid.from_spacing((56, 56, 44), 0.5, frame="ct")
    at = fine.lps_from(np.stack(np.meshgrid(*[np.arange(n) for n in fine.shape], indexing="ij"), axis=-1))
    voxels = np.zeros(fine.shape, np.uint8)
    voxels[np.linalg.norm(at - CENTRE - [1.0, 2.0, -3.0], axis=-1) < 4.0] = 1
    voxels[np.linalg.norm(at - CENTRE - [-3.0, -5.0, 4.0], axis=-1) < 3.0] = 2
    return OrganLabels(voxels, fine, {1: "tumour", 2: "node"})


def blob(sd_mm: float) -> Volume:
    at = GRID.lps_from(np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), axis=-1))
    squared = ((at - CENTRE - [1.0, 2.0, -3.0]) ** 2).sum(axis=-1)
    return Volume(100 * np.exp(-squared / (2 * sd_mm**2)), GRID)


def measured_anew(scan: Volume, alignment: Alignment, draws: int) -> np.ndarray:
    """The mean square change of totals over drawn transforms, each with an occupancy of its own."""
    here = measure_organs(scan, measure_occupancy(organs(), GRID, alignment.moving_from_fixed), WHITE).totals()
    changes = np.array(
        [
            measure_organs(scan, measure_occupancy(organs(), GRID, way), WHITE).totals() - here
            for way in alignment.drawn(draws, seed=3)
        ]
    )
    return (changes**2).mean(axis=0)


def alignment(shift_mm: float, turn_rad: float) -> Alignment:
    variances = [turn_rad**2] * 3 + [shift_mm**2] * 3
    return Alignment(
        Transform.identity("ct", "scan"), "fiducials", error_covariance=np.diag(variances), centre_mm=CENTRE
    )


def covariance(scan: Volume, way: Alignment, seed: int = 0) -> np.ndarray:
    occupancy = measure_occupancy(organs(), GRID, way.moving_from_fixed)
    return displaced_covariance(scan, occupancy, way.moving_from_fixed, CENTRE, way.error_covariance, seed)


@pytest.mark.parametrize(("shift_mm", "turn_rad"), [(0.1, 0.01), (1.2, 0.08)])
def test_draws_agree_with_organs_measured_anew_small_and_large(shift_mm, turn_rad):
    way, scan = alignment(shift_mm, turn_rad), blob(2.4)
    ours = np.diag(covariance(scan, way))
    anew = measured_anew(scan, way, 40)
    # The scatter of a mean square over 40 draws is 22 %, of its root half, heavier tailed where it bends.
    np.testing.assert_allclose(np.sqrt(ours), np.sqrt(anew), rtol=0.3)


def test_the_first_order_misses_what_bends_and_the_draws_do_not():
    scan = blob(2.4)
    for shift_mm, share in ((0.02, 1.0), (1.2, 0.7)):
        way = alignment(shift_mm, 0.0)
        occupancy = measure_occupancy(organs(), GRID, way.moving_from_fixed)
        slopes = displacement_sensitivity(scan, occupancy, way.moving_from_fixed, CENTRE)[:, :6]
        first = np.sqrt(np.diag(slopes @ way.error_covariance @ slopes.T))
        drawn = np.sqrt(np.diag(covariance(scan, way)))
        if share == 1.0:
            # Central differences of a blob of SD 2.4 mm are that far from its slope.
            np.testing.assert_allclose(first[1], drawn[1], rtol=0.1)
        else:
            # The organ sits on the blob's top, where the slope is nearly nothing and every way leads down.
            assert first[0] < share * drawn[0]


def test_a_scan_that_rises_in_a_straight_line_gives_the_first_order_exactly():
    index = np.stack(np.meshgrid(*[np.arange(n) for n in GRID.shape], indexing="ij"), axis=-1)
    scan = Volume(GRID.lps_from(index) @ [2.0, -1.0, 3.0], GRID)
    way = alignment(0.4, 0.0)
    occupancy = measure_occupancy(organs(), GRID, way.moving_from_fixed)
    slopes = displacement_sensitivity(scan, occupancy, way.moving_from_fixed, CENTRE)[:, :6]
    np.testing.assert_allclose(covariance(scan, way, seed=5), slopes @ way.error_covariance @ slopes.T, rtol=1e-4)


def test_the_same_seed_gives_the_same_and_a_tilted_error_of_full_rank_is_met():
    scan = blob(2.4)
    root = np.random.default_rng(1).normal(0, 0.05, (7, 7))
    way = Alignment(
        Transform.identity("ct", "scan"), "fiducials", "similarity", error_covariance=root @ root.T, centre_mm=CENTRE
    )
    first, again, other = (covariance(scan, way, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    np.testing.assert_allclose(np.sqrt(np.diag(first)), np.sqrt(np.diag(other)), rtol=0.2)


def test_organs_of_one_plane_move_within_it():
    plane = Grid.from_spacing((1, 26, 24), (1.0, 1.1, 0.9), frame="scan")
    voxels = np.zeros(plane.shape, np.uint8)
    voxels[0, 8:16, 8:16] = 1
    flat = Volume(blob(2.4).voxels[13:14], plane, is_projection=True)
    way = Transform.identity("scan", "scan")
    found = displaced_covariance(
        flat,
        measure_occupancy(OrganLabels(voxels, plane, {1: "tumour"}), plane),
        way,
        plane.centre_mm,
        np.diag([0, 0, 1e-4, 0.01, 0.01, 0.01]),
        0,
    )
    assert np.isfinite(found).all()
    assert found[0, 0] > 0
