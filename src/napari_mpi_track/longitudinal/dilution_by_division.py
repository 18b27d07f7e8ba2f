"""Dividing cells: the label of each halves, the total stays. Founders from the signal, cells from the divisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.measurement import DivisionRow, Measurement

_LOG_2 = log(2.0)
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Doubling:
    """Divisions per day, and their SD; 0 where cells do not divide."""

    divisions_per_day: float
    sd: float = 0.0

    def divisions(self, day: float) -> float:
        """Return how often a cell has divided by ``day``."""
        return self.divisions_per_day * max(day, 0.0)

    def label_per_cell(self, day: float) -> float:
        """Return the label of a cell in parts of the founder's, 2 to the minus number of divisions."""
        return float(2.0 ** -self.divisions(day))


def doubling_of_time(doubling_time_days: float, sd_days: float = 0.0) -> Doubling:
    """Return the doubling of a given doubling time; its SD to first order."""
    return Doubling(1.0 / doubling_time_days, sd_days / doubling_time_days**2)


def fit_doubling(time_days: ArrayLike, label_per_cell: ArrayLike) -> Doubling:
    """Return the doubling that label per cell, measured over days in cells taken out, shows; never below zero.

    Parameters
    ----------
    time_days, label_per_cell
        Shape (n,): days, and the label of a cell in any unit (ICP iron per cell, fluorescence of a dye).

    Raises
    ------
    TableError
        With fewer than three days, or a label that is not above zero.

    Notes
    -----
    A line through the logarithms, s(t) = s0 2^(-t/T). Label per cell cannot rise by division: a slope above zero is
    set to none, with its error kept.
    """
    days, label = np.asarray(time_days, dtype=np.float64), np.asarray(label_per_cell, dtype=np.float64)
    if days.size < 3 or np.unique(days).size < 2 or days.shape != label.shape:
        raise TableError(f"divisions are fitted to the label per cell on three days or more, got {days.size}")
    if not (label > 0).all():
        raise TableError("the label per cell must be above 0 on every day")
    logs = np.log2(label)
    centred = days - days.mean()
    slope = float(centred @ logs / (centred @ centred))
    left = logs - logs.mean() - slope * centred
    sd = sqrt(float(left @ left) / (days.size - 2) / float(centred @ centred))
    return Doubling(max(-slope, 0.0), sd)


def division_rows(rows: Sequence[Measurement], doubling: Doubling | None) -> list[DivisionRow]:
    """Return what every count of cells is in founders and, were no cell to die and no label to leave, in cells.

    A count by total label is one of founders: it does not grow with division. Living descendants are founders
    times 2 to the number of divisions; the interval joins that of the founders and of the doubling, on logarithms.
    """
    if doubling is None:
        return []
    found = []
    for row in rows:
        if row.cells is None or row.cells <= 0 or row.day < 0 or row.organ in ("fiducials", "outside"):
            continue
        divisions = doubling.divisions(row.day)
        sd = doubling.sd * max(row.day, 0.0)
        cells = row.cells * exp(_LOG_2 * divisions)
        low = high = None
        if row.cells_low is not None and row.cells_high is not None and row.cells_low > 0:
            of_doubling = _Z * _LOG_2 * sd
            low = cells * exp(-sqrt(log(row.cells / row.cells_low) ** 2 + of_doubling**2))
            high = cells * exp(sqrt(log(row.cells_high / row.cells) ** 2 + of_doubling**2))
        found.append(
            DivisionRow(
                row.subject, row.group, row.day, row.modality, row.organ, row.cells, divisions, sd, cells, low, high,
                row.flag,
            )
        )  # fmt: skip
    return found
