"""One day of one subject as layers: read off the GUI thread, and, once aligned, drawn on the anatomy."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.gui.layers import (
    LayerTuple,
    layer_name,
    organ_layer,
    organ_layer_onto,
    points_layer,
    scan_layer,
    scan_layer_onto,
)
from napari_mpi_track.gui.looks import hidden_below
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.study import ScanFile, Study, Subject, Timepoint
from napari_mpi_track.readers.organs import read_organ_names, read_organs
from napari_mpi_track.readers.points import read_points
from napari_mpi_track.readers.scans import read_scan


@dataclass(frozen=True, slots=True, eq=False)
class DayPicture:
    """What one day looks like.

    Attributes
    ----------
    subject, day
        Whose day it is.
    layers
        napari layer tuples, lowest first.
    focus_mm
        Where the picture is most worth looking at, z, y, x in mm; none without a scan.
    brightest
        MPI value drawn brightest, in the scan's unit: one for all days of the subject.
    notes
        What a person should know of this picture, one sentence each.
    """

    subject: str
    day: float
    layers: tuple[LayerTuple, ...]
    focus_mm: NDArray[np.float64] | None
    brightest: float | None
    notes: tuple[str, ...]


def day_picture(
    study: Study, subject: Subject, timepoint: Timepoint, analysis: Any, brightest: float | None, progress: Progress
) -> DayPicture:
    """Return the picture of one day; MPI lies on the anatomy where ``analysis`` (a TimepointAnalysis) aligned it.

    ``brightest`` is the subject's brightest MPI value if it is known already; else every day's MPI is read for it.
    """
    progress.report(0.1, "Reading scans")
    if brightest is None:
        brightest = _brightest_of(subject)
    if analysis is None:
        layers, notes = _as_acquired(study, subject, timepoint, brightest)
    else:
        layers, notes = _as_aligned(subject, timepoint, analysis, brightest)
    progress.report(0.9, "Drawing")
    notes += _scale_note(subject, timepoint, layers, brightest)
    return DayPicture(subject.id, timepoint.day, tuple(layers), _focus(layers), brightest, tuple(notes))


def read_study_scan(scan: ScanFile, modality: Modality | None) -> Volume:
    """Return a scan of a study, with what the study says of it; ``modality`` is its place's, where nobody says."""
    said = scan.modality or modality
    return read_scan(scan.path, series=scan.series, modality=said, unit=scan.unit, spacing_mm=scan.spacing_mm)


def _as_acquired(
    study: Study, subject: Subject, timepoint: Timepoint, brightest: float | None
) -> tuple[list[LayerTuple], list[str]]:
    layers: list[LayerTuple] = []
    notes: list[str] = []
    if timepoint.anatomy is not None:
        anatomy = read_study_scan(timepoint.anatomy, None)
        layers.append(scan_layer(anatomy, _name(anatomy, "anatomy", subject, timepoint)))
    if timepoint.pet is not None:
        pet = read_study_scan(timepoint.pet, Modality.PET)
        layers.append(scan_layer(pet, _name(pet, "PET", subject, timepoint)))
    if timepoint.mpi is not None:
        mpi = read_study_scan(timepoint.mpi, Modality.MPI)
        layers.append(scan_layer(mpi, _name(mpi, "MPI", subject, timepoint), brightest))
        if timepoint.anatomy is not None and (timepoint.alignment or study.alignment) != "frame":
            notes.append("Not aligned yet: MPI is drawn where its own scanner put it, not on the anatomy.")
    if timepoint.organs is not None:
        names = None if study.organ_names is None else read_organ_names(study.organ_names).names
        organs = read_organs(timepoint.organs, names)
        layers.append(organ_layer(organs, layer_name("organs", subject.id, timepoint.day)))
    elif (drawn := subject.day_with_organs(timepoint.day)) is not None:
        notes.append(f"Organs were drawn on day {drawn.day:g}; they appear here once this day is aligned.")
    if timepoint.anatomy_fiducials is not None:
        markers = read_points(timepoint.anatomy_fiducials)
        layers.append(points_layer(markers, layer_name("markers", subject.id, timepoint.day)))
    return layers, notes


def _as_aligned(
    subject: Subject, timepoint: Timepoint, analysis: Any, brightest: float | None
) -> tuple[list[LayerTuple], list[str]]:
    layers: list[LayerTuple] = []
    notes: list[str] = []
    anatomy, mpi, pet, organs = analysis.anatomy, analysis.mpi, analysis.pet, analysis.organs
    below = anatomy if anatomy is not None else mpi
    if anatomy is not None:
        layers.append(scan_layer(anatomy, _name(anatomy, "anatomy", subject, timepoint)))
    if pet is not None:
        layers.append(scan_layer(pet, _name(pet, "PET", subject, timepoint)))
    if mpi is not None:
        name = _name(mpi, "MPI", subject, timepoint)
        if anatomy is None or analysis.mpi_from_anatomy is None:
            layers.append(scan_layer(mpi, name, brightest))
        else:
            layers.append(scan_layer_onto(mpi, analysis.mpi_from_anatomy, anatomy.grid, name, brightest))
            notes.append("MPI is drawn on the anatomy, resampled for looking; it was measured as acquired.")
    if organs is not None and below is not None:
        layers.append(_aligned_organs(organs, analysis, below, layer_name("organs", subject.id, timepoint.day)))
    return layers, notes


def _aligned_organs(organs: OrganLabels, analysis: Any, below: Volume, name: str) -> LayerTuple:
    anatomy_from_organs = analysis.anatomy_from_organs
    if anatomy_from_organs is None or np.allclose(anatomy_from_organs.target_from_source, np.eye(4)):
        return organ_layer(organs, name)
    return organ_layer_onto(organs, anatomy_from_organs.inverse(), below.grid, name)


def _name(volume: Volume, otherwise: str, subject: Subject, timepoint: Timepoint) -> str:
    return layer_name(str(volume.modality or otherwise), subject.id, timepoint.day)


def _brightest_of(subject: Subject) -> float | None:
    """Return the highest MPI value of all days, so that days can be compared by eye."""
    scans = [t.mpi for t in subject.timepoints if t.mpi is not None]
    return max((float(np.nanmax(read_study_scan(scan, Modality.MPI).voxels)) for scan in scans), default=None)


def _scale_note(
    subject: Subject, timepoint: Timepoint, layers: list[LayerTuple], brightest: float | None
) -> list[str]:
    if timepoint.mpi is None or brightest is None:
        return []
    shown = next((s["metadata"]["mpi_track"].scan for _, s, _ in layers if s["name"].startswith("MPI")), None)
    if shown is None:
        return []
    unit = shown.unit or "a.u."
    low = f"{hidden_below(shown):.3g}"
    return [f"MPI colours run from {low} {unit} (5 x noise; below is transparent) to {brightest:.3g} {unit}, "
            f"the same on all days of {subject.id}."]


def _focus(layers: list[LayerTuple]) -> NDArray[np.float64] | None:
    """Return the place of the plane with most signal above the noise, in organs where there are any; z, y, x."""
    images = [(voxels, settings) for voxels, settings, kind in layers if kind == "image"]
    if not images:
        return None
    voxels, settings = images[-1]
    low = settings["contrast_limits"][0]
    excess = np.where(np.isfinite(voxels), np.maximum(voxels.astype(np.float64) - low, 0.0), 0.0)
    middle = (np.asarray(voxels.shape) - 1) / 2
    weight = excess.sum(axis=(1, 2))
    index = np.array([float(np.argmax(weight)) if weight.any() else middle[0], middle[1], middle[2]])
    return np.asarray(index * np.asarray(settings["scale"]) + np.asarray(settings["translate"]))
