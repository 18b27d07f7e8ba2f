"""Scans and organs on another grid, for looking at them: signal is measured where it was acquired."""

from dataclasses import replace

import numpy as np

from napari_mpi_track.errors import FrameMismatchError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume


def resample(moving: Volume, moving_from_fixed: Transform, onto: Grid) -> Volume:
    """Return ``moving`` on the grid ``onto``, linearly interpolated, float32, in its own unit.

    Outside the moving scan's field there is air: -1000 in a CT, 0 in all others. A projection is drawn along its
    whole ray, whatever depth its plane is said to have.

    Raises
    ------
    FrameMismatchError
        If the transform joins other frames than those of the two grids (where all of them are named).
    """
    import SimpleITK as sitk

    from napari_mpi_track.imaging.itk import array_from_itk, to_itk, to_itk_transform

    require_frames(moving_from_fixed, onto, moving.grid)
    outside = -1000.0 if moving.modality is Modality.CT else 0.0
    is_projection = moving.is_projection and onto.shape[0] == 1
    if moving.is_projection:
        moving = replace(moving, grid=_reaching(moving.grid, moving_from_fixed, onto))
    image = sitk.Cast(to_itk(moving), sitk.sitkFloat32)
    transform = to_itk_transform(moving_from_fixed)
    result = sitk.Resample(image, _reference(onto), transform, sitk.sitkLinear, outside, sitk.sitkFloat32)
    return replace(moving, voxels=array_from_itk(result), grid=onto, is_projection=is_projection)


def _reaching(plane: Grid, plane_from_fixed: Transform, onto: Grid) -> Grid:
    """Return the plane's grid, its one voxel in depth as deep as ``onto`` reaches."""
    depths = plane.index_from(plane_from_fixed.map(onto.corners_mm()))[:, 0]
    matrix = plane.lps_from_index.copy()
    matrix[:3, 0] *= 2 * float(np.abs(depths).max()) + 2
    return replace(plane, lps_from_index=matrix)


def resample_organs(labels: OrganLabels, moving_from_fixed: Transform, onto: Grid) -> OrganLabels:
    """Return ``labels`` on the grid ``onto``, each voxel that of the nearest label voxel; 0 outside.

    Raises
    ------
    FrameMismatchError
        If the transform joins other frames than those of the two grids (where all of them are named).
    """
    import SimpleITK as sitk

    from napari_mpi_track.imaging.itk import array_from_itk, to_itk, to_itk_transform

    require_frames(moving_from_fixed, onto, labels.grid)
    image = to_itk(labels)
    transform = to_itk_transform(moving_from_fixed)
    result = sitk.Resample(image, _reference(onto), transform, sitk.sitkNearestNeighbor, 0.0, image.GetPixelID())
    return replace(labels, voxels=array_from_itk(result), grid=onto)


def require_frames(moving_from_fixed: Transform, fixed: Grid, moving: Grid) -> None:
    """Raise ``FrameMismatchError`` if the transform and a grid both name a frame, and not the same one."""
    ends = (("from", moving_from_fixed.source_frame, fixed.frame), ("to", moving_from_fixed.target_frame, moving.frame))
    for preposition, stated, found in ends:
        if stated is not None and found is not None and stated != found:
            raise FrameMismatchError(
                f"the transform leads {preposition} the frame '{stated}', the scan lies in '{found}'",
                remedy="use the transform made for these scans, or its inverse",
            )


def _reference(grid: Grid) -> "sitk.Image":  # type: ignore[name-defined]  # noqa: F821
    """Return an image that only says where ``grid`` lies (one byte a voxel)."""
    from napari_mpi_track.imaging.itk import array_to_itk

    return array_to_itk(np.broadcast_to(np.uint8(0), grid.shape), grid)
