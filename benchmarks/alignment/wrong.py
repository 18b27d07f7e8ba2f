"""Whether wrong poses are called good when the search has missed the right one.

    python benchmarks/alignment/wrong.py [--kind ct-mr] [--seeds 25] [--first 0]

The animals of capture.py, flipped. All that the search finds within 2 mm of the truth is taken away; in its place come
the bodies' flips about their axes, shifts along the body by 3.6 and 7.2 mm (a vertebra of a mouse, and two) and rolls
by 35 and 70 degrees, each climbed from. The best pose left is refined and judged as any other, then the one after it.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
from animals import scene

from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.alignment import Verdict, rotation_from_vector
from napari_mpi_track.registration.images import intensity
from napari_mpi_track.registration.images.search import FEW, FINE, MEDIUM, Search, Top
from napari_mpi_track.registration.quality import checked

LEAST_MM = 2.0


class Misled(Search):
    """A search that found what it is given."""

    __slots__ = ("tops",)

    def best_poses(self, _breadth: object) -> list[Top]:
        return self.tops


def misled(search: Search, tops: list[Top]) -> Search:
    found = Misled(
        search.fixed, search.moving, search.same_modality, search.seed, search.centre, search.radius, search.watch
    )
    object.__setattr__(found, "tops", tops)
    return found


def wrong_tops(search: Search, truth: np.ndarray) -> list[Top]:
    """Return the tops that are not the right one, the most alike first."""
    medium = search.at(MEDIUM)
    tops = list(search.best_poses(FEW))
    axes = search.fixed.axes
    long = axes[:, 0]
    turns = [(rotation_from_vector(np.pi * axis), np.zeros(3), 0.05) for axis in axes.T]
    turns += [(np.eye(3), mm * long, 0.01) for mm in (-7.2, -3.6, 3.6, 7.2)]
    turns += [(rotation_from_vector(angle * long), np.zeros(3), 0.02) for angle in (-1.2, -0.6, 0.6, 1.2)]
    for turn, shift, step in turns:
        moved = np.eye(4)
        moved[:3, :3], moved[:3, 3] = turn, search.centre - turn @ search.centre + shift
        tops.append(search.climbed(medium, truth @ moved, step))
    tops = search.different([top for top in tops if search.apart(top.matrix, truth) > LEAST_MM], 0.05)[:6]
    fine = search.at(FINE)
    climbed = [search.climbed(fine, top.matrix, 0.01) for top in tops]
    return search.different([top for top in climbed if search.apart(top.matrix, truth) > LEAST_MM], 0.05)


def told(fixed: Volume, moving: Volume, here: np.ndarray, there: np.ndarray) -> list[tuple[float, Verdict, str]]:
    """Return of two wrong poses how far they are off in mm, the verdict, and its reason."""
    affine = np.linalg.lstsq(np.c_[here, np.ones(len(here))], there, rcond=None)[0]
    truth = np.vstack([affine.T, [0, 0, 0, 1]])
    search = intensity._search(fixed, moving, None, 0, intensity.Watch())
    tops = wrong_tops(search, truth)
    found = []
    while tops and len(found) < 2:
        wish = intensity._Wish("rigid", (FINE,), np.eye(4), False)
        alignment = intensity._found(misled(search, tops), FEW, wish)
        off = search.apart(alignment.moving_from_fixed.target_from_source, truth)
        between = alignment.moving_from_fixed.target_from_source
        tops = [top for top in tops if search.apart(top.matrix, between) > 0.2 * search.radius]
        if off < LEAST_MM:
            break
        seen = checked(replace(alignment, moving_from_fixed=Transform(between)), fixed, moving)
        verdict = Verdict.FAILED if alignment.verdict is Verdict.FAILED else seen.verdict
        found.append((off, verdict, seen.reason))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", default="ct-mr", choices=["ct-ct", "ct-mr", "mr-mr", "ct-pet"])
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    verdicts = []
    started = time.process_time()
    for seed in range(options.first, options.first + options.seeds):
        fixed, moving, here, there, special = scene(options.kind, "flips", seed)
        for off, verdict, reason in told(fixed, moving, here, there):
            verdicts.append(verdict)
            print(f"{seed:4d} {off:5.1f} mm off {verdict:9s} {special} | {reason}", flush=True)
    good = sum(verdict is Verdict.GOOD for verdict in verdicts)
    failed = sum(verdict is Verdict.FAILED for verdict in verdicts)
    spent = (time.process_time() - started) / options.seeds
    print(
        f"{options.kind}: of {len(verdicts)} wrong poses {good} called good, {failed} failed; {spent:.1f} cpu s a seed"
    )


if __name__ == "__main__":
    main()
