"""One day of one subject as layers, MPI and organs drawn on the anatomy where their alignment is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.gui.day_scans import DayScans
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
from napari_mpi_track.report.tables import three_digits

_DIMMING = 2.0


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
        The plane most worth looking at: a point z, y, x in mm; none without a scan.
    brightest
        MPI value drawn brightest, in the scan's unit: one for all days of the subject.
    missing
        What an alignment would still bring, as what to do about it; empty where nothing.
    notes
        What a person should know of this picture, one sentence each.
    """

    subject: str
    day: float
    layers: tuple[LayerTuple, ...]
    focus_mm: NDArray[np.float64] | None
    brightest: float | None
    missing: str
    notes: tuple[str, ...]


def day_picture(subject: str, day: float, scans: DayScans, brightest: float | None) -> DayPicture:
    """Return the picture of one day; ``brightest`` is the MPI value drawn brightest, in the scan's unit."""
    anatomy, mpi = scans.anatomy, scans.mpi
    layers: list[LayerTuple] = []
    if anatomy is not None:
        layers.append(scan_layer(anatomy, layer_name(str(anatomy.modality or "anatomy"), subject, day)))
    emission = ((scans.pet, scans.pet_from_anatomy, None), (mpi, scans.mpi_from_anatomy, brightest))
    for scan, scan_from_anatomy, top in emission:
        if scan is None:
            continue
        name = layer_name(str(scan.modality), subject, day)
        if anatomy is None or scan_from_anatomy is None:
            layers.append(scan_layer(scan, name, top))
        else:
            layers.append(scan_layer_onto(scan, scan_from_anatomy, anatomy.grid, name, top))
    focus_mm = _focus(layers)
    _let_the_top_scan_stand_out(layers)
    layers += _organs_and_markers(subject, day, scans)
    notes = [*scans.notes, *_about_colours(scans, brightest)]
    return DayPicture(subject, day, tuple(layers), focus_mm, brightest, scans.missing, tuple(notes))


def _let_the_top_scan_stand_out(layers: list[LayerTuple]) -> None:
    """Dim the anatomy and hide the PET under an MPI: added up at full light they would all be white."""
    for _, settings, _ in layers[:-1]:
        if settings["blending"] == "additive":
            settings["visible"] = False
        else:
            low, high = settings["contrast_limits"]
            settings["contrast_limits"] = (low, low + _DIMMING * (high - low))


def _organs_and_markers(subject: str, day: float, scans: DayScans) -> list[LayerTuple]:
    layers = []
    if scans.organs is not None:
        name = layer_name("organs", subject, day)
        if scans.anatomy is None or scans.anatomy_from_organs is None:
            layers.append(organ_layer(scans.organs, name))
        else:
            organs_from_anatomy = scans.anatomy_from_organs.inverse_for_looking()
            layers.append(organ_layer_onto(scans.organs, organs_from_anatomy, scans.anatomy.grid, name))
    if scans.markers is not None:
        layers.append(points_layer(scans.markers, layer_name("markers", subject, day)))
    return layers


def _about_colours(scans: DayScans, brightest: float | None) -> list[str]:
    if scans.mpi is None or brightest is None:
        return []
    unit = scans.mpi.unit or "a.u."
    low = three_digits(hidden_below(scans.mpi))
    notes = [
        f"MPI colours: {low} {unit} (5 x the noise, nothing below is drawn) to {three_digits(brightest)} {unit}"
        " (the brightest of all days)."
    ]
    if scans.mpi_from_anatomy is not None:
        notes.append("MPI is resampled for looking, and measured as acquired.")
    if scans.pet is not None:
        notes.append("PET is there, but hidden: its eye in the layer list shows it.")
    return notes


def _focus(layers: list[LayerTuple]) -> NDArray[np.float64] | None:
    """Return a point in the plane with most signal above the noise (of the topmost scan): z, y, x in mm."""
    if not layers:
        return None
    voxels, settings, _ = layers[-1]
    low = settings["contrast_limits"][0]
    excess = np.where(np.isfinite(voxels), np.maximum(voxels.astype(np.float64) - low, 0.0), 0.0)
    by_plane = excess.sum(axis=(1, 2))
    index = (np.asarray(voxels.shape) - 1) / 2
    index[0] = float(np.argmax(by_plane)) if by_plane.any() else index[0]
    return np.asarray(index * np.asarray(settings["scale"]) + np.asarray(settings["translate"]))
