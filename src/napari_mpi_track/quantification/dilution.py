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
    The scatter of a measure is pooled over the replicates of one series relative to their means, since it grows with
    the signal; ratios have Fieller's interval.
    """
    _require_amounts([*fixed_concentration, *fixed_volume])
    effects = []
    for measure in MEASURES:
        reference, diluted = _groups(fixed_concentration, measure), _groups(fixed_volume, measure)
        scatter = _relative_scatter(reference), _relative_scatter(diluted)
        for iron, volume in sorted(diluted):
            match = _same_iron(iron, reference)
            if match is None or volume / match[1] == 1.0:
                continue
            effects.append(
                _effect(measure, iron, volume / match[1], reference[match], diluted[iron, volume], scatter, level)
            )
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
    groups = _groups(fixed_volume, measure)
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
    """Return the values of replicates by (iron, volume); blanks and what was not measured are left out."""
    found: dict[tuple[float, float], list[float]] = {}
    for sample in samples:
        value = getattr(sample, measure)
        if value is not None and np.isfinite(value) and sample.iron_ng > 0:
            found.setdefault((sample.iron_ng, sample.volume_ul), []).append(value)
    return {key: np.array(values) for key, values in found.items()}


def _relative_scatter(groups: _Groups) -> tuple[float, int]:
    """Return the pooled relative variance of one tube, and its degrees of freedom."""
    squares = sum(float(np.sum((v / v.mean() - 1.0) ** 2)) for v in groups.values() if v.mean() != 0)
    degrees = sum(v.size - 1 for v in groups.values())
    return (squares / degrees if degrees else 0.0), degrees


def _same_iron(iron: float, reference: _Groups) -> tuple[float, float] | None:
    near = [key for key in reference if abs(key[0] - iron) <= _SAME_IRON * iron]
    return min(near, key=lambda key: (abs(key[0] - iron), key[1])) if near else None


def _effect(
    measure: Measure,
    iron: float,
    ratio: float,
    reference: NDArray[np.float64],
    diluted: NDArray[np.float64],
    scatter: tuple[tuple[float, int], tuple[float, int]],
    level: float,
) -> DilutionEffect:
    def mean(values: NDArray[np.float64], of: tuple[float, int]) -> tuple[float, float, float]:
        middle = float(values.mean())
        return middle, of[0] * middle**2 / values.size, float(of[1]) if of[1] else inf

    percent = percent_difference(mean(reference, scatter[0]), mean(diluted, scatter[1]), level)
    if not (scatter[0][1] and scatter[1][1]):
        percent = PercentDifference(percent.value, float("nan"), float("nan"))
    return DilutionEffect(
        measure,
        iron,
        ratio,
        float(reference.mean()),
        float(diluted.mean()),
        percent,
        (reference.size, diluted.size),
    )
