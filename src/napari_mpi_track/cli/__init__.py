"""The command ``mpi-track``."""

from napari_mpi_track.cli.main import main

__all__ = ["main"]
