"""Every rule for finding signal on one scan, side by side, and how far they lie apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.segmentation.components import connected_parts
from napari_mpi_track.segmentation.signal_rules import (
    NOISE_SDS,
    RuleSettings,
    SignalRule,
    rule_threshold,
    sds_above_background,
    signal_mask,
    voxels_without_number,
)


class PartOfVoxels(Protocol):
    """What an organ holds of a scan, as ``OrganOccupancy`` says it: flat voxel numbers, and the part of each."""

    @property
    def voxel(self) -> NDArray[np.int64]: ...
    @property
    def fraction(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What one rule finds.

    Attributes
    ----------
    rule
        The rule.
    setting
        Its number, in words ("5 SD").
    threshold, maximum
        In the scan's unit. ``None``, like all that follows, where the rule could not be used.
    volume_mm3, total
        In mm3 and the scan's unit x mm3, background subtracted; in mm2 and unit x mm2 for a projection.
    components
        How many places hang together.
    problem
        Why the rule could not be used, or empty.
    doubt
        Why its total is no part of the spread, or empty: its threshold lies within the noise.
    """

    rule: SignalRule
    setting: str
    threshold: float | None = None
    volume_mm3: float | None = None
    total: float | None = None
    maximum: float | None = None
    components: int | None = None
    problem: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class RuleSpread:
    """How far the totals of the rules lie apart.

    ``mean``, ``sd`` (n - 1), ``low`` and ``high`` in the unit of the totals; ``count`` is the number of rules.
    """

    mean: float
    sd: float
    low: float
    high: float
    count: int

    @property
    def sd_percent(self) -> float | None:
        """The SD in percent of the mean; ``None`` where the mean is not positive."""
        return 100 * self.sd / self.mean if self.mean > 0 else None

    @property
    def range_percent(self) -> float | None:
        """Highest less lowest total in percent of the mean; ``None`` where the mean is not positive."""
        return 100 * (self.high - self.low) / self.mean if self.mean > 0 else None


@dataclass(frozen=True, slots=True)
class OrganUnderRules:
    """What each rule keeps of an organ.

    Attributes
    ----------
    whole
        Total of the whole organ, no rule applied, background subtracted.
    totals
        Total of what is in the organ and signal by the rule as well, by rule.
    spread
        Of ``totals``; ``None`` with fewer than two rules.
    """

    whole: float
    totals: Mapping[SignalRule, float]
    spread: RuleSpread | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "totals", MappingProxyType(dict(self.totals)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.whole, dict(self.totals), self.spread)

    def kept(self, rule: SignalRule) -> float | None:
        """Return the part of the organ's total that a rule keeps; ``None`` if there is none to keep."""
        return self.totals[rule] / self.whole if self.whole > 0 and rule in self.totals else None


@dataclass(frozen=True, slots=True)
class RuleComparison:
    """All rules on one scan.

    Attributes
    ----------
    rows
        One for each rule.
    spread
        Of the totals over the rules that could be used and do not take noise for signal; ``None`` with fewer than
        two of them.
    organs
        What these rules keep of every organ, by name.
    background
        What was taken off every voxel, in the scan's unit.
    left_out
        Voxels without a number, which no rule sees.
    """

    rows: tuple[RuleRow, ...]
    spread: RuleSpread | None
    background: float
    left_out: int = 0
    organs: Mapping[str, OrganUnderRules] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", MappingProxyType(dict(self.organs)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rows, self.spread, self.background, self.left_out, dict(self.organs))


def compare_rules(
    volume: Volume,
    noise: Noise | None = None,
    settings: RuleSettings | None = None,
    *,
    organs: Mapping[str, PartOfVoxels] | None = None,
    background: float | None = None,
) -> RuleComparison:
    """Return what every rule finds in one scan, and the spread between them: a term of an error budget.

    Parameters
    ----------
    volume
        A linearised scan.
    noise
        Its noise; measured in the scan where not given.
    settings
        The numbers of all rules, and the least volume of a place; which rule they name does not matter.
    organs
        ``Occupancy.organs`` of the same grid: what each rule keeps of every organ is then told too.
    background
        Taken off every voxel, in the scan's unit; the noise's mean where not given (0 if there is no noise).

    Raises
    ------
    MeasurementError
        If no rule at all can be used, or the scan has no volume.

    Notes
    -----
    The spread is not an error of one sign: a rule that cuts off flanks loses signal, none adds any. Totals by one
    rule belong with a calibration made by that rule.
    """
    chosen = RuleSettings() if settings is None else settings
    measured, noise_problem = _noise(volume, noise)
    if background is None:
        background = 0.0 if measured is None else measured.mean
    voxels = np.asarray(volume.voxels)
    signal = np.where(np.isfinite(voxels), voxels.astype(np.float64) - background, 0.0)
    rows, kept = [], {}
    for rule in SignalRule:
        if rule is SignalRule.NOISE and measured is None:
            rows.append(RuleRow(rule, _setting(rule, chosen), problem=noise_problem))
            continue
        row, mask = _row(volume, signal, replace(chosen, rule=rule), measured, background)
        rows.append(row)
        if mask is not None and not row.doubt:
            kept[rule] = mask
    if all(row.problem for row in rows):
        raise MeasurementError(
            f"no rule finds signal in this scan ({rows[0].problem})",
            file=volume.file,
            remedy="give a scan with its background, not one that was cut out or thresholded",
        )
    totals = [row.total for row in rows if row.total is not None and not row.doubt]
    under = {
        name: _under_rules(signal.ravel(), organ, kept, volume.voxel_measure) for name, organ in (organs or {}).items()
    }
    return RuleComparison(tuple(rows), spread_of(totals), background, voxels_without_number(volume), under)


def spread_of(totals: list[float]) -> RuleSpread | None:
    """Return how far totals lie apart; ``None`` for fewer than two."""
    if len(totals) < 2:
        return None
    return RuleSpread(float(np.mean(totals)), float(np.std(totals, ddof=1)), min(totals), max(totals), len(totals))


def _noise(volume: Volume, noise: Noise | None) -> tuple[Noise | None, str]:
    if noise is not None:
        return noise, ""
    try:
        return estimate_noise(volume), ""
    except MeasurementError as problem:
        return None, problem.what


def _row(
    volume: Volume, signal: NDArray[np.float64], settings: RuleSettings, noise: Noise | None, background: float
) -> tuple[RuleRow, NDArray[np.bool_] | None]:
    words = _setting(settings.rule, settings)
    threshold = None
    try:
        threshold = rule_threshold(volume, settings, noise)
        parts = connected_parts(signal_mask(volume, threshold), volume, settings.minimum_volume_mm3)
    except MeasurementError as problem:
        return RuleRow(settings.rule, words, threshold, problem=problem.what), None
    mask = parts > 0
    inside = signal[mask]
    row = RuleRow(
        settings.rule,
        words,
        threshold,
        inside.size * volume.voxel_measure,
        float(inside.sum()) * volume.voxel_measure,
        float(inside.max()) + background,
        int(np.count_nonzero(np.bincount(parts[mask]))),
        doubt=_doubt(settings.rule, threshold, noise),
    )
    return row, mask


def _doubt(rule: SignalRule, threshold: float, noise: Noise | None) -> str:
    # How far the noise rule goes is the user's word.
    if noise is None or rule is SignalRule.NOISE:
        return ""
    sds = sds_above_background(threshold, noise)
    if sds >= NOISE_SDS:
        return ""
    return f"its threshold lies within the noise ({sds:.1f} SD)"


def _setting(rule: SignalRule, settings: RuleSettings) -> str:
    said = {
        SignalRule.NOISE: f"{settings.times_sd:g} SD",
        SignalRule.FRACTION_OF_MAX: f"{100 * settings.fraction:g} %",
        SignalRule.KMEANS: f"{settings.classes} classes",
        SignalRule.OTSU: "2 classes",
    }
    return said[rule]


def _under_rules(
    signal: NDArray[np.float64], organ: PartOfVoxels, kept: Mapping[SignalRule, NDArray[np.bool_]], measure: float
) -> OrganUnderRules:
    own = organ.fraction * signal[organ.voxel]
    totals = {rule: float(own[mask.ravel()[organ.voxel]].sum()) * measure for rule, mask in kept.items()}
    return OrganUnderRules(float(own.sum()) * measure, totals, spread_of(list(totals.values())))
