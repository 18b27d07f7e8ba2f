"""What is left of a reference, in percent, computed in signal."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from napari_mpi_track.quantification.estimate import Estimate

NO_FINITE_INTERVAL = "no_finite_interval"


@dataclass(frozen=True, slots=True)
class Retention:
    """A ratio in percent with its interval; ``low`` and ``high`` are ``None`` where the interval is not finite.

    ``percent`` is ``None`` where the reference does not exceed what was there before.
    """

    percent: float | None
    low: float | None
    high: float | None
    flag: str = ""


def retention_of_injected(
    signal: Estimate,
    injected: Estimate,
    *,
    pre: Estimate | None = None,
    blank: Estimate | None = None,
    residue: Estimate | None = None,
    level: float = 0.95,
) -> Retention:
    """Return 100 (S - S_pre)/(S_injected - S_blank - S_residue).

    Parameters
    ----------
    signal
        Of the organ on the day.
    injected
        Of the syringe; from a number of cells alone: ``cell_number.signal_estimate``, with all the error of the line.
    pre
        Of the organ before the injection. The syringe has no animal in it, so the reference keeps it out.
    blank, residue
        Of the scanner without a syringe, and of the syringe afterwards.
    level
        Of the interval.
    """
    return _ratio([(signal, 1.0), (pre, -1.0)], [(injected, 1.0), (blank, -1.0), (residue, -1.0)], level)


def retention_of_scan(
    signal: Estimate, reference: Estimate, *, pre: Estimate | None = None, level: float = 0.95
) -> Retention:
    """Return 100 (S - S_pre)/(S_reference - S_pre), the reference being a scan of the same organ.

    The reference's own day is given as the same object: it is then 100 % without an error.
    """
    return _ratio([(signal, 1.0), (pre, -1.0)], [(reference, 1.0), (pre, -1.0)], level)


def _ratio(
    above: Iterable[tuple[Estimate | None, float]], below: Iterable[tuple[Estimate | None, float]], level: float
) -> Retention:
    """Return the ratio of two sums with Fieller's interval.

    Notes
    -----
    Both sums are linear in the same measurements, so their covariance is exact: what stands above and below (the scan
    before the injection, a calibration's two numbers) is counted as one thing. Fieller 1954
    (doi:10.1111/j.2517-6161.1954.tb00159.x) then holds for jointly normal errors of known size, however small the
    reference; the delta method would not.
    """
    from scipy.special import ndtri

    top, bottom = _sum(above), _sum(below)
    if not bottom.value > 0:
        return Retention(None, None, None, NO_FINITE_INTERVAL)
    ratio = top.value / bottom.value
    z_squared = float(ndtri(0.5 + 0.5 * level)) ** 2
    covariance = sum(sd * bottom.shared.get(name, 0.0) for name, sd in top.shared.items())
    curvature = bottom.value**2 - z_squared * bottom.sd**2
    if curvature <= 0:
        return Retention(100.0 * ratio, None, None, NO_FINITE_INTERVAL)
    centre = top.value * bottom.value - z_squared * covariance
    constant = top.value**2 - z_squared * top.sd**2
    half = sqrt(max(centre * centre - curvature * constant, 0.0))
    return Retention(100.0 * ratio, 100.0 * (centre - half) / curvature, 100.0 * (centre + half) / curvature)


def _sum(terms: Iterable[tuple[Estimate | None, float]]) -> Estimate:
    """Return the sum with every own error named after its measurement, so that the same one is shared."""
    total = Estimate(0.0)
    for estimate, sign in terms:
        if estimate is not None:
            named = Estimate(estimate.value, 0.0, {**estimate.shared, f"measurement:{id(estimate)}": estimate.own_sd})
            total = total + sign * named
    return total
