"""What came out for the day in view: a verdict in words, the organs in cells with intervals, what is not sure."""

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.longitudinal.measurement import AlignmentRow, Measurement
from napari_mpi_track.report.figures import organ_colour
from napari_mpi_track.report.tables import FLAG_WORDS, NOT_ORGANS, cells_in_words, in_reading_order, three_digits

# Dark words on a light ground read in both themes; the mark and the word say it without the colour.
_CHIPS = {"good": ("✓", "#b7e1cd"), "doubtful": ("!", "#fce8a6"), "failed": ("✗", "#f4b8b0")}
_AMOUNTS = "cells (apparent), 95 % interval"


class ResultCard(QFrame):
    """The result of one day; hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.title, self.chip, self.reason = QLabel(), QLabel(), wrapped()
        self.table, self.notes = wrapped(), wrapped()
        column = QVBoxLayout(self)
        column.addWidget(self.title)
        column.addWidget(self.chip, 0, Qt.AlignmentFlag.AlignLeft)
        for part in (self.reason, self.table, self.notes):
            column.addWidget(part)
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.setVisible(False)

    def show_day(self, day: tuple[str, float], rows: Sequence[Measurement], alignments: Sequence[AlignmentRow]) -> None:
        """Show the rows of one subject and day."""
        self.title.setText(f"<b>Result: {escape(day[0])}, day {day[1]:g}</b>")
        self._show_verdict([row for row in alignments if row.moving == "MPI"])
        self.table.setText(cells_table(in_reading_order(rows)))
        said = flags_in_words(rows)
        self.notes.setText("<br>".join(f"• {escape(line)}" for line in said))
        self.notes.setVisible(bool(said))
        self.setVisible(True)

    def show_failure(self, day: tuple[str, float], reason: str) -> None:
        """Show why one day has no result."""
        self.title.setText(f"<b>Result: {escape(day[0])}, day {day[1]:g}</b>")
        self._chip("failed", "not measured")
        self.reason.setText(escape(reason))
        self.reason.setVisible(True)
        for part in (self.table, self.notes):
            part.setVisible(False)
        self.setVisible(True)

    def _show_verdict(self, alignments: Sequence[AlignmentRow]) -> None:
        self.table.setVisible(True)
        self.chip.setVisible(bool(alignments))
        self.reason.setVisible(bool(alignments))
        if not alignments:
            return
        row = alignments[0]
        error_mm = row.expected_target_error_mm
        error = "" if error_mm is None else f", expected error {error_mm:.2g} mm"
        self._chip(row.verdict, f"alignment {row.verdict}{error}")
        self.reason.setText(escape(f"{row.moving} to {row.fixed} by {row.method}: {row.reason}"))

    def _chip(self, verdict: str, words: str) -> None:
        show_chip(self.chip, verdict, words)
        self.chip.setVisible(True)


def show_chip(chip: QLabel, verdict: str, words: str) -> None:
    """Make a label the chip of a verdict (good, doubtful, failed): mark, words and colour."""
    mark, colour = _CHIPS.get(verdict, ("", "#dddddd"))
    chip.setText(f"{mark} {words}")
    chip.setStyleSheet(f"background:{colour}; color:#202020; border-radius:7px; padding:2px 8px;")


def cells_table(rows: Sequence[Measurement]) -> str:
    """Return the organs of one day as a table in HTML: name with its colour, apparent cells with the interval."""
    lines = []
    for modality in dict.fromkeys(row.modality for row in rows):
        lines.append(f"<tr><th align='left'>{escape(modality)}</th><th align='right'>{_AMOUNTS}</th></tr>")
        lines += [_line(row) for row in rows if row.modality == modality]
    return f"<table width='100%' cellspacing='0' cellpadding='2'>{''.join(lines)}</table>"


def flags_in_words(rows: Sequence[Measurement]) -> list[str]:
    """Return what is not sure of these rows, with the organs it is said of: "bone (PET): ..."."""
    organs: dict[str, list[str]] = {}
    for row in rows:
        for flag in filter(None, row.flag.split(";")):
            organs.setdefault(flag, []).append(f"{row.organ} ({row.modality})")
    # What is below detection stands in its own line of the table already.
    organs.pop("below_detection", None)
    return [f"{', '.join(names)}: {FLAG_WORDS.get(flag, flag)}" for flag, names in organs.items()]


def _line(row: Measurement) -> str:
    red, green, blue = (round(255 * part) for part in organ_colour(row.organ))
    square = "" if row.organ in NOT_ORGANS else f"<span style='color:rgb({red},{green},{blue})'>&#9632;</span> "
    # A long number breaks before its interval, never inside it.
    amount = escape(_amount(row)).replace(" to ", "&nbsp;to&nbsp;")
    return f"<tr><td>{square}{escape(row.organ)}</td><td align='right'>{amount}</td></tr>"


def _amount(row: Measurement) -> str:
    if words := cells_in_words(row):
        return words
    if row.percent_id is not None:
        return f"{three_digits(row.percent_id)} % of injected dose"
    if row.activity_kBq is not None:
        return f"{three_digits(row.activity_kBq)} kBq"
    if row.signal_total is None:
        return "not measured"
    spread = "" if row.signal_total_sd is None else f" ± {three_digits(row.signal_total_sd)}"
    return f"{three_digits(row.signal_total)}{spread} a.u.\u00a0mm³"
