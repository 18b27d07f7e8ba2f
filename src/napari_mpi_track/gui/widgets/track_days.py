"""All days of the animal in view in the picture: read once off the GUI thread, followed by the slider."""

from collections.abc import Callable
from typing import Any

from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.shown_series import ShownSeries
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.track_series import DaySeries, day_series
from napari_mpi_track.gui.widgets.track_body import TrackBody


class TrackDays:
    """Joins the layers over days to the session; ``watch`` starts what takes its time."""

    def __init__(self, session: Session, viewer: Any, parts: TrackBody, watch: Callable[[Task], None]) -> None:
        self.session, self.parts, self._watch = session, parts, watch
        self.shown = ShownSeries(viewer, self._on_day)
        self._known: dict[tuple[Any, str], DaySeries] = {}
        self._wanted_organ = ""
        parts.grid.chosen.connect(self.go_to)
        parts.series_button.clicked.connect(lambda: self.go_to(session.state.subject or "", session.state.day or 0.0))

    def go_to(self, subject: str, day: float, organ: str = "") -> None:
        """Bring a day into view, and an organ: in the picture of all days where the study is measured."""
        if self.session.state.run is None:
            self.session.look_at(subject, day)
            return
        self._wanted_organ = organ
        self.session.look_at_series(subject, day)
        self.shown.look_at_organ(organ)

    def redraw(self, *, is_working: bool) -> None:
        """Show the days that are asked for, or none; what is not read yet is read now, unless something else is."""
        state, notes = self.session.state, self.parts.notes
        series = None if state.subject is None else self._known.get((state.run, state.subject))
        is_asked = state.shows_series and state.subject is not None and state.day is not None
        notes.setVisible(is_asked and series is not None and bool(series.notes))
        if not is_asked:
            self.shown.clear()
        elif series is not None and state.day is not None:
            if self.shown.series is not series:
                self.shown.show(series, state.day)
                self.shown.look_at_organ(self._wanted_organ)
            self.shown.go_to(state.day)
            notes.setText("<br>".join(series.notes))
        elif not is_working and state.subject is not None:
            self._read(state.subject)

    def _read(self, subject: str) -> None:
        study, run = self.session.state.study, self.session.state.run
        if study is None or run is None:
            return
        task = Task(
            lambda progress: day_series(study, study.subject(subject), run, progress), f"Reading all days of {subject}"
        )

        def keep(series: DaySeries) -> None:
            # The last animal's days are kept too: one looks to and fro.
            self._known = {**dict(list(self._known.items())[-1:]), (run, subject): series}

        task.succeeded.connect(keep)
        task.failed.connect(lambda _: self.session.leave_series())
        task.cancelled.connect(self.session.leave_series)
        self._watch(task)

    def _on_day(self, day: float) -> None:
        if self.shown.series is not None and self.session.state.shows_series:
            self.session.look_at_series(self.shown.series.subject, day)
