"""The figure of a dynamic scan: every organ's signal over time, with its peak."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_mpi_track.longitudinal.dynamic import dynamic_summaries, followed_signal
from napari_mpi_track.longitudinal.measurement import DynamicRow
from napari_mpi_track.quantification.occupancy import FIDUCIALS, OUTSIDE, TOTAL
from napari_mpi_track.report.figures import (
    ONE_COLUMN_MM,
    TEXT_POINTS,
    headline,
    organ_colour,
    organ_marker,
    print_axes,
    print_figure,
)
from napari_mpi_track.report.tables import three_digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Z_95 = 1.96
_SECONDS_OF_A_MINUTE = 60.0
# Above this a curve is read in minutes.
_LONG_S = 600.0


def dynamic_figure(rows: Sequence[DynamicRow], unit: str, *, title: str = "") -> "Figure":
    """Return the time-signal curve of every organ of one dynamic scan with its 95 % band, the peak marked.

    Of a scan without organs the curve of the whole is drawn. ``unit`` is that of signal totals.
    """
    curves: dict[str, list[DynamicRow]] = {}
    for row in rows:
        curves.setdefault(row.organ, []).append(row)
    organs = [organ for organ in curves if organ not in (FIDUCIALS, OUTSIDE, TOTAL)] or [TOTAL]
    peaks = {row.organ: row for row in dynamic_summaries(rows)}
    is_long = max(row.time_s for row in rows) > _LONG_S
    scale = _SECONDS_OF_A_MINUTE if is_long else 1.0
    figure = print_figure(ONE_COLUMN_MM, 62 + 4 * len(organs))
    axes = print_axes(figure, 111)
    for organ in organs:
        curve = sorted(curves[organ], key=lambda row: row.time_s)
        times = np.array([row.time_s for row in curve]) / scale
        shown = [followed_signal(row) for row in curve]
        values, reach = np.array([s.value for s in shown]), _Z_95 * np.array([s.own_sd for s in shown])
        peak, colour = peaks[organ], organ_colour(organ)
        words = f"{organ}: peak {three_digits(peak.peak)} at {three_digits(peak.time_to_peak_s / scale)}"
        axes.fill_between(times, values - reach, values + reach, color=colour, alpha=0.2, linewidth=0)
        axes.plot(times, values, color=colour, linewidth=1.0, label=f"{words} {'min' if is_long else 's'}")
        axes.plot([peak.time_to_peak_s / scale], [peak.peak], organ_marker(organ), color=colour, markersize=4)
    axes.set_xlabel(f"time ({'min' if is_long else 's'})", fontsize=TEXT_POINTS)
    axes.set_ylabel(f"signal ({unit})" if unit else "signal", fontsize=TEXT_POINTS)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    figure.legend(loc="outside lower left", fontsize=TEXT_POINTS, frameon=False, handlelength=1.5)
    headline(figure, title)
    return figure
