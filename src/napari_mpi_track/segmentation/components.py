"""Places of signal that hang together, and those that only touch."""

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.itk import array_from_itk, array_to_itk
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.volume import Volume

# Voxels that share a face, an edge or a corner hang together: 26 neighbours (8 in a plane).
NEIGHBOURHOOD = np.ones((3, 3, 3), dtype=bool)
_LEAST_SDS = 5.0


def connected_organs(
    mask: NDArray[np.bool_], volume: Volume, minimum_volume_mm3: float = 0.0, name: str = "signal"
) -> OrganLabels:
    """Return every place of ``mask`` that hangs together as an organ: "signal 1" has the most signal.

    Parameters
    ----------
    mask
        Where signal is, shape as the scan's grid.
    volume
        The scan; the sum of its voxels orders the places.
    minimum_volume_mm3
        Smaller places are left out; of a projection, mm2.
    name
        What the places are called, before their number.

    Raises
    ------
    GridMismatchError
        If the mask has another shape than the scan.
    MeasurementError
        If no place is left.
    """
    return _numbered(connected_parts(mask, volume, minimum_volume_mm3), volume, name)


def split_touching(
    mask: NDArray[np.bool_],
    volume: Volume,
    noise: Noise,
    minimum_volume_mm3: float = 0.0,
    name: str = "signal",
) -> OrganLabels:
    """Return the places of ``mask`` as organs, blobs that touch apart from each other: "signal 1" has the most signal.

    Two maxima are two blobs if the valley between them is at least 5 SD of the noise lower than either: noise then
    splits none. Blobs so near that blur leaves one maximum stay one.

    Parameters are those of :func:`connected_organs`, and the scan's noise. The least volume is asked of what hangs
    together, before it is split.

    Raises
    ------
    GridMismatchError
        If the mask has another shape than the scan.
    MeasurementError
        If no place is left.

    Notes
    -----
    Watershed from markers: the maxima of the scan that are left when hills lower than 5 SD are taken off (h-maxima;
    Soille 2003, doi:10.1007/978-3-662-05088-0), flooded within the mask (Beucher & Meyer 1993,
    doi:10.1201/9781482277234-12).
    """
    inside = connected_parts(mask, volume, minimum_volume_mm3) > 0
    return _numbered(touching_parts(inside, volume, noise), volume, name)


def touching_parts(mask: NDArray[np.bool_], volume: Volume, noise: Noise) -> NDArray[np.int32]:
    """Return the blobs of ``mask`` numbered from 1, 0 outside, shape as the scan's grid: see :func:`split_touching`."""
    parts = np.zeros(mask.shape, dtype=np.int32)
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box:
        return parts
    window = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box[0])
    inside = mask[window]
    voxels = np.where(inside, np.asarray(volume.voxels[window], dtype=np.float64), -np.inf)
    height = _LEAST_SDS * noise.sd
    # The rest lies flat below every blob and is flooded last; it cannot reach in.
    floor = float(voxels[inside].min()) - 2 * height
    inverted = array_to_itk(
        (-np.where(inside, voxels, floor)).astype(np.float32), Grid.from_spacing(inside.shape, volume.grid.spacing_mm)
    )
    if inverted.GetSize()[2] == 1:
        # The same basins in half the time: a plane has no neighbours above and below.
        inverted = inverted[:, :, 0]
    basins = array_from_itk(sitk.MorphologicalWatershed(inverted, height, False, True))
    parts[window] = np.where(inside, basins.reshape(inside.shape), 0)
    return parts


def connected_parts(mask: NDArray[np.bool_], volume: Volume, minimum_volume_mm3: float = 0.0) -> NDArray[np.int32]:
    """Return the places of ``mask`` that hang together numbered from 1, 0 outside, shape as the scan's grid.

    Raises
    ------
    GridMismatchError
        If the mask has another shape than the scan.
    MeasurementError
        If no place has at least ``minimum_volume_mm3`` (mm2 of a projection), or there is none.
    """
    if mask.shape != volume.grid.shape:
        raise GridMismatchError(f"the mask has shape {mask.shape}, the scan {volume.grid.shape}", file=volume.file)
    parts = np.zeros(mask.shape, dtype=np.int32)
    count = ndimage.label(mask, NEIGHBOURHOOD, output=parts)
    if not count:
        raise MeasurementError("there is no place of signal", file=volume.file, remedy="lower the threshold")
    if not minimum_volume_mm3 > 0:
        return parts
    sizes = np.bincount(parts[mask], minlength=count + 1) * volume.voxel_measure
    # A place of exactly the least volume stays, whatever rounding makes of its sum.
    is_kept = sizes >= minimum_volume_mm3 * (1 - 1e-9)
    is_kept[0] = False
    if not is_kept.any():
        unit = "mm2" if volume.is_projection else "mm3"
        raise MeasurementError(
            f"no place of signal is as large as {minimum_volume_mm3:g} {unit}; the largest has {sizes[1:].max():.4g}",
            file=volume.file,
            remedy="ask for a smaller least volume, or lower the threshold",
        )
    parts[mask] *= is_kept[parts[mask]]
    return parts


def _numbered(parts: NDArray[Any], volume: Volume, name: str) -> OrganLabels:
    """Return numbered places as organs, that of most signal first."""
    # Signal fills little of a scan: only its voxels are looked at.
    places = np.flatnonzero(parts)
    numbers = parts.ravel()[places]
    voxels = np.asarray(volume.voxels).ravel()[places].astype(np.float64)
    signal = np.bincount(numbers, weights=np.where(np.isfinite(voxels), voxels, 0.0))
    held = np.flatnonzero(np.bincount(numbers))
    order = held[np.argsort(-signal[held], kind="stable")]
    values = np.zeros(signal.size, dtype=np.min_scalar_type(max(order.size, 255)))
    values[order] = np.arange(1, order.size + 1)
    labels = np.zeros(parts.shape, dtype=values.dtype)
    labels.ravel()[places] = values[numbers]
    names = {number: f"{name} {number}" for number in range(1, order.size + 1)}
    return OrganLabels(labels, volume.grid, names, file=volume.file)
