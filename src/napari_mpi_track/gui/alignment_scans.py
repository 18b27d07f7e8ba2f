"""The scans that can be aligned: layers of the viewer, whoever opened them, and the day of the study they are of."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mpi_track.gui.alignment_draft import AlignmentDraft, ChosenScan
from napari_mpi_track.gui.layers import METADATA_KEY, UNITS, LayerTuple, Shown, scan_from_layer
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.study import ScanFile, Study, Subject, Timepoint

# Layers that an alignment has put into the viewer carry this key: they show a scan that is there already.
ALIGNED_KEY = "mpi_track_aligned"
_ANATOMIES = ("CT", "MR")


@dataclass(frozen=True, slots=True)
class Offer:
    """A layer that can be chosen: its name, and its modality ("" where it is not known)."""

    name: str
    modality: str


@dataclass(frozen=True, slots=True)
class DayOfStudy:
    """The day of a study that two scans are of: its anatomy is the fixed scan, ``what`` ("MPI", "PET") the moving."""

    study: Study
    subject: Subject
    timepoint: Timepoint
    what: str

    def __str__(self) -> str:
        return f"{self.subject.id}, day {self.timepoint.day:g}"


def offers(layers: Iterable[Any]) -> tuple[Offer, ...]:
    """Return the layers that hold a scan, in the viewer's order."""
    return tuple(Offer(str(layer.name), _modality(layer)) for layer in layers if _is_scan(layer))


def companions(layers: Iterable[Any]) -> tuple[str, ...]:
    """Return the names of layers that a transform can bring along: scans, labels and points."""
    return tuple(
        str(layer.name)
        for layer in layers
        if ALIGNED_KEY not in layer.metadata and (_is_scan(layer) or layer._type_string in ("labels", "points"))
    )


def usual_pair(offered: tuple[Offer, ...]) -> tuple[str, str] | None:
    """Return the names of the fixed and the moving scan one would mean: an anatomy, and the MPI, PET or other one."""
    if len(offered) < 2:
        return None
    fixed = next((o for kind in _ANATOMIES for o in offered if o.modality == kind), offered[0])
    others = [o for o in offered if o is not fixed]
    kinds = ("MPI", "PET", "SPECT", "19F", *_ANATOMIES)
    moving = next((o for kind in kinds for o in others if o.modality == kind), others[0])
    return fixed.name, moving.name


def scan_of(layer: Any) -> ChosenScan:
    """Return the scan of a layer as acquired, with a word where its unit of length is not known.

    Raises
    ------
    GridMismatchError
        If the layer cannot be a scan of three dimensions.
    """
    voxels, settings, _ = in_mm(layer)
    note = f"{layer.name} states no unit of length: its scale is taken as mm." if _has_no_length(layer) else ""
    return ChosenScan(str(layer.name), scan_from_layer(voxels, settings), note)


def in_mm(layer: Any) -> LayerTuple:
    """Return what a layer holds, a scale without a unit taken as mm."""
    content, settings, kind = layer.as_layer_data_tuple()
    if _has_no_length(layer):
        settings = {**settings, "units": UNITS[-layer.ndim :]}
    return content, settings, kind


def day_of(study: Study | None, draft: AlignmentDraft) -> DayOfStudy | None:
    """Return the day of the study whose anatomy is the fixed and whose MPI or PET is the moving scan."""
    if study is None or draft.fixed is None or draft.moving is None:
        return None
    fixed, moving = draft.fixed.volume, draft.moving.volume
    for subject in study.subjects:
        for timepoint in subject.timepoints:
            if not _is_file_of(fixed, timepoint.anatomy):
                continue
            for what, scan in (("MPI", timepoint.mpi), ("PET", timepoint.pet)):
                if _is_file_of(moving, scan):
                    return DayOfStudy(study, subject, timepoint, what)
    return None


def shown_in(layer: Any) -> Volume | OrganLabels | Points | None:
    """Return what a layer of ours shows; ``None`` for one of somebody else."""
    shown = layer.metadata.get(METADATA_KEY)
    return shown.scan if isinstance(shown, Shown) else None


def _is_file_of(volume: Volume, scan: ScanFile | None) -> bool:
    return scan is not None and volume.file is not None and Path(volume.file).resolve() == scan.path.resolve()


def _is_scan(layer: Any) -> bool:
    if layer._type_string != "image" or layer.rgb or layer.ndim not in (2, 3) or layer.multiscale:
        return False
    return ALIGNED_KEY not in layer.metadata


def _modality(layer: Any) -> str:
    scan = shown_in(layer)
    return str(scan.modality) if isinstance(scan, Volume) and isinstance(scan.modality, Modality) else ""


def _has_no_length(layer: Any) -> bool:
    return METADATA_KEY not in layer.metadata and all(
        str(unit) in ("pixel", "pixels", "", "dimensionless") for unit in layer.units
    )
