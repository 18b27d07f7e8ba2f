"""One scan measured on its own grid: organs, markers and the rest of the body, with every term of their error."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.foreground import find_body
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.occupancy import (
    FIDUCIALS,
    OUTSIDE,
    REST_OF_BODY,
    Occupancy,
    measure_occupancy,
)
from napari_mpi_track.quantification.organ_signal import OrganSignals, displacement_sensitivity, measure_organs
from napari_mpi_track.quantification.saturation import is_beyond_linear_range
from napari_mpi_track.quantification.spill_over import SpillOver, correct_spill_over
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.view import on_plane, organs_seen_by, thinned

# The signal of a marker is collected in a ball of this radius, in FWHM: its blur beyond is spill-over.
_MARKER_RADIUS_FWHM = 1.0
_MARKER_RADIUS_WITHOUT_PSF_MM = 3.0
_VIAL_RADIUS_MM = 1.0
# What a correction for spill-over leaves unknown even under the right point spread (organs are not voxels, and not
# quite uniform), as a part of the correction itself: simulated animals, benchmarks/study_accuracy.py.
_UNKNOWN_OF_CORRECTION = 0.04
_MOST_MISFIT = 0.35
_MOST_SPILL_IN = 0.5
_LEAST_IN_FIELD = 0.99


@dataclass(frozen=True, slots=True)
class SignalErrors:
    """The SDs of one signal, term by term, in its own unit; the terms are independent."""

    noise: float
    spill_over: float
    alignment: float
    background: float = 0.0
    rule: float = 0.0

    @property
    def own(self) -> float:
        """All terms together."""
        terms = (self.noise, self.background, self.rule, self.spill_over, self.alignment)
        return float(np.linalg.norm(terms))


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredScan:
    """A scan, how its voxels are shared out, and what that gives.

    Attributes
    ----------
    scan, noise, occupancy, signals
        What was measured; markers and the rest of the body are parts of the occupancy beside the organs.
    spill
        The correction of the blur between all of them, where it was asked for.
    point_spread
        The blur it was corrected with.
    alignment
        The way from the organs to the scan; ``None`` where they share a frame.
    alignment_covariance
        Covariance of the measured totals from the alignment's error, shape (k, k).
    beyond
        Organs that no voxel of the scan touches.
    """

    scan: Volume
    noise: Noise
    occupancy: Occupancy
    signals: OrganSignals
    spill: SpillOver | None
    point_spread: PointSpread | None
    alignment: Alignment | None
    alignment_covariance: NDArray[np.float64]
    beyond: tuple[str, ...]

    @property
    def organs(self) -> list[str]:
        """The organs proper, in order: neither markers nor the rest of the body."""
        return [name for name in self.signals.names if not is_marker(name) and name != REST_OF_BODY]

    @property
    def markers(self) -> list[str]:
        """The markers, each a part of its own."""
        return [name for name in self.signals.names if is_marker(name)]

    def volume_mm3(self, names: list[str]) -> float | None:
        """Return the volume of these parts together; ``None`` in a projection, whose pixels have an area alone."""
        if self.scan.is_projection:
            return None
        return sum(self.signals.organs[name].volume_mm3 for name in names)

    def weights(self, names: list[str]) -> NDArray[np.float64]:
        """Return 1 for every part in ``names`` and 0 for the others, shape (k,)."""
        return np.array([name in names for name in self.signals.names], dtype=np.float64)

    def signal_of(self, names: list[str]) -> tuple[Estimate, SignalErrors]:
        """Return the sum of these parts, corrected where there is a correction, and its errors term by term."""
        weights = self.weights(names)
        if self.spill is None:
            noise = weights @ self.signals.noise_covariance @ weights
            moved = weights @ self.alignment_covariance @ weights
            errors = SignalErrors(_sd(noise), 0.0, _sd(moved))
            return Estimate(float(weights @ self.signals.totals()), errors.own), errors
        noise = weights @ self.spill.noise_covariance @ weights
        correction = float(weights @ (self.spill.totals - self.signals.totals()))
        by_width = _sd(weights @ self.spill.psf_covariance @ weights)
        blurred = float(np.hypot(by_width, _UNKNOWN_OF_CORRECTION * correction))
        turned = self.spill.corrected(self.spill.corrected(self.alignment_covariance).T)
        errors = SignalErrors(_sd(noise), blurred, _sd(weights @ turned @ weights))
        return Estimate(float(weights @ self.spill.totals), errors.own), errors

    def measured_of(self, names: list[str]) -> tuple[float, float]:
        """Return the sum of the uncorrected totals of these parts and its SD from noise."""
        weights = self.weights(names)
        return float(weights @ self.signals.totals()), _sd(weights @ self.signals.noise_covariance @ weights)

    def outside(self) -> tuple[float, float]:
        """Return the total of all that lies in no organ and no marker, and its SD from noise."""
        rest, rest_sd = self.measured_of([REST_OF_BODY])
        air = self.signals.organs[OUTSIDE].total
        return air + rest, float(np.hypot(self.signals.noise_sd_of(OUTSIDE), rest_sd))

    def of_markers_in_scan(self) -> float:
        """Return how much of the scan's total is the markers', their blur beyond their balls included."""
        if not self.markers:
            return 0.0
        if self.spill is None:
            return self.measured_of(self.markers)[0]
        return self.signal_of(self.markers)[0].value

    def scan_flags(self) -> list[str]:
        """Return the flags that hold for every row of this scan."""
        is_doubtful = self.alignment is not None and self.alignment.verdict is not Verdict.GOOD
        return ["doubtful_alignment"] if is_doubtful else []

    def flags_beyond(self) -> list[str]:
        """Return the flags of an organ that no voxel of the scan touches: a doubtful alignment may be why."""
        return [*self.scan_flags(), "outside_field_of_view"]

    def flags_of(self, organ: str) -> list[str]:
        """Return the flags of one organ that its measurement raises; detection is not decided here."""
        flags = self.scan_flags()
        if self.signals.organs[organ].part_in_field < _LEAST_IN_FIELD:
            flags.append("outside_field_of_view")
        if self.is_saturated([organ]):
            flags.append("saturated")
        if self.spill is None:
            return flags
        if abs(self.spill.spill_in[organ]) > _MOST_SPILL_IN:
            flags.append("spill_over_dominated")
        if self.spill.misfit[organ] > _MOST_MISFIT:
            flags.append("not_uniform")
        return flags

    def is_saturated(self, names: list[str] | None = None) -> bool:
        """Return whether a voxel of these parts (of the whole scan) is above what the receiver was measured to."""
        beyond = is_beyond_linear_range(self.scan)
        if names is None:
            return bool(beyond.any())
        flat = beyond.ravel()
        parts = [self.occupancy.organs[name] for name in names]
        return any(bool(flat[part.voxel[part.fraction > 0]].any()) for part in parts)

    def doubts(self) -> list[str]:
        """Return what a reader of this scan's numbers should know, one sentence each."""
        said = [f"{name} lies outside the field of view" for name in self.beyond]
        missing = int(np.count_nonzero(~np.isfinite(self.scan.voxels)))
        if missing:
            said.append(f"{missing} voxels hold no number and are taken for no signal")
        if self.noise.is_clipped:
            said.append("the scan was clipped at zero: its noise is a guess, and small signals come out too high")
        return said

    def alignment_error_mm(self, organ: str) -> float | None:
        """Return the expected alignment error at the organ's centre, in mm; ``None`` where it is not known."""
        if self.alignment is None or self.alignment.error_covariance is None:
            return None
        if not self.alignment.error_covariance.any():
            # The user's word that two frames are one says nothing of how well.
            return None
        part = self.occupancy.organs[organ]
        index = np.stack(np.unravel_index(part.voxel, self.occupancy.grid.shape), axis=-1)
        middle = self.scan.grid.lps_from(np.average(index, axis=0, weights=part.fraction))
        in_organs, _ = self.alignment.moving_from_fixed.search_back(middle)
        return float(self.alignment.target_error_mm(in_organs[None])[0])


def is_marker(name: str) -> bool:
    """Return whether a part of the occupancy is a marker."""
    return name.startswith(f"{FIDUCIALS} ")


def _sd(variance: Any) -> float:
    return float(np.sqrt(max(float(variance), 0.0)))


def measure_scan(
    scan: Volume,
    noise: Noise,
    organs: OrganLabels | None,
    scan_from_organs: Alignment | None,
    *,
    markers: Points | None = None,
    anatomy: Volume | None = None,
    scan_from_anatomy: Alignment | None = None,
    point_spread: PointSpread | None = None,
    background: float | str = 0.0,
) -> MeasuredScan:
    """Return everything that can be measured of one scan.

    Parameters
    ----------
    scan, noise
        The scan on the grid it was acquired on, and its noise.
    organs, scan_from_organs
        Organs on their own grid and the way from them to the scan; no way where both lie in one named frame.
    markers
        Fiducials in the scan's frame; each is measured in a ball of its own.
    anatomy, scan_from_anatomy
        The body's outline comes from here: blur is then corrected for what the rest of the body holds.
    point_spread
        The blur to correct the organs' totals for; ``None`` corrects nothing.
    background
        Taken off every voxel: a number in the scan's unit, or the name of an organ whose mean it is.

    Raises
    ------
    MeasurementError
        If the background names no organ of this scan.
    """
    radius = _MARKER_RADIUS_WITHOUT_PSF_MM if point_spread is None else float(point_spread.fwhm_mm.max())
    occupancy, beyond = Occupancy(scan.grid, {}), []
    if organs is not None:
        way = None if scan_from_organs is None else scan_from_organs.moving_from_fixed
        if scan.is_projection:
            organs = organs_seen_by(organs, scan, way)
        whole = measure_occupancy(organs, scan.grid, way)
        beyond = [name for name, organ in whole.organs.items() if not organ.fraction.sum()]
        occupancy = Occupancy(scan.grid, {k: v for k, v in whole.organs.items() if k not in beyond})
    if markers is not None:
        occupancy = _with_markers(scan, occupancy, markers, radius * _MARKER_RADIUS_FWHM)
    # Seen along the ray, the body covers every organ: a projection has no rest of it to tell apart.
    has_depth = scan.grid.shape[0] > 1
    if anatomy is not None and has_depth and point_spread is not None and occupancy.organs:
        occupancy = occupancy.with_rest_of_body(_body(anatomy, scan, scan_from_anatomy))
    signals = measure_organs(scan, occupancy, noise, _background(scan, occupancy, background))
    spill = None
    if point_spread is not None and occupancy.organs:
        vials = (
            {} if markers is None else _with_markers(scan, Occupancy(scan.grid, {}), markers, _VIAL_RADIUS_MM).organs
        )
        sources = {name: vial for name, vial in vials.items() if name in occupancy.organs}
        spill = correct_spill_over(scan, occupancy, signals, noise, point_spread, sources)
    return MeasuredScan(
        scan,
        noise,
        occupancy,
        signals,
        spill,
        point_spread,
        scan_from_organs,
        _alignment_covariance(scan, occupancy, scan_from_organs),
        tuple(beyond),
    )


def _background(scan: Volume, occupancy: Occupancy, background: float | str) -> float:
    if not isinstance(background, str):
        return background
    organ = occupancy.organs.get(background)
    if organ is None or not organ.fraction.sum():
        raise MeasurementError(
            f"the background '{background}' is neither a number nor an organ of this scan",
            file=scan.file,
            remedy=f"give a number or one of {', '.join(occupancy.organs)}",
        )
    return float(organ.fraction @ scan.voxels.ravel()[organ.voxel] / organ.fraction.sum())


def _with_markers(scan: Volume, occupancy: Occupancy, markers: Points, radius_mm: float) -> Occupancy:
    """Return the occupancy with a ball around every marker; one beyond the field of view is left out."""
    if scan.is_projection:
        balls = Occupancy(thinned(scan.grid), occupancy.organs).with_balls(on_plane(markers, scan), radius_mm)
    else:
        balls = occupancy.with_balls(markers, radius_mm)
    seen = {k: v for k, v in balls.organs.items() if not is_marker(k) or v.fraction.sum() > 0}
    return Occupancy(occupancy.grid, seen)


def _body(anatomy: Volume, scan: Volume, scan_from_anatomy: Alignment | None) -> NDArray[np.float64]:
    """Return the part of every voxel of ``scan`` inside the animal, shape as the scan's grid."""
    outline = OrganLabels(find_body(anatomy).astype(np.uint8), anatomy.grid, {1: "body"})
    way = None if scan_from_anatomy is None else scan_from_anatomy.moving_from_fixed
    transform = Transform.identity(anatomy.grid.frame, scan.grid.frame) if way is None else way
    body = measure_occupancy(outline, scan.grid, transform, samples_per_axis=3)
    return body.organs["body"].dense(scan.grid.shape)


def _alignment_covariance(
    scan: Volume, occupancy: Occupancy, scan_from_organs: Alignment | None
) -> NDArray[np.float64]:
    """Return the covariance of the measured totals that the alignment's own error makes, shape (k, k).

    Markers are found in the scan itself, so an error of the alignment does not move them.
    """
    count = len(occupancy.organs)
    if scan_from_organs is None or scan_from_organs.error_covariance is None:
        return np.zeros((count, count))
    way, centre = scan_from_organs.moving_from_fixed, scan_from_organs.centre_mm
    pull = displacement_sensitivity(scan, occupancy, way, centre)
    pull[[is_marker(name) for name in occupancy.organs]] = 0
    pull = pull[:, : len(scan_from_organs.error_covariance)]
    return np.asarray(pull @ scan_from_organs.error_covariance @ pull.T)
