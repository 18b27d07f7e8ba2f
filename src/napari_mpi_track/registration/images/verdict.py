"""What a search over poses is worth: good, doubtful or failed, and why."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.registration.alignment import Verdict
from napari_mpi_track.registration.images.distinctness import Distinctness
from napari_mpi_track.registration.images.pictures import Picture

Matrix = NDArray[np.float64]

METRICS = {True: "correlation", False: "mutual information"}
# In simulated animals, whole and cut, symmetric and not, the next best pose tells 0.3 to 0.85 of what the right one
# does, and where the right one is not among the poses, another wrong one 0.6 to 1 of the best (benchmarks/alignment).
_NEAR_SECOND = 0.8
# Where the true pose was taken away by hand, 4 of 70 wrong ones passed what stands above and the edges, none of them
# these limits as well. Of right poses: 0.15 to 0.34 within one modality, 0.29 to 0.53 across two (0.60 in a real
# head); next best and beside together 1.11 (1.29 in that head); of rivals inside 0.76.
_MOST_BESIDE = {True: 0.36, False: 0.65}
_MOST_TOGETHER = 1.32
# Blurred organs fall off more slowly: right poses reach 0.54 with PET; without, 0.40 across two modalities, 0.51 within
# one, 0.55 in a real head. Symmetric mice flipped, the truth taken away, come to 0.58, and 0.55 where bodies overlap by
# less than 0.9.
_MOST_BESIDE_INSIDE = {True: 0.6, False: 0.56}
_CLOSE_OVERLAP, _LESS_IF_LOOSE = 0.9, 0.04
# An organ that took all the tracer up (a brain) looks the same either way round: such rivals reach 1.05 with PET.
_MOST_RIVAL_INSIDE = {True: 1.1, False: 0.85}
_LEAST_OVERLAP = 0.75
_FAILED_OVERLAP = 0.4
_LEAST_METRIC = {True: 0.2, False: 0.03}


@dataclass(frozen=True, slots=True)
class Overlap:
    """How two bodies overlap where both scans look: by Dice, and as a part of the smaller body; 0 to 1.

    A PET may show only the organs that took the tracer up: a small body, but within the other.
    """

    dice: float
    of_smaller: float


@dataclass(frozen=True, slots=True)
class Rival:
    """The best pose that is another one: its metric, its information (nats), and how far it puts the body, mm."""

    metric: float
    information: float
    distance_mm: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of the pose that was found, beside the pose itself.

    Attributes
    ----------
    metric, before
        The metric under the pose, and under the start.
    moved_mm
        How far the pose puts the body from where the start does, mm.
    information
        What poses are compared by, nats.
    second
        The next best pose, if there is one.
    distinct
        How clearly the pose stands out.
    is_outlined
        Whether the body's outline is compared too, as where no mask is given: aside, it tells much less.
    is_emission
        Whether one of the scans is a PET or SPECT.
    overlap
        How the bodies overlap.
    error_mm
        The measured error at the body's centre, mm; ``None`` if the metric does not fall off on every side.
    voxel_mm
        The largest voxel edge of the two scans, mm.
    """

    metric: float
    before: float
    moved_mm: float
    information: float
    second: Rival | None
    distinct: Distinctness
    is_outlined: bool
    is_emission: bool
    overlap: Overlap
    error_mm: float | None
    voxel_mm: float


def body_overlap(fixed: Picture, moving: Picture, moving_from_fixed: Matrix) -> Overlap:
    """Return how two bodies overlap where both scans look."""
    here = _seen(fixed, moving, moving_from_fixed)
    there = _seen(moving, fixed, np.asarray(np.linalg.inv(moving_from_fixed), dtype=np.float64))
    if min(here[1], there[1]) <= 0:
        return Overlap(0.0, 0.0)
    shared = (here[0] + there[0]) / 2
    return Overlap(2 * shared / (here[1] + there[1]), shared / min(here[1], there[1]))


def _seen(body: Picture, other: Picture, other_from_body: Matrix) -> tuple[float, float]:
    """Return how much of a body lies in the other one, and in the other's field, mm3."""
    index = np.argwhere(body.body)
    points = body.body_grid.lps_from(index[:: max(1, len(index) // 20_000)])
    volume = body.body_grid.voxel_volume_mm3 * len(index) / len(points)
    points = points @ other_from_body[:3, :3].T + other_from_body[:3, 3]
    points = points[other.field.contains(points)]
    where = np.rint(other.body_grid.index_from(points)).astype(np.int64)
    where = np.clip(where, 0, np.asarray(other.body.shape) - 1)
    return float(np.count_nonzero(other.body[tuple(where.T)])) * volume, len(points) * volume


def judged(found: Finding, same_modality: bool) -> tuple[Verdict, str]:
    """Return the verdict and its reason."""
    told = f"{METRICS[same_modality]} {found.metric:.3f}, bodies overlap by {found.overlap.dice:.2f}"
    share = 0.0 if found.second is None else found.second.information / max(found.information, 1e-9)
    if found.second is not None:
        told += f", the next best pose, {found.second.distance_mm:.1f} mm away, tells {share:.0%} as much"
    if found.overlap.of_smaller < _FAILED_OVERLAP or found.metric < _LEAST_METRIC[same_modality]:
        return Verdict.FAILED, told
    if share > 1:
        return Verdict.DOUBTFUL, f"{told}: it is the better one"
    if share > _NEAR_SECOND:
        return Verdict.DOUBTFUL, f"{told}: the two are hardly to be told apart"
    if found.distinct.rival_inside > _MOST_RIVAL_INSIDE[found.is_emission]:
        return Verdict.DOUBTFUL, f"{told}, of the inside of the body {found.distinct.rival_inside:.0%}"
    beside = found.distinct.beside
    if beside > _MOST_BESIDE[same_modality and found.is_outlined] or share + beside > _MOST_TOGETHER:
        return Verdict.DOUBTFUL, f"{told}; poses a little aside tell {beside:.0%} as much"
    is_loose = not found.is_emission and found.overlap.dice < _CLOSE_OVERLAP
    if found.distinct.beside_inside > _MOST_BESIDE_INSIDE[found.is_emission] - _LESS_IF_LOOSE * is_loose:
        beside = found.distinct.beside_inside
        return Verdict.DOUBTFUL, f"{told}; of the inside of the body, poses a little aside tell {beside:.0%} as much"
    if found.overlap.of_smaller < _LEAST_OVERLAP:
        return Verdict.DOUBTFUL, f"{told}; the bodies overlap poorly"
    # Within a voxel, interpolation alone makes one metric larger: where grids coincide, nothing is interpolated.
    if found.metric < found.before and found.moved_mm > found.voxel_mm:
        return Verdict.DOUBTFUL, f"{told}; the scans were more alike before ({found.before:.3f})"
    if found.error_mm is None:
        return Verdict.DOUBTFUL, f"{told}; the metric does not fall off on every side"
    if found.error_mm > found.voxel_mm:
        return Verdict.DOUBTFUL, f"{told}; the images fix the place to {found.error_mm:.2f} mm only"
    return Verdict.GOOD, told
