"""HDF5: which of the formats inside it this file is."""

from pathlib import Path

import h5py

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.readers import hdf5_arrays, mdf
from napari_mpi_track.readers.declared import Declared


def read(path: Path, declared: Declared) -> list[Volume]:
    """Return the volumes of an MDF file, or of an HDF5 file (MATLAB 7.3) of arrays without geometry."""
    with h5py.File(path, "r") as file:
        if "minc-2.0" in file:
            raise UnreadableScanError("MINC files are not read", file=path, remedy="convert it to NIfTI")
        if "TransformGroup" in file:
            raise UnreadableScanError("an ITK transform, no scan", file=path)
        if "reconstruction/data" in file or ("version" in file and "acquisition" in file):
            return mdf.volumes_in(file, path)
        return hdf5_arrays.volumes_in(file, path, declared)
