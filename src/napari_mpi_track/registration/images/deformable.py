"""One animal on two days: a B-spline from a rigid alignment, on anatomy only, with what it does to volumes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.foreground import block_average, block_grid, block_steps, is_in_hounsfield_units
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.evidence import AlignmentStep, DeformationEvidence, ImageEvidence
from napari_mpi_track.registration.images.jacobian import VolumeChange, volume_change
from napari_mpi_track.registration.images.lattice import Coefficients, Lattice
from napari_mpi_track.registration.images.pictures import Picture, pictured
from napari_mpi_track.registration.images.search import Watch
from napari_mpi_track.registration.images.warping import Warp, correlation, fitted, mutual_information

# Voxels of each level; each has twice the control points of the one before, along every axis.
_LEVELS = (30_000, 30_000, 200_000, 1_500_000)
_FIRST_STEP_OF_RADIUS = 4 / 3
_MOST_STEPS = 40
_MOST_STEPS_AGAIN = 15
_FEWEST_SAMPLES = 1000
# What bending costs, in squares of the body's radius: between the least errors of simulated mice and of real lungs.
_STIFFNESS = {True: 0.005, False: 0.1}
_STIFFER, _SOFTER = 3.0, 1 / 3
# What no stiffness tells is about this part of the movement: of four simulated mice, beside noise and stiffness.
_UNTOLD_OF_MOVEMENT = 0.3
# Half of what Hounsfield units can tell is told up to this one: fat and muscle are apart, and so are lung and air.
_HALFWAY_HU = np.float32(200)
_CT_RANGE_HU = (-1000.0, 1500.0)
_SMOOTHED_BLOCKS = 0.9
# Contrast is made even over this many blocks, down to this part of the tones: vessels count beside the ribs, noise not.
_EVEN_OVER_BLOCKS = 2.0
_LEAST_CONTRAST = 0.01
# Where volumes change past belief, a deformation is made stiffer by this factor, so many times before it is refused.
_STEP_BACK, _MOST_STEPS_BACK = 3.0, 3
_BRICK = 3
_METRICS = {True: "correlation", False: "mutual information"}


def align_deformable(
    fixed: Volume,
    moving: Volume,
    start: Alignment,
    *,
    fixed_mask: NDArray[Any] | None = None,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_step: Callable[[AlignmentStep], None] | None = None,
) -> Alignment:
    """Return ``start`` with the cubic B-spline displacement that makes two anatomies of one animal most alike.

    Correlation of scans whose contrast is made even within one modality, mutual information across two, less what
    bending costs; where volumes change past belief, bending is made to cost more. Samples that took no part
    decide whether the scans are more alike than at the start; if they are not, or nothing moves further than the error
    of the movement, the start is returned and says so.

    Parameters
    ----------
    fixed, moving
        Two anatomies (CT, MRI) of one animal.
    start
        A rigid (or affine) alignment of them.
    fixed_mask
        Where to compare them, shape as ``fixed.grid.shape``; in and around the body without it.
    seed
        Parts the samples into the halves that the error is measured from.
    progress, should_stop, on_step
        As of ``align``.

    Raises
    ------
    AlignmentError
        If a scan shows tracer and no anatomy, the scans overlap too little, or it is stopped.
    AlignmentRefusedError
        If the deformation folds, or tissue shrinks or grows past belief: it names where.

    Notes
    -----
    The stated error is a root mean square over the body of three parts: noise, by the fits of two halves of the
    samples; stiffness, by what fits nine times apart in it disagree by; and 0.3 of the movement, what neither told in
    simulated mice. It is an average, of such scans: within even organs, and where one slides along another, it is more.

    Rueckert et al. 1999, doi:10.1109/42.796284, with L-BFGS on all voxels of block averages from coarse to fine. One
    thread: the same scans give the same bytes.
    """
    started = time.perf_counter()
    refuse_tracer(fixed, moving)
    if start.moving_from_fixed.deformation is not None:
        raise AlignmentError("a B-spline starts from a rigid or affine alignment, not from a deformed one")
    watch = Watch(progress, should_stop, on_step)
    watch.at(0.0, "finding the bodies")
    pair = _Pair.of(fixed, moving, start, fixed_mask, watch)
    lattice = Lattice.over(pair.fixed.grid, _FIRST_STEP_OF_RADIUS * pair.fixed.radius_mm)
    coefficients = lattice.zeros()
    trace: list[float] = []
    for number, voxels in enumerate(_LEVELS):
        if number:
            lattice, coefficients = lattice.halved(coefficients)
        doing = f"deforming, level {number + 1} of {len(_LEVELS)}"
        watch.at(0.1 + 0.15 * number, doing)
        found = _Fit(pair.warp(lattice, voxels, even=number > 0), lattice, coefficients)
        found = found.refined(pair.telling(doing, lattice, trace), _MOST_STEPS)
        coefficients = found.coefficients
    found, change = _believable(pair, found, trace)
    watch.at(0.7, "measuring the error")
    halves = found.halves(seed, watch)
    before, after = found.warp.alike(found.lattice.zeros()), found.warp.alike(found.coefficients)
    moved_mm = found.moved_mm()
    untold = float(np.hypot(found.moved_by_stiffness(watch), _UNTOLD_OF_MOVEMENT * moved_mm))
    error_mm = float(np.hypot(halves.noise_mm, untold))
    if halves.alike_apart <= before or moved_mm <= error_mm:
        kept = (
            f"a B-spline would move the body by {moved_mm:.2g} mm with an error of {error_mm:.2g} mm, and the "
            f"{_METRICS[pair.same]} from {before:.4f} to {halves.alike_apart:.4f}: the {start.model} alignment is kept"
        )
        return replace(start, warnings=(*start.warnings, kept), seconds=time.perf_counter() - started)
    change.refuse_implausible()
    transform = pair.deformed(found)
    watch.at(1.0, "aligned")
    return _finished(pair, start, transform, found, halves, untold, change, (before, after), trace)


def refuse_tracer(fixed: Volume, moving: Volume) -> None:
    """Raise ``AlignmentError`` if a scan shows tracer and no anatomy."""
    for volume in (fixed, moving):
        if volume.modality not in (Modality.CT, Modality.MR, None):
            raise AlignmentError(
                f"{volume.modality} shows tracer and no anatomy, so nothing says how it is deformed",
                file=volume.file,
                remedy="deform the anatomy of one day to that of the other, and chain it with the rigid alignment",
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Two scans made ready, and where one lies in the other to begin with."""

    fixed: Picture
    moving: Picture
    same: bool
    start: Transform
    watch: Watch

    @classmethod
    def of(
        cls, fixed: Volume, moving: Volume, start: Alignment, fixed_mask: NDArray[Any] | None, watch: Watch
    ) -> "_Pair":
        same = fixed.modality is not None and fixed.modality is moving.modality
        first, second = pictured(fixed, "fixed", fixed_mask), pictured(moving, "moving")
        return cls(_toned(fixed, first), _toned(moving, second), same, start.moving_from_fixed, watch)

    def deformed(self, fit: "_Fit") -> Transform:
        """Return the start with the displacement of a fit."""
        return replace(self.start, deformation=fit.lattice.deformation(fit.coefficients))

    def warp(self, lattice: Lattice, voxels: int, *, even: bool) -> Warp:
        """Return the two scans at one level, block-averaged to at most ``voxels``; within one modality ``even``."""
        steps = block_steps(self.fixed.grid, voxels)
        edge_mm = float(np.prod(steps * self.fixed.grid.spacing_mm) ** (1 / 3))
        here, grid, known = _blocks(self.fixed, np.asarray(steps), edge_mm)
        # Blocks of one size in both: a scan that is more blurred seems smaller, and would be grown to fit.
        there, moving_grid, _ = _blocks(self.moving, np.rint(edge_mm / self.moving.grid.spacing_mm), edge_mm)
        if even and self.same:
            here, there = _evened(here), _evened(there)
        index_from_fixed = moving_grid.index_from_lps @ self.start.target_from_source
        where = _on(grid, self.fixed.compared_where, self.fixed.body_grid) & known
        index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
        where &= self.moving.field.contains(self.start.map(grid.lps_from(index)))
        if np.count_nonzero(where) < _FEWEST_SAMPLES:
            raise AlignmentError(
                "the two scans overlap too little at the start to be deformed",
                remedy="align them rigidly first, and check that both show the same animal",
            )
        stiffness = _STIFFNESS[self.same] * self.fixed.radius_mm**2
        likeness = correlation if self.same else mutual_information
        return Warp.between(
            here, grid, where, there, index_from_fixed, lattice.control, lattice.bending(), stiffness, likeness
        )

    def telling(self, stage: str, lattice: Lattice, trace: list[float]) -> Callable[[Coefficients, float], None]:
        """Return what hears of every step of a stage: it keeps the metric, passes the step on, and stops when asked."""

        def tell(coefficients: Coefficients, metric: float) -> None:
            trace.append(metric)
            if self.watch.on_step is not None:
                transform = replace(self.start, deformation=lattice.deformation(coefficients))
                self.watch.on_step(AlignmentStep(stage, metric, transform))
            self.watch.stop_if_asked()

        return tell

    def body(self) -> tuple[Grid, NDArray[np.bool_]]:
        """Return the grid of the finest level, and where the body (or the user's mask) lies on it."""
        grid = block_grid(self.fixed.grid, block_steps(self.fixed.grid, _LEVELS[-1]))
        where = self.fixed.body if self.fixed.mask is None else self.fixed.mask
        return grid, _on(grid, where, self.fixed.body_grid)


@dataclass(frozen=True, slots=True)
class _Halves:
    """What two halves of the samples say: how alike each is under the other's fit, and the noise of their mean."""

    alike_apart: float
    noise_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """The coefficients of a lattice at one level."""

    warp: Warp
    lattice: Lattice
    coefficients: Coefficients

    def refined(self, tell: Callable[[Coefficients, float], None], most_steps: int) -> "_Fit":
        """Return the fit of least cost, from this one."""
        step = 0.5 * float(self.lattice.control.spacing_mm.min()) / 10
        return replace(self, coefficients=fitted(self.warp, self.coefficients, step, most_steps, tell))

    def halves(self, seed: int, watch: Watch) -> _Halves:
        """Return what the fits of two halves of the samples, in bricks that share no noise, say of each other."""
        index = np.stack(np.unravel_index(self.warp.where, self.warp.shape)) // _BRICK
        bricks = np.ravel_multi_index(tuple(index), tuple(n // _BRICK + 1 for n in self.warp.shape))
        chosen = np.random.default_rng(seed).integers(0, 2, int(bricks.max()) + 1).astype(bool)[bricks]
        fits = [
            replace(self, warp=self.warp.only(part)).refined(_stopping(watch), _MOST_STEPS_AGAIN)
            for part in (chosen, ~chosen)
        ]
        one, other = fits
        apart = (one.warp.alike(other.coefficients) + other.warp.alike(one.coefficients)) / 2
        # The halves' difference has four times the variance of their mean.
        return _Halves(apart, self._apart_mm(one.coefficients, other.coefficients) / 2)

    def moved_by_stiffness(self, watch: Watch) -> float:
        """Return how far stiffnesses nine times apart leave the samples from each other, root mean square, mm."""
        fits = [
            replace(self, warp=replace(self.warp, stiffness=factor * self.warp.stiffness)).refined(
                _stopping(watch), _MOST_STEPS_AGAIN
            )
            for factor in (_STIFFER, _SOFTER)
        ]
        return self._apart_mm(fits[0].coefficients, fits[1].coefficients)

    def moved_mm(self) -> float:
        """Return how far the samples are displaced, root mean square, mm."""
        return self._apart_mm(self.coefficients, self.lattice.zeros())

    def _apart_mm(self, one: Coefficients, other: Coefficients) -> float:
        apart = self.warp.bases.displaced(one - other).reshape(-1, 3)[self.warp.where]
        return float(np.sqrt(np.mean(np.sum(apart**2, axis=1, dtype=np.float64))))


def _believable(pair: _Pair, fit: _Fit, trace: list[float]) -> tuple[_Fit, VolumeChange]:
    """Return the fit, made stiffer while volumes change past belief, and its volume changes."""
    for backs in range(_MOST_STEPS_BACK + 1):
        change = volume_change(pair.deformed(fit), *pair.body())
        if change.is_plausible or backs == _MOST_STEPS_BACK:
            break
        stiffer = replace(fit, warp=replace(fit.warp, stiffness=_STEP_BACK * fit.warp.stiffness))
        fit = stiffer.refined(pair.telling("stiffening", fit.lattice, trace), _MOST_STEPS)
    return fit, change


def _stopping(watch: Watch) -> Callable[[Coefficients, float], None]:
    return lambda _, __: watch.stop_if_asked()


def _toned(volume: Volume, picture: Picture) -> Picture:
    """Return a CT's picture with its own tones: lung, fat, muscle and bone all apart, 0 to 1; another as it is."""
    if not is_in_hounsfield_units(volume):
        return picture
    first = np.rint(volume.grid.index_from(picture.grid.origin_mm)).astype(int)
    box = tuple(slice(int(a), int(a) + n) for a, n in zip(first, picture.grid.shape, strict=True))
    units = np.clip(volume.voxels[box].astype(np.float32), *_CT_RANGE_HU)
    units /= np.abs(units) + _HALFWAY_HU
    low, high = (v / (abs(v) + float(_HALFWAY_HU)) for v in _CT_RANGE_HU)
    units -= np.float32(low)
    units /= np.float32(high - low)
    return replace(picture, voxels=units)


def _blocks(
    picture: Picture, steps: NDArray[Any], edge_mm: float
) -> tuple[NDArray[np.float32], Grid, NDArray[np.bool_]]:
    """Return averages over about ``steps`` voxels, all as blurred; their grid; where they are known."""
    planes, rows, columns = (int(n) for n in np.clip(steps, 1, picture.grid.shape))
    averaged = block_average(picture.voxels, (planes, rows, columns))
    grid = block_grid(picture.grid, (planes, rows, columns))
    known = np.isfinite(averaged)
    filled = np.nan_to_num(averaged, nan=float(np.min(averaged, where=known, initial=1.0)))
    # Noise between voxels is smoother than on them: unsmoothed, scans of one lattice are most alike half a voxel off.
    variance = (_SMOOTHED_BLOCKS**2 + 1 / 12) * edge_mm**2 - grid.spacing_mm**2 / 12
    sd = np.sqrt(np.maximum(variance, (_SMOOTHED_BLOCKS * edge_mm / 2) ** 2)) / grid.spacing_mm
    return ndimage.gaussian_filter(filled, sd, truncate=3.0), grid, known


def _evened(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values less their mean nearby, over their SD nearby: correlated, they are alike place by place."""
    apart = values - ndimage.gaussian_filter(values, _EVEN_OVER_BLOCKS, truncate=3.0)
    spread = ndimage.gaussian_filter(apart**2, _EVEN_OVER_BLOCKS, truncate=3.0)
    return np.asarray(apart / np.sqrt(spread + np.float32(_LEAST_CONTRAST**2)))


def _on(grid: Grid, where: NDArray[np.bool_], there: Grid) -> NDArray[np.bool_]:
    """Return a part of the scan, known on the grid ``there``, on ``grid``: both are blocks of the scan's voxels."""
    turn = there.index_from_lps @ grid.lps_from_index
    found = ndimage.affine_transform(
        where.astype(np.uint8), turn[:3, :3], turn[:3, 3], output_shape=grid.shape, order=0
    )
    return np.asarray(found > 0)


def _finished(
    pair: _Pair,
    start: Alignment,
    transform: Transform,
    found: _Fit,
    halves: _Halves,
    untold_mm: float,
    change: VolumeChange,
    metric: tuple[float, float],
    trace: list[float],
) -> Alignment:
    error_mm = float(np.hypot(halves.noise_mm, untold_mm))
    spacing = float(found.lattice.control.spacing_mm.max())
    before, after = metric
    usual = _STIFFNESS[pair.same] * pair.fixed.radius_mm**2
    stiffened = [
        f"the deformation was made {found.warp.stiffness / usual:.0f} times as stiff as usual, since volumes changed "
        "past belief: the movement may be larger than found"
    ] * (found.warp.stiffness > usual)
    name = _METRICS[pair.same]
    told = (
        f"deformed by a B-spline of {spacing:.1f} mm: {name} {before:.4f} to {after:.4f} "
        f"({halves.alike_apart:.4f} on samples that took no part), volumes change by factors of "
        f"{change.smallest:.2f} to {change.largest:.2f}"
    )
    images = ImageEvidence(name, before, after, tuple(trace))
    if start.images is not None:
        rivals = start.images.runner_up, start.images.runner_up_distance_mm
        images = replace(images, runner_up=rivals[0], runner_up_distance_mm=rivals[1])
    return replace(
        start,
        moving_from_fixed=transform,
        model="bspline",
        reason="; ".join(said for said in (start.reason, told) if said),
        error_covariance=np.diag([0.0] * 3 + [error_mm**2 / 3] * 3),
        expected_target_error_mm=error_mm,
        images=images,
        deformation=DeformationEvidence(
            spacing,
            change.smallest,
            change.largest,
            change.smallest_at_mm,
            change.largest_at_mm,
            halves.noise_mm,
            untold_mm,
        ),
        warnings=(
            *(said for said in start.warnings if "error" not in said),
            f"the error of the deformation is an average over the body: noise {halves.noise_mm:.2g} mm, by two halves "
            f"of the samples; {untold_mm:.2g} mm by its stiffness and {_UNTOLD_OF_MOVEMENT:g} of its movement, as in "
            "simulated mice; within an even organ, where the scans show nothing, it may be larger",
            *stiffened,
        ),
    )
