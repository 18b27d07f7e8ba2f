"""The half-life of a group of animals: a mixed model where the data carry one, else Student's t over animals."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.measurement import DecayRow
from napari_mpi_track.longitudinal.mixed_model import MixedLine, fit_mixed_line

MIXED = "mixed model"
MEAN_OF_ANIMALS = "geometric mean of animals"
_FEW = 10
_LEAST_SCATTER = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class AnimalCourse:
    """The points that one animal's decay was fitted to, shape (n,); ``sd`` is ``None`` where errors are not known."""

    row: DecayRow
    days: NDArray[np.float64]
    values: NDArray[np.float64]
    sd: NDArray[np.float64] | None
    is_censored: NDArray[np.bool_]


def group_row(group: str, modality: str, organ: str, courses: Sequence[AnimalCourse]) -> DecayRow:
    """Return the half-life of one organ in one group; of fewer than two animals with a half-life there is none.

    Notes
    -----
    Where every animal leaves exponentially, all points are seen and three animals have three days each: a line through
    the logarithms whose intercept and slope vary between animals (REML), its interval by Kenward and Roger; points
    weighted by their relative errors. Else the geometric mean of the animals' half-lives with Student's t over
    animals. No percentile bootstrap: over four animals it covers 80 %.
    """
    rows = [course.row for course in courses]
    without = sum(not row.half_life_days for row in rows)
    left_out = f"{without} of {len(rows)} animals have no half-life and are left out" if without else ""
    points, censored = sum(row.points for row in rows), sum(row.censored_points for row in rows)
    too_few = f"a group's half-life needs two animals with one, got {len(rows) - without}"
    blank = DecayRow(
        "", group, modality, organ, "", "", None, None, None, None, None, None, None, points, censored,
        "too_few_points", too_few,
    )  # fmt: skip
    half_lives = [row.half_life_days for row in rows if row.half_life_days]
    if len(half_lives) < 2:
        return blank
    line = _mixed_line(courses)
    if line is not None:
        return _of_line(blank, line, len(courses))
    return replace(_of_animals(blank, half_lives), reason=left_out)


def _mixed_line(courses: Sequence[AnimalCourse]) -> MixedLine | None:
    """Return the mean line of the logarithms; ``None`` where they are no lines, or too few."""
    if not all(course.row.model == "exponential" and course.row.half_life_days for course in courses):
        return None
    if any(course.is_censored.any() or (course.values <= 0).any() for course in courses):
        return None
    known = [course.sd for course in courses if course.sd is not None]
    values = np.concatenate([course.values for course in courses])
    spread = np.square(np.concatenate(known) / values) if len(known) == len(courses) else None
    animal = np.repeat(np.arange(len(courses)), [course.days.size for course in courses])
    days = np.concatenate([course.days for course in courses])
    try:
        line = fit_mixed_line(days, np.log(values), animal, relative_variance=spread)
    except TableError:
        return None
    # Exact lines have no scatter that the spread between animals could be weighed against.
    return line if line.residual_sd > _LEAST_SCATTER * float(np.std(np.log(values))) else None


def _of_line(blank: DecayRow, line: MixedLine, animals: int) -> DecayRow:
    low_slope, high_slope = line.slope_interval()
    parameters = {
        "animals": animals,
        "degrees_of_freedom": line.slope_df,
        "between_animals_sd_per_day": line.between_sd[1],
        "within_animals_sd": line.residual_sd,
    }
    return replace(
        blank,
        model=MIXED,
        parameters=_json(parameters),
        rate_per_day=-line.slope,
        half_life_days=log(2.0) / -line.slope if line.slope < 0 else None,
        half_life_low_days=log(2.0) / -low_slope if low_slope < 0 else None,
        half_life_high_days=log(2.0) / -high_slope if high_slope < 0 else None,
        flag=_flags("no_finite_interval" if high_slope >= 0 else "", animals),
        reason="",
    )


def _of_animals(blank: DecayRow, half_lives: Sequence[float]) -> DecayRow:
    from scipy.special import stdtrit

    logs = [log(value) for value in half_lives]
    mean = float(np.mean(logs))
    reach = float(stdtrit(len(logs) - 1, 0.975)) * float(np.std(logs, ddof=1)) / sqrt(len(logs))
    return replace(
        blank,
        model=MEAN_OF_ANIMALS,
        parameters=_json({"animals": len(logs), "degrees_of_freedom": len(logs) - 1}),
        half_life_days=exp(mean),
        half_life_low_days=exp(mean - reach),
        half_life_high_days=exp(mean + reach),
        flag=_flags("", len(logs)),
    )


def _json(parameters: dict[str, float]) -> str:
    return json.dumps(
        {name: float(f"{value:.9g}") if isinstance(value, float) else value for name, value in parameters.items()}
    )


def _flags(flag: str, animals: int) -> str:
    return ";".join(part for part in (flag, "small_n" if animals < _FEW else "") if part)
