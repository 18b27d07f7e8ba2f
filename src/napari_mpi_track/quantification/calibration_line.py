"""A calibration line: what it says, how well, and what it may be used on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import sqrt
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import CalibrationError, CalibrationMismatchError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.quantification.variance_model import VarianceModel

XQuantity = Literal["cells", "iron_ng"]
Weights = Literal["auto", "none", "replicates", "1/x", "1/x2"]
_FALSE_POSITIVE_RATE = 0.05


class CalibrationKind(StrEnum):
    """What was in the samples; kinds are never interchangeable."""

    IN_CELLS = "in-cells"
    IN_CELLS_IRON = "in-cells-iron"
    SOLUTION_FIXED_CONCENTRATION = "solution-fixed-concentration"
    SOLUTION_FIXED_VOLUME = "solution-fixed-volume"

    @property
    def x_quantity(self) -> XQuantity:
        """What x counts: cells, or iron in ng."""
        return "cells" if self is CalibrationKind.IN_CELLS else "iron_ng"


@dataclass(frozen=True, slots=True)
class LackOfFit:
    """Test of the line against the means of replicates: an F ratio, its degrees of freedom and its p-value."""

    f_ratio: float
    degrees_of_freedom: tuple[int, int]
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A fitted line, signal = intercept + slope x, and what it may be used on.

    Attributes
    ----------
    kind, x_quantity, weights, through_origin
        What was asked for; x is in cells or in ng of iron.
    intercept, slope
        In the unit of the signal, and of the signal per x.
    covariance
        Of (intercept, slope).
    residual_sd
        s(y|x), unweighted, in the unit of the signal.
    degrees_of_freedom
        With which the scatter is known.
    variance_model
        How the scatter of one sample depends on its signal or x.
    r_squared, n
        Coefficient of determination (weighted as the fit); number of samples, blanks included.
    x_range
        Lowest and highest standard, blanks left out.
    decision_limit, detection_limit
        Currie's, in x, for one measurement (see :meth:`decision_signal`).
    lod_3_3_sd, loq_10_sd
        3.3 and 10 SD at x = 0 over the slope, in x: what labs report; they have no 5 % error rate.
    blank_mean_3_sd
        Mean of the blanks plus three of their SD, in signal; ``None`` under two blanks.
    lack_of_fit
        ``None`` without replicates.
    x, signal
        The samples, shape (n,).
    tracer ... date
        The description; what is not known is ``None``. ``dimensions`` is 2 (projection) or 3. A scan that differs in
        one of ``COMPARED`` is refused.
    iron_per_cell_pg, labelling_efficiency_percent, viability_percent
        Of the labelled cells: carried into the report, compared with nothing.
    provenance
        Plain values: where it came from.
    """

    kind: CalibrationKind
    x_quantity: XQuantity
    weights: Weights
    through_origin: bool
    intercept: float
    slope: float
    covariance: tuple[tuple[float, float], tuple[float, float]]
    residual_sd: float
    degrees_of_freedom: float
    variance_model: VarianceModel
    r_squared: float
    n: int
    x_range: tuple[float, float]
    decision_limit: float
    detection_limit: float
    lod_3_3_sd: float
    loq_10_sd: float
    x: NDArray[np.float64]
    signal: NDArray[np.float64]
    blank_mean_3_sd: float | None = None
    lack_of_fit: LackOfFit | None = None
    tracer: str | None = None
    batch: str | None = None
    cell_type: str | None = None
    labelling: str | None = None
    metric: Literal["total", "maximum"] | None = None
    total_rule: str | None = None
    dimensions: Literal[2, 3] | None = None
    scan_mode: str | None = None
    field_of_view: str | None = None
    reconstruction: str | None = None
    saturation: str | None = None
    date: str | None = None
    iron_per_cell_pg: float | None = None
    labelling_efficiency_percent: float | None = None
    viability_percent: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", frozen(self.x, np.float64))
        object.__setattr__(self, "signal", frozen(self.signal, np.float64))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    __getstate__ = get_state
    __setstate__ = set_state

    @property
    def intercept_se(self) -> float:
        """Standard error of the intercept, in the unit of the signal."""
        return sqrt(self.covariance[0][0])

    @property
    def slope_se(self) -> float:
        """Standard error of the slope, in the unit of the signal per x."""
        return sqrt(self.covariance[1][1])

    @property
    def fieller_g(self) -> float:
        """Fieller's g = t^2 Var(b)/b^2 at 95 %, dimensionless: from 1 on, no interval of an amount is finite."""
        from scipy.special import stdtrit

        t = float(stdtrit(self.degrees_of_freedom, 0.975))
        return (t * self.slope_se / self.slope) ** 2

    @property
    def residuals(self) -> NDArray[np.float64]:
        """Signal minus the line, shape (n,)."""
        return self.signal - (self.intercept + self.slope * self.x)

    @property
    def weak_points(self) -> tuple[str, ...]:
        """What a reader of results should know of this line, one sentence each."""
        said = []
        if self.fieller_g >= 1:
            said.append(
                f"the slope is not told apart from zero (g = {self.fieller_g:.3g} >= 1): no signal read by it "
                "has a finite interval; add standards or replicates"
            )
        if self.lack_of_fit is not None and self.lack_of_fit.p_value < _FALSE_POSITIVE_RATE:
            p = self.lack_of_fit.p_value
            said.append(f"the replicates contradict a straight line (lack of fit, p = {p:.2g})")
        if self.degrees_of_freedom < 3:
            said.append(f"the scatter is known with {self.degrees_of_freedom:g} degrees of freedom only")
        if self.decision_limit > self.x_range[0]:
            said.append(
                f"the lowest standard ({self.x_range[0]:.3g}) is below the decision limit ({self.decision_limit:.3g})"
            )
        return tuple(said)

    def signal_at(self, x: ArrayLike) -> Any:
        """Return the line at ``x``, in the unit of the signal."""
        return self.intercept + self.slope * np.asarray(x, dtype=float)

    def line_variance_at(self, x: ArrayLike) -> Any:
        """Return the variance of the line itself at ``x`` (none of a new measurement), in signal squared."""
        (aa, ab), (_, bb) = self.covariance
        x = np.asarray(x, dtype=float)
        return aa + 2 * ab * x + bb * x * x

    def decision_signal(self, replicates: float = 1) -> float:
        """Return the signal above which something is there, for a mean of ``replicates`` (5 % false positives).

        Notes
        -----
        y_C = a + t sqrt(V(0)/m + Var(a)), t one-sided (Currie 1995, doi:10.1351/pac199567101699; ISO 11843-2).
        """
        return self.intercept + self.slope * _decision_limit(self, replicates)


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact in which a scan is not like the samples of a calibration."""

    name: str
    calibration: Any
    scan: Any

    def __str__(self) -> str:
        return f"{self.name} (calibration: {self.calibration}, scan: {self.scan})"


COMPARED = (
    "kind", "x_quantity", "tracer", "batch", "cell_type", "labelling", "metric", "total_rule", "dimensions",
    "scan_mode", "field_of_view", "reconstruction", "saturation",
)  # fmt: skip
CARRIED = ("date", "iron_per_cell_pg", "labelling_efficiency_percent", "viability_percent")


def mismatches(calibration: Calibration, **scan: Any) -> list[Difference]:
    """Return every stated fact of a scan that differs from what the calibration was made with.

    What either side does not state (``None``) is not compared. Text is compared without regard to case and spaces.
    Saturation is the name of the receiver's curve, or ``none``.

    Raises
    ------
    CalibrationError
        For a fact no calibration knows.
    """
    require_known(scan)
    differences = []
    for name in COMPARED:
        made_with, found = getattr(calibration, name), scan.get(name)
        if made_with is None or found is None or _plain(made_with) == _plain(found):
            continue
        differences.append(Difference(name, made_with, found))
    return differences


def require_match(
    calibration: Calibration, *, override: Collection[str] = (), file: str | Path | None = None, **scan: Any
) -> tuple[Difference, ...]:
    """Return the differences that ``override`` names; refuse a scan that differs in anything else.

    Raises
    ------
    CalibrationMismatchError
        Naming every difference that is not overridden.
    CalibrationError
        For an override of a fact no calibration knows.
    """
    require_known(override)
    differences = mismatches(calibration, **scan)
    refused = [difference for difference in differences if difference.name not in override]
    if refused:
        names = ", ".join(difference.name for difference in refused)
        raise CalibrationMismatchError(
            "the calibration was made under other conditions: " + "; ".join(map(str, refused)),
            file=file,
            remedy=f"use a calibration made like the scan, or override knowingly: {names}",
        )
    return tuple(differences)


def require_known(names: Collection[str]) -> None:
    """Refuse names of facts that no calibration is compared by.

    Raises
    ------
    CalibrationError
        Naming them.
    """
    unknown = sorted(set(names) - set(COMPARED))
    if unknown:
        raise CalibrationError(f"a calibration says nothing of {', '.join(unknown)}; it knows {', '.join(COMPARED)}")


def require_needed(override: Collection[str], overridden: Collection[Difference]) -> None:
    """Refuse an override of what does not differ: it would hide a later difference.

    Raises
    ------
    CalibrationError
        Naming it.
    """
    idle = [name for name in override if name not in {difference.name for difference in overridden}]
    if idle:
        raise CalibrationError(
            f"nothing differs in {', '.join(idle)}, which is to be overridden", remedy="take it out of the override"
        )


def _plain(value: Any) -> Any:
    return "".join(value.casefold().split()) if isinstance(value, str) else value


def with_limits(calibration: Calibration) -> Calibration:
    """Return the calibration with its detection limits filled in from its line and its scatter."""
    sd_at_zero = sqrt(float(calibration.variance_model.variance(0.0, calibration.intercept)))
    decision = _decision_limit(calibration, 1)
    return replace(
        calibration,
        decision_limit=decision,
        detection_limit=_detection_limit(calibration, decision),
        lod_3_3_sd=3.3 * sd_at_zero / calibration.slope,
        loq_10_sd=10.0 * sd_at_zero / calibration.slope,
    )


def _decision_limit(calibration: Calibration, replicates: float) -> float:
    from scipy.special import stdtrit

    model = calibration.variance_model
    at_zero = float(model.variance(0.0, calibration.intercept))
    t = float(stdtrit(float(model.degrees_of_freedom_at(calibration.intercept)), 1.0 - _FALSE_POSITIVE_RATE))
    return t * sqrt(at_zero / replicates + calibration.covariance[0][0]) / calibration.slope


def _detection_limit(calibration: Calibration, decision: float) -> float:
    """Return the x that is missed in 5 %: decision limit + t SD(x_D)/b, SD being that of a measurement there."""
    from scipy.special import stdtrit

    limit = 2.0 * decision
    for _ in range(50):
        mu = calibration.intercept + calibration.slope * limit
        t = float(stdtrit(float(calibration.variance_model.degrees_of_freedom_at(mu)), 1.0 - _FALSE_POSITIVE_RATE))
        variance = float(calibration.variance_model.variance(limit, mu)) + calibration.covariance[0][0]
        found = decision + t * sqrt(variance) / calibration.slope
        if not found < 1e3 * decision or abs(found - limit) <= 1e-12 * found:
            return found
        limit = found
    return limit
