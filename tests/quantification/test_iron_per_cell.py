"""Iron per cell is the slope against cells over the slope against their iron."""

import numpy as np
import pytest

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.iron_per_cell import iron_per_cell

CELLS = np.repeat([0.0, 1e4, 5e4, 2e5], 3)
# 16.2 pg in a cell; a ng of iron gives 0.5, over a blank of 4.
TRUE_PG, PER_NG = 16.2, 0.5


def curves(seed, **described):
    rng = np.random.default_rng(seed)
    iron = CELLS * TRUE_PG * 1e-3
    signals = (4 + PER_NG * iron + rng.normal(0, 30, CELLS.size) for _ in range(2))
    of_cells = fit_calibration(CELLS, next(signals), kind="in-cells", weights="none", tracer="ProMag")
    of_iron = fit_calibration(iron, next(signals), kind="in-cells-iron", weights="none", **described)
    return of_cells, of_iron


def test_the_interval_covers_the_truth():
    covered = [(i.low_pg < TRUE_PG < i.high_pg) for i in (iron_per_cell(*curves(seed)) for seed in range(400))]
    # 400 of a probability of 0.95: 0.925 to 0.975 is 2.3 SD.
    assert 0.925 < np.mean(covered) < 0.985
    assert iron_per_cell(*curves(0)).value_pg == pytest.approx(TRUE_PG, rel=0.05)


def test_a_curve_in_solution_tells_no_iron_per_cell():
    of_cells, of_iron = curves(0)
    solution = fit_calibration(of_iron.x, of_iron.signal, kind="solution-fixed-concentration")
    for pair in ((of_cells, solution), (of_iron, of_cells)):
        with pytest.raises(CalibrationError, match="needs curves of kind in-cells and in-cells-iron"):
            iron_per_cell(*pair)


def test_curves_made_unlike_are_refused_with_what_differs():
    with pytest.raises(CalibrationError, match=r"tracer \(ProMag and VivoTrax\)"):
        iron_per_cell(*curves(0, tracer="VivoTrax"))


def test_a_slope_that_may_be_zero_has_no_finite_interval():
    of_cells, _ = curves(0)
    flat = fit_calibration([0, 1, 2, 3, 4], [5, 9, 4, 8, 7], kind="in-cells-iron", weights="none")
    assert not iron_per_cell(of_cells, flat).is_finite
