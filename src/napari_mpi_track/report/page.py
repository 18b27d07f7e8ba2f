"""The report: one HTML file that opens without a network and says what was measured, how, and what is missing."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.report.figures import organ_colour
from napari_mpi_track.report.methods_text import NOT_VIABILITY, methods_paragraph
from napari_mpi_track.report.page_alignment import alignment_blocks
from napari_mpi_track.report.page_cohort import cohort_block
from napari_mpi_track.report.page_doubts import doubts
from napari_mpi_track.report.page_facts import (
    Facts,
    calibration_facts,
    calibration_samples,
    injected_unit,
    radiotracer_rows,
    reference_words,
    sample_columns,
    score_rows,
    signal_facts,
    study_facts,
    subject_row,
    tracer_facts,
)
from napari_mpi_track.report.page_subjects import subject_blocks
from napari_mpi_track.report.page_tables import alignment_row, balance_tables, day_in_words, flags_that_occur
from napari_mpi_track.report.results import Failure, StudyResults
from napari_mpi_track.report.study_tables import TABLE_FILES
from napari_mpi_track.report.tables import NOT_ORGANS

_WANTED_KINDS = {"overlay": "png", "alignment": "jpg"}
_SVG_WIDTH = re.compile(rb'width="([0-9.]+)pt"')
_ONE_COLUMN_POINTS = 280.0
_MEDIA = {"png": "image/png", "jpg": "image/jpeg", "svg": "image/svg+xml"}


def report_page(
    study: Study,
    results: StudyResults,
    figures: Mapping[str, bytes],
    failures: Sequence[Failure],
    warnings: Sequence[str],
    provenance: Mapping[str, Any],
) -> str:
    """Return the report as one HTML text, every picture inside it.

    Parameters
    ----------
    study, results
        What was asked, and what came of it.
    figures
        Bytes by file name; curves are taken as SVG, overlays as PNG, alignments as JPEG.
    failures, warnings
        What is missing or not sure.
    provenance
        As written to provenance.json.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("napari_mpi_track", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    images = _images(figures)
    sections = _sections(study, results, images)
    told = {
        "version": provenance["versions"]["napari-mpi-track"],
        "study": study,
        "lead": _lead(study, results),
        "failures": failures,
        "missing": _missing(failures),
        "timepoint_count": sum(len(subject.timepoints) for subject in study.subjects),
        "not_viability": NOT_VIABILITY,
        "day_words": day_in_words,
        "images": images,
        "sizes": _sizes(figures),
        "doubts": doubts(study, results, warnings, provenance.get("overrides", ())),
        "table_names": [name.removesuffix(".csv") for name in TABLE_FILES if name.endswith(".csv")],
        "colours": _Colours(),
        "warnings": list(warnings),
        "overrides": list(provenance.get("overrides", ())),
        "notes": list(provenance.get("notes", ())),
        "inputs": list(provenance["inputs"].items()),
        "version_facts": _version_facts(provenance),
        **sections,
    }
    told["contents"] = _contents(told)
    return environment.get_template("report.html.jinja").render(told)


class _Colours:
    """Organ colours as CSS, for the template."""

    def __getitem__(self, organ: str) -> str:
        red, green, blue = (round(255 * part) for part in organ_colour(organ))
        return f"#{red:02x}{green:02x}{blue:02x}"


def _images(figures: Mapping[str, bytes]) -> dict[str, str]:
    """Return every picture once, as a data URI by name without ending."""
    images = {}
    for file, content in figures.items():
        name, _, kind = file.rpartition(".")
        if kind == _WANTED_KINDS.get(name.partition("_")[0], "svg"):
            images[name] = f"data:{_MEDIA[kind]};base64,{b64encode(content).decode()}"
    return images


def _sizes(figures: Mapping[str, bytes]) -> dict[str, str]:
    """Return how wide every picture is on the page: as one column or two, as it would be in print, or as it is."""
    sizes = {}
    for file, content in figures.items():
        name, _, kind = file.rpartition(".")
        if kind == "svg":
            width = _SVG_WIDTH.search(content[:2000])
            sizes[name] = "two" if width and float(width[1]) > _ONE_COLUMN_POINTS else "one"
        elif kind in ("png", "jpg"):
            sizes.setdefault(name, "photo")
    return sizes


def _missing(failures: Sequence[Failure]) -> list[tuple[int, bool, list[Failure]]]:
    """Return the failures of whole timepoints, then those of parts: how many timepoints, whether whole, and which."""
    kinds = [
        (is_whole, [failure for failure in failures if failure.is_whole is is_whole]) for is_whole in (True, False)
    ]
    return [
        (len({(failure.subject, failure.day) for failure in found}), is_whole, found)
        for is_whole, found in kinds
        if found
    ]


def _sections(study: Study, results: StudyResults, images: Mapping[str, str]) -> dict[str, Any]:
    calibration = results.calibration
    # A group's half-life is one over animals: of a single one there is none, and its own stands beside.
    decay = [row for row in results.decay if row.subject or row.half_life_days is not None]
    return {
        "study_facts": study_facts(study),
        "subjects": [subject_row(subject, study.timezone) for subject in study.subjects],
        "injected_unit": injected_unit(study, results),
        "scores": score_rows(study),
        "tracer_facts": tracer_facts(study, calibration),
        "calibration_facts": [] if calibration is None else calibration_facts(calibration),
        "calibration_samples": [] if calibration is None else calibration_samples(calibration),
        "calibration_columns": sample_columns(calibration),
        "calibration_warnings": () if calibration is None else calibration.weak_points,
        "signal_facts": signal_facts(study, results),
        "alignments": [alignment_row(row) for row in results.alignments],
        "evidence": alignment_blocks(results.alignments, results.evidence, images),
        "reference_words": reference_words(study),
        "retention_at": ", ".join(f"{day:g}" for day in study.retention_at),
        "cohort": cohort_block(study, results, images),
        "subject_pages": subject_blocks(study, results, images),
        "balance": balance_tables(results),
        "budget_pictures": [(name, f"error budget, {name[7:]}") for name in images if name.startswith("budget_")],
        "corrected": [
            words
            for words, is_done in (
                ("spill-over", any(row.spill_in_fraction is not None for row in results.measurements)),
                ("the scanner's drift", study.reference_vial is not None),
            )
            if is_done
        ],
        "flags": flags_that_occur((*results.measurements, *results.retention, *decay)),
        "radiotracers": radiotracer_rows(study),
        "methods": methods_paragraph(study, results),
    }


def _contents(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    sections = (
        ("missing", "What is missing", told["failures"]),
        ("doubts", "What is doubtful", told["doubts"]),
        ("study", "Study", True),
        ("cohort", "All subjects", True),
        ("arms", "Arms", told["cohort"]["arms_text"]),
        ("agreement", "MPI beside PET", told["cohort"]["modalities_part"]),
        ("scores", "Scores", told["cohort"]["scores"]),
        ("alignment", "Alignment", told["alignments"]),
        ("calibration", "Calibration", True),
        ("signal", "Signal", True),
        ("budget", "Error budget", told["budget_pictures"]),
        ("balance", "Balance", told["balance"]),
        ("tracer", "Tracer and scanner", True),
        ("radioactivity", "Radioactivity", told["radiotracers"]),
        ("methods", "Methods", True),
        ("warnings", "Warnings", told["warnings"] or told["overrides"]),
        ("notes", "Notes", told["notes"]),
        ("provenance", "Provenance", True),
    )
    return [(anchor, title) for anchor, title, there in sections if there]


def _lead(study: Study, results: StudyResults) -> str:
    organs = {row.organ for row in results.measurements if row.organ not in NOT_ORGANS}
    subjects, days = len(study.subjects), len(study.days)
    modalities = list(dict.fromkeys(row.modality for row in results.measurements))
    counts = [_counted(subjects, "subject"), _counted(days, "day"), _counted(len(organs), "organ")]
    return f"{' and '.join(modalities) or 'No scan'}: " + ", ".join(counts) + "."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _version_facts(provenance: Mapping[str, Any]) -> Facts:
    seeds = ", ".join(f"{name}: {value}" for name, value in provenance.get("seeds", {}).items())
    return [*provenance["versions"].items(), ("seeds", seeds)]
