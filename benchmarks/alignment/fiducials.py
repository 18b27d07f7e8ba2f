"""Fiducial alignment of a simulated mouse, MPI (1 mm) to CT or MRI, markers found in both scans: error over seeds.

    python benchmarks/alignment/fiducials.py [--seeds 20] [--missing] [--blur gaussian|lorentzian]
        [--anatomy ct|mr|dark-in-gel|dark-in-air] [--size]

Prints the target error (liver, tumour, lungs, spleen) beside the expected one, and how often the pairing was right,
wrong, and wrong yet called good. Liver, spleen, tumour and lungs are lit in the MPI. Markers that are dark in MR are
seen in a ball of gel, and in air they cannot be.
"""

import argparse
import time

import numpy as np
from mouse import MARKERS, SOFT, Mouse, bones, gaussian, grid_around, lorentzian, random_pose

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.registration.align import align

TARGETS = np.array([[-1, -1, 0], [-10, 4, -22], [4.5, 1, 14], [8, 3, -6]], dtype=float)


def one(seed: int, options: argparse.Namespace) -> tuple[float, float, str, float, str]:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 6))
    markers = MARKERS[rng.permutation(5)[:count]] + rng.uniform(-1.5, 1.5, (count, 3)) * [0, 0, 1]
    fwhm = rng.uniform(2.0, 4.0)
    blur = {"gaussian": gaussian, "lorentzian": lorentzian}[options.blur](fwhm)
    there, here = random_pose(rng, rng.uniform(0, 15), 3), random_pose(rng, rng.uniform(0, 40), 5, flip=seed % 3 == 0)
    radius, density = rng.uniform(0.6, 1.3), rng.uniform(500, 3000)
    bright = rng.uniform(30, 120) * (0.8 / radius) ** 3 * (fwhm / 3) ** 3 * (3 if options.blur == "lorentzian" else 1)
    in_mr = 0.0 if options.anatomy.startswith("dark") else 1600.0
    gel = (
        [("gel", tuple(m), (2.5, 2.5, 2.5), 30, 900, 0.0) for m in markers] if options.anatomy == "dark-in-gel" else []
    )
    parts = (*SOFT, *bones(), *gel)
    fixed_mouse = Mouse(there, markers, parts, marker_radius_mm=radius, marker_hu=density, marker_mr=in_mr)
    left = markers[1:] if options.missing else markers
    moving_mouse = Mouse(here, left, marker_radius_mm=radius, marker_tracer=bright)
    grid = grid_around((48, 48, 115), 0.4, "anatomy")
    anatomy = fixed_mouse.ct(grid, seed) if options.anatomy == "ct" else fixed_mouse.mr(grid, seed)
    mpi = moving_mouse.mpi(grid_around((48, 48, 115), 1.0, "mpi"), seed + 10_000, blur)
    started = time.process_time()
    try:
        found = align(anatomy, mpi, method="fiducials", marker_size_mm=2 * radius if options.size else None)
    except AlignmentError as fault:
        return np.nan, np.nan, "failed", time.process_time() - started, str(fault)
    seconds = time.process_time() - started
    points = there.map(TARGETS)
    error = np.linalg.norm(found.moving_from_fixed.map(points) - here.map(TARGETS), axis=1)
    expected = found.target_error_mm(points)
    return float(np.sqrt(np.mean(error**2))), float(np.sqrt(np.mean(expected**2))), found.verdict, seconds, found.reason


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--blur", default="gaussian", choices=["gaussian", "lorentzian"])
    parser.add_argument("--anatomy", default="ct", choices=["ct", "mr", "dark-in-gel", "dark-in-air"])
    parser.add_argument("--size", action="store_true", help="tell the markers' diameter")
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        rows.append(one(seed, options))
        error, expected, verdict, seconds, reason = rows[-1]
        print(
            f"{seed:4d} error {error:7.3f} mm expected {expected:6.3f} mm {verdict:9s} {seconds:5.2f} s  {reason}",
            flush=True,
        )
    errors, expected = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    right = errors < 1.0
    good = np.array([r[2] == "good" for r in rows])
    print(f"right {right.sum()}, wrong {np.sum(~right & ~np.isnan(errors))}, refused {np.isnan(errors).sum()}")
    print(f"right and called good {np.sum(right & good)}, wrong and called good {np.sum(~right & good)}")
    if right.any():
        true, stated = (np.sqrt(np.mean(values[right] ** 2)) for values in (errors, expected))
        print(f"rms error {true:.3f} mm, expected {stated:.3f} mm")


if __name__ == "__main__":
    main()
