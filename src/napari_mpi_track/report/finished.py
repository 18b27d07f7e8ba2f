"""What one timepoint came to, kept on disk so that a stopped or changed run repeats only what it must."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.longitudinal.measurement import (
    AlignmentRow,
    BudgetRow,
    DynamicRow,
    Measurement,
    OrganRuleRow,
    SpillRow,
)
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.report.alignment_evidence import AlignmentEvidence
from napari_mpi_track.report.overlay import Overlay, View
from napari_mpi_track.report.units import SignalUnits
from napari_mpi_track.writers.whole import whole_file

_SCHEMA = 6


@dataclass(frozen=True, slots=True, eq=False)
class FinishedTimepoint:
    """Rows, pictures and transforms of one timepoint: small, and all that the rest of a run needs of it.

    ``failures`` is what was asked for and could not be measured, one sentence each; ``transforms`` are files' bytes
    by name; ``units`` those of the scans' signal, by modality; ``notes`` and ``overridden`` as in the analysis;
    ``evidence`` that of every alignment, its pictures drawn.
    """

    subject: str
    day: float
    measurements: tuple[Measurement, ...] = ()
    alignments: tuple[AlignmentRow, ...] = ()
    budget: tuple[BudgetRow, ...] = ()
    warnings: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    transforms: Mapping[str, bytes] = field(default_factory=dict)
    overlays: tuple[Overlay, ...] = ()
    units: Mapping[str, SignalUnits] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()
    evidence: tuple[AlignmentEvidence, ...] = ()
    spill: tuple[SpillRow, ...] = ()
    rules: tuple[OrganRuleRow, ...] = ()
    dynamic: tuple[DynamicRow, ...] = ()


def keep(finished: FinishedTimepoint, key: str, folder: Path) -> None:
    """Write a finished timepoint into ``folder`` under its key; whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {}
    document = {
        "schema": _SCHEMA,
        "subject": finished.subject,
        "day": finished.day,
        "measurements": [_row(row) for row in finished.measurements],
        "alignments": [_row(row) for row in finished.alignments],
        "budget": [_row(row) for row in finished.budget],
        "spill": [_row(row) for row in finished.spill],
        "rules": [_row(row) for row in finished.rules],
        "dynamic": [_row(row) for row in finished.dynamic],
        "warnings": list(finished.warnings),
        "failures": list(finished.failures),
        "overlays": [_overlay(overlay, f"{at}", arrays) for at, overlay in enumerate(finished.overlays)],
        "transforms": {},
        "units": {modality: asdict(units) for modality, units in finished.units.items()},
        "notes": list(finished.notes),
        "overridden": list(finished.overridden),
        "evidence": [_evidence(entry, f"{at}", arrays) for at, entry in enumerate(finished.evidence)],
    }
    for at, (name, content) in enumerate(finished.transforms.items()):
        document["transforms"][name] = f"transform{at}"  # type: ignore[index]
        arrays[f"transform{at}"] = np.frombuffer(content, dtype=np.uint8)
    stream = BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    packed = stream.getvalue()
    document["arrays_sha256"] = hashlib.sha256(packed).hexdigest()
    with whole_file(folder / f"{key}.npz", True) as unfinished:
        unfinished.write_bytes(packed)
    # The document is last: where it is, everything is.
    with whole_file(folder / f"{key}.json", True) as unfinished:
        unfinished.write_bytes(json.dumps(document).encode())


def find_finished(key: str, folders: Iterable[Path]) -> FinishedTimepoint | None:
    """Return the timepoint kept under ``key`` in any of ``folders``; None if it is not there or was damaged."""
    for folder in folders:
        try:
            document = json.loads((folder / f"{key}.json").read_bytes())
            packed = (folder / f"{key}.npz").read_bytes()
            if hashlib.sha256(packed).hexdigest() != document["arrays_sha256"] or document["schema"] != _SCHEMA:
                continue
            with np.load(BytesIO(packed), allow_pickle=False) as arrays:
                return _finished(document, dict(arrays))
        except (OSError, ValueError, KeyError, TypeError):
            # Damaged or of another version: it is measured again, which is what a cache is for.
            continue
    return None


def _finished(document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> FinishedTimepoint:
    return FinishedTimepoint(
        document["subject"],
        document["day"],
        tuple(_measurement(row) for row in document["measurements"]),
        tuple(AlignmentRow(**row) for row in document["alignments"]),
        tuple(BudgetRow(**row) for row in document["budget"]),
        tuple(document["warnings"]),
        tuple(document["failures"]),
        {name: arrays[key].tobytes() for name, key in document["transforms"].items()},
        tuple(_overlay_from(overlay, arrays) for overlay in document["overlays"]),
        {modality: SignalUnits(**units) for modality, units in document["units"].items()},
        tuple(document["notes"]),
        tuple(document["overridden"]),
        tuple(_evidence_from(entry, arrays) for entry in document["evidence"]),
        tuple(SpillRow(**row) for row in document["spill"]),
        tuple(OrganRuleRow(**row) for row in document["rules"]),
        tuple(DynamicRow(**row) for row in document["dynamic"]),
    )


def _row(row: Any) -> dict[str, Any]:
    values = {f.name: getattr(row, f.name) for f in fields(row)}
    signal = values.get("signal")
    if isinstance(signal, Estimate):
        values["signal"] = {"value": signal.value, "own_sd": signal.own_sd, "shared": dict(signal.shared)}
    # numpy's numbers become Python's, of the very same value.
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}


def _measurement(values: dict[str, Any]) -> Measurement:
    signal = values.pop("signal", None)
    return Measurement(**values, signal=None if signal is None else Estimate(**signal))


def _evidence(entry: AlignmentEvidence, number: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    arrays[f"evidence{number}"] = np.frombuffer(entry.picture, dtype=np.uint8)
    return {"name": entry.name, "facts": entry.facts, "trace": entry.trace, "picture": f"evidence{number}"}


def _evidence_from(told: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> AlignmentEvidence:
    facts = tuple((name, value) for name, value in told["facts"])
    return AlignmentEvidence(told["name"], facts, tuple(told["trace"]), arrays[told["picture"]].tobytes())


def _overlay(overlay: Overlay, prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    views = []
    for at, view in enumerate(overlay.views):
        name = f"overlay{prefix}_{at}"
        arrays[f"{name}_anatomy"], arrays[f"{name}_signal"] = view.anatomy, view.signal
        for number, place in enumerate(view.organs.values()):
            arrays[f"{name}_organ{number}"] = place
        views.append(
            {
                "name": view.name,
                "letters": view.letters,
                "spacing_mm": list(view.spacing_mm),
                "arrays": name,
                "organs": list(view.organs),
            }
        )
    told = {name: getattr(overlay, name) for name in ("subject", "day", "modality", "unit", "noise_sd", "maximum")}
    return {**told, "views": views}


def _overlay_from(told: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Overlay:
    views = []
    for view in told.pop("views"):
        name = view["arrays"]
        organs = {organ: arrays[f"{name}_organ{number}"] for number, organ in enumerate(view["organs"])}
        down, across = view["spacing_mm"]
        views.append(
            View(
                view["name"],
                view["letters"],
                (down, across),
                arrays[f"{name}_anatomy"],
                arrays[f"{name}_signal"],
                organs,
            )
        )
    return Overlay(**told, views=tuple(views))
