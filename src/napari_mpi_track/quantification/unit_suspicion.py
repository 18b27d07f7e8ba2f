"""Amounts that look as if their unit were off by a thousand: ng for ug, mL for uL."""

from math import log10

import numpy as np
from numpy.typing import ArrayLike

# The strongest ferumoxytol on sale holds 30 mg of iron in a mL, which is 30,000 ng/uL.
_MOST_NG_PER_UL = 60_000.0
# Labelled cells hold some 1 to 100 pg; a macrophage full of label a few hundred.
_IRON_PER_CELL_PG = (0.01, 1_000.0)
_OFF_BY_1000 = (2.5, 3.5)


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


def suspected_column(x: ArrayLike, signal: ArrayLike) -> str:
    """Return which x looks a thousand times too large or too small for its signal, as a question; else empty.

    ``x`` and ``signal`` of every sample, shape (n,); a unit that is wrong in all of them cannot be seen.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(signal, dtype=np.float64)
    blanks = ys[xs == 0]
    net = ys - (blanks.mean() if blanks.size else 0.0)
    # What is close to nothing says nothing of its unit.
    told = (xs > 0) & (net > 0.02 * net.max(initial=0.0))
    if np.unique(xs[told]).size < 3:
        return ""
    per_x = net[told] / xs[told]
    usual = float(np.median(per_x))
    for amount, ratio in zip(xs[told].tolist(), per_x.tolist(), strict=True):
        off = log10(ratio / usual)
        if _OFF_BY_1000[0] < abs(off) < _OFF_BY_1000[1]:
            unit = "too small" if off > 0 else "too large"
            return (
                f"the signal of x = {amount:g} is {10 ** abs(off):,.0f} times as {'high' if off > 0 else 'low'} per x "
                f"as that of most samples: is this x a thousand times {unit} (ng and ug mixed up)?"
            )
    return ""
