"""What becomes of the organs: looked at, saved, used in the study."""

from collections.abc import Callable
from pathlib import Path

from napari_mpi_track.gui.organ_day import MeasuredOrgans, OrganScene
from napari_mpi_track.gui.organ_draft import OrganDraft, drawn
from napari_mpi_track.gui.organ_files import (
    UsedOrgans,
    save_errors,
    save_matrix,
    save_organs,
    save_table,
    use_in_study,
    write_in_study_file,
)
from napari_mpi_track.gui.session import Session
from napari_mpi_track.gui.tasks import Task
from napari_mpi_track.gui.widgets.organ_card import spill_table
from napari_mpi_track.gui.widgets.organ_measuring import Measuring
from napari_mpi_track.gui.widgets.organs_body import OrgansBody


class OrganOutcome:
    """Joins the result card and the buttons about it to the session; ``watch`` starts what takes its time."""

    def __init__(
        self, session: Session, parts: OrgansBody, measuring: Measuring, watch: Callable[[Task], None]
    ) -> None:
        self.session, self.parts, self._measuring, self._watch = session, parts, measuring, watch
        self._pictured: MeasuredOrgans | None = None
        self._used: UsedOrgans | None = None
        parts.use_button.clicked.connect(self.use)
        parts.write_button.clicked.connect(self.write_in_study)
        parts.save_button.chosen.connect(self.save)
        parts.table_button.chosen.connect(self.save_table)
        parts.matrix_button.chosen.connect(self.save_matrix)
        parts.errors_part.save_button.chosen.connect(self.save_errors)
        parts.blur.toggled.connect(lambda _: self._show_matrix())
        parts.errors.toggled.connect(lambda _: self._show_errors())
        parts.table.chosen.connect(lambda _: self._show_errors())

    def show(self, draft: OrganDraft | None, scene: OrganScene | None) -> None:
        """Show what was measured, and what can be done with it."""
        measured = self._measuring.measured if draft is not None and scene is not None else None
        self.parts.card.show_measured(scene, measured, self._measuring.problem)
        if measured is not None:
            self.parts.table.show_unit(measured.unit, is_flat=measured.is_flat)
        self.parts.table_button.setEnabled(measured is not None)
        self.parts.table_button.setToolTip("Write all numbers as CSV." if measured else "Measure the organs first.")
        is_in_use = self._used is not None and draft is not None and self._used.draft is draft and scene is not None
        name = "" if scene is None else f" ({scene.subject.id}, day {scene.timepoint.day:g})"
        self.parts.use_button.setText(f"Use in the study{name}")
        self.parts.write_button.setVisible(is_in_use and self._used is not None and bool(self._used.lines))
        self._show_matrix()
        self._show_errors()

    def use(self) -> None:
        """Write the organs beside the study, and have the open study use them."""
        scene, draft = self._measuring.scene_of(self.session.state), self.session.state.organ_draft
        if scene is None or draft is None:
            return
        task = Task(lambda _: use_in_study(scene, draft), "Writing the organs beside the study")

        def keep(used: UsedOrgans) -> None:
            if self.session.state.organ_draft is not draft or self.session.state.study is not scene.study:
                self.parts.said.say("Something was changed meanwhile: the study is as it was. Try again.")
                return
            self._used = used
            self._measuring.use(used.scene, used.draft)
            self.session.accept_organs(scene.key, used.draft, used.study)
            lines = f"; its file does once it says so ({used.in_words()})" if used.lines else ", as it did"
            self.parts.said.say(f"Written to the folder organs. The open study uses them now{lines}.")

        task.succeeded.connect(keep)
        self._watch(task)

    def write_in_study(self) -> None:
        """Put the lines of the used organs into the study file."""
        used = self._used

        def write() -> None:
            if used is not None:
                write_in_study_file(used)
                self.parts.said.say(f"{used.study.file.name} now says so of {used.scene.subject.id}'s day.")

        self.parts.said.attempt(write)

    def save(self, path: str) -> None:
        """Write the organs as drawn now, in place of a file of that name."""
        draft = self.session.state.organ_draft
        if draft is not None:
            task = Task(lambda _: save_organs(drawn(draft), Path(path)), "Saving the organs")
            task.succeeded.connect(lambda _: self.parts.said.say(f"Saved as {Path(path).name}."))
            self._watch(task)

    def save_table(self, path: str) -> None:
        """Write the rows as measurements.csv has them."""
        self._save(path, save_table)

    def save_matrix(self, path: str) -> None:
        """Write the matrix of spill-over as a picture."""
        self._save(path, save_matrix)

    def save_errors(self, path: str) -> None:
        """Write the terms of every organ's error as a picture."""
        self._save(path, save_errors)

    def _save(self, path: str, write: Callable[[MeasuredOrgans, Path], None]) -> None:
        measured = self._measuring.measured

        def save() -> None:
            if measured is not None:
                write(measured, Path(path))
                self.parts.said.say(f"Saved as {Path(path).name}.")

        self.parts.said.attempt(save)

    def _show_errors(self) -> None:
        draft, table = self.session.state.organ_draft, self.parts.table
        if self.parts.errors.isChecked() and draft is not None:
            self.parts.errors_part.show_organ(self._measuring.measured, draft.names.get(table.label, ""))

    def _show_matrix(self) -> None:
        measured, parts = self._measuring.measured, self.parts
        if measured is not None and parts.blur.isChecked() and measured is not self._pictured:
            self._pictured = measured
            parts.matrix.setText(spill_table(measured.rows.spill))
            parts.matrix_button.setEnabled(bool(measured.rows.spill))
