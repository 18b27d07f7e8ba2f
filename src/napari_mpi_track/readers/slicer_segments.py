"""3D Slicer's segmentations: NRRD files whose header names segments, in several layers where they overlap."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import Colour
from napari_mpi_track.readers.organ_layers import OrganLayer
from napari_mpi_track.readers.organ_names import OrganNames
from napari_mpi_track.readers.text_header import TextHeader

Segment = dict[str, str]


def segments_in(header: TextHeader) -> list[Segment]:
    """Return 3D Slicer's segments: Name, LabelValue, Layer, Color and more, as written; none in another NRRD."""
    segments: dict[int, Segment] = {}
    for key, value in header.keys.items():
        match = re.fullmatch(r"Segment(\d+)_(\w+)", key)
        if match:
            segments.setdefault(int(match[1]), {})[match[2]] = value.strip()
    # Before Slicer 4.11 every segment had the layer and the value of its number.
    return [
        {"Layer": "0", "LabelValue": str(number + 1), **segment}
        for number, segment in sorted(segments.items())
        if {"Name", "ID", "LabelValue"} & segment.keys()
    ]


def are_layered(segments: list[Segment]) -> bool:
    """Return whether segments lie in several layers: then they may overlap."""
    return len({segment["Layer"] for segment in segments}) > 1


def names_of(segments: list[Segment]) -> OrganNames:
    """Return names and colours by label value, for segments of one layer."""
    names = {int(segment["LabelValue"]): _name(segment) for segment in segments}
    colours = {int(segment["LabelValue"]): _colour(segment) for segment in segments}
    return OrganNames(
        {value: name for value, name in names.items() if name},
        {value: colour for value, colour in colours.items() if colour is not None},
    )


def read_layers(path: Path, segments: list[Segment]) -> tuple[list[OrganLayer], Grid]:
    """Return every segment of a file of several layers, and the grid they lie on.

    A segment keeps its label where all labels differ; else they are counted from 1 in the file's order.

    Raises
    ------
    UnreadableScanError
        If the file has fewer layers than its segments name, or two segments are the same voxels.
    """
    voxels, grid = _voxels(path)
    places = [(int(segment["Layer"]), int(segment["LabelValue"])) for segment in segments]
    for at, place in enumerate(places):
        if place in places[:at]:
            first = _name(segments[places.index(place)])
            raise UnreadableScanError(
                f"the segments '{first}' and '{_name(segments[at])}' are the same voxels",
                file=path,
                remedy="save the segmentation again from 3D Slicer",
            )
        if place[0] >= voxels.shape[3]:
            raise UnreadableScanError(
                f"the segment '{_name(segments[at])}' is said to lie in layer {place[0] + 1} of {voxels.shape[3]}",
                file=path,
                remedy="save the segmentation again from 3D Slicer",
            )
    values = [value for _, value in places]
    if len(set(values)) < len(values):
        values = list(range(1, len(values) + 1))
    layers = [
        OrganLayer(value, _name(segment), _colour(segment), lambda at=place: voxels[..., at[0]] == at[1])  # type: ignore[misc]
        for value, segment, place in zip(values, segments, places, strict=True)
    ]
    return layers, grid


def _voxels(path: Path) -> tuple[NDArray[Any], Grid]:
    """Return voxels of shape (planes, rows, columns, layers) and where they lie."""
    import SimpleITK as sitk

    from napari_mpi_track.imaging.itk import grid_from_itk
    from napari_mpi_track.readers.itk_formats import itk_reason

    try:
        image = sitk.ReadImage(str(path), imageIO="NrrdImageIO")
    except RuntimeError as fault:
        raise UnreadableScanError(f"the voxels cannot be read: {itk_reason(fault)}", file=path) from fault
    voxels = np.asarray(sitk.GetArrayViewFromImage(image))
    if image.GetNumberOfComponentsPerPixel() == 1:
        # Layers one after another rather than side by side.
        voxels = np.moveaxis(voxels, 0, -1) if voxels.ndim == 4 else voxels[..., None]
    return voxels.copy(), grid_from_itk(image)


def _name(segment: Segment) -> str:
    return segment.get("Name") or segment.get("ID", "")


def _colour(segment: Segment) -> Colour | None:
    parts = [float(part) for part in segment.get("Color", "").split()]
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None
