"""The figures of organs' errors show the numbers of the tables, in words a person knows."""

import numpy as np
import pytest

from napari_mpi_track.longitudinal.measurement import (
    WHOLE_ORGAN,
    BalanceRow,
    BudgetRow,
    Measurement,
    OrganRuleRow,
    SpillRow,
)
from napari_mpi_track.report.organ_figures import rules_figure, spill_figure, waterfall_figure, worst_scans
from napari_mpi_track.report.page_tables import balance_tables
from napari_mpi_track.report.results import StudyResults

TERMS = (("noise", 300.0, False), ("spill_over", 400.0, False), ("calibration", 1200.0, True))


def budget(organ: str, day: float, scale: float) -> list[BudgetRow]:
    return [BudgetRow("m01", day, "MPI", organ, term, sd * scale, shared) for term, sd, shared in TERMS]


def test_steps_add_in_quadrature_up_to_the_whole():
    figure = waterfall_figure(budget("liver", 1.0, 1.0), {"liver": 26_000.0, "spleen": 10.0}, "a.u. mm³")
    (axes,) = figure.axes
    tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
    assert tops == pytest.approx([300, 500, 1300, 1300])
    assert [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()] == [
        "noise", "spill-over", "calibration (shared)", "all",
    ]  # fmt: skip
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [False, False, True, False]
    assert "5.00 %" in [text.get_text() for text in axes.texts][-1]
    assert axes.get_ylabel() == "SD (a.u. mm³)"


def test_the_worst_day_is_that_of_the_largest_relative_errors_of_what_was_seen():
    rows = [*budget("liver", 1.0, 1.0), *budget("liver", 7.0, 0.5), *budget("tail", 7.0, 9.0)]
    signals = [("liver", 1.0, 26_000.0), ("liver", 7.0, 9_000.0), ("tail", 7.0, 5.0)]
    measurements = [Measurement("m01", "", day, "MPI", organ, signal_total=total) for organ, day, total in signals]
    assert worst_scans(rows, measurements) == [("m01", 7.0, "MPI")]
    assert worst_scans([], measurements) == []


def test_the_matrix_shows_markers_and_other_animals_as_one_source_each():
    shares = {
        "liver": 70.0,
        "fiducials 1": 4.0,
        "fiducials 2": 1.0,
        "rest of body": 5.0,
        "m02: liver": 12.0,
        "m02: lungs": 8.0,
    }
    rows = [SpillRow("m01", 1.0, "MPI", "liver", source, percent) for source, percent in shares.items()]
    axes = spill_figure(rows).axes[0]
    sources = [label.get_text() for label in axes.get_xticklabels()]
    assert sources == ["liver", "fiducials", "rest of body", "m02"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[70, 5, 5, 20]])
    assert [text.get_text() for text in axes.texts] == ["70", "5.0", "5.0", "20"]


def test_rules_stand_beside_the_whole_organ():
    totals = {WHOLE_ORGAN: 100.0, "noise": 80.0, "otsu": 60.0}
    rows = [
        OrganRuleRow("m01", 1.0, "MPI", organ, rule, t) for organ in ("liver", "spleen") for rule, t in totals.items()
    ]
    figure = rules_figure(rows, "a.u. mm³")
    assert sorted(bar.get_height() for bar in figure.axes[0].patches) == [60, 60, 80, 80, 100, 100]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(totals)


def test_a_balance_is_told_with_its_errors_and_blank_where_no_syringe_was_measured():
    known = BalanceRow(
        "m01", "", 1.0, "MPI", 3900.0, 40.0, 2700.0, 30.0, 1200.0, 50.0, 30.77, 2600.0, 0.0, 100.0, 2700.0
    )
    blank = BalanceRow("m02", "", 1.0, "MPI", None, None, 2700.0, 30.0, None, None, None, 2600.0, 0.0, 100.0, 2700.0)
    (table,) = balance_tables(StudyResults(balance=(known, blank)))
    assert table["rows"][0][2:6] == ["3,900 ± 40.0", "2,700 ± 30.0", "1,200 ± 50.0", "30.8"]
    assert table["rows"][1][2] == table["rows"][1][4] == table["rows"][1][5] == ""
