"""What an alignment came to: a verdict in words, numbers with units, pictures of how well it fits, what is not sure."""

from html import escape

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_mpi_track.gui.alignment_draft import AlignmentDraft, Found, short_name
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.result_card import show_chip
from napari_mpi_track.gui.widgets.settings_form import CalmComboBox
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.report.alignment_evidence import evidence_facts

_KINDS = {
    "overlay": "overlay",
    "blend": "blend",
    "checkerboard": "checkerboard",
    "outline": "outline",
    "error": "expected error (mm)",
}
_PICTURE_PX = 306
# Twice as wide as shown, for screens of twice the dots.
DRAWN_PX = 2 * _PICTURE_PX


class AlignmentCard(QFrame):
    """One result; hidden without one. ``picture_asked`` holds the kind of picture to draw."""

    picture_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._found: Found | None = None
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.title, self.chip, self.reason = QLabel(), QLabel(), wrapped()
        self.table, self.notes, self.picture = wrapped(), wrapped(), QLabel()
        self.kind = CalmComboBox()
        self.kind.setToolTip("How to see how well the two scans fit.")
        self.kind.currentIndexChanged.connect(lambda _: self._ask())
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._kind_row = QWidget()
        row = QHBoxLayout(self._kind_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Seen as"))
        row.addWidget(self.kind, 1)
        column = QVBoxLayout(self)
        column.addWidget(self.title)
        column.addWidget(self.chip, 0, Qt.AlignmentFlag.AlignLeft)
        for part in (self.reason, self.table, self._kind_row, self.picture, self.notes):
            column.addWidget(part)
        self.setVisible(False)

    def show_draft(self, draft: AlignmentDraft) -> None:
        """Show what was found, and whether it is accepted; nothing without a result."""
        found = draft.found
        self.setVisible(found is not None)
        if found is None:
            self._found = None
            return
        alignment = found.alignment
        accepted = ", accepted" if draft.accepted is found else ""
        names = escape(f"{short_name(draft, 'moving')} to {short_name(draft, 'fixed')}")
        self.title.setText(f"<b>Result: {names}</b>{accepted}")
        self.title.setTextFormat(Qt.TextFormat.RichText)
        error_mm = alignment.expected_target_error_mm
        error = ", error not known" if error_mm is None else f", expected error {error_mm:.2g} mm"
        show_chip(self.chip, str(alignment.verdict), f"{alignment.verdict}{error}")
        self.reason.setText(escape(f"{alignment.reason[:1].upper()}{alignment.reason[1:]}."))
        lines = [
            f"<tr><td>{escape(what)}</td><td align='right'>{escape(value)}</td></tr>"
            for what, value in evidence_facts(alignment)
        ]
        self.table.setText(f"<table width='100%' cellspacing='0' cellpadding='2'>{''.join(lines)}</table>")
        notes = [f"• {escape(warning)}" for warning in alignment.warnings]
        if alignment.verdict is Verdict.DOUBTFUL:
            notes.append(f"<b>What to do:</b> {escape(_what_to_do(alignment))}")
        self.notes.setText("<br>".join(notes))
        self.notes.setVisible(bool(notes))
        if found is not self._found:
            self._found = found
            self._offer(found)

    def show_picture(self, png: bytes) -> None:
        """Show a drawn picture, as wide as the panel."""
        pixmap = QPixmap()
        pixmap.loadFromData(png)
        ratio = self.devicePixelRatioF()
        pixmap = pixmap.scaledToWidth(round(_PICTURE_PX * ratio), Qt.TransformationMode.SmoothTransformation)
        pixmap.setDevicePixelRatio(ratio)
        self.picture.setPixmap(pixmap)
        self.picture.setAccessibleName(f"{self.kind.currentText()} of the two scans in three views")

    def _offer(self, found: Found) -> None:
        has_picture = found.picture is not None
        for part in (self._kind_row, self.picture):
            part.setVisible(has_picture)
        if found.picture is None:
            return
        chosen = self.kind.currentData()
        self.kind.blockSignals(True)
        self.kind.clear()
        for kind in found.picture.kinds:
            self.kind.addItem(_KINDS.get(kind, kind), kind)
        self.kind.setCurrentIndex(max(self.kind.findData(chosen), 0))
        self.kind.blockSignals(False)
        self._ask()

    def _ask(self) -> None:
        if self._found is not None and self._found.picture is not None:
            self.picture_asked.emit(self.kind.currentData())


def _what_to_do(alignment: Alignment) -> str:
    """Return what makes a doubtful alignment a sure one."""
    look = "Look in the views whether the two scans meet."
    if alignment.fiducials is not None:
        return f"{look} Leave out the pair with the largest residual, or place more points."
    if alignment.method == "intensity":
        return f"{look} If not, move it roughly by hand and align again from there, or pair points."
    return f"{look} Align from here by what the images share, or by points, to have the error measured."
