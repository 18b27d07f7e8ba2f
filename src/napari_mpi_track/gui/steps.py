"""The steps that have a panel: how far each is, and how to get there."""

from typing import Any

from napari_mpi_track.gui.calibration_draft import fitted
from napari_mpi_track.gui.session import State
from napari_mpi_track.gui.study_run import step_state

PLUGIN = "napari-mpi-track"


def step_states(state: State) -> dict[str, str]:
    """Return the state (empty, ready, doubtful, done) of every step that has a panel."""
    return {"Study": step_state(state), "Calibrate": calibrate_state(state)}


def calibrate_state(state: State) -> str:
    """Return the state of the step *Calibrate*: no samples, samples without a line, a weak line, a good one."""
    if not state.draft.rows:
        return "empty"
    calibration = fitted(state.draft).calibration
    if calibration is None:
        return "ready"
    return "doubtful" if calibration.weak_points else "done"


def go_to(viewer: Any, step: str) -> None:
    """Open the panel of a step beside the others, or bring it to the front."""
    dock, _ = viewer.window.add_plugin_dock_widget(PLUGIN, step, tabify=True)
    dock.show()
    dock.raise_()
