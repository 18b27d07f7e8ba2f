"""Organs that rise: an uptake curve with its half time, and never a half-life."""

import numpy as np
import pytest

from napari_mpi_track.longitudinal.decay import fit_decay

DAYS = np.array([0.25, 1.0, 2.0, 4.0, 7.0, 14.0, 21.0])
SD = np.full(7, 1.0)


def test_an_exact_uptake_gives_plateau_and_half_time():
    fit = fit_decay(DAYS, 40 * (1 - np.exp(-0.35 * DAYS)), errors=SD)
    assert (fit.model, fit.flag, fit.half_life_days) == ("uptake", "rising", None)
    assert fit.parameters["plateau"] == pytest.approx(40, rel=1e-5)
    assert fit.parameters["half_rise_days"] == pytest.approx(np.log(2) / 0.35, rel=1e-5)
    assert fit.parameters["half_rise_low_days"] < np.log(2) / 0.35 < fit.parameters["half_rise_high_days"]
    assert fit.curve(np.log(2) / 0.35) == pytest.approx(20, rel=1e-5)


def test_what_was_there_on_day_0_is_the_start_of_the_uptake():
    days = np.array([0.0, 1.0, 2.0, 4.0, 7.0, 14.0, 21.0])
    fit = fit_decay(days, 50 - 40 * np.exp(-0.4 * days), errors=0.5 * SD)
    assert fit.model == "uptake_from_start"
    assert fit.parameters["start"] == pytest.approx(10, rel=1e-3)
    assert fit.parameters["half_rise_days"] == pytest.approx(np.log(40 / 25) / 0.4, rel=1e-3)
    np.testing.assert_allclose(fit.curve(days), 50 - 40 * np.exp(-0.4 * days), rtol=1e-4)


def test_an_organ_that_fills_and_empties_has_a_peak():
    fit = fit_decay(DAYS, 80 * (np.exp(-0.08 * DAYS) - np.exp(-0.9 * DAYS)), errors=SD)
    assert (fit.model, fit.flag, fit.half_life_days) == ("uptake_washout", "rising", None)
    assert fit.parameters["rate_in_per_day"] == pytest.approx(0.9, rel=1e-4)
    assert fit.parameters["rate_out_per_day"] == pytest.approx(0.08, rel=1e-4)
    peak = np.log(0.9 / 0.08) / (0.9 - 0.08)
    assert fit.parameters["peak_day"] == pytest.approx(peak, rel=1e-4)
    assert fit.curve([peak])[0] == pytest.approx(fit.parameters["peak"], rel=1e-9)


def test_95_percent_of_intervals_hold_the_half_time_of_an_uptake():
    rng = np.random.default_rng(0)
    truth, half = 40 * (1 - np.exp(-0.35 * DAYS)), np.log(2) / 0.35
    covered, runs = 0, 100
    for _ in range(runs):
        found = fit_decay(DAYS, truth + 2 * rng.standard_normal(7), errors=2 * SD, model="uptake").parameters
        covered += found.get("half_rise_low_days", 0) <= half <= found.get("half_rise_high_days", np.inf)
    # Three standard errors over 100 curves are 6.5 %.
    assert covered / runs == pytest.approx(0.95, abs=0.065)


def test_a_true_decay_with_a_low_first_day_stays_a_decay():
    rng = np.random.default_rng(1)
    models = []
    for _ in range(25):
        values = 100 * np.exp(-0.1 * DAYS) + 4 * rng.standard_normal(7)
        models.append(fit_decay(DAYS, values, errors=4 * SD).model)
    assert sum(model.startswith("uptake") for model in models) <= 2


def test_four_days_allow_the_uptake_from_nothing_only():
    days = np.array([1.0, 3.0, 7.0, 14.0])
    fit = fit_decay(days, [5.0, 11.0, 18.0, 19.0], errors=np.ones(4))
    assert fit.model == "uptake"
    assert fit_decay(days[:3], [5, 11, 18.0], errors=np.ones(3), model="uptake").flag == "too_few_points"


def test_a_tumour_that_holds_some_fills_and_empties_is_explained():
    """131I diabody in a tumour, %ID/g over hours (PMC4154813, table 1, SEM): seen at once, highest at 4 h."""
    hours, uptake = np.array([0, 2, 4, 6, 18, 24.0]), np.array([2.49, 9.32, 10.02, 9.15, 6.43, 4.79])
    sem = np.array([0.33, 1.73, 0.69, 0.77, 1.05, 1.28])
    fit = fit_decay(hours / 24, uptake, errors=sem)
    assert (fit.model, fit.flag, fit.half_life_days) == ("uptake_washout_from_start", "rising", None)
    assert np.all(np.abs(fit.curve(hours / 24) - uptake) < sem)
    assert 2 < 24 * fit.parameters["peak_day"] < 6


def test_an_exact_rise_and_fall_from_a_start_gives_its_parameters():
    days = np.array([0, 0.25, 1, 2, 4, 7, 14, 21.0])
    curve = 60 * np.exp(-0.08 * days) - 50 * np.exp(-0.9 * days)
    fit = fit_decay(days, curve, errors=np.full(8, 0.5))
    assert fit.parameters["start"] == pytest.approx(10, rel=1e-5)
    assert fit.parameters["rate_in_per_day"] == pytest.approx(0.9, rel=1e-5)
    assert fit.parameters["rate_out_per_day"] == pytest.approx(0.08, rel=1e-5)
    np.testing.assert_allclose(fit.curve(days), curve, rtol=1e-5)


def test_an_uptake_asked_for_of_what_falls_is_refused_in_words():
    fit = fit_decay([0, 1, 3, 7, 14], [100, 80, 60, 30, 12], model="uptake")
    assert (fit.model, fit.flag) == ("", "")
    assert "falls" in fit.reason


def test_a_straight_rise_has_no_half_time():
    fit = fit_decay([0, 1, 3, 7, 14], [0, 1, 3, 7, 14.0])
    assert fit.flag == "rising"
    assert "half_rise_days" not in fit.parameters
    assert fit.parameters["half_rise_low_days"] > 14
