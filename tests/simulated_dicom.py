"""DICOM series written from a known grid, as scanners write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from napari_mpi_track.imaging.grid import Grid


def write_series(
    folder: Path,
    voxels: NDArray[Any],
    grid: Grid,
    *,
    order: Sequence[int] | None = None,
    scaling: Sequence[tuple[float, float]] | None = None,
    syntax: str = ExplicitVRLittleEndian,
    **tags: Any,
) -> list[Path]:
    """Write one file a plane; ``order`` are the instance numbers (and file names), ``tags`` go into every header."""
    folder.mkdir(parents=True, exist_ok=True)
    order = range(len(voxels)) if order is None else order
    series = tags.pop("SeriesInstanceUID", generate_uid())
    paths = []
    for plane, number in zip(range(len(voxels)), order, strict=True):
        header = _header(grid, plane, voxels)
        header.SeriesInstanceUID = series
        header.InstanceNumber = int(number) + 1
        if scaling is not None:
            header.RescaleSlope, header.RescaleIntercept = (f"{value:.10g}" for value in scaling[plane])
        for keyword, value in tags.items():
            setattr(header, keyword, value)
        path = folder / f"slice{number:04d}.dcm"
        save(header, voxels[plane], path, syntax)
        paths.append(path)
    return paths


def save(header: Dataset, pixels: NDArray[Any], path: Path, syntax: str = ExplicitVRLittleEndian) -> None:
    """Write a header and its pixels in the byte order of the syntax."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    header.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    header["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.save_as(path, enforce_file_format=True)


def _header(grid: Grid, plane: int, voxels: NDArray[Any]) -> Dataset:
    header = Dataset()
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = generate_uid()
    header.Modality = "MR"
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    header.FrameOfReferenceUID = grid.frame or "1.2.3"
    header.SeriesNumber = 1
    header.ImagePositionPatient = decimals(grid.lps_from((plane, 0, 0)))
    header.ImageOrientationPatient = decimals(grid.directions[:, [2, 1]].T.ravel())
    header.PixelSpacing = decimals(grid.spacing_mm[1:])
    set_pixels(header, voxels)
    return header


def set_pixels(header: Dataset, voxels: NDArray[Any]) -> None:
    """Describe pixels of this type and of rows and columns as the last two axes."""
    header.Rows, header.Columns = voxels.shape[-2:]
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = voxels.dtype.itemsize * 8
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(voxels.dtype.kind == "i")


def decimals(values: NDArray[np.float64]) -> list[str]:
    """Return numbers as decimal strings of at most 16 characters, as precise as these allow."""
    texts = []
    for value in values:
        digits = 15
        while len(text := f"{float(value):.{digits}g}") > 16:
            digits -= 1
        texts.append(text)
    return texts


def write_enhanced(path: Path, voxels: NDArray[Any], grid: Grid, scaling: Sequence[tuple[float, float]]) -> None:
    """Write an Enhanced MR file: position and scaling of each frame in functional groups of its own."""
    header = _header(grid, 0, voxels)
    header.SOPClassUID = EnhancedMRImageStorage
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(header, keyword)
    header.NumberOfFrames = len(voxels)
    shared, measures, plane_orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = decimals(grid.spacing_mm[1:])
    measures.SliceThickness = "99"
    plane_orientation.ImageOrientationPatient = decimals(grid.directions[:, [2, 1]].T.ravel())
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane_orientation]
    header.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for plane, (slope, intercept) in enumerate(scaling):
        frame, position, values = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = decimals(grid.lps_from((plane, 0, 0)))
        values.RescaleSlope, values.RescaleIntercept = f"{slope:.10g}", f"{intercept:.10g}"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [values]
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames
    save(header, voxels, path)


SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
