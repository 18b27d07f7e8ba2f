"""Tubes and wells in a scan: bright places that stand apart from each other."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.itk import array_from_itk, array_to_itk
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Volume

_LEAST_SDS = 5.0
# Of all voxels of noise together, one in so many scans may be taken for a tube: studies have some 50 scans.
_FALSE_TUBES_PER_SCAN = 0.001
# Wells of a 384-well plate are 4.5 mm apart; noise moves a peak by far less than this.
_ROW_GAP_MM = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class TubePlace:
    """One bright place.

    Attributes
    ----------
    peak
        Index (plane, row, column) of its highest voxel.
    basin
        Every voxel that is nearer to this place than to another, downhill: shape as the scan's grid.
    """

    peak: tuple[int, int, int]
    basin: NDArray[np.bool_]

    def __post_init__(self) -> None:
        object.__setattr__(self, "basin", frozen(self.basin))

    __getstate__ = get_state
    __setstate__ = set_state


def find_tubes(volume: Volume, noise: Noise) -> list[TubePlace]:
    """Return the tubes of a scan in reading order: by plane, then row, then column.

    A tube is a maximum that stands at least 5 SD of the noise above the background, and as much above the saddle to
    any brighter one; in a large scan a little more, so that noise is taken for a tube in one of a thousand scans.

    Raises
    ------
    MeasurementError
        If the scan holds voxels that are not finite.

    Notes
    -----
    Watershed of the inverted scan, basins shallower than the threshold merged (Beucher & Meyer 1993,
    doi:10.1201/9781482277234-12).
    """
    from scipy.special import ndtri

    voxels = np.asarray(volume.voxels, dtype=np.float64)
    if not np.isfinite(voxels).all():
        raise MeasurementError("tubes are searched in finite voxels only", file=volume.file, remedy="check the scan")
    height = max(_LEAST_SDS, float(-ndtri(_FALSE_TUBES_PER_SCAN / voxels.size))) * noise.sd
    if not voxels.max() >= noise.mean + height:
        return []
    inverted = array_to_itk((-voxels).astype(np.float32), volume.grid)
    if inverted.GetSize()[2] == 1:
        # The same basins in half the time: a plane has no neighbours above and below.
        inverted = inverted[:, :, 0]
    basins = array_from_itk(sitk.MorphologicalWatershed(inverted, height, False, True))
    places = []
    for label in np.unique(basins[voxels >= noise.mean + height]):
        basin = basins == label
        flat = int(np.argmax(np.where(basin, voxels, -np.inf)))
        plane, row, column = (int(i) for i in np.unravel_index(flat, voxels.shape))
        places.append(TubePlace((plane, row, column), basin))
    return _in_reading_order(places, volume)


def _in_reading_order(places: list[TubePlace], volume: Volume) -> list[TubePlace]:
    """Return the places by plane, row and column; tubes of one row need not lie in one row of voxels."""
    bands = np.stack([_bands(np.array([p.peak[axis] for p in places]), volume, axis) for axis in (0, 1)], axis=1)
    keys = [(*map(int, band), place.peak[2]) for band, place in zip(bands, places, strict=True)]
    return [places[at] for at in sorted(range(len(places)), key=keys.__getitem__)]


def _bands(index: NDArray[np.int_], volume: Volume, axis: int) -> NDArray[np.int_]:
    """Return the number of the row (or plane) that each place lies in, counted from 0."""
    order = np.argsort(index, kind="stable")
    gaps = np.diff(index[order], prepend=index[order[0]]) * volume.grid.spacing_mm[axis]
    bands = np.empty(index.size, dtype=int)
    bands[order] = np.cumsum(gaps > _ROW_GAP_MM)
    return bands
