"""Volumes and organ labels into files: same place, same values, same type where the format has it."""

import gzip
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.kept_facts import facts_extension_of, facts_of
from napari_mpi_track.imaging.label_extension import COMMENT, extension_of
from napari_mpi_track.imaging.labels import Colour, OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.writers.whole import require_absent, suffix_of, whole_file

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LABEL_INTENT = 1002
_SCANNER = 1
_LONGEST_IN_NIFTI_1 = 32767
_GZIP_LEVEL = 5
# For segments whose file says no colour: 3D Slicer needs one.
_GREY: Colour = (0.5, 0.5, 0.5)


def write_volume(scan: Volume | OrganLabels, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a scan or organ labels as ``.nii``, ``.nii.gz``, ``.nrrd``, ``.seg.nrrd``, ``.mha``, ``.mhd`` or ``.dcm``.

    Integers and floats keep their type (boolean becomes uint8, 16-bit float 32-bit float). The place in the world is
    kept to 1e-4 mm, shear included. Labels say that they are labels in NIfTI (intent 1002), with their names; in
    ``.seg.nrrd`` as 3D Slicer's segments, in ``.dcm`` as a DICOM Segmentation (labels only). Modality and unit are kept
    under keys of our own, which our readers read back and others pass over; times have no place in these formats. The
    same scan gives the same bytes, but in DICOM, where every object has identifiers of its own.

    Raises
    ------
    OutputExistsError
        If the file (or the ``.raw`` beside an ``.mhd``) is there and ``overwrite`` is false.
    MpiTrackError
        For any other ending, or for a scan in ``.seg.nrrd`` or ``.dcm``.
    """
    path = Path(path)
    ending = suffix_of(path)
    require_writable(path, overwrite, is_labels=isinstance(scan, OrganLabels))
    if ending == ".dcm":
        from napari_mpi_track.writers.dicom_segmentation import write_segmentation

        assert isinstance(scan, OrganLabels)
        write_segmentation(scan, path, overwrite=overwrite)
        return
    if ending == ".mhd":
        _write_pair(scan, path, overwrite)
        return
    with whole_file(path, overwrite) as temporary:
        if ending.startswith(".nii"):
            _write_nifti(scan, temporary, is_packed=ending == ".nii.gz")
        else:
            _write_itk(scan, temporary, is_segmentation=ending == ".seg.nrrd")


def require_writable(path: Path, overwrite: bool, *, is_labels: bool = False) -> None:
    """Refuse, before any work, a file that a scan (or organ labels) could not be written to."""
    ending = suffix_of(path)
    if ending not in (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".mhd", ".dcm"):
        raise MpiTrackError(
            f"volumes are not written as {ending or 'a file without ending'}",
            file=path,
            remedy="end its name in .nii, .nii.gz, .nrrd, .mha or .mhd (.seg.nrrd or .dcm for labels)",
        )
    if ending == ".seg.nrrd" and not is_labels:
        raise MpiTrackError("a segmentation (.seg.nrrd) holds organ labels, not a scan", file=path, remedy="use .nrrd")
    if ending == ".dcm" and not is_labels:
        raise MpiTrackError(
            "scans are not written as DICOM, organ labels only (as a segmentation)",
            file=path,
            remedy="end its name in .nii.gz or .nrrd; for labels say --labels",
        )
    require_absent(path, overwrite)


def _storable(voxels: NDArray[Any]) -> NDArray[Any]:
    """Return voxels in a type that files have, little endian."""
    if voxels.dtype == np.bool_:
        voxels = voxels.astype(np.uint8)
    if voxels.dtype.itemsize not in (1, 2, 4, 8) or voxels.dtype == np.float16:
        voxels = voxels.astype(np.float32 if voxels.dtype == np.float16 else np.float64)
    return voxels.astype(voxels.dtype.newbyteorder("<"), copy=False)


def _write_nifti(scan: Volume | OrganLabels, path: Path, *, is_packed: bool) -> None:
    voxels = _storable(scan.voxels)
    extension = _extension(scan)
    header = _nifti_header(scan, voxels, extension)
    with path.open("wb") as raw:
        if not is_packed:
            _write_parts(raw, header, voxels)
            return
        # No name and no time of writing in the gzip header: the same scan gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0) as packed:
            _write_parts(cast(BinaryIO, packed), header, voxels)


def _extension(scan: Volume | OrganLabels) -> bytes:
    if isinstance(scan, Volume):
        return facts_extension_of(scan)
    return extension_of(scan.names, scan.colours) if scan.names else b""


def _write_parts(stream: BinaryIO, header: bytes, voxels: NDArray[Any]) -> None:
    stream.write(header)
    # (plane, row, column) with columns fastest is NIfTI's (x, y, z) with x fastest: written plane by plane as it is.
    for plane in voxels:
        stream.write(np.ascontiguousarray(plane).data.cast("B"))


def _nifti_header(scan: Volume | OrganLabels, voxels: NDArray[Any], extension: bytes) -> bytes:
    """Return header, extension flag and extension, as they stand before the voxels."""
    kind = nib.Nifti1Header if max(voxels.shape) <= _LONGEST_IN_NIFTI_1 else nib.Nifti2Header
    header = kind(endianness="<")
    grid = scan.grid
    ras = _RAS_FROM_LPS @ grid.lps_from_index[:, [2, 1, 0, 3]]
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape[::-1])
    header.set_zooms([float(value) for value in grid.spacing_mm[::-1]])
    header.set_xyzt_units("mm", "sec")
    header.set_sform(ras, code=_SCANNER)
    if grid.is_orthogonal:
        header.set_qform(ras, code=_SCANNER)
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    if isinstance(scan, OrganLabels):
        header["intent_code"] = _LABEL_INTENT
    else:
        # Cut by bytes, at the end of a character.
        header["descrip"] = scan.name.encode()[:79].decode(errors="ignore").encode()
    padded = extension + b"\0" * (-(len(extension) + 8) % 16)
    block = np.array([len(padded) + 8, COMMENT], dtype="<i4").tobytes() + padded if extension else b""
    header["magic"] = b"n+1" if kind is nib.Nifti1Header else b"n+2\0\r\n\x1a\n"
    header["vox_offset"] = header.template_dtype.itemsize + 4 + len(block)
    return bytes(header.binaryblock) + (b"\1\0\0\0" if extension else b"\0\0\0\0") + block


def _write_itk(scan: Volume | OrganLabels, path: Path, *, is_segmentation: bool = False) -> None:
    import SimpleITK as sitk

    from napari_mpi_track.imaging.itk import array_to_itk

    image = array_to_itk(_storable(scan.voxels), scan.grid)
    if isinstance(scan, Volume):
        for key, value in facts_of(scan).items():
            image.SetMetaData(key, value)
    elif is_segmentation:
        for key, value in _segments(scan.names, scan.colours, scan.grid).items():
            image.SetMetaData(key, value)
    try:
        sitk.WriteImage(image, str(path), useCompression=path.suffix == ".nrrd")
    except RuntimeError as fault:
        said = str(fault).strip().splitlines()[-1]
        raise MpiTrackError(f"the volume cannot be written: {said}", file=path) from fault


def _segments(names: Mapping[int, str], colours: Mapping[int, Colour], grid: Grid) -> dict[str, str]:
    planes, rows, columns = grid.shape
    keys = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, value in enumerate(sorted(names)):
        keys |= {
            f"Segment{number}_ID": f"Segment_{value}",
            f"Segment{number}_Name": names[value],
            f"Segment{number}_LabelValue": str(value),
            f"Segment{number}_Layer": "0",
            f"Segment{number}_Color": " ".join(f"{part:.6g}" for part in colours.get(value, _GREY)),
            f"Segment{number}_Extent": f"0 {columns - 1} 0 {rows - 1} 0 {planes - 1}",
        }
    return keys


def _write_pair(scan: Volume | OrganLabels, path: Path, overwrite: bool) -> None:
    """Write ``.mhd`` and ``.raw``: both or neither."""
    voxel_file = path.with_suffix(".raw")
    require_absent(path, overwrite)
    require_absent(voxel_file, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, since the header names the file of the voxels.
    workshop = path.parent / f".{secrets.token_hex(6)}.part"
    workshop.mkdir()
    try:
        _write_itk(scan, workshop / path.name)
        was_there = voxel_file.exists()
        (workshop / voxel_file.name).replace(voxel_file)
        try:
            (workshop / path.name).replace(path)
        except OSError:
            if not was_there:
                voxel_file.unlink(missing_ok=True)
            raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
