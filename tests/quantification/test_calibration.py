"""Calibration lines against NIST's certified values, statsmodels, and simulated samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mpi_track.errors import CalibrationError, CalibrationMismatchError
from napari_mpi_track.quantification.calibration import (
    CalibrationKind,
    fit_calibration,
    mismatches,
    require_match,
    require_needed,
)
from napari_mpi_track.quantification.linear_fit import fit_line

# NIST StRD Norris, https://www.itl.nist.gov/div898/strd/lls/data/Norris.shtml: (y, x), then the certified values.
NORRIS = np.array(
    [
        (0.1, 0.2), (338.8, 337.4), (118.1, 118.2), (888.0, 884.6), (9.2, 10.1), (228.1, 226.5), (668.5, 666.3),
        (998.5, 996.3), (449.1, 448.6), (778.9, 777.0), (559.2, 558.2), (0.3, 0.4), (0.1, 0.6), (778.1, 775.5),
        (668.8, 666.9), (339.3, 338.0), (448.9, 447.5), (10.8, 11.6), (557.7, 556.0), (228.3, 228.1), (998.0, 995.8),
        (888.8, 887.6), (119.6, 120.2), (0.3, 0.3), (0.6, 0.3), (557.6, 556.8), (339.3, 339.1), (888.0, 887.2),
        (998.5, 999.0), (778.9, 779.0), (10.2, 11.1), (117.6, 118.3), (228.9, 229.2), (668.4, 669.1), (449.2, 448.9),
        (0.2, 0.5),
    ]
)  # fmt: skip
# NIST StRD NoInt1 and NoInt2, lines through the origin: x, y, slope, its SD, residual SD, R squared.
NO_INTERCEPT = {
    "NoInt1": (
        np.arange(60.0, 71.0), np.arange(130.0, 141.0),
        2.07438016528926, 0.165289256198347e-01, 3.56753034006338, 0.999365492298663,
    ),
    "NoInt2": (
        np.array([4.0, 5.0, 6.0]), np.array([3.0, 4.0, 4.0]),
        0.727272727272727, 0.420827318078432e-01, 0.369274472937998, 0.993348115299335,
    ),
}  # fmt: skip
LEVELS = np.repeat([0.0, 1e4, 5e4, 1e5, 2e5, 5e5], 3)


def simulated(seed=0, relative=0.02):
    rng = np.random.default_rng(seed)
    mu = 3.0 + 1e-3 * LEVELS
    return mu + np.hypot(1.0, relative * mu) * rng.standard_normal(LEVELS.size)


def test_norris_agrees_with_nists_certified_digits():
    fit = fit_calibration(NORRIS[:, 1], NORRIS[:, 0], kind="in-cells", weights="none")
    certified = {
        "intercept": -0.262323073774029,
        "intercept_se": 0.232818234301152,
        "slope": 1.00211681802045,
        "slope_se": 0.429796848199937e-03,
        "residual_sd": 0.884796396144373,
        "r_squared": 0.999993745883712,
    }
    for name, value in certified.items():
        assert getattr(fit, name) == pytest.approx(value, rel=1e-11), name
    assert fit.degrees_of_freedom == 34


@pytest.mark.parametrize("name", NO_INTERCEPT)
def test_lines_through_the_origin_agree_with_nists_certified_digits(name):
    x, y, slope, slope_se, residual_sd, r_squared = NO_INTERCEPT[name]
    fit = fit_calibration(x, y, kind="in-cells", weights="none", through_origin=True)
    assert (fit.intercept, fit.intercept_se) == (0.0, 0.0)
    assert fit.slope == pytest.approx(slope, rel=1e-13)
    assert fit.slope_se == pytest.approx(slope_se, rel=1e-12)
    assert fit.residual_sd == pytest.approx(residual_sd, rel=1e-12)
    assert fit.r_squared == pytest.approx(r_squared, rel=1e-13)


@pytest.mark.parametrize("through_origin", [False, True])
@pytest.mark.parametrize(("weights", "power"), [("none", 0), ("1/x", 1), ("1/x2", 2)])
def test_weighted_lines_agree_with_statsmodels(weights, power, through_origin):
    import statsmodels.api as sm

    y = simulated()
    floored = np.maximum(LEVELS, 1e4)
    design = LEVELS[:, None] if through_origin else sm.add_constant(LEVELS)
    theirs = sm.WLS(y, design, weights=floored ** -float(power)).fit()
    ours = fit_calibration(LEVELS, y, kind="in-cells", weights=weights, through_origin=through_origin)
    covariance = np.array(ours.covariance)[1:, 1:] if through_origin else np.array(ours.covariance)
    found = [ours.slope] if through_origin else [ours.intercept, ours.slope]
    np.testing.assert_allclose(found, theirs.params, rtol=1e-9)
    np.testing.assert_allclose(covariance, theirs.cov_params(), rtol=1e-9)
    assert ours.r_squared == pytest.approx(theirs.rsquared, rel=1e-9)
    assert ours.degrees_of_freedom == theirs.df_resid


@pytest.mark.parametrize(("seed", "relative"), [(3, 0.05), (4, 0.02), (7, 0.1), (8, 0.1), (9, 0.1)])
def test_reml_weights_are_those_of_a_direct_maximum_of_the_restricted_likelihood(seed, relative):
    from scipy.optimize import minimize

    y = simulated(seed, relative)
    ours = fit_calibration(LEVELS, y, kind="in-cells", weights="auto")
    mu = ours.intercept + ours.slope * LEVELS
    design = np.column_stack([np.ones_like(LEVELS), LEVELS / 1e5])

    def deviance(logs):
        # Written with matrices and both variances free, as in a textbook.
        inverse = np.diag(1 / (np.exp(2 * logs[0]) + np.exp(2 * logs[1]) * mu**2))
        information = design.T @ inverse @ design
        residual = y - design @ np.linalg.solve(information, design.T @ inverse @ y)
        return -np.linalg.slogdet(inverse)[1] + np.linalg.slogdet(information)[1] + residual @ inverse @ residual

    found = minimize(deviance, np.log([1.0, 0.05]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert ours.variance_model.sd == pytest.approx(np.exp(found.x[0]), rel=1e-4)
    assert ours.variance_model.relative_sd == pytest.approx(np.exp(found.x[1]), rel=1e-4)


def test_reml_finds_no_relative_scatter_where_there_is_none():
    rng = np.random.default_rng(4)
    x = np.repeat(np.linspace(0, 1e5, 40), 10)
    fit = fit_calibration(x, 3 + 1e-3 * x + rng.standard_normal(x.size), kind="in-cells")
    assert fit.variance_model.sd == pytest.approx(1.0, rel=0.1)
    # Its square is known to 2.3e-5 (from the information): zero within two of that.
    assert fit.variance_model.relative_sd**2 < 2 * 2.3e-5


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=8, unique=True), st.integers(-50, 50), st.integers(1, 99))
@settings(deadline=None, max_examples=60)
def test_samples_without_scatter_have_their_line(levels, intercept, slope):
    x = np.array(levels, dtype=float)
    fit = fit_calibration(x, intercept + slope * x, kind="in-cells")
    assert fit.slope == pytest.approx(slope, rel=1e-6)


def test_pooled_replicates_scatter_as_anova_says():
    y = simulated()
    fit = fit_calibration(LEVELS, y, kind="in-cells", weights="replicates")
    within = y.reshape(-1, 3).var(axis=1, ddof=1)
    assert fit.variance_model.sd == pytest.approx(np.sqrt(within.mean()), rel=1e-12)
    assert fit.degrees_of_freedom == 12


def test_lack_of_fit_agrees_with_statsmodels_comparison_of_models():
    import statsmodels.api as sm

    y = simulated() + 1e-11 * LEVELS**2 * 40
    line = sm.OLS(y, sm.add_constant(LEVELS)).fit()
    means = sm.OLS(y, np.equal.outer(LEVELS, np.unique(LEVELS)).astype(float)).fit()
    f_ratio, p_value, _ = means.compare_f_test(line)
    ours = fit_calibration(LEVELS, y, kind="in-cells", weights="none").lack_of_fit
    assert ours.f_ratio == pytest.approx(f_ratio, rel=1e-8)
    assert ours.p_value == pytest.approx(p_value, rel=1e-6)
    assert ours.degrees_of_freedom == (4, 12)


def test_a_bent_curve_is_said_to_be_bent():
    fit = fit_calibration(LEVELS, simulated() + 1e-9 * LEVELS**2, kind="in-cells", weights="none")
    assert any("straight line" in sentence for sentence in fit.weak_points)


def test_limits_of_an_unweighted_line_are_the_textbooks():
    from scipy.stats import t

    y = simulated()
    fit = fit_calibration(LEVELS, y, kind="in-cells", weights="none")
    n, mean = LEVELS.size, LEVELS.mean()
    sxx = np.sum((LEVELS - mean) ** 2)
    decision = t.ppf(0.95, n - 2) * fit.residual_sd * np.sqrt(1 + 1 / n + mean**2 / sxx) / fit.slope
    assert fit.decision_limit == pytest.approx(decision, rel=1e-10)
    assert fit.detection_limit == pytest.approx(2 * decision, rel=1e-10)
    assert fit.lod_3_3_sd == pytest.approx(3.3 * fit.residual_sd / fit.slope, rel=1e-12)
    assert fit.loq_10_sd == pytest.approx(10 * fit.residual_sd / fit.slope, rel=1e-12)
    assert fit.blank_mean_3_sd == pytest.approx(y[:3].mean() + 3 * y[:3].std(ddof=1), rel=1e-12)
    assert fit.x_range == (1e4, 5e5)


def test_a_mean_of_more_replicates_is_decided_lower():
    fit = fit_calibration(LEVELS, simulated(), kind="in-cells", weights="none")
    assert fit.decision_signal(3) < fit.decision_signal(1)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.sampled_from(["none", "auto", "replicates", "1/x", "1/x2"]))
@settings(deadline=None, max_examples=30)
def test_a_line_does_not_depend_on_units(of_x, of_signal, weights):
    y = simulated()
    one = fit_calibration(LEVELS, y, kind="in-cells", weights=weights)
    other = fit_calibration(LEVELS * of_x, y * of_signal, kind="in-cells", weights=weights)
    # The search for REML's share of variance ends at 1e-7, which reaches the limits at 1e-5.
    tolerance = 1e-4 if weights == "auto" else 1e-9
    assert other.slope == pytest.approx(one.slope * of_signal / of_x, rel=tolerance)
    assert other.intercept == pytest.approx(one.intercept * of_signal, rel=tolerance)
    assert other.decision_limit == pytest.approx(one.decision_limit * of_x, rel=tolerance)


def test_samples_far_from_zero_lose_no_digits():
    x = 1e8 + np.arange(10.0)
    fit = fit_line(x, 7.0 + 3.0 * (x - 1e8))
    assert fit.slope == pytest.approx(3.0, rel=1e-12)
    assert fit.weighted_ss < 1e-20


def test_an_exact_line_is_fitted_with_every_kind_of_weights():
    for weights in ("none", "auto", "replicates", "1/x", "1/x2"):
        fit = fit_calibration(LEVELS, 3.0 + 1e-3 * LEVELS, kind="in-cells", weights=weights)
        assert fit.slope == pytest.approx(1e-3, rel=1e-9)
        assert fit.decision_limit < 1e-3


@pytest.mark.parametrize(
    ("x", "signal", "words"),
    [
        ([0, 1e4, 1e4], [1, 2, 3], "3 different x or more, got 2"),
        ([0, 1e4, 2e4], [5, 5, 5], "the signal is 5 in every sample"),
        ([0, 1e4, 2e4], [9, 5, 2], "must rise with x"),
        ([0, 1e4, -2e4], [1, 2, 3], "must not be negative"),
        ([0, 1e4, 2e4], [1, 2, np.nan], "finite"),
        ([0, 1e4, 2e4], [1, 2], "got 3 and 2"),
    ],
)
def test_samples_that_make_no_line_are_refused_with_their_file(x, signal, words):
    with pytest.raises(CalibrationError, match=words) as raised:
        fit_calibration(x, signal, kind="in-cells", table="samples.csv")
    assert "samples.csv" in str(raised.value)


@pytest.mark.parametrize(
    ("settings_given", "words"),
    [
        ({"kind": "in-mice"}, "solution-fixed-volume"),
        ({"kind": "in-cells", "x_quantity": "iron_ng"}, "against cells, got iron_ng"),
        ({"kind": "in-cells", "weights": "1/y"}, "weights must be one of"),
        ({"kind": "in-cells", "colour": "red"}, "says nothing of colour"),
        ({"kind": "in-cells", "metric": "mean"}, "total or maximum"),
        ({"kind": "in-cells", "dimensions": 4}, "2 .projection. or 3"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings_given, words):
    with pytest.raises(CalibrationError, match=words):
        fit_calibration(LEVELS, simulated(), **settings_given)


def test_pooling_without_replicates_is_refused():
    with pytest.raises(CalibrationError, match="every x is there once"):
        fit_calibration([0, 1e4, 2e4, 3e4], [1, 12, 20, 31], kind="in-cells", weights="replicates")


def test_every_difference_between_a_scan_and_the_curve_is_named():
    fit = fit_calibration(
        LEVELS,
        simulated(),
        kind="in-cells",
        tracer="ProMag",
        metric="total",
        dimensions=3,
        scan_mode="high gain",
    )
    assert mismatches(fit, tracer="promag ", metric="total", dimensions=3, cell_type="D1 MSC", scan_mode=None) == []
    with pytest.raises(CalibrationMismatchError) as raised:
        require_match(fit, tracer="VivoTrax", dimensions=2, scan_mode="high gain", file="scan.nii")
    text = str(raised.value)
    assert "tracer (calibration: ProMag, scan: VivoTrax)" in text
    assert "dimensions (calibration: 3, scan: 2)" in text
    assert "scan_mode" not in text
    assert "scan.nii" in text


def test_a_named_difference_is_overridden_and_no_other():
    fit = fit_calibration(
        LEVELS, simulated(), kind="in-cells", tracer="ProMag", scan_mode="high gain", field_of_view="60 x 60 x 100 mm"
    )
    scan = {"tracer": "VivoTrax", "scan_mode": "high speed", "field_of_view": "60x60x100 mm"}
    [one, two] = require_match(fit, override=["tracer", "scan_mode"], **scan)
    assert str(one) == "tracer (calibration: ProMag, scan: VivoTrax)"
    assert two.name == "scan_mode"
    with pytest.raises(CalibrationMismatchError, match="scan_mode") as raised:
        require_match(fit, override=["tracer"], **scan)
    assert "VivoTrax" not in str(raised.value)


def test_an_override_of_nothing_is_refused():
    fit = fit_calibration(LEVELS, simulated(), kind="in-cells", tracer="ProMag")
    overridden = require_match(fit, override=["tracer"], tracer="VivoTrax")
    require_needed(["tracer"], overridden)
    with pytest.raises(CalibrationError, match="nothing differs in batch"):
        require_needed(["tracer", "batch"], overridden)
    with pytest.raises(CalibrationError, match="says nothing of colour"):
        require_match(fit, override=["colour"], tracer="ProMag")


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"iron_per_cell_pg": 0.0}, "iron per cell must be positive"),
        ({"iron_per_cell_pg": float("nan")}, "iron per cell must be positive"),
        ({"labelling_efficiency_percent": 101.0}, "between 0 and 100"),
        ({"viability_percent": -1.0}, "between 0 and 100"),
    ],
)
def test_impossible_facts_of_cells_are_refused(description, words):
    with pytest.raises(CalibrationError, match=words):
        fit_calibration(LEVELS, simulated(), kind="in-cells", **description)


def test_kinds_are_never_interchangeable():
    fit = fit_calibration(LEVELS, simulated(), kind="solution-fixed-volume")
    assert fit.x_quantity == "iron_ng"
    with pytest.raises(CalibrationMismatchError, match="kind"):
        require_match(fit, kind=CalibrationKind.SOLUTION_FIXED_CONCENTRATION)


def test_a_fact_that_no_calibration_knows_is_refused():
    with pytest.raises(CalibrationError, match="gradient"):
        mismatches(fit_calibration(LEVELS, simulated(), kind="in-cells"), gradient=5.7)


def test_samples_cannot_be_changed_after_the_fit():
    fit = fit_calibration(LEVELS, simulated(), kind="in-cells")
    with pytest.raises(ValueError, match="read-only"):
        fit.signal[0] = 7.0
