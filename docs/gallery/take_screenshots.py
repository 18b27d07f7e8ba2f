"""Take the pictures of this folder: the real program, in a real window, on the sample data.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/gallery/take_screenshots.py

Prints the longest time that the window did not answer while a whole study was measured.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_mpi_track.gui.tasks import Task

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "sample_data"


def settle(seconds: float = 0.5) -> None:
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
    settle()
    viewer.screenshot(str(HERE / f"{name}.png"), canvas_only=False, flash=False)


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


def main() -> int:
    """Open, look, measure; a picture of each."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    viewer.theme = "dark"
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Study")
    take(viewer, "study-empty")
    results = Path(tempfile.mkdtemp())
    panel.open_study(SAMPLES / "car-t" / "study.yaml")
    wait()
    panel.contents.grid.cells["m01", 0.0].click()
    wait()
    take(viewer, "study-day")
    panel.contents.show_folder(results / "car-t results")
    gaps = Gaps()
    panel.run()
    settle(6)
    take(viewer, "study-measuring")
    wait()
    print(f"longest time without an answer while measuring: {gaps.longest:.2f} s")
    shutil.copy(results / "car-t results/figures/overlay_m01_day1_MPI.png", HERE / "report-overlay.png")
    panel.contents.grid.cells["m01", 1.0].click()
    wait()
    take(viewer, "study-measured")
    scroll = next(area for area in panel.findChildren(QScrollArea) if area.parent() is panel)
    scroll.verticalScrollBar().setValue(scroll.verticalScrollBar().maximum())
    take(viewer, "study-result")
    viewer.theme = "light"
    panel.open_study(SAMPLES / "knee" / "study.yaml")
    wait()
    panel.contents.grid.cells["k01", 7.0].click()
    wait()
    panel.contents.align_button.click()
    wait()
    take(viewer, "knee-light")
    viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
