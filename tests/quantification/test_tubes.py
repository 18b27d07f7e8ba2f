"""Tubes found and measured in simulated scans of known content."""

import numpy as np
import pytest
from scipy.optimize import curve_fit
from tube_scans import FWHM, SPACING, noise, scan, tube

from napari_mpi_track.errors import MeasurementError, TableError
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.quantification.lorentzian import fit_lorentzian
from napari_mpi_track.quantification.sample_sheet import join_sheet, read_sample_sheet, table_rows
from napari_mpi_track.quantification.saturation import Saturation
from napari_mpi_track.quantification.tubes import TotalRule, TubeRule, measure_tubes
from napari_mpi_track.segmentation.tubes import find_tubes

PLACES = [(8, 9, 9), (8, 9, 31), (9, 27, 9), (24, 26, 30)]
TOTALS = [20_000.0, 5_000.0, 3_000.0, 40_000.0]


def four_tubes(seed=0):
    rng = np.random.default_rng(seed)
    return scan(sum(tube(at, total) for at, total in zip(PLACES, TOTALS, strict=True)) + noise(rng))


def test_four_tubes_are_found_in_reading_order():
    volume = four_tubes()
    found = find_tubes(volume, estimate_noise(volume))
    assert len(found) == 4
    np.testing.assert_allclose([place.peak for place in found], PLACES, atol=1)
    assert not np.any(np.sum([place.basin for place in found], axis=0) > 1)


def test_noise_holds_no_tube():
    rng = np.random.default_rng(1)
    for _ in range(20):
        empty = scan(noise(rng))
        assert find_tubes(empty, estimate_noise(empty)) == []


def test_tubes_of_one_scan_are_numbered_and_measured_in_proportion():
    tubes = measure_tubes([("plate", four_tubes())])
    assert [t.name for t in tubes] == ["plate/1", "plate/2", "plate/3", "plate/4"]
    rates = [t.total / total for t, total in zip(tubes, TOTALS, strict=True)]
    # One rule keeps one part of every tube, but for noise and what its neighbours shed or cut off (here some 5 %).
    errors = [np.hypot(3 * t.total_sd / total, 0.05) for t, total in zip(tubes, TOTALS, strict=True)]
    assert np.all(np.abs(np.array(rates) - rates[3]) < errors)
    np.testing.assert_allclose(tubes[0].position_mm, (9 * 0.9, 9 * 0.8, 8.0), atol=1e-6)


def test_widths_are_those_of_the_blur_within_their_errors():
    rng = np.random.default_rng(2)
    found = [measure_tubes([("s", scan(tube((16, 18, 20), 6_000) + noise(rng)))])[0] for _ in range(16)]
    widths = np.array([[(w.fwhm_mm, w.se_mm) for w in t.widths] for t in found])
    mean, spread, stated = widths[..., 0].mean(axis=0), widths[..., 0].std(axis=0), widths[..., 1].mean(axis=0)
    np.testing.assert_allclose(mean, FWHM, rtol=0.04)
    # An SD of 16 draws is known to 18 %.
    np.testing.assert_allclose(stated, spread, rtol=0.4)
    assert found[0].fwhm_mm == pytest.approx(np.prod(widths[0, :, 0]) ** (1 / 3))


def test_a_width_is_that_of_curve_fit():
    rng = np.random.default_rng(3)
    x = np.arange(40) * 0.5
    y = 50 / (1 + ((x - 9.3) / 1.7) ** 2) + 4 + rng.normal(0, 0.5, x.size)
    found = fit_lorentzian(y, 0.5, int(np.argmax(y)), np.zeros((40, 40)))
    truth, covariance = curve_fit(lambda x, h, m, g, c: h / (1 + ((x - m) / g) ** 2) + c, x, y, (40, 9, 1, 0))
    np.testing.assert_allclose([found.fwhm_mm, found.se_mm], [2 * truth[2], 2 * covariance[2, 2] ** 0.5], rtol=1e-5)
    np.testing.assert_allclose([found.height, found.centre_mm, found.base], truth[[0, 1, 3]], rtol=1e-5)


def test_there_is_no_width_of_a_flat_or_a_short_line():
    assert fit_lorentzian(np.ones(20), 1.0, 3, np.zeros((20, 20))) is None
    assert fit_lorentzian(np.array([0.0, 1, 3, 1, 0]), 1.0, 2, np.zeros((5, 5))) is None


def test_a_blank_is_measured_where_the_others_lie_without_bias():
    rng = np.random.default_rng(4)
    blanks = []
    for _ in range(16):
        strong, blank = measure_tubes(
            [("strong", scan(tube((16, 18, 20), 8_000) + noise(rng))), ("blank", scan(noise(rng)))]
        )
        assert strong.flag == ""
        assert blank.flag == "not_detected"
        blanks.append((blank.total, blank.total_sd, blank.maximum))
    totals, stated, maxima = np.array(blanks).T
    assert abs(totals.mean()) < 3 * totals.std() / np.sqrt(16)
    assert abs(maxima.mean()) < 3 * maxima.std() / np.sqrt(16)
    # The background's own error adds to that of the voxels.
    np.testing.assert_allclose(stated.mean(), totals.std(), rtol=0.4)


def test_rules_keep_different_parts_of_a_tube():
    volume = scan(tube((16, 18, 20), 30_000) + noise(np.random.default_rng(5)))
    totals = {rule: measure_tubes([("s", volume)], TotalRule(rule))[0] for rule in TubeRule}
    assert totals[TubeRule.WIDE].total > totals[TubeRule.NOISE].total > totals[TubeRule.FRACTION_OF_MAX].total
    assert len({t.rule for t in totals.values()}) == 3
    assert len({t.maximum for t in totals.values()}) == 1
    # By hand, from the definition.
    voxels, background = volume.voxels.astype(float), totals[TubeRule.FRACTION_OF_MAX].background
    inside = voxels > background + 0.5 * (voxels.max() - background)
    by_hand = (voxels[inside] - background).sum() * np.prod(SPACING)
    np.testing.assert_allclose(totals[TubeRule.FRACTION_OF_MAX].total, by_hand, rtol=1e-9)


def test_tails_of_a_tube_are_no_background():
    rng = np.random.default_rng(11)
    shape, level = (1, 100, 110), 7.0
    bright = 400 * tube((0, 50, 55), 1.0, (1.0, 5.0, 5.0), shape, (1.0, 1.0, 1.0)) * np.pi**3 * 25 / 8
    found = [
        measure_tubes([("t", scan(bright + level + noise(rng, shape), (1.0, 1.0, 1.0), is_projection=True))])[0]
        for _ in range(20)
    ]
    backgrounds, totals, stated = np.array([(t.background, t.total, t.total_sd) for t in found]).T
    rows, columns = np.indices(shape[1:])
    # All that is 10 mm around the half maximum, from the definition.
    bound = np.argwhere(bright[0] > 200)
    near = np.min(np.hypot(rows[..., None] - bound[:, 0], columns[..., None] - bound[:, 1]), axis=-1) <= 10
    # The mode of all voxels lies 0.15 above the background here: three standard errors of the mean are 0.02.
    assert abs(backgrounds.mean() - level) < 0.04
    assert totals.mean() == pytest.approx(bright[0][near].sum(), rel=5e-3)
    # Tails among the noise look like correlation: the stated SD is too large, and must not be too small.
    assert 0.7 * totals.std() < stated.mean() < 3 * totals.std()


def test_what_is_no_tail_of_a_tube_does_not_lift_the_background():
    rng = np.random.default_rng(12)
    shape = (1, 100, 110)
    rows, columns = np.indices(shape[1:]) - np.array([50, 55])[:, None, None]
    around = np.hypot(rows, columns)
    bright = 1500 * (np.exp(-0.5 * (around / 2) ** 2) + 0.03 * np.exp(-0.5 * (around / 20) ** 2))
    volume = scan(bright[None] + noise(rng, shape), (1.0, 1.0, 1.0), is_projection=True)
    (found,) = measure_tubes([("t", volume)])
    assert found.background == estimate_noise(volume).mean


def test_a_projection_has_tubes_over_areas():
    rng = np.random.default_rng(6)
    shape, spacing = (1, 50, 60), (1.0, 0.8, 0.9)
    flat = tube((0, 20, 30), 5_000, shape=shape, spacing=spacing) * np.pi * FWHM[0] / 2
    (found,) = measure_tubes([("p", scan(flat + noise(rng, shape), spacing, is_projection=True))])
    assert found.widths[0] is None
    np.testing.assert_allclose([w.fwhm_mm for w in found.widths[1:]], FWHM[1:], rtol=0.05)
    # A separable Lorentzian keeps some 25 % beyond 10 mm.
    assert 0.6 < found.total / 5_000 < 1.0


def test_points_name_tubes_and_place_blanks():
    grid = four_tubes().grid
    places = [PLACES[3], (24, 9, 9), PLACES[0]]
    points = Points(("D4", "blank", "A1"), grid.lps_from(places))
    found = {t.name: t for t in measure_tubes([("plate", four_tubes())], points=points)}
    assert list(found) == ["D4", "blank", "A1"]
    assert found["blank"].flag == "not_detected"
    assert found["D4"].total > found["A1"].total > 5 * abs(found["blank"].total)
    two = measure_tubes([("a", four_tubes()), ("b", four_tubes(1))], points=points)
    assert [t.name for t in two][:4] == ["a/D4", "a/blank", "a/A1", "b/D4"]
    with pytest.raises(MeasurementError, match="'far' lies outside"):
        measure_tubes([("a", four_tubes())], points=Points(("far",), [[500.0, 0, 0]]))


def test_a_tube_beyond_the_receivers_range_is_flagged():
    curve = Saturation(400.0, valid_to=60.0)
    bright, dim = (scan(curve.measured(tube((16, 18, 20), t)) + noise(np.random.default_rng(7))) for t in (3e4, 5e3))
    flags = [t.flag for t in measure_tubes([("bright", curve.linearise(bright)), ("dim", curve.linearise(dim))])]
    assert flags == ["saturated", ""]


def test_scans_without_any_tube_or_place_are_refused():
    rng = np.random.default_rng(8)
    with pytest.raises(MeasurementError, match="no tube stands out of the noise in any scan"):
        measure_tubes([("blank", scan(noise(rng)))])
    with pytest.raises(MeasurementError, match="no other scan with a single tube"):
        measure_tubes([("plate", four_tubes()), ("blank", scan(noise(rng)))])
    with pytest.raises(MeasurementError, match="positive margin"):
        TotalRule(margin_mm=0)


def test_the_sheet_is_joined_by_name(tmp_path):
    sheet = tmp_path / "samples.csv"
    sheet.write_text("name,cells,iron_ng,volume_ul,replicate\nplate/4,4e5,4000,10,1\nplate/2,5e4,500,10,\n")
    tubes = measure_tubes([("plate", four_tubes())])
    joined, unknown = join_sheet(tubes, read_sample_sheet(sheet))
    assert [(t.name, s.cells, s.iron_ng, s.replicate) for t, s in joined] == [
        ("plate/4", 4e5, 4000, "1"),
        ("plate/2", 5e4, 500, ""),
    ]
    assert unknown == ["plate/1", "plate/3"]
    assert table_rows(joined)[0][:6] == ["plate/4", "plate", "400000", "4000", "10", "1"]
    sheet.write_text("name,cells\nplate/9,1\n")
    with pytest.raises(TableError, match="names plate/9, but the tubes found are plate/1, plate/2"):
        join_sheet(tubes, read_sample_sheet(sheet), file=sheet)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tube,cells\na,1\n", "no column 'name'"),
        ("name,volume_ul\na,1\n", "neither cells nor iron_ng"),
        ("name,cells\na,1\na,2\n", "row 3 repeats the name 'a'"),
        ("name,cells\n,1\n", "row 2 has no name"),
        ("name,cells\na,-1\n", "negative amount"),
        ("name,cells\na,many\n", "row 2, column 'cells' must be a number, got 'many'"),
        ("name,cells,iron_ng\na,100000,1.0e-6\n", "pg per cell: is the iron in ug"),
        ("name,cells,iron_ng\na,1000,5000\n", "5e+03 pg per cell: is the iron in pg"),
        ("name,iron_ng,volume_ul\na,500000,0.005\n", "stronger than any tracer"),
    ],
)
def test_a_sheet_at_fault_is_refused_with_its_row(tmp_path, text, words):
    (tmp_path / "samples.csv").write_text(text)
    with pytest.raises(TableError) as raised:
        read_sample_sheet(tmp_path / "samples.csv")
    assert words in str(raised.value)
    assert "samples.csv" in str(raised.value)


def test_odd_amounts_that_were_checked_are_taken(tmp_path):
    (tmp_path / "samples.csv").write_text("name,cells,iron_ng\na,1000,5000\n")
    assert read_sample_sheet(tmp_path / "samples.csv", units_checked=True)["a"].iron_ng == 5000
