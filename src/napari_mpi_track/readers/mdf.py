"""MDF 2, the magnetic particle imaging data format (Knopp et al., arXiv:1602.06072).

Axes: MDF places voxels by metres along the scanner's own x, y, z, from the centre of its bore. It knows no patient.
We take scanner x, y, z for the package's x, y, z (LPS) one to one, in mm: the identity. So "left", "posterior" and
"superior" of an MDF volume are directions of the bore, and its frame is the scanner's; only an alignment brings it to
an animal's anatomy.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.hdf5_arrays import read_whole

_MM_PER_M = 1000.0


def volumes_in(file: h5py.File, path: Path) -> list[Volume]:
    """Return one volume per frame and channel of the reconstruction: channels of the first frame, then the next.

    Values are as stored and have no unit unless the dataset has an attribute ``unit``: MDF defines none.

    Raises
    ------
    UnreadableScanError
        If the file is of MDF 1, holds no reconstruction, complex numbers, or voxels on an irregular grid.
    """
    _require_version_2(file, path)
    if "reconstruction/data" not in file:
        raise UnreadableScanError(
            "the MDF file holds measurements but no reconstruction", file=path, remedy="reconstruct it first"
        )
    if "reconstruction/positions" in file:
        raise UnreadableScanError(
            "the reconstruction lies on an irregular grid (/reconstruction/positions)",
            file=path,
            remedy="reconstruct it on a regular grid",
        )
    dataset = file["reconstruction/data"]
    if dataset.dtype.kind not in "iuf":
        kind = "complex" if dataset.dtype.kind in "cV" else str(dataset.dtype)
        raise UnreadableScanError(f"the reconstruction is {kind}, real numbers were needed", file=path)
    size, grid, has_thickness, warnings = _grid(file, path)
    order = _order(file, path)
    stored = _frames_voxels_channels(read_whole(dataset, path), int(np.prod(size)), path)
    times = _times_s(file, stored.shape[0])
    if len(times) > 1 and times[0] is None:
        warnings.append("the time between frames is not stated")
    channels = stored.shape[2]
    facts = _facts(file)
    tracers = _texts(file, "tracer/name")
    return [
        Volume(
            voxels=_planes(stored[frame, :, channel], size, order),
            grid=grid,
            modality=Modality.MPI,
            unit=_unit(dataset),
            name=_name(file, path) + (f" channel {channel + 1}" if channels > 1 else ""),
            has_thickness=has_thickness,
            acquired_at=_moment(file, "acquisition/startTime"),
            time_s=times[frame],
            tracer=tracers[channel] if len(tracers) == channels else ", ".join(tracers) or None,
            file=str(path),
            file_format="MDF",
            metadata={**facts, "channel": channel + 1} if channels > 1 else facts,
            warnings=tuple(warnings),
        )
        for frame in range(stored.shape[0])
        for channel in range(channels)
    ]


def _require_version_2(file: h5py.File, path: Path) -> None:
    version = _text(file, "version")
    if version is None:
        raise UnreadableScanError("the file has a reconstruction but no MDF version (/version)", file=path)
    if not version.startswith("2"):
        raise UnreadableScanError(
            f"MDF {version} is not read: version 1 stores geometry and voxels otherwise than version 2",
            file=path,
            remedy="convert it to MDF 2 (MPIFiles.jl)",
        )


def _grid(file: h5py.File, path: Path) -> tuple[tuple[int, int, int], Grid, bool, list[str]]:
    """Return size (x, y, z), grid, whether its thickness is known, and what is not sure."""
    counts = _triple(file, "reconstruction/size", path)
    extent_mm = _triple(file, "reconstruction/fieldOfView", path) * _MM_PER_M
    warnings: list[str] = []
    if "reconstruction/fieldOfViewCenter" in file:
        centre_mm = _triple(file, "reconstruction/fieldOfViewCenter", path) * _MM_PER_M
    else:
        centre_mm = np.zeros(3)
        warnings.append("position unknown: /reconstruction/fieldOfViewCenter is not stated")
    size = (int(counts[0]), int(counts[1]), int(counts[2]))
    if min(size) < 1 or np.any(counts != np.round(counts)):
        raise UnreadableScanError(f"/reconstruction/size needs three positive counts, got {counts}", file=path)
    has_thickness = bool(size[2] > 1 or extent_mm[2] > 0)
    if not has_thickness:
        extent_mm[2] = 1.0
        warnings.append("a single slice of unknown thickness")
    if np.any(~np.isfinite(extent_mm)) or np.any(extent_mm <= 0):
        raise UnreadableScanError(f"/reconstruction/fieldOfView needs positive lengths, got {extent_mm} mm", file=path)
    spacing = extent_mm / np.array(size)
    origin = centre_mm - extent_mm / 2 + spacing / 2
    shape = (size[2], size[1], size[0])
    return size, Grid.from_spacing(shape, spacing[::-1], origin, _frame(file)), has_thickness, warnings


def _frame(file: h5py.File) -> str | None:
    """Return the name of the scanner's frame in this session: an animal that was moved is in another one."""
    session = next(
        (said for key in ("experiment/uuid", "study/uuid", "uuid") if (said := _text(file, key)) is not None), None
    )
    scanner = " ".join(said for key in ("scanner/manufacturer", "scanner/name") if (said := _text(file, key)))
    return None if session is None else f"MDF {scanner} {session}".replace("  ", " ")


def _order(file: h5py.File, path: Path) -> str:
    order = (_text(file, "reconstruction/order") or "xyz").lower()
    if sorted(order) != ["x", "y", "z"]:
        raise UnreadableScanError(f"/reconstruction/order must name x, y and z once each, got '{order}'", file=path)
    return order


def _frames_voxels_channels(stored: NDArray[Any], voxels: int, path: Path) -> NDArray[Any]:
    """Return the data as (frames, voxels, channels)."""
    if stored.ndim == 3 and stored.shape[1] == voxels:
        return stored
    raise UnreadableScanError(
        f"/reconstruction/data must be frames x {voxels} voxels x channels, got {'x'.join(map(str, stored.shape))}",
        file=path,
    )


def _planes(values: NDArray[Any], size: tuple[int, int, int], order: str) -> NDArray[Any]:
    """Return the voxels of one frame and channel as (plane, row, column) = (z, y, x); ``order`` names fastest first."""
    counts = dict(zip("xyz", size, strict=True))
    slowest_first = order[::-1]
    cube = values.reshape([counts[axis] for axis in slowest_first])
    planes = cube.transpose([slowest_first.index(axis) for axis in "zyx"])
    planes.flags.writeable = False
    return planes


def _times_s(file: h5py.File, frames: int) -> list[float | None]:
    """Return when each frame began, in s after the first.

    MDF gives the period of one drive-field cycle; a frame is its periods, and a reconstructed frame the mean of
    numAverages of them.
    """
    if frames == 1:
        return [None]
    cycle = _number(file, "acquisition/driveField/cycle") or _number(file, "acquisition/driveField/period")
    acquired = _number(file, "acquisition/numFrames") or 0
    if cycle is None or acquired != frames:
        return [None] * frames
    periods = (
        _number(file, "acquisition/numPeriodsPerFrame")
        or _number(file, "acquisition/numPeriods")
        or _number(file, "acquisition/numPatches")
        or 1
    )
    step = cycle * periods * (_number(file, "acquisition/numAverages") or 1)
    return [index * step for index in range(frames)]


def _facts(file: h5py.File) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "mdf_version": _text(file, "version"),
        "uuid": _text(file, "uuid"),
        "study": _text(file, "study/name"),
        "experiment": _text(file, "experiment/name"),
        "subject": _text(file, "experiment/subject"),
        "scanner": _text(file, "scanner/name"),
        "manufacturer": _text(file, "scanner/manufacturer"),
        "topology": _text(file, "scanner/topology"),
        "tracer_batch": ", ".join(_texts(file, "tracer/batch")) or None,
        "tracer_vendor": ", ".join(_texts(file, "tracer/vendor")) or None,
        "tracer_solute": ", ".join(_texts(file, "tracer/solute")) or None,
        "tracer_concentration_mol_per_l": _numbers(file, "tracer/concentration"),
        "tracer_volume_l": _numbers(file, "tracer/volume"),
        "injected_at": _moment(file, "tracer/injectionTime"),
        "gradient_t_per_m": _numbers(file, "acquisition/gradient"),
        "averages": _number(file, "acquisition/numAverages"),
        "is_simulation": None if (said := _number(file, "experiment/isSimulation")) is None else bool(said),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _name(file: h5py.File, path: Path) -> str:
    return _text(file, "experiment/name") or path.stem


def _unit(dataset: h5py.Dataset) -> str | None:
    said = dataset.attrs.get("unit")
    return said.decode() if isinstance(said, bytes) else None if said is None else str(said)


def _triple(file: h5py.File, key: str, path: Path) -> NDArray[np.float64]:
    values = _numbers(file, key)
    if values is None or len(values) != 3:
        raise UnreadableScanError(f"/{key} must give three numbers (x, y, z)", file=path)
    return np.array(values)


def _numbers(file: h5py.File, key: str) -> tuple[float, ...] | None:
    if key not in file or not isinstance(file[key], h5py.Dataset) or file[key].dtype.kind not in "iufb":
        return None
    return tuple(float(value) for value in np.ravel(file[key][()]))


def _number(file: h5py.File, key: str) -> float | None:
    values = _numbers(file, key)
    return values[0] if values else None


def _texts(file: h5py.File, key: str) -> list[str]:
    if key not in file or not isinstance(file[key], h5py.Dataset):
        return []
    values = np.ravel(np.asarray(file[key][()], dtype=object))
    texts = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values)
    return [text for said in texts if (text := said.strip(" \0"))]


def _text(file: h5py.File, key: str) -> str | None:
    return next(iter(_texts(file, key)), None)


def _moment(file: h5py.File, key: str) -> datetime | None:
    said = _text(file, key)
    try:
        return None if said is None else datetime.fromisoformat(said)
    except ValueError:
        return None
