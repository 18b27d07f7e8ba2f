"""Radioactivity beside MPI: decay by date and time, injected dose, uptake, and cells from their label."""

from dataclasses import dataclass
from datetime import datetime
from math import expm1, log
from typing import Literal

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.half_lives import half_life_h, isotope_name

_CELLS_PER_ACTIVITY = 1e6
# kBq per million cells: see label_warnings.
_LABELLING_WINDOW_KBQ = (11.0, 44.0)
_TOXIC_TO_T_CELLS_KBQ = 37.0
_TOXIC_TO_GAMMA_DELTA_KBQ = 50.0


def elapsed_h(start: datetime, end: datetime) -> float:
    """Return the hours from ``start`` to ``end``, by date and time, negative when ``end`` is earlier.

    Raises
    ------
    MeasurementError
        One of the two carries a time zone and the other does not.
    """
    if (start.utcoffset() is None) != (end.utcoffset() is None):
        with_zone, without = (start, end) if end.utcoffset() is None else (end, start)
        raise MeasurementError(
            f"the time {with_zone.isoformat()} has a zone and {without.isoformat()} has none",
            remedy="give both with an offset, or both without",
        )
    return (end - start).total_seconds() / 3600.0


def decay_factor(isotope: str, start: datetime, end: datetime) -> float:
    """Return what an activity at ``start`` is multiplied by to be the activity at ``end``, dimensionless.

    Above 1 when ``end`` is earlier: that is how a scan is corrected back to the injection.

    Notes
    -----
    2^(-dt/T), dt by date and time: leaving out the date costs a factor of 4.4 for 89Zr after a week.

    Raises
    ------
    MeasurementError
        An unknown isotope, or times with and without a zone.
    """
    return float(2.0 ** (-elapsed_h(start, end) / half_life_h(isotope)))


def frame_average_factor(isotope: str, duration_s: float) -> float:
    """Return what a frame's mean activity is multiplied by to be the activity at the frame's start, dimensionless.

    Notes
    -----
    l D/(1 - exp(-l D)), l the decay constant and D the frame's length.
    """
    if duration_s < 0:
        raise MeasurementError(f"a frame's length must not be negative, got {duration_s:g} s")
    decays = log(2.0) * duration_s / (3600.0 * half_life_h(isotope))
    return 1.0 if decays == 0 else decays / -expm1(-decays)


@dataclass(frozen=True, slots=True)
class DecayCorrection:
    """How voxels of one scan are brought to two times.

    Attributes
    ----------
    to_injection, to_scan
        What a voxel is multiplied by to be the activity at the injection, and at the start of the scan; dimensionless.
    elapsed_h
        From the injection to the start of the scan.
    text
        A line for the report.
    """

    to_injection: float
    to_scan: float
    elapsed_h: float
    text: str


def decay_correction(
    isotope: str,
    *,
    injected_at: datetime,
    scan_started_at: datetime,
    corrected_to: Literal["injection", "scan", "none"],
    acquired_at: datetime | None = None,
    frame_duration_s: float = 0.0,
) -> DecayCorrection:
    """Return the factors that bring a scan's voxels to the injection and to the start of the scan.

    Parameters
    ----------
    isotope
        Any usual spelling.
    injected_at, scan_started_at
        Both with a time zone or both without. Of a PET series the earlier of series and acquisition time: a derived
        series has a later time than its acquisition.
    corrected_to
        What the scanner did: ``injection`` (DICOM DecayCorrection ADMIN), ``scan`` (START: to the start of the series),
        ``none`` (NONE).
    acquired_at, frame_duration_s
        Of the slice or frame, used when nothing was corrected: its activity is the mean over the frame. The start
        of the scan when not given.

    Raises
    ------
    MeasurementError
        A scan before the injection, an unknown isotope or reference, times with and without a zone.
    """
    hours = elapsed_h(injected_at, scan_started_at)
    if hours < 0:
        raise MeasurementError(
            f"the scan began {-hours:.3g} h before the injection",
            remedy="check both dates and times, and their zones",
        )
    growth = decay_factor(isotope, scan_started_at, injected_at)
    if corrected_to == "injection":
        to_injection = 1.0
    elif corrected_to == "scan":
        to_injection = growth
    elif corrected_to == "none":
        acquired = scan_started_at if acquired_at is None else acquired_at
        to_injection = decay_factor(isotope, acquired, injected_at) * frame_average_factor(isotope, frame_duration_s)
    else:
        raise MeasurementError(f"decay is corrected to injection, scan or none, got {corrected_to!r}")
    done = "not corrected for decay" if corrected_to == "none" else f"corrected to the {corrected_to}"
    text = (
        f"{isotope_name(isotope)}, half-life {half_life_h(isotope):.6g} h: scan {hours:.4g} h after the injection, "
        f"voxels {done}, factor to the injection {to_injection:.6g}"
    )
    return DecayCorrection(to_injection, to_injection / growth, hours, text)


def injected_activity(
    isotope: str, activity_kBq: float, *, residual_kBq: float = 0.0, assayed_at: datetime, injected_at: datetime
) -> float:
    """Return the activity that went into the animal, in kBq at the time of the injection.

    ``activity_kBq`` and the syringe's ``residual_kBq`` are both at ``assayed_at``.

    Raises
    ------
    MeasurementError
        Nothing was left to inject, an unknown isotope, times with and without a zone.
    """
    given = activity_kBq - residual_kBq
    if not given > 0:
        raise MeasurementError(
            f"the injected activity must be positive, got {activity_kBq:g} kBq less {residual_kBq:g} kBq residue",
            remedy="check both activities, and that they are of the same time",
        )
    return given * decay_factor(isotope, assayed_at, injected_at)


def percent_of_injected(activity_kBq: Estimate, injected_kBq: Estimate | float) -> Estimate:
    """Return an organ's activity in percent of the injected, %ID; both at the same time."""
    return activity_kBq * 100.0 / _positive(injected_kBq, "injected activity")


def percent_per_gram(percent_of_injected: Estimate, volume_mm3: float, *, density_g_per_ml: float = 1.0) -> Estimate:
    """Return %ID/g of an organ of that volume."""
    if not (volume_mm3 > 0 and density_g_per_ml > 0):
        raise MeasurementError(
            f"an organ needs a volume and a density, got {volume_mm3:g} mm3, {density_g_per_ml:g} g/mL"
        )
    return percent_of_injected / (volume_mm3 * 1e-3 * density_g_per_ml)


def suv_mean(activity_kBq: Estimate, volume_mm3: float, injected_kBq: Estimate | float, weight_g: float) -> Estimate:
    """Return the mean standardised uptake value by body weight, g/mL: C W/D, both activities at the same time."""
    if not (volume_mm3 > 0 and weight_g > 0):
        raise MeasurementError(f"an SUV needs a volume and a weight, got {volume_mm3:g} mm3 and {weight_g:g} g")
    return activity_kBq * (weight_g / (volume_mm3 * 1e-3)) / _positive(injected_kBq, "injected activity")


def cells_from_activity(activity_kBq: Estimate, activity_per_million_cells_kBq: Estimate | float) -> Estimate:
    """Return cells from their label's activity and what a million of them carried, both in kBq at the same time.

    Give the error of the specific activity as shared, so that organs of one animal share it. The label divides with
    the cells: these are founder-equivalent cells.
    """
    return activity_kBq * _CELLS_PER_ACTIVITY / _positive(activity_per_million_cells_kBq, "activity per million cells")


def label_warnings(
    activity_per_million_cells_kBq: float, cell_type: str | None = None, *, isotope: str = "89Zr"
) -> tuple[str, ...]:
    """Return what is known to be risky in how the cells were labelled, one sentence each.

    Notes
    -----
    89Zr: usual window 11 to 44 kBq per million cells; above 37 toxic to activated CD8 T cells, 50 to 90 harmful to
    gamma-delta T cells (review of whole-body imaging of cell-based immunotherapy, METHODS section 5).
    """
    activity = activity_per_million_cells_kBq
    kind = (cell_type or "").casefold().replace("γδ", "gamma-delta").replace("gamma delta", "gamma-delta")
    low, high = _LABELLING_WINDOW_KBQ
    said = []
    if activity < low:
        said.append(
            f"{activity:g} kBq per million cells is below the usual {low:g} to {high:g}: few cells stay visible"
        )
    if activity > high:
        said.append(f"{activity:g} kBq per million cells is above the usual {low:g} to {high:g}")
    if "gamma-delta" in kind:
        if activity >= _TOXIC_TO_GAMMA_DELTA_KBQ:
            said.append(f"{activity:g} kBq per million cells harms gamma-delta T cells (50 to 90 did)")
    elif activity > _TOXIC_TO_T_CELLS_KBQ and (not kind or "t cell" in kind or "car-t" in kind or "cd8" in kind):
        said.append(
            f"above {_TOXIC_TO_T_CELLS_KBQ:g} kBq per million cells the label is toxic to activated CD8 T cells"
        )
    if said and isotope_name(isotope) != "89Zr":
        said.append(f"these limits were found with 89Zr; of {isotope_name(isotope)} other ones may hold")
    return tuple(said)


def _positive(value: Estimate | float, name: str) -> Estimate | float:
    number = value.value if isinstance(value, Estimate) else value
    if not number > 0:
        raise MeasurementError(f"the {name} must be positive, got {number:g}", remedy="check it and its unit, kBq")
    return value
