"""Arrays in HDF5 without geometry, as MATLAB writes them with -v7.3: the user says how far voxels are apart."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.declared import Declared
from napari_mpi_track.readers.unpack import BEST_PACKING


def volumes_in(file: h5py.File, path: Path, declared: Declared) -> list[Volume]:
    """Return every array of two or three dimensions, in the order of their names.

    MATLAB's arrays are (row, column[, plane]) with rows fastest; they come back as (plane, row, column). Arrays that
    others wrote are taken as (row, column) or (plane, row, column). A flat image has a thickness only if the user
    gave the spacing of planes; given modality MPI and (row, column) alone it is a projection of nothing: still one
    plane without thickness, since nobody said that it is a projection.

    Raises
    ------
    UnreadableScanError
        If there is no such array, or its spacing was not given: it is asked for, never invented.
    """
    arrays = _arrays(file)
    if not arrays:
        raise UnreadableScanError("no array of two or three dimensions of real numbers in this HDF5 file", file=path)
    if declared.spacing_mm is None:
        found = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in arrays[:4])
        raise UnreadableScanError(
            f"an HDF5 file of arrays without geometry ({found}): the spacing of its voxels is needed",
            file=path,
            remedy="give --spacing-mm plane,row,column",
        )
    return [_volume(name, array, path, declared) for name, array in arrays]


def _arrays(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: Any) -> None:
        is_private = name.startswith("#")
        if isinstance(item, h5py.Dataset) and not is_private and item.ndim in (2, 3) and min(item.shape) > 0:
            is_image = item.dtype.kind in "iuf" and item.size > max(item.shape)
            is_text = _class_of(item) in ("char", "cell", "function_handle")
            if is_image and not is_text:
                found.append((name, item))

    file.visititems(visit)
    return sorted(found, key=lambda entry: entry[0])


def _class_of(array: h5py.Dataset) -> str | None:
    said = array.attrs.get("MATLAB_class")
    return said.decode("ascii", "replace") if isinstance(said, bytes) else None if said is None else str(said)


def _volume(name: str, array: h5py.Dataset, path: Path, declared: Declared) -> Volume:
    voxels = _planes(read_whole(array, path), is_matlab=_class_of(array) is not None)
    assert declared.spacing_mm is not None
    is_flat = array.ndim == 2
    if len(declared.spacing_mm) == 2 and not is_flat:
        raise UnreadableScanError(
            f"the array {name} has three dimensions, the spacing of its planes is needed too",
            file=path,
            remedy="give --spacing-mm plane,row,column",
        )
    has_thickness = len(declared.spacing_mm) == 3
    spacing = declared.spacing_mm if has_thickness else (1.0, *declared.spacing_mm)
    warnings = ["orientation unknown: the file holds an array without geometry; spacing as the user gave it"]
    return Volume(
        voxels=voxels,
        grid=Grid.from_spacing((voxels.shape[0], voxels.shape[1], voxels.shape[2]), spacing),
        modality=None if declared.modality is None else Modality(declared.modality),
        name=f"{path.stem} {name}",
        has_thickness=has_thickness,
        file=str(path),
        file_format="MATLAB 7.3" if _class_of(array) else "HDF5",
        warnings=tuple(warnings),
    )


def _planes(stored: NDArray[Any], *, is_matlab: bool) -> NDArray[Any]:
    """Return an array as (plane, row, column); HDF5 holds MATLAB's dimensions in reverse."""
    if is_matlab:
        stored = np.swapaxes(stored, -1, -2)
    if stored.ndim == 2:
        stored = stored[np.newaxis]
    return stored


def read_whole(array: h5py.Dataset, path: Path) -> NDArray[Any]:
    """Return all of a dataset, read-only; refused if its file cannot hold what it claims."""
    # Unwritten chunks take no room in a file: an array may claim any size.
    stored = int(array.id.get_storage_size())
    if array.nbytes > max(stored, 1) * BEST_PACKING:
        raise UnreadableScanError(
            f"the file is truncated: {array.name} claims {array.nbytes} bytes, {stored} are stored", file=path
        )
    values = np.asarray(array[()])
    values.flags.writeable = False
    return values
