"""The report's page of each subject: its scans, curves, organs and pictures, one below the other."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_mpi_track.longitudinal.study import ScanFile, Study, Subject, Timepoint
from napari_mpi_track.report.page_facts import subject_row, time_in_words
from napari_mpi_track.report.page_tables import day_in_words, decay_row, organ_tables, retention_tables
from napari_mpi_track.report.pictures import file_name, organ_file, overlay_file
from napari_mpi_track.report.provenance import told_from
from napari_mpi_track.report.results import StudyResults

Named = list[tuple[str, str]]
_MODALITIES = ("MPI", "PET", "SPECT", "19F", "BLI")
_OF_ORGANS = (("waterfall", "error by term"), ("spill", "spill-over"), ("rules", "rules compared"))


def anchor_of(study: Study, subject: str) -> str:
    """Return where a subject's page begins; by its number, since names may hold what an address may not."""
    return f"subject-{[person.id for person in study.subjects].index(subject) + 1}"


def subject_blocks(study: Study, results: StudyResults, images: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what every subject's page shows, in the study's order."""
    return [_block(study, subject, results, images) for subject in study.subjects]


def _block(study: Study, subject: Subject, results: StudyResults, images: Mapping[str, str]) -> dict[str, Any]:
    mine = replace(
        results,
        measurements=tuple(row for row in results.measurements if row.subject == subject.id),
        retention=tuple(row for row in results.retention if row.subject == subject.id),
        decay=tuple(row for row in results.decay if row.subject == subject.id),
    )
    decay = file_name("decay", subject.id)
    return {
        "anchor": anchor_of(study, subject.id),
        "id": subject.id,
        "facts": subject_row(subject, study.timezone),
        "scans": [_scan_row(study, timepoint) for timepoint in subject.timepoints],
        "decay_picture": decay if decay in images else "",
        "retention": retention_tables(mine.retention),
        "decay": [decay_row(row) for row in mine.decay],
        "organs": organ_tables(mine),
        "pictures": _pictures(subject, images),
        "over_time": _over_time(subject, images),
        "errors": _errors(subject, images),
    }


def _scan_row(study: Study, timepoint: Timepoint) -> list[str]:
    """Return one day's scans: when they were made, which files, and what is known of the decay correction."""
    folder = study.file.parent
    scans = (timepoint.mpi, timepoint.anatomy, timepoint.pet, timepoint.fluorine, timepoint.bli)
    mpi = f"signal {timepoint.signal:g}, no image" if timepoint.signal is not None else _file(timepoint.mpi, folder)
    beside = (*scans[2:], timepoint.dynamic, timepoint.ex_vivo)
    further = ", ".join(_file(scan, folder) for scan in beside if scan is not None)
    organs = "" if timepoint.organs is None else told_from(folder, timepoint.organs)
    return [
        day_in_words(timepoint.day),
        time_in_words(timepoint.time, study.timezone),
        mpi,
        _file(timepoint.anatomy, folder),
        further,
        "" if timepoint.pet is None else timepoint.decay_corrected_to or "as the file says",
        organs,
    ]


def _file(scan: ScanFile | Path | None, folder: Path) -> str:
    if scan is None:
        return ""
    return told_from(folder, scan.path if isinstance(scan, ScanFile) else scan)


def _pictures(subject: Subject, images: Mapping[str, str]) -> Named:
    """Return the pictures of a subject, one modality after the other, so that days stand side by side."""
    return [
        (name, f"{modality} of {subject.id}, {day_in_words(timepoint.day)}")
        for modality in _MODALITIES
        for timepoint in subject.timepoints
        if (name := overlay_file(subject.id, timepoint.day, modality)) in images
    ]


def _over_time(subject: Subject, images: Mapping[str, str]) -> Named:
    """Return the curves of a subject's dynamic scans."""
    return [
        (name, f"dynamic {modality} of {subject.id}, {day_in_words(timepoint.day)}")
        for timepoint in subject.timepoints
        for modality in _MODALITIES
        if (name := organ_file("dynamic", subject.id, timepoint.day, modality)) in images
    ]


def _errors(subject: Subject, images: Mapping[str, str]) -> Named:
    """Return the figures of a subject's worst scans: errors term by term, spill-over, rules."""
    return [
        (name, f"{words} of {subject.id}, {day_in_words(timepoint.day)}")
        for modality in _MODALITIES[:3]
        for timepoint in subject.timepoints
        for kind, words in _OF_ORGANS
        if (name := organ_file(kind, subject.id, timepoint.day, modality)) in images
    ]
