"""A file appears whole or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_mpi_track.errors import OutputExistsError

# Endings that programs take as one.
_DOUBLE = (".nii.gz", ".img.gz", ".seg.nrrd", ".mrk.json", ".tar.gz")


def suffix_of(path: Path) -> str:
    """Return the ending of a file's name in lower case; ``.nii.gz``, ``.seg.nrrd`` and the like as one."""
    name = path.name.lower()
    return next((ending for ending in _DOUBLE if name.endswith(ending)), path.suffix.lower())


def require_absent(path: Path, overwrite: bool) -> None:
    """Raise ``OutputExistsError`` if ``path`` is there and must not be replaced."""
    if path.exists() and not overwrite:
        raise OutputExistsError("the output is there already", file=path, remedy="give --overwrite to replace it")


@contextmanager
def whole_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` with the same suffixes, which becomes ``path`` on success.

    On any failure nothing is left behind, and what was at ``path`` before is untouched.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is false, or if it is a folder.
    """
    final = Path(path)
    if final.is_dir():
        raise OutputExistsError("a file was to be written where a folder is", file=final, remedy="give another name")
    require_absent(final, overwrite)
    final.parent.mkdir(parents=True, exist_ok=True)
    ending = final.name[len(final.name) - len(suffix_of(final)) :]
    temporary = final.parent / f".{secrets.token_hex(6)}.part{ending}"
    try:
        yield temporary
        # Somebody may have written it meanwhile.
        require_absent(final, overwrite)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
