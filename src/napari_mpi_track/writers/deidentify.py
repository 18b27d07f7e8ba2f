"""DICOM without identity: PS3.15's Basic Application Level Confidentiality Profile, by a list of what stays.

The standard lists some 600 attributes that must go, and grows with every edition. Here only what images are read by
stays, none of it on that list, and all else goes: private attributes, texts, comments, names, descriptions, weights.
Identifiers are replaced, the same by the same (113100 asks for it), and dates are moved by one number of days for each
subject (option 113107), since decay is counted between them.
"""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError

from napari_mpi_track.errors import OutputError
from napari_mpi_track.writers.identities import Identities
from napari_mpi_track.writers.whole import whole_file

_STANDARD_UIDS = "1.2.840.10008."
_METHOD = "Basic Profile by a list of what is kept; dates moved"
_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
# Attributes of an object that must be there, and may be empty.
_EMPTY = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyID",
    "PositionReferenceIndicator",
)
_KEPT_WORDS = """
    SpecificCharacterSet SOPClassUID Modality ImageType FrameType ConversionType Manufacturer BurnedInAnnotation
    PatientPosition AnatomicalOrientationType SeriesNumber InstanceNumber AcquisitionNumber TemporalPositionIdentifier
    TemporalPositionIndex NumberOfTemporalPositions StackID InStackPositionNumber DimensionIndexValues
    FrameAcquisitionNumber ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing SliceThickness
    SpacingBetweenSlices SliceLocation GantryDetectorTilt GridFrameOffsetVector SliceVector NumberOfSlices ImageIndex
    Rows Columns NumberOfFrames SamplesPerPixel PhotometricInterpretation PlanarConfiguration BitsAllocated BitsStored
    HighBit PixelRepresentation PixelAspectRatio SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue
    RescaleSlope RescaleIntercept RescaleType WindowCenter WindowWidth LossyImageCompression VolumetricProperties
    VolumeBasedCalculationTechnique PresentationLUTShape PixelData FloatPixelData DoubleFloatPixelData
    KVP XRayTubeCurrent ExposureTime ConvolutionKernel ReconstructionDiameter
    ScanningSequence SequenceVariant MRAcquisitionType RepetitionTime EchoTime EchoNumbers EffectiveEchoTime
    InversionTime FlipAngle NumberOfAverages ImagingFrequency ImagedNucleus ResonantNucleus MagneticFieldStrength
    EchoTrainLength DiffusionBValue Units CountsSource SeriesType DecayCorrection DecayFactor CorrectedImage
    RandomsCorrectionMethod AttenuationCorrectionMethod ScatterCorrectionMethod ReconstructionMethod
    ActualFrameDuration FrameReferenceTime RadionuclideTotalDose RadionuclideHalfLife RadionuclidePositronFraction
    Radiopharmaceutical CodeValue CodingSchemeDesignator CodeMeaning SUVType EnergyWindowLowerLimit
    EnergyWindowUpperLimit SegmentationType SegmentationFractionalType MaximumFractionalValue SegmentsOverlap
    SegmentNumber SegmentLabel SegmentAlgorithmType RecommendedDisplayCIELabValue ReferencedSegmentNumber
    RealWorldValueFirstValueMapped RealWorldValueLastValueMapped RealWorldValueSlope RealWorldValueIntercept
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence PlanePositionSequence
    PlaneOrientationSequence FrameContentSequence PixelValueTransformationSequence RealWorldValueMappingSequence
    MeasurementUnitsCodeSequence MRImageFrameTypeSequence CTImageFrameTypeSequence PETFrameTypeSequence MREchoSequence
    MRDiffusionSequence FrameVOILUTSequence RadiopharmaceuticalInformationSequence RadionuclideCodeSequence
    EnergyWindowInformationSequence EnergyWindowRangeSequence DetectorInformationSequence SegmentSequence
    SegmentIdentificationSequence SegmentedPropertyCategoryCodeSequence SegmentedPropertyTypeCodeSequence
"""
_UID_WORDS = """
    SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID ConcatenationUID DimensionOrganizationUID
    SynchronizationFrameOfReferenceUID
"""
_DATE_TIME_WORDS = """
    AcquisitionDateTime FrameAcquisitionDateTime FrameReferenceDateTime RadiopharmaceuticalStartDateTime
    RadiopharmaceuticalStopDateTime DecayCorrectionDateTime
"""
_KEPT, _UIDS = frozenset(_KEPT_WORDS.split()), frozenset(_UID_WORDS.split())
_DATES = frozenset({"StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", *_DATE_TIME_WORDS.split()})
_TIMES = frozenset({"StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime", "RadiopharmaceuticalStartTime"})


def read_dicom(path: Path) -> Dataset | None:
    """Return a DICOM file as it is; ``None`` for a file that is none."""
    try:
        return pydicom.dcmread(path)
    except (InvalidDicomError, OSError, ValueError, EOFError):
        return None


def subject_of(dataset: Dataset) -> str:
    """Return what a file calls its subject: the PatientID, else the name."""
    return str(dataset.get("PatientID") or dataset.get("PatientName") or "(no name)").strip()


def deidentified(dataset: Dataset, identities: Identities, path: Path) -> Dataset:
    """Return a DICOM object without identity; the pixels are the same.

    Raises
    ------
    OutputError
        If the pixels may show a name (burned in, a secondary capture), the object is none of images, or it cannot be
        read without private attributes (a mosaic).
    """
    _require_clean_pixels(dataset, path)
    subject = subject_of(dataset)
    clean = _cleaned(dataset, identities, subject)
    for keyword in _EMPTY:
        setattr(clean, keyword, "")
    clean.PatientID = clean.PatientName = identities.code_of(subject)
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = _METHOD
    clean.LongitudinalTemporalInformationModified = "MODIFIED"
    clean.DeidentificationMethodCodeSequence = [_code(value, meaning) for value, meaning in _CODES]
    clean.file_meta = FileMetaDataset()
    clean.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    clean.file_meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
    clean.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    clean.preamble = b"\0" * 128
    return clean


def place_of(clean: Dataset, folder: Path) -> Path:
    """Return where an object is written under ``folder``, by subject, series and number: no old name comes along."""
    series = str(clean.get("SeriesInstanceUID", "series"))[-8:]
    number = int(clean.get("InstanceNumber") or 0)
    name = f"{number:05d}_{str(clean.SOPInstanceUID)[-8:]}.dcm"
    return folder / str(clean.PatientID) / f"series_{series}" / name


def write_dicom(clean: Dataset, path: Path, *, overwrite: bool = False) -> None:
    """Write an object; ``OutputExistsError`` if the file is there and ``overwrite`` is false."""
    with whole_file(path, overwrite) as temporary:
        clean.save_as(temporary, enforce_file_format=True)


def _require_clean_pixels(dataset: Dataset, path: Path) -> None:
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
        raise OutputError("no image: reports and plans hold free text", file=path, remedy="leave it out")
    if not dataset.get("SOPInstanceUID") or not dataset.file_meta.get("TransferSyntaxUID"):
        raise OutputError(
            "the object does not say which it is, or how it is encoded",
            file=path,
            remedy="leave it out, or export it again",
        )
    if str(dataset.get("BurnedInAnnotation", "")).upper() == "YES":
        raise OutputError("the picture itself shows text (BurnedInAnnotation)", file=path, remedy="leave it out")
    kinds = [str(kind).upper() for kind in dataset.get("ImageType") or ()]
    if str(dataset.get("SOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.7") or "SCREEN SAVE" in kinds:
        raise OutputError("a secondary capture may show names in its pixels", file=path, remedy="leave it out")
    if "MOSAIC" in kinds:
        raise OutputError(
            "a mosaic cannot be read without its maker's private attributes",
            file=path,
            remedy="convert it to NIfTI (mpi-track convert)",
        )


def _cleaned(dataset: Dataset, identities: Identities, subject: str) -> Dataset:
    clean = Dataset()
    for element in dataset:
        keyword = element.keyword
        if element.tag.is_private or not keyword:
            continue
        if keyword in _KEPT and element.VR == "SQ":
            setattr(clean, keyword, [_cleaned(item, identities, subject) for item in element.value])
        elif keyword in _KEPT or keyword in _TIMES:
            clean.add(element)
        elif keyword in _UIDS and element.value:
            setattr(clean, keyword, _replaced(str(element.value), identities))
        elif keyword in _DATES and element.value:
            setattr(clean, keyword, _moved(str(element.value), identities, subject))
    return clean


def _replaced(uid: str, identities: Identities) -> str:
    return uid if uid.startswith(_STANDARD_UIDS) else identities.uid(uid)


def _moved(said: str, identities: Identities, subject: str) -> str:
    """Return a DA or DT with its date moved; what is no full date is emptied, since it cannot be."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})(.*)", said.strip())
    if match is None:
        return ""
    try:
        day = datetime(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return ""
    return f"{identities.shifted(day, subject):%Y%m%d}{match[4]}"


def _code(value: str, meaning: str) -> Dataset:
    item: Any = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
