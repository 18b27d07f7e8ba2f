"""Simulated mice in a CT: on a bed, drawn, and varied in their organs."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.simulation.anatomy import Anatomy, Solid, Tissue, inverse
from napari_mpi_track.simulation.mouse import mouse
from napari_mpi_track.simulation.scanner import Noise, labelled, noise_field, painted

# Where the varied organs stand among the tissues of a mouse, counted from the end.
_PLACES = {"liver": -6, "spleen": -5, "tumour": -4, "lungs": -3, "bone": -1}


def field(spacing_mm: float, extent_mm: tuple[float, float, float] = (102, 52, 52), frame: str = "ct") -> Grid:
    """Return a grid about the origin, extent as (plane, row, column)."""
    counts = np.round(np.array(extent_mm) / spacing_mm).astype(int)
    origin = -(counts[::-1] - 1) / 2 * spacing_mm
    return Grid.from_spacing((int(counts[0]), int(counts[1]), int(counts[2])), spacing_mm, origin, frame)


def on_bed(grid: Grid, body: np.ndarray) -> np.ndarray:
    """Return where a half pipe of 1.6 mm plastic lies that touches the back of the animal all along."""
    x, y, _ = np.moveaxis(grid.lps_from(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    radius = np.hypot(x, y + 2.0)
    return (radius > 11.6) & (radius < 13.2) & (y > 3) & ~body


def ct_of(anatomy: Anatomy, grid: Grid, *, bed: bool = False, pose: np.ndarray | None = None, seed: int = 0) -> Volume:
    """Return a noisy CT; ``pose`` maps the body's mm to the scanner's, 4x4."""
    body_from_grid = np.eye(4) if pose is None else inverse(pose)
    voxels = painted(anatomy, grid, body_from_grid)
    if bed:
        voxels[on_bed(grid, skin(anatomy, grid))] = 120.0
    voxels = ndimage.gaussian_filter(voxels, 0.5)
    voxels += noise_field(grid.shape, Noise(22.0, 0.5), np.random.default_rng(seed))
    return Volume(np.round(np.maximum(voxels, -1024)).astype(np.int16), grid, Modality.CT, "HU")


def skin(anatomy: Anatomy, grid: Grid, at_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Return where the body is, markers not of it."""
    return labelled({"body": anatomy.tissues[0].solid.moved(at_mm)}, grid, np.eye(4)) > 0


def drawn(anatomy: Anatomy, grid: Grid, pose: np.ndarray | None = None) -> OrganLabels:
    """Return its organs as they are."""
    body_from_grid = np.eye(4) if pose is None else inverse(pose)
    return OrganLabels(labelled(anatomy.organs, grid, body_from_grid), grid, dict(enumerate(anatomy.organs, 1)))


def varied(seed: int) -> Anatomy:
    """Return a mouse of another size whose lungs, liver and spleen have sizes and places of their own."""
    rng = np.random.default_rng(seed)
    usual = mouse(1.0, float(rng.uniform(0.8, 1.2)))
    organs = dict(usual.organs)
    for name in ("lungs", "liver", "spleen"):
        low, high = organs[name].box_mm
        factor, centre = float(np.exp(rng.normal(0, 0.12))), (low + high) / 2
        parts = [p.scaled(factor).moved(centre * (1 - factor) + rng.normal(0, 0.8, 3)) for p in organs[name].parts]
        organs[name] = Solid(tuple(parts), organs[name].without)
    tissues = list(usual.tissues)
    for name, at in _PLACES.items():
        tissues[at] = Tissue(organs[name], tissues[at].brightness)
    return replace(usual, tissues=tuple(tissues), organs=organs).scaled(float(rng.uniform(0.9, 1.1)))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Dice overlap."""
    return float(2 * np.sum(first & second) / (np.sum(first) + np.sum(second)))
