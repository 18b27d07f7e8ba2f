"""The study's calibration, and whether it was made under the conditions of the scans."""

from collections.abc import Collection, Iterable
from typing import Any

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.study import CalibrationChoice, Study
from napari_mpi_track.quantification.calibration import (
    Calibration,
    CalibrationKind,
    fit_calibration,
    load_calibration,
    mismatches,
    read_calibration_table,
    require_match,
    require_needed,
)
from napari_mpi_track.quantification.unit_suspicion import suspected_column, suspected_load

# What a scan may state of itself: whether it differs shows only when it is read.
_SAID_BY_SCANS = ("tracer", "dimensions", "scan_mode", "reconstruction", "saturation")
_FROM_CONDITIONS = (
    "batch", "cell_type", "labelling", "total_rule", "scan_mode", "field_of_view", "reconstruction",
)  # fmt: skip


def study_calibration(study: Study) -> Calibration | None:
    """Return the calibration that the study names, fitted if it is a table; ``None`` if it names none.

    Raises
    ------
    TableError, CalibrationError
        If the table cannot be read or gives no line, or an override overrides nothing.
    """
    choice = study.calibration
    calibration = None if choice is None else _calibration(choice, study.tracer)
    if choice is None or calibration is None:
        return None
    told = [name for name in choice.override if name not in _SAID_BY_SCANS]
    require_needed(told, mismatches(calibration, **_facts(study, None)))
    for name in choice.override:
        if getattr(calibration, name) is None:
            raise CalibrationError(
                f"the calibration does not state {name}, so there is nothing to override",
                file=study.file,
                remedy="take it out of the override",
            )
    return calibration


def _calibration(choice: CalibrationChoice, tracer: str | None) -> Calibration | None:
    if choice.curve is not None:
        return load_calibration(choice.curve)
    if choice.table is None or choice.x is None or choice.signal is None or choice.kind is None:
        return None
    x, signal = read_calibration_table(choice.table, choice.x, choice.signal)
    return fit_calibration(
        x,
        signal,
        kind=choice.kind,
        x_quantity="iron_ng" if choice.x.startswith("iron") else "cells",
        table=choice.table,
        **{"tracer": tracer, **choice.stated},
    )


def overridden_differences(study: Study, scan: Volume | None, calibration: Calibration) -> tuple[str, ...]:
    """Return in what scan and calibration differ by the user's will, in words; refuse any other difference.

    ``scan`` is ``None`` for what the study alone says.

    Raises
    ------
    CalibrationMismatchError
        Naming every difference that is not overridden.
    """
    override = () if study.calibration is None else study.calibration.override
    file = study.file if scan is None else scan.file
    return tuple(map(str, require_match(calibration, override=override, file=file, **_facts(study, scan))))


def idle_overrides(study: Study, overridden: Collection[str]) -> list[str]:
    """Return a sentence for every override that no scan needed; ``overridden`` are the differences of all scans."""
    names = () if study.calibration is None else study.calibration.override
    idle = [name for name in names if not any(text.startswith(f"{name} (") for text in overridden)]
    return [f"the override of {name} overrides nothing: take it out of the study file" for name in idle]


def scan_facts(scan: Volume) -> dict[str, Any]:
    """Return what a scan states of itself, by the names a calibration goes by; only what is stated."""
    facts = {name: scan.metadata[name] for name in ("scan_mode", "reconstruction") if name in scan.metadata}
    facts["dimensions"] = 2 if scan.is_projection else 3
    if scan.tracer is not None:
        facts["tracer"] = scan.tracer
    if not scan.is_linearised:
        facts["saturation"] = "none"
    return facts


def _facts(study: Study, scan: Volume | None) -> dict[str, Any]:
    """Return what the study says of its scans, and above it what the scan says itself."""
    facts: dict[str, Any] = {name: study.conditions.get(name) for name in _FROM_CONDITIONS}
    facts |= {"tracer": study.tracer, "metric": study.signal_metric}
    facts |= {} if scan is None else scan_facts(scan)
    return facts if study.saturation is None else {**facts, "saturation": study.saturation.name}


def calibration_doubts(study: Study, calibration: Calibration | None) -> Iterable[str]:
    """Return what a calibration of its kind and rule leaves unsure in this study, one sentence each.

    Notes
    -----
    The same iron gives up to 30 % (ProMag) and 70 % (VivoTrax) less maximum and 20 % and 50 % less total in cells than
    in solution; a total over a threshold keeps a part of a weak source that depends on its strength.
    """
    if calibration is None:
        return
    question = suspected_column(calibration.x, calibration.signal) or suspected_load(calibration.iron_per_cell_pg)
    if question:
        yield f"the calibration: {question}"
    is_of_cells = calibration.kind in (CalibrationKind.IN_CELLS, CalibrationKind.IN_CELLS_IRON)
    labelled = any(not subject.is_control for subject in study.subjects)
    free = [subject.id for subject in study.subjects if subject.is_control]
    if labelled and not is_of_cells:
        yield (
            f"the calibration is of kind {calibration.kind}: label in cells gives less signal than in solution (20 to "
            "70 % less was measured), so iron in labelled cells is read too low"
        )
    if free and calibration.kind is CalibrationKind.IN_CELLS_IRON:
        yield f"the calibration was made in cells: free tracer ({', '.join(free)}) gives more signal per iron"
    rule = (calibration.total_rule or "").casefold()
    if study.signal_metric == "total" and any(word in rule for word in ("sd of the noise", "of the maximum")):
        yield (
            f"the calibration's totals were drawn by a threshold ({calibration.total_rule}); totals of organs keep all "
            "signal, which reads weak organs too high"
        )
