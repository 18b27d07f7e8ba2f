"""Time and error of measure_occupancy: exact overlaps, small and curved organs, and labels of 512^3 voxels.

Volumes are compared with the drawn ones (affine) or with the Jacobian over a raster in every label voxel (curved),
single voxels with exact overlaps, or with a raster of 40 (curved: 16) points per axis followed back one by one.
Run: python benchmarks/occupancy.py [--size 512]
"""

import argparse
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parent))
from organ_statistics import scene

from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.quantification.occupancy import measure_occupancy
from napari_mpi_track.quantification.organ_signal import measure_organs
from napari_mpi_track.quantification.spill_over import correct_spill_over

SHAPES = ("ball of 1 voxel", "ball of 10 voxels", "ball of 200 voxels", "tube", "crescent", "crumbs")


def draw(shape: str, fine: Grid, rng: np.random.Generator) -> np.ndarray:
    """Return an organ of this shape on ``fine`` (0.2 to 0.3 mm) in the middle, drawn by its voxels' centres."""
    places = fine.lps_from(np.stack(np.meshgrid(*map(np.arange, fine.shape), indexing="ij"), -1)) - fine.centre_mm
    places = places + rng.uniform(-0.3, 0.3, 3)
    distance = np.linalg.norm(places, axis=-1)
    if shape.startswith("ball"):
        return distance <= (0.75 * float(shape.split()[2]) / np.pi) ** (1 / 3)
    if shape == "tube":
        return (np.hypot(places[..., 0], places[..., 1]) < 0.8) & (abs(places[..., 2]) < 6)
    if shape == "crescent":
        return (distance < 5) & (np.linalg.norm(places - [2, 1, 0], axis=-1) > 4.5)
    return (rng.random(fine.shape) < 0.05) & (distance < 5)


def small_organs(seeds: int) -> None:
    """Print the worst and RMS error of organs of about 1 to 200 scan voxels: scans parallel, oblique, curved."""
    print("shape                 pose       worst volume error   RMS     voxel RMS")
    for shape in SHAPES:
        for pose in ("parallel", "oblique", "curved"):
            errors, squares = [], []
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                fine = Grid.from_spacing((64, 60, 72), rng.uniform(0.2, 0.3, 3), rng.uniform(-5, 5, 3), "ct")
                voxels = draw(shape, fine, rng).astype(np.uint8)
                turned = np.eye(3) if pose == "parallel" else Rotation.random(random_state=seed).as_matrix()
                matrix = np.eye(4)
                matrix[:3, :3] = turned * rng.uniform(0.8, 1.25, 3)
                matrix[:3, 3] = fine.centre_mm - matrix[:3, :3] @ rng.uniform(13, 14, 3)
                grid = Grid((28, 29, 30), matrix, "mpi")
                way = bent(fine, rng) if pose == "curved" else Transform.identity("ct", "mpi")
                organ = measure_occupancy(OrganLabels(voxels, fine), grid, way).organs["1"]
                volume = organ.fraction.sum() * grid.voxel_volume_mm3
                errors.append(volume / true_volume(voxels, fine, way) - 1)
                some = np.argsort(organ.fraction)[:: max(1, len(organ.fraction) // 6)]
                raster = raster_fractions(voxels, fine, grid, way, organ.voxel[some], 16 if pose == "curved" else 40)
                squares.append(np.mean((organ.fraction[some] - raster) ** 2))
            worst, rms = np.abs(errors).max(), np.sqrt(np.mean(np.square(errors)))
            print(
                f"{shape:20}  {pose:9} {100 * worst:10.4f} %  {100 * rms:13.4f} %  {np.sqrt(np.mean(squares)):8.4f}",
                flush=True,
            )


def bent(fine: Grid, rng: np.random.Generator) -> Transform:
    """Return a deformation of control points 6 mm apart, each moved by up to 0.8 mm along every axis."""
    lattice = Grid.from_spacing((11, 11, 11), 6.0, fine.centre_mm - 30)
    return Transform(np.eye(4), "ct", "mpi", Deformation(lattice, rng.uniform(-0.8, 0.8, (3, 11, 11, 11))))


def true_volume(voxels: np.ndarray, fine: Grid, way: Transform) -> float:
    """Return the drawn volume times the Jacobian, of 3 x 3 x 3 Gauss points in every voxel."""
    index = np.argwhere(voxels)
    if way.deformation is None:
        return len(index) * fine.voxel_volume_mm3
    nodes, weights = np.polynomial.legendre.leggauss(3)
    total = 0.0
    for a, u in zip(nodes / 2, weights / 2, strict=True):
        for b, v in zip(nodes / 2, weights / 2, strict=True):
            for c, w in zip(nodes / 2, weights / 2, strict=True):
                total += u * v * w * way.volume_change(fine.lps_from(index + [a, b, c])).sum()
    return total * fine.voxel_volume_mm3


def raster_fractions(
    voxels: np.ndarray, fine: Grid, grid: Grid, way: Transform, flat: np.ndarray, count: int
) -> np.ndarray:
    """Return the part of some voxels inside the organ, from ``count`` points per axis, each followed back."""
    steps = (np.arange(count) + 0.5) / count - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    found = []
    for middle in np.stack(np.unravel_index(flat, grid.shape), -1):
        back, _ = way.search_back(grid.lps_from(middle + offsets))
        at = np.rint(fine.index_from(back)).astype(int)
        inside = np.all((at >= 0) & (at < fine.shape), axis=1)
        found.append(voxels[tuple(at[inside].T)].sum() / len(offsets))
    return np.array(found)


def boxes() -> None:
    """Print the error of boxes parallel to the scan beside their exact overlap."""
    worst, squares = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        fine = Grid.from_spacing((120, 130, 140), 0.25, frame="bed")
        low = rng.integers(5, 30, 3)
        high = low + rng.integers(3, 85, 3)
        voxels = np.zeros(fine.shape, np.uint8)
        voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
        grid = Grid.from_spacing((50, 52, 54), rng.uniform(0.8, 1.3, 3), rng.uniform(-3, 0, 3), "bed")
        plane, row, column = (
            overlaps(0.25 * (low[a] - 0.5), 0.25 * (high[a] - 0.5), grid.origin_mm[2 - a], grid.spacing_mm[a], n)
            for a, n in enumerate(grid.shape)
        )
        exact = plane[:, None, None] * row[:, None] * column
        found = measure_occupancy(OrganLabels(voxels, fine), grid).organs["1"].dense(grid.shape)
        worst.append(abs(found.sum() / exact.sum() - 1))
        edge = (exact > 0) & (exact < 1)
        squares.append(np.mean((found - exact)[edge] ** 2))
    print(f"boxes, exact overlap: worst volume error {100 * max(worst):.4f} %, ", end="")
    print(f"RMS {100 * np.sqrt(np.mean(np.square(worst))):.4f} %, voxel RMS {np.sqrt(np.mean(squares)):.4f}")


def overlaps(low: float, high: float, origin: float, spacing: float, count: int) -> np.ndarray:
    """Return the exact part of every voxel of a line within [low, high]."""
    faces = origin + spacing * (np.arange(count + 1) - 0.5)
    return np.clip(np.minimum(faces[1:], high) - np.maximum(faces[:-1], low), 0, None) / spacing


def large(size: int) -> None:
    """Print time and memory of ``size``^3 labels of 20 organs on a scan of 200 x 100 x 100 voxels."""
    voxels, labels = scene(size)
    del voxels
    labels.flags.writeable = False
    fine = Grid.from_spacing(labels.shape, 102.4 / size, frame="ct")
    organs = OrganLabels(labels, fine)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (20, 12, 31), degrees=True).as_matrix()
    matrix[:3, 3] = fine.centre_mm - matrix[:3, :3] @ fine.centre_mm
    grid = Grid.from_spacing((200, 100, 100), (0.5, 1.0, 1.0), (1.3, 1.2, 1.1), "mpi")
    for name, way in (("parallel", Transform.identity("ct", "mpi")), ("oblique", Transform(matrix, "ct", "mpi"))):
        measure_occupancy(organs, grid, way)
        began, used = time.perf_counter(), time.process_time()
        occupancy = measure_occupancy(organs, grid, way)
        wall, processor = time.perf_counter() - began, time.process_time() - used
        tracemalloc.start()
        measure_occupancy(organs, grid, way)
        extra = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        together = occupancy.outside() + sum(organ.dense(grid.shape) for organ in occupancy.organs.values())
        off = np.abs(together - 1).max()
        print(
            f"{size}^3, {name}: {wall:.2f} s wall, {processor:.2f} s cpu, {extra:.0f} MB more; conserved to {off:.0e}"
        )


def atlas_sized() -> None:
    """Print how long labels of Digimouse's size (190 x 496 x 104, 21 organs, 0.2 mm) take from file to corrected total.

    Made up: 20 balls in a body, since the atlas itself is not ours to give.
    """
    rng = np.random.default_rng(0)
    fine = Grid.from_spacing((190, 496, 104), 0.2, frame="ct")
    places = fine.lps_from(np.stack(np.meshgrid(*map(np.arange, fine.shape), indexing="ij"), -1)).astype(np.float32)
    inside = (places - fine.centre_mm) / (np.array(fine.shape)[::-1] * 0.1)
    labels = ((inside**2).sum(-1) < 1).astype(np.uint8)
    for organ in range(2, 22):
        centre = fine.centre_mm + rng.uniform(-0.5, 0.5, 3) * np.array(fine.shape)[::-1] * 0.1
        labels[((places - centre) ** 2).sum(-1) < rng.uniform(0.8, 4.0) ** 2] = organ
    organs = OrganLabels(labels, fine)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (5, 8, 11), degrees=True).as_matrix()
    matrix[:3, 3] = fine.centre_mm - matrix[:3, :3] @ fine.centre_mm
    grid = Grid.from_spacing((44, 104, 28), 1.0, (-3.0, -3.0, -3.0), "mpi")
    noise = Noise(1.0, 0.0, np.ones((1, 1, 1)), "made up")
    used = [time.process_time()]
    occupancy = measure_occupancy(organs, grid, Transform(matrix, "ct", "mpi"))
    used.append(time.process_time())
    scan = Volume(100 * sum(organ.dense(grid.shape) for organ in occupancy.organs.values()), grid, Modality.MPI)
    signals = measure_organs(scan, occupancy, noise)
    used.append(time.process_time())
    spill = correct_spill_over(scan, occupancy, signals, noise, PointSpread("gaussian", np.full(3, 1.5)))
    used.append(time.process_time())
    steps = ", ".join(
        f"{name} {s:.2f}" for name, s in zip(("occupancy", "totals", "spill-over"), np.diff(used), strict=True)
    )
    parts = [signals.organs[name].total for name in (*signals.names, "outside")]
    off = abs(sum(parts) / signals.organs["total"].total - 1)
    print(f"190 x 496 x 104, {len(spill.names)} organs: cpu s {steps}; organs and outside against total {off:.0e}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    large(asked.size)
    atlas_sized()
    boxes()
    if asked.seeds:
        small_organs(asked.seeds)


if __name__ == "__main__":
    main()
