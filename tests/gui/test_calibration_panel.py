"""The panel Calibrate as a person uses it: paste, type, read, save, compare, meet an error, go back."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest, _pytest_plugin
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QLineEdit, QTableWidgetSelectionRange
from statsmodels.api import OLS, add_constant

from napari_mpi_track.gui.widgets import calibration as calibration_panel
from napari_mpi_track.gui.widgets import sample_table
from napari_mpi_track.gui.widgets.calibration import CalibrationPanel
from napari_mpi_track.gui.widgets.study import StudyPanel
from napari_mpi_track.quantification.calibration import fit_calibration, load_calibration, save_calibration
from napari_mpi_track.quantification.cell_number import count_cells

pytestmark = [pytest.mark.window, pytest.mark.usefixtures("tasks_end")]

X = np.repeat([0.0, 1e3, 1e4, 3e4, 1e5], 3)
SIGNAL = np.round(200 + 1.5 * X + np.tile([-60.0, 10, 50], 5) * (1 + X / 3e4), 2)
# As a spreadsheet in a country of decimal commas copies it: tabs, a header, thousands by points.
WIDE = "Zellen\tSignal 1\tSignal 2\tSignal 3\r\n" + "".join(
    "\t".join([f"{X[at]:,.0f}".replace(",", "."), *(f"{s:.2f}".replace(".", ",") for s in SIGNAL[at : at + 3])])
    + "\r\n"
    for at in range(0, X.size, 3)
)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def panel(qtbot: QtBot) -> CalibrationPanel:
    """The panel in a window of its own: of a viewer it needs the theme only."""
    panel = CalibrationPanel(ViewerModel())
    qtbot.addWidget(panel)
    panel.resize(380, 1400)
    panel.show()
    return panel


@pytest.fixture
def filled(panel: CalibrationPanel) -> CalibrationPanel:
    panel.paste(WIDE)
    return panel


def curve(panel: CalibrationPanel) -> Any:
    fit = calibration_panel.fitted(panel.session.state.draft)
    assert fit.calibration is not None, fit.error
    return fit.calibration


def card(panel: CalibrationPanel) -> str:
    """Everything that is written on the result card and not hidden."""
    it = panel.contents.card
    return "\n".join(part.text() for part in (it.chip, it.reason, it.table, it.notes) if not part.isHidden())


def type_in(panel: CalibrationPanel, row: int, column: int, text: str) -> None:
    panel.contents.table.item(row, column).setText(text)


def test_an_empty_panel_says_what_to_do_first(panel: CalibrationPanel) -> None:
    parts = panel.contents
    assert "Paste" in parts.first.text() or "paste" in parts.first.text()
    assert not parts.save_button.isEnabled()
    assert "three amounts" in parts.why_not.text()
    assert parts.canvas.isHidden()
    assert parts.card.isHidden()
    assert parts.compare_button.isHidden()
    assert panel.steps.state_of("Calibrate").endswith("empty")


def test_ctrl_v_in_the_table_takes_what_a_spreadsheet_copied(panel: CalibrationPanel, qtbot: QtBot) -> None:
    QGuiApplication.clipboard().setText(WIDE)
    qtbot.keyClick(panel.contents.table, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(curve(panel).x, X)
    np.testing.assert_allclose(curve(panel).signal, SIGNAL, rtol=1e-15)
    assert "curve good" in card(panel)
    assert panel.steps.state_of("Calibrate").endswith("done")


def test_ctrl_v_in_a_cell_being_typed_in_fills_the_table_too(panel: CalibrationPanel, qtbot: QtBot) -> None:
    table = panel.contents.table
    table.setCurrentCell(0, 0)
    table.editItem(table.item(0, 0))
    editor = table.findChild(QLineEdit)
    QGuiApplication.clipboard().setText(WIDE)
    qtbot.keyClick(editor, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(curve(panel).x, X)


@pytest.mark.parametrize("separator", ["\t", ";", ","])
def test_any_separator_and_no_header_will_do(panel: CalibrationPanel, separator: str) -> None:
    panel.paste("\n".join(f"{x:g}{separator}{s}" for x, s in zip(X, SIGNAL, strict=True)))
    np.testing.assert_array_equal(curve(panel).x, X)
    np.testing.assert_array_equal(curve(panel).signal, SIGNAL)


def test_columns_are_found_by_name_and_can_be_chosen_otherwise(panel: CalibrationPanel) -> None:
    rows = "".join(f"s{n},{n % 3},{x:g},{x / 10:g},{s}\n" for n, (x, s) in enumerate(zip(X, SIGNAL, strict=True)))
    panel.paste("sample,replicate,cells,iron_ng,signal_total\n" + rows)
    choice = panel.contents.columns
    assert not choice.isHidden()
    assert (choice.amount.currentText(), choice.signal.currentText()) == ("cells", "signal_total")
    np.testing.assert_array_equal(curve(panel).x, X)
    assert curve(panel).metric == "total"
    choice.amount.setCurrentText("iron_ng")
    np.testing.assert_allclose(curve(panel).x, X / 10)
    assert curve(panel).kind == "in-cells-iron"
    assert not choice.isHidden()


@pytest.mark.parametrize(
    "header",
    [
        "cells per tube\tsignal",
        '"cells\nin vial"\ttotal per well',
        "No. of cells\tSD of cells\tmean signal",
        "cells\tmax",
    ],
)
def test_amounts_and_signals_are_told_apart_by_the_names_people_give(panel: CalibrationPanel, header: str) -> None:
    spare = ["7"] * header.count("SD")
    rows = "".join("\t".join([f"{x:g}", *spare, str(s)]) + "\n" for x, s in zip(X, SIGNAL, strict=True))
    panel.paste(f"{header}\n{rows}")
    np.testing.assert_array_equal(curve(panel).x, X)
    np.testing.assert_array_equal(curve(panel).signal, SIGNAL)


def test_a_column_pasted_at_the_cursor_goes_where_the_cursor_is(panel: CalibrationPanel) -> None:
    table = panel.contents.table
    panel.paste("\n".join(f"{x:g}" for x in X))
    table.setCurrentCell(0, 1)
    panel.paste("\n".join(str(s).replace(".", ",") for s in SIGNAL))
    np.testing.assert_array_equal(curve(panel).signal, SIGNAL)


def test_a_number_that_may_be_a_thousand_or_one_is_asked_about(panel: CalibrationPanel) -> None:
    panel.paste("cells\tsignal\n1,000\t10\n2,000\t21\n3,000\t29\n4,000\t41\n")
    choice = panel.contents.columns
    assert "decimal mark" in choice.words.text()
    assert curve(panel).x_range == (1000, 4000)
    choice.mark.setCurrentIndex(choice.mark.findData(","))
    assert curve(panel).x_range == (1, 4)


def test_a_table_of_any_country_is_opened(panel: CalibrationPanel, tmp_path: Path) -> None:
    path = tmp_path / "kurve.csv"
    path.write_bytes(WIDE.replace("\t", ";").replace("Signal", "Signal µ").encode("cp1252"))
    panel.open_table(path)
    np.testing.assert_array_equal(curve(panel).x, X)
    assert "kurve.csv" in panel.contents.where.text()
    assert curve(panel).provenance["table"] == "kurve.csv"


def test_iron_in_micrograms_becomes_nanograms(panel: CalibrationPanel) -> None:
    panel.paste("Fe (µg)\tsignal\n0\t1\n0.5\t11\n1\t21.5\n2\t41\n")
    assert curve(panel).x_quantity == "iron_ng"
    np.testing.assert_array_equal(curve(panel).x, [0, 500, 1000, 2000])
    panel.contents.form.fields["x_unit"].setCurrentText("ng iron")
    np.testing.assert_array_equal(curve(panel).x, [0, 0.5, 1, 2])


def test_typing_a_sample_moves_the_curve_at_once(filled: CalibrationPanel) -> None:
    before = curve(filled).slope
    type_in(filled, 4, 1, "200 000,5")
    assert filled.contents.table.item(4, 1).text() == "200000.5"
    assert curve(filled).slope != before
    type_in(filled, 5, 0, "1e5")
    assert "Row 6 is not finished" in card(filled)
    type_in(filled, 5, 1, "150000")
    assert curve(filled).n == X.size + 1
    assert filled.contents.table.rowCount() >= 7


def test_a_word_among_the_numbers_is_one_sentence_with_its_row(filled: CalibrationPanel) -> None:
    type_in(filled, 2, 1, "about 5")
    assert "no curve" in card(filled)
    assert "Row 3" in card(filled)
    assert "about 5" in card(filled)
    assert "Traceback" not in card(filled)
    assert not filled.contents.save_button.isEnabled()
    assert filled.steps.state_of("Calibrate").endswith("ready")
    filled.undo.click()
    assert "curve good" in card(filled)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("0\t1\n0\t2\n5\t3\n", "3 different x"),
        ("0\t5\n1\t5\n2\t5\n", "signal is 5 in every sample"),
        ("0\t9\n1\t6\n2\t2\n", "must rise"),
        ("-1\t1\n1\t2\n2\t3\n", "negative"),
    ],
)
def test_samples_that_make_no_line_say_why(panel: CalibrationPanel, table: str, said: str) -> None:
    panel.paste(table)
    assert said in card(panel)
    assert "no curve" in card(panel)


@pytest.mark.parametrize("text", ["", "\n\n", "cells\tsignal\n", "just words", '"open\t1\n2\t3'])
def test_pasting_what_is_no_table_changes_nothing_and_says_so(filled: CalibrationPanel, text: str) -> None:
    before = filled.session.state.draft
    filled.paste(text)
    said = filled.contents.said
    assert filled.session.state.draft == before or "no curve" in card(filled)
    assert not said.isHidden() or "no curve" in card(filled)


def test_a_spreadsheets_own_file_is_refused_with_the_way_out(panel: CalibrationPanel, tmp_path: Path) -> None:
    path = tmp_path / "curve.xlsx"
    path.write_bytes(b"PK\x03\x04 and so on")
    panel.open_table(path)
    assert "Not done." in panel.contents.said.text()
    assert "save it as CSV" in panel.contents.said.text()


def test_every_kind_is_explained_in_one_line(panel: CalibrationPanel) -> None:
    box, line = panel.contents.form.fields["kind"], panel.contents.form.explained["kind"]
    lines = set()
    for at in range(box.count()):
        box.setCurrentIndex(at)
        lines.add(line.text())
        assert panel.session.state.draft.settings.kind == box.currentData()
    assert len(lines) == 4
    assert panel.contents.table.horizontalHeaderItem(0).text() == "ng iron"


def test_weights_are_those_of_the_fit(filled: CalibrationPanel) -> None:
    box = filled.contents.form.fields["weights"]
    box.setCurrentIndex(box.findData("none"))
    theirs = OLS(SIGNAL, add_constant(X)).fit()
    np.testing.assert_allclose([curve(filled).intercept, curve(filled).slope], theirs.params, rtol=1e-9)
    np.testing.assert_allclose([curve(filled).intercept_se, curve(filled).slope_se], theirs.bse, rtol=1e-9)
    assert f"R²</td><td align='right'>{theirs.rsquared:.4f}" in card(filled).replace("&nbsp;", " ")


def test_hovering_reads_a_signal_as_cells_with_its_interval(filled: CalibrationPanel) -> None:
    parts = filled.contents
    parts.canvas.read_at(2e4, 30_000.0)
    found = count_cells(30_000.0, curve(filled))
    low, high = float(found.low), float(found.high)
    assert f"{float(found.value):,.0f}"[:4] in parts.reading.words.text()
    assert "cells" in parts.reading.words.text()
    assert f"{float(f'{low:.3g}'):,.0f} to {float(f'{high:.3g}'):,.0f}" in parts.reading.words.text()
    parts.canvas.read_at(1e5, float(SIGNAL[-1]))
    assert "sample 15: 100,000 cells" in parts.reading.words.text()
    parts.canvas.read_at(0.0, -500.0)
    assert "not detected" in parts.reading.words.text()
    parts.canvas.read.emit("")
    assert "Hover" in parts.reading.words.text()


def test_a_real_mouse_over_the_curve_reads_it(filled: CalibrationPanel, qtbot: QtBot) -> None:
    canvas = filled.contents.canvas
    QApplication.processEvents()
    x, y = canvas.curve.axes.transData.transform((5e4, 75_000.0)) / canvas.device_pixel_ratio
    heard: list[str] = []
    canvas.read.connect(heard.append)
    qtbot.mouseMove(canvas, pos=canvas.rect().topLeft())
    qtbot.mouseMove(canvas, pos=type(canvas.rect().topLeft())(round(x), round(canvas.height() - y)))
    qtbot.waitUntil(lambda: any("cells" in words for words in heard), timeout=2000)


def test_a_typed_signal_is_read_too_and_means_are_more_certain(filled: CalibrationPanel) -> None:
    row = filled.contents.reading
    row.signal.setText("30 000,0")
    one = row.words.text()
    assert "cells" in one
    row.replicates.setValue(3)
    assert row.words.text() != one
    row.signal.setText("x")
    assert "as a number" in row.words.text()


def test_undo_and_redo_go_through_table_and_settings(filled: CalibrationPanel, qtbot: QtBot) -> None:
    table = filled.contents.table
    rows = filled.session.state.draft.rows
    type_in(filled, 1, 1, "99")
    filled.contents.form.fields["tracer"].setText("ProMag")
    filled.contents.form.fields["tracer"].editingFinished.emit()
    assert curve(filled).tracer == "ProMag"
    filled.undo.click()
    assert curve(filled).tracer is None
    qtbot.keyClick(table, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert filled.session.state.draft.rows == rows
    assert table.item(1, 1).text() == rows[1][1]
    filled.redo.click()
    assert table.item(1, 1).text() == "99"
    filled.contents.clear_button.click()
    assert not filled.contents.first.isHidden()
    filled.undo.click()
    assert curve(filled).n == X.size


def test_cells_are_copied_and_deleted_like_in_a_spreadsheet(
    filled: CalibrationPanel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, copied = filled.contents.table, []
    monkeypatch.setattr(sample_table, "copy_text", copied.append)
    table.setRangeSelected(QTableWidgetSelectionRange(0, 0, 0, table.columnCount() - 1), True)
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert copied[0].startswith("0\t140.00\t")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    assert filled.session.state.draft.rows[0][0] == "1000"
    table.clearSelection()
    table.setRangeSelected(QTableWidgetSelectionRange(0, 2, 0, 2), True)
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    assert filled.session.state.draft.rows[0][2] == ""
    assert curve(filled).n == X.size - 4


def test_a_saved_curve_is_the_librarys_and_opens_again(filled: CalibrationPanel, tmp_path: Path) -> None:
    path = tmp_path / "promag.json"
    filled.contents.save_button.chosen.emit(str(path))
    assert "Saved as promag.json" in filled.contents.said.text()
    expected = fit_calibration(X, SIGNAL, kind="in-cells")
    saved = load_calibration(path)
    assert (saved.slope, saved.intercept, saved.detection_limit) == (
        expected.slope, expected.intercept, expected.detection_limit,
    )  # fmt: skip
    filled.contents.clear_button.click()
    filled.open_curve(path)
    assert curve(filled).slope == expected.slope
    filled.save(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    filled.save(tmp_path / "no folder" / "curve.svg")
    assert (tmp_path / "no folder" / "curve.svg").exists()
    filled.save(tmp_path / "curve.doc")
    assert "Not done." in filled.contents.said.text()


def test_all_that_is_said_of_a_curve_is_kept_and_can_be_edited(panel: CalibrationPanel, tmp_path: Path) -> None:
    words = ("tracer", "batch", "cell_type", "labelling", "total_rule", "scan_mode", "reconstruction", "saturation")
    numbers = {"iron_per_cell_pg": 16.25, "labelling_efficiency_percent": 95.0, "viability_percent": 98.5}
    said = {"metric": "total", "dimensions": 3, **{name: f"some {name}" for name in words}}
    said |= {"field_of_view": "60 x 60 x 100 mm", "date": "2026-02-11", **numbers}
    made, again = tmp_path / "made.json", tmp_path / "again.json"
    save_calibration(fit_calibration(X, SIGNAL, kind="in-cells", table="july.csv", **said), made)
    panel.open_curve(made)
    panel.save(again)
    assert again.read_bytes() == made.read_bytes()
    fields = panel.contents.form.fields
    assert fields["iron_per_cell_pg"].text() == "16.25 pg"
    fields["iron_per_cell_pg"].setValue(12.0)
    fields["viability_percent"].setValue(0.0)
    fields["field_of_view"].setText("60 x 60 mm")
    fields["field_of_view"].editingFinished.emit()
    edited = curve(panel)
    assert (edited.iron_per_cell_pg, edited.viability_percent, edited.field_of_view) == (12.0, None, "60 x 60 mm")
    assert fields["viability_percent"].text() == "not stated"
    assert edited.labelling_efficiency_percent == 95.0


def test_a_file_that_is_no_curve_is_one_sentence(filled: CalibrationPanel, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"schema": 99}))
    for use in (filled.open_curve, filled.compare_with):
        use(wrong)
        assert "Not done." in filled.contents.said.text()
        assert "wrong.json" in filled.contents.said.text()


def test_two_curves_stand_side_by_side_with_their_difference(filled: CalibrationPanel, tmp_path: Path) -> None:
    other = tmp_path / "weaker.json"
    save_calibration(fit_calibration(X, 0.7 * SIGNAL, kind="in-cells", tracer="VivoTrax"), other)
    filled.compare_with(other)
    assert "weaker.json" in card(filled)
    assert "30.0 %" in card(filled)
    assert "lower" in card(filled)
    assert filled.contents.minimumSizeHint().width() <= 380
    filled.contents.alone_button.click()
    assert "weaker.json" not in card(filled)
    iron = tmp_path / "iron.json"
    save_calibration(fit_calibration(X, SIGNAL, kind="in-cells-iron"), iron)
    filled.compare_with(iron)
    assert "counts iron and this one cells" in filled.contents.said.text()
    assert filled.session.state.compared is None


def test_a_weak_curve_is_doubtful_and_says_why(panel: CalibrationPanel) -> None:
    panel.paste("\n".join(f"{x}\t{x * x + n}" for x in (0, 1, 2, 3, 4, 5) for n in (0, 0.2, 0.4)))
    assert "curve doubtful" in card(panel)
    assert "straight line" in card(panel)
    assert panel.steps.state_of("Calibrate").endswith("doubtful")


def test_the_steps_lead_from_panel_to_panel_and_share_one_session(
    viewer: Any, npe2pm: _pytest_plugin.TestPluginManager
) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari-mpi-track"))
    _, study = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Study")
    assert isinstance(study, StudyPanel)
    assert study.steps.state_of("Calibrate").endswith("empty")
    study.steps.buttons["Calibrate"].click()
    dock, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Calibrate")
    assert isinstance(panel, CalibrationPanel)
    assert not dock.isHidden()
    panel.paste(WIDE)
    assert study.steps.state_of("Calibrate").endswith("done")
    panel.steps.buttons["Study"].click()


def test_a_study_lends_its_samples_and_takes_the_curve(
    viewer: Any, tiny_study: Path, tmp_path: Path, tasks_end: Callable[[], None]
) -> None:
    panel = CalibrationPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Calibrate")
    assert panel.contents.study_button.isHidden()
    study = StudyPanel(viewer)
    study.open_study(tiny_study)
    tasks_end()
    panel.contents.study_button.click()
    assert curve(panel).n > 3
    assert panel.contents.use_button.isHidden()
    panel.save(tmp_path / "mine.json")
    panel.contents.use_button.click()
    assert panel.session.state.study.calibration.curve == tmp_path / "mine.json"
    assert "mine.json" in panel.contents.said.text()
    panel.undo.click()
    assert panel.session.state.study.calibration.curve is None


def test_the_sample_is_one_click(
    panel: CalibrationPanel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tasks_end: Callable[[], None]
) -> None:
    rows = "".join(f"{x:g},{s}\n" for x, s in zip(X, SIGNAL, strict=True))
    (tmp_path / "calibration.csv").write_text("cells,signal_total\n" + rows)
    monkeypatch.setattr(calibration_panel, "sample_study", lambda *_: tmp_path / "study.yaml")
    panel.contents.sample_button.click()
    tasks_end()
    assert curve(panel).n == X.size


def test_the_curve_follows_the_theme_and_the_panel_fits(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    filled = CalibrationPanel(viewer)
    qtbot.addWidget(filled)
    filled.paste(WIDE)
    canvas = filled.contents.canvas
    grounds = {}
    for theme in ("dark", "light"):
        viewer.theme = theme
        canvas.draw()
        grounds[theme] = np.asarray(canvas.buffer_rgba())[2, 2, :3].mean()
    assert grounds["dark"] < 80
    assert grounds["light"] > 200
    assert filled.minimumSizeHint().width() <= 380
    assert filled.contents.minimumSizeHint().width() <= 380


def test_an_amount_a_thousand_times_off_is_asked_about(filled: CalibrationPanel) -> None:
    type_in(filled, 2, 0, "10")
    assert "a thousand times" in card(filled)


def test_a_sample_that_does_not_fit_is_named_and_kept(filled: CalibrationPanel) -> None:
    type_in(filled, 3, 2, "80000")
    assert "does not fit the others" in card(filled)
    assert curve(filled).n == X.size


def test_three_samples_make_a_line_and_cannot_judge_each_other(panel: CalibrationPanel) -> None:
    panel.paste("cells\tsignal\n0\t1\n10\t22\n20\t39\n")
    assert curve(panel).n == 3
    assert "Samples are judged among 4 or more, got 3." in card(panel)


def test_a_big_table_is_refused_before_it_is_drawn(panel: CalibrationPanel) -> None:
    panel.paste("cells\tsignal\n" + "1\t2\n" * 1001)
    assert "up to 1,000 rows" in panel.contents.said.text()
    assert not panel.session.state.draft.rows


def test_the_manifest_with_both_panels_is_valid() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "napari-mpi-track"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
