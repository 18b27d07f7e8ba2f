"""Iron in a labelled cell, from two curves of the same cells: against their number, and against their iron."""

from dataclasses import dataclass
from math import isfinite

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.calibration_line import COMPARED, Calibration, CalibrationKind, mismatches
from napari_mpi_track.quantification.curve_comparison import percent_difference

_PG_PER_NG = 1e3


@dataclass(frozen=True, slots=True)
class IronPerCell:
    """Iron in a labelled cell in pg, with its confidence interval (NaN where it is not finite)."""

    value_pg: float
    low_pg: float
    high_pg: float

    @property
    def is_finite(self) -> bool:
        """Whether there is a finite interval."""
        return isfinite(self.low_pg) and isfinite(self.high_pg)


def iron_per_cell(of_cells: Calibration, of_iron: Calibration, *, level: float = 0.95) -> IronPerCell:
    """Return the iron in a cell, with its interval.

    Parameters
    ----------
    of_cells
        Signal against the number of labelled cells.
    of_iron
        Signal against the iron in such cells, by ICP say.
    level
        Of the interval.

    Raises
    ------
    CalibrationError
        Curves of other kinds (in solution the same iron gives more signal), or made under different conditions.

    Notes
    -----
    The slope per cell over the slope per ng; Fieller's interval (doi:10.1111/j.2517-6161.1954.tb00159.x).
    """
    needed = (CalibrationKind.IN_CELLS, CalibrationKind.IN_CELLS_IRON)
    if (of_cells.kind, of_iron.kind) != needed:
        raise CalibrationError(
            f"iron per cell needs curves of kind {needed[0]} and {needed[1]}, got {of_cells.kind} and {of_iron.kind}",
            remedy="measure the iron of labelled cells (ICP): in solution the same iron gives another signal",
        )
    stated = {name: getattr(of_iron, name) for name in COMPARED if name not in ("kind", "x_quantity")}
    differences = mismatches(of_cells, **stated)
    if differences:
        raise CalibrationError(
            "iron per cell needs curves made alike, but they differ in "
            + "; ".join(f"{d.name} ({d.calibration} and {d.scan})" for d in differences),
            remedy="take two curves of the same cells, tracer and scanner",
        )
    per_ng, per_cell = (
        (curve.slope, curve.slope_se**2, float(curve.degrees_of_freedom)) for curve in (of_iron, of_cells)
    )
    percent = percent_difference(per_ng, per_cell, level)
    # 100 (second/first - 1), as a ratio again.
    value, low, high = (_PG_PER_NG * (1 + p / 100) for p in (percent.value, percent.low, percent.high))
    return IronPerCell(value, low, high)
