"""The panel Organs as an imager uses it: click a day, measure, paint, undo, find, approve, use, look at the numbers."""

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from npe2 import PluginManifest, _pytest_plugin
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication
from tiny_mouse import SPOT_MM, distances_mm, write_tiny_study

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.gui.layers import organ_layer
from napari_mpi_track.gui.organ_day import organ_scene, organs_of_file
from napari_mpi_track.gui.organ_draft import drawn, painted, voxels_of, with_approval
from napari_mpi_track.gui.organ_files import use_in_study, write_in_study_file
from napari_mpi_track.gui.organ_finding import FINDERS, with_found
from napari_mpi_track.gui.organ_look import OrganLook
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import unwatched
from napari_mpi_track.gui.widgets.organs import OrgansPanel
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.analysis import analyse_timepoint
from napari_mpi_track.longitudinal.measurement import Measurement, SpillRow
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.report.tables import table_text
from napari_mpi_track.writers.scans import write_volume

pytestmark = [pytest.mark.window, pytest.mark.usefixtures("tasks_end")]

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ANATOMY = Grid.from_spacing((26, 28, 30), 1.0, (-14.5, -13.5, -12.5))


@pytest.fixture
def viewer() -> Any:
    """A viewer's layers without a window, which takes a second to open."""
    return ViewerModel()


@pytest.fixture
def panel(viewer: Any, qtbot: QtBot) -> OrgansPanel:
    panel = OrgansPanel(viewer)
    qtbot.addWidget(panel)
    panel.resize(380, 1400)
    panel.show()
    return panel


@pytest.fixture(scope="module")
def study(tiny_study: Path) -> Study:
    """One study for all tests, which change none: what was measured of it once is used again."""
    return load_study(tiny_study)


@pytest.fixture
def day(panel: OrgansPanel, study: Study, qtbot: QtBot) -> OrgansPanel:
    """Day 0 of the mouse in view, its organs read."""
    panel.session.open_study(study)
    panel.session.look_at("m01", 0)
    qtbot.waitUntil(lambda: panel.session.state.organ_draft is not None, timeout=20_000)
    return panel


@pytest.fixture
def measured(day: OrgansPanel, study: Study, qtbot: QtBot) -> OrgansPanel:
    """The day's organs measured, the three views in a window of their own."""
    if study.file not in _MEASURED:
        day.contents.run_button.click()
        settled(day, qtbot)
        _MEASURED[study.file] = day.measuring.scene, day.measuring.measured
    else:
        scene, found = _MEASURED[study.file]
        day.measuring.take(scene)
        day.measuring.measured = found
        day.session.begin_organs(scene.key, found.draft)
    qtbot.addWidget(day.views)
    day.views.resize(760, 330)
    day.views.show()
    return day


_MEASURED: dict[Path, Any] = {}


def settled(panel: OrgansPanel, qtbot: QtBot) -> None:
    """Wait until the numbers are those of what is drawn."""
    measuring, session = panel.measuring, panel.session
    qtbot.waitUntil(
        lambda: (
            measuring.measured is not None
            and measuring.measured.draft is session.state.organ_draft
            and not measuring.is_measuring
            and panel._working is None
        ),
        timeout=60_000,
    )


def draft(panel: OrgansPanel) -> Any:
    return panel.session.state.organ_draft


def layer(panel: OrgansPanel) -> Labels:
    return panel.drawing.layer.layer


def cells(panel: OrgansPanel, organ: str = "tumour") -> list[str]:
    table = panel.contents.table
    rows = {table.item(row, 0).text(): row for row in range(table.rowCount())}
    return [table.item(rows[organ], column).text() for column in range(1, 4)]


def paint(panel: OrgansPanel, at_mm: Any, size: int = 3, label: int = 1) -> None:
    """Paint with napari's own brush at a place, LPS mm, of the anatomy."""
    layer(panel).brush_size = size
    layer(panel).paint(layer(panel).world_to_data(np.asarray(at_mm)[::-1]), label)
    QApplication.processEvents()


def scene_of(study: Any) -> tuple[Any, Any]:
    return study.subjects[0], study.subjects[0].timepoint(0)


def voxels_in(panel: OrgansPanel, label: int = 1) -> int:
    return int(np.count_nonzero(layer(panel).data == label))


def test_an_empty_panel_says_what_to_do_first(panel: OrgansPanel) -> None:
    parts = panel.contents
    assert not parts.first.isHidden()
    assert not parts.study_button.isHidden()
    assert parts.run_button.isHidden()
    assert parts.table.isHidden()
    assert panel.steps.state_of("Organs").endswith("empty")


def test_napari_opens_the_panel_from_its_menu(
    make_napari_viewer: Callable[..., Any], npe2pm: _pytest_plugin.TestPluginManager
) -> None:
    viewer = make_napari_viewer()
    npe2pm.register(PluginManifest.from_distribution("napari-mpi-track"))
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Organs")
    assert isinstance(panel, OrgansPanel)
    assert panel.session is Session.of(viewer)


def test_a_days_organs_are_listed_with_their_volume_before_anything_is_measured(day: OrgansPanel) -> None:
    truth = np.count_nonzero(distances_mm(ANATOMY, SPOT_MM) < 5)
    assert cells(day) == [str(truth), "", ""]
    assert not day.contents.run_button.isHidden()
    assert "organs.nrrd" in day.contents.where.text()
    assert day.steps.state_of("Organs").endswith("ready")


def test_what_is_measured_is_what_a_run_measures(measured: OrgansPanel, study: Study) -> None:
    run = analyse_timepoint(study, study.subjects[0], study.subjects[0].timepoint(0))
    ours = measured.measuring.measured.rows.measurements
    assert table_text(ours, Measurement) == table_text(run.measurements, Measurement)
    assert "alignment" in measured.contents.card.chip.text()
    assert "%" in measured.contents.card.whole.text()


def test_a_stroke_of_naparis_brush_changes_the_table_at_once_and_exactly_soon(
    measured: OrgansPanel, qtbot: QtBot
) -> None:
    before, count = cells(measured), voxels_in(measured)
    paint(measured, SPOT_MM + [2.0, 0, 0], label=0)
    taken = count - voxels_in(measured)
    assert taken > 5
    at_once = cells(measured)
    assert at_once[0] == str(count - taken)
    assert at_once[1].startswith("≈")
    settled(measured, qtbot)
    exact = cells(measured)
    assert not exact[1].startswith("≈")
    reckoned, true, old = (float(text.strip("≈ ").replace(",", "")) for text in (at_once[1], exact[1], before[1]))
    # Label voxels are looked up at points of the scan's blocks: a tenth of what the stroke takes, at most.
    assert true < old
    assert abs(reckoned - true) < 0.1 * (old - true)


def test_undo_takes_a_stroke_back_in_napari_and_in_the_numbers(measured: OrgansPanel, qtbot: QtBot) -> None:
    before, count = cells(measured), voxels_in(measured)
    paint(measured, SPOT_MM + [6.0, 0, 0])
    paint(measured, SPOT_MM + [0, 6.0, 0])
    most = voxels_in(measured)
    measured.undo.click()
    assert count < voxels_in(measured) < most
    measured.redo.click()
    assert voxels_in(measured) == most
    measured.undo.click()
    measured.undo.click()
    assert voxels_in(measured) == count
    settled(measured, qtbot)
    assert cells(measured) == before


def test_ctrl_z_on_the_layer_is_the_sessions_undo(measured: OrgansPanel) -> None:
    count = voxels_in(measured)
    paint(measured, SPOT_MM + [6.0, 0, 0])
    (undo,) = [function for keys, function in layer(measured).keymap.items() if str(keys) == "Ctrl+Z"]
    undo(layer(measured))
    assert voxels_in(measured) == count
    assert draft(measured).edits.voxel.size == 0


def test_a_ball_is_painted_in_three_dimensions(measured: OrgansPanel) -> None:
    measured.views.is_ball.setChecked(True)
    assert layer(measured).n_edit_dimensions == 3
    count = voxels_in(measured)
    paint(measured, SPOT_MM + [0, 0, 7.0], size=5)
    planes = np.unique(np.argwhere(layer(measured).data == 1)[:, 0])
    assert voxels_in(measured) - count > 25
    assert planes.max() > round((SPOT_MM[2] + 7.0 + 12.5) / 1.0)


def drag(qtbot: QtBot, view: Any, start: Any, end: Any) -> None:
    ends = [QPoint(*(round(x) for x in view.pane.pixel_at(place))) for place in (start, end)]
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=ends[0])
    qtbot.mouseMove(view, ends[1])
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=ends[1])


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
def test_a_stroke_in_each_of_the_three_views_paints_one_plane(measured: OrgansPanel, name: str, qtbot: QtBot) -> None:
    view, count, steps = measured.views.views[name], voxels_in(measured), len(measured.session._past)
    measured.views.look_at(SPOT_MM)
    measured.views.tools["paint"].click()
    right, down = np.array(view.facing.right), np.array(view.facing.down)
    drag(qtbot, view, SPOT_MM + 6.0 * right, SPOT_MM + 6.0 * right + 4.0 * down)
    added = np.argwhere(layer(measured).data == 1)
    assert voxels_in(measured) > count + 5
    assert len(measured.session._past) == steps + 1
    truth = np.argwhere(distances_mm(ANATOMY, SPOT_MM) < 5)
    new = np.array(sorted({tuple(i) for i in added} - {tuple(i) for i in truth}))
    axis = int(np.argmax(np.abs(view.facing.away[::-1])))
    assert len(set(new[:, axis])) == 1


def test_erasing_in_a_view_takes_voxels_away(measured: OrgansPanel, qtbot: QtBot) -> None:
    count = voxels_in(measured)
    measured.views.look_at(SPOT_MM)
    measured.views.tools["erase"].click()
    drag(qtbot, measured.views.views["axial"], SPOT_MM, SPOT_MM + [2.0, 0, 0])
    assert voxels_in(measured) < count


def test_a_locked_organ_is_painted_by_no_brush(measured: OrgansPanel, qtbot: QtBot) -> None:
    parts = measured.contents
    parts.name.setCurrentText("spleen")
    parts.add_button.click()
    assert draft(measured).names == {1: "tumour", 2: "spleen"}
    parts.table.choose(1)
    parts.lock_button.click()
    assert parts.lock_button.text() == "Open lock"
    count = voxels_in(measured)
    paint(measured, SPOT_MM, label=2)
    assert voxels_in(measured) == count
    assert "left as they were" in parts.said.text()
    measured.views.look_at(SPOT_MM)
    measured.views.tools["erase"].click()
    drag(qtbot, measured.views.views["axial"], SPOT_MM, SPOT_MM + [2.0, 0, 0])
    assert voxels_in(measured) == count


def test_an_approval_needs_a_name_and_makes_the_step_done(measured: OrgansPanel) -> None:
    parts = measured.contents
    parts.approve_button.click()
    assert "needs a name" in parts.said.text()
    parts.by.setText("A. Reader")
    parts.approve_button.click()
    assert draft(measured).approved[1].by == "A. Reader"
    assert "approved by A. Reader" in parts.details.text()
    assert measured.steps.state_of("Organs").endswith("done")
    assert not parts.delete_button.isEnabled()


def test_an_organ_is_renamed_in_the_list_and_a_taken_name_refused(measured: OrgansPanel) -> None:
    parts = measured.contents
    parts.table.item(0, 0).setText("flank")
    assert draft(measured).names == {1: "flank"}
    parts.name.setCurrentText("flank")
    parts.add_button.click()
    assert "already" in parts.said.text()
    measured.undo.click()
    assert parts.table.item(0, 0).text() == "tumour"


def test_a_label_nobody_has_named_becomes_an_organ_when_it_is_painted(measured: OrgansPanel) -> None:
    paint(measured, SPOT_MM + [0, 0, 8.0], label=4)
    assert draft(measured).names == {1: "tumour", 4: "organ 4"}


def test_the_threshold_slider_moves_total_and_outline(measured: OrgansPanel) -> None:
    parts, part = measured.contents, measured.contents.signal_part
    parts.signal.setChecked(True)
    mpi = measured.measuring.scene.scene.mpi
    # The noise rule to begin with.
    assert measured.signal.threshold == pytest.approx(10.0, rel=0.3)
    part.slider.setValue(800)
    threshold = measured.signal.threshold
    above = np.asarray(mpi.voxels)[np.asarray(mpi.voxels) > threshold]
    total = float(above.sum(dtype=np.float64)) * mpi.grid.voxel_volume_mm3
    shown = part.said.text().replace(",", "")
    assert f"{float(f'{total:.3g}'):.0f}" in shown
    assert measured.views.look.threshold == threshold
    view = measured.views.views["axial"]
    measured.views.look_at(SPOT_MM)
    picture = view.grab().toImage()
    inks = {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(0, picture.height(), 2)}
    assert "#ff3cff" in inks
    parts.signal.setChecked(False)
    assert measured.views.look.threshold is None


def test_the_chosen_organ_takes_all_above_the_threshold(measured: OrgansPanel, qtbot: QtBot) -> None:
    parts = measured.contents
    parts.name.setCurrentText("signal")
    parts.add_button.click()
    assert measured.drawing.chosen == 2
    parts.table.choose(1)
    parts.signal.setChecked(True)
    measured.signal.move(150.0)
    count = voxels_in(measured)
    parts.table.choose(2)
    parts.signal_part.take_button.click()
    settled(measured, qtbot)
    assert voxels_in(measured, 2) > 10
    assert voxels_in(measured) == count - voxels_in(measured, 2)


def test_all_rules_stand_side_by_side(measured: OrgansPanel, qtbot: QtBot) -> None:
    measured.contents.signal.setChecked(True)
    measured.contents.signal_part.compare_button.click()
    compared = measured.contents.signal_part.compared
    qtbot.waitUntil(lambda: not compared.isHidden(), timeout=20_000)
    for rule in ("Multiple of the noise", "Fraction of the maximum", "K-means++", "Otsu", "of tumour", "mm³"):
        assert rule in compared.text()


def test_a_click_grows_the_chosen_organ(measured: OrgansPanel, qtbot: QtBot) -> None:
    measured.contents.delete_button.click()
    measured.contents.name.setCurrentText("tumour")
    measured.contents.add_button.click()
    assert voxels_in(measured) == 0
    view = measured.views.views["axial"]
    measured.views.look_at(SPOT_MM)
    measured.views.tools["grow"].click()
    x, y = view.pane.pixel_at(SPOT_MM)
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))
    settled(measured, qtbot)
    # Half of the height of a Gaussian exp(-(r / 1.8 mm)^2) lies at 1.5 mm.
    assert voxels_in(measured) == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=0.5)
    assert "above" in measured.contents.said.text()


def test_what_the_panel_shows_is_what_a_run_of_the_study_writes(
    panel: OrgansPanel, tmp_path: Path, qtbot: QtBot
) -> None:
    study_file = write_tiny_study(tmp_path)
    panel.session.open_study(load_study(study_file))
    panel.session.look_at("m01", 0)
    qtbot.waitUntil(lambda: draft(panel) is not None, timeout=20_000)
    parts = panel.contents
    parts.run_button.click()
    settled(panel, qtbot)
    # A correction, an organ of its own, and an approval.
    paint(panel, SPOT_MM + [5.0, 0, 0], size=5)
    parts.name.setCurrentText("flank")
    parts.add_button.click()
    paint(panel, SPOT_MM - [0, 6.0, 0], size=7, label=2)
    parts.table.choose(1)
    parts.by.setText("A. Reader")
    parts.approve_button.click()
    settled(panel, qtbot)
    shown = {organ: cells(panel, organ) for organ in ("tumour", "flank")}
    parts.use_button.click()
    qtbot.waitUntil(lambda: not parts.write_button.isHidden(), timeout=20_000)
    assert {organ: cells(panel, organ) for organ in ("tumour", "flank")} == shown
    parts.write_button.click()
    assert "now says so" in parts.said.text()
    study = load_study(study_file)
    assert study.subjects == panel.session.state.study.subjects
    run = analyse_timepoint(study, *scene_of(study))
    assert table_text(panel.measuring.measured.rows.measurements, Measurement) == table_text(
        run.measurements, Measurement
    )
    # Undo: the study is as it was, its numbers are there at once.
    panel.undo.click()
    assert panel.session.state.study.subjects != study.subjects
    assert cells(panel) == shown["tumour"]


def test_painted_organs_come_back_with_the_study(measured: OrgansPanel, tmp_path: Path, qtbot: QtBot) -> None:
    study_file = write_tiny_study(tmp_path)
    session = measured.session
    session.open_study(load_study(study_file))
    session.look_at("m01", 0)
    qtbot.waitUntil(lambda: draft(measured) is not None, timeout=20_000)
    scene = organ_scene(session.state.study, *session.state.in_view, unwatched())
    before = draft(measured)
    changed = painted(before, np.array([0, 1, 2]), np.array([1, 1, 1], np.uint8))
    used = use_in_study(scene, with_approval(changed, 1, "A. Reader", NOW, voxels_of(changed)))
    write_in_study_file(used)
    again = organs_of_file(load_study(study_file), *scene_of(load_study(study_file)))
    assert again.edits.voxel.tolist() == [0, 1, 2]
    assert again.approved[1].by == "A. Reader"
    assert again.is_of_study
    # Painted over since: the approval no longer stands.
    more = use_in_study(used.scene, painted(used.draft, np.array([9]), np.array([1], np.uint8)))
    assert more.changes["organ_edits"].name == "m01_day0_edits_2.nii.gz"
    write_in_study_file(more)
    assert organs_of_file(load_study(study_file), *scene_of(load_study(study_file))).approved == {}


def test_the_body_is_found_where_nothing_is_drawn_yet(measured: OrgansPanel, qtbot: QtBot) -> None:
    count = voxels_in(measured)
    measured.contents.finds.setChecked(True)
    measured.contents.finds_part.finders["body"].click()
    settled(measured, qtbot)
    assert draft(measured).names == {1: "tumour", 2: "body"}
    body = np.count_nonzero(distances_mm(ANATOMY, np.zeros(3)) < 11)
    assert voxels_in(measured) == count
    assert voxels_in(measured, 2) + count == pytest.approx(body, rel=0.1)
    measured.undo.click()
    assert voxels_in(measured, 2) == 0


def test_painted_seeds_grow_to_the_edges_and_the_background_goes(measured: OrgansPanel, qtbot: QtBot) -> None:
    parts = measured.contents
    parts.delete_button.click()
    for name in ("animal", "background"):
        parts.name.setCurrentText(name)
        parts.add_button.click()
    paint(measured, [0.0, 0, 0], size=4, label=1)
    for corner in ([-13.0, -12, -11], [12.0, 12, 11], [-13.0, 12, 0], [12.0, -12, 0]):
        paint(measured, corner, size=4, label=2)
    # Outside of the animal there is nothing: seeds in every slice are not needed.
    parts.finds_part.method.setCurrentIndex(1)
    parts.finds_part.seeds_button.click()
    settled(measured, qtbot)
    assert draft(measured).names == {1: "animal"}
    body = np.count_nonzero(distances_mm(ANATOMY, np.zeros(3)) < 11)
    assert voxels_in(measured) == pytest.approx(body, rel=0.15)


def test_labels_of_a_file_come_in_under_what_was_painted(measured: OrgansPanel, tmp_path: Path, qtbot: QtBot) -> None:
    measured.contents.save_button.chosen.emit(str(tmp_path / "organs.nii.gz"))
    qtbot.waitUntil(lambda: (tmp_path / "organs.nii.gz").is_file() and measured._working is None, timeout=20_000)
    before = layer(measured).data.copy()
    paint(measured, SPOT_MM + [7.0, 0, 0])
    with_stroke = layer(measured).data.copy()
    measured.contents.finds_part.load_button.chosen.emit(str(tmp_path / "organs.nii.gz"))
    settled(measured, qtbot)
    assert np.array_equal(layer(measured).data, with_stroke)
    assert not np.array_equal(before, with_stroke)
    assert "organs.nii.gz" in measured.contents.where.text()


def test_the_last_organ_is_deleted_and_what_is_drawn_next_needs_a_new_one(measured: OrgansPanel, qtbot: QtBot) -> None:
    measured.contents.delete_button.click()
    assert measured.drawing.chosen == 0
    assert draft(measured).names == {}
    view = measured.views.views["axial"]
    assert not view.grab().isNull()
    measured.views.tools["paint"].click()
    drag(qtbot, view, SPOT_MM, SPOT_MM + [2.0, 0, 0])
    assert "add one" in measured.contents.said.text()
    assert voxels_in(measured) == 0
    measured.undo.click()
    assert measured.drawing.chosen == 1


def test_one_looks_at_the_organ_that_is_lit_first_not_at_a_marker_beside_it(measured: OrgansPanel) -> None:
    # The spot is 1.8 mm wide, and the MPI's voxels 1.2 mm.
    assert np.linalg.norm(measured.views.look.look.cross_mm - SPOT_MM) < 1.5
    scene, look = measured.measuring.scene, measured.views.look
    bright = np.array(scene.scene.mpi.voxels)
    bright[2, 2, 2] = 10 * bright.max()
    lit = replace(scene, scene=replace(scene.scene, mpi=replace(scene.scene.mpi, voxels=bright)))
    seen = OrganLook.at(lit, look.labels, look.grid)
    assert seen is not None
    assert np.linalg.norm(seen.look.cross_mm - SPOT_MM) < 1.5


def test_undo_goes_to_the_day_whose_organs_it_changes(measured: OrgansPanel) -> None:
    count = voxels_in(measured)
    paint(measured, SPOT_MM + [6.0, 0, 0])
    measured.session.look_at("m01", 7)
    measured.undo.click()
    assert measured.session.state.day == 0
    assert "day 0" in measured.contents.said.text()
    assert voxels_in(measured) == count


def test_lungs_are_found_within_a_found_body_and_drawn_organs_keep_theirs(
    measured: OrgansPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    chest = (distances_mm(ANATOMY, SPOT_MM) < 7).astype(np.uint8)
    found = OrganLabels(chest, draft(measured).base.grid, {1: "lungs"})
    monkeypatch.setitem(FINDERS, "lungs", lambda _: found)
    scene = measured.measuring.scene
    with_body, _ = with_found(scene, draft(measured), "body")
    changed, said = with_found(scene, with_body, "lungs")
    voxels, labels = voxels_of(changed), {name: label for label, name in changed.names.items()}
    tumour = distances_mm(ANATOMY, SPOT_MM) < 5
    assert np.array_equal(voxels == labels["tumour"], tumour)
    assert np.array_equal(voxels == labels["lungs"], (chest > 0) & ~tumour)
    assert f"{np.count_nonzero((chest > 0) & ~tumour)} mm³" in said
    with pytest.raises(MeasurementError, match="organs are drawn already"):
        with_found(scene, changed, "lungs")
    # A body that is found again takes nothing of them.
    with pytest.raises(MeasurementError, match="organs are drawn already"):
        with_found(scene, changed, "body")


def test_what_an_organs_error_is_made_of_is_drawn_and_saved(
    measured: OrgansPanel, tmp_path: Path, qtbot: QtBot
) -> None:
    part = measured.contents.errors_part
    with qtbot.waitSignal(part.drawn, timeout=20_000):
        measured.contents.errors.setChecked(True)
    assert part.picture.pixmap().width() > 300
    part.save_button.chosen.emit(str(tmp_path / "errors.svg"))
    assert "calibration" in (tmp_path / "errors.svg").read_text()
    measured.contents.delete_button.click()
    assert part.picture.isHidden()
    assert "Choose an organ" in part.said.text()


def test_organs_are_saved_for_other_programs_and_come_back(measured: OrgansPanel, tmp_path: Path, qtbot: QtBot) -> None:
    before = layer(measured).data.copy()
    for name in ("organs.dcm", "organs.seg.nrrd"):
        measured.contents.save_button.chosen.emit(str(tmp_path / name))
        qtbot.waitUntil(lambda: measured._working is None, timeout=20_000)
        measured.contents.finds_part.load_button.chosen.emit(str(tmp_path / name))
        settled(measured, qtbot)
        assert draft(measured).origin == name
        assert np.array_equal(layer(measured).data, before)
        assert list(draft(measured).names.values()) == ["tumour"]


def test_what_cannot_be_written_is_said_and_the_study_stays(
    measured: OrgansPanel, tmp_path: Path, qtbot: QtBot
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    study = measured.session.state.study
    measured.contents.table_button.chosen.emit(str(tmp_path / "taken" / "organs.csv"))
    assert "Not done" in measured.contents.said.text()
    measured.contents.save_button.chosen.emit(str(tmp_path / "taken" / "organs.nii.gz"))
    qtbot.waitUntil(lambda: "Not done" in measured.contents.work.words.text(), timeout=20_000)
    assert measured.session.state.study is study


def test_tables_and_the_matrix_are_saved(measured: OrgansPanel, tmp_path: Path) -> None:
    measured.contents.table_button.chosen.emit(str(tmp_path / "organs.csv"))
    with (tmp_path / "organs.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["organ"] for row in rows][:1] == ["tumour"]
    measured.contents.blur.setChecked(True)
    # This study gives no point spread.
    assert "Nothing is corrected" in measured.contents.matrix.text()
    assert not measured.contents.matrix_button.isEnabled()
    measured.measuring.measured = replace(
        measured.measuring.measured,
        rows=replace(
            measured.measuring.measured.rows,
            spill=(
                SpillRow("m01", 0, "MPI", "tumour", "tumour", 96.0),
                SpillRow("m01", 0, "MPI", "tumour", "liver", 4.0),
            ),
        ),
    )
    measured.outcome.show(draft(measured), measured.measuring.scene)
    assert "liver" in measured.contents.matrix.text()
    measured.contents.matrix_button.chosen.emit(str(tmp_path / "matrix.svg"))
    assert "came from" in (tmp_path / "matrix.svg").read_text()
    measured.contents.matrix_button.chosen.emit(str(tmp_path / "matrix.png"))
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_follows_the_views_and_turns(measured: OrgansPanel, viewer: Any) -> None:
    measured.views.look_at(SPOT_MM)
    assert np.allclose(viewer.dims.point[-3:], SPOT_MM[::-1], atol=0.51)
    measured.views.picture.setCurrentText("coronal")
    assert viewer.dims.order[-2:] == (0, 2)
    measured.views.picture.setCurrentText("3-D")
    assert viewer.dims.ndisplay == 3
    assert layer(measured).contour == 0


def test_a_blinded_reading_is_signed_code_by_code_before_names_open(
    day: OrgansPanel, tmp_path: Path, qtbot: QtBot
) -> None:
    part, session = day.contents.reading_part, day.session
    part.blind_into(str(tmp_path / "reading"))
    qtbot.waitUntil(lambda: session.state.study.name == "blinded reading", timeout=30_000)
    codes = [subject.id for subject in session.state.study.subjects]
    assert codes == ["R01", "R02"]
    day.contents.by.setText("A. Reader")
    for code in codes:
        session.look_at(code, 0)
        qtbot.waitUntil(lambda: draft(day) is not None, timeout=20_000)
        assert "m01" not in day.contents.where.text()
        assert not part.open_button.isEnabled()
        part.sign_button.click()
        assert f"{code} is signed by A. Reader" in day.contents.said.text()
    assert part.open_button.isEnabled()
    part.open_button.click()
    assert "m01, day 0" in part.names.text()
    assert "m01, day 7" in part.names.text()


def test_labels_are_not_loaded_over_a_locked_organ(measured: OrgansPanel, tiny_study: Path, qtbot: QtBot) -> None:
    measured.contents.lock_button.click()
    before = draft(measured)
    measured.contents.finds_part.load_button.chosen.emit(str(tiny_study.parent / "organs.nrrd"))
    qtbot.waitUntil(lambda: "Not done" in measured.contents.work.words.text(), timeout=20_000)
    assert "locked" in measured.contents.work.words.text()
    assert draft(measured) is before


def test_a_layer_taken_away_by_hand_comes_back_when_it_is_asked_for(measured: OrgansPanel, viewer: Any) -> None:
    count = voxels_in(measured)
    viewer.layers.remove(layer(measured))
    assert layer(measured) is None
    measured.contents.views_button.click()
    assert voxels_in(measured) == count
    assert layer(measured) in viewer.layers


def test_the_organ_that_is_chosen_says_its_interval_and_each_term_of_its_error(measured: OrgansPanel) -> None:
    said = measured.contents.details.text()
    assert "cells (apparent)" in said
    assert " to " in said
    for term in ("noise", "alignment", "calibration"):
        assert term in said
    assert "a.u. mm³" in said


def test_organs_are_drawn_on_a_day_that_had_none(panel: OrgansPanel, tmp_path: Path, qtbot: QtBot) -> None:
    study_file = write_tiny_study(tmp_path)
    study_file.write_text(study_file.read_text().replace("        organs: organs.nrrd\n", ""))
    panel.session.open_study(load_study(study_file))
    panel.session.look_at("m01", 7)
    parts = panel.contents
    assert "No organs are drawn" in parts.where.text()
    assert panel.steps.state_of("Organs").endswith("empty")
    parts.run_button.click()
    settled(panel, qtbot)
    assert parts.table.rowCount() == 0
    parts.use_button.click()
    qtbot.waitUntil(lambda: "Not done" in parts.work.words.text(), timeout=20_000)
    parts.name.setCurrentText("tumour")
    parts.add_button.click()
    paint(panel, SPOT_MM, size=9)
    settled(panel, qtbot)
    shown = cells(panel)
    assert float(shown[2].replace(",", "")) > 0
    parts.use_button.click()
    qtbot.waitUntil(lambda: not parts.write_button.isHidden(), timeout=20_000)
    parts.write_button.click()
    again = load_study(study_file)
    run = analyse_timepoint(again, again.subjects[0], again.subjects[0].timepoint(7))
    ours = panel.measuring.measured.rows.measurements
    assert table_text(ours, Measurement) == table_text(run.measurements, Measurement)


def test_organs_on_a_projections_plane_have_an_area_and_their_total_is_over_it(
    panel: OrgansPanel, tmp_path: Path, qtbot: QtBot
) -> None:
    plane = Grid.from_spacing((1, 40, 50), (8.0, 1.0, 1.0), (-24.5, -19.5, 0))
    mpi = np.random.default_rng(5).normal(0, 1, plane.shape)
    mpi[0, 10:20, 20:30] += 50
    write_volume(Volume(mpi.astype(np.float32), plane), tmp_path / "mpi.nii.gz")
    labels = np.zeros(plane.shape, np.uint8)
    labels[0, 8:22, 18:32] = 1
    write_volume(OrganLabels(labels, plane, {1: "tumour"}), tmp_path / "organs.seg.nrrd")
    (tmp_path / "study.yaml").write_text(
        "schema: 1\nreference: first\nsubjects: [{id: m01, timepoints: [{day: 0, organs: organs.seg.nrrd, "
        "mpi: {path: mpi.nii.gz, projection: true}}]}]\n"
    )
    panel.session.open_study(load_study(tmp_path / "study.yaml"))
    panel.session.look_at("m01", 0)
    qtbot.waitUntil(lambda: draft(panel) is not None, timeout=20_000)
    panel.contents.run_button.click()
    settled(panel, qtbot)
    heads = [panel.contents.table.horizontalHeaderItem(n).text() for n in (1, 2)]
    assert heads == ["area\nmm²", "signal\na.u. mm²"]
    area, signal, _ = cells(panel)
    assert area == "196"
    assert float(signal.replace(",", "")) == pytest.approx(5000, abs=60)
    panel.contents.signal.setChecked(True)
    panel.signal.move(25.0)
    assert "100 mm²" in panel.contents.signal_part.said.text()
    panel.edits.choose(1)
    panel.edits.grow(plane.lps_from([0, 15, 25]))
    settled(panel, qtbot)
    assert "100 mm² above" in panel.contents.said.text()


def test_a_drag_of_naparis_brush_is_one_step(measured: OrgansPanel, qtbot: QtBot) -> None:
    painting, count, steps = layer(measured), voxels_in(measured), len(measured.session._past)
    measured.views.brush.setValue(3.0)
    measured.views.tools["paint"].click()
    assert (str(painting.mode), painting.brush_size, painting.selected_label) == ("paint", 3, 1)
    event = SimpleNamespace(
        type="mouse_press",
        position=tuple(SPOT_MM[::-1] + [0, 0, 6.0]),
        view_direction=None,
        dims_displayed=[1, 2],
        dims_point=list(SPOT_MM[::-1]),
        modifiers=(),
        button=1,
        handled=False,
        is_dragging=True,
    )
    mouse_press_callbacks(painting, event)
    for step in (1.0, 2.0, 3.0):
        event.type, event.position = "mouse_move", tuple(SPOT_MM[::-1] + [0, step, 6.0])
        mouse_move_callbacks(painting, event)
    # The list follows before the brush is lifted.
    assert voxels_in(measured) > count + 5
    qtbot.waitUntil(lambda: cells(measured)[0] == str(voxels_in(measured)), timeout=5_000)
    assert len(measured.session._past) == steps
    event.type = "mouse_release"
    mouse_release_callbacks(painting, event)
    QApplication.processEvents()
    assert voxels_in(measured) > count + 5
    assert len(measured.session._past) == steps + 1
    assert draft(measured).edits.voxel.size == voxels_in(measured) - count


def test_the_days_own_organs_are_hidden_while_they_are_drawn(measured: OrgansPanel, viewer: Any) -> None:
    content, settings, _ = organ_layer(drawn(draft(measured)), "organs m01 day 0")
    own = viewer.add_labels(content, **settings)
    assert not own.visible
    # The day's picture is shown after the organs were read: the outlines stay above it.
    QApplication.processEvents()
    assert viewer.layers[-1] is layer(measured)
    measured.drawing.show(None, None, None, "")
    assert own.visible
    assert layer(measured) is None
