"""Agreement of readers, against published tables, SimpleITK and simulated coverage."""

import numpy as np
import pytest
import SimpleITK as sitk

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.reader_agreement import (
    dice,
    generalised_dice,
    icc_agreement,
    icc_consistency,
    limits_of_agreement,
    variation_within,
)

# Shrout & Fleiss 1979, table 2: six targets, four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
# Bland & Altman 1986, table 1: peak expiratory flow in l/min, first readings of two meters.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_the_table_of_shrout_and_fleiss_has_their_coefficients():
    # Printed: ICC(2,1) = .29, ICC(3,1) = .71; the intervals as R's psych::ICC prints them for this table.
    agreement, consistency = icc_agreement(JUDGES), icc_consistency(JUDGES)
    assert agreement.value == pytest.approx(0.29, abs=0.005)
    assert (agreement.low, agreement.high) == pytest.approx((0.019, 0.761), abs=0.001)
    assert consistency.value == pytest.approx(0.71, abs=0.006)
    assert (consistency.low, consistency.high) == pytest.approx((0.342, 0.946), abs=0.001)


def test_the_meters_of_bland_and_altman_have_their_limits():
    limits = limits_of_agreement(WRIGHT, MINI)
    # Printed: bias -2.1 (-22.0 to 17.8), SD 38.8, limits -79.7 and 75.5 with 2 SD, here 1.96 SD.
    assert limits.bias.value == pytest.approx(-2.1, abs=0.05)
    assert (limits.bias.low, limits.bias.high) == pytest.approx((-22.0, 17.8), abs=0.1)
    assert limits.sd == pytest.approx(38.8, abs=0.05)
    assert limits.lower.value == pytest.approx(-79.7, abs=1.7)
    assert limits.upper.value == pytest.approx(75.5, abs=1.7)
    # Printed: -114.3 to -45.1 and 40.9 to 110.1, by the approximation SE = sqrt(3 / n) SD.
    assert (limits.lower.low, limits.lower.high) == pytest.approx((-114.3, -45.1), abs=2.5)
    assert (limits.upper.low, limits.upper.high) == pytest.approx((40.9, 110.1), abs=2.5)
    assert limits.count == 17


def test_the_intervals_of_the_coefficients_cover_the_truth():
    rng = np.random.default_rng(0)
    runs, targets, readers = 400, 10, 5
    of_targets, of_readers, of_noise = 4.0, 0.5, 1.0
    truth = of_targets / (of_targets + of_readers + of_noise), of_targets / (of_targets + of_noise)
    covered = np.zeros(2)
    for _ in range(runs):
        table = (
            rng.normal(0, of_targets**0.5, (targets, 1))
            + rng.normal(0, of_readers**0.5, readers)
            + rng.normal(0, of_noise**0.5, (targets, readers))
        )
        found = icc_agreement(table), icc_consistency(table)
        covered += [one.low <= value <= one.high for one, value in zip(found, truth, strict=True)]
    # 95 % of 400 runs, give or take 3.3 of their SD of 1.1 %.
    assert np.all(np.abs(covered / runs - 0.95) < 0.036)


def test_readers_who_agree_wholly_have_a_coefficient_of_one():
    table = np.array([[1.0, 1.0], [2.5, 2.5], [7.1, 7.1]])
    assert icc_agreement(table).value == 1
    assert (icc_consistency(table).low, icc_consistency(table).high) == (1, 1)
    # A constant bias is no inconsistency, but it is disagreement.
    biased = table + [0.0, 2.0]
    assert icc_consistency(biased).value == pytest.approx(1)
    assert icc_agreement(biased).value < 0.9
    assert icc_agreement(np.full((4, 3), 0.1)) is None
    assert icc_consistency(np.full((4, 3), 0.1)) is None


def test_variation_within_is_that_of_the_noise_put_in():
    rng = np.random.default_rng(1)
    means = rng.uniform(10, 1e4, (4000, 1))
    table = means * (1 + 0.08 * rng.normal(size=(4000, 3)))
    # 4000 targets with two degrees of freedom each: 0.8 % of the CV.
    assert variation_within(table) == pytest.approx(8.0, rel=0.03)
    assert variation_within([[1.0, -1.5]]) is None


def test_overlaps_are_those_of_simpleitk():
    rng = np.random.default_rng(2)
    first, second = (rng.integers(0, 4, (7, 8, 9)) for _ in range(2))
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*(sitk.GetImageFromArray(labels.astype(np.uint8)) for labels in (first, second)))
    for value in (1, 2, 3):
        assert dice(first == value, second == value) == pytest.approx(measures.GetDiceCoefficient(value))
    organs = [{str(value): labels == value for value in (1, 2, 3)} for labels in (first, second)]
    assert generalised_dice(*organs) == pytest.approx(measures.GetDiceCoefficient())
    assert dice(first > 9, second > 9) is None


def test_an_organ_that_one_reader_left_out_is_no_overlap():
    mask = np.ones((2, 3, 4), dtype=bool)
    assert generalised_dice({"liver": mask, "spleen": mask}, {"liver": mask}) == pytest.approx(2 / 3)


@pytest.mark.parametrize("table", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, np.nan], [2.0, 3.0]]])
def test_too_few_readings_are_refused(table):
    with pytest.raises(MeasurementError, match=r"agreement needs|is missing"):
        icc_agreement(table)
    with pytest.raises(MeasurementError, match="two readers of two targets"):
        limits_of_agreement([1.0], [2.0])
