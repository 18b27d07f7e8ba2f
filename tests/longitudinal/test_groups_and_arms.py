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
    assert compared(blank, "retention", ours[:1], theirs) == []


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
