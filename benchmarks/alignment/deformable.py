"""B-spline alignment between two days of one simulated mouse: error and CPU time, beside itk-elastix if installed.

    python benchmarks/alignment/deformable.py [--seeds 5] [--first 0] [--kind ct-ct|mr-mr|ct-mr] [--spacing 0.2]
    MPI_TRACK_REAL_DATA=... python benchmarks/alignment/deformable.py --lungs

Between the days the animal is put in anew (3 mm, 10 degrees) and every part of it moves by waves of 0.6 mm per axis.
Both methods start from the same rigid alignment, whose time is not counted; errors are over points of the body. With
--lungs, the pair of CT of elastix' own tests is aligned instead, and its points looked up.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from mouse import MARKERS, Mouse, grid_around, random_pose
from scipy import ndimage

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.images.deformable import align_deformable

AMPLITUDE_MM = 0.6


class Waves:
    """A smooth displacement of the body: one wave of 25 to 45 mm for every axis."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        turn = 2 * np.pi / rng.uniform(25, 45, 3)
        direction = rng.standard_normal((3, 3))
        self.waves = direction / np.linalg.norm(direction, axis=1, keepdims=True) * turn[:, None]
        self.phases = rng.uniform(0, 2 * np.pi, 3)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return AMPLITUDE_MM * np.sin(points @ self.waves.T + self.phases)

    def undone(self, points: np.ndarray) -> np.ndarray:
        """Return x with x + waves(x) = points."""
        found = points
        for _ in range(60):
            found = points - self(found)
        return found


def day(animal: Volume, pose: Transform, grid: Grid, moved: Waves | None, seed: int) -> Volume:
    """Return the animal as scanned in ``pose``, its parts moved: ``moved`` takes places of this day to the first."""
    voxels = np.empty(grid.shape, dtype=np.float32)
    body_from_scan = pose.inverse()
    for plane in range(grid.shape[0]):
        index = np.stack(np.meshgrid([plane], *map(np.arange, grid.shape[1:]), indexing="ij"), axis=-1).reshape(-1, 3)
        points = body_from_scan.map(grid.lps_from(index))
        points = points if moved is None else points + moved(points)
        places = animal.grid.index_from(points).T
        voxels[plane] = ndimage.map_coordinates(animal.voxels, places, order=1, mode="nearest").reshape(grid.shape[1:])
    rng = np.random.default_rng(seed)
    if animal.modality is Modality.CT:
        voxels += rng.normal(0, 40, voxels.shape)
        return Volume(np.round(voxels).astype(np.int16), grid, Modality.CT, "HU")
    voxels = np.hypot(voxels + rng.normal(0, 15, voxels.shape), rng.normal(0, 15, voxels.shape))
    return Volume(voxels.astype(np.float32), grid, Modality.MR, "a.u.")


def pair(seed: int, kind: str, spacing_mm: float) -> tuple[Volume, Volume, np.ndarray, np.ndarray]:
    """Return two days of one animal, and 400 points of its body on both."""
    rng = np.random.default_rng(seed)
    size = (40, 40, 100)
    still = Mouse(Transform.identity(), MARKERS[:4])
    first, second = kind.split("-")
    at = grid_around(size, spacing_mm, "body")
    here, there = random_pose(rng, 5, 1), random_pose(rng, 10, 3)
    waves = Waves(seed)
    scans = []
    for name, pose, moved, frame in ((first, here, None, "fixed"), (second, there, waves, "moving")):
        animal = still.ct(at, 0, noise=0) if name == "ct" else still.mr(at, 0, noise=0)
        spacing = spacing_mm if name == "ct" else 1.25 * spacing_mm
        scans.append(day(animal, pose, grid_around(size, spacing, frame), moved, seed + len(scans)))
    body = np.argwhere(still.ct(grid_around(size, 1.0, "body"), 0, noise=0).voxels > -700)
    points = grid_around(size, 1.0, "body").lps_from(body[rng.integers(0, len(body), 400)])
    return scans[0], scans[1], here.map(points), there.map(waves.undone(points))


def elastix_from(
    fixed: Volume, moving: Volume, start: Alignment, points: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Return where itk-elastix's default B-spline puts the points, and its CPU seconds; None if not installed."""
    try:
        import itk
    except ImportError:
        return None
    from napari_mpi_track.imaging.itk import to_itk, to_itk_transform

    moved = start.moving_from_fixed.inverse()
    images = []
    for volume, place in ((fixed, None), (moving, moved)):
        image = to_itk(volume)
        one = itk.image_from_array(np.ascontiguousarray(volume.voxels, dtype=np.float32))
        direction = np.reshape(image.GetDirection(), (3, 3))
        origin = np.asarray(image.GetOrigin())
        if place is not None:
            # The rigid start goes into the moving image's header: elastix then starts where we do.
            direction, origin = place.target_from_source[:3, :3] @ direction, place.map(origin)
        one.SetSpacing(image.GetSpacing())
        one.SetOrigin([float(x) for x in origin])
        one.SetDirection(itk.matrix_from_array(np.ascontiguousarray(direction)))
        images.append(one)
    settings = itk.ParameterObject.New()
    settings.AddParameterMap(itk.ParameterObject.GetDefaultParameterMap("bspline"))
    started = time.process_time()
    _, result = itk.elastix_registration_method(*images, parameter_object=settings)
    seconds = time.process_time() - started
    stated = result.GetParameterMap(0)
    import SimpleITK as sitk

    spline = sitk.BSplineTransform(3, 3)
    names = ("GridSize", "GridOrigin", "GridSpacing")
    # elastix states the directions column by column.
    turn = np.reshape([float(v) for v in stated["GridDirection"]], (3, 3)).T
    spline.SetFixedParameters([*(float(v) for name in names for v in stated[name]), *turn.ravel()])
    spline.SetParameters([float(v) for v in stated["TransformParameters"]])
    after = to_itk_transform(start.moving_from_fixed)
    return np.array([after.TransformPoint(spline.TransformPoint(point)) for point in points.tolist()]), seconds


def error_mm(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean(np.linalg.norm(found - truth, axis=1)))


def lungs(folder: Path) -> tuple[Volume, Volume, np.ndarray, np.ndarray]:
    """Return the lung CT pair of elastix' tests, and those of its 100 points that lie in the first scan (51)."""
    from napari_mpi_track.readers.scans import read_scan

    scans = [
        read_scan(folder / f"3DCT_lung_{name}.mha", modality=Modality.CT, unit="HU")
        for name in ("baseline", "followup")
    ]
    points = []
    for name in ("baseline_landmarks", "groundtruth_point"):
        lines = (folder / f"3DCT_lung_{name}.txt").read_text().splitlines()[2:]
        points.append(np.array([line.split()[-3:] for line in lines], dtype=float))
    seen = scans[0].grid.contains(points[0])
    return scans[0], scans[1], points[0][seen], points[1][seen]


def compare(name: str, fixed: Volume, moving: Volume, here: np.ndarray, there: np.ndarray) -> tuple[float, ...]:
    rigid = align(fixed, moving, method="intensity")
    before = error_mm(rigid.moving_from_fixed.map(here), there)
    started = time.process_time()
    try:
        found = align_deformable(fixed, moving, rigid)
    except AlignmentError as fault:
        print(f"{name}: rigid {before:.3f} mm, {fault}")
        return before, *[np.nan] * 6
    seconds = time.process_time() - started
    after = error_mm(found.moving_from_fixed.map(here), there)
    rms = float(np.sqrt(np.mean(np.sum((found.moving_from_fixed.map(here) - there) ** 2, axis=1))))
    peer = elastix_from(fixed, moving, rigid, here)
    other, other_seconds = (np.nan, np.nan) if peer is None else (error_mm(peer[0], there), peer[1])
    change = found.deformation
    volumes = "" if change is None else f"{change.smallest_volume_change:.2f} to {change.largest_volume_change:.2f}"
    expected = found.expected_target_error_mm or np.nan
    print(
        f"{name}: rigid {before:.3f}, ours {after:.3f} mm {seconds:.1f} cpu s, elastix {other:.3f} mm "
        f"{other_seconds:.1f} cpu s; {found.verdict}; rms {rms:.3f}, expected {expected:.3f} mm; "
        f"volumes x {volumes}",
        flush=True,
    )
    return before, after, seconds, other, other_seconds, rms, expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kind", default="ct-ct", choices=["ct-ct", "mr-mr", "ct-mr"])
    parser.add_argument("--spacing", type=float, default=0.2)
    parser.add_argument("--lungs", action="store_true")
    options = parser.parse_args()
    if options.lungs:
        compare("lungs", *lungs(Path(os.environ["MPI_TRACK_REAL_DATA"]) / "elastix-lung3dct"))
        return
    rows = [
        compare(f"seed {k}", *pair(k, options.kind, options.spacing))
        for k in range(options.first, options.first + options.seeds)
    ]
    before, after, seconds, other, other_seconds, true, stated = np.array(rows).T
    print(f"better than rigid in {np.sum(after < before)} of {len(rows)}")
    print(f"ours mean {np.mean(after):.3f} mm in {seconds.mean():.1f} cpu s")
    print(f"true over stated error, pooled: {np.sqrt(np.mean(true**2) / np.mean(stated**2)):.2f}")
    print(f"elastix mean {np.mean(other):.3f} mm in {other_seconds.mean():.1f} cpu s")


if __name__ == "__main__":
    main()
