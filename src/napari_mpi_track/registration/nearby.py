"""Whether two anatomies would meet better a little way off: for alignments that did not look at the scans' voxels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.registration.alignment import rotation_from_vector

_MOST_EVALUATIONS = 220
_MOST_EDGES = 4_000


@dataclass(frozen=True, slots=True, eq=False)
class EdgeField:
    """Edges of a fixed scan, and the slopes of the moving one.

    Attributes
    ----------
    places_mm, directions
        Where the fixed scan has edges (LPS mm, shape (n, 3)) and the unit vectors across them (LPS, (n, 3)).
    slopes, grid
        Gradient of the moving scan along its axes, shape (3, planes, rows, columns), on its grid.
    """

    places_mm: NDArray[np.float64]
    directions: NDArray[np.float64]
    slopes: NDArray[np.float32]
    grid: Grid

    def better_nearby(self, moving_from_fixed: Transform, step_mm: float) -> tuple[Transform, float]:
        """Return the transform under which edges run most alike, found by going uphill, and how far it moves them.

        The distance is the root mean square over the edges, mm. Steps begin at ``step_mm``. Powell 1964,
        doi:10.1093/comjnl/7.2.155, on the mean squared cosine of normalised gradient fields.
        """
        thinned = slice(None, None, max(1, len(self.places_mm) // _MOST_EDGES))
        places, directions = self.places_mm[thinned], self.directions[thinned]
        centre = places.mean(axis=0)
        radius = float(np.sqrt(np.mean(np.sum((places - centre) ** 2, axis=1))))

        def moved(movement: NDArray[np.float64]) -> Transform:
            # Turns are measured by the path of a point at the edges' radius, so that all six are millimetres.
            rotation = rotation_from_vector(movement[:3] / radius)
            return Transform.from_parts(rotation, centre - rotation @ centre + movement[3:])

        def unlike(movement: NDArray[np.float64]) -> float:
            first = moved(movement)
            turned = directions @ first.target_from_source[:3, :3].T
            return -self._likeness(moving_from_fixed, first.map(places), turned)

        found = optimize.minimize(
            unlike,
            np.zeros(6),
            method="Powell",
            options={"maxfev": _MOST_EVALUATIONS, "xtol": 0.05, "ftol": 1e-4, "direc": step_mm * np.eye(6)},
        )
        first = moved(np.asarray(found.x))
        distance = float(np.sqrt(np.mean(np.sum((first.map(places) - places) ** 2, axis=1))))
        frame = moving_from_fixed.source_frame
        return moving_from_fixed.preceded_by(first.between(frame, frame)), distance

    def _likeness(
        self, moving_from_fixed: Transform, places_mm: NDArray[np.float64], directions: NDArray[np.float64]
    ) -> float:
        """Return the mean squared cosine between directions of the fixed frame and the slopes of the moving scan."""
        index = self.grid.index_from(moving_from_fixed.map(places_mm)).T
        along = [ndimage.map_coordinates(slope, index, order=1, mode="constant") for slope in self.slopes]
        there = np.stack(along, axis=1) @ self.grid.directions.T
        seen = there @ moving_from_fixed.target_from_source[:3, :3]
        length = np.maximum(np.linalg.norm(seen, axis=1), 1e-12)
        return float(np.mean((np.einsum("nk,nk->n", seen, directions) / length) ** 2))
