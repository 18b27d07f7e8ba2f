"""Fitting a calibration from samples; the one place to import everything about calibrations from."""

from collections.abc import Mapping
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.calibration_file import (
    calibration_to_json,
    load_calibration,
    read_calibration_table,
    save_calibration,
)
from napari_mpi_track.quantification.calibration_line import (
    CARRIED,
    COMPARED,
    Calibration,
    CalibrationKind,
    Difference,
    LackOfFit,
    Weights,
    XQuantity,
    mismatches,
    require_match,
    require_needed,
    with_limits,
)
from napari_mpi_track.quantification.linear_fit import LineFit, fit_line
from napari_mpi_track.quantification.variance_model import VarianceForm, VarianceModel, fit_variance_by_reml

__all__ = [
    "Calibration",
    "CalibrationKind",
    "Difference",
    "LackOfFit",
    "calibration_to_json",
    "fit_calibration",
    "load_calibration",
    "mismatches",
    "read_calibration_table",
    "require_match",
    "require_needed",
    "save_calibration",
]

_WEIGHTS = ("auto", "none", "replicates", "1/x", "1/x2")


def fit_calibration(
    x: ArrayLike,
    signal: ArrayLike,
    *,
    kind: CalibrationKind | str,
    x_quantity: XQuantity | None = None,
    weights: Weights = "auto",
    through_origin: bool = False,
    table: str | Path | None = None,
    provenance: Mapping[str, Any] | None = None,
    **description: Any,
) -> Calibration:
    """Return the line through calibration samples.

    Parameters
    ----------
    x
        Cells, or iron in ng, of each sample, shape (n,); blanks are 0.
    signal
        Of each sample, shape (n,). Replicates are samples of the same x.
    kind
        What was in the samples.
    x_quantity
        ``cells`` or ``iron_ng``; must be what the kind counts, and is that when not given.
    weights
        ``none``: ordinary least squares. ``auto``: variance s0^2 + (c mu)^2 by REML. ``replicates``: ordinary least
        squares with the pooled variance of the replicates. ``1/x``, ``1/x2``: x floored at the lowest positive
        standard.
    through_origin
        Force the line through zero: only for signals already corrected by their blank.
    table
        File the samples came from, for messages and provenance.
    provenance
        Further plain values to keep with the line.
    description
        tracer, batch, cell_type, labelling, metric, total_rule, dimensions, scan_mode, field_of_view, reconstruction,
        saturation, date, iron_per_cell_pg, labelling_efficiency_percent, viability_percent.

    Raises
    ------
    CalibrationError
        Fewer than three different x, a constant or falling signal, numbers that are not finite, no replicates to pool,
        or an x_quantity that is not the kind's.

    Notes
    -----
    A line not forced through the origin, since noise near the detection limit would tilt it.
    """
    kind = _kind(kind)
    xs, ys = _checked_samples(x, signal, through_origin, table)
    if x_quantity is not None and x_quantity != kind.x_quantity:
        raise CalibrationError(
            f"a calibration of kind {kind} is against {kind.x_quantity}, got {x_quantity}",
            file=table,
            remedy="choose the kind that fits the samples",
        )
    if weights not in _WEIGHTS:
        raise CalibrationError(f"weights must be one of {', '.join(_WEIGHTS)}, got {weights!r}", file=table)
    fit, variance, scale = _weighted_fit(xs, ys, weights, through_origin, table)
    if not fit.slope > 0:
        raise CalibrationError(
            f"the signal must rise with x, but the fitted slope is {fit.slope:.4g}",
            file=table,
            remedy="check that the columns of x and signal were not exchanged",
        )
    return with_limits(
        Calibration(
            kind=kind,
            x_quantity=kind.x_quantity,
            weights=weights,
            through_origin=through_origin,
            intercept=fit.intercept,
            slope=fit.slope,
            covariance=_scaled(fit.unscaled_covariance, scale),
            residual_sd=sqrt(float(np.sum(fit.residuals**2)) / fit.degrees_of_freedom),
            degrees_of_freedom=variance.degrees_of_freedom,
            variance_model=variance,
            r_squared=fit.r_squared,
            n=xs.size,
            x_range=(float(xs[xs > 0].min()), float(xs.max())),
            decision_limit=0.0,
            detection_limit=0.0,
            lod_3_3_sd=0.0,
            loq_10_sd=0.0,
            x=xs,
            signal=ys,
            blank_mean_3_sd=_blank_limit(ys[xs == 0]),
            lack_of_fit=_lack_of_fit(xs, fit, variance, ys),
            provenance={**({} if table is None else {"table": str(table)}), **(provenance or {})},
            **_checked_description(description),
        )
    )


def _kind(kind: CalibrationKind | str) -> CalibrationKind:
    try:
        return CalibrationKind(kind)
    except ValueError:
        raise CalibrationError(f"the kind must be one of {', '.join(CalibrationKind)}, got {kind!r}") from None


def _checked_samples(
    x: ArrayLike, signal: ArrayLike, through_origin: bool, table: str | Path | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    xs, ys = np.array(x, dtype=float).ravel(), np.array(signal, dtype=float).ravel()
    if xs.size != ys.size:
        raise CalibrationError(f"every sample needs an x and a signal, got {xs.size} and {ys.size}", file=table)
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        raise CalibrationError("x and signal must be finite numbers", file=table, remedy="leave out empty samples")
    if (xs < 0).any():
        raise CalibrationError(f"x must not be negative, got {xs.min():g}", file=table)
    levels = np.unique(xs)
    if levels.size < 3:
        got = ", ".join(f"{level:g}" for level in levels)
        raise CalibrationError(
            f"a line needs samples at 3 different x or more, got {levels.size} ({got})",
            file=table,
            remedy="add standards",
        )
    if np.ptp(ys) == 0:
        raise CalibrationError(f"the signal is {ys[0]:g} in every sample", file=table, remedy="check the signal column")
    if through_origin and (levels > 0).sum() < 2:
        raise CalibrationError("a line through the origin needs 2 positive standards or more", file=table)
    return xs, ys


def _checked_description(description: Mapping[str, Any]) -> dict[str, Any]:
    known = {*COMPARED, *CARRIED} - {"kind", "x_quantity"}
    unknown = sorted(set(description) - known)
    if unknown:
        raise CalibrationError(
            f"a calibration says nothing of {', '.join(unknown)}", remedy=f"it knows {', '.join(sorted(known))}"
        )
    metric, dimensions = description.get("metric"), description.get("dimensions")
    if metric not in (None, "total", "maximum"):
        raise CalibrationError(f"metric must be total or maximum, got {metric!r}")
    if dimensions not in (None, 2, 3):
        raise CalibrationError(f"dimensions must be 2 (projection) or 3, got {dimensions!r}")
    iron = description.get("iron_per_cell_pg")
    if iron is not None and not (isfinite(iron) and iron > 0):
        raise CalibrationError(f"iron per cell must be positive, got {iron:g} pg", remedy="check it and its unit, pg")
    for name in ("labelling_efficiency_percent", "viability_percent"):
        percent = description.get(name)
        if percent is not None and not 0 <= percent <= 100:
            raise CalibrationError(f"{name} lies between 0 and 100, got {percent:g}")
    return dict(description)


def _weighted_fit(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: Weights, through_origin: bool, table: str | Path | None
) -> tuple[LineFit, VarianceModel, float]:
    """Return the line, the variance of a sample, and the variance of unit weight."""
    if weights == "auto":
        fit, model = fit_variance_by_reml(x, y, through_origin=through_origin)
        return fit, model, fit.weighted_ss / fit.degrees_of_freedom
    if weights in ("none", "replicates"):
        fit = fit_line(x, y, through_origin=through_origin)
        scale, degrees = fit.weighted_ss / fit.degrees_of_freedom, fit.degrees_of_freedom
        if weights == "replicates":
            pure_ss, degrees = _pure_error(x, y, np.ones_like(x))
            if degrees == 0:
                raise CalibrationError(
                    "weights from replicates need samples of the same x, and every x is there once",
                    file=table,
                    remedy="use --weights auto or none",
                )
            scale = pure_ss / degrees
        return fit, VarianceModel(VarianceForm.CONSTANT, sqrt(scale), float(degrees)), scale
    floor = float(x[x > 0].min())
    floored = np.maximum(x, floor)
    fit = fit_line(x, y, 1.0 / floored if weights == "1/x" else 1.0 / floored**2, through_origin=through_origin)
    scale = fit.weighted_ss / fit.degrees_of_freedom
    form = VarianceForm.X if weights == "1/x" else VarianceForm.X_SQUARED
    return fit, VarianceModel(form, sqrt(scale), float(fit.degrees_of_freedom), floor_x=floor), scale


def _pure_error(x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]) -> tuple[float, int]:
    """Return the weighted sum of squares of replicates about their means, and its degrees of freedom."""
    levels, level_of = np.unique(x, return_inverse=True)
    means = np.bincount(level_of, w * y) / np.bincount(level_of, w)
    return float(np.sum(w * np.square(y - means[level_of]))), x.size - levels.size


def _lack_of_fit(
    x: NDArray[np.float64], fit: LineFit, variance: VarianceModel, y: NDArray[np.float64]
) -> LackOfFit | None:
    """Return the F test of Draper & Smith 1998, section 2.1, with each sample weighted by its inverse variance."""
    from scipy.special import fdtrc

    variances = np.broadcast_to(variance.variance(x, y - fit.residuals), x.shape)
    if not (variances > 0).all():
        return None
    weights = 1.0 / variances
    pure_ss, pure_degrees = _pure_error(x, y, weights)
    lack_degrees = fit.degrees_of_freedom - pure_degrees
    if pure_degrees == 0 or lack_degrees <= 0 or pure_ss == 0:
        return None
    lack_ss = max(float(np.sum(weights * fit.residuals**2)) - pure_ss, 0.0)
    ratio = (lack_ss / lack_degrees) / (pure_ss / pure_degrees)
    return LackOfFit(ratio, (lack_degrees, pure_degrees), float(fdtrc(lack_degrees, pure_degrees, ratio)))


def _scaled(
    covariance: tuple[tuple[float, float], tuple[float, float]], scale: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    (aa, ab), (_, bb) = covariance
    return ((aa * scale, ab * scale), (ab * scale, bb * scale))


def _blank_limit(blanks: NDArray[np.float64]) -> float | None:
    return None if blanks.size < 2 else float(blanks.mean() + 3.0 * blanks.std(ddof=1))
