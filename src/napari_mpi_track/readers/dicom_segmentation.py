"""DICOM Segmentation objects: every segment as an organ, in the frame of reference of the scan it was drawn on.

Frames are placed by their functional groups (PS3.3 A.51, C.8.20): planes that no segment has may be missing from the
file, and the frames of one segment need not follow each other.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID

from napari_mpi_track.errors import MpiTrackError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import Colour
from napari_mpi_track.readers.damage import within_reason
from napari_mpi_track.readers.dicom_facts import number, numbers, text
from napari_mpi_track.readers.organ_layers import OrganLayer

SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_HALF = 0.5
# IEC 61966-2-1.
_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
_SRGB_FROM_XYZ = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
# Of the distance between planes: what is rounding, and what is another plane's place.
_OFF_PLANE = 0.05
_ALIKE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class _Frames:
    """The frames of a file: which segment each is of (0: of all), which plane it lies in, and how to get its pixels."""

    segment: NDArray[np.int64]
    plane: NDArray[np.int64]
    pixels: Callable[[int], NDArray[Any]]


def is_segmentation(path: Path) -> bool:
    """Return whether a DICOM file is a segmentation; false for what cannot be read."""

    try:
        header = _header_of(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    except MpiTrackError:
        return False
    return text(header, 0x00080016) in SEGMENTATION_CLASSES


def read_layers(path: Path) -> tuple[list[OrganLayer], Grid, tuple[str, ...]]:
    """Return every segment of a DICOM segmentation, the grid they lie on, and what is not sure.

    The grid reaches from the first plane that the file holds to the last. Of a fractional segmentation a voxel belongs
    to a segment from one half on.

    Raises
    ------
    UnreadableScanError
        If the file lacks segments, frames or their places, or is none in the patient's space (a microscope's).
    """
    header = _parsed(path)
    kind = text(header, 0x00620001) or "BINARY"
    described = header.get("SegmentSequence") or ()
    if not described:
        raise UnreadableScanError("the segmentation describes no segment", file=path, remedy="export it again")
    frames, grid = _placed(header, path)
    warnings: tuple[str, ...] = ()
    at_least = 1.0
    if kind == "FRACTIONAL":
        at_least = _HALF * (number(header, 0x0062000E) or 255.0)
        said = (text(header, 0x00620010) or "probability").lower()
        warnings = (f"a fractional segmentation ({said}): voxels from one half on were taken as the organ's",)
    layers = [
        OrganLayer(
            int(segment.SegmentNumber),
            str(segment.get("SegmentLabel") or segment.get("SegmentDescription") or "").strip(),
            _colour(segment),
            _masks(frames, grid.shape, int(segment.SegmentNumber), at_least, kind),
        )
        for segment in described
        if int(segment.get("SegmentNumber", 0)) > 0
    ]
    return layers, grid, warnings


def _header_of(path: Path, **options: Any) -> Dataset:
    def read() -> Dataset:
        try:
            return pydicom.dcmread(path, **options)
        except (InvalidDicomError, BytesLengthException) as fault:
            # Neither is of a kind that Python has.
            raise ValueError(str(fault)) from fault

    return within_reason(read, path, "DICOM")


def _parsed(path: Path) -> Dataset:
    header = _header_of(path)
    if str(header.get("SOPClassUID", "")) not in SEGMENTATION_CLASSES:
        name = UID(str(header.get("SOPClassUID", ""))).name
        raise UnreadableScanError(f"a DICOM segmentation was needed, this is: {name}", file=path)
    if "PixelData" not in header:
        raise UnreadableScanError("the segmentation holds no pixels", file=path, remedy="export it again")
    return header


def _group(frame: Dataset, shared: Dataset, keyword: str) -> Dataset | None:
    for place in (frame, shared):
        sequence = place.get(keyword)
        if sequence:
            item: Dataset = sequence[0]
            return item
    return None


def _placed(header: Dataset, path: Path) -> tuple[_Frames, Grid]:
    """Return the frames with the plane of each, and the grid of all planes from the first to the last."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    groups: Sequence[Dataset] = list(header.get("PerFrameFunctionalGroupsSequence") or ())
    count = int(number(header, 0x00280008) or 1)
    if len(groups) != count:
        raise UnreadableScanError(
            f"{count} frames, but functional groups for {len(groups)}", file=path, remedy="export it again"
        )
    positions, axes, spacing = _places(groups, shared, path)
    normal = np.cross(axes[0], axes[1])
    along = positions @ normal
    step_mm = _step_mm(along, groups[0], shared)
    plane = np.rint((along - along.min()) / step_mm)
    first, last = positions[np.argmin(along)], positions[np.argmax(along)]
    step = normal * step_mm if plane.max() == 0 else (last - first) / plane.max()
    off_mm = np.linalg.norm(positions - first - plane[:, None] * step, axis=1).max()
    if off_mm > _OFF_PLANE * step_mm:
        raise UnreadableScanError(
            f"the planes of the segmentation lie up to {off_mm:.3g} mm off an even spacing of {step_mm:.4g} mm",
            file=path,
            remedy="resample the segmentation onto its scan in 3D Slicer and export it again",
        )
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = step, axes[1] * spacing[0], axes[0] * spacing[1], first
    rows, columns = int(number(header, 0x00280010) or 0), int(number(header, 0x00280011) or 0)
    segment = np.array([_segment_of(group, shared) for group in groups])
    frames = _Frames(segment, plane.astype(np.int64), _pixels(header, (rows, columns), count, path))
    return frames, Grid((int(plane.max()) + 1, rows, columns), matrix, text(header, 0x00200052))


def _places(
    groups: Sequence[Dataset], shared: Dataset, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Return the position of every frame, LPS mm, shape (frames, 3), the common axes, (2, 3), and spacing in mm."""
    positions: list[list[float]] = []
    cosines: list[list[float]] = []
    spacings: list[list[float]] = []
    for number_, frame in enumerate(groups, start=1):
        place = _group(frame, shared, "PlanePositionSequence")
        plane = _group(frame, shared, "PlaneOrientationSequence")
        measures = _group(frame, shared, "PixelMeasuresSequence")
        position = None if place is None else numbers(place, 0x00200032)
        axes = None if plane is None else numbers(plane, 0x00200037)
        spacing = None if measures is None else numbers(measures, 0x00280030)
        if position is None or axes is None or spacing is None or (len(position), len(axes), len(spacing)) != (3, 6, 2):
            raise UnreadableScanError(
                f"frame {number_} does not say where it lies (position, orientation, pixel spacing)",
                file=path,
                remedy="export the segmentation again from the program that drew it",
            )
        positions.append(position)
        cosines.append(axes)
        spacings.append(spacing)
    for what, found in (("orientations", cosines), ("pixel spacings", spacings)):
        if np.max(np.ptp(np.array(found), axis=0)) > _ALIKE:
            raise UnreadableScanError(
                f"the frames of this segmentation have several {what}",
                file=path,
                remedy="resample the segmentation onto its scan in 3D Slicer and export it again",
            )
    axes_unit = np.array(cosines[0]).reshape(2, 3)
    axes_unit /= np.linalg.norm(axes_unit, axis=1)[:, None]
    return np.array(positions), axes_unit, (spacings[0][0], spacings[0][1])


def _step_mm(along: NDArray[np.float64], frame: Dataset, shared: Dataset) -> float:
    """Return the distance between planes: the smallest one there is, or what the file says where that divides it."""
    measures = _group(frame, shared, "PixelMeasuresSequence")
    assert measures is not None
    stated = number(measures, 0x00180088) or number(measures, 0x00180050)
    places = np.unique(np.round(along, 4))
    if places.size < 2:
        return stated or 1.0
    gaps = np.diff(places)
    smallest = float(gaps[gaps > _ALIKE].min())
    if stated and abs(round(smallest / stated) * stated - smallest) < _OFF_PLANE * stated and smallest > stated / 2:
        # From the ends, which rounding of single positions moves least.
        return float((places[-1] - places[0]) / round((places[-1] - places[0]) / stated))
    return float((places[-1] - places[0]) / round((places[-1] - places[0]) / smallest))


def _segment_of(frame: Dataset, shared: Dataset) -> int:
    group = _group(frame, shared, "SegmentIdentificationSequence")
    # Label maps hold every segment in each frame.
    return 0 if group is None else int(number(group, 0x0062000B) or 0)


def _pixels(header: Dataset, shape: tuple[int, int], count: int, path: Path) -> Callable[[int], NDArray[Any]]:
    """Return what makes the pixels of one frame, shape (rows, columns): single bits are unpacked frame by frame."""
    size = math.prod(shape)
    is_packed = header.file_meta.TransferSyntaxUID.is_compressed
    if number(header, 0x00280100) == 1 and not is_packed:
        stored = np.frombuffer(header.PixelData, np.uint8)
        if stored.size * 8 < count * size:
            raise UnreadableScanError(
                f"the file is truncated: {count * size} bits of pixels were announced, {stored.size * 8} are there",
                file=path,
                remedy="copy or export it again",
            )

        def unpacked(frame: int) -> NDArray[Any]:
            begin, end = frame * size, (frame + 1) * size
            bits = np.unpackbits(stored[begin // 8 : -(-end // 8)], bitorder="little")
            return bits[begin % 8 : begin % 8 + size].reshape(shape)

        return unpacked
    try:
        whole = np.asarray(header.pixel_array).reshape((count, *shape))
    except (ValueError, RuntimeError, AttributeError, NotImplementedError) as fault:
        raise UnreadableScanError(f"the pixels cannot be unpacked: {fault}", file=path) from fault
    return lambda frame: whole[frame]


def _masks(
    frames: _Frames, shape: tuple[int, int, int], segment: int, at_least: float, kind: str
) -> Callable[[], NDArray[np.bool_]]:
    def mask() -> NDArray[np.bool_]:
        here = np.zeros(shape, dtype=bool)
        if kind == "LABELMAP":
            for frame, plane in enumerate(frames.plane):
                here[plane] |= frames.pixels(frame) == segment
            return here
        for frame in np.flatnonzero(frames.segment == segment).tolist():
            here[frames.plane[frame]] |= frames.pixels(frame) >= at_least
        return here

    return mask


def _colour(segment: Dataset) -> Colour | None:
    """Return the recommended display colour, CIELab as PS3.3 C.10.7.1.1 stores it, as sRGB in 0..1.

    The white is D65: the standard's profile space has D50, but the programs that write segmentations (dcmqi, highdicom)
    take D65, and a colour should come out as it was chosen there.
    """
    stored = segment.get("RecommendedDisplayCIELabValue")
    if stored is None or len(stored) != 3:
        return None
    lightness, a, b = stored[0] / 65535 * 100, stored[1] / 65535 * 255 - 128, stored[2] / 65535 * 255 - 128
    y = (lightness + 16) / 116
    relative = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(relative > 6 / 29, relative**3, 3 * (6 / 29) ** 2 * (relative - 4 / 29)) * _WHITE_D65
    linear = np.clip(_SRGB_FROM_XYZ @ xyz, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    # Colours are chosen in 8 bits, and stored finer.
    red, green, blue = (round(float(part) * 255) / 255 for part in encoded)
    return red, green, blue
