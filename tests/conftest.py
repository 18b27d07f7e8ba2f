"""What every test may ask for."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans, named by ``MPI_TRACK_REAL_DATA``; without it these tests do not run."""
    folder = os.environ.get("MPI_TRACK_REAL_DATA")
    if not folder:
        pytest.skip("MPI_TRACK_REAL_DATA names no folder of real scans")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"MPI_TRACK_REAL_DATA is not a folder: {path}")
    return path
