"""A signal between two scans, where retention is wanted on a day without one."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log

from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.quantification.estimate import Estimate

INTERPOLATED = "interpolated"


def between_scans(
    subject: str, series: Sequence[Measurement], days: Sequence[float]
) -> tuple[list[Measurement], list[str]]:
    """Return one organ's rows on the asked days that have no scan, flagged ``interpolated``, and what could not be.

    Parameters
    ----------
    subject
        Whose they are, for the words.
    series
        One organ's rows with their signals, in order of day.
    days
        The days asked for; one with a scan needs nothing.

    Notes
    -----
    A straight line of the logarithm between the scans before and after (an exponential between them), of the signal
    itself where one of them is below detection. The interval is that of the two scans; how far the true course leaves
    the line is not in it. Nothing is said before the first scan or after the last.
    """
    found, told = [], []
    for day in days:
        if any(row.day == day for row in series):
            continue
        before = [row for row in series if row.day < day]
        after = [row for row in series if row.day > day]
        if not before or not after:
            organ, modality = series[0].organ, series[0].modality
            told.append(f"{subject}: {organ} in {modality} has scans on one side of day {day:g} only: no retention")
            continue
        found.append(_row_between(before[-1], after[0], day))
    return found, told


def _row_between(first: Measurement, second: Measurement, day: float) -> Measurement:
    assert first.signal is not None
    assert second.signal is not None
    part = (day - first.day) / (second.day - first.day)
    flags = dict.fromkeys(flag for row in (first, second) for flag in row.flag.split(";") if flag)
    by_first, by_second, value = 1.0 - part, part, (1.0 - part) * first.signal.value + part * second.signal.value
    if "below_detection" not in flags and min(first.signal.value, second.signal.value) > 0:
        value = exp((1.0 - part) * log(first.signal.value) + part * log(second.signal.value))
        by_first, by_second = by_first * value / first.signal.value, by_second * value / second.signal.value
    signal = Estimate(value) + by_first * _named(first.signal) + by_second * _named(second.signal)
    return replace(first, day=day, signal=replace(signal, value=value), flag=";".join([*flags, INTERPOLATED]))


def _named(signal: Estimate) -> Estimate:
    """Return the estimate with its own error named as ratios name it, so that a scan counted twice is one error."""
    return Estimate(signal.value, 0.0, {**signal.shared, f"measurement:{id(signal)}": signal.own_sd})
