"""Hypothesis strategies for scans as scanners leave them: oblique, anisotropic, flipped, permuted, never cubic."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume

FRAMES = ("mpi session", "1.2.840.113619.2.1", None)
SCAN_DTYPES = ("u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8")


def seeds() -> st.SearchStrategy[int]:
    """Seeds for numpy, where arrays are too large to be drawn number by number."""
    return st.integers(0, 2**32 - 1)


def _numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


def shapes(smallest: int = 2, largest: int = 9) -> st.SearchStrategy[tuple[int, int, int]]:
    """Planes, rows and columns, all different: an exchange of axes cannot hide."""
    count = st.integers(smallest, largest)
    return st.lists(count, min_size=3, max_size=3, unique=True).map(tuple)


def spacings_mm(smallest: float = 0.2, largest: float = 4.0) -> st.SearchStrategy[NDArray[np.float64]]:
    """Three spacings in mm, each at least 5 % apart from the others."""
    apart = st.lists(_numbers(smallest, largest), min_size=3, max_size=3)
    return apart.filter(lambda s: min(np.diff(sorted(s)) / sorted(s)[:2]) > 0.05).map(np.array)


@st.composite
def rotations(draw: st.DrawFn) -> NDArray[np.float64]:
    """Proper rotations of every angle, 3x3."""
    axis = draw(st.tuples(_numbers(-1, 1), _numbers(-1, 1), _numbers(-1, 1)))
    length = float(np.linalg.norm(axis))
    if length < 1e-3:
        return np.eye(3)
    angle = draw(_numbers(-np.pi, np.pi))
    return Rotation.from_rotvec(np.array(axis) / length * angle).as_matrix()


@st.composite
def directions(draw: st.DrawFn) -> NDArray[np.float64]:
    """Orthonormal axes in columns, permuted, oblique, and as often left-handed as right-handed."""
    axes = np.eye(3)[:, list(draw(st.permutations(range(3))))]
    signs = np.array(draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3)))
    return draw(rotations()) @ axes * signs


@st.composite
def grids(
    draw: st.DrawFn, shape: st.SearchStrategy[tuple[int, int, int]] | None = None, frames: Sequence[str | None] = FRAMES
) -> Grid:
    """Grids with perpendicular axes in any direction, far from the origin, never cubic."""
    return _grid(draw, draw(directions()), shape, frames)


@st.composite
def sheared_grids(
    draw: st.DrawFn, shape: st.SearchStrategy[tuple[int, int, int]] | None = None, frames: Sequence[str | None] = FRAMES
) -> Grid:
    """Grids whose axes are not perpendicular (CT with a tilted gantry; NIfTI allows it)."""
    shear = np.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = draw(st.tuples(*[_numbers(-0.5, 0.5)] * 3))
    axes = draw(directions()) @ shear
    return _grid(draw, axes / np.linalg.norm(axes, axis=0), shape, frames)


def any_grids(frames: Sequence[str | None] = FRAMES) -> st.SearchStrategy[Grid]:
    """Grids with and without shear."""
    return st.one_of(grids(frames=frames), sheared_grids(frames=frames))


def _grid(
    draw: st.DrawFn,
    axes: NDArray[np.float64],
    shape: st.SearchStrategy[tuple[int, int, int]] | None,
    frames: Sequence[str | None],
) -> Grid:
    matrix = np.eye(4)
    matrix[:3, :3] = axes * draw(spacings_mm())
    matrix[:3, 3] = draw(st.tuples(*[_numbers(-300, 300)] * 3))
    return Grid(draw(shape if shape is not None else shapes()), matrix, draw(st.sampled_from(frames)))


@st.composite
def volumes(draw: st.DrawFn, on: st.SearchStrategy[Grid] | None = None, dtypes: Sequence[str] = SCAN_DTYPES) -> Volume:
    """Scans of every dtype and byte order a file may hold, with a different value in almost every voxel."""
    grid = draw(on if on is not None else grids())
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rng = np.random.default_rng(draw(seeds()))
    if dtype.kind == "f":
        voxels = rng.normal(0, 100, grid.shape).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        voxels = rng.integers(max(limits.min, -30000), min(limits.max, 30000), grid.shape).astype(dtype)
    return Volume(voxels, grid, draw(st.sampled_from([*Modality, None])), draw(st.sampled_from(("a.u.", "HU", None))))


@st.composite
def organ_labels(draw: st.DrawFn, on: st.SearchStrategy[Grid] | None = None, most_organs: int = 3) -> OrganLabels:
    """Blocks of labels with gaps between their values; one voxel at least is an organ."""
    grid = draw(on if on is not None else grids(shapes(4, 9)))
    values = draw(st.lists(st.integers(1, 200), min_size=1, max_size=most_organs, unique=True))
    voxels = np.zeros(grid.shape, dtype=draw(st.sampled_from(("u1", "<u2", ">u2", "<i4"))))
    for value in values:
        low = [draw(st.integers(0, n - 1)) for n in grid.shape]
        high = [draw(st.integers(a + 1, n)) for a, n in zip(low, grid.shape, strict=True)]
        voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = value
    return OrganLabels(voxels, grid, {value: f"organ {value}" for value in values})


@st.composite
def rigid_transforms(
    draw: st.DrawFn, source: str = "source", target: str = "target", reach_mm: float = 50
) -> Transform:
    """Rotations by any angle, then a shift of up to ``reach_mm`` along every axis."""
    shift = draw(st.tuples(*[_numbers(-reach_mm, reach_mm)] * 3))
    return Transform.from_parts(draw(rotations()), shift, source, target)


@st.composite
def affine_transforms(
    draw: st.DrawFn, source: str = "source", target: str = "target", reach_mm: float = 50
) -> Transform:
    """Rotations, mirrors, scales of 0.5 to 2 and shears, then a shift; well conditioned."""
    scale = np.array(draw(st.tuples(*[_numbers(0.5, 2.0)] * 3)))
    shift = draw(st.tuples(*[_numbers(-reach_mm, reach_mm)] * 3))
    linear = draw(directions()) * scale @ draw(rotations())
    return Transform.from_parts(linear, shift, source, target)


@st.composite
def deformations(draw: st.DrawFn, on: st.SearchStrategy[Grid] | None = None) -> Deformation:
    """Displacements by lattices in any direction, each vector up to a tenth of the steps between control points."""
    grid = draw(on if on is not None else any_grids_of(shapes(4, 9)))
    rng = np.random.default_rng(draw(seeds()))
    vectors = rng.uniform(-0.1, 0.1, (3, *grid.shape)) * float(grid.spacing_mm.min())
    return Deformation(grid, vectors)


def any_grids_of(shape: st.SearchStrategy[tuple[int, int, int]]) -> st.SearchStrategy[Grid]:
    """Grids of these shapes with and without shear."""
    return st.one_of(grids(shape), sheared_grids(shape))


@st.composite
def indices_in(draw: st.DrawFn, grid: Grid, count: int = 4) -> NDArray[np.float64]:
    """Fractional indices within the outer faces of a grid, shape (count, 3)."""
    rng = np.random.default_rng(draw(seeds()))
    return rng.uniform(-0.5, np.array(grid.shape) - 0.5, (count, 3))
