"""What was found over days: half-lives in words with their interval, what is doubtful, and how few they are."""

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_mpi_track.gui.track_choices import TrackChoices
from napari_mpi_track.gui.track_results import Followed
from napari_mpi_track.gui.widgets.panel_frame import wrapped
from napari_mpi_track.gui.widgets.result_card import show_chip
from napari_mpi_track.gui.widgets.still_text import StillText
from napari_mpi_track.longitudinal.measurement import ArmRow, DecayRow
from napari_mpi_track.report.comparison_text import agreement_text, arms_text
from napari_mpi_track.report.figures import organ_colour
from napari_mpi_track.report.retention_figures import fit_in_words
from napari_mpi_track.report.tables import FLAG_WORDS, NOT_ORGANS, three_digits

_ARM_MEASURES = {
    "retention_difference": ("difference of retention", " %"),
    "retention_ratio": ("ratio of retention", ""),
    "half_life_ratio": ("ratio of half-lives", ""),
    "retention_corrected_for_free_label": ("retention, free label taken off", " %"),
}
# Said in the line of its organ already.
_IN_WORDS = ("rising", "too_few_points", "small_n")
_FEW = 10


class TrackCard(QFrame):
    """One result; hidden without one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.title, self.chip, self.table, self.notes = QLabel(), QLabel(), StillText(), wrapped()
        column = QVBoxLayout(self)
        column.addWidget(self.title)
        column.addWidget(self.chip, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.table)
        column.addWidget(self.notes)
        self.setVisible(False)

    def show_followed(self, followed: Followed | None, choices: TrackChoices, subject: str | None) -> None:
        """Show what the choices come to: of the animal in view, of the arms, or of MPI beside PET."""
        self.setVisible(followed is not None)
        if followed is None:
            return
        if choices.view == "compared":
            self._show_arms(followed, choices)
        elif choices.view == "pet":
            said = agreement_text(followed.days.agreement)
            self._show(
                "MPI beside PET", "", said or ["There are no pairs of MPI and PET in two animals or more."], True
            )
        elif choices.view == "arms":
            self._show_half_lives("Half-lives of the arms", followed.decay(choices, ""), followed)
        elif subject is not None:
            rows = followed.decay(choices, subject)
            self._show_half_lives(f"Half-lives of {subject} by {choices.modality}", rows, followed)
        else:
            self.setVisible(False)

    def _show_half_lives(self, title: str, rows: Sequence[DecayRow], followed: Followed) -> None:
        shown = [row for row in rows if row.organ not in ("fiducials", "outside")]
        lines = [f"<tr><td>{_name(row)}&nbsp;</td><td>{escape(_half_life(row))}</td></tr>" for row in shown]
        table = f"<table width='100%' cellspacing='0' cellpadding='2'>{''.join(lines)}</table>"
        flags: dict[str, list[str]] = {}
        for row in shown:
            for flag in filter(None, row.flag.split(";")):
                flags.setdefault(flag, []).append(f"{row.organ}{f' ({row.group})' if not row.subject else ''}")
        said = [f"{', '.join(o)}: {FLAG_WORDS.get(f, f)}." for f, o in flags.items() if f not in _IN_WORDS]
        said += _small_n(followed, is_one=bool(shown) and bool(shown[0].subject))
        self._show(title, table if shown else "", said, not any(row.half_life_days for row in shown))

    def _show_arms(self, followed: Followed, choices: TrackChoices) -> None:
        rows = [row for row in followed.days.arms if row.modality == choices.modality and row.value is not None]
        rows = [row for row in rows if row.measure in _ARM_MEASURES and choices.organ in ("", row.organ)]
        if not rows:
            self._show("Arms compared", "", ["One arm, or fewer than two animals in one: nothing to compare."], True)
            return
        last = max((row.day for row in rows if row.day is not None), default=None)
        lines = ""
        for organ in dict.fromkeys(row.organ for row in rows):
            of_organ = [_arm(row) for row in rows if row.organ == organ and row.day in (None, last)]
            if of_organ:
                words = "<br>".join(map(escape, of_organ))
                lines += f"<tr><td>{_name_of(organ, '')}&nbsp;</td><td>{words}</td></tr>"
        table = f"<table width='100%' cellspacing='0' cellpadding='2'>{lines}</table>"
        title = f"{rows[0].arm} beside {rows[0].other_arm}" + ("" if last is None else f", day {last:g}")
        self._show(title, table, arms_text(followed.study, rows), False, "compared")

    def _show(self, title: str, table: str, said: Sequence[str], is_doubtful: bool, done: str = "fitted") -> None:
        self.title.setText(f"<b>{escape(title)}</b>")
        show_chip(self.chip, "doubtful" if is_doubtful else "good", "no half-life" if is_doubtful else done)
        self.chip.setVisible(bool(table))
        self.table.show_html(table)
        self.table.setVisible(bool(table))
        self.notes.setText("<br>".join(f"• {escape(line)}" for line in said))
        self.notes.setVisible(bool(said))


def _half_life(row: DecayRow) -> str:
    if not row.subject and "too_few_points" in row.flag.split(";"):
        return "No half-life: fewer than two animals have one"
    words = fit_in_words(row)
    return words[:1].upper() + words[1:]


def _name(row: DecayRow) -> str:
    return _name_of(row.organ, row.group if not row.subject else "")


def _name_of(organ: str, group: str) -> str:
    red, green, blue = (round(255 * part) for part in organ_colour(organ))
    square = "" if organ in NOT_ORGANS else f"<span style='color:rgb({red},{green},{blue})'>&#9632;</span> "
    return f"{square}{escape(organ)}{f'<br><small>{escape(group)}</small>' if group else ''}"


def _arm(row: ArmRow) -> str:
    words, unit = _ARM_MEASURES[row.measure]
    value = three_digits(row.value or 0.0)
    interval = ""
    if row.low is not None and row.high is not None:
        interval = f" ({three_digits(row.low)} to {three_digits(row.high)})"
    p = "" if row.p_holm is None else f", p = {row.p_holm:.2g} (Holm)"
    return f"{words}: {value}{unit}{interval}{p}"


def _small_n(followed: Followed, *, is_one: bool) -> list[str]:
    """Return what is to be said of how few the animals are."""
    if is_one:
        return ["This is one animal: its intervals say how well its own curve is known, not how animals differ."]
    counts: dict[str, int] = {}
    for subject in followed.study.subjects:
        counts[subject.group or "all"] = counts.get(subject.group or "all", 0) + 1
    few = [f"{group} {count}" for group, count in counts.items() if count < _FEW]
    return [f"Few animals (n: {', '.join(few)}): one of them can move the interval."] if few else []
