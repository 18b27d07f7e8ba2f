"""Sums of exponentials: certified digits, never worse than scipy, and curves do not touch each other."""

import warnings

import numpy as np
import pytest

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.exponential_sums import SumForm, fit_exponential_sums

# NIST Statistical Reference Datasets, nonlinear regression (certified to 11 digits, doi:10.18434/T43G6C). The fit takes
# no start, so the two starts of each set are one.
MISRA_1A = {
    "x": [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0],
    "y": [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78],
}
BOX_BOD = {"x": [1, 2, 3, 5, 7, 10], "y": [109, 149, 149, 191, 213, 224]}
MGH_17 = {
    "x": 10.0 * np.arange(33),
    "y": [
        0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603,
        0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411,
        0.406,
    ],
}  # fmt: skip
CERTIFIED = [
    (MISRA_1A, SumForm.UPTAKE, [2.3894212918e02, 5.5015643181e-04], 1.2455138894e-01),
    (BOX_BOD, SumForm.UPTAKE, [2.1380940889e02, 5.4723748542e-01], 1.1680088766e03),
    (
        MGH_17,
        SumForm.BIEXPONENTIAL_PLATEAU,
        [3.7541005211e-01, 1.9358469127e00, -1.4646871366e00, 1.2867534640e-02, 2.2122699662e-02],
        5.4648946975e-05,
    ),
]
SEVEN = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 14.0])


@pytest.mark.parametrize(("data", "form", "certified", "squares"), CERTIFIED, ids=["Misra1a", "BoxBOD", "MGH17"])
def test_nists_certified_values_come_back_to_ten_digits(data, form, certified, squares):
    fit = fit_exponential_sums(data["x"], data["y"], form=form)
    if form is SumForm.UPTAKE:
        found = [fit.amplitudes[0, 0], fit.rates_per_day[0, 0]]
    else:
        (fast, slow), (of_fast, of_slow) = fit.rates_per_day[:, 0], fit.amplitudes[:, 0]
        found = [fit.constant[0], of_slow, of_fast, slow, fast]
    assert found == pytest.approx(certified, rel=1e-10)
    assert fit.squares[0] == pytest.approx(squares, rel=1e-10)


def bi_exponentials(rng, count):
    fast, slow, part = rng.uniform(0.5, 3, count), rng.uniform(0.02, 0.2, count), rng.uniform(0.3, 0.7, (count, 1))
    return 100 * (part * np.exp(-np.outer(fast, SEVEN)) + (1 - part) * np.exp(-np.outer(slow, SEVEN)))


def two_terms(t, a, k, b, m):
    return a * np.exp(-k * t) + b * np.exp(-m * t)


def fitted(fit):
    since = SEVEN[:, None, None] - np.where(fit.rates_per_day >= 0, SEVEN[0], SEVEN[-1])
    return (np.sum(fit.amplitudes * np.exp(-fit.rates_per_day * since), axis=1) + fit.constant).T


def test_no_residual_is_worse_than_that_of_scipys_curve_fit():
    from scipy.optimize import curve_fit

    rng = np.random.default_rng(0)
    values = bi_exponentials(rng, 150)
    values += 3 * rng.standard_normal(values.shape)
    ours = fit_exponential_sums(SEVEN, values, form=SumForm.BIEXPONENTIAL)
    for row, squares in zip(values, ours.squares, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, _ = curve_fit(
                lambda t, a, k, b, m: a * np.exp(-k * t) + b * np.exp(-m * t),
                SEVEN,
                row,
                [50, 1, 50, 0.05],
                maxfev=9999,
            )
        left = row - two_terms(SEVEN, *theirs)
        # Two rates that meet are kept a little apart, which costs the squares their eighth digit.
        assert squares <= np.sum(left**2) * (1 + 1e-7)


def test_the_squares_are_those_of_the_curve_that_is_returned():
    rng = np.random.default_rng(1)
    values = bi_exponentials(rng, 50) + rng.standard_normal((50, 7))
    for form in (SumForm.EXPONENTIAL, SumForm.PLATEAU, SumForm.BIEXPONENTIAL):
        fit = fit_exponential_sums(SEVEN, values, form=form)
        np.testing.assert_allclose(np.sum((values - fitted(fit)) ** 2, axis=1), fit.squares, rtol=1e-5)


def test_exact_curves_come_back_whatever_their_scale():
    fast, slow = np.array([0.9, 2.0, 1.1]), np.array([0.1, 0.03, 0.3])
    part, size = np.array([0.4, 0.6, 0.5]), np.array([1e-9, 1.0, 1e9])
    values = part[:, None] * np.exp(-np.outer(fast, SEVEN)) + (1 - part)[:, None] * np.exp(-np.outer(slow, SEVEN))
    fit = fit_exponential_sums(SEVEN, size[:, None] * values, form=SumForm.BIEXPONENTIAL)
    np.testing.assert_allclose(fit.rates_per_day, [fast, slow], rtol=1e-6)
    np.testing.assert_allclose(fit.amplitudes, [size * part, size * (1 - part)], rtol=1e-6)


def test_a_curve_is_fitted_alike_alone_and_among_others():
    rng = np.random.default_rng(2)
    values = bi_exponentials(rng, 40) + 3 * rng.standard_normal((40, 7))
    sd = rng.uniform(1, 4, values.shape)
    together = fit_exponential_sums(SEVEN, values, form=SumForm.EXPONENTIAL, sd=sd)
    for at in (0, 17, 39):
        alone = fit_exponential_sums(SEVEN, values[at], form=SumForm.EXPONENTIAL, sd=sd[at])
        assert alone.rates_per_day[0, 0] == pytest.approx(together.rates_per_day[0, at], rel=1e-9)
        assert alone.squares[0] == pytest.approx(together.squares[at], rel=1e-9)


def test_a_missing_value_is_left_out():
    values = 100 * np.exp(-0.2 * SEVEN) + np.array([1, -2, 3, -1, 2, 1, -1.0])
    gaps = values.copy()
    gaps[2] = np.nan
    kept = np.delete(np.arange(7), 2)
    with_gap = fit_exponential_sums(SEVEN, gaps, form=SumForm.EXPONENTIAL)
    without = fit_exponential_sums(SEVEN[kept], values[kept], form=SumForm.EXPONENTIAL)
    assert with_gap.rates_per_day[0, 0] == pytest.approx(without.rates_per_day[0, 0], rel=1e-8)


@pytest.mark.parametrize(
    ("times", "values", "given", "words"),
    [
        ([0, 1, 1], [3, 2, 1], {}, "must rise"),
        ([0, 1, 2], [3, 2], {}, "need 3 values"),
        ([0, 1, 2], [3, 2, 1], {"sd": [1, 0, 1]}, "above 0"),
        ([0, 1, 2], [3, np.nan, np.nan], {}, "has 1 values"),
    ],
)
def test_curves_that_mean_nothing_are_refused(times, values, given, words):
    with pytest.raises(TableError, match=words):
        fit_exponential_sums(times, values, form=SumForm.EXPONENTIAL, **given)
