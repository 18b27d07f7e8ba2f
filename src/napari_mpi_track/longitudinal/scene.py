"""One timepoint's scans and organs, each in a named frame, with the alignments that join them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from napari_mpi_track.errors import AlignmentError, GridMismatchError, UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.day_organs import (
    approvals_told,
    carried_back,
    carried_onto,
    read_day_organs,
    with_edits,
)
from napari_mpi_track.longitudinal.measurement import AlignmentRow
from napari_mpi_track.longitudinal.scan_parts import Neighbour
from napari_mpi_track.longitudinal.study import ScanFile, Study, Subject, Timepoint
from napari_mpi_track.quantification.saturation import load_saturation
from napari_mpi_track.readers.points import read_points
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Alignment, chain
from napari_mpi_track.registration.alignment_files import load_alignment
from napari_mpi_track.registration.saved import as_bed, checked_by_markers, for_session

_METHODS = ("frame", "fiducials", "intensity", "moments")

Progress = Callable[[float, str], None]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What was scanned of one subject on one day, and how it fits together.

    Attributes
    ----------
    mpi, anatomy, pet
        The scans, each on its own grid in its own named frame; the MPI linearised where the study says how.
    organs
        The organs that serve this day, on the grid they were drawn on; where they came from another day and were
        corrected or approved here, on this day's anatomy.
    mpi_from_anatomy, anatomy_from_organs, pet_from_anatomy
        The alignments that join them; ``None`` where the two are one frame or one is missing.
    mpi_fiducials
        The markers found or given in the MPI, in its frame.
    rows, saved
        Every alignment as a row and under the name it is saved by.
    warnings
        What is not sure, one sentence each.
    failures
        What was asked for and could not be had, one sentence each.
    compared
        The fixed and the moving scan of every alignment in ``saved``, in its order.
    notes
        Facts to be read beside the numbers: who approved which organs.
    neighbours
        Other animals in the same MPI, see :func:`~.neighbours.with_neighbours`.
    """

    mpi: Volume | None
    anatomy: Volume | None
    pet: Volume | None
    organs: OrganLabels | None
    mpi_from_anatomy: Alignment | None
    anatomy_from_organs: Alignment | None
    pet_from_anatomy: Alignment | None
    mpi_fiducials: Points | None
    rows: tuple[AlignmentRow, ...]
    saved: tuple[tuple[str, Alignment], ...]
    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    compared: tuple[tuple[Volume, Volume], ...] = ()
    notes: tuple[str, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def mpi_from_organs(self) -> Alignment | None:
        """The whole way from the organs to the MPI; ``None`` where they share one frame."""
        return _joined(self.mpi_from_anatomy, self.anatomy_from_organs)

    @property
    def pet_from_organs(self) -> Alignment | None:
        """The whole way from the organs to the PET; ``None`` where they share one frame."""
        return _joined(self.pet_from_anatomy, self.anatomy_from_organs)


def _joined(outer: Alignment | None, inner: Alignment | None) -> Alignment | None:
    if outer is None or inner is None:
        return outer or inner
    return chain(outer, inner)


def frame_of(subject: Subject, timepoint: Timepoint, what: str) -> str:
    """Return the name of the frame of one scan ("mpi", "anatomy", "pet") of one timepoint."""
    return f"{subject.id} day {timepoint.day:g} {what}"


def set_scene(
    study: Study,
    subject: Subject,
    timepoint: Timepoint,
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Scene:
    """Return the scans and organs of one timepoint, read and aligned.

    Raises
    ------
    MpiTrackError
        If a scan cannot be read or an alignment fails; a PET that fails alone is left out with a warning.
    """
    tell = progress or (lambda _fraction, _text: None)
    return _SceneSetter(study, subject, timepoint, tell, should_stop).scene()


def _require_drawn_on(organs: OrganLabels, scan: Volume | None) -> None:
    """Refuse organs that were not drawn on the scan they are taken to lie in: a cut-out of its grid is fine."""
    if scan is None or organs.grid.is_part_of(scan.grid):
        return
    raise GridMismatchError(
        f"the organs lie on another grid ({_size(organs.grid)}) than the scan they were drawn on ({_size(scan.grid)})",
        file=organs.file,
        remedy=f"draw them on {scan.name or 'that scan'}, or resample them onto it (mpi-track apply --labels)",
    )


def _size(grid: Grid) -> str:
    shape, spacing = (" x ".join(f"{n:.4g}" for n in numbers) for numbers in (grid.shape, grid.spacing_mm))
    return f"{shape} voxels of {spacing} mm"


class _SceneSetter:
    """Gathers rows, alignments and warnings on the way; lives for one timepoint."""

    def __init__(
        self, study: Study, subject: Subject, timepoint: Timepoint, progress: Progress, should_stop: ShouldStop | None
    ) -> None:
        self.study = study
        self.subject = subject
        self.timepoint = timepoint
        self.progress = progress
        self.should_stop = should_stop
        self.rows: list[AlignmentRow] = []
        self.saved: list[tuple[str, Alignment]] = []
        self.compared: list[tuple[Volume, Volume]] = []
        self.mpi: Volume | None = None
        # What the files themselves call the frames that are named by subject, day and scan here.
        self.file_frames: dict[str | None, str | None] = {}
        self.warnings: list[str] = []
        self.failures: list[str] = []
        self.notes: list[str] = []

    def scene(self) -> Scene:
        self.progress(0.0, "reading scans")
        anatomy = self._read(self.timepoint.anatomy, "anatomy", None)
        mpi = self._read(self.timepoint.mpi, "mpi" if anatomy is not None else "anatomy", Modality.MPI)
        if mpi is not None and self.study.saturation is not None:
            mpi = load_saturation(self.study.saturation).linearise(mpi)
        self.mpi = mpi
        organs, anatomy_from_organs = self._organs(anatomy)
        mpi_from_anatomy, fiducials = None, None
        if mpi is not None and anatomy is not None:
            self.progress(0.3, "aligning MPI to anatomy")
            mpi_from_anatomy, fiducials = self._align_mpi(anatomy, mpi)
        elif mpi is not None:
            fiducials = self._given_points(self.timepoint.mpi_fiducials, mpi)
        pet, pet_from_anatomy = self._pet(anatomy)
        return Scene(
            mpi,
            anatomy,
            pet,
            organs,
            mpi_from_anatomy,
            anatomy_from_organs,
            pet_from_anatomy,
            fiducials,
            tuple(self.rows),
            tuple(self.saved),
            tuple(self.warnings),
            tuple(self.failures),
            tuple(self.compared),
            tuple(self.notes),
        )

    def _read(
        self, scan: ScanFile | None, what: str, modality: Modality | None, at: Timepoint | None = None
    ) -> Volume | None:
        if scan is None:
            return None
        volume = read_scan(
            scan.path,
            series=scan.series,
            modality=scan.modality or modality,
            unit=scan.unit,
            spacing_mm=scan.spacing_mm,
        )
        if not np.isfinite(volume.voxels).any():
            raise UnreadableScanError("the scan holds no number", file=scan.path, remedy="export it again")
        self.warnings += [f"{scan.path.name}: {warning}" for warning in volume.warnings]
        if scan.is_projection:
            volume = replace(volume, is_projection=True)
        frame = frame_of(self.subject, at or self.timepoint, what)
        self.file_frames[frame] = volume.grid.frame
        return volume.in_frame(frame)

    def _organs(self, anatomy: Volume | None) -> tuple[OrganLabels | None, Alignment | None]:
        """Return the organs that serve this day in their own day's frame, and the way from there to this anatomy."""
        here = self.timepoint
        if not any((here.mpi, here.pet, here.fluorine, here.dynamic)):
            return None, None
        drawn = self.subject.day_with_organs(self.timepoint.day)
        # A baseline is measured with organs of its own or not at all: nothing was followed before injection.
        if drawn is None or drawn.organs is None or (self.timepoint.is_baseline and drawn is not self.timepoint):
            return None, None
        if drawn is self.timepoint:
            organs = self._read_organs(drawn)
            _require_drawn_on(organs, anatomy or self.mpi)
            self._tell_approvals(organs)
            return organs, None
        if anatomy is None or drawn.anatomy is None:
            self.failures.append(
                f"the organs drawn on day {drawn.day:g} cannot be carried to day {self.timepoint.day:g} without an"
                " anatomy on both days: only the whole scan is measured"
            )
            return None, None
        self.progress(0.1, f"aligning anatomy of day {drawn.day:g} to day {self.timepoint.day:g}")
        drawn_anatomy = self._read(drawn.anatomy, "anatomy", None, drawn)
        assert drawn_anatomy is not None
        organs = self._read_organs(drawn)
        _require_drawn_on(organs, drawn_anatomy)
        alignment = align(
            drawn_anatomy,
            anatomy,
            method="intensity",
            model=self.study.between_days,
            should_stop=self.should_stop,
            progress=self._part(0.1, 0.3),
        )
        self._record(alignment, "anatomy", f"anatomy of day {drawn.day:g}", (drawn_anatomy, anatomy))
        if self.timepoint.organ_edits is not None or self.timepoint.approved:
            carried = carried_onto(organs, alignment.moving_from_fixed, anatomy.grid)
            corrected = with_edits(carried, self.timepoint.organ_edits)
            self._tell_approvals(corrected)
            organs = carried_back(organs, alignment.moving_from_fixed, carried, corrected)
        return organs, alignment

    def _read_organs(self, drawn: Timepoint) -> OrganLabels:
        frame = frame_of(self.subject, drawn, "anatomy")
        organs = read_day_organs(self.study, drawn, frame, self.file_frames.get(frame))
        self.warnings += [f"{Path(organs.file or '').name}: {warning}" for warning in organs.warnings]
        return organs

    def _tell_approvals(self, organs: OrganLabels) -> None:
        warnings, notes = approvals_told(self.timepoint, organs)
        self.warnings += warnings
        self.notes += notes

    def _align_mpi(self, anatomy: Volume, mpi: Volume) -> tuple[Alignment, Points | None]:
        method = self.timepoint.alignment or self.study.alignment
        points = (
            self._given_points(self.timepoint.anatomy_fiducials, anatomy),
            self._given_points(self.timepoint.mpi_fiducials, mpi),
        )
        if method not in _METHODS:
            alignment, own = checked_by_markers(self._given(Path(method), anatomy, mpi), anatomy, mpi, *points)
        else:
            alignment = align(
                anatomy,
                mpi,
                method=method,
                fixed_points=points[0],
                moving_points=points[1],
                should_stop=self.should_stop,
                progress=self._part(0.3, 0.5),
            )
            own = None if alignment.fiducials is None else alignment.fiducials.moving
        self._record(alignment, "MPI", "anatomy", (anatomy, mpi))
        return alignment, points[1] if own is None else own

    def _given(self, path: Path, fixed: Volume, moving: Volume) -> Alignment:
        """Return a saved alignment for these scans: one that the whole study names is a bed's."""
        scanned_at = self._scanned_at(moving)
        alignment = for_session(
            load_alignment(path),
            path.name,
            fixed_frame=self.file_frames.get(fixed.grid.frame),
            moving_frame=self.file_frames.get(moving.grid.frame),
            scanned_at=scanned_at,
        )
        if self.timepoint.alignment is None and alignment.method.startswith("saved ("):
            alignment = as_bed(load_alignment(path), path.name, scanned_at)
        transform = alignment.moving_from_fixed.between(fixed.grid.frame, moving.grid.frame)
        return replace(alignment, moving_from_fixed=transform)

    def _scanned_at(self, scan: Volume) -> datetime | None:
        """Return when a scan of this timepoint was made, as the study says it, or else the file."""
        known = self.timepoint.time or scan.acquired_at
        injected_at = self.subject.injection.time
        if known is None and injected_at is not None:
            return injected_at + timedelta(days=self.timepoint.day)
        return known

    def _given_points(self, path: Path | None, scan: Volume) -> Points | None:
        return None if path is None else read_points(path).in_frame(scan.grid.frame)

    def _pet(self, anatomy: Volume | None) -> tuple[Volume | None, Alignment | None]:
        """Return the PET and its way from the anatomy; a PET that cannot be had costs the MPI nothing."""
        method = self.timepoint.pet_alignment or "frame"
        try:
            pet = self._read(self.timepoint.pet, "anatomy" if anatomy is None else "pet", Modality.PET)
            if pet is None or anatomy is None:
                return pet, None
            if method in _METHODS:
                alignment = align(anatomy, pet, method=method, should_stop=self.should_stop)
            else:
                alignment = self._given(Path(method), anatomy, pet)
        except (AlignmentError, UnreadableScanError) as error:
            self.failures.append(f"PET: {error}")
            return None, None
        self._record(alignment, "PET", "anatomy", (anatomy, pet))
        return pet, alignment

    def _record(self, alignment: Alignment, moving: str, fixed: str, scans: tuple[Volume, Volume]) -> None:
        name = f"{self.subject.id}_day{self.timepoint.day:g}_{moving}_to_{fixed}".replace(" ", "-")
        self.saved.append((name, alignment))
        self.compared.append(scans)
        self.warnings += [f"{moving} to {fixed}: {warning}" for warning in alignment.warnings]
        self.rows.append(
            AlignmentRow(
                self.subject.id,
                self.timepoint.day,
                moving,
                fixed,
                alignment.method,
                alignment.model,
                str(alignment.verdict),
                alignment.reason,
                None if alignment.fiducials is None else alignment.fiducials.rms_mm,
                alignment.expected_target_error_mm,
                None if alignment.images is None else alignment.images.after,
                f"transforms/{name}.tfm",
            )
        )

    def _part(self, start: float, end: float) -> Progress:
        return lambda fraction, text: self.progress(start + (end - start) * fraction, text)
