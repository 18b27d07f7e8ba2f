"""The panel Track as an imager uses it: measure, look at curves, click a point, choose a model, undo, save."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest, _pytest_plugin
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication
from tiny_mouse import SPOT_MM, write_tiny_study

from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.track_choices import TrackChoices
from napari_mpi_track.gui.widgets import tracking
from napari_mpi_track.gui.widgets.study import StudyPanel
from napari_mpi_track.gui.widgets.tracking import TrackPanel
from napari_mpi_track.longitudinal.analysis import analyse_study
from napari_mpi_track.longitudinal.measurement import ArmRow, DecayRow, RetentionRow
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.report.run import RunSummary, run_study
from napari_mpi_track.report.tables import table_text

pytestmark = [pytest.mark.window, pytest.mark.usefixtures("tasks_end")]

# Signals without images: four days of two arms of two animals, the second arm losing its label faster.
SIGNALS = """\
schema: 1
name: Two arms without images
repeatability: 0.02
subjects:
"""
DAYS = (0, 2, 5, 9, 14, 21)


@pytest.fixture(scope="session")
def measured_mouse(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunSummary]:
    """The tiny study and its run, as the command line makes it."""
    folder = tmp_path_factory.mktemp("measured")
    study = load_study(write_tiny_study(folder))
    return study.file, run_study(study, folder / "results")


@pytest.fixture(scope="session")
def two_arms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of numbers alone: half-lives of 6 and of 3 days, known."""
    file = tmp_path_factory.mktemp("arms") / "study.yaml"
    lines = []
    for at, (group, half_life) in enumerate((("cells", 6.0), ("cells", 6.4), ("label", 3.0), ("label", 3.1))):
        injection = "injection: {time: 2026-03-01T09:00:00, signal: 1000.0}"
        is_control = "true" if group == "label" else "false"
        lines.append(f"  - id: a{at}\n    group: {group}\n    control: {is_control}\n    {injection}\n    timepoints:")
        for day in DAYS:
            value = 800.0 * 0.5 ** (day / half_life) * (1 + 0.01 * (-1) ** day)
            lines.append(f"      - {{day: {day}, signal: {value:.6g}}}")
    file.write_text(SIGNALS + "\n".join(lines) + "\n")
    return file


@pytest.fixture
def viewer() -> Any:
    """A viewer's layers without a window, which takes a second to open."""
    return ViewerModel()


@pytest.fixture
def panel(viewer: Any, qtbot: QtBot) -> TrackPanel:
    panel = TrackPanel(viewer)
    qtbot.addWidget(panel)
    qtbot.addWidget(panel.view)
    panel.resize(380, 1200)
    panel.view.resize(500, 420)
    panel.show()
    panel.view.show()
    return panel


def opened(panel: TrackPanel, measured: tuple[Path, RunSummary]) -> TrackPanel:
    panel.session.open_study(load_study(measured[0]))
    panel.session.keep_run(measured[1])
    return panel


@pytest.fixture
def mouse(panel: TrackPanel, measured_mouse: tuple[Path, RunSummary], qtbot: QtBot) -> TrackPanel:
    """The tiny study measured, day 0 clicked, all days in the picture."""
    opened(panel, measured_mouse)
    panel.contents.grid.cells["m01", 0.0].click()
    qtbot.waitUntil(lambda: panel.days.shown.series is not None, timeout=30_000)
    return panel


@pytest.fixture(scope="session")
def measured_arms(two_arms: Path) -> tuple[Path, RunSummary]:
    """The study of numbers and its run."""
    return two_arms, run_study(load_study(two_arms), two_arms.parent / "run")


@pytest.fixture
def arms(panel: TrackPanel, measured_arms: tuple[Path, RunSummary]) -> TrackPanel:
    return opened(panel, measured_arms)


def choose(panel: TrackPanel, **choices: str) -> None:
    """Choose in the form, as a hand does."""
    for name, value in choices.items():
        box = panel.contents.form.fields[name]
        box.setCurrentIndex(box.findData(value))


def layers(viewer: Any) -> dict[str, Any]:
    return {layer.name: layer for layer in viewer.layers}


def test_an_empty_panel_says_what_to_do_first(panel: TrackPanel) -> None:
    parts = panel.contents
    for part in (parts.first, parts.open_button, parts.sample_button):
        assert not part.isHidden()
    for part in (parts.run_button, parts.form, parts.card, parts.saves):
        assert part.isHidden()
    assert panel.steps.state_of("Track").endswith("empty")


def test_a_study_is_opened_here(panel: TrackPanel, two_arms: Path, qtbot: QtBot) -> None:
    panel.contents.open_button.chosen.emit(str(two_arms))
    qtbot.waitUntil(lambda: panel.session.state.study is not None and panel._working is None, timeout=20_000)
    assert set(panel.contents.grid.cells) == {(f"a{n}", float(day)) for n in range(4) for day in DAYS}
    assert panel.contents.first.isHidden()


def test_a_study_with_faults_is_refused_with_what_to_do(panel: TrackPanel, tmp_path: Path, qtbot: QtBot) -> None:
    (tmp_path / "study.yaml").write_text("schema: 1\n")
    panel.open_study(str(tmp_path / "study.yaml"))
    qtbot.waitUntil(lambda: panel._working is None, timeout=20_000)
    assert "Not done" in panel.contents.work.words.text()
    assert panel.session.state.study is None


def test_napari_opens_the_panel_from_its_menu(
    make_napari_viewer: Callable[..., Any], npe2pm: _pytest_plugin.TestPluginManager
) -> None:
    viewer = make_napari_viewer()
    npe2pm.register(PluginManifest.from_distribution("napari-mpi-track"))
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Track")
    assert isinstance(panel, TrackPanel)
    assert panel.session is Session.of(viewer)


def test_a_study_that_is_not_measured_is_measured_here(
    panel: TrackPanel, measured_arms: tuple[Path, RunSummary], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(_study: Any, folder: Path, _progress: Any) -> RunSummary:
        asked.append(folder)
        return measured_arms[1]

    monkeypatch.setattr(tracking, "run_in_folder", run)
    panel.session.open_study(load_study(measured_arms[0]))
    assert not panel.contents.run_button.isHidden()
    assert "not measured yet" in panel.contents.why_not.text()
    assert panel.steps.state_of("Track").endswith("ready")
    panel.contents.run_button.click()
    qtbot.waitUntil(lambda: panel.session.state.run is not None and panel._working is None, timeout=60_000)
    assert asked == [measured_arms[0].parent / "results"]
    assert panel.steps.state_of("Track").endswith("done")
    assert not panel.contents.form.isHidden()


def test_the_numbers_are_those_that_run_writes(mouse: TrackPanel, measured_mouse: tuple[Path, RunSummary]) -> None:
    folder = measured_mouse[1].folder
    assert mouse.followed is not None
    days = mouse.followed.days
    assert table_text(days.retention, RetentionRow) == (folder / "retention.csv").read_text()
    assert table_text(days.decay, DecayRow) == (folder / "decay.csv").read_text()


def test_another_model_and_reference_give_what_a_run_of_such_a_study_writes(
    arms: TrackPanel, two_arms: Path, tmp_path: Path
) -> None:
    choose(arms, model="plateau", reference="2")
    text = two_arms.read_text().replace("repeatability", "decay_model: plateau\nreference: 2\nrepeatability")
    other = tmp_path / "study.yaml"
    other.write_text(text)
    anew = analyse_study(load_study(other))
    assert arms.followed is not None
    days = arms.followed.days
    assert table_text(days.retention, RetentionRow) == table_text(anew.retention, RetentionRow)
    assert table_text(days.decay, DecayRow) == table_text(anew.decay, DecayRow)
    assert table_text(days.arms, ArmRow) == table_text(anew.days.arms, ArmRow)
    assert {row.model for row in days.decay if row.subject} == {"plateau"}
    assert "decay_model: plateau" in arms.contents.in_file.text()


def test_nothing_is_measured_anew_for_another_model(arms: TrackPanel) -> None:
    before = arms.session.state.run
    choose(arms, model="weibull")
    assert arms.session.state.run is before
    assert arms._working is None


def test_half_lives_stand_in_words_with_their_interval(arms: TrackPanel) -> None:
    arms.session.look_at("a0", 0)
    choose(arms, model="exponential")
    text = arms.contents.card.table.text()
    assert arms.followed is not None
    row = next(row for row in arms.followed.days.decay if row.subject == "a0")
    # 6 days were put in; alternating 1 % of scatter moves them by less than the interval, some 2 %.
    assert row.half_life_low_days is not None
    assert row.half_life_high_days is not None
    assert row.half_life_low_days < 6.0 < row.half_life_high_days
    assert f"Half-life {row.half_life_days:.2f} d ({row.half_life_low_days:.2f} to" in text
    assert "one animal" in arms.contents.card.notes.text()


def test_arms_are_compared_and_how_few_they_are_is_said(arms: TrackPanel) -> None:
    choose(arms, view="compared")
    assert arms.view.has_figure
    assert "cells beside label, day 21" in arms.contents.card.title.text()
    assert "ratio of half-lives" in arms.contents.card.table.text()
    assert "2 animals" in arms.contents.card.notes.text()
    choose(arms, view="arms")
    assert "cells 2" in arms.contents.card.notes.text()
    assert {point.subject for point in arms.view.points} == {"a0", "a1", "a2", "a3"}


def test_curves_that_cannot_be_drawn_say_why(arms: TrackPanel) -> None:
    choose(arms, view="pet")
    assert not arms.view.has_figure
    assert "no PET" in arms.view.said.text()
    assert not arms.contents.figure_button.isEnabled()
    assert "why" in arms.contents.figure_button.toolTip()


def test_a_choice_is_undone_and_done_again(arms: TrackPanel) -> None:
    choose(arms, model="exponential")
    arms.undo.click()
    assert arms.session.state.track == TrackChoices()
    assert arms.contents.form.fields["model"].currentData() == ""
    arms.redo.click()
    assert arms.session.state.track.model == "exponential"
    assert arms.contents.form.fields["model"].currentData() == "exponential"


def test_a_choice_that_another_study_has_not_falls_back(
    mouse: TrackPanel, measured_arms: tuple[Path, RunSummary]
) -> None:
    choose(mouse, organ="tumour")
    opened(mouse, measured_arms)
    assert mouse.contents.form.fields["organ"].currentData() == ""
    mouse.session.look_at("a0", 0)
    assert mouse.view.has_figure


@pytest.mark.usefixtures("mouse")
def test_all_days_lie_on_one_anatomy_in_one_layer(viewer: Any) -> None:
    mpi = layers(viewer)["MPI m01, 2 days"]
    assert mpi.data.shape[0] == 2
    assert mpi.data.ndim == 4
    assert [str(unit) for unit in mpi.units] == ["day", "millimeter", "millimeter", "millimeter"]
    for day in range(2):
        brightest = np.unravel_index(int(np.argmax(mpi.data[day])), mpi.data.shape[1:])
        at = np.asarray(mpi.data_to_world((day, *brightest)))[1:]
        # The spot is 1.8 mm wide and drawn in steps of 1 mm.
        assert np.linalg.norm(at - SPOT_MM[::-1]) < 1.0
    # The spot fades from 600 to 200.
    assert mpi.data[1].max() / mpi.data[0].max() == pytest.approx(1 / 3, abs=0.05)
    assert "CT m01 day 0" in layers(viewer)
    assert "organs m01 day 0" in layers(viewer)


@pytest.mark.usefixtures("mouse")
def test_one_colour_scale_serves_all_days(viewer: Any) -> None:
    mpi = layers(viewer)["MPI m01, 2 days"]
    low, high = mpi.contrast_limits
    assert high == pytest.approx(float(mpi.data.max()), rel=1e-6)
    # Five times the noise, whose SD is 2; the spot's own tail adds to it.
    assert 8.0 < low < 20.0


def test_the_slider_says_its_day_and_the_study_follows(mouse: TrackPanel, viewer: Any) -> None:
    viewer.dims.set_current_step(0, 1)
    assert viewer.dims.axis_labels[0] == "day 7"
    assert viewer.canvas.overlays.text.text == "m01   day 7"
    assert mouse.session.state.day == 7
    viewer.dims.set_current_step(0, 0)
    assert viewer.dims.axis_labels[0] == "day 0"


def test_a_point_is_named_under_the_mouse_and_a_click_goes_there(mouse: TrackPanel, viewer: Any) -> None:
    QApplication.processEvents()
    point = next(point for point in mouse.view.points if (point.day, point.organ) == (7, "tumour"))
    x, y = mouse.view.pixel_of(point)
    canvas = mouse.view._canvas
    assert canvas is not None
    from matplotlib.backend_bases import MouseEvent

    canvas.callbacks.process("motion_notify_event", MouseEvent("motion_notify_event", canvas, x + 2, y))
    assert mouse.view.said.text().startswith("m01, day 7, tumour (MPI): ")
    assert "%" in mouse.view.said.text()
    canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", canvas, x + 2, y, button=1))
    assert mouse.session.state.day == 7
    assert viewer.dims.axis_labels[0] == "day 7"
    # The tumour is a ball round the spot.
    assert np.allclose(viewer.dims.point[1:], SPOT_MM[::-1], atol=1.0)
    canvas.callbacks.process("motion_notify_event", MouseEvent("motion_notify_event", canvas, 1, 1))
    assert mouse.view.hovered is None


def test_looking_at_one_day_takes_the_days_away(mouse: TrackPanel, viewer: Any) -> None:
    own = viewer.add_image(np.zeros((4, 4)), name="mine")
    mouse.session.look_at("m01", 7)
    assert list(viewer.layers) == [own]
    mouse.session.look_at_series("m01", 7)
    assert "MPI m01, 2 days" in layers(viewer)


def test_the_panel_study_leaves_the_picture_to_all_days_and_takes_it_back(
    mouse: TrackPanel, viewer: Any, qtbot: QtBot
) -> None:
    study = StudyPanel(viewer)
    qtbot.addWidget(study)
    assert set(layers(viewer)) == {"CT m01 day 0", "MPI m01, 2 days", "organs m01 day 0"}
    study.contents.grid.cells["m01", 7.0].click()
    qtbot.waitUntil(lambda: "MPI m01 day 7" in layers(viewer), timeout=30_000)
    assert "MPI m01, 2 days" not in layers(viewer)
    mouse.contents.series_button.click()
    assert "MPI m01, 2 days" in layers(viewer)
    assert "MPI m01 day 7" not in layers(viewer)
    assert viewer.dims.axis_labels[0] == "day 7"


def test_a_day_that_was_not_measured_is_left_out_and_it_is_said(
    panel: TrackPanel, measured_mouse: tuple[Path, RunSummary], qtbot: QtBot
) -> None:
    opened(panel, measured_mouse)
    state = panel.session.state
    assert state.run is not None
    from napari_mpi_track.report.results import Failure

    failed = replace(state.run, failures=(Failure("m01", 7.0, "a reason"),))
    panel.session.keep_run(failed)
    panel.days.go_to("m01", 0)
    qtbot.waitUntil(lambda: panel.days.shown.series is not None, timeout=30_000)
    assert "Day 7 was not measured" in panel.contents.notes.text()


def test_signals_without_images_have_curves_and_no_picture(arms: TrackPanel, qtbot: QtBot) -> None:
    arms.contents.grid.cells["a0", 5.0].click()
    qtbot.waitUntil(lambda: arms._working is None, timeout=30_000)
    assert arms.days.shown.series is None
    assert "without images" in arms.contents.work.words.text()
    assert arms.view.has_figure
    assert not arms.contents.movie_button.isEnabled()


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_figure_is_saved_at_print_size(arms: TrackPanel, tmp_path: Path, ending: str) -> None:
    arms.session.look_at("a0", 0)
    file = tmp_path / f"curves.{ending}"
    arms.contents.figure_button.chosen.emit(str(file))
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    content = file.read_bytes()
    assert content.startswith(starts[ending])
    if ending == "svg":
        assert b"days after injection" in content


def test_tables_are_saved_as_they_are_shown(arms: TrackPanel, tmp_path: Path) -> None:
    arms.session.look_at("a1", 0)
    arms.contents.table_button.chosen.emit(str(tmp_path / "kept.csv"))
    rows = list(csv.DictReader((tmp_path / "kept.csv").read_text().splitlines()))
    assert {row["subject"] for row in rows} == {"a1"}
    assert [float(row["day"]) for row in rows] == list(DAYS)
    arms.contents.decay_button.chosen.emit(str(tmp_path / "decay.json"))
    fits = json.loads((tmp_path / "decay.json").read_text())
    assert [fit["subject"] for fit in fits] == ["a1"]
    assert arms.followed is not None
    assert fits[0]["half_life_days"] == pytest.approx(
        next(row.half_life_days for row in arms.followed.days.decay if row.subject == "a1"), rel=1e-8
    )


def test_an_ending_that_is_no_table_is_refused_with_what_to_do(arms: TrackPanel, tmp_path: Path) -> None:
    arms.session.look_at("a1", 0)
    arms.contents.table_button.chosen.emit(str(tmp_path / "kept.xlsx"))
    assert "a table is a .csv or a .json" in arms.contents.said.text().lower()
    assert not list(tmp_path.iterdir())


def test_a_movie_holds_every_day(mouse: TrackPanel, tmp_path: Path, qtbot: QtBot) -> None:
    from PIL import Image

    mouse.contents.movie_button.chosen.emit(str(tmp_path / "days.gif"))
    qtbot.waitUntil(lambda: mouse._working is None, timeout=60_000)
    with Image.open(tmp_path / "days.gif") as film:
        assert film.n_frames == 2
        lit = []
        for frame in range(2):
            film.seek(frame)
            pixels = np.asarray(film.convert("RGB")).astype(int)
            # Hot iron is redder than the grey body.
            lit.append(int(np.maximum(pixels[..., 0] - pixels[..., 2], 0)[36:-64].sum()))
    assert lit[0] > 1.5 * lit[1]


def test_a_movie_that_is_cancelled_leaves_no_file(mouse: TrackPanel, tmp_path: Path, qtbot: QtBot) -> None:
    box = mouse.contents.movie_kind
    box.setCurrentIndex(box.findData("turning"))
    mouse.contents.movie_button.chosen.emit(str(tmp_path / "turning.gif"))
    mouse.contents.work.cancel.click()
    qtbot.waitUntil(lambda: mouse._working is None, timeout=60_000)
    assert not list(tmp_path.iterdir())
