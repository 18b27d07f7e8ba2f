"""A day whose organs are drawn: its scans and how they lie, the organs to begin with, and what is measured in them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.gui.organ_draft import OrganDay, OrganDraft, begun, drawn, with_approvals
from napari_mpi_track.gui.tasks import Progress
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.label_edits import LabelEdits
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.conditions import overridden_differences, study_calibration
from napari_mpi_track.longitudinal.day_organs import carried_back, carried_onto, read_day_organs
from napari_mpi_track.longitudinal.measured import MeasuredScan
from napari_mpi_track.longitudinal.measurement import Measurement, ScanRows
from napari_mpi_track.longitudinal.mpi_rows import measure_day, rows_of_day, with_override_flag
from napari_mpi_track.longitudinal.neighbours import with_neighbours
from napari_mpi_track.longitudinal.scene import Scene, frame_of, set_scene
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.quantification.calibration import Calibration
from napari_mpi_track.readers.organs import read_organs


@dataclass(frozen=True, slots=True, eq=False)
class OrganScene:
    """A day whose scans are read and aligned, ready to be measured with any organs.

    ``scene`` holds the organs before anything was painted over them; ``carried`` are those of another day on this
    day's anatomy, as they are painted on.
    """

    study: Study
    subject: Subject
    timepoint: Timepoint
    scene: Scene
    calibration: Calibration | None
    carried: OrganLabels | None = None

    @property
    def key(self) -> OrganDay:
        """Whose organs they are."""
        return self.study.file, self.subject.id, self.timepoint.day

    @property
    def drawn_on(self) -> Volume | None:
        """The scan that organs of this day are drawn on: its anatomy, or the MPI where there is none."""
        return self.scene.anatomy or self.scene.mpi

    @property
    def mpi_from_anatomy(self) -> Transform:
        """The way from what organs are drawn on to the MPI."""
        alignment = self.scene.mpi_from_anatomy
        return Transform.identity() if alignment is None else alignment.moving_from_fixed


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredOrgans:
    """What is measured in the organs of a draft: the scan with every term, and the rows as in measurements.csv."""

    draft: OrganDraft
    scan: MeasuredScan
    rows: ScanRows
    calibration: Calibration | None = None

    @property
    def slope(self) -> float | None:
        """Signal a cell; ``None`` where cells are not read from totals."""
        known = self.calibration
        is_of_totals = known is not None and known.x_quantity == "cells" and known.metric != "maximum"
        return known.slope if known is not None and is_of_totals else None

    @property
    def unit(self) -> str:
        """Of signals: "a.u. mm³"."""
        return f"{self.scan.scan.unit or 'a.u.'} mm{'²' if self.scan.scan.is_projection else '³'}"

    @property
    def is_flat(self) -> bool:
        """Whether organs were drawn on a projection's plane: they have an area, and no volume."""
        return self.scan.scan.is_projection and self.draft.base.grid.shape[0] == 1

    def of(self, draft: OrganDraft) -> "MeasuredOrgans":
        """Return the same numbers as those of another draft, which differs in locks alone."""
        return replace(self, draft=draft)

    def row(self, organ: str) -> Measurement | None:
        """Return the row of an organ, or of those that it was measured as one with; ``None`` if it was not there."""
        rows = self.rows.measurements
        own = next((row for row in rows if row.organ == organ), None)
        return own or next((row for row in rows if organ in row.organ.split(" + ")), None)


def organs_of_file(study: Study, subject: Subject, timepoint: Timepoint) -> OrganDraft | None:
    """Return a draft of the organs that were drawn on this very day; ``None`` where none were."""
    if timepoint.organs is None:
        return None
    frame = frame_of(subject, timepoint, "anatomy")
    organs = read_day_organs(study, replace(timepoint, organ_edits=None), frame, None)
    return _corrected(organs, timepoint.organs.name, timepoint)


def organ_scene(study: Study, subject: Subject, timepoint: Timepoint, progress: Progress) -> OrganScene:
    """Return a day read and aligned as a run of the study would.

    Raises
    ------
    MpiTrackError
        If a scan cannot be read, or an alignment or the calibration fails.
    """
    calibration = study_calibration(study)
    plain = replace(timepoint, organ_edits=None, approved={})
    # In its place among the subject's days, by which organs are carried from one to another.
    days = tuple(plain if t is timepoint else t for t in subject.timepoints)
    scene = set_scene(
        study, replace(subject, timepoints=days), plain, progress=progress.report, should_stop=progress.should_stop
    )
    scene = with_neighbours(study, subject, timepoint, scene, should_stop=progress.should_stop)
    carried = None
    if scene.organs is not None and scene.anatomy_from_organs is not None and scene.anatomy is not None:
        way = scene.anatomy_from_organs.moving_from_fixed
        carried = carried_onto(scene.organs, way, scene.anatomy.grid)
    return OrganScene(study, subject, timepoint, scene, calibration, carried)


def draft_of_scene(day: OrganScene) -> OrganDraft:
    """Return a draft to begin with: the day's own organs, those carried from another day, or none.

    Organs of another day are drawn on this day's anatomy (nearest voxel).
    """
    scene, on = day.scene, day.drawn_on
    if on is None:
        raise MeasurementError(
            f"there is no scan of {day.subject.id} on day {day.timepoint.day:g} to draw organs on",
            remedy="choose a day with an MPI or an anatomy",
        )
    if scene.organs is None:
        empty = OrganLabels(np.zeros(on.grid.shape, np.uint8), on.grid)
        return begun(empty, "nothing drawn yet")
    if day.carried is None:
        file = day.timepoint.organs
        return _corrected(scene.organs, "this day's" if file is None else file.name, day.timepoint)
    source = day.subject.day_with_organs(day.timepoint.day)
    origin = "carried from another day" if source is None else f"carried from day {source.day:g}"
    return _corrected(day.carried, origin, day.timepoint)


def _corrected(organs: OrganLabels, origin: str, timepoint: Timepoint) -> OrganDraft:
    """Return a draft of organs with what the study says was painted over them, and who approved which."""
    edits = None
    if timepoint.organ_edits is not None:
        edits = LabelEdits.from_labels(read_organs(timepoint.organ_edits)).in_frame(organs.grid.frame)
    return with_approvals(begun(organs, origin, edits=edits, is_of_study=True), timepoint.approved)


def measured_organs(day: OrganScene, draft: OrganDraft) -> MeasuredOrgans:
    """Return what a run of the study would measure with the organs of a draft.

    Raises
    ------
    MeasurementError
        If there is no MPI that day, or the organs cannot be told apart.
    """
    scene = day.scene if draft.is_of_study and draft.is_untouched else with_organs(day, draft)
    if scene.mpi is None:
        raise MeasurementError(
            f"there is no MPI of {day.subject.id} on day {day.timepoint.day:g} to measure",
            remedy="choose a day with an MPI",
        )
    scan = measure_day(day.study, scene.mpi, scene)
    rows = rows_of_day(day.study, day.subject, day.timepoint, scan, day.calibration)
    if day.calibration is not None and overridden_differences(day.study, scene.mpi, day.calibration):
        rows = replace(rows, measurements=tuple(with_override_flag(rows.measurements)))
    return MeasuredOrgans(draft, scan, rows, day.calibration)


def with_organs(day: OrganScene, draft: OrganDraft) -> Scene:
    """Return a day's scene with the organs of a draft; carried ones are measured from where they were drawn."""
    scene, on, organs = day.scene, day.drawn_on, drawn(draft)
    by = scene.anatomy_from_organs
    if draft.is_of_study and day.carried is not None and scene.organs is not None and by is not None:
        organs = carried_back(scene.organs, by.moving_from_fixed, day.carried, organs)
        return replace(scene, organs=organs if organs.names else None)
    frame = organs.grid.frame if on is None else on.grid.frame
    return replace(scene, organs=organs.in_frame(frame) if organs.names else None, anatomy_from_organs=None)


def signal_in(
    scan: Volume, background: float, scan_from_labels: Transform, labels: Grid, voxel: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the signal that lies in each of some label voxels, in the scan's unit times mm3, shape (n,).

    The scan's voxels are taken as blocks, as occupancy takes them; a label voxel is looked up at several points of it.
    """
    finest = float(scan.grid.spacing_mm.min())
    counts = np.clip(np.ceil(8 * labels.spacing_mm / finest).astype(int), 1, 4)
    steps = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    index = np.stack(np.unravel_index(voxel, labels.shape), axis=-1)
    values = np.where(np.isfinite(scan.voxels), scan.voxels, background).astype(np.float64).reshape(-1) - background
    total = np.zeros(len(voxel))
    for offset in offsets:
        there = np.rint(scan.grid.index_from(scan_from_labels.map(labels.lps_from(index + offset)))).astype(int)
        is_inside = ((there >= 0) & (there < scan.grid.shape)).all(axis=1)
        total[is_inside] += values[np.ravel_multi_index(tuple(there[is_inside].T), scan.grid.shape)]
    size = abs(np.linalg.det(scan_from_labels.target_from_source[:3, :3])) * labels.voxel_volume_mm3
    return np.asarray(total * size / len(offsets))
