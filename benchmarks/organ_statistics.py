"""Statistics of 20 organs over 512^3 voxels beside SimpleITK, numpy's box masks and scipy, all in one run.

Wall and CPU time are the best of three, after one call to warm up; memory is what a process of its own needs beyond
the scan and its labels. Run: python benchmarks/organ_statistics.py [--size 512] [--slow]
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from scipy import ndimage

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume


def scene(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a scan of noise and lit organs (float32), and the labels (uint8): 20 ellipsoids."""
    rng = np.random.default_rng(0)
    labels = np.zeros((size, size, size), np.uint8)
    for organ in range(1, 21):
        radii = rng.uniform(0.05, 0.14, 3) * size
        centre = rng.uniform(radii, size - radii)
        low, high = np.floor(centre - radii).astype(int), np.ceil(centre + radii).astype(int)
        axes = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        inside = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, centre, radii, strict=True)) <= 1
        labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][inside] = organ
    voxels = rng.standard_normal(labels.shape, dtype=np.float32)
    voxels += labels
    return voxels, labels


def ours(voxels: np.ndarray, labels: np.ndarray, with_median: bool):
    """Return the statistics made here."""
    from napari_mpi_track.quantification.organ_statistics import organ_statistics

    grid = Grid.from_spacing(labels.shape, 0.2)
    voxels.flags.writeable = labels.flags.writeable = False
    volume, organs = Volume(voxels, grid), OrganLabels(labels, grid)
    return lambda: organ_statistics(volume, organs, with_median=with_median)


def box_masks(voxels: np.ndarray, labels: np.ndarray):
    """Return numpy's: the box of every organ found, then masks within it."""

    def run() -> list:
        found = []
        for organ, box in enumerate(ndimage.find_objects(labels), start=1):
            values = voxels[box][labels[box] == organ]
            found.append((values.size, values.mean(), values.std(), values.min(), values.max(), np.median(values)))
        return found

    return run


def itk(voxels: np.ndarray, labels: np.ndarray):
    """Return SimpleITK's LabelStatistics (no median without a histogram)."""
    import SimpleITK

    image, map_ = SimpleITK.GetImageFromArray(voxels), SimpleITK.GetImageFromArray(labels)

    def run() -> object:
        found = SimpleITK.LabelStatisticsImageFilter()
        found.Execute(image, map_)
        return found

    return run


def scipys(voxels: np.ndarray, labels: np.ndarray):
    """Return scipy.ndimage's five statistics, one call each."""
    organs = np.arange(1, 21)

    def run() -> list:
        return [
            call(voxels, labels, organs)
            for call in (ndimage.mean, ndimage.standard_deviation, ndimage.minimum, ndimage.maximum, ndimage.median)
        ]

    return run


TOOLS = {
    "ours": lambda v, s: ours(v, s, False),
    "ours, with median": lambda v, s: ours(v, s, True),
    "numpy box masks, with median": box_masks,
    "SimpleITK LabelStatistics": itk,
    "scipy.ndimage, five calls": scipys,
}


def measure(tool: str, size: int) -> None:
    """Print wall and CPU seconds, and the peak of memory beyond the scan's, of one tool."""
    run = TOOLS[tool](*scene(size))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if "scipy" not in tool:
        run()
    walls, processor = [], []
    for _ in range(1 if "scipy" in tool else 3):
        began, used = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    # The scene itself needs more to be made than to be kept; a peak under that does not show.
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{tool}\t{min(walls)}\t{min(processor)}\t{extra}")


def main() -> None:
    """Print one row a tool."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--slow", action="store_true", help="scipy.ndimage too")
    parser.add_argument("--tool")
    asked = parser.parse_args()
    if asked.tool:
        measure(asked.tool, asked.size)
        return
    rows = []
    for tool in TOOLS:
        if "scipy" in tool and not asked.slow:
            continue
        command = [sys.executable, __file__, "--size", str(asked.size), "--tool", tool]
        name, *numbers = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split("\t")
        rows.append((name, *map(float, numbers)))
    wall, processor = rows[1][1], rows[1][2]
    print(f"{'':32} wall s  (of ours)   cpu s  (of ours)   extra MB")
    for name, seconds, used, extra in rows:
        print(f"{name:32} {seconds:6.3f}  {seconds / wall:8.2f}  {used:6.3f}  {used / processor:8.2f}  {extra:9.0f}")


if __name__ == "__main__":
    main()
