"""What stands at the head of a report: all that is doubtful in it, with the way to where it is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.registration.alignment import Verdict
from napari_mpi_track.report.page_subjects import anchor_of
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.tables import FLAG_WORDS

# Flags that state a finding (not detected, rising, bone's free isotope) are no doubts of the numbers beside them.
_FINDINGS = ("below_detection", "rising", "free_89Zr", "no_calibration", "physiological_uptake", "small_n")
_MOST_ORGANS = 6


@dataclass(frozen=True, slots=True)
class Doubt:
    """One line: what is doubtful, why or where in words, and links (anchor, words)."""

    what: str
    detail: str
    links: tuple[tuple[str, str], ...]


def doubts(study: Study, results: StudyResults, warnings: Sequence[str], overrides: Sequence[str]) -> list[Doubt]:
    """Return what is doubtful in a study, alignments first: what they spoil, everything after them holds."""
    return [
        *_of_alignments(results),
        *_of_calibration(results, overrides),
        *_of_flags(study, results),
        *_of_warnings(warnings),
    ]


def _of_alignments(results: StudyResults) -> list[Doubt]:
    found = [row for row in results.alignments if row.verdict != Verdict.GOOD]
    return [
        Doubt(
            f"{row.verdict} alignment",
            f"{row.subject}, day {row.day:g}, {row.moving} to {row.fixed}" + (f": {row.reason}" if row.reason else ""),
            (("alignment", "evidence"),),
        )
        for row in found
    ]


def _of_calibration(results: StudyResults, overrides: Sequence[str]) -> list[Doubt]:
    weak = () if results.calibration is None else results.calibration.weak_points
    found = [Doubt("calibration", sentence, (("calibration", "curve"),)) for sentence in weak]
    if overrides:
        count = f"{len(overrides)} difference{'s' if len(overrides) > 1 else ''} overridden by the user"
        found.append(Doubt("calibration of other conditions", count, (("warnings", "overrides"),)))
    return found


def _of_flags(study: Study, results: StudyResults) -> list[Doubt]:
    """Return a line a flag: what it says, which organs have it, and the subjects to look at."""
    organs: dict[str, dict[str, None]] = {}
    subjects: dict[str, dict[str, None]] = {}
    rows: list[Any] = [*results.measurements, *results.retention, *(row for row in results.decay if row.subject)]
    for row in rows:
        for flag in row.flag.split(";"):
            if flag and flag not in _FINDINGS:
                organs.setdefault(flag, {})[row.organ] = None
                subjects.setdefault(flag, {})[row.subject] = None
    return [
        Doubt(
            flag.replace("_", " "),
            f"{_listed(list(organs[flag]))}: {FLAG_WORDS.get(flag, '')}",
            tuple((anchor_of(study, subject), subject) for subject in subjects[flag]),
        )
        for flag in sorted(organs)
    ]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_ORGANS])
    return shown if len(names) <= _MOST_ORGANS else f"{shown} and {len(names) - _MOST_ORGANS} more"


def _of_warnings(warnings: Sequence[str]) -> list[Doubt]:
    if not warnings:
        return []
    count = f"{len(warnings)} sentence{'s' if len(warnings) > 1 else ''} on what could not be done or is not sure"
    return [Doubt("warnings", count, (("warnings", "read them"),))]
