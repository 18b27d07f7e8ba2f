"""What a full-size study costs: wall and CPU time, and the peak memory of all processes together.

    python benchmarks/full_run.py [--ct-mm 0.2] [--workers 2] [--folder FOLDER]

Simulates CAR-T cells in three mice on three days with a CT of 0.2 mm (or takes the study in FOLDER), runs `mpi-track
run` on it as a process of its own, then changes the organs of one mouse and runs again with `--resume`. To be met: 5
minutes on 2 cores, 3 GB. Memory is that of all processes, pages they share counted once (Linux), looked at five times a
second.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.simulation.designs import design
from napari_mpi_track.simulation.studies import simulate_design

DAYS = (0.0, 3.0, 7.0)
LOOK_S = 0.2
CHANGED = "m02"


def simulated(folder: Path, ct_mm: float) -> Path:
    """Return the study file of three mice on three days, their CT of voxels of ``ct_mm``."""
    plan = design("car-t", "full")
    scanner = plan.anatomy_scanner
    shape = np.round(np.asarray(scanner.grid.shape) * scanner.grid.spacing_mm / ct_mm).astype(int)
    moved = (ct_mm - scanner.grid.spacing_mm[::-1]) / 2
    grid = Grid.from_spacing(tuple(map(int, shape)), ct_mm, scanner.grid.lps_from_index[:3, 3] + moved)
    mice = tuple(replace(mouse, organs_day=0.0) for mouse in plan.subjects)
    plan = replace(plan, days=DAYS, subjects=mice, anatomy_scanner=replace(scanner, grid=grid))
    return simulate_design(folder, plan, progress=lambda done, what: print(f"{100 * done:3.0f} % {what}", flush=True))


def children_of(pid: int) -> list[int]:
    """Return a process and all processes below it."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def memory_mb(pid: int) -> float:
    """Return the memory of a process and all below it, what they share counted once."""
    total = 0.0
    for one in children_of(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)
    return total / 1024


def run(study: Path, out: Path, workers: int, *more: str) -> None:
    """Run the study as a user does, and print what it cost."""
    command = [sys.executable, "-c", "from napari_mpi_track.cli import main; main()", "run", str(study)]
    command += ["--out", str(out), "--workers", str(workers), *more]
    before, started = os.times(), time.perf_counter()
    going = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0.0
    while going.poll() is None:
        peak = max(peak, memory_mb(going.pid))
        time.sleep(LOOK_S)
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"run {' '.join(more)}: status {going.returncode}, wall {wall:.0f} s, CPU {cpu:.0f} s, peak {peak:.0f} MB")
    if going.returncode:
        sys.exit(going.returncode)


def rows_of(out: Path) -> dict[str, list[dict[str, str]]]:
    """Return the measurements of every subject."""
    found: dict[str, list[dict[str, str]]] = {}
    with (out / "measurements.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["subject"], []).append(row)
    return found


def change_organs(study: Path) -> None:
    """Take one layer of voxels off an organ of one mouse, as a corrected drawing would."""
    subject = load_study(study).subject(CHANGED)
    path = next(day.organs for day in subject.timepoints if day.organs is not None)
    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj).copy()
    first = np.flatnonzero((voxels == voxels.max()).any(axis=(1, 2)))[0]
    voxels[first][voxels[first] == voxels.max()] = 0
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct-mm", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "study"
        study = folder / "study.yaml"
        if not study.exists():
            simulated(folder, options.ct_mm)
        out = Path(scratch) / "results"
        run(study, out, options.workers)
        before = rows_of(out)
        change_organs(study)
        run(study, out, options.workers, "--resume")
        after = rows_of(out)
        changed = [name for name, rows in after.items() if rows != before[name]]
        print(f"subjects whose numbers changed: {', '.join(changed) or 'none'}")


if __name__ == "__main__":
    main()
