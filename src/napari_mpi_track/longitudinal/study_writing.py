"""Study -> study.yaml: what has not changed stays as it was written, comments too."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from napari_mpi_track.errors import MpiTrackError, StudyFileError
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.longitudinal.study_tree import study_tree
from napari_mpi_track.longitudinal.yaml_text import parse_yaml
from napari_mpi_track.writers.whole import require_absent, whole_file

_LISTED_BY = {"subjects": "id", "timepoints": "day"}
# Columns of a list's dash and of what stands behind it, as in the sample studies.
_INDENTED, _FLUSH = {"sequence": 4, "offset": 2}, {"sequence": 2, "offset": 0}


def save_study(study: Study, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a study as a study.yaml whose paths are relative to it.

    Where the study was loaded from a file, that file's text is taken and only what has changed since is written into
    it, so that comments and the order of keys stay. The file is read back before it takes its place.

    Parameters
    ----------
    study
        What to write.
    path
        Where to; ``study.file`` itself to save the changes.
    overwrite
        Replace what is there.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is false.
    StudyFileError
        If the study cannot be said in a study file so that it reads as it is: nothing is written then.
    """
    path = Path(path)
    require_absent(path, overwrite)
    wanted = study_tree(study, path.parent)
    text = _text(study, wanted)
    with whole_file(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
        try:
            found = study_tree(load_study(temporary), path.parent)
        except MpiTrackError as fault:
            raise _refused(path, fault.what) from None
        if found != wanted:
            raise _refused(path, f"{_first_difference(found, wanted)} would not read as it is")


def _refused(path: Path, reason: str) -> StudyFileError:
    return StudyFileError(
        f"the study cannot be saved so that it reads as it is: {reason}", file=path, remedy="edit the file by hand"
    )


def _text(study: Study, wanted: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, **_INDENTED)
    tree: Any = wanted
    if study.file.is_file():
        # Read strictly first: what this refuses (doubled keys, aliases) is not to be written again.
        parse_yaml(study.file)
        tree = yaml.load(study.file.read_text(encoding="utf-8-sig"))
        if tree["subjects"].lc.item(0)[1] == _FLUSH["sequence"]:
            yaml.indent(mapping=2, **_FLUSH)
        _change(tree, study_tree(load_study(study.file), study.file.parent), wanted)
    stream = StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def _change(node: Any, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Bring a block of the document from what it said to what it must say."""
    for key in old.keys() - new.keys():
        node.pop(key, None)
        node.pop(f"{key}_fwhm_mm", None)
    for key, value in new.items():
        if key in old and old[key] == value:
            continue
        if key in _LISTED_BY and key in old:
            _change_list(node[key], old[key], value, _LISTED_BY[key])
        elif isinstance(value, dict) and isinstance(old.get(key), dict) and isinstance(node.get(key), dict):
            _change(node[key], old[key], value)
        else:
            # A width alone and a whole point spread are not given both.
            node.pop(f"{key}_fwhm_mm", None)
            node[key] = value


def _change_list(nodes: Any, old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]], by: str) -> None:
    """Bring the subjects, or one subject's timepoints, to what they must be; each is known by its id or day."""
    known = {entry[by]: entry for entry in old}
    place = {_name(node, entry, by): node for node, entry in zip(nodes, old, strict=True)}
    kept = {entry[by] for entry in new}
    for at in reversed(range(len(nodes))):
        if _name(nodes[at], old[at], by) not in kept:
            del nodes[at]
    for entry in new:
        if entry[by] in place:
            _change(place[entry[by]], known[entry[by]], entry)
        else:
            nodes.append(entry)


def _name(node: Any, entry: dict[str, Any], by: str) -> Any:
    """Return a subject's id or a timepoint's day as its file says it; where only a time is given, the day in order."""
    if by not in node:
        return entry[by]
    return str(node[by]) if by == "id" else _number(node[by])


def _number(value: Any) -> Any:
    return int(value) if float(value).is_integer() else float(value)


def _first_difference(found: Any, wanted: Any, place: str = "") -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*wanted, *found]):
            if found.get(key) != wanted.get(key):
                return _first_difference(found.get(key), wanted.get(key), f"{place}.{key}".lstrip("."))
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for at, (one, other) in enumerate(zip(found, wanted, strict=True)):
            if one != other:
                return _first_difference(one, other, f"{place}.{at}")
    return f"'{place}'"
