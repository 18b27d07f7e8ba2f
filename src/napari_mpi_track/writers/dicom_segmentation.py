"""Organ labels as a DICOM Segmentation, by highdicom: one binary segment an organ, in the scan's frame of reference."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import OutputError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import Colour, OrganLabels
from napari_mpi_track.writers.whole import whole_file

# Told apart at once, for organs whose file says no colour.
_PALETTE: tuple[Colour, ...] = (
    (0.90, 0.62, 0.00), (0.34, 0.71, 0.91), (0.00, 0.62, 0.45), (0.94, 0.89, 0.26),
    (0.00, 0.45, 0.70), (0.84, 0.37, 0.00), (0.80, 0.47, 0.65),
)  # fmt: skip
_LONGEST_NAME = 64
_ASKED_FOR = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip


def write_segmentation(
    labels: OrganLabels, path: str | Path, *, source: Sequence[Path] = (), overwrite: bool = False
) -> None:
    """Write organs as a binary DICOM Segmentation; names, colours and place come back, labels are counted from 1.

    Every plane of the grid is written for every organ, empty ones too, so that the whole grid comes back. Each file is
    an object of its own: its identifiers are new every time.

    Parameters
    ----------
    labels
        The organs; their grid may be oblique, not sheared.
    path
        The file to write.
    source
        Files of the DICOM series that the organs were drawn on: subject, study and frame of reference are taken from
        them, and they are referenced. Without them the object belongs to no study of anybody.
    overwrite
        Whether a file that is there may be replaced.

    Raises
    ------
    OutputError
        If there is no organ, the grid is sheared, a name is longer than 64 characters, or the source lies in another
        frame of reference.
    OutputExistsError
        If the file is there and ``overwrite`` is false.
    """
    path = Path(path)
    _require_segments(labels, path)
    images = _images(source, labels, path)
    try:
        with warnings.catch_warnings():
            # highdicom wonders about names of one word, which animals have.
            warnings.simplefilter("ignore", UserWarning)
            segmentation = _segmentation(labels, images, bool(source))
    except (ValueError, TypeError, AttributeError, KeyError) as fault:
        # A tag that the source lacks, or two sources that do not go together.
        raise OutputError(
            f"the source is not one a segmentation can refer to: {fault}",
            file=path,
            remedy="give the DICOM series that the organs were drawn on, or none",
        ) from fault
    with whole_file(path, overwrite) as temporary:
        segmentation.save_as(temporary)


def series_in(folder: Path, frame: str | None) -> list[Path]:
    """Return the files of the one DICOM series of images in a folder; of several, the one in ``frame``.

    Raises
    ------
    OutputError
        If there is none, or several that cannot be told apart.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    found: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(entry for entry in folder.rglob("*") if entry.is_file()):
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
        except (InvalidDicomError, OSError, ValueError):
            continue
        if "Rows" in header and "FrameOfReferenceUID" in header and header.get("Modality") != "SEG":
            key = (str(header.get("SeriesInstanceUID", "")), str(header.FrameOfReferenceUID))
            found.setdefault(key, []).append(file)
    if len(found) > 1:
        found = {key: files for key, files in found.items() if key[1] == frame}
    if len(found) == 1:
        return next(iter(found.values()))
    raise OutputError(
        f"one DICOM series in the organs' frame was needed, {len(found)} are there",
        file=folder,
        remedy="give the folder of the series that the organs were drawn on, and that one only",
    )


def _require_segments(labels: OrganLabels, path: Path) -> None:
    if not labels.names:
        raise OutputError("there is no organ to write", file=path, remedy="draw one first")
    if not labels.grid.is_orthogonal:
        raise OutputError(
            "a DICOM segmentation has no sheared grid (a tilted gantry's)",
            file=path,
            remedy="resample the organs onto an upright grid, or write NIfTI",
        )
    long = [name for name in labels.names.values() if len(name) > _LONGEST_NAME]
    if long:
        raise OutputError(
            f"the name '{long[0]}' is longer than DICOM's {_LONGEST_NAME} characters", file=path, remedy="shorten it"
        )


def _images(source: Sequence[Path], labels: OrganLabels, path: Path) -> list[Any]:
    """Return the headers of the source, or of an image that stands for it where there is none."""
    import pydicom

    if not source:
        return [_complete(_stand_in(labels.grid), labels.grid)]
    images = [pydicom.dcmread(file, stop_before_pixels=True) for file in source]
    frames = {str(image.get("FrameOfReferenceUID", "")) for image in images}
    if len(frames) > 1 or (
        labels.grid.frame is not None and _is_uid(labels.grid.frame) and {labels.grid.frame} != frames
    ):
        raise OutputError(
            f"the organs lie in the frame {labels.grid.frame}, their source in {', '.join(sorted(frames))}",
            file=path,
            remedy="give the series that the organs were drawn on, and that one only",
        )
    return [_complete(image, labels.grid) for image in images]


def _complete(image: Any, grid: Grid) -> Any:
    """Return a header with every tag that highdicom asks for; what makers or de-identification left out stays empty."""
    for keyword in _ASKED_FOR:
        if keyword not in image:
            setattr(image, keyword, "")
    if image.get("SliceThickness") is None:
        image.SliceThickness = _decimals(grid.spacing_mm[:1])[0]
    return image


def _is_uid(said: str) -> bool:
    # PS3.5 chapter 9; pydicom's own check warns of what is none.
    return len(said) <= 64 and re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", said) is not None


def _stand_in(grid: Grid) -> Any:
    """Return the header of an image with no subject and no study, which highdicom takes the needed tags from."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    framed = grid.frame is not None and _is_uid(grid.frame)
    image.FrameOfReferenceUID = grid.frame if framed else generate_uid()
    image.Modality = "OT"
    _, image.Rows, image.Columns = grid.shape
    image.ImagePositionPatient = _decimals(grid.origin_mm)
    image.ImageOrientationPatient = _decimals(grid.directions[:, [2, 1]].T.ravel())
    image.PixelSpacing = _decimals(grid.spacing_mm[1:])
    return image


def _decimals(values: NDArray[np.float64]) -> list[Any]:
    from pydicom.valuerep import DSfloat

    return [DSfloat(float(value), auto_format=True) for value in values]


def _segmentation(labels: OrganLabels, images: list[Any], is_referenced: bool) -> Any:
    from importlib.metadata import version

    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    values = sorted(labels.names)
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=labels.names[value],
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.AnatomicalStructure,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            display_color=_lab(labels.colours.get(value, _PALETTE[(number - 1) % len(_PALETTE)])),
        )
        for number, value in enumerate(values, start=1)
    ]
    segmentation = hd.seg.Segmentation(
        source_images=images,
        pixel_array=_volume(labels, values, images[0].FrameOfReferenceUID),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="napari-mpi-track",
        manufacturer_model_name="napari-mpi-track",
        software_versions=version("napari-mpi-track"),
        device_serial_number="none",
        content_label="ORGANS",
        content_description="Organs for quantification",
        omit_empty_frames=False,
    )
    if not is_referenced:
        # Nothing real stands behind the image that stood in.
        for keyword in ("ReferencedSeriesSequence", "SourceImageSequence"):
            if keyword in segmentation:
                delattr(segmentation, keyword)
        for frame in segmentation.PerFrameFunctionalGroupsSequence:
            if "DerivationImageSequence" in frame:
                del frame.DerivationImageSequence
    return segmentation


def _volume(labels: OrganLabels, values: list[int], frame: str) -> Any:
    """Return labels counted from 1 as highdicom's volume; planes along the normal, as DICOM readers stack them."""
    import highdicom as hd

    counted = np.zeros(max(values) + 1, dtype=np.uint16)
    counted[values] = np.arange(1, len(values) + 1)
    voxels, matrix = counted[labels.voxels], np.array(labels.grid.lps_from_index)
    if np.cross(matrix[:3, 2], matrix[:3, 1]) @ matrix[:3, 0] < 0:
        matrix[:3, 3] += matrix[:3, 0] * (len(voxels) - 1)
        matrix[:3, 0] *= -1
        voxels = voxels[::-1]
    return hd.Volume(array=voxels, affine=matrix, coordinate_system="PATIENT", frame_of_reference_uid=frame)


def _lab(colour: Colour) -> Any:
    import highdicom as hd

    return hd.color.CIELabColor.from_rgb(*(round(255 * part) for part in colour))
