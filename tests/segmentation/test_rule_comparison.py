"""All rules side by side, and the curve of a threshold, against sums made by hand."""

import pickle

import numpy as np
import pytest

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.quantification.occupancy import measure_occupancy
from napari_mpi_track.segmentation.rule_comparison import compare_rules
from napari_mpi_track.segmentation.signal_rules import RuleSettings, SignalRule
from napari_mpi_track.segmentation.threshold_curve import ThresholdCurve

NOISE = Noise(1.0, 0.5, np.ones((1, 1, 1)), "known")
VOXEL_MM3 = 0.8 * 0.5 * 0.6


def volume_of(voxels, **facts):
    return Volume(voxels, Grid.from_spacing(voxels.shape, (0.8, 0.5, 0.6), frame="f"), Modality.MPI, "a.u.", **facts)


@pytest.fixture
def volume():
    voxels = np.random.default_rng(1).normal(0.5, 1.0, (14, 16, 18))
    voxels[2:6, 3:8, 3:9] += 20
    voxels[9:11, 10:13, 10:14] += 100
    return volume_of(voxels)


@pytest.fixture
def organs(volume):
    labels = np.zeros(volume.grid.shape, dtype=np.uint8)
    labels[1:8, 2:9, 2:10], labels[8:12, 9:14, 9:15] = 1, 2
    return measure_occupancy(OrganLabels(labels, volume.grid, {1: "liver", 2: "spleen"}), volume.grid).organs


def test_every_rule_has_the_numbers_of_its_own_threshold(volume):
    comparison = compare_rules(volume, NOISE)
    assert [row.rule for row in comparison.rows] == list(SignalRule)
    voxels = np.asarray(volume.voxels)
    for row in comparison.rows:
        above = voxels[voxels > row.threshold]
        assert row.volume_mm3 == pytest.approx(above.size * VOXEL_MM3)
        assert row.total == pytest.approx((above - 0.5).sum() * VOXEL_MM3)
        assert row.maximum == pytest.approx(voxels.max())
    assert comparison.rows[0].threshold == pytest.approx(5.5)
    assert [row.components for row in comparison.rows] == [2, 1, 2, 1]


def test_the_spread_is_that_of_the_totals(volume):
    comparison = compare_rules(volume, NOISE)
    totals = [row.total for row in comparison.rows]
    assert comparison.spread.sd == pytest.approx(np.std(totals, ddof=1))
    assert comparison.spread.sd_percent == pytest.approx(100 * np.std(totals, ddof=1) / np.mean(totals))
    assert comparison.spread.range_percent == pytest.approx(100 * np.ptp(totals) / np.mean(totals))


def test_of_an_organ_each_rule_keeps_what_lies_in_both(volume, organs):
    comparison = compare_rules(volume, NOISE, organs=organs)
    liver, spleen = comparison.organs["liver"], comparison.organs["spleen"]
    voxels = np.asarray(volume.voxels)
    assert liver.whole == pytest.approx((voxels[1:8, 2:9, 2:10] - 0.5).sum() * VOXEL_MM3)
    assert liver.totals[SignalRule.FRACTION_OF_MAX] == 0
    assert liver.kept(SignalRule.NOISE) == pytest.approx(1, abs=0.06)
    for rule in SignalRule:
        # The noise around the spleen sums to some 10 of its 2400.
        assert spleen.kept(rule) == pytest.approx(1, abs=0.02)
    assert spleen.spread.sd_percent < 1
    assert liver.spread.sd_percent > 50


def test_rules_that_cannot_be_used_say_why_and_leave_the_others(volume):
    cut_out = volume_of(np.where(np.asarray(volume.voxels) > 10, volume.voxels, 0.0))
    comparison = compare_rules(cut_out)
    assert "noise cannot be measured" in comparison.rows[0].problem
    assert comparison.rows[0].total is None
    assert comparison.spread.count == 3
    assert comparison.background == 0


def test_a_rule_that_takes_noise_for_signal_is_no_part_of_the_spread(organs):
    voxels = np.random.default_rng(3).normal(0.5, 1.0, (14, 16, 18))
    voxels[4:6, 4:6, 4:6] += 7
    comparison = compare_rules(volume_of(voxels), NOISE, organs=organs)
    by_otsu = comparison.rows[-1]
    assert by_otsu.rule is SignalRule.OTSU
    assert "within the noise" in by_otsu.doubt
    # Half of the noise sums to far more than the eight voxels of signal.
    assert by_otsu.total > 20 * (8 * 7 * VOXEL_MM3)
    usable = [row for row in comparison.rows if not (row.doubt or row.problem)]
    assert comparison.spread.count == len(usable) < 4
    assert SignalRule.OTSU not in comparison.organs["liver"].totals


def test_a_least_volume_holds_for_all_rules(volume):
    some = compare_rules(volume, NOISE, RuleSettings(minimum_volume_mm3=10.0)).rows
    assert [row.components for row in some] == [1, None, 1, None]
    assert "as large as 10 mm3" in some[1].problem


def test_a_projection_is_told_in_mm2():
    voxels = np.random.default_rng(2).normal(0, 1, (1, 40, 50))
    voxels[0, 10:20, 10:20] += 50
    plane = volume_of(voxels, is_projection=True)
    row = compare_rules(plane, Noise(1.0, 0.0, np.ones((1, 1, 1)), "known")).rows[0]
    assert row.volume_mm3 == pytest.approx(100 * 0.5 * 0.6)


def test_voxels_without_a_number_are_counted_and_left_out(volume):
    holed = np.array(volume.voxels)
    holed[0, 0, 0] = np.nan
    before, after = compare_rules(volume, NOISE), compare_rules(volume_of(holed), NOISE)
    assert after.left_out == 1
    assert after.spread.mean == pytest.approx(before.spread.mean, rel=1e-3)


def test_a_scan_in_which_no_rule_finds_anything_is_refused():
    with pytest.raises(MeasurementError, match="no rule finds signal"):
        compare_rules(volume_of(np.full((6, 7, 8), 2.0)))


def test_a_comparison_survives_a_worker(volume, organs):
    comparison = compare_rules(volume, NOISE, organs=organs)
    assert pickle.loads(pickle.dumps(comparison)) == comparison


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", "i2", "u1"])
def test_the_curve_of_a_threshold_says_what_the_mask_says(volume, dtype):
    scan = volume_of(np.clip(np.asarray(volume.voxels) * 2, 0, 250).astype(dtype))
    voxels = np.asarray(scan.voxels)
    curve = ThresholdCurve(scan, background=0.5)
    assert curve.range == (voxels.min(), voxels.max())
    for threshold in (-3.0, 0.0, 0.3, 4.0, float(voxels.ravel()[77]), 199.9, 1e9):
        above = voxels[voxels > threshold].astype(float)
        found = curve.at(threshold)
        assert found.count == above.size
        assert found.volume_mm3 == pytest.approx(above.size * VOXEL_MM3)
        assert found.total == pytest.approx((above - 0.5).sum() * VOXEL_MM3, rel=1e-9, abs=1e-9)
    for axis in range(3):
        np.testing.assert_array_equal(curve.mask_of_slice(4.0, axis, 5), (voxels > 4.0).take(5, axis=axis))


def test_the_curve_of_an_organ_counts_parts_of_voxels(volume, organs):
    voxels = np.asarray(volume.voxels).ravel()
    rng = np.random.default_rng(4)
    organ = type(organs["liver"])(np.sort(rng.permutation(voxels.size)[:3000]), rng.random(3000), 100.0)
    curve = ThresholdCurve(volume, organ, background=0.5)
    for threshold in (-9.0, 0.0, 2.5, 60.0, 1e3):
        above = voxels[organ.voxel] > threshold
        part = organ.fraction[above]
        found = curve.at(threshold)
        assert found.volume_mm3 == pytest.approx(part.sum() * VOXEL_MM3)
        assert found.total == pytest.approx(((voxels[organ.voxel][above] - 0.5) * part).sum() * VOXEL_MM3)


def test_the_curve_leaves_out_what_holds_no_number_and_refuses_what_lies_elsewhere(volume, organs):
    holed = np.array(volume.voxels)
    holed[3, 4, 5] = np.nan
    assert ThresholdCurve(volume_of(holed)).at(-1e9).count == holed.size - 1
    with pytest.raises(GridMismatchError, match="another grid"):
        ThresholdCurve(volume_of(np.zeros((3, 4, 5))), organs["spleen"])
    with pytest.raises(MeasurementError, match="no voxel"):
        ThresholdCurve(volume_of(np.full((3, 4, 5), np.nan)))
