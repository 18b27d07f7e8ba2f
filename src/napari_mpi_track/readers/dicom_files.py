"""DICOM files: one parse of the header, and the slices that each file holds.

A slice is one plane of pixels wherever it is stored: a file, a frame of a multi-frame file, a tile of a mosaic.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import UID

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.readers.damage import DamagedScanError, within_reason
from napari_mpi_track.readers.dicom_facts import moment, number, numbers, text

_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_DIRECTORY = "1.2.840.10008.1.3.10"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_PLAIN = {
    "1.2.840.10008.1.2": "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.2": ">",
}
_PIXEL_GROUP = 0x7FE0
_SERIES = 0x0020000E
_ROWS = 0x00280010


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """A parsed header and where the pixels are.

    Attributes
    ----------
    path, header
        The file, and its dataset without pixels.
    shape
        Frames, rows, columns as stored.
    dtype
        Of the pixels as stored, little or big endian.
    bits_stored
        Bits of a pixel that carry its value.
    pixels_at
        Byte where plain pixels begin; ``None`` where they are compressed.
    """

    path: Path
    header: Dataset
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    bits_stored: int
    pixels_at: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One plane of pixels and what places it.

    Attributes
    ----------
    file, frame, corner
        Where the pixels are: the frame of the file, and the first row and column in it.
    shape
        Rows and columns.
    position_mm
        LPS centre of the first pixel, shape (3,), or ``None``.
    orientation
        LPS unit vectors along a row (to the next column) and down a column (to the next row), shape (2, 3).
    spacing_mm
        Between rows, between columns; ``None`` if not stated.
    slope, intercept
        Value = slope x stored + intercept.
    kind
        What must be equal within one volume besides geometry (image type, echo, stack).
    instance, temporal, reference_ms, acquired, acquisition
        What tells frames over time apart.
    """

    file: DicomFile
    frame: int
    corner: tuple[int, int]
    shape: tuple[int, int]
    position_mm: NDArray[np.float64] | None
    orientation: NDArray[np.float64] | None
    spacing_mm: tuple[float, float] | None
    slope: float
    intercept: float
    kind: tuple[Any, ...]
    instance: int
    temporal: int | None
    reference_ms: float | None
    acquired: datetime | None
    acquisition: int | None


def parse(path: Path) -> DicomFile:
    """Return the header of a DICOM image.

    Raises
    ------
    UnreadableScanError
        If it is no image of one value a pixel (documents, RT objects, segmentations, colours), or is truncated.
    """
    with path.open("rb") as stream:
        header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
        position = stream.tell()
        tag = stream.read(12)
    _require_image(header, path)
    frames = max(int(number(header, 0x00280008) or 1), 1)
    shape = (frames, int(number(header, 0x00280010) or 0), int(number(header, 0x00280011) or 0))
    syntax = str(getattr(header.file_meta, "TransferSyntaxUID", "")) or _guessed_syntax(header)
    dtype, bits_stored = _pixel_type(header, tag, _PLAIN.get(syntax, "<"), path)
    if min(shape) < 1:
        raise UnreadableScanError(f"an image of {shape[1]} x {shape[2]} pixels is none", file=path)
    if syntax not in _PLAIN:
        return DicomFile(path, header, shape, dtype, bits_stored, None)
    # An element of pixels begins with 12 bytes where its type is written, with 8 where it is implied.
    pixels_at = position + (12 if tag[4:6] in (b"OW", b"OB", b"OF", b"OD", b"UN") else 8)
    needed, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - pixels_at
    if there < needed:
        raise DamagedScanError(
            f"the file is truncated: {needed} bytes of pixels were announced, {max(there, 0)} are there", file=path
        )
    return DicomFile(path, header, shape, dtype, bits_stored, pixels_at)


def series_of_damaged(path: Path) -> str | None:
    """Return the SeriesInstanceUID of a damaged file, ``None`` unless it is there as a whole."""
    beyond: list[Any] = []

    def is_beyond(tag: Any, _vr: str | None, _length: int) -> bool:
        # Only a tag that follows proves that the UID was not cut.
        if tag > _SERIES:
            beyond.append(tag)
        return bool(beyond)

    def read() -> Dataset:
        with path.open("rb") as stream:
            return read_partial(stream, is_beyond, force=True)

    try:
        header = within_reason(read, path, "DICOM")
    except (UnreadableScanError, BytesLengthException, InvalidDicomError):
        return None
    return text(header, _SERIES) if beyond else None


def _guessed_syntax(header: Dataset) -> str:
    # A dataset without file meta information: pydicom has found out how it is encoded.
    little = header.original_encoding[1] is not False
    return "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"


def _require_image(header: Dataset, path: Path) -> None:
    sop_class = text(header, 0x00080016) or str(getattr(header.file_meta, "MediaStorageSOPClassUID", ""))
    name = UID(sop_class).name if re.fullmatch(r"[0-9.]{1,64}", sop_class) else ""
    if sop_class == _DIRECTORY:
        raise UnreadableScanError("an index of a medium (DICOMDIR), no scan", file=path)
    if sop_class in _SEGMENTATIONS:
        raise UnreadableScanError("a DICOM segmentation holds labels, no scan", file=path, remedy="read it as organs")
    if 0x00280010 not in header or 0x00280011 not in header:
        # What is no image by design (a plan, a report) says so, or has its content in tags that follow an image's.
        is_image = name in ("", sop_class) or name.endswith("Image Storage")
        if is_image and max(header.keys(), default=0) <= _ROWS:
            raise DamagedScanError("the file is truncated: its header ends before its image", file=path)
        what = f"{name} holds no image" if name else "a DICOM file without an image (or damaged)"
        raise UnreadableScanError(what, file=path)
    if sop_class == _DOSE:
        raise UnreadableScanError(f"{name} is a plan, no scan", file=path)
    samples = int(number(header, 0x00280002) or 1)
    photometric = text(header, 0x00280004) or ""
    if samples != 1 or photometric.startswith(("RGB", "YBR", "PALETTE")):
        raise UnreadableScanError(
            f"the image is in colour ({photometric or f'{samples} samples a pixel'}), one value a pixel was needed",
            file=path,
        )
    if "LOCALIZER" in (text(header, 0x00080008) or "").upper().split("\\"):
        raise UnreadableScanError("a localiser (scout), no volume", file=path)
    if sop_class.startswith(_SECONDARY_CAPTURE) and "PixelSpacing" not in header:
        raise UnreadableScanError("a secondary capture (screen shot) without pixel spacing, no scan", file=path)


def _pixel_type(header: Dataset, tag: bytes, order: str, path: Path) -> tuple[np.dtype[Any], int]:
    if len(tag) < 8:
        raise DamagedScanError("the file is truncated: it has no pixels", file=path)
    group, element = np.frombuffer(tag[:4], dtype=f"{order}u2")
    if group != _PIXEL_GROUP:
        raise UnreadableScanError("the file has no pixels", file=path)
    if element in (0x0008, 0x0009):
        size = 4 if element == 0x0008 else 8
        return np.dtype(f"{order}f{size}"), 8 * size
    allocated = int(number(header, 0x00280100) or 0)
    if allocated not in (8, 16, 32, 64):
        raise UnreadableScanError(f"pixels of 8, 16 or 32 bits were needed, got {allocated}", file=path)
    signed = int(number(header, 0x00280103) or 0) == 1
    stored = int(number(header, 0x00280101) or allocated)
    high = number(header, 0x00280102)
    if not 0 < stored <= allocated or (high is not None and int(high) != stored - 1):
        raise UnreadableScanError(
            f"pixels of {stored} bits ending at bit {high} of {allocated} are not read", file=path
        )
    return np.dtype(f"{order}{'i' if signed else 'u'}{allocated // 8}"), stored


def slices_of(file: DicomFile) -> Iterator[Slice]:
    """Yield every slice that a file holds."""
    header = file.header
    if "PerFrameFunctionalGroupsSequence" in header:
        yield from _enhanced(file)
    elif file.shape[0] > 1:
        yield from _multi_frame(file)
    elif "MOSAIC" in (text(header, 0x00080008) or "").split("\\"):
        yield from _mosaic(file)
    else:
        position = numbers(header, 0x00200032)
        yield _slice(file, header, position=_triple(position))


def _slice(
    file: DicomFile,
    header: Dataset,
    *,
    frame: int = 0,
    position: NDArray[np.float64] | None = None,
    orientation: Sequence[float] | None = None,
    spacing: Sequence[float] | None = None,
    scaling: tuple[float | None, float | None] | None = None,
    kind: tuple[Any, ...] = (),
    temporal: float | None = None,
    acquired: datetime | None = None,
    corner: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
) -> Slice:
    """Return a slice whose missing parts come from the top level of the header."""
    cosines = orientation if orientation is not None else numbers(header, 0x00200037)
    spacing = spacing if spacing is not None else _pixel_spacing(header)
    slope, intercept = scaling or (number(header, 0x00281053), number(header, 0x00281052))
    temporal = temporal if temporal is not None else number(header, 0x00200100)
    return Slice(
        file=file,
        frame=frame,
        corner=corner,
        shape=shape or file.shape[1:],
        position_mm=position,
        orientation=_directions(cosines, file.path),
        spacing_mm=None if spacing is None or len(spacing) < 2 or min(spacing) <= 0 else (spacing[0], spacing[1]),
        slope=1.0 if slope is None or slope == 0 else slope,
        intercept=intercept or 0.0,
        kind=kind or (text(header, 0x00080008), text(header, 0x00180081)),
        instance=int(number(header, 0x00200013) or 0) + frame,
        temporal=None if temporal is None else int(temporal),
        reference_ms=number(header, 0x00541300),
        acquired=acquired or moment(header),
        acquisition=None if (count := number(header, 0x00200012)) is None else int(count),
    )


def _pixel_spacing(header: Dataset) -> list[float] | None:
    spacing = numbers(header, 0x00280030)
    # ImagerPixelSpacing lies at the detector, not in the animal, and is not taken in its place.
    return spacing or None


def _triple(values: Sequence[float] | None) -> NDArray[np.float64] | None:
    return np.array(values, dtype=float) if values is not None and len(values) == 3 else None


def _directions(cosines: Sequence[float] | None, path: Path) -> NDArray[np.float64] | None:
    if cosines is None or len(cosines) != 6:
        return None
    axes = np.array(cosines, dtype=float).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if not np.all(np.isfinite(axes)) or np.any(abs(lengths - 1) > 0.01) or abs(axes[0] @ axes[1]) > 0.01:
        raise DamagedScanError(f"ImageOrientationPatient {cosines} are not two perpendicular unit vectors", file=path)
    return np.asarray(axes / lengths[:, None])


def _group(frame: Dataset, shared: Dataset, keyword: str) -> Dataset | None:
    """Return a functional group of a frame, or the one that all frames share."""
    for place in (frame, shared):
        sequence = place.get(keyword)
        if sequence:
            item: Dataset = sequence[0]
            return item
    return None


def _enhanced(file: DicomFile) -> Iterator[Slice]:
    header = file.header
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = header.PerFrameFunctionalGroupsSequence
    if len(frames) != file.shape[0]:
        raise UnreadableScanError(f"{file.shape[0]} frames, but functional groups for {len(frames)}", file=file.path)
    for index, frame in enumerate(frames):
        place = _group(frame, shared, "PlanePositionSequence")
        plane = _group(frame, shared, "PlaneOrientationSequence")
        measures = _group(frame, shared, "PixelMeasuresSequence")
        values = _group(frame, shared, "PixelValueTransformationSequence")
        content = _group(frame, shared, "FrameContentSequence")
        echo = _group(frame, shared, "MREchoSequence")
        typed = next(
            (
                group.get("FrameType")
                for word in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
                if (group := _group(frame, shared, word)) is not None
            ),
            None,
        )
        kind = (
            "\\".join(typed or ()),
            None if echo is None else echo.get("EffectiveEchoTime"),
            None if content is None else content.get("StackID"),
        )
        yield _slice(
            file,
            header,
            frame=index,
            position=_triple(None if place is None else numbers(place, 0x00200032)),
            orientation=None if plane is None else numbers(plane, 0x00200037),
            spacing=None if measures is None else numbers(measures, 0x00280030),
            scaling=None if values is None else (number(values, 0x00281053), number(values, 0x00281052)),
            kind=("frame", *kind),
            temporal=None if content is None else content.get("TemporalPositionIndex"),
            acquired=None if content is None else moment(content),
        )


def _multi_frame(file: DicomFile) -> Iterator[Slice]:
    """Yield the frames of a file without functional groups: one spacing for all."""
    header = file.header
    place = next(iter(header.get("DetectorInformationSequence") or ()), header)
    first, cosines = _triple(numbers(place, 0x00200032)), numbers(place, 0x00200037)
    axes = _directions(cosines, file.path)
    offsets = numbers(header, 0x3004000C) or []
    step = number(header, 0x00180088) or number(header, 0x00180050)
    for index in range(file.shape[0]):
        along = offsets[index] if len(offsets) == file.shape[0] else None if step is None else index * step
        position = None
        if along is not None:
            normal = np.array([0.0, 0.0, 1.0]) if axes is None else np.cross(axes[0], axes[1])
            position = (np.zeros(3) if first is None else first) + along * normal
        yield _slice(file, header, frame=index, position=position, orientation=cosines)


def _mosaic(file: DicomFile) -> Iterator[Slice]:
    """Yield the tiles of a Siemens mosaic.

    ImagePositionPatient is where the whole mosaic would begin were it one image around the same centre; the first
    tile begins half the difference further on (https://nipy.org/nibabel/dicom/dicom_mosaic.html).
    """
    from nibabel.nicom import csareader

    header = file.header
    csa = csareader.get_csa_header(header, "image") or {"tags": {}}
    said = {name: tag["items"] for name, tag in csa["tags"].items()}
    count = int((said.get("NumberOfImagesInMosaic") or [number(header, 0x0019100A) or 0])[0])
    axes = _directions(numbers(header, 0x00200037), file.path)
    first, spacing = _triple(numbers(header, 0x00200032)), _pixel_spacing(header)
    step = number(header, 0x00180088) or number(header, 0x00180050)
    if count < 1 or axes is None or first is None or spacing is None or step is None:
        raise UnreadableScanError(
            "a Siemens mosaic without the number of its images, its position, orientation or spacing", file=file.path
        )
    across = math.ceil(math.sqrt(count))
    rows, columns = file.shape[1] // across, file.shape[2] // across
    normal = np.cross(axes[0], axes[1])
    stated = said.get("SliceNormalVector") or []
    if len(stated) == 3 and float(np.dot(normal, np.asarray(stated, dtype=float))) < 0:
        normal = -normal
    begin = (
        first + axes[0] * spacing[1] * (file.shape[2] - columns) / 2 + axes[1] * spacing[0] * (file.shape[1] - rows) / 2
    )
    for index in range(count):
        corner = (index // across * rows, index % across * columns)
        yield _slice(file, header, position=begin + index * step * normal, corner=corner, shape=(rows, columns))
