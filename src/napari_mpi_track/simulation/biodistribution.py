"""Where cells are over the days: the truth that a simulated study is measured against."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ZR89_HALF_LIFE_H = 78.41  # DDEP/ENSDF: 78.41 h; stated in METHODS 5


@dataclass(frozen=True, slots=True)
class Leaving:
    """A fraction of the injected cells that halves every ``half_life_days``."""

    at_injection: float
    half_life_days: float

    def fraction(self, day: float) -> float:
        """Return the fraction of the injected cells on ``day``, dimensionless."""
        return float(self.at_injection * 2.0 ** (-day / self.half_life_days))


@dataclass(frozen=True, slots=True)
class Gathering:
    """A fraction that rises from ``at_injection`` towards ``at_injection + gain`` and may leave again."""

    at_injection: float
    gain: float
    rise_days: float
    half_life_days: float = np.inf

    def fraction(self, day: float) -> float:
        """Return the fraction of the injected cells on ``day``, dimensionless."""
        risen = self.at_injection + self.gain * (1.0 - np.exp(-day / self.rise_days))
        return float(risen * 2.0 ** (-day / self.half_life_days))


@dataclass(frozen=True, slots=True)
class Absent:
    """No cells on any day."""

    def fraction(self, day: float) -> float:  # noqa: ARG002 - one call for every course
        """Return 0."""
        return 0.0


Course = Leaving | Gathering | Absent


def car_t_courses(rng: np.random.Generator) -> Mapping[str, Course]:
    """Return one animal's courses after injection into the tail vein, each animal a little different.

    Cells are caught in the lungs, then found in liver and spleen while some home to the tumour, as 89Zr-labelled
    CAR-T cells do in mice (PMC6946129). Bone holds none: what PET sees there is free 89Zr.
    """
    size, pace = rng.uniform(0.92, 1.08, 4), rng.uniform(0.9, 1.1, 4)
    return {
        "tumour": Gathering(0.030 * size[0], 0.070 * size[0], 2.5 * pace[0]),
        "lungs": Leaving(0.40 * size[1], 2.0 * pace[1]),
        "liver": Leaving(0.32 * size[2], 9.0 * pace[2]),
        "spleen": Leaving(0.060 * size[3], 6.0 * pace[3]),
        "bone": Absent(),
    }


def free_zirconium_in_bone() -> Course:
    """Return the part of the injected 89Zr (decay-corrected) that dead cells have released to bone."""
    return Gathering(0.0, 0.12, 4.0)


def knee_courses(rng: np.random.Generator, *, cell_free: bool) -> Mapping[str, Course]:
    """Return one patient's courses after injection into the joint; particles without cells drain faster."""
    size, pace = rng.uniform(0.96, 1.04, 3), rng.uniform(0.9, 1.1, 3)
    if cell_free:
        return {
            "joint_cavity": Leaving(0.88 * size[0], 1.8 * pace[0]),
            "fat_pad": Leaving(0.050 * size[1], 3.0 * pace[1]),
            "lymph_node": Gathering(0.0, 0.080 * size[2], 1.0, 4.0 * pace[2]),
        }
    return {
        "joint_cavity": Leaving(0.90 * size[0], 6.0 * pace[0]),
        "fat_pad": Leaving(0.050 * size[1], 10.0 * pace[1]),
        "lymph_node": Gathering(0.0, 0.040 * size[2], 2.0, 12.0 * pace[2]),
    }


def half_lives_days(courses: Mapping[str, Course]) -> Mapping[str, float]:
    """Return the half-life in days of every organ that loses cells exponentially."""
    return {organ: course.half_life_days for organ, course in courses.items() if isinstance(course, Leaving)}


def zr89_left(elapsed_h: float) -> float:
    """Return the part of 89Zr that has not decayed after ``elapsed_h`` hours, dimensionless."""
    return float(2.0 ** (-elapsed_h / ZR89_HALF_LIFE_H))
