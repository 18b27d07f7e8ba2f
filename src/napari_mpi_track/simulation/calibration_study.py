"""A calibration study built from published effects: tubes of tracer in solution, diluted, and in cells.

Each sample is one scan, a 2-D projection of one tube. What solution, dilution and cells do to maximum, total and width
is put in as published; what a pipette and a scanner add is scatter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.optimize import brentq

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.writers.scans import write_volume
from napari_mpi_track.writers.whole import whole_file

Series = Literal["fixed_concentration", "fixed_volume", "in_cells"]
SERIES: tuple[Series, ...] = ("fixed_concentration", "fixed_volume", "in_cells")
MARGIN_MM = 30.0
_SIZE, _SPACING_MM = 120, 1.0
_IRON_NG = (250.0, 500.0, 1000.0, 2000.0, 3500.0, 5000.0)
_CONCENTRATION_NG_PER_UL = 250.0
_VOLUME_UL = 20.0
_REPLICATES = 3
_NOISE_SD = 1.0
_PIPETTE_SD = 0.02


@dataclass(frozen=True, slots=True)
class Effect:
    """A change against the undiluted tracer: of maximum and total in parts, of the FWHM in mm."""

    maximum: float
    total: float
    fwhm_mm: float


@dataclass(frozen=True, slots=True)
class TracerFacts:
    """What is published of one tracer: its FWHM, and what a 20-fold dilution and cells change.

    The FWHM is along rows; its change in cells is published in percent. ``maximum_per_ng`` is in a.u.
    """

    maximum_per_ng: float
    fwhm_mm: float
    diluted_20_times: Effect
    in_cells: Effect


TRACERS = {
    "ProMag": TracerFacts(0.30, 5.0, Effect(-0.0944, -0.0413, 0.7), Effect(-0.30, -0.20, 0.11 * 5.0)),
    "VivoTrax": TracerFacts(0.20, 6.0, Effect(-0.0118, -0.0376, 0.11), Effect(-0.70, -0.50, 0.59 * 6.0)),
}


def simulate_calibration_study(folder: str | Path, *, tracer: str = "ProMag", seed: int = 0) -> Path:
    """Write the scans of one tracer and what was in each tube; return the folder.

    In it, a folder a series (``fixed_concentration``, ``fixed_volume``, ``in_cells``) with NIfTI projections and
    ``samples.csv``: blanks and six amounts of iron in triplicate.

    Parameters
    ----------
    folder
        Made if it is not there.
    tracer
        ProMag or VivoTrax.
    seed
        Of the scatter.

    Raises
    ------
    MeasurementError
        For another tracer.
    OutputExistsError
        If a file is there already.
    """
    if tracer not in TRACERS:
        raise MeasurementError(f"the tracer must be one of {', '.join(TRACERS)}, got {tracer!r}")
    place = Path(folder)
    rng = np.random.default_rng([seed, list(TRACERS).index(tracer)])
    for series in SERIES:
        lines = ["name,iron_ng,volume_ul,replicate"]
        for iron, volume, replicate in _samples(series):
            name = f"{iron:04.0f}ng_{replicate}"
            write_volume(_scan(TRACERS[tracer], series, iron, volume, rng), place / series / f"{name}.nii.gz")
            lines.append(f"{name},{iron:g},{volume:g},{replicate}")
        with whole_file(place / series / "samples.csv") as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


def _samples(series: Series) -> Iterator[tuple[float, float, int]]:
    """Yield iron in ng, volume in uL and the number of the replicate."""
    for iron in (0.0, *_IRON_NG):
        undiluted = max(iron, _IRON_NG[0]) / _CONCENTRATION_NG_PER_UL
        for replicate in range(1, _REPLICATES + 1):
            yield iron, undiluted if series == "fixed_concentration" else _VOLUME_UL, replicate


def _scan(facts: TracerFacts, series: Series, iron: float, volume: float, rng: np.random.Generator) -> Volume:
    grid = Grid.from_spacing((1, _SIZE, _SIZE), (1.0, _SPACING_MM, _SPACING_MM))
    field = gaussian_filter(rng.normal(size=(1, _SIZE, _SIZE)), (0, 0.8, 0.8), mode="wrap")
    voxels = _NOISE_SD * field / field.std()
    if iron > 0:
        effect = _effect(facts, series, iron, volume)
        pipetted = iron * (1.0 + _PIPETTE_SD * rng.normal())
        height = facts.maximum_per_ng * pipetted * (1.0 + effect.maximum)
        voxels = voxels + height * _shape(facts.fwhm_mm, effect)
    return Volume(voxels.astype(np.float32), grid, Modality.MPI, "a.u.", is_projection=True)


def _effect(facts: TracerFacts, series: Series, iron: float, volume: float) -> Effect:
    """Return what the series does to a sample; a dilution's effects grow with the logarithm of its ratio."""
    if series == "fixed_concentration":
        return Effect(0.0, 0.0, 0.0)
    if series == "in_cells":
        return facts.in_cells
    part = log(volume * _CONCENTRATION_NG_PER_UL / iron) / log(20.0)
    full = facts.diluted_20_times
    return Effect(part * full.maximum, part * full.total, part * full.fwhm_mm)


def _shape(fwhm_mm: float, effect: Effect) -> NDArray[np.float64]:
    """Return a separable Lorentzian of height 1, shape (1, rows, columns), in the middle of the field.

    Maximum, total and width along rows are published; the width along columns is what makes the three agree, within
    the region that totals are drawn in.
    """
    half, rows = fwhm_mm / 2, (fwhm_mm + effect.fwhm_mm) / 2
    wanted = _kept(_lorentzian(half, half)) * (1.0 + effect.total) / (1.0 + effect.maximum)
    columns = float(
        brentq(lambda width: _kept(_lorentzian(rows, width)) - wanted, 0.2 * half, 5.0 * half, xtol=1e-4 * half)
    )
    return _lorentzian(rows, columns)[None]


def _lorentzian(rows_mm: float, columns_mm: float) -> NDArray[np.float64]:
    away = (np.arange(_SIZE) - _SIZE // 2) * _SPACING_MM
    return np.asarray(np.outer(1.0 / (1.0 + (away / rows_mm) ** 2), 1.0 / (1.0 + (away / columns_mm) ** 2)))


def _kept(shape: NDArray[np.float64]) -> float:
    """Return the sum over all within the margin of the part above half of the maximum."""
    return float(shape[distance_transform_edt(shape <= 0.5, _SPACING_MM) <= MARGIN_MM].sum())
