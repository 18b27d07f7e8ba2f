"""Scanners: how MPI, PET, CT and MR turn a body in a pose into voxels.

The blur is written here once more, on purpose not with ``imaging.point_spread``: sources are sampled four times
finer than the voxels, and every cell's signal is integrated over every voxel in closed form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.sparse import csr_array
from scipy.special import ndtr

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.simulation.anatomy import Anatomy, Solid, index_box, inverse, occupied

CELLS_PER_VOXEL = 4
PLANES_AT_ONCE = 48

Profile = Literal["gaussian", "lorentzian"]


@dataclass(frozen=True, slots=True)
class Blur:
    """A separable point spread along the axes of the acquired grid (plane, row, column)."""

    shape: Profile
    fwhm_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Noise:
    """Gaussian noise smoothed by a Gaussian of ``correlation_sd`` voxels; ``sd`` in the unit of the voxels."""

    sd: float
    correlation_sd: float


def blurred(
    sources: Sequence[tuple[Solid, float]], grid: Grid, body_from_grid: NDArray[np.float64], blur: Blur
) -> NDArray[np.float64]:
    """Return the scan of uniformly filled solids, free of noise, as voxel means; shape ``grid.shape``.

    Parameters
    ----------
    sources
        Solids and what each holds in all (signal in a.u. mm3, activity in Bq mm3/mL ...).
    grid
        Voxels of the scan.
    body_from_grid
        4x4 map from the scan's LPS mm to body mm.
    blur
        Point spread. What it carries out of the field of view is lost, what lies outside it is blurred into it.

    Notes
    -----
    sum(voxels) x voxel volume is the sum of all that the sources hold, less what left the field of view.
    """
    body_from_index = body_from_grid @ grid.lps_from_index
    voxels = np.zeros(grid.shape)
    for solid, content in sources:
        if content:
            voxels += content * _unit_source(solid, grid, body_from_index, blur)
    return voxels


def _unit_source(solid: Solid, grid: Grid, body_from_index: NDArray[np.float64], blur: Blur) -> NDArray[np.float64]:
    first, last = index_box(solid.box_mm, inverse(body_from_index), margin=1.0)
    index_from_cell = np.eye(4)
    index_from_cell[:3, :3] /= CELLS_PER_VOXEL
    index_from_cell[:3, 3] = first - 0.5 + 0.5 / CELLS_PER_VOXEL
    cell_count = (last - first) * CELLS_PER_VOXEL
    source = occupied(solid, body_from_index @ index_from_cell, np.zeros(3, dtype=int), cell_count)
    source /= source.sum() * (grid.voxel_volume_mm3 / CELLS_PER_VOXEL**3)
    for axis, spacing in enumerate(grid.spacing_mm):
        at = (first[axis] - 0.5 + (np.arange(cell_count[axis]) + 0.5) / CELLS_PER_VOXEL) * spacing
        voxels_at = np.arange(grid.shape[axis]) * spacing
        response = csr_array(_response(voxels_at, at, float(spacing), blur.shape, blur.fwhm_mm[axis]))
        # Sparse products run on one thread, in one order: the same bytes everywhere, which BLAS does not promise.
        source = np.moveaxis(source, axis, 0)
        rest = source.shape[1:]
        arrived = np.asarray(response @ source.reshape(len(source), -1))
        source = np.moveaxis(arrived.reshape(-1, *rest), 0, axis)
    return source


def _response(
    voxels_mm: NDArray[np.float64], cells_mm: NDArray[np.float64], spacing: float, shape: Profile, fwhm_mm: float
) -> NDArray[np.float64]:
    """Return the mean of each voxel for density 1 in each cell, shape (voxels, cells): the exact double integral."""
    cell = spacing / CELLS_PER_VOXEL
    apart = voxels_mm[:, None] - cells_mm[None, :]
    outer, inner = (spacing + cell) / 2, (spacing - cell) / 2
    integral = (
        _twice_integrated(apart + outer, shape, fwhm_mm)
        - _twice_integrated(apart + inner, shape, fwhm_mm)
        - _twice_integrated(apart - inner, shape, fwhm_mm)
        + _twice_integrated(apart - outer, shape, fwhm_mm)
    )
    if shape == "gaussian":
        # Beyond nine SD nothing arrives; what the differences leave there is rounding.
        integral[np.abs(apart) > outer + 9 * fwhm_mm / np.sqrt(8 * np.log(2))] = 0.0
    return np.asarray(integral / spacing)


def _twice_integrated(x_mm: NDArray[np.float64], shape: Profile, fwhm_mm: float) -> NDArray[np.float64]:
    """Return a function whose second derivative is the point spread's line profile."""
    if shape == "lorentzian":
        half = fwhm_mm / 2
        logarithm = np.log1p((x_mm / half) ** 2)
        return np.asarray(x_mm / 2 + (x_mm * np.arctan(x_mm / half) - half * logarithm / 2) / np.pi)
    sd = fwhm_mm / np.sqrt(8 * np.log(2))
    bell = np.exp(-0.5 * (x_mm / sd) ** 2) * sd / np.sqrt(2 * np.pi)
    return np.asarray(x_mm * ndtr(x_mm / sd) + bell)


def saturated(signal: NDArray[np.float64], half_way: float) -> NDArray[np.float64]:
    """Return what a receiver reports for a true signal: S / (1 + S / S_sat), ``half_way`` being S_sat."""
    return np.asarray(signal / (1 + signal / half_way))


def noise_field(shape: tuple[int, ...], noise: Noise, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return correlated noise of mean 0 and SD ``noise.sd`` everywhere, shape ``shape``."""
    white = rng.standard_normal(shape)
    if noise.correlation_sd == 0:
        return noise.sd * white
    impulse = np.zeros(2 * int(np.ceil(6 * noise.correlation_sd)) + 1)
    impulse[len(impulse) // 2] = 1.0
    gain = np.linalg.norm(gaussian_filter1d(impulse, noise.correlation_sd)) ** len(shape)
    return np.asarray(gaussian_filter(white, noise.correlation_sd, mode="wrap") * (noise.sd / gain))


def painted(anatomy: Anatomy, grid: Grid, body_from_grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the anatomical scanner would show without blur and noise (HU or a.u.), shape ``grid.shape``."""
    body_from_index = body_from_grid @ grid.lps_from_index
    index_from_body = inverse(body_from_index)
    markers = [(marker, anatomy.marker_brightness) for marker in anatomy.markers]
    layers = [*((tissue.solid, tissue.brightness) for tissue in anatomy.tissues), *markers]
    shape = np.asarray(grid.shape)
    voxels = np.full(grid.shape, anatomy.air)
    for solid, brightness in layers:
        box_first, box_last = index_box(solid.box_mm, index_from_body, margin=1.0)
        box_first, box_last = np.maximum(box_first, 0), np.minimum(box_last, shape)
        if np.any(box_last <= box_first):
            continue
        for plane in range(int(box_first[0]), int(box_last[0]), PLANES_AT_ONCE):
            first = np.array([plane, *box_first[1:]])
            last = np.array([min(plane + PLANES_AT_ONCE, box_last[0]), *box_last[1:]])
            where = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
            part = occupied(solid, body_from_index, first, last)
            voxels[where] += part * (brightness - voxels[where])
    return voxels


def labelled(organs: Mapping[str, Solid], grid: Grid, body_from_grid: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return organ numbers from 1 in the order of ``organs``, 0 elsewhere: voxels at least half inside."""
    body_from_index = body_from_grid @ grid.lps_from_index
    shape = np.asarray(grid.shape)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for value, solid in enumerate(organs.values(), start=1):
        first, last = index_box(solid.box_mm, inverse(body_from_index), margin=1.0)
        first, last = np.maximum(first, 0), np.minimum(last, shape)
        where = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        inside = occupied(solid, body_from_index, first, last) >= 0.5
        labels[where][inside & (labels[where] == 0)] = value
    return labels


def ct_scan(
    anatomy: Anatomy, grid: Grid, body_from_grid: NDArray[np.float64], noise: Noise, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a CT scan in HU; beyond the round field of view it holds -1024, as scanners write it."""
    voxels = gaussian_filter(painted(anatomy, grid, body_from_grid), 0.5)
    voxels += noise_field(grid.shape, noise, rng)
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in grid.shape[1:])
    outside = np.hypot(rows[:, None], columns[None, :]) > min(grid.shape[1:]) / 2
    voxels[:, outside] = -1024.0
    return np.maximum(voxels, -1024.0)


def mr_scan(
    anatomy: Anatomy, grid: Grid, body_from_grid: NDArray[np.float64], noise: Noise, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a magnitude MR scan in a.u.: coil shading of 10 % and Rician noise."""
    ramps = (np.linspace(-1, 1, n) for n in grid.shape)
    planes, rows, columns = np.meshgrid(*ramps, indexing="ij", sparse=True)
    tilt = rng.uniform(-0.05, 0.05, 3)
    shading = 1 + tilt[0] * planes + tilt[1] * rows + tilt[2] * columns - 0.05 * (planes**2 + rows**2 + columns**2)
    tissue = gaussian_filter(painted(anatomy, grid, body_from_grid), 0.4) * shading
    return np.asarray(np.hypot(tissue + noise_field(grid.shape, noise, rng), noise_field(grid.shape, noise, rng)))
