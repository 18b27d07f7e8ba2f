"""Alignment by what two scans of one body share: rigid, similarity or affine, over all ways it may lie."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError, AlignmentRefusedError
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.evidence import AlignmentStep, ImageEvidence
from napari_mpi_track.registration.images.climbing import Movements, Top, climb, settle
from napari_mpi_track.registration.images.distinctness import distinctness
from napari_mpi_track.registration.images.metric_error import MeasuredError, measured_error
from napari_mpi_track.registration.images.pictures import pictured
from napari_mpi_track.registration.images.poses import pose, principal_rotations
from napari_mpi_track.registration.images.search import (
    COARSE,
    FEW,
    FINE,
    FINEST,
    MANY,
    MEDIUM,
    Breadth,
    Level,
    Search,
    Watch,
    exact_last_row,
)
from napari_mpi_track.registration.images.similarity import Comparison, information_of
from napari_mpi_track.registration.images.verdict import METRICS, Finding, Rival, body_overlap, judged

# By what factor a pose must tell more than the one nearest to the user's start to be taken instead.
_CLEARLY = 1.2
# A next best pose with more than this part of the metric calls for a wider search.
_FAR_BEHIND = 0.6
# What the best poses are refined on: all of them on the first level, the winner on what follows.
_LEVELS = {"thorough": (FINE, FINEST), "fast": (FINE,)}

_MEASURED = ("the error is that of noise and sampling, measured on the scans; a wrong voxel size is not in it",)
_UNMEASURED = ("the error could not be measured: the metric does not fall off on every side",)

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    """What is to be found: the model, on which levels, and the start that was given (else the identity)."""

    model: str
    levels: tuple[Level, ...]
    start: Matrix
    is_start_given: bool


def align_intensity(
    fixed: Volume,
    moving: Volume,
    *,
    model: str = "rigid",
    fixed_mask: NDArray[Any] | None = None,
    initial: Transform | None = None,
    seed: int = 0,
    effort: str = "thorough",
    progress: Callable[[float, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_step: Callable[[AlignmentStep], None] | None = None,
) -> Alignment:
    """Return the alignment with the highest correlation (one modality) or mutual information (two).

    The scans' own coordinates, the 24 axis-aligned turns with tilts between them and the bodies' principal axes are
    searched on coarse block averages, the best different poses climbed from, the neighbours of the best tried too,
    the best few refined, and the best final one kept. With ``initial`` the top nearest to it is the result, unless
    the search finds one that tells a fifth more. A doubtful result is looked at once more, over more poses, and
    within one modality by mutual information as well (two MR sequences may show one tissue bright and dark).

    The error is measured on the scans: the scatter of the metric's slope over the body against its curvature. It
    holds noise, sampling and what differs between the modalities from place to place; it does not know of what
    shifts a whole scan, such as a wrong voxel size or chemical shift. A bed that one of them alone shows is left out.

    Raises
    ------
    AlignmentError
        If no body is found, the scans do not overlap at the start that was given, or the search is stopped.
    AlignmentRefusedError
        If the result is no alignment.

    Notes
    -----
    Mattes et al. 2003, doi:10.1109/TMI.2003.809072. One thread and a fixed seed: the same scans give the same
    bytes.
    """
    watch = Watch(progress, should_stop, on_step)
    watch.at(0.0, "finding the bodies")
    search = _search(fixed, moving, fixed_mask, seed, watch)
    start = np.eye(4) if initial is None else np.asarray(initial.target_from_source)
    wish = _Wish(model, _LEVELS[effort], start, initial is not None)
    found = _found(search, FEW, wish)
    if found.verdict is not Verdict.GOOD or (effort == "thorough" and not _is_clear(search, found)):
        # Doubt is worth a second, wider look: the true pose may not have been among the few.
        found = _found(search, MANY, wish)
    if found.verdict is not Verdict.GOOD and search.same_modality:
        other = _found(replace(search, same_modality=False), MANY, wish)
        found = other if other.verdict is Verdict.GOOD else found
    if found.verdict is Verdict.FAILED:
        raise AlignmentRefusedError(
            f"the alignment failed: {found.reason}",
            remedy="check that both scans show the same animal, start from a rough position by hand, "
            "or align by fiducials",
        )
    watch.at(1.0, "aligned")
    return found


def align_moments(fixed: Volume, moving: Volume, fixed_mask: NDArray[Any] | None = None) -> Alignment:
    """Return the rigid alignment of the bodies' centres and principal axes: a rough start, always doubtful.

    The axes leave four poses; the one in which the scans are most alike is taken.

    Raises
    ------
    AlignmentError
        If no body is found.
    """
    search = _search(fixed, moving, fixed_mask, 0, Watch())
    coarse = search.at(COARSE)
    there = search.moving.centre_mm
    poses = [pose(turn, search.centre, there) for turn in principal_rotations(search.fixed, search.moving)]
    best = max(poses, key=coarse.information)
    overlap = body_overlap(search.fixed, search.moving, best).dice
    return Alignment(
        Transform(best),
        method="moments",
        verdict=Verdict.DOUBTFUL,
        reason=f"centres and principal axes of the bodies only; they overlap by {overlap:.2f}",
        centre_mm=search.centre,
        images=ImageEvidence(
            METRICS[search.same_modality], coarse.metric(np.eye(4)), coarse.metric(best), body_overlap=overlap
        ),
        warnings=("the error of an alignment by moments is not known",),
    )


def _search(fixed: Volume, moving: Volume, fixed_mask: NDArray[Any] | None, seed: int, watch: Watch) -> Search:
    first, second = pictured(fixed, "fixed", fixed_mask), pictured(moving, "moving")
    same = fixed.modality is not None and fixed.modality is moving.modality
    return Search(first, second, same, seed, first.centre_mm, first.radius_mm, watch)


def _is_clear(search: Search, found: Alignment) -> bool:
    """Return whether an alignment leaves the next best pose far behind."""
    images = found.images
    if images is None or images.runner_up is None:
        return True
    second, first = images.runner_up, images.after
    if search.same_modality:
        second, first = information_of(second), information_of(first)
    return second < _FAR_BEHIND * first


def _found(search: Search, breadth: Breadth, wish: _Wish) -> Alignment:
    """Return the best alignment of one search, whatever its verdict."""
    tops = search.best_poses(breadth)
    fine = search.at(wish.levels[0])
    search.watch.at(0.6, "refining the best poses")
    stage = search.watch.stepped("refining the best poses")
    near = [_nearest(search, wish.start)] if wish.is_start_given else []
    first, *others = [*near, *tops[:3]]
    refined = [search.climbed(fine, first.matrix, 0.01, stage)]
    refined += [search.climbed(fine, top.matrix, 0.01) for top in others]
    best = _kept(refined, wish)
    rivals = _rivals(search, fine, best, [*refined, *tops[3:]])
    movements = Movements(wish.model, search.centre, search.radius)
    last, best = _finished(search, best, movements, wish.levels)
    search.watch.at(0.9, "measuring the error")
    best, curvature = settle(last, best, movements, 0.5 * search.voxel_mm)
    matrix = exact_last_row(best.matrix)
    error = measured_error(last, matrix, curvature, movements, search.fixed.body_points_mm(500), search.voxel_mm)
    return _weighed(search, fine, replace(best, matrix=matrix), error, rivals, wish)


def _kept(refined: list[Top], wish: _Wish) -> Top:
    """Return the most alike; the top nearest to a start that was given, the first, unless another is clearly so."""
    best = max(refined, key=lambda top: top.information)
    if wish.is_start_given and best.information < _CLEARLY * refined[0].information:
        return refined[0]
    return best


def _nearest(search: Search, start: Matrix) -> Top:
    """Return the better of the tops reached from a start on coarse pictures first, and on medium ones at once."""
    medium = search.at(MEDIUM)
    if medium.likeness(start).covered < 0.1:
        raise AlignmentError(
            "the two scans do not overlap at the start that was given", remedy="give another start, or leave it out"
        )
    rough = search.climbed(search.at(COARSE), start, 0.05)
    tops = [search.climbed(medium, matrix, 0.02) for matrix in (start, rough.matrix)]
    return max(tops, key=lambda top: top.information)


def _rivals(search: Search, fine: Comparison, best: Top, tops: list[Top]) -> list[Matrix]:
    """Return the poses that are others than ``best``, the most alike first."""
    others = [top.matrix for top in tops if search.apart(top.matrix, best.matrix) > 0.05 * search.radius]
    return sorted(others, key=fine.information, reverse=True)


def _finished(search: Search, best: Top, movements: Movements, levels: tuple[Level, ...]) -> tuple[Comparison, Top]:
    """Return the best pose refined level by level, on what both scans show, and the comparison of the last."""
    shared = search.fixed.shared_with(search.moving, best.matrix)
    # Stretches may lie further than the fine level's reach from the rigid pose.
    climbs = [] if movements.model == "rigid" else [MEDIUM, levels[0]]
    if shared is not search.fixed:
        search, climbs = replace(search, fixed=shared), climbs or [levels[0]]
    last, trace = search.at(levels[0]), best.trace
    rest = [*climbs, *levels[1:]]
    for number, level in enumerate(rest):
        doing = f"refining on finer images, {number + 1} of {len(rest)}"
        search.watch.at(0.75 + 0.05 * number, doing)
        stage = search.watch.stepped(doing)
        last = search.at(level)
        step = 0.003 if level is FINEST else 0.01
        best = climb(last, best.matrix, movements, step * search.radius, most_steps=60, on_step=stage)
        trace += best.trace
    return last, replace(best, trace=trace)


def _weighed(
    search: Search,
    fine: Comparison,
    best: Top,
    error: MeasuredError | None,
    rivals: list[Matrix],
    wish: _Wish,
) -> Alignment:
    """Return the alignment with its error, its verdict and all that speaks for it."""
    matrix = best.matrix
    likeness = fine.likeness(matrix)
    overlap = body_overlap(search.fixed, search.moving, matrix)
    second = None
    if rivals:
        next_best = fine.likeness(rivals[0])
        second = Rival(next_best.metric, next_best.information, search.apart(rivals[0], matrix))
    finding = Finding(
        metric=fine.metric(matrix),
        before=fine.metric(wish.start),
        moved_mm=search.apart(matrix, wish.start),
        information=likeness.information,
        second=second,
        distinct=distinctness(fine, search.inside_at(wish.levels[0]), search.rigid, matrix, rivals),
        is_outlined=search.fixed.mask is None,
        is_emission=search.fixed.is_emission or search.moving.is_emission,
        overlap=overlap,
        error_mm=None if error is None else error.at_centre_mm,
        voxel_mm=search.voxel_mm,
    )
    verdict, reason = judged(finding, search.same_modality)
    return Alignment(
        Transform(matrix),
        method="intensity",
        model=wish.model,
        verdict=verdict,
        reason=reason,
        error_covariance=None if error is None else error.covariance,
        centre_mm=search.centre,
        expected_target_error_mm=finding.error_mm,
        images=ImageEvidence(
            METRICS[search.same_modality],
            finding.before,
            finding.metric,
            trace=best.trace,
            runner_up=None if second is None else second.metric,
            runner_up_distance_mm=None if second is None else second.distance_mm,
            body_overlap=overlap.dice,
        ),
        warnings=_UNMEASURED if error is None else _MEASURED,
    )
