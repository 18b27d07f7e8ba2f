"""Units mixed up by a thousand are asked about; honest series are not."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_mpi_track.quantification.unit_suspicion import (
    suspected_amounts,
    suspected_column,
    suspected_load,
    suspected_table,
)

IRON = np.array([0.0, 0, 50, 50, 100, 100, 200, 200, 400, 400])


def test_one_row_in_ug_is_asked_about():
    signal = 5 + 2 * IRON
    mixed = np.where(np.arange(IRON.size) == 8, 0.4, IRON)
    assert "x = 0.4 is 1,000 times as high" in suspected_column(mixed, signal)
    mixed = np.where(np.arange(IRON.size) == 3, 50_000, IRON)
    assert "x = 50000 is 1,000 times as low" in suspected_column(mixed, signal)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.3), st.floats(-5, 5), st.floats(0.1, 1e5), st.booleans())
@example(203831, 0.0, 0.0, 1.0, True)
@settings(deadline=None, max_examples=80)
def test_honest_series_of_any_scale_are_not_suspected(seed, scatter, blank, scale, has_blanks):
    rng = np.random.default_rng(seed)
    x = np.repeat([0, 1, 10, 100, 1_000, 10_000], 3)[0 if has_blanks else 3 :] * scale
    signal = blank + 0.01 * x / scale * np.exp(rng.normal(0, scatter, x.size)) + rng.normal(0, 1, x.size)
    assert suspected_column(x, signal) == ""


def test_amounts_of_labelled_cells_and_of_tracers_are_usual():
    assert suspected_amounts(1e5, 1_600, 10) == ""
    assert suspected_amounts(0, 0, 10) == ""
    assert suspected_amounts(None, 30_000, 1) == ""
    assert "is the iron in ug?" in suspected_amounts(1e6, 0.008, None)


def test_the_iron_of_a_cell_is_asked_about_where_no_cell_holds_so_much_or_so_little():
    assert suspected_load(16.0) == suspected_load(None) == ""
    assert "is it in fg?" in suspected_load(16_000.0)
    assert "is it in ng?" in suspected_load(0.005)


def test_a_table_of_cells_beside_their_iron_is_asked_about(tmp_path):
    table = tmp_path / "samples.csv"
    table.write_text("cells,iron_ng,signal\n0,0,1\n100000,,9\n100000,1600,9\n")
    assert suspected_table(table) == ""
    # The whole column in ug: from signals alone nobody could see it.
    table.write_text("cells,iron_ng,signal\n0,0,1\n100000,1.6,9\n200000,3.2,18\n")
    assert suspected_table(table) == "row 3: 1.6 ng of iron in 100000 cells is 0.016 pg per cell: is the iron in ug?"
