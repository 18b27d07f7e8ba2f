"""Clinical or functional scores against retention: Spearman's rank correlation, with interval and number of animals."""

from collections.abc import Sequence
from math import atanh, inf, sqrt, tanh

import numpy as np

from napari_mpi_track.longitudinal.measurement import RetentionRow, ScoreRow
from napari_mpi_track.longitudinal.study import Study

_FEWEST, _FEW = 4, 10


def spearman(first: Sequence[float], second: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Return Spearman's rank correlation with its 95 % interval; no interval with fewer than five pairs.

    Notes
    -----
    Fisher's z with the standard error sqrt((1 + r^2/2)/(n - 3)) of Bonett & Wright 2000 (doi:10.1007/BF02294183). NaN
    where either does not vary.
    """
    from scipy.stats import rankdata

    ranks = np.array([rankdata(first), rankdata(second)])
    if (ranks.std(axis=1) == 0).any():
        return float("nan"), None, None
    value = float(np.clip(np.corrcoef(ranks)[0, 1], -1.0, 1.0))
    count = ranks.shape[1]
    if count <= _FEWEST or abs(value) > 1.0 - 1e-12:
        return value, None, None
    reach = 1.959963984540054 * sqrt((1.0 + value**2 / 2.0) / (count - 3))
    return value, tanh(atanh(value) - reach), tanh(atanh(value) + reach)


def score_rows(study: Study, retention: Sequence[RetentionRow]) -> list[ScoreRow]:
    """Return every score's last change against the retention of every organ on every day.

    The change is from the score's first day to its last, the one measured in most animals; a score with a single day
    is taken as it is. Fewer than four animals give no row. What is below detection ranks last, all alike.
    """
    found: list[ScoreRow] = []
    seen = [row for row in retention if _rankable(row) is not None and "interpolated" not in row.flag]
    for score in dict.fromkeys(name for subject in study.subjects for name in subject.scores):
        days = [sorted(subject.scores[score]) for subject in study.subjects if subject.scores.get(score)]
        last = max({d[-1] for d in days}, key=lambda day: (sum(day in d for d in days), day))
        changes = _changes(study, score, last)
        measure = "change" if any(len(d) > 1 for d in days) else "value"
        for modality, organ, day in dict.fromkeys((row.modality, row.organ, row.day) for row in seen):
            of_day = [
                row
                for row in seen
                if (row.modality, row.organ, row.day) == (modality, organ, day) and row.subject in changes
            ]
            kept = {row.subject: _rankable(row) for row in of_day}
            if len(kept) < _FEWEST:
                continue
            value, low, high = spearman([v for v in kept.values() if v is not None], [changes[s] for s in kept])
            small = "small_n" if len(kept) < _FEW else ""
            censored = "below_detection" if any(row.retention_percent is None for row in of_day) else ""
            flag = ";".join(part for part in (small, censored) if part)
            shown = None if np.isnan(value) else value
            found.append(ScoreRow(score, last, measure, modality, organ, day, shown, low, high, len(kept), flag))
    return found


def _rankable(row: RetentionRow) -> float | None:
    if row.retention_percent is None and "below_detection" in row.flag:
        return -inf
    return row.retention_percent


def _changes(study: Study, score: str, last: float) -> dict[str, float]:
    found = {}
    for subject in study.subjects:
        values = subject.scores.get(score, {})
        if last in values:
            first = min(values)
            found[subject.id] = values[last] - (values[first] if first < last else 0.0)
    several = {subject.id for subject in study.subjects if len(subject.scores.get(score, {})) > 1}
    # A change and a bare value are not compared.
    return {name: value for name, value in found.items() if name in several} if several else found
