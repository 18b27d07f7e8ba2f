"""An alignment: the map between two scans together with the evidence for it and its error."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.registration.evidence import (
    DeformationEvidence,
    FiducialEvidence,
    ImageEvidence,
    LandmarkEvidence,
)


class Verdict(StrEnum):
    """How far an alignment is to be trusted."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    FAILED = "failed"


_BEST_FIRST = (Verdict.GOOD, Verdict.DOUBTFUL, Verdict.FAILED)


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Where the points of a fixed scan lie in a moving scan, how it is known, and how well.

    Attributes
    ----------
    moving_from_fixed
        Maps LPS mm points of the fixed scan's frame to the moving scan's frame (what ITK's resampling takes).
    method
        "frame", "fiducials", "intensity", "moments", or a chain of them.
    model
        "rigid", "similarity", "affine" or "bspline".
    verdict, reason
        How far to trust it, and why, in one sentence.
    error_covariance
        6x6 covariance of a small movement of the fixed frame: rotation vector (rad) about ``centre_mm``, then
        translation (mm). 7x7 where a scale was found as well: then its relative error, about ``centre_mm`` too.
        ``None`` where the error is not known.
    centre_mm
        LPS point of the fixed frame, mm, shape (3,), that rotations of the error turn about.
    expected_target_error_mm
        Expected root mean square error at the body's centre, mm.
    images
        How alike the scans are, where they were compared.
    fiducials
        The paired fiducials, where there are any; of a chain, those of its one step that has some.
    deformation
        What a B-spline does to the body; of a chain, that of its one deformed step.
    landmarks
        Points known to be the same places that took no part, where a person gave some: the error measured there.
    measured_at
        When the moving scan (or the phantom, of a bed's transform) was acquired, ISO 8601; ``None`` if not known.
    ray
        Where a projection took part, the unit LPS vector of the fixed frame that it looks along, shape (3,): of depth
        along it and of turns out of its plane nothing is known, and every error here is one within the plane.
        ``None`` in 3-D.
    seconds
        Time it took.
    warnings
        What could not be known, one sentence each.
    """

    moving_from_fixed: Transform
    method: str
    model: str = "rigid"
    verdict: Verdict = Verdict.GOOD
    reason: str = ""
    error_covariance: NDArray[np.float64] | None = None
    centre_mm: NDArray[np.float64] = (0.0, 0.0, 0.0)  # type: ignore[assignment]
    expected_target_error_mm: float | None = None
    images: ImageEvidence | None = None
    fiducials: FiducialEvidence | None = None
    deformation: DeformationEvidence | None = None
    landmarks: LandmarkEvidence | None = None
    measured_at: str | None = None
    ray: NDArray[np.float64] | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "verdict", Verdict(self.verdict))
        object.__setattr__(self, "centre_mm", frozen(np.asarray(self.centre_mm, dtype=np.float64).reshape(3).copy()))
        if self.error_covariance is not None:
            covariance = np.asarray(self.error_covariance, dtype=np.float64)
            if covariance.shape not in ((6, 6), (7, 7)) or not np.all(np.isfinite(covariance)):
                raise AlignmentError("the error of an alignment needs a finite 6x6 covariance (7x7 with a scale)")
            object.__setattr__(self, "error_covariance", frozen(covariance))
        if self.ray is not None:
            object.__setattr__(self, "ray", frozen(np.asarray(self.ray, dtype=np.float64).reshape(3).copy()))
        object.__setattr__(self, "warnings", tuple(self.warnings))

    __getstate__ = get_state
    __setstate__ = set_state

    def target_error_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return the expected root mean square error in mm, shape (n,), at points (LPS mm, fixed frame, (n, 3)).

        Of a projection it is the error within its plane. NaN where the alignment's error is not known.
        """
        points = np.atleast_2d(np.asarray(points_mm, dtype=np.float64))
        if self.error_covariance is None:
            return np.full(len(points), np.nan)
        moves = movement_jacobian(points - self.centre_mm)[:, :, : len(self.error_covariance)]
        variance = np.einsum("nij,jk,nik->n", moves, self.error_covariance, moves)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def drawn(self, count: int, seed: int) -> list[Transform]:
        """Return ``count`` transforms that could as well be true, drawn from the error covariance.

        Raises
        ------
        AlignmentError
            If the error is not known.
        """
        if self.error_covariance is None:
            raise AlignmentError(
                "the error of this alignment is not known, so no transforms can be drawn from it",
                remedy="align again, or keep the .json that was written beside the .tfm",
            )
        values, axes = np.linalg.eigh(self.error_covariance)
        spread = axes * np.sqrt(np.maximum(values, 0.0))
        normal = np.random.default_rng(seed).standard_normal((count, len(values)))
        return [self._moved(spread @ z) for z in normal]

    def _moved(self, movement: NDArray[np.float64]) -> Transform:
        """Return the transform of a fixed frame moved by (rotation vector, translation[, scale]) about its centre."""
        linear = rotation_from_vector(movement[:3]) * np.exp(movement[6:].sum())
        first = Transform.from_parts(linear, self.centre_mm - linear @ self.centre_mm + movement[3:6])
        return self.moving_from_fixed.preceded_by(first)


def movement_jacobian(arms_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how points at arms (n, 3) from the centre move with (rotation vector, translation, scale): (n, 3, 7)."""
    arms = np.atleast_2d(arms_mm)
    x, y, z = arms[:, 0], arms[:, 1], arms[:, 2]
    jacobian = np.zeros((len(arms), 3, 7))
    # A small rotation w moves an arm a by w x a = -[a]x w.
    jacobian[:, 0, 1], jacobian[:, 0, 2] = z, -y
    jacobian[:, 1, 0], jacobian[:, 1, 2] = -z, x
    jacobian[:, 2, 0], jacobian[:, 2, 1] = y, -x
    jacobian[:, [0, 1, 2], [3, 4, 5]] = 1.0
    jacobian[:, :, 6] = arms
    return jacobian


def rotation_from_vector(vector_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 3x3 rotation about ``vector_rad`` by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector_rad))
    x, y, z = vector_rad
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    # sinc keeps the limit at angle 0 exact.
    half = np.sinc(angle / (2 * np.pi))
    return np.asarray(np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * half**2 * (cross @ cross))


def chain(outer: Alignment, inner: Alignment) -> Alignment:
    """Return the alignment that does ``inner``, then ``outer``; errors are taken as independent and add.

    ``inner`` maps A to B and ``outer`` B to C; the result maps A to C, its error stated in A about the inner
    alignment's centre. The verdict is the worse of the two.

    Raises
    ------
    FrameMismatchError
        Unless ``inner`` ends in the named frame that ``outer`` starts from.
    """
    covariance = None
    warnings = tuple(dict.fromkeys((*inner.warnings, *outer.warnings)))
    if inner.error_covariance is not None and outer.error_covariance is not None:
        carried = _carried_back(outer, inner)
        covariance = carried @ _with_scale(outer.error_covariance) @ carried.T + _with_scale(inner.error_covariance)
        covariance = (covariance + covariance.T) / 2
        if not covariance[6, 6]:
            covariance = covariance[:6, :6]
    worst = max(inner, outer, key=lambda a: _BEST_FIRST.index(a.verdict))
    rigid = inner.model == outer.model == "rigid"
    whole = Alignment(
        moving_from_fixed=outer.moving_from_fixed @ inner.moving_from_fixed,
        method=f"{inner.method} + {outer.method}",
        model="rigid" if rigid else _wider(inner.model, outer.model),
        verdict=worst.verdict,
        reason="; ".join(reason for reason in (inner.reason, outer.reason) if reason),
        error_covariance=covariance,
        centre_mm=inner.centre_mm,
        fiducials=_only(inner.fiducials, outer.fiducials),
        deformation=inner.deformation or outer.deformation,
        measured_at=outer.measured_at,
        ray=_ray_of(outer, inner),
        seconds=(inner.seconds or 0.0) + (outer.seconds or 0.0),
        warnings=warnings,
    )
    if covariance is None:
        return whole
    return replace(whole, expected_target_error_mm=float(whole.target_error_mm(whole.centre_mm)[0]))


def _ray_of(outer: Alignment, inner: Alignment) -> NDArray[np.float64] | None:
    """Return the ray of the chain in the frame it starts from: what one step sees of a plane, the chain does."""
    if inner.ray is not None or outer.ray is None:
        return inner.ray
    forward = inner.moving_from_fixed
    middle, _ = forward.search_back(outer.centre_mm)
    carried = np.linalg.inv(forward.jacobian(middle)) @ outer.ray
    return np.asarray(carried / np.linalg.norm(carried))


def _wider(first: str, second: str) -> str:
    return max(first, second, key=("rigid", "similarity", "affine", "bspline").index)


def _only(first: FiducialEvidence | None, second: FiducialEvidence | None) -> FiducialEvidence | None:
    """Return the evidence of the one step that has some; fiducials of two steps are not one set."""
    return first if second is None else second if first is None else None


def _carried_back(outer: Alignment, inner: Alignment) -> NDArray[np.float64]:
    """Return the 7x7 that carries a movement of ``inner``'s moving frame back into its fixed frame and centre."""
    forward = inner.moving_from_fixed
    # A deformed step carries a small movement as its own slope at the middle does.
    middle, _ = forward.search_back(outer.centre_mm)
    linear = np.linalg.inv(forward.jacobian(middle))
    rotation = linear / np.cbrt(np.linalg.det(linear))
    arm = inner.centre_mm - middle
    carried = np.zeros((7, 7))
    carried[:3, :3] = rotation
    carried[3:6, 3:6] = linear
    carried[3:6, :3] = movement_jacobian(arm)[0, :, :3] @ rotation
    carried[3:6, 6] = arm
    carried[6, 6] = 1.0
    return carried


def _with_scale(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 7x7 covariance, the scale's error 0 where there is none."""
    return np.pad(covariance, (0, 7 - len(covariance)))
