"""Every picture of a study, drawn and named: bytes by file name."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from napari_mpi_track.longitudinal.agreement import pairs_of
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.report.calibration_figures import calibration_figure
from napari_mpi_track.report.cohort_figures import (
    agreement_figure,
    arms_figure,
    arms_over_time_figure,
    scores_figure,
)
from napari_mpi_track.report.dynamic_figures import dynamic_figure
from napari_mpi_track.report.figures import FigureKind, figure_bytes
from napari_mpi_track.report.organ_figures import (
    budget_figure,
    rules_figure,
    spill_figure,
    waterfall_figure,
    worst_scans,
)
from napari_mpi_track.report.overlay import Overlay, overlay_figure
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.retention_figures import decay_figure, retention_figure
from napari_mpi_track.report.workers import Workers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KINDS: tuple[FigureKind, ...] = ("svg", "png", "pdf")
# A journal asks for 300 dots an inch of curves; a scan's voxels are coarser than 200, and the page holds every day's.
_DOTS_PER_INCH, _OF_SCANS = 300, 200

# A figure's name without ending, the function that draws it, and what that is given.
Drawing = tuple[str, Callable[..., "Figure"], tuple[Any, ...], dict[str, Any]]


def file_name(*parts: str) -> str:
    """Return a file's name made of ``parts``: what a file system may refuse is replaced, different names differ."""
    text = "_".join(parts)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    return plain if plain == text else f"{plain}-{crc32(text.encode()):08x}"


def overlay_file(subject: str, day: float, modality: str) -> str:
    """Return the name of the files of one timepoint's picture, without ending."""
    return file_name("overlay", subject, f"day{day:g}", modality)


def evidence_file(transform: str) -> str:
    """Return the name of the file of one alignment's pictures, by its transform's, without ending."""
    return file_name("alignment", transform)


def organ_file(kind: str, subject: str, day: float, modality: str) -> str:
    """Return the name of the files of one figure of a scan's organs (waterfall, spill, rules), without ending."""
    return file_name(kind, subject, f"day{day:g}", modality)


def draw_all(study: Study, results: StudyResults, overlays: Sequence[Overlay], team: Workers) -> dict[str, bytes]:
    """Return all figures of a study as SVG, PNG and PDF, by file name, sorted.

    Overlays of one modality share one colour scale over all subjects and days, so that they can be compared.
    """
    tops: dict[str, float] = {}
    for overlay in overlays:
        tops[overlay.modality] = max(tops.get(overlay.modality, 0.0), overlay.maximum)
    drawings: list[Drawing] = [
        (overlay_file(o.subject, o.day, o.modality), overlay_figure, (o,), {"maximum": tops[o.modality]})
        for o in overlays
    ]
    drawings += _figures(study, results)
    drawn: dict[str, bytes] = {}
    for _, files in team.each(_drawn, drawings):
        if isinstance(files, Exception):
            raise files
        drawn |= files
    return dict(sorted(drawn.items()))


def _drawn(
    name: str, function: Callable[..., "Figure"], given: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, bytes]:
    figure = function(*given, **named)
    if figure.get_layout_engine() is not None:
        # Laid out once: each file would do it again, which takes as long as to draw it.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    dots = _OF_SCANS if function is overlay_figure else _DOTS_PER_INCH
    return {f"{name}.{kind}": figure_bytes(figure, kind, dots_per_inch=dots) for kind in _KINDS}


def _figures(study: Study, results: StudyResults) -> Iterator[Drawing]:
    if results.calibration is not None:
        yield "calibration", calibration_figure, (results.calibration,), {}
    if results.retention:
        yield "retention", retention_figure, (results.retention,), {}
    yield from _of_cohort(study, results)
    for subject in study.subjects:
        rows = [row for row in results.retention if row.subject == subject.id]
        if rows:
            fits = [row for row in results.decay if row.subject == subject.id]
            title = f"{subject.id}, {subject.group}" if subject.group else subject.id
            yield file_name("decay", subject.id), decay_figure, (rows, fits), {"title": title}
    for scan in dict.fromkeys((row.subject, row.day, row.modality) for row in results.dynamic):
        frames = [row for row in results.dynamic if (row.subject, row.day, row.modality) == scan]
        title = f"{scan[0]}, day {scan[1]:g}, {scan[2]}: signal over time"
        yield organ_file("dynamic", *scan), dynamic_figure, (frames, results.units_of(scan[2]).total), {"title": title}
    for modality in dict.fromkeys(row.modality for row in results.budget):
        rows_of = [row for row in results.budget if row.modality == modality]
        title = f"{modality}: what the error is made of"
        yield file_name("budget", modality), budget_figure, (rows_of,), {"title": title}
    for scan in worst_scans(results.budget, results.measurements):
        yield from _of_organs(results, scan)


def _of_cohort(study: Study, results: StudyResults) -> Iterator[Drawing]:
    """Yield the figures of all subjects together, as far as there is more than one, or more than one modality."""
    controls = [subject.group for subject in study.subjects if subject.is_control]
    if len({subject.group for subject in study.subjects}) > 1:
        for modality in dict.fromkeys(row.modality for row in results.retention):
            rows = [row for row in results.retention if row.modality == modality]
            yield file_name("cohort", modality), arms_over_time_figure, (rows, controls), {"title": modality}
    for modality, arm, other in dict.fromkeys((row.modality, row.arm, row.other_arm) for row in results.arms):
        arms = [row for row in results.arms if (row.modality, row.arm, row.other_arm) == (modality, arm, other)]
        title = f"{modality}: {arm} beside {other}"
        yield file_name("arms", modality, arm), arms_figure, (arms,), {"title": title}
    if pairs_of(results.retention):
        given = results.retention, results.agreement
        yield "agreement", agreement_figure, given, {"title": "MPI beside PET: the same organs, animals and days"}
    for score, modality in dict.fromkeys((row.score, row.modality) for row in results.scores):
        scores = [row for row in results.scores if (row.score, row.modality) == (score, modality)]
        title = f"{score} ({scores[0].measure} by day {scores[0].score_day:g}) against {modality}"
        yield file_name("scores", score, modality), scores_figure, (scores,), {"title": title}


def _of_organs(results: StudyResults, scan: tuple[str, float, str]) -> Iterator[Drawing]:
    """Yield the figures of one scan's organs: what their errors are made of, what spilled where, what rules keep."""
    subject, day, modality = scan
    unit = results.units_of(modality).total
    where = f"{subject}, day {day:g}, {modality}"
    signals = {
        row.organ: row.signal_total if row.signal_total_corrected is None else row.signal_total_corrected
        for row in results.measurements
        if (row.subject, row.day, row.modality) == scan and row.signal_total is not None
    }
    budget = [row for row in results.budget if (row.subject, row.day, row.modality) == scan]
    title = f"{where}: the error of each organ, term by term"
    yield organ_file("waterfall", *scan), waterfall_figure, (budget, signals, unit), {"title": title}
    spill = [row for row in results.spill if (row.subject, row.day, row.modality) == scan]
    if spill:
        title = f"{where}: where the signal came from"
        yield organ_file("spill", *scan), spill_figure, (spill,), {"title": title}
    rules = [row for row in results.rules if (row.subject, row.day, row.modality) == scan]
    if rules:
        yield organ_file("rules", *scan), rules_figure, (rules, unit), {"title": f"{where}: what each rule keeps"}
