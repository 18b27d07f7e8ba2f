"""How often do the stated 95 % intervals of organs hold the truth, and how near are the cells?

    python benchmarks/organ_coverage.py [--seeds 200] [--animals 8] [--first 0]

The simulated car-t study at full size (MPI 1 mm, FWHM 2.5 mm; CT 0.3 mm; five markers), one scan a seed. Redrawn for
every seed: the day, the biodistribution and the dose, the markers' signals, the scan's noise, its gain (0.3 %, the
repeatability that is stated), the markers as found in the scan and as picked in the CT (so the alignment and its
stated error), and every sample of the calibration. Shared by the seeds: ``--animals`` animals of different size, each
in a pose of its own, whose sources are blurred once. Organs are drawn on the day's own CT.

Printed beside: what holds where no repeatability is stated, and a scan is taken to scatter as calibration samples do
(2 % here, their pipette included, which no scan of an animal has).
"""

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.longitudinal.mpi_rows import rows_of_scan
from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.saturation import Saturation
from napari_mpi_track.registration.markers.fiducials import align_fiducials, markers_from, markers_given
from napari_mpi_track.simulation.anatomy import inverse
from napari_mpi_track.simulation.animals import animal, pose
from napari_mpi_track.simulation.designs import design
from napari_mpi_track.simulation.scanner import blurred, ct_scan, labelled, noise_field, saturated

PLAN = design("car-t", "full")
REPEATABILITY = 0.003
MPI_FRAME, CT_FRAME = "mpi", "ct"


@dataclass(frozen=True, eq=False)
class Lying:
    """An animal in a pose: what never changes between seeds."""

    sources: dict[str, np.ndarray]
    markers: list[np.ndarray]
    organs: OrganLabels
    anatomy: Volume
    ct_markers_mm: np.ndarray


def lying_animal(number: int) -> Lying:
    rng = np.random.default_rng([2025, number])
    one = animal(PLAN, PLAN.subjects[0], 0, rng)
    placed = pose(PLAN, one.anatomy, rng)
    body_from_mpi, body_from_ct = inverse(placed.mpi_from_body), inverse(placed.anatomy_from_body)
    grid, ct_grid = PLAN.mpi.grid, PLAN.anatomy_scanner.grid
    sources = {
        name: blurred([(solid, 1.0)], grid, body_from_mpi, PLAN.mpi.blur) for name, solid in one.anatomy.organs.items()
    }
    markers = [blurred([(marker, 1.0)], grid, body_from_mpi, PLAN.mpi.blur) for marker in one.anatomy.markers]
    ct = ct_scan(one.anatomy, ct_grid, body_from_ct, PLAN.anatomy_scanner.noise, rng).astype(np.int16)
    labels = labelled(one.anatomy.organs, ct_grid, body_from_ct)
    to_ct = placed.anatomy_from_body
    return Lying(
        sources,
        markers,
        OrganLabels(labels, ct_grid, dict(enumerate(one.anatomy.organs, start=1))).in_frame(CT_FRAME),
        Volume(ct, ct_grid, Modality.CT, "HU").in_frame(CT_FRAME),
        one.anatomy.markers_mm @ to_ct[:3, :3].T + to_ct[:3, 3],
    )


def calibration(rng):
    cells = np.repeat(PLAN.series.cells, 3)
    scatter = rng.normal(1.0, PLAN.series.relative_sd, cells.size)
    signal = PLAN.series.intercept + PLAN.signal_per_cell * cells * scatter
    signal = signal + rng.normal(0.0, PLAN.series.blank_sd, cells.size)
    return fit_calibration(cells, signal, kind="in-cells", x_quantity="cells")


def measured_rows(lying: Lying, seed: int):
    """Return true cells by organ, the rows, the calibration, the budget, and the rows without a repeatability."""
    rng = np.random.default_rng([7, seed])
    day = PLAN.days[rng.integers(len(PLAN.days))]
    courses = PLAN.courses(rng, False)
    dose = rng.uniform(*PLAN.injected_cells)
    truth = {name: dose * courses[name].fraction(day) for name in lying.sources}
    signal = sum(PLAN.signal_per_cell * truth[name] * source for name, source in lying.sources.items())
    signal = signal + sum(PLAN.marker_signal * rng.uniform(0.9, 1.1) * source for source in lying.markers)
    signal = signal * rng.normal(1.0, REPEATABILITY)
    voxels = saturated(signal, PLAN.mpi.saturation_signal) + noise_field(signal.shape, PLAN.mpi.noise, rng)
    scan = Volume(voxels.astype(np.float32), PLAN.mpi.grid, Modality.MPI, "a.u.").in_frame(MPI_FRAME)
    scan = Saturation(PLAN.mpi.saturation_signal, PLAN.mpi.saturation_signal / 2).linearise(scan)
    picked = lying.ct_markers_mm + rng.normal(0.0, PLAN.marker_picking_sd_mm, lying.ct_markers_mm.shape)
    points = Points([f"F{n}" for n in range(1, len(picked) + 1)], picked, CT_FRAME)
    found = markers_from(scan)
    way = align_fiducials(markers_given(points), found)
    measured = measure_scan(
        scan,
        estimate_noise(scan),
        lying.organs,
        way,
        markers=way.fiducials.moving,
        anatomy=lying.anatomy,
        scan_from_anatomy=way,
        point_spread=PointSpread(PLAN.mpi.blur.shape, PLAN.mpi.blur.fwhm_mm),
    )
    line = calibration(rng)
    blank = Measurement("m01", "", day, "MPI", "")
    rows, budget = rows_of_scan(blank, measured, line, "total", repeatability=REPEATABILITY)
    unstated, _ = rows_of_scan(blank, measured, line, "total")
    return truth, rows, line, budget, unstated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--animals", type=int, default=8)
    parser.add_argument("--first", type=int, default=0)
    wanted = parser.parse_args()
    started = time.process_time()
    held, errors, pulls = defaultdict(list), defaultdict(list), defaultdict(list)
    terms = defaultdict(list)
    wide = []
    for number in range(wanted.animals):
        lying = lying_animal(number)
        for seed in range(wanted.first + number, wanted.first + wanted.seeds, wanted.animals):
            truth, rows, line, budget, unstated = measured_rows(lying, seed)
            wide += [holds(row, truth) for row in unstated if row.organ in truth and row.cells_high is not None]
            for row in rows:
                if row.organ not in truth or row.cells_high is None:
                    continue
                held[row.organ].append(holds(row, truth))
                if truth[row.organ] <= 3 * line.decision_limit or row.cells is None:
                    continue
                errors[row.organ].append(row.cells / truth[row.organ] - 1)
                half = (row.cells_high - row.cells_low) / 2 / 1.96
                pulls[row.organ].append((row.cells - truth[row.organ]) / half)
                for entry in budget:
                    if entry.organ == row.organ:
                        terms[row.organ, entry.term].append(entry.sd / line.slope / truth[row.organ])
        every = [flag for flags in held.values() for flag in flags]
        print(f"after animal {number + 1}: {sum(every)} of {len(every)} intervals hold", flush=True)
    report(held, errors, pulls, terms)
    print(f"without a stated repeatability {sum(wide)} of {len(wide)} ({100 * np.mean(wide):.1f} %)")
    print(f"{time.process_time() - started:.0f} s CPU for {wanted.seeds} seeds of {wanted.animals} animals")


def holds(row, truth) -> bool:
    return row.cells_low <= truth[row.organ] <= row.cells_high


def report(held, errors, pulls, terms) -> None:
    print(
        "organ    95 % intervals hold   mean error %  SD %   worst %   mean and SD of error/stated SD   terms (SD, %)"
    )
    for organ, flags in held.items():
        found = np.array(errors[organ]) * 100
        told = f"{organ:8} {sum(flags):4d} of {len(flags):4d} ({100 * np.mean(flags):.1f} %)"
        if found.size:
            pull = np.array(pulls[organ])
            told += f"  {found.mean():+6.2f} {found.std():6.2f} {np.abs(found).max():7.2f}"
            told += f"     {pull.mean():+.2f} {pull.std():.2f}    "
            told += "  ".join(
                f"{term} {100 * np.median(sds):.2f}" for (name, term), sds in terms.items() if name == organ
            )
        print(told)
    every = [flag for flags in held.values() for flag in flags]
    worst = max(float(np.abs(found).max()) for found in errors.values() if found)
    print(f"all      {sum(every)} of {len(every)} ({100 * np.mean(every):.1f} %), worst error {100 * worst:.1f} %")


if __name__ == "__main__":
    main()
