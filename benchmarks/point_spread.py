"""How right a measured point spread is: bias of its widths, coverage of their 95 % intervals, right shape chosen.

    python benchmarks/point_spread.py [--seeds 200]

A ball under a known blur (simulated two times finer than the scan's voxels and averaged) at a new place within its
voxel for every seed, under noise correlated as reconstructions correlate it. Errors per axis together.
"""

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.point_source import measure_point_spread
from napari_mpi_track.simulation.anatomy import Solid, ellipsoid
from napari_mpi_track.simulation.scanner import Blur, Noise, blurred, noise_field


@dataclass(frozen=True)
class Case:
    """One way a point source is scanned."""

    shape: str = "gaussian"
    fwhm_mm: tuple[float, float, float] = (2.5, 3.0, 2.2)
    diameter_mm: float = 1.0
    peak_over_noise: float = 50.0
    correlation_voxels: float = 1.0
    is_projection: bool = False

    @property
    def words(self) -> str:
        kind = "2-D" if self.is_projection else "3-D"
        return f"{self.shape:10} {kind} ball {self.diameter_mm:g} mm, peak {self.peak_over_noise:g} SD"


CASES = [
    Case(shape, diameter_mm=diameter, peak_over_noise=peak, is_projection=is_projection)
    for shape in ("gaussian", "lorentzian")
    for diameter, peak, is_projection in (
        (1, 20, False),
        (1, 50, False),
        (1, 200, False),
        (2, 50, False),
        (1, 50, True),
    )
]


def scan(case: Case, seed: int) -> Volume:
    rng = np.random.default_rng(seed)
    shape = (40, 40, 40)
    fine = Grid.from_spacing(tuple(2 * n for n in shape), 0.5, frame="bed")
    ball = ellipsoid(19.75 + rng.uniform(-0.5, 0.5, 3), [case.diameter_mm / 2] * 3)
    clean = blurred([(Solid((ball,)), 1000.0)], fine, np.eye(4), Blur(case.shape, case.fwhm_mm))
    clean = clean.reshape(40, 2, 40, 2, 40, 2).mean(axis=(1, 3, 5))
    if case.is_projection:
        clean = clean.sum(axis=0, keepdims=True)
    noise = noise_field(clean.shape, Noise(clean.max() / case.peak_over_noise, case.correlation_voxels), rng)
    return Volume(clean + noise, Grid.from_spacing(clean.shape, 1.0, frame="bed"), is_projection=case.is_projection)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    options = parser.parse_args()
    for case in CASES:
        report(case, options.seeds)


def report(case: Case, seeds: int) -> None:
    true = np.array(case.fwhm_mm)
    axes = slice(1, 3) if case.is_projection else slice(0, 3)
    errors, sds, shapes = [], [], {"right": 0, "wrong": 0, "undecided": 0}
    seconds = 0.0
    for seed in range(seeds):
        volume = scan(case, seed)
        started = time.process_time()
        found = measure_point_spread(volume, case.diameter_mm)
        seconds += time.process_time() - started
        word = "undecided" if found.shape is None else "right" if found.shape == case.shape else "wrong"
        shapes[word] += 1
        fit = replace(found, shape=next(one for one in found.fits if one == case.shape)).fit
        errors.append(fit.fwhm_mm[axes] - true[axes])
        sds.append(fit.fwhm_sd_mm[axes])
    error, sd = np.array(errors), np.array(sds)
    held = np.abs(error) <= 1.96 * sd
    parts = error.mean(axis=0), error.std(axis=0), sd.mean(axis=0)
    bias, scatter, stated = (100 * part / true[axes] for part in parts)
    print(
        f"{case.words}: bias {bias.min():+.1f} to {bias.max():+.1f} %, SD {scatter.mean():.1f} % "
        f"(stated {stated.mean():.1f} %), 95 % intervals hold {100 * held.mean():.1f} % "
        f"(by axis {', '.join(f'{100 * h:.1f}' for h in held.mean(axis=0))}); shape right {shapes['right']}, "
        f"undecided {shapes['undecided']}, wrong {shapes['wrong']}; {seconds / seeds:.2f} s CPU each",
        flush=True,
    )


if __name__ == "__main__":
    main()
