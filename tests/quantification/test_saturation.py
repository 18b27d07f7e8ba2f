"""A saturating receiver: undone exactly, and refused where it cannot be."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mpi_track.errors import CalibrationError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.saturation import Saturation, linearise, load_saturation, save_saturation


def scan(voxels, **known):
    voxels = np.asarray(voxels, dtype=np.float32).reshape(1, 1, -1)
    return Volume(voxels, Grid(voxels.shape, np.diag([2.0, 1.0, 1.0, 1.0])), unit="a.u.", **known)


@given(st.floats(0.1, 1e6), st.lists(st.floats(-0.05, 20.0), min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_what_the_receiver_bends_is_straightened_again(s_sat, multiples):
    true = s_sat * np.array(multiples)
    curve = Saturation(s_sat)
    np.testing.assert_allclose(curve.true(curve.measured(true)), true, rtol=1e-12)


def test_half_of_the_saturation_level_stands_for_all_of_it():
    assert Saturation(100.0).true(50.0) == 100.0


def test_a_linearised_scan_says_so_and_is_not_linearised_twice():
    curve = Saturation(100.0)
    corrected = linearise(scan([0.0, 50.0, -1.0]), curve)
    np.testing.assert_allclose(corrected.voxels.ravel(), [0.0, 100.0, -1.0], rtol=1e-6)
    assert corrected.is_linearised
    assert corrected.warnings == ()
    with pytest.raises(MeasurementError, match="linearised already"):
        linearise(corrected, curve)


def test_voxels_above_the_measured_range_are_counted():
    corrected = linearise(scan([10.0, 70.0, 90.0]), Saturation(100.0, valid_to=60.0))
    assert corrected.warnings[0].startswith("2 voxels are above 60")
    np.testing.assert_array_equal(Saturation(100.0, 60.0).is_beyond_range([59.0, 61.0]), [False, True])


def test_a_reading_that_no_signal_gives_is_refused_with_its_file():
    with pytest.raises(MeasurementError, match="reading of 100 lies at or beyond") as raised:
        linearise(scan([1.0, 100.0], file="mouse.nii"), Saturation(100.0))
    assert "mouse.nii" in str(raised.value)


def test_a_saved_curve_comes_back(tmp_path):
    save_saturation(Saturation(250.0, 200.0), tmp_path / "S.json")
    assert load_saturation(tmp_path / "S.json") == Saturation(250.0, 200.0)
    assert json.loads((tmp_path / "S.json").read_text()) == {
        "schema": 1,
        "model": "rational",
        "s_sat": 250.0,
        "valid_to": 200.0,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ('{"schema": 2}', "schema 1"),
        (
            '{"schema": 1, "model": "cubic", "s_sat": 1}',
            "rational, polynomial, spline, linear, got 'cubic'",
        ),
        ('{"schema": 1, "model": "rational"}', "s_sat must be a number, got None"),
        ('{"schema": 1, "model": "rational", "s_sat": "high"}', "s_sat must be a number, got 'high'"),
        ('{"schema": 1, "model": "rational", "s_sat": -1}', "must be a positive number"),
        ('{"schema": 1, "model": "rational", "s_sat": 5, "valid_to": 9}', "cannot have been measured to 9"),
    ],
)
def test_a_file_that_is_no_saturation_curve_is_refused(tmp_path, text, words):
    (tmp_path / "S.json").write_text(text)
    with pytest.raises(CalibrationError, match=words) as raised:
        load_saturation(tmp_path / "S.json")
    assert "S.json" in str(raised.value)


def test_a_missing_saturation_curve_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_saturation(tmp_path / "S.json")
