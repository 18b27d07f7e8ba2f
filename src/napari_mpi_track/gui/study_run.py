"""A run of the study as the panels see it: what is measured, what came out for the day in view."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mpi_track.gui.day_scans import DayScans, scans_as_measured, scans_at_first_look
from napari_mpi_track.gui.session import Day, State
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.longitudinal.measurement import AlignmentRow, Measurement
from napari_mpi_track.longitudinal.study import Study

if TYPE_CHECKING:
    from napari_mpi_track.report.run import RunSummary


@dataclass(frozen=True, slots=True)
class DayResult:
    """What a run came to for one day: rows and alignments, or why there are none."""

    measurements: Sequence[Measurement]
    alignments: Sequence[AlignmentRow]
    failure: str | None = None


def run_in_folder(study: Study, folder: Path, progress: Progress) -> "RunSummary":
    """Return the summary of a run into ``folder``; days measured there before and unchanged are not repeated."""
    from napari_mpi_track.report.run import run_study

    return run_study(study, folder, resume=True, progress=progress.report, should_stop=progress.should_stop)


def result_of_day(state: State) -> DayResult | None:
    """Return what the run came to for the day in view; ``None`` before a run, or with no day in view."""
    if state.run is None or state.in_view is None:
        return None
    day = (state.subject, state.day)
    for failure in state.run.failures:
        if (failure.subject, failure.day) == day:
            return DayResult((), (), failure.reason)
    analysis = state.run.analysis
    rows = [row for row in analysis.measurements if (row.subject, row.day) == day]
    alignments = [row for row in analysis.alignments if (row.subject, row.day) == day]
    return DayResult(rows, alignments) if rows else None


def scans_to_look_at(state: State, progress: Progress) -> DayScans:
    """Return the scans of the day in view: as a run measured them, or at a first look."""
    if state.study is None or state.in_view is None:
        raise ValueError("no day is in view")
    subject, timepoint = state.in_view
    result = result_of_day(state)
    if state.run is None or result is None or result.failure is not None:
        return scans_at_first_look(state.study, subject, timepoint, progress)
    return scans_as_measured(state.study, subject, timepoint, result.alignments, state.run.folder)


def day_states(state: State) -> dict[Day, str]:
    """Return "measured", "doubtful" or "failed" for every day that the run tried."""
    if state.run is None:
        return {}
    analysis = state.run.analysis
    states = {(row.subject, row.day): "measured" for row in analysis.measurements}
    doubtful = [row for row in analysis.alignments if row.verdict == "doubtful"]
    states |= {(row.subject, row.day): "doubtful" for row in doubtful}
    # A day of which a part failed (its PET, say) has rows all the same.
    for failure in state.run.failures:
        states[failure.subject, failure.day] = "failed" if failure.is_whole else "doubtful"
    return states


def step_state(state: State) -> str:
    """Return the state of the step *Study*: empty, ready, doubtful or done; of the day in view where there is one."""
    if state.study is None:
        return "empty"
    if state.run is None:
        return "ready"
    states = day_states(state)
    if state.subject is not None and state.day is not None:
        of_day = states.get((state.subject, state.day), "")
        return {"measured": "done", "doubtful": "doubtful", "failed": "doubtful"}.get(of_day, "ready")
    return "done" if set(states.values()) == {"measured"} else "doubtful"
