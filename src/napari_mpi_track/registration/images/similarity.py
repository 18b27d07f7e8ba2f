"""How alike two scans are under a transform, and how that changes with it, at a fixed set of points."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.registration.images.pictures import Picture

_BINS = 24
# Points are looked up so many at a time that what is worked on stays in the processor's cache.
_CHUNK = 16_384
# Of the points at least this part has to lie in the moving scan's field for scans to be compared at all.
_LEAST_COVERED = 0.1

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """What a comparison finds under one transform.

    Attributes
    ----------
    metric
        Mutual information in nats, or correlation (-1 to 1), over the points in the moving scan's field.
    covered
        Part of the points that lie there, 0 to 1.
    information
        Information in nats that the moving scan gives on the fixed one, per point, those beyond the field giving
        none; poses are compared by it. A correlation r counts as that of Gaussians, -log(1 - r^2) / 2.
    push
        Change of the metric with a movement of each point in the fixed frame, per mm, shape (3, n); ``None``
        unless asked for.
    """

    metric: float
    covered: float
    information: float
    push: Matrix | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Fixed points with their values, to be looked up in a moving picture; larger is more alike.

    Attributes
    ----------
    arms_mm, centre_mm
        Sample points from a centre, shape (3, n), and that centre, shape (3,); LPS mm of the fixed frame.
    values
        The fixed picture at the points, 0 to 1, shape (n,).
    moving
        The other picture.
    same_modality
        Correlation is taken within one modality, mutual information across two.
    bins
        Of the joint histogram, along each side.
    """

    arms_mm: Matrix
    centre_mm: Matrix
    values: Matrix
    moving: Picture
    same_modality: bool
    bins: int = _BINS

    def metric(self, moving_from_fixed: Matrix) -> float:
        """Return correlation (-1 to 1), or mutual information in nats, under the 4x4 transform."""
        return self.likeness(moving_from_fixed).metric

    def information(self, moving_from_fixed: Matrix) -> float:
        """Return what poses are compared by, nats (see ``Likeness``)."""
        return self.likeness(moving_from_fixed).information

    def likeness(self, moving_from_fixed: Matrix, *, with_push: bool = False) -> Likeness:
        """Return how alike the scans are under the 4x4 transform."""
        index_from_fixed = self.moving.grid.index_from_lps @ moving_from_fixed
        linear = index_from_fixed[:3, :3]
        shift = linear @ self.centre_mm + index_from_fixed[:3, 3]
        found, slope, known = self._looked_up(linear, shift, with_push)
        covered = float(np.count_nonzero(known)) / len(known)
        if covered < _LEAST_COVERED:
            return Likeness(0.0, covered, 0.0, np.zeros((3, len(known))) if with_push else None)
        if self.same_modality:
            metric, weight = _correlation(self.values, found, known)
        else:
            metric, weight = _shared_information(self.values, found, known, self.bins)
        information = metric if not self.same_modality else information_of(metric)
        push = None
        if slope is not None:
            slope *= weight
            push = np.stack([sum(linear[a, axis] * slope[a] for a in range(3)) for axis in range(3)])
        return Likeness(metric, covered, information * covered, push)

    def _looked_up(
        self, linear: Matrix, shift: Matrix, with_slope: bool
    ) -> tuple[Matrix, Matrix | None, NDArray[np.bool_]]:
        """Return the moving picture at the points, its slope per index (3, n), and where it is known."""
        count = self.arms_mm.shape[1]
        found, known = np.empty(count), np.empty(count, dtype=bool)
        slope = np.empty((3, count)) if with_slope else None
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            index = [
                linear[a, 0] * self.arms_mm[0, part] + linear[a, 1] * self.arms_mm[1, part]
                + linear[a, 2] * self.arms_mm[2, part] + shift[a]
                for a in range(3)
            ]  # fmt: skip
            known[part] = _in_field(index, self.moving)
            _interpolated(self.moving.voxels, index, found[part], None if slope is None else slope[:, part])
        gaps = np.isnan(found)
        if gaps.any():
            known &= ~gaps
            found[gaps] = 0.0
            if slope is not None:
                slope[:, gaps] = 0.0
        return found, slope, known


def compared(
    fixed: Picture, moving: Picture, same_modality: bool, count: int, seed: int, bins: int = _BINS
) -> Comparison:
    """Return a comparison at ``count`` points, drawn evenly where the fixed picture is to be compared.

    The points lie anywhere between voxels: on the lattice itself the metric would favour transforms that carry one
    lattice onto the other (Tsao 2003, doi:10.1002/jmri.10291).
    """
    blocks = np.argwhere(fixed.compared_where)
    rng = np.random.default_rng(seed)
    # The same number of points in every part of the body: less is left to chance than with independent ones.
    number = ((np.arange(count) + rng.uniform(0, 1, count)) * (len(blocks) / count)).astype(np.int64)
    drawn = blocks[np.minimum(number, len(blocks) - 1)] + rng.uniform(-0.5, 0.5, (count, 3))
    points = fixed.body_grid.lps_from(drawn)
    index = list(fixed.grid.index_from(points).T)
    values = np.empty(count)
    _interpolated(fixed.voxels, index, values, None)
    good = np.isfinite(values) & _in_field(index, fixed)
    centre = fixed.centre_mm
    arms = np.ascontiguousarray((points[good] - centre).T)
    return Comparison(arms, centre, values[good], moving, same_modality, bins)


def mutual_information(first: Matrix, second: Matrix) -> float:
    """Return the mutual information of two sets of values between 0 and 1, in nats, from a plain joint histogram."""
    cell, part = _cells(np.asarray(first), np.asarray(second), _BINS)
    return _information_in(_joint(cell, part, np.ones(len(cell)), _BINS))


def _in_field(index: list[Matrix], picture: Picture) -> NDArray[np.bool_]:
    """Return which indices of the picture's grid lie within the faces of the whole scan."""
    start = picture.field.index_from_lps @ picture.grid.lps_from_index
    inside = np.ones(len(index[0]), dtype=bool)
    # The picture is a cut-out of the scan, or blocks of it: its axes are the scan's.
    for axis in range(3):
        scale, offset = start[axis, axis], start[axis, 3]
        low, high = (-0.5 - offset) / scale, (picture.field.shape[axis] - 0.5 - offset) / scale
        inside &= (index[axis] >= low) & (index[axis] <= high)
    return inside


def _interpolated(voxels: NDArray[np.float32], index: list[Matrix], found: Matrix, slope: Matrix | None) -> None:
    """Write trilinear values into ``found`` and their slopes per index into ``slope``; the border goes on outside."""
    _, rows, columns = voxels.shape
    flat = voxels.reshape(-1)
    corner, part, moves = [], [], []
    for axis in range(3):
        limited = np.clip(index[axis], 0.0, voxels.shape[axis] - 1.0)
        below = np.minimum(limited.astype(np.int64), voxels.shape[axis] - 2)
        corner.append(below)
        part.append((limited - below).astype(np.float32))
        moves.append(limited == index[axis])
    base = (corner[0] * rows + corner[1]) * columns + corner[2]
    p, r, c = part
    lines, differences = [], []
    for plane, row in ((0, 0), (0, 1), (1, 0), (1, 1)):
        near = flat.take(base + (plane * rows + row) * columns)
        difference = flat.take(base + ((plane * rows + row) * columns + 1)) - near
        lines.append(near + c * difference)
        differences.append(difference)
    front, back = lines[0] + r * (lines[1] - lines[0]), lines[2] + r * (lines[3] - lines[2])
    found[:] = front + p * (back - front)
    if slope is None:
        return
    slope[0] = (back - front) * moves[0]
    slope[1] = ((lines[1] - lines[0]) * (1 - p) + (lines[3] - lines[2]) * p) * moves[1]
    d0 = differences[0] + r * (differences[1] - differences[0])
    d1 = differences[2] + r * (differences[3] - differences[2])
    slope[2] = (d0 + p * (d1 - d0)) * moves[2]


def _shared_information(here: Matrix, there: Matrix, known: NDArray[np.bool_], bins: int) -> tuple[float, Matrix]:
    """Return the mutual information of known values in nats, and its change with each value of ``there``.

    The fixed value falls into its nearest bin, the moving one is shared between its two nearest, and the joint
    histogram is smoothed by a quarter, a half and a quarter along both sides (Parzen windows of three and four bins):
    the result is smooth in the transform, and its derivative exact.
    """
    cell, part = _cells(here, there, bins)
    joint = _joint(cell, part, known, bins)
    count = joint.sum()
    density = _smoothed(joint / count)
    # d MI = sum d p(i,j) log(p(i,j) / p(j)); the fixed side's sums do not change. Smoothing is its own adjoint.
    log = _smoothed(np.log((density + 1e-9) / (density.sum(axis=0) + 1e-9))).reshape(-1)
    weight = (log.take(cell + 1) - log.take(cell)) * ((bins - 1) / count) * known
    return _information_in(density), weight


def _cells(here: Matrix, there: Matrix, bins: int) -> tuple[NDArray[np.int64], Matrix]:
    """Return the cell of the joint histogram that each pair falls into, and its part that falls into the next."""
    rows = np.rint(np.clip(here, 0, 1) * (bins - 1)).astype(np.int64) * bins
    scaled = np.clip(there, 0, 1) * (bins - 1)
    below = np.minimum(scaled.astype(np.int64), bins - 2)
    return rows + below, scaled - below


def _joint(cell: NDArray[np.int64], part: Matrix, weight: NDArray[Any], bins: int) -> Matrix:
    joint = np.bincount(cell, (1 - part) * weight, minlength=bins * bins)
    joint += np.bincount(cell + 1, part * weight, minlength=bins * bins)
    return np.asarray(joint.reshape(bins, bins))


def _smoothed(table: Matrix) -> Matrix:
    for _ in range(2):
        # What would leave at an end stays in the end's bin.
        ends = np.concatenate([table[:1], table, table[-1:]])
        table = (0.25 * ends[:-2] + 0.5 * ends[1:-1] + 0.25 * ends[2:]).T
    return np.asarray(table)


def _information_in(joint: Matrix) -> float:
    density = joint / joint.sum()
    expected = density.sum(axis=1)[:, None] * density.sum(axis=0)[None]
    filled = density > 0
    return float(np.sum(density[filled] * np.log(density[filled] / expected[filled])))


def _correlation(here: Matrix, there: Matrix, known: NDArray[np.bool_]) -> tuple[float, Matrix]:
    """Return the correlation of known values, and its change with each value of ``there``."""
    count = int(np.count_nonzero(known))
    first = (here - np.sum(here * known) / count) * known
    second = (there - np.sum(there * known) / count) * known
    spread, other = np.sqrt(np.sum(first**2)), np.sqrt(np.sum(second**2))
    if spread < 1e-9 or other < 1e-9:
        return 0.0, np.zeros(len(here))
    metric = float(np.sum(first * second) / (spread * other))
    return metric, first / (spread * other) - metric * second / other**2


def information_of(correlation: float) -> float:
    """Return the information of Gaussians with this correlation, nats; none for a negative one."""
    return float(-0.5 * np.log1p(-(min(max(correlation, 0.0), 0.9999) ** 2)))
