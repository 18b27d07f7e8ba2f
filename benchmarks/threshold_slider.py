"""How long a threshold slider takes on a scan of 256^3: volume and total of all voxels, and outlines of three slices.

    python benchmarks/threshold_slider.py [--size 256]

Promise: an answer in 50 ms or less. Beside it what a slider without the curve does: the mask of the whole scan and its
sum by numpy. The same for an organ that holds a tenth of the voxels in part. It is the processor's time that is judged:
of the clock's, a machine with other work takes any part. Exit status 1 if the promise is broken, or if a total differs
from numpy's by more than 1e-9 of it.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.segmentation.threshold_curve import AboveThreshold, ThresholdCurve

RUNS = 60
LIMIT_MS = 50.0


@dataclass(frozen=True)
class Part:
    """What an organ holds of the scan."""

    voxel: NDArray[np.int64]
    fraction: NDArray[np.float64]


def scan(size: int) -> Volume:
    """Return a scan of noise and a hundred blobs: float32, as scanners write them."""
    rng = np.random.default_rng(0)
    voxels = rng.normal(0, 1, (size, size, size)).astype(np.float32)
    reach = max(size // 16, 2)
    index = np.mgrid[-reach:reach, -reach:reach, -reach:reach]
    blob = np.exp(-0.5 * (index**2).sum(axis=0) / (reach / 3) ** 2).astype(np.float32)
    for at in rng.integers(0, size - 2 * reach, (100, 3)):
        voxels[tuple(slice(a, a + 2 * reach) for a in at)] += rng.uniform(5, 400) * blob
    return Volume(voxels, Grid.from_spacing(voxels.shape, 0.5), Modality.MPI, "a.u.")


def milliseconds(act: Callable[[float], object], thresholds: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and the highest of the processor's time of one call, in ms."""
    times = []
    for threshold in thresholds:
        started = process_time()
        act(float(threshold))
        times.append(1e3 * (process_time() - started))
    return float(np.median(times)), max(times)


def main() -> int:
    """Print the times; return 1 if the promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    size = parser.parse_args().size
    volume = scan(size)
    voxels = np.asarray(volume.voxels)
    started = process_time()
    curve = ThresholdCurve(volume, background=0.1)
    print(f"{size}^3 float32; sorted once in {1e3 * (process_time() - started):.0f} ms of the processor")
    thresholds = np.random.default_rng(1).uniform(-3, 300, RUNS)

    def slider(threshold: float) -> tuple[AboveThreshold, list[NDArray[np.bool_]]]:
        return curve.at(threshold), [curve.mask_of_slice(threshold, axis, size // 2) for axis in range(3)]

    def whole(threshold: float) -> float:
        mask = voxels > threshold
        return float(voxels[mask].sum(dtype=np.float64))

    taken, longest = milliseconds(slider, thresholds)
    plain, _ = milliseconds(whole, thresholds[:15])
    alone, _ = milliseconds(curve.at, thresholds)
    print(f"slider, total and three slices: {taken:.2f} ms (median), {longest:.2f} ms at most; limit {LIMIT_MS:g} ms")
    print(f"    the total alone {alone:.3f} ms; numpy over the whole scan {plain:.1f} ms")

    rng = np.random.default_rng(2)
    held = np.sort(rng.choice(voxels.size, voxels.size // 10, replace=False))
    part = Part(held, rng.random(held.size))
    started = process_time()
    organ = ThresholdCurve(volume, part, background=0.1)
    sorted_ms = 1e3 * (process_time() - started)
    of_organ, _ = milliseconds(organ.at, thresholds)
    print(f"an organ of {held.size} voxels: sorted in {sorted_ms:.0f} ms, then {of_organ:.3f} ms")

    worst = 0.0
    for threshold in thresholds[:10]:
        above = voxels[voxels > np.float32(threshold)].astype(np.float64) - 0.1
        truth = above.sum() * volume.voxel_measure
        worst = max(worst, abs(curve.at(float(threshold)).total / truth - 1))
        inside = voxels.ravel()[held] > np.float32(threshold)
        truth = part.fraction[inside] @ (voxels.ravel()[held][inside].astype(np.float64) - 0.1) * volume.voxel_measure
        worst = max(worst, abs(organ.at(float(threshold)).total / truth - 1))
    print(f"totals differ from numpy's by {worst:.1e} at most")
    return 0 if longest <= LIMIT_MS and worst <= 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
