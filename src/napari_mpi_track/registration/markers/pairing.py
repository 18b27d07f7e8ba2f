"""Which marker of one scan is which of the other, from their distances alone."""

from dataclasses import dataclass, replace
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentRefusedError
from napari_mpi_track.registration.markers.closed_form import closed_form

# Distances agree when they differ by less than this and three standard errors; markers are drawn, glued and
# blurred, so that no pair of real centres agrees better than this.
_SLACK_MM = 0.3
_LARGEST_TOLERANCE_MM = 1.2
_FLOOR_MM = 0.1
# Degrees of freedom of the tails of marker errors: their stated size is itself an estimate.
_TAIL = 20.0
_MOST_TRIANGLES = 40_000
# Decimal logarithms of the number of pairings as good that chance alone would give.
_CERTAIN_BELOW = -3.0
_CLEAR_LEAD = 2.0
# By how many times its share a pair may raise the squares of the fit (0.1 % of true pairs do).
_STRAY_RATIO = 5.4


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Where markers may be in one scan.

    Attributes
    ----------
    positions_mm
        Shape (n, 3), LPS mm; or (n, 2), mm along two axes of a plane that both scans are known to lie in.
    sd_mm
        Standard error of each position (all axes together), mm, shape (n,).
    looks
        What markers of one scan have in common: columns (log size, log height), shape (n, k), in units of the most
        by which two of them may differ; k may be 0.
    """

    positions_mm: NDArray[np.float64]
    sd_mm: NDArray[np.float64]
    looks: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.positions_mm)


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """Which candidate is which.

    Attributes
    ----------
    fixed, moving
        Indices of the paired candidates, both shape (n,).
    rms_mm
        Root mean square distance of the pairs after a rigid fit, mm.
    squares
        Sum of the squared residuals over the squared standard errors of the candidates, dimensionless.
    chance
        Decimal logarithm of the number of pairings as good that unrelated blobs would give.
    runner_up_rms_mm, runner_up_chance
        The same of the best pairing that puts the scan elsewhere; ``None`` if there is none.
    """

    fixed: NDArray[np.intp]
    moving: NDArray[np.intp]
    rms_mm: float
    squares: float
    chance: float
    runner_up_rms_mm: float | None = None
    runner_up_chance: float | None = None
    runner_up_count: int = 0

    @property
    def is_certain(self) -> bool:
        """Whether chance cannot explain it and no other pairing comes near."""
        lead = np.inf if self.runner_up_chance is None else self.runner_up_chance - self.chance
        return self.chance < _CERTAIN_BELOW and lead > _CLEAR_LEAD


def pair_by_distances(fixed: Candidates, moving: Candidates, stretch: float = 0.0) -> Pairing:
    """Return the pairing of candidates that chance explains least, among all that keep every distance.

    Any number of candidates on both sides may have no partner. ``stretch`` is by what part distances may differ
    (a similarity is sought). Candidates in a plane (two coordinates) are turned within it only: no mirror of them
    is a pairing, as it would be for coplanar points in space.

    Raises
    ------
    AlignmentError
        If no three candidates keep their distances.

    Notes
    -----
    Every triangle of consistent pairs gives a rigid transform, which gathers further pairs. Of the sets, the one
    with the lowest expected number of accidental equals is taken (an a-contrario test: Moisan & Stival 2004,
    doi:10.1023/B:VISI.0000011202.85607.00); n pairs with errors of size e in a cloud of radius R are met by
    accident with probability (2 e / R)^(3n - 6), times the number of sets of n candidates that look as alike, times
    how much less likely the residual is than one of the markers' own errors (Student's t, heavy-tailed).
    """
    tolerance = _tolerance(fixed, moving)
    triangles = _triangles(fixed, moving, tolerance, stretch)
    if not len(triangles):
        raise AlignmentRefusedError(
            f"no three of {len(fixed)} fiducials in the fixed and {len(moving)} in the moving scan have the same "
            "distances",
            remedy="give the points of both scans",
        )
    sets = _grown(fixed, moving, triangles, tolerance, stretch > 0)
    scored = sorted((_scored(fixed, moving, pairs, stretch > 0) for pairs in sets), key=lambda s: s.chance)
    thinned = [_scored(fixed, moving, part, stretch > 0) for s in scored[:30] for part in _one_less(s)]
    scored = sorted([*scored, *thinned], key=lambda s: s.chance)
    best = _without_strays(fixed, moving, scored[0], stretch > 0)
    other = _best_elsewhere(fixed, moving, best, scored, stretch > 0)
    if other is None:
        return best
    return replace(best, runner_up_rms_mm=other.rms_mm, runner_up_chance=other.chance, runner_up_count=len(other.fixed))


def _tolerance(fixed: Candidates, moving: Candidates) -> NDArray[np.float64]:
    """Return how far each pair of candidates may lie apart, mm, shape (fixed, moving)."""
    spread = np.sqrt(fixed.sd_mm[:, None] ** 2 + moving.sd_mm[None, :] ** 2)
    return np.asarray(np.minimum(_SLACK_MM + 3 * spread, _LARGEST_TOLERANCE_MM))


def _triangles(
    fixed: Candidates, moving: Candidates, tolerance: NDArray[np.float64], stretch: float
) -> NDArray[np.intp]:
    """Return triples of nodes (fixed * len(moving) + moving) whose three distances agree, shape (k, 3)."""
    count = len(moving)
    first, second = np.divmod(np.arange(len(fixed) * count), count)
    in_fixed = np.linalg.norm(fixed.positions_mm[:, None] - fixed.positions_mm[None], axis=2)
    in_moving = np.linalg.norm(moving.positions_mm[:, None] - moving.positions_mm[None], axis=2)
    fixed_sides, moving_sides = in_fixed[np.ix_(first, first)], in_moving[np.ix_(second, second)]
    allowed = np.hypot(tolerance.ravel()[:, None], tolerance.ravel()[None, :]) / np.sqrt(2) + stretch * fixed_sides
    agree = (np.abs(fixed_sides - moving_sides) < allowed) & (fixed_sides > 2 * allowed) & (moving_sides > 2 * allowed)
    agree &= _alike(fixed.looks)[np.ix_(first, first)] & _alike(moving.looks)[np.ix_(second, second)]
    agree &= (first[:, None] != first[None]) & (second[:, None] != second[None])
    triples = []
    for node in range(len(first)):
        later = node + 1 + np.flatnonzero(agree[node, node + 1 :])
        if len(later) < 2:
            continue
        near, far = np.nonzero(np.triu(agree[np.ix_(later, later)], 1))
        triples.append(np.stack([np.full(len(near), node), later[near], later[far]], axis=1))
    found = np.concatenate(triples) if triples else np.empty((0, 3), dtype=np.intp)
    if not len(found):
        return found
    corners = fixed.positions_mm[first[found]]
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    squares = np.sum(one**2, axis=1) * np.sum(other**2, axis=1) - np.sum(one * other, axis=1) ** 2
    areas = np.sqrt(np.maximum(squares, 0.0)) / 2
    longest = np.max(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2), axis=1)
    # A triangle nearly on a line says nothing of the turn about that line.
    height = 2 * areas / longest
    found, height = found[height > 1.0], height[height > 1.0]
    return np.asarray(found[np.argsort(-height, kind="stable")[:_MOST_TRIANGLES]])


def _alike(looks: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which candidates of one scan can be markers of one kind, shape (n, n)."""
    return np.asarray(np.all(np.abs(looks[:, None] - looks[None]) < 1.0, axis=2))


def _grown(
    fixed: Candidates,
    moving: Candidates,
    triangles: NDArray[np.intp],
    tolerance: NDArray[np.float64],
    scaled: bool,
) -> list[tuple[tuple[int, int], ...]]:
    """Return the different sets of pairs that triangles grow to."""
    count = len(moving)
    first, second = np.divmod(triangles, count)
    linear, translation = closed_form(fixed.positions_mm[first], moving.positions_mm[second], scaled=scaled)
    fixed_alike, moving_alike = _alike(fixed.looks), _alike(moving.looks)
    sets: dict[tuple[tuple[int, int], ...], None] = {}
    for start in range(0, len(triangles), 4000):
        part = slice(start, start + 4000)
        mapped = np.einsum("kij,nj->kni", linear[part], fixed.positions_mm) + translation[part][:, None]
        distance = np.linalg.norm(mapped[:, :, None] - moving.positions_mm[None, None], axis=3)
        # Only what looks like all three corners may join them.
        allowed = (
            np.all(fixed_alike[first[part]], axis=1)[:, :, None] & np.all(moving_alike[second[part]], axis=1)[:, None]
        )
        distance = np.where(allowed, distance, np.inf)
        close = (distance < tolerance) & (distance == distance.min(axis=1, keepdims=True))
        close &= distance == distance.min(axis=2, keepdims=True)
        for grid, a, b in zip(close, first[part], second[part], strict=True):
            pairs = tuple((int(i), int(j)) for i, j in np.argwhere(grid))
            sets[pairs if len(pairs) >= 3 else tuple(sorted(zip(a.tolist(), b.tolist(), strict=True)))] = None
    return list(sets)


def _scored(fixed: Candidates, moving: Candidates, pairs: tuple[tuple[int, int], ...], scaled: bool) -> Pairing:
    """Return the pairing with its residual and what chance would give."""
    first, second = (np.array(side, dtype=np.intp) for side in zip(*pairs, strict=True))
    here, there = fixed.positions_mm[first], moving.positions_mm[second]
    linear, translation = closed_form(here[None], there[None], scaled=scaled)
    residual = here @ linear[0].T + translation[0] - there
    rms = float(np.sqrt(np.mean(np.sum(residual**2, axis=1))))
    known = float(np.sqrt(np.mean(fixed.sd_mm[first] ** 2 + moving.sd_mm[second] ** 2)))
    dimensions = here.shape[1]
    radius = max(float(np.sqrt(np.sum(np.var(here, axis=0)))), 1e-9)
    expected = max(known, _FLOOR_MM)
    # What three pairs (two in a plane) leave free after a rigid fit of 6 (3) parameters.
    freedom = dimensions * len(pairs) - dimensions * (dimensions + 1) // 2
    volume = freedom * log(min(2 * expected / radius, 1.0))
    ways = _log_choices(fixed, first) + _log_choices(moving, second) + lgamma(len(pairs) + 1)
    squares = dimensions * float(np.sum(residual**2)) / expected**2
    return Pairing(first, second, rms, squares, (volume + _log_surprise(squares, freedom) + ways) / log(10))


def _log_surprise(squares: float, freedom: int) -> float:
    """Return how much less likely (log) the normalised squares are than as many as expected, with heavy tails."""
    return (freedom + _TAIL) / 2 * log((_TAIL + squares) / (_TAIL + freedom))


def _log_choices(candidates: Candidates, chosen: NDArray[np.intp]) -> float:
    """Return the log of how many sets as large could be taken from candidates that look as alike as these."""
    looks, count = candidates.looks, len(chosen)
    alike = np.ones(len(candidates), dtype=bool)
    if looks.shape[1]:
        margin = 0.25
        low, high = looks[chosen].min(axis=0) - margin, looks[chosen].max(axis=0) + margin
        alike = np.all((looks >= low) & (looks <= high), axis=1)
    total = int(alike.sum())
    choices = lgamma(total + 1) - lgamma(count + 1) - lgamma(total - count + 1)
    # The window of likeness was chosen to fit, out of about as many windows as there are candidates.
    return choices + (0.0 if total == len(candidates) else log(len(candidates)))


def _one_less(pairing: Pairing) -> list[tuple[tuple[int, int], ...]]:
    """Return the pairing without each of its pairs, where three or more remain that span a triangle."""
    pairs = tuple(zip(pairing.fixed.tolist(), pairing.moving.tolist(), strict=True))
    return [pairs[:k] + pairs[k + 1 :] for k in range(len(pairs))] if len(pairs) > 4 else []


def _without_strays(fixed: Candidates, moving: Candidates, pairing: Pairing, scaled: bool) -> Pairing:
    """Return the pairing without pairs that the others refute, where four or more remain.

    Two strangers that happen to lie near each other pull the fit towards themselves: their residual stays small, but
    all the others' squares fall by far more than one pair's share when they go.
    """
    parts = _one_less(pairing)
    if not parts:
        return pairing
    dimensions = fixed.positions_mm.shape[1]
    thinned = min((_scored(fixed, moving, part, scaled) for part in parts), key=lambda p: p.squares)
    freedom = dimensions * len(thinned.fixed) - dimensions * (dimensions + 1) // 2
    gain = (pairing.squares - thinned.squares) / dimensions
    if gain < _STRAY_RATIO * max(1.0, thinned.squares / freedom):
        return pairing
    return _without_strays(fixed, moving, thinned, scaled)


def _best_elsewhere(
    fixed: Candidates, moving: Candidates, first: Pairing, scored: list[Pairing], scaled: bool
) -> Pairing | None:
    """Return the best pairing whose transform puts the candidates elsewhere than the first one does."""

    def placed(pairing: Pairing) -> NDArray[np.float64]:
        linear, translation = closed_form(
            fixed.positions_mm[pairing.fixed][None], moving.positions_mm[pairing.moving][None], scaled=scaled
        )
        return np.asarray(fixed.positions_mm @ linear[0].T + translation[0])

    best = placed(first)
    for pairing in scored[:400]:
        apart = float(np.sqrt(np.mean(np.sum((placed(pairing) - best) ** 2, axis=1))))
        if apart > 2.0:
            return pairing
    return None
