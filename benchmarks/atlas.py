"""How well organs are carried from an atlas, and whether the overlap that is said to be expected is the true one.

    python benchmarks/atlas.py [--mice 12] [--first 0] [--spacing-mm 0.6]

An atlas mouse is carried to mice of 0.9 to 1.1 times its size whose lungs, liver and spleen have sizes (SD 12 %) and
places (SD 0.8 mm) of their own, lying up to 10 degrees and 3 mm from it. Truth: the organs that were drawn. For every
organ: its mean Dice overlap with the truth, the mean expected one, the scatter of expected against true, and which
organs were named as ones to look at (expected below 0.7) that were below 0.7, and above.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from simulated_mice import ct_of, dice, drawn, field, varied

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.segmentation.atlas import LOW_CONFIDENCE, carry_atlas
from napari_mpi_track.simulation.mouse import mouse


def lying(seed: int) -> np.ndarray:
    """Return where a mouse lies, 4x4."""
    rng = np.random.default_rng([seed, 1])
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-10, 10, 3), degrees=True).as_matrix()
    pose[:3, 3] = rng.uniform(-3, 3, 3)
    return pose


def rms(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def main() -> None:
    """Carry the atlas to every mouse and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mice", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--spacing-mm", type=float, default=0.6)
    wanted = parser.parse_args()
    grid = field(wanted.spacing_mm, frame="atlas")
    atlas, organs = ct_of(mouse(), grid, seed=99), drawn(mouse(), grid)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in organs.names.values()}
    started = time.process_time()
    for seed in range(wanted.first, wanted.first + wanted.mice):
        here = field(wanted.spacing_mm, frame=f"mouse {seed}")
        scan, truth = ct_of(varied(seed), here, pose=lying(seed), seed=seed), drawn(varied(seed), here, lying(seed))
        try:
            carried = carry_atlas(scan, atlas, organs)
        except MpiTrackError as refused:
            print(f"mouse {seed}: refused: {refused}", flush=True)
            continue
        told = []
        for name, said in carried.confidence.items():
            true = dice(carried.organs.mask(name), truth.mask(name))
            found[name].append((true, said))
            told.append(f"{name} {true:.2f} ({said:.2f})")
        print(f"mouse {seed}, {carried.alignment.model}: true (expected): {', '.join(told)}", flush=True)
    print(f"{(time.process_time() - started) / max(wanted.mice, 1):.1f} s CPU a mouse")
    for name, pairs in found.items():
        true, said = np.array(pairs).T
        print(f"{name}: true {true.mean():.2f}, expected {said.mean():.2f}, off by {rms(said - true):.3f}")
    true, said = np.concatenate([np.array(pairs) for pairs in found.values()]).T
    low, named = true < LOW_CONFIDENCE, said < LOW_CONFIDENCE
    print(f"all: off by {rms(said - true):.3f}, correlation {np.corrcoef(true, said)[0, 1]:.2f}")
    print(
        f"{np.sum(low & named)} of {low.sum()} organs below {LOW_CONFIDENCE:g} are named; {np.sum(named & ~low)} more"
    )


if __name__ == "__main__":
    main()
