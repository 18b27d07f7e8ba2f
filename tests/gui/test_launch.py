"""`mpi-track open` shows a study or scans, and refuses what it cannot read before a window appears."""

from pathlib import Path

import napari
import numpy as np
import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.gui.launch import show
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.writers.scans import write_volume

SAMPLES = Path(__file__).parents[2] / "sample_data"


@pytest.mark.window
def test_open_shows_a_scan_beside_the_panel(tmp_path, make_napari_viewer, monkeypatch):
    monkeypatch.setattr(napari, "Viewer", lambda: make_napari_viewer())
    scan = Volume(np.arange(60, dtype=np.float32).reshape(3, 4, 5), Grid.from_spacing((3, 4, 5), (3, 2, 1)))
    write_volume(scan, tmp_path / "scan.nii.gz")
    viewer = show([tmp_path / "scan.nii.gz"])
    assert len(viewer.layers) == 1
    assert any("Study" in name for name in viewer.window.dock_widgets)


@pytest.mark.window
def test_open_shows_a_study_in_its_panel(make_napari_viewer, monkeypatch, qtbot):
    monkeypatch.setattr(napari, "Viewer", lambda: make_napari_viewer())
    viewer = show([SAMPLES / "car-t" / "study.yaml"])
    panel = next(widget for name, widget in viewer.window.dock_widgets.items() if "Study" in name)
    qtbot.waitUntil(lambda: not Task.is_any_running(), timeout=60_000)
    assert panel.session.state.study is not None
    assert panel.session.state.study.name.startswith("CAR-T")


def test_open_refuses_a_missing_file_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["open", str(tmp_path / "nowhere.yaml")])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: there is no such file")
