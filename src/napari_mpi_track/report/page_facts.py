"""What a report states about a study: facts by name, and 'not stated' for what the study does not hold."""

from datetime import datetime
from zoneinfo import ZoneInfo

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.longitudinal.study import Study, Subject
from napari_mpi_track.quantification.backgrounds import PRE_INJECTION, SHELL
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.half_lives import half_life_h
from napari_mpi_track.report.methods_text import point_spread_in_words
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.tables import number_in_words, three_digits
from napari_mpi_track.report.units import units_of_samples

Facts = list[tuple[str, str | None]]


def study_facts(study: Study) -> Facts:
    return [
        ("study file", study.file.name),
        ("subjects", str(len(study.subjects))),
        ("days", ", ".join(f"{day:g}" for day in study.days)),
        ("time zone", study.timezone),
        *over_time_facts(study),
    ]


def reference_words(study: Study) -> str:
    words = {"injected": "the injected signal", "first": "the first scan after injection"}
    return words.get(study.reference, f"the scan of day {study.reference}")


def injected_unit(study: Study, results: StudyResults) -> str:
    """Return the unit of the syringe's signal, which is that of what it is compared with."""
    units = results.units_of("MPI")
    return units.voxel if study.signal_metric == "maximum" else units.total


def subject_row(subject: Subject, timezone: str | None) -> dict[str, str]:
    given = subject.injection
    return {
        "id": subject.id,
        "group": subject.group,
        "arm": "control, no cells" if subject.is_control else "labelled cells",
        "weight": number_in_words(subject.weight_g),
        "time": time_in_words(given.time, timezone),
        "cells": number_in_words(given.cells),
        "signal": number_in_words(given.signal),
        "residue": number_in_words(given.residue_signal),
        "iron": number_in_words(given.iron_ug),
        "days": ", ".join(f"{t.day:g}" for t in subject.timepoints),
    }


def time_in_words(time: datetime | None, timezone: str | None) -> str:
    """Return a time by the clock of the study's zone, which the page names; without one as it stands."""
    if time is None:
        return "not stated"
    if timezone is not None and time.tzinfo is not None:
        time = time.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    return time.isoformat(sep=" ", timespec="minutes")


def score_rows(study: Study) -> list[tuple[str, str, str]]:
    return [
        (subject.id, name, ", ".join(f"{day:g}: {value:g}" for day, value in sorted(values.items())))
        for subject in study.subjects
        for name, values in subject.scores.items()
    ]


# What a reader must know of cells, tracer and scanner: by which name the study and the calibration state it.
_CONDITIONS = {
    "vendor": "vendor",
    "batch": "batch",
    "iron concentration": "iron_concentration",
    "cell type": "cell_type",
    "labelling": "labelling",
    "iron per cell": "iron_per_cell_pg",
    "labelling efficiency": "labelling_efficiency_percent",
    "viability": "viability_percent",
    "scanner": "scanner",
    "scan mode": "scan_mode",
    "gradient": "gradient",
    "drive field": "drive_field",
    "field of view": "field_of_view",
    "reconstruction": "reconstruction",
}
_OF_CALIBRATION_ALONE = {"saturation": "saturation", "date": "date"}


def tracer_facts(study: Study, calibration: Calibration | None) -> Facts:
    """Return what the study says of tracer, cells and scanner; what only its calibration says, as such."""
    tracer = study.tracer or (None if calibration is None else calibration.tracer)
    facts: Facts = [("tracer", tracer)]
    for words, name in _CONDITIONS.items():
        said = study.conditions.get(name)
        of_curve = getattr(calibration, name, None)
        if said is None and of_curve is not None:
            facts.append((words, f"{_with_unit(name, of_curve)} (of the calibration)"))
        else:
            facts.append((words, None if said is None else _with_unit(name, said)))
    return facts


def _with_unit(name: str, value: object) -> str:
    if name.endswith("_percent"):
        return f"{value:g} %"
    return f"{value:g} pg" if name.endswith("_pg") else str(value)


def _description(calibration: Calibration) -> Facts:
    """Return what the calibration states of its samples, scanner and date."""
    wanted = {"tracer": "tracer", **_CONDITIONS, **_OF_CALIBRATION_ALONE}
    found = {words: getattr(calibration, name, None) for words, name in wanted.items()}
    return [(words, _with_unit(wanted[words], value)) for words, value in found.items() if value is not None]


def calibration_facts(calibration: Calibration) -> Facts:
    unit = "cells" if calibration.x_quantity == "cells" else "ng iron"
    per = "cell" if calibration.x_quantity == "cells" else "ng"
    levels = len(set(calibration.x.tolist()))
    low, high = (three_digits(x) for x in calibration.x_range)
    fit = calibration.lack_of_fit
    dimensions = {2: "2-D projection", 3: "3-D"}.get(calibration.dimensions or 0)
    blank = calibration.blank_mean_3_sd
    signal = units_of_samples(calibration).total
    return [
        ("kind", str(calibration.kind)),
        ("samples", f"{calibration.n} at {levels} levels, blanks included"),
        (
            "intercept a",
            f"{three_digits(calibration.intercept)} ± {three_digits(calibration.intercept_se)} (SE) {signal}",
        ),
        ("slope b", f"{calibration.slope:.4g} ± {calibration.slope_se:.2g} (SE) {signal} per {per}"),
        ("R²", f"{calibration.r_squared:.5f}"),
        ("residual SD s(y|x)", f"{three_digits(calibration.residual_sd)} {signal}"),
        ("weights", f"{calibration.weights} (variance: {calibration.variance_model.form})"),
        ("range, without blanks", f"{low} to {high} {unit}"),
        ("decision limit (5 % false positives)", f"{three_digits(calibration.decision_limit)} {unit}"),
        ("detection limit (5 % missed)", f"{three_digits(calibration.detection_limit)} {unit}"),
        ("LOD, 3.3 s/b", f"{three_digits(calibration.lod_3_3_sd)} {unit}"),
        ("LOQ, 10 s/b", f"{three_digits(calibration.loq_10_sd)} {unit}"),
        ("mean of blanks + 3 SD", None if blank is None else f"{three_digits(blank)} {signal}"),
        ("lack of fit", None if fit is None else f"F = {fit.f_ratio:.3g}, p = {fit.p_value:.2g}"),
        ("measured as", None if calibration.metric is None else f"{calibration.metric} signal"),
        ("rule of the total", calibration.total_rule),
        ("dimensions", dimensions),
        *_description(calibration),
    ]


def sample_columns(calibration: Calibration | None) -> tuple[str, str]:
    """Return the names of the columns of a calibration's samples, with their units."""
    if calibration is None:
        return "", ""
    amount = "cells" if calibration.x_quantity == "cells" else "iron (ng)"
    return amount, f"signal ({units_of_samples(calibration).total})"


def calibration_samples(calibration: Calibration) -> list[list[str]]:
    """Return the points of a calibration, in order of their amounts."""
    points = sorted(zip(calibration.x.tolist(), calibration.signal.tolist(), strict=True))
    return [[three_digits(x), three_digits(signal)] for x, signal in points]


def signal_facts(study: Study, results: StudyResults) -> Facts:
    voxel = results.units_of("MPI").voxel
    noise = [row.noise_sd for row in results.measurements if row.noise_sd and row.modality == "MPI"]
    spread = f"SD {three_digits(min(noise))} to {three_digits(max(noise))} {voxel} over the scans" if noise else None
    corrected = any(row.spill_in_fraction is not None for row in results.measurements)
    background = {
        row.background_mean for row in results.measurements if row.background_mean is not None and row.modality == "MPI"
    }
    organ_names = None if study.organ_names is None else study.organ_names.name
    return [
        ("metric", f"{study.signal_metric} signal"),
        ("noise of one voxel (MPI)", spread),
        ("noise rule", "correlated noise: autocovariance of the background carried into every total"),
        ("pictures", "clear below 5 x the SD of the noise"),
        ("receiver saturation", "not corrected" if study.saturation is None else f"corrected, {study.saturation.name}"),
        ("background", f"one per scan: {_span(background)} {voxel}" if background else "none subtracted"),
        ("background of organs", study.background if study.background in (SHELL, PRE_INJECTION) else "the scan's"),
        (
            "scatter of one scan",
            "as calibration samples scatter"
            if study.repeatability is None
            else f"{100 * study.repeatability:.3g} %, as the study states",
        ),
        ("organs", "labels drawn beforehand" + (f", named by {organ_names}" if organ_names else "")),
        *_carried_organs(study, results),
        *_corrected_organs(study),
        *_measured_organs(study),
        ("spill-over", "geometric transfer matrix" if corrected else "not corrected"),
        ("drift of the scanner", _drift_in_words(study, results)),
        ("point spread", None if study.psf is None else point_spread_in_words(study.psf)),
        ("point spread of PET", None if study.pet_psf is None else point_spread_in_words(study.pet_psf)),
    ]


def _carried_organs(study: Study, results: StudyResults) -> Facts:
    """Return how organs came to days without their own; nothing where every day has some."""
    if not any(row.moving == "anatomy" for row in results.alignments):
        return []
    return [("organs of another day", f"carried by a {study.between_days} alignment of the two days' anatomies")]


def _corrected_organs(study: Study) -> Facts:
    """Return where organs were painted over, and who approved which; nothing where nobody did."""
    days = [(subject, timepoint) for subject in study.subjects for timepoint in subject.timepoints]
    corrected = [f"{subject.id} day {t.day:g} ({t.organ_edits.name})" for subject, t in days if t.organ_edits]
    approved = [
        f"{subject.id} day {t.day:g}: {organ} by {approval}"
        for subject, t in days
        for organ, approval in t.approved.items()
    ]
    facts: Facts = [("organs corrected by hand", "; ".join(corrected))] if corrected else []
    return [*facts, ("organs approved", "; ".join(approved))] if approved else facts


def _measured_organs(study: Study) -> Facts:
    """Return which organs are not measured as they were drawn, each for itself; nothing where all are."""
    facts: Facts = []
    if study.with_margin:
        facts.append(("with a margin round them", ", ".join(study.with_margin)))
    if study.merge:
        facts.append(("measured as one", "; ".join(" and ".join(names) for names in study.merge)))
    if study.rules is not None:
        facts.append(("rules for finding signal", "compared within every organ, their spread a term of the error"))
    return facts


def over_time_facts(study: Study) -> Facts:
    """Return what the study states of days and label; what it does not state is named all the same."""
    free, doubling = study.free_label, study.doubling
    fraction = None if free is None else f"{100 * free.fraction:.3g} % ± {100 * free.sd:.2g} % of the injected"
    divided = None if doubling is None else f"{doubling.divisions_per_day:.3g} ± {doubling.sd:.2g} a day"
    model = "the simplest that explains the points" if study.decay_model == "auto" else study.decay_model
    return [
        ("retention against", reference_words(study)),
        ("model of decay", model),
        ("label free at injection", fraction),
        ("divisions of cells", divided),
    ]


def _drift_in_words(study: Study, results: StudyResults) -> str:
    vial = study.reference_vial
    if vial is None:
        return "not corrected"
    unit = injected_unit(study, results)
    return f"signals times S_ref/S of a reference vial, S_ref = {three_digits(vial.signal)} ± {vial.sd:.2g} {unit}"


def _span(values: set[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def radiotracer_rows(study: Study) -> list[list[tuple[str, bool]]]:
    rows = []
    for subject in study.subjects:
        tracer = subject.radiotracer
        if tracer is None:
            continue
        try:
            half_life = f"{half_life_h(tracer.isotope):.5g}"
        except MeasurementError:
            half_life = "not known"
        assayed = time_in_words(tracer.assayed_at, study.timezone)
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
