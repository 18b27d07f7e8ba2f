"""What many tests assert, each with the reason for its tolerance."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume


def assert_same_place(first: Grid, second: Grid, tolerance_mm: float = 1e-4) -> None:
    """Every corner of both grids lies in one place: 1e-4 mm is what a header of nine digits keeps at 1 m."""
    assert first.shape == second.shape
    apart = first.farthest_corner_mm(second)
    assert apart <= tolerance_mm, f"corners lie up to {apart:.3g} mm apart"


def assert_same_scan(first: Volume | OrganLabels, second: Volume | OrganLabels, tolerance_mm: float = 1e-4) -> None:
    """Same place and the same voxels, bit for bit in value (the byte order may differ)."""
    assert_same_place(first.grid, second.grid, tolerance_mm)
    np.testing.assert_array_equal(first.voxels, second.voxels)


def assert_frozen(array: NDArray[Any]) -> None:
    """Nobody can write to the array, nor through what it is a view of."""
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 0
    owner: Any = array
    while isinstance(owner, np.ndarray):
        assert not owner.flags.writeable
        owner = owner.base


def assert_one_line(error: MpiTrackError) -> None:
    """The error reads as one line: what was needed and came, where, and what to do."""
    text = str(error)
    assert text.strip()
    assert len(text.splitlines()) == 1, text
