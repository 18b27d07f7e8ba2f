"""The figures of a study, the same in report, panel and export; and what everything looks like in them.

Figures are matplotlib ``Figure`` objects, never pyplot's: no window, no global state, and the same bytes every time.
"""

import json
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np

from napari_mpi_track.imaging.labels import Colour
from napari_mpi_track.longitudinal.measurement import BudgetRow, DecayRow, RetentionRow
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.report.tables import three_digits
from napari_mpi_track.report.units import units_of_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

# Okabe & Ito, Color Universal Design (2008); black is left out, it would vanish on a scan.
_OKABE_ITO: tuple[Colour, ...] = (
    (0.902, 0.624, 0.000),
    (0.337, 0.706, 0.914),
    (0.000, 0.620, 0.451),
    (0.941, 0.894, 0.259),
    (0.000, 0.447, 0.698),
    (0.835, 0.369, 0.000),
    (0.800, 0.475, 0.655),
)
_USUAL_ORGANS = {"liver": 0, "lungs": 1, "spleen": 2, "bone": 3, "kidneys": 4, "tumour": 5, "heart": 6}
_GREY: Colour = (0.45, 0.45, 0.45)
_MARKERS = "osD^vP"
INK = "#222222"


def organ_colour(organ: str) -> Colour:
    """Return the RGB of an organ, 0 to 1: by its name alone, so that it is the same on every day and figure."""
    if organ in ("fiducials", "outside", "total"):
        return _GREY
    return _OKABE_ITO[_USUAL_ORGANS.get(organ.lower(), crc32(organ.encode()) % len(_OKABE_ITO))]


def organ_marker(organ: str) -> str:
    """Return the plot marker of an organ: shape tells apart what colour alone may not."""
    return _MARKERS[_USUAL_ORGANS.get(organ.lower(), crc32(organ.encode()[::-1])) % len(_MARKERS)]


def hot_iron() -> "LinearSegmentedColormap":
    """Return the colour map of MPI, black through red and orange to white; the viewer's has the same stops."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = [(0, 0, 0), (0.45, 0, 0), (0.9, 0.2, 0), (1, 0.6, 0.1), (1, 1, 0.85)]
    return LinearSegmentedColormap.from_list("hot iron", stops)


def cool() -> "LinearSegmentedColormap":
    """Return the colour map of PET and SPECT, black through blue to white; the viewer's has the same stops."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = [(0, 0, 0), (0.05, 0.1, 0.5), (0.0, 0.45, 0.8), (0.3, 0.85, 0.9), (0.95, 1, 1)]
    return LinearSegmentedColormap.from_list("cool", stops)


def new_figure(width_inch: float, height_inch: float) -> "Figure":
    """Return an empty white figure that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def figure_bytes(figure: "Figure", kind: Literal["svg", "png"], *, dots_per_inch: int = 150) -> bytes:
    """Return a figure as a file's bytes, the same for the same figure: no date, no random names in it."""
    from matplotlib import rc_context

    stream = BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    # Letters stay text in an SVG: a person can search them, and no font of this machine changes the bytes.
    with rc_context({"svg.hashsalt": "napari-mpi-track", "svg.fonttype": "none"}):
        figure.savefig(stream, format=kind, dpi=dots_per_inch, metadata=metadata)
    return stream.getvalue()


def palette_colour(number: int) -> Colour:
    """Return the RGB of one of seven colours that everybody can tell apart, by its number from 0."""
    return _OKABE_ITO[number % len(_OKABE_ITO)]


def plain_axes(figure: "Figure", *place: int) -> "Axes":
    """Return axes in the one style of all figures, at ``place`` (rows, columns, number)."""
    axes = figure.add_subplot(*place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.grid(True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def calibration_figure(calibration: Calibration, *, title: str = "") -> "Figure":
    """Return the calibration: replicates' mean and SEM, line, 95 % bands of line and of a sample, decision limit."""
    low_end = _low_end(calibration)
    figure = new_figure(9.6 if low_end else 6.4, 4.3)
    _line_and_bands(plain_axes(figure, 1, 2 if low_end else 1, 1), calibration, 1.04 * calibration.x_range[1])
    if low_end:
        axes = plain_axes(figure, 122)
        _line_and_bands(axes, calibration, low_end)
        axes.set_title("the low end", fontsize=10, loc="left")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    _headline(figure, title)
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
    blue, green = _OKABE_ITO[4], _OKABE_ITO[2]
    for variance, strength, label in ((of_sample, 0.13, "95 % of new samples"), (of_line, 0.32, "95 % of the line")):
        half = t * np.sqrt(variance)
        axes.fill_between(x, line - half, line + half, color=blue, alpha=strength, linewidth=0, label=label)
    axes.plot(x, line, color=blue, linewidth=1.6, label=_equation(calibration))
    shown = calibration.x <= reach
    axes.plot(calibration.x[shown], calibration.signal[shown], "o", markersize=3, color="#8a8a8a", label="samples")
    _replicate_means(axes, calibration, reach)
    limit = f"decision limit {three_digits(calibration.decision_limit)} {_x_unit(calibration)}"
    axes.axvline(calibration.decision_limit, color=green, linewidth=1.2, linestyle=(0, (4, 2)), label=limit)
    axes.set_xlabel("cells per sample" if calibration.x_quantity == "cells" else "iron per sample (ng)", fontsize=9)
    axes.set_ylabel(f"signal ({units_of_samples(calibration).total})", fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.locator_params(axis="x", nbins=6)


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
    style: dict[str, Any] = {"fmt": "D", "markersize": 5, "color": INK, "capsize": 3, "linestyle": "none"}
    axes.errorbar(several, means, sems, label="mean ± SEM of replicates", **style)


def retention_figure(rows: Sequence[RetentionRow], *, title: str = "") -> "Figure":
    """Return the mean retention of every group by organ, a panel a modality; single subjects are thin lines.

    ``rows`` are of retention.csv, of any number of subjects. Organs below detection count as hollow points.
    """
    figure, panels = _panels(sorted({(row.modality, row.group) for row in rows}), 4.1)
    for (modality, group), axes in panels.items():
        mine = [row for row in rows if (row.modality, row.group) == (modality, group)]
        for organ in _organs(mine):
            series = [row for row in mine if row.organ == organ]
            for subject in sorted({row.subject for row in series}):
                days, values, _, _, _ = _series([row for row in series if row.subject == subject])
                axes.plot(days, values, color=organ_colour(organ), linewidth=0.7, alpha=0.45)
            _group_mean(axes, series, organ)
        count = len({row.subject for row in mine})
        who = f"{modality}, {group}" if group else modality
        what = "one animal" if count == 1 else f"mean ± SEM of those detected, n = {count}"
        axes.set_title(f"{who}: {what}", fontsize=10, loc="left")
        _retention_axes(axes, mine, 4)
    _headline(figure, title)
    return figure


def decay_figure(rows: Sequence[RetentionRow], fits: Sequence[DecayRow], *, title: str = "") -> "Figure":
    """Return the retention of one subject with its fits: points with 95 % intervals, curves, half-lives in words.

    Points below detection are hollow, at their upper bound, with an arrow down.
    """
    # Every organ is a line of the legend, in words.
    height = 3.6 + 0.18 * len(_organs(rows))
    figure, panels = _panels(sorted({(row.modality, "") for row in rows}), height)
    for (modality, _), axes in panels.items():
        mine = [row for row in rows if row.modality == modality]
        for organ in _organs(mine):
            fit = next((f for f in fits if (f.modality, f.organ) == (modality, organ)), None)
            _decay_of_organ(axes, [row for row in mine if row.organ == organ], fit)
        axes.set_title(modality, fontsize=10, loc="left")
        _retention_axes(axes, mine, 1)
    _headline(figure, title)
    return figure


def _decay_of_organ(axes: "Axes", rows: Sequence[RetentionRow], fit: DecayRow | None) -> None:
    organ = rows[0].organ
    days, values, lows, highs, hidden = _series(rows)
    label = f"{organ}: {fit_in_words(fit)}" if fit else organ
    seen = ~hidden & np.isfinite(values)
    errors = np.stack([np.maximum(values - lows, 0), np.maximum(highs - values, 0)])
    colour = organ_colour(organ)
    style = _point_style(organ)
    axes.errorbar(days[seen], values[seen], np.nan_to_num(errors[:, seen]), color=colour, label=label, **style)
    _bounds(axes, days[hidden], highs[hidden], organ)
    if fit is not None and days.size:
        fine = np.linspace(days.min(), days.max(), 200)
        percent = fitted_percent(fit, fine)
        if percent is not None:
            _curve(axes, fine, percent, organ)


def _bounds(axes: "Axes", days: Any, highs: Any, organ: str) -> None:
    """Draw what is below detection: hollow, at its upper bound, with an arrow down of one length."""
    colour = organ_colour(organ)
    seen = np.isfinite(highs)
    edge = INK if sum(colour) > 2.0 else colour
    axes.plot(
        days[seen], highs[seen], organ_marker(organ), markersize=5.5, color="white", markeredgecolor=edge, zorder=3
    )
    for day, high in zip(days[seen], highs[seen], strict=True):
        arrow: dict[str, Any] = {"arrowstyle": "<|-", "color": edge, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 3}
        axes.annotate("", (day, high), (0, -17), "data", "offset points", arrowprops=arrow, zorder=2)


def fit_in_words(fit: DecayRow) -> str:
    """Return a fit as it stands in a legend: the model and the half-life with its interval."""
    if "rising" in fit.flag.split(";"):
        return "rising, no half-life"
    if "too_few_points" in fit.flag.split(";"):
        return f"too few points ({fit.points})"
    if fit.half_life_days is None:
        return f"{fit.model}, no half-life"
    low, high = fit.half_life_low_days, fit.half_life_high_days
    if low is not None and high is not None:
        interval = f" ({three_digits(low)} to {three_digits(high)})"
    elif low is not None:
        interval = f" (at least {three_digits(low)})"
    else:
        interval = "" if high is None else f" (at most {three_digits(high)})"
    return f"half-life {three_digits(fit.half_life_days)} d{interval}, {fit.model}"


def budget_figure(rows: Sequence[BudgetRow], *, title: str = "") -> "Figure":
    """Return what the error of every organ is made of: each term's part of the variance, mean over scans."""
    organs = list(dict.fromkeys(row.organ for row in rows))
    terms = list(dict.fromkeys(row.term for row in rows))
    figure = new_figure(6.8, 1.5 + 0.3 * len(organs))
    axes = plain_axes(figure, 111)
    place = np.arange(len(organs))
    left = np.zeros(len(organs))
    for at, term in enumerate(terms):
        part = np.array([_mean_part([row for row in rows if row.organ == organ], term) for organ in organs])
        axes.barh(place, part, left=left, height=0.65, color=_OKABE_ITO[at % 7], label=term.replace("_", "-"))
        left += part
    axes.set_yticks(place, organs)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("part of the variance (%), mean over scans", fontsize=9)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=6, fontsize=8, frameon=False)
    _headline(figure, title)
    return figure


def _mean_part(rows: Sequence[BudgetRow], term: str) -> float:
    """Return the mean over scans of one term's part of the variance, in percent."""
    parts = []
    for scan in dict.fromkeys((row.subject, row.day) for row in rows):
        mine = [row for row in rows if (row.subject, row.day) == scan]
        whole = sum(row.sd**2 for row in mine)
        if whole > 0:
            parts.append(100 * sum(row.sd**2 for row in mine if row.term == term) / whole)
    return float(np.mean(parts)) if parts else 0.0


def fitted_percent(fit: DecayRow, days: Any) -> Any:
    """Return the fitted retention in percent at ``days``, or None where nothing was fitted."""
    from napari_mpi_track.longitudinal.decay_models import MODELS

    if fit.model not in MODELS or not fit.parameters:
        return None
    return MODELS[fit.model].curve(np.asarray(days, dtype=float), json.loads(fit.parameters))


def _panels(keys: Sequence[tuple[str, str]], height_inch: float) -> tuple["Figure", dict[tuple[str, str], "Axes"]]:
    count = max(1, len(keys))
    across = min(count, 2)
    down = -(-count // across)
    figure = new_figure(5.4 * across if across > 1 else 6.4, height_inch * down)
    figure.set_layout_engine("constrained")
    return figure, {key: plain_axes(figure, down, across, at + 1) for at, key in enumerate(keys)}


def _headline(figure: "Figure", title: str) -> None:
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")


def _organs(rows: Sequence[RetentionRow]) -> list[str]:
    """Return the organs worth a curve, as they come; the rest of the scan is in the tables."""
    organs = dict.fromkeys(row.organ for row in rows)
    return [organ for organ in organs if organ not in ("fiducials", "outside")]


def _series(rows: Sequence[RetentionRow]) -> tuple[Any, Any, Any, Any, Any]:
    """Return days, values, lower and upper limits (NaN where missing) and whether below detection, by day."""
    ordered = sorted(rows, key=lambda row: row.day)
    found = [(row.day, row.retention_percent, row.retention_low, row.retention_high) for row in ordered]
    numbers = [[np.nan if value is None else value for value in four] for four in found]
    days, values, lows, highs = np.array(numbers, dtype=float).reshape(-1, 4).T
    hidden = np.array(["below_detection" in row.flag.split(";") for row in ordered], dtype=bool)
    return days, values, lows, highs, hidden


def _group_mean(axes: "Axes", rows: Sequence[RetentionRow], organ: str) -> None:
    """Draw the mean and SEM of the subjects seen on each day; a day on which none was seen as its highest bound."""
    days = np.array(sorted({row.day for row in rows}))
    seen = [[r.retention_percent for r in rows if r.day == day and r.retention_percent is not None] for day in days]
    means = np.array([np.mean(found) if found else np.nan for found in seen])
    sems = np.array([np.std(found, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.nan for found in seen])
    _curve(axes, days, means, organ)
    axes.errorbar(days, means, sems, color=organ_colour(organ), label=organ, **_point_style(organ))
    bounds = [max((r.retention_high for r in rows if r.day == d and r.retention_high), default=np.nan) for d in days]
    _bounds(axes, days[np.isnan(means)], np.array(bounds)[np.isnan(means)], organ)


def _point_style(organ: str) -> dict[str, Any]:
    return {
        "fmt": organ_marker(organ),
        "markersize": 5.5,
        "markeredgecolor": INK,
        "markeredgewidth": 0.6,
        "capsize": 2.5,
        "elinewidth": 1.1,
        "linestyle": "none",
    }


def _curve(axes: "Axes", x: Any, y: Any, organ: str, label: str | None = None) -> None:
    """Draw a line in an organ's colour, edged in grey so that yellow stays visible on white."""
    from matplotlib.patheffects import Normal, Stroke

    edge = [Stroke(linewidth=2.4, foreground="#8a8a8a"), Normal()]
    axes.plot(x, y, color=organ_colour(organ), linewidth=1.6, path_effects=edge, label=label)


def _retention_axes(axes: "Axes", rows: Sequence[RetentionRow], columns: int) -> None:
    references = " or ".join(dict.fromkeys(row.reference for row in rows))
    axes.set_ylabel(f"retention (% of {references})", fontsize=9)
    axes.set_xlabel("days after injection", fontsize=9)
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=columns)
