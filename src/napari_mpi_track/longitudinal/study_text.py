"""A proposed study as the text of a study.yaml: what is known as keys, what could not be told as comments."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

_PLAIN = re.compile(r"^[A-Za-z0-9_./][\w ./+()-]*$")
_NOT_PLAIN = re.compile(r"^(?:[\d.+-].*|y|n|yes|no|on|off|true|false|null|~)$", re.IGNORECASE)
_UNKNOWN = "could not tell"


@dataclass(frozen=True, slots=True)
class Key:
    """One line: a key, its value as YAML, and a remark beside it."""

    name: str
    value: str
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class ProposedDay:
    """One timepoint: its keys in order, ``day`` first, and what could not be told of it."""

    keys: tuple[Key, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProposedSubject:
    """One subject: its keys in order, ``id`` first, its days, and what could not be told of it."""

    keys: tuple[Key, ...]
    days: tuple[ProposedDay, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProposedStudy:
    """A study: its keys in order, its subjects, and what could not be told of it as a whole."""

    keys: tuple[Key, ...]
    subjects: tuple[ProposedSubject, ...]
    unknown: tuple[str, ...] = ()

    def count_unknown(self) -> int:
        """Return how many things could not be told."""
        of_subjects = sum(len(s.unknown) + sum(len(day.unknown) for day in s.days) for s in self.subjects)
        return len(self.unknown) + of_subjects


def scalar(value: object) -> str:
    """Return a value as YAML writes it on one line; texts that YAML would read as something else are quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    is_plain = bool(_PLAIN.match(text)) and not _NOT_PLAIN.match(text) and text == text.strip()
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def mapping(values: dict[str, object]) -> str:
    """Return a small mapping on one line."""
    return "{" + ", ".join(f"{name}: {_in_a_row(value)}" for name, value in values.items()) + "}"


def _in_a_row(value: object) -> str:
    # Within braces a comma or a brace would end a plain text.
    text = scalar(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and re.search(r"[,{}\[\]]", text) else text


def study_text(study: ProposedStudy, source: str) -> str:
    """Return the text of a study.yaml; ``source`` says what it was proposed from."""
    count = study.count_unknown()
    told = f"{count} things could not be told: look for '{_UNKNOWN}'." if count else "Everything needed was found."
    lines = [
        f"# Proposed by mpi-track init from {' '.join(source.split())}.",
        "# Paths are relative to that folder: save this file there.",
        f"# {told}",
        "schema: 1",
        *_keys(study.keys, ""),
        *_unknown(study.unknown, ""),
        "subjects:",
    ]
    for subject in study.subjects:
        lines += _listed(subject.keys, "  ")
        lines += _unknown(subject.unknown, "    ")
        lines.append("    timepoints:")
        for day in subject.days:
            lines += _listed(day.keys, "      ")
            lines += _unknown(day.unknown, "        ")
    return "\n".join(lines) + "\n"


def _keys(keys: Sequence[Key], margin: str) -> list[str]:
    return [f"{margin}{key.name}: {key.value}" + (f"   # {key.remark}" if key.remark else "") for key in keys]


def _listed(keys: Sequence[Key], margin: str) -> list[str]:
    """Return keys as one entry of a list: the first after a dash, the others below it."""
    first, *others = _keys(keys, "")
    return [f"{margin}- {first}", *(f"{margin}  {line}" for line in others)]


def _unknown(texts: Sequence[str], margin: str) -> list[str]:
    return [f"{margin}# {_UNKNOWN}: {line}" for line in texts]
