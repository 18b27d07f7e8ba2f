"""How near a marker's fitted centre comes to the Cramer-Rao limit, and whether its stated error is the true one.

    python benchmarks/alignment/markers.py [--markers 400] [--scene white correlated liver integrated] [--time]

Gaussian blobs of FWHM 1, 2 and 3 mm in voxels of 1 mm, found by ``find_blobs`` as a user's are (detection included).
SNR is the blob's peak over the SD of one voxel. Two limits from the Fisher information of the model: "centre" knows
width, height and background (it gives 0.113 and 0.023 mm at FWHM 2 mm, SNR 10 and 50), "all" has to find them too, a
sloping background among them. ``normalised`` is the mean of e' C^-1 e / 3, 1 when the stated covariance is right;
``within 95 %`` the part of centres inside their stated 95 % ellipsoid.

Scenes: ``white`` (the blob sampled at voxel centres, white noise), ``integrated`` (averaged over each voxel),
``correlated`` (noise smoothed by a Gaussian of SD 1 voxel, four parts, and white, one part), ``liver`` (a lit liver,
twice as high, its edge 5 mm from the blob's centre).
"""

import argparse
import time

import numpy as np
from mouse import MARKERS, Mouse, gaussian, grid_around, random_pose
from scipy import ndimage, special

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.markers.blobs import find_blobs

SD_PER_FWHM = 1 / np.sqrt(8 * np.log(2))
CELL = 22
SMOOTHING = 1.0


def line(count: int, centre: float, sd: float, integrated: bool) -> np.ndarray:
    x = np.arange(count) - centre
    if not integrated:
        return np.exp(-0.5 * (x / sd) ** 2)
    return sd * np.sqrt(2 * np.pi) * (special.ndtr((x + 0.5) / sd) - special.ndtr((x - 0.5) / sd))


def blob(shape: tuple[int, int, int], centre: np.ndarray, sd: np.ndarray, integrated: bool) -> np.ndarray:
    lines = [line(n, c, s, integrated) for n, c, s in zip(shape, centre, sd, strict=True)]
    return np.einsum("i,j,k->ijk", *lines)


def noise_covariance(count: int) -> np.ndarray:
    """Return the covariance of the correlated noise over a cube of ``count`` voxels, of variance 1."""
    places = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = np.sum((places[:, None] - places[None]) ** 2, axis=2)
    return 0.8 * np.exp(-apart / (4 * SMOOTHING**2)) + 0.2 * (apart == 0)


def limits(fwhm: float, snr: float, integrated: bool, correlated: bool) -> tuple[float, float]:
    """Return the limits of the 3-D error in mm, only the centre unknown and all unknown, over places in a voxel."""
    size = int(2 * np.ceil(2.5 * fwhm) + 5) if not correlated else int(2 * np.ceil(1.2 * fwhm) + 5)
    shape, sd = (size, size, size), np.full(3, fwhm * SD_PER_FWHM)
    inverse = np.linalg.inv(noise_covariance(size)) if correlated else None
    rng, squares = np.random.default_rng(0), []
    for _ in range(20 if not correlated else 4):
        centre = (size - 1) / 2 + rng.uniform(-0.5, 0.5, 3)
        steps = np.eye(3) * 1e-4
        by_centre = [
            (blob(shape, centre + d, sd, integrated) - blob(shape, centre - d, sd, integrated)) / 2e-4 for d in steps
        ]
        by_width = [
            (blob(shape, centre, sd + d, integrated) - blob(shape, centre, sd - d, integrated)) / 2e-4 for d in steps
        ]
        tilts = np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 3, indexing="ij")
        rest = [*by_width, blob(shape, centre, sd, integrated), np.ones(shape), *tilts]
        columns = snr * np.stack([c.ravel() for c in [*by_centre, *rest]], axis=1)
        information = columns.T @ (columns if inverse is None else inverse @ columns)
        squares.append([np.trace(np.linalg.inv(information[:3, :3])), np.trace(np.linalg.inv(information)[:3, :3])])
    one, whole = np.sqrt(np.mean(squares, axis=0))
    return float(one), float(whole)


def scan(fwhm: float, snr: float, scene: str, seed: int) -> tuple[Volume, np.ndarray]:
    """Return a scan of 3 x 3 x 3 blobs in noise of SD 1, and the centres in mm."""
    rng = np.random.default_rng(seed)
    shape, sd = (3 * CELL,) * 3, np.full(3, fwhm * SD_PER_FWHM)
    corners = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * CELL
    centres = corners + (CELL - 1) / 2 + rng.uniform(-1.5, 1.5, corners.shape)
    picture = rng.standard_normal(shape)
    if scene == "correlated":
        smooth = ndimage.gaussian_filter(rng.standard_normal(shape), SMOOTHING, mode="wrap")
        smooth /= np.sqrt((4 * np.pi * SMOOTHING**2) ** -1.5)
        picture = np.sqrt(0.8) * smooth + np.sqrt(0.2) * picture
    for corner, centre in zip(corners, centres, strict=True):
        picture += snr * blob(shape, centre, sd, scene == "integrated")
        if scene == "liver":
            box = tuple(slice(c, c + CELL) for c in corner)
            picture[box] += 2 * snr * liver(centre - corner, fwhm, rng)
    grid = Grid.from_spacing(shape, 1.0, (0.0, 0.0, 0.0))
    return Volume(picture.astype(np.float32), grid, Modality.MPI, "a.u."), centres[:, ::-1]


def liver(centre: np.ndarray, fwhm: float, rng: np.random.Generator) -> np.ndarray:
    """Return a half space, blurred as the blob is, inside a Gaussian window: height 1, its edge beside the blob."""
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    x = np.stack(np.meshgrid(*[np.arange(CELL)] * 3, indexing="ij"), axis=-1) - centre
    along = x @ direction - 5.0
    across = np.sum(x**2, axis=-1) - (x @ direction) ** 2
    depth = special.ndtr(along / (fwhm * SD_PER_FWHM)) * np.exp(-0.5 * (np.maximum(along - 2, 0) / 2.0) ** 2)
    return depth * np.exp(-0.5 * across / 4.0**2)


def measured(fwhm: float, snr: float, scene: str, markers: int) -> dict[str, float]:
    errors, stated, lost, seconds, scans = [], [], 0, 0.0, 0
    for seed in range(int(np.ceil(markers / 27))):
        volume, centres = scan(fwhm, snr, scene, seed)
        started = time.process_time()
        found = find_blobs(volume)
        seconds += time.process_time() - started
        scans += 1
        for centre in centres:
            apart = [float(np.linalg.norm(b.position_mm - centre)) for b in found]
            if not apart or min(apart) > max(1.0, 0.5 * fwhm):
                lost += 1
                continue
            best = found[int(np.argmin(apart))]
            errors.append(best.position_mm - centre)
            stated.append(best.covariance_mm2)
    e, c = np.array(errors).reshape(-1, 3), np.array(stated).reshape(-1, 3, 3)
    d2 = np.einsum("ni,ni->n", e, np.linalg.solve(c, e[:, :, None])[:, :, 0])
    return {
        "error": float(np.sqrt(np.mean(np.sum(e**2, axis=1)))),
        "median": float(np.sqrt(np.median(np.sum(e**2, axis=1)))),
        "stated": float(np.sqrt(np.mean(np.trace(c, axis1=1, axis2=2)))),
        "normalised": float(np.mean(d2) / 3),
        "within": float(np.mean(d2 < special.chdtri(3, 0.05))),
        "found": len(e),
        "lost": lost,
        "seconds": seconds / scans,
    }


def told_times() -> None:
    """Print the CPU time of detection in a simulated mouse: CT of 200 x 200 x 450 voxels, MR and MPI."""
    grids = [grid_around((40, 40, 90), 0.2, "ct"), grid_around((40, 40, 90), 0.25, "mr")]
    mouse = Mouse(random_pose(np.random.default_rng(0), 10, 2), MARKERS)
    scans = [mouse.ct(grids[0], 0), mouse.mr(grids[1], 0)]
    scans.append(mouse.mpi(grid_around((48, 48, 115), 1.0, "mpi"), 0, gaussian(3.0)))
    for volume in scans:
        started = time.process_time()
        blobs = find_blobs(volume)
        seconds = time.process_time() - started
        places = mouse.scanner_from_body.map(mouse.markers_mm)
        near = [min(float(np.linalg.norm(b.position_mm - place)) for b in blobs) for place in places]
        shape = " x ".join(str(n) for n in volume.grid.shape)
        print(f"{volume.modality} {shape}: {seconds:.2f} s of CPU time, {len(blobs)} blobs, markers off by", end=" ")
        print(", ".join(f"{e:.3f}" for e in near), "mm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markers", type=int, default=400)
    scenes = ["white", "integrated", "correlated", "liver"]
    parser.add_argument("--scene", nargs="+", default=scenes, choices=scenes)
    parser.add_argument("--fwhm", nargs="+", type=float, default=[1.0, 2.0, 3.0])
    parser.add_argument("--time", action="store_true", help="only time the detection in whole scans")
    options = parser.parse_args()
    if options.time:
        told_times()
        return
    print(
        "scene       FWHM SNR  limit: centre    all |  error  ratio | stated normalised within 95 % | lost of    cpu s"
    )
    for scene in options.scene:
        for fwhm in options.fwhm:
            for snr in (10.0, 50.0):
                one, whole = limits(fwhm, snr, scene == "integrated", scene == "correlated")
                m = measured(fwhm, snr, scene, options.markers)
                print(
                    f"{scene:11s} {fwhm:4.0f} {snr:3.0f}        {one:6.4f} {whole:6.4f} | {m['error']:6.4f} "
                    f"{m['error'] / one:6.2f} | {m['stated']:6.4f} {m['normalised']:10.2f} {m['within']:11.3f} |"
                    f" {m['lost']:4.0f} {m['found'] + m['lost']:4.0f} {m['seconds']:5.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
