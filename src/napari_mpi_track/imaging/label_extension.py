"""Names and colours of labels inside a NIfTI file: a comment extension (code 6) of JSON."""

import json
from collections.abc import Mapping
from typing import Any

from napari_mpi_track.imaging.labels import Colour

COMMENT = 6
_KEY = "napari_mpi_track_organs"


def names_in(extensions: list[tuple[int, bytes]]) -> tuple[dict[int, str], dict[int, Colour]]:
    """Return names and colours by label value from header extensions (code, content); empty where there are none."""
    for code, content in extensions:
        if code != COMMENT or _KEY.encode() not in content:
            continue
        try:
            organs: Mapping[str, Any] = json.loads(content.rstrip(b"\0").decode())[_KEY]
            names = {int(value): str(organ["name"]) for value, organ in organs.items()}
            colours: dict[int, Colour] = {
                int(value): (float(organ["colour"][0]), float(organ["colour"][1]), float(organ["colour"][2]))
                for value, organ in organs.items()
                if organ.get("colour")
            }
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            continue
        return names, colours
    return {}, {}


def extension_of(names: Mapping[int, str], colours: Mapping[int, Colour]) -> bytes:
    """Return the content of the comment extension that :func:`names_in` reads, in the order of the labels."""
    organs: dict[str, dict[str, Any]] = {}
    for value in sorted(names):
        organs[str(value)] = {"name": names[value]}
        if value in colours:
            organs[str(value)]["colour"] = [round(float(part), 6) for part in colours[value]]
    return json.dumps({_KEY: organs}).encode()
