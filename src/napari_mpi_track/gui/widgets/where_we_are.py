"""Whose day is in view and which scans are in use, each by its own name in the colour of its modality."""

from html import escape

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mpi_track.gui.looks import MODALITY_COLOURS
from napari_mpi_track.gui.session import State
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.longitudinal.study import Subject, Timepoint


class WhereWeAre(QWidget):
    """Study, subject, day, scans; and what a person should know of the picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.study, self.day, self.notes = wrapped(), wrapped(), wrapped()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.study, self.day, self.notes):
            column.addWidget(part)

    def show_state(self, state: State) -> None:
        """Show where ``state`` is."""
        study = state.study
        self.setVisible(study is not None)
        if study is None:
            return
        count = len(study.subjects)
        animals = f"{count} subject{'s' if count != 1 else ''}, {len(study.days)} days"
        self.study.setText(f"<b>{escape(study.name)}</b><br>{animals}")
        self.study.setToolTip(str(study.file))
        self.day.setText(
            "Click a day below to see its scans and organs." if state.in_view is None else _day_in_words(*state.in_view)
        )

    def show_notes(self, notes: tuple[str, ...]) -> None:
        """Show what should be known of the picture, one sentence a line."""
        self.notes.setText("<br>".join(escape(note) for note in notes))
        self.notes.setVisible(bool(notes))


def _day_in_words(subject: Subject, timepoint: Timepoint) -> str:
    group = f" ({escape(subject.group)})" if subject.group else ""
    before = ", before injection" if timepoint.is_baseline else ""
    lines = [f"<b>{escape(subject.id)}</b>{group}, <b>day {timepoint.day:g}</b>{before}"]
    scans = {"MPI": timepoint.mpi, "anatomy": timepoint.anatomy, "PET": timepoint.pet}
    files = {what: scan.path for what, scan in scans.items() if scan is not None}
    if timepoint.organs is not None:
        files["organs"] = timepoint.organs
    for what, path in files.items():
        colour = MODALITY_COLOURS.get(what, MODALITY_COLOURS["CT"])
        lines.append(f"<span style='color:{colour}'>&#9632;</span> {what}: {escape(path.name)}")
    if timepoint.mpi is None and timepoint.signal is not None:
        lines.append(f"signal without image: {timepoint.signal:.3g} a.u. mm³")
    return "<br>".join(lines)
