"""Decay: exact curves come back, intervals cover, too little is refused, and nothing is invented."""

import csv
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.decay import fit_decay

FOUR = np.array([0.0, 1.0, 3.0, 7.0])
FIVE = np.array([0.0, 1.0, 3.0, 7.0, 30.0])
TEN = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0])
CURVES = {
    "plateau": (70 * np.exp(-0.3 * TEN) + 25, {"amplitude": 70, "rate_per_day": 0.3, "plateau": 25}),
    "weibull": (100 * np.exp(-((TEN / 5) ** 0.6)), {"amplitude": 100, "scale_days": 5, "shape": 0.6}),
    "biexponential": (
        60 * np.exp(-0.8 * TEN) + 40 * np.exp(-0.05 * TEN),
        {"amplitude_fast": 60, "rate_fast_per_day": 0.8, "amplitude_slow": 40, "rate_slow_per_day": 0.05},
    ),
}


@given(st.floats(0.3, 30.0), st.floats(1e-6, 1e9), st.sampled_from([FOUR, FIVE, FOUR + 1, TEN]))
@settings(deadline=None, max_examples=60)
def test_an_exact_exponential_gives_its_half_life_whatever_the_unit(half_life, amplitude, days):
    values = amplitude * 2 ** (-days / half_life)
    fit = fit_decay(days, values, errors=np.full(days.size, 0.02 * amplitude), model="exponential")
    assert fit.half_life_days == pytest.approx(half_life, rel=1e-6)
    assert fit.parameters["amplitude"] == pytest.approx(amplitude, rel=1e-6)
    np.testing.assert_allclose(fit.curve(days), values, rtol=1e-5)
    assert fit.flag in ("", "no_finite_interval")


@pytest.mark.parametrize("name", CURVES)
def test_an_exact_curve_of_every_model_gives_its_parameters(name):
    values, parameters = CURVES[name]
    fit = fit_decay(TEN, values, errors=np.ones(10), model=name)
    assert fit.parameters == pytest.approx(parameters, rel=1e-5)
    assert fit.curve(fit.half_life_days) == pytest.approx(values[0] / 2, rel=1e-6)
    assert fit.low < fit.half_life_days < fit.high
    # One clear model must also be the one that is chosen.
    assert fit_decay(TEN, values, errors=np.full(10, 0.3)).model == name


def test_the_fit_is_that_of_scipys_least_squares():
    from scipy.optimize import curve_fit

    rng = np.random.default_rng(0)
    sd = np.array([4.0, 3.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    values = 100 * np.exp(-0.2 * TEN) + sd * rng.standard_normal(10)
    theirs, _ = curve_fit(lambda t, a, k: a * np.exp(-k * t), TEN, values, [90, 0.1], sd, xtol=1e-14, ftol=1e-14)
    ours = fit_decay(TEN, values, errors=sd, model="exponential")
    assert [ours.parameters["amplitude"], ours.rate_per_day] == pytest.approx(theirs, rel=1e-6)
    residuals = values - theirs[0] * np.exp(-theirs[1] * TEN)
    assert ours.aicc == pytest.approx(np.sum((residuals / sd) ** 2) + 4 + 12 / 7, rel=1e-8)


def test_profile_limits_are_where_the_best_other_fit_is_one_cut_worse():
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(1)
    values = 100 * 2 ** (-TEN / 4) + 3 * rng.standard_normal(10)
    fit = fit_decay(TEN, values, errors=np.full(10, 3.0), model="exponential")

    def chi_square(half_life):
        return minimize_scalar(lambda a: np.sum((values - a * 2 ** (-TEN / half_life)) ** 2) / 9).fun

    for limit in (fit.low, fit.high):
        assert chi_square(limit) - chi_square(fit.half_life_days) == pytest.approx(3.841459, rel=1e-4)


@pytest.mark.parametrize(
    ("days", "has_errors", "relative"), [(FOUR, True, 0.0), (FIVE, True, 0.05), (FIVE, False, 0.0), (TEN, False, 0.0)]
)
def test_95_percent_of_intervals_hold_the_half_life(days, has_errors, relative):
    rng = np.random.default_rng(2)
    truth = 100 * 2 ** (-days / 3.0)
    sd = np.hypot(4.0, relative * truth)
    covered, runs = 0, 400
    for _ in range(runs):
        values = truth + sd * rng.standard_normal(days.size)
        fit = fit_decay(days, values, errors=sd if has_errors else None, model="exponential")
        covered += (fit.low is None or fit.low <= 3.0) and (fit.high is None or fit.high >= 3.0)
    # Three standard errors over 400 curves are 3.3 %.
    assert covered / runs == pytest.approx(0.95, abs=0.033)


def test_the_half_life_is_within_ten_percent_at_five_percent_noise():
    rng = np.random.default_rng(3)
    for half_life in (1.5, 3.0, 6.0):
        truth = 100 * 2 ** (-FIVE / half_life)
        found = []
        for _ in range(40):
            sd = np.hypot(1.0, 0.05 * truth)
            found.append(fit_decay(FIVE, truth + sd * rng.standard_normal(5), errors=sd).half_life_days)
        assert np.median(found) == pytest.approx(half_life, rel=0.03)
        assert np.mean(np.abs(np.array(found) / half_life - 1) < 0.10) > 0.75


def test_a_point_below_detection_is_a_bound_and_not_a_zero():
    rng = np.random.default_rng(4)
    days = np.array([0.0, 1.0, 3.0, 7.0, 14.0, 21.0])
    truth = 100 * 2 ** (-days / 4.0)
    by_bound, by_zero = [], []
    for _ in range(60):
        values = truth + 5 * rng.standard_normal(6)
        below = values < 12
        common = {"errors": np.full(6, 5.0), "model": "exponential"}
        fit = fit_decay(days, values, censored_below=below, limits=np.full(6, 12.0), **common)
        assert fit.censored_points == below.sum()
        by_bound.append(fit.half_life_days)
        by_zero.append(fit_decay(days, np.where(below, 0, values), **common).half_life_days)
    assert np.median(by_bound) == pytest.approx(4.0, rel=0.05)
    assert np.median(by_zero) < np.median(by_bound)


@pytest.mark.parametrize("has_errors", [True, False])
def test_the_censored_likelihood_is_at_its_maximum(has_errors):
    from scipy.optimize import minimize
    from scipy.stats import norm

    days = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0])
    values = np.array([103.0, 74.0, 66.0, 41.0, 24.0, 12.0, 12.0])
    below = np.array([False] * 5 + [True] * 2)
    sd = np.array([4.0, 4.0, 4.0, 3.0, 3.0, 5.0, 5.0]) if has_errors else None

    def deviance(p):
        sigma = sd if has_errors else np.exp(p[2])
        mu = p[0] * np.exp(-p[1] * days)
        log_density = norm.logpdf(values, mu, sigma)
        return -2 * np.sum(np.where(below, norm.logcdf(values, mu, sigma), log_density))

    start = [100, 0.2, 1.0][: 2 if has_errors else 3]
    theirs = minimize(deviance, start, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 9999})
    ours = fit_decay(days, values, errors=sd, censored_below=below, model="exponential")
    assert ours.rate_per_day == pytest.approx(theirs.x[1], rel=1e-5)
    assert ours.parameters["amplitude"] == pytest.approx(theirs.x[0], rel=1e-5)


def test_true_exponentials_are_seldom_taken_for_something_richer():
    rng = np.random.default_rng(5)
    truth = 100 * 2 ** (-TEN / 4.0)
    chosen = [fit_decay(TEN, truth + 3 * rng.standard_normal(10), errors=np.full(10, 3.0)).model for _ in range(30)]
    assert chosen.count("exponential") >= 25


@pytest.mark.parametrize(("count", "has_errors"), [(3, True), (4, False)])
def test_too_few_points_are_refused_with_the_reason(count, has_errors):
    days = FOUR[:count]
    fit = fit_decay(days, 100 * 2 ** (-days / 3), errors=np.ones(count) if has_errors else None)
    assert (fit.flag, fit.model, fit.half_life_days) == ("too_few_points", "", None)
    assert f"needs {count + 1} points" in fit.reason
    assert f"got {count} points on {count} days" in fit.reason
    assert np.isnan(fit.curve([0.0, 1.0])).all()


def test_four_scans_allow_the_exponential_only():
    values = 100 * 2 ** (-FOUR / 3)
    assert fit_decay(FOUR, values, errors=np.ones(4)).model == "exponential"
    refused = fit_decay(FOUR, values, errors=np.ones(4), model="plateau")
    assert "plateau decay with known errors needs 5" in refused.reason


def test_repeated_measurements_of_two_days_are_too_few_days():
    fit = fit_decay([0, 0, 0, 1, 1, 1], [10, 11, 9, 5, 6, 4], errors=np.ones(6))
    assert fit.flag == "too_few_points"
    assert "6 points on 2 days" in fit.reason


def test_an_organ_that_is_never_seen_has_no_decay():
    fit = fit_decay(FIVE, np.full(5, 3.0), errors=np.ones(5), censored_below=np.ones(5, bool))
    assert fit.flag == "too_few_points"
    assert "0 above detection" in fit.reason


def test_a_rising_organ_has_a_negative_rate_and_no_half_life():
    fit = fit_decay(FIVE, [20, 30, 45, 60, 80], errors=np.full(5, 3.0), model="exponential")
    assert fit.flag == "rising"
    assert fit.rate_per_day < 0
    assert (fit.half_life_days, fit.low, fit.high) == (None, None, None)


@pytest.mark.parametrize("model", ["plateau", "weibull"])
def test_a_rising_organ_has_no_half_life_under_any_model(model):
    fit = fit_decay(FIVE, [20, 30, 45, 60, 80], errors=np.full(5, 3.0), model=model)
    assert fit.flag == "rising"
    assert fit.half_life_days is None


def test_a_decay_that_may_be_none_has_a_lower_limit_only():
    fit = fit_decay(FOUR, [100, 98, 101, 90], errors=np.full(4, 8.0))
    assert fit.flag == "no_finite_interval"
    assert fit.low < fit.half_life_days
    assert fit.high is None


def test_a_plateau_above_one_half_has_no_half_life():
    fit = fit_decay(TEN, 30 * np.exp(-0.5 * TEN) + 70, errors=np.ones(10), model="plateau")
    assert fit.plateau_percent == pytest.approx(70, rel=1e-4)
    assert fit.half_life_days is None
    assert "above one half" in fit.reason


def test_signal_that_is_all_noise_below_zero_gives_no_half_life():
    fit = fit_decay(FOUR, [-3.0, -2.0, -1.0, -1.5], errors=np.ones(4))
    assert fit.flag == "below_detection"
    assert fit.half_life_days is None


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_fit_does_not_depend_on_the_unit(scale):
    rng = np.random.default_rng(6)
    values = 100 * 2 ** (-TEN / 4) + 4 * rng.standard_normal(10)
    below = values < 9
    one = fit_decay(TEN, values, censored_below=below, limits=np.full(10, 9.0), model="exponential")
    other = fit_decay(TEN, scale * values, censored_below=below, limits=np.full(10, 9 * scale), model="exponential")
    for name in ("half_life_days", "low", "high"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-5)


def test_the_order_of_the_days_does_not_matter():
    values, errors = np.array([100.0, 82.0, 47.0, 21.0, 1.0]), np.array([4.0, 3.0, 2.0, 2.0, 2.0])
    order = [3, 0, 4, 2, 1]
    assert fit_decay(FIVE, values, errors=errors).low == fit_decay(FIVE[order], values[order], errors=errors[order]).low


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"errors": [1, 1, 0, 1]}, "above 0"),
        ({"errors": [1, 1]}, "one entry per time"),
        ({"model": "linear"}, "auto or one of exponential"),
        ({"limits": [1, np.nan, 1, 1], "censored_below": [False, True, False, False]}, "finite"),
    ],
)
def test_input_that_means_nothing_is_refused(given, words):
    with pytest.raises(TableError, match=words):
        fit_decay(FOUR, [100, 80, 50, 20], **given)


def test_a_fit_survives_pickling():
    fit = fit_decay(FIVE, [100, 80, 50, 20, 1], errors=np.full(5, 3.0))
    assert pickle.loads(pickle.dumps(fit)).parameters == fit.parameters


@pytest.mark.real_data
def test_published_whole_body_retention_of_an_antibody_has_the_half_life_of_a_log_line(real_data):
    """111In-MN14: 148 h by a log-linear fit of the published means (SOURCE.txt); rising organs give none."""
    with (real_data / "biodistribution-tables" / "PMC1587614_T2_In111-MN14.csv").open() as table:
        rows = list(csv.DictReader(table))

    def organ(name):
        picked = [row for row in rows if row["organ"] == name]
        return (np.array([float(row[key]) for row in picked]) for key in ("time", "mean", "sd"))

    hours, percent, _ = organ("WholeBody(%ID)")
    assert fit_decay(hours / 24, percent, model="exponential").half_life_days * 24 == pytest.approx(148, rel=0.02)
    hours, percent, sd = organ("Liver")
    assert fit_decay(hours / 24, percent, errors=sd, model="exponential").flag in ("rising", "no_finite_interval")


def test_two_exponentials_of_twelve_points_are_told_from_a_weibull_curve():
    days = np.array([0, 0.5, 1, 2, 3, 5, 7, 10, 14, 18, 24, 30])
    truth = 60 * np.exp2(-days) + 40 * np.exp2(-days / 14)
    rng = np.random.default_rng(6)
    chosen = [fit_decay(days, truth + 3 * rng.standard_normal(12), errors=np.full(12, 3.0)).model for _ in range(12)]
    # 94 % of hundreds in benchmarks/decay_coverage.py.
    assert chosen.count("biexponential") >= 10


def test_values_that_are_all_nothing_have_no_decay_and_no_warning():
    fit = fit_decay([0, 1, 3, 7, 14], np.zeros(5))
    assert (fit.model, fit.flag, fit.points) == ("", "below_detection", 5)
    assert "no signal above zero" in fit.reason


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_values_beyond_arithmetic_are_refused(size):
    with pytest.raises(TableError, match="beyond what can be computed"):
        fit_decay([0, 1, 3, 7], size * np.array([1, 0.8, 0.5, 0.2]))


def test_points_further_from_the_curve_than_their_errors_are_told():
    days = np.array([0, 1, 3, 7.0])
    fit = fit_decay(days, [100, 60, 70, 30], errors=np.ones(4))
    assert "further from the curve than their errors" in fit.reason
    assert fit_decay(days, 100 * np.exp2(-days / 4), errors=np.ones(4)).reason == ""
