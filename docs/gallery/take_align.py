"""Take the pictures of the panel Align: the real program, in a real window, on the sample data.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/gallery/take_align.py
    QT_SCALE_FACTOR=2 xvfb-run -a -s "-screen 0 2900x1900x24" python docs/gallery/take_align.py   # only align-200.png

Prints the longest time that the window did not answer while two scans were aligned, and how long Cancel took.
"""

import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_mpi_track.gui.tasks import Task

HERE = Path(__file__).parent
MOUSE = HERE.parents[1] / "sample_data" / "car-t"


def settle(seconds: float = 0.6) -> None:
    """Let the window draw."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        QApplication.processEvents()
        sleep(0.01)


def wait() -> None:
    """Wait until nothing is under way."""
    while Task.is_any_running():
        QApplication.processEvents()
        sleep(0.002)
    settle()


def take(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window."""
    settle(0.3)
    viewer.screenshot(str(HERE / f"{name}.png"), canvas_only=False, flash=False)


def scroll_to(panel: Any, part: Any) -> None:
    """Bring a part of the panel to the top of what is seen of it."""
    settle(0.2)
    area = next(area for area in panel.findChildren(QScrollArea) if area.parent() is panel)
    area.verticalScrollBar().setValue(part.mapTo(area.widget(), QPoint(0, 0)).y() - 6)


class Gaps:
    """How long the window did not answer, at most, in s."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)

    def _tick(self) -> None:
        now = perf_counter()
        self.longest, self._last = max(self.longest, now - self._last), now


def day_in_view(viewer: napari.Viewer, day: float) -> None:
    """Open the sample study, look at one day, and go to the panel Align."""
    _, study = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Study", tabify=True)
    study.open_study(MOUSE / "study.yaml")
    wait()
    study.contents.grid.cells["m01", day].click()
    wait()
    study.steps.buttons["Align"].click()
    settle()


def place_pairs(panel: Any) -> None:
    """Place the markers of day 3 by their files, one of them set a little wrong."""
    parts = panel.contents
    for side, name in (("fixed", "ct"), ("moving", "mpi")):
        parts.points_part.load_points[side].chosen.emit(str(MOUSE / "m01" / f"day03_{name}_fiducials.csv"))
    pair = panel.session.state.alignment.pairs[2]
    panel.views.point_moved.emit(pair.name, "moving", np.array(pair.moving_mm) + [0.9, -0.6, 0.4])
    panel.views.look_at(pair.fixed_mm)


def drag(panel: Any) -> None:
    """Drag the MPI by hand, roughly on the animal."""
    panel.contents.position.acts["centre"].click()
    view = panel.views.views["coronal"]
    start = QPoint(view.width() // 2, view.height() // 2)
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=start)
    for step in (4, 8, 12):
        QTest.mouseMove(view, start + QPoint(step // 3, -step))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=start + QPoint(4, -12))
    panel.contents.position.turns[2].setValue(-4.0)


def run_live(viewer: napari.Viewer, panel: Any, name: str) -> None:
    """Align the CT of day 7 to that of day 0 and take a picture on the way."""
    viewer.open([str(MOUSE / "m01" / f"day{day}_ct.nii.gz") for day in ("00", "07")], plugin="napari-mpi-track")
    for layer, day in zip(viewer.layers, (0, 7), strict=True):
        layer.name = f"CT m01 day {day}"
    settle()
    panel.choose("fixed", "CT m01 day 0")
    panel.choose("moving", "CT m01 day 7")
    settle()
    viewer.layers["CT m01 day 7"].visible = False
    viewer.dims.set_point(0, 66.0)
    method = panel.contents.form.fields["method"]
    method.setCurrentIndex(method.findData("intensity"))
    scroll_to(panel, panel.contents.choice)
    gaps = Gaps()
    panel.contents.run_button.click()
    while Task.is_any_running() and len(panel.contents.curve.trace) < 12:
        settle(0.02)
    quiet = gaps.longest
    take(viewer, name)
    # The time the picture took is not the alignment's.
    settle(0.05)
    gaps.longest = 0.0
    wait()
    print(f"longest time without an answer while aligning: {max(quiet, gaps.longest):.2f} s")


def cancel(panel: Any) -> None:
    """Begin once more and cancel."""
    panel.contents.run_button.click()
    settle(1.5)
    began = perf_counter()
    panel.contents.work.cancel.click()
    QApplication.processEvents()
    assert panel.contents.run_button.isEnabled()
    print(f"ready again after Cancel: {perf_counter() - began:.3f} s", end="; ")
    while Task.is_any_running():
        sleep(0.005)
        QApplication.processEvents()
    print(f"its thread ended after {perf_counter() - began:.2f} s")


def main() -> int:
    """Choose, drag, place, run, accept; a picture of each."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.theme = "dark"
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Align")
    parts = panel.contents
    if os.environ.get("QT_SCALE_FACTOR") == "2":
        day_in_view(viewer, 3.0)
        place_pairs(panel)
        parts.points.setChecked(True)
        scroll_to(panel, parts.points)
        take(viewer, "align-200")
        viewer.close()
        return 0
    take(viewer, "align-empty")
    day_in_view(viewer, 3.0)
    drag(panel)
    parts.hand.setChecked(True)
    scroll_to(panel, parts.hand)
    take(viewer, "align-by-hand")
    parts.hand.setChecked(False)
    place_pairs(panel)
    parts.points.setChecked(True)
    scroll_to(panel, parts.points)
    take(viewer, "align-points")
    parts.points_part.pairs.item(2, 0).setCheckState(Qt.CheckState.Unchecked)
    parts.run_button.click()
    wait()
    parts.points.setChecked(False)
    scroll_to(panel, parts.run_button)
    take(viewer, "align-result")
    viewer.theme = "light"
    scroll_to(panel, parts.run_button)
    take(viewer, "align-result-light")
    viewer.close()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.theme = "light"
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Align")
    parts = panel.contents
    run_live(viewer, panel, "align-live-light")
    viewer.theme = "dark"
    kind = parts.card.kind
    kind.setCurrentIndex(kind.findData("checkerboard"))
    wait()
    parts.save_button.chosen.emit(str(Path(tempfile.mkdtemp()) / "day7_to_day0.tfm"))
    scroll_to(panel, parts.card)
    take(viewer, "align-days")
    cancel(panel)
    viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
