"""A signal read through a calibration, in words."""

from html import escape

import numpy as np

from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.quantification.cell_number import (
    ABOVE_CALIBRATION,
    BELOW_DETECTION,
    NO_FINITE_INTERVAL,
    CellCounts,
    count_cells,
)
from napari_mpi_track.report.calibration_curve import standardised_residuals
from napari_mpi_track.report.tables import three_digits


def read_signal(calibration: Calibration, signal: float, replicates: int = 1) -> CellCounts:
    """Return one signal, a mean of ``replicates``, as cells or ng of iron; arrays of shape ()."""
    return count_cells(signal, calibration, replicates=replicates)


def in_words(counts: CellCounts, calibration: Calibration) -> str:
    """Return what a signal reads as: amount, 95 % interval, and what is not sure of it."""
    unit = "cells" if calibration.x_quantity == "cells" else "ng iron"
    flags = str(counts.flag).split(";")
    if BELOW_DETECTION in flags:
        return f"not detected (< {three_digits(float(counts.high))} {unit})"
    value = f"{three_digits(float(counts.value))} {unit}"
    if NO_FINITE_INTERVAL in flags:
        return f"{value}, the slope is too uncertain for an interval"
    between = f"{three_digits(float(counts.low))} to {three_digits(float(counts.high))}"
    above = ", above the highest standard" if ABOVE_CALIBRATION in flags else ""
    return f"{value} ({between}){above}"


def point_in_words(calibration: Calibration, number: int) -> str:
    """Return one sample by its place in the table, its amount, its signal and how far it is from the line."""
    unit = "cells" if calibration.x_quantity == "cells" else "ng iron"
    x, signal = calibration.x[number], calibration.signal[number]
    away = standardised_residuals(calibration)[number]
    side = "above" if away > 0 else "below"
    return escape(
        f"sample {number + 1}: {three_digits(float(x))} {unit}, signal {three_digits(float(signal))}, "
        f"{abs(away):.1f} SD {side} the line"
    )


def nearest_point(calibration: Calibration, x: float, signal: float, reach: tuple[float, float]) -> int | None:
    """Return the sample within ``reach`` (in x, in signal) of a place on the curve, by its number; or ``None``."""
    away = np.hypot((calibration.x - x) / reach[0], (calibration.signal - signal) / reach[1])
    at = int(np.argmin(away))
    return at if away[at] <= 1 else None
