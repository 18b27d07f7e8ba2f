"""The figures of a calibration: the curve itself, curves side by side, dilution, the particles' spacing, residuals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mpi_track.imaging.labels import Colour
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.curve_comparison import CurveComparison, PercentDifference
from napari_mpi_track.quantification.dilution import DilutionEffect, SpacingPoint
from napari_mpi_track.quantification.influence import Influence
from napari_mpi_track.report.figures import (
    INK,
    ONE_COLUMN_MM,
    TEXT_POINTS,
    TITLE_POINTS,
    TWO_COLUMNS_MM,
    headline,
    new_figure,
    palette_colour,
    plain_axes,
    plain_number,
    print_axes,
    print_figure,
)
from napari_mpi_track.report.tables import three_digits
from napari_mpi_track.report.units import units_of_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WORDS = {"maximum": "maximum", "total": "total", "fwhm_mm": "FWHM"}
_FIRST, _SECOND = 4, 5


def calibration_figure(calibration: Calibration, *, title: str = "") -> "Figure":
    """Return the calibration: replicates' mean and SEM, line, 95 % bands of line and of a sample, decision limit."""
    low_end = _low_end(calibration)
    figure = print_figure(TWO_COLUMNS_MM if low_end else ONE_COLUMN_MM, 82 if low_end else 85)
    _line_and_bands(print_axes(figure, 1, 2 if low_end else 1, 1), calibration, 1.04 * calibration.x_range[1])
    if low_end:
        axes = print_axes(figure, 122)
        _line_and_bands(axes, calibration, low_end)
        axes.set_title("the low end", fontsize=TITLE_POINTS, loc="left")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3 if low_end else 2, fontsize=TEXT_POINTS, frameon=False
    )
    headline(figure, title)
    return figure


def _low_end(calibration: Calibration) -> float | None:
    """Return up to which x a second panel shows the line, where standards crowd at the foot of the first."""
    low, high = calibration.x_range
    reach = max(3 * calibration.decision_limit, 2.5 * low)
    return reach if reach < high / 4 else None


def _line_and_bands(axes: "Axes", calibration: Calibration, reach: float) -> None:
    from scipy.special import stdtrit

    x = np.linspace(0.0, reach, 300)
    line = calibration.signal_at(x)
    of_line = calibration.line_variance_at(x)
    of_sample = of_line + calibration.variance_model.variance(x, np.maximum(line, 0.0))
    t = stdtrit(calibration.variance_model.degrees_of_freedom_at(np.maximum(line, 0.0)), 0.975)
    blue, green = palette_colour(4), palette_colour(2)
    for variance, strength, label in ((of_sample, 0.13, "95 % of new samples"), (of_line, 0.32, "95 % of the line")):
        half = t * np.sqrt(variance)
        axes.fill_between(x, line - half, line + half, color=blue, alpha=strength, linewidth=0, label=label)
    axes.plot(x, line, color=blue, linewidth=1.2, label=_equation(calibration))
    shown = calibration.x <= reach
    axes.plot(calibration.x[shown], calibration.signal[shown], "o", markersize=2.2, color="#8a8a8a", label="samples")
    _replicate_means(axes, calibration, reach)
    limit = f"decision limit {three_digits(calibration.decision_limit)} {_x_unit(calibration)}"
    axes.axvline(calibration.decision_limit, color=green, linewidth=1.0, linestyle=(0, (4, 2)), label=limit)
    axes.set_xlabel(
        "cells per sample" if calibration.x_quantity == "cells" else "iron per sample (ng)", fontsize=TEXT_POINTS
    )
    axes.set_ylabel(f"signal ({units_of_samples(calibration).total})", fontsize=TEXT_POINTS)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain_number)
    axes.locator_params(axis="x", nbins=5)


def _x_unit(calibration: Calibration) -> str:
    return "cells" if calibration.x_quantity == "cells" else "ng iron"


def _equation(calibration: Calibration) -> str:
    sign = "+" if calibration.slope >= 0 else "-"
    per = "cell" if calibration.x_quantity == "cells" else "ng"
    return (
        f"S = {calibration.intercept:.3g} {sign} {abs(calibration.slope):.3g} / {per}, "
        f"R² = {calibration.r_squared:.4f}, n = {calibration.n}"
    )


def _replicate_means(axes: "Axes", calibration: Calibration, reach: float) -> None:
    levels, counts = np.unique(calibration.x, return_counts=True)
    several = levels[(counts > 1) & (levels <= reach)]
    if several.size == 0:
        return
    groups = [calibration.signal[calibration.x == level] for level in several]
    sems = [np.std(group, ddof=1) / np.sqrt(group.size) for group in groups]
    means = [np.mean(group) for group in groups]
    style: dict[str, Any] = {
        "fmt": "D",
        "markersize": 3.2,
        "color": INK,
        "capsize": 2,
        "elinewidth": 0.8,
        "linestyle": "none",
    }
    axes.errorbar(several, means, sems, label="mean ± SEM of replicates", **style)


def curves_figure(comparison: CurveComparison, *, names: tuple[str, str] = ("", ""), title: str = "") -> "Figure":
    """Return two curves with the 95 % bands of their lines, and beside them the second's difference in percent.

    ``names`` are what the legend calls them; without one, their kind.
    """
    figure = _figure(10.4, 4.2, title)
    axes = plain_axes(figure, 1, 2, 1)
    curves = comparison.first, comparison.second
    for curve, name, number, marker in zip(curves, names, (_FIRST, _SECOND), "os", strict=True):
        _curve(axes, curve, name or curve.kind.value, palette_colour(number), marker)
    axes.set_xlabel(_x_label(comparison.first), fontsize=9)
    axes.set_ylabel(f"signal ({units_of_samples(comparison.first).total})", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    _thousands(axes)
    _difference_panel(plain_axes(figure, 1, 2, 2), comparison)
    return figure


def _difference_panel(axes: "Axes", comparison: CurveComparison) -> None:
    value, low, high = comparison.at_x.T
    colour = palette_colour(_SECOND)
    axes.fill_between(comparison.x, low, high, color=colour, alpha=0.25, linewidth=0, label="95 % at one x")
    axes.plot(comparison.x, value, color=colour, linewidth=1.6, label="difference of the lines")
    axes.axhline(0, color=INK, linewidth=0.8)
    over = comparison.over_range
    label = f"mean over the range {_percent_text(over)}"
    axes.axhline(over.value, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), label=label)
    axes.set_xlabel(_x_label(comparison.first), fontsize=9)
    axes.set_ylabel("difference (% of the first curve)", fontsize=9)
    p = comparison.equal_slopes.p_value
    axes.set_title(f"equal slopes (ANCOVA): {'p < 0.001' if p < 0.001 else f'p = {p:.2g}'}", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False, loc="best")
    finite = comparison.at_x[np.isfinite(comparison.at_x)]
    if finite.size:
        # Near the low end an interval may be wider than anything else in the figure.
        middle = float(np.median(value))
        reach = max(3 * float(np.nanmedian(np.nan_to_num(high - low, nan=0.0))), 1.2 * float(np.ptp(value)), 20.0)
        axes.set_ylim(min(middle - reach, -5.0), max(middle + reach, 5.0))
    _thousands(axes)


def dilution_figure(effects: Sequence[DilutionEffect], *, title: str = "") -> "Figure":
    """Return the effect of dilution on every measure, in percent, against the dilution ratio (logarithmic)."""
    measures = list(dict.fromkeys(effect.measure for effect in effects))
    figure = _figure(3.6 * max(len(measures), 1) + 0.6, 3.6, title)
    for at, measure in enumerate(measures):
        axes = plain_axes(figure, 1, len(measures), at + 1)
        mine = [effect for effect in effects if effect.measure == measure]
        ratio = np.array([effect.dilution_ratio for effect in mine])
        percent = np.array([effect.percent.value for effect in mine])
        limits = np.array([(effect.percent.low, effect.percent.high) for effect in mine])
        errors = np.nan_to_num(np.abs(limits.T - percent))
        axes.errorbar(ratio, percent, errors, color=palette_colour(at), **_POINTS)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda _value, _: "")
        axes.set_xlabel("dilution ratio", fontsize=9)
        axes.set_title(_WORDS[measure], fontsize=10, loc="left")
        if at == 0:
            axes.set_ylabel("difference at the same iron (%)", fontsize=9)
    return figure


def spacing_figure(points: Sequence[SpacingPoint], *, unit: str = "a.u.", title: str = "") -> "Figure":
    """Return a series of fixed volume beside the interparticle model, and the data in percent of it."""
    figure = _figure(8.6, 3.8, title)
    concentration = np.array([point.concentration_ng_per_ul for point in points])
    measured = np.array([point.measured for point in points])
    expected = np.array([point.expected for point in points])
    axes = plain_axes(figure, 1, 2, 1)
    axes.plot(
        concentration, expected, color=palette_colour(_FIRST), linewidth=1.6, label="S_ref (d_ref/d)³ (interparticle)"
    )
    axes.plot(concentration, measured, "s", color=palette_colour(_SECOND), markersize=6, label="measured")
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.set_minor_formatter(lambda _value, _: "")
    axes.set_xlabel("iron concentration (ng/µL)", fontsize=9)
    axes.set_ylabel(f"signal ({unit})", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    axes = plain_axes(figure, 1, 2, 2)
    spacing = np.array([point.relative_spacing for point in points])
    axes.plot(spacing, 100 * (measured / expected - 1), "s-", color=palette_colour(_SECOND), markersize=6)
    axes.axhline(0, color=palette_colour(_FIRST), linewidth=1.6)
    axes.set_xlabel("spacing of particles d/d_ref", fontsize=9)
    axes.set_ylabel("measured against the model (%)", fontsize=9)
    return figure


def residual_figure(calibration: Calibration, influence: Influence, *, title: str = "") -> "Figure":
    """Return the studentised residuals against x, and Cook's distance against leverage; outliers are ringed, kept."""
    figure = _figure(8.6, 3.6, title)
    blue, red = palette_colour(_FIRST), palette_colour(_SECOND)
    studentised = np.clip(influence.studentised, -1e3, 1e3)
    panels = (
        ((calibration.x, studentised), (_x_label(calibration), "studentised residual"), influence.outlier),
        ((influence.leverage, influence.cooks_distance), ("leverage", "Cook's distance"), influence.influential),
    )
    for at, ((x, y), words, ringed) in enumerate(panels, start=1):
        axes = plain_axes(figure, 1, 2, at)
        axes.plot(x, y, "o", color=blue, markersize=5, markeredgecolor=INK, markeredgewidth=0.6)
        axes.plot(x[ringed], y[ringed], "o", markersize=12, markerfacecolor="none", markeredgecolor=red)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xlabel(words[0], fontsize=9)
        axes.set_ylabel(words[1], fontsize=9)
    return figure


_POINTS: dict[str, Any] = {
    "fmt": "o-",
    "markersize": 5.5,
    "markeredgecolor": INK,
    "markeredgewidth": 0.6,
    "capsize": 2.5,
    "linewidth": 1.1,
}


def _figure(width_inch: float, height_inch: float, title: str) -> "Figure":
    figure = new_figure(width_inch, height_inch)
    figure.set_layout_engine("constrained")
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return figure


def _curve(axes: "Axes", curve: Calibration, name: str, colour: Colour, marker: str) -> None:
    from scipy.special import stdtrit

    x = np.linspace(0.0, 1.04 * curve.x_range[1], 200)
    line = curve.signal_at(x)
    half = stdtrit(curve.variance_model.degrees_of_freedom_at(np.maximum(line, 0.0)), 0.975)
    half = half * np.sqrt(curve.line_variance_at(x))
    axes.fill_between(x, line - half, line + half, color=colour, alpha=0.25, linewidth=0)
    label = f"{name}: {three_digits(curve.slope)} per {'cell' if curve.x_quantity == 'cells' else 'ng'}"
    axes.plot(x, line, color=colour, linewidth=1.6, label=label)
    levels = np.unique(curve.x)
    groups = [curve.signal[curve.x == level] for level in levels]
    sems = [np.std(g, ddof=1) / np.sqrt(g.size) if g.size > 1 else 0.0 for g in groups]
    style: dict[str, Any] = {**_POINTS, "fmt": marker, "linestyle": "none"}
    axes.errorbar(levels, [g.mean() for g in groups], sems, color=colour, **style)


def _percent_text(difference: PercentDifference) -> str:
    if not difference.is_finite:
        return f"{difference.value:+.1f} % (no finite interval)"
    return f"{difference.value:+.1f} % ({difference.low:+.1f} to {difference.high:+.1f})"


def _x_label(curve: Calibration) -> str:
    return "cells per sample" if curve.x_quantity == "cells" else "iron per sample (ng)"


def _thousands(axes: "Axes") -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.locator_params(axis="x", nbins=6)
