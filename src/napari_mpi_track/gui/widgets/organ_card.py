"""What the measured organs came to: how sure their place is, what is doubtful, how much lies in no organ, the blur."""

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_mpi_track.gui.organ_day import MeasuredOrgans, OrganScene
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.result_card import flags_in_words, show_chip
from napari_mpi_track.longitudinal.measurement import SpillRow
from napari_mpi_track.longitudinal.scan_parts import is_marker
from napari_mpi_track.quantification.backgrounds import PRE_INJECTION
from napari_mpi_track.quantification.occupancy import FIDUCIALS
from napari_mpi_track.report.tables import three_digits

# Less than this many percent is no number in the table.
_SEEN = 0.05


class OrganCard(QFrame):
    """One measurement; hidden without one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.title, self.chip, self.reason, self.whole, self.notes = (
            QLabel(), QLabel(), wrapped(), wrapped(), wrapped(),
        )  # fmt: skip
        column = QVBoxLayout(self)
        column.addWidget(self.title)
        column.addWidget(self.chip, 0, Qt.AlignmentFlag.AlignLeft)
        for part in (self.reason, self.whole, self.notes):
            column.addWidget(part)
        self.setVisible(False)

    def show_measured(self, scene: OrganScene | None, measured: MeasuredOrgans | None, problem: str) -> None:
        """Show what was measured, or why it could not be."""
        self.setVisible(scene is not None and (measured is not None or bool(problem)))
        if scene is None:
            return
        self.title.setText(f"<b>Measured: {escape(scene.subject.id)}, day {scene.timepoint.day:g}</b>")
        if problem:
            show_chip(self.chip, "failed", "not measured")
            self.reason.setText(escape(problem))
            self.whole.setVisible(False)
            self.notes.setVisible(False)
            return
        if measured is None:
            return
        self._show_alignment(scene)
        self.whole.setVisible(True)
        self.whole.setText(_balance(measured))
        day = scene.scene
        said = [*day.failures, *flags_in_words(measured.rows.measurements), *measured.rows.warnings, *day.warnings]
        if scene.study.background == PRE_INJECTION:
            said.append("the scan before injection is taken off by a run of the study, and not yet here")
        self.notes.setText("<br>".join(f"• {escape(line)}" for line in dict.fromkeys(said)))
        self.notes.setVisible(bool(said))

    def _show_alignment(self, scene: OrganScene) -> None:
        alignment = scene.scene.mpi_from_anatomy
        if alignment is None:
            show_chip(self.chip, "good", "one frame: nothing to align")
            self.reason.setText("")
            self.reason.setVisible(False)
            return
        error_mm = alignment.expected_target_error_mm
        error = ", error not known" if error_mm is None else f", expected error {error_mm:.2g} mm"
        show_chip(self.chip, str(alignment.verdict), f"alignment {alignment.verdict}{error}")
        self.reason.setVisible(True)
        self.reason.setText(escape(f"{alignment.reason[:1].upper()}{alignment.reason[1:]}."))


def spill_table(rows: Sequence[SpillRow]) -> str:
    """Return where every organ's measured signal came from as a table in HTML, in percent: organs down."""
    if not rows:
        return "Nothing is corrected: the study gives no point spread, or spill_over is off."
    organs = list(dict.fromkeys(row.organ for row in rows))
    shares: dict[tuple[str, str], float] = {}
    for row in rows:
        source = FIDUCIALS if is_marker(row.source) else row.source
        shares[row.organ, source] = shares.get((row.organ, source), 0.0) + row.percent
    sources = list(dict.fromkeys(source for _, source in shares))
    sources = [source for source in sources if any(abs(shares.get((o, source), 0.0)) >= _SEEN for o in organs)]
    head = "".join(f"<th align='right'>{escape(source)}</th>" for source in sources)
    lines = "".join(
        f"<tr><td>{escape(organ)}</td>{''.join(_share(shares.get((organ, source), 0.0)) for source in sources)}</tr>"
        for organ in organs
    )
    return (
        "Part of the signal measured in each organ (row) that came from each source (column), %:"
        "<table width='100%' cellspacing='1' cellpadding='3' style='font-size: small'>"
        f"<tr><th align='left'>in</th>{head}</tr>{lines}</table>"
    )


def _share(percent: float) -> str:
    if abs(percent) < _SEEN:
        return "<td></td>"
    # Blue on white as in the saved picture; dark words on pale cells, white ones on dark.
    part = min(max(percent / 100, 0.0), 1.0)
    red, green, blue = (round(255 - part * (255 - full)) for full in (8, 69, 148))
    ink = "#ffffff" if part > 0.5 else "#202020"
    said = f"{percent:.1f}" if abs(percent) < 10 else f"{percent:.0f}"
    return f"<td align='right' bgcolor='#{red:02x}{green:02x}{blue:02x}'><font color='{ink}'>{said}</font></td>"


def _balance(measured: MeasuredOrgans) -> str:
    """Return how the whole scan's signal is shared out: organs and what lies in none add up to it."""
    rows = {row.organ: row.signal_total for row in measured.rows.measurements}
    whole, outside = rows.get("total"), rows.get("outside")
    if not whole or outside is None:
        return ""
    part = 100 * (1 - outside / whole)
    amounts = f"{three_digits(outside)} of {three_digits(whole)} {measured.unit}"
    return f"In organs {part:.0f} % of the scan's signal; {amounts} lie in none (uncorrected)."
