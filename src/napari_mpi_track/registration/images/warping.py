"""How alike two scans are when one is deformed, and the coefficients that make them most alike."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.registration.images.lattice import Bases, Bending, Coefficients

_BINS = 32
_MEMORY = 8
# A step of the first iteration, in voxels of the level.
_FIRST_STEP = 0.5


class Likeness(Protocol):
    """A measure of how alike two sets of values are, and how it changes with the second."""

    def __call__(
        self, fixed: NDArray[np.float32], moving: NDArray[np.float32]
    ) -> tuple[float, NDArray[np.float32]]: ...


def correlation(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    """Return the correlation of two sets of values, shape (n,), and its derivative by every value of the second."""
    a = fixed - fixed.mean(dtype=np.float64).astype(np.float32)
    b = moving - moving.mean(dtype=np.float64).astype(np.float32)
    aa, bb, ab = (float(np.sum(x * y, dtype=np.float64)) for x, y in ((a, a), (b, b), (a, b)))
    if aa * bb <= 0:
        return 0.0, np.zeros_like(b)
    found = ab / np.sqrt(aa * bb)
    return found, a * np.float32(1 / np.sqrt(aa * bb)) - b * np.float32(found / bb)


def mutual_information(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    """Return the mutual information in nats of two sets of values between 0 and 1, and its derivative.

    Notes
    -----
    Cubic B-spline windows over the second, whole bins for the first: Mattes et al. 2003,
    doi:10.1109/TMI.2003.809072.
    """
    rows = np.minimum((np.clip(fixed, 0, 1) * _BINS).astype(np.intp), _BINS - 1)
    # Two bins on either side are left for the windows' tails.
    places = np.clip(moving, 0, 1) * np.float32(_BINS - 1) + np.float32(2)
    first = places.astype(np.intp) - 1
    t = places - (first + 1)
    s = 1 - t
    windows = (s**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * s**2 + 3 * s**3) / 6, t**3 / 6)
    slopes = (-(s**2) / 2, -2 * t + 1.5 * t**2, 2 * s - 1.5 * s**2, t**2 / 2)
    width = _BINS + 4
    at = rows * width + first
    joint = np.zeros(_BINS * width)
    for tap, window in enumerate(windows):
        joint += np.bincount(at + tap, window, minlength=len(joint))
    density = joint.reshape(_BINS, width) / len(fixed)
    by_column = density.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(density > 0, np.log(density / (by_column * density.sum(axis=1, keepdims=True))), 0.0)
        # What the marginal of the fixed values adds does not change with the moving ones.
        change = np.where(density > 0, np.log(density / by_column), 0.0).ravel().astype(np.float32)
    pull = np.zeros(len(moving), dtype=np.float32)
    for tap, slope in enumerate(slopes):
        pull += slope * change[at + tap]
    inside = (moving > 0) & (moving < 1)
    return float(np.sum(density * gain)), pull * inside * np.float32((_BINS - 1) / len(fixed))


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """Two scans at one level of detail, and the lattice whose coefficients bring them together.

    Attributes
    ----------
    values, where
        The fixed scan's values, shape (n,), and their flat (C order) voxel numbers in ``shape``.
    shape
        Of the fixed grid: planes, rows, columns.
    moving
        The other scan, with a rim of one voxel of its darkest value.
    index, turn
        Where the undeformed samples lie in ``moving``, (3, n), and how that changes with LPS mm, (3, 3).
    bases, bending, stiffness
        The lattice, and how much bending costs, mm2.
    """

    values: NDArray[np.float32]
    where: NDArray[np.int64]
    shape: tuple[int, int, int]
    moving: NDArray[np.float32]
    index: NDArray[np.float32]
    turn: NDArray[np.float32]
    bases: Bases
    bending: Bending
    stiffness: float
    likeness: Likeness

    @classmethod
    def between(
        cls,
        fixed: NDArray[np.float32],
        grid: Grid,
        where: NDArray[np.bool_],
        moving: NDArray[np.float32],
        moving_index_from_fixed: NDArray[np.float64],
        control: Grid,
        bending: Bending,
        stiffness: float,
        likeness: Likeness,
    ) -> "Warp":
        """Return the level of ``fixed`` on ``grid``, compared ``where``, and ``moving`` (4x4 to its index)."""
        flat = np.flatnonzero(where)
        points = grid.lps_from(np.stack(np.unravel_index(flat, grid.shape), axis=-1))
        rimmed = np.pad(moving, 1, constant_values=float(moving.min()))
        index = moving_index_from_fixed[:3, :3] @ points.T + moving_index_from_fixed[:3, 3:] + 1
        return cls(
            fixed.ravel()[flat],
            flat,
            grid.shape,
            rimmed,
            index.astype(np.float32),
            moving_index_from_fixed[:3, :3].astype(np.float32),
            Bases.of(control, grid),
            bending,
            stiffness,
            likeness,
        )

    def only(self, chosen: NDArray[np.bool_]) -> "Warp":
        """Return the same level with some of its samples, ``chosen`` of shape (n,)."""
        return replace(self, values=self.values[chosen], where=self.where[chosen], index=self.index[:, chosen].copy())

    def alike(self, coefficients: Coefficients) -> float:
        """Return how alike the scans are under this displacement."""
        return self.likeness(self.values, self._looked_up(coefficients)[0])[0]

    def cost(self, coefficients: Coefficients) -> tuple[float, Coefficients, float]:
        """Return what is to be made small, its derivative by every coefficient, and how alike the scans are."""
        moving, slopes = self._looked_up(coefficients)
        found, pull = self.likeness(self.values, moving)
        dense = np.zeros((int(np.prod(self.shape)), 3), dtype=np.float32)
        dense[self.where] = -(pull * _turned(self.turn.T, slopes)).T
        bent = self.bending.pull(coefficients)
        total = -found + self.stiffness * float(np.sum(bent * coefficients))
        return total, self.bases.gathered(dense.reshape(*self.shape, 3)) + 2 * self.stiffness * bent, found

    def _looked_up(self, coefficients: Coefficients) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        moves = self.bases.displaced(coefficients).reshape(-1, 3)[self.where]
        return interpolated(self.moving, self.index + _turned(self.turn, moves.T))


def _turned(matrix: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    # A product of BLAS may sum in another order from one machine's threads to the next.
    return np.stack([row[0] * vectors[0] + row[1] * vectors[1] + row[2] * vectors[2] for row in matrix])


def interpolated(
    voxels: NDArray[np.float32], index: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return trilinear values at ``index``, (3, n), shape (n,), and their slopes per voxel, (3, n); edges go on."""
    last = np.array(voxels.shape, dtype=np.float32)[:, None] - np.float32(1.001)
    clipped = np.clip(index, 0, last)
    start = clipped.astype(np.int32)
    z, y, x = clipped - start
    _, rows, columns = voxels.shape
    at = (start[0] * rows + start[1]) * columns + start[2]
    flat = voxels.ravel()
    c = [flat[at + ((a * rows + b) * columns + d)] for a in (0, 1) for b in (0, 1) for d in (0, 1)]
    along_x = [c[k + 1] - c[k] for k in (0, 2, 4, 6)]
    e = [c[2 * k] + x * along_x[k] for k in range(4)]
    along_y = [e[1] - e[0], e[3] - e[2]]
    f = [e[0] + y * along_y[0], e[2] + y * along_y[1]]
    value = f[0] + z * (f[1] - f[0])
    x_at = [along_x[0] + y * (along_x[1] - along_x[0]), along_x[2] + y * (along_x[3] - along_x[2])]
    slopes = np.stack([f[1] - f[0], along_y[0] + z * (along_y[1] - along_y[0]), x_at[0] + z * (x_at[1] - x_at[0])])
    slopes[clipped != index] = 0
    return value, slopes


def fitted(
    warp: Warp,
    start: Coefficients,
    step_mm: float,
    iterations: int,
    tell: Callable[[Coefficients, float], None],
    tolerance: float = 1e-5,
) -> Coefficients:
    """Return the coefficients of least cost, by L-BFGS from ``start``; ``tell`` hears of every step.

    Sums are numpy's own, not those of a threaded BLAS: the same bytes every time.

    Notes
    -----
    Nocedal & Wright 2006, algorithm 7.4, doi:10.1007/978-0-387-40065-5, with halved steps until the cost falls.
    """
    here = start
    cost, slope, _ = warp.cost(here)
    steps: list[tuple[Coefficients, Coefficients, float]] = []
    few = 0
    for _ in range(iterations):
        direction = -_curved(slope, steps)
        if not steps:
            direction *= step_mm / max(float(np.abs(direction).max()), 1e-30)
        fall = float(np.sum(direction * slope))
        if fall >= 0:
            break
        length = 1.0
        for _ in range(8):
            there = here + length * direction
            cost_there, slope_there, found = warp.cost(there)
            if cost_there <= cost + 1e-4 * length * fall:
                break
            length /= 2
        else:
            break
        turned = slope_there - slope
        curvature = float(np.sum(turned * (there - here)))
        if curvature > 0:
            steps = [*steps[1 - _MEMORY :], (there - here, turned, curvature)]
        few = few + 1 if cost - cost_there < tolerance * (abs(cost) + 1e-3) else 0
        here, cost, slope = there, cost_there, slope_there
        tell(here, found)
        if few == 2:
            break
    return here


def _curved(slope: Coefficients, steps: list[tuple[Coefficients, Coefficients, float]]) -> Coefficients:
    """Return the inverse of the curvature that ``steps`` have met, times ``slope``: the two-loop recursion."""
    rest, parts = slope.copy(), []
    for moved, turned, curvature in reversed(steps):
        part = float(np.sum(moved * rest)) / curvature
        rest -= part * turned
        parts.append(part)
    if steps:
        moved, turned, curvature = steps[-1]
        rest *= curvature / float(np.sum(turned * turned))
    for (moved, turned, curvature), part in zip(steps, reversed(parts), strict=True):
        rest += (part - float(np.sum(turned * rest)) / curvature) * moved
    return rest
