"""How near organs come to the truth once the blur between them is undone, and what the test of even light answers.

    python benchmarks/spill_over.py [--seeds 200] [--only accuracy|light|deposit|speed]

A simulated mouse under Gaussian and Lorentzian blurs of 2 to 4 mm and correlated noise (SD 8, a voxel of 1 mm),
organs drawn on voxels of 0.3 mm. "given": corrected with the true point spread; "measured": with the one that
measure-psf finds in a simulated scan of a ball of 1 mm, a hundred times as high as its noise.

accuracy    uncorrected and corrected totals against truth, and how often the 95 % interval (of noise and widths)
            holds the truth.
light       false alarms of the test of even light, and how often a deposit in the tumour's core and a wrong point
            spread are found.
deposit     a deposit in the tumour's core by the margin rule, with widths that are off by what they are said to be, and
            as if the tumour were evenly lit; every blur under noises of its own.
speed       CPU seconds of the correction with 20 organs on 100 x 100 x 200 voxels.
"""

import argparse
import time
from functools import cache

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.margins import margin_mm, margin_of, require_isolated
from napari_mpi_track.quantification.occupancy import Occupancy, OrganOccupancy, measure_occupancy
from napari_mpi_track.quantification.organ_signal import OrganSignals, measure_organs
from napari_mpi_track.quantification.point_source import measure_point_spread
from napari_mpi_track.quantification.spill_over import SpillOver, correct_spill_over
from napari_mpi_track.simulation.anatomy import Solid, ellipsoid
from napari_mpi_track.simulation.mouse import mouse
from napari_mpi_track.simulation.scanner import Blur, Noise, blurred, labelled, noise_field

TRUE = {"tumour": 6e4, "lungs": 1.5e5, "liver": 8e5, "spleen": 2e5, "bone": 0.0}
NOISE = Noise(8.0, correlation_sd=1.1)
QUIET = Noise(0.05, correlation_sd=1.1)
CORE = Solid((ellipsoid((-10.8, 1.5, -20.0), (1.0, 1.0, 1.0)),))
CASES = [(shape, fwhm_mm) for shape in PsfShape for fwhm_mm in (2.0, 3.0, 4.0)]


def centred(extent_mm: tuple[float, float, float], spacing: float) -> Grid:
    shape = np.round(np.asarray(extent_mm) / spacing).astype(int)
    return Grid.from_spacing(tuple(int(n) for n in shape), spacing, -(shape[::-1] - 1) / 2 * spacing, "bed")


GRID = centred((110, 48, 48), 1.0)


@cache
def organs() -> OrganLabels:
    grid, body = centred((102, 46, 46), 0.3), mouse()
    return OrganLabels(labelled(body.organs, grid, np.eye(4)), grid, dict(enumerate(body.organs, 1)))


@cache
def shown(shape: PsfShape, fwhm_mm: float) -> dict[str, NDArray[np.float64]]:
    """Return what the scanner shows of signal 1 in each organ, and in the tumour's core."""
    blur = Blur(shape.value, (fwhm_mm,) * 3)
    sources = {**mouse().organs, "core": CORE}
    return {name: blurred([(solid, 1.0)], GRID, np.eye(4), blur) for name, solid in sources.items()}


def scan(shape: PsfShape, fwhm_mm: float, true: dict[str, float], seed: int, noise: Noise = NOISE) -> Volume:
    clean = sum((amount * shown(shape, fwhm_mm)[name] for name, amount in true.items()), np.zeros(GRID.shape))
    return Volume(clean + noise_field(GRID.shape, noise, np.random.default_rng(seed)), GRID)


def measured_psf(shape: PsfShape, fwhm_mm: float, seed: int) -> PointSpread:
    """Return the point spread as a scan of a ball of 1 mm tells it."""
    rng = np.random.default_rng(10_000 + seed)
    fine = Grid.from_spacing((80, 80, 80), 0.5, frame="bed")
    ball = Solid((ellipsoid(19.75 + rng.uniform(-0.5, 0.5, 3), [0.5] * 3),))
    clean = blurred([(ball, 1000.0)], fine, np.eye(4), Blur(shape.value, (fwhm_mm,) * 3))
    clean = clean.reshape(40, 2, 40, 2, 40, 2).mean(axis=(1, 3, 5))
    noise = noise_field(clean.shape, Noise(clean.max() / 100, NOISE.correlation_sd), rng)
    return measure_point_spread(Volume(clean + noise, Grid.from_spacing(clean.shape, 1.0)), 1.0).point_spread


@cache
def occupancy() -> Occupancy:
    return measure_occupancy(organs(), GRID)


def spill(
    volume: Volume, psf: PointSpread, shared: Occupancy | None = None, deposit: OrganOccupancy | None = None
) -> tuple[OrganSignals, SpillOver]:
    noise, shared = estimate_noise(volume), shared or occupancy()
    signals = measure_organs(volume, shared, noise)
    sources = {} if deposit is None else {"tumour": deposit}
    return signals, correct_spill_over(volume, shared, signals, noise, psf, sources)


def sds(found: SpillOver) -> NDArray[np.float64]:
    """Return the corrected totals' SD from noise and from the point spread's error."""
    return np.sqrt(np.diag(found.noise_covariance + found.psf_covariance))


def accuracy(seeds: int) -> None:
    names = [name for name, amount in TRUE.items() if amount]
    true = np.array([TRUE[name] for name in names])
    for shape, fwhm_mm in CASES:
        for kind, noise in (("given, hardly any noise", QUIET), ("given", NOISE), ("measured", NOISE)):
            before, after, held = [], [], []
            for seed in range(1 if noise is QUIET else seeds):
                psf = PointSpread(shape, np.full(3, fwhm_mm))
                if kind == "measured":
                    psf = measured_psf(shape, fwhm_mm, seed)
                signals, found = spill(scan(shape, fwhm_mm, TRUE, seed, noise), psf)
                at = [found.names.index(name) for name in names]
                before.append(signals.totals()[at] / true - 1)
                after.append(found.totals[at] / true - 1)
                held.append(np.abs(found.totals[at] - true) <= 1.96 * sds(found)[at])
            columns = (100 * np.array(part) for part in (before, after, held))
            was, now, kept = columns
            rows = "; ".join(
                f"{name} {was[:, n].mean():+.0f} -> {now[:, n].mean():+.1f} +- {now[:, n].std():.1f} % "
                f"({kept[:, n].mean():.0f} %)"
                for n, name in enumerate(names)
            )
            print(f"{shape.value} {fwhm_mm:g} mm, psf {kind}: {rows}", flush=True)


def light(seeds: int) -> None:
    in_core = {**TRUE, "tumour": 0.0, "core": TRUE["tumour"]}
    alarms = tests = wrong = 0
    for shape, fwhm_mm in CASES:
        found = other = mismatch = 0
        for seed in range(seeds):
            psf = PointSpread(shape, np.full(3, fwhm_mm))
            even = spill(scan(shape, fwhm_mm, TRUE, seed), psf)[1].uniformity
            alarms += sum(even.is_uneven(name) for name in even.p_value)
            tests += len(even.p_value)
            wrong += even.is_psf_wrong
            uneven = spill(scan(shape, fwhm_mm, in_core, seed), psf)[1].uniformity
            found += uneven.is_uneven("tumour")
            other += sum(uneven.is_uneven(name) for name in uneven.p_value if name != "tumour")
            false_shape = next(one for one in PsfShape if one is not shape)
            other_psf = PointSpread(false_shape, np.full(3, fwhm_mm))
            mismatch += spill(scan(shape, fwhm_mm, TRUE, seed), other_psf)[1].uniformity.is_psf_wrong
        print(
            f"{shape.value} {fwhm_mm:g} mm: deposit in the core found {found} of {seeds}, other organs flagged "
            f"{other}; wrong shape told {mismatch} of {seeds}",
            flush=True,
        )
    print(f"evenly lit: {alarms} of {tests} organs called uneven, {wrong} of {seeds * len(CASES)} point spreads wrong")


def deposit(seeds: int) -> None:
    in_core = {**TRUE, "tumour": 0.0, "core": TRUE["tumour"]}
    for number, (shape, fwhm_mm) in enumerate(CASES):
        errors, evenly, held, stated = [], [], [], []
        for seed in range(10_000 * number, 10_000 * number + seeds):
            off = 0.02 * np.random.default_rng(1_000_000 + seed).standard_normal()
            psf = PointSpread(shape, np.full(3, fwhm_mm * (1 + off)), 0.02)
            volume = scan(shape, fwhm_mm, in_core, seed)
            margin = margin_of(volume, occupancy(), "tumour", margin_mm(psf))
            shared = Occupancy(GRID, {**occupancy().organs, "tumour": margin.region})
            _, found = spill(volume, psf, shared, margin.deposit)
            require_isolated(volume, found, {"tumour": margin})
            at = found.names.index("tumour")
            errors.append(found.totals[at] / TRUE["tumour"] - 1)
            stated.append(sds(found)[at] / TRUE["tumour"])
            held.append(abs(errors[-1]) <= 1.96 * stated[-1])
            evenly.append(spill(volume, psf)[1].totals[at] / TRUE["tumour"] - 1)
        print(
            f"{shape.value} {fwhm_mm:g} mm: margin rule {100 * np.mean(errors):+.1f} +- {100 * np.std(errors):.1f} % "
            f"(said to be {100 * np.mean(stated):.1f} %), 95 % intervals hold in {sum(held)} of {seeds}; "
            f"as if evenly lit {100 * np.mean(evenly):+.0f} %",
            flush=True,
        )


def speed() -> None:
    grid = Grid.from_spacing((100, 100, 200), 1.0, frame="bed")
    rng = np.random.default_rng(0)
    free = np.ones(grid.shape, dtype=bool)
    parts = {}
    for number in range(20):
        low = [int(rng.integers(5, n - 30)) for n in grid.shape]
        box = tuple(slice(at, at + int(rng.integers(8, 24))) for at in low)
        inside = np.zeros(grid.shape, dtype=bool)
        inside[box] = free[box]
        free &= ~inside
        voxel = np.flatnonzero(inside)
        parts[f"organ {number}"] = OrganOccupancy(voxel, np.ones(voxel.size), float(voxel.size))
    shared = Occupancy(grid, parts)
    source = sum(part.dense(grid.shape) for part in parts.values()) * 50.0
    for shape in PsfShape:
        psf = PointSpread(shape, np.full(3, 2.5), 0.03)
        volume = Volume(psf.blur(source, grid) + noise_field(grid.shape, NOISE, rng), grid)
        noise = estimate_noise(volume)
        started = time.process_time()
        signals = measure_organs(volume, shared, noise)
        between = time.process_time()
        correct_spill_over(volume, shared, signals, noise, psf)
        done = time.process_time()
        started_one = time.process_time()
        psf.blur(source, grid)
        one = time.process_time() - started_one
        print(
            f"{shape.value}: 20 organs on 100 x 100 x 200 corrected in {done - between:.2f} s CPU, "
            f"measured in {between - started:.2f} s; one blur of the whole field takes {one:.2f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--only", choices=["accuracy", "light", "deposit", "speed"])
    options = parser.parse_args()
    for part in (accuracy, light, deposit):
        if options.only in (None, part.__name__):
            part(options.seeds)
    if options.only in (None, "speed"):
        speed()


if __name__ == "__main__":
    main()
