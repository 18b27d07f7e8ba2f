"""The steps that have a panel: how far each is, and how to get there."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_mpi_track.gui.calibration_draft import fitted
from napari_mpi_track.gui.session import State
from napari_mpi_track.gui.study_run import result_of_day, step_state

PLUGIN = "napari-mpi-track"


def step_states(state: State) -> dict[str, str]:
    """Return the state (empty, ready, doubtful, done) of every step that has a panel."""
    return {
        "Study": step_state(state),
        "Align": align_state(state),
        "Calibrate": calibrate_state(state),
        "Organs": organs_state(state),
        "Track": track_state(state),
    }


def organs_state(state: State) -> str:
    """Return the state of the step *Organs*: of the day in view, done once every organ is approved."""
    draft = state.organ_draft
    if draft is not None:
        approved = [label in draft.approved for label in draft.names]
        return "done" if approved and all(approved) else "ready" if approved else "empty"
    if state.in_view is None:
        return "empty"
    subject, timepoint = state.in_view
    return "empty" if timepoint.is_baseline or subject.day_with_organs(timepoint.day) is None else "ready"


def track_state(state: State) -> str:
    """Return the state of the step *Track*: there is something to follow once the study is measured."""
    if state.study is None:
        return "empty"
    if state.run is None:
        return "ready"
    return "doubtful" if state.run.failures or not state.run.analysis.retention else "done"


def align_state(state: State) -> str:
    """Return the state of the step *Align*: of the day in view where it has an alignment, else of the draft."""
    verdict = _verdict_of_day(state)
    if verdict is None and state.alignment.accepted is not None:
        verdict = str(state.alignment.accepted.alignment.verdict)
    if verdict is not None:
        return "done" if verdict == "good" else "doubtful"
    return "empty" if state.alignment.fixed is None or state.alignment.moving is None else "ready"


def _verdict_of_day(state: State) -> str | None:
    """Return the verdict of the day's own transform, or of its last run; ``None`` where there is neither."""
    if state.in_view is None:
        return None
    _, timepoint = state.in_view
    result = result_of_day(state)
    rows = [] if result is None else [row for row in result.alignments if row.moving == "MPI"]
    if rows:
        return rows[0].verdict
    if timepoint.alignment is None or Path(timepoint.alignment).suffix not in (".tfm", ".h5"):
        return None
    return _verdict_in(Path(timepoint.alignment))


@lru_cache(maxsize=64)
def _verdict_in(transform: Path) -> str | None:
    try:
        return str(json.loads(transform.with_suffix(".json").read_text(encoding="utf-8"))["verdict"])
    except (OSError, ValueError, KeyError):
        return None


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
