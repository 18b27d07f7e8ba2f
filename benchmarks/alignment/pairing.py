"""How often markers are paired rightly without names, among extra blobs and with one missing: on points, many seeds.

    python benchmarks/alignment/pairing.py [--seeds 500] [--error 0.3] [--model rigid|similarity]

4 or 5 markers round a mouse, 0 to 6 extra bright blobs within it on both sides; each coordinate is off by
``--error`` / sqrt(3) (so that a marker is off by ``--error`` mm, root mean square over three axes), shared between
the two scans. "right" is only true pairs, or organs within 1 mm in spite of a false one. Extra blobs look like the
markers, or with ``--sizes`` have a size of their own (1 to 8 mm, markers 3 mm with 7 % scatter); with
``--strangers moving`` only the moving scan (MPI) has some.
"""

import argparse
import time

import numpy as np
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.registration.markers.closed_form import closed_form
from napari_mpi_track.registration.markers.pairing import Candidates, pair_by_distances

TARGETS = np.array([[-1, -1, 0], [-10, 4, -22], [4.5, 1, 14], [8, 3, -6]], dtype=float)


def layout(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return markers on the skin of a mouse: 13 mm round its axis, spread over 60 mm, at least 8 mm apart."""
    while True:
        angle = rng.uniform(0, 2 * np.pi, count)
        radius = rng.uniform(11, 15, count)
        places = np.stack([radius * np.cos(angle), radius * np.sin(angle), rng.uniform(-30, 30, count)], axis=1)
        apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 99 * np.eye(count)
        spread = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)
        if apart.min() > 8 and spread[1] > 8:
            return places


def one(seed: int, count: int, extra: int, missing: bool, options: argparse.Namespace) -> tuple[str, bool]:
    rng = np.random.default_rng([seed, count, extra, missing])
    markers = layout(rng, count)
    rotation = Rotation.random(rng=rng).as_matrix() * (rng.uniform(0.98, 1.02) if options.model == "similarity" else 1)
    shift = rng.uniform(-20, 20, 3)
    sd = options.error / np.sqrt(6)

    def side(places: np.ndarray, known: np.ndarray, extra: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        strangers = rng.uniform([-10, -8, -35], [10, 8, 35], (extra, 3))
        order = rng.permutation(len(places) + extra)
        positions = np.vstack([places, strangers])
        sizes = np.concatenate([3.0 * np.exp(0.07 * rng.standard_normal(len(places))), rng.uniform(1, 8, extra)])
        names = np.concatenate([known, -1 - np.arange(extra)])
        return positions[order] + rng.normal(0, sd, positions.shape), sizes[order], names[order]

    left = slice(1, None) if missing else slice(None)
    here, here_sizes, here_names = side(markers, np.arange(count), extra if options.strangers == "both" else 0)
    there, there_sizes, there_names = side(markers[left], np.arange(count)[left], extra)
    there = there @ rotation.T + shift

    def candidates(positions: np.ndarray, sizes: np.ndarray) -> Candidates:
        looks = np.log(sizes)[:, None] / np.log(1.5) if options.sizes else np.empty((len(positions), 0))
        return Candidates(positions, np.full(len(positions), options.error / np.sqrt(2)), looks)

    try:
        found = pair_by_distances(
            candidates(here, here_sizes), candidates(there, there_sizes), 0.03 if options.model == "similarity" else 0.0
        )
    except AlignmentError:
        return "refused", False
    first, second = here_names[found.fixed], there_names[found.moving]
    if np.all((first == second) & (first >= 0)):
        return "right", found.is_certain
    linear, translation = closed_form(
        here[found.fixed][None], there[found.moving][None], scaled=options.model == "similarity"
    )
    error = TARGETS @ linear[0].T + translation[0] - (TARGETS @ rotation.T + shift)
    rms = float(np.sqrt(np.mean(np.sum(error**2, axis=1))))
    return "right" if rms < 1.0 else "wrong", found.is_certain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--error", type=float, default=0.3)
    parser.add_argument("--model", default="rigid", choices=["rigid", "similarity"])
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--strangers", default="both", choices=["both", "moving"])
    parser.add_argument("--extra", nargs="+", type=int, default=list(range(7)))
    options = parser.parse_args()
    print("markers missing extra | right %  wrong refused | right and certain %  wrong and certain | cpu ms")
    total: dict[tuple[int, bool], list[tuple[str, bool]]] = {}
    for count in (4, 5):
        for missing in (False, True):
            for extra in options.extra:
                started = time.process_time()
                rows = [one(seed, count, extra, missing, options) for seed in range(options.seeds)]
                spent = 1000 * (time.process_time() - started) / options.seeds
                total.setdefault((count, missing), []).extend(rows)
                said(f"{count:7d} {'one' if missing else 'none':>7s} {extra:5d}", rows, f"{spent:6.1f}")
    for (count, missing), rows in total.items():
        said(f"{count:7d} {'one' if missing else 'none':>7s}   all", rows, "")


def said(what: str, rows: list[tuple[str, bool]], after: str) -> None:
    count = len(rows)
    right, wrong, refused = (sum(r[0] == kind for r in rows) for kind in ("right", "wrong", "refused"))
    sure, false = (sum(r == (kind, True) for r in rows) for kind in ("right", "wrong"))
    text = f"{what} | {100 * right / count:7.2f} {wrong:6d} {refused:7d} | {100 * sure / count:19.2f} {false:18d}"
    print(f"{text} | {after}", flush=True)


if __name__ == "__main__":
    main()
