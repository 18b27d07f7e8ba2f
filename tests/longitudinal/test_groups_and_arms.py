"""Groups and arms: lme4's numbers, intervals that cover with few animals, and comparisons that are counted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.arms import arm_rows, compared, hedges_g
from napari_mpi_track.longitudinal.groups import AnimalCourse, group_row
from napari_mpi_track.longitudinal.measurement import ArmRow, DecayRow, RetentionRow
from napari_mpi_track.longitudinal.mixed_model import fit_mixed_line
from napari_mpi_track.longitudinal.scores import score_rows, spearman
from napari_mpi_track.longitudinal.study import FreeLabel, Study, Subject

DAYS = np.array([0.0, 1.0, 3.0, 7.0])


def test_balanced_data_have_the_errors_and_degrees_of_a_t_interval_over_animals():
    """Known without any software: balanced random slopes give the mean of the slopes, their SE, and n - 1."""
    rng = np.random.default_rng(0)
    slopes = -0.2 + 0.1 * rng.standard_normal(6)
    y = np.concatenate([4 + rng.standard_normal() + slope * DAYS + 0.05 * rng.standard_normal(4) for slope in slopes])
    x, animal = np.tile(DAYS, 6), np.repeat(np.arange(6), 4)
    own = [np.polyfit(DAYS, y[animal == at], 1)[0] for at in range(6)]
    line = fit_mixed_line(x, y, animal)
    assert line.slope == pytest.approx(np.mean(own), rel=1e-6)
    assert line.slope_se == pytest.approx(np.std(own, ddof=1) / np.sqrt(6), rel=1e-4)
    assert line.slope_df == pytest.approx(5, rel=1e-4)


def test_the_variances_of_unbalanced_data_are_those_of_statsmodels():
    import warnings

    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    x, animal = np.tile(DAYS, 8), np.repeat(np.arange(8), 4)
    y = (0.5 * rng.standard_normal(8))[animal] - (0.3 + 0.1 * rng.standard_normal(8))[animal] * x
    y += 0.1 * rng.standard_normal(32)
    kept = np.delete(np.arange(32), [3, 10, 21, 22])
    x, y, animal = x[kept], y[kept], animal[kept]
    line = fit_mixed_line(x, y, animal)
    design = np.column_stack([np.ones(x.size), x])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sm.MixedLM(y, design, animal, exog_re=design).fit(reml=True)
    assert [line.intercept, line.slope] == pytest.approx(theirs.fe_params, rel=1e-4)
    assert np.square(line.between_sd) == pytest.approx(np.diag(theirs.cov_re), rel=2e-3)
    assert line.residual_sd**2 == pytest.approx(theirs.scale, rel=2e-3)
    # Kenward and Roger's error is never below the plain one.
    assert line.slope_se >= theirs.bse_fe[1] * (1 - 1e-3)
    assert 4 < line.slope_df < 8


def test_two_animals_are_too_few_for_a_line_whose_slopes_vary():
    with pytest.raises(TableError, match="needs 3 with three days each, got 2"):
        fit_mixed_line(np.tile(DAYS, 2), np.arange(8.0), np.repeat([0, 1], 4))


def course(name, half_life, rng, model="exponential"):
    values = 100 * 2 ** (-DAYS / half_life) * np.exp(0.03 * rng.standard_normal(4))
    row = DecayRow(name, "g", "MPI", "joint", model, "", None, half_life, None, None, None, None, None, 4, 0)
    return AnimalCourse(row, DAYS, values, 0.03 * values, np.zeros(4, bool))


def test_a_group_of_exponentials_is_a_mixed_model_and_says_it_is_small():
    rng = np.random.default_rng(2)
    row = group_row("g", "MPI", "joint", [course(f"m{at}", 4.0 + 0.2 * at, rng) for at in range(4)])
    assert row.model == "mixed model"
    assert row.half_life_low_days < 4.3 < row.half_life_high_days
    assert json.loads(row.parameters)["animals"] == 4
    assert json.loads(row.parameters)["degrees_of_freedom"] == pytest.approx(3, abs=0.2)
    assert row.flag == "small_n"


def test_a_group_with_another_model_or_two_animals_has_a_t_interval_over_animals():
    rng = np.random.default_rng(3)
    courses = [course("a", 2.0, rng, "plateau"), course("b", 8.0, rng), course("c", 4.0, rng)]
    row = group_row("g", "MPI", "joint", courses)
    assert row.model == "geometric mean of animals"
    assert row.half_life_days == pytest.approx(4.0, rel=1e-9)
    reach = 4.302653 * np.std(np.log([2, 8, 4]), ddof=1) / np.sqrt(3)
    assert row.half_life_high_days == pytest.approx(4 * np.exp(reach), rel=1e-5)
    assert group_row("g", "MPI", "joint", courses[1:]).model == "geometric mean of animals"
    assert group_row("g", "MPI", "joint", courses[:1]).flag == "too_few_points"


def test_welchs_difference_is_scipys():
    from scipy.stats import ttest_ind

    ours, theirs = [62.0, 55.0, 71.0, 66.0], [20.0, 31.0, 24.0]
    blank = ArmRow("MPI", "joint", 7, "", "cells", "spio", None, None, None, 4, 3)
    difference, ratio, size = compared(blank, "retention", ours, theirs)
    welch = ttest_ind(ours, theirs, equal_var=False)
    interval = welch.confidence_interval()
    assert (difference.low, difference.high, difference.p) == pytest.approx((interval.low, interval.high, welch.pvalue))
    logs = ttest_ind(np.log(ours), np.log(theirs), equal_var=False).confidence_interval()
    assert (ratio.low, ratio.high) == pytest.approx((np.exp(logs.low), np.exp(logs.high)))
    assert size.low < size.value < size.high
    assert compared(blank, "retention", ours[:0], theirs) == []


def test_hedges_g_covers_the_true_effect():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        value, low, high = hedges_g(1.5 + rng.standard_normal(5), rng.standard_normal(4))
        covered += low <= 1.5 <= high
        assert low < value < high
    # Three standard errors over 400 are 3.3 %.
    assert covered / 400 == pytest.approx(0.95, abs=0.033)


def a_study(groups, **more):
    subjects = tuple(Subject(name, group, group == "spio", **more.pop(name, {})) for name, group in groups.items())
    return Study("s", Path("s.yaml"), subjects, **more)


GROUPS = {"a": "cells", "b": "cells", "c": "cells", "x": "spio", "y": "spio", "z": "spio"}
KEPT = {"a": 60.0, "b": 66.0, "c": 72.0, "x": 20.0, "y": 26.0, "z": 32.0}


def retention(day=7.0, reference="injected", scale=1.0):
    return [
        RetentionRow(name, GROUPS[name], day, "MPI", "joint", reference, value * scale, None, None)
        for name, value in KEPT.items()
    ]


def test_arms_are_compared_with_the_control_and_comparisons_are_counted_by_holm():
    found = arm_rows(a_study(GROUPS), [], [*retention(7.0), *retention(1.0, scale=1.2)], [])
    differences = [row for row in found if row.measure == "retention_difference"]
    assert [(row.arm, row.other_arm, row.comparisons) for row in differences] == [("cells", "spio", 2)] * 2
    assert differences[0].value == pytest.approx(40.0)
    assert all(row.p_holm == pytest.approx(2 * row.p) for row in differences[:1])
    assert all(row.flag == "small_n" for row in found)


def test_a_day_that_is_100_percent_by_construction_is_no_comparison():
    assert arm_rows(a_study(GROUPS), [], retention(0.0, "day 0"), []) == []


def test_free_label_is_corrected_for_only_when_its_fraction_is_given():
    assert not [row for row in arm_rows(a_study(GROUPS), [], retention(), []) if "free" in row.measure]
    study = a_study(GROUPS, free_label=FreeLabel(0.25, 0.05))
    (row,) = [row for row in arm_rows(study, [], retention(), []) if "free" in row.measure]
    assert row.value == pytest.approx((66 - 0.25 * 26) / 0.75)
    exact = replace(study, free_label=FreeLabel(0.25))
    (sure,) = [row for row in arm_rows(exact, [], retention(), []) if "free" in row.measure]
    assert row.high - row.low > sure.high - sure.low


def test_half_lives_of_arms_are_compared_as_a_ratio():
    half_lives = {"a": 6.0, "b": 6.6, "c": 5.4, "x": 1.8, "y": 2.0, "z": 1.6}
    decay = [
        DecayRow(name, GROUPS[name], "MPI", "joint", "exponential", "", None, value, None, None, None, None, None, 4, 0)
        for name, value in half_lives.items()
    ]
    (row,) = arm_rows(a_study(GROUPS), [], [], decay)
    assert (row.measure, row.day) == ("half_life_ratio", None)
    assert row.low < 3.35 < row.high
    assert row.low > 1


def test_spearmans_interval_is_bonett_and_wrights():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(5)
    x = rng.standard_normal(12)
    y = x + rng.standard_normal(12)
    value, low, high = spearman(x, y)
    assert value == pytest.approx(spearmanr(x, y).statistic)
    reach = 1.959964 * np.sqrt((1 + value**2 / 2) / 9)
    assert (low, high) == pytest.approx(
        (np.tanh(np.arctanh(value) - reach), np.tanh(np.arctanh(value) + reach)), rel=1e-6
    )
    assert spearman([1, 2, 3, 4], [1, 2, 3, 5])[1] is None


def test_scores_are_changes_from_their_first_day_and_say_how_many():
    given = {name: {"scores": {"WOMAC": {0: 50.0, 42: 50.0 - value / 2}}} for name, value in KEPT.items()}
    (row,) = score_rows(a_study(GROUPS, **given), retention())
    assert (row.score, row.score_day, row.measure, row.animals, row.flag) == ("WOMAC", 42, "change", 6, "small_n")
    assert row.spearman == pytest.approx(-1.0)
    assert row.low is None


def test_the_mixed_line_is_that_of_sas_proc_mixed():
    """Stability of three batches (SAS/STAT User's Guide, PROC MIXED, "Random Coefficients"; data of Obenchain 1990).

    Three: the fewest this model takes. statsmodels' REML gives these numbers too.
    """
    batches = {
        0: ["101.2 103.3 103.3 102.1 104.4 102.4", "102.6 102.7 102.4 102.1 102.9 102.6",
            "105.1 103.9 106.1 104.1 103.7 104.6"],
        1: ["98.8 99.4 99.7 99.5", "99.1 99.0 99.9 100.6", "102.2 102.0 100.8 99.8"],
        3: ["98.4 99.0 97.3 99.8", "105.7 103.3 103.4 104.0", "101.2 101.8 100.8 102.6"],
        6: ["101.5 100.2 101.7 102.7", "101.3 101.5 100.9 101.4", "101.1 102.0 100.1 100.2"],
        9: ["96.3 97.2 97.2 96.3", "94.1 96.5 97.2 95.6", "100.9 99.5 102.2 100.8"],
        12: ["97.3 97.9 96.8 97.7 97.7 96.7", "93.1 92.8 95.4 92.2 92.2 93.0", "97.8 98.3 96.9 98.4 96.9 96.5"],
    }  # fmt: skip
    points = [
        (month, float(assay), batch)
        for month, of_batches in batches.items()
        for batch, assays in enumerate(of_batches)
        for assay in assays.split()
    ]
    month, assay, batch = (np.array(column) for column in zip(*points, strict=True))
    line = fit_mixed_line(month, assay, batch)
    assert line.intercept == pytest.approx(102.70, abs=6e-3)
    assert line.slope == pytest.approx(-0.5259, abs=6e-5)
    assert (line.intercept_se, line.slope_se) == pytest.approx((0.6456, 0.1194), abs=6e-5)
    assert np.square(line.between_sd) == pytest.approx([0.9768, 0.03717], rel=2e-4)
    assert line.residual_sd**2 == pytest.approx(3.2932, rel=2e-5)
    assert line.slope_df == pytest.approx(2, abs=1e-6)


def test_arms_whose_animals_hardly_differ_have_no_effect_size_and_no_crash():
    assert hedges_g([100.0, 100.0001], [1.0, 1.0001]) is None
    assert all(np.isfinite(hedges_g([100.0, 101.0], [1.0, 2.0])))


def test_animals_below_detection_are_said_where_arms_are_compared_and_rank_last_beside_scores():
    lost = [
        replace(row, retention_percent=None, flag="below_detection") if row.subject == "x" else row
        for row in retention()
    ]
    assert all(row.flag == "small_n;below_detection" for row in arm_rows(a_study(GROUPS), [], lost, []))
    given = {name: {"scores": {"WOMAC": {0: 50.0, 42: 50.0 - value / 2}}} for name, value in KEPT.items()}
    (row,) = score_rows(a_study(GROUPS, **given), lost)
    assert (row.animals, row.flag) == (6, "small_n;below_detection")
    (seen,) = score_rows(a_study(GROUPS, **given), retention())
    assert row.spearman == pytest.approx(seen.spearman)


def test_animals_without_a_half_life_are_said_in_the_groups_row():
    rng = np.random.default_rng(6)
    courses = [course(name, half_life, rng) for name, half_life in (("a", 5.0), ("b", 6.0), ("c", 9.0))]
    courses[2] = replace(courses[2], row=replace(courses[2].row, half_life_days=None))
    row = group_row("g", "MPI", "joint", courses)
    assert json.loads(row.parameters)["animals"] == 2
    assert row.reason == "1 of 3 animals have no half-life and are left out"


def test_one_animal_an_arm_gives_a_difference_and_says_that_it_has_no_interval():
    alone = [row for row in retention() if row.subject in ("a", "x")]
    found = {row.measure: row for row in arm_rows(a_study(GROUPS, free_label=FreeLabel(0.25)), [], alone, [])}
    assert found["retention_difference"].value == pytest.approx(40)
    assert found["retention_ratio"].value == pytest.approx(3)
    assert found["retention_corrected_for_free_label"].value == pytest.approx((60 - 0.25 * 20) / 0.75)
    for row in found.values():
        assert (row.low, row.high, row.p, row.flag) == (None, None, None, "small_n;no_finite_interval")
