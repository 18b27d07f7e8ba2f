"""How well projections are aligned within their plane, and whether the error they state is the one they have.

    python benchmarks/alignment/projection.py [--seeds 100]

Five markers round a mouse are seen in an X-ray-like picture (0.5 mm pixels, FWHM 1.6 mm) and in an MPI projection
(1 mm pixels, FWHM 3 mm, three lit organs brighter than the markers), put in at any angle. "missing": the MPI shows
four of the five. "tilted": the animal is tilted by 3 degrees out of the plane between the scans, its markers at
different depths: what a projection cannot know. "mirrored": it lay the other way up, and has to be refused or doubted.
Errors in mm at eight places in the body, root mean square over all seeds; "good" counts verdicts.
"""

import argparse
import time

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Verdict

MARKERS = np.array([[-11.0, 4, -26], [12, -5, -21], [-12, -3, 19], [10, 6, 24], [-9, 0, 3]])
ORGANS = np.array([[4.0, 0, 3], [-3, 2, -9], [2, -3, 14]])
TARGETS = np.array([[x, 0.0, z] for x in (-6, 6) for z in (-20, -7, 7, 20)])
CASES = ("plain", "missing", "tilted", "mirrored")


def seen(places, heights, pixels, spacing_mm, fwhm_mm, noise_sd, modality, rng) -> Volume:
    """Return places (LPS mm, seen along y) as round blobs in correlated noise."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]) * spacing_mm
    matrix[:3, 3] = -(pixels - 1) / 2 * spacing_mm * np.array([1, 0, 1])
    grid = Grid((1, pixels, pixels), matrix, str(modality))
    at = grid.lps_from(np.stack(np.meshgrid([0], *[np.arange(pixels)] * 2, indexing="ij"), axis=-1))[..., [0, 2]]
    sd = fwhm_mm / np.sqrt(8 * np.log(2))
    shown = sum(
        h * np.exp(-np.sum((at - p[[0, 2]]) ** 2, axis=-1) / (2 * sd**2)) for p, h in zip(places, heights, strict=True)
    )
    noise = ndimage.gaussian_filter(rng.normal(size=grid.shape), (0, 0.8, 0.8), mode="wrap")
    return Volume((shown + noise_sd * noise / noise.std()).astype(np.float32), grid, modality, is_projection=True)


def one(case: str, seed: int) -> tuple[str, float, float]:
    """Return the verdict, the mean squared error at the targets and the expected one, mm2."""
    rng = np.random.default_rng([seed, CASES.index(case)])
    markers = MARKERS + rng.normal(0, 1, MARKERS.shape)
    turn = Rotation.from_euler("y", rng.uniform(-180, 180), degrees=True)
    shift = rng.normal(0, 3, 3) * [1, 0, 1]
    tilt = Rotation.from_rotvec(np.radians(3.0) * np.array([np.cos(a := rng.uniform(0, 6.28)), 0, np.sin(a)]))
    if case == "tilted":
        turn = turn * tilt
    moved = turn.apply(np.vstack([markers[1:] if case == "missing" else markers, ORGANS])) + shift
    if case == "mirrored":
        moved = moved * [-1, 1, 1]
    heights = [20.0] * (len(moved) - len(ORGANS)) + [90.0, 60.0, 45.0]
    fixed = seen(markers, [90.0] * 5, 140, 0.5, 1.6, 2.0, Modality.CT, rng)
    moving = seen(moved, heights, 90, 1.0, 3.0, 0.7, Modality.MPI, rng)
    try:
        found = align(fixed, moving)
    except AlignmentError:
        return "refused", np.nan, np.nan
    true = (turn.apply(TARGETS) + shift) * ([-1, 1, 1] if case == "mirrored" else [1, 1, 1])
    off = (found.moving_from_fixed.map(TARGETS) - true)[:, [0, 2]]
    return (
        str(found.verdict),
        float(np.mean(np.sum(off**2, axis=1))),
        float(np.mean(found.target_error_mm(TARGETS) ** 2)),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=100)
    options = parser.parse_args()
    print("case      good doubtful refused  met rms  stated rms  ratio  worst   wrong and good  cpu s each")
    for case in CASES:
        started = time.process_time()
        results = [one(case, seed) for seed in range(options.seeds)]
        spent = (time.process_time() - started) / options.seeds
        counts = [sum(r[0] == word for r in results) for word in (Verdict.GOOD, Verdict.DOUBTFUL, "refused")]
        good = np.array([r[1:] for r in results if r[0] == Verdict.GOOD]).reshape(-1, 2)
        met, stated = np.sqrt(np.mean(good, axis=0)) if len(good) else (np.nan, np.nan)
        worst = np.sqrt(good[:, 0].max()) if len(good) else np.nan
        wrong = int(np.sum(good[:, 0] > 1.0))
        print(
            f"{case:9s} {counts[0]:4d} {counts[1]:8d} {counts[2]:7d}  {met:7.3f}  {stated:10.3f}  {stated / met:5.2f}"
            f"  {worst:5.2f}  {wrong:14d}  {spent:10.2f}"
        )


if __name__ == "__main__":
    main()
