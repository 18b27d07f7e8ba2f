"""Figures: what they show, and that the same study draws the same bytes."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from report_examples import example_calibration

from napari_mpi_track.longitudinal.measurement import BudgetRow, DecayRow, RetentionRow
from napari_mpi_track.report.calibration_figures import calibration_figure
from napari_mpi_track.report.figures import figure_bytes, organ_colour
from napari_mpi_track.report.organ_figures import budget_figure
from napari_mpi_track.report.retention_figures import (
    curve_band,
    decay_figure,
    fit_in_words,
    fitted_percent,
    retention_figure,
    series_of,
)

DECAY = DecayRow(
    "m01", "labelled", "MPI", "liver", "exponential", json.dumps({"amplitude": 40.0, "rate_per_day": np.log(2) / 3}),
    np.log(2) / 3, 3.0, 2.5, 3.7, None, None, 0.99, 4, 0,
)  # fmt: skip


def retention_rows() -> list[RetentionRow]:
    rows = []
    for day in (0.0, 1.0, 3.0, 7.0):
        value = 40 * 2 ** (-day / 3)
        seen = value > 10
        rows.append(
            RetentionRow(
                "m01", "labelled", day, "MPI", "liver", "injected", value if seen else None,
                value - 3 if seen else 0.0, value + 3 if seen else 10.0, "" if seen else "below_detection",
            )
        )  # fmt: skip
    return rows


def texts(figure: object) -> str:
    return re.sub(r"<[^>]+>", "\n", figure_bytes(figure, "svg").decode())  # type: ignore[arg-type]


def test_the_usual_organs_have_colours_of_their_own() -> None:
    organs = ["liver", "lungs", "spleen", "bone", "kidneys", "tumour", "heart"]
    assert len({organ_colour(organ) for organ in organs}) == len(organs)
    assert organ_colour("Liver") == organ_colour("liver")
    assert organ_colour("outside") == organ_colour("total")


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_figure_gives_the_same_bytes(kind: str) -> None:
    first = figure_bytes(calibration_figure(example_calibration()), kind)  # type: ignore[arg-type]
    second = figure_bytes(calibration_figure(example_calibration()), kind)  # type: ignore[arg-type]
    assert first == second
    assert b"<dc:date>" not in first
    assert b"CreationDate" not in first


def test_the_calibration_shows_line_bands_means_and_decision_limit() -> None:
    calibration = example_calibration()
    figure = calibration_figure(calibration)
    words = texts(figure)
    for word in ("cells per sample", "95 % of the line", "95 % of new samples", "mean ± SEM", "decision limit"):
        assert word in words
    assert f"R² = {calibration.r_squared:.4f}" in words
    axes = figure.axes[0]
    band_of_line = axes.collections[1].get_paths()[0].vertices
    # At the mean x the 95 % band of an ordinary line is the fit +- t SE.
    at = float(np.mean(calibration.x))
    edges = band_of_line[np.argsort(np.abs(band_of_line[:, 0] - at))[:2]]
    assert edges[:, 1].min() < calibration.signal_at(at) < edges[:, 1].max()


@pytest.mark.parametrize("reference", ["injected", "injected cells", "day 0"])
def test_the_retention_axis_names_the_reference_as_the_table_does(reference: str) -> None:
    rows = [replace(row, reference=reference) for row in retention_rows()]
    for figure in (retention_figure(rows), decay_figure(rows, [DECAY])):
        assert figure.axes[0].get_ylabel() == f"retention (% of {reference})"


def test_one_animal_is_no_mean_and_two_have_no_band() -> None:
    alone = retention_rows()
    axes = retention_figure(alone).axes[0]
    assert axes.get_title(loc="left") == "MPI, labelled: one animal"
    [bars] = axes.containers
    assert len(bars.lines[0].get_xdata()) == 3
    both = retention_figure([*alone, *(replace(row, subject="m02") for row in alone)]).axes[0]
    assert both.get_title(loc="left") == "MPI, labelled: mean, n = 2"
    assert not both.collections


def test_the_band_of_a_mean_is_students_interval() -> None:
    values = (40.0, 44.0, 51.0)
    rows = [
        RetentionRow(f"m{at}", "labelled", day, "MPI", "liver", "injected", value, value - 1, value + 1)
        for at, value in enumerate(values)
        for day in (0.0, 1.0)
    ]
    axes = retention_figure(rows).axes[0]
    assert axes.get_title(loc="left") == "MPI, labelled: mean, 95 % band, n = 3"
    edges = axes.collections[-1].get_paths()[0].vertices
    # Student's t of two degrees of freedom is 4.3027 at 97.5 %.
    reach = 4.3027 * np.std(values, ddof=1) / np.sqrt(3)
    assert edges[:, 1].min() == pytest.approx(45 - reach, rel=1e-4)
    assert edges[:, 1].max() == pytest.approx(45 + reach, rel=1e-4)


def test_the_band_of_a_curve_is_that_of_weighted_least_squares() -> None:
    """An exponential through points of equal relative error is a straight line of logarithms."""
    days = np.array([0.0, 1.0, 3.0, 7.0])
    values = 40 * 2 ** (-days / 3)
    reach = 0.02 * values * 1.959963984540054
    rows = [
        RetentionRow("m01", "", day, "MPI", "liver", "injected", value, value - half, value + half)
        for day, value, half in zip(days, values, reach, strict=True)
    ]
    fine = np.array([0.0, 2.0, 7.0])
    band = curve_band(DECAY, series_of(rows), fine)
    assert band is not None
    variance = 0.02**2 * (1 / 4 + (fine - days.mean()) ** 2 / np.sum((days - days.mean()) ** 2))
    expected = np.exp(1.959963984540054 * np.sqrt(variance))
    np.testing.assert_allclose(band[1] / fitted_percent(DECAY, fine), expected, rtol=1e-5)
    np.testing.assert_allclose(fitted_percent(DECAY, fine) / band[0], expected, rtol=1e-5)
    assert curve_band(DECAY, series_of(rows[:1]), fine) is None


@pytest.mark.parametrize("figure", ["calibration", "retention", "decay"])
def test_figures_have_the_width_of_a_column_in_print(figure: str) -> None:
    drawn = {
        "calibration": calibration_figure(example_calibration()),
        "retention": retention_figure(retention_rows()),
        "decay": decay_figure(retention_rows(), [DECAY]),
    }[figure]
    assert round(25.4 * float(drawn.get_size_inches()[0]), 3) in (85.0, 180.0)
    sizes = {
        text.get_fontsize() for text in drawn.findobj(lambda artist: hasattr(artist, "get_fontsize")) if text.get_text()
    }
    assert sizes <= {7.0, 8.0}


def test_points_below_detection_are_hollow_at_their_bound() -> None:
    axes = decay_figure(retention_rows(), [DECAY]).axes[0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert len(hollow) == 1
    np.testing.assert_array_equal(hollow[0].get_xdata(), [7.0])
    np.testing.assert_array_equal(hollow[0].get_ydata(), [10.0])
    assert len([text for text in axes.texts if text.arrow_patch is not None]) == 1


def test_the_decay_figure_says_the_half_life_in_words() -> None:
    words = texts(decay_figure(retention_rows(), [DECAY], title="m01"))
    assert "liver: half-life 3.00 d (2.50 to 3.70), exponential" in words
    assert "retention (% of injected)" in words
    assert "days after injection" in words


def test_the_fitted_curve_is_the_model_of_the_row() -> None:
    days = np.array([0.0, 3.0, 6.0])
    np.testing.assert_allclose(fitted_percent(DECAY, days), [40.0, 20.0, 10.0])
    assert fitted_percent(replace(DECAY, model="", parameters=""), days) is None
    assert fitted_percent(replace(DECAY, model="geometric mean of animals", parameters='{"animals": 3}'), days) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flag": "rising", "half_life_days": None}, "rising, no half-life"),
        ({"flag": "too_few_points", "points": 2}, "too few points (2)"),
        ({"half_life_high_days": None}, "half-life 3.00 d (at least 2.50), exponential"),
        ({"half_life_days": None}, "exponential, no half-life"),
    ],
)
def test_a_fit_without_a_half_life_says_why(changes: dict[str, object], words: str) -> None:
    assert fit_in_words(replace(DECAY, **changes)) == words  # type: ignore[arg-type]


def test_the_retention_of_a_group_has_a_panel_each_and_a_mean_of_those_detected() -> None:
    rows = retention_rows()
    other = [replace(row, subject="m02", retention_percent=(row.retention_percent or 0) + 10) for row in rows]
    control = [replace(row, subject="c01", group="free iron") for row in rows]
    figure = retention_figure([*rows, *other, *control])
    assert len(figure.axes) == 2
    words = texts(figure)
    assert "MPI, labelled: mean, n = 2" in words
    assert "MPI, free iron: one animal" in words


def test_the_error_budget_fills_the_whole() -> None:
    rows = [
        BudgetRow("m01", day, "MPI", organ, term, sd, term == "calibration")
        for day in (0.0, 1.0)
        for organ in ("liver", "bone")
        for term, sd in (("noise", 3.0), ("calibration", 4.0))
    ]
    bars = budget_figure(rows).axes[0].patches
    # 3^2 of 3^2 + 4^2 is 36 %, whatever the organ and the day.
    np.testing.assert_allclose([bar.get_width() for bar in bars], [36, 36, 64, 64])


def test_an_empty_study_draws_empty_axes_without_a_fault() -> None:
    assert figure_bytes(retention_figure([]), "png").startswith(b"\x89PNG")
    assert figure_bytes(decay_figure([], []), "svg").lstrip().startswith(b"<?xml")
