"""Capture of the alignment by intensity: many simulated animals, scanners and poses, right, wrong and doubted.

    python benchmarks/alignment/capture.py [--kind ct-mr] [--start near] [--seeds 100] [--effort thorough]

Every seed is another animal (mouse or head, symmetric or not), noise, contrast, voxel size, field of view (whole, or a
part of the body), grid (oblique, thick slices) and bed. "near" starts within 10 mm and 20 degrees, "flips" turns the
animal by 180 degrees about an axis besides, "positions" by any of the 24 axis-aligned turns, "any" by any rotation.
"""

import argparse
import time

import numpy as np
from animals import scene

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.registration.align import align


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", default="ct-mr", choices=["ct-ct", "ct-mr", "mr-mr", "ct-pet"])
    parser.add_argument("--start", default="near", choices=["near", "flips", "positions", "any"])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--effort", default="thorough", choices=["thorough", "fast"])
    options = parser.parse_args()
    errors, stated, good, seconds, voxels = [], [], [], [], []
    for seed in range(options.first, options.first + options.seeds):
        fixed, moving, here, there, told = scene(options.kind, options.start, seed)
        started = time.process_time()
        try:
            found = align(fixed, moving, method="intensity", effort=options.effort)
            error = float(np.sqrt(np.mean(np.sum((found.moving_from_fixed.map(here) - there) ** 2, axis=1))))
            verdict, reason = str(found.verdict), found.reason
            stated.append(float(np.sqrt(np.mean(found.target_error_mm(here) ** 2))))
        except AlignmentError as fault:
            error, verdict, reason = float("nan"), "failed", str(fault)
            stated.append(float("nan"))
        seconds.append(time.process_time() - started)
        errors.append(error)
        good.append(verdict == "good")
        voxels.append(max(fixed.grid.spacing_mm.max(), moving.grid.spacing_mm.max()))
        numbers = f"{error:8.4f} mm (stated {stated[-1]:.4f}) {seconds[-1]:4.1f} cpu s"
        print(f"{seed:4d} {numbers} {verdict:9s} {told} | {reason}", flush=True)
    right = np.array(errors) < np.array(voxels)
    called_good = np.array(good)
    print(
        f"{options.kind} {options.start}: error below a voxel {right.sum()} of {len(right)}, "
        f"wrong and called good {np.sum(~right & called_good)}, "
        f"right and not called good {np.sum(right & ~called_good)}"
    )
    if right.any():
        true, said = np.array(errors)[right], np.array(stated)[right]
        print(
            f"of the right ones: error rms {np.sqrt(np.mean(true**2)):.4f} mm (median {np.median(true):.4f}), stated "
            f"rms {np.sqrt(np.nanmean(said**2)):.4f} mm (median {np.nanmedian(said):.4f}), rms of error / stated "
            f"{np.sqrt(np.nanmean((true / said) ** 2)):.2f}; cpu {np.mean(seconds):.2f} s (most {np.max(seconds):.2f})"
        )


if __name__ == "__main__":
    main()
