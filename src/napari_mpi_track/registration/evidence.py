"""What speaks for an alignment: how alike the images are, how well the fiducials meet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.frozen import get_state, set_state
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentStep:
    """Where a running alignment stands after one step of its refinement.

    Attributes
    ----------
    stage
        What is being done, for people to read.
    metric
        How alike the scans are now; larger is more alike. Values of different stages are of different samples.
    moving_from_fixed
        The transform of this step.
    """

    stage: str
    metric: float
    moving_from_fixed: Transform


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """How alike two scans are, before an alignment and after.

    Attributes
    ----------
    metric
        What is compared: "mutual information" (nats) or "correlation" (-1 to 1); larger is more alike.
    before, after
        The metric under the scans' own coordinates (or the start that was given), and under the alignment.
    trace
        The metric after every step of the final refinement, coarse levels first; values of different levels are of
        different samples.
    runner_up, runner_up_distance_mm
        The metric of the best pose that is another one, and how far from the alignment it puts the body (root mean
        square, mm); ``None`` if every start led to the same pose.
    body_overlap
        Dice overlap of the two bodies, 0 to 1.
    edge_agreement
        Part of the fixed scan's strong edges that have an edge of the moving scan beside them, 0 to 1.
    """

    metric: str
    before: float
    after: float
    trace: tuple[float, ...] = ()
    runner_up: float | None = None
    runner_up_distance_mm: float | None = None
    body_overlap: float | None = None
    edge_agreement: float | None = None


@dataclass(frozen=True, slots=True)
class DeformationEvidence:
    """What a deformation does to the body, and how well it is known.

    Attributes
    ----------
    control_spacing_mm
        Largest distance between neighbouring control points.
    smallest_volume_change, largest_volume_change
        Range of the Jacobian determinant over the body: 1 keeps volumes.
    smallest_at_mm, largest_at_mm
        Where these lie, LPS mm of the fixed frame.
    noise_mm
        Root mean square error over the body from noise, by the fits of two halves of the samples.
    stiffness_mm
        The same from how stiff the deformation is, and the part of the movement that nothing told in simulated mice.
    """

    control_spacing_mm: float
    smallest_volume_change: float
    largest_volume_change: float
    smallest_at_mm: tuple[float, float, float]
    largest_at_mm: tuple[float, float, float]
    noise_mm: float
    stiffness_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class FiducialEvidence:
    """The fiducials that were paired, and how well they meet.

    Attributes
    ----------
    fixed, moving
        The paired fiducials in the frames of the two scans; pair k is point k of both.
    residuals_mm
        Distance of every pair after alignment, mm, shape (n,).
    leave_one_out_mm
        Distance of every pair under the alignment of all the others, mm, shape (n,); NaN where the others are too
        few or lie on a line. Unlike the residuals it is an error at a point that took no part.
    """

    fixed: Points
    moving: Points
    residuals_mm: NDArray[np.float64]
    leave_one_out_mm: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.fixed)
        for name in ("residuals_mm", "leave_one_out_mm"):
            numbers = np.asarray(getattr(self, name), dtype=np.float64).copy()
            numbers.flags.writeable = False
            object.__setattr__(self, name, numbers)
        if not len(self.moving) == len(self.residuals_mm) == len(self.leave_one_out_mm) == count:
            raise AlignmentError("the paired fiducials of two scans are equally many, each with its residual")

    __getstate__ = get_state
    __setstate__ = set_state

    @property
    def rms_mm(self) -> float:
        """Root mean square of the residuals, mm. It does not predict the error elsewhere."""
        return float(np.sqrt(np.mean(self.residuals_mm**2)))

    @property
    def leave_one_out_rms_mm(self) -> float | None:
        """Root mean square of the leave-one-out errors, mm; ``None`` where none could be had."""
        known = self.leave_one_out_mm[np.isfinite(self.leave_one_out_mm)]
        return float(np.sqrt(np.mean(known**2))) if len(known) else None

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names of the paired fiducials, (fixed, moving)."""
        return tuple(zip(self.fixed.names, self.moving.names, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkEvidence:
    """Points of both scans that a person knows to be the same places and that took no part in the alignment.

    Attributes
    ----------
    fixed, moving
        The points in the frames of the two scans; pair k is point k of both.
    errors_mm
        Target registration error of every pair: how far from its moving point the alignment carries the fixed one,
        mm, shape (n,).
    """

    fixed: Points
    moving: Points
    errors_mm: NDArray[np.float64]

    def __post_init__(self) -> None:
        errors = np.asarray(self.errors_mm, dtype=np.float64).copy()
        errors.flags.writeable = False
        object.__setattr__(self, "errors_mm", errors)
        if not 0 < len(errors) == len(self.fixed) == len(self.moving):
            raise AlignmentError("landmarks of two scans are one or more pairs, each with its error")

    __getstate__ = get_state
    __setstate__ = set_state

    @property
    def mean_mm(self) -> float:
        """Mean error, mm."""
        return float(np.mean(self.errors_mm))

    @property
    def rms_mm(self) -> float:
        """Root mean square error, mm."""
        return float(np.sqrt(np.mean(self.errors_mm**2)))

    @property
    def worst(self) -> tuple[str, float]:
        """Name (in the fixed scan) and error in mm of the pair that meets worst."""
        at = int(np.argmax(self.errors_mm))
        return self.fixed.names[at], float(self.errors_mm[at])
