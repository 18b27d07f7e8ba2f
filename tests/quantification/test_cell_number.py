"""Cells from signal: Fieller's interval against an independent derivation, and its coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.cell_number import cell_estimate, count_cells, signal_estimate
from napari_mpi_track.quantification.estimate import Estimate

LEVELS = np.repeat([0.0, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5], 3)


def calibration(seed=0, weights="none", sd=2.0, relative=0.0, levels=LEVELS):
    rng = np.random.default_rng(seed)
    mu = 2.0 + 1e-3 * levels
    return fit_calibration(
        levels, mu + np.hypot(sd, relative * mu) * rng.standard_normal(levels.size), kind="in-cells", weights=weights
    )


@pytest.mark.parametrize("replicates", [1, 3])
def test_an_unweighted_interval_is_the_textbooks_g_interval(replicates):
    from scipy.stats import t

    # Draper & Smith, Applied Regression Analysis, 3rd ed., eq. 3.2.6: written in s, g and Sxx rather than covariances.
    line = calibration()
    y0 = np.array([20.0, 150.0, 400.0])
    n, mean, s = LEVELS.size, LEVELS.mean(), line.residual_sd
    sxx = np.sum((LEVELS - mean) ** 2)
    quantile = t.ppf(0.975, n - 2)
    g = quantile**2 * s**2 / (line.slope**2 * sxx)
    x0 = (y0 - line.intercept) / line.slope
    middle = mean + (x0 - mean) / (1 - g)
    inner = (1 / replicates + 1 / n) * (1 - g) + (x0 - mean) ** 2 / sxx
    half = quantile * s / line.slope * np.sqrt(inner) / (1 - g)
    found = count_cells(y0, line, replicates=replicates)
    np.testing.assert_allclose(found.value, x0, rtol=1e-12)
    np.testing.assert_allclose(found.low, middle - half, rtol=1e-9)
    np.testing.assert_allclose(found.high, middle + half, rtol=1e-9)
    assert list(found.flag) == ["", "", ""]


@pytest.mark.parametrize("weights", ["none", "1/x", "1/x2", "auto"])
def test_the_interval_holds_just_the_x_whose_t_ratio_is_within_its_quantile(weights):
    from scipy.stats import t

    line = calibration(1, weights, 1.0, 0.02)
    y0 = 120.0
    found = count_cells(y0, line)
    variance = float(line.variance_model.variance((y0 - line.intercept) / line.slope, y0))
    quantile = t.ppf(0.975, float(line.variance_model.degrees_of_freedom_at(y0)))
    for x in (found.low, found.high):
        sd = np.sqrt(variance + line.line_variance_at(x))
        assert abs(y0 - line.signal_at(x)) / sd == pytest.approx(quantile, rel=1e-9)


def test_intervals_of_an_unweighted_line_cover_95_percent():
    truth = np.array([2e4, 1e5, 4e5])
    rng = np.random.default_rng(7)
    inside = {1: np.zeros(3), 3: np.zeros(3)}
    for seed in range(1500):
        line = calibration(seed + 100)
        for m, covered in inside.items():
            signal = 2.0 + 1e-3 * truth + 2.0 / np.sqrt(m) * rng.standard_normal(3)
            found = count_cells(signal, line, replicates=m)
            covered += (found.low <= truth) & (found.high >= truth)
    for covered in inside.values():
        # Three standard errors of a coverage over 1500 curves are 1.7 %; the benchmark runs 10,000.
        np.testing.assert_allclose(covered / 1500, 0.95, atol=0.017)


def test_intervals_cover_under_multiplicative_scatter_when_the_variance_is_fitted():
    truth = np.array([2e4, 1e5, 4e5])
    rng = np.random.default_rng(8)
    covered = np.zeros(3)
    for seed in range(120):
        line = calibration(seed, "auto", 1.0, 0.02)
        mu = 2.0 + 1e-3 * truth
        found = count_cells(mu + np.hypot(1.0, 0.02 * mu) * rng.standard_normal(3), line)
        covered += (found.low <= truth) & (found.high >= truth)
    # Three standard errors of a coverage over 120 curves are 6 %. OLS covers 100 % low and 63 % high here.
    assert np.all(covered / 120 > 0.89)


def test_one_blank_in_twenty_is_taken_for_something():
    rng = np.random.default_rng(9)
    seen = 0
    for seed in range(1000):
        found = count_cells(2.0 + 2.0 * rng.standard_normal(10), calibration(seed + 5000))
        seen += sum("below_detection" not in flag for flag in found.flag)
    # Ten blanks of one curve hang together: three standard errors are about 1 %.
    assert seen / 10000 == pytest.approx(0.05, abs=0.012)


def test_own_error_adds_in_quadrature_and_brings_its_own_degrees_of_freedom():
    line = calibration()
    plain, wide = count_cells(150.0, line), count_cells(150.0, line, own_sd=30.0)
    # 30 beside a scatter of 2: the interval is the normal one, not the t one of 19 degrees of freedom.
    expected = 2 * 1.959964 * np.hypot(30.0, line.residual_sd) / line.slope
    assert float(wide.high - wide.low) == pytest.approx(expected, rel=2e-3)
    assert plain.high - plain.low < wide.high - wide.low


def test_many_signals_get_the_interval_that_one_gets():
    line = calibration(2, "auto", 1.0, 0.02)
    rng = np.random.default_rng(3)
    signals, own = rng.uniform(20, 500, 5000), rng.uniform(0, 20, 5000)
    many = count_cells(signals, line, own_sd=own)
    for i in range(0, 5000, 500):
        one = count_cells(signals[i], line, own_sd=own[i])
        assert float(one.low) == pytest.approx(many.low[i], rel=1e-5)
        assert float(one.high) == pytest.approx(many.high[i], rel=1e-5)


def test_below_detection_there_is_a_bound_and_no_number():
    line = calibration()
    found = count_cells([-50.0, line.intercept, line.decision_signal() * 0.999], line)
    assert np.isnan(found.value).all()
    assert (found.low == 0).all()
    # A signal far below a blank's bounds no lower than the decision limit.
    assert (found.high >= line.decision_limit * (1 - 1e-12)).all()
    assert set(found.flag) == {"below_detection"}


def test_the_larger_of_the_curves_and_the_images_limit_decides_signal_by_signal():
    line = calibration()
    found = count_cells([60.0, 60.0], line, detection_signal=[0.0, 80.0])
    assert list(found.flag) == ["", "below_detection"]
    assert found.high[1] >= (80.0 - line.intercept) / line.slope * (1 - 1e-12)


def test_above_the_range_the_extrapolated_number_stays():
    found = count_cells(1000.0, calibration())
    assert found.flag[()] == "above_calibration"
    assert found.low < found.value < found.high


def test_a_slope_that_could_be_zero_gives_a_number_without_an_interval():
    line = fit_calibration([0, 1, 2, 3], [0.0, 5.0, 1.0, 6.0], kind="in-cells", weights="none")
    found = count_cells(40.0, line)
    assert found.flag[()] == "above_calibration;no_finite_interval"
    assert np.isfinite(found.value)
    assert np.isnan(found.low)
    assert np.isnan(found.high)


@given(st.floats(25.0, 490.0), st.floats(0.5, 0.99))
@settings(deadline=None, max_examples=50)
def test_a_wider_level_holds_the_narrower(signal, level):
    narrow = count_cells(signal, calibration(), level=level)
    wide = count_cells(signal, calibration(), level=level + 0.5 * (1 - level))
    assert wide.low <= narrow.low <= narrow.value <= narrow.high <= wide.high


@pytest.mark.parametrize(
    ("settings_given", "words"),
    [({"replicates": 0}, "1 replicate"), ({"own_sd": -1.0}, "negative"), ({"level": 95.0}, "between 0 and 1")],
)
def test_settings_that_mean_nothing_are_refused_by_count(settings_given, words):
    with pytest.raises(CalibrationError, match=words):
        count_cells(100.0, calibration(), **settings_given)


def test_counts_keep_the_shape_of_the_signals():
    found = count_cells(np.full((2, 3), 150.0), calibration())
    assert found.value.shape == found.flag.shape == (2, 3)


@pytest.mark.parametrize("weights", ["none", "auto"])
def test_an_estimates_error_is_that_of_the_interval(weights):
    line = calibration(0, weights)
    cells = cell_estimate(Estimate(150.0, 3.0), line)
    variance = float(line.variance_model.variance(cells.value, 150.0)) + 9.0
    assert cells.own_sd == pytest.approx(np.sqrt(variance) / line.slope, rel=1e-12)
    assert cells.shared_sd == pytest.approx(np.sqrt(line.line_variance_at(cells.value)) / line.slope, rel=1e-9)


def test_estimates_of_one_line_share_its_error_as_its_covariance_says():
    line = calibration()
    first, second = cell_estimate(Estimate(100.0), line), cell_estimate(Estimate(400.0), line)
    covariance = sum(sd * second.shared[name] for name, sd in first.shared.items())
    (aa, ab), (_, bb) = line.covariance
    expected = (aa + ab * (first.value + second.value) + bb * first.value * second.value) / line.slope**2
    assert covariance == pytest.approx(expected, rel=1e-9)


def test_the_signal_of_a_number_of_cells_carries_the_lines_error_and_cancels_on_the_way_back():
    line = calibration()
    signal = signal_estimate(2e5, line)
    assert signal.value == pytest.approx(line.signal_at(2e5), rel=1e-12)
    assert signal.own_sd == 0
    assert signal.shared_sd == pytest.approx(np.sqrt(line.line_variance_at(2e5)), rel=1e-9)
    back = cell_estimate(signal, line)
    assert back.value == pytest.approx(2e5, rel=1e-12)
    # Whatever the line's error, the number that went in comes out.
    assert back.shared_sd < 1e-9 * 2e5
