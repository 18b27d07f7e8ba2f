"""How soon the panel Organs follows a stroke: CPU time on a day of usual size, the whole panel in a real window.

    nice -n 10 xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/organ_panel.py

A CT of 450 x 200 x 200 voxels of 0.2 mm with six organs, an MPI of 100 x 60 x 60 voxels of 1 mm in another frame. A
stroke is one of napari's brush, or one in a view of the panel; told is the CPU time until table, picture and views show
it, of the window's thread and of the whole program, and what the exact numbers take that follow in the background.
"""

import tempfile
from pathlib import Path
from statistics import median
from time import process_time, sleep, thread_time
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_mpi_track.gui.organ_day import measured_organs
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.writers.points import write_points
from napari_mpi_track.writers.scans import write_volume

ANATOMY = Grid.from_spacing((450, 200, 200), 0.2, (-19.9, -19.9, -44.9))
MPI = Grid.from_spacing((100, 60, 60), 1.0, (0.5, -29.5, -49.5))
MPI_FROM_ANATOMY = Transform.from_parts([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (30.0, 0.0, 0.0))
ORGANS = {
    "tumour": ((8, 5, -25), 4), "liver": ((0, -3, -5), 8), "lungs": ((0, 0, 12), 7), "spleen": ((-9, 2, -8), 3),
    "kidneys": ((6, 8, -15), 4), "bladder": ((0, -4, -35), 3),
}  # fmt: skip
MARKERS = np.array([[-15.0, -12, -30], [15, -12, -10], [14, 13, 5], [-14, 12, 25], [3, -15, 35]])
STUDY = """\
schema: 1
name: a usual day
calibration: {table: calibration.csv, kind: in-cells, x: cells, signal: signal_total}
spill_over: true
psf: {shape: gaussian, fwhm_mm: 2.5}
subjects:
  - id: m01
    timepoints:
      - day: 0
        mpi: mpi.mha
        anatomy: {path: ct.mha, modality: CT}
        organs: organs.nrrd
        fiducials: {mpi: mpi.csv, anatomy: ct.csv}
"""


def distance_mm(grid: Grid, centre: Any) -> np.ndarray:
    """Return how far every voxel of an upright grid lies from a point, float32."""
    axes = [np.arange(n, dtype=np.float32) * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True)]
    zyx = [axis + np.float32(grid.origin_mm[2 - n] - centre[2 - n]) for n, axis in enumerate(axes)]
    return np.sqrt(zyx[0][:, None, None] ** 2 + zyx[1][None, :, None] ** 2 + zyx[2][None, None, :] ** 2)


def write_day(folder: Path) -> Path:
    """Write the day and return its study file."""
    labels = np.zeros(ANATOMY.shape, np.uint8)
    ct = np.full(ANATOMY.shape, -1000, np.float32)
    ct[distance_mm(ANATOMY, (0, 0, 0)) < 44] = -950
    ct[:, 40:160, 40:160] = 40
    mpi = np.random.default_rng(0).normal(0, 2, MPI.shape).astype(np.float32)
    for label, (centre, radius) in enumerate(ORGANS.values(), start=1):
        labels[distance_mm(ANATOMY, centre) < radius] = label
        there = MPI_FROM_ANATOMY.map(np.array(centre, float))
        mpi += 200 / (1 + np.exp((distance_mm(MPI, there) - radius) / 0.8))
    write_volume(Volume(ct, ANATOMY, Modality.CT, "HU"), folder / "ct.mha")
    write_volume(OrganLabels(labels, ANATOMY, dict(enumerate(ORGANS, start=1))), folder / "organs.nrrd")
    write_volume(Volume(mpi, MPI, Modality.MPI), folder / "mpi.mha")
    names = [f"F{n}" for n in range(len(MARKERS))]
    write_points(Points(names, MARKERS), folder / "ct.csv")
    write_points(Points(names, MPI_FROM_ANATOMY.map(MARKERS)), folder / "mpi.csv")
    rows = [f"{x},{0.1 * x + e}" for x in (0, 5e3, 2e4, 5e4, 1e5) for e in (-20, 0, 30)]
    (folder / "calibration.csv").write_text("\n".join(["cells,signal_total", *rows]) + "\n")
    (folder / "study.yaml").write_text(STUDY)
    return folder / "study.yaml"


def wait() -> None:
    """Wait until nothing is under way."""
    for _ in range(40):
        QApplication.processEvents()
        sleep(0.01)
    while Task.is_any_running():
        QApplication.processEvents()
        sleep(0.002)
    QApplication.processEvents()


def told(name: str, strokes: list[tuple[float, float]]) -> None:
    """Print what strokes cost."""
    window, whole = zip(*strokes, strict=True)
    print(
        f"{name}: {1e3 * median(window):.0f} ms (worst {1e3 * max(window):.0f}) of the window's thread, "
        f"{1e3 * median(whole):.0f} ms of the program"
    )


def main() -> None:
    """Open the day, measure it, paint."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 950)
    _, panel = viewer.window.add_plugin_dock_widget("napari-mpi-track", "Organs")
    with tempfile.TemporaryDirectory() as folder:
        panel.session.open_study(load_study(write_day(Path(folder))))
        panel.session.look_at("m01", 0)
        wait()
        panel.contents.run_button.click()
        wait()
        layer = panel.drawing.layer.layer
        scene, draft = panel.measuring.scene, panel.session.state.organ_draft
        start = process_time()
        measured_organs(scene, draft)
        print(f"the exact numbers: {process_time() - start:.2f} s, in the background")
        begin = MPI_FROM_ANATOMY.inverse().map(MPI_FROM_ANATOMY.map(np.array(ORGANS["tumour"][0], float)))
        rng = np.random.default_rng(1)
        strokes: dict[str, list[tuple[float, float]]] = {"napari's brush, 4 mm ball": [], "a view, 4 mm ball": []}
        panel.views.brush.setValue(4.0)
        panel.views.is_ball.setChecked(True)
        panel.views.take_up("paint")
        panel.views.look_at(begin)
        wait()
        for number in range(12):
            at = begin + rng.uniform(-6, 6, 3)
            name = list(strokes)[number % 2]
            start = thread_time(), process_time()
            if number % 2 == 0:
                layer.paint(layer.world_to_data(at[::-1]), 1 + number % 6)
            else:
                panel.views.brushed.emit(np.array([at, at + 1]), None)
                panel.views.ended.emit()
            QApplication.processEvents()
            strokes[name].append((thread_time() - start[0], process_time() - start[1]))
            wait()
        for name, costs in strokes.items():
            told(name, costs)
        undone = []
        for _ in range(5):
            start = thread_time(), process_time()
            panel.undo.click()
            QApplication.processEvents()
            undone.append((thread_time() - start[0], process_time() - start[1]))
            wait()
        told("undo of a stroke", undone)
        panel.contents.signal.setChecked(True)
        wait()
        moved = []
        for step in range(300, 900, 20):
            start = thread_time(), process_time()
            panel.contents.signal_part.slider.setValue(step)
            QApplication.processEvents()
            moved.append((thread_time() - start[0], process_time() - start[1]))
        told("the threshold moved, three views drawn", moved)
    viewer.close()


if __name__ == "__main__":
    main()
