"""Pixels of DICOM slices into one array, each slice with its own slope and intercept."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.readers.dicom_files import DicomFile, Slice

_THREADS = 4
_EXACT_IN_FLOAT32 = 1 << 24


def voxels_of(slices: Sequence[Slice]) -> NDArray[Any]:
    """Return the values of slices in their order, read-only, shape (slices, rows, columns).

    The stored dtype where every slope is 1 and every intercept 0, float32 otherwise: scaling is per slice, once.
    """
    rows, columns = slices[0].shape
    dtypes = {one.file.dtype.newbyteorder("=") for one in slices}
    is_identity = all(one.slope == 1 and one.intercept == 0 for one in slices)
    stored = np.result_type(*dtypes)
    voxels = np.empty((len(slices), rows, columns), dtype=stored if is_identity else np.float32)
    runs = [list(run) for _, run in groupby(enumerate(slices), key=lambda entry: id(entry[1].file))]

    def fill(run: list[tuple[int, Slice]]) -> None:
        for index, pixels in _pixels(run, voxels):
            one = slices[index]
            if is_identity:
                if pixels is not voxels[index]:
                    voxels[index] = pixels
            else:
                _scale(pixels, one.slope, one.intercept, voxels[index])

    # Reading releases the interpreter; decoding is left to one thread, since pydicom's codecs keep state.
    if all(one.file.pixels_at is not None for one in slices) and len(runs) > 1:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(fill, runs))
    else:
        for run in runs:
            fill(run)
    voxels.flags.writeable = False
    return voxels


def _scale(pixels: NDArray[Any], slope: float, intercept: float, into: NDArray[np.float32]) -> None:
    """Write slope x pixels + intercept; in float64 unless float32 holds every step exactly."""
    whole = slope == int(slope) and intercept == int(intercept) and pixels.dtype.itemsize <= 2
    largest = abs(slope) * 65535 + abs(intercept)
    if whole and pixels.dtype.kind in "iu" and largest < _EXACT_IN_FLOAT32:
        np.multiply(pixels, np.float32(slope), out=into, casting="unsafe", dtype=np.float32)
        into += np.float32(intercept)
        return
    into[...] = pixels * np.float64(slope) + np.float64(intercept)


def _pixels(run: list[tuple[int, Slice]], voxels: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield index and stored pixels of slices of one file, which is opened once."""
    file = run[0][1].file
    if file.pixels_at is None:
        frames = _decoded(file)
        for index, one in run:
            yield index, _cut(frames[one.frame], one)
        return
    count = file.shape[1] * file.shape[2]
    with file.path.open("rb", buffering=0) as stream:
        for index, one in run:
            stream.seek(file.pixels_at + one.frame * count * file.dtype.itemsize)
            is_whole = one.shape == file.shape[1:] and voxels.dtype == file.dtype
            # Straight into its place where nothing has to be done to it.
            plane = voxels[index] if is_whole else np.empty(file.shape[1:], dtype=file.dtype)
            if _read_into(stream, plane) != plane.nbytes:
                raise UnreadableScanError("the file ended before its pixels did", file=file.path)
            yield index, _cut(_in_its_bits(plane, file), one)


def _read_into(stream: Any, plane: NDArray[Any]) -> int:
    view = plane.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view) and (got := stream.readinto(view[done:])):
        done += got
    return done


def _cut(frame: NDArray[Any], one: Slice) -> NDArray[Any]:
    if one.shape == frame.shape:
        return frame
    (row, column), (rows, columns) = one.corner, one.shape
    return frame[row : row + rows, column : column + columns]


def _in_its_bits(plane: NDArray[Any], file: DicomFile) -> NDArray[Any]:
    """Return ``plane``, changed in place, with what stands in the unused bits (overlays, a missing sign) removed."""
    spare = file.dtype.itemsize * 8 - file.bits_stored
    if spare <= 0 or file.dtype.kind == "f":
        return plane
    if file.dtype.kind == "u":
        if plane.max() >> file.bits_stored:
            plane &= (1 << file.bits_stored) - 1
        return plane
    half = 1 << (file.bits_stored - 1)
    if plane.max() >= half or plane.min() < -half:
        plane <<= spare
        plane >>= spare
    return plane


def _decoded(file: DicomFile) -> NDArray[Any]:
    """Return all frames of a compressed file, shape (frames, rows, columns)."""
    import pydicom
    from pydicom.pixels import pixel_array

    try:
        pixels = pixel_array(pydicom.dcmread(file.path, force=True))
    except (RuntimeError, ValueError, NotImplementedError, AttributeError, OSError, LookupError, TypeError) as fault:
        said = " ".join(str(fault).split())[:200]
        raise UnreadableScanError(
            f"the compressed pixels cannot be decoded: {said}", file=file.path, remedy="export it uncompressed"
        ) from fault
    return np.asarray(pixels).reshape(file.shape)
