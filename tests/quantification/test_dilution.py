"""Dilution: the same iron in more volume, and the spacing of particles."""

import numpy as np
import pytest

from napari_mpi_track.errors import CalibrationError, TableError
from napari_mpi_track.quantification.dilution import (
    DilutionSample,
    compare_dilutions,
    compare_with_spacing,
    expected_by_spacing,
    particle_spacing_nm,
)
from napari_mpi_track.quantification.sample_tables import read_dilution_samples

IRON = (25.0, 50.0, 100.0, 250.0, 500.0)


def series(rng, losses, scatter, replicates=3):
    """Fixed concentration 50 ng/uL (0.5 to 10 uL), and 10 uL of each dilution of it; losses at ratio 20, in parts."""
    undiluted, diluted = [], []
    for iron in IRON:
        ratio = 10.0 / (iron / 50.0)
        part = np.log(ratio) / np.log(20.0)
        for _ in range(replicates):
            noise = 1 + rng.normal(0, scatter, 6)
            undiluted.append(DilutionSample(iron, iron / 50.0, 2 * iron * noise[0], 90 * iron * noise[1], 3 * noise[2]))
            diluted.append(
                DilutionSample(
                    iron,
                    10.0,
                    2 * iron * (1 + losses[0] * part) * noise[3],
                    90 * iron * (1 + losses[1] * part) * noise[4],
                    (3 + losses[2] * part) * noise[5],
                )
            )
    return undiluted, diluted


def test_without_scatter_dilution_comes_out_as_put_in():
    effects = compare_dilutions(*series(np.random.default_rng(0), (-0.0944, -0.0413, 0.7), 0.0))
    at_20 = {e.measure: e for e in effects if round(e.dilution_ratio) == 20}
    np.testing.assert_allclose(at_20["maximum"].percent.value, -9.44, atol=1e-9)
    np.testing.assert_allclose(at_20["total"].percent.value, -4.13, atol=1e-9)
    np.testing.assert_allclose(at_20["fwhm_mm"].diluted - at_20["fwhm_mm"].reference, 0.7, atol=1e-9)
    # 500 ng are 10 uL of the undiluted: both series hold the same tube, which is no dilution.
    assert {round(e.dilution_ratio, 6) for e in effects} == {2.0, 5.0, 10.0, 20.0}
    assert [e.measure for e in effects] == ["maximum"] * 4 + ["total"] * 4 + ["fwhm_mm"] * 4


def test_intervals_of_the_effect_cover_the_truth():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(200):
        effects = compare_dilutions(*series(rng, (-0.0944, -0.0413, 0.7), 0.02))
        covered += [e.percent.low <= -9.44 <= e.percent.high for e in effects[:4] if round(e.dilution_ratio) == 20]
        covered += [e.percent.low <= -4.13 <= e.percent.high for e in effects[4:8] if round(e.dilution_ratio) == 20]
    # 400 intervals: 95 % +- 1.1 % SD.
    assert 0.915 <= np.mean(covered) <= 0.985


def test_without_replicates_there_is_a_percentage_and_no_interval():
    effects = compare_dilutions(*series(np.random.default_rng(2), (-0.1, 0.0, 0.0), 0.01, replicates=1))
    assert not any(e.percent.is_finite for e in effects)
    assert all(np.isfinite(e.percent.value) for e in effects)


def test_two_series_without_the_same_iron_are_refused():
    with pytest.raises(CalibrationError, match="no iron in common"):
        compare_dilutions([DilutionSample(10, 1, 5.0)], [DilutionSample(20, 10, 5.0)])
    with pytest.raises(CalibrationError, match="no iron in common"):
        compare_dilutions([DilutionSample(10, 1, 5.0)], [DilutionSample(10, 1, 5.0)])
    with pytest.raises(CalibrationError, match="and a volume"):
        compare_dilutions([DilutionSample(10, 0, 5.0)], [DilutionSample(10, 1, 5.0)])


def test_half_the_spacing_is_eight_times_the_signal():
    np.testing.assert_allclose(expected_by_spacing(10.0, 100.0, [50.0, 100.0, 200.0]), [80.0, 10.0, 1.25])
    with pytest.raises(CalibrationError):
        expected_by_spacing(10.0, 100.0, 0.0)


def test_the_spacing_is_that_of_as_many_cubes_as_particles():
    # 1 mg/L is 1e-27 g in a nm3, shared out to particles of 16e-18 g.
    per_nm3 = 1e-27 / 16e-18
    np.testing.assert_allclose(particle_spacing_nm(1.0, 16.0), per_nm3 ** (-1 / 3), rtol=1e-12)
    ratio = particle_spacing_nm(50.0, 16.0) / particle_spacing_nm(2.5, 16.0)
    np.testing.assert_allclose(expected_by_spacing(1.0, float(ratio), 1.0), 1 / 20, rtol=1e-12)


def test_a_series_of_fixed_volume_stands_beside_the_model():
    samples = [DilutionSample(iron, 10.0, 2 * iron * factor) for iron, factor in ((500, 1), (250, 0.9), (50, 0.8))]
    points = compare_with_spacing([*samples, DilutionSample(0.0, 10.0, 0.1)])
    np.testing.assert_allclose([p.measured / p.expected for p in points], [1, 0.9, 0.8])
    np.testing.assert_allclose(points[2].relative_spacing, 10 ** (1 / 3))
    with pytest.raises(CalibrationError, match="in 2 volumes"):
        compare_with_spacing([*samples, DilutionSample(10.0, 5.0, 20.0)])


def test_samples_are_read_from_a_table(tmp_path):
    table = tmp_path / "tubes.csv"
    table.write_text("name,iron_ng,volume_ul,maximum,total,fwhm_mm\na,50,1,100.5,,3.1\nb,0,1,0.2,0.1,\n")
    assert read_dilution_samples(table) == [
        DilutionSample(50, 1, 100.5, None, 3.1),
        DilutionSample(0, 1, 0.2, 0.1, None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("iron_ng,volume_ul,maximum\n", "no samples"),
        ("iron,volume_ul,maximum\n1,2,3\n", "no column 'iron_ng', it has iron"),
        ("iron_ng,volume_ul,signal\n1,2,3\n", "none of the columns maximum, total and fwhm_mm"),
        ("iron_ng,volume_ul,maximum\n1,,3\n", "row 2 has no iron_ng or no volume_ul"),
        ("iron_ng,volume_ul,maximum\n1,2,high\n", "row 2, column 'maximum' must be a number, got 'high'"),
    ],
)
def test_a_table_at_fault_is_refused_with_its_row(tmp_path, text, words):
    (tmp_path / "tubes.csv").write_text(text)
    with pytest.raises(TableError, match=words) as raised:
        read_dilution_samples(tmp_path / "tubes.csv")
    assert "tubes.csv" in str(raised.value)
