"""The panel Align as an imager uses it: choose, place points, drag, run, cancel, look, accept, save, go back."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest, _pytest_plugin
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import QApplication
from tiny_mouse import MARKERS_MM, MPI_FROM_ANATOMY, SPOT_MM, distances_mm

from napari_mpi_track.gui.alignment_draft import EMPTY_ALIGNMENT
from napari_mpi_track.gui.alignment_pose import centre_seen
from napari_mpi_track.gui.layers import organ_layer, points_layer, scan_layer
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.gui.widgets import alignment as align_panel
from napari_mpi_track.gui.widgets.alignment import AlignPanel
from napari_mpi_track.gui.widgets.study import StudyPanel
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.readers.points import read_points
from napari_mpi_track.registration.alignment_files import load_alignment
from napari_mpi_track.registration.evidence import AlignmentStep
from napari_mpi_track.writers.points import write_points

pytestmark = [pytest.mark.window, pytest.mark.usefixtures("tasks_end")]

ANATOMY = Grid.from_spacing((26, 28, 30), 1.0, (-14.5, -13.5, -12.5))
TRACER = Grid.from_spacing((30, 32, 34), 1.2, MPI_FROM_ANATOMY.map(np.zeros(3)) - [20.4, 19.2, 18.0])


def ct() -> Volume:
    body = np.where(distances_mm(ANATOMY, np.zeros(3)) < 11, 40.0, -1000.0)
    for centre, radius, value in (((3, 4, 6), 3, 700), ((-4, -3, -5), 4, -500), ((5, -4, -1), 2.5, 400)):
        body[distances_mm(ANATOMY, np.array(centre)) < radius] = value
    body[distances_mm(ANATOMY, SPOT_MM) < 1.6] = 1600.0
    return Volume(body.astype(np.float32), ANATOMY, Modality.CT, "HU", name="ct")


def mpi() -> Volume:
    noise = np.random.default_rng(0).normal(0.0, 2.0, TRACER.shape)
    signal = 600.0 * np.exp(-((distances_mm(TRACER, MPI_FROM_ANATOMY.map(SPOT_MM)) / 1.8) ** 2))
    return Volume((signal + noise).astype(np.float32), TRACER, Modality.MPI, "a.u.", name="mpi")


def add(viewer: Any, layer: Any) -> Any:
    content, settings, kind = layer
    return getattr(viewer, f"add_{kind}")(content, **settings)


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any]) -> Any:
    """A real napari window on the screen."""
    return make_napari_viewer(show=True)


@pytest.fixture
def viewer() -> Any:
    """A viewer's layers without a window, which takes a second to open."""
    return ViewerModel()


@pytest.fixture
def panel(viewer: Any, qtbot: QtBot) -> AlignPanel:
    panel = AlignPanel(viewer)
    qtbot.addWidget(panel)
    panel.resize(380, 1400)
    panel.show()
    return panel


@pytest.fixture
def both(panel: AlignPanel, viewer: Any, qtbot: QtBot) -> AlignPanel:
    """CT and MPI open, as File > Open shows them; the views in a window of their own, of a known size."""
    add(viewer, scan_layer(ct(), "CT m01 day 0"))
    add(viewer, scan_layer(mpi(), "MPI m01 day 0"))
    qtbot.waitUntil(lambda: panel.session.state.alignment.moving is not None)
    qtbot.addWidget(panel.views)
    panel.views.resize(760, 330)
    panel.views.show()
    return panel


@pytest.fixture
def paired(both: AlignPanel) -> AlignPanel:
    """Five pairs placed, the fifth one's moving point 2 mm off."""
    for number, here in enumerate(MARKERS_MM):
        both.views.placed.emit("fixed", here)
        both.views.placed.emit("moving", MPI_FROM_ANATOMY.map(here) + [2.0 * (number == 4), 0, 0])
    return both


def draft(panel: AlignPanel) -> Any:
    return panel.session.state.alignment


def card(panel: AlignPanel) -> str:
    it = panel.contents.card
    parts = (it.title, it.chip, it.reason, it.table, it.notes)
    return "" if it.isHidden() else "\n".join(part.text() for part in parts if not part.isHidden())


def cells(panel: AlignPanel) -> list[list[str]]:
    table = panel.contents.points_part.pairs
    return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())]


def pixel(panel: AlignPanel, view: str, at_mm: Any) -> QPoint:
    x, y = panel.views.views[view].pane.pixel_at(at_mm)
    return QPoint(round(x), round(y))


def drag(qtbot: QtBot, widget: Any, start: QPoint, end: QPoint, button: Any = Qt.MouseButton.LeftButton) -> None:
    qtbot.mousePress(widget, button, pos=start)
    for part in (0.3, 0.7, 1.0):
        qtbot.mouseMove(
            widget,
            QPoint(
                *(round(a + part * (b - a)) for a, b in zip((start.x(), start.y()), (end.x(), end.y()), strict=True))
            ),
        )
    qtbot.mouseRelease(widget, button, pos=end)


def test_an_empty_panel_says_what_to_do_first(panel: AlignPanel) -> None:
    parts = panel.contents
    assert not parts.first.isHidden()
    assert not parts.sample_button.isHidden()
    assert not parts.run_button.isEnabled()
    assert "Choose two scans" in parts.why_not.text()
    assert parts.form.isHidden()
    assert panel.steps.state_of("Align").endswith("empty")


def test_napari_opens_the_panel_from_its_menu(window: Any, npe2pm: _pytest_plugin.TestPluginManager) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari-mpi-track"))
    _, panel = window.window.add_plugin_dock_widget("napari-mpi-track", "Align")
    assert isinstance(panel, AlignPanel)


def test_the_scans_one_would_mean_are_taken_and_others_can_be(both: AlignPanel, viewer: Any) -> None:
    assert draft(both).fixed.name == "CT m01 day 0"
    assert draft(both).moving.name == "MPI m01 day 0"
    assert both.contents.run_button.text() == "Align MPI to CT"
    assert both.contents.run_button.isEnabled()
    assert not both.session.can_undo
    viewer.add_image(np.zeros((5, 6, 7), dtype=np.float32), name="mine", scale=(2, 2, 2))
    viewer.add_image(np.zeros((2, 5, 6, 7), dtype=np.float32), name="film")
    both.choose("moving", "mine")
    assert "mine states no unit of length" in both.contents.choice.note.text()
    np.testing.assert_allclose(draft(both).moving.volume.grid.spacing_mm, 2.0)
    assert both.contents.choice.boxes["moving"].findData("film") < 0
    both.undo.click()
    assert draft(both).moving.name == "MPI m01 day 0"


def test_clicks_in_the_views_place_pairs_where_they_were_clicked(both: AlignPanel, qtbot: QtBot) -> None:
    views = both.views
    both.contents.points_part.place_button.click()
    assert views.look.only == "fixed"
    view = views.views["coronal"]
    at = pixel(both, "coronal", views.look.cross_mm) + QPoint(20, -14)
    expected = view.pane.mm_at(at.x(), at.y())
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=at)
    (pair,) = draft(both).pairs
    np.testing.assert_allclose(pair.fixed_mm, expected, atol=1e-9)
    assert cells(both) == [["P1", "on CT only", ""]]
    # The scan the partner is to be found in is seen alone now, at its own place.
    assert views.look.only == "moving"
    both.contents.position.acts["centre"].click()
    at = pixel(both, "axial", views.look.cross_mm)
    expected = draft(both).pose.map(views.views["axial"].pane.mm_at(at.x(), at.y()))
    qtbot.mouseClick(views.views["axial"], Qt.MouseButton.LeftButton, pos=at)
    np.testing.assert_allclose(draft(both).pairs[0].moving_mm, expected, atol=1e-9)
    assert views.look.only == "fixed"
    both.undo.click()
    assert draft(both).pairs[0].moving_mm is None


def test_a_ring_that_is_dragged_corrects_its_point(both: AlignPanel, qtbot: QtBot) -> None:
    both.views.placed.emit("fixed", np.array([2.0, 0.0, 1.0]))
    both.views.take_up("fixed")
    both.views.look_at([2.0, 0.0, 1.0])
    start = pixel(both, "axial", [2.0, 0.0, 1.0])
    drag(qtbot, both.views.views["axial"], start, start + QPoint(30, 12))
    moved = np.array(draft(both).pairs[0].fixed_mm) - [2.0, 0.0, 1.0]
    # A ring is taken within a pixel of its middle.
    np.testing.assert_allclose(moved, np.array([30, 12, 0]) * both.views.views["axial"].mm_per_pixel, atol=0.2)
    assert len(draft(both).pairs) == 1


def test_residuals_follow_every_click_and_a_tick_leaves_a_pair_out(paired: AlignPanel) -> None:
    before = [float(row[1]) for row in cells(paired)]
    assert max(before) == before[4] > 0.5
    assert "residual" in paired.contents.points_part.words.text()
    paired.contents.points_part.pairs.item(4, 0).setCheckState(Qt.CheckState.Unchecked)
    rows = cells(paired)
    assert rows[4][2] == "left out"
    assert float(rows[4][1]) == pytest.approx(2.0, abs=1e-3)
    assert max(float(row[1]) for row in rows[:4]) < 1e-6
    assert "expected error" in paired.contents.points_part.words.text()
    paired.views.take_up("move")
    arrow = next(ring.arrow_mm for ring in paired.views.look.rings if ring.name == "P5" and ring.side == "fixed")
    assert np.linalg.norm(arrow) == pytest.approx(2.0, abs=1e-6)
    paired.undo.click()
    assert float(cells(paired)[4][1]) < 1.9


def test_pairs_are_renamed_and_deleted_in_the_table(paired: AlignPanel) -> None:
    table = paired.contents.points_part.pairs
    table.item(0, 0).setText("ear")
    assert draft(paired).pairs[0].name == "ear"
    table.item(1, 0).setText("ear")
    assert "called ear already" in paired.contents.said.text()
    assert draft(paired).pairs[1].name == "P2"
    table.selectRow(2)
    paired.contents.points_part.delete_button.click()
    assert [pair.name for pair in draft(paired).pairs] == ["ear", "P2", "P4", "P5"]


def test_points_go_to_files_and_come_back(paired: AlignPanel, tmp_path: Path) -> None:
    for side in ("fixed", "moving"):
        paired.contents.points_part.save_points[side].chosen.emit(str(tmp_path / f"{side}.csv"))
    np.testing.assert_allclose(read_points(tmp_path / "fixed.csv").positions_mm, MARKERS_MM)
    paired.contents.points_part.pairs.selectAll()
    paired.contents.points_part.delete_button.click()
    assert not draft(paired).pairs
    for side in ("fixed", "moving"):
        paired.contents.points_part.load_points[side].chosen.emit(str(tmp_path / f"{side}.csv"))
    assert all(pair.is_complete for pair in draft(paired).pairs)
    paired.contents.points_part.load_points["fixed"].chosen.emit(str(tmp_path / "none.csv"))
    assert "What to do" in paired.contents.said.text()


def aligned(panel: AlignPanel, tasks_end: Callable[[], None]) -> AlignPanel:
    panel.contents.points_part.pairs.item(4, 0).setCheckState(Qt.CheckState.Unchecked)
    panel.contents.run_button.click()
    tasks_end()
    return panel


def test_a_result_is_told_in_words_and_mm_and_accepted_as_a_new_layer(
    paired: AlignPanel, viewer: Any, tasks_end: Callable[[], None]
) -> None:
    original = viewer.layers["MPI m01 day 0"]
    place = (original.scale.copy(), original.translate.copy(), original.data)
    aligned(paired, tasks_end)
    found = draft(paired).found.alignment
    np.testing.assert_allclose(found.moving_from_fixed.map(SPOT_MM), MPI_FROM_ANATOMY.map(SPOT_MM), atol=1e-6)
    assert "good" in card(paired)
    assert "mm" in card(paired)
    assert "None" not in card(paired)
    assert "nan" not in card(paired).lower()
    assert not paired.contents.card.picture.pixmap().isNull()
    assert paired.contents.card.kind.count() > 1
    paired.contents.accept_button.click()
    tasks_end()
    shown = viewer.layers["MPI m01 day 0 (aligned)"]
    np.testing.assert_allclose(shown.scale, viewer.layers["CT m01 day 0"].scale)
    brightest = np.unravel_index(np.argmax(shown.data), shown.data.shape)
    # The grid's own spacing is as near as a brightest voxel can tell.
    np.testing.assert_allclose(ANATOMY.lps_from(brightest), SPOT_MM, atol=1.0)
    assert original.data is place[2]
    np.testing.assert_array_equal([original.scale, original.translate], place[:2])
    assert paired.steps.state_of("Align").endswith("done")
    paired.undo.click()
    tasks_end()
    assert "MPI m01 day 0 (aligned)" not in viewer.layers
    paired.redo.click()
    tasks_end()
    assert "MPI m01 day 0 (aligned)" in viewer.layers


def grabbed(panel: AlignPanel, view: str, opacity: int) -> np.ndarray:
    """What a view has on the screen, RGB, shape (height, width, 3)."""
    panel.views.opacity.setValue(opacity)
    QApplication.processEvents()
    image = panel.views.views[view].grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), dtype=np.uint8)
    rows = rows.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()]
    return rows.reshape(image.height(), image.width(), 3).astype(int)


def test_the_overlay_lies_on_the_spot_of_the_fixed_scan(paired: AlignPanel, tasks_end: Callable[[], None]) -> None:
    aligned(paired, tasks_end)
    paired.views.take_up("move")
    paired.views.look_at(SPOT_MM)
    for name, view in paired.views.views.items():
        fixed, both = grabbed(paired, name, 0), grabbed(paired, name, 100)
        pane = view.pane
        # The fixed scan is grey: the warm colours that come with the opacity are the moving one's.
        warmth = (both - fixed)[..., 0] - (both - fixed)[..., 2]
        overlay = np.argwhere(warmth > 120)
        assert len(overlay) > 20
        seen = pane.mm_at(*(overlay.mean(axis=0)[::-1] + 0.5))
        # Half an MPI voxel (1.2 mm) is as well as a spot can be told from its pixels.
        assert np.linalg.norm(seen - SPOT_MM) < 0.6
        x, y = (round(number) for number in pane.pixel_at(SPOT_MM))
        assert fixed[y + 3, x + 3].min() > 100


def test_a_drag_moves_the_scan_by_as_many_mm(both: AlignPanel, qtbot: QtBot) -> None:
    both.contents.position.acts["centre"].click()
    before = centre_seen(draft(both).pose, TRACER)
    view = both.views.views["coronal"]
    middle = QPoint(view.width() // 2, view.height() // 2)
    drag(qtbot, view, middle, middle + QPoint(24, -18))
    moved = centre_seen(draft(both).pose, TRACER) - before
    # Right is towards the left of the body, up is towards the head.
    np.testing.assert_allclose(moved, np.array([24, 0, 18]) * view.mm_per_pixel, atol=1e-9)
    assert draft(both).settings.is_from_here
    both.undo.click()
    np.testing.assert_allclose(centre_seen(draft(both).pose, TRACER), before, atol=1e-9)


@pytest.mark.parametrize("view_name", ["axial", "coronal", "sagittal"])
def test_a_right_drag_turns_the_scan_with_the_mouse(both: AlignPanel, qtbot: QtBot, view_name: str) -> None:
    """A quarter turn clockwise on the screen takes what is to the right of the pivot below it."""
    both.contents.position.acts["centre"].click()
    view = both.views.views[view_name]
    centre = centre_seen(draft(both).pose, TRACER)
    pivot = pixel(both, view_name, centre)
    to_the_right = centre + 5.0 * np.array(view.facing.right)
    point = draft(both).pose.map(to_the_right)
    drag(qtbot, view, pivot + QPoint(60, 0), pivot + QPoint(0, 60), Qt.MouseButton.RightButton)
    # A pixel of rounding at 60 pixels is a degree.
    np.testing.assert_allclose(
        draft(both).pose.inverse().map(point), centre + 5.0 * np.array(view.facing.down), atol=0.2
    )
    np.testing.assert_allclose(centre_seen(draft(both).pose, TRACER), centre, atol=1e-9)


def test_the_wheel_turns_by_a_degree_and_goes_through_planes(both: AlignPanel) -> None:
    view = both.views.views["axial"]

    def wheel(modifier: Any) -> None:
        at = QPointF(20, 20)
        event = QWheelEvent(
            at, at, QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False
        )
        QApplication.sendEvent(view, event)

    wheel(Qt.KeyboardModifier.ControlModifier)
    assert both.contents.position.turns[2].value() == 1.0
    before = both.views.look.cross_mm
    wheel(Qt.KeyboardModifier.NoModifier)
    np.testing.assert_allclose(both.views.look.cross_mm - before, [0, 0, 1.0], atol=1e-9)
    wheel(Qt.KeyboardModifier.ShiftModifier)
    assert both.views.look.zoom == 1.25


def test_numbers_and_flips_move_the_scan_and_can_be_accepted_as_doubtful(
    both: AlignPanel, viewer: Any, tasks_end: Callable[[], None]
) -> None:
    position = both.contents.position
    position.shifts[0].setValue(150.0)
    assert "Centre" in both.contents.out_of_sight.text()
    assert not both.contents.out_of_sight.isHidden()
    position.acts["centre"].click()
    assert both.contents.out_of_sight.isHidden()
    centre = centre_seen(draft(both).pose, TRACER)
    position.shifts[0].setValue(position.shifts[0].value() + 2.5)
    assert centre_seen(draft(both).pose, TRACER)[0] == pytest.approx(centre[0] + 2.5, abs=0.01)
    nose = TRACER.centre_mm + [0, 0, 10.0]
    position.acts["head-tail"].click()
    seen = draft(both).pose.inverse().map(nose) - centre_seen(draft(both).pose, TRACER)
    np.testing.assert_allclose(seen, [0, 0, -10.0], atol=1e-9)
    position.turns[2].setValue(-90.0)
    both.contents.accept_hand.click()
    tasks_end()
    found = draft(both).found.alignment
    assert (found.method, str(found.verdict)) == ("manual", "doubtful")
    assert "error not known" in card(both)
    assert "What to do" in card(both)
    assert both.steps.state_of("Align").endswith("doubtful")
    assert "MPI m01 day 0 (aligned)" in viewer.layers


def test_two_anatomies_are_aligned_from_where_they_were_dragged(
    panel: AlignPanel, viewer: Any, qtbot: QtBot, tasks_end: Callable[[], None]
) -> None:
    fixed = ct()
    truth = Transform.from_parts(np.eye(3), (3.0, -2.0, 1.5))
    moved = Grid(fixed.grid.shape, truth.target_from_source @ fixed.grid.lps_from_index)
    add(viewer, scan_layer(fixed, "CT m01 day 0"))
    add(viewer, scan_layer(Volume(fixed.voxels, moved, Modality.CT, "HU"), "CT m01 day 7"))
    qtbot.waitUntil(lambda: panel.session.state.alignment.moving is not None)
    panel.contents.form.fields["method"].setCurrentIndex(panel.contents.form.fields["method"].findData("intensity"))
    panel.contents.position.shifts[0].setValue(-2.0)
    assert panel.contents.run_button.text() == "Align CT m01 day 7 to CT m01 day 0"
    panel.contents.run_button.click()
    tasks_end()
    assert panel.contents.work.isHidden(), panel.contents.work.words.text()
    found = draft(panel).found.alignment
    # The same voxels: a tenth of one (1 mm) is what a search stops at.
    np.testing.assert_allclose(found.moving_from_fixed.map(SPOT_MM), truth.map(SPOT_MM), atol=0.1)
    assert len(panel.contents.curve.trace) > 1
    assert "correlation" in card(panel)


def test_a_running_alignment_is_seen_and_cancelled_at_once(
    both: AlignPanel, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    let_go, ended = threading.Event(), threading.Event()

    def endless(_draft: Any, progress: Progress, steps: Any) -> None:
        for number in range(20):
            pose = Transform.from_parts(np.eye(3), (30.0 - number, 0, 0))
            steps.add(AlignmentStep("level 1", number / 20, pose))
            progress.report(number / 40, "refining")
        # Deep in a step that does not look up.
        let_go.wait(30)
        ended.set()

    monkeypatch.setattr(align_panel, "run_alignment", endless)
    before = draft(both)
    both.contents.run_button.click()
    assert not both.contents.run_button.isEnabled()
    qtbot.waitUntil(lambda: len(both.contents.curve.trace) == 20, timeout=10_000)
    assert "20 steps in all" in both.contents.curve.in_words()
    np.testing.assert_allclose(both.views.look.pose.target_from_source[0, 3], 11.0)
    both.contents.work.cancel.click()
    # Ready again although the thread has not come back.
    assert not ended.is_set()
    assert both.contents.run_button.isEnabled()
    assert both.contents.work.isHidden()
    assert draft(both) is before
    np.testing.assert_array_equal(both.views.look.pose.target_from_source, before.pose.target_from_source)
    let_go.set()
    qtbot.waitUntil(ended.is_set, timeout=10_000)


def test_a_result_is_kept_beside_what_was_done_meanwhile(
    paired: AlignPanel, monkeypatch: pytest.MonkeyPatch, tasks_end: Callable[[], None]
) -> None:
    let_go, real = threading.Event(), align_panel.run_alignment

    def held_up(*args: Any) -> Any:
        let_go.wait(30)
        return real(*args)

    monkeypatch.setattr(align_panel, "run_alignment", held_up)
    paired.contents.run_button.click()
    assert not paired.contents.load_button.isEnabled()
    paired.views.placed.emit("fixed", np.array([2.0, 0.0, 1.0]))
    let_go.set()
    tasks_end()
    assert draft(paired).found is not None
    assert len(draft(paired).pairs) == 6
    paired.undo.click()
    assert draft(paired).found is None


def test_the_curve_of_a_stage_never_tells_of_another_ones_samples(panel: AlignPanel) -> None:
    curve = panel.contents.curve
    curve.show_trace([("level 1", 0.4), ("level 1", 0.45), ("level 2", 0.3), ("level 2", 0.31)])
    assert curve.stages == [("level 1", [0.4, 0.45]), ("level 2", [0.3, 0.31])]
    # Of finer images less is explained: that is no loss.
    assert "level 2: more alike from 0.3000 to 0.3100" in curve.in_words()
    image = curve.grab().toImage()
    ends = []
    for colour in ("#0072b2", "#d55e00"):
        found = [
            (x, y)
            for x in range(image.width())
            for y in range(image.height())
            if image.pixelColor(x, y).name() == colour
        ]
        ends.append((max(found), min(found)))
    # Each rises on its own scale from its left end to its right one.
    for (_, right), (_, left) in ends:
        assert right < left


def test_markers_are_found_and_fill_the_table(
    both: AlignPanel, monkeypatch: pytest.MonkeyPatch, tasks_end: Callable[[], None]
) -> None:
    names = [f"CT {n}" for n in range(5)]
    given = Points(names, MARKERS_MM), Points(names, MPI_FROM_ANATOMY.map(MARKERS_MM))
    from napari_mpi_track.gui import alignment_run

    real = alignment_run.align
    monkeypatch.setattr(
        alignment_run,
        "align",
        lambda f, m, **how: real(f, m, method=how["method"], fixed_points=given[0], moving_points=given[1]),
    )
    both.contents.points_part.markers_button.click()
    tasks_end()
    assert [row[0] for row in cells(both)] == names
    assert draft(both).found is not None


def test_an_alignment_that_fails_is_one_sentence_and_what_to_do(
    both: AlignPanel, tasks_end: Callable[[], None]
) -> None:
    # The MPI holds one spot: no markers to be found.
    both.contents.run_button.click()
    tasks_end()
    words = both.contents.work.words.text()
    assert "Not done." in words
    assert "What to do" in words
    assert "Traceback" not in words
    assert draft(both).found is None


def test_a_transform_is_saved_and_loaded(paired: AlignPanel, tmp_path: Path, tasks_end: Callable[[], None]) -> None:
    aligned(paired, tasks_end)
    found = draft(paired).found.alignment
    path = tmp_path / "ct_to_mpi.tfm"
    paired.contents.save_button.chosen.emit(str(path))
    assert path.with_suffix(".json").is_file()
    paired.contents.picture_button.chosen.emit(str(tmp_path / "fit.png"))
    tasks_end()
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    read = load_alignment(path)
    np.testing.assert_array_equal(read.moving_from_fixed.target_from_source, found.moving_from_fixed.target_from_source)
    paired.contents.position.acts["centre"].click()
    assert draft(paired).found is None
    paired.contents.load_button.chosen.emit(str(path))
    tasks_end()
    np.testing.assert_array_equal(draft(paired).pose.target_from_source, found.moving_from_fixed.target_from_source)
    assert "good" in card(paired)


def test_labels_and_points_come_along_as_new_layers(
    paired: AlignPanel, viewer: Any, tasks_end: Callable[[], None]
) -> None:
    aligned(paired, tasks_end)
    tracer_organs = (distances_mm(TRACER, MPI_FROM_ANATOMY.map(SPOT_MM)) < 4).astype(np.uint8)
    labels = add(viewer, organ_layer(OrganLabels(tracer_organs, TRACER, {1: "tumour"}), "organs on MPI"))
    add(viewer, points_layer(Points(["spot"], MPI_FROM_ANATOMY.map(SPOT_MM)), "spots on MPI"))
    kept = labels.data.copy()
    box = paired.contents.layer_box
    for name in ("organs on MPI", "spots on MPI"):
        QApplication.processEvents()
        box.setCurrentIndex(box.findData(name))
        paired.contents.bring_button.click()
        tasks_end()
    brought = viewer.layers["organs on MPI (aligned)"]
    assert brought.data.shape == ANATOMY.shape
    centre = ANATOMY.lps_from(np.argwhere(brought.data == 1).mean(axis=0))
    np.testing.assert_allclose(centre, SPOT_MM, atol=0.6)  # half an MPI voxel (1.2 mm): nearest-voxel labels
    np.testing.assert_allclose(viewer.layers["spots on MPI (aligned)"].data[0], SPOT_MM[::-1], atol=1e-6)
    np.testing.assert_array_equal(labels.data, kept)
    # And back: what was drawn on the anatomy, seen on the MPI.
    box.setCurrentIndex(box.findData("CT m01 day 0"))
    paired.contents.onto_box.setCurrentIndex(1)
    paired.contents.bring_button.click()
    tasks_end()
    assert viewer.layers["CT m01 day 0 (aligned)"].data.shape == TRACER.shape


def test_accepting_in_a_study_makes_it_the_days_alignment(
    window: Any, tiny_study: Path, tmp_path: Path, qtbot: QtBot, tasks_end: Callable[[], None]
) -> None:
    folder = shutil.copytree(tiny_study.parent, tmp_path / "study")
    study_panel, panel, viewer = StudyPanel(window), AlignPanel(window), window
    window.window.add_dock_widget(study_panel, name="Study")
    window.window.add_dock_widget(panel, name="Align")
    study_panel.open_study(folder / "study.yaml")
    tasks_end()
    study_panel.contents.grid.cells["m01", 7.0].click()
    tasks_end()
    qtbot.waitUntil(lambda: panel.session.state.alignment.moving is not None)
    assert "m01" in panel.contents.choice.day.text()
    panel.contents.points_part.load_points["fixed"].chosen.emit(str(folder / "ct.csv"))
    write_points(Points([f"F{n}" for n in range(5)], MPI_FROM_ANATOMY.map(MARKERS_MM)), tmp_path / "moving.csv")
    panel.contents.points_part.load_points["moving"].chosen.emit(str(tmp_path / "moving.csv"))
    panel.contents.run_button.click()
    tasks_end()
    assert panel.contents.accept_button.text() == "Accept for m01, day 7"
    panel.contents.accept_button.click()
    tasks_end()
    path = folder / "transforms" / "m01_day7_MPI_to_anatomy.tfm"
    session = Session.of(viewer)
    assert session.state.study.subject("m01").timepoint(7).alignment == str(path)
    assert load_study(folder / "study.yaml").subject("m01").timepoint(7).alignment is None
    assert "alignment: transforms/m01_day7_MPI_to_anatomy.tfm" in panel.contents.said.text()
    assert panel.steps.state_of("Align").endswith("done")
    assert not [layer for layer in viewer.layers if "(aligned)" in layer.name]
    panel.contents.write_button.click()
    assert load_study(folder / "study.yaml") == session.state.study
    panel.undo.click()
    tasks_end()
    assert session.state.study.subject("m01").timepoint(7).alignment is None


def test_the_aligned_layer_is_drawn_on_the_spot_and_the_views_stand_beneath(
    window: Any, qtbot: QtBot, tasks_end: Callable[[], None]
) -> None:
    panel = AlignPanel(window)
    window.window.resize(1200, 800)
    window.window.add_dock_widget(panel, name="Align")
    add(window, scan_layer(ct(), "CT m01 day 0"))
    add(window, scan_layer(mpi(), "MPI m01 day 0"))
    qtbot.waitUntil(lambda: panel.session.state.alignment.moving is not None)
    assert panel.views.isVisible()
    for here in MARKERS_MM:
        panel.views.placed.emit("fixed", here)
        panel.views.placed.emit("moving", MPI_FROM_ANATOMY.map(here))
    panel.contents.run_button.click()
    tasks_end()
    panel.contents.accept_button.click()
    tasks_end()
    for layer in window.layers:
        layer.visible = layer.name == "MPI m01 day 0 (aligned)"
    window.dims.set_point(0, SPOT_MM[2])
    for _ in range(4):
        QApplication.processEvents()
    pixels = window.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    bright = np.argwhere(pixels.sum(axis=-1) > 0.6 * pixels.sum(axis=-1).max())
    centre = np.asarray(window.scene.camera.center)[-2:]
    seen = centre + (bright.mean(axis=0) - (np.array(pixels.shape[:2]) - 1) / 2) / window.scene.camera.zoom
    np.testing.assert_allclose(seen, SPOT_MM[[1, 0]], atol=0.6)  # half an MPI voxel
    # Closed by its own button, it stays closed, whatever changes, until it is asked for again.
    panel.dock._dock.destroyOnClose()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    panel.undo.click()
    assert not panel.views.isVisible()
    panel.contents.hand.click()
    QApplication.processEvents()
    assert panel.views.isVisible()
    panel.hide()
    assert not panel.views.isVisible()
    assert "Align: three views" in window.window.dock_widgets
    window.window.remove_dock_widget(panel)
    panel.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert "Align: three views" not in window.window.dock_widgets


def test_the_panel_fits_380_pixels(paired: AlignPanel, tasks_end: Callable[[], None]) -> None:
    aligned(paired, tasks_end)
    for switch in (paired.contents.hand, paired.contents.points, paired.contents.others):
        switch.setChecked(True)
    assert paired.minimumSizeHint().width() <= 380
    # Between the margins of the panel and its scroll bar.
    assert paired.contents.minimumSizeHint().width() <= 345


def test_a_closed_panel_listens_no_more(viewer: Any) -> None:
    panel = AlignPanel(viewer)
    add(viewer, scan_layer(ct(), "CT m01 day 0"))
    panel.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    add(viewer, scan_layer(mpi(), "MPI m01 day 0"))
    viewer.layers[0].name = "CT again"
    Session.of(viewer).keep_alignment(EMPTY_ALIGNMENT)
    QApplication.processEvents()
