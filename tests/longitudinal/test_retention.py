"""Retention in signal: the ratio's interval must cover whatever is shared and however small the reference."""

import numpy as np
import pytest

from napari_mpi_track.longitudinal.retention import retention_of_injected, retention_of_scan
from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.cell_number import signal_estimate
from napari_mpi_track.quantification.estimate import Estimate


def test_the_animals_own_signal_is_taken_from_the_organ_and_not_from_the_syringe():
    found = retention_of_injected(
        Estimate(60.0), Estimate(110.0), pre=Estimate(10.0), blank=Estimate(6.0), residue=Estimate(4.0)
    )
    assert found.percent == pytest.approx(100 * 50 / 100)


def test_against_a_scan_the_animals_own_signal_leaves_both():
    found = retention_of_scan(Estimate(60.0), Estimate(110.0), pre=Estimate(10.0))
    assert found.percent == pytest.approx(100 * 50 / 100)


def test_the_reference_day_is_all_of_itself_without_error():
    first = Estimate(100.0, 5.0, {"line": 2.0})
    found = retention_of_scan(first, first, pre=Estimate(3.0, 1.0))
    assert (found.percent, found.low, found.high) == pytest.approx((100, 100, 100), abs=1e-9)


def test_what_both_share_cancels():
    signal, reference = Estimate(50.0, 0.0, {"gain": 5.0}), Estimate(100.0, 0.0, {"gain": 10.0})
    found = retention_of_scan(signal, reference)
    assert (found.low, found.high) == pytest.approx((50, 50), abs=1e-6)


def test_the_interval_is_fiellers():
    # Each limit r solves (a - r b)^2 = z^2 (Var a - 2 r Cov + r^2 Var b).
    signal, reference, pre = Estimate(40.0, 4.0, {"gain": 2.0}), Estimate(90.0, 5.0, {"gain": 4.0}), Estimate(8.0, 3.0)
    found = retention_of_scan(signal, reference, pre=pre)
    for r in (found.low / 100, found.high / 100):
        variance = (16 + 9) - 2 * r * 9 + r * r * (25 + 9) + (2 - 4 * r) ** 2
        assert abs(32 - r * 82) / np.sqrt(variance) == pytest.approx(1.959964, rel=1e-6)


@pytest.mark.parametrize("reference_sd", [5.0, 15.0])
def test_95_percent_of_intervals_hold_the_truth_with_a_shared_scan_before_injection(reference_sd):
    rng = np.random.default_rng(1)
    truth = 100 * (55 - 15) / (95 - 15)
    covered = 0
    for _ in range(3000):
        pre = Estimate(15 + 6 * rng.standard_normal(), 6.0)
        signal = Estimate(55 + 5 * rng.standard_normal(), 5.0)
        reference = Estimate(95 + reference_sd * rng.standard_normal(), reference_sd)
        found = retention_of_scan(signal, reference, pre=pre)
        covered += found.low is None or found.low <= truth <= found.high
    # Three standard errors over 3000 draws are 1.2 %.
    assert covered / 3000 == pytest.approx(0.95, abs=0.012)


def test_an_injected_number_without_its_signal_brings_the_whole_error_of_the_line():
    rng = np.random.default_rng(2)
    x = np.repeat([0.0, 1e5, 2e5, 5e5], 3)
    truth = 100 * 100.0 / (5 + 1e-3 * 5e5)
    covered = 0
    for _ in range(400):
        line = fit_calibration(x, 5 + 1e-3 * x + 20 * rng.standard_normal(x.size), kind="in-cells", weights="none")
        injected = signal_estimate(5e5, line)
        found = retention_of_injected(Estimate(100 + 3 * rng.standard_normal(), 3.0), injected)
        covered += found.low <= truth <= found.high
    # Normal quantiles on 10 degrees of freedom lose 2.5 %; without the line's error nearly all would miss.
    assert covered / 400 > 0.89


def test_a_reference_that_could_be_nothing_gives_no_finite_interval():
    found = retention_of_scan(Estimate(5.0, 1.0), Estimate(10.0, 6.0))
    assert (found.percent, found.low, found.high, found.flag) == (50.0, None, None, "no_finite_interval")


def test_a_reference_not_above_what_was_there_gives_no_percentage():
    found = retention_of_scan(Estimate(5.0, 1.0), Estimate(3.0, 1.0), pre=Estimate(4.0, 1.0))
    assert (found.percent, found.flag) == (None, "no_finite_interval")
