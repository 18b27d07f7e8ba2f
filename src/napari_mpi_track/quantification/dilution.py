"""What dilution alone does to a signal: the same iron in more volume, and what the particles' spacing explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.curve_comparison import PercentDifference, percent_difference

Measure = Literal["maximum", "total", "fwhm_mm"]
MEASURES: tuple[Measure, ...] = ("maximum", "total", "fwhm_mm")
# Pipetting makes the same iron the same to a percent or two.
_SAME_IRON = 0.02


@dataclass(frozen=True, slots=True)
class DilutionSample:
    """One tube of a series in solution; what was not measured is ``None``.

    Iron in ng, volume in uL; the maximum in the scan's unit, the total in that unit times mm3 (mm2), the FWHM in mm.
    """

    iron_ng: float
    volume_ul: float
    maximum: float | None = None
    total: float | None = None
    fwhm_mm: float | None = None

    @property
    def concentration_ng_per_ul(self) -> float:
        """Iron per volume, ng/uL (which is mg/L)."""
        return self.iron_ng / self.volume_ul


@dataclass(frozen=True, slots=True)
class DilutionEffect:
    """One measure of the same iron, diluted against undiluted.

    Attributes
    ----------
    measure
        maximum, total or fwhm_mm.
    iron_ng
        In both tubes.
    dilution_ratio
        Volume of the diluted over volume of the undiluted, dimensionless, above 1 for a dilution.
    reference, diluted
        Means over replicates, in the unit of the measure; their difference is that of the FWHM in mm.
    percent
        Difference in percent of the undiluted; its interval is NaN where no replicates tell the scatter.
    replicates
        Tubes behind the reference and behind the diluted mean.
    """

    measure: Measure
    iron_ng: float
    dilution_ratio: float
    reference: float
    diluted: float
    percent: PercentDifference
    replicates: tuple[int, int]


def compare_dilutions(
    fixed_concentration: Sequence[DilutionSample], fixed_volume: Sequence[DilutionSample], *, level: float = 0.95
) -> list[DilutionEffect]:
    """Return the effect of dilution at every iron that both series hold, by measure and then by dilution ratio.

    Parameters
    ----------
    fixed_concentration
        The undiluted tracer in different volumes: the reference.
    fixed_volume
        The diluted tracer in one volume. Replicates are samples of the same iron and volume.
    level
        Of the intervals.

    Raises
    ------
    CalibrationError
        A sample without iron or volume, or two series without the same iron in different volumes.

    Notes
    -----
    The scatter is pooled over the replicates of one series, blanks included, as a constant part and one that grows with
    the signal (for widths: with 1/iron); ratios have Fieller's interval.
    """
    _require_amounts([*fixed_concentration, *fixed_volume])
    effects = []
    for measure in MEASURES:
        reference, diluted = _groups(fixed_concentration, measure), _groups(fixed_volume, measure)
        scatter = _scatter(reference, measure), _scatter(diluted, measure)
        for key in sorted(key for key in diluted if key[0] > 0):
            match = _same_iron(key[0], reference)
            if match is None or key[1] / match[1] == 1.0:
                continue
            terms = (reference[match], *scatter[0][match]), (diluted[key], *scatter[1][key])
            effects.append(_effect(measure, key[0], key[1] / match[1], terms, level))
    if not effects:
        raise CalibrationError(
            "the two series hold no iron in common that was measured in two volumes",
            remedy="give samples of the same iron_ng in both, and their volume_ul",
        )
    return sorted(effects, key=lambda effect: (MEASURES.index(effect.measure), effect.dilution_ratio))


def particle_spacing_nm(concentration_ng_per_ul: ArrayLike, iron_per_particle_ag: float) -> NDArray[np.float64]:
    """Return the mean distance between particles in nm: the cube root of the volume that each has to itself.

    Parameters
    ----------
    concentration_ng_per_ul
        Iron, ng/uL (mg/L); any shape.
    iron_per_particle_ag
        Iron in one particle, attogram (a core of 20 nm magnetite holds about 16).

    Raises
    ------
    CalibrationError
        For numbers that are not positive.
    """
    concentration = np.asarray(concentration_ng_per_ul, dtype=np.float64)
    if not ((concentration > 0).all() and iron_per_particle_ag > 0):
        raise CalibrationError("the spacing of particles needs a positive concentration and iron per particle")
    # 1 ng/uL is 1e9 ag in 1e18 nm3.
    return np.asarray(np.cbrt(iron_per_particle_ag * 1e9 / concentration))


def expected_by_spacing(reference_signal: float, reference_spacing_nm: float, spacing_nm: ArrayLike) -> Any:
    """Return the signal that the interparticle model expects: S_ref (d_ref/d)^3, in the unit of ``reference_signal``.

    Notes
    -----
    The number of particles in a voxel goes with 1/d^3; what the data hold beyond it is not their mere thinning out.
    """
    spacing = np.asarray(spacing_nm, dtype=np.float64)
    if not ((spacing > 0).all() and reference_spacing_nm > 0):
        raise CalibrationError("the interparticle model needs positive spacings")
    return reference_signal * (reference_spacing_nm / spacing) ** 3


@dataclass(frozen=True, slots=True)
class SpacingPoint:
    """One concentration of a series of fixed volume, beside what the interparticle model expects of it.

    The concentration in ng/uL, the spacing relative to the reference's (d/d_ref, dimensionless), measured (mean of
    replicates) and expected in the unit of the measure.
    """

    concentration_ng_per_ul: float
    relative_spacing: float
    measured: float
    expected: float


def compare_with_spacing(
    fixed_volume: Sequence[DilutionSample], measure: Literal["maximum", "total"] = "maximum"
) -> list[SpacingPoint]:
    """Return a series of fixed volume beside the interparticle model, from the most concentrated sample down.

    The most concentrated sample is the reference, for which the model says what was measured.

    Raises
    ------
    CalibrationError
        A sample without a volume, samples of several volumes, or fewer than two concentrations.
    """
    _require_amounts(fixed_volume)
    groups = {key: values for key, values in _groups(fixed_volume, measure).items() if key[0] > 0}
    volumes = sorted({volume for _, volume in groups})
    if len(groups) < 2 or len(volumes) != 1:
        raise CalibrationError(
            f"the interparticle model needs two concentrations or more in one volume, got {len(groups)} in "
            f"{len(volumes)} volumes",
            remedy="give the samples of the fixed-volume series",
        )
    by_concentration = sorted(((iron / volume, float(v.mean())) for (iron, volume), v in groups.items()), reverse=True)
    densest, signal = by_concentration[0]
    points = []
    for concentration, measured in by_concentration:
        spacing = float(np.cbrt(densest / concentration))
        points.append(SpacingPoint(concentration, spacing, measured, float(expected_by_spacing(signal, 1.0, spacing))))
    return points


def _require_amounts(samples: Sequence[DilutionSample]) -> None:
    for sample in samples:
        if not (sample.iron_ng >= 0 and sample.volume_ul > 0):
            raise CalibrationError(
                f"a sample needs iron of 0 ng or more and a volume, got {sample.iron_ng:g} ng, {sample.volume_ul:g} uL"
            )


_Groups = dict[tuple[float, float], NDArray[np.float64]]


def _groups(samples: Sequence[DilutionSample], measure: Measure) -> _Groups:
    """Return the values of replicates by (iron, volume); what was not measured is left out."""
    found: dict[tuple[float, float], list[float]] = {}
    for sample in samples:
        value = getattr(sample, measure)
        if value is not None and np.isfinite(value):
            found.setdefault((sample.iron_ng, sample.volume_ul), []).append(value)
    return {key: np.array(values) for key, values in found.items()}


_Scatter = dict[tuple[float, float], tuple[float, float]]


def _scatter(groups: _Groups, measure: Measure) -> _Scatter:
    """Return the variance of one tube in every group, and the degrees of freedom it is known with (0: not at all).

    A constant part and one that goes with the square of the signal (of a width: of 1/iron, since dim tubes have
    uncertain widths), in the share that makes the replicates' variances most likely; blanks tell the constant part.
    Degrees of freedom are Satterthwaite's, 2 V^2/Var(V), by the information that all replicates hold on both parts.
    """
    keys = list(groups)
    driver = np.array([key[0] ** -2.0 if key[0] and measure == "fwhm_mm" else groups[key].mean() ** 2 for key in keys])
    degrees = np.array([groups[key].size - 1 for key in keys], dtype=np.float64)
    squares = np.array([float(np.sum((groups[key] - groups[key].mean()) ** 2)) for key in keys])
    if degrees.sum() == 0 or not driver.max() > 0:
        return dict.fromkeys(keys, (0.0, 0.0))
    driver = driver / driver.max()
    shares = np.concatenate([[0.0], 1.0 / (1.0 + np.exp(-np.linspace(-14.0, 14.0, 141))), [1.0 - 1e-9]])
    shapes = (1.0 - shares)[:, None] + shares[:, None] * driver
    scales = np.maximum((squares / shapes).sum(axis=1) / degrees.sum(), np.finfo(float).tiny)
    unlikeliness = degrees.sum() * np.log(scales) + (degrees * np.log(shapes)).sum(axis=1)
    best = int(np.argmin(unlikeliness))
    known = np.full(len(keys), degrees.sum())
    if 0 < best < shares.size - 1:
        parts = np.stack([np.ones_like(driver), driver]) / shapes[best]
        spread = np.einsum("ij,ik,kj->j", parts, np.linalg.pinv(0.5 * (parts * degrees) @ parts.T), parts)
        known = np.clip(2.0 / np.maximum(spread, 1e-12), 1.0, degrees.sum())
    return dict(zip(keys, zip((scales[best] * shapes[best]).tolist(), known.tolist(), strict=True), strict=True))


def _same_iron(iron: float, reference: _Groups) -> tuple[float, float] | None:
    near = [key for key in reference if key[0] > 0 and abs(key[0] - iron) <= _SAME_IRON * iron]
    return min(near, key=lambda key: (abs(key[0] - iron), key[1])) if near else None


def _effect(
    measure: Measure,
    iron: float,
    ratio: float,
    terms: tuple[tuple[NDArray[np.float64], float, float], tuple[NDArray[np.float64], float, float]],
    level: float,
) -> DilutionEffect:
    """Return one effect; ``terms`` are replicates, variance of one tube and its degrees of freedom, of each series."""
    (reference, _, reference_degrees), (diluted, _, diluted_degrees) = terms
    first, second = (
        (float(values.mean()), variance / values.size, float(degrees or inf)) for values, variance, degrees in terms
    )
    percent = percent_difference(first, second, level)
    if not (reference_degrees and diluted_degrees):
        percent = PercentDifference(percent.value, float("nan"), float("nan"))
    return DilutionEffect(measure, iron, ratio, first[0], second[0], percent, (reference.size, diluted.size))
