"""Backgrounds beside the levels that were put in, and their SDs beside the scatter over many scans."""

import numpy as np
import pytest
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.quantification.backgrounds import robust_background, scan_background, shell_backgrounds
from napari_mpi_track.quantification.occupancy import measure_occupancy

GRID = Grid.from_spacing((40, 36, 32), (1.0, 1.1, 0.9), frame="bed")
LEVEL = 7.0


def organs() -> OrganLabels:
    voxels = np.zeros(GRID.shape, np.uint8)
    voxels[6:13, 6:14, 6:14] = 1
    voxels[26:34, 22:30, 18:26] = 2
    return OrganLabels(voxels, GRID, {1: "liver", 2: "muscle"})


def scan(seed: int, signal: float = 0.0, ramp: float = 0.0) -> Volume:
    """A level, a slope along the planes, correlated noise of SD 1, and a lit liver."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(GRID.shape), 1.0, mode="wrap")
    planes = np.arange(GRID.shape[0])[:, None, None]
    voxels = LEVEL + ramp * planes + noise / noise.std() + signal * (organs().voxels == 1)
    return Volume(voxels.astype(np.float32), GRID)


@pytest.mark.parametrize("way", ["muscle", "robust", "shell"])
def test_levels_scatter_by_the_sd_that_is_stated(way):
    occupancy = measure_occupancy(organs(), GRID)
    noise = estimate_noise(scan(0))
    found = []
    for seed in range(16):
        if way == "shell":
            found.append(shell_backgrounds(scan(seed, 50.0), occupancy, noise, 2.0)[0]["liver"])
        else:
            found.append(scan_background(scan(seed, 50.0), occupancy, noise, way))
    levels, sds = (np.array([getattr(b, name) for b in found]) for name in ("level", "sd"))
    # The standard error of an SD over 16 scans is 18 %; a jackknife's own scatter is as large.
    assert np.mean(levels) == pytest.approx(LEVEL, abs=4 * levels.std() / np.sqrt(16) + 0.02)
    assert 0.5 < levels.std(ddof=1) / np.sqrt(np.mean(sds**2)) < 1.6
    assert all(1 <= b.degrees_of_freedom < 5000 for b in found)


def test_a_region_of_correlated_voxels_counts_for_fewer():
    occupancy = measure_occupancy(organs(), GRID)
    white = Noise(1.0, LEVEL, np.ones((1, 1, 1)), "made up")
    smooth = estimate_noise(scan(0))
    sharp, dull = (scan_background(scan(1), occupancy, noise, "muscle") for noise in (white, smooth))
    assert dull.degrees_of_freedom < sharp.degrees_of_freedom / 10
    assert sharp.degrees_of_freedom == pytest.approx(8**3 - 1, rel=0.01)
    assert dull.sd > 3 * sharp.sd


def test_a_shell_follows_a_slope_where_one_level_for_all_does_not():
    lit = scan(3, 50.0, ramp=0.3)
    noise = Noise(1.0, LEVEL, np.ones((1, 1, 1)), "made up")
    truth = 50.0 * 7 * 8 * 8 * GRID.voxel_volume_mm3
    by = {way: measure_scan(lit, noise, organs(), None, background=way) for way in ("shell", "robust")}
    off = {way: abs(found.signal_of(["liver"])[0].value / truth - 1) for way, found in by.items()}
    assert off["shell"] < 0.01
    assert off["robust"] > 0.03
    shell = by["shell"]
    assert shell.local_of("liver") == pytest.approx(shell.signal_of(["liver"])[0].value)
    # The contract's totals keep one background for the whole scan, and add up.
    totals = [shell.measured_of([name])[0] for name in shell.organs] + [shell.outside()[0]]
    assert sum(totals) == pytest.approx(shell.whole()[0], rel=1e-9)
    assert shell.signal_of(["liver"])[1].background > 0


def test_one_background_moves_all_organs_together():
    noise = Noise(1.0, LEVEL, np.ones((1, 1, 1)), "made up")
    measured = measure_scan(scan(4, 50.0), noise, organs(), None, background="robust")
    alone = [measured.signal_of([name])[1].background for name in ("liver", "muscle")]
    together = measured.signal_of(["liver", "muscle"])[1].background
    assert together == pytest.approx(sum(alone), rel=1e-9)
    assert min(alone) > 0
    assert measured.whole()[1] > measured.signals.noise_sd_of("total")


def test_an_organ_without_a_free_shell_takes_the_others_and_says_so():
    voxels = organs().voxels.copy()
    voxels[5:14, 5:15, 5:15][voxels[5:14, 5:15, 5:15] == 0] = 3
    voxels[2:17, 2:18, 2:18][voxels[2:17, 2:18, 2:18] == 0] = 4
    crowded = OrganLabels(voxels, GRID, {1: "liver", 2: "muscle", 3: "rim", 4: "bed"})
    noise = Noise(1.0, LEVEL, np.ones((1, 1, 1)), "made up")
    found, doubts = shell_backgrounds(scan(5), measure_occupancy(crowded, GRID), noise, 2.0)
    assert found["liver"].method == "shells of all organs"
    assert [doubt.split()[3] for doubt in doubts] == ["liver", "rim"]


def test_backgrounds_that_are_not_there_are_refused():
    noise = Noise(1.0, LEVEL, np.ones((1, 1, 1)), "made up")
    with pytest.raises(MeasurementError, match="neither a number nor an organ"):
        measure_scan(scan(0), noise, organs(), None, background="spleen")
    full = OrganLabels(np.ones(GRID.shape, np.uint8), GRID, {1: "all"})
    with pytest.raises(MeasurementError, match="no voxel is free of organs"):
        measure_scan(scan(0), noise, full, None, background="shell")


def test_voxels_without_a_number_hold_no_background():
    holed = np.array(scan(0).voxels)
    holed[28:30] = np.nan
    found = scan_background(Volume(holed, GRID), measure_occupancy(organs(), GRID), estimate_noise(scan(0)), "muscle")
    assert found.level == pytest.approx(np.nanmean(holed[organs().voxels == 2]), rel=1e-6)
    assert robust_background(Volume(holed, GRID)).level == pytest.approx(LEVEL, abs=0.2)
