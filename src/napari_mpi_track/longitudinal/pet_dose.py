"""What went into a subject for PET or SPECT, and how a scan is brought to the time it went in."""

from dataclasses import dataclass
from datetime import datetime

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.study import DecayReference, Radiotracer, Subject, Timepoint
from napari_mpi_track.quantification.half_lives import isotope_name
from napari_mpi_track.quantification.radioactivity import decay_correction, decay_factor, injected_activity
from napari_mpi_track.quantification.reporters import Reporter

_DECAY_TAGS: dict[str, DecayReference] = {"ADMIN": "injection", "START": "scan", "NONE": "none"}


@dataclass(frozen=True, slots=True)
class PetDose:
    """What is needed to read activity as uptake and cells; ``None`` where the study does not say.

    Attributes
    ----------
    isotope
        As ``89Zr``.
    to_injection, to_scan
        What voxels are multiplied by to be the activity at the injection, and at the start of the scan.
    at_injection_kbq
        What went in, at the injection.
    per_million_at_injection_kbq
        What a million labelled cells carried then.
    elapsed_h
        From the injection to the scan.
    reporter
        The reporter gene that the tracer is for; its injection is the timepoint's own.
    text
        A line for the report.
    """

    isotope: str
    to_injection: float
    to_scan: float
    at_injection_kbq: float | None
    per_million_at_injection_kbq: float | None
    elapsed_h: float
    reporter: Reporter | None
    text: str


def dose_of(subject: Subject, timepoint: Timepoint, pet: Volume) -> PetDose:
    """Return what a PET or SPECT is read by: cells' label injected once, or a reporter's tracer of this timepoint.

    Raises
    ------
    MeasurementError
        If the subject has no radiotracer, or the time of scan or injection or its decay correction is not known.
    """
    radiotracer = subject.radiotracer
    if radiotracer is None:
        raise MeasurementError(
            f"subject {subject.id} has a {pet.modality} but no radiotracer",
            file=pet.file,
            remedy="give radiotracer: {isotope, activity_kBq, assayed_at, ...}",
        )
    injected_at = _injected_at(subject, timepoint, radiotracer)
    scanned_at = _like(timepoint.time or pet.acquired_at, injected_at)
    if scanned_at is None or injected_at is None:
        missing = "the time of the scan" if scanned_at is None else "the time of injection"
        raise MeasurementError(
            f"{pet.modality} needs {missing} to be corrected for decay, and neither the study nor the file gives it",
            file=pet.file,
            remedy="give 'time' at the timepoint and in the injection (ISO 8601)",
        )
    corrected_to = _DECAY_TAGS.get(str(pet.metadata.get("decay_correction"))) or timepoint.decay_corrected_to
    if corrected_to is None:
        raise MeasurementError(
            f"what the {pet.modality} was decay-corrected to is not known",
            file=pet.file,
            remedy="give decay_corrected_to: injection, scan or none",
        )
    correction = decay_correction(
        radiotracer.isotope,
        injected_at=injected_at,
        scan_started_at=scanned_at,
        corrected_to=corrected_to,
        frame_duration_s=float(pet.metadata.get("frame_duration_s") or 0.0),
    )
    specific = radiotracer.activity_per_million_cells_kBq
    if specific is not None:
        assayed_at = _like(radiotracer.assayed_at, injected_at) or injected_at
        specific *= decay_factor(radiotracer.isotope, assayed_at, injected_at)
    return PetDose(
        isotope_name(radiotracer.isotope),
        correction.to_injection,
        correction.to_scan,
        _reporter_kbq(timepoint, radiotracer) if radiotracer.reporter else injected_kbq(subject),
        specific,
        correction.elapsed_h,
        radiotracer.reporter,
        correction.text,
    )


def injected_kbq(subject: Subject) -> float | None:
    """Return the activity that went into the subject, in kBq at the injection; ``None`` where it is not stated."""
    radiotracer, injected_at = subject.radiotracer, subject.injection.time
    if radiotracer is None or radiotracer.activity_kBq is None or injected_at is None:
        return None
    return injected_activity(
        radiotracer.isotope,
        radiotracer.activity_kBq,
        residual_kBq=radiotracer.residual_kBq or 0.0,
        assayed_at=_like(radiotracer.assayed_at, injected_at) or injected_at,
        injected_at=injected_at,
    )


def follows_reporter(subject: Subject, modality: str) -> bool:
    """Return whether a modality's scans of this subject show a reporter gene, by a tracer injected for each."""
    return modality in ("PET", "SPECT") and subject.radiotracer is not None and subject.radiotracer.reporter is not None


def _injected_at(subject: Subject, timepoint: Timepoint, radiotracer: Radiotracer) -> datetime | None:
    if radiotracer.reporter is None:
        return subject.injection.time
    return None if timepoint.dose is None else timepoint.dose.injected_at


def _reporter_kbq(timepoint: Timepoint, radiotracer: Radiotracer) -> float | None:
    dose = timepoint.dose
    if dose is None:
        return None
    return injected_activity(
        radiotracer.isotope,
        dose.activity_kBq,
        residual_kBq=dose.residual_kBq,
        assayed_at=dose.assayed_at or dose.injected_at,
        injected_at=dose.injected_at,
    )


def _like(time: datetime | None, other: datetime | None) -> datetime | None:
    """Return a DICOM's local time in the zone of the study, which is where it was scanned."""
    if time is None or other is None or time.tzinfo is not None or other.tzinfo is None:
        return time
    return time.replace(tzinfo=other.tzinfo)
