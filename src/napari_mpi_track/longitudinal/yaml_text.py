"""YAML read strictly: sizes limited, no aliases, doubled keys refused, and the line of everything known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

from napari_mpi_track.errors import StudyFileError

_PARSER_SLIPS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, AssertionError)
_LARGEST_FILE = 2_000_000
_DEEPEST = 30
Place = tuple[str | int, ...]


def parse_yaml(file: Path) -> Any:
    """Return the tree of a YAML file, with line numbers in it.

    Raises
    ------
    StudyFileError
        If the file cannot be read, is no YAML of keys and values, doubles a key, or holds aliases.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise StudyFileError("a study file of at most 2 MB was needed", file=file, remedy="is this a study.yaml?")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StudyFileError(
            f"the study file cannot be read ({error.strerror})", file=file, remedy="check the path"
        ) from None
    except UnicodeDecodeError:
        raise StudyFileError("the study file is not text in UTF-8", file=file, remedy="save it as UTF-8") from None
    try:
        _check_events(YAML().parse(text), file)
        tree = YAML(typ="rt").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = f"line {mark.line + 1}: " if mark is not None else ""
        problem = " ".join(str(getattr(error, "problem", None) or "it is not YAML").split())
        raise StudyFileError(f"{place}{problem}", file=file, remedy="mend the YAML") from None
    except _PARSER_SLIPS as error:
        # The parser's own way of meeting a value it cannot make (a 45th of a month, a bad escape).
        problem = " ".join(str(error).split()) or "it is not YAML"
        raise StudyFileError(f"a value cannot be read: {problem}", file=file, remedy="mend the YAML") from None
    if not isinstance(tree, dict):
        raise StudyFileError("a study file of keys and values was needed", file=file, remedy="see the sample studies")
    return tree


def _check_events(events: Iterator[Any], file: Path) -> None:
    """Refuse what can blow a small file up to any size or depth, before anything is built of it."""
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            what, remedy = "YAML anchors and aliases (&name, *name) are not read", "write the values out"
        elif depth > _DEEPEST:
            what, remedy = "blocks are nested too deeply for a study", "mend the YAML"
        else:
            continue
        raise StudyFileError(f"line {line}: {what}", file=file, remedy=remedy)


def plain_tree(node: Any) -> Any:
    """Return the tree without the parser's own types (which pydantic's strict checks would refuse)."""
    if isinstance(node, dict):
        return {plain_tree(key): plain_tree(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain_tree(value) for value in node]
    if isinstance(node, datetime):
        plain = datetime(*node.timetuple()[:6], node.microsecond)
        # ruamel.yaml gives a time with an offset either with its tzinfo (0.19) or as naive UTC beside its offset.
        if node.tzinfo is not None:
            return plain.replace(tzinfo=timezone(node.utcoffset() or timedelta()))
        state = getattr(node, "_yaml", {})
        return plain.replace(tzinfo=UTC) if state.get("tz") or state.get("delta") else plain
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def line_of(tree: Any, place: Place) -> int | None:
    """Return the line (from 1) of the deepest part of ``place`` that the file holds."""
    line, node = None, tree
    for step in place:
        if isinstance(node, dict) and step in node:
            line = cast(int, node.lc.key(step)[0]) + 1  # type: ignore[attr-defined]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            line = cast(int, node.lc.item(step)[0]) + 1  # type: ignore[attr-defined]
        else:
            break
        node = node[step]
    return line
