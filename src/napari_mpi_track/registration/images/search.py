"""The search for the pose in which two pictures are most alike, over all ways a body may lie, coarse to fine."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.registration.evidence import AlignmentStep
from napari_mpi_track.registration.images.climbing import Movements, Top, climb
from napari_mpi_track.registration.images.pictures import Picture
from napari_mpi_track.registration.images.poses import (
    apart,
    axis_aligned_rotations,
    pose,
    principal_rotations,
    tilts,
)
from napari_mpi_track.registration.images.similarity import Comparison, compared

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Level:
    """A pair of pictures to compare: voxels as a part of the body's radius, samples and bins.

    ``blur`` is the SD of a smoothing, as a part of the coarser scan's largest voxel edge.
    """

    part_of_radius: float
    samples: int
    bins: int
    blur: float = 0.0


# A mouse's radius is 21 mm: voxels of 1.6, 0.8, 0.4 and 0.2 mm.
COARSE = Level(1 / 13, 2_500, 16)
MEDIUM = Level(1 / 26, 8_000, 24)
FINE = Level(1 / 52, 30_000, 24)
FINEST = Level(1 / 104, 250_000, 24, 0.5)


@dataclass(frozen=True, slots=True)
class Breadth:
    """How widely poses are searched: how many are climbed from on coarse and on medium pictures."""

    coarse: int
    medium: int


FEW = Breadth(24, 6)
MANY = Breadth(80, 16)


@dataclass(frozen=True, slots=True)
class Watch:
    """Tells of progress and of every step, and stops when asked to."""

    progress: Callable[[float, str], None] | None = None
    should_stop: Callable[[], bool] | None = None
    on_step: Callable[[AlignmentStep], None] | None = None

    def at(self, part: float, doing: str) -> None:
        """Say what part is done; ``AlignmentError`` if the user wants to stop."""
        if self.progress is not None:
            self.progress(part, doing)
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Raise ``AlignmentError`` if the user wants to stop."""
        if self.should_stop is not None and self.should_stop():
            raise AlignmentError("the alignment was stopped")

    def stepped(self, stage: str) -> Callable[[float, Matrix], None]:
        """Return what to call after every step of a stage."""

        def step(metric: float, matrix: Matrix) -> None:
            if self.on_step is not None:
                self.on_step(AlignmentStep(stage, metric, Transform(exact_last_row(matrix))))
            self.stop_if_asked()

        return step


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """One pair of pictures, and the poses of one in the other."""

    fixed: Picture
    moving: Picture
    same_modality: bool
    seed: int
    centre: Matrix
    radius: float
    watch: Watch

    def at(self, level: Level) -> Comparison:
        """Return the two pictures compared at one level; neither is finer than the other's voxels."""
        voxel = level.part_of_radius * self.radius
        coarser = max(voxel, min(float(np.cbrt(p.grid.voxel_volume_mm3)) for p in (self.fixed, self.moving)))
        here = max(coarser, 0.8 * float(np.cbrt(self.moving.grid.voxel_volume_mm3)))
        fixed, moving = self.fixed.at(here), self.moving.at(voxel)
        if level.blur:
            fixed, moving = (picture.blurred(level.blur * self.voxel_mm) for picture in (fixed, moving))
        return compared(fixed, moving, self.same_modality, level.samples, self.seed, level.bins)

    def inside_at(self, level: Level) -> Comparison:
        """Return the insides of the bodies compared at one level, by mutual information whatever the modality."""
        inside = replace(self.fixed, mask=self.fixed.deep_inside)
        return replace(self, fixed=inside, same_modality=False).at(level)

    @property
    def voxel_mm(self) -> float:
        """The coarser scan's largest voxel edge, mm."""
        return float(max(picture.grid.spacing_mm.max() for picture in (self.fixed, self.moving)))

    @property
    def rigid(self) -> Movements:
        """Rigid movements about the fixed body's centre."""
        return Movements("rigid", self.centre, self.radius)

    def best_poses(self, breadth: Breadth) -> list[Top]:
        """Return different tops of the medium level that the many starts lead to, the most alike first."""
        self.watch.at(0.05, "searching over poses")
        coarse = self.at(COARSE)
        tries = self._starts()
        scored = sorted(((coarse.information(t), -k) for k, t in enumerate(tries)), reverse=True)
        chosen: list[Matrix] = [tries[0]]
        for _, k in scored:
            if all(self.apart(tries[-k], other) > 0.25 * self.radius for other in chosen):
                chosen.append(tries[-k])
            if len(chosen) == breadth.coarse:
                break
        self.watch.at(0.15, "climbing from the best starts")
        rough = [self.climbed(coarse, start, 0.05) for start in chosen]
        rough = self.different(rough, 0.1)[: breadth.medium]
        medium = self.at(MEDIUM)
        self.watch.at(0.35, "comparing poses")
        tops = [self.climbed(medium, top.matrix, 0.02) for top in rough]
        tops = self.different(tops, 0.05)
        self.watch.at(0.5, "trying the neighbours of the best pose")
        tops += [self.climbed(medium, near, 0.01) for near in self._neighbours(medium, tops[0])]
        return self.different(tops, 0.05)

    def different(self, tops: list[Top], part_of_radius: float) -> list[Top]:
        """Return the tops that lie apart by more than a part of the radius, the most alike first."""
        kept: list[Top] = []
        for top in sorted(tops, key=lambda t: -t.information):
            if all(self.apart(top.matrix, other.matrix) > part_of_radius * self.radius for other in kept):
                kept.append(top)
        return kept

    def apart(self, first: Matrix, second: Matrix) -> float:
        """Return how far apart two poses put the body, root mean square mm."""
        return apart(first, second, self.centre, self.radius)

    def climbed(
        self,
        comparison: Comparison,
        start: Matrix,
        step: float,
        on_step: Callable[[float, Matrix], None] | None = None,
    ) -> Top:
        """Return the top reached from a start with first steps of a part of the radius."""
        self.watch.stop_if_asked()
        return climb(
            comparison,
            start,
            self.rigid,
            step * self.radius,
            most_steps=25,
            close_mm=1e-3 * self.radius,
            on_step=on_step,
        )

    def _starts(self) -> list[Matrix]:
        """Return the scans' own coordinates, then turned and tilted bodies centre on centre."""
        here, there = self.centre, self.moving.centre_mm
        axes = principal_rotations(self.fixed, self.moving)
        rotations = [turn @ tilt for turn, tilt in product(axis_aligned_rotations(), tilts())]
        rotations += axes
        found = [np.eye(4), pose(np.eye(3), self.fixed.field.centre_mm, self.moving.field.centre_mm)]
        found += [pose(rotation, here, there) for rotation in rotations]
        if not (self.fixed.is_cut or self.moving.is_cut):
            return found
        # Where the body runs on beyond a field, its centre is that of the part that is seen.
        long = self.fixed.axes[:, 0]
        for rotation, shift in product([*axis_aligned_rotations(), *axes], (-1.2, -0.8, -0.4, 0.4, 0.8, 1.2)):
            found.append(pose(rotation, here + shift * self.radius * long, there))
        return found

    def _neighbours(self, comparison: Comparison, top: Top) -> list[Matrix]:
        """Return the other tops of the profiles through a pose: shifts along the body's axes, and rolls.

        One vertebra further, or with the belly turned a little, a body is alike as well.
        """
        found = []
        axes = self.fixed.axes
        # The path of a shift, or of a point at the radius of a roll, in steps of a part of the radius.
        steps = np.linspace(-0.5, 0.5, 41)
        for kind, axis in ((3, axes[:, 0]), (3, axes[:, 1]), (3, axes[:, 2]), (0, axes[:, 0])):
            self.watch.stop_if_asked()
            movement = np.zeros(6)
            matrices = []
            for step in steps:
                movement[kind : kind + 3] = axis * step * self.radius * (1.0 if kind else 4.0)
                matrices.append(top.matrix @ self.rigid.matrix(movement))
            heights = [comparison.information(matrix) for matrix in matrices]
            inner = [
                k for k in range(1, len(steps) - 1)
                if heights[k] > heights[k - 1] and heights[k] >= heights[k + 1] and abs(steps[k]) > 0.05
            ]  # fmt: skip
            best = sorted(inner, key=lambda k: -heights[k])[:2]
            found += [matrices[k] for k in best]
        return found


def exact_last_row(matrix: Matrix) -> Matrix:
    """Return the matrix with 0 0 0 1 as its last row, which products of many matrices miss by rounding."""
    exact = matrix.copy()
    exact[3] = [0, 0, 0, 1]
    return exact
