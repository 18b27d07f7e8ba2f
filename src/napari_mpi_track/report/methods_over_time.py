"""The part of the methods paragraph on radioactivity, retention, decay, arms, agreement and scores."""

from collections.abc import Sequence

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.longitudinal.groups import MEAN_OF_ANIMALS, MIXED
from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.longitudinal.uptake import UPTAKES
from napari_mpi_track.quantification.half_lives import half_life_h
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.tables import three_digits

_GROUPS = {
    MIXED: "A group's half-life is that of a line through the logarithms, intercept and slope varying between "
    "animals (restricted maximum likelihood, Kenward-Roger intervals, doi:10.2307/2533558).",
    MEAN_OF_ANIMALS: "A group's half-life is the geometric mean of its animals', with a t interval on their "
    "logarithms.",
}


def listed(parts: Sequence[str]) -> str:
    """Return names as a sentence holds them: with commas, and an "and" before the last."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def nuclear_methods(study: Study, measurements: Sequence[Measurement]) -> list[str]:
    """Return how activity was measured: isotope, half-life, dose, times; and what was read from it."""
    modalities = [name for name in ("PET", "SPECT") if any(row.modality == name for row in measurements)]
    tracers = [subject.radiotracer for subject in study.subjects if subject.radiotracer is not None]
    if not modalities or not tracers:
        return []
    isotopes = list(dict.fromkeys(tracer.isotope for tracer in tracers))
    said = [
        f"{listed(modalities)} activity was corrected for the decay of {listed([_isotope(name) for name in isotopes])} "
        "by date and time."
    ]
    doses = [tracer.activity_kBq for tracer in tracers if tracer.activity_kBq is not None]
    if doses:
        span = _range(min(doses), max(doses))
        said.append(f"The activity given was {span} kBq at the assay, what stayed in the syringe taken off.")
    if any(tracer.reporter is not None for tracer in tracers):
        said.append("Reporter genes were imaged with a dose of tracer for every scan; no cells are counted from them.")
    elif any(tracer.activity_per_million_cells_kBq is not None for tracer in tracers):
        said.append("Cells are activity over the activity of a cell at labelling, decay-corrected.")
    if "89Zr" in isotopes and any("free_89Zr" in row.flag for row in measurements):
        said.append("Bone takes up 89Zr set free by dead cells: its activity is reported, and no cells.")
    return said


def _isotope(name: str) -> str:
    try:
        return f"{name} (half-life {half_life_h(name):.5g} h)"
    except MeasurementError:
        return f"{name} (half-life not known)"


def _range(low: float, high: float) -> str:
    return three_digits(low) if low == high else f"{three_digits(low)} to {three_digits(high)}"


def over_time_methods(study: Study, results: StudyResults) -> list[str]:
    """Return how days were compared, one sentence each; nothing of what was not done."""
    return [
        _retention(study),
        *_interpolated(results),
        *_before(study),
        *_decay(study, results),
        *_arms(study, results),
        *_agreement(results),
        *_scores(results),
        *_divisions(study),
    ]


def _retention(study: Study) -> str:
    against = {"injected": "the injected signal", "first": "the first scan after injection"}
    named = against.get(study.reference, f"the scan of day {study.reference}")
    less = " less what stayed in the syringe" if study.reference == "injected" and _has_residue(study) else ""
    return (
        f"Retention was computed in signal, organ by organ, against {named}{less}, with Fieller's interval "
        "(doi:10.1111/j.2517-6161.1954.tb00159.x) of errors propagated jointly."
    )


def _has_residue(study: Study) -> bool:
    return any(subject.injection.residue_signal is not None for subject in study.subjects)


def _interpolated(results: StudyResults) -> list[str]:
    days = sorted({row.day for row in results.retention if "interpolated" in row.flag.split(";")})
    if not days:
        return []
    listing = listed([f"{day:g}" for day in days])
    return [f"Retention on day{'s' if len(days) > 1 else ''} {listing} was read between scans, linearly in logarithms."]


def _before(study: Study) -> list[str]:
    count = sum(subject.baseline is not None for subject in study.subjects)
    if count == 0:
        return []
    whose = "" if count == len(study.subjects) else f" ({count} of {len(study.subjects)} subjects)"
    return [f"The same organ's signal in a scan before injection was taken off{whose}."]


def _decay(study: Study, results: StudyResults) -> list[str]:
    models = list(dict.fromkeys(row.model for row in results.decay if row.subject and row.model))
    falling, rising = [m for m in models if m not in UPTAKES], [m for m in models if m in UPTAKES]
    said = []
    if falling:
        why = (
            "the exponential unless another model's AICc (doi:10.1093/biomet/76.2.297) was lower by more than 2, then "
            "the simplest of the others within 2 of the lowest (of AIC where the points' errors are known)"
            if study.decay_model == "auto"
            else "which was chosen beforehand"
        )
        what = f"{' or '.join(falling)} model"
        said.append(
            f"Decay was fitted with the {what}, {why}, points below detection as left-censored (doi:10.2307/1907382); "
            "half-lives have 95 % profile-likelihood intervals (doi:10.1002/9780470316757)."
        )
    if rising:
        names = " or ".join(name.replace("_", " ") for name in rising)
        said.append(f"Organs whose signal rose were fitted with an uptake curve ({names}) and have no half-life.")
    ways = {row.model for row in results.decay if not row.subject and row.half_life_days is not None}
    return said + [words for way, words in _GROUPS.items() if way in ways]


def _arms(study: Study, results: StudyResults) -> list[str]:
    if not results.arms:
        return []
    said = [
        "Arms were compared by Welch's t intervals over animals (doi:10.1093/biomet/34.1-2.28), ratios on logarithms, "
        "effect sizes as Hedges' g (doi:10.3102/10769986006002107), p values after Holm (doi:10.2307/4615733)."
        if any(row.low is not None for row in results.arms)
        else "Arms were compared without intervals, one animal being all of an arm."
    ]
    if study.free_label is not None:
        said.append(
            f"Free label ({100 * study.free_label.fraction:.3g} % of the injected) was taken off by the control arm."
        )
    return said


def _agreement(results: StudyResults) -> list[str]:
    if not results.agreement:
        return []
    return [
        "MPI and PET were compared on retention of the same organs by Deming's regression "
        "(doi:10.1093/clinchem/39.3.424), Bland and Altman's limits on the log ratio for repeated measures "
        "(doi:10.1080/10543400701329422) and Lin's concordance (doi:10.2307/2532051), animals left out one at a time."
    ]


def _scores(results: StudyResults) -> list[str]:
    if not results.scores:
        return []
    names = listed(list(dict.fromkeys(row.score for row in results.scores)))
    return [
        f"{names} {'was' if ' and ' not in names else 'were'} set against retention by Spearman's rank correlation, "
        "with Bonett and Wright's interval (doi:10.1007/BF02294183)."
    ]


def _divisions(study: Study) -> list[str]:
    if study.doubling is None:
        return []
    return [
        f"Cells were taken to divide {study.doubling.divisions_per_day:.3g} times a day (SD {study.doubling.sd:.2g}), "
        "as the study states: counts by total label are of founders, and descendants are given as if no cell had died."
    ]
