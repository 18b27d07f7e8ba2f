"""How often do comparisons of two curves hold what they say? Simulated pairs of known truth.

Run: python benchmarks/curve_comparison.py [--pairs 1500] [--seed 4]

Two curves of equal slope, six standards and a blank in triplicate: coverage of the percentage over the common range and
of the slopes (95 % wanted), and how often equal slopes are refuted (5 % wanted).
"""

import argparse
import time

import numpy as np

from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.curve_comparison import compare_curves

LEVELS = np.repeat([0.0, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5], 3)
INTERCEPT, SLOPE = 2.0, 1e-3
# Weights, and the scatter of one measurement: constant, and in parts of the signal.
WAYS = (("none", 2.0, 0.0), ("auto", 1.0, 0.02), ("auto", 2.0, 0.0))


def curve(rng, weights, constant, relative):
    mu = INTERCEPT + SLOPE * LEVELS
    signal = mu + np.hypot(constant, relative * mu) * rng.standard_normal(LEVELS.size)
    return fit_calibration(LEVELS, signal, kind="in-cells", weights=weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=4)
    wanted = parser.parse_args()
    for way in WAYS:
        rng, started = np.random.default_rng(wanted.seed), time.process_time()
        told = []
        for _ in range(wanted.pairs):
            found = compare_curves(curve(rng, *way), curve(rng, *way))
            tests = (found.equal_slopes, found.equal_slopes_own_scatter)
            covered = [part.low <= 0.0 <= part.high for part in (found.over_range, found.of_slopes)]
            told.append([*covered, *(test.p_value < 0.05 for test in tests)])
        over_range, slopes, ancova, own = 100 * np.mean(told, axis=0)
        print(
            f"{way[0]:5s} scatter {way[1]:g} and {100 * way[2]:g} % of signal: range covered in {over_range:.1f} %,"
            f" slopes in {slopes:.1f} %; equal slopes refuted by ANCOVA {ancova:.1f} %, by own scatter {own:.1f} %"
            f" ({time.process_time() - started:.0f} s of the processor)",
            flush=True,
        )


if __name__ == "__main__":
    main()
