"""A day's lines put into a study's file, all other lines as they are; only if the study then reads as it should."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_mpi_track.errors import MpiTrackError, StudyFileError
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.longitudinal.yaml_text import parse_yaml
from napari_mpi_track.writers.whole import whole_file


def write_day_lines(
    file: Path, subject: str, day: float, lines: Mapping[str, str | None], changed: Callable[[Study], Study]
) -> None:
    """Write keys of one timepoint into a study's file.

    Parameters
    ----------
    file
        The study.yaml.
    subject, day
        Whose timepoint.
    lines
        The value of each key as YAML, on one line; ``None`` takes the key away.
    changed
        Makes of the study that the file holds now the one that it must hold afterwards.

    Raises
    ------
    StudyFileError
        If that day is written so that a line cannot be put in, or the file has changed since.
    """
    told = ", ".join(f"{key}: {value}" for key, value in lines.items() if value is not None)
    refused = StudyFileError(
        "the line cannot be put into the study file safely",
        file=file,
        remedy=f"add it by hand to day {day:g} of {subject}: {told}",
    )
    # Read from a neighbour first: a study that would not load the same is never put in place of one that does.
    beside = file.with_name(f".{file.stem}.with-lines.yaml")
    try:
        text = file.read_text(encoding="utf-8-sig")
        for key, value in lines.items():
            beside.write_text(text, encoding="utf-8")
            text = _with_line(beside, subject, day, key, value)
        beside.write_text(text, encoding="utf-8")
        if load_study(beside).subjects != changed(load_study(file)).subjects:
            raise refused
    except (MpiTrackError, KeyError, IndexError, TypeError, AttributeError, StopIteration, OSError):
        raise refused from None
    finally:
        beside.unlink(missing_ok=True)
    with whole_file(file, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def with_day(study: Study, subject: str, day: float, **changes: Any) -> Study:
    """Return a study in which one timepoint says something else; ``KeyError`` without such a day."""
    owner = study.subject(subject)
    timepoint = replace(owner.timepoint(day), **changes)
    days = tuple(timepoint if t.day == day else t for t in owner.timepoints)
    changed = replace(owner, timepoints=days)
    return replace(study, subjects=tuple(changed if s.id == subject else s for s in study.subjects))


def _with_line(file: Path, subject: str, day: float, key: str, value: str | None) -> str:
    tree = parse_yaml(file)
    owner = next(s for s in tree["subjects"] if str(s["id"]) == subject)
    node = next(t for t in owner["timepoints"] if float(t["day"]) == day)
    if node.fa.flow_style():
        raise KeyError(key)
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if key not in node:
        at, start = node.lc.key("day")
        if value is not None:
            lines.insert(at + 1, f"{' ' * start}{key}: {value}\n")
        return "".join(lines)
    at, start = node.lc.key(key)
    end = at + 1
    # What stands further in belongs to the key.
    while end < len(lines) and lines[end].strip() and _indent(lines[end]) > start:
        end += 1
    new: list[str] = []
    if value is not None:
        comment = lines[at][lines[at].index(" #") :].strip() if end == at + 1 and " #" in lines[at] else ""
        new = [f"{lines[at][:start]}{key}: {value}{'   ' if comment else ''}{comment}\n"]
    return "".join(lines[:at] + new + lines[end:])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
