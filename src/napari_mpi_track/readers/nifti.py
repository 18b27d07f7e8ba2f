"""NIfTI-1, NIfTI-2 and Analyze 7.5: header by nibabel, voxels mapped without a copy.

NIfTI's world is RAS+ mm; ours is LPS, so x and y change sign. The array is stored column fastest, (x, y, z); its
transpose is our (plane, row, column).
"""

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.kept_facts import facts_in
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.readers import unpack
from napari_mpi_track.readers.declared import Declared
from napari_mpi_track.readers.formats import GZIP, head_of

LABEL_INTENT = 1002
_HEADER_BYTES = 540
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_SECONDS_PER_UNIT = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


@dataclass(frozen=True, slots=True)
class _Header:
    """A header as read, and where its voxels are."""

    nifti: Any
    is_analyze: bool
    voxel_file: Path

    @property
    def name(self) -> str:
        if self.is_analyze:
            return "Analyze"
        return "NIfTI-2" if isinstance(self.nifti, nib.Nifti2Header) else "NIfTI-1"


def read(path: Path, declared: Declared) -> list[Volume]:  # noqa: ARG001
    """Return the volumes of a NIfTI or Analyze file: one, or one per frame of a 4-D file.

    Voxels are a read-only map of the file where its scaling is the identity; float32 otherwise. The physical frame
    is unknown (``None``): no NIfTI file names one.

    Raises
    ------
    UnreadableScanError
        If the file is truncated or damaged, or holds vectors, colours or complex numbers.
    """
    header = _header(path)
    shape = _shape(header.nifti, path)
    dtype = _dtype(header.nifti, path)
    frames = _frames(header, shape, dtype, path)
    matrix, warnings = _lps_from_ijk(header)
    # Columns of the file's matrix belong to (i, j, k) = (column, row, plane).
    lps_from_index = matrix[:, [2, 1, 0, 3]]
    grid = Grid((shape[2], shape[1], shape[0]), lps_from_index)
    modality, unit = facts_in(extensions_of(path))
    times, time_warnings = _times(header.nifti, shape)
    intent = 0 if header.is_analyze else int(header.nifti["intent_code"])
    metadata = {"description": _text(header.nifti["descrip"])} if _text(header.nifti["descrip"]) else {}
    return [
        Volume(
            voxels=voxels,
            grid=grid,
            modality=modality,
            unit=unit,
            name=path.name.removesuffix(".gz").removesuffix(".nii"),
            has_thickness=_ndim(header.nifti) > 2,
            time_s=time,
            file=str(path),
            file_format=header.name,
            metadata={**metadata, **({"is_labels": True} if intent == LABEL_INTENT else {})},
            warnings=(*warnings, *time_warnings),
        )
        for voxels, time in zip(frames, times, strict=True)
    ]


def intent_of(path: Path) -> int:
    """Return the NIfTI intent code of a file (1002 is labels), dimensionless; 0 for Analyze."""
    header = _header(path)
    return 0 if header.is_analyze else int(header.nifti["intent_code"])


def _header(path: Path) -> _Header:
    path = _header_file(path)
    head = head_of(path)[:_HEADER_BYTES]
    magic1, magic2 = head[344:348], head[4:8]
    kind: Any
    if magic2 in (b"n+2\0", b"ni2\0"):
        kind, is_pair = (nib.Nifti2Header if magic2 == b"n+2\0" else nib.nifti2.Nifti2PairHeader), magic2 == b"ni2\0"
    elif magic1 in (b"n+1\0", b"ni1\0"):
        kind, is_pair = (nib.Nifti1Header if magic1 == b"n+1\0" else nib.nifti1.Nifti1PairHeader), magic1 == b"ni1\0"
    else:
        kind, is_pair = nib.AnalyzeHeader, True
    size = kind.template_dtype.itemsize
    if len(head) < size:
        raise UnreadableScanError(f"the header is truncated: {len(head)} of {size} bytes", file=path)
    # check=False: nibabel would repair a bad header and print; what matters is checked here.
    nifti = kind(head[:size], check=False)
    return _Header(nifti, kind is nib.AnalyzeHeader, _voxel_file(path) if is_pair else path)


def _header_file(path: Path) -> Path:
    """Return the ``.hdr`` of a pair where the ``.img`` was given."""
    name = path.name
    for image, header in ((".img.gz", ".hdr"), (".img", ".hdr"), (".IMG", ".HDR")):
        if name.endswith(image):
            for candidate in (path.with_name(name.removesuffix(image) + header + end) for end in ("", ".gz")):
                if candidate.is_file():
                    return candidate
    return path


def _voxel_file(header: Path) -> Path:
    stem = header.name.removesuffix(".gz")
    stem = stem[: -len(".hdr")] if stem.lower().endswith(".hdr") else stem
    for ending in (".img", ".img.gz", ".IMG"):
        candidate = header.with_name(stem + ending)
        if candidate.is_file():
            return candidate
    raise UnreadableScanError(f"the voxels of this header ({stem}.img) are missing", file=header)


def _ndim(nifti: Any) -> int:
    return int(nifti["dim"][0])


def _shape(nifti: Any, path: Path) -> tuple[int, ...]:
    """Return (columns, rows, planes, frames)."""
    ndim = _ndim(nifti)
    sizes = [int(size) for size in nifti["dim"][1 : ndim + 1]] if 1 <= ndim <= 7 else []
    if len(sizes) < 2 or min(sizes) < 1:
        raise UnreadableScanError(
            f"a volume of 2 to 4 dimensions was needed, the header says dim = {nifti['dim'].tolist()}", file=path
        )
    if any(size > 1 for size in sizes[4:]):
        raise UnreadableScanError(
            f"the file holds vectors or tensors ({'x'.join(map(str, sizes))}), a scalar volume was needed",
            file=path,
            remedy="export one component",
        )
    return tuple((*sizes, 1, 1)[:4])


def _dtype(nifti: Any, path: Path) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = nifti.get_data_dtype()
    except (HeaderDataError, KeyError) as fault:
        raise UnreadableScanError(f"the header's data type {int(nifti['datatype'])} is unknown", file=path) from fault
    kind = {"c": "complex numbers", "V": "colours (RGB)"}.get(dtype.kind)
    if kind:
        raise UnreadableScanError(
            f"the file holds {kind}, real numbers were needed", file=path, remedy="export the magnitude or one channel"
        )
    if dtype.kind not in "iuf" or dtype.itemsize == 0:
        raise UnreadableScanError(f"the header's data type {int(nifti['datatype'])} is not a number", file=path)
    return dtype


def _frames(header: _Header, shape: tuple[int, ...], dtype: np.dtype[Any], path: Path) -> list[NDArray[Any]]:
    """Return the voxels of every frame as (plane, row, column), read-only."""
    count = int(np.prod(shape, dtype=object))
    offset = _offset(header, path)
    with header.voxel_file.open("rb") as stream:
        is_packed = stream.read(2) == GZIP
    take = unpack.inflated if is_packed else unpack.mapped
    stored = take(header.voxel_file, dtype, count, offset).reshape(shape[::-1])
    slope, intercept = _scaling(header, path)
    if dtype.itemsize > 8:
        # 128-bit floats, which nothing else reads.
        stored = stored.astype(np.float64)
    if (slope, intercept) == (1.0, 0.0):
        return [_sealed(frame) for frame in stored]
    return [_sealed(scaled(frame, slope, intercept)) for frame in stored]


def scaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float32]:
    """Return ``stored * slope + intercept`` as float32, computed in float64 plane by plane."""
    result = np.empty(stored.shape, dtype=np.float32)
    for plane, values in zip(result, stored, strict=True):
        plane[...] = values * np.float64(slope) + np.float64(intercept)
    return result


def _sealed(voxels: NDArray[Any]) -> NDArray[Any]:
    voxels.flags.writeable = False
    return voxels


def _offset(header: _Header, path: Path) -> int:
    offset = float(header.nifti["vox_offset"])
    is_single = header.voxel_file == _header_file(path)
    if not np.isfinite(offset) or offset < 0 or offset != int(offset):
        raise UnreadableScanError(f"the header says that voxels begin at byte {offset}", file=path)
    least = int(header.nifti.template_dtype.itemsize) if is_single else 0
    if int(offset) < least:
        # Zero is common in careless single files: the standard's own default is meant.
        return least + 4 if offset == 0 else least
    return int(offset)


def _scaling(header: _Header, path: Path) -> tuple[float, float]:
    if header.is_analyze:
        return 1.0, 0.0
    slope, intercept = float(header.nifti["scl_slope"]), float(header.nifti["scl_inter"])
    # The standard: a slope of 0 (or nothing) means that values are stored as they are.
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0
    if not np.isfinite(intercept):
        raise UnreadableScanError(f"the header's scl_inter is {intercept}, a number was needed", file=path)
    return slope, intercept


def _lps_from_ijk(header: _Header) -> tuple[NDArray[np.float64], list[str]]:
    """Return the 4x4 matrix from (i, j, k) to LPS mm, and what is not sure of it: sform > qform > unknown."""
    nifti = header.nifti
    ras, warnings = None, []
    if not header.is_analyze:
        if nifti["sform_code"] > 0 and _is_place(nifti.get_sform()):
            ras = nifti.get_sform()
        elif nifti["qform_code"] > 0:
            ras = _qform(nifti)
    if ras is None:
        sizes = np.abs(np.nan_to_num(nifti["pixdim"][1:4].astype(float), posinf=0, neginf=0))
        if np.any(sizes == 0):
            warnings.append("the voxel size is not stated in full; 1 mm stands for what is missing")
        shape = [int(size) for size in (*nifti["dim"][1 : min(_ndim(nifti), 3) + 1], 1)[:3]]
        ras = np.diag([*np.where(sizes == 0, 1.0, sizes), 1.0])
        # As nibabel and SPM place a volume that does not say: first axis from right to left, centre at zero.
        ras[0, 0] *= -1
        ras[:3, 3] = -ras[:3, :3] @ ((np.array(shape) - 1) / 2)
        warnings.append("orientation unknown: the file does not say where left, front and head are, nor its place")
    millimetres = 1.0 if header.is_analyze else _MM_PER_UNIT.get(nifti.get_xyzt_units()[0], 1.0)
    ras = np.asarray(ras, dtype=float)
    ras[:3] *= millimetres
    return np.asarray(_LPS_FROM_RAS @ ras), warnings


def _is_place(matrix: NDArray[np.float64]) -> bool:
    return bool(np.all(np.isfinite(matrix)) and abs(np.linalg.det(matrix[:3, :3])) > 0)


def _qform(nifti: Any) -> NDArray[np.float64] | None:
    try:
        matrix = nifti.get_qform()
    except (HeaderDataError, ValueError):
        return None
    return matrix if _is_place(matrix) else None


def _times(nifti: Any, shape: tuple[int, ...]) -> tuple[list[float | None], list[str]]:
    frames = shape[3]
    if frames == 1:
        return [None], []
    step = float(nifti["pixdim"][4])
    unit = nifti.get_xyzt_units()[1] if hasattr(nifti, "get_xyzt_units") else "unknown"
    if not np.isfinite(step) or step <= 0:
        return [None] * frames, ["the time between frames is not stated"]
    if unit not in _SECONDS_PER_UNIT:
        return [None] * frames, [f"the frames are {step:.6g} of an unknown unit apart: their times are not known"]
    return [index * step * _SECONDS_PER_UNIT[unit] for index in range(frames)], []


def _text(field: Any) -> str:
    return bytes(field.tobytes() if hasattr(field, "tobytes") else field).split(b"\0")[0].decode("latin-1").strip()


def extensions_of(path: Path) -> list[tuple[int, bytes]]:
    """Return the header extensions (code, content) of a single NIfTI file."""
    header = _header(path)
    size = int(header.nifti.template_dtype.itemsize)
    if header.is_analyze:
        return []
    length = int(float(header.nifti["vox_offset"]))
    if length <= size + 4 or length > 1 << 24:
        return []
    with header.voxel_file.open("rb") as raw:
        is_packed = raw.read(2) == GZIP
        raw.seek(0)
        # No more than the header is unpacked: the voxels may be long.
        content = gzip.GzipFile(fileobj=raw).read(length) if is_packed else raw.read(length)
    if len(content) < length:
        return []
    order = header.nifti.endianness
    found = []
    block = io.BytesIO(content[size + 4 :])
    while content[size] and len(head := block.read(8)) == 8:
        total, code = (int(value) for value in np.frombuffer(head, dtype=f"{order}i4"))
        if total < 16:
            break
        found.append((code, block.read(total - 8)))
    return found
