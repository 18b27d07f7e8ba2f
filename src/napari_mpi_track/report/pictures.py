"""Every picture of a study, drawn and named: bytes by file name."""

import re
from collections.abc import Sequence
from typing import Any, Literal
from zlib import crc32

from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.report.calibration_figures import calibration_figure
from napari_mpi_track.report.figures import figure_bytes
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

_KINDS: tuple[Literal["svg", "png"], ...] = ("svg", "png")


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
    """Return all figures of a study as SVG and PNG, by file name, sorted.

    Overlays of one modality share one colour scale over all subjects and days, so that they can be compared.
    """
    drawn: dict[str, bytes] = {}
    tops: dict[str, float] = {}
    for overlay in overlays:
        tops[overlay.modality] = max(tops.get(overlay.modality, 0.0), overlay.maximum)
    calls: list[tuple[Any, ...]] = [(overlay, tops[overlay.modality]) for overlay in overlays]
    for number, files in team.each(_drawn_overlay, calls):
        if isinstance(files, Exception):
            raise files
        overlay = overlays[number]
        name = overlay_file(overlay.subject, overlay.day, overlay.modality)
        drawn |= {f"{name}.{kind}": content for kind, content in files.items()}
    for name, figure in _curves(study, results):
        drawn |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in _KINDS}
    return dict(sorted(drawn.items()))


def _drawn_overlay(overlay: Overlay, maximum: float) -> dict[str, bytes]:
    figure = overlay_figure(overlay, maximum=maximum)
    return {kind: figure_bytes(figure, kind) for kind in _KINDS}


def _curves(study: Study, results: StudyResults) -> Any:
    if results.calibration is not None:
        yield "calibration", calibration_figure(results.calibration)
    if results.retention:
        yield "retention", retention_figure(results.retention)
    for subject in study.subjects:
        rows = [row for row in results.retention if row.subject == subject.id]
        if rows:
            fits = [row for row in results.decay if row.subject == subject.id]
            title = f"{subject.id}, {subject.group}" if subject.group else subject.id
            yield file_name("decay", subject.id), decay_figure(rows, fits, title=title)
    for modality in dict.fromkeys(row.modality for row in results.budget):
        rows_of = [row for row in results.budget if row.modality == modality]
        yield file_name("budget", modality), budget_figure(rows_of, title=f"{modality}: what the error is made of")
    for scan in worst_scans(results.budget, results.measurements):
        yield from _of_organs(results, scan)


def _of_organs(results: StudyResults, scan: tuple[str, float, str]) -> Any:
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
    yield organ_file("waterfall", *scan), waterfall_figure(budget, signals, unit, title=title)
    spill = [row for row in results.spill if (row.subject, row.day, row.modality) == scan]
    if spill:
        yield organ_file("spill", *scan), spill_figure(spill, title=f"{where}: where the signal came from")
    rules = [row for row in results.rules if (row.subject, row.day, row.modality) == scan]
    if rules:
        yield organ_file("rules", *scan), rules_figure(rules, unit, title=f"{where}: what each rule keeps")
