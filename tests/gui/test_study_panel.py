"""The panel Study as a person uses it: open, look, measure, cancel, meet an error, go back."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest, _pytest_plugin
from pytestqt.qtbot import QtBot

from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.gui.widgets import study as study_panel
from napari_mpi_track.gui.widgets.step_bar import NOT_YET, STEPS
from napari_mpi_track.gui.widgets.study import StudyPanel

pytestmark = [pytest.mark.window, pytest.mark.usefixtures("tasks_end")]


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def panel(viewer: Any) -> StudyPanel:
    panel = StudyPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Study")
    return panel


@pytest.fixture
def opened(panel: StudyPanel, tiny_study: Path, tasks_end: Callable[[], None]) -> StudyPanel:
    panel.open_study(tiny_study)
    tasks_end()
    return panel


def shown(panel: StudyPanel) -> str:
    """Everything that is written on the panel and not hidden."""
    parts = (panel.contents.where.study, panel.contents.where.day, panel.contents.where.notes)
    card = panel.contents.result
    parts += (card.title, card.chip, card.reason, card.table, card.notes) if not card.isHidden() else ()
    return "\n".join(part.text() for part in parts if not part.isHidden())


def test_an_empty_panel_says_what_to_do_first(panel: StudyPanel) -> None:
    assert panel.steps.state_of("Study").endswith("empty")
    assert not panel.contents.open_button.isHidden()
    assert not panel.contents.sample_button.isHidden()
    assert panel.contents.run_button.isHidden()
    assert panel.contents.grid.isHidden()


def test_every_step_has_a_panel_and_one_without_would_say_so(panel: StudyPanel) -> None:
    assert all(panel.steps.buttons[step].isEnabled() for step in STEPS)
    panel.steps.show_states({"Study": "ready"})
    assert panel.steps.state_of("Track") == NOT_YET
    assert not panel.steps.buttons["Track"].isEnabled()


def test_napari_opens_the_panel_from_its_menu(viewer: Any, npe2pm: _pytest_plugin.TestPluginManager) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari-mpi-track"))
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Study")
    assert isinstance(panel, StudyPanel)


def test_an_open_study_shows_every_subject_and_day(opened: StudyPanel) -> None:
    assert set(opened.contents.grid.cells) == {("m01", 0.0), ("m01", 7.0)}
    assert "Two days of one mouse" in shown(opened)
    cell = opened.contents.grid.cells["m01", 7.0]
    assert cell.toolTip() == "m01, day 7: MPI, anatomy, organs; not measured yet"


def test_a_click_on_a_day_draws_its_scans_and_organs(
    opened: StudyPanel, viewer: Any, tasks_end: Callable[[], None]
) -> None:
    opened.contents.grid.cells["m01", 7.0].click()
    tasks_end()
    names = [layer.name for layer in viewer.layers]
    assert names == ["CT m01 day 7", "MPI m01 day 7", "organs m01 day 7", "markers m01 day 7"]
    assert "mpi7.mha" in shown(opened)
    assert all(str(unit) == "millimeter" for layer in viewer.layers for unit in layer.units)
    assert viewer.canvas.overlays.text.text.split() == ["m01", "day", "7"]
    limits = {}
    for day in (0.0, 7.0):
        opened.contents.grid.cells["m01", day].click()
        tasks_end()
        limits[day] = viewer.layers[f"MPI m01 day {day:g}"].contrast_limits[1]
    assert limits[0.0] == limits[7.0] > 500


def test_another_day_takes_the_place_of_the_last_but_not_of_the_users_layers(
    opened: StudyPanel, viewer: Any, tasks_end: Callable[[], None]
) -> None:
    mine = viewer.add_image(np.zeros((4, 4, 4)), name="mine", units="mm")
    for day in (0.0, 7.0):
        opened.contents.grid.cells["m01", day].click()
        tasks_end()
    assert mine in viewer.layers
    assert not [layer for layer in viewer.layers if layer.name.endswith("day 0")]


def test_organs_that_were_painted_are_kept_when_another_day_is_looked_at(
    opened: StudyPanel, viewer: Any, tasks_end: Callable[[], None]
) -> None:
    opened.contents.grid.cells["m01", 0.0].click()
    tasks_end()
    viewer.layers["organs m01 day 0"].data[0, 0, 0] = 1
    opened.contents.grid.cells["m01", 7.0].click()
    tasks_end()
    kept = viewer.layers["organs m01 day 0 (painted)"]
    assert kept.data[0, 0, 0] == 1
    assert not kept.visible


def test_a_run_ends_with_the_organs_in_cells_with_their_interval(
    opened: StudyPanel, tmp_path: Path, tasks_end: Callable[[], None]
) -> None:
    opened.contents.grid.cells["m01", 7.0].click()
    opened.contents.show_folder(tmp_path / "results")
    opened.contents.run_button.click()
    assert not opened.contents.run_button.isEnabled()
    assert not opened.contents.why_not.isHidden()
    tasks_end()
    assert opened.contents.work.isHidden(), opened.contents.work.details.toPlainText()
    said = shown(opened)
    assert "alignment good" in said
    assert "tumour" in said
    assert "cells (apparent), 95 % interval" in said
    assert "nan" not in said.lower()
    assert "None" not in said
    assert opened.session.state.run.report.is_file()
    assert not opened.contents.report_button.isHidden()
    assert opened.steps.state_of("Study").endswith("done")
    assert "measured" in opened.contents.grid.cells["m01", 0.0].toolTip()
    opened.undo.click()
    tasks_end()
    assert opened.session.state.run is None
    assert opened.contents.report_button.isHidden()


def test_cancel_stops_the_run_and_the_panel_is_ready_again(
    opened: StudyPanel, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot, tasks_end: Callable[[], None]
) -> None:
    started = threading.Event()

    def endless(_study: Any, _folder: Path, progress: Progress) -> None:
        while not progress.should_stop():
            progress.report(0.5, "m01, day 0: measuring organs")
            started.set()
            time.sleep(0.01)

    monkeypatch.setattr(study_panel, "run_in_folder", endless)
    opened.run()
    qtbot.waitUntil(lambda: started.is_set() and opened.contents.work.bar.value() == 500, timeout=10_000)
    assert "m01, day 0: measuring organs" in opened.contents.work.words.text()
    opened.contents.work.cancel.click()
    tasks_end()
    assert opened.contents.work.isHidden()
    assert opened.contents.run_button.isEnabled()
    assert opened.session.state.run is None


def test_closing_the_panel_stops_its_work_without_a_fault(
    opened: StudyPanel, viewer: Any, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot, tasks_end: Callable[[], None]
) -> None:
    stopped = threading.Event()

    def endless(_study: Any, _folder: Path, progress: Progress) -> None:
        while not progress.should_stop():
            progress.report(0.5, "m01, day 0: measuring organs")
            time.sleep(0.005)
        stopped.set()

    monkeypatch.setattr(study_panel, "run_in_folder", endless)
    session = opened.session
    opened.run()
    opened.contents.grid.cells["m01", 0.0].click()
    viewer.window.remove_dock_widget(opened)
    opened.deleteLater()
    qtbot.waitUntil(stopped.is_set, timeout=10_000)
    tasks_end()
    # Another panel of the same viewer goes on with the session.
    session.look_at("m01", 7.0)
    tasks_end()


def test_a_study_with_faults_is_one_sentence_and_what_to_do(
    panel: StudyPanel, tmp_path: Path, tasks_end: Callable[[], None]
) -> None:
    wrong = tmp_path / "study.yaml"
    wrong.write_text("schema: 1\nname: x\nsubject: []\n")
    panel.open_study(wrong)
    tasks_end()
    row = panel.contents.work
    assert not row.isHidden()
    assert "Not done." in row.words.text()
    assert "Traceback" not in row.words.text()
    assert row.details.isHidden()
    row.details_switch.click()
    assert not row.details.isHidden()
    assert "Traceback" in row.details.toPlainText()
    assert panel.contents.open_button.isEnabled()


def test_a_day_asked_for_later_takes_the_place_of_one_still_being_read(
    opened: StudyPanel, viewer: Any, tasks_end: Callable[[], None]
) -> None:
    opened.contents.grid.cells["m01", 0.0].click()
    opened.contents.grid.cells["m01", 7.0].click()
    tasks_end()
    assert {layer.name.split("day ")[1] for layer in viewer.layers} == {"7"}


def test_undo_brings_back_the_study_before(opened: StudyPanel, tiny_study: Path, tasks_end: Callable[[], None]) -> None:
    first = opened.session.state.study
    opened.open_study(tiny_study)
    tasks_end()
    assert opened.session.state.study is not first
    opened.undo.click()
    assert opened.session.state.study is first
    opened.redo.click()
    assert opened.session.state.study is not first


def test_the_panel_fits_380_pixels(opened: StudyPanel, tasks_end: Callable[[], None]) -> None:
    opened.contents.grid.cells["m01", 7.0].click()
    tasks_end()
    assert opened.minimumSizeHint().width() <= 380
    assert opened.contents.minimumSizeHint().width() <= 380
    assert opened.steps.minimumSizeHint().width() <= 380
