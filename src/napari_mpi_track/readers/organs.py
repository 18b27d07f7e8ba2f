"""Organ labels from files: one map of labels, or masks one by one.

A file is labels when its format says so (``.seg.nrrd``, DICOM SEG, NIfTI intent 1002) or the caller does, never by
guess; whoever calls :func:`read_organs` says so, and whole numbers are all that is asked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MpiTrackError, UnreadableScanError
from napari_mpi_track.imaging.frozen import frozen
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.label_extension import names_in
from napari_mpi_track.imaging.labels import Colour, OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.readers.damage import within_reason
from napari_mpi_track.readers.formats import format_of
from napari_mpi_track.readers.nifti import LABEL_INTENT, extensions_of, intent_of
from napari_mpi_track.readers.organ_layers import OrganLayer, Overlap, merged, require_one_each, without_voxels
from napari_mpi_track.readers.organ_names import OrganNames, read_organ_names
from napari_mpi_track.readers.scans import read_scans
from napari_mpi_track.readers.slicer_segments import Segment, are_layered, names_of, read_layers, segments_in
from napari_mpi_track.readers.text_header import read_text_header

__all__ = ["OrganNames", "Overlap", "holds_labels", "read_organ_names", "read_organs"]

# What viewers and file formats hold as a signed number.
_HIGHEST = 0x7FFFFFFF


def holds_labels(path: str | Path) -> bool:
    """Return whether a file's format says that its voxels are labels; false for what cannot be opened."""
    path = Path(path)
    try:
        known = format_of(path) if path.is_file() else None
        if known is None:
            return False
        if known.name == "NIfTI":
            return intent_of(path) == LABEL_INTENT
        if known.name == "DICOM":
            from napari_mpi_track.readers.dicom_segmentation import is_segmentation

            return is_segmentation(path)
        return known.name == "NRRD" and bool(segments_in(read_text_header(path)))
    except MpiTrackError:
        return False


def read_organs(
    path: str | Path, names: Mapping[int, str] | OrganNames | None = None, overlap: Overlap = Overlap.REFUSED
) -> OrganLabels:
    """Return a file's voxels as organ labels, in the smallest integer type that holds them.

    Names and colours travel with 3D Slicer's ``.seg.nrrd``, DICOM segmentations, TotalSegmentator's labels and our own
    NIfTI files; ``names`` (by label value) go before them. An organ without a name is called by its number. A folder is
    one mask an organ, called by its file (as TotalSegmentator writes them), or holds one DICOM segmentation.

    Raises
    ------
    UnreadableScanError
        If values are not whole numbers from 0, the file holds several volumes, two organs share a name, or organs
        overlap and ``overlap`` does not say whose such voxels are.
    """
    path = Path(path)
    said = names if isinstance(names, OrganNames) else OrganNames(names or {})
    try:
        labels = _read(path, said, overlap)
    except UnreadableScanError as fault:
        if fault.file is not None:
            raise
        raise UnreadableScanError(fault.what, file=path, remedy=fault.remedy) from fault
    except MpiTrackError as fault:
        raise UnreadableScanError(fault.what, file=fault.file or path, remedy=fault.remedy) from fault
    return labels


def _read(path: Path, said: OrganNames, overlap: Overlap) -> OrganLabels:
    if path.is_dir():
        return _folder(path, said, overlap)
    known = format_of(path) if path.is_file() else None
    if known is not None and known.name == "DICOM" and holds_labels(path):
        return _dicom(path, said, overlap)
    segments = segments_in(read_text_header(path)) if known is not None and known.name == "NRRD" else []
    if are_layered(segments):
        layers, grid = read_layers(path, segments)
        return _with_colours(merged(layers, grid, path, said.names, overlap), said)
    return _label_map(path, segments, said)


def _dicom(path: Path, said: OrganNames, overlap: Overlap) -> OrganLabels:
    from napari_mpi_track.readers.dicom_segmentation import read_layers as read_segments

    layers, grid, warnings = within_reason(lambda: read_segments(path), path, "DICOM segmentation")
    return _with_colours(merged(layers, grid, path, said.names, overlap, warnings), said)


def _label_map(path: Path, segments: list[Segment], said: OrganNames) -> OrganLabels:
    """Return the one volume of labels in a file."""
    volumes = read_scans(path)
    if len(volumes) > 1:
        raise UnreadableScanError(
            f"one volume of labels was needed, the file holds {len(volumes)}",
            file=path,
            remedy="export the labels as one 3-D volume",
        )
    voxels = _whole_numbers(volumes[0].voxels, path)
    warnings = [*volumes[0].warnings]
    if volumes[0].voxels.dtype.kind == "f":
        warnings.append(f"labels are stored as {volumes[0].voxels.dtype.name}; all of them are whole numbers")
    stated = names_of(segments) if segments else _names_in_nifti(path, volumes[0].file_format)
    names = {int(value): name for value, name in {**stated.names, **said.names}.items()}
    present = OrganLabels(voxels, volumes[0].grid)
    require_one_each({value: names.get(value, name) for value, name in present.names.items()}, path)
    absent = {value: name for value, name in names.items() if value not in present.names}
    colours = {**stated.colours, **said.colours}
    return OrganLabels(voxels, volumes[0].grid, names, colours, str(path), (*warnings, *without_voxels(absent)))


def _with_colours(labels: OrganLabels, said: OrganNames) -> OrganLabels:
    if not said.colours:
        return labels
    colours = {**labels.colours, **said.colours}
    return OrganLabels(labels.voxels, labels.grid, labels.names, colours, labels.file, labels.warnings)


def _folder(folder: Path, said: OrganNames, overlap: Overlap) -> OrganLabels:
    """Return the masks of a folder as labels, numbered by the files' names; or its one DICOM segmentation."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    segmentations = [file for file in files if file.suffix.lower() in ("", ".dcm") and holds_labels(file)]
    if len(segmentations) == 1:
        return _dicom(segmentations[0], said, overlap)
    masks = [file for file in files if file.name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".mha"))]
    if not masks and not segmentations and any(_is_dicom(file) for file in files):
        # Labels exported as slices of a scan.
        return _label_map(folder, [], said)
    if not masks:
        raise UnreadableScanError(
            f"no labels are in this folder ({len(segmentations)} DICOM segmentations, no volumes)",
            file=folder,
            remedy="give one file of labels, or a folder with one mask an organ (NIfTI, NRRD or MetaImage)",
        )
    first = _one_volume(masks[0])
    layers = [
        OrganLayer(value, file.name.split(".")[0], None, lambda file=file: _mask(file, first.grid))  # type: ignore[misc]
        for value, file in enumerate(masks, start=1)
    ]
    return _with_colours(merged(layers, first.grid, folder, said.names, overlap, first.warnings), said)


def _is_dicom(file: Path) -> bool:
    try:
        known = format_of(file)
    except MpiTrackError:
        return False
    return known is not None and known.name == "DICOM"


def _one_volume(file: Path) -> Volume:
    volumes = read_scans(file)
    if len(volumes) > 1:
        raise UnreadableScanError(f"one mask was needed, the file holds {len(volumes)} volumes", file=file)
    return volumes[0]


def _mask(file: Path, grid: Grid) -> NDArray[np.bool_]:
    volume = _one_volume(file)
    if not volume.grid.agrees_with(grid):
        raise UnreadableScanError(
            "this mask lies on another grid than the first one of its folder",
            file=file,
            remedy="give masks drawn on one scan only",
        )
    voxels = _whole_numbers(volume.voxels, file)
    if voxels.size and int(voxels.max()) not in (0, 1, 255):
        raise UnreadableScanError(
            f"a mask of one organ (0 and 1) was needed, the highest value is {int(voxels.max())}",
            file=file,
            remedy="give a file of several labels by itself, not the folder",
        )
    return np.asarray(voxels > 0)


def _whole_numbers(voxels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return voxels as unsigned integers of the fewest bytes."""
    if voxels.dtype.kind == "f":
        _require_whole(voxels, path)
    low, high = (float(voxels.min()), float(voxels.max())) if voxels.size else (0.0, 0.0)
    if low < 0 or high > _HIGHEST:
        raise UnreadableScanError(
            f"labels must lie from 0 to {_HIGHEST}, got {low:g} to {high:g}",
            file=path,
            remedy="give every organ a number from 1, and 0 where there is none; is this the scan itself?",
        )
    dtype = np.uint8 if high <= 0xFF else np.uint16 if high <= 0xFFFF else np.uint32
    return voxels if voxels.dtype == dtype else frozen(voxels.astype(dtype))


def _require_whole(voxels: NDArray[Any], path: Path) -> None:
    missing = int(np.count_nonzero(~np.isfinite(voxels)))
    if missing:
        raise UnreadableScanError(
            f"labels must be whole numbers, {missing} voxel(s) are not a number (NaN or infinite)",
            file=path,
            remedy="set them to 0 (no organ), or to the organ's label",
        )
    fractions = int(np.count_nonzero(voxels != np.rint(voxels)))
    if fractions:
        raise UnreadableScanError(
            f"labels must be whole numbers, {fractions} voxel(s) hold fractions",
            file=path,
            remedy="give a file of labels, not the scan; labels that were resampled need the nearest neighbour",
        )


def _names_in_nifti(path: Path, file_format: str | None) -> OrganNames:
    if not (file_format or "").startswith("NIfTI"):
        return OrganNames()
    extensions = extensions_of(path)
    names, colours = names_in(extensions)
    return OrganNames(names, colours) if names else _label_table(extensions)


def _label_table(extensions: list[tuple[int, bytes]]) -> OrganNames:
    """Return the label table that TotalSegmentator writes into a NIfTI file (a CaretExtension, XML)."""
    for _, content in extensions:
        if b"<LabelTable" not in content:
            continue
        try:
            tree = ElementTree.fromstring(content.strip(b" \0\n\r\t"))
            entries = [(int(label.attrib["Key"]), label) for label in tree.iter("Label")]
        except (ElementTree.ParseError, KeyError, ValueError):
            continue
        names = {value: (label.text or "").strip() for value, label in entries if value > 0}
        colours = {value: colour for value, label in entries if value > 0 and (colour := _xml_colour(label))}
        return OrganNames({value: name for value, name in names.items() if name}, colours)
    return OrganNames()


def _xml_colour(label: ElementTree.Element) -> Colour | None:
    try:
        red, green, blue = (float(label.attrib[part]) for part in ("Red", "Green", "Blue"))
    except (KeyError, ValueError):
        return None
    return red, green, blue
