"""Alignment of a simulated mouse by intensity at full size, beside other tools: error, CPU time and peak memory.

    python benchmarks/alignment/rigid.py [--kind ct-mr|ct-pet] [--model rigid|affine] [--seeds 5] [--tools ours,elastix]

CT 0.2 mm (200 x 200 x 450) to MRI 0.25 mm or PET 0.5 mm, 10 degrees and 5 to 6.5 mm apart. Every tool runs in a
process of its own, with two threads where it wants them (ours takes one); CPU time is that of the call alone, images
in memory (greedy: in files); peak memory that of the whole process (Linux). Ours searches over all poses, the others
start from the scans' own coordinates.
itk-elastix, antspyx and picsl_greedy are needed by this benchmark only; one that is not installed is left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from mouse import MARKERS, Mouse, grid_around, random_pose

from napari_mpi_track.imaging.itk import array_from_itk, grid_from_itk, to_itk
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume

TARGETS = np.array([[0, 0, 0], [-10, 4, -22], [8, 3, -6], [0, 0, 20], [0, 0, 40], [5, 4, -13]], dtype=float)
TOOLS = ("ours", "ours fast", "simpleitk", "elastix", "greedy", "ants quick")


def pair(seed: int, kind: str, model: str) -> tuple[Volume, Volume, np.ndarray, np.ndarray]:
    """Return the two scans, and where the targets lie in each."""
    rng = np.random.default_rng([seed, 3])
    here = random_pose(rng, 3, 1)
    there = random_pose(rng, 10, 0)
    away = rng.standard_normal(3)
    stretch = np.eye(3) if model == "rigid" else np.diag(1 + 0.025 * np.array([1.0, -1.0, 1.0]))
    linear = there.target_from_source[:3, :3] @ stretch
    there = Transform.from_parts(linear, rng.uniform(5, 6.5) * away / np.linalg.norm(away))
    size = (40, 40, 90)
    fixed = Mouse(here, MARKERS[:4]).ct(grid_around(size, 0.2, "fixed"), seed)
    animal = Mouse(there, MARKERS[:4])
    if kind == "ct-mr":
        moving = animal.mr(grid_around(size, 0.25, "moving"), seed + 999)
    else:
        moving = animal.pet(grid_around(size, 0.5, "moving"), seed + 999)
    return fixed, moving, here.map(TARGETS), there.map(TARGETS)


def by_ours(folder: Path, kind: str, model: str, effort: str = "thorough") -> dict:
    from napari_mpi_track.registration.align import align

    modalities = (Modality.CT, Modality.MR if kind == "ct-mr" else Modality.PET)
    volumes = []
    for name, modality in zip(("fixed", "moving"), modalities, strict=True):
        image = sitk.ReadImage(str(folder / f"{name}.mha"))
        volumes.append(Volume(array_from_itk(image), grid_from_itk(image, name), modality))
        del image
    started = time.process_time()
    found = align(*volumes, method="intensity", model=model, effort=effort)
    return told(started, found.moving_from_fixed.target_from_source, str(found.verdict))


def by_ours_fast(folder: Path, kind: str, model: str) -> dict:
    return by_ours(folder, kind, model, "fast")


def by_simpleitk(folder: Path, _kind: str, model: str) -> dict:
    """SimpleITK at its best here: block averages of 1.6 to 0.2 mm, a mask, clamped values, line search."""
    fixed, moving = (sitk.ReadImage(str(folder / f"{name}.mha"), sitk.sitkFloat32) for name in ("fixed", "moving"))
    started = time.process_time()
    fixed = sitk.Clamp(fixed, lowerBound=-300, upperBound=300)
    transform = sitk.Euler3DTransform() if model == "rigid" else sitk.AffineTransform(3)
    transform.SetCenter(fixed.TransformContinuousIndexToPhysicalPoint([s / 2 for s in fixed.GetSize()]))
    for voxel in (1.6, 0.8, 0.4, 0.2):
        here, there = (
            sitk.BinShrink(image, [max(1, round(voxel / s)) for s in image.GetSpacing()]) for image in (fixed, moving)
        )
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)
        method.SetMetricAsMattesMutualInformation(32)
        mask = sitk.BinaryDilate(here > -299, [2, 2, 2])
        method.SetMetricFixedMask(mask)
        method.SetMetricSamplingStrategy(method.RANDOM)
        inside = max(float(sitk.GetArrayViewFromImage(mask).sum()), 1.0)
        method.SetMetricSamplingPercentage(min(1.0, 20_000 / inside), 1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsGradientDescentLineSearch(1.0, 30, 1e-5, 4, 0.0, 5.0, 0.05, 5)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(here, there)
    return told(started, matrix_of(transform))


def by_elastix(folder: Path, _kind: str, model: str) -> dict:
    import itk

    fixed, moving = (itk.imread(str(folder / f"{name}.mha"), itk.F) for name in ("fixed", "moving"))
    settings = itk.ParameterObject.New()
    settings.AddParameterMap(itk.ParameterObject.GetDefaultParameterMap(model))
    started = time.process_time()
    _, result = itk.elastix_registration_method(fixed, moving, parameter_object=settings)
    stated = result.GetParameterMap(0)
    transform = sitk.Euler3DTransform() if model == "rigid" else sitk.AffineTransform(3)
    transform.SetCenter([float(v) for v in stated["CenterOfRotationPoint"]])
    transform.SetParameters([float(v) for v in stated["TransformParameters"]])
    return told(started, matrix_of(transform))


def by_greedy(folder: Path, _kind: str, model: str) -> dict:
    from picsl_greedy import Greedy3D

    fixed, moving, out = (folder / name for name in ("fixed.mha", "moving.mha", "greedy.mat"))
    freedoms = 6 if model == "rigid" else 12
    started = time.process_time()
    Greedy3D().execute(f"-a -dof {freedoms} -m NMI -n 100x50x10 -ia-identity -i {fixed} {moving} -o {out} -V 0")
    flip = np.diag([-1.0, -1, 1, 1])
    return told(started, flip @ np.loadtxt(out) @ flip)


def by_ants_quick(folder: Path, _kind: str, model: str) -> dict:
    import ants

    fixed, moving = (ants.image_read(str(folder / f"{name}.mha")) for name in ("fixed", "moving"))
    wanted = "QuickRigid" if model == "rigid" else "Affine"
    started = time.process_time()
    found = ants.registration(fixed, moving, type_of_transform=wanted)
    return told(started, matrix_of(sitk.ReadTransform(found["fwdtransforms"][0])))


def told(started: float, matrix: np.ndarray, verdict: str = "") -> dict:
    """Return what a tool found: CPU seconds of the call, the 4x4 from fixed to moving points, the verdict."""
    return {"cpu": time.process_time() - started, "matrix": matrix.tolist(), "verdict": verdict}


def matrix_of(transform: sitk.Transform) -> np.ndarray:
    origin = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([np.asarray(transform.TransformPoint(tuple(e))) - origin for e in np.eye(3)], axis=1)
    matrix[:3, 3] = origin
    return matrix


def run_one(tool: str, folder: Path, kind: str, model: str) -> None:
    """Run one tool in this process, and write what it found."""
    found = globals()["by_" + tool.replace(" ", "_")](folder, kind, model)
    # The peak that getrusage tells would include that of the process this one was started from.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found["peak_mb"] = int(status["VmHWM"].split()[0]) / 1024
    (folder / "found.json").write_text(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", default="ct-mr", choices=["ct-mr", "ct-pet"])
    parser.add_argument("--model", default="rigid", choices=["rigid", "affine"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--only", nargs=2, metavar=("TOOL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        run_one(options.only[0], Path(options.only[1]), options.kind, options.model)
        return
    rows: dict[str, list[tuple[float, float, float]]] = {tool: [] for tool in options.tools.split(",")}
    for seed in range(options.seeds):
        fixed, moving, here, there = pair(seed, options.kind, options.model)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for volume, file in ((fixed, "fixed.mha"), (moving, "moving.mha")):
                sitk.WriteImage(to_itk(volume), str(folder / file))
            for tool in list(rows):
                (folder / "found.json").unlink(missing_ok=True)
                command = [sys.executable, __file__, "--kind", options.kind, "--model", options.model]
                done = subprocess.run([*command, "--only", tool, name], capture_output=True, text=True)
                if not (folder / "found.json").exists():
                    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                    print(f"{seed} {tool}: {'not installed' if 'ModuleNotFound' in last else last}", flush=True)
                    continue
                found = json.loads((folder / "found.json").read_text())
                matrix = np.array(found["matrix"])
                off = np.linalg.norm(here @ matrix[:3, :3].T + matrix[:3, 3] - there, axis=1)
                rows[tool].append((float(off.mean()), found["cpu"], found["peak_mb"]))
                numbers = f"{off.mean():7.3f} mm {found['cpu']:6.2f} cpu s {found['peak_mb']:6.0f} MB"
                print(f"{seed} {tool:11s} {numbers} {found['verdict']}", flush=True)
    base = np.mean([cpu for _, cpu, _ in rows.get("elastix", [])]) if rows.get("elastix") else np.nan
    print(f"\n| {options.kind}, {options.model} | mean target error mm (worst) | cpu s | of elastix | peak MB |")
    print("|---|---|---|---|---|")
    for tool, found in rows.items():
        if found:
            error, cpu, memory = np.array(found).T
            ratio = f"{cpu.mean() / base:.2f}"
            print(
                f"| {tool} | {error.mean():.3f} ({error.max():.3f}) | {cpu.mean():.2f} | {ratio} | {memory.max():.0f} |"
            )


if __name__ == "__main__":
    main()
