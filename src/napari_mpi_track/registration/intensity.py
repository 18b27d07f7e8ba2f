"""Rigid alignment by what two scans of one body share: the search over poses, and the refinement."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from napari_mpi_track.errors import AlignmentError, AlignmentRefusedError, MeasurementError
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import Alignment, Verdict, rotation_from_vector
from napari_mpi_track.registration.evidence import AlignmentStep, ImageEvidence
from napari_mpi_track.registration.poses import (
    apart,
    axis_aligned_rotations,
    body_centre,
    pose,
    principal_rotations,
)
from napari_mpi_track.registration.similarity import Comparison, Picture, compared, prepared

_COARSE_VOXELS = 30_000
_COARSE_SAMPLES = 4_000
# Levels from coarse to fine, in voxels; each is a block average of the scan itself.
_MEDIUM_VOXELS = 80_000
_MEDIUM_SAMPLES = 8_000
_FINE_VOXELS = 3_000_000
_FINE_SAMPLES = 12_000
# A joint histogram needs more of them than a correlation.
_FINE_SAMPLES_ACROSS = 30_000
_JUDGED_VOXELS = 400_000
_JUDGED_SAMPLES = 40_000
# The error of simulated mice's alignments, per axis, as a part of the finest level's voxel (benchmarks/alignment).
_VOXEL_PART = 0.1

_METRICS = {True: "correlation", False: "mutual information"}

Matrix = NDArray[np.float64]
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class _Breadth:
    """How widely poses are searched: how many are climbed from, how far apart (in body radii), how many refined."""

    searched: int
    apart: float
    refined: int


_FEW = _Breadth(6, 0.35, 2)
_MANY = _Breadth(24, 0.2, 5)


@dataclass(frozen=True, slots=True)
class _Watch:
    """Tells of progress and of every step, and stops when asked to."""

    progress: Progress | None
    should_stop: Callable[[], bool] | None
    on_step: Callable[[AlignmentStep], None] | None

    def stepped(self, stage: str, metric: float, matrix: Matrix) -> None:
        if self.on_step is not None:
            self.on_step(AlignmentStep(stage, metric, Transform(matrix)))

    def at(self, part: float, doing: str) -> None:
        if self.progress is not None:
            self.progress(part, doing)
        if self.is_stopped():
            raise AlignmentError("the alignment was stopped")

    def is_stopped(self) -> bool:
        return self.should_stop is not None and self.should_stop()


def align_intensity(
    fixed: Volume,
    moving: Volume,
    *,
    fixed_mask: NDArray[Any] | None = None,
    initial: Transform | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_step: Callable[[AlignmentStep], None] | None = None,
) -> Alignment:
    """Return the rigid alignment with the highest correlation (one modality) or mutual information (two).

    Without ``initial`` the scans' own coordinates, the 24 axis-aligned turns and the bodies' principal axes are
    searched on coarse block averages; the best few different poses are refined, and the best final one is kept.

    Raises
    ------
    AlignmentError
        If no body is found, the search is stopped, or the result is no alignment.

    Notes
    -----
    Mattes et al. 2003, doi:10.1109/TMI.2003.809072. One thread and a fixed seed: the same scans give the same
    bytes.
    """
    watch = _Watch(progress, should_stop, on_step)
    watch.at(0.0, "finding the bodies")
    first, second = _pictures(fixed, moving, fixed_mask)
    same = fixed.modality is not None and fixed.modality is moving.modality
    before = np.eye(4) if initial is None else np.asarray(initial.target_from_source)
    search = _Search(first, second, same, seed, body_centre(first), _radius(first), before, watch)
    if initial is not None:
        found = search.refined_from([before])
        verdict, reason = _judged(found, same)
    else:
        found = search.refined_from(search.best_starts(_FEW))
        verdict, reason = _judged(found, same)
        if verdict is not Verdict.GOOD:
            # Doubt is worth a second, wider look: the true pose may not have been among the few.
            found = search.refined_from(search.best_starts(_MANY))
            verdict, reason = _judged(found, same)
    watch.at(1.0, "aligned")
    voxel = search.finest_voxel_mm
    return Alignment(
        Transform(found.matrix),
        method="intensity",
        verdict=verdict,
        reason=reason,
        error_covariance=_covariance(_VOXEL_PART * voxel, search.radius),
        centre_mm=search.centre,
        expected_target_error_mm=float(np.sqrt(3) * _VOXEL_PART * voxel),
        images=_evidence(found, same),
        warnings=(f"the error is not measured: {_VOXEL_PART} of a voxel per axis, as in simulated animals",),
    )


def align_moments(fixed: Volume, moving: Volume, fixed_mask: NDArray[Any] | None = None) -> Alignment:
    """Return the rigid alignment of the bodies' centres and principal axes: a rough start, always doubtful.

    The axes leave four poses; the one in which the scans are most alike is taken.

    Raises
    ------
    AlignmentError
        If no body is found.
    """
    first, second = _pictures(fixed, moving, fixed_mask)
    same = fixed.modality is not None and fixed.modality is moving.modality
    coarse = compared(first.binned(_COARSE_VOXELS), second.binned(_COARSE_VOXELS), same, _COARSE_SAMPLES, 0)
    centre = body_centre(first)
    poses = [pose(rotation, centre, body_centre(second)) for rotation in principal_rotations(first, second)]
    best = max(poses, key=coarse.metric)
    return Alignment(
        Transform(best),
        method="moments",
        verdict=Verdict.DOUBTFUL,
        reason=f"centres and principal axes of the bodies only; they overlap by {coarse.body_overlap(best):.2f}",
        centre_mm=centre,
        images=ImageEvidence(
            _METRICS[same], coarse.metric(np.eye(4)), coarse.metric(best), body_overlap=coarse.body_overlap(best)
        ),
        warnings=("the error of an alignment by moments is not known",),
    )


def _pictures(fixed: Volume, moving: Volume, fixed_mask: NDArray[Any] | None) -> tuple[Picture, Picture]:
    for volume, name in ((fixed, "fixed"), (moving, "moving")):
        if min(volume.grid.shape) < 4:
            raise AlignmentError(
                f"4 planes, rows and columns or more are needed in the {name} scan, got {volume.grid.shape}",
                file=volume.file,
                remedy="align by fiducials or frame",
            )
    mask = None if fixed_mask is None else np.asarray(fixed_mask, dtype=bool)
    if mask is not None and not mask.any():
        raise AlignmentError("the mask of the fixed scan is empty", remedy="leave it out, or give another")
    try:
        return prepared(fixed, mask), prepared(moving)
    except MeasurementError as fault:
        raise AlignmentError(fault.what, file=fault.file, remedy="check the scan, or align by fiducials") from fault


def _radius(picture: Picture) -> float:
    """Return the root mean square distance of the body from its centre, mm."""
    extent = np.argwhere(picture.body)
    points = picture.grid.lps_from(extent[:: max(1, len(extent) // 5000)])
    return float(np.sqrt(np.sum(np.var(points, axis=0))))


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """The search for the best pose of one pair of pictures, from coarse to fine."""

    first: Picture
    second: Picture
    same: bool
    seed: int
    centre: Matrix
    radius: float
    before: Matrix
    watch: _Watch

    def at_level(self, voxels: int, samples: int) -> Comparison:
        """Return the two pictures, block-averaged to at most ``voxels``, compared at ``samples`` points."""
        return compared(self.first.binned(voxels), self.second.binned(voxels), self.same, samples, self.seed)

    @property
    def finest_voxel_mm(self) -> float:
        """Return the largest spacing of the finest level that is compared, mm."""
        pictures = self.first.binned(_FINE_VOXELS), self.second.binned(_FINE_VOXELS)
        return max(float(picture.grid.spacing_mm.max()) for picture in pictures)

    def best_starts(self, breadth: "_Breadth") -> list[Matrix]:
        """Return the most promising different poses, best first."""
        self.watch.at(0.05, "searching over poses")
        coarse = self.at_level(_COARSE_VOXELS, _COARSE_SAMPLES)
        there = body_centre(self.second)
        rotations = [*axis_aligned_rotations(), *principal_rotations(self.first, self.second)]
        tries = [np.eye(4)]
        tilts = [np.zeros(3), *(np.radians(25) * s * axis for axis, s in product(np.eye(3), (1, -1)))]
        tries += [pose(rotation_from_vector(tilt) @ r, self.centre, there) for r, tilt in product(rotations, tilts)]
        scored = sorted(((coarse.metric(t), k) for k, t in enumerate(tries)), reverse=True)
        chosen: list[Matrix] = []
        for _, k in scored:
            if all(apart(tries[k], other, self.centre, self.radius) > breadth.apart * self.radius for other in chosen):
                chosen.append(tries[k])
            if len(chosen) == breadth.searched:
                break
        climbed: list[tuple[float, Matrix]] = []
        for number, start in enumerate(chosen):
            self.watch.at(0.05 + 0.25 * number / len(chosen), "searching over poses")
            climbed.append(_climbed(coarse, start, self.centre, self.radius, 0.08 * self.radius))
        climbed.sort(key=lambda pair: -pair[0])
        kept: list[Matrix] = []
        for _, matrix in climbed:
            if all(apart(matrix, other, self.centre, self.radius) > 0.1 * self.radius for other in kept):
                kept.append(matrix)
        return kept[: breadth.refined]

    def refined_from(self, starts: list[Matrix]) -> "_Found":
        """Return the best pose that the starts lead to, with the evidence for it."""
        watch, centre, radius = self.watch, self.centre, self.radius
        judge = self.at_level(_JUDGED_VOXELS, _JUDGED_SAMPLES)
        medium = self.at_level(_MEDIUM_VOXELS, _MEDIUM_SAMPLES)
        rough = []
        for number, start in enumerate(starts):
            watch.at(0.3 + 0.3 * number / len(starts), f"comparing pose {number + 1} of {len(starts)}")
            rough.append(_climbed(medium, start, centre, radius, 0.02 * radius)[1])
        rough.sort(key=lambda matrix: -judge.metric(matrix))
        watch.at(0.6, "refining the best pose")
        fine = self.first.binned(_FINE_VOXELS), self.second.binned(_FINE_VOXELS)
        best = _refined(*fine, rough[0], self.same, self.seed, centre, watch)
        if not self.same:
            # ITK's line search stalls short of the top of a mutual information (0.444 of 0.456 on a real head).
            best = _climbed(judge, best, centre, radius, 0.01 * radius)[1]
        others = [judge.metric(other) for other in rough[1:] if apart(other, best, centre, radius) > 0.1 * radius]
        runner_up = max(others, default=None)
        return _Found(best, judge.metric(self.before), judge.metric(best), runner_up, judge.body_overlap(best))


def _climbed(coarse: Comparison, start: Matrix, centre: Matrix, radius: float, step: float) -> tuple[float, Matrix]:
    """Return the metric and the pose of a local search (Powell) from ``start``."""

    def moved(movement: Matrix) -> Matrix:
        # Turns are measured by the path of a point at the body's radius, so that all six are millimetres.
        rotation = rotation_from_vector(movement[:3] / radius)
        shift = np.eye(4)
        shift[:3, :3], shift[:3, 3] = rotation, centre - rotation @ centre + movement[3:]
        return np.asarray(start @ shift)

    def unlikeness(movement: Matrix) -> float:
        return -coarse.metric(moved(movement))

    answer: Any = optimize.minimize(
        unlikeness,
        np.zeros(6),
        method="Powell",
        options={"maxfev": 160, "xtol": 0.05, "ftol": 1e-4, "direc": step * np.eye(6)},
    )
    return -float(answer.fun), moved(np.asarray(answer.x))


def _refined(
    fixed: Picture,
    moving: Picture,
    start: Matrix,
    same: bool,
    seed: int,
    centre: Matrix,
    watch: _Watch,
) -> Matrix:
    """Return the pose refined by SimpleITK on these two pictures."""
    import SimpleITK as sitk

    from napari_mpi_track.imaging.itk import array_to_itk

    where = fixed.compared_where
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    if same:
        method.SetMetricAsCorrelation()
    else:
        method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(array_to_itk(where, fixed.grid))
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = min(1.0, (_FINE_SAMPLES if same else _FINE_SAMPLES_ACROSS) / max(int(where.sum()), 1))
    method.SetMetricSamplingPercentage(share, seed + 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescentLineSearch(
        learningRate=1.0, numberOfIterations=15, convergenceMinimumValue=1e-5, convergenceWindowSize=4,
        lineSearchLowerLimit=0.0, lineSearchUpperLimit=5.0, lineSearchEpsilon=0.05, lineSearchMaximumIterations=5,
    )  # fmt: skip
    method.SetOptimizerScalesFromPhysicalShift()
    transform = _euler(start, centre)
    method.SetInitialTransform(transform, inPlace=True)

    def stop_if_asked(running: Any = method) -> None:
        watch.stepped("refining the best pose", -running.GetMetricValue(), _matrix(transform))
        if watch.is_stopped():
            running.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, stop_if_asked)
    try:
        method.Execute(array_to_itk(fixed.voxels, fixed.grid), array_to_itk(moving.voxels, moving.grid))
    except RuntimeError as fault:
        raise AlignmentError(
            f"the two scans share too little to be compared ({str(fault).strip().splitlines()[-1]})",
            remedy="check that both show the same animal, or align by fiducials",
        ) from fault
    if watch.is_stopped():
        raise AlignmentError("the alignment was stopped")
    return _matrix(transform)


def _euler(matrix: Matrix, centre: Matrix) -> Any:
    import SimpleITK as sitk

    transform = sitk.VersorRigid3DTransform()
    transform.SetCenter([float(c) for c in centre])
    transform.SetMatrix([float(v) for v in matrix[:3, :3].ravel()], 1e-6)
    transform.SetTranslation([float(v) for v in matrix[:3, :3] @ centre + matrix[:3, 3] - centre])
    return transform


def _matrix(transform: Any) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(transform.GetMatrix(), (3, 3))
    # The product of many small versors drifts off a rotation by rounding only; the nearest rotation is taken.
    left, _, right = np.linalg.svd(matrix[:3, :3])
    matrix[:3, :3] = left @ right
    centre = np.asarray(transform.GetCenter())
    matrix[:3, 3] = centre + np.asarray(transform.GetTranslation()) - matrix[:3, :3] @ centre
    return matrix


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    matrix: Matrix
    metric_before: float
    metric_after: float
    runner_up: float | None
    overlap: float


def _judged(found: _Found, same: bool) -> tuple[Verdict, str]:
    name = _METRICS[same]
    second = "no other pose" if found.runner_up is None else f"next best pose {found.runner_up:.3f}"
    told = f"{name} {found.metric_after:.3f} ({second}), bodies overlap by {found.overlap:.2f}"
    if found.overlap < 0.4 or found.metric_after < (0.2 if same else 0.03):
        raise AlignmentRefusedError(
            f"the alignment failed: {told}",
            remedy="check that both scans show the same animal, give --initial, or align by fiducials",
        )
    if found.runner_up is not None and found.runner_up > 0.93 * found.metric_after:
        return Verdict.DOUBTFUL, f"{told}; the two poses are hardly to be told apart"
    if found.overlap < 0.75:
        return Verdict.DOUBTFUL, f"{told}; the bodies overlap poorly"
    if found.metric_after < found.metric_before:
        return Verdict.DOUBTFUL, f"{told}; the scans were more alike before ({found.metric_before:.3f})"
    return Verdict.GOOD, told


def _evidence(found: _Found, same: bool) -> ImageEvidence:
    return ImageEvidence(
        _METRICS[same],
        found.metric_before,
        found.metric_after,
        runner_up=found.runner_up,
        body_overlap=found.overlap,
    )


def _covariance(sd_mm: float, radius: float) -> NDArray[np.float64]:
    turn = sd_mm / radius
    return np.diag([turn**2] * 3 + [sd_mm**2] * 3)
