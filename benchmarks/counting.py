"""How long a million signals take to be counted as cells, for every weighting.

Run: python benchmarks/counting.py [--signals 1000000]

Promise: under 0.2 s of the processor, with an interval and a flag for each signal, whatever the weights and whether
each signal brings an error of its own. Beside them the floor: numpy dividing as many signals by a slope.
Exit status 1 if the promise is broken.
"""

import argparse
import sys
import time

import numpy as np

from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.cell_number import count_cells

LEVELS = np.repeat([0.0, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5], 3)
LIMIT_S = 0.2


def processor_s(act, runs=5):
    """Return the least time of the processor that a call takes, s."""
    times = []
    for _ in range(runs):
        started = time.process_time()
        act()
        times.append(time.process_time() - started)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=1_000_000)
    count = parser.parse_args().signals
    rng = np.random.default_rng(0)
    mu = 2.0 + 1e-3 * LEVELS
    y = mu + np.hypot(1.0, 0.02 * mu) * rng.standard_normal(LEVELS.size)
    signals, own = rng.uniform(0, 600, count), rng.uniform(0.5, 5.0, count)
    slowest = 0.0
    for weights in ("none", "auto", "replicates", "1/x", "1/x2"):
        line = fit_calibration(LEVELS, y, kind="in-cells", weights=weights)
        times = [
            processor_s(lambda given=given, line=line: count_cells(signals, line, own_sd=given)) for given in (0.0, own)
        ]
        slowest = max(slowest, *times)
        print(f"{weights:11s} {times[0]:.3f} s, with errors of their own {times[1]:.3f} s")
    print(f"{'floor':11s} {processor_s(lambda: signals / 1e-3):.4f} s (one division)")
    is_kept = slowest < LIMIT_S
    print(f"{count:,} signals; promised: under {LIMIT_S:g} s: {'promise kept' if is_kept else 'PROMISE BROKEN'}")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
