"""What a small error of the alignment does to the organs' totals: its slope, and what drawn errors make of it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import Occupancy, OrganOccupancy
from napari_mpi_track.registration.alignment import rotation_from_vector

DRAWS = 64
# Of a larger part, what bends is taken from so many of its voxels; what is straight still from all.
_MOST_VOXELS = 4_000


def displacement_sensitivity(
    volume: Volume, occupancy: Occupancy, scan_from_organs: Transform, centre_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how the organs' totals move when the organs are turned, shifted and scaled a little: shape (k, 7).

    Columns: a rotation of 1 rad about LPS x, y, z through ``centre_mm`` (in the organs' frame), then a shift of
    1 mm along x, y, z, then a growth about ``centre_mm`` to e times the size, all applied in the organs' frame before
    ``scan_from_organs``. Unit of totals per rad, per mm and per natural logarithm of the scale.

    Notes
    -----
    First order: moving the organ by u changes its total by sum_i w_i grad(S)_i . u_i V, exact for displacements
    small against the blur. One gradient serves all organs and all seven directions.
    """
    signal = np.where(np.isfinite(volume.voxels), volume.voxels, 0).astype(np.float64)
    by_mm = _gradient(volume, signal)
    result = np.zeros((len(occupancy.organs), 7))
    for row, organ in enumerate(occupancy.organs.values()):
        lever, slopes = _levers(volume, organ.voxel, scan_from_organs, centre_mm)
        pull = (by_mm[:, organ.voxel].T[:, None] @ slopes)[:, 0] * organ.fraction[:, None]
        result[row, :3] = np.cross(lever, pull).sum(axis=0)
        result[row, 3:6] = pull.sum(axis=0)
        # An organ that grows takes in more voxels as well.
        result[row, 6] = np.sum(lever * pull) + 3 * float(signal.ravel()[organ.voxel] @ organ.fraction)
    return result * volume.voxel_measure


def displaced_covariance(
    volume: Volume,
    occupancy: Occupancy,
    scan_from_organs: Transform,
    centre_mm: NDArray[np.float64],
    covariance: NDArray[np.float64],
    seed: int,
) -> NDArray[np.float64]:
    """Return the mean square change of the organs' totals under errors of the alignment, shape (k, k).

    Parameters
    ----------
    volume, occupancy
        The scan and the organs in it.
    scan_from_organs, centre_mm, covariance
        The alignment, and the covariance (6x6, or 7x7 with a scale) of its error about ``centre_mm``.
    seed
        Of the draws.

    Notes
    -----
    Monte Carlo over ``DRAWS`` movements. They come in opposite pairs and are scaled so that their own covariance is
    the alignment's: a total that follows a movement in a straight line gets exactly the first order's error, and the
    draws add only what bends, the loss of mean signal beside a hot organ's edge included. The organs' voxels move and
    the scan is looked up between its voxels by cubic splines: the same as new occupancies for a scan that its blur
    keeps smooth, at a hundredth of the cost.
    """
    size = len(covariance)
    slopes = displacement_sensitivity(volume, occupancy, scan_from_organs, centre_mm)[:, :size]
    movements = _movements(covariance, seed)
    change = movements @ slopes.T
    signal = np.where(np.isfinite(volume.voxels), volume.voxels, 0).astype(np.float64)
    spline = ndimage.spline_filter(signal, order=3, mode="nearest")
    by_mm = _gradient(volume, signal)
    for column, organ in enumerate(occupancy.organs.values()):
        change[:, column] += _bent(volume, spline, by_mm, organ, scan_from_organs, centre_mm, movements)
    return np.asarray(change.T @ change / len(change))


def _movements(covariance: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return drawn movements, shape (DRAWS, 6 or 7): opposite pairs whose covariance is the one that is given."""
    size = len(covariance)
    normal = np.random.default_rng(seed).standard_normal((DRAWS // 2, size))
    own = np.linalg.cholesky(normal.T @ normal / len(normal))
    scaled = np.linalg.solve(own, normal.T).T
    values, axes = np.linalg.eigh(covariance)
    drawn = scaled @ (axes * np.sqrt(np.maximum(values, 0.0))).T
    return np.concatenate([drawn, -drawn])


def _bent(
    volume: Volume,
    spline: NDArray[np.float64],
    by_mm: NDArray[np.float64],
    organ: OrganOccupancy,
    scan_from_organs: Transform,
    centre_mm: NDArray[np.float64],
    movements: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return by how much each movement changes an organ's total beyond the first order, shape (draws,)."""
    step = max(1, -(-organ.voxel.size // _MOST_VOXELS))
    voxel, fraction = organ.voxel[::step], organ.fraction[::step]
    if not voxel.size:
        return np.zeros(len(movements))
    weight = fraction * float(organ.fraction.sum() / fraction.sum()) * volume.voxel_measure
    index = np.stack(np.unravel_index(voxel, volume.grid.shape)).astype(np.float64)
    lever, slopes = _levers(volume, voxel, scan_from_organs, centre_mm)
    to_index = volume.grid.index_from_lps[:3, :3]
    here = ndimage.map_coordinates(spline, index, order=3, mode="nearest", prefilter=False)
    straight = by_mm[:, voxel]
    bent = np.zeros(len(movements))
    for number, movement in enumerate(movements):
        growth = float(movement[6:].sum())
        moved = lever @ (rotation_from_vector(movement[:3]) * np.exp(growth)).T + movement[3:6]
        by = np.einsum("nij,nj->ni", slopes, moved - lever)
        first = np.einsum("nij,nj->ni", slopes, np.cross(movement[:3], lever) + movement[3:6] + growth * lever)
        there = ndimage.map_coordinates(spline, index + to_index @ by.T, order=3, mode="nearest", prefilter=False)
        beyond = there * np.exp(3 * growth) - here - np.einsum("in,ni->n", straight, first) - 3 * growth * here
        bent[number] = weight @ beyond
    return bent


def _levers(
    volume: Volume, voxel: NDArray[np.int64], scan_from_organs: Transform, centre_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where voxels lie from the centre in the organs' frame, (n, 3), and the map's slope there, (n, 3, 3)."""
    index = np.stack(np.unravel_index(voxel, volume.grid.shape), axis=-1)
    at, _ = scan_from_organs.search_back(volume.grid.lps_from(index))
    slopes = np.broadcast_to(scan_from_organs.jacobian(at), (len(voxel), 3, 3))
    return at - centre_mm, slopes


def _gradient(volume: Volume, signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scan's slope per mm along LPS x, y, z at every voxel, shape (3, voxels)."""
    by_index = np.stack(
        [np.gradient(signal, axis=axis) if signal.shape[axis] > 1 else np.zeros_like(signal) for axis in range(3)]
    ).reshape(3, -1)
    return np.asarray(volume.grid.index_from_lps[:3, :3].T @ by_index)
