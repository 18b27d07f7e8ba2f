"""The organs that serve a day: drawn that day or carried there from another, then corrected, then approved."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_mpi_track.errors import FrameMismatchError, MeasurementError, MpiTrackError
from napari_mpi_track.imaging.approval import is_as_approved
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.label_edits import LabelEdits
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.longitudinal.study import Study, Timepoint
from napari_mpi_track.readers.organs import read_organ_names, read_organs
from napari_mpi_track.registration.alignment import Alignment, chain
from napari_mpi_track.registration.resample import resample_organs


def read_day_organs(study: Study, timepoint: Timepoint, frame: str, file_frame: str | None) -> OrganLabels:
    """Return the organs drawn on a timepoint, in ``frame``, with what was painted over them there.

    ``file_frame`` is what the files of the scan they were drawn on call their frame.

    Raises
    ------
    FrameMismatchError
        If the labels' own file names another frame than the scan's.
    MpiTrackError
        If the labels or the edits cannot be read, or the edits were painted on another grid.
    """
    assert timepoint.organs is not None
    names = None if study.organ_names is None else read_organ_names(study.organ_names)
    organs = read_organs(timepoint.organs, names)
    if None not in (organs.grid.frame, file_frame) and organs.grid.frame != file_frame:
        raise FrameMismatchError(
            f"the organs lie in the frame of reference {organs.grid.frame}, the scan they were to be drawn on in"
            f" {file_frame}",
            file=timepoint.organs,
            remedy="give the segmentation of this scan; if the frames are one all the same, convert it to NIfTI",
        )
    corrected = with_edits(organs.in_frame(frame), timepoint.organ_edits)
    require_an_organ(corrected)
    return corrected


def require_an_organ(organs: OrganLabels) -> None:
    """Raise ``MeasurementError`` if no voxel of the labels is of an organ."""
    if not organs.names:
        raise MeasurementError(
            "the labels hold no organ: every voxel is 0",
            file=organs.file,
            remedy="draw the organs, or leave the file out",
        )


def with_edits(organs: OrganLabels, edits: Path | None) -> OrganLabels:
    """Return organs with the edits of a file over them; as they are where there is none."""
    if edits is None:
        return organs
    painted = LabelEdits.from_labels(read_organs(edits)).in_frame(organs.grid.frame)
    try:
        return painted.applied_to(organs)
    except MpiTrackError as fault:
        raise type(fault)(fault.what, file=edits, remedy=fault.remedy) from fault


def carried_onto(organs: OrganLabels, by: Alignment, grid: Grid) -> tuple[OrganLabels, Alignment]:
    """Return organs of another day on the grid of this day's anatomy, and the alignment that is left to do: none.

    Each voxel takes the nearest of the organs' voxels. The alignment left maps this anatomy to itself and keeps the
    error of the way that the organs came by, so that it stays in the budget.
    """
    there = by.moving_from_fixed
    carried = resample_organs(organs, there.inverse_for_looking(), grid)
    linear = replace(by, moving_from_fixed=replace(there, deformation=None), deformation=None)
    back = Alignment(
        moving_from_fixed=linear.moving_from_fixed.inverse(),
        method=by.method,
        model="rigid",
        verdict=by.verdict,
        reason="",
        error_covariance=None if by.error_covariance is None else np.zeros_like(by.error_covariance),
        centre_mm=there.map(np.atleast_2d(by.centre_mm))[0],
    )
    left = chain(linear, back)
    identity = Transform.identity(grid.frame, grid.frame)
    return carried, replace(
        by, moving_from_fixed=identity, error_covariance=left.error_covariance, centre_mm=left.centre_mm
    )


def approvals_told(timepoint: Timepoint, organs: OrganLabels) -> tuple[list[str], list[str]]:
    """Return warnings about approved organs that have changed since or are gone, and notes of those that stand."""
    warnings: list[str] = []
    notes: list[str] = []
    for organ, approval in timepoint.approved.items():
        if organ not in organs.names.values():
            warnings.append(f"organ '{organ}' was approved by {approval} and is not there any more")
            continue
        stands = is_as_approved(organs, organ, approval)
        if stands is None:
            notes.append(f"organ '{organ}': approved by {approval}; no fingerprint was kept, so changes go unnoticed")
        elif stands:
            notes.append(f"organ '{organ}': approved by {approval}, unchanged since")
        else:
            warnings.append(f"organ '{organ}' was approved by {approval} but has changed since")
    return warnings, notes
