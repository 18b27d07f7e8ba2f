"""The figures of a whole study: organs by arm, arms compared, MPI beside PET, scores against retention."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mpi_track.imaging.labels import Colour
from napari_mpi_track.longitudinal.agreement import ALL_ORGANS, Pair, pairs_of
from napari_mpi_track.longitudinal.measurement import AgreementRow, ArmRow, RetentionRow, ScoreRow
from napari_mpi_track.report.figures import (
    INK,
    ONE_COLUMN_MM,
    TEXT_POINTS,
    TITLE_POINTS,
    TWO_COLUMNS_MM,
    headline,
    organ_colour,
    organ_marker,
    plain_number,
    print_axes,
    print_figure,
)
from napari_mpi_track.report.retention_figures import draw_mean, organs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_ORGANS = 12
_MOST_LINES = 40
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_GREY: Colour = (0.42, 0.42, 0.42)


@dataclass(frozen=True, slots=True)
class Line:
    """One value with its interval in a figure of many: what it is of, limits that may be missing, and how many."""

    words: str
    organ: str
    value: float
    low: float | None
    high: float | None
    count: str


def arms_over_time_figure(rows: Sequence[RetentionRow], controls: Sequence[str], *, title: str = "") -> "Figure":
    """Return the retention of one modality's organs over days, a panel an organ, all arms in each.

    Parameters
    ----------
    rows
        Of retention.csv, of one modality. The twelve organs that hold most are drawn.
    controls
        Groups that are drawn in grey and dashed.
    """
    most = {
        organ: max((r.retention_percent or 0.0 for r in rows if r.organ == organ), default=0.0)
        for organ in organs_of(rows)
    }
    organs = sorted(most, key=lambda organ: -most[organ])[:_MOST_ORGANS]
    groups = list(dict.fromkeys(row.group for row in rows))
    across = min(3, max(1, len(organs)))
    down = max(1, -(-len(organs) // across))
    figure = print_figure(ONE_COLUMN_MM if across == 1 else TWO_COLUMNS_MM, 50 * down + 10)
    references = " or ".join(dict.fromkeys(row.reference for row in rows))
    for number, organ in enumerate(organs, start=1):
        axes = print_axes(figure, down, across, number)
        for at, group in enumerate(groups):
            mine = [row for row in rows if (row.organ, row.group) == (organ, group)]
            colour = _GREY if group in controls else organ_colour(organ)
            draw_mean(axes, mine, colour, organ, group, dashes=_dashes(group, at, controls))
        axes.set_title(organ, fontsize=TITLE_POINTS, loc="left")
        axes.axhline(0, color=INK, linewidth=0.6)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -0.15 * high), high)
        if (number - 1) % across == 0:
            axes.set_ylabel(f"retention (% of {references})", fontsize=TEXT_POINTS)
        if number > len(organs) - across:
            axes.set_xlabel("days after injection", fontsize=TEXT_POINTS)
    _legend_of_arms(figure, rows, groups, controls)
    headline(figure, title)
    return figure


def _dashes(group: str, at: int, controls: Sequence[str]) -> Any:
    return _DASHES[1] if group in controls else _DASHES[(at if at == 0 else at + 1) % len(_DASHES)]


def _legend_of_arms(
    figure: "Figure", rows: Sequence[RetentionRow], groups: Sequence[str], controls: Sequence[str]
) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for at, group in enumerate(groups):
        count = len({row.subject for row in rows if row.group == group})
        words = f"{group or 'all'}, n = {count}" + (" (control)" if group in controls else "")
        colour = _GREY if group in controls else INK
        handles.append(Line2D([], [], color=colour, linestyle=_dashes(group, at, controls), linewidth=1.1, label=words))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=TEXT_POINTS, frameon=False)


def arms_figure(rows: Sequence[ArmRow], *, title: str = "") -> "Figure":
    """Return the arms' differences and ratios with 95 % intervals, a line an organ and day; half-lives with the ratios.

    ``rows`` are of arms.csv, of one modality and one pair of arms.
    """
    differences = [_line(row) for row in rows if row.measure == "retention_difference"]
    ratios = [_line(row) for row in rows if row.measure in ("retention_ratio", "half_life_ratio")]
    parts = [
        (found[:_MOST_LINES], words, none)
        for found, words, none in (
            (_known(differences), "difference (% of the reference)", 0.0),
            (_known(ratios), "ratio", 1.0),
        )
        if found
    ]
    tallest = max((len(found) for found, _, _ in parts), default=1)
    figure = print_figure(TWO_COLUMNS_MM if len(parts) > 1 else ONE_COLUMN_MM, 26 + 4.2 * tallest)
    for number, (found, words, none) in enumerate(parts, start=1):
        _forest(print_axes(figure, 1, len(parts), number), found, words, none)
    headline(figure, title)
    return figure


def _line(row: ArmRow) -> Line | None:
    if row.value is None:
        return None
    words = f"{row.organ}, half-life" if row.day is None else f"{row.organ}, day {row.day:g}"
    return Line(words, row.organ, row.value, row.low, row.high, f"{row.animals}, {row.other_animals}")


def _known(lines: Sequence[Line | None]) -> list[Line]:
    return [line for line in lines if line is not None]


def scores_figure(rows: Sequence[ScoreRow], *, title: str = "") -> "Figure":
    """Return the rank correlation of one score with retention, a line an organ and day, with 95 % intervals.

    ``rows`` are of scores.csv, of one score and one modality.
    """
    lines = [
        Line(f"{row.organ}, day {row.day:g}", row.organ, row.spearman, row.low, row.high, str(row.animals))
        for row in rows
        if row.spearman is not None
    ][:_MOST_LINES]
    figure = print_figure(ONE_COLUMN_MM, 26 + 4.2 * max(1, len(lines)))
    axes = print_axes(figure, 111)
    _forest(axes, lines, "Spearman's rank correlation with retention", 0.0)
    axes.set_xlim(-1.05, 1.05)
    headline(figure, title)
    return figure


def _forest(axes: "Axes", lines: Sequence[Line], words: str, none: float) -> None:
    """Draw values with intervals one below the other; what has no interval is hollow."""
    is_ratio = none == 1.0
    if is_ratio:
        axes.set_xscale("log")
    for at, line in enumerate(lines):
        colour = organ_colour(line.organ)
        if line.low is not None and line.high is not None:
            axes.plot([line.low, line.high], [at, at], color=INK, linewidth=0.8, zorder=2)
        face = "white" if line.low is None or line.high is None else colour
        style: dict[str, Any] = {"markersize": 3.8, "markeredgecolor": INK, "markeredgewidth": 0.5, "zorder": 3}
        axes.plot([line.value], [at], organ_marker(line.organ), color=face, **style)
    axes.axvline(none, color=INK, linewidth=0.6, linestyle=(0, (4, 2)))
    labels = [f"{line.words} (n = {line.count})" for line in lines]
    axes.set_yticks(range(len(lines)), labels, fontsize=TEXT_POINTS)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(words, fontsize=TEXT_POINTS)
    _within_reach(axes, lines, is_ratio)
    if is_ratio:
        _ratio_ticks(axes.xaxis)


def _within_reach(axes: "Axes", lines: Sequence[Line], is_ratio: bool) -> None:
    """Cut the axis where a single wide interval would hide all others; it then runs out of the picture."""
    values = np.array([line.value for line in lines])
    if not values.size:
        return
    ends = np.array([end for line in lines for end in (line.low, line.high) if end is not None])
    values, ends = (np.log(values), np.log(np.maximum(ends, 1e-300))) if is_ratio else (values, ends)
    widths = np.abs(ends[:, None] - np.median(values)).ravel()
    reach = max(4.0 * float(np.median(widths)) if widths.size else 0.0, 1.15 * float(np.ptp(np.append(values, 0.0))))
    middle = float(np.median(values))
    low, high = (float(edge) for edge in (min([*values, *ends, 0.0]), max([*values, *ends, 0.0])))
    margin = 0.06 * (high - low) or 0.1
    low, high = max(low - margin, middle - reach), min(high + margin, middle + reach)
    axes.set_xlim(*((exp(low), exp(high)) if is_ratio else (low, high)))


def _ratio_ticks(axis: Any) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    low, high = axis.get_view_interval()
    # Within a few times, ticks of a log axis would be one or none.
    steps = LogLocator(subs=(1, 2, 5)) if high > 8 * low else MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    axis.set_major_locator(steps)
    axis.set_major_formatter(plain_number)
    axis.set_minor_formatter(NullFormatter())


def agreement_figure(retention: Sequence[RetentionRow], rows: Sequence[AgreementRow], *, title: str = "") -> "Figure":
    """Return MPI beside PET: retention by both with Deming's line, their ratio after Bland and Altman, and over days.

    Parameters
    ----------
    retention
        Rows of retention.csv: points are an organ of an animal on a day that both detected.
    rows
        Of agreement.csv.
    """
    pairs = pairs_of(retention)
    organs = list(dict.fromkeys(pair.organ for pair in pairs))
    figure = print_figure(TWO_COLUMNS_MM, 78)
    _both(print_axes(figure, 1, 3, 1), pairs, rows)
    _ratios(print_axes(figure, 1, 3, 2), pairs, rows)
    _ratio_over_days(print_axes(figure, 1, 3, 3), pairs, rows)
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"linestyle": "none", "markersize": 3.8, "markeredgecolor": INK, "markeredgewidth": 0.5}
    handles = [Line2D([], [], color=organ_colour(o), marker=organ_marker(o), label=o, **style) for o in organs]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=TEXT_POINTS, frameon=False)
    headline(figure, title)
    return figure


def _value(rows: Sequence[AgreementRow], measure: str) -> AgreementRow | None:
    """Return a measure over all organs; of the one organ where there is no more than one."""
    found = [row for row in rows if row.measure == measure and row.value is not None]
    return next((row for row in found if row.organ == ALL_ORGANS), found[0] if len(found) == 1 else None)


def _draw_points(axes: "Axes", pairs: Sequence[Pair], x: Any, y: Any) -> None:
    for organ in dict.fromkeys(pair.organ for pair in pairs):
        of_organ = np.array([pair.organ == organ for pair in pairs])
        style: dict[str, Any] = {"markersize": 3.4, "markeredgecolor": INK, "markeredgewidth": 0.4}
        axes.plot(x[of_organ], y[of_organ], organ_marker(organ), color=organ_colour(organ), **style)


def _both(axes: "Axes", pairs: Sequence[Pair], rows: Sequence[AgreementRow]) -> None:
    pet, mpi = np.array([pair.pet for pair in pairs]), np.array([pair.mpi for pair in pairs])
    _draw_points(axes, pairs, pet, mpi)
    reach = 1.05 * float(max(pet.max(initial=1e-9), mpi.max(initial=1e-9)))
    axes.plot([0, reach], [0, reach], color=INK, linewidth=0.6, linestyle=(0, (4, 2)))
    slope, intercept = _value(rows, "deming_slope"), _value(rows, "deming_intercept")
    told = "equal (dashed)"
    if slope is not None and intercept is not None and slope.value is not None and intercept.value is not None:
        ends = np.array([0.0, reach])
        axes.plot(ends, intercept.value + slope.value * ends, color=INK, linewidth=1.0)
        told = f"Deming's slope {_told(slope)}"
    axes.set_xlim(0, reach)
    axes.set_ylim(0, reach)
    axes.set_title(told, fontsize=TEXT_POINTS, loc="left")
    axes.set_xlabel("retention by PET (%)", fontsize=TEXT_POINTS)
    axes.set_ylabel("retention by MPI (%)", fontsize=TEXT_POINTS)


def _told(row: AgreementRow) -> str:
    interval = "" if row.low is None or row.high is None else f" ({row.low:.2f} to {row.high:.2f})"
    return f"{row.value:.2f}{interval}"


def _ratios(axes: "Axes", pairs: Sequence[Pair], rows: Sequence[AgreementRow]) -> None:
    mean = np.sqrt([pair.mpi * pair.pet for pair in pairs])
    ratio = np.array([pair.mpi / pair.pet for pair in pairs])
    axes.set_xscale("log")
    axes.set_yscale("log")
    _draw_points(axes, pairs, mean, ratio)
    axes.axhline(1, color=INK, linewidth=0.6, linestyle=(0, (4, 2)))
    bias = _value(rows, "bland_altman_ratio")
    for name, width in (
        ("bland_altman_bias", 1.0),
        ("bland_altman_lower_limit", 0.7),
        ("bland_altman_upper_limit", 0.7),
    ):
        row = _value(rows, name)
        if row is not None and row.value is not None:
            axes.axhline(exp(row.value), color=INK, linewidth=width)
    axes.set_title("" if bias is None else f"mean ratio {_told(bias)}", fontsize=TEXT_POINTS, loc="left")
    axes.set_xlabel("geometric mean of both (%)", fontsize=TEXT_POINTS)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.9), max(high, 1.1))
    axes.set_ylabel("MPI / PET, with 95 % limits", fontsize=TEXT_POINTS)
    _ratio_ticks(axes.yaxis)
    _decades(axes.xaxis)


def _decades(axis: Any) -> None:
    from matplotlib.ticker import NullFormatter

    axis.set_major_formatter(plain_number)
    axis.set_minor_formatter(NullFormatter())


def _ratio_over_days(axes: "Axes", pairs: Sequence[Pair], rows: Sequence[AgreementRow]) -> None:
    """Draw each organ's ratios on every day, small, and their mean with its interval; organs beside each other."""
    organs = list(dict.fromkeys(pair.organ for pair in pairs))
    days = sorted({pair.day for pair in pairs})
    step = 0.5 * min(np.diff(days), default=1.0) / max(1, len(organs))
    axes.set_yscale("log")
    name = "bland_altman_ratio_day_"
    reach = 0.0
    for at, organ in enumerate(organs):
        found = [row for row in rows if row.organ == organ and row.measure.startswith(name) and row.value]
        mine = [pair for pair in pairs if pair.organ == organ]
        beside = np.array([pair.day for pair in mine]) + (at - (len(organs) - 1) / 2) * step
        single = np.array([pair.mpi / pair.pet for pair in mine])
        axes.plot(beside, single, organ_marker(organ), color=organ_colour(organ), markersize=2.2, alpha=0.6)
        reach = max(reach, float(np.max(np.abs(np.log(single)), initial=0.0)))
        place = np.array([float(row.measure.removeprefix(name)) for row in found]) + (at - (len(organs) - 1) / 2) * step
        for x, row in zip(place, found, strict=True):
            if row.low and row.high:
                axes.plot([x, x], [row.low, row.high], color=INK, linewidth=0.7)
        values = np.array([row.value for row in found], dtype=float)
        reach = max(reach, float(np.max(np.abs(np.log(values)), initial=0.0)))
        style: dict[str, Any] = {"markersize": 3.4, "markeredgecolor": INK, "markeredgewidth": 0.4}
        axes.plot(place, values, organ_marker(organ), color=organ_colour(organ), **style)
    axes.axhline(1, color=INK, linewidth=0.6, linestyle=(0, (4, 2)))
    # Of two animals an interval may span a thousand times: it runs out of the picture.
    edge = exp(max(1.3 * reach, log(1.2)))
    axes.set_ylim(1 / edge, edge)
    axes.set_title("by day", fontsize=TEXT_POINTS, loc="left")
    axes.set_xlabel("days after injection", fontsize=TEXT_POINTS)
    axes.set_ylabel("MPI / PET, mean and 95 % interval", fontsize=TEXT_POINTS)
    _ratio_ticks(axes.yaxis)
