"""What is at fault in a study's document: every fault at once, each with its line, in words."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from napari_mpi_track.errors import StudyFileError
from napari_mpi_track.longitudinal.study_schema import StudyText, Text
from napari_mpi_track.longitudinal.yaml_text import Place, line_of, plain_tree

Fault = tuple[int | None, str]

# What stands in for a needed value that is missing or at fault, so that the rest is checked too; the faults that
# are told already keep it from ever being used.
_STAND_INS: dict[str, Any] = {
    "schema": 1,
    "id": "(without id)",
    "path": ".",
    "shape": "gaussian",
    "fwhm_mm": 1.0,
    "mpi": ".",
    "pet": ".",
    "spect": ".",
    "dynamic": ".",
    "capillary": "capillary",
    "capillary_mmol_per_l": 1.0,
    "spins_per_cell": 1.0,
    "table": ".",
    "curve": ".",
    "kind": "in-cells",
    "x": "cells",
    "signal": "signal",
    "isotope": "89Zr",
    "activity_kBq": 1.0,
    "injected_at": "2000-01-01T00:00:00",
    "by": "(nobody)",
    "at": "2000-01-01T00:00:00",
    "timepoints": [{"day": 0, "signal": 0}],
    "subjects": [{"id": "(none)", "timepoints": [{"day": 0, "signal": 0}]}],
}


# A day that no study has, for a timepoint that says none.
_NO_DAY = 1_000_000


def validated(tree: Any) -> tuple[StudyText | None, list[Fault]]:
    """Return the document with everything at fault left out (None if too little is left), and the faults.

    Leaving out lets what stands further down be checked too, so that one run shows every fault.
    """
    plain = plain_tree(tree)
    faults: list[Fault] = []
    for _ in range(5):
        try:
            return StudyText.model_validate(plain), faults
        except ValidationError as error:
            found = _one_a_place(plain, error.errors())
        faults += [(line_of(tree, place), _wording(place, fault)) for place, fault in found.items()]
        for place, fault in found.items():
            _leave_out(plain, place, fault["type"] == "missing" or fault["type"] not in _REMOVABLE)
    return None, faults


_REMOVABLE = ("extra_forbidden", "invalid_key")


def _one_a_place(plain: Any, faults: Any) -> dict[Place, Any]:
    """Return one fault a place: where a value may be of several kinds, the checker tells one for every kind."""
    found: dict[Place, Any] = {}
    for fault in faults:
        place, node = [], plain
        for step in fault["loc"]:
            here = isinstance(node, dict) and step in node
            if here or (isinstance(node, list) and isinstance(step, int) and step < len(node)):
                place.append(step)
                node = node[step]
        if fault["type"] == "missing":
            place.append(fault["loc"][-1])
        found.setdefault(tuple(place), fault)
    return {
        place: fault
        for place, fault in found.items()
        if not any(len(other) > len(place) and other[: len(place)] == place for other in found)
    }


def _leave_out(node: Any, place: Place, is_needed: bool) -> None:
    """Put a stand-in where ``place`` needs a value, else remove the deepest key of it."""
    holder, key = None, None
    for step in place:
        if isinstance(node, dict):
            holder, key = node, step
            node = node.get(step)
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            if step == place[-1] and place[-2:-1] == ("timepoints",):
                # One timepoint as a whole is at fault: the subject's others are still to be checked.
                node[step] = {"day": _NO_DAY + step, "signal": 0}
                return
            node = node[step]
    if holder is None:
        return
    if is_needed and key in _STAND_INS:
        # A calibration's signal is a column, a timepoint's a number.
        holder[key] = 0.0 if key == "signal" and "calibration" not in place else _STAND_INS[key]
    else:
        holder.pop(key, None)


def fault_list(file: Path, faults: list[Fault]) -> StudyFileError:
    """Return the error that tells all faults in the order of their lines."""
    texts = [text if line is None else f"line {line}: {text}" for line, text in sorted(faults, key=lambda f: f[0] or 0)]
    # Keys and paths may hold line ends, and an error is one line.
    texts = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    what = texts[0] if len(texts) == 1 else f"{len(texts)} faults: " + "; ".join(texts)
    return StudyFileError(what, file=file, remedy="mend the study file and run again")


def _wording(place: Place, fault: Any) -> str:
    steps = [str(step) for step in place]
    key = steps[-1] if steps else "study"
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_nearest(key)}"
    if fault["type"] == "missing":
        return f"'{key}' is missing" + (f" from {'.'.join(steps[:-1])}" if len(steps) > 1 else "")
    return f"'{'.'.join(steps)}': {fault['msg'].removeprefix('Value error, ')}, got {str(fault['input'])[:60]!r}"


def _nearest(key: str) -> str:
    known = {name for model in Text.__subclasses__() for name in model.model_fields}
    near = get_close_matches(key, known, n=1)
    return f" (is '{near[0]}' meant?)" if near else ""
