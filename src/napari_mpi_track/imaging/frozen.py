"""Arrays and mappings that nobody can change, so that everything may share them."""

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray


def frozen(values: Any, dtype: Any = None) -> NDArray[Any]:
    """Return ``values`` as a read-only array; copied only when somebody could still write to its memory.

    A read-only memory map, or a view of an array that is frozen already, is returned without a copy.
    """
    array = np.asarray(values, dtype=dtype)
    if _somebody_can_write(array):
        array = array.copy()
    array.flags.writeable = False
    return array


def _somebody_can_write(array: NDArray[Any]) -> bool:
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return isinstance(owner, bytearray) or (isinstance(owner, memoryview) and not owner.readonly)


def get_state(thing: Any) -> list[Any]:
    """Return the fields of a frozen slots dataclass, in order, for pickling (which knows no read-only mappings)."""
    values = [getattr(thing, name) for name in thing.__dataclass_fields__]
    return [dict(value) if isinstance(value, MappingProxyType) else value for value in values]


def set_state(thing: Any, state: list[Any]) -> None:
    """Fill a frozen slots dataclass from its pickled fields, freezing arrays and mappings again."""
    for name, value in zip(thing.__dataclass_fields__, state, strict=True):
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        object.__setattr__(thing, name, MappingProxyType(value) if isinstance(value, dict) else value)
