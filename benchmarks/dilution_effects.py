"""How often do the intervals of dilution effects, measured from images, hold the truth they were simulated with?

Run: python benchmarks/dilution_effects.py [--seeds 60]

A study a seed and tracer: tubes of the published effects as projections, found and measured, and compare_dilutions on
them; five dilution ratios each for maximum, total and FWHM. Beside it, by series, how far totals lie from the truth.
The effects of one study share their scatter: the standard error of a coverage is about twice the binomial one.
"""

import argparse
from collections import defaultdict
from math import log

import numpy as np

from napari_mpi_track.quantification.dilution import DilutionSample, compare_dilutions
from napari_mpi_track.quantification.tubes import TotalRule, measure_tubes
from napari_mpi_track.simulation import calibration_study as study


def measured(tracer, series, rng):
    """Return iron, volume and the tube of every sample; of a scan with two tubes, which noise makes, the brighter."""
    samples = {f"{iron:04.0f}_{n}": (iron, volume) for iron, volume, n in study._samples(series)}
    scans = [(name, study._scan(study.TRACERS[tracer], series, *sample, rng)) for name, sample in samples.items()]
    brightest = {}
    for tube in measure_tubes(scans, TotalRule(margin_mm=study.MARGIN_MM)):
        if tube.scan not in brightest or tube.maximum > brightest[tube.scan].maximum:
            brightest[tube.scan] = tube
    return [(*samples[name], tube) for name, tube in brightest.items()]


def as_samples(tubes):
    return [
        DilutionSample(iron, volume, t.maximum, t.total, None if t.widths[1] is None else t.widths[1].fwhm_mm)
        for iron, volume, t in tubes
    ]


def true_percent(tracer, effect):
    facts = study.TRACERS[tracer]
    part, full = log(effect.dilution_ratio) / log(20.0), facts.diluted_20_times
    wide = full.fwhm_mm / facts.fwhm_mm
    return 100 * part * {"maximum": full.maximum, "total": full.total, "fwhm_mm": wide}[effect.measure]


def true_total(tracer, series, iron, volume):
    facts = study.TRACERS[tracer]
    half = facts.fwhm_mm / 2
    kept = study._kept(study._lorentzian(half, half))
    return facts.maximum_per_ng * iron * kept * (1 + study._effect(facts, series, iron, volume).total)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=60)
    held, off = defaultdict(list), defaultdict(list)
    for seed in range(parser.parse_args().seeds):
        for number, tracer in enumerate(study.TRACERS):
            rng = np.random.default_rng([seed, number])
            tubes = {series: measured(tracer, series, rng) for series in study.SERIES}
            for effect in compare_dilutions(*(as_samples(tubes[series]) for series in study.SERIES[:2])):
                truth, percent = true_percent(tracer, effect), effect.percent
                held[tracer, effect.measure].append(percent.low <= truth <= percent.high)
            for series, found in tubes.items():
                off[tracer, series] += [
                    (iron, tube.total / true_total(tracer, series, iron, volume) - 1)
                    for iron, volume, tube in found
                    if iron > 0
                ]
    for (tracer, measure), inside in held.items():
        print(f"{tracer:9s} {measure:8s} {sum(inside)} of {len(inside)} effects in their 95 % interval")
    every = [inside for of_one in held.values() for inside in of_one]
    print(f"all: {sum(every)} of {len(every)}, {100 * np.mean(every):.1f} %")
    for (tracer, series), errors in off.items():
        irons, errors = np.array(errors).T
        said = ", ".join(f"{100 * errors[irons == iron].mean():+.2f}" for iron in np.unique(irons))
        print(f"{tracer:9s} {series:20s} mean error of totals from the least iron to the most: {said} %")


if __name__ == "__main__":
    main()
