"""A drifting scanner is undone through its vial, with the vial's error in the right place."""

import numpy as np
import pytest

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.session_drift import corrected_for_drift, vial_warnings


def test_a_scanner_at_nine_tenths_is_undone():
    found = corrected_for_drift(Estimate(90.0, 1.0), Estimate(50.0), Estimate(45.0))
    assert found.value == pytest.approx(100)
    assert found.own_sd == pytest.approx(1 / 0.9)
    assert found.shared_sd == 0


def test_organs_of_a_session_share_the_vials_error_and_ratios_lose_it():
    reference, today = Estimate(50.0, 1.0), Estimate(45.0, 0.9)
    liver, lungs = (corrected_for_drift(Estimate(v, 1.0), reference, today, session="day 3") for v in (90.0, 30.0))
    np.testing.assert_allclose(liver.shared_sd, 100 * np.hypot(0.02, 0.02))
    ratio = liver / lungs
    assert ratio.shared_sd == pytest.approx(0, abs=1e-12)
    # Another session shares the reference's error only.
    other = corrected_for_drift(Estimate(90.0, 1.0), reference, today, session="day 7")
    np.testing.assert_allclose((liver / other).shared_sd, np.hypot(0.02, 0.02))


def test_the_error_is_that_of_repeated_sessions():
    rng = np.random.default_rng(0)
    draws = (
        90
        * (1 + 0.01 * rng.normal(size=100_000))
        * (50 + rng.normal(size=100_000))
        / (45 + 0.9 * rng.normal(size=100_000))
    )
    found = corrected_for_drift(Estimate(90.0, 0.9), Estimate(50.0, 1.0), Estimate(45.0, 0.9))
    assert found.sd == pytest.approx(draws.std(), rel=0.02)


def test_a_vial_that_dries_out_is_warned_of_and_a_steady_one_is_not():
    rng = np.random.default_rng(1)
    days = np.arange(0, 35, 7)
    (said,) = vial_warnings(days, 50 * np.exp(-0.01 * days))
    assert said.startswith("the reference vial lost 2")
    assert vial_warnings(days, 50 * np.exp(0.01 * days)) == ()
    assert vial_warnings([0, 7], [50, 40]) == ()
    warned = [bool(vial_warnings(days, 50 + rng.normal(0, 1, days.size))) for _ in range(1000)]
    assert 0.02 < np.mean(warned) < 0.07


def test_a_vial_without_signal_is_refused():
    with pytest.raises(MeasurementError, match="positive signal, got 0"):
        corrected_for_drift(Estimate(1.0), Estimate(1.0), Estimate(0.0))
    with pytest.raises(MeasurementError, match="a day for every signal"):
        vial_warnings([0, 1], [1.0])
