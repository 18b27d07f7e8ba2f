"""Whether overlap of bodies and agreement of edges tell right alignments from wrong ones, on simulated mice.

    python benchmarks/alignment/quality.py [--seeds 30]

Every seed: a mouse in two random poses, as CT (0.4 mm), MR and CT again (0.5 mm); the true transform, the true one off
by 1, 2 and 4 mm, and the animal put in the other way round about each of its axes. And what one comparison of two scans
of 200 x 200 x 450 voxels costs.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parent))
from mouse import MARKERS, Mouse, grid_around, random_pose

from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.quality import checked

FIELD_MM = (44.0, 44.0, 110.0)


def wrong_ways(body_from_scanner: Transform, rng: np.random.Generator) -> dict[str, Transform]:
    """Return maps of the fixed frame onto itself: none, shifts along a random direction, and turns of the body."""
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    ways = {"right": Transform.identity("fixed", "fixed")}
    ways |= {f"{mm} mm off": Transform.from_parts(np.eye(3), mm * direction, "fixed", "fixed") for mm in (1, 2, 4)}
    there = body_from_scanner.between("fixed", "body")
    for axis, words in zip("xyz", ("tail first, belly up", "tail first", "belly up"), strict=True):
        turn = Rotation.from_euler(axis, 180, degrees=True).as_matrix()
        ways[words] = there.inverse() @ Transform.from_parts(turn, np.zeros(3), "body", "body") @ there
    return ways


def pair(seed: int) -> tuple[Volume, dict[str, Volume], Transform, Transform]:
    rng = np.random.default_rng(seed)
    poses = [random_pose(rng, 15, 3), random_pose(rng, 15, 3)]
    first, second = (Mouse(p.between("body", f), MARKERS) for p, f in zip(poses, ("fixed", "moving"), strict=True))
    fine, coarse = grid_around(FIELD_MM, 0.4, "fixed"), grid_around(FIELD_MM, 0.5, "moving")
    moving = {"CT-MR": second.mr(coarse, seed + 1000), "CT-CT": second.ct(coarse, seed + 2000)}
    truth = second.scanner_from_body @ first.scanner_from_body.inverse()
    return first.ct(fine, seed), moving, truth, first.scanner_from_body.inverse()


def cost() -> None:
    mouse = Mouse(Transform.identity("body", "fixed"), MARKERS)
    grid = grid_around((40.0, 40.0, 90.0), 0.2, "fixed")
    fixed, moving = mouse.ct(grid, 0), mouse.mr(grid, 1)
    known = Alignment(Transform.identity("fixed", "fixed"), "frame")
    spent = []
    for _ in range(5):
        started = time.process_time()
        checked(known, fixed, moving)
        spent.append(time.process_time() - started)
    print(f"cost: {min(spent):.3f} s CPU at {' x '.join(map(str, grid.shape))} voxels (before and after are compared)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    options = parser.parse_args()
    cost()
    edges: dict[tuple[str, str], list[float]] = {}
    overlaps: dict[tuple[str, str], list[float]] = {}
    doubted: dict[tuple[str, str], list[bool]] = {}
    for seed in range(options.seeds):
        fixed, others, truth, body_from_scanner = pair(seed)
        for way, moved in wrong_ways(body_from_scanner, np.random.default_rng(seed + 5000)).items():
            for name, moving in others.items():
                found = checked(Alignment(truth @ moved, "frame"), fixed, moving)
                edges.setdefault((name, way), []).append(found.images.edge_agreement)
                overlaps.setdefault((name, way), []).append(found.images.body_overlap)
                doubted.setdefault((name, way), []).append(found.verdict is Verdict.DOUBTFUL)
    print(f"{options.seeds} seeds; agreement of edges (1 all, 0 chance), and overlap of bodies (Dice)")
    head = ("pair", "transform", "edges: lowest", "median", "highest", "doubtful", "overlap")
    print("{:6} {:22} {:>13} {:>7} {:>8} {:>10} {:>8}".format(*head))
    for (name, way), values in edges.items():
        low, middle, high = np.quantile(values, (0, 0.5, 1))
        called, overlap = np.mean(doubted[name, way]), np.median(overlaps[name, way])
        print(f"{name:6} {way:22} {low:13.2f} {middle:7.2f} {high:8.2f} {called:9.0%} {overlap:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
