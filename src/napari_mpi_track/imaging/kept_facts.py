"""Modality and unit inside files whose format has no place for them: keys of our own, as text or as JSON."""

import json
from collections.abc import Mapping, Sequence

from napari_mpi_track.imaging.label_extension import COMMENT
from napari_mpi_track.imaging.volume import Modality, Volume

_MODALITY = "napari_mpi_track_modality"
_UNIT = "napari_mpi_track_unit"


def facts_of(scan: Volume) -> dict[str, str]:
    """Return modality and unit by our keys, each on one line; without those that are unknown."""
    said = {_MODALITY: scan.modality or "", _UNIT: scan.unit or ""}
    # A line break would end the line of a text header.
    lines = {key: " ".join(str(value).split()) for key, value in said.items()}
    return {key: line for key, line in lines.items() if line}


def modality_and_unit(keys: Mapping[str, str]) -> tuple[Modality | None, str | None]:
    """Return modality and unit from a header's keys; ``None`` for what is not there or is no modality."""
    said = keys.get(_MODALITY)
    return Modality(said) if said in list(Modality) else None, keys.get(_UNIT) or None


def facts_extension_of(scan: Volume) -> bytes:
    """Return the content of a NIfTI comment extension (code 6) that :func:`facts_in` reads; empty without facts."""
    facts = facts_of(scan)
    return json.dumps(facts).encode() if facts else b""


def facts_in(extensions: Sequence[tuple[int, bytes]]) -> tuple[Modality | None, str | None]:
    """Return modality and unit from NIfTI header extensions (code, content); ``None`` for what is not there."""
    for code, content in extensions:
        if code != COMMENT or not (_MODALITY.encode() in content or _UNIT.encode() in content):
            continue
        try:
            keys = json.loads(content.rstrip(b"\0").decode())
        except ValueError:
            continue
        if isinstance(keys, dict):
            return modality_and_unit({key: value for key, value in keys.items() if isinstance(value, str)})
    return None, None
