"""A receiver's curve from a dilution series: found again, chosen by AICc, kept, and used on scans."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.receiver_curves import LinearReceiver, PolynomialReceiver, TabledReceiver
from napari_mpi_track.quantification.receiver_fit import fit_receiver
from napari_mpi_track.quantification.saturation import (
    Saturation,
    is_beyond_linear_range,
    load_saturation,
    save_saturation,
)

X = np.repeat([0.0, 1, 2, 4, 8, 16, 32, 64, 96, 128], 3)
CURVES = (
    Saturation(250.0, 200.0),
    PolynomialReceiver((-1.5e-4, 1e-8), 900.0),
    TabledReceiver((100.0, 200.0, 400.0, 800.0), (95.0, 180.0, 320.0, 500.0)),
    LinearReceiver(1000.0),
)


def test_the_true_model_is_chosen_and_its_numbers_found():
    rng = np.random.default_rng(0)
    chosen, levels = Counter(), []
    for _ in range(40):
        fit = fit_receiver(X, Saturation(2000.0).measured(10 * X) + rng.normal(0, 2, X.size))
        chosen[fit.curve.model] += 1
        if isinstance(fit.curve, Saturation):
            levels.append((fit.curve.s_sat, fit.gain))
    assert chosen["rational"] >= 32
    np.testing.assert_allclose(np.mean(levels, axis=0), (2000, 10), rtol=0.01)


def test_a_receiver_that_does_not_saturate_is_linear():
    rng = np.random.default_rng(1)
    chosen = Counter(fit_receiver(X, 10 * X + rng.normal(0, 2, X.size)).curve.model for _ in range(40))
    assert chosen["linear"] >= 32


@pytest.mark.parametrize("bend", [lambda s: s - 1.5e-4 * s**2, lambda s: 900 * np.tanh(s / 900)])
def test_whatever_the_bend_signals_become_proportional_to_iron(bend):
    rng = np.random.default_rng(2)
    fit = fit_receiver(X, bend(10 * X) + rng.normal(0, 1, X.size))
    iron = np.linspace(5, 120, 30)
    straight = fit.curve.true(bend(10 * iron)) / iron
    np.testing.assert_allclose(straight, straight.mean(), rtol=0.06)


@pytest.mark.parametrize(("kink", "slope"), [(600, 0.2), (300, 0.5), (900, 0.1)])
def test_a_hard_kink_is_followed(kink, slope):
    def bend(s):
        return np.where(s < kink, s, kink + slope * (s - kink))

    fit = fit_receiver(X, bend(10 * X) + np.random.default_rng(4).normal(0, 1, X.size))
    signal = np.linspace(50, 1280, 200)
    # Readings scatter by 1, which the flat piece turns into 1/slope: some 1 % here. Smooth models are 13 to 19 % off.
    np.testing.assert_allclose(fit.curve.true(bend(signal)) * 10 / fit.gain, signal, rtol=0.025)
    assert fit.doubts == ()
    assert fit.lack_of_fit_p > 0.01


def test_what_a_receiver_clips_is_said_and_beyond_its_range():
    fit = fit_receiver(X, np.minimum(10 * X, 600) + np.random.default_rng(5).normal(0, 1, X.size))
    assert "the receiver clips: beyond" in fit.doubts[0]
    assert 590 < fit.curve.valid_to < 600
    np.testing.assert_allclose(fit.curve.true(np.array([100.0, 500])) * 10 / fit.gain, (100, 500), rtol=0.01)
    # Of readings of clipped signals half of the noise must not come back as within the range.
    readings = 600 + np.random.default_rng(6).normal(0, 1, 1000)
    assert fit.curve.is_beyond_range(readings).mean() > 0.99


def test_a_curve_that_misses_the_series_is_used_up_to_there_only():
    truth = np.where(X == 96, 900.0, 10 * X)
    fit = fit_receiver(X, truth + np.random.default_rng(7).normal(0, 0.5, X.size), model="linear")
    assert fit.lack_of_fit_p < 1e-6
    # One wrong dilution turns the whole line by 1.9 %, and lies 4.5 % beside it itself.
    assert "misses readings from x = 96 on by up to 5 %" in fit.doubts[0]
    assert fit.curve.valid_to == pytest.approx(640, abs=1)
    with pytest.raises(CalibrationError, match="no model fits the series"):
        fit_receiver(X, 300 * np.sqrt(X), model="linear")


def test_without_replicates_it_is_said_that_nothing_tests_the_curve():
    fit = fit_receiver(X[::3], 10 * X[::3] + np.random.default_rng(8).normal(0, 2, 10))
    assert fit.lack_of_fit_p is None
    assert "nothing tests" in fit.doubts[0]


@given(st.floats(0.05, 0.99))
@settings(deadline=None, max_examples=20)
def test_a_table_cut_short_is_the_same_table(part):
    table = TabledReceiver((100.0, 200.0, 400.0, 800.0), (95.0, 180.0, 320.0, 500.0))
    short = table.up_to(part * 500)
    assert short.valid_to == part * 500
    readings = np.linspace(0, part * 500, 30)
    np.testing.assert_allclose(short.true(readings), table.true(readings), rtol=1e-3)


def test_aicc_is_that_of_its_definition():
    rng = np.random.default_rng(3)
    y = 10 * X + rng.normal(0, 2, X.size)
    line = next(c for c in fit_receiver(X, y).candidates if c.model == "linear")
    squares = np.sum((y - X * (X @ y) / (X @ X)) ** 2)
    n, k = X.size, 2
    np.testing.assert_allclose(line.aicc, n * np.log(squares / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1), rtol=1e-9)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.model)
@given(parts=st.lists(st.floats(-0.1, 1.0), min_size=1, max_size=10))
@settings(deadline=None, max_examples=25)
def test_what_a_receiver_bends_is_straightened_again(curve, parts):
    reading = np.array(parts) * curve.valid_to
    np.testing.assert_allclose(curve.measured(curve.true(reading)), reading, rtol=1e-6, atol=1e-6 * curve.valid_to)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.model)
def test_a_saved_curve_comes_back(tmp_path, curve):
    save_saturation(curve, tmp_path / "S.json", fit={"samples": 12})
    assert load_saturation(tmp_path / "S.json") == curve


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.model)
def test_voxels_beyond_the_measured_range_are_known_after_linearising(curve):
    readings = np.array([0.5, 0.999, 1.0, 1.05]) * curve.valid_to
    volume = Volume(readings.astype(np.float32).reshape(1, 1, -1), Grid((1, 1, 4), np.eye(4)))
    assert not is_beyond_linear_range(volume).any()
    found = is_beyond_linear_range(curve.linearise(volume)).ravel()
    np.testing.assert_array_equal(found, [False, False, False, True])


def test_beyond_its_range_a_curve_goes_on_rising():
    for curve in CURVES[1:]:
        beyond = curve.true(curve.valid_to * np.array([1.0, 1.1, 1.5]))
        assert (np.diff(beyond) > 0).all()
        np.testing.assert_allclose(curve.measured(beyond), curve.valid_to * np.array([1.0, 1.1, 1.5]), rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([1, 2, 3], [1, 2, 3], "4 different dilutions or more, got 3"),
        ([1, 2, 3, 4], [4, 3, 2, 1], "must rise with x"),
        ([1, 2, 3, -4], [1, 2, 3, 4], "must not be negative"),
        ([1, 2, 3, np.nan], [1, 2, 3, 4], "finite"),
    ],
)
def test_a_series_that_shows_no_curve_is_refused(x, y, words):
    with pytest.raises(CalibrationError, match=words):
        fit_receiver(x, y)


def test_a_curve_that_is_none_is_refused():
    with pytest.raises(CalibrationError, match="does not rise up to a reading"):
        PolynomialReceiver((-1e-3,), 900.0)
    with pytest.raises(CalibrationError, match="positive and rising"):
        TabledReceiver((1.0, 2.0, 3.0), (1.0, 3.0, 2.0))
    with pytest.raises(CalibrationError, match="must be a positive reading"):
        LinearReceiver(0.0)
    with pytest.raises(CalibrationError, match="shows no saturation"):
        fit_receiver(X, X + 1e-3 * X**2, model="rational")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": 1, "model": "spline", "true": 1}', "true must be a list of numbers, got 1"),
        ('{"schema": 1, "model": "spline", "true": [1, 2, "x"], "measured": [1, 2, 3]}', "true must be a number"),
        ('{"schema": 1, "model": "polynomial", "coefficients": [0.1]}', "valid_to must be a number, got None"),
    ],
)
def test_a_file_that_is_no_curve_is_refused(tmp_path, text, words):
    (tmp_path / "S.json").write_text(text)
    with pytest.raises(CalibrationError, match=words) as raised:
        load_saturation(tmp_path / "S.json")
    assert "S.json" in str(raised.value)
