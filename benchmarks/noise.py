"""Noise SD of organ totals, and how sure it is said to be, over many scans of known correlated noise with lit organs.

The noise is white noise through a Gaussian filter, so the SD of any sum of voxels is known exactly.
Run: python benchmarks/noise.py [--seeds 100]
"""

import argparse

import numpy as np
from scipy import ndimage

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.volume import Volume

SHAPE = (44, 48, 60)
GRID = Grid.from_spacing(SHAPE, 1.0)
SIZES = (2, 4, 8, 14)
FWHMS = (0.0, 1.0, 2.0, 3.0, 4.0)


def kernel(fwhm_voxels: float) -> np.ndarray:
    """Return the filter along one axis, of unit gain for the noise's SD."""
    line = np.eye(1, 41, 20)[0]
    if fwhm_voxels:
        # The noise's autocorrelation is to have this FWHM: the filter's own is smaller by the root of two.
        line = ndimage.gaussian_filter1d(line, fwhm_voxels / 2.3548 / np.sqrt(2))
    return line / np.sqrt(np.sum(line**2))


def noisy(seed: int, line: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Return noise of SD 1."""
    field = np.random.default_rng(seed).standard_normal(shape)
    for axis in range(3):
        if shape[axis] > 1:
            field = ndimage.convolve1d(field, line, axis=axis, mode="wrap")
    return field


def lit(seed: int) -> np.ndarray:
    """Return smooth bright organs, up to 300 noise SDs, over a tenth of the scan."""
    rng = np.random.default_rng(seed)
    scene = np.zeros(SHAPE)
    for height in (300.0, 60.0, 15.0, 6.0):
        low = [int(rng.integers(2, n - 20)) for n in SHAPE]
        size = rng.integers(8, 16, 3)
        scene[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] += height
    return ndimage.gaussian_filter(scene, 1.2)


def ball(size: int) -> np.ndarray:
    """Return the weights of an organ of this diameter in voxels, its rim in part."""
    middle = [n / 2 for n in SHAPE]
    distance = np.linalg.norm(np.stack(np.indices(SHAPE)) - np.array(middle)[:, None, None, None], axis=0)
    return np.clip(size / 2 - distance + 0.5, 0, 1)


def true_sd(weights: np.ndarray, line: np.ndarray) -> float:
    """Return the SD of the weighted sum: the length of the filtered weights."""
    wide = np.pad(weights, 21)
    for axis in range(3):
        wide = ndimage.convolve1d(wide, line, axis=axis, mode="constant")
    return float(np.sqrt((wide**2).sum()))


def main() -> None:
    """Print one table for totals, one for the degrees of freedom."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=100)
    seeds = parser.parse_args().seeds
    organs = {size: ball(size) for size in SIZES}
    print("stated over true SD of an organ's total: mean (5 % and 95 % of scans); within 15 %")
    print("FWHM     " + "".join(f"{size:>3} voxels wide               " for size in SIZES))
    surety = []
    for fwhm in FWHMS:
        line = kernel(fwhm)
        ratios, found = {size: [] for size in SIZES}, []
        for seed in range(seeds):
            noise = estimate_noise(Volume(noisy(seed, line) + lit(seed), GRID))
            found.append((noise.sd, noise.degrees_of_freedom))
            for size, weights in organs.items():
                ratios[size].append(np.sqrt((weights * noise.smear(weights)).sum()) / true_sd(weights, line))
        cells = []
        for values in ratios.values():
            low, high = np.percentile(values, (5, 95))
            near = np.mean(np.abs(np.array(values) - 1) <= 0.15)
            cells.append(f"{np.mean(values):.3f} ({low:.2f}, {high:.2f}) {100 * near:3.0f} %    ")
        print(f"{fwhm:4.1f}   " + "  ".join(cells), flush=True)
        surety.append((fwhm, "robust, lit", np.array(found)))
        marked = np.ones(SHAPE, bool)
        marked[:, :, 30:] = False
        for name, background in (("robust, empty bore", None), ("marked half", marked)):
            found = []
            for seed in range(seeds):
                noise = estimate_noise(Volume(noisy(1000 + seed, line), GRID), background)
                found.append((noise.sd, noise.degrees_of_freedom))
            surety.append((fwhm, name, np.array(found)))
    print("\nFWHM   background            SD over true    scatter of the SD   said to be   true d.o.f.   stated d.o.f.")
    for fwhm, name, found in surety:
        sd, freedom = found.T
        scatter, stated = sd.std(ddof=1) / sd.mean(), np.median(freedom)
        print(
            f"{fwhm:4.1f}   {name:20}  {sd.mean():11.3f}  {100 * scatter:16.2f} %  {100 / np.sqrt(2 * stated):10.2f} %"
            f"  {0.5 / scatter**2:11.0f}  {stated:13.0f}"
        )


if __name__ == "__main__":
    main()
