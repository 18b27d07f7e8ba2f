"""The report's own figures for the panel Track, and where in them each measured point is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from napari_mpi_track.gui.track_choices import ALL_ORGANS, TrackChoices
from napari_mpi_track.gui.track_results import Followed
from napari_mpi_track.longitudinal.agreement import Pair, pairs_of
from napari_mpi_track.longitudinal.measurement import RetentionRow
from napari_mpi_track.report.cohort_figures import agreement_figure, arms_figure, arms_over_time_figure
from napari_mpi_track.report.retention_figures import decay_figure
from napari_mpi_track.report.tables import FLAG_WORDS, three_digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Anything that draws a figure anew: the screen and every file have their own.
Drawn = tuple["Figure | None", str]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One measured point of a figure: in which of its axes and where in them, whose, of when, and in words."""

    axes: int
    x: float
    y: float
    subject: str
    day: float
    organ: str
    words: str


def figure_of(followed: Followed, choices: TrackChoices, subject: str | None) -> Drawn:
    """Return the figure that the choices ask for, or none and why."""
    if choices.view == "arms":
        return _arms(followed, choices)
    if choices.view == "compared":
        return _compared(followed, choices)
    if choices.view == "pet":
        return _beside_pet(followed, choices)
    if subject is None:
        return None, "Click a day above: the curves are those of its animal."
    rows = followed.retention(choices, subject)
    if not rows:
        return None, f"There is no retention of {subject} by {choices.modality} against this reference."
    group = followed.study.subject(subject).group
    title = f"{subject}, {group}" if group else subject
    return decay_figure(rows, followed.decay(choices, subject), title=title), ""


def _arms(followed: Followed, choices: TrackChoices) -> Drawn:
    rows = followed.retention(choices)
    if not rows:
        return None, f"There is no retention by {choices.modality} against this reference."
    controls = [subject.group for subject in followed.study.subjects if subject.is_control]
    return arms_over_time_figure(rows, controls, title=choices.modality), ""


def _compared(followed: Followed, choices: TrackChoices) -> Drawn:
    rows = [
        row
        for row in followed.days.arms
        if row.modality == choices.modality and choices.organ in (ALL_ORGANS, row.organ)
    ]
    if not rows:
        return None, "There are no two arms to compare: that takes two groups of two animals or more."
    arm, other = rows[0].arm, rows[0].other_arm
    mine = [row for row in rows if (row.arm, row.other_arm) == (arm, other)]
    return arms_figure(mine, title=f"{choices.modality}: {arm} beside {other}"), ""


def _beside_pet(followed: Followed, choices: TrackChoices) -> Drawn:
    rows = _of_organ(followed.days.retention, choices)
    if not pairs_of(rows):
        return None, "There is no PET beside the MPI: that takes organs that both saw on one day."
    agreement = [row for row in followed.days.agreement if choices.organ in (ALL_ORGANS, row.organ)]
    return agreement_figure(rows, agreement, title="MPI beside PET: the same organs, animals and days"), ""


def _of_organ(rows: Iterable[RetentionRow], choices: TrackChoices) -> list[RetentionRow]:
    return [row for row in rows if choices.organ in (ALL_ORGANS, row.organ)]


def points_of(figure: "Figure", followed: Followed, choices: TrackChoices, subject: str | None) -> list[CurvePoint]:
    """Return every measured point of a figure made by :func:`figure_of`."""
    if choices.view == "pet":
        return _paired(pairs_of(_of_organ(followed.days.retention, choices)))
    if choices.view == "animal" and subject is not None:
        return [point for row in followed.retention(choices, subject) if (point := _point(0, row))]
    if choices.view == "arms":
        places = {axes.get_title(loc="left"): at for at, axes in enumerate(figure.axes)}
        rows = [row for row in followed.retention(choices) if row.organ in places]
        return [point for row in rows if (point := _point(places[row.organ], row))]
    return []


def _point(axes: int, row: RetentionRow) -> CurvePoint | None:
    is_hidden = "below_detection" in row.flag.split(";")
    y = row.retention_high if is_hidden else row.retention_percent
    if y is None:
        return None
    if is_hidden:
        value = f"not detected (< {three_digits(y)} %)"
    elif row.retention_low is None or row.retention_high is None:
        value = f"{three_digits(y)} % (no finite interval)"
    else:
        value = f"{three_digits(y)} % ({three_digits(row.retention_low)} to {three_digits(row.retention_high)})"
    flags = [FLAG_WORDS.get(flag, flag) for flag in row.flag.split(";") if flag and flag != "below_detection"]
    words = f"{row.subject}, day {row.day:g}, {row.organ} ({row.modality}): {value} of {row.reference}"
    return CurvePoint(axes, row.day, y, row.subject, row.day, row.organ, "; ".join([words, *flags]))


def _paired(pairs: Sequence[Pair]) -> list[CurvePoint]:
    found = []
    for pair in pairs:
        words = f"{pair.animal}, day {pair.day:g}, {pair.organ}: MPI {three_digits(pair.mpi)} %, PET"
        words += f" {three_digits(pair.pet)} % (ratio {three_digits(pair.mpi / pair.pet)})"
        where = (pair.animal, pair.day, pair.organ, words)
        found.append(CurvePoint(0, pair.pet, pair.mpi, *where))
        found.append(CurvePoint(1, sqrt(pair.mpi * pair.pet), pair.mpi / pair.pet, *where))
    return found
