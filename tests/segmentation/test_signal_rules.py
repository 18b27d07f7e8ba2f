"""Rules for finding signal, against closed forms, exhaustive search, scikit-image and SimpleITK."""

import pickle
from dataclasses import fields, replace
from itertools import combinations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import stats
from skimage.filters import threshold_otsu

import napari_mpi_track as mpt
from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.segmentation.clusters import intensity_classes, otsu_threshold
from napari_mpi_track.segmentation.signal_rules import (
    RuleSettings,
    SignalRule,
    find_signal,
    rule_threshold,
    segment,
    voxels_without_number,
)

SPACING_MM = (0.7, 0.5, 0.6)
NOISE = Noise(1.0, 0.0, np.ones((1, 1, 1)), "known")


def scan(voxels, spacing_mm=SPACING_MM, **facts):
    return Volume(voxels, Grid.from_spacing(voxels.shape, spacing_mm, frame="f"), Modality.MPI, "a.u.", **facts)


def blob(peak, shape=(45, 61, 51), sd_mm=2.0):
    """A Gaussian in mm, of this peak, in the middle of a scan without noise."""
    index = np.indices(shape).transpose(1, 2, 3, 0) - (np.array(shape) - 1) / 2
    return scan(peak * np.exp(-0.5 * ((index * SPACING_MM) ** 2).sum(-1) / sd_mm**2))


def noisy(seed=0):
    """Three levels of intensity and noise: what classes are made of."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(0, 1, (12, 20, 16))
    voxels[3:6, 4:9, 5:9] += 30
    voxels[8:10, 12:17, 3:7] += 90
    return scan(voxels.astype(np.float32))


@pytest.mark.parametrize("peak", [10, 20, 50, 200])
def test_a_region_of_5_sd_keeps_what_the_chi_square_law_says_of_a_gaussian_blob(peak):
    volume = blob(peak)
    inside = find_signal(volume, RuleSettings(), NOISE).voxels > 0
    kept = volume.voxels[inside].sum() / volume.voxels.sum()
    # A Gaussian's total within the radius where it falls to 5 SD; voxels of 0.6 mm leave 1 % of the total.
    assert kept == pytest.approx(stats.chi2.cdf(2 * np.log(peak / 5), 3), abs=0.01)


def test_a_region_of_half_the_maximum_is_as_wide_as_the_blob():
    volume = blob(70.0)
    inside = find_signal(volume, RuleSettings(SignalRule.FRACTION_OF_MAX)).voxels > 0
    radius_mm = 2.0 * np.sqrt(2 * np.log(2))
    # Counting voxels of a ball of 2.4 mm radius is good to some 3 %.
    volume_mm3 = inside.sum() * np.prod(SPACING_MM)
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.04)


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_have_the_least_scatter_of_all_that_are_possible(classes):
    rng = np.random.default_rng(classes)
    values = np.sort(np.r_[rng.normal(0, 1, 24), rng.normal(9, 1.5, 12), rng.gamma(2, 12, 12)])
    found = intensity_classes(scan(rng.permutation(values).reshape(4, 4, 3)), classes)
    best = min(
        sum(part.size * part.var() for part in np.split(values, borders))
        for borders in combinations(range(1, values.size), classes - 1)
    )
    assert found.scatter == pytest.approx(best, rel=1e-6)
    parts = np.split(values, np.searchsorted(values, found.borders))
    np.testing.assert_allclose(found.centres, [part.mean() for part in parts], rtol=1e-9)
    np.testing.assert_array_equal(found.counts, [part.size for part in parts])


def test_no_class_runs_empty():
    # Found by search: from some starts, a class's mean comes to lie where no voxel is nearest to it.
    values, counts = [3, 14, 22, 35, 37, 44, 46, 58], [7, 29, 11, 39, 29, 28, 5, 8]
    voxels = np.repeat(np.array(values, dtype=float), counts)
    found = intensity_classes(scan(voxels.reshape(4, 3, 13)), 5)
    assert np.all(found.counts > 0)
    best = min(
        sum(part.size * part.var() for part in np.split(voxels, np.cumsum(counts)[list(borders)]))
        for borders in combinations(range(len(values) - 1), 4)
    )
    assert found.scatter == pytest.approx(best, rel=1e-6)


def test_one_seed_gives_one_answer_and_classes_survive_a_worker():
    volume = noisy()
    first, second = (intensity_classes(volume, 5, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.centres, second.centres)
    again = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(again.borders, first.borders)
    assert again.seed == 7


def test_kmeans_keeps_all_classes_but_the_lowest():
    volume = noisy()
    truth = np.asarray(volume.voxels) > 15
    np.testing.assert_array_equal(find_signal(volume, RuleSettings(SignalRule.KMEANS)).voxels > 0, truth)
    # Of two classes, the fainter place goes with the background.
    two = find_signal(volume, RuleSettings(SignalRule.KMEANS, classes=2)).voxels > 0
    assert two.sum() == 2 * 5 * 4


@pytest.mark.parametrize("seed", range(3))
def test_otsu_lies_where_scikit_image_and_simpleitk_put_it(seed):
    volume = noisy(seed)
    voxels = np.asarray(volume.voxels)
    of_itk = sitk.OtsuThresholdImageFilter()
    of_itk.SetNumberOfHistogramBins(65_536)
    of_itk.Execute(sitk.GetImageFromArray(voxels))
    found = otsu_threshold(volume)
    # One bin of their histograms: the same split may be said by a bin's middle or its edge.
    bin_width = float(np.ptp(voxels)) / 65_536
    assert found == pytest.approx(threshold_otsu(voxels, nbins=65_536), abs=1.1 * bin_width)
    assert found == pytest.approx(of_itk.GetThreshold(), abs=1.1 * bin_width)


def test_classes_that_part_the_noise_alone_are_no_signal():
    rng = np.random.default_rng(8)
    voxels = rng.normal(0, 1, (40, 44, 48))
    voxels[5:9, 5:10, 5:10] += 25
    volume = scan(voxels)
    assert intensity_classes(volume, 4).borders[0] < 1
    inside = find_signal(volume, RuleSettings(SignalRule.KMEANS, classes=4)).voxels > 0
    np.testing.assert_array_equal(inside, voxels > 10)
    with pytest.raises(MeasurementError, match="stands 5 SD out of the noise") as refused:
        find_signal(scan(rng.normal(0, 1, (20, 22, 24))), RuleSettings(SignalRule.KMEANS))
    assert "noise rule" in refused.value.remedy


def test_where_no_noise_can_be_measured_kmeans_leaves_out_the_lowest_class():
    cut_out = noisy()
    voxels = np.where(np.asarray(cut_out.voxels) > 15, cut_out.voxels, 0)
    np.testing.assert_array_equal(find_signal(scan(voxels), RuleSettings(SignalRule.KMEANS)).voxels > 0, voxels > 0)


def test_two_classes_by_kmeans_are_those_of_otsu():
    volume = noisy(5)
    by_kmeans = find_signal(volume, RuleSettings(SignalRule.KMEANS, classes=2)).voxels
    np.testing.assert_array_equal(by_kmeans, find_signal(volume, RuleSettings(SignalRule.OTSU)).voxels)


@pytest.mark.parametrize("rule", list(SignalRule))
def test_voxels_without_a_number_are_no_signal_and_move_no_threshold(rule):
    volume = noisy()
    holed = np.array(volume.voxels)
    holed[0, 0, :3] = np.nan, np.inf, -np.inf
    with_holes = volume.with_voxels(holed)
    assert voxels_without_number(with_holes) == 3
    assert voxels_without_number(volume) == 0
    settings = RuleSettings(rule)
    assert rule_threshold(with_holes, settings, NOISE) == pytest.approx(
        rule_threshold(volume, settings, NOISE), abs=0.1
    )
    found = find_signal(volume.with_voxels(np.where(np.isinf(holed), np.nan, holed)), settings, NOISE)
    np.testing.assert_array_equal(found.voxels, find_signal(volume, settings, NOISE).voxels)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">f4", "f8"])
@pytest.mark.parametrize("rule", list(SignalRule))
def test_signal_is_the_same_in_every_number_format(rule, dtype):
    tenths = np.rint(np.asarray(noisy().voxels, dtype=float) * 10)
    noise = Noise(10.0, 0.0, np.ones((1, 1, 1)), "known")
    found, truth = (find_signal(scan(tenths.astype(one)), RuleSettings(rule), noise) for one in (dtype, "f4"))
    np.testing.assert_array_equal(found.voxels, truth.voxels)


@pytest.mark.parametrize("rule", list(SignalRule))
def test_a_constant_scan_is_refused_by_every_rule(rule):
    with pytest.raises(MeasurementError, match=r"constant|different intensities") as refused:
        find_signal(scan(np.full((9, 8, 7), 3.0)), RuleSettings(rule))
    assert refused.value.remedy


@pytest.mark.parametrize("rule", list(SignalRule))
def test_a_scan_without_any_number_is_refused_by_every_rule(rule):
    with pytest.raises(MeasurementError, match="no number"):
        find_signal(scan(np.full((9, 8, 7), np.nan)), RuleSettings(rule))


def test_a_scan_below_zero_has_no_fraction_of_its_maximum():
    with pytest.raises(MeasurementError, match="no fraction"):
        rule_threshold(scan(-1 - np.random.default_rng(0).random((5, 6, 7))), RuleSettings(SignalRule.FRACTION_OF_MAX))


def test_a_threshold_that_takes_nothing_or_everything_is_refused_with_what_to_do():
    volume = noisy()
    with pytest.raises(MeasurementError, match="no voxel is above") as nothing:
        segment(volume, 1e6)
    with pytest.raises(MeasurementError, match="every voxel is above") as everything:
        segment(volume, -1e6)
    assert "lower" in nothing.value.remedy
    assert "higher" in everything.value.remedy


def test_small_places_are_left_out_by_volume_or_by_area_of_a_projection():
    voxels = np.zeros((1, 20, 30))
    voxels[0, 2:5, 2:5] = 9
    voxels[0, 12, 7] = 9
    plane = scan(voxels, (50.0, 0.5, 0.6), is_projection=True)
    kept = find_signal(plane, RuleSettings(SignalRule.OTSU, minimum_volume_mm3=9 * 0.5 * 0.6)).voxels > 0
    np.testing.assert_array_equal(kept, (voxels > 0) & (np.arange(20)[:, None] < 10))
    with pytest.raises(MeasurementError, match=r"as large as 3 mm2; the largest has 2\.7"):
        find_signal(plane, RuleSettings(SignalRule.OTSU, minimum_volume_mm3=3.0))


@pytest.mark.parametrize(
    "change",
    [{"times_sd": 0.0}, {"fraction": 1.0}, {"minimum_volume_mm3": -1.0}, {"times_sd": float("nan")}],
)
def test_numbers_outside_their_range_are_refused(change):
    with pytest.raises(MeasurementError, match="got"):
        replace(RuleSettings(), **change)


@pytest.mark.parametrize("classes", [1, 6])
def test_classes_are_two_to_five(classes):
    with pytest.raises(MeasurementError, match="2 to 5 classes"):
        intensity_classes(noisy(), classes)


def test_a_form_finds_what_it_needs_in_every_field():
    for field in fields(RuleSettings):
        assert field.metadata["label"]
        assert field.metadata["tip"]
        assert (field.metadata["span"] is None) == (field.name == "rule")
    assert set(RuleSettings.__dataclass_fields__["rule"].metadata["choices"]) == set(SignalRule)


def test_the_public_name_draws_above_a_threshold():
    volume = noisy()
    np.testing.assert_array_equal(mpt.segment(volume, 15.0).mask("signal"), np.asarray(volume.voxels) > 15)
