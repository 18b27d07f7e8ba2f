"""Take the pictures of the panel Track: the real program, in a real window, on four simulated mice.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/gallery/take_track.py [FOLDER]
    QT_SCALE_FACTOR=2 xvfb-run -a -s "-screen 0 2900x1900x24" python docs/gallery/take_track.py [FOLDER]  # one

The mice are simulated and measured in FOLDER (some minutes), or taken from there where they are.
"""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import napari
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.simulation.designs import design
from napari_mpi_track.simulation.studies import simulate_design

HERE = Path(__file__).parent


def settle(seconds: float = 0.6) -> None:
    """Let the window draw."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        QApplication.processEvents()
        sleep(0.01)


def wait() -> None:
    """Wait until nothing is under way."""
    settle()
    while Task.is_any_running():
        QApplication.processEvents()
        sleep(0.002)
    settle()


def take(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window."""
    settle()
    viewer.screenshot(str(HERE / f"{name}.png"), canvas_only=False, flash=False)


def scroll_to(panel: Any, part: Any) -> None:
    """Bring a part of the panel to the top of what is seen of it."""
    settle(0.3)
    area = next(area for area in panel.findChildren(QScrollArea) if area.parent() is panel)
    area.verticalScrollBar().setValue(part.mapTo(area.widget(), QPoint(0, 0)).y() - 6)


def choose(panel: Any, **choices: str) -> None:
    """Choose in the form."""
    for name, value in choices.items():
        box = panel.contents.form.fields[name]
        box.setCurrentIndex(box.findData(value))
    wait()


def four_mice(folder: Path) -> Path:
    """Two mice with CAR-T cells and two with other T cells, all days; simulated unless they are there."""
    file = folder / "study.yaml"
    if file.exists():
        return file
    plan = design("car-t", "small")
    groups = ("CAR-T", "CAR-T", "T cells", "T cells")
    mice = tuple(replace(plan.subjects[0], id=f"m0{n}", group=group) for n, group in enumerate(groups, 1))
    return simulate_design(folder, replace(plan, title="CAR-T cells and other T cells", subjects=mice), seed=0)


def hover(panel: Any, organ: str, day: float) -> None:
    """Lay the mouse on one point of the curves."""
    point = next(point for point in panel.view.points if (point.organ, point.day) == (organ, day))
    panel.view._hover(*panel.view.pixel_of(point))


def main() -> int:
    """Empty, one animal with its days, another model, PET, arms; a picture of each."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.theme = "dark"
    is_double = os.environ.get("QT_SCALE_FACTOR") == "2"
    with tempfile.TemporaryDirectory() as scratch:
        file = four_mice(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch) / "mice")
        _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Track")
        if not is_double:
            take(viewer, "track-empty")
        _, study = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Study", tabify=True)
        study.open_study(file)
        wait()
        study.steps.buttons["Track"].click()
        settle()
        parts = panel.contents
        parts.run_button.click()
        wait()
        parts.grid.cells["m01", 7.0].click()
        wait()
        viewer.dims.order = (0, 2, 1, 3)
        panel.days.shown.look_at_organ("liver")
        viewer.reset_view()
        settle()
        hover(panel, "liver", 7.0)
        if is_double:
            take(viewer, "track-200")
            viewer.close()
            return 0
        take(viewer, "track")
        viewer.theme = "light"
        choose(panel, model="exponential")
        scroll_to(panel, parts.form)
        take(viewer, "track-light")
        viewer.theme = "dark"
        outlines = next(layer for layer in viewer.layers if layer.name.startswith("organs"))
        outlines.visible = False
        viewer.dims.order = (0, 1, 2, 3)
        viewer.dims.ndisplay = 3
        viewer.reset_view()
        viewer.scene.camera.angles = (0, -20, 80)
        viewer.dims.set_current_step(0, 1)
        scroll_to(panel, parts.grid)
        take(viewer, "track-series")
        viewer.dims.ndisplay = 2
        viewer.dims.order = (0, 2, 1, 3)
        outlines.visible = True
        viewer.reset_view()
        choose(panel, view="pet", model="")
        scroll_to(panel, parts.form)
        take(viewer, "track-pet")
        choose(panel, view="arms")
        take(viewer, "track-arms")
        choose(panel, view="compared")
        parts.saves.setChecked(True)
        scroll_to(panel, parts.form)
        take(viewer, "track-compared")
    viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
