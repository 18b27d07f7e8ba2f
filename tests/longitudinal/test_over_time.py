"""A study of signals alone, two arms: everything over days follows, and only what was asked for."""

from math import exp, log, sin

import pytest

from napari_mpi_track.errors import StudyFileError
from napari_mpi_track.longitudinal.analysis import analyse_study
from napari_mpi_track.longitudinal.study_file import load_study

HALF_LIVES = {"k1": 6.0, "k2": 6.4, "k3": 5.6, "k4": 6.2, "c1": 1.8, "c2": 2.0, "c3": 1.7}
# Five, since errors of signals alone are not known.
DAYS = (0.0, 1.0, 3.0, 9.0, 14.0)


def signal_of(name, day):
    scatter = 1 + 0.02 * sin(7 * day + 3 * int(name[1])) if day else 1
    return 1000 * 2 ** (-day / HALF_LIVES[name]) * scatter


def write_study(folder, extra="", division=""):
    lines = ["schema: 1", "name: knee", "reference: injected", *extra.splitlines(), *division.splitlines(), "subjects:"]
    for name, half_life in HALF_LIVES.items():
        is_control = name.startswith("c")
        lines += [
            f"  - id: {name}",
            f"    group: {'SPIO' if is_control else 'cells'}",
            f"    control: {'true' if is_control else 'false'}",
            "    injection: {signal: 1000.0, iron_ug: 8.0, cells: 1.0e6}",
            f"    scores: {{WOMAC: {{0: 50, 42: {50 - 3 * half_life:g}}}}}",
            "    timepoints:",
        ]
        lines += [f"      - {{day: {day:g}, signal: {signal_of(name, day):.6f}}}" for day in DAYS]
    path = folder / "study.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return analyse_study(load_study(write_study(tmp_path_factory.mktemp("s"), "retention_at: [7, 30]")))


def test_day_7_is_read_between_its_neighbours_and_says_so(analysis):
    (row,) = [row for row in analysis.retention if row.subject == "k1" and row.day == 7]
    # A line of logarithms: the geometric mean of its neighbours, days 3 and 9, weighed by nearness.
    between = signal_of("k1", 3) ** (1 / 3) * signal_of("k1", 9) ** (2 / 3)
    assert row.retention_percent == pytest.approx(100 * between / 1000, rel=1e-6)
    assert "interpolated" in row.flag.split(";")
    assert not [row for row in analysis.retention if row.day == 30]
    assert any("one side of day 30" in text for text in analysis.warnings)


def test_nothing_is_interpolated_unless_asked(tmp_path):
    found = analyse_study(load_study(write_study(tmp_path)))
    assert {row.day for row in found.retention} == set(DAYS)
    assert not found.days.divisions
    assert not [row for row in found.days.arms if "free" in row.measure]


def test_the_group_has_a_mixed_model_and_the_arms_a_ratio_of_half_lives(analysis):
    (group,) = [row for row in analysis.decay if not row.subject and row.group == "cells"]
    assert group.model == "mixed model"
    assert group.half_life_low_days < 6.05 < group.half_life_high_days
    (ratio,) = [row for row in analysis.days.arms if row.measure == "half_life_ratio"]
    assert (ratio.arm, ratio.other_arm, ratio.animals, ratio.other_animals) == ("cells", "SPIO", 4, 3)
    cells = sum(log(v) for k, v in HALF_LIVES.items() if k[0] == "k") / 4
    spio = sum(log(v) for k, v in HALF_LIVES.items() if k[0] == "c") / 3
    assert ratio.value == pytest.approx(exp(cells - spio), rel=0.05)


def test_arms_are_compared_per_iron_too_and_holm_counts_all_days(analysis):
    per_iron = [row for row in analysis.days.arms if row.measure == "signal_per_ug_iron_difference" and row.day == 3]
    mean = [sum(signal_of(name, 3) / 8 for name in HALF_LIVES if name[0] == arm) for arm in "kc"]
    assert per_iron[0].value == pytest.approx(mean[0] / 4 - mean[1] / 3, rel=1e-6)
    differences = [row for row in analysis.days.arms if row.measure == "retention_difference"]
    # Days 1, 3, 7, 9 and 14; on day 0 no animal differs from another, and there is nothing to test.
    assert {row.comparisons for row in differences if row.p is not None} == {5}


def test_scores_are_ranked_against_retention(analysis):
    (row,) = [row for row in analysis.days.scores if row.day == 9]
    assert (row.score, row.measure, row.animals) == ("WOMAC", "change", 7)
    assert row.spearman == pytest.approx(-1.0)


def test_a_fraction_of_free_label_and_a_division_are_taken_from_the_study(tmp_path):
    extra = "free_label_fraction: {fraction: 0.2, sd: 0.05}"
    found = analyse_study(load_study(write_study(tmp_path, extra, "division: {doubling_time_days: 3.0}")))
    corrected = {row.day: row for row in found.days.arms if row.measure == "retention_corrected_for_free_label"}
    assert set(corrected) == set(DAYS)
    assert not found.days.divisions  # there is no calibration, so there are no founders


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("division: {doubling_time_days: 3, label_per_cell: {0: 1, 2: 0.5, 4: 0.2}}", "either doubling_time_days"),
        ("division: {label_per_cell: {0: 1, 2: 0.5}}", "three days"),
        ("division: {}", "either doubling_time_days"),
        ("free_label_fraction: 1.0", "free_label_fraction"),
        ("free_label_fraction: {fraction: 0.2, spread: 1}", "unknown key 'spread'"),
        ("retention_at: seven", "retention_at"),
    ],
)
def test_faults_of_these_keys_are_told_by_line(tmp_path, text, words):
    with pytest.raises(StudyFileError, match=words) as told:
        load_study(write_study(tmp_path, text))
    assert "line 4" in str(told.value)
