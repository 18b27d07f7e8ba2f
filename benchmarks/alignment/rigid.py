"""Rigid alignment of simulated mice by intensity: error, capture and time, beside itk-elastix if installed.

    python benchmarks/alignment/rigid.py [--seeds 10] [--kind ct-ct|ct-mr] [--flips]

Every pair starts up to 40 degrees and 10 mm apart; with --flips the animal also lies the other way round.
"""

import argparse
import time

import numpy as np
from mouse import MARKERS, Mouse, grid_around, random_pose

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.itk import to_itk
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.registration.align import align

TARGETS = np.array([[0, 0, 0], [-10, 4, -22], [8, 3, -6], [0, 0, 20], [0, 0, 40], [5, 4, -13]], dtype=float)


def pair(seed: int, options: argparse.Namespace) -> tuple[Volume, Volume, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    here, there = random_pose(rng, 10, 3), random_pose(rng, rng.uniform(0, 40), 7, flip=options.flips)
    fixed = Mouse(here, MARKERS[:4]).ct(grid_around((48, 48, 115), 0.4, "fixed"), seed)
    animal = Mouse(there, MARKERS[:4])
    moving_grid = grid_around((48, 48, 115), 0.4 if options.kind == "ct-ct" else 0.5, "moving")
    moving = animal.ct(moving_grid, seed + 999) if options.kind == "ct-ct" else animal.mr(moving_grid, seed + 999)
    return fixed, moving, here.map(TARGETS), there.map(TARGETS)


def by_elastix(fixed: Volume, moving: Volume, points: np.ndarray) -> np.ndarray | None:
    """Return where itk-elastix's default rigid puts the points, or nothing when it is not installed."""
    try:
        import itk
    except ImportError:
        return None
    images = []
    for volume in (fixed, moving):
        image, grid = to_itk(volume), volume.grid
        one = itk.image_from_array(np.ascontiguousarray(volume.voxels, dtype=np.float32))
        one.SetSpacing(image.GetSpacing())
        one.SetOrigin([float(x) for x in grid.origin_mm])
        images.append(one)
    settings = itk.ParameterObject.New()
    settings.AddParameterMap(itk.ParameterObject.GetDefaultParameterMap("rigid"))
    _, result = itk.elastix_registration_method(*images, parameter_object=settings)
    stated = result.GetParameterMap(0)
    import SimpleITK as sitk

    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(v) for v in stated["CenterOfRotationPoint"]])
    transform.SetParameters([float(v) for v in stated["TransformParameters"]])
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--kind", default="ct-ct", choices=["ct-ct", "ct-mr"])
    parser.add_argument("--flips", action="store_true")
    options = parser.parse_args()
    errors, good = [], []
    for seed in range(options.seeds):
        fixed, moving, here, there = pair(seed, options)
        started = time.process_time()
        try:
            found = align(fixed, moving, method="intensity")
            error = float(np.sqrt(np.mean(np.sum((found.moving_from_fixed.map(here) - there) ** 2, axis=1))))
            verdict, reason = str(found.verdict), found.reason
        except AlignmentError as fault:
            error, verdict, reason = float("nan"), "failed", str(fault)
        seconds = time.process_time() - started
        started = time.process_time()
        peer = by_elastix(fixed, moving, here)
        beside = ""
        if peer is not None:
            other = np.sqrt(np.mean(np.sum((peer - there) ** 2, axis=1)))
            beside = f"elastix {other:.3f} mm {time.process_time() - started:.1f} cpu s  "
        print(f"{seed:4d} {error:7.3f} mm {seconds:5.1f} cpu s {verdict:9s} {beside}{reason}", flush=True)
        errors.append(error)
        good.append(verdict == "good")
    captured = np.array(errors) < 0.4
    print(f"captured {captured.sum()} of {len(errors)}, wrong and called good {np.sum(~captured & np.array(good))}")
    if captured.any():
        print(f"mean error of the captured {np.mean(np.array(errors)[captured]):.3f} mm")


if __name__ == "__main__":
    main()
