"""What there is to know of a scan, in plain values for JSON."""

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.volume import Volume

# Voxels that are mapped, not read yet, are looked through at opening only up to this size: a few milliseconds.
_SMALL_MAP_BYTES = 1 << 25


def describe(volume: Volume) -> dict[str, Any]:
    """Return one record of ``mpi-track info --json``: plain values, every number finite or ``None``.

    Shape and spacing are (plane, row, column), ``lps_from_index`` is 4x4 in LPS mm, ``sum`` the plain sum of
    voxels in their unit. Voxels that are not finite are left out of minimum, maximum and sum.
    """
    minimum, maximum, total = _statistics(volume)
    return {
        "path": volume.file,
        "format": volume.file_format,
        "series": volume.series,
        "name": volume.name,
        "modality": None if volume.modality is None else str(volume.modality),
        "shape": list(volume.grid.shape),
        "spacing_mm": [float(value) for value in volume.grid.spacing_mm],
        "lps_from_index": [[float(value) for value in row] for row in volume.grid.lps_from_index],
        "frame": volume.grid.frame,
        "dtype": volume.voxels.dtype.name,
        "unit": volume.unit,
        "is_projection": volume.is_projection,
        "has_thickness": volume.has_thickness,
        "acquired_at": None if volume.acquired_at is None else volume.acquired_at.isoformat(),
        "time_s": volume.time_s,
        "tracer": volume.tracer,
        "minimum": minimum,
        "maximum": maximum,
        "sum": total,
        "warnings": list(volume.warnings),
    }


def lack_of_numbers(voxels: NDArray[Any]) -> str | None:
    """Return a sentence on voxels that are NaN, ``None`` where there are none or a large mapped file would be read."""
    if voxels.dtype.kind != "f" or (voxels.nbytes > _SMALL_MAP_BYTES and _is_mapped(voxels)):
        return None
    lacking = sum(int(np.count_nonzero(np.isnan(plane))) for plane in voxels)
    if lacking == 0:
        return None
    if lacking == voxels.size:
        return "no voxel holds a number (all are NaN)"
    return f"{lacking} of {voxels.size} voxels hold no number (NaN)"


def _is_mapped(voxels: NDArray[Any]) -> bool:
    owner: Any = voxels
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner.obj if isinstance(owner, memoryview) else owner, mmap.mmap)


def _statistics(volume: Volume) -> tuple[float | None, float | None, float | None]:
    voxels = volume.voxels
    if voxels.dtype.kind == "f":
        finite = np.isfinite(voxels)
        voxels = voxels if finite.all() else voxels[finite]
    if voxels.size == 0:
        return None, None, None
    if voxels.dtype.kind == "f":
        total = float(np.sum(voxels, dtype=np.float64))
    else:
        total = float(sum(_whole_sum(plane) for plane in voxels))
    values = (float(voxels.min()), float(voxels.max()), total)
    low, high, total_or_none = (value if math.isfinite(value) else None for value in values)
    return low, high, total_or_none


def _whole_sum(plane: NDArray[Any]) -> int:
    """Return the exact sum of integers, which neither rounds nor wraps around.

    High and low halves are summed apart: 64 bits hold 2^32 numbers of 32 bits.
    """
    if plane.dtype.itemsize < 8:
        return int(np.sum(plane, dtype=np.int64))
    high, low = plane >> 32, plane & 0xFFFFFFFF
    return (int(np.sum(high)) << 32) + int(np.sum(low))
