"""How often do calibration intervals and decision limits hold what they say? Simulated curves of known truth.

Run: python benchmarks/calibration_coverage.py [--curves 10000] [--auto-curves 2000] [--seed 0] [--only-rules]

Each curve has six standards and a blank in triplicate; each is then used to count a signal of known cells, measured m
times. Coverage should be 95 %, the rate of blanks said to be something 5 %. Beside Currie's decision limit, the rules
that labs report are tabulated for what they give: blanks said to be something, and samples of just that limit missed.
"""

import argparse
import time

import numpy as np

from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.cell_number import count_cells

LEVELS = np.repeat([0.0, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5], 3)
INTERCEPT, SLOPE = 2.0, 1e-3
# Scatter of one measurement at an expected signal: constant, or constant and 2 % of the signal.
SCATTERS = {"homoscedastic": (2.0, 0.0), "1 + 2 % of signal": (1.0, 0.02), "1 + 10 % of signal": (1.0, 0.1)}
TRUTHS = np.array([1.5e4, 5e4, 1.5e5, 4e5])


def measured(rng, mu, scatter, replicates=1):
    constant, relative = scatter
    sd = np.sqrt(constant**2 + (relative * mu) ** 2)
    return mu + sd * rng.standard_normal((replicates, *np.shape(mu))).mean(axis=0)


def coverage(weights, scatter, curves, seed):
    """Return per m the coverage at every truth, and the rate of false positives."""
    rng = np.random.default_rng(seed)
    inside = {1: np.zeros(TRUTHS.size), 3: np.zeros(TRUTHS.size)}
    positives = {1: 0, 3: 0}
    for _ in range(curves):
        calibration = fit_calibration(
            LEVELS, measured(rng, INTERCEPT + SLOPE * LEVELS, scatter), kind="in-cells", weights=weights
        )
        for m, covered in inside.items():
            found = count_cells(measured(rng, INTERCEPT + SLOPE * TRUTHS, scatter, m), calibration, replicates=m)
            covered += (found.low <= TRUTHS) & (found.high >= TRUTHS)
            blank = count_cells(measured(rng, np.float64(INTERCEPT), scatter, m), calibration, replicates=m)
            positives[m] += "below_detection" not in blank.flag[()]
    return {m: covered / curves for m, covered in inside.items()}, {m: n / curves for m, n in positives.items()}


def labs_rules(weights, scatter, curves, seed):
    """Return per rule: the mean limit in cells, blanks said to be something, samples of that limit missed; in parts."""
    rng = np.random.default_rng(seed)
    rules = ("decision limit (Currie)", "3.3 s/b", "blank + 3 SD", "10 s/b (LOQ)")
    limits, blanks, missed = {rule: [] for rule in rules}, dict.fromkeys(rules, 0), dict.fromkeys(rules, 0)
    for _ in range(curves):
        line = fit_calibration(
            LEVELS, measured(rng, INTERCEPT + SLOPE * LEVELS, scatter), kind="in-cells", weights=weights
        )
        signals = (
            line.decision_signal(1),
            line.intercept + line.slope * line.lod_3_3_sd,
            line.blank_mean_3_sd,
            line.intercept + line.slope * line.loq_10_sd,
        )
        blank = measured(rng, np.float64(INTERCEPT), scatter)
        for rule, limit in zip(rules, signals, strict=True):
            cells = (limit - line.intercept) / line.slope
            limits[rule].append(cells)
            blanks[rule] += blank > limit
            missed[rule] += measured(rng, np.float64(INTERCEPT + SLOPE * max(cells, 0.0)), scatter) <= limit
    return {rule: (np.median(limits[rule]), blanks[rule] / curves, missed[rule] / curves) for rule in rules}


def print_labs_rules(curves, seed):
    print(
        "rule                       scatter              weights  median limit (cells)  false positives  missed at it"
    )
    for name, scatter in SCATTERS.items():
        for weights in ("none", "auto"):
            for rule, (limit, positive, missed) in labs_rules(weights, scatter, curves, seed).items():
                print(
                    f"{rule:26s} {name:20s} {weights:7s} {limit:12,.0f} {100 * positive:19.1f} % {100 * missed:11.0f} %"
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=int, default=10_000)
    parser.add_argument("--auto-curves", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-rules", action="store_true")
    wanted = parser.parse_args()
    print_labs_rules(wanted.auto_curves, wanted.seed)
    if wanted.only_rules:
        return
    print(f"coverage in % at {', '.join(f'{x:g}' for x in TRUTHS)} cells; false positives in %")
    for name, scatter in SCATTERS.items():
        for weights in ("none", "auto", "replicates"):
            curves = wanted.auto_curves if weights == "auto" else wanted.curves
            started = time.perf_counter()
            inside, positives = coverage(weights, scatter, curves, wanted.seed)
            for m in (1, 3):
                rates = "  ".join(f"{100 * rate:5.1f}" for rate in inside[m])
                print(
                    f"{name:20s} {weights:11s} m={m}  {rates}   false positives {100 * positives[m]:4.1f}", flush=True
                )
            print(f"{'':20s} {curves} curves, {time.perf_counter() - started:.0f} s")
    signals = np.random.default_rng(1).uniform(0, 600, 1_000_000)
    calibration = fit_calibration(LEVELS, INTERCEPT + SLOPE * LEVELS + np.sin(LEVELS), kind="in-cells", weights="none")
    times = []
    for _ in range(5):
        started = time.perf_counter()
        count_cells(signals, calibration)
        times.append(time.perf_counter() - started)
    print(f"count_cells of 1e6 signals: {min(times):.3f} s (best of 5)")


if __name__ == "__main__":
    main()
