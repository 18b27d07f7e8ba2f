"""Voxels out of raw and packed files: mapped where possible, never more memory than the file can fill."""

import mmap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.readers.damage import DamagedScanError

# Deflate cannot pack better than this; a header that claims more is wrong, and no memory is taken on its word.
BEST_PACKING = 1032
_GZIP_OR_ZLIB = 47


def require_bytes(claimed: int, there: int, path: Path) -> None:
    """Raise ``UnreadableScanError`` if a header claims more bytes than there are."""
    if claimed > there:
        raise DamagedScanError(
            f"the file is truncated: its header needs {claimed} bytes of voxels, {max(there, 0)} are there", file=path
        )


def mapped(path: Path, dtype: np.dtype[Any], count: int, offset: int) -> NDArray[Any]:
    """Return ``count`` numbers from byte ``offset`` of a file as a read-only memory map, shape (count,)."""
    require_bytes(count * dtype.itemsize, path.stat().st_size - offset, path)
    with path.open("rb") as stream:
        memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(memory, dtype=dtype, count=count, offset=offset)


def inflated(path: Path, dtype: np.dtype[Any], count: int, offset: int, packed_from: int = 0) -> NDArray[Any]:
    """Return ``count`` numbers of ``dtype`` from byte ``offset`` of a gzip or zlib stream, read-only, shape (count,).

    The stream begins at byte ``packed_from`` of the file. Its checksum is verified when it ends with the voxels.
    """
    needed = offset + count * dtype.itemsize
    packed = path.read_bytes()[packed_from:] if packed_from else path.read_bytes()
    require_bytes(needed, len(packed) * BEST_PACKING, path)
    content = _inflate(packed, needed, path)
    require_bytes(needed, len(content), path)
    return np.frombuffer(content, dtype=dtype, count=count, offset=offset)


def _inflate(packed: bytes, needed: int, path: Path) -> bytes:
    parts: list[bytes] = []
    length = 0
    try:
        # A gzip file may have several members (bgzip, pigz).
        while packed and length < needed:
            stream = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
            part = stream.decompress(packed, needed - length)
            parts.append(part)
            length += len(part)
            # Drawing the rest of the stream has zlib verify its checksum.
            while not stream.eof and stream.unconsumed_tail and length >= needed:
                stream.decompress(stream.unconsumed_tail, 1 << 20)
            if not stream.eof and not part:
                break
            packed = stream.unused_data
    except zlib.error as fault:
        raise DamagedScanError(f"the compressed voxels are damaged ({fault})", file=path) from fault
    return parts[0] if len(parts) == 1 else b"".join(parts)
