"""What becomes of a result in the panel *Align*: looked at, accepted, saved, loaded, brought to other layers."""

from dataclasses import replace
from pathlib import Path

from napari_mpi_track.errors import AlignmentError, MeasurementError
from napari_mpi_track.gui.alignment_draft import AlignmentDraft, ChosenScan, Found, Place, Side, with_result
from napari_mpi_track.gui.alignment_files import (
    accept_in_study,
    aligned_layer,
    brought_layer,
    line_for_study,
    write_in_study_file,
)
from napari_mpi_track.gui.alignment_run import by_hand, joined, picture_png, with_picture
from napari_mpi_track.gui.alignment_scans import DayOfStudy, day_of
from napari_mpi_track.gui.alignment_viewer import LayersInView
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.align_body import SIDES, AlignBody
from napari_mpi_track.imaging.foreground import body_centre_mm, find_body
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import load_alignment, save_alignment


class Outcome:
    """Joins the result card and the buttons about it to the session and the viewer."""

    def __init__(self, session: Session, parts: AlignBody, layers: LayersInView) -> None:
        self.session, self.parts, self.layers = session, parts, layers
        self._applied: Found | None = None
        self._scans: tuple[ChosenScan | None, ChosenScan | None] = (None, None)
        self._kept: tuple[DayOfStudy, Path] | None = None
        self._centres: dict[int, tuple[Volume, Place | None]] = {}
        parts.card.picture_asked.connect(self._draw_picture)
        parts.accept_button.clicked.connect(self.accept)
        parts.accept_hand.clicked.connect(self.accept_by_hand)
        parts.write_button.clicked.connect(self.write_in_study)
        parts.save_button.chosen.connect(self.save)
        parts.picture_button.chosen.connect(self.save_picture)
        parts.load_button.chosen.connect(self.load)
        parts.bring_button.clicked.connect(self.bring)

    @property
    def _draft(self) -> AlignmentDraft:
        return self.session.state.alignment

    def show(self, draft: AlignmentDraft) -> None:
        """Show the result of a draft, what can be done with it, and the accepted one in the viewer."""
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
        self._show_accepted(draft, day)
        self._offer_layers(draft)

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

        def take() -> None:
            fixed, moving = _both(self._draft)
            found = with_picture(by_hand(self._draft), fixed, moving)
            self.session.keep_alignment(with_result(self._draft, found))
            self.accept()

        self.parts.said.attempt(take)

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
        if found is not None:
            self.parts.said.attempt(lambda: save_alignment(found.alignment, path, overwrite=True))

    def save_picture(self, path: str) -> None:
        """Write all pictures of how well it fits."""
        found = self._draft.found
        if found is not None and found.picture is not None:
            picture = found.picture
            self.parts.said.attempt(lambda: _write(Path(path), picture_png(picture, None)))

    def load(self, path: str) -> None:
        """Take a saved transform for a result."""

        def take() -> None:
            fixed, moving = _both(self._draft)
            alignment = joined(load_alignment(path), self._draft)
            self.session.keep_alignment(with_result(self._draft, with_picture(alignment, fixed, moving)))

        self.parts.said.attempt(take)

    def bring(self) -> None:
        """Make a new layer of another one, brought from one scan to the other."""
        draft, name = self._draft, self.parts.layer_box.currentData()
        side: Side = self.parts.onto_box.currentData() or "fixed"

        def bring() -> None:
            if draft.found is None or not name:
                raise AlignmentError("there is no alignment to bring a layer by", remedy="align or load one first")
            onto = draft.volume(side)
            assert onto is not None
            added = self.layers.add(
                brought_layer(self.layers.layer(name), draft.found.alignment.moving_from_fixed, onto, side)
            )
            self.parts.said.say(f"Made the layer {added.name}; {name} is as it was.")

        self.parts.said.attempt(bring)

    def body_centre(self, draft: AlignmentDraft) -> Place | None:
        """Return the centre of the body in the fixed scan, LPS mm; ``None`` where it shows none. Found once a scan."""
        fixed = draft.volume("fixed")
        if fixed is None or len(draft.used_pairs) < 3:
            return None
        if id(fixed.voxels) not in self._centres:
            self._centres = {id(fixed.voxels): (fixed, _body_centre(fixed))}
        return self._centres[id(fixed.voxels)][1]

    def _show_accepted(self, draft: AlignmentDraft, day: DayOfStudy | None) -> None:
        if (draft.fixed, draft.moving) != self._scans:
            self._scans, self._applied = (draft.fixed, draft.moving), None
            self.layers.leave()
        # In a study the panel Study draws the day anew, with its new alignment.
        wanted = draft.accepted if day is None else None
        if wanted is self._applied:
            return
        self._applied = wanted
        self.layers.take_away()
        fixed, moving, scan = draft.volume("fixed"), draft.volume("moving"), draft.moving
        if wanted is None or fixed is None or moving is None or scan is None:
            return
        task = Task(
            lambda _: aligned_layer(moving, scan.name, wanted.alignment.moving_from_fixed, fixed),
            "Drawing the aligned scan",
        )
        task.succeeded.connect(lambda layer: self.layers.show_accepted(layer) if self._applied is wanted else None)
        self.parts.destroyed.connect(task.abandon)
        task.start()

    def _draw_picture(self, kind: str) -> None:
        found = self._draft.found
        if found is None or found.picture is None:
            return
        task = Task(lambda _: picture_png(found.picture, kind), "Drawing how well it fits")

        def show(png: bytes) -> None:
            if self._draft.found is found and self.parts.card.kind.currentData() == kind:
                self.parts.card.show_picture(png)

        task.succeeded.connect(show)
        self.parts.destroyed.connect(task.abandon)
        task.start()

    def _offer_layers(self, draft: AlignmentDraft) -> None:
        box, onto = self.parts.layer_box, self.parts.onto_box
        names = self.layers.companions
        if [box.itemData(n) for n in range(box.count())] != list(names):
            chosen = box.currentData()
            box.clear()
            for name in names:
                box.addItem(name, name)
            box.setCurrentIndex(max(box.findData(chosen), 0))
        scans = [scan.name if scan is not None else "" for scan in (draft.fixed, draft.moving)]
        texts = [f"{scans[1]} → {scans[0]}", f"{scans[0]} → {scans[1]}"]
        if [onto.itemText(n) for n in range(onto.count())] != texts:
            onto.clear()
            for text, side in zip(texts, SIDES, strict=True):
                onto.addItem(text, side)
        self.parts.bring_button.setEnabled(draft.found is not None and bool(names))


def _uses(day: DayOfStudy, path: Path) -> bool:
    return str(path) in (day.timepoint.alignment, day.timepoint.pet_alignment)


def _both(draft: AlignmentDraft) -> tuple[Volume, Volume]:
    fixed, moving = draft.volume("fixed"), draft.volume("moving")
    if fixed is None or moving is None:
        raise AlignmentError("two scans are needed", remedy="choose a fixed and a moving scan first")
    return fixed, moving


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
