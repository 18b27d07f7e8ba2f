"""Points of two planes brought together: the turn and shift in closed form, and which point is which."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentRefusedError

# As for markers in 3-D (pairing.py).
_SLACK_MM = 0.3
_LARGEST_TOLERANCE_MM = 1.2
_FLOOR_MM = 0.1
_SHORTEST_MM = 2.0
_ELSEWHERE_MM = 2.0
# Decimal logarithms of the number of pairings as good that chance alone would give.
_CERTAIN_BELOW = -2.0
_CLEAR_LEAD = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class PlanarPoints:
    """Where markers may be in one plane: positions in mm, (n, 2), and their standard errors in mm, (n,)."""

    positions_mm: NDArray[np.float64]
    sd_mm: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.positions_mm)

    def mirrored(self) -> "PlanarPoints":
        """Return the same plane seen from its other side."""
        return PlanarPoints(self.positions_mm * [1.0, -1.0], self.sd_mm)


@dataclass(frozen=True, slots=True, eq=False)
class PlanarPairing:
    """Which point is which.

    Attributes
    ----------
    fixed, moving
        Indices of the paired points, both shape (n,).
    rms_mm
        Root mean square distance of the pairs after alignment, mm.
    chance
        Decimal logarithm of the number of pairings as good that unrelated points would give.
    runner_up_chance, runner_up_rms_mm
        The same of the best pairing that puts the plane elsewhere; ``None`` if there is none.
    """

    fixed: NDArray[np.intp]
    moving: NDArray[np.intp]
    rms_mm: float
    chance: float
    runner_up_chance: float | None = None
    runner_up_rms_mm: float | None = None

    @property
    def is_certain(self) -> bool:
        """Whether chance cannot explain it and no other pairing comes near."""
        lead = np.inf if self.runner_up_chance is None else self.runner_up_chance - self.chance
        return self.chance < _CERTAIN_BELOW and lead > _CLEAR_LEAD


def planar_closed_form(
    fixed_mm: NDArray[np.float64], moving_mm: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (rotation (2, 2), shift (2,)) of least squares, moving = rotation @ fixed + shift; never a mirror.

    Parameters
    ----------
    fixed_mm, moving_mm
        Paired points, shape (n, 2).
    weights
        One number a point, shape (n,); equal without.
    """
    share = np.full(len(fixed_mm), 1 / len(fixed_mm)) if weights is None else weights / weights.sum()
    here, there = share @ fixed_mm, share @ moving_mm
    first, second = (fixed_mm - here) @ [1, 1j], (moving_mm - there) @ [1, 1j]
    turn = np.angle(np.sum(share * second * np.conj(first)))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return rotation, there - rotation @ here


def pair_in_plane(fixed: PlanarPoints, moving: PlanarPoints) -> PlanarPairing:
    """Return the pairing of points that chance explains least, among all that keep every distance.

    Any number of points on both sides may have no partner.

    Raises
    ------
    AlignmentRefusedError
        If no two points keep their distance.

    Notes
    -----
    The in-plane twin of ``pairing.pair_by_distances`` (a-contrario: Moisan & Stival 2004,
    doi:10.1023/B:VISI.0000011202.85607.00): n pairs of residual r in a cloud of radius R are met by accident with
    probability (2 r / R)^(2n - 3), times the number of sets of n points.
    """
    sets = dict.fromkeys(_grown(fixed, moving))
    if not sets:
        raise AlignmentRefusedError(
            f"no two of {len(fixed)} fiducials in the fixed and {len(moving)} in the moving scan are equally far apart",
            remedy="give the points of both scans",
        )
    scored = sorted((_scored(fixed, moving, pairs) for pairs in sets), key=lambda s: s.chance)
    best = scored[0]
    other = next((s for s in scored[1:] if _apart_mm(fixed, moving, best, s) > _ELSEWHERE_MM), None)
    if other is None:
        return best
    return PlanarPairing(best.fixed, best.moving, best.rms_mm, best.chance, other.chance, other.rms_mm)


def _grown(fixed: PlanarPoints, moving: PlanarPoints) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield the sets of pairs that every two pairs of equal distance gather."""
    spread = np.sqrt(fixed.sd_mm[:, None] ** 2 + moving.sd_mm[None, :] ** 2)
    tolerance = np.minimum(_SLACK_MM + 3 * spread, _LARGEST_TOLERANCE_MM)
    here, there = fixed.positions_mm @ [1, 1j], moving.positions_mm @ [1, 1j]
    for i in range(len(here)):
        for j in range(i + 1, len(here)):
            side = here[j] - here[i]
            if abs(side) < _SHORTEST_MM:
                continue
            for k in range(len(there)):
                off = np.abs(np.abs(there - there[k]) - abs(side))
                allowed = np.hypot(tolerance[i, k], tolerance[j])
                for m in np.flatnonzero((off < allowed) & (np.arange(len(there)) != k)):
                    turn = np.exp(1j * np.angle((there[m] - there[k]) / side))
                    mapped = turn * (here - (here[i] + here[j]) / 2) + (there[k] + there[m]) / 2
                    apart = np.abs(mapped[:, None] - there[None, :])
                    close = (apart < tolerance) & (apart == apart.min(axis=1, keepdims=True))
                    close &= apart == apart.min(axis=0, keepdims=True)
                    pairs = tuple((int(a), int(b)) for a, b in np.argwhere(close))
                    yield pairs if len(pairs) >= 2 else ((i, k), (j, int(m)))


def _scored(fixed: PlanarPoints, moving: PlanarPoints, pairs: tuple[tuple[int, int], ...]) -> PlanarPairing:
    first, second = (np.array(side, dtype=np.intp) for side in zip(*pairs, strict=True))
    here, there = fixed.positions_mm[first], moving.positions_mm[second]
    rotation, shift = planar_closed_form(here, there)
    rms = float(np.sqrt(np.mean(np.sum((here @ rotation.T + shift - there) ** 2, axis=1))))
    known = float(np.sqrt(np.mean(fixed.sd_mm[first] ** 2 + moving.sd_mm[second] ** 2)))
    radius = max(float(np.sqrt(np.sum(np.var(here, axis=0)))), 1e-9)
    accident = min(2 * max(rms, known, _FLOOR_MM) / radius, 1.0)
    count = len(pairs)
    ways = _log_choices(len(fixed), count) + _log_choices(len(moving), count) + lgamma(count + 1)
    return PlanarPairing(first, second, rms, ((2 * count - 3) * log(accident) + ways) / log(10))


def _log_choices(total: int, chosen: int) -> float:
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)


def _apart_mm(fixed: PlanarPoints, moving: PlanarPoints, one: PlanarPairing, other: PlanarPairing) -> float:
    """Return how far the two pairings put the fixed points from one another, root mean square, mm."""
    placed = []
    for pairing in (one, other):
        rotation, shift = planar_closed_form(fixed.positions_mm[pairing.fixed], moving.positions_mm[pairing.moving])
        placed.append(fixed.positions_mm @ rotation.T + shift)
    return float(np.sqrt(np.mean(np.sum((placed[0] - placed[1]) ** 2, axis=1))))
