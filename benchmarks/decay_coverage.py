"""How often a half-life's interval holds the truth, and the chosen model is the true one. Simulated decays.

    python benchmarks/decay_coverage.py samples|days|choice|censored [--curves 500] [--seed 0]

samples   the courses of the sample studies (car-t, knee), measured without images: every signal has an error of its
          own, the calibration's scatter (as planned for the study) and 3 % for alignment and spill-over, known only as
          in a study, from the signal that was measured. What all days share (slope, point spread) is one factor of
          SD 5 %: it must not matter.
days      exponentials of half-life 1.5, 3 and 6 days on the trial's days, noise of 3 % of the first signal and 5 % of
          its own.
choice    how often the chosen model is the true one, against points and noise.
censored  half of the points below detection: half-lives by the censored likelihood, and with zeros in their place.
"""

import argparse
import time

import numpy as np

from napari_mpi_track.longitudinal.decay import fit_decay
from napari_mpi_track.simulation.biodistribution import car_t_courses, half_lives_days, knee_courses
from napari_mpi_track.simulation.designs import design

DAYS = {
    "0,1,3,7": np.array([0.0, 1, 3, 7]),
    "0,1,3,7,30": np.array([0.0, 1, 3, 7, 30]),
    "0,1,2,3,5,7,10,14,20,30": np.array([0.0, 1, 2, 3, 5, 7, 10, 14, 20, 30]),
}
HALF_LIVES = (1.5, 3.0, 6.0)
COUNTS = {
    5: np.array([0.0, 1, 3, 7, 30]),
    6: np.array([0.0, 1, 3, 7, 14, 30]),
    8: np.array([0.0, 1, 2, 4, 7, 12, 20, 30]),
    12: np.array([0.0, 0.5, 1, 2, 3, 5, 7, 10, 14, 18, 24, 30]),
}
TRUE_MODELS = {
    "exponential": lambda t: 100 * 2 ** (-t / 6.0),
    "plateau": lambda t: 75 * 2 ** (-t / 3.0) + 25,
    "weibull": lambda t: 100 * np.exp(-((t / 8.0) ** 0.5)),
    "biexponential": lambda t: 60 * 2 ** (-t / 1.0) + 40 * 2 ** (-t / 14.0),
}


def samples(curves, seed):
    for study in ("car-t", "knee"):
        plan = design(study, "full")
        days = np.array([day for day in plan.days if day >= 0])
        covered, bounded, bias = {}, {}, {}
        started = time.process_time()
        for at in range(curves):
            rng = np.random.default_rng([seed, at])
            courses = car_t_courses(rng) if study == "car-t" else knee_courses(rng, cell_free=False)
            whole = rng.uniform(*plan.injected_cells) * plan.signal_per_cell
            shared = 1 + 0.05 * rng.standard_normal()
            for organ, half_life in half_lives_days(courses).items():
                truth = shared * whole * np.array([courses[organ].fraction(day) for day in days])

                def error(signal, plan=plan):
                    return np.hypot(plan.series.blank_sd, np.hypot(plan.series.relative_sd, 0.03) * np.abs(signal))

                signal = truth + error(truth) * rng.standard_normal(days.size)
                fit = fit_decay(days, signal, errors=error(signal))
                low, high = fit.low or 0.0, np.inf if fit.high is None else fit.high
                covered.setdefault(organ, []).append(fit.half_life_days is not None and low <= half_life <= high)
                bounded.setdefault(organ, []).append(fit.high is not None)
                bias.setdefault(organ, []).append((fit.half_life_days or np.nan) / half_life - 1)
        for organ, hits in covered.items():
            print(
                f"{study:6s} {organ:13s} covered {100 * np.mean(hits):5.1f} %  "
                f"finite {100 * np.mean(bounded[organ]):5.1f} %  "
                f"median {100 * np.nanmedian(bias[organ]):+5.2f} %  ({len(hits)} seeds)",
                flush=True,
            )
        everything = np.concatenate(list(covered.values()))
        used = time.process_time() - started
        print(f"{study:6s} {'all':13s} covered {100 * everything.mean():5.1f} % of {everything.size}, {used:.0f} s CPU")


def course_of(days, half_life, has_errors, is_censored, curves, seed):
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


def days(curves, seed):
    for name, at in DAYS.items():
        for has_errors in (True, False):
            if not has_errors and at.size < 5:
                continue
            for is_censored in (False, True):
                for half_life in HALF_LIVES:
                    covered, near, bias, unbounded = course_of(at, half_life, has_errors, is_censored, curves, seed)
                    print(
                        f"days {name:24s} errors {'known' if has_errors else 'unknown':7s} "
                        f"{'censored' if is_censored else 'signed':8s} T {half_life:3.1f} d  "
                        f"covered {100 * covered:5.1f} %  within 10 % {100 * near:5.1f} %  "
                        f"median {100 * bias:+5.1f} %  open {100 * unbounded:4.1f} %",
                        flush=True,
                    )


def choice(curves, seed):
    print("true model      points  " + "  ".join(f"{noise:>4g} %" for noise in (1, 3, 5, 10)) + "   (errors known)")
    for name, curve in TRUE_MODELS.items():
        for count, at in COUNTS.items():
            shares = []
            for noise in (1.0, 3.0, 5.0, 10.0):
                rng = np.random.default_rng(seed)
                sd = np.full(count, noise)
                chosen = [
                    fit_decay(at, curve(at) + sd * rng.standard_normal(count), errors=sd).model for _ in range(curves)
                ]
                shares.append(100 * chosen.count(name) / curves)
            print(f"{name:14s}  {count:6d}  " + "  ".join(f"{share:6.1f}" for share in shares), flush=True)


def censored(curves, seed):
    at, half_life, noise = COUNTS[12], 3.0, 5.0
    truth = 100 * 2 ** (-at / half_life)
    # Six of the twelve true signals lie above this limit, six below.
    limit = float(np.sqrt(truth[5] * truth[6]))
    for has_errors in (True, False):
        rng = np.random.default_rng(seed)
        bound, zero, signed = [], [], []
        for _ in range(curves):
            values = truth + noise * rng.standard_normal(at.size)
            below = values < limit
            known = {"errors": np.full(at.size, noise)} if has_errors else {}
            common = {**known, "model": "exponential"}
            found = fit_decay(at, values, censored_below=below, limits=np.full(at.size, limit), **common)
            bound.append(found.half_life_days)
            zero.append(fit_decay(at, np.where(below, 0.0, values), **common).half_life_days)
            signed.append(fit_decay(at, values, **common).half_life_days)
        for name, half_lives in (("censored likelihood", bound), ("zeros in place", zero), ("all values seen", signed)):
            kept = np.array([value for value in half_lives if value is not None])
            print(
                f"errors {'known' if has_errors else 'unknown':7s} {name:20s} "
                f"mean {100 * (kept.mean() / half_life - 1):+5.1f} %  "
                f"median {100 * (np.median(kept) / half_life - 1):+5.1f} %  of {kept.size}",
                flush=True,
            )


PARTS = {"samples": samples, "days": days, "choice": choice, "censored": censored}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--curves", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    PARTS[wanted.part](wanted.curves, wanted.seed)


if __name__ == "__main__":
    main()
