"""The only door between our types and SimpleITK."""

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume


def grid_from_itk(place: sitk.Image | sitk.ImageFileReader, frame: str | None = None, mm_per_unit: float = 1.0) -> Grid:
    """Return where an image, or the file of a reader that has read its header, lies.

    A 2-D image is a single plane; of a 4-D one (frames over time) the three axes of space are taken.

    Raises
    ------
    UnreadableScanError
        For other dimensions, or a fourth axis that is mixed with the three of space.
    """
    dimension = place.GetDimension()
    if dimension not in (2, 3, 4):
        raise UnreadableScanError(f"an image of 2 to 4 dimensions was needed, got {dimension}")
    size = np.ones(4, dtype=int)
    spacing, origin, direction = np.ones(4), np.zeros(4), np.eye(4)
    size[:dimension] = place.GetSize()
    spacing[:dimension], origin[:dimension] = place.GetSpacing(), place.GetOrigin()
    direction[:dimension, :dimension] = np.reshape(place.GetDirection(), (dimension, dimension))
    if np.any(direction[:3, 3] != 0) or np.any(direction[3, :3] != 0):
        raise UnreadableScanError("the fourth axis of this file is mixed with the three of space")
    matrix = np.eye(4)
    matrix[:3, 2::-1] = direction[:3, :3] * spacing[:3] * mm_per_unit
    matrix[:3, 3] = origin[:3] * mm_per_unit
    columns, rows, planes = (int(count) for count in size[:3])
    return Grid((planes, rows, columns), matrix, frame)


def place_on_grid(image: sitk.Image, grid: Grid) -> sitk.Image:
    """Give ``image`` the place of ``grid`` in the world and return it."""
    image.SetSpacing([float(s) for s in grid.spacing_mm[::-1]])
    image.SetOrigin([float(x) for x in grid.origin_mm])
    image.SetDirection([float(d) for d in grid.directions[:, ::-1].ravel()])
    return image


def array_to_itk(voxels: NDArray[Any], grid: Grid) -> sitk.Image:
    """Return a new ``sitk.Image`` of these voxels (copied), placed as ``grid``."""
    native = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("="))
    if native.dtype == np.bool_:
        native = native.astype(np.uint8)
    if native.dtype == np.float16:
        native = native.astype(np.float32)
    return place_on_grid(sitk.GetImageFromArray(native), grid)


def to_itk(scan: Volume | OrganLabels) -> sitk.Image:
    """Return a new ``sitk.Image`` of the same voxels in the same place."""
    return array_to_itk(scan.voxels, scan.grid)


def array_from_itk(image: sitk.Image) -> NDArray[Any]:
    """Return the voxels of a scalar image as (planes, rows, columns); a copy, which nobody else can write to."""
    array = np.asarray(sitk.GetArrayFromImage(image))
    array = array.reshape((1, *array.shape)) if image.GetDimension() == 2 else array
    array.flags.writeable = False
    return array


def to_itk_transform(target_from_source: Transform) -> sitk.AffineTransform:
    """Return the same map as an ITK transform (ITK: fixed points to moving points; ours: source to target)."""
    matrix = target_from_source.target_from_source
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([float(v) for v in matrix[:3, :3].ravel()])
    transform.SetTranslation([float(v) for v in matrix[:3, 3]])
    return transform


def from_itk_transform(
    transform: sitk.Transform, source_frame: str | None = None, target_frame: str | None = None
) -> Transform:
    """Return a linear ITK transform as ours; composites of linear transforms too.

    Raises
    ------
    AlignmentError
        If the transform is not linear or not 3-D.
    """
    if transform.GetDimension() != 3 or not transform.IsLinear():
        raise AlignmentError(
            f"a linear transform in 3-D was needed, got {transform.GetName()} in {transform.GetDimension()}-D"
        )
    origin = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.asarray(transform.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
    return Transform.from_parts(np.stack(columns, axis=1), origin, source_frame, target_frame)
