"""Two curves against each other: as statsmodels tests them, with intervals that hold what they say."""

from dataclasses import replace

import numpy as np
import pytest

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.curve_comparison import compare_curves, percent_difference

IRON = np.repeat([0.0, 50, 100, 200, 400, 800], 3)


def curve(rng, slope, scatter=3.0, intercept=5.0, x=IRON, relative=0.0, weights="none", **description):
    mu = intercept + slope * x
    signal = mu + rng.normal(0, 1, x.size) * np.hypot(scatter, relative * mu)
    kind = description.pop("kind", "solution-fixed-concentration")
    return fit_calibration(x, signal, kind=kind, weights=weights, **description)


def test_the_test_of_equal_slopes_is_the_analysis_of_covariance_of_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    first, second = curve(rng, 1.0), curve(rng, 0.99, x=np.repeat([0.0, 30, 90, 250, 700], 2), kind="in-cells-iron")
    found = compare_curves(first, second).equal_slopes
    x = np.concatenate([first.x, second.x])
    y = np.concatenate([first.signal, second.signal])
    is_second = np.repeat([0.0, 1.0], [first.x.size, second.x.size])
    design = np.column_stack([np.ones_like(x), x, is_second, is_second * x])
    full = sm.OLS(y, design).fit()
    ratio, p, _ = full.compare_f_test(sm.OLS(y, design[:, :3]).fit())
    np.testing.assert_allclose(found.f_ratio, ratio, rtol=1e-9)
    np.testing.assert_allclose(found.p_value, p, rtol=1e-8)
    assert found.degrees_of_freedom == full.df_resid


def test_weighted_curves_are_tested_as_statsmodels_tests_them_with_the_same_weights():
    import statsmodels.api as sm

    rng = np.random.default_rng(7)
    first, second = (curve(rng, slope, relative=0.02, weights=w) for slope, w in ((1.0, "auto"), (0.99, "1/x2")))
    found = compare_curves(first, second).equal_slopes
    x, y = np.concatenate([first.x, second.x]), np.concatenate([first.signal, second.signal])
    of_auto, of_x = first.variance_model, second.variance_model
    fitted = first.intercept + first.slope * first.x
    variance = [of_auto.sd**2 + (of_auto.relative_sd * fitted) ** 2, (of_x.sd * np.maximum(second.x, 50)) ** 2]
    is_second = np.repeat([0.0, 1.0], [first.x.size, second.x.size])
    design = np.column_stack([np.ones_like(x), x, is_second, is_second * x])
    weights = 1 / np.concatenate(variance)
    full = sm.WLS(y, design, weights=weights).fit()
    ratio, p, _ = full.compare_f_test(sm.WLS(y, design[:, :3], weights=weights).fit())
    np.testing.assert_allclose(found.f_ratio, ratio, rtol=1e-8)
    np.testing.assert_allclose(found.p_value, p, rtol=1e-8)


def test_equal_slopes_under_growing_scatter_are_refuted_in_five_of_a_hundred():
    rng = np.random.default_rng(8)
    pairs = ([curve(rng, 1.0, scatter=1.0, relative=0.03, weights="auto") for _ in range(2)] for _ in range(60))
    p = np.array([compare_curves(*pair).equal_slopes.p_value for pair in pairs])
    # 60 draws of 6.5 % (1,500 draws), SD 3.2 %; without weights it was 38 %.
    assert (p < 0.05).mean() <= 0.17


def test_equal_slopes_are_refuted_in_five_of_a_hundred():
    rng = np.random.default_rng(2)
    p = np.array(
        [
            [test.equal_slopes.p_value, test.equal_slopes_own_scatter.p_value]
            for test in (compare_curves(curve(rng, 1.0), curve(rng, 1.0)) for _ in range(600))
        ]
    )
    # 600 draws: 5 % +- 0.9 % SD.
    np.testing.assert_allclose((p < 0.05).mean(axis=0), 0.05, atol=0.027)


@pytest.mark.parametrize(("weights", "relative"), [("none", 0.0), ("auto", 0.03)])
def test_the_interval_of_a_reduction_covers_the_truth(weights, relative):
    rng = np.random.default_rng(3)
    truth = 100 * ((5 + 0.7 * 425) / (5 + 425) - 1)
    covered = slopes = 0
    count = 300 if weights == "none" else 120
    for _ in range(count):
        pair = (curve(rng, slope, relative=relative, weights=weights) for slope in (1.0, 0.7))
        found = compare_curves(*pair)
        covered += found.over_range.low <= truth <= found.over_range.high
        slopes += found.of_slopes.low <= -30 <= found.of_slopes.high
    # 300 draws: 95 % +- 1.3 % SD, 120: +- 2 %.
    assert 0.89 <= covered / count <= 0.99
    assert 0.89 <= slopes / count <= 0.99


def test_the_percentage_over_the_range_is_that_of_the_mean_signals():
    rng = np.random.default_rng(4)
    found = compare_curves(curve(rng, 1.0), curve(rng, 0.5))
    x = np.linspace(50, 800, 100_001)
    by_hand = 100 * (found.second.signal_at(x).mean() / found.first.signal_at(x).mean() - 1)
    np.testing.assert_allclose(found.over_range.value, by_hand, rtol=1e-9)
    assert found.common_range == (50, 800)
    np.testing.assert_allclose(found.x[[0, -1]], [50, 800])


def test_exact_lines_differ_by_exactly_so_much():
    x = np.array([0.0, 1, 2, 4])
    wiggle = np.array([1.0, -1, -1, 1]) * 1e-9
    first = fit_calibration(x, 10 * x + wiggle, kind="in-cells-iron", weights="none")
    second = fit_calibration(x, 3 * x + wiggle, kind="in-cells-iron", weights="none")
    found = compare_curves(first, second)
    np.testing.assert_allclose(found.at_x[:, 0], -70, atol=1e-6)
    np.testing.assert_allclose(found.of_slopes.value, -70, atol=1e-6)


def test_a_reference_that_may_be_zero_has_no_finite_interval():
    found = percent_difference((1.0, 1.0, 10), (2.0, 0.1, 10))
    assert found.value == 100
    assert not found.is_finite


def test_curves_that_cannot_be_compared_are_refused():
    rng = np.random.default_rng(5)
    iron, cells = curve(rng, 1.0), curve(rng, 1.0, kind="in-cells")
    with pytest.raises(CalibrationError, match="against iron_ng, the other against cells"):
        compare_curves(iron, cells)
    with pytest.raises(CalibrationError, match="of the total, the other of the maximum"):
        compare_curves(curve(rng, 1.0, metric="total"), curve(rng, 1.0, metric="maximum"))
    with pytest.raises(CalibrationError, match="no range in common: 50 to 800 and 1000 to 4000"):
        compare_curves(iron, curve(rng, 1.0, x=np.array([0.0, 1000, 2000, 4000])))
    with pytest.raises(CalibrationError, match="saved without"):
        compare_curves(iron, replace(iron, x=np.array([]), signal=np.array([])))
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        compare_curves(iron, iron, level=95)


def test_what_else_differs_is_named_but_not_the_kind():
    rng = np.random.default_rng(6)
    found = compare_curves(
        curve(rng, 1.0, tracer="ProMag", scan_mode="2-D"),
        curve(rng, 0.7, tracer="VivoTrax", scan_mode="2-d", kind="in-cells-iron", cell_type="MSC"),
    )
    assert [d.name for d in found.differences] == ["tracer"]
