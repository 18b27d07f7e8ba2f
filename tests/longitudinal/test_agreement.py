"""Two methods beside each other: published examples, other libraries, and animals that count as one."""

import numpy as np
import pytest

from napari_mpi_track.longitudinal.agreement import agreement_rows, bland_altman, concordance, deming, jackknifed
from napari_mpi_track.longitudinal.measurement import RetentionRow

# Bland & Altman 1986 (doi:10.1016/S0140-6736(86)90837-8), table 1: peak flow by a large and a mini meter, first blow.
LARGE = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427.0])
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451.0])


def test_bland_and_altmans_own_example_comes_back():
    found = bland_altman(LARGE - MINI, list(range(17)))
    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert (found.bias.low, found.bias.high) == pytest.approx((-22.0, 17.8), abs=0.15)
    # They take 2 SD (-79.7 and 75.5); these limits are 1.96.
    assert found.upper_limit.value == pytest.approx(-2.1 + 1.96 * 38.8, abs=0.2)
    # Their intervals of the limits, -114.3 to -45.1 and 40.9 to 110.1, are approximate and even; Zou's are uneven.
    assert found.upper_limit.low == pytest.approx(40.9, abs=8)
    assert found.upper_limit.high == pytest.approx(110.1, abs=14)
    assert found.upper_limit.high - found.upper_limit.value > found.upper_limit.value - found.upper_limit.low


def test_repeated_pairs_have_the_variance_of_the_analysis_of_variance():
    import pandas as pd
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(0)
    animal = np.repeat(np.arange(6), 4)
    differences = 0.3 + 0.5 * rng.standard_normal(6)[animal] + 0.2 * rng.standard_normal(24)
    found = bland_altman(differences, animal)
    fit = smf.ols("d ~ C(a)", pd.DataFrame({"d": differences, "a": animal})).fit()
    within = fit.mse_resid
    between = max((fit.mse_model - within) / 4, 0)
    spread = (found.upper_limit.value - found.lower_limit.value) / (2 * 1.959964)
    # Balanced: both are between + within.
    assert spread**2 == pytest.approx(between + within, rel=1e-6)
    alone = bland_altman(differences, np.arange(24))
    assert found.bias.high - found.bias.low > alone.bias.high - alone.bias.low


def test_95_percent_of_limits_are_covered_with_repeats():
    rng = np.random.default_rng(1)
    true_upper, covered, runs = 1.959964 * np.hypot(0.4, 0.3), 0, 400
    animal = np.repeat(np.arange(6), 4)
    for _ in range(runs):
        differences = 0.4 * rng.standard_normal(6)[animal] + 0.3 * rng.standard_normal(24)
        limit = bland_altman(differences, animal).upper_limit
        covered += limit.low <= true_upper <= limit.high
    assert covered / runs == pytest.approx(0.95, abs=0.035)


def test_demings_line_is_that_of_orthogonal_distances():
    from scipy.optimize import minimize

    rng = np.random.default_rng(2)
    truth = rng.uniform(5, 90, 25)
    x, y = truth + 3 * rng.standard_normal(25), 4 + 1.2 * truth + 6 * rng.standard_normal(25)
    slope, intercept = deming(x, y, 4.0)

    def squares(line):
        return np.sum((y - line[1] - line[0] * x) ** 2 / (4.0 + line[0] ** 2))

    theirs = minimize(squares, [1, 0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-10, "maxiter": 9999}).x
    assert (slope, intercept) == pytest.approx(tuple(theirs), rel=1e-5)
    back, _ = deming(y, x, 0.25)
    assert back == pytest.approx(1 / slope, rel=1e-9)


def test_concordance_is_lins_formula_and_falls_with_a_shift():
    pearson = np.corrcoef(LARGE, MINI)[0, 1]
    by_parts = pearson / (
        0.5 * (LARGE.std() / MINI.std() + MINI.std() / LARGE.std())
        + 0.5 * (LARGE.mean() - MINI.mean()) ** 2 / (LARGE.std() * MINI.std())
    )
    assert concordance(LARGE, MINI) == pytest.approx(by_parts, rel=1e-12)
    assert concordance(LARGE, MINI) == pytest.approx(0.943, abs=0.0005)
    assert concordance(LARGE, MINI + 60) < concordance(LARGE, MINI)


def test_an_animals_pairs_are_left_out_together():
    values = np.array([1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 3.0, 3.0])
    found = jackknifed(lambda kept: float(values[kept].mean()), ["a"] * 3 + ["b"] * 3 + ["c"] * 2)
    many = jackknifed(lambda kept: float(values[kept].mean()), [str(at) for at in range(8)])
    assert found.high - found.low > many.high - many.low
    assert jackknifed(lambda kept: float(values[kept].mean()), ["a"] * 4 + ["b"] * 4).low is None


def rows(ratio_of_organ, animals=5):
    rng = np.random.default_rng(3)
    found = []
    for animal in range(animals):
        for organ, ratio in ratio_of_organ.items():
            for day, kept in ((0, 100.0), (1, 70.0), (7, 30.0)):
                pet = kept * np.exp(0.05 * rng.standard_normal())
                mpi = ratio * kept * np.exp(0.05 * rng.standard_normal())
                for modality, value in (("MPI", mpi), ("PET", pet)):
                    low, high = (0.9 * value, 1.1 * value) if day else (100.0, 100.0)
                    value = value if day else 100.0
                    found.append(RetentionRow(f"m{animal}", "g", day, modality, organ, "day 0", value, low, high))
    return found


def test_mpi_beside_pet_gives_the_ratio_of_every_organ_and_day():
    table = {(row.organ, row.measure): row for row in agreement_rows(rows({"liver": 1.3, "lungs": 1.0, "bone": 0.4}))}
    liver = table["liver", "bland_altman_ratio"]
    assert liver.low < 1.3 < liver.high
    assert liver.low > 1
    lungs = table["lungs", "bland_altman_ratio"]
    assert lungs.low < 1 < lungs.high
    # The reference day is 100 % in both by construction, and no pair.
    assert (lungs.animals, lungs.pairs) == (5, 10)
    assert ("lungs", "bland_altman_ratio_day_0") not in table
    assert table["lungs", "bland_altman_ratio_day_7"].pairs == 5
    assert table["liver", "deming_slope"].value == pytest.approx(1.3, abs=0.15)
    assert table["all organs", "concordance"].value < table["lungs", "concordance"].value


def test_one_animal_is_no_agreement():
    assert agreement_rows(rows({"liver": 1.3}, animals=1)) == []


def test_demings_line_and_its_jackknife_error_are_those_of_ncss():
    """NCSS chapter 303, example 5, as R's mcr and SimplyAgree print it; their error ratio of 4 is that of x to y."""
    x = np.array([7, 8.3, 10.5, 9, 5.1, 8.2, 10.2, 10.3, 7.1, 5.9])
    y = np.array([7.9, 8.2, 9.6, 9, 6.5, 7.3, 10.2, 10.6, 6.3, 5.2])
    assert deming(x, y, 0.25) == pytest.approx((1.00119422781949, -0.0897448990070444), rel=1e-9)
    found = [jackknifed(lambda kept, at=at: deming(x[kept], y[kept], 0.25)[at], list(range(10))) for at in (0, 1)]
    # 2.262157 is Student's t with 9 degrees of freedom; Linnet (and NCSS) take 8.
    errors = [(each.high - each.low) / (2 * 2.262157) for each in found]
    assert errors == pytest.approx([0.18718, 1.72199], abs=6e-6)


def test_jackknife_intervals_of_few_animals_hold_the_slope():
    rng = np.random.default_rng(4)
    animal, covered, runs = np.repeat(np.arange(4), 3), 0, 200
    for _ in range(runs):
        truth = np.outer(np.exp(0.15 * rng.standard_normal(4)), [80.0, 40.0, 20.0]).ravel()
        x, y = truth + 3 * rng.standard_normal(12), 2 + 1.2 * truth + 4 * rng.standard_normal(12)
        found = jackknifed(lambda kept, x=x, y=y: deming(x[kept], y[kept], 16 / 9)[0], animal)
        covered += found.low <= 1.2 <= found.high
    # Three standard errors over 200 runs are 4.6 %.
    assert covered / runs == pytest.approx(0.95, abs=0.046)
