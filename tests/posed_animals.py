"""A small animal of ellipsoids, alike from no two sides, scanned as CT or MR in any pose."""

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume

# Centre and radii in mm, brightness in CT (HU) and in MR (a.u.).
_PARTS = (
    ((0, 0, 0), (11, 9, 24), 40, 500),
    ((4, 1, 9), (4, 5, 7), -600, 90),
    ((-4, 1, 7), (4, 4, 6), -600, 90),
    ((-2, -1, -4), (8, 6, 4), 90, 300),
    ((5, 3, -12), (3, 2, 4), 10, 800),
    ((-5, -3, -15), (2, 3, 3), 0, 950),
    ((0, 6, 0), (1.5, 1.2, 20), 700, 60),
    ((6, 2, -18), (1.2, 1.2, 4), 700, 60),
)


def pose(degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> Transform:
    """Return a turn about the scanner's middle, then a shift."""
    return Transform.from_parts(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), shift_mm)


def posed_animal(modality: Modality, where: Transform, *, spacing_mm: float = 1.0, frame: str = "scanner") -> Volume:
    """Return a noisy scan of the animal, 70 x 44 x 44 mm; ``where`` maps the animal's own mm to the scanner's."""
    counts = np.round(np.array([70, 44, 44]) / spacing_mm).astype(int)
    grid = Grid.from_spacing(
        (int(counts[0]), int(counts[1]), int(counts[2])), spacing_mm, -(counts[::-1] - 1) * spacing_mm / 2, frame
    )
    points = where.inverse().map(grid.lps_from(np.stack(np.indices(grid.shape), axis=-1)))
    scan = np.full(grid.shape, -1000.0 if modality is Modality.CT else 0.0)
    for centre, radii, hounsfield, magnetic in _PARTS:
        inside = np.sum(((points - np.array(centre)) / radii) ** 2, axis=-1) < 1
        scan[inside] = hounsfield if modality is Modality.CT else magnetic
    scan = ndimage.gaussian_filter(scan, 0.5 / spacing_mm)
    scan += np.random.default_rng(len(frame)).normal(0, 20, scan.shape)
    return Volume(scan.astype(np.float32), grid, modality, "HU" if modality is Modality.CT else "a.u.")


def moving_from_fixed(fixed: Transform, moving: Transform) -> Transform:
    """Return the true map between scans of two poses."""
    return moving.between("animal", "moving") @ fixed.between("animal", "fixed").inverse()
