"""Take the pictures of the panel Calibrate: the real program, in a real window, on the sample data.

    xvfb-run -a -s "-screen 0 1700x1500x24" python docs/gallery/take_calibrate.py

The table is pasted by Ctrl+V as a person does it; exit status 1 if the viewer kept the keys to itself.
"""

import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

import napari
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.calibration import CalibrationPanel
from napari_mpi_track.quantification.calibration import fit_calibration, read_calibration_table, save_calibration
from napari_mpi_track.simulation.calibration_study import MARGIN_MM, simulate_calibration_study

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "sample_data" / "car-t" / "calibration.csv"


def settle(seconds: float = 0.6) -> None:
    """Let the window draw."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        QApplication.processEvents()
        sleep(0.01)


def fill_from_scans(panel: CalibrationPanel) -> None:
    """Begin anew, and fill the table from simulated scans of tubes with labelled cells."""
    scans = simulate_calibration_study(Path(tempfile.mkdtemp())) / "in_cells"
    parts = panel.contents
    parts.alone_button.click()
    parts.low_end.setChecked(False)
    parts.clear_button.click()
    parts.scans_button.click()
    parts.tubes.form.fields["is_projection"].setChecked(True)
    parts.tubes.form.fields["margin_mm"].setValue(MARGIN_MM)
    parts.tubes.fill_from(scans)
    while Task.is_any_running():
        settle()
    # The form closes when the table is full; open it shows where the numbers came from.
    parts.scans_button.click()
    settle()


def main() -> int:
    """Paste, hover, compare, fill from scans; pictures in dark and in light."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1100, 1420)
    viewer.theme = "dark"
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Calibrate")
    settle()
    viewer.window.activate()
    table = panel.contents.table
    table.setFocus()
    QGuiApplication.clipboard().setText(TABLE.read_text().replace(",", "\t"))
    settle()
    QTest.keyClick(panel.window().windowHandle(), Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    settle()
    is_pasted = bool(panel.session.state.draft.rows)
    panel.contents.canvas.read_at(1.5e6, 9.0e5)
    viewer.screenshot(str(HERE / "calibrate.png"), canvas_only=False, flash=False)
    x, signal = read_calibration_table(TABLE, "cells", "signal_total")
    other = Path(tempfile.mkdtemp()) / "other-batch.json"
    save_calibration(fit_calibration(x, 0.72 * signal + 150, kind="in-cells", metric="total"), other)
    viewer.theme = "light"
    panel.compare_with(other)
    panel.contents.low_end.setChecked(True)
    settle()
    panel.contents.canvas.read_at(1.0e4, 9.0e3)
    viewer.screenshot(str(HERE / "calibrate-compare.png"), canvas_only=False, flash=False)
    viewer.theme = "dark"
    fill_from_scans(panel)
    viewer.screenshot(str(HERE / "calibrate-scans.png"), canvas_only=False, flash=False)
    viewer.close()
    print("pasted by Ctrl+V" if is_pasted else "CTRL+V DID NOT REACH THE TABLE")
    return 0 if is_pasted else 1


if __name__ == "__main__":
    sys.exit(main())
