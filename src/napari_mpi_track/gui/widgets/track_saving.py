"""What is saved from the panel Track: the figure, the tables, a movie."""

from collections.abc import Callable
from pathlib import Path

from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.track_choices import TrackChoices
from napari_mpi_track.gui.track_figures import figure_of
from napari_mpi_track.gui.track_movie import save_movie
from napari_mpi_track.gui.track_results import Followed, offered
from napari_mpi_track.gui.track_series import DaySeries
from napari_mpi_track.gui.track_tables import save_figure, save_rows
from napari_mpi_track.gui.widgets.track_body import TrackBody
from napari_mpi_track.longitudinal.measurement import DecayRow, RetentionRow


class TrackSaving:
    """Joins the buttons that save to what is shown; ``watch`` starts what takes its time."""

    def __init__(self, session: Session, parts: TrackBody, watch: Callable[[Task], None]) -> None:
        self.session, self.parts, self._watch = session, parts, watch
        self._followed: Followed | None = None
        self._series: DaySeries | None = None
        parts.figure_button.chosen.connect(self.save_figure)
        parts.table_button.chosen.connect(self.save_retention)
        parts.decay_button.chosen.connect(self.save_decay)
        parts.movie_button.chosen.connect(self.save_movie)

    def show(self, followed: Followed | None, series: DaySeries | None, *, has_figure: bool) -> None:
        """Take what is shown now, and say what cannot be saved of it."""
        self._followed, self._series = followed, series
        no_figure = "" if has_figure else "There is no figure to save: beneath the picture stands why."
        no_movie = "" if series is not None else "For a movie, show all days in the picture first."
        self.parts.show_ready(figure=no_figure, movie=no_movie)

    def save_figure(self, path: str) -> None:
        """Write the figure that is shown, at print size."""
        followed = self._followed

        def save() -> None:
            if followed is not None:
                figure, _ = figure_of(followed, self._choices(), self.session.state.subject)
                save_figure(figure, Path(path))
                self.parts.said.say(f"Saved as {Path(path).name}.")

        self.parts.said.attempt(save)

    def save_retention(self, path: str) -> None:
        """Write the rows of retention that are shown: of one animal, or of all."""
        if self._followed is not None:
            self._save(self._followed.retention(self._choices(), self._whose()), RetentionRow, path)

    def save_decay(self, path: str) -> None:
        """Write the fits that are shown: of one animal, or of all and of their groups."""
        if self._followed is not None:
            self._save(self._followed.decay(self._choices(), self._whose()), DecayRow, path)

    def save_movie(self, path: str) -> None:
        """Draw and write a movie off the GUI thread."""
        series, day = self._series, self.session.state.day
        if series is None or day is None:
            return
        kind = str(self.parts.movie_kind.currentData())
        task = Task(lambda progress: save_movie(series, kind, day, Path(path), progress), "Making the movie")
        task.succeeded.connect(lambda _: self.parts.said.say(f"Saved as {Path(path).name}."))
        self._watch(task)

    def _save(self, rows: list[RetentionRow] | list[DecayRow], kind: type, path: str) -> None:
        def save() -> None:
            save_rows(rows, kind, Path(path))
            self.parts.said.say(f"Saved as {Path(path).name}.")

        self.parts.said.attempt(save)

    def _choices(self) -> TrackChoices:
        state = self.session.state
        return state.track if state.study is None else offered(state.track, state.study, state.run).plain()

    def _whose(self) -> str | None:
        return self.session.state.subject if self._choices().view == "animal" else None
