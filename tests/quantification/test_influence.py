"""Leverage, studentised residuals and Cook's distance as statsmodels has them; outliers are shown and kept."""

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.outliers_influence import OLSInfluence

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.influence import influence_in_words, measure_influence

X = np.repeat([0.0, 50, 100, 200, 400, 800], 2)


def signals(seed=0, scatter=3.0):
    return 5 + 2 * X + np.random.default_rng(seed).normal(0, scatter, X.size)


@pytest.mark.parametrize(
    ("weights", "through_origin"), [("none", False), ("none", True), ("1/x", False), ("1/x2", False)]
)
def test_every_number_is_that_of_statsmodels(weights, through_origin):
    y = signals()
    found = measure_influence(
        fit_calibration(X, y, kind="in-cells-iron", weights=weights, through_origin=through_origin)
    )
    floored = np.maximum(X, 50.0)
    w = {"none": np.ones_like(X), "1/x": 1 / floored, "1/x2": 1 / floored**2}[weights]
    design = X[:, None] if through_origin else sm.add_constant(X)
    # Statsmodels' influence of a weighted fit mixes weighted and unweighted residuals: whiten by hand.
    truth = OLSInfluence(sm.OLS(y * np.sqrt(w), design * np.sqrt(w)[:, None]).fit())
    np.testing.assert_allclose(found.leverage, truth.hat_matrix_diag, rtol=1e-9)
    np.testing.assert_allclose(found.standardised, truth.resid_studentized_internal, rtol=1e-9)
    np.testing.assert_allclose(found.studentised, truth.resid_studentized_external, rtol=1e-9)
    np.testing.assert_allclose(found.cooks_distance, truth.cooks_distance[0], rtol=1e-9)


def test_an_outlier_is_named_and_stays_in_the_line():
    y = signals()
    y[9] += 60
    calibration = fit_calibration(X, y, kind="in-cells-iron", weights="none")
    found = measure_influence(calibration)
    assert np.flatnonzero(found.outlier).tolist() == [9]
    (sentence,) = influence_in_words(calibration, found)
    assert sentence.startswith("sample 10 (x = 400")
    assert sentence.endswith("it was kept")
    assert calibration.n == 12


def test_of_good_lines_five_in_a_hundred_have_an_outlier():
    rates = [
        measure_influence(fit_calibration(X, signals(seed), kind="in-cells-iron", weights="none")).outlier.any()
        for seed in range(400)
    ]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.035)


def test_too_few_samples_are_not_judged():
    calibration = fit_calibration([0, 1, 2], [0, 1.1, 2], kind="in-cells-iron", weights="none")
    with pytest.raises(CalibrationError, match="among 4 or more, got 3"):
        measure_influence(calibration)
