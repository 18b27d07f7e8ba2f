"""The report: one HTML file that opens without a network and says what was measured, how, and what is missing."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.longitudinal.measurement import AlignmentRow, DecayRow, Measurement, RetentionRow
from napari_mpi_track.longitudinal.study import Study, Subject
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.half_lives import half_life_h
from napari_mpi_track.report.figures import organ_colour
from napari_mpi_track.report.methods_text import NOT_VIABILITY, methods_paragraph, point_spread_in_words
from napari_mpi_track.report.pictures import overlay_file
from napari_mpi_track.report.results import Failure, StudyResults
from napari_mpi_track.report.tables import (
    FLAG_WORDS,
    NOT_ORGANS,
    cells_in_words,
    flags_in_words,
    in_reading_order,
    number_in_words,
    three_digits,
    uncorrected_in_words,
)

Facts = list[tuple[str, str | None]]


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
        Bytes by file name; curves are taken as SVG, overlays as PNG.
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
        "timepoint_count": sum(len(subject.timepoints) for subject in study.subjects),
        "not_viability": NOT_VIABILITY,
        "day_words": day_in_words,
        "images": images,
        "colours": _Colours(),
        "warnings": list(warnings),
        "overrides": list(provenance.get("overrides", ())),
        "inputs": list(provenance["inputs"].items()),
        "version_facts": _version_facts(provenance),
        **sections,
    }
    told["contents"] = _contents(told)
    return environment.get_template("report.html.jinja").render(told)


def day_in_words(day: float) -> str:
    """Return a day as a person says it."""
    return f"day {day:g} (before injection)" if day < 0 else f"day {day:g}"


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
        if kind == ("png" if name.startswith("overlay") else "svg"):
            media = "image/png" if kind == "png" else "image/svg+xml"
            images[name] = f"data:{media};base64,{b64encode(content).decode()}"
    return images


def _sections(study: Study, results: StudyResults, images: Mapping[str, str]) -> dict[str, Any]:
    calibration = results.calibration
    return {
        "study_facts": _study_facts(study),
        "subjects": [_subject_row(subject) for subject in study.subjects],
        "scores": _scores(study),
        "tracer_facts": _tracer_facts(study, calibration),
        "calibration_facts": [] if calibration is None else _calibration_facts(calibration),
        "calibration_warnings": () if calibration is None else calibration.weak_points,
        "signal_facts": _signal_facts(study, results),
        "alignments": [_alignment(row) for row in results.alignments],
        "pictures": _pictures(study, images),
        "reference_words": _reference_words(study),
        "retention": _retention_tables(results.retention),
        "decay": [_decay(row) for row in results.decay if row.subject or row.half_life_days is not None],
        "decay_pictures": [(name, f"decay, {name[6:]}") for name in images if name.startswith("decay_")],
        "budget_pictures": [(name, f"error budget, {name[7:]}") for name in images if name.startswith("budget_")],
        "corrected": any(row.signal_total_corrected is not None for row in results.measurements),
        "organs": _organ_tables(results.measurements, calibration),
        "flags": _flags(results),
        "radiotracers": _radiotracers(study),
        "methods": methods_paragraph(study, calibration, results.measurements, results.alignments, results.decay),
    }


def _contents(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    sections = (
        ("missing", "What is missing", told["failures"]),
        ("study", "Study", True),
        ("retention", "Retention and decay", told["retention"] or told["decay"]),
        ("organs", "Organs in cells", True),
        ("pictures", "Pictures", told["pictures"]),
        ("alignment", "Alignment", told["alignments"]),
        ("calibration", "Calibration", True),
        ("signal", "Signal", True),
        ("budget", "Error budget", told["budget_pictures"]),
        ("tracer", "Tracer and scanner", True),
        ("radioactivity", "Radioactivity", told["radiotracers"]),
        ("methods", "Methods", True),
        ("warnings", "Warnings", told["warnings"] or told["overrides"]),
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


def _study_facts(study: Study) -> Facts:
    return [
        ("study file", study.file.name),
        ("subjects", str(len(study.subjects))),
        ("days", ", ".join(f"{day:g}" for day in study.days)),
        ("time zone", study.timezone),
        ("retention against", _reference_words(study)),
    ]


def _reference_words(study: Study) -> str:
    words = {"injected": "the injected signal", "first": "the first scan after injection"}
    return words.get(study.reference, f"the scan of day {study.reference}")


def _subject_row(subject: Subject) -> dict[str, str]:
    given = subject.injection
    return {
        "id": subject.id,
        "group": subject.group,
        "arm": "control, no cells" if subject.is_control else "labelled cells",
        "weight": number_in_words(subject.weight_g),
        "time": _time_in_words(given.time),
        "cells": number_in_words(given.cells),
        "signal": number_in_words(given.signal),
        "residue": number_in_words(given.residue_signal),
        "iron": number_in_words(given.iron_ug),
        "days": ", ".join(f"{t.day:g}" for t in subject.timepoints),
    }


def _time_in_words(time: datetime | None) -> str:
    return "not stated" if time is None else time.isoformat(sep=" ", timespec="minutes")


def _scores(study: Study) -> list[tuple[str, str, str]]:
    return [
        (subject.id, name, ", ".join(f"{day:g}: {value:g}" for day, value in sorted(values.items())))
        for subject in study.subjects
        for name, values in subject.scores.items()
    ]


def _stated(study: Study, calibration: Calibration | None, *names: str) -> str | None:
    """Return what the calibration or the study says under one of several names."""
    stated = {} if study.calibration is None else study.calibration.stated
    for name in names:
        known = getattr(calibration, name, None) if calibration is not None else None
        if known is not None or stated.get(name):
            return str(known if known is not None else stated[name])
    return None


def _tracer_facts(study: Study, calibration: Calibration | None) -> Facts:
    wanted = (
        ("vendor", ("vendor",)),
        ("batch", ("batch",)),
        ("iron concentration", ("iron_concentration", "iron_mg_per_ml")),
        ("cell type", ("cell_type",)),
        ("labelling", ("labelling",)),
        ("labelling efficiency", ("labelling_efficiency", "efficiency")),
        ("viability", ("viability",)),
        ("scanner", ("scanner",)),
        ("scan mode", ("scan_mode",)),
        ("gradient", ("gradient",)),
        ("drive field", ("drive_field",)),
        ("field of view", ("field_of_view",)),
        ("reconstruction", ("reconstruction",)),
    )
    tracer = study.tracer or _stated(study, calibration, "tracer")
    return [("tracer", tracer), *((name, _stated(study, calibration, *keys)) for name, keys in wanted)]


def _calibration_facts(calibration: Calibration) -> Facts:
    unit = "cells" if calibration.x_quantity == "cells" else "ng iron"
    per = "cell" if calibration.x_quantity == "cells" else "ng"
    levels = len(set(calibration.x.tolist()))
    low, high = (three_digits(x) for x in calibration.x_range)
    fit = calibration.lack_of_fit
    dimensions = {2: "2-D projection", 3: "3-D"}.get(calibration.dimensions or 0)
    blank = calibration.blank_mean_3_sd
    return [
        ("kind", str(calibration.kind)),
        ("samples", f"{calibration.n} at {levels} levels, blanks included"),
        ("intercept a", f"{three_digits(calibration.intercept)} ± {three_digits(calibration.intercept_se)} (SE)"),
        ("slope b", f"{calibration.slope:.4g} ± {calibration.slope_se:.2g} (SE) per {per}"),
        ("R²", f"{calibration.r_squared:.5f}"),
        ("residual SD s(y|x)", three_digits(calibration.residual_sd)),
        ("weights", f"{calibration.weights} (variance: {calibration.variance_model.form})"),
        ("range, without blanks", f"{low} to {high} {unit}"),
        ("decision limit (5 % false positives)", f"{three_digits(calibration.decision_limit)} {unit}"),
        ("detection limit (5 % missed)", f"{three_digits(calibration.detection_limit)} {unit}"),
        ("LOD, 3.3 s/b", f"{three_digits(calibration.lod_3_3_sd)} {unit}"),
        ("LOQ, 10 s/b", f"{three_digits(calibration.loq_10_sd)} {unit}"),
        ("mean of blanks + 3 SD", None if blank is None else f"{three_digits(blank)} (signal)"),
        ("lack of fit", None if fit is None else f"F = {fit.f_ratio:.3g}, p = {fit.p_value:.2g}"),
        ("measured as", None if calibration.metric is None else f"{calibration.metric} signal"),
        ("rule of the total", calibration.total_rule),
        ("dimensions", dimensions),
        ("date", calibration.date),
    ]


def _signal_facts(study: Study, results: StudyResults) -> Facts:
    noise = [row.noise_sd for row in results.measurements if row.noise_sd and row.modality == "MPI"]
    spread = f"SD {three_digits(min(noise))} to {three_digits(max(noise))} over the scans" if noise else None
    corrected = any(row.signal_total_corrected is not None for row in results.measurements)
    background = {row.background_mean for row in results.measurements if row.background_mean is not None}
    organ_names = None if study.organ_names is None else study.organ_names.name
    return [
        ("metric", f"{study.signal_metric} signal"),
        ("noise of one voxel (MPI)", spread),
        ("noise rule", "correlated noise: autocovariance of the background carried into every total"),
        ("pictures", "clear below 5 x the SD of the noise"),
        ("receiver saturation", "not corrected" if study.saturation is None else f"corrected, {study.saturation.name}"),
        ("background", f"one per scan: {_span(background)}" if background else "none subtracted"),
        ("organs", "labels drawn beforehand" + (f", named by {organ_names}" if organ_names else "")),
        ("spill-over", "geometric transfer matrix" if corrected else "not corrected"),
        ("point spread", None if study.psf is None else point_spread_in_words(study.psf)),
        ("point spread of PET", None if study.pet_psf is None else point_spread_in_words(study.pet_psf)),
    ]


def _span(values: set[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def _alignment(row: AlignmentRow) -> dict[str, str]:
    return {
        "subject": row.subject,
        "day": f"{row.day:g}",
        "moving": row.moving,
        "fixed": row.fixed,
        "method": row.method,
        "model": row.model,
        "verdict": row.verdict,
        "rms": "" if row.fiducial_rms_mm is None else f"{row.fiducial_rms_mm:.3f}",
        "error": "" if row.expected_target_error_mm is None else f"{row.expected_target_error_mm:.3f}",
        "metric": number_in_words(row.metric),
        "reason": row.reason,
    }


def _pictures(study: Study, images: Mapping[str, str]) -> list[tuple[str, list[tuple[str, str]]]]:
    found = []
    for subject in study.subjects:
        names = []
        for timepoint in subject.timepoints:
            for modality in ("MPI", "PET", "SPECT", "19F", "BLI"):
                name = overlay_file(subject.id, timepoint.day, modality)
                if name in images:
                    names.append((name, f"{modality} of {subject.id}, {day_in_words(timepoint.day)}"))
        if names:
            found.append((subject.id, names))
    return found


def _retention_tables(rows: Sequence[RetentionRow]) -> list[dict[str, Any]]:
    tables = []
    for subject, group, modality in dict.fromkeys((row.subject, row.group, row.modality) for row in rows):
        mine = [row for row in rows if (row.subject, row.group, row.modality) == (subject, group, modality)]
        days = sorted({row.day for row in mine})
        by_place = {(row.organ, row.day): row for row in mine}
        organs = dict.fromkeys(row.organ for row in mine)
        lines = [
            {"organ": organ, "cells": [_retention_cell(by_place.get((organ, day))) for day in days]} for organ in organs
        ]
        who = subject or f"group {group}"
        tables.append({"title": f"{who}, {modality}", "days": [f"{day:g}" for day in days], "rows": lines})
    return tables


def _retention_cell(row: RetentionRow | None) -> str:
    if row is None:
        return ""
    if "below_detection" in row.flag.split(";"):
        return "not detected" if row.retention_high is None else f"not detected (< {three_digits(row.retention_high)})"
    if row.retention_percent is None:
        return ""
    if row.retention_low is None or row.retention_high is None:
        return f"{three_digits(row.retention_percent)}"
    low, high = three_digits(row.retention_low), three_digits(row.retention_high)
    return f"{three_digits(row.retention_percent)} ({low} to {high})"


def _decay(row: DecayRow) -> dict[str, str]:
    low, high = row.half_life_low_days, row.half_life_high_days
    interval = ""
    if row.half_life_days is not None and (low is not None or high is not None):
        lower = three_digits(low) if low is not None else "0"
        interval = f"{lower} to {three_digits(high)}" if high is not None else f"at least {lower}"
    return {
        "subject": row.subject or "all of the group",
        "group": row.group,
        "modality": row.modality,
        "organ": row.organ,
        "model": row.model or "none",
        "half_life": number_in_words(row.half_life_days),
        "interval": interval,
        "plateau": number_in_words(row.plateau_percent),
        "r_squared": "" if row.r_squared is None else f"{row.r_squared:.3f}",
        "points": f"{row.points} ({row.censored_points})",
        "flags": flags_in_words(row.flag),
    }


def _organ_tables(measurements: Sequence[Measurement], calibration: Calibration | None) -> list[dict[str, Any]]:
    """Return one table a subject and modality, its rows by day, with only the columns that hold something."""
    tables = []
    for subject, modality in dict.fromkeys((row.subject, row.modality) for row in measurements):
        mine = [row for row in measurements if (row.subject, row.modality) == (subject, modality)]
        shown = [column for column in _organ_columns(calibration) if any(column[2](row) for row in mine)]
        days = [
            {
                "words": day_in_words(day),
                "rows": [
                    {
                        "organ": row.organ,
                        "rest": row.organ in NOT_ORGANS,
                        "cells": [value(row) for _, _, value in shown],
                    }
                    for row in in_reading_order(r for r in mine if r.day == day)
                ],
            }
            for day in sorted({row.day for row in mine})
        ]
        group = f", {mine[0].group}" if mine[0].group else ""
        columns = [(name, numeric) for name, numeric, _ in shown]
        tables.append({"title": f"{subject}{group}: {modality}", "columns": columns, "days": days})
    return tables


def _organ_columns(calibration: Calibration | None) -> list[tuple[str, bool, Any]]:
    iron = calibration is not None and calibration.x_quantity == "iron_ng"
    amount = "apparent iron (95 % interval)" if iron else "apparent cells (95 % interval)"
    return [
        (amount, False, cells_in_words),
        ("uncorrected cells", True, lambda row: uncorrected_in_words(row, calibration)),
        ("signal total ± SD", True, _signal_in_words),
        ("corrected signal", True, lambda row: number_in_words(row.signal_total_corrected)),
        ("spill-in (%)", True, lambda row: _percent(row.spill_in_fraction)),
        ("kBq", True, lambda row: number_in_words(row.activity_kBq)),
        ("%ID", True, lambda row: number_in_words(row.percent_id)),
        ("%ID/g", True, lambda row: number_in_words(row.percent_id_per_g)),
        ("SUV mean", True, lambda row: number_in_words(row.suv_mean)),
        ("flags", False, lambda row: flags_in_words(row.flag)),
    ]


def _signal_in_words(row: Measurement) -> str:
    if row.signal_total is None:
        return ""
    sd = "" if row.signal_total_sd is None else f" ± {three_digits(row.signal_total_sd)}"
    return three_digits(row.signal_total) + sd


def _percent(part: float | None) -> str:
    # + 0.0: no "-0".
    return "" if part is None else f"{round(100 * part) + 0.0:.0f}"


def _flags(results: StudyResults) -> list[tuple[str, str]]:
    """Return the flags that occur, with what they say."""
    rows: list[Any] = [*results.measurements, *results.retention, *results.decay]
    found = {flag for row in rows for flag in row.flag.split(";") if flag}
    return [(flag.replace("_", " "), FLAG_WORDS.get(flag, "")) for flag in sorted(found)]


def _radiotracers(study: Study) -> list[list[tuple[str, bool]]]:
    rows = []
    for subject in study.subjects:
        tracer = subject.radiotracer
        if tracer is None:
            continue
        try:
            half_life = f"{half_life_h(tracer.isotope):.5g}"
        except MeasurementError:
            half_life = "not known"
        assayed = _time_in_words(tracer.assayed_at)
        rows.append(
            [
                (subject.id, False),
                (tracer.isotope, False),
                (half_life, True),
                (number_in_words(tracer.activity_kBq), True),
                (number_in_words(tracer.residual_kBq), True),
                (assayed, False),
                (number_in_words(tracer.activity_per_million_cells_kBq), True),
            ]
        )
    return rows


def _version_facts(provenance: Mapping[str, Any]) -> Facts:
    seeds = ", ".join(f"{name}: {value}" for name, value in provenance.get("seeds", {}).items())
    return [*provenance["versions"].items(), ("seeds", seeds)]
