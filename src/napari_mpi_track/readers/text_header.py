"""The text headers of NRRD and MetaImage: their keys, and where their voxels are stored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_mpi_track.errors import UnreadableScanError

_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class TextHeader:
    """A header of ``key: value`` (NRRD) or ``Key = Value`` (MetaImage) lines.

    Attributes
    ----------
    keys
        Values by key; keys in lower case, except NRRD's own ``key:=value`` pairs, which stay as written.
    length
        Bytes of the header, after which attached voxels begin.
    is_nrrd
        NRRD rather than MetaImage.
    """

    keys: Mapping[str, str]
    length: int
    is_nrrd: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the voxels lie, when they are plain or deflated numbers in one file.

    Attributes
    ----------
    file
        The file that holds them.
    packed_from
        Byte where a deflated stream begins, ``None`` for plain numbers.
    offset
        Bytes before the first voxel: in the file, or in the unpacked stream; -1 counts from the end of the file.
    is_big_endian
        Byte order.
    """

    file: Path
    packed_from: int | None
    offset: int
    is_big_endian: bool


def read_text_header(path: Path) -> TextHeader:
    """Return the header at the beginning of an NRRD or MetaImage file."""
    with path.open("rb") as stream:
        content = stream.read(_LONGEST_HEADER)
    return _nrrd(content) if content.startswith(b"NRRD") else _meta_image(content, path)


def _nrrd(content: bytes) -> TextHeader:
    keys: dict[str, str] = {}
    position = 0
    while position < len(content):
        end = content.find(b"\n", position)
        end = len(content) if end < 0 else end
        line = _decoded(content[position:end]).rstrip("\r")
        position = end + 1
        if not line:
            break
        if line.startswith("#"):
            continue
        key, pair, value = line.partition(":=")
        if pair:
            keys[key] = value
            continue
        key, colon, value = line.partition(":")
        if colon:
            keys[key.strip().lower()] = value.strip()
            if key.strip().lower() in ("data file", "datafile") and value.strip().upper().startswith("LIST"):
                break
    return TextHeader(keys, position, is_nrrd=True)


def _meta_image(content: bytes, path: Path) -> TextHeader:
    keys: dict[str, str] = {}
    position = 0
    while position < len(content):
        end = content.find(b"\n", position)
        end = len(content) if end < 0 else end
        key, equals, value = _decoded(content[position:end]).partition("=")
        position = end + 1
        if equals:
            keys[key.strip().lower()] = value.strip()
        if key.strip().lower() == "elementdatafile":
            return TextHeader(keys, position, is_nrrd=False)
    raise UnreadableScanError("the MetaImage header does not say where its voxels are (ElementDataFile)", file=path)


def _decoded(content: bytes) -> str:
    """Return text as UTF-8, which nearly everybody writes today, else as Latin-1, which takes any bytes."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def stored_in(header: TextHeader, path: Path) -> Stored | None:
    """Return where the voxels lie; ``None`` if they are spread over files or written as text.

    Raises
    ------
    UnreadableScanError
        If the file of the voxels is missing.
    """
    return _nrrd_voxels(header, path) if header.is_nrrd else _meta_image_voxels(header, path)


def parts_of(header: TextHeader, path: Path) -> list[Path]:
    """Return the files that voxels are spread over (a list or a pattern of names), else the one that holds them.

    Raises
    ------
    UnreadableScanError
        If one of them is missing.
    """
    keys = header.keys
    named = keys.get("elementdatafile") or keys.get("data file") or keys.get("datafile") or "LOCAL"
    if named.upper() == "LOCAL":
        return [path]
    if named.upper().startswith("LIST"):
        names = _decoded(path.read_bytes()[header.length :]).splitlines()
        return [_present(path.parent / name.strip(), path) for name in names if name.strip()]
    match = re.fullmatch(r"(.*%0?\d*d.*?)\s+(\d+)\s+(\d+)\s+(\d+)(\s+\d+)?\s*", named)
    if match is None:
        return [_present(path.parent / named, path)]
    pattern, first, last, step = match[1], *(int(match[part]) for part in (2, 3, 4))
    return [_present(path.parent / (pattern % number), path) for number in range(first, last + 1, max(step, 1))]


def _nrrd_voxels(header: TextHeader, path: Path) -> Stored | None:
    keys = header.keys
    named = keys.get("data file") or keys.get("datafile")
    if named and (named.upper().startswith("LIST") or "%" in named):
        return None
    file = path if named is None else _present(path.parent / named, path)
    begin = header.length if named is None else 0
    encoding = keys.get("encoding", "").lower()
    skip = int(keys.get("byte skip") or keys.get("byteskip") or 0)
    if int(keys.get("line skip") or keys.get("lineskip") or 0) or encoding not in ("raw", "gzip", "gz") or skip < -1:
        return None
    big = keys.get("endian", "little").lower() == "big"
    if encoding == "raw":
        return Stored(file, None, -1 if skip == -1 else begin + skip, big)
    # Bytes are skipped in the unpacked stream.
    return None if skip == -1 else Stored(file, begin, skip, big)


def _meta_image_voxels(header: TextHeader, path: Path) -> Stored | None:
    keys = header.keys
    named = keys["elementdatafile"]
    if named.upper().startswith("LIST") or "%" in named or keys.get("binarydata", "true").lower() == "false":
        return None
    is_local = named.upper() == "LOCAL"
    file = path if is_local else _present(path.parent / named, path)
    begin = header.length if is_local else 0
    skip = int(keys.get("headersize", 0))
    if skip < -1:
        return None
    order = keys.get("binarydatabyteordermsb") or keys.get("elementbyteordermsb") or "false"
    big = order.lower() == "true"
    if keys.get("compresseddata", "false").lower() == "true":
        return None if skip == -1 else Stored(file, begin + skip, 0, big)
    return Stored(file, None, -1 if skip == -1 else begin + skip, big)


def _present(file: Path, header: Path) -> Path:
    if not file.is_file():
        raise UnreadableScanError(
            f"the file of the voxels, '{file.name}', is missing", file=header, remedy="put it beside its header"
        )
    return file
