"""What is really on the screen: MPI on the anatomy's spot, its noise not there, letters on the right side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication
from tiny_mouse import SPOT_MM

from napari_mpi_track.gui.widgets.study import StudyPanel

pytestmark = pytest.mark.window


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any], tiny_study: Path, tasks_end: Callable[[], None]) -> Any:
    """A window with day 0 of the tiny study, cut through the spot, nothing written on the canvas."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(900, 700)
    panel = StudyPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Study")
    panel.open_study(tiny_study)
    tasks_end()
    panel.contents.grid.cells["m01", 0.0].click()
    tasks_end()
    for overlay in viewer.canvas.overlays.values():
        overlay.visible = False
    for layer in viewer.layers:
        layer.visible = False
    viewer.layers["MPI m01 day 0"].colorbar.visible = False
    viewer.dims.set_point(0, SPOT_MM[2])
    return viewer


def picture(viewer: Any, *visible: str) -> np.ndarray:
    """The canvas with only these layers, RGB, shape (height, width, 3)."""
    for layer in viewer.layers:
        layer.visible = layer.name in visible
    for _ in range(4):
        QApplication.processEvents()
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def world_yx(viewer: Any, pixels: np.ndarray, rows_columns: np.ndarray) -> np.ndarray:
    """Where pixels lie, y and x in mm."""
    centre = np.asarray(viewer.scene.camera.center)[-2:]
    middle = (np.array(pixels.shape[:2]) - 1) / 2
    return centre + (rows_columns - middle) / viewer.scene.camera.zoom


def centre_of_light(viewer: Any, pixels: np.ndarray, least: int) -> np.ndarray:
    bright = np.argwhere(pixels.sum(axis=-1) > least)
    assert len(bright) > 20
    return world_yx(viewer, pixels, bright).mean(axis=0)


def test_the_hot_spot_is_drawn_on_the_spot_of_the_anatomy(viewer: Any) -> None:
    anatomy = picture(viewer, "CT m01 day 0")
    mpi = picture(viewer, "MPI m01 day 0")
    spot = SPOT_MM[[1, 0]]
    # Half a voxel of the anatomy (1 mm) is as well as a spot of a few voxels can be placed by its pixels.
    np.testing.assert_allclose(centre_of_light(viewer, anatomy, int(0.6 * anatomy.sum(axis=-1).max())), spot, atol=0.5)
    np.testing.assert_allclose(centre_of_light(viewer, mpi, int(0.6 * mpi.sum(axis=-1).max())), spot, atol=0.5)
    red, _, blue = mpi.reshape(-1, 3).sum(axis=0)
    assert red > 2 * blue


def test_below_five_times_the_noise_nothing_of_the_mpi_is_drawn(viewer: Any) -> None:
    alone = picture(viewer, "CT m01 day 0")
    both = picture(viewer, "CT m01 day 0", "MPI m01 day 0")
    rows_columns = np.moveaxis(np.indices(alone.shape[:2]), 0, -1)
    far = np.linalg.norm(world_yx(viewer, alone, rows_columns) - SPOT_MM[[1, 0]], axis=-1) > 6
    np.testing.assert_array_equal(both[far], alone[far])
    assert (both[~far] != alone[~far]).any()
    low, high = viewer.layers["CT m01 day 0"].contrast_limits
    grey = round(255 * (400.0 - low) / (high - low))
    inside = np.linalg.norm(world_yx(viewer, alone, rows_columns) - [-4.0, 4.0], axis=-1) < 2
    assert abs(both[inside] - grey).max() <= 2


def test_letters_say_which_side_is_which(viewer: Any) -> None:
    overlays = viewer.canvas.overlays
    letters = ("mpi_track_top_center", "mpi_track_bottom_center", "mpi_track_middle_left", "mpi_track_middle_right")
    # LPS: y grows to posterior and x to the left of the patient; napari draws low values at the top and left.
    assert [overlays[key].text for key in letters] == ["A", "P", "R", "L"]
    viewer.dims.order = (1, 0, 2)
    assert [overlays[key].text for key in letters] == ["I", "S", "R", "L"]
    viewer.dims.ndisplay = 3
    assert not any(overlays[key].visible for key in letters)
