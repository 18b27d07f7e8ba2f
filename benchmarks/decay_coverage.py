"""How often does a half-life's interval hold the truth, and how near is the half-life? Simulated decays.

Run: python benchmarks/decay_coverage.py [--curves 2000] [--seed 0]

Exponentials of half-life 1.5, 3 and 6 days on the trial's days, noise of 3 % of the first signal and 5 % of its own.
Beside each: the share within 10 % of the truth, and how often plain AICc or our rule takes a richer model.
"""

import argparse
import time

import numpy as np

from napari_mpi_track.longitudinal.decay import fit_decay

DAYS = {
    "0,1,3,7": np.array([0.0, 1, 3, 7]),
    "0,1,3,7,30": np.array([0.0, 1, 3, 7, 30]),
    "0,1,2,3,5,7,10,14,20,30": np.array([0.0, 1, 2, 3, 5, 7, 10, 14, 20, 30]),
}
HALF_LIVES = (1.5, 3.0, 6.0)


def run(days, half_life, has_errors, is_censored, curves, seed):
    rng = np.random.default_rng(seed)
    truth = 100 * 2 ** (-days / half_life)
    # Without known errors one common scatter is what the fit assumes.
    sd = np.hypot(3.0, 0.05 * truth) if has_errors else np.full(days.size, 3.0)
    covered, near, found, unbounded = 0, 0, [], 0
    limit = 1.645 * 3.0
    for _ in range(curves):
        values = truth + sd * rng.standard_normal(days.size)
        below = values < limit if is_censored else np.zeros(days.size, bool)
        fit = fit_decay(
            days,
            values,
            errors=sd if has_errors else None,
            censored_below=below,
            limits=np.full(days.size, limit),
            model="exponential",
        )
        if fit.half_life_days is None:
            unbounded += 1
            covered += fit.flag == "rising" or fit.flag == "too_few_points"
            continue
        unbounded += fit.low is None or fit.high is None
        covered += (fit.low is None or fit.low <= half_life) and (fit.high is None or fit.high >= half_life)
        near += abs(fit.half_life_days / half_life - 1) < 0.10
        found.append(fit.half_life_days)
    return covered / curves, near / curves, np.median(found) / half_life - 1, unbounded / curves


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    for name, days in DAYS.items():
        for has_errors in (True, False):
            if not has_errors and days.size < 5:
                continue
            for is_censored in (False, True):
                for half_life in HALF_LIVES:
                    started = time.perf_counter()
                    covered, near, bias, unbounded = run(
                        days, half_life, has_errors, is_censored, wanted.curves, wanted.seed
                    )
                    print(
                        f"days {name:24s} errors {'known' if has_errors else 'unknown':7s} "
                        f"{'censored' if is_censored else 'signed':8s} T {half_life:3.1f} d  "
                        f"covered {100 * covered:5.1f} %  within 10 % {100 * near:5.1f} %  "
                        f"median {100 * bias:+5.1f} %  open {100 * unbounded:4.1f} %  "
                        f"{1e3 * (time.perf_counter() - started) / wanted.curves:.1f} ms each",
                        flush=True,
                    )
    days = DAYS["0,1,2,3,5,7,10,14,20,30"]
    rng = np.random.default_rng(wanted.seed)
    count = max(wanted.curves // 10, 50)
    truth = 100 * 2 ** (-days / 4.0)
    chosen = [fit_decay(days, truth + 3 * rng.standard_normal(10), errors=np.full(10, 3.0)).model for _ in range(count)]
    richer = 1 - chosen.count("exponential") / count
    print(f"true exponentials taken for a richer model: {100 * richer:.1f} % of {count}")


if __name__ == "__main__":
    main()
