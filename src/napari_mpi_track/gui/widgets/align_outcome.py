"""What becomes of a result in the panel *Align*: looked at, accepted, written into the study, saved, loaded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from napari_mpi_track.errors import AlignmentError, MeasurementError
from napari_mpi_track.gui.alignment_draft import AlignmentDraft, Found, Place, with_result
from napari_mpi_track.gui.alignment_files import (
    accept_in_study,
    line_for_study,
    write_in_study_file,
)
from napari_mpi_track.gui.alignment_run import all_pictures_png, by_hand, joined, picture_png, with_picture
from napari_mpi_track.gui.alignment_scans import DayOfStudy, day_of
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.align_body import AlignBody
from napari_mpi_track.gui.widgets.alignment_card import DRAWN_PX
from napari_mpi_track.imaging.foreground import body_centre_mm, find_body
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.alignment_files import load_alignment, save_alignment


class Outcome:
    """Joins the result card and the buttons about it to the session; ``watch`` starts what takes its time."""

    def __init__(self, session: Session, parts: AlignBody, watch: Callable[[Task], None]) -> None:
        self.session, self.parts, self._watch = session, parts, watch
        self._kept: tuple[DayOfStudy, Path] | None = None
        self._centres: dict[int, tuple[Volume, Place | None]] = {}
        parts.card.picture_asked.connect(self._draw_picture)
        parts.accept_button.clicked.connect(self.accept)
        parts.accept_hand.clicked.connect(self.accept_by_hand)
        parts.write_button.clicked.connect(self.write_in_study)
        parts.save_button.chosen.connect(self.save)
        parts.picture_button.chosen.connect(self.save_picture)
        parts.load_button.chosen.connect(self.load)

    @property
    def _draft(self) -> AlignmentDraft:
        return self.session.state.alignment

    def show(self, draft: AlignmentDraft) -> None:
        """Show the result of a draft, and what can be done with it."""
        parts, found = self.parts, draft.found
        day = day_of(self.session.state.study, draft)
        parts.card.show_draft(draft)
        is_accepted = found is not None and draft.accepted is found
        parts.accept_button.setVisible(found is not None and not is_accepted)
        parts.accept_button.setText("Accept" if day is None else f"Accept for {day}")
        is_in_use = is_accepted and self._kept is not None and day is not None and _uses(day, self._kept[1])
        parts.write_button.setVisible(is_in_use)
        for part in (parts.save_button, parts.picture_button):
            part.setVisible(found is not None)

    def accept(self) -> None:
        """Keep the result: as the day's alignment in a study, else with a new layer that shows it."""
        draft = self._draft
        if draft.found is None:
            return
        accepted, day = replace(draft, accepted=draft.found), day_of(self.session.state.study, draft)

        def accept() -> None:
            if day is None:
                self.session.accept_alignment(accepted, None)
                self.parts.said.say("Accepted: a new layer shows it, the scan's own layer stays where it was.")
                return
            study, path = accept_in_study(day, draft.found.alignment)  # type: ignore[union-attr]
            self._kept = (day, path)
            self.session.accept_alignment(accepted, study)
            self.parts.said.say(
                f"Accepted for {day} and written to transforms/{path.name}. The open study uses it now; its file does "
                f"once it holds the line “{line_for_study(day, path)}”."
            )

        self.parts.said.attempt(accept)

    def accept_by_hand(self) -> None:
        """Take the position as it is for a result, and keep it."""

        self.parts.said.attempt(lambda: self._take(by_hand(self._draft), self.accept))

    def write_in_study(self) -> None:
        """Put the accepted alignment's line into the study file."""
        if self._kept is not None:
            day, path = self._kept

            def write() -> None:
                write_in_study_file(day, path)
                self.parts.said.say(f"{day.study.file.name} now holds “{line_for_study(day, path)}” for {day}.")

            self.parts.said.attempt(write)

    def save(self, path: str) -> None:
        """Write the transform and its evidence, in place of files of that name."""
        found = self._draft.found

        def save() -> None:
            if found is not None:
                save_alignment(found.alignment, path, overwrite=True)
                self.parts.said.say(f"Saved as {Path(path).name}, its evidence beside it as .json.")

        self.parts.said.attempt(save)

    def save_picture(self, path: str) -> None:
        """Write all pictures of how well it fits."""
        found = self._draft.found
        if found is not None and found.picture is not None:
            picture = found.picture
            task = Task(lambda _: _write(Path(path), all_pictures_png(picture)), "Saving the pictures")
            task.succeeded.connect(lambda _: self.parts.said.say(f"Saved as {Path(path).name}."))
            self._watch(task)

    def load(self, path: str) -> None:
        """Take a saved transform for a result."""
        self.parts.said.attempt(lambda: self._take(joined(load_alignment(path), self._draft)))

    def _take(self, alignment: Alignment, then: Callable[[], None] = lambda: None) -> None:
        """Take an alignment for the result, once its pictures are drawn."""
        draft = self._draft
        task = Task(lambda _: with_picture(alignment, draft), "Drawing how well it fits")

        def keep(found: Found) -> None:
            if self._draft is draft:
                self.session.keep_alignment(with_result(draft, found))
                then()

        task.succeeded.connect(keep)
        self._watch(task)

    def body_centre(self, draft: AlignmentDraft) -> Place | None:
        """Return the centre of the body in the fixed scan, LPS mm; ``None`` where it shows none. Found once a scan."""
        fixed = draft.volume("fixed")
        if fixed is None or len(draft.used_pairs) < 3:
            return None
        if id(fixed.voxels) not in self._centres:
            self._centres = {id(fixed.voxels): (fixed, _body_centre(fixed))}
        return self._centres[id(fixed.voxels)][1]

    def _draw_picture(self, kind: str) -> None:
        found = self._draft.found
        if found is None or found.picture is None:
            return
        task = Task(lambda _: picture_png(found.picture, kind, DRAWN_PX), "Drawing how well it fits")

        def show(png: bytes) -> None:
            if self._draft.found is found and self.parts.card.kind.currentData() == kind:
                self.parts.card.show_picture(png)

        task.succeeded.connect(show)
        self.parts.destroyed.connect(task.abandon)
        task.start()


def _uses(day: DayOfStudy, path: Path) -> bool:
    return str(path) in (day.timepoint.alignment, day.timepoint.pet_alignment)


def _body_centre(fixed: Volume) -> Place | None:
    try:
        x, y, z = (float(number) for number in body_centre_mm(find_body(fixed), fixed.grid))
    except MeasurementError:
        return None
    return x, y, z


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise AlignmentError(
            f"the file cannot be written: {error.strerror or error}", file=path, remedy="choose another folder"
        ) from None
