"""Image formation against distributions of scipy.stats and textbook formulas."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import cauchy, norm

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.simulation.anatomy import Solid, capsule, ellipsoid, rotation
from napari_mpi_track.simulation.scanner import Blur, Noise, blurred, labelled, noise_field, saturated

GRID = Grid.from_spacing((40, 30, 34), (1.0, 1.2, 0.9), (-14.85, -17.4, -19.5))


@pytest.mark.parametrize("shape", ["gaussian", "lorentzian"])
def test_a_tiny_source_shows_the_point_spread_integrated_over_each_voxel(shape: str) -> None:
    widths = (2.5, 3.0, 2.0)
    centre = np.array([0.21, -1.3, 2.4])
    tiny = Solid((ellipsoid(centre, (0.02, 0.02, 0.02)),))
    # The source must be small against its sampling, so the scan is made in its own, finer, units and not measured.
    voxels = blurred([(tiny, 5.0)], GRID, np.eye(4), Blur(shape, widths))
    expected = np.array(5.0)
    for axis, width in enumerate(widths):
        spread = norm(scale=width / np.sqrt(8 * np.log(2))) if shape == "gaussian" else cauchy(scale=width / 2)
        at = GRID.lps_from(np.eye(3)[axis] * np.arange(GRID.shape[axis])[:, None])[:, 2 - axis] - centre[2 - axis]
        half = GRID.spacing_mm[axis] / 2
        expected = np.multiply.outer(expected, (spread.cdf(at + half) - spread.cdf(at - half)) / (2 * half))
    # The source fills one cell of a quarter of a voxel: within 2 % of the peak.
    assert np.abs(voxels - expected).max() < 0.06 * expected.max()
    assert voxels.sum() == pytest.approx(expected.sum(), rel=1e-3)


def test_a_gaussian_blur_keeps_the_whole_signal_in_a_large_field_of_view() -> None:
    turned = np.eye(4)
    turned[:3, :3] = rotation((10, -20, 35))
    sources = [
        (Solid((ellipsoid((2, 0, 1), (3, 4, 2)),)), 812.0),
        (Solid((capsule((-5, 0, 0), (-5, 4, 5), 1.0),)), 40.0),
    ]
    voxels = blurred(sources, GRID, turned, Blur("gaussian", (2.5, 2.5, 2.5)))
    assert voxels.sum() * GRID.voxel_volume_mm3 == pytest.approx(852.0, rel=1e-7)


def test_a_lorentzian_loses_the_part_of_its_tails_beyond_the_field_of_view() -> None:
    source = Solid((ellipsoid((0, 0, 0), (0.5, 0.5, 0.5)),))
    voxels = blurred([(source, 1.0)], GRID, np.eye(4), Blur("lorentzian", (3.0, 3.0, 3.0)))
    half_widths = np.array(GRID.shape) * GRID.spacing_mm / 2
    kept = np.prod(1 - 2 * cauchy(scale=1.5).sf(half_widths))
    assert voxels.sum() * GRID.voxel_volume_mm3 == pytest.approx(kept, rel=1e-3)


def test_a_source_outside_the_field_of_view_still_shines_into_it() -> None:
    beside = Solid((ellipsoid((-18.0, 0, 0), (2, 2, 2)),))
    voxels = blurred([(beside, 1.0)], GRID, np.eye(4), Blur("lorentzian", (3.0, 3.0, 3.0)))
    assert 0.05 < voxels.sum() * GRID.voxel_volume_mm3 < 0.5


def test_a_ball_looks_like_a_finely_sampled_ball_filtered_by_scipy() -> None:
    fine = 0.2
    grid = Grid.from_spacing((20, 20, 20), 1.0, (-9.5, -9.5, -9.5))
    centre, radius = np.array([0.3, -0.4, 1.1]), 3.2
    at = (np.arange(100) + 0.5) * fine - 10
    squared = (at[:, None, None] - centre[2]) ** 2 + (at[:, None] - centre[1]) ** 2 + (at - centre[0]) ** 2
    ball = (squared <= radius**2) / (4 / 3 * np.pi * radius**3)
    smooth = gaussian_filter(ball, 2.5 / np.sqrt(8 * np.log(2)) / fine, mode="constant", truncate=6)
    expected = smooth.reshape(20, 5, 20, 5, 20, 5).mean(axis=(1, 3, 5))
    sources = [(Solid((ellipsoid(centre, (radius, radius, radius)),)), 1.0)]
    voxels = blurred(sources, grid, np.eye(4), Blur("gaussian", (2.5, 2.5, 2.5)))
    # Two samplings of one ball's edge: 0.5 % of the peak.
    assert np.abs(voxels - expected).max() < 0.005 * expected.max()


def test_noise_has_its_sd_and_its_correlation() -> None:
    field = noise_field((60, 60, 60), Noise(12.0, correlation_sd=1.1), np.random.default_rng(4))
    neighbour = np.mean(field[1:] * field[:-1]) / field.var()
    # White noise through a Gaussian of SD s correlates as exp(-d^2 / 4 s^2).
    assert field.std() == pytest.approx(12.0, rel=0.03)
    assert neighbour == pytest.approx(np.exp(-1 / (4 * 1.1**2)), abs=0.02)


def test_the_receiver_saturates_at_half_the_signal_where_it_equals_its_constant() -> None:
    assert saturated(np.array([0.0, 300.0, 30_000.0]), 30_000.0) == pytest.approx([0.0, 297.0297, 15_000.0])


def test_labels_follow_the_pose() -> None:
    organs = {"a": Solid((ellipsoid((0, 0, 5), (3, 3, 3)),)), "b": Solid((ellipsoid((0, 0, -5), (2, 2, 2)),))}
    shifted = np.eye(4)
    shifted[:3, 3] = (-2.0, 1.0, 3.0)
    labels = labelled(organs, GRID, shifted)
    for value, centre in ((1, (2.0, -1.0, 2.0)), (2, (2.0, -1.0, -8.0))):
        found = GRID.lps_from(np.argwhere(labels == value).mean(axis=0))
        assert found == pytest.approx(centre, abs=0.15)
