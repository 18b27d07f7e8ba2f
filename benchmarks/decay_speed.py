"""Exponentials and bi-exponentials of 10,000 curves at once, beside scipy's curve_fit and, where installed, lmfit.

    OMP_NUM_THREADS=1 python benchmarks/decay_speed.py [--curves 10000] [--peers 10000] [--seed 0]

Seven days, 3 % noise of the first signal. CPU seconds of one thread, best of three; curve_fit, without bounds and from
a fair start, over the first of the curves, and how often its residual is smaller than ours or it fails.
"""

import argparse
import time
import warnings

import numpy as np
from scipy.optimize import curve_fit

from napari_mpi_track.longitudinal.exponential_sums import SumForm, fit_exponential_sums

DAYS = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 14.0])
# Rates that meet are kept a little apart, which may cost the squares their eighth digit.
WORSE = 1e-7


def one_term(t, a, k):
    return a * np.exp(-k * t)


def two_terms(t, a, k, b, m):
    return a * np.exp(-k * t) + b * np.exp(-m * t)


def simulated(form, count, seed):
    rng = np.random.default_rng(seed)
    if form is SumForm.EXPONENTIAL:
        truth = 100 * np.exp(-np.outer(rng.uniform(0.05, 1, count), DAYS))
    else:
        fast, slow, part = rng.uniform(0.5, 3, count), rng.uniform(0.02, 0.2, count), rng.uniform(0.3, 0.7, (count, 1))
        truth = 100 * (part * np.exp(-np.outer(fast, DAYS)) + (1 - part) * np.exp(-np.outer(slow, DAYS)))
    return truth + 3 * rng.standard_normal(truth.shape)


def cpu(work, repeats=3):
    used = []
    for _ in range(repeats):
        started = time.process_time()
        found = work()
        used.append(time.process_time() - started)
    return min(used), found


def beside_curve_fit(curve, start, values, squares):
    failed, worse, better = 0, 0, 0
    started = time.process_time()
    for row, ours in zip(values, squares, strict=True):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found, _ = curve_fit(curve, DAYS, row, start, maxfev=10_000)
        except RuntimeError:
            failed += 1
            continue
        theirs = float(np.sum((row - curve(DAYS, *found)) ** 2))
        worse += ours > theirs * (1 + WORSE)
        better += ours < theirs * (1 - WORSE)
    used = (time.process_time() - started) / len(values)
    print(
        f"    curve_fit {1e6 * used:6.0f} us a curve over {len(values)}: fails {failed}, "
        f"smaller residual than ours {worse}, larger {better}"
    )
    return used


def beside_lmfit(curve, names, start, values):
    try:
        from lmfit import Model
    except ImportError:
        print("    lmfit is not installed")
        return
    model = Model(curve, independent_vars=["t"])
    started = time.process_time()
    for row in values:
        model.fit(row, t=DAYS, **dict(zip(names, start, strict=True)))
    print(f"    lmfit     {1e6 * (time.process_time() - started) / len(values):6.0f} us a curve over {len(values)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=10_000)
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    for form, curve, names, start in (
        (SumForm.EXPONENTIAL, one_term, "ak", [100, 0.3]),
        (SumForm.BIEXPONENTIAL, two_terms, "akbm", [50, 1.0, 50, 0.05]),
    ):
        values = simulated(form, wanted.curves, wanted.seed)
        used, fits = cpu(lambda form=form, values=values: fit_exponential_sums(DAYS, values, form=form))
        is_whole = np.isfinite(fits.squares).all() and np.isfinite(fits.rates_per_day).all()
        print(
            f"{form}: {used:.3f} s CPU for {wanted.curves} curves, {1e6 * used / wanted.curves:.1f} us each, "
            f"{'none fails' if is_whole else 'SOME FAIL'}",
            flush=True,
        )
        peers = values[: wanted.peers]
        theirs = beside_curve_fit(curve, start, peers, fits.squares[: wanted.peers])
        print(f"    curve_fit / ours: {theirs / (used / wanted.curves):.0f}")
        beside_lmfit(curve, names, start, values[:100])


if __name__ == "__main__":
    main()
