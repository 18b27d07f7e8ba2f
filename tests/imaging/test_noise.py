"""The noise of simulated scans, whose standard deviation and correlation are known."""

import pickle

import numpy as np
import pytest
from assertions import assert_frozen
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Volume

SHAPE = (32, 36, 40)
GRID = Grid.from_spacing(SHAPE, (1.0, 0.9, 1.1))


def correlated_noise(seed: int, sd: float = 2.0, width: float = 1.0) -> np.ndarray:
    """Gaussian noise of standard deviation ``sd``, correlated over ``width`` voxels (SD of the filter)."""
    white = np.random.default_rng(seed).normal(size=SHAPE)
    if width == 0:
        return sd * white
    # The gain of the filter is known from its kernel, not from this realisation.
    kernel = ndimage.gaussian_filter1d(np.eye(1, 41, 20)[0], width)
    return sd * ndimage.gaussian_filter(white, width, mode="wrap") / np.sum(kernel**2) ** 1.5


def lit_organs() -> np.ndarray:
    """Smooth bright organs over a tenth of the scan, up to 500 noise SDs."""
    signal = np.zeros(SHAPE)
    signal[4:12, 6:16, 5:20] = 1000.0
    signal[20:26, 20:30, 20:30] = 60.0
    return ndimage.gaussian_filter(signal, 1.2)


def organ() -> np.ndarray:
    weights = np.zeros(SHAPE)
    weights[10:20, 10:20, 10:22] = 1.0
    weights[10, 10:20, 10:22] = 0.4
    return weights


@pytest.mark.parametrize("width", [0.0, 0.6, 1.0])
def test_sd_and_neighbour_correlation_of_pure_noise_are_found(width):
    noise = estimate_noise(Volume(correlated_noise(1, 2.0, width) + 5.0, GRID))
    assert noise.sd == pytest.approx(2.0, rel=0.05)
    # A mode is known less well than a mean, and fewer of these voxels are independent: 0.15 SD.
    assert noise.mean == pytest.approx(5.0, abs=0.3)
    assert not noise.is_clipped
    assert "robust" in noise.method
    centre = tuple(n // 2 for n in noise.correlation.shape)
    assert noise.correlation[centre] == 1.0
    neighbour = noise.correlation[centre[0], centre[1], centre[2] + 1] if noise.correlation.size > 1 else 0.0
    kernel = ndimage.gaussian_filter1d(np.eye(1, 41, 20)[0], width) if width else np.eye(1, 41, 20)[0]
    expected = np.sum(kernel[1:] * kernel[:-1]) / np.sum(kernel**2)
    assert neighbour == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("width", [0.0, 1.0])
def test_the_error_of_an_organs_total_is_that_of_many_scans(width):
    weights = organ()
    totals = [float((weights * correlated_noise(seed, 2.0, width)).sum()) for seed in range(300)]
    foretold = []
    for seed in range(3):
        noise = estimate_noise(Volume(correlated_noise(1000 + seed, 2.0, width), GRID))
        foretold.append(np.sqrt((weights * noise.smear(weights)).sum()))
    # 300 totals know their SD to 4 %; one scan knows its correlation to some 10 %.
    assert np.mean(foretold) == pytest.approx(np.std(totals), rel=0.15)
    if width:
        naive = 2.0 * np.sqrt((weights**2).sum())
        assert np.std(totals) > 3 * naive


def test_faint_correlation_far_out_counts_in_the_error_of_a_large_organ():
    width, weights = 0.6, np.zeros(SHAPE)
    weights[9:23, 11:25, 13:27] = 1.0
    lag = np.arange(-10, 11)
    kernel = ndimage.gaussian_filter1d(np.eye(1, 41, 20)[0], width)
    line = np.array([np.sum(kernel * np.roll(kernel, n)) for n in lag]) / np.sum(kernel**2)
    # A box of 14 voxels: along each axis the correlation of all pairs of its voxels.
    pairs = sum(float(rho) * max(14 - abs(n), 0) for n, rho in zip(lag, line, strict=True))
    foretold = []
    for seed in range(6):
        noise = estimate_noise(Volume(correlated_noise(2000 + seed, 2.0, width), GRID))
        foretold.append(np.sqrt((weights * noise.smear(weights)).sum()))
    # One scan of this size scatters by 3 %; without the lags below 0.03 it would be 6 % less.
    assert np.mean(foretold) == pytest.approx(2.0 * pairs**1.5, rel=0.035)


def test_lit_organs_hardly_touch_the_noise():
    quiet = correlated_noise(2)
    dark, lit = estimate_noise(Volume(quiet, GRID)), estimate_noise(Volume(quiet + lit_organs(), GRID))
    assert lit.sd == pytest.approx(2.0, rel=0.06)
    assert lit.mean == pytest.approx(0.0, abs=0.2)
    weights = organ()
    error_dark, error_lit = (np.sqrt((weights * noise.smear(weights)).sum()) for noise in (dark, lit))
    assert error_lit == pytest.approx(error_dark, rel=0.25)
    assert np.std(quiet + lit_organs()) > 50


@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_a_scan_clipped_at_zero_is_said_to_be_and_its_sd_is_that_before_clipping(signal):
    clipped = np.maximum(correlated_noise(3) + signal * lit_organs(), 0.0)
    noise = estimate_noise(Volume(clipped, GRID))
    assert noise.is_clipped
    assert "clipped at zero" in noise.method
    assert noise.sd == pytest.approx(2.0, rel=0.12)
    assert noise.mean == 0.0


@pytest.mark.parametrize(("sd", "within"), [(0.9, 0.2), (1.5, 0.12), (2.0, 0.12), (5.0, 0.12)])
def test_a_scan_of_whole_numbers_has_the_noise_it_had_before_rounding(sd, within):
    rounded = np.rint(correlated_noise(4, sd) + lit_organs()).astype(np.int16)
    noise = estimate_noise(Volume(rounded, GRID))
    # Rounding adds a variance of 1/12.
    assert noise.sd == pytest.approx(np.sqrt(sd**2 + 1 / 12), rel=within)
    assert abs(noise.mean) < 0.3 * sd + 0.5


def test_a_marked_background_is_measured_as_it_is():
    voxels = correlated_noise(5) + 7.0 + lit_organs()
    background = np.zeros(SHAPE, bool)
    background[:, :, 32:] = True
    noise = estimate_noise(Volume(voxels, GRID), background)
    assert noise.sd == pytest.approx(np.std(voxels[background], ddof=1))
    assert noise.mean == pytest.approx(np.mean(voxels[background]))
    assert noise.method == "SD of the marked background"


def test_voxels_without_a_number_are_left_out():
    voxels = correlated_noise(6)
    voxels[:, :3] = np.nan
    noise = estimate_noise(Volume(voxels, GRID))
    assert noise.sd == pytest.approx(2.0, rel=0.05)
    assert np.isfinite(noise.correlation).all()


def test_a_background_that_shows_no_noise_is_refused_with_what_to_do():
    voxels = correlated_noise(7)
    few = np.zeros(SHAPE, bool)
    few[0, 0, :10] = True
    with pytest.raises(MeasurementError, match="200 voxels or more is needed, got 10"):
        estimate_noise(Volume(voxels, GRID), few)
    with pytest.raises(MeasurementError, match="marked background is constant"):
        estimate_noise(Volume(np.ones(SHAPE), GRID), np.ones(SHAPE, bool))
    with pytest.raises(MeasurementError, match="a scan with its background is needed"):
        estimate_noise(Volume(np.ones(SHAPE), GRID))
    with pytest.raises(MeasurementError, match="holds no number"):
        estimate_noise(Volume(np.full(SHAPE, np.nan), GRID))


def test_a_projection_has_noise_too():
    plane = Grid.from_spacing((1, 36, 40), 1.0)
    voxels = correlated_noise(8)[:1]
    noise = estimate_noise(Volume(voxels, plane, is_projection=True))
    assert noise.sd == pytest.approx(2.0, rel=0.15)
    assert noise.correlation.shape[0] == 1


def test_smearing_is_the_noise_covariance_times_the_weights():
    rng = np.random.default_rng(9)
    kernel = rng.random((3, 3, 3))
    kernel = (kernel + kernel[::-1, ::-1, ::-1]) / 2
    kernel[1, 1, 1] = 1.0
    noise = Noise(3.0, 0.0, kernel, "made up")
    weights = rng.random((5, 6, 7))
    np.testing.assert_allclose(noise.smear(weights), 9 * ndimage.convolve(weights, kernel, mode="constant"), atol=1e-9)
    white = Noise(3.0, 0.0, np.ones((1, 1, 1)), "made up")
    np.testing.assert_allclose(white.smear(weights), 9 * weights)


def test_noise_survives_pickling_and_stays_frozen():
    noise = estimate_noise(Volume(correlated_noise(10), GRID))
    again = pickle.loads(pickle.dumps(noise))
    assert_frozen(noise.correlation)
    assert_frozen(again.correlation)
    assert (again.sd, again.method) == (noise.sd, noise.method)


@pytest.mark.parametrize("width", [0.0, 1.5])
def test_how_sure_the_sd_is_said_to_be_is_how_much_it_scatters(width):
    background = np.zeros(SHAPE, bool)
    background[:, :, :20] = True
    found = {
        "marked": [estimate_noise(Volume(correlated_noise(s, 2.0, width), GRID), background) for s in range(40)],
        "own": [estimate_noise(Volume(correlated_noise(s, 2.0, width), GRID)) for s in range(40)],
        "clipped": [estimate_noise(Volume(correlated_noise(s, 2.0, width).clip(0), GRID)) for s in range(40)],
    }
    for how, noises in found.items():
        sds = np.array([noise.sd for noise in noises])
        stated = np.mean([1 / np.sqrt(2 * noise.degrees_of_freedom) for noise in noises])
        # 40 scans know the scatter of their SD to 11 %; the worth of the robust estimates is known to some 20 %.
        assert stated == pytest.approx(sds.std(ddof=1) / sds.mean(), rel=0.45), how
    if width == 0.0:
        assert np.median([n.degrees_of_freedom for n in found["marked"]]) == pytest.approx(background.sum(), rel=0.05)


def test_a_marked_background_clipped_at_zero_has_the_sd_it_had_before():
    background = np.zeros(SHAPE, bool)
    background[:, :, 30:] = True
    noise = estimate_noise(Volume(correlated_noise(11, 2.0, 0.0).clip(0), GRID), background)
    assert noise.is_clipped
    assert (noise.mean, noise.sd) == (0.0, pytest.approx(2.0, rel=0.03))
    # The squares of half a Gaussian know its SD as 0.4 of so many voxels would.
    assert noise.degrees_of_freedom == pytest.approx(0.4 * background.sum(), rel=0.1)


def test_an_empty_bore_says_more_surely_what_the_noise_is_than_a_scan_with_organs():
    empty, full = correlated_noise(12), correlated_noise(12) + lit_organs()
    sure, less = (estimate_noise(Volume(voxels, GRID)) for voxels in (empty, full))
    assert sure.degrees_of_freedom > less.degrees_of_freedom
    assert Noise(1.0, 0.0, np.ones((1, 1, 1)), "given").degrees_of_freedom == np.inf
