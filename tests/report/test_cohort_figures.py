"""Figures of a whole study: the numbers of the tables, every arm and organ to be told apart."""

import numpy as np
import pytest
from matplotlib.text import Text

from napari_mpi_track.longitudinal.agreement import agreement_rows
from napari_mpi_track.longitudinal.measurement import ArmRow, RetentionRow, ScoreRow
from napari_mpi_track.report.cohort_figures import (
    agreement_figure,
    arms_figure,
    arms_over_time_figure,
    scores_figure,
)
from napari_mpi_track.report.figures import figure_bytes

ANIMALS = {"m01": "cells", "m02": "cells", "m03": "cells", "c01": "free iron", "c02": "free iron"}


def rows(modality: str = "MPI", factor: float = 1.0) -> list[RetentionRow]:
    return [
        RetentionRow(animal, group, day, modality, organ, "injected", value, 0.95 * value, 1.05 * value)
        for at, (animal, group) in enumerate(ANIMALS.items())
        for day in (0.0, 1.0, 7.0)
        for organ, height in (("liver", 40.0), ("bone", 4.0), ("outside", 9.0))
        for value in [factor * (height + at) * 2 ** (-day / 4)]
    ]


def test_every_organ_has_a_panel_and_every_arm_a_line_in_it() -> None:
    figure = arms_over_time_figure(rows(), ["free iron"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["liver", "bone"]
    for axes in figure.axes:
        thick = [line for line in axes.lines if line.get_linewidth() == pytest.approx(1.1)]
        assert [line.is_dashed() for line in thick] == [False, True]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cells, n = 3", "free iron, n = 2 (control)"]


def test_arms_stand_with_interval_and_number_of_animals() -> None:
    arms = [
        ArmRow("MPI", "liver", 7.0, "retention_difference", "cells", "free iron", 9.0, 4.0, 14.0, 6, 4),
        ArmRow("MPI", "liver", 7.0, "retention_ratio", "cells", "free iron", 1.8, 1.2, 2.7, 6, 4),
        ArmRow("MPI", "liver", None, "half_life_ratio", "cells", "free iron", 2.0, None, None, 6, 4),
        ArmRow("MPI", "liver", 7.0, "retention_hedges_g", "cells", "free iron", 1.1, 0.1, 2.0, 6, 4),
    ]
    differences, ratios = arms_figure(arms).axes
    assert [text.get_text() for text in differences.get_yticklabels()] == ["liver, day 7 (n = 6, 4)"]
    assert [text.get_text() for text in ratios.get_yticklabels()] == [
        "liver, day 7 (n = 6, 4)",
        "liver, half-life (n = 6, 4)",
    ]
    drawn = [list(map(float, line.get_xdata())) for line in differences.lines]
    assert [4.0, 14.0] in drawn
    assert [9.0] in drawn
    # What has no interval is hollow.
    assert [line.get_color() for line in ratios.lines if len(line.get_xdata()) == 1][-1] == "white"
    low, high = ratios.get_xlim()
    assert low < 1 < high


def test_scores_stand_between_minus_one_and_one() -> None:
    found = [ScoreRow("WOMAC", 42.0, "change", "MPI", "knee", 7.0, -0.6, -0.95, 0.3, 6, "small_n")]
    [axes] = scores_figure(found).axes
    assert axes.get_yticklabels()[0].get_text() == "knee, day 7 (n = 6)"
    assert axes.get_xlim() == (-1.05, 1.05)


def test_modalities_that_agree_lie_on_one_line_and_their_ratio_on_one() -> None:
    both = [*rows(), *rows("PET", 0.5)]
    figure = agreement_figure(both, agreement_rows(both))
    plane, ratios, days = figure.axes
    points = np.concatenate([line.get_xydata() for line in plane.lines if line.get_linestyle() == "None"])
    np.testing.assert_allclose(points[:, 1], 2 * points[:, 0])
    assert "2.00 (" in plane.get_title(loc="left")
    assert "mean ratio 2.00" in ratios.get_title(loc="left")
    ratio = np.concatenate([line.get_ydata() for line in days.lines if line.get_linestyle() == "None"])
    np.testing.assert_allclose(ratio, 2.0)


def test_one_animal_and_no_pairs_are_drawn_without_a_fault() -> None:
    alone = [row for row in [*rows(), *rows("PET")] if row.subject == "m01"]
    assert figure_bytes(agreement_figure(alone, agreement_rows(alone)), "png").startswith(b"\x89PNG")
    assert figure_bytes(agreement_figure([], []), "png").startswith(b"\x89PNG")
    assert figure_bytes(arms_figure([]), "png").startswith(b"\x89PNG")


def test_letters_have_the_size_of_print() -> None:
    for figure in (arms_over_time_figure(rows(), []), scores_figure([])):
        figure_bytes(figure, "svg")
        assert {float(text.get_fontsize()) for text in figure.findobj(Text) if text.get_text()} <= {7.0, 8.0}
