"""Division: the total label counts founders; only what the study says of divisions makes cells of them."""

import numpy as np
import pytest

from napari_mpi_track.errors import TableError
from napari_mpi_track.longitudinal.dilution_by_division import division_rows, doubling_of_time, fit_doubling
from napari_mpi_track.longitudinal.measurement import Measurement

ROW = Measurement("m1", "g", 6.0, "MPI", "tumour", cells=1000.0, cells_low=800.0, cells_high=1250.0)


def test_founders_stay_and_cells_double():
    (row,) = division_rows([ROW], doubling_of_time(2.0))
    assert (row.founder_cells, row.divisions, row.cells_if_none_died) == (1000.0, 3.0, pytest.approx(8000.0))
    assert (row.low, row.high) == pytest.approx((6400.0, 10000.0))
    assert doubling_of_time(2.0).label_per_cell(6.0) == pytest.approx(1 / 8)


def test_the_error_of_the_doubling_time_widens_the_interval():
    (row,) = division_rows([ROW], doubling_of_time(2.0, 0.1))
    # 6 days / 2 days squared x 0.1 days = 0.15 divisions.
    assert row.divisions_sd == pytest.approx(0.15)
    reach = np.hypot(np.log(1.25), 1.96 * np.log(2) * 0.15)
    assert row.high == pytest.approx(8000 * np.exp(reach), rel=1e-3)


def test_nothing_is_divided_unless_the_study_says_so():
    assert division_rows([ROW], None) == []


def test_a_doubling_is_fitted_to_the_label_per_cell():
    days = np.array([0.0, 2.0, 4.0, 7.0])
    fit = fit_doubling(days, 12.0 * 2 ** (-days / 2.5))
    assert fit.divisions_per_day == pytest.approx(0.4, rel=1e-9)
    rng = np.random.default_rng(0)
    found = [fit_doubling(days, 2 ** (-days / 2.5 + 0.1 * rng.standard_normal(4))) for _ in range(300)]
    spread = np.std([each.divisions_per_day for each in found])
    assert np.sqrt(np.mean([each.sd**2 for each in found])) == pytest.approx(spread, rel=0.15)


def test_label_that_rises_is_no_division_backwards():
    assert fit_doubling([0, 2, 4], [1.0, 1.1, 1.3]).divisions_per_day == 0


@pytest.mark.parametrize(("days", "label"), [([0, 2], [1, 0.5]), ([0, 2, 4], [1, 0.5, 0])])
def test_label_that_shows_no_doubling_is_refused(days, label):
    with pytest.raises(TableError):
        fit_doubling(days, label)
