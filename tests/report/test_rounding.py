"""Numbers without their last bits."""

import numpy as np
from report_examples import example_alignment, example_measurements

from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.report.rounding import rounded


def test_two_runs_that_differ_in_the_last_bits_are_one() -> None:
    third = 1 / 3
    assert np.nextafter(third, 1) != third
    assert rounded(np.nextafter(third, 1), 12) == rounded(third, 12) == 0.333333333333


def test_rows_keep_their_words_and_their_missing_numbers() -> None:
    row = example_measurements()[0]
    near = rounded(row, 12)
    assert (near.subject, near.flag, near.iron_ng) == (row.subject, row.flag, None)
    assert abs(near.cells - row.cells) <= 1e-11 * row.cells
    assert isinstance(near.signal, Estimate)
    assert dict(near.signal.shared).keys() == {"calibration:slope"}


def test_an_alignment_stays_an_alignment() -> None:
    alignment = example_alignment()
    near = rounded(alignment, 9)
    assert near.verdict is alignment.verdict
    assert near.moving_from_fixed.is_rigid
    assert near.moving_from_fixed.source_frame == "anatomy"
