"""A scanner's point spread, measured from a scan of a small source of known size."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import Noise, estimate_noise
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.known_source import KnownSource
from napari_mpi_track.quantification.point_source_fit import (
    PointSourceFit,
    Solution,
    SourceProfile,
    SourceScene,
    unlike_a_source,
)

_FAINTEST = 8.0
_SURE = 0.95
# Residuals above this part of the peak are no longer those of either shape.
_MOST_MISFIT = 0.05
# ... and above this part the source is not what was said.
_HOPELESS_MISFIT = 0.2
# What else shines within the fit, in parts of the peak, that is no noise.
_ANOTHER = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPointSpread:
    """What the scan of a point source says of the scanner's blur.

    Attributes
    ----------
    fits
        The fit of every shape that was tried, by shape.
    shape
        The chosen shape; ``None`` where the scan does not tell which.
    probability
        Of the likelier shape against the other, dimensionless, 0.5..1; 1 where the shape was given.
    delta_aicc
        By how much the less likely shape's information criterion is worse, dimensionless (both shapes have as many
        parameters, so it is twice the logarithm of the ratio of likelihoods).
    source
        What was scanned.
    peak_over_noise
        Height of the source over the SD of the noise, dimensionless.
    doubts
        What speaks against the answer, one sentence each.
    file, spacing_mm
        The scan.
    """

    fits: Mapping[PsfShape, PointSourceFit]
    shape: PsfShape | None
    probability: float
    delta_aicc: float
    source: KnownSource
    peak_over_noise: float
    doubts: tuple[str, ...]
    file: str | None
    spacing_mm: NDArray[np.float64]
    profiles: tuple[SourceProfile, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fits", MappingProxyType(dict(self.fits)))
        object.__setattr__(self, "spacing_mm", frozen(self.spacing_mm))

    __getstate__ = get_state
    __setstate__ = set_state

    @property
    def verdict(self) -> str:
        """``good``, or ``doubtful`` where anything speaks against the answer."""
        return "doubtful" if self.doubts else "good"

    @property
    def fit(self) -> PointSourceFit:
        """The fit of the chosen shape.

        Raises
        ------
        MeasurementError
            If the scan does not tell which shape it is.
        """
        if self.shape is None:
            raise MeasurementError(
                f"the scan does not tell a Gaussian from a Lorentzian blur (probability {self.probability:.2f})",
                file=self.file,
                remedy="scan a stronger source or longer, or say which it is (--shape)",
            )
        return self.fits[self.shape]

    @property
    def point_spread(self) -> PointSpread:
        """The point spread to correct scans with; each width has an error of its own."""
        fit = self.fit
        assert self.shape is not None
        relative = np.divide(fit.fwhm_sd_mm, fit.fwhm_mm, out=np.zeros(3), where=fit.fwhm_mm > 0)
        return PointSpread(self.shape, fit.fwhm_mm, relative)


def measure_point_spread(
    volume: Volume,
    source_size_mm: float | ArrayLike | KnownSource,
    *,
    shape: PsfShape | None = None,
    near_mm: ArrayLike | None = None,
    noise: Noise | None = None,
) -> MeasuredPointSpread:
    """Return the scanner's blur from a scan of a source of known size.

    Parameters
    ----------
    volume
        The scan, 3-D or a projection, on the grid it was acquired on.
    source_size_mm
        A ball's diameter in mm, the lengths of a box, or any :class:`KnownSource`.
    shape
        Gaussian or Lorentzian where it is known; otherwise chosen by likelihood.
    near_mm
        LPS mm of a point near the source, where the scan holds several; otherwise the brightest is taken.
    noise
        The scan's noise where it was measured (an empty bore); otherwise it is that of the fit's residual.

    Raises
    ------
    MeasurementError
        If there is no source to be seen, or it lies at the edge, or it is too large for its blur to be measured.

    Notes
    -----
    Least squares of B + A mean_voxel(source * psf), the blur integrated over every voxel exactly and the source by
    quadrature. The covariance of the parameters is (J'J)^-1 J'CJ (J'J)^-1 with C of the noise's autocorrelation:
    right under correlated noise, where the usual (J'J)^-1 s^2 is too small (Huber 1967; White 1980,
    doi:10.2307/1912934). Shapes are compared by the difference of their sums of squares T, normal with mean +-D and
    variance 4 d'Cd under either (d the difference of the fits, D = d'd; Cox 1961): the likelihood ratio is
    exp(T D / (2 d'Cd)).
    """
    known = source_size_mm if isinstance(source_size_mm, KnownSource) else _plain(source_size_mm)
    scene = SourceScene.around_source(volume, known, near_mm)
    tried = list(PsfShape) if shape is None else [shape]
    solutions = {one: scene.fitted(one) for one in tried}
    best = min(solutions.values(), key=lambda solution: solution.cost)
    is_clipped = scene.voxels.min() == 0 and float(np.mean(scene.voxels == 0)) > 0.2
    if noise is None:
        left = Volume(scene.voxels - best.model, Grid.from_spacing(scene.voxels.shape, 1.0), file=volume.file)
        noise = estimate_noise(left, np.ones(scene.voxels.shape, dtype=bool))
    peak = float(best.model.max() - best.parameters[-1] * scene.scale)
    # The median: what a wrong size or shape leaves near the source is no noise.
    spread = 1.4826 * float(np.median(np.abs(scene.voxels - best.model)))
    if not peak > _FAINTEST * spread:
        raise MeasurementError(
            f"the source is no brighter than {peak / spread:.1f} times the noise, {_FAINTEST:g} are needed",
            file=volume.file,
            remedy="scan a stronger source, or average more",
        )
    chosen, probability, delta = _chosen(solutions, scene.voxels, noise)
    fits = {one: scene.fit(solution, noise) for one, solution in solutions.items()}
    least = min(fit.misfit for fit in fits.values())
    if least > _HOPELESS_MISFIT:
        raise unlike_a_source(volume, f", residuals are {100 * least:.0f} % of the peak")
    measured = MeasuredPointSpread(
        fits,
        chosen if shape is None else shape,
        probability,
        delta,
        known,
        peak / noise.sd,
        (),
        volume.file,
        volume.grid.spacing_mm,
        scene.profiles(solutions),
    )
    seen = [*_doubts(measured, is_clipped), *_doubts_of_scan(scene, best, peak, spread)]
    return replace(measured, doubts=tuple(seen))


def _plain(size_mm: float | ArrayLike) -> KnownSource:
    sizes = np.asarray(size_mm, dtype=np.float64)
    return KnownSource.ball(float(sizes)) if sizes.ndim == 0 else KnownSource.box(sizes)


def _chosen(
    solutions: Mapping[PsfShape, Solution], voxels: NDArray[np.float64], noise: Noise
) -> tuple[PsfShape | None, float, float]:
    """Return the shape the scan speaks for (``None`` if unsure), its probability, and how much worse the other is."""
    if len(solutions) == 1:
        return next(iter(solutions)), 1.0, 0.0
    better, worse = sorted(solutions.values(), key=lambda solution: solution.cost)
    apart = worse.model - better.model
    between = float(np.sum(apart**2))
    if not between > 0:
        return None, 0.5, 0.0
    gained = float(np.sum((worse.model - voxels) ** 2) - np.sum((better.model - voxels) ** 2))
    log_ratio = gained * between / (2 * float((apart * noise.smear(apart)).sum()))
    probability = float(1 / (1 + np.exp(-min(log_ratio, 700.0))))
    return (better.shape if probability >= _SURE else None), probability, 2 * log_ratio


def _doubts_of_scan(scene: SourceScene, best: Solution, peak: float, spread: float) -> list[str]:
    """Return what the voxels show beside one whole source: a top cut off, or another source."""
    said = []
    ties = int(np.count_nonzero(scene.voxels == scene.voxels.max()))
    if ties > (2 if np.all(scene.voxels == np.rint(scene.voxels)) else 1):
        said.append(f"the source's top is flat ({ties} voxels of one value): the receiver or the file cut it off")
    left = scene.voxels - best.model
    at = np.unravel_index(int(np.argmax(left)), left.shape)
    away_mm = float(np.linalg.norm((np.array(at) - scene.peak) * scene.spacing))
    count = len(scene.axes)
    widest_mm = float(np.exp(best.parameters[count : 2 * count]).max())
    if left[at] > max(_ANOTHER * peak, 6 * spread) and away_mm > 1.5 * widest_mm:
        said.append(f"something else shines {away_mm:.0f} mm from the source: errors are wide; scan one source alone")
    return said


def _doubts(found: MeasuredPointSpread, clipped: bool) -> tuple[str, ...]:
    said = []
    if found.shape is None:
        said.append(f"the scan does not tell a Gaussian from a Lorentzian (probability {found.probability:.2f})")
    fit = min(found.fits.values(), key=lambda one: one.misfit) if found.shape is None else found.fit
    if fit.misfit > _MOST_MISFIT:
        said.append(f"neither shape explains the scan: residuals are {100 * fit.misfit:.0f} % of the peak")
    blurred = fit.fwhm_mm > 0
    if np.any(found.source.size_mm[blurred] > 1.5 * fit.fwhm_mm[blurred]):
        said.append("the source is larger than the blur: its own size, taken out, decides the widths")
    if np.any(fit.fwhm_mm[blurred] < 1.5 * found.spacing_mm[blurred]):
        said.append("the blur is narrower than one and a half voxels")
    if clipped:
        said.append("the scan was clipped at zero: the foot of the source is missing")
    return tuple(said)
