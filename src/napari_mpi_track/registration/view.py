"""How a projection looks at the world: its plane and its ray, and anatomy, organs and markers seen along it."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume

_ALONG_AN_AXIS_DEGREES = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A plane in the world: its middle (LPS mm, (3,)), and ``axes``, 3x3: columns across, down and along the ray."""

    middle_mm: NDArray[np.float64]
    axes: NDArray[np.float64]

    @property
    def ray(self) -> NDArray[np.float64]:
        """Unit LPS vector along which it looks, shape (3,)."""
        return self.axes[:, 2]

    def flat(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return where points (LPS mm, (n, 3)) are seen in the plane, mm from its middle, (n, 2)."""
        return np.asarray((np.asarray(points_mm) - self.middle_mm) @ self.axes[:, :2])

    def turned_over(self) -> "View":
        """Return the same plane, its ray the other way round."""
        return View(self.middle_mm, self.axes * [1.0, -1.0, -1.0])


def view_of(projection: Volume) -> View:
    """Return the plane of a projection: across along its rows, down along its columns, the ray normal to both."""
    across = projection.grid.directions[:, 2]
    ray = np.cross(across, projection.grid.directions[:, 1])
    ray = ray / np.linalg.norm(ray)
    return View(projection.grid.centre_mm, np.column_stack([across, np.cross(ray, across), ray]))


def project(volume: Volume, ray: ArrayLike, how: Literal["mean", "maximum"] = "mean") -> Volume:
    """Return the scan as seen along ``ray``: one plane, in the middle of the scan and as thick as all of it.

    Parameters
    ----------
    volume
        A scan in 3-D.
    ray
        LPS direction, shape (3,); an axis of the scan runs along it.
    how
        "mean" of what lies along the ray (as an X-ray adds up), or its "maximum" (for markers).

    Raises
    ------
    MeasurementError
        If no axis of the scan runs along the ray to within 1 degree.
    """
    direction = np.asarray(ray, dtype=np.float64) / np.linalg.norm(ray)
    cosines = np.abs(volume.grid.directions.T @ direction)
    axis = int(np.argmax(cosines))
    off = float(np.degrees(np.arccos(min(1.0, cosines[axis]))))
    if off > _ALONG_AN_AXIS_DEGREES:
        raise MeasurementError(
            f"no axis of the scan runs along the ray: the nearest is {off:.0f} degrees off",
            file=volume.file,
            remedy="resample the scan onto a grid that looks along the ray (mpi-track apply)",
        )
    count = volume.grid.shape[axis]
    order = [axis, *(a for a in range(3) if a != axis)]
    seen = np.nanmean(volume.voxels, axis=axis) if how == "mean" else np.nanmax(volume.voxels, axis=axis)
    index = np.zeros(3)
    index[axis] = (count - 1) / 2
    matrix = volume.grid.lps_from_index.copy()
    matrix[:3, :3] = volume.grid.lps_from_index[:3, order]
    matrix[:3, 0] *= count
    matrix[:3, 3] = volume.grid.lps_from(index)
    rows, columns = seen.shape
    grid = Grid((1, rows, columns), matrix, volume.grid.frame)
    return replace(volume, voxels=seen[None].astype(np.float32), grid=grid, is_projection=True, has_thickness=True)


def organs_seen_by(
    organs: OrganLabels, projection: Volume, projection_from_organs: Transform | None = None
) -> OrganLabels:
    """Return organs drawn on one plane as the projection sees them: moved along its ray onto its own plane.

    A plane's depth and thickness are names without a meaning; only where the ray meets it counts. ``None`` says that
    both lie in one frame.

    Raises
    ------
    GridMismatchError
        If the organs are drawn over several planes: they have shadows instead (``quantification.shadows``).
    """
    if organs.grid.shape[0] > 1:
        raise GridMismatchError(
            f"organs drawn over {organs.grid.shape[0]} planes do not lie on a projection's one plane",
            file=organs.file,
            remedy="share the projection out by their shadows (share_shadows)",
        )
    way = Transform.identity() if projection_from_organs is None else projection_from_organs
    drawn = organs.grid.lps_from_index
    # The organs' plane, row and column steps in the projection's index; of depth, its first number, nothing is kept.
    seen = projection.grid.index_from_lps @ way.target_from_source @ drawn
    seen[0] = [1.0, 0.0, 0.0, 0.0]
    seen[1:3, 0] = 0.0
    matrix = way.inverse().target_from_source @ projection.grid.lps_from_index @ seen
    matrix[3] = [0, 0, 0, 1]
    return replace(organs, grid=Grid(organs.grid.shape, matrix, organs.grid.frame))


def thinned(grid: Grid) -> Grid:
    """Return a projection's grid next to no thickness, in which a ball on the plane is seen as the disc it casts."""
    matrix = grid.lps_from_index.copy()
    matrix[:3, 0] *= 1e-3 / np.linalg.norm(matrix[:3, 0])
    return Grid(grid.shape, matrix, grid.frame)


def on_plane(points: Points, projection: Volume) -> Points:
    """Return points (in the projection's frame) where their rays meet its plane."""
    index = projection.grid.index_from(points.positions_mm)
    index[:, 0] = 0.0
    return replace(points, positions_mm=projection.grid.lps_from(index))
