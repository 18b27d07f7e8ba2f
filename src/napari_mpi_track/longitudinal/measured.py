"""What was measured of one scan on its own grid: organs, markers, the rest of the body, every term of their error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.scan_parts import is_marker, rest_names
from napari_mpi_track.quantification.backgrounds import Background
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.occupancy import OUTSIDE, REST_OF_BODY, TOTAL, Occupancy
from napari_mpi_track.quantification.organ_signal import OrganSignals
from napari_mpi_track.quantification.saturation import is_beyond_linear_range
from napari_mpi_track.quantification.spill_over import SpillOver
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.segmentation.rule_comparison import OrganUnderRules

# No source is known to be lit more evenly than to a hundredth, whatever its misfit.
_LEAST_UNEVENNESS = 0.01
_MOST_SPILL_IN = 0.5
_LEAST_IN_FIELD = 0.99
# Where decays are counted, noise grows with the signal: the air's says too little of what an organ's residual may be.
_COUNTED = (Modality.PET, Modality.SPECT)
_MOST_MISFIT_OF_COUNTS = 0.35


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
        What was measured; markers, other animals and the rest of the body are parts of the occupancy beside the
        organs.
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
    background
        What was taken off every voxel, and how well it is known.
    local
        The background round each part, by name, where that was asked for: taken off totals, not off voxels.
    others
        The parts that belong to other animals in the scan.
    rules
        What each rule for finding signal keeps of an organ, by name, where that was asked for.
    background_doubts
        What is not sure of the backgrounds, one sentence each.
    margins
        Organs measured with a margin, as isolated deposits.
    refused
        The flags of organs that could not be measured as it was asked for, by name: they have no signal of their own.
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
    background: Background = field(default_factory=lambda: Background(0.0))
    local: Mapping[str, Background] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    rules: Mapping[str, OrganUnderRules] = field(default_factory=dict)
    background_doubts: tuple[str, ...] = ()
    margins: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def organs(self) -> list[str]:
        """The organs proper, in order: neither markers nor the rest of the body nor another animal's."""
        aside = {*self.others, *self.markers, REST_OF_BODY}
        return [name for name in self.signals.names if name not in aside]

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
        """Return the sum of these parts, corrected where there is a correction, and its errors term by term.

        The background round each part is taken off where it was asked for.
        """
        weights = self.weights(names)
        totals = self.signals.totals() if self.spill is None else self.spill.totals
        errors = SignalErrors(
            noise=_sd(weights @ self._turned(self.signals.noise_covariance) @ weights),
            spill_over=0.0 if self.spill is None else _sd(weights @ self._blur_covariance(self.spill) @ weights),
            alignment=_sd(weights @ self._turned(self.alignment_covariance) @ weights),
            background=_sd(weights @ self._turned(self.background_covariance()) @ weights),
            rule=float(np.linalg.norm([self.rule_sd(name) for name in names])),
        )
        return Estimate(float(weights @ (totals - self._corrected(self.taken_off()))), errors.own), errors

    def measured_of(self, names: list[str]) -> tuple[float, float]:
        """Return the sum of the uncorrected totals of these parts and its SD from noise and the scan's background."""
        weights = self.weights(names)
        sd = _sd(weights @ self.signals.noise_covariance @ weights)
        of_background = self.background.sd * float(weights @ self._covered())
        return float(weights @ self.signals.totals()), float(np.hypot(sd, of_background))

    def local_of(self, organ: str) -> float | None:
        """Return an organ's uncorrected total less the background round it; ``None`` where that was not asked for."""
        if organ not in self.local:
            return None
        weights = self.weights([organ])
        return float(weights @ (self.signals.totals() - self.taken_off()))

    def rule_sd(self, organ: str) -> float:
        """Return the SD of an organ's total over the rules; 0 where they were not asked for."""
        spread = self.rules[organ].spread if organ in self.rules else None
        return 0.0 if spread is None else spread.sd

    def taken_off(self) -> NDArray[np.float64]:
        """Return what the backgrounds round the parts take off the measured totals, shape (k,)."""
        above = [self.local[n].level - self.background.level if n in self.local else 0.0 for n in self.signals.names]
        return np.array(above) * self._covered()

    def background_covariance(self) -> NDArray[np.float64]:
        """Return the covariance of the measured totals from the errors of their backgrounds, shape (k, k).

        All parts share the scan's one background; the shells round two parts are taken as independent.
        """
        covered = self._covered()
        local = np.array([self.local[n].sd if n in self.local else 0.0 for n in self.signals.names])
        if self.local:
            return np.asarray(np.diag((local * covered) ** 2))
        return np.asarray(self.background.sd**2 * np.outer(covered, covered))

    def outside(self) -> tuple[float, float]:
        """Return the total of all that lies in no organ and no marker of this animal, and its SD."""
        rest, rest_sd = self.measured_of([*rest_names(self.signals.names), *self.others])
        air = self.signals.organs[OUTSIDE]
        of_background = self.background.sd * air.volume_mm3
        return air.total + rest, float(np.linalg.norm([self.signals.noise_sd_of(OUTSIDE), rest_sd, of_background]))

    def whole(self) -> tuple[float, float]:
        """Return the scan's total and its SD from noise and background."""
        whole = self.signals.organs[TOTAL]
        of_background = self.background.sd * whole.volume_mm3
        return whole.total, float(np.hypot(self.signals.noise_sd_of(TOTAL), of_background))

    def of_markers_in_scan(self) -> float:
        """Return how much of the scan's total is the markers', their blur beyond their balls included."""
        return self._in_scan(self.markers)

    def of_others_in_scan(self) -> float:
        """Return how much of the scan's total is other animals', their blur beyond their bodies included."""
        return self._in_scan(list(self.others))

    def _in_scan(self, names: list[str]) -> float:
        if not names:
            return 0.0
        return self.measured_of(names)[0] if self.spill is None else self.signal_of(names)[0].value

    def _covered(self) -> NDArray[np.float64]:
        """Return what each part covers of the scan, in mm3 (mm2 of a projection), shape (k,)."""
        parts = [self.occupancy.organs[name].fraction.sum() for name in self.signals.names]
        return np.array(parts, dtype=np.float64) * self.scan.voxel_measure

    def _corrected(self, change: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a change of the measured totals makes of those that are told, shape as ``change``."""
        return change if self.spill is None else self.spill.corrected(change)

    def _turned(self, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the covariance of the told totals from one of the measured ones."""
        return self._corrected(self._corrected(covariance).T)

    def _blur_covariance(self, spill: SpillOver) -> NDArray[np.float64]:
        """Return the covariance of the corrected totals from what is not known of the blur, shape (k, k).

        Beside the widths' error: a source that is not lit as evenly as it is taken to be sends another part of its
        signal over its rim than the correction brings back. By how much, its own misfit says, as a part of what is
        brought back; what leaves one part arrives in others, so that errors of neighbours are tied as their signals.
        """
        uneven = [min(max(spill.misfit[name], _LEAST_UNEVENNESS), 1.0) for name in spill.names]
        over_the_rim = (spill.transfer - np.eye(len(uneven))) * (spill.totals * np.array(uneven))
        return np.asarray(spill.psf_covariance + over_the_rim @ over_the_rim.T)

    def scan_flags(self) -> list[str]:
        """Return the flags that hold for every row of this scan."""
        is_doubtful = self.alignment is not None and self.alignment.verdict is not Verdict.GOOD
        return ["doubtful_alignment"] if is_doubtful else []

    def flags_beyond(self) -> list[str]:
        """Return the flags of an organ that no voxel of the scan touches: a doubtful alignment may be why."""
        return [*self.scan_flags(), "outside_field_of_view"]

    def refused_whole(self) -> list[str]:
        """Return the organs that are measured only as one with others."""
        return [name for name in self.refused if name not in self.signals.names]

    def flags_of(self, organ: str) -> list[str]:
        """Return the flags of one organ that its measurement raises; detection is not decided here."""
        flags = self.scan_flags()
        if self.signals.organs[organ].part_in_field < _LEAST_IN_FIELD:
            flags.append("outside_field_of_view")
        if self.is_saturated([organ]):
            flags.append("saturated")
        if organ in self.refused:
            flags.append(self.refused[organ])
        if self.spill is None:
            return flags
        if abs(self.spill.spill_in[organ]) > _MOST_SPILL_IN or any(organ in pair for pair in self.spill.too_close()):
            flags.append("spill_over_dominated")
        if self._is_uneven(organ, self.spill):
            flags.append("not_uniform")
        if self.spill.uniformity.is_psf_wrong:
            flags.append("psf_mismatch")
        return flags

    def _is_uneven(self, organ: str, spill: SpillOver) -> bool:
        """Return whether the organ's light is uneven beyond chance, and in counted decays beyond doubt."""
        if self.scan.modality in _COUNTED and spill.misfit[organ] < _MOST_MISFIT_OF_COUNTS:
            return False
        return spill.uniformity.is_uneven(organ)

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
        said += self._doubts_of_missing()
        if self.noise.is_clipped:
            said.append("the scan was clipped at zero: its noise is a guess, and small signals come out too high")
        said += [f"{name} is measured with a margin, as an isolated deposit" for name in self.margins]
        if self.spill is not None:
            said += _doubts_of_blur(self.spill)
        return [*said, *self.background_doubts]

    def _doubts_of_missing(self) -> list[str]:
        """Return how many voxels hold no number, and what part of which organ they are."""
        missing = ~np.isfinite(self.scan.voxels).ravel()
        if not missing.any():
            return []
        lost = {
            name: float(part.fraction[missing[part.voxel]].sum() / part.fraction.sum())
            for name in self.signals.names
            if (part := self.occupancy.organs[name]).fraction.sum() > 0
        }
        parts = ", ".join(f"{100 * part:.2g} % of {name}" for name, part in lost.items() if part > 0)
        said = f"{np.count_nonzero(missing)} voxels hold no number and are taken for no signal"
        return [f"{said} ({parts})" if parts else said]

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


def _doubts_of_blur(spill: SpillOver) -> list[str]:
    said = [
        f"{a} and {b} are hardly told apart at this blur: the noise of one is that of the other, "
        f"{max(spill.inflation[a], spill.inflation[b]):.1f} times as large as if they lay apart "
        f"(merge: [[{a}, {b}]] in a study, --merge '{a},{b}', measures them as one)"
        for a, b in spill.too_close()
    ]
    if spill.uniformity.is_psf_wrong:
        by = float(np.median([wider for wider, _ in spill.uniformity.widening.values()]))
        said.append(
            f"all organs look as if the blur were {100 * abs(by):.0f} % {'wider' if by > 0 else 'narrower'} than said, "
            "or of another shape (mpi-track measure-psf measures it)"
        )
    return said


def _sd(variance: Any) -> float:
    return float(np.sqrt(max(float(variance), 0.0)))
