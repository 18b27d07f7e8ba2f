"""Organs taken out and counted: rows beside those of the images, and how near the images come to them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.longitudinal.agreement import Pair, measures_of
from napari_mpi_track.longitudinal.ex_vivo_table import GAMMA, ICP, ExVivoOrgan, read_ex_vivo
from napari_mpi_track.longitudinal.measurement import AgreementRow, Measurement, RetentionRow, ScanRows
from napari_mpi_track.longitudinal.pet_dose import injected_kbq
from napari_mpi_track.longitudinal.pet_rows import holds_free_label
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.half_lives import isotope_name
from napari_mpi_track.quantification.radioactivity import cells_from_activity, decay_factor

EX_VIVO = (GAMMA, ICP)
_Z_95 = 1.96
_IMAGED_BY = {GAMMA: ("PET", "SPECT"), ICP: ("MPI",)}


def ex_vivo_rows(study: Study, subject: Subject, timepoint: Timepoint) -> ScanRows:
    """Return the rows of the organs that were taken out on one day.

    Of a gamma counter ``activity_kBq`` is at the counting and ``signal`` at the injection, in kBq; of ICP ``signal`` is
    the iron in ng without the tissue's own.

    Raises
    ------
    TableError
        If the table cannot be read or has faults.
    MeasurementError
        If an activity cannot be brought to the injection.
    """
    if timepoint.ex_vivo is None:
        return ScanRows()
    organs = read_ex_vivo(timepoint.ex_vivo)
    rows = []
    for organ in organs:
        blank = Measurement(subject.id, subject.group, timepoint.day, organ.method, organ.organ)
        row = (
            _counted(study, subject, timepoint, organ, blank)
            if organ.method == GAMMA
            else _iron(study, subject, organ, blank)
        )
        per_g = (
            row.percent_id / organ.weight_g if row.percent_id is not None and organ.weight_g else organ.percent_id_per_g
        )
        rows.append(replace(row, percent_id_per_g=per_g))
    return ScanRows(tuple(rows), warnings=_doubts(organs))


def _counted(study: Study, subject: Subject, timepoint: Timepoint, organ: ExVivoOrgan, row: Measurement) -> Measurement:
    """Return the row of an organ in a gamma counter."""
    dose = injected_kbq(subject)
    percent = organ.percent_id
    if percent is None and organ.percent_id_per_g is not None and organ.weight_g is not None:
        percent = organ.percent_id_per_g * organ.weight_g
    signal = None if percent is None or dose is None else Estimate(percent * dose / 100)
    if organ.activity_kBq is not None:
        growth = _to_injection(study, subject, timepoint, organ)
        signal = Estimate(organ.activity_kBq * growth, (organ.activity_sd_kBq or 0.0) * growth)
        percent = 100 * signal.value / dose if dose else percent
    row = replace(row, activity_kBq=organ.activity_kBq, percent_id=percent, signal=signal, cells=organ.cells)
    tracer = subject.radiotracer
    if tracer is not None and holds_free_label(isotope_name(tracer.isotope), organ.organ):
        return replace(row, cells=None, flag="free_89Zr")
    specific = None if tracer is None else tracer.activity_per_million_cells_kBq
    if organ.cells is not None or signal is None or specific is None or tracer is None:
        return row if organ.cells is not None else replace(row, flag="no_calibration")
    injected_at = subject.injection.time
    if tracer.assayed_at is not None and injected_at is not None:
        specific *= decay_factor(tracer.isotope, tracer.assayed_at, injected_at)
    cells = cells_from_activity(signal, specific)
    return replace(row, cells=cells.value, **_limits(cells, organ.activity_sd_kBq, "cells"))


def _iron(study: Study, subject: Subject, organ: ExVivoOrgan, row: Measurement) -> Measurement:
    """Return the row of an organ's iron."""
    row = replace(row, cells=organ.cells, percent_id=organ.percent_id)
    if organ.iron_ng is None:
        return row
    iron = Estimate(organ.iron_ng - (organ.tissue_iron_ng or 0.0), organ.iron_sd_ng or 0.0)
    row = replace(row, signal=iron, iron_ng=iron.value, **_limits(iron, organ.iron_sd_ng, "iron_ng"))
    if subject.injection.iron_ug:
        row = replace(row, percent_id=100 * iron.value / (1000 * subject.injection.iron_ug))
    per_cell_pg = study.conditions.get("iron_per_cell_pg")
    if organ.cells is None and per_cell_pg and not subject.is_control:
        cells = iron * (1000 / per_cell_pg)
        row = replace(row, cells=cells.value, **_limits(cells, organ.iron_sd_ng, "cells"))
    return row


def _limits(value: Estimate, sd: float | None, name: str) -> dict[str, Any]:
    """Return the 95 % limits of an amount whose error is known, by the names of their columns."""
    if sd is None:
        return {}
    reach = _Z_95 * value.sd
    return {f"{name}_low": max(value.value - reach, 0.0), f"{name}_high": value.value + reach}


def _to_injection(study: Study, subject: Subject, timepoint: Timepoint, organ: ExVivoOrgan) -> float:
    tracer, injected_at = subject.radiotracer, subject.injection.time
    counted_at = _in_zone(organ.counted_at, study.timezone, injected_at) or timepoint.time
    if tracer is None or injected_at is None or counted_at is None:
        raise MeasurementError(
            f"{organ.organ}: an activity needs the isotope, the time of injection and that of counting",
            file=timepoint.ex_vivo,
            remedy="give radiotracer, injection time, and counted_at in the table or time at the timepoint",
        )
    return decay_factor(tracer.isotope, counted_at, injected_at)


def _in_zone(time: datetime | None, zone: str | None, other: datetime | None) -> datetime | None:
    """Return a time of the table in the study's zone, where the study's times have one and it has none."""
    if time is None or time.tzinfo is not None or other is None or other.tzinfo is None:
        return time
    return time.replace(tzinfo=other.tzinfo if zone is None else ZoneInfo(zone))


def _doubts(organs: Sequence[ExVivoOrgan]) -> tuple[str, ...]:
    own = [organ.organ for organ in organs if organ.iron_ng is not None and organ.tissue_iron_ng is None]
    if not own:
        return ()
    return (
        f"ICP counts the tissue's own iron too ({', '.join(own)}): give tissue_iron_ng, from animals without tracer",
    )


def ex_vivo_agreement(rows: Sequence[Measurement], retention: Sequence[RetentionRow]) -> list[AgreementRow]:
    """Return how images agree with organs taken out on the same day: PET with the counter, MPI with iron.

    Both in percent of what was injected, or in cells where that is not known of both. Ratios are image over organ
    taken out; ``measure`` ends in what was compared (``_PET_gamma``, ``_MPI_ICP``).
    """
    injected = {
        (r.subject, r.day, r.organ, r.modality): r.retention_percent
        for r in retention
        if r.reference.startswith("injected") and r.retention_percent
    }
    found: list[AgreementRow] = []
    for method, modalities in _IMAGED_BY.items():
        for modality in modalities:
            imaged = {(r.subject, r.day, r.organ): r for r in rows if r.modality == modality}
            pairs = []
            for row in rows:
                image = imaged.get((row.subject, row.day, row.organ))
                if row.modality == method and image is not None and (both := _both(row, image, injected)) is not None:
                    pairs.append(Pair(row.subject, row.organ, row.day, *both, 0.0, 0.0))
            for organ in dict.fromkeys(pair.organ for pair in pairs):
                of_organ = [pair for pair in pairs if pair.organ == organ]
                found += [
                    replace(row, measure=f"{row.measure}_{modality}_{method}") for row in measures_of(organ, of_organ)
                ]
    return found


def _both(
    row: Measurement, image: Measurement, injected: Mapping[tuple[str, float, str, str], float | None]
) -> tuple[float, float] | None:
    """Return what the image says and what the organ taken out says, in one quantity; ``None`` where there is none."""
    by_image = image.percent_id or injected.get((image.subject, image.day, image.organ, image.modality))
    if by_image and by_image > 0 and row.percent_id and row.percent_id > 0:
        return by_image, row.percent_id
    return (image.cells, row.cells) if image.cells and row.cells else None
