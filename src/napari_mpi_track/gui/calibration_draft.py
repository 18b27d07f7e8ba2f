"""A calibration being made: the table as it was typed, what is said of it, and the line that comes of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import CalibrationError, MpiTrackError
from napari_mpi_track.gui.settings_fields import said_of_field
from napari_mpi_track.quantification.calibration import Calibration, CalibrationKind, fit_calibration
from napari_mpi_track.quantification.decimal_marks import to_number
from napari_mpi_track.quantification.influence import influence_in_words, measure_influence
from napari_mpi_track.quantification.unit_suspicion import suspected_column, suspected_load

Rows = tuple[tuple[str, ...], ...]
MOST_ROWS = 1000
# Where more samples than that stand out, it is the curve that is wrong.
_MOST_SENTENCES = 4

KINDS = {
    "in-cells": "labelled cells, counted",
    "in-cells-iron": "labelled cells, iron measured",
    "solution-fixed-concentration": "solution, one concentration",
    "solution-fixed-volume": "solution, diluted in one volume",
}
KINDS_EXPLAINED = {
    "in-cells": "Signal of counted labelled cells: the one to track cells with.",
    "in-cells-iron": "Signal of labelled cells against their iron (ICP): reads iron inside cells.",
    "solution-fixed-concentration": "More or less of one solution: the better curve in solution, but cells give 20 to "
    "70 % less signal than it says.",
    "solution-fixed-volume": "A dilution series: dilution alone bends this curve, on top of what cells do to it.",
}
_WEIGHTS = {
    "auto": "by estimated scatter (usual)",
    "none": "none (least squares)",
    "replicates": "none, scatter of replicates",
    "1/x": "1/x",
    "1/x2": "1/x²",
}
_METRICS = {"": "not stated", "total": "total over the sample", "maximum": "maximum in the sample"}
_DIMENSIONS = {0: "not stated", 2: "2-D projections", 3: "3-D"}
_IRON_PG, _PERCENT = (0.0, 100_000.0, "pg"), (0.0, 100.0, "%")
# What one unit of x is, in cells or in ng of iron; the usual one first, which a form shows where none was chosen.
X_UNITS: Mapping[str, Mapping[str, float]] = {
    "cells": {"cells": 1.0, "thousand cells": 1e3, "million cells": 1e6},
    "iron_ng": {"ng iron": 1.0, "pg iron": 1e-3, "µg iron": 1e3, "mg iron": 1e6},
}


@dataclass(frozen=True, slots=True)
class CurveSettings:
    """What is said of the samples; the form of the panel is made of these fields."""

    kind: str = field(
        default="in-cells",
        metadata=said_of_field("Samples", "What was in the samples.", KINDS, explained=KINDS_EXPLAINED),
    )
    x_unit: str = field(default="", metadata=said_of_field("Amounts in", "What 1 in the first column means.", {}))
    weights: str = field(
        default="auto",
        metadata=said_of_field(
            "Weights", "How much each sample counts: less where the signal scatters more.", _WEIGHTS, is_rare=True
        ),
    )
    tracer: str = field(default="", metadata=said_of_field("Tracer", "A scan with another tracer is then refused."))
    metric: str = field(default="", metadata=said_of_field("Signal is", "What was measured.", _METRICS, is_rare=True))
    dimensions: int = field(
        default=0,
        metadata=said_of_field("Scans are", "A curve of one does not fit the other.", _DIMENSIONS, is_rare=True),
    )
    through_origin: bool = field(
        default=False,
        metadata=said_of_field(
            "Through zero", "Only for signals that were corrected by their blank already.", is_rare=True
        ),
    )
    cell_type: str = field(default="", metadata=said_of_field("Cell type", "Kind of cells labelled.", is_rare=True))
    labelling: str = field(default="", metadata=said_of_field("Labelling", "How cells were labelled.", is_rare=True))
    batch: str = field(default="", metadata=said_of_field("Batch", "Batch of the tracer.", is_rare=True))
    total_rule: str = field(
        default="", metadata=said_of_field("Rule of the total", "How the ROI was drawn.", is_rare=True)
    )
    scan_mode: str = field(default="", metadata=said_of_field("Scan mode", "As the scanner calls it.", is_rare=True))
    field_of_view: str = field(
        default="", metadata=said_of_field("Field of view", "Such as 60 x 60 x 100 mm.", is_rare=True)
    )
    reconstruction: str = field(default="", metadata=said_of_field("Reconstruction", "Its version.", is_rare=True))
    saturation: str = field(
        default="",
        metadata=said_of_field("Saturation", "Saturation curve the signals were corrected by.", is_rare=True),
    )
    date: str = field(default="", metadata=said_of_field("Date", "Of the measurement.", is_rare=True))
    iron_per_cell_pg: float | None = field(
        default=None,
        metadata=said_of_field(
            "Iron per cell", "In a labelled cell, by ICP for one; goes into the report.", is_rare=True, span=_IRON_PG
        ),
    )
    labelling_efficiency_percent: float | None = field(
        default=None,
        metadata=said_of_field(
            "Labelled", "Part of the cells that took up label; goes into the report.", is_rare=True, span=_PERCENT
        ),
    )
    viability_percent: float | None = field(
        default=None,
        metadata=said_of_field(
            "Viability", "Part of the cells alive after labelling; goes into the report.", is_rare=True, span=_PERCENT
        ),
    )

    def choices(self, name: str) -> Mapping[Any, str] | None:
        """Return what a field may be, with the words for it; ``None`` for free text and yes or no."""
        if name == "x_unit":
            return {unit: unit for unit in X_UNITS[self.x_quantity]}
        found: Mapping[Any, str] | None = self.__dataclass_fields__[name].metadata["choices"]
        return found

    @property
    def x_quantity(self) -> str:
        """``cells`` or ``iron_ng``."""
        return CalibrationKind(self.kind).x_quantity

    @property
    def unit_of_x(self) -> str:
        """The unit of the first column; cells or ng of iron unless another was chosen."""
        return self.x_unit if self.x_unit in X_UNITS[self.x_quantity] else _usual_unit(self.x_quantity)


@dataclass(frozen=True, slots=True)
class Draft:
    """The table (x, then one signal a replicate, as text) and what is said of it.

    ``source`` names the file it was taken from, ``table`` the table that a saved curve says it was made of.
    """

    rows: Rows = ()
    settings: CurveSettings = CurveSettings()
    source: str = ""
    table: str = ""


EMPTY_DRAFT = Draft()


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What a draft came to: a line, or the error that says why there is none; what is asked of it, and said."""

    calibration: Calibration | None
    error: MpiTrackError | None
    notes: tuple[str, ...] = ()
    question: str = ""


@lru_cache(maxsize=64)
def fitted(draft: Draft) -> Fitted:
    """Return the line through a draft; the last ones are remembered, so that going back costs nothing."""
    settings = draft.settings
    try:
        x, signal, notes = samples_of(draft.rows)
        calibration = fit_calibration(
            x * X_UNITS[settings.x_quantity][settings.unit_of_x],
            signal,
            kind=settings.kind,
            weights=settings.weights,  # type: ignore[arg-type]  # the form offers no others
            through_origin=settings.through_origin,
            provenance={"table": draft.table or draft.source or "typed in the panel Calibrate"},
            **_stated(settings),
        )
    except MpiTrackError as error:
        return Fitted(None, error)
    sentences = [f"{words[:1].upper()}{words[1:]}" for words in _about_samples(calibration)]
    question = suspected_column(x, signal) or suspected_load(settings.iron_per_cell_pg)
    return Fitted(calibration, None, (*notes, *sentences[:_MOST_SENTENCES]), question)


def _about_samples(calibration: Calibration) -> list[str]:
    try:
        return influence_in_words(calibration, measure_influence(calibration))
    except CalibrationError as error:
        # Three samples make a line, but there is nothing to judge one of them by.
        return [f"{error.what}."]


def samples_of(rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Return x and signal of every sample, shape (n,), and a sentence about rows that are not finished.

    Raises
    ------
    CalibrationError
        A cell that is no number.
    """
    samples, unfinished = [], []
    for number, row in enumerate(rows, start=1):
        values = [_value(cell, number) for cell in row]
        signals = [value for value in values[1:] if value is not None]
        if values and values[0] is not None and signals:
            samples += [(values[0], signal) for signal in signals]
        elif any(row):
            unfinished.append(str(number))
    said = f"Row {', '.join(unfinished)} is not finished and left out." if unfinished else ""
    if len(unfinished) > 1:
        said = f"Rows {', '.join(unfinished)} are not finished and left out."
    table = np.array(samples, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1], (said,) if said else ()


def draft_of(calibration: Calibration, source: str) -> Draft:
    """Return the draft that a saved curve was made of.

    Raises
    ------
    CalibrationError
        If the curve came without its samples.
    """
    if not calibration.x.size:
        raise CalibrationError(
            f"the curve {source} holds no samples, so that it cannot be fitted again",
            remedy="compare it with another curve instead",
        )
    rows = tuple((plain(x), plain(s)) for x, s in zip(calibration.x, calibration.signal, strict=True))
    stated = {name: getattr(calibration, name) for name in (*_DESCRIPTION, "weights", "through_origin")}
    settings = replace(
        CurveSettings(kind=calibration.kind.value), **{k: v for k, v in stated.items() if v not in (None, "")}
    )
    return Draft(rows, settings, source, str(calibration.provenance.get("table", "")))


def plain(value: float) -> str:
    """Return a number as one types it, with all its digits."""
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _stated(settings: CurveSettings) -> dict[str, Any]:
    """Return what is said of the samples, as a calibration takes it: ``None`` where nothing is."""
    said = {name: getattr(settings, name) for name in _DESCRIPTION}
    known = {name: None if value == "" else value for name, value in said.items()}
    return {**known, "dimensions": settings.dimensions or None}


def _usual_unit(x_quantity: str) -> str:
    return next(iter(X_UNITS[x_quantity]))


def _value(cell: str, row: int) -> float | None:
    if not cell:
        return None
    value = to_number(cell)
    if value is None:
        raise CalibrationError(f"row {row} of the table holds “{cell}”, which is not a number", remedy="correct it")
    return value


_DESCRIPTION = tuple(
    entry.name for entry in fields(CurveSettings) if entry.name not in ("kind", "x_unit", "weights", "through_origin")
)
