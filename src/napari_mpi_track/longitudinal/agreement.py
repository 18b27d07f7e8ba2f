"""MPI beside PET on retention: Deming's line, Bland and Altman's limits on the log ratio, Lin's concordance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import atanh, exp, isfinite, log, sqrt, tanh

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.longitudinal.measurement import AgreementRow, RetentionRow
from napari_mpi_track.quantification.occupancy import TOTAL

Floats = NDArray[np.float64]
ALL_ORGANS = "all organs"
_FEWEST = 3
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Measured:
    """A value with its 95 % interval; ``None`` where there is no finite one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """The mean difference of two methods, and the limits within which 95 % of single differences lie."""

    bias: Measured
    lower_limit: Measured
    upper_limit: Measured


@dataclass(frozen=True, slots=True)
class Pair:
    """One organ of one animal on one day by both modalities: retention in percent, and its SD."""

    animal: str
    organ: str
    day: float
    mpi: float
    pet: float
    mpi_sd: float
    pet_sd: float


def deming(x: Floats, y: Floats, variance_ratio: float) -> tuple[float, float]:
    """Return slope and intercept of y against x, both with errors; ``variance_ratio`` is that of y's to x's.

    Notes
    -----
    Linnet 1993 (doi:10.1093/clinchem/39.3.424). The slope is NaN where neither value varies with the other.
    """
    mean_x, mean_y = float(x.mean()), float(y.mean())
    s_xx, s_yy = float(np.sum((x - mean_x) ** 2)), float(np.sum((y - mean_y) ** 2))
    s_xy = float(np.sum((x - mean_x) * (y - mean_y)))
    if s_xy == 0:
        return float("nan"), float("nan")
    difference = s_yy - variance_ratio * s_xx
    slope = (difference + sqrt(difference**2 + 4.0 * variance_ratio * s_xy**2)) / (2.0 * s_xy)
    return slope, mean_y - slope * mean_x


def concordance(x: Floats, y: Floats) -> float:
    """Return Lin's concordance correlation coefficient (Lin 1989, doi:10.2307/2532051), moments over n."""
    spread = float(np.var(x) + np.var(y) + (x.mean() - y.mean()) ** 2)
    return float(2.0 * np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread > 0 else float("nan")


def bland_altman(differences: Floats, animal: Sequence[str]) -> BlandAltman:
    """Return bias and limits of agreement of differences measured several times in each animal.

    Notes
    -----
    Bland & Altman 2007 (doi:10.1080/10543400701329422): differences vary between animals and within them (one-way
    analysis of variance, the true value changing), and a limit is that of a single new difference. Every animal counts
    the same in the bias. Intervals of the limits by Zou 2013 (doi:10.1177/0962280211402548), which for one pair an
    animal are near Bland & Altman's of 1986.
    """
    from scipy.special import chdtri, stdtrit

    names, member = np.unique(np.asarray(animal), return_inverse=True)
    means = np.array([differences[member == at].mean() for at in range(names.size)])
    counts = np.bincount(member)
    between_df, within_df = names.size - 1, differences.size - names.size
    between = float(np.var(means, ddof=1))
    within = float(np.sum((differences - means[member]) ** 2) / within_df) if within_df else 0.0
    share = 1.0 - float(np.mean(1.0 / counts))
    total = between + share * within
    bias, spread = float(means.mean()), sqrt(total)
    reach = float(stdtrit(between_df, 0.975)) * sqrt(between / names.size)
    down, up = 0.0, 0.0
    for variance, df in ((between, between_df), (share * within, within_df)):
        if df and variance > 0:
            down += (variance * (1.0 - df / float(chdtri(df, 0.025)))) ** 2
            up += (variance * (df / float(chdtri(df, 0.975)) - 1.0)) ** 2
    narrow, wide = sqrt(max(total - sqrt(down), 0.0)), sqrt(total + sqrt(up))
    inner, outer = sqrt(reach**2 + (_Z * (spread - narrow)) ** 2), sqrt(reach**2 + (_Z * (wide - spread)) ** 2)
    lower, upper = bias - _Z * spread, bias + _Z * spread
    return BlandAltman(
        Measured(bias, bias - reach, bias + reach),
        Measured(lower, lower - outer, lower + inner),
        Measured(upper, upper - inner, upper + outer),
    )


def jackknifed(statistic: Callable[[NDArray[np.bool_]], float], animal: Sequence[str]) -> Measured:
    """Return a statistic of all pairs with the interval of leaving out one animal at a time, with all its pairs.

    ``statistic`` is given which pairs are kept, shape (n,). Fewer than three animals give no interval.
    """
    from scipy.special import stdtrit

    names, member = np.unique(np.asarray(animal), return_inverse=True)
    whole = statistic(np.ones(member.size, dtype=bool))
    if names.size < _FEWEST or not isfinite(whole):
        return Measured(whole, None, None)
    without = np.array([statistic(member != at) for at in range(names.size)])
    if not np.isfinite(without).all():
        return Measured(whole, None, None)
    pseudo = names.size * whole - (names.size - 1) * without
    reach = float(stdtrit(names.size - 1, 0.975)) * float(np.std(pseudo, ddof=1)) / sqrt(names.size)
    return Measured(whole, whole - reach, whole + reach)


def agreement_rows(retention: Sequence[RetentionRow]) -> list[AgreementRow]:
    """Return how MPI and PET (or SPECT) agree on retention: per organ, over all organs, and on every day.

    Pairs are the same organ of the same animal on the same day, both detected. Ratios are MPI over PET.
    """
    pairs = pairs_of(retention)
    organs = list(dict.fromkeys(pair.organ for pair in pairs))
    found: list[AgreementRow] = []
    for organ in organs:
        found += measures_of(organ, [pair for pair in pairs if pair.organ == organ])
    several = [pair for pair in pairs if pair.organ != TOTAL]
    if len({pair.organ for pair in several}) > 1:
        found += measures_of(ALL_ORGANS, several)
    return found


def pairs_of(retention: Sequence[RetentionRow]) -> list[Pair]:
    """Return what MPI and PET (or SPECT) both detected, without what is 100 % by construction or interpolated."""
    nuclear = {(r.subject, r.day, r.organ): r for r in retention if r.modality in ("PET", "SPECT") and _counts(r)}
    found = []
    for row in retention:
        beside = nuclear.get((row.subject, row.day, row.organ))
        if row.modality == "MPI" and _counts(row) and beside is not None and _one_reference(row, beside):
            assert row.retention_percent is not None
            assert beside.retention_percent is not None
            mpi_sd, pet_sd = _sd(row), _sd(beside)
            found.append(
                Pair(row.subject, row.organ, row.day, row.retention_percent, beside.retention_percent, mpi_sd, pet_sd)
            )
    return found


def _one_reference(row: RetentionRow, other: RetentionRow) -> bool:
    # What is left of the injected and what is left of the first scan are two things.
    return row.reference.split()[0] == other.reference.split()[0]


def _counts(row: RetentionRow) -> bool:
    is_seen = row.retention_percent is not None and row.retention_percent > 0
    # The reference day is 100 % in both by construction: it says nothing of their agreement.
    is_reference = row.retention_low == row.retention_high == row.retention_percent
    return is_seen and not is_reference and "interpolated" not in row.flag


def _sd(row: RetentionRow) -> float:
    if row.retention_low is None or row.retention_high is None:
        return 0.0
    return (row.retention_high - row.retention_low) / (2.0 * _Z)


def measures_of(organ: str, pairs: Sequence[Pair]) -> list[AgreementRow]:
    """Return every measure of one organ; of a single animal only what needs no spread."""
    animal = [pair.animal for pair in pairs]
    count = len(set(animal))
    if count < 2:
        return []
    mpi, pet = (np.array([getattr(pair, name) for pair in pairs]) for name in ("mpi", "pet"))
    ratio = _variance_ratio(pairs)

    def row(measure: str, measured: Measured) -> AgreementRow:
        return AgreementRow(organ, measure, measured.value, measured.low, measured.high, count, len(pairs))

    found = []
    if len(pairs) >= _FEWEST:
        found += [
            row("deming_slope", jackknifed(lambda kept: deming(pet[kept], mpi[kept], ratio)[0], animal)),
            row("deming_intercept", jackknifed(lambda kept: deming(pet[kept], mpi[kept], ratio)[1], animal)),
            row("deming_error_ratio", Measured(ratio, None, None)),
            row("concordance", _by_z(jackknifed(lambda kept: _z_of(concordance(pet[kept], mpi[kept])), animal))),
        ]
    limits = bland_altman(np.log(mpi / pet), animal)
    found += [
        row("bland_altman_bias", limits.bias),
        row("bland_altman_lower_limit", limits.lower_limit),
        row("bland_altman_upper_limit", limits.upper_limit),
        row("bland_altman_ratio", _exponentials(limits.bias)),
    ]
    return found + _by_day(organ, pairs)


def _by_day(organ: str, pairs: Sequence[Pair]) -> list[AgreementRow]:
    found = []
    for day in sorted({pair.day for pair in pairs}):
        of_day = [pair for pair in pairs if pair.day == day]
        animal = [pair.animal for pair in of_day]
        if len(set(animal)) >= 2:
            bias = bland_altman(np.log([pair.mpi / pair.pet for pair in of_day]), animal).bias
            ratio = _exponentials(bias)
            name = f"bland_altman_ratio_day_{day:g}"
            found.append(AgreementRow(organ, name, ratio.value, ratio.low, ratio.high, len(set(animal)), len(of_day)))
    return found


def _variance_ratio(pairs: Sequence[Pair]) -> float:
    """Return the mean variance of MPI's own errors over that of PET's; 1 where either is not known."""
    mpi = float(np.mean([pair.mpi_sd**2 for pair in pairs]))
    pet = float(np.mean([pair.pet_sd**2 for pair in pairs]))
    return mpi / pet if mpi > 0 and pet > 0 else 1.0


def _z_of(value: float) -> float:
    return atanh(min(max(value, -1.0 + 1e-12), 1.0 - 1e-12)) if isfinite(value) else value


def _by_z(measured: Measured) -> Measured:
    low, high = (None if limit is None else tanh(limit) for limit in (measured.low, measured.high))
    return Measured(tanh(measured.value), low, high)


def _exponentials(measured: Measured) -> Measured:
    low, high = (None if limit is None or log(1e300) < limit else exp(limit) for limit in (measured.low, measured.high))
    return Measured(exp(measured.value), low, high)
