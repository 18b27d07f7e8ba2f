"""The scans of one day and how they lie to each other: as acquired, at a first look, aligned, or as measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.measurement import AlignmentRow
from napari_mpi_track.longitudinal.scene import set_scene
from napari_mpi_track.longitudinal.study import ScanFile, Study, Subject, Timepoint
from napari_mpi_track.quantification.saturation import load_saturation
from napari_mpi_track.readers.organs import read_organ_names, read_organs
from napari_mpi_track.readers.points import read_points
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.alignment_files import load_alignment

# These search for a match over the whole scan and take long: they wait until somebody asks.
_SLOW_METHODS = ("intensity", "moments")


@dataclass(frozen=True, slots=True, eq=False)
class DayScans:
    """What was scanned of one subject on one day.

    Attributes
    ----------
    anatomy, pet, mpi, organs
        As acquired, MPI linearised where the study says how; organs perhaps those of another day.
    mpi_from_anatomy, pet_from_anatomy, anatomy_from_organs
        Where they lie to each other; ``None`` where two share one place, or where it is not known.
    markers
        The anatomy's fiducials, where they are given.
    missing
        What an alignment would still bring, as what to do about it; empty where nothing.
    notes
        What should be known, one sentence each.
    """

    anatomy: Volume | None
    pet: Volume | None
    mpi: Volume | None
    organs: OrganLabels | None
    mpi_from_anatomy: Transform | None = None
    pet_from_anatomy: Transform | None = None
    anatomy_from_organs: Transform | None = None
    markers: Points | None = None
    missing: str = ""
    notes: tuple[str, ...] = ()


def scans_as_acquired(study: Study, subject: Subject, timepoint: Timepoint) -> DayScans:
    """Return the day's scans, each where its own scanner put it."""
    scans = _own_scans(study, timepoint)
    notes = []
    if scans.mpi is not None and scans.anatomy is not None:
        notes.append("Not aligned: MPI is drawn where its own scanner put it, not on the anatomy.")
    missing = "Align MPI to the anatomy" if notes else ""
    return replace(scans, missing=missing, notes=(*notes, *_about_organs(subject, timepoint)))


def scans_at_first_look(study: Study, subject: Subject, timepoint: Timepoint, progress: Progress) -> DayScans:
    """Return the day's scans, MPI aligned to the anatomy if the study names a quick way; organs of that day only."""
    method = timepoint.alignment or study.alignment
    if timepoint.mpi is None or timepoint.anatomy is None or method in _SLOW_METHODS:
        return scans_as_acquired(study, subject, timepoint)
    days = tuple(t if t is timepoint else replace(t, organs=None) for t in subject.timepoints)
    try:
        scans = scans_aligned(study, replace(subject, timepoints=days), timepoint, progress)
    except AlignmentError as error:
        scans = scans_as_acquired(study, subject, timepoint)
        return replace(scans, notes=(*scans.notes, f"The alignment failed: {error.what}."))
    about_organs = _about_organs(subject, timepoint)
    missing = "Bring the organs to this day" if about_organs else ""
    return replace(scans, missing=missing, notes=(*scans.notes, *about_organs))


def scans_aligned(study: Study, subject: Subject, timepoint: Timepoint, progress: Progress) -> DayScans:
    """Return the day's scans aligned as the study says, with the organs that serve this day.

    Raises
    ------
    MpiTrackError
        If a scan cannot be read or an alignment fails.
    """
    scene = set_scene(study, subject, timepoint, progress=progress.report, should_stop=progress.should_stop)
    return DayScans(
        scene.anatomy,
        scene.pet,
        scene.mpi,
        scene.organs,
        _map_of(scene.mpi_from_anatomy),
        _map_of(scene.pet_from_anatomy),
        _map_of(scene.anatomy_from_organs),
        _markers(timepoint),
        notes=tuple(scene.warnings),
    )


def scans_as_measured(
    study: Study, subject: Subject, timepoint: Timepoint, alignments: Sequence[AlignmentRow], folder: Path
) -> DayScans:
    """Return the day's scans with the very alignments a run measured them with, read from its ``folder``."""
    scans = _own_scans(study, timepoint)
    maps = {
        "anatomy" if row.fixed.startswith("anatomy of") else row.moving: load_alignment(
            folder / row.transform
        ).moving_from_fixed.between(None, None)
        for row in alignments
    }
    drawn = subject.day_with_organs(timepoint.day)
    organs, anatomy_from_organs = scans.organs, maps.get("anatomy")
    if drawn is not None and anatomy_from_organs is not None:
        organs = _organs_of(study, drawn)
    return replace(
        scans,
        organs=organs,
        mpi_from_anatomy=maps.get("MPI"),
        pet_from_anatomy=maps.get("PET"),
        anatomy_from_organs=anatomy_from_organs,
    )


def brightest_mpi(study: Study, subject: Subject) -> float | None:
    """Return the highest MPI value of all days of a subject, in the scans' unit: one scale to compare days by."""
    scans = [_mpi_of(study, t.mpi) for t in subject.timepoints if t.mpi is not None]
    return max((float(np.nanmax(scan.voxels)) for scan in scans), default=None)


def _own_scans(study: Study, timepoint: Timepoint) -> DayScans:
    return DayScans(
        None if timepoint.anatomy is None else _read(timepoint.anatomy, None),
        None if timepoint.pet is None else _read(timepoint.pet, Modality.PET),
        None if timepoint.mpi is None else _mpi_of(study, timepoint.mpi),
        _organs_of(study, timepoint),
        markers=_markers(timepoint),
    )


def _read(scan: ScanFile, modality: Modality | None) -> Volume:
    """Return a scan of a study, with what the study says of it; ``modality`` is its place's, where nobody says."""
    said = scan.modality or modality
    volume = read_scan(scan.path, series=scan.series, modality=said, unit=scan.unit, spacing_mm=scan.spacing_mm)
    return replace(volume, is_projection=True) if scan.is_projection else volume


def _mpi_of(study: Study, scan: ScanFile) -> Volume:
    mpi = _read(scan, Modality.MPI)
    return mpi if study.saturation is None else load_saturation(study.saturation).linearise(mpi)


def _organs_of(study: Study, timepoint: Timepoint) -> OrganLabels | None:
    if timepoint.organs is None:
        return None
    names = None if study.organ_names is None else read_organ_names(study.organ_names).names
    return read_organs(timepoint.organs, names)


def _markers(timepoint: Timepoint) -> Points | None:
    return None if timepoint.anatomy_fiducials is None else read_points(timepoint.anatomy_fiducials)


def _about_organs(subject: Subject, timepoint: Timepoint) -> tuple[str, ...]:
    drawn = subject.day_with_organs(timepoint.day)
    if timepoint.organs is not None or timepoint.is_baseline or drawn is None:
        return ()
    return (f"The organs were drawn on day {drawn.day:g}.",)


def _map_of(alignment: Alignment | None) -> Transform | None:
    return None if alignment is None else alignment.moving_from_fixed
