"""The report's part on all subjects together: groups, arms, MPI beside PET, scores, divisions."""

from collections.abc import Mapping
from typing import Any

from napari_mpi_track.longitudinal.measurement import AgreementRow, ArmRow, DivisionRow, ScoreRow
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.report.comparison_text import agreement_text, arms_text
from napari_mpi_track.report.page_tables import decay_row
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.tables import flags_in_words, number_in_words, three_digits

_MEASURES = {
    "retention_difference": "difference of retention (percentage points)",
    "retention_ratio": "ratio of retention",
    "retention_hedges_g": "effect size of retention (Hedges' g)",
    "retention_corrected_for_free_label": "retention corrected for free label (%)",
    "signal_per_ug_iron_difference": "difference of signal per µg of iron",
    "signal_per_ug_iron_ratio": "ratio of signal per µg of iron",
    "signal_per_ug_iron_hedges_g": "effect size of signal per µg of iron (Hedges' g)",
    "half_life_ratio": "ratio of half-lives",
    "deming_slope": "Deming's slope of MPI against PET",
    "deming_intercept": "Deming's intercept (%)",
    "deming_error_ratio": "ratio of the errors' variances, MPI to PET",
    "concordance": "Lin's concordance",
    "bland_altman_bias": "mean of log(MPI/PET)",
    "bland_altman_lower_limit": "lower limit of agreement, log(MPI/PET)",
    "bland_altman_upper_limit": "upper limit of agreement, log(MPI/PET)",
    "bland_altman_ratio": "mean ratio MPI/PET",
}
_BY_DAY = "bland_altman_ratio_day_"
_FEW = 10


def cohort_block(study: Study, results: StudyResults, images: Mapping[str, str]) -> dict[str, Any]:
    """Return what the report shows of all subjects together; empty parts where there is nothing to compare."""
    groups = [row for row in results.decay if not row.subject and row.half_life_days is not None]
    return {
        "sizes": group_sizes(study),
        "retention_picture": "retention" if "retention" in images else "",
        "arm_pictures": _named(images, "cohort_") + _named(images, "arms_"),
        "decay": [decay_row(row) for row in groups],
        "arms": [_arm_row(row) for row in results.arms],
        "arms_text": arms_text(study, results.arms) or _control_alone(study),
        "agreement_picture": "agreement" if "agreement" in images else "",
        "agreement": [_agreement_row(row) for row in results.agreement],
        "agreement_text": agreement_text(results.agreement),
        "modalities_part": modalities_part(results),
        "score_pictures": _named(images, "scores_"),
        "scores": [_score_row(row) for row in results.scores],
        "divisions": [_division_row(row) for row in results.divisions],
    }


def group_sizes(study: Study) -> str:
    """Return how many animals every group has, and what few of them mean."""
    counts = {s.group: sum(t.group == s.group for t in study.subjects) for s in study.subjects}
    told = "; ".join(f"{group or 'no group'}: n = {count}" for group, count in counts.items())
    if min(counts.values()) >= _FEW:
        return f"{told}."
    if max(counts.values()) == 1:
        return f"{told}. One animal is an observation: nothing here is said of a population."
    return f"{told}. These are few: intervals over animals rest on normal scatter, and one animal can move them."


def _control_alone(study: Study) -> list[str]:
    """Return what a control arm of too few animals shows, and what not; nothing without one."""
    if not any(subject.is_control for subject in study.subjects):
        return []
    return [
        "The arms have fewer than two animals each: they stand beside each other, and no difference is computed.",
        "The control arm was given label without cells: it shows how free label leaves. What the labelled arm keeps "
        "beyond it is no proof that cells live, since the label of dead cells stays in macrophages.",
    ]


def modalities_part(results: StudyResults) -> list[str]:
    """Return which way MPI and PET are known to err, where both are in the study."""
    modalities = {row.modality for row in results.measurements}
    if not ("MPI" in modalities and modalities & {"PET", "SPECT"}):
        return []
    organs = {row.organ.lower() for row in results.measurements}
    told = [
        "MPI sees iron and PET sees the isotope: neither sees whether a cell lives, and each label goes its own way "
        "once the cell has died."
    ]
    if any("bone" in organ or "marrow" in organ or "femur" in organ for organ in organs):
        told.append("Bone: 89Zr that dead cells set free settles in bone, so PET reads bone too high; MPI does not.")
    if any("liver" in organ or "spleen" in organ for organ in organs):
        told.append(
            "Liver and spleen: macrophages keep the iron of dead cells, so MPI reads them too high late in a study; "
            "89Zr of dead cells is in part kept there too, in part carried to bone."
        )
    return told


def _named(images: Mapping[str, str], beginning: str) -> list[tuple[str, str]]:
    return [(name, name.replace("_", " ")) for name in images if name.startswith(beginning)]


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{three_digits(low)} to {three_digits(high)}"


def _arm_row(row: ArmRow) -> list[str]:
    return [
        row.modality,
        row.organ,
        "" if row.day is None else f"{row.day:g}",
        _MEASURES.get(row.measure, row.measure.replace("_", " ")),
        f"{row.arm} / {row.other_arm}" if "ratio" in row.measure else f"{row.arm} - {row.other_arm}",
        number_in_words(row.value),
        _interval(row.low, row.high),
        f"{row.animals}, {row.other_animals}",
        _p_in_words(row.p),
        _p_in_words(row.p_holm),
        flags_in_words(row.flag),
    ]


def _p_in_words(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _agreement_row(row: AgreementRow) -> list[str]:
    day = row.measure.removeprefix(_BY_DAY) if row.measure.startswith(_BY_DAY) else ""
    words = f"mean ratio MPI/PET, day {day}" if day else _MEASURES.get(row.measure, row.measure.replace("_", " "))
    interval = _interval(row.low, row.high)
    return [row.organ, words, number_in_words(row.value), interval, str(row.animals), str(row.pairs)]


def _score_row(row: ScoreRow) -> list[str]:
    return [
        f"{row.score}, {row.measure} by day {row.score_day:g}",
        row.modality,
        row.organ,
        f"{row.day:g}",
        "" if row.spearman is None else f"{row.spearman:.2f}",
        "" if row.low is None or row.high is None else f"{row.low:.2f} to {row.high:.2f}",
        str(row.animals),
        flags_in_words(row.flag),
    ]


def _division_row(row: DivisionRow) -> list[str]:
    return [
        row.subject,
        f"{row.day:g}",
        row.modality,
        row.organ,
        number_in_words(row.founder_cells),
        f"{row.divisions:.2f} ± {row.divisions_sd:.2g}",
        number_in_words(row.cells_if_none_died),
        _interval(row.low, row.high),
    ]
