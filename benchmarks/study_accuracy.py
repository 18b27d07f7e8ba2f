"""How near a whole study comes to the truth it was simulated from.

    python benchmarks/study_accuracy.py [--study car-t|knee] [--size small|full] [--seed 0] [--folder FOLDER]

Simulates a study (or takes the one in FOLDER), analyses every timepoint, and prints apparent cells against true cells
(corrected for spill-over, and uncorrected beside), coverage of the 95 % intervals, conservation of the scan's total,
alignment errors in mm, and half-lives.
"""

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.conditions import study_calibration
from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.simulation.studies import simulate_study

TARGETS = 500


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def transform_error_mm(found: Any, true: np.ndarray, markers: np.ndarray) -> float:
    """Return the mean error of a transform over points between the markers, in mm."""
    points = np.random.default_rng(0).dirichlet(np.ones(len(markers)), TARGETS) @ markers
    return float(np.linalg.norm(found.map(points) - (points @ true[:3, :3].T + true[:3, 3]), axis=1).mean())


def alignment_errors(analysis: Any, subject: str, day: float, organs_day: float, poses: Any) -> dict[str, float]:
    """Return the mean target error of each alignment of one timepoint, in mm."""
    here = poses[subject][f"{day:g}"]
    errors = {}
    if analysis.mpi_from_anatomy is not None:
        markers = np.array(here["anatomy_fiducials_mm"])
        errors["MPI"] = transform_error_mm(analysis.mpi_from_anatomy, np.array(here["mpi_from_anatomy"]), markers)
    if analysis.anatomy_from_organs is not None and organs_day != day:
        there = poses[subject][f"{organs_day:g}"]
        true = np.array(here["anatomy_from_body"]) @ np.linalg.inv(np.array(there["anatomy_from_body"]))
        markers = np.array(there["anatomy_fiducials_mm"])
        errors["anatomy"] = transform_error_mm(analysis.anatomy_from_organs, true, markers)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=["car-t", "knee"], default="car-t")
    parser.add_argument("--size", choices=["small", "full"], default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = options.folder / "study.yaml" if options.folder else None
        report(file or simulate_study(scratch, study=options.study, size=options.size, seed=options.seed))


def report(file: Path) -> None:
    study = load_study(file)
    calibration = study_calibration(study)
    assert calibration is not None
    truth = {(r["subject"], float(r["day"]), r["organ"]): float(r["cells"]) for r in rows_of(file.parent / "truth.csv")}
    poses = json.loads((file.parent / "truth_transforms.json").read_text(encoding="utf-8"))["subjects"]
    rows: list[Measurement] = []
    alignments: dict[str, list[float]] = {"MPI": [], "anatomy": []}
    started = time.process_time()
    for subject in study.subjects:
        for timepoint in subject.timepoints:
            analysis = analyse_timepoint(study, subject, timepoint)
            rows += analysis.measurements
            drawn = subject.day_with_organs(timepoint.day)
            organs_day = timepoint.day if drawn is None else drawn.day
            for name, error in alignment_errors(analysis, subject.id, timepoint.day, organs_day, poses).items():
                alignments[name].append(error)
    seconds = time.process_time() - started
    for modality in ("MPI", "PET"):
        print_cells([r for r in rows if r.modality == modality], truth, calibration, modality)
    print_conservation(rows)
    for name, errors in alignments.items():
        if errors:
            mean, worst = np.mean(errors), np.max(errors)
            print(f"alignment of {name}: mean {mean:.3f} mm, worst {worst:.3f} mm, {len(errors)} scans")
    half_lives = rows_of(file.parent / "truth_half_lives.csv")
    true = {(r["subject"], r["organ"]): float(r["half_life_days"]) for r in half_lives if r["half_life_days"]}
    for modality in ("MPI", "PET"):
        ratios = [
            row.half_life_days / true[row.subject, row.organ] - 1
            for row in analyse_study(study, rows).decay
            if row.modality == modality and row.half_life_days and (row.subject, row.organ) in true
        ]
        if ratios:
            print(
                f"{modality} half-lives: mean error {100 * np.mean(np.abs(ratios)):.1f} %, "
                f"worst {100 * np.max(np.abs(ratios)):.1f} %, {len(ratios)} curves"
            )
    print(f"{seconds:.1f} s CPU for {len(poses)} subjects")


def print_cells(rows: list[Measurement], truth: dict[Any, float], calibration: Any, modality: str) -> None:
    corrected, uncorrected, held = [], [], []
    for row in rows:
        cells = truth.get((row.subject, row.day, row.organ))
        if cells is None:
            continue
        if row.cells_low is not None and row.cells_high is not None:
            held.append(row.cells_low <= cells <= row.cells_high)
        if row.cells is None or cells <= 3 * calibration.decision_limit or row.signal_total is None:
            continue
        corrected.append(abs(row.cells / cells - 1))
        scale = row.signal_total / (row.signal_total_corrected or row.signal_total)
        uncorrected.append(abs(row.cells * scale / cells - 1))
    if not corrected:
        return
    print(
        f"{modality} cells: mean error {100 * np.mean(corrected):.1f} %, worst {100 * np.max(corrected):.1f} % "
        f"(uncorrected {100 * np.mean(uncorrected):.0f} %, {100 * np.max(uncorrected):.0f} %), "
        f"{len(corrected)} organs; 95 % intervals hold {sum(held)} of {len(held)}"
    )


def print_conservation(rows: list[Measurement]) -> None:
    sums: dict[Any, float] = {}
    totals: dict[Any, float] = {}
    for row in rows:
        if row.signal_total is None:
            continue
        key = row.subject, row.day, row.modality
        if row.organ == "total":
            totals[key] = row.signal_total
        else:
            sums[key] = sums.get(key, 0.0) + row.signal_total
    worst = max(abs(sums[key] / totals[key] - 1) for key in totals)
    print(f"organs and outside against the scan's total: worst difference {worst:.1e}")


if __name__ == "__main__":
    main()
