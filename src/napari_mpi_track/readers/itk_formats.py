"""NRRD and MetaImage: where they lie by SimpleITK, their voxels mapped where they are plain numbers.

SimpleITK's world is LPS mm with voxel centres, as ours.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.itk import grid_from_itk
from napari_mpi_track.imaging.kept_facts import modality_and_unit
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers import unpack
from napari_mpi_track.readers.declared import Declared
from napari_mpi_track.readers.text_header import Stored, TextHeader, parts_of, read_text_header, stored_in

# ITK prints warnings of its own; what matters of them is in the volumes' warnings.
sitk.ProcessObject.GlobalWarningDisplayOff()

_DTYPES = {
    sitk.sitkUInt8: "u1",
    sitk.sitkInt8: "i1",
    sitk.sitkUInt16: "u2",
    sitk.sitkInt16: "i2",
    sitk.sitkUInt32: "u4",
    sitk.sitkInt32: "i4",
    sitk.sitkUInt64: "u8",
    sitk.sitkInt64: "i8",
    sitk.sitkFloat32: "f4",
    sitk.sitkFloat64: "f8",
}
_COMPLEX = (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3}
_MODALITIES = {"MET_MOD_CT": Modality.CT, "MET_MOD_MR": Modality.MR}
# Spaces that say where left, front and head are.
_ANATOMICAL = re.compile(r"^(left|right)-(anterior|posterior)-(superior|inferior)|^[lr][ap][si]", re.IGNORECASE)


def read(path: Path, declared: Declared) -> list[Volume]:  # noqa: ARG001
    """Return the volumes of an NRRD or MetaImage file: one, or one per frame of a 4-D file.

    Plain voxels are a read-only map of the file, deflated ones a read-only array; the dtype is the file's. The
    physical frame is unknown (``None``): neither format names one.

    Raises
    ------
    UnreadableScanError
        If the file is truncated, lacks its voxels, or holds vectors, colours or complex numbers.
    """
    header = read_text_header(path)
    _require_scalar(header, path)
    stored = stored_in(header, path)
    place = _place(path)
    frames = _frames(place, header, stored, path)
    grid = _grid(place, _mm_per_unit(header, path), path)
    modality, unit = modality_and_unit(header.keys)
    warnings = _warnings(header)
    if len(frames) > 1:
        warnings.append("the time between frames is not stated")
    return [
        Volume(
            voxels=frame,
            grid=grid,
            modality=modality or _MODALITIES.get(header.keys.get("modality", "")),
            unit=unit,
            name=path.name.removesuffix(path.suffix),
            has_thickness=place.GetDimension() > 2,
            file=str(path),
            file_format="NRRD" if header.is_nrrd else "MetaImage",
            metadata={"is_labels": True} if is_segmentation(header) else {},
            warnings=tuple(warnings),
        )
        for frame in frames
    ]


def is_segmentation(header: TextHeader) -> bool:
    """Return whether an NRRD header describes 3D Slicer segments."""
    return header.is_nrrd and any(re.fullmatch(r"Segment\d+_(ID|Name|LabelValue)", key) for key in header.keys)


def itk_reason(fault: RuntimeError) -> str:
    """Return what ITK had to say, on one line and without addresses."""
    text = str(fault)
    said = re.findall(r"(?:ITK |sitk::)?ERROR:\s*([^\n]+)", text) or [line for line in text.splitlines() if line]
    return re.sub(r"\w+\(0x[0-9a-f]+\):\s*", "", said[-1]).strip() if said else "no reason given"


def _require_scalar(header: TextHeader, path: Path) -> None:
    kinds = header.keys.get("kinds", "").split() if header.is_nrrd else []
    vectors = [kind for kind in kinds if re.search(r"vector|matrix|color|complex|normal|gradient|point|\d-", kind)]
    if vectors:
        raise UnreadableScanError(
            f"each voxel of this file is a {vectors[0]}, a scalar volume was needed",
            file=path,
            remedy="export one component",
        )


def _place(path: Path) -> sitk.ImageFileReader:
    """Return SimpleITK's reader with the file's geometry and pixel type read, refusing what is not scalar."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with path.open("rb") as stream:
        is_nrrd = stream.read(4) == b"NRRD"
    reader.SetImageIO("NrrdImageIO" if is_nrrd else "MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as fault:
        raise UnreadableScanError(f"the header is at fault: {itk_reason(fault)}", file=path) from fault
    if reader.GetPixelID() in _COMPLEX:
        raise UnreadableScanError(
            "the file holds complex numbers, real numbers were needed", file=path, remedy="export the magnitude"
        )
    if reader.GetNumberOfComponents() > 1:
        raise UnreadableScanError(
            f"the file holds {reader.GetNumberOfComponents()} values a voxel (vectors, tensors or colours), "
            "a scalar volume was needed",
            file=path,
            remedy="export one component",
        )
    if reader.GetPixelID() not in _DTYPES or reader.GetDimension() not in (2, 3, 4):
        raise UnreadableScanError(
            f"a scalar volume of 2 to 4 dimensions was needed, got {reader.GetDimension()} dimensions of "
            f"{sitk.GetPixelIDValueAsString(reader.GetPixelID())}",
            file=path,
        )
    return reader


def _grid(place: sitk.ImageFileReader, mm_per_unit: float, path: Path) -> Grid:
    try:
        return grid_from_itk(place, mm_per_unit=mm_per_unit)
    except UnreadableScanError as fault:
        raise UnreadableScanError(fault.what, file=path) from None


def _frames(place: sitk.ImageFileReader, header: TextHeader, stored: Stored | None, path: Path) -> list[NDArray[Any]]:
    size = [int(count) for count in place.GetSize()] + [1, 1]
    shape = tuple(size[3::-1])
    dtype = np.dtype(_DTYPES[place.GetPixelID()])
    if stored is None:
        return [*_by_itk(place, dtype, shape, parts_of(header, path), path)]
    count = int(np.prod(shape, dtype=object))
    dtype = dtype.newbyteorder(">" if stored.is_big_endian else "<")
    if stored.packed_from is None:
        offset = stored.offset
        if offset < 0:
            offset = stored.file.stat().st_size - count * dtype.itemsize
            unpack.require_bytes(count * dtype.itemsize, stored.file.stat().st_size, stored.file)
        voxels = unpack.mapped(stored.file, dtype, count, offset)
    else:
        voxels = unpack.inflated(stored.file, dtype, count, stored.offset, stored.packed_from)
    return [*voxels.reshape(shape)]


def _by_itk(
    place: sitk.ImageFileReader, dtype: np.dtype[Any], shape: tuple[int, ...], parts: list[Path], path: Path
) -> NDArray[Any]:
    """Return the voxels of what is spread over several files or written as text."""
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    # A number takes two characters as text, or may be packed: a bound on memory, not a proof of completeness.
    unpack.require_bytes(claimed, sum(part.stat().st_size for part in parts) * unpack.BEST_PACKING, path)
    try:
        voxels = np.asarray(sitk.GetArrayFromImage(place.Execute()))
    except RuntimeError as fault:
        raise UnreadableScanError(f"the voxels cannot be read: {itk_reason(fault)}", file=path) from fault
    voxels = voxels.reshape(shape)
    voxels.flags.writeable = False
    return voxels


def _mm_per_unit(header: TextHeader, path: Path) -> float:
    """Return the length of NRRD's unit of space in mm; ITK leaves it out."""
    text = header.keys.get("space units") or header.keys.get("units") or ""
    units = {unit for unit in re.findall(r'"([^"]*)"', text) if unit and unit not in ("s", "sec", "ms")}
    if not units:
        return 1.0
    if len(units) > 1 or not units <= _MM_PER_UNIT.keys():
        raise UnreadableScanError(
            f"lengths in mm, cm, m or um were needed, the header says {text}", file=path, remedy="export it in mm"
        )
    return _MM_PER_UNIT[units.pop()]


def _warnings(header: TextHeader) -> list[str]:
    if header.is_nrrd and not _ANATOMICAL.match(header.keys.get("space", "")):
        return ["orientation unknown: the file does not say where left, front and head are"]
    return []
