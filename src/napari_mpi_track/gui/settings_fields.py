"""What a field of a settings dataclass says of itself, once, for the form that is made of it."""

from collections.abc import Mapping
from typing import Any


def said_of_field(
    label: str,
    tip: str,
    choices: Mapping[Any, str] | None = None,
    *,
    explained: Mapping[Any, str] | None = None,
    is_rare: bool = False,
    span: tuple[float, float, str] | None = None,
    files: str = "",
) -> dict[str, Any]:
    """Return what a form has to know of a field; ``span`` is least, most and unit of a number, ``files``
    the kinds of file that a path may be of."""
    explained = explained or {}
    return {
        "label": label,
        "tip": tip,
        "choices": choices,
        "explained": explained,
        "is_rare": is_rare,
        "span": span,
        "files": files,
    }
