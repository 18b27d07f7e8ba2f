"""The figure of several readers: what each measures, how far two differ, how far organs overlap."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from napari_mpi_track.quantification.reader_study import ALL_ORGANS, ReaderStudy
from napari_mpi_track.report.figures import INK, new_figure, organ_colour, palette_colour, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X"


def readers_figure(study: ReaderStudy, *, title: str = "") -> "Figure":
    """Return readers side by side in three parts.

    Every reader's total against the mean of all readers of the same organ and scan; the ratio of every two readers
    against their mean (Bland and Altman, with limits of agreement); the overlap of every two readers by organ.
    """
    figure = new_figure(12.4, 4.2)
    figure.set_layout_engine("constrained")
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    _against_the_mean(plain_axes(figure, 1, 3, 1), study)
    _ratios(plain_axes(figure, 1, 3, 2), study)
    _overlaps(plain_axes(figure, 1, 3, 3), study)
    return figure


def _against_the_mean(axes: "Axes", study: ReaderStudy) -> None:
    for at, organ in enumerate(study.organs):
        table = study.table(organ, "total")
        means = table.mean(axis=1) if len(table) else np.empty(0)
        percent = 100 * table[means > 0] / means[means > 0, None] - 100
        for number, reader in enumerate(study.readers):
            beside = at + 0.5 * ((number + 0.5) / len(study.readers) - 0.5)
            axes.plot(
                np.full(len(percent), beside),
                percent[:, number],
                _MARKERS[number % len(_MARKERS)],
                color=palette_colour(number),
                markersize=5,
                label=reader if at == 0 else None,
            )
    axes.axhline(0, color=INK, linewidth=0.8)
    # An organ's own coefficient: that of all together is high by itself.
    found = [study.row(organ, "total", "icc_2_1") for organ in study.organs]
    names = [
        organ if icc is None else f"{organ}\n{icc.value:.2f}" for organ, icc in zip(study.organs, found, strict=True)
    ]
    _name_organs(axes, names)
    axes.set_ylabel("total against the readers' mean (%)", fontsize=9)
    if any(found):
        axes.set_title("each organ's ICC(2,1) is below its name", fontsize=10, loc="left")
    axes.legend(fontsize=8, edgecolor="none", framealpha=0.85)


def _ratios(axes: "Axes", study: ReaderStudy) -> None:
    group = study.organs[0] if len(study.organs) == 1 else ALL_ORGANS
    table = study.table(group, "total")
    table = table[(table > 0).all(axis=1)]
    for number, (a, b) in enumerate(combinations(range(len(study.readers)), 2)):
        first, second = table[:, a], table[:, b]
        colour = palette_colour(number)
        words = f"{study.readers[a]} / {study.readers[b]}"
        axes.plot(
            np.sqrt(first * second),
            first / second,
            _MARKERS[number % len(_MARKERS)],
            color=colour,
            markersize=5,
            label=words,
        )
        pair = (study.readers[a], study.readers[b])
        for row in study.rows:
            if (row.organ, row.quantity, row.reader_a, row.reader_b) != (group, "total", *pair):
                continue
            if row.statistic in ("ratio", "ratio_low", "ratio_high"):
                line = "-" if row.statistic == "ratio" else (0, (4, 2))
                axes.axhline(row.value, color=colour, linewidth=1.2, linestyle=line)
    axes.axhline(1, color=INK, linewidth=0.8)
    if len(table) and table.max() > 10 * table.min():
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(lambda _value, _: "")
    axes.set_xlabel("mean total of the two (geometric)", fontsize=9)
    axes.set_ylabel("ratio of the two", fontsize=9)
    axes.set_title("limits of agreement (dashed)", fontsize=10, loc="left")
    axes.legend(fontsize=8, edgecolor="none", framealpha=0.85)


def _overlaps(axes: "Axes", study: ReaderStudy) -> None:
    for at, organ in enumerate(study.organs):
        values = [row.value for row in study.rows if row.organ == organ and row.statistic == "dice"]
        places = at + np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.array([float(at)])[: len(values)]
        axes.plot(
            places, values, "o", color=organ_colour(organ), markeredgecolor=INK, markeredgewidth=0.6, markersize=6
        )
    _name_organs(axes, study.organs)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("Dice, each two readers", fontsize=9)


def _name_organs(axes: "Axes", organs: Sequence[str]) -> None:
    axes.set_xticks(range(len(organs)), organs, rotation=30 if len(organs) > 3 else 0, fontsize=9)
    axes.set_xlim(-0.6, len(organs) - 0.4)
