"""Take the pictures of the panel Organs: the real program, in a real window, on the sample data.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/gallery/take_organs.py
    QT_SCALE_FACTOR=2 xvfb-run -a -s "-screen 0 2900x1900x24" python docs/gallery/take_organs.py   # only organs-200.png

The study is copied first: nothing is written beside the sample.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
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


def wait(panel: Any = None) -> None:
    """Wait until nothing is under way, nor about to be."""
    settle()
    while Task.is_any_running() or (panel is not None and panel.measuring.is_measuring):
        QApplication.processEvents()
        sleep(0.002)
    settle()


def take(viewer: napari.Viewer, name: str, seconds: float = 0.3) -> None:
    """Save the whole window."""
    settle(seconds)
    viewer.screenshot(str(HERE / f"{name}.png"), canvas_only=False, flash=False)


def scroll_to(panel: Any, part: Any) -> None:
    """Bring a part of the panel to the top of what is seen of it."""
    settle(0.3)
    area = next(area for area in panel.findChildren(QScrollArea) if area.parent() is panel)
    area.verticalScrollBar().setValue(part.mapTo(area.widget(), QPoint(0, 0)).y() - 6)


def opened(viewer: napari.Viewer, folder: Path, day: float) -> Any:
    """Open the sample study, look at one day, go to the panel Organs and measure."""
    shutil.copytree(MOUSE, folder / "car-t")
    _, study = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Study", tabify=True)
    study.open_study(folder / "car-t" / "study.yaml")
    wait()
    study.contents.grid.cells["m01", day].click()
    wait()
    study.steps.buttons["Organs"].click()
    settle()
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Organs", tabify=True)
    panel.contents.run_button.click()
    wait(panel)
    return panel


def look_at(panel: Any, organ: str) -> np.ndarray:
    """Choose an organ and look at its middle; return it, LPS mm."""
    names = panel.session.state.organ_draft.names
    label = next(label for label, name in names.items() if name == organ)
    panel.contents.table.choose(label)
    work = panel.drawing.work
    middle = work.grid.lps_from(np.argwhere(work.voxels == label).mean(axis=0))
    panel.views.look_at(middle)
    return middle


def stroke(panel: Any, view: str, start: Any, end: Any) -> None:
    """Drag with the mouse in one view, from a point to another, LPS mm."""
    pane = panel.views.views[view]
    ends = [QPoint(*(round(x) for x in pane.pane.pixel_at(place))) for place in (start, end)]
    QTest.mousePress(pane, Qt.MouseButton.LeftButton, pos=ends[0])
    for part in (0.3, 0.6, 1.0):
        QTest.mouseMove(pane, ends[0] + (ends[1] - ends[0]) * part)
    QTest.mouseRelease(pane, Qt.MouseButton.LeftButton, pos=ends[1])


def main() -> int:
    """List, paint, threshold, rules, matrix, errors, find; a picture of each."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.theme = "dark"
    with tempfile.TemporaryDirectory() as folder:
        if os.environ.get("QT_SCALE_FACTOR") == "2":
            panel = opened(viewer, Path(folder), 3.0)
            look_at(panel, "liver")
            panel.contents.signal.setChecked(True)
            take(viewer, "organs-200", 1.0)
            viewer.close()
            return 0
        _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Organs")
        take(viewer, "organs-empty")
        panel = opened(viewer, Path(folder), 3.0)
        parts = panel.contents
        middle = look_at(panel, "tumour")
        panel.views.tools["paint"].click()
        stroke(panel, "coronal", middle + [-2.5, 0, 3.5], middle + [2.0, 0, 4.5])
        take(viewer, "organs-stroke", 0.02)
        wait(panel)
        take(viewer, "organs")
        panel.views.tools["look"].click()
        parts.signal.setChecked(True)
        parts.signal_part.slider.setValue(620)
        look_at(panel, "liver")
        scroll_to(panel, parts.signal)
        take(viewer, "organs-threshold")
        parts.signal_part.compare_button.click()
        wait()
        scroll_to(panel, parts.signal)
        take(viewer, "organs-rules")
        parts.signal.setChecked(False)
        parts.blur.setChecked(True)
        wait()
        scroll_to(panel, parts.blur)
        take(viewer, "organs-matrix")
        parts.blur.setChecked(False)
        look_at(panel, "liver")
        parts.errors.setChecked(True)
        wait()
        scroll_to(panel, parts.errors)
        take(viewer, "organs-errors")
        parts.errors.setChecked(False)
        look_at(panel, "tumour")
        viewer.theme = "light"
        parts.by.setText("A. Reader")
        parts.approve_button.click()
        wait()
        parts.use_button.click()
        wait()
        panel.views.picture.setCurrentText("3-D")
        viewer.scene.camera.angles = (0, -20, 80)
        scroll_to(panel, parts.table)
        take(viewer, "organs-light")
        panel.views.picture.setCurrentText("axial")
        parts.finds.setChecked(True)
        parts.reading.setChecked(True)
        scroll_to(panel, parts.finds)
        take(viewer, "organs-find-light")
    viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
