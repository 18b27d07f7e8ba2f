"""The one table of formats: how each is recognised by its content, and who reads it."""

import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.readers.damage import DamagedScanError
from napari_mpi_track.readers.declared import Declared

HEAD_BYTES = 2048
GZIP = b"\x1f\x8b"
_DICOM_MARK_ENDS = 132


@dataclass(frozen=True, slots=True)
class Format:
    """One file format.

    Attributes
    ----------
    name
        What users call it.
    suffixes
        Usual endings of its files; for file dialogs only, content decides.
    recognises
        Whether these first bytes of a file (unpacked, if it was gzipped) and its path are of this format.
    module
        Module of this package whose ``read(path, declared) -> list[Volume]`` reads it; empty if it is known but
        not read.
    reason
        Why it is not read and what to do instead, for a format without a module.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes, Path], bool]
    module: str = ""
    reason: str = ""

    def read(self, path: Path, declared: Declared) -> list[Volume]:
        """Return every volume in ``path``."""
        if not self.module:
            raise UnreadableScanError(f"{self.name} is not a scan that can be read", file=path, remedy=self.reason)
        volumes: list[Volume] = import_module(f"napari_mpi_track.readers.{self.module}").read(path, declared)
        return volumes


def _starts(*magic: bytes) -> Callable[[bytes, Path], bool]:
    return lambda head, _: head.startswith(magic)


def _is_nifti(head: bytes, _: Path) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def _is_analyze(head: bytes, path: Path) -> bool:
    # No magic: the header's own size, in a file called .hdr of that length.
    sized = head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c")
    return sized and path.name.lower().endswith((".hdr", ".hdr.gz")) and 348 <= len(head) < HEAD_BYTES


def _is_dicom(head: bytes, _: Path) -> bool:
    if head[128:132] == b"DICM":
        return True
    # A dataset without preamble begins with group 2 or 8, in order, with a known VR or a short length.
    if len(head) < 16 or head[0:2] not in (b"\x02\0", b"\x08\0") or head[3] != 0:
        return False
    explicit = head[4:6] in (b"UL", b"UI", b"CS", b"DA", b"TM", b"SH", b"LO", b"OB", b"DT")
    return explicit or (int.from_bytes(head[4:8], "little") < 256 and head[8:9].isalnum())


def is_lost_dicom(path: Path, present: Iterable[Path]) -> bool:
    """Return whether a file holds nothing any more but is named like a DICOM file or like those that are ``present``.

    Nothing is less than DICOM's mark after its preamble, or only zeros, as broken copies have.
    """
    suffix = path.suffix.lower()
    if suffix not in (".dcm", ".ima") and suffix not in {other.suffix.lower() for other in present}:
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return False
    return len(head) < _DICOM_MARK_ENDS or not head.strip(b"\0")


def _is_hdf5(head: bytes, _: Path) -> bool:
    # MATLAB and others put a block of their own, of 512 bytes or a power of two more, before it.
    return any(head[start : start + 8] == b"\x89HDF\r\n\x1a\n" for start in (0, 512, 1024))


def _is_meta_image(head: bytes, _: Path) -> bool:
    return _keyword_before(head, rb"^\s*(ObjectType\s*=\s*Image|NDims\s*=\s*\d)", rb"\0")


def _keyword_before(head: bytes, pattern: bytes, end: bytes) -> bool:
    text = re.split(end, head[:512], maxsplit=1)[0]
    return re.search(pattern, text, re.MULTILINE) is not None


FORMATS: tuple[Format, ...] = (
    Format("DICOM", (".dcm", ".ima"), _is_dicom, "dicom"),
    Format("NIfTI", (".nii", ".nii.gz", ".hdr", ".img"), _is_nifti, "nifti"),
    Format("NRRD", (".nrrd", ".nhdr"), _starts(b"NRRD000"), "itk_formats"),
    Format("HDF5", (".mdf", ".h5", ".hdf5", ".mat"), _is_hdf5, "hdf5"),
    Format("MetaImage", (".mha", ".mhd"), _is_meta_image, "itk_formats"),
    Format("Analyze", (".hdr", ".img"), _is_analyze, "nifti"),
    Format(
        "MATLAB 5",
        (".mat",),
        _starts(b"MATLAB 5.0 MAT-file"),
        reason="save it in MATLAB with save(..., '-v7.3')",
    ),
    Format("a PDF document", (".pdf",), _starts(b"%PDF"), reason="give the scan itself"),
    Format("a PNG picture", (".png",), _starts(b"\x89PNG"), reason="give the scan it was made from"),
    Format("a JPEG picture", (".jpg",), _starts(b"\xff\xd8\xff"), reason="give the scan it was made from"),
    Format(
        "a JPEG 2000 picture", (".j2k", ".jp2"), _starts(b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP"), reason="give the scan"
    ),
    Format("a TIFF picture", (".tif", ".lsm"), _starts(b"II*\0", b"MM\0*"), reason="give the scan it was made from"),
    Format(
        "a BMP picture",
        (".bmp",),
        lambda head, path: head[:2] == b"BM" and path.suffix.lower() == ".bmp",
        reason="give the scan it was made from",
    ),
    Format("a ZIP archive", (".zip", ".xlsx"), _starts(b"PK\x03\x04"), reason="unpack it first"),
)


def format_of(path: Path) -> Format | None:
    """Return the format of a file by its content, ``None`` if it is none that we know.

    Raises
    ------
    UnreadableScanError
        If the file cannot be opened or is empty.
    """
    return recognised(head_of(path), path)


def recognised(head: bytes, path: Path) -> Format | None:
    """Return the format that recognises these first bytes of ``path``."""
    return next((known for known in FORMATS if known.recognises(head, path)), None)


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file, unpacked if it is gzipped; at most ``HEAD_BYTES``."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as fault:
        raise UnreadableScanError(f"the file cannot be opened: {fault.strerror or fault}", file=path) from fault
    if not head:
        raise DamagedScanError("the file is empty", file=path)
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error as fault:
        raise DamagedScanError("the gzip file is damaged", file=path) from fault
