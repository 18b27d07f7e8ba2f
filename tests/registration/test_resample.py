"""Scans and organs are drawn through a deformed transform where its points say."""

import numpy as np
import pytest
from scipy import ndimage

from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.resample import resample, resample_organs


def deformed_and_grids(seed: int) -> tuple[Transform, Grid, Grid]:
    rng = np.random.default_rng(seed)
    lattice = Grid.from_spacing((9, 8, 8), 6.0, (-18, -18, -18))
    deformation = Deformation(lattice, rng.uniform(-1, 1, (3, *lattice.shape)))
    moving_from_fixed = Transform.from_parts(np.eye(3)[[1, 0, 2]], (3.0, -2.0, 1.0), "ct", "mpi")
    onto = Grid.from_spacing((20, 16, 18), (1.1, 1.0, 0.9), (-8, -8, -9), "ct")
    moving = Grid.from_spacing((40, 44, 42), 1.0, (-20, -22, -18), "mpi")
    return Transform(moving_from_fixed.target_from_source, "ct", "mpi", deformation), onto, moving


@pytest.mark.parametrize("seed", [0, 1])
def test_a_scan_is_resampled_where_the_deformed_points_lie(seed):
    moving_from_fixed, onto, grid = deformed_and_grids(seed)
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 100, grid.shape), 3)
    shown = resample(Volume(smooth, grid, Modality.MPI), moving_from_fixed, onto)
    places = grid.index_from(moving_from_fixed.map(onto.lps_from(np.argwhere(np.ones(onto.shape)))))
    expected = ndimage.map_coordinates(smooth, places.T, order=1).reshape(onto.shape)
    # float32 of values up to 10.
    np.testing.assert_allclose(shown.voxels, expected, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_organs_go_there_and_back_through_the_inverse_that_is_for_looking(seed):
    moving_from_fixed, onto, grid = deformed_and_grids(seed)
    # An organ of the moving scan's own frame, drawn on the fixed grid and carried forward again.
    points = grid.lps_from(np.argwhere(np.ones(grid.shape)))
    ball = (np.linalg.norm(points - [3.0, -2.0, 1.0], axis=1) < 5).reshape(grid.shape)
    organs = OrganLabels(ball.astype(np.uint8), grid, {1: "liver"})
    there = resample_organs(organs, moving_from_fixed, onto)
    back = resample_organs(there, moving_from_fixed.inverse_for_looking(), grid)
    both = 2 * np.sum((back.voxels > 0) & ball) / (np.sum(back.voxels > 0) + ball.sum())
    # Two nearest-voxel lookups of 1 mm voxels on a ball of 5 mm radius.
    assert both > 0.93


@pytest.mark.parametrize("seed", [0, 1])
def test_the_inverse_for_looking_is_the_way_back_within_a_fraction_of_a_voxel(seed):
    moving_from_fixed, onto, _ = deformed_and_grids(seed)
    points = onto.lps_from(np.argwhere(np.ones(onto.shape)))
    there = moving_from_fixed.map(points)
    back = moving_from_fixed.inverse_for_looking()
    assert (back.source_frame, back.target_frame) == ("mpi", "ct")
    off = np.linalg.norm(back.map(there) - points, axis=1)
    # Slopes of up to 0.4 over a lattice of 6 mm: far rougher than an animal between two days.
    assert np.sqrt(np.mean(off**2)) < 0.02
