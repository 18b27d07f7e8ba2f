"""Amounts that look as if their unit were off by a thousand: ng for ug, mL for uL."""

from math import log10
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import TableError
from napari_mpi_track.quantification.sample_tables import SampleRow, read_table

# The strongest ferumoxytol on sale holds 30 mg of iron in a mL, which is 30,000 ng/uL.
_MOST_NG_PER_UL = 60_000.0
# Labelled cells hold some 1 to 100 pg; a macrophage full of label a few hundred.
_IRON_PER_CELL_PG = (0.1, 1_000.0)
_OFF_BY_1000 = (2.5, 3.5)
# Noise moves a sample of little signal by many times what its amount gives: it says nothing of a unit.
_CLEAR_SDS = 6.0


def suspected_amounts(cells: float | None, iron_ng: float | None, volume_ul: float | None) -> str:
    """Return what looks wrong in the amounts of one sample, as a question; empty where nothing does."""
    if iron_ng and volume_ul and iron_ng / volume_ul > _MOST_NG_PER_UL:
        return (
            f"{iron_ng:g} ng of iron in {volume_ul:g} uL is stronger than any tracer: is the iron in pg, or the volume "
            "in mL?"
        )
    if not (cells and iron_ng):
        return ""
    per_cell_pg = 1e3 * iron_ng / cells
    low, high = _IRON_PER_CELL_PG
    if per_cell_pg < low:
        return f"{iron_ng:g} ng of iron in {cells:g} cells is {per_cell_pg:.2g} pg per cell: is the iron in ug?"
    if per_cell_pg > high:
        return f"{iron_ng:g} ng of iron in {cells:g} cells is {per_cell_pg:.3g} pg per cell: is the iron in pg?"
    return ""


def suspected_load(iron_per_cell_pg: float | None) -> str:
    """Return what looks wrong in the iron of one labelled cell, as a question; empty where nothing does."""
    low, high = _IRON_PER_CELL_PG
    if iron_per_cell_pg is None or low <= iron_per_cell_pg <= high:
        return ""
    unit = "fg" if iron_per_cell_pg > high else "ng"
    return f"{iron_per_cell_pg:g} pg of iron per cell is beyond what is known of labelled cells: is it in {unit}?"


def suspected_table(path: str | Path) -> str:
    """Return what looks wrong in a calibration table that holds cells and iron_ng side by side; else empty."""
    for row in read_table(path).rows:
        question = suspected_amounts(_number_or_none(row, "cells"), _number_or_none(row, "iron_ng"), None)
        if question:
            return f"row {row.number}: {question}"
    return ""


def _number_or_none(row: SampleRow, column: str) -> float | None:
    # A column that the curve does not use may hold anything.
    try:
        return row.number_in(column)
    except TableError:
        return None


def suspected_column(x: ArrayLike, signal: ArrayLike) -> str:
    """Return which x looks a thousand times too large or too small for its signal, as a question; else empty.

    ``x`` and ``signal`` of every sample, shape (n,); a unit that is wrong in all of them cannot be seen.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(signal, dtype=np.float64)
    if np.unique(xs).size < 3:
        return ""
    net = ys - (ys[xs == 0].mean() if (xs == 0).any() else _robust_intercept(xs, ys))
    # What is close to nothing says nothing of its unit.
    told = (xs > 0) & (net > 0.02 * net.max(initial=0.0))
    if np.unique(xs[told]).size < 3:
        return ""
    usual = float(np.median(net[told] / xs[told]))
    away = np.abs(net - usual * xs)
    told &= away > _CLEAR_SDS * 1.4826 * float(np.median(away))
    for amount, found in zip(xs[told].tolist(), net[told].tolist(), strict=True):
        off = log10(found / amount / usual)
        if _OFF_BY_1000[0] < abs(off) < _OFF_BY_1000[1]:
            unit = "too small" if off > 0 else "too large"
            return (
                f"the signal of x = {amount:g} is {10 ** abs(off):,.0f} times as {'high' if off > 0 else 'low'} per x "
                f"as that of most samples: is this x a thousand times {unit} (ng and ug mixed up)?"
            )
    return ""


def _robust_intercept(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the signal of nothing, by the median of the slopes of all pairs (Theil & Sen)."""
    first, second = np.triu_indices(x.size, 1)
    run = x[second] - x[first]
    slopes = (y[second] - y[first])[run != 0] / run[run != 0]
    return float(np.median(y - np.median(slopes) * x))
