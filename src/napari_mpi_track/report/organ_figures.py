"""Figures of organs' errors: what each is made of step by step, what spilled where, what rules make of a total."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_mpi_track.longitudinal.measurement import WHOLE_ORGAN, BudgetRow, Measurement, OrganRuleRow, SpillRow
from napari_mpi_track.longitudinal.scan_parts import is_marker
from napari_mpi_track.quantification.occupancy import FIDUCIALS
from napari_mpi_track.report.figures import (
    INK,
    ONE_COLUMN_MM,
    TEXT_POINTS,
    TITLE_POINTS,
    TWO_COLUMNS_MM,
    headline,
    palette_colour,
    plain_number,
    print_axes,
    print_figure,
)
from napari_mpi_track.report.tables import three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TERM_WORDS = {
    "noise": "noise",
    "background": "background",
    "rule": "rule",
    "spill_over": "spill-over",
    "alignment": "alignment",
    "drift": "drift of scanner",
    "scatter": "scatter of a scan",
    "calibration": "calibration",
}
_MOST_PANELS = 6
# A number on a dark cell is white.
_DARK_PERCENT = 55.0


def worst_scans(rows: Sequence[BudgetRow], measurements: Sequence[Measurement]) -> list[tuple[str, float, str]]:
    """Return, a subject and modality, the day on which the errors are largest beside the signals: (subject, day, what).

    Largest in the mean over the organs that were seen on that day.
    """
    signals = {(m.subject, m.day, m.modality, m.organ): _shown_signal(m) for m in measurements}
    relative: dict[tuple[str, float, str], list[float]] = {}
    for scan in dict.fromkeys((row.subject, row.day, row.modality) for row in rows):
        for organ in dict.fromkeys(row.organ for row in rows if (row.subject, row.day, row.modality) == scan):
            signal = signals.get((*scan, organ))
            sd = whole_sd([r for r in rows if (r.subject, r.day, r.modality, r.organ) == (*scan, organ)])
            if signal and signal > 3 * sd:
                relative.setdefault(scan, []).append(sd / signal)
    worst: dict[tuple[str, str], tuple[str, float, str]] = {}
    for scan, parts in relative.items():
        key = scan[0], scan[2]
        if key not in worst or np.mean(parts) > np.mean(relative[worst[key]]):
            worst[key] = scan
    return list(worst.values())


def _shown_signal(row: Measurement) -> float | None:
    return row.signal_total if row.signal_total_corrected is None else row.signal_total_corrected


def whole_sd(rows: Sequence[BudgetRow]) -> float:
    """Return the SD of all terms together, in the unit of the signal."""
    return float(np.linalg.norm([row.sd for row in rows]))


def budget_figure(rows: Sequence[BudgetRow], *, title: str = "") -> "Figure":
    """Return what the error of every organ is made of: each term's part of the variance, mean over scans."""
    organs = list(dict.fromkeys(row.organ for row in rows))
    terms = list(dict.fromkeys(row.term for row in rows))
    figure = print_figure(ONE_COLUMN_MM, 30 + 5 * len(organs))
    axes = print_axes(figure, 111)
    place = np.arange(len(organs))
    left = np.zeros(len(organs))
    for at, term in enumerate(terms):
        part = np.array([_mean_part([row for row in rows if row.organ == organ], term) for organ in organs])
        axes.barh(
            place,
            part,
            left=left,
            height=0.65,
            color=palette_colour(at),
            label=TERM_WORDS.get(term, term),
        )
        left += part
    axes.set_yticks(place, organs)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("part of the variance (%), mean over scans", fontsize=TEXT_POINTS)
    figure.legend(loc="outside lower center", ncols=3, fontsize=TEXT_POINTS, frameon=False, handlelength=1.2)
    headline(figure, title)
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


def waterfall_figure(
    rows: Sequence[BudgetRow], signals: Mapping[str, float], unit: str, *, title: str = ""
) -> "Figure":
    """Return the error of every organ of one scan, term by term up to the whole: a panel an organ.

    Parameters
    ----------
    rows
        Of budget.csv, of one scan.
    signals
        Each organ's signal that the errors are of; the brightest six organs are drawn.
    unit
        Of signals and errors.

    Notes
    -----
    Independent errors add in quadrature, so a step is what its term adds to the SD of those left of it.
    """
    organs = [organ for organ in dict.fromkeys(row.organ for row in rows) if organ in signals]
    organs = sorted(organs, key=lambda organ: -signals[organ])[:_MOST_PANELS]
    across = min(3, max(1, len(organs)))
    down = max(1, -(-len(organs) // across))
    figure = print_figure(ONE_COLUMN_MM if across == 1 else TWO_COLUMNS_MM, 58 * down + 8)
    for number, organ in enumerate(organs, start=1):
        axes = print_axes(figure, down, across, number)
        _waterfall(axes, [row for row in rows if row.organ == organ], signals[organ])
        axes.set_title(f"{organ}: {three_digits(signals[organ])}", fontsize=TITLE_POINTS, loc="left")
        if (number - 1) % across == 0:
            axes.set_ylabel(f"SD ({unit})", fontsize=TEXT_POINTS)
    headline(figure, title)
    return figure


def _waterfall(axes: "Axes", rows: Sequence[BudgetRow], signal: float) -> None:
    reached = 0.0
    for at, row in enumerate(rows):
        top = float(np.hypot(reached, row.sd))
        hatch = "///" if row.shared else None
        axes.bar(at, top - reached, bottom=reached, color=palette_colour(4), width=0.7, hatch=hatch, edgecolor="white")
        axes.plot([at + 0.35, at + 1 - 0.35], [top, top], color="#9aa3ab", linewidth=0.8)
        # Numbers of neighbours stand in two rows: side by side they would touch.
        above = (0, 2 + 8 * (at % 2))
        axes.annotate(
            three_digits(row.sd), (at, top), above, "data", "offset points", ha="center", fontsize=TEXT_POINTS
        )
        reached = top
    axes.bar(len(rows), reached, color="#5b6670", width=0.7)
    part = f"\n{three_digits(100 * reached / signal)} %" if signal > 0 else ""
    axes.annotate(
        f"{three_digits(reached)}{part}", (len(rows), reached), (0, 18), "data", "offset points",
        ha="center", fontsize=TEXT_POINTS,
    )  # fmt: skip
    words = [TERM_WORDS.get(row.term, row.term) + (" (shared)" if row.shared else "") for row in rows]
    axes.set_xticks(
        range(len(rows) + 1), [*words, "all"], rotation=40, ha="right", rotation_mode="anchor", fontsize=TEXT_POINTS
    )
    axes.tick_params(axis="y", labelsize=TEXT_POINTS)
    axes.yaxis.set_major_formatter(plain_number)
    axes.set_ylim(0, max(1.62 * reached, 1e-30))
    axes.set_xlim(-0.75, len(rows) + 0.75)
    axes.grid(visible=False, axis="x")


def spill_figure(rows: Sequence[SpillRow], *, title: str = "") -> "Figure":
    """Return where every organ's measured signal came from, in percent: organs down, sources across.

    ``rows`` are of spill_over.csv, of one scan. Markers are one source; so is every other animal.
    """
    organs = list(dict.fromkeys(row.organ for row in rows))
    sources = list(dict.fromkeys(_source(row.source) for row in rows))
    shares = np.zeros((len(organs), len(sources)))
    for row in rows:
        shares[organs.index(row.organ), sources.index(_source(row.source))] += row.percent
    # A cell holds a number of 7 pt.
    figure = print_figure(min(max(ONE_COLUMN_MM, 34 + 11 * len(sources)), TWO_COLUMNS_MM), 34 + 7 * len(organs))
    axes = figure.add_subplot(111)
    picture = axes.imshow(np.clip(shares, 0, 100), cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (down, across), share in np.ndenumerate(shares):
        told = "" if abs(share) < 0.05 else f"{share:.1f}" if abs(share) < 10 else f"{share:.0f}"
        colour = "white" if share > _DARK_PERCENT else INK
        axes.text(across, down, told, ha="center", va="center", fontsize=TEXT_POINTS, color=colour)
    axes.set_xticks(range(len(sources)), sources, rotation=40, ha="right", fontsize=TEXT_POINTS)
    axes.set_yticks(range(len(organs)), organs, fontsize=TEXT_POINTS)
    axes.set_xlabel("came from", fontsize=TEXT_POINTS)
    axes.set_ylabel("measured in", fontsize=TEXT_POINTS)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=axes, shrink=0.85)
    bar.set_label("part of the measured signal (%)", fontsize=TEXT_POINTS)
    bar.ax.tick_params(labelsize=TEXT_POINTS)
    headline(figure, title)
    return figure


def _source(name: str) -> str:
    """Return a source as it is drawn: all markers as one, all of another animal as one."""
    if is_marker(name):
        return FIDUCIALS
    animal, _, part = name.partition(": ")
    return animal if part else name


def rules_figure(rows: Sequence[OrganRuleRow], unit: str, *, title: str = "") -> "Figure":
    """Return what each rule keeps of every organ's total beside the whole: a group of bars an organ.

    ``rows`` are of rules.csv, of one scan.
    """
    organs = list(dict.fromkeys(row.organ for row in rows))
    rules = list(dict.fromkeys(row.rule for row in rows))
    bars = len(organs) * len(rules)
    figure = print_figure(ONE_COLUMN_MM if bars <= 16 else TWO_COLUMNS_MM, 70)
    axes = print_axes(figure, 111)
    width = 0.8 / len(rules)
    for at, rule in enumerate(rules):
        found = {row.organ: row.total for row in rows if row.rule == rule}
        place = [number + (at - (len(rules) - 1) / 2) * width for number, organ in enumerate(organs) if organ in found]
        colour = "#5b6670" if rule == WHOLE_ORGAN else palette_colour(at)
        axes.bar(place, [found[o] for o in organs if o in found], width, color=colour, label=rule)
    axes.set_xticks(range(len(organs)), organs, fontsize=TEXT_POINTS)
    axes.set_ylabel(f"signal total ({unit})", fontsize=TEXT_POINTS)
    axes.yaxis.set_major_formatter(plain_number)
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside lower center", ncols=5, fontsize=TEXT_POINTS, frameon=False)
    headline(figure, title)
    return figure
