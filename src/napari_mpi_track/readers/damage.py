"""Damaged files: one error of ours for whatever a library says of them."""

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TypeVar

from napari_mpi_track.errors import MpiTrackError, UnreadableScanError

COPY_AGAIN = "export or copy it again"

_LONGEST_REASON = 300

_Read = TypeVar("_Read")

# What nibabel, pydicom, h5py, SimpleITK and numpy raise on damaged input.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    EOFError,
    TypeError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)


class DamagedScanError(UnreadableScanError):
    """A file is a scan, but truncated or otherwise damaged."""

    def __init__(self, what: str, *, file: str | Path | None = None, remedy: str = COPY_AGAIN) -> None:
        super().__init__(what, file=file, remedy=remedy)


def within_reason(read: Callable[[], _Read], path: Path, format_name: str) -> _Read:
    """Return ``read()``; whatever a library says of damaged input becomes one ``DamagedScanError`` on one line."""
    try:
        with quiet():
            return read()
    except MpiTrackError as fault:
        raise type(fault)(one_line(fault.what), file=fault.file or path, remedy=one_line(fault.remedy)) from fault
    except _DAMAGE as fault:
        said = one_line(str(fault)) or type(fault).__name__
        raise DamagedScanError(f"the file cannot be read as {format_name}: {said}", file=path) from fault


def one_line(said: str) -> str:
    """Return what a library or a damaged file says, on one line of printable characters."""
    printable = "".join(character if character.isprintable() else " " for character in said)
    text = " ".join(printable.split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."


# Python keeps its warning filters for the whole process: two threads that read at once would restore each other's.
_ONE_READ_AT_A_TIME = RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' own warnings off the screen; what a reader is unsure of is in ``Volume.warnings``."""
    with _ONE_READ_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def reason_of(fault: MpiTrackError) -> str:
    """Return what was wrong and what to do, without the file."""
    return f"{fault.what}: {fault.remedy}" if fault.remedy else fault.what
