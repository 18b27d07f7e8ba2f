"""Whether the expected target error is the true one: pooled over many seeds, 3 to 5 markers, rigid and similarity.

    python benchmarks/alignment/target_error.py [--seeds 500] [--error 0.3]

``given``: points of one name in both scans, whose errors are known from the residual alone. ``found``: detected
markers, paired without names, whose stated errors are right but differ from marker to marker (0.5 to 2 times). The
error of a pair is ``--error`` mm (root mean square over three axes) of given points and a third of it of found ones;
targets are liver, tumour, lungs and spleen. "pooled" is stated
over true, both root mean squares over all seeds and targets; its own standard error beside it (from 20 parts).
"""

import argparse

import numpy as np
from pairing import TARGETS, layout
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.registration.markers.fiducials import Markers, align_fiducials, markers_given


def one(seed: int, count: int, model: str, kind: str, error: float) -> tuple[float, float, str]:
    rng = np.random.default_rng([seed, count, model == "similarity", kind == "given"])
    here = layout(rng, count)
    scale = rng.uniform(0.97, 1.03) if model == "similarity" else 1.0
    pose = Transform.from_parts(scale * Rotation.random(rng=rng).as_matrix(), rng.uniform(-20, 20, 3))
    sd = np.full(count, error) if kind == "given" else error / 3 * np.exp(rng.uniform(-0.7, 0.7, count))
    there = pose.map(here) + rng.standard_normal((count, 3)) * sd[:, None] / np.sqrt(3)
    names = [f"p{k}" for k in range(count)]
    fixed, moving = markers_given(Points(names, here)), markers_given(Points(names, there))
    if kind == "found":
        each = np.eye(3)[None] * (sd**2 / 3)[:, None, None]
        moving = Markers(moving.points, each, np.empty((count, 0)), are_given=False)
        fixed = Markers(fixed.points, 1e-8 * each, np.empty((count, 0)), are_given=False)
    try:
        found = align_fiducials(fixed, moving, model)
    except AlignmentError:
        return np.nan, np.nan, "refused"
    if found.error_covariance is None:
        # An uncertain pairing of three has no stated error.
        return np.nan, np.nan, str(found.verdict)
    true = np.sum((found.moving_from_fixed.map(TARGETS) - pose.map(TARGETS)) ** 2, axis=1)
    return float(np.mean(true)), float(np.mean((scale * found.target_error_mm(TARGETS)) ** 2)), str(found.verdict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--error", type=float, default=0.3)
    options = parser.parse_args()
    print("points model      markers | true mm  stated mm  pooled  +-    | good doubtful unstated")
    for kind in ("given", "found"):
        for model in ("rigid", "similarity"):
            for count in (3, 4, 5):
                rows = [one(seed, count, model, kind, options.error) for seed in range(options.seeds)]
                true, stated = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
                known = ~np.isnan(stated)
                true, stated = true[known], stated[known]
                ratio = np.sqrt(stated.mean() / true.mean())
                parts = [np.sqrt(stated[k::20].mean() / true[k::20].mean()) for k in range(20)]
                good, doubtful = (sum(r[2] == v for r in rows) for v in ("good", "doubtful"))
                print(
                    f"{kind:6s} {model:10s} {count:7d} | {np.sqrt(true.mean()):7.3f} {np.sqrt(stated.mean()):9.3f}"
                    f" {ratio:8.3f} {np.std(parts) / np.sqrt(20):6.3f} | {good:4d} {doubtful:8d} {np.sum(~known):8d}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
