"""Arms of a study compared day by day: difference, ratio and effect size, with intervals and how many there are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.longitudinal.curves import signal_before
from napari_mpi_track.longitudinal.measurement import ArmRow, DecayRow, Measurement, RetentionRow
from napari_mpi_track.longitudinal.study import FreeLabel, Study

Floats = NDArray[np.float64]
_SMALL = "small_n"
_FEW = 10
_FARTHEST_T = 1e3
_LARGEST_LOG = 100.0


def arm_rows(
    study: Study, rows: Sequence[Measurement], retention: Sequence[RetentionRow], decay: Sequence[DecayRow]
) -> list[ArmRow]:
    """Return every arm against the first control arm, or against the study's first arm where none is a control.

    Notes
    -----
    Welch's t intervals over animals, of values and, for ratios, of their logarithms (Welch 1947,
    doi:10.1093/biomet/34.1-2.28). p values are of the differences and of the ratios of half-lives, and Holm's
    (doi:10.2307/4615733) over all of one measure; ``comparisons`` says how many these are. Retention against the
    injected dose is normalised by dose already; the signal per ug of iron needs no syringe signal, and is that above
    the scan before injection where there is one. Animals below detection have no retention and are left out of it,
    which favours the arm that lost more: flagged ``below_detection``.
    """
    arms = list(dict.fromkeys(subject.group for subject in study.subjects))
    controls = [subject.group for subject in study.subjects if subject.is_control]
    if len(arms) < 2:
        return []
    other = controls[0] if controls else arms[0]
    found: list[ArmRow] = []
    for arm in arms:
        if arm != other:
            found += _retention_rows(study, retention, arm, other)
            found += _iron_rows(study, rows, arm, other)
            found += _half_life_rows(decay, arm, other)
    return _with_holm(found)


def _retention_rows(study: Study, retention: Sequence[RetentionRow], arm: str, other: str) -> list[ArmRow]:
    seen = [row for row in retention if row.retention_percent is not None]
    found: list[ArmRow] = []
    for modality, organ, day in dict.fromkeys((row.modality, row.organ, row.day) for row in seen):
        here = [row for row in seen if (row.modality, row.organ, row.day) == (modality, organ, day)]
        if any(row.reference.startswith("day") and row.reference == f"day {day:g}" for row in here):
            continue
        ours, theirs = ([float(row.retention_percent or 0.0) for row in here if row.group == g] for g in (arm, other))
        of_day = [row for row in retention if (row.modality, row.organ, row.day) == (modality, organ, day)]
        limits = {part for row in of_day if row.group in (arm, other) for part in row.flag.split(";")}
        flag = ";".join(name for name in ("below_detection", "interpolated") if name in limits)
        blank = ArmRow(modality, organ, day, "", arm, other, None, None, None, len(ours), len(theirs), flag=flag)
        found += compared(blank, "retention", ours, theirs)
        if study.free_label is not None and any(subject.is_control for subject in study.subjects):
            found += _corrected(blank, ours, theirs, study.free_label)
    return found


def _iron_rows(study: Study, rows: Sequence[Measurement], arm: str, other: str) -> list[ArmRow]:
    """Return the comparison of signal per ug of injected iron, where every compared animal's iron is known."""
    iron: Mapping[str, float] = {s.id: s.injection.iron_ug for s in study.subjects if s.injection.iron_ug}
    seen = [row for row in rows if row.modality == "MPI" and row.signal is not None and row.subject in iron]
    seen = [row for row in seen if row.organ not in ("fiducials", "outside") and row.day >= 0]
    found: list[ArmRow] = []
    for organ, day in dict.fromkeys((row.organ, row.day) for row in seen):
        here = [row for row in seen if (row.organ, row.day) == (organ, day)]
        ours, theirs = (
            [_above_before(study, rows, row) / iron[row.subject] for row in here if row.group == g]
            for g in (arm, other)
        )
        blank = ArmRow("MPI", organ, day, "", arm, other, None, None, None, len(ours), len(theirs))
        found += compared(blank, "signal_per_ug_iron", ours, theirs)
    return found


def _above_before(study: Study, rows: Sequence[Measurement], row: Measurement) -> float:
    before = signal_before(study.subject(row.subject), rows, row)
    assert row.signal is not None
    return row.signal.value - (0.0 if before is None else before.value)


def _half_life_rows(decay: Sequence[DecayRow], arm: str, other: str) -> list[ArmRow]:
    seen = [row for row in decay if row.subject and row.half_life_days]
    found: list[ArmRow] = []
    for modality, organ in dict.fromkeys((row.modality, row.organ) for row in seen):
        here = [row for row in seen if (row.modality, row.organ) == (modality, organ)]
        ours, theirs = ([log(row.half_life_days or 1.0) for row in here if row.group == g] for g in (arm, other))
        blank = ArmRow(modality, organ, None, "", arm, other, None, None, None, len(ours), len(theirs))
        found += [
            replace(row, measure="half_life_ratio", value=_exp(row.value), low=_exp(row.low), high=_exp(row.high))
            for row in compared(blank, "log", ours, theirs)
            if row.measure == "log_difference"
        ]
    return found


def compared(blank: ArmRow, name: str, ours: Sequence[float], theirs: Sequence[float]) -> list[ArmRow]:
    """Return difference, ratio and Hedges' g of two arms; of a single animal in either no interval and no g."""
    if min(len(ours), len(theirs)) == 0:
        return []
    blank = replace(blank, flag=_flags(ours, theirs, blank.flag))
    if min(len(ours), len(theirs)) < 2:
        return _means(blank, name, ours, theirs)
    value, low, high, p = _welch(np.array(ours), np.array(theirs))
    found = [replace(blank, measure=f"{name}_difference", value=value, low=low, high=high, p=p)]
    if min(*ours, *theirs) > 0:
        value, low, high, _ = _welch(np.log(ours), np.log(theirs))
        found.append(replace(blank, measure=f"{name}_ratio", value=_exp(value), low=_exp(low), high=_exp(high)))
    size = hedges_g(ours, theirs)
    if size is not None:
        found.append(replace(blank, measure=f"{name}_hedges_g", value=size[0], low=size[1], high=size[2]))
    return found


def _means(blank: ArmRow, name: str, ours: Sequence[float], theirs: Sequence[float]) -> list[ArmRow]:
    found = [replace(blank, measure=f"{name}_difference", value=float(np.mean(ours) - np.mean(theirs)))]
    if min(*ours, *theirs) > 0:
        ratio = exp(float(np.mean(np.log(ours)) - np.mean(np.log(theirs))))
        found.append(replace(blank, measure=f"{name}_ratio", value=ratio))
    return found


def _exp(limit: float | None) -> float | None:
    # A limit beyond any number is none.
    return None if limit is None or limit > _LARGEST_LOG else exp(limit)


def _welch(ours: Floats, theirs: Floats) -> tuple[float, float, float, float | None]:
    """Return the difference of two means, its limits and p; no p where neither arm varies."""
    from scipy.special import stdtr, stdtrit

    parts = [float(np.var(values, ddof=1)) / values.size for values in (ours, theirs)]
    value = float(ours.mean() - theirs.mean())
    se = sqrt(sum(parts))
    if se == 0:
        return value, value, value, None
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (ours.size - 1) + parts[1] ** 2 / (theirs.size - 1))
    reach = float(stdtrit(degrees, 0.975)) * se
    return value, value - reach, value + reach, 2.0 * float(stdtr(degrees, -abs(value) / se))


def hedges_g(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float] | None:
    """Return Hedges' g of two arms with its 95 % interval; ``None`` where neither arm varies to speak of.

    Notes
    -----
    The difference over the pooled SD, times Hedges' exact factor for small samples (Hedges 1981,
    doi:10.3102/10769986006002107). The interval of the true effect is that of the non-centrality of Student's t, exact
    for normal values of equal SD (Cumming & Finch 2001, doi:10.1177/0013164401614002).
    """
    from scipy.optimize import brentq
    from scipy.special import gammaln, nctdtr

    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    degrees = first.size + second.size - 2
    squares = float(np.sum((first - first.mean()) ** 2) + np.sum((second - second.mean()) ** 2))
    if squares <= 0:
        return None
    factor = exp(float(gammaln(degrees / 2) - gammaln((degrees - 1) / 2))) * sqrt(2.0 / degrees) if degrees > 1 else 1.0
    size = float(first.mean() - second.mean()) / sqrt(squares / degrees)
    root = sqrt(first.size * second.size / (first.size + second.size))
    t = size * root
    # The non-central t is not computed far out, and an effect of hundreds of SDs says nothing more.
    if abs(t) > _FARTHEST_T:
        return None

    def limit(probability: float, way: float) -> float:
        """Return the effect size whose t is above (or below) this one with the probability of a tail."""
        far = t + way
        while way * (float(nctdtr(degrees, far, t)) - probability) > 0:
            far += way
        return float(brentq(lambda d: float(nctdtr(degrees, d, t)) - probability, far - way, far)) / root

    return factor * size, limit(0.975, -1.0), limit(0.025, 1.0)


def _corrected(blank: ArmRow, ours: Sequence[float], theirs: Sequence[float], free: FreeLabel) -> list[ArmRow]:
    """Return (R - f R_control)/(1 - f), what cells keep where a fraction f of the injected label was free.

    The error is that of both means and of f, to first order, with Welch's degrees of freedom for the means.
    """
    from scipy.special import stdtrit

    if min(len(ours), len(theirs)) == 0:
        return []
    mean, control = float(np.mean(ours)), float(np.mean(theirs))
    measure, flag = "retention_corrected_for_free_label", _flags(ours, theirs, blank.flag)
    if min(len(ours), len(theirs)) < 2:
        alone = (mean - free.fraction * control) / (1.0 - free.fraction)
        return [replace(blank, measure=measure, value=alone, flag=flag)]
    own, others = float(np.var(ours, ddof=1)) / len(ours), float(np.var(theirs, ddof=1)) / len(theirs)
    kept = 1.0 - free.fraction
    value = (mean - free.fraction * control) / kept
    parts = [own / kept**2, others * (free.fraction / kept) ** 2]
    of_fraction = ((mean - control) / kept**2 * free.sd) ** 2
    degrees = sum(parts) ** 2 / max(parts[0] ** 2 / (len(ours) - 1) + parts[1] ** 2 / (len(theirs) - 1), 1e-300)
    reach = sqrt(float(stdtrit(max(degrees, 1.0), 0.975)) ** 2 * sum(parts) + 1.96**2 * of_fraction)
    return [replace(blank, measure=measure, value=value, low=value - reach, high=value + reach, flag=flag)]


def _flags(ours: Sequence[float], theirs: Sequence[float], others: str) -> str:
    small = _SMALL if min(len(ours), len(theirs)) < _FEW else ""
    alone = "no_finite_interval" if min(len(ours), len(theirs)) < 2 else ""
    return ";".join(flag for flag in (small, alone, others) if flag)


def _with_holm(rows: Sequence[ArmRow]) -> list[ArmRow]:
    """Return the rows with Holm's p over all rows of one measure, and how many were compared."""
    found = list(rows)
    for measure in dict.fromkeys(row.measure for row in rows if row.p is not None):
        places = [at for at, row in enumerate(rows) if row.measure == measure and row.p is not None]
        places.sort(key=lambda at: (rows[at].p or 0.0, at))
        highest = 0.0
        for rank, at in enumerate(places):
            highest = max(highest, min(1.0, (len(places) - rank) * (rows[at].p or 0.0)))
            found[at] = replace(rows[at], p_holm=highest, comparisons=len(places))
    return found
