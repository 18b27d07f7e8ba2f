"""Time and error of measure_occupancy beside exact overlap, on boxes whose axes are those of the scan.

Run: python benchmarks/occupancy.py
"""

import time

import numpy as np

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.quantification.occupancy import measure_occupancy


def overlaps(low: float, high: float, origin: float, spacing: float, count: int) -> np.ndarray:
    """Return the exact part of every voxel of a line within [low, high]."""
    faces = origin + spacing * (np.arange(count + 1) - 0.5)
    return np.clip(np.minimum(faces[1:], high) - np.maximum(faces[:-1], low), 0, None) / spacing


def main() -> None:
    """Print one row a number of points per voxel."""
    rng = np.random.default_rng(0)
    fine = Grid.from_spacing((160, 170, 180), 0.25, frame="bed")
    boxes = []
    for _ in range(5):
        low = rng.integers(10, 40, 3)
        boxes.append((low, low + rng.integers(40, 100, 3), rng.uniform(-3, 0, 3), rng.uniform(0.8, 1.3, 3)))
    print("points/axis   seconds   exact (s)   worst error of an organ (%)   RMS error of a voxel")
    for points in (2, 3, 5, 7, 10):
        worst, squares, count, seconds, exact_seconds = 0.0, 0.0, 0, 0.0, 0.0
        for low, high, origin, spacing in boxes:
            voxels = np.zeros(fine.shape, np.uint8)
            voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
            grid = Grid.from_spacing((60, 62, 64), spacing, origin, "bed")
            organs = OrganLabels(voxels, fine)
            began = time.perf_counter()
            found = measure_occupancy(organs, grid, samples_per_axis=points).organs["1"].dense(grid.shape)
            seconds += time.perf_counter() - began
            began = time.perf_counter()
            plane, row, column = (
                overlaps(
                    0.25 * (low[a] - 0.5), 0.25 * (high[a] - 0.5), grid.origin_mm[2 - a], spacing[a], grid.shape[a]
                )
                for a in range(3)
            )
            exact = plane[:, None, None] * row[:, None] * column
            exact_seconds += time.perf_counter() - began
            worst = max(worst, abs(found.sum() / exact.sum() - 1))
            edge = (exact > 0) & (exact < 1)
            squares, count = squares + float(((found - exact)[edge] ** 2).sum()), count + int(edge.sum())
        rms = np.sqrt(squares / count)
        print(f"{points:11d}   {seconds / 5:7.3f}   {exact_seconds / 5:9.4f}   {100 * worst:27.3f}   {rms:20.4f}")


if __name__ == "__main__":
    main()
