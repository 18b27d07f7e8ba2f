"""Decay by date and time, doses and uptake; the SUV factors of vendors' own cases."""

import csv
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.half_lives import HALF_LIVES_S, half_life_h, isotope_name
from napari_mpi_track.quantification.radioactivity import (
    cells_from_activity,
    decay_correction,
    decay_factor,
    elapsed_h,
    frame_average_factor,
    injected_activity,
    label_warnings,
    percent_of_injected,
    percent_per_gram,
    suv_mean,
)

INJECTED = datetime(2026, 3, 1, 9, 30)


@pytest.mark.parametrize(
    ("isotope", "hours"),
    [
        # The rounded figures the field goes by (METHODS section 5).
        ("89Zr", 78.41), ("111In", 2.80 * 24), ("99mTc", 6.0), ("18F", 109.8 / 60), ("64Cu", 12.7), ("68Ga", 67.7 / 60),
        ("124I", 4.18 * 24), ("86Y", 14.7),
    ],
)  # fmt: skip
def test_half_lives_are_those_the_field_goes_by(isotope, hours):
    assert half_life_h(isotope) == pytest.approx(hours, rel=4e-3)


@pytest.mark.parametrize("spelling", ["89Zr", "Zr-89", "zr89", "^89^Zr", "Zirconium-89", " 89-ZR ", "ZR 89"])
def test_isotopes_are_known_by_every_usual_spelling(spelling):
    assert isotope_name(spelling) == "89Zr"


def test_metastable_technetium_is_not_its_ground_state():
    assert isotope_name("Tc-99m") == isotope_name("99mTc") == isotope_name("Technetium-99m") == "99mTc"
    with pytest.raises(MeasurementError, match="'99Tc' is not known"):
        half_life_h("99Tc")


@pytest.mark.parametrize(("days", "factor"), [(1, 1.24), (3, 1.89), (7, 4.42)])
def test_zirconium_is_followed_by_date_and_not_by_time_of_day(days, factor):
    assert decay_factor("89Zr", INJECTED + timedelta(days=days), INJECTED) == pytest.approx(factor, abs=6e-3)


@given(st.sampled_from(sorted(HALF_LIVES_S)), st.integers(1, 10**6), st.integers(1, 10**6))
@settings(deadline=None, max_examples=50)
def test_decay_in_two_steps_is_decay_in_one(isotope, first_s, second_s):
    times = INJECTED, INJECTED + timedelta(seconds=first_s), INJECTED + timedelta(seconds=first_s + second_s)
    steps = decay_factor(isotope, times[0], times[1]) * decay_factor(isotope, times[1], times[2])
    assert steps == pytest.approx(decay_factor(isotope, times[0], times[2]), rel=1e-9)


def test_times_in_different_zones_are_the_same_instant():
    berlin = datetime(2026, 3, 1, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert elapsed_h(datetime(2026, 3, 1, 9, 30, tzinfo=UTC), berlin) == 0


def test_times_with_and_without_a_zone_do_not_mix():
    with pytest.raises(MeasurementError, match="2026-03-01T09:30:00 has none"):
        decay_factor("18F", INJECTED, INJECTED.replace(tzinfo=UTC))


def test_a_frames_mean_is_the_integral_of_its_decay():
    from scipy.integrate import quad

    mean = quad(lambda t: 2 ** (-t / HALF_LIVES_S["18F"]), 0, 1800)[0] / 1800
    assert frame_average_factor("18F", 1800) == pytest.approx(1 / mean, rel=1e-9)
    assert frame_average_factor("18F", 0) == 1


def test_every_way_a_scanner_corrects_leads_to_the_same_activity():
    started, acquired, frame_s = INJECTED + timedelta(days=3), INJECTED + timedelta(days=3, minutes=20), 600.0
    at_injection = 10.0
    at_scan = at_injection * decay_factor("89Zr", INJECTED, started)
    in_frame = at_injection * decay_factor("89Zr", INJECTED, acquired) / frame_average_factor("89Zr", frame_s)
    for corrected_to, voxel in (("injection", at_injection), ("scan", at_scan), ("none", in_frame)):
        correction = decay_correction(
            "89Zr", injected_at=INJECTED, scan_started_at=started, corrected_to=corrected_to, acquired_at=acquired,
            frame_duration_s=frame_s,
        )  # fmt: skip
        assert voxel * correction.to_injection == pytest.approx(at_injection, rel=1e-12)
        assert voxel * correction.to_scan == pytest.approx(at_scan, rel=1e-12)
    assert correction.elapsed_h == 72
    assert "72 h after the injection" in correction.text


def test_a_scan_before_the_injection_is_refused():
    with pytest.raises(MeasurementError, match="2 h before the injection"):
        decay_correction(
            "89Zr", injected_at=INJECTED, scan_started_at=INJECTED - timedelta(hours=2), corrected_to="scan"
        )


def test_the_dose_is_the_syringe_less_its_residue_at_the_time_of_injection():
    dose = injected_activity(
        "18F", 10.0, residual_kBq=2.0, assayed_at=INJECTED - timedelta(seconds=6586.2), injected_at=INJECTED
    )
    assert dose == pytest.approx(4.0, rel=1e-12)
    with pytest.raises(MeasurementError, match="must be positive"):
        injected_activity("18F", 1.0, residual_kBq=2.0, assayed_at=INJECTED, injected_at=INJECTED)


def test_uptake_is_a_part_of_the_dose_and_suv_is_one_where_it_is_spread_evenly():
    organ, dose, weight_g = Estimate(2.0, 0.1), 8.0, 20.0
    percent = percent_of_injected(organ, dose)
    assert (percent.value, percent.own_sd) == (25.0, pytest.approx(1.25))
    assert percent_per_gram(percent, 500.0).value == pytest.approx(50.0)
    assert percent_per_gram(percent, 500.0, density_g_per_ml=0.25).value == pytest.approx(200.0)
    even = Estimate(dose * 3000.0 / (weight_g * 1000.0))
    assert suv_mean(even, 3000.0, dose, weight_g).value == pytest.approx(1.0)


def test_cells_of_two_organs_share_the_error_of_their_label():
    label = Estimate(20.0, 0.0, {"specific_activity": 2.0})
    first, second = cells_from_activity(Estimate(4.0, 0.1), label), cells_from_activity(Estimate(1.0), label)
    assert (first.value, second.value) == (200_000, 50_000)
    assert (first / second).shared_sd == pytest.approx(0, abs=1e-12)
    with pytest.raises(MeasurementError, match="activity per million cells must be positive"):
        cells_from_activity(Estimate(1.0), 0.0)


def test_labelling_that_kills_or_hides_the_cells_is_warned_of():
    assert label_warnings(20.0) == ()
    assert "below the usual 11 to 44" in label_warnings(5.0)[0]
    assert "toxic to activated CD8 T cells" in label_warnings(40.0, "CAR-T")[0]
    assert label_warnings(40.0, "MSC") == ()
    assert "gamma-delta" in label_warnings(60.0, "γδ T cells")[-1]


def _moment(date, time):
    seconds = time if "." in time else f"{time}.0"
    return datetime.strptime(f"{date} {seconds}", "%Y%m%d %H%M%S.%f")


@pytest.mark.real_data
def test_suv_factors_are_those_of_the_vendors_cases(real_data, monkeypatch):
    """The factor by which a voxel becomes SUV. Philips' counts carry theirs in the file: no decay is in it."""
    folder = real_data / "pet-suv-json"
    with (folder / "expected_suvbw_factors.csv").open() as table:
        expected = {row["case"]: float(row["suvbw_factor"]) for row in csv.DictReader(table)}
    tested = 0
    for case, factor in expected.items():
        entry = json.loads((folder / f"{case}-instances.json").read_text())[0]
        if entry["Units"] != "BQML":
            continue
        # The cases carry their own half-life, a little apart from the evaluated one.
        half_lives = {"18F": entry["RadionuclideHalfLife"]}
        monkeypatch.setattr("napari_mpi_track.quantification.half_lives.HALF_LIVES_S", half_lives)
        series = _moment(entry["SeriesDate"], entry["SeriesTime"])
        acquisition = _moment(entry["AcquisitionDate"], entry["AcquisitionTime"])
        correction = decay_correction(
            "18F",
            injected_at=_moment(entry["SeriesDate"], entry["RadiopharmaceuticalStartTime"]),
            # A derived series has a later time than its acquisition.
            scan_started_at=min(series, acquisition),
            corrected_to="scan",
        )
        # A voxel of 1 Bq/mL is 1e-6 kBq in 1 mm3.
        voxel = Estimate(1e-6 * correction.to_injection)
        found = suv_mean(voxel, 1.0, entry["RadionuclideTotalDose"] / 1000, entry["PatientWeight"] * 1000)
        assert found.value == pytest.approx(factor, rel=1e-6), case
        tested += 1
    assert tested == 6
