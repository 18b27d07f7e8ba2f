"""What comparisons of arms and of modalities say, and what they do not: sentences for a report."""

from collections.abc import Sequence

from napari_mpi_track.longitudinal.agreement import ALL_ORGANS
from napari_mpi_track.longitudinal.measurement import AgreementRow, ArmRow
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.report.tables import three_digits

_WHICH_ERRS = {
    "bone": "PET is known to err upwards in bone: 89Zr set free by dead cells settles there",
    "liver": "MPI is known to err upwards in the liver: its macrophages keep the iron of cells that have died; the "
    "liver also takes up 89Zr of dead cells",
    "spleen": "MPI is known to err upwards in the spleen, whose macrophages keep the iron of dead cells",
}


def arms_text(study: Study, rows: Sequence[ArmRow]) -> list[str]:
    """Return what the arms' comparison shows and does not show, one sentence each; none without a second arm."""
    if not rows:
        return []
    arms = list(dict.fromkeys((row.arm, row.other_arm) for row in rows))
    fewest = min(min(row.animals, row.other_animals) for row in rows)
    told = [
        "; ".join(f"{arm} is compared with {other}" for arm, other in arms)
        + (
            " by Welch's t interval over animals, ratios on logarithms, effect sizes as Hedges' g."
            if any(row.low is not None for row in rows)
            else ", one animal being all of an arm: no interval, no test and nothing about other animals."
        ),
        *_multiplicity(rows),
    ]
    if 1 < fewest < 10:
        told.append(
            f"The smallest arm has {fewest} animals: intervals rest on normal scatter between animals, and a "
            "difference that is not seen is not shown to be none."
        )
    if not any(subject.is_control for subject in study.subjects):
        return told
    day_0 = "" if study.reference == "injected" else "it is zero on the reference day by construction, "
    told.append(
        "The control arm was given label without cells. The difference of the arms shows that label given in cells "
        f"stays otherwise than free label does; {day_0}it is no count of cells, and does not show that the cells live: "
        "the label of dead cells stays in macrophages."
    )
    if study.free_label is None:
        told.append(
            "Nothing was taken off for label that was free when it was injected: its fraction was not given "
            "(free_label_fraction)."
        )
    else:
        free = study.free_label
        sd = f" (SD {100 * free.sd:.3g} %)" if free.sd else ""
        told.append(
            f"Retention corrected for free label is (R - f R_control)/(1 - f), f = {100 * free.fraction:.3g} %{sd} of "
            "the label being free at injection; what cells set free later is not in it."
        )
    return told


def _multiplicity(rows: Sequence[ArmRow]) -> list[str]:
    counted = {row.measure: row.comparisons for row in rows if row.comparisons}
    if not counted:
        return []
    listed = ", ".join(f"{measure.replace('_', ' ')}: {count}" for measure, count in counted.items())
    return [f"Comparisons made ({listed}); p values are Holm's over all of one measure, intervals are of single ones."]


def agreement_text(rows: Sequence[AgreementRow]) -> list[str]:
    """Return where MPI and PET part ways, and which of the two is known to err there, one sentence an organ."""
    ratios = [row for row in rows if row.measure == "bland_altman_ratio" and row.value is not None]
    if not ratios:
        return []
    told = []
    for row in ratios:
        if row.organ == ALL_ORGANS or row.value is None or row.low is None or row.high is None:
            continue
        span = f"{three_digits(row.value)} ({three_digits(row.low)} to {three_digits(row.high)})"
        if row.low <= 1.0 <= row.high:
            told.append(f"In {row.organ}, retention by MPI over that by PET was {span}: they do not part measurably.")
            continue
        known = next((words for organ, words in _WHICH_ERRS.items() if organ in row.organ.lower()), "")
        way = "more" if row.value > 1.0 else "less"
        told.append(
            f"In {row.organ}, MPI kept {way} than PET, {span}"
            + (f"; {known}." if known else "; which of them errs is not known.")
        )
    animals = min(row.animals for row in ratios)
    if animals < 10:
        told.append(
            f"These are {animals} animals; pairs of one animal count together, and intervals are Student's t over "
            "animals."
        )
    return told
