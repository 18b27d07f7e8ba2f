"""The rows of a timepoint's dynamic scan, measured with the organs of its day."""

from dataclasses import replace

from napari_mpi_track.errors import GridMismatchError
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.dynamic import dynamic_scan, measure_dynamic
from napari_mpi_track.longitudinal.measurement import DynamicRow, ScanRows
from napari_mpi_track.longitudinal.scene import Scene, frame_of
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.quantification.saturation import load_saturation
from napari_mpi_track.readers.scans import read_scans


def dynamic_rows(study: Study, subject: Subject, timepoint: Timepoint, scene: Scene) -> ScanRows:
    """Return the time-signal curves of a timepoint, ``dynamic`` of its rows; none where it has no dynamic scan.

    The scan lies in the frame of the day's MPI, made in one session with it; without one in that of the anatomy;
    without either its organs are drawn on it.

    Raises
    ------
    MpiTrackError
        If it cannot be read or measured.
    """
    given = timepoint.dynamic
    if given is None:
        return ScanRows()
    volumes = read_scans(
        given.path,
        modality=given.modality or Modality.MPI,
        unit=given.unit,
        spacing_mm=given.spacing_mm,
    )
    # A receiver's curve is of MPI.
    curve = None if study.saturation is None or volumes[0].modality is not Modality.MPI else study.saturation
    scan = dynamic_scan(volumes, given.series, None if curve is None else load_saturation(curve))
    first = scan.frames[0]
    is_with_mpi = scene.mpi is not None and first.modality is Modality.MPI
    frame = frame_of(subject, timepoint, "anatomy")
    if is_with_mpi and scene.mpi is not None:
        frame = scene.mpi.grid.frame or frame
    elif scene.anatomy is None and scene.organs is not None and not scene.organs.grid.is_part_of(first.grid):
        raise GridMismatchError(
            "the organs were not drawn on this dynamic scan, and the day has neither an MPI nor an anatomy",
            file=first.file,
            remedy="draw them on it, or give the day's anatomy and MPI",
        )
    placed = replace(scan, frames=tuple(one.in_frame(frame) for one in scan.frames))
    rows, warnings = measure_dynamic(
        DynamicRow(subject.id, subject.group, timepoint.day, str(first.modality)),
        placed,
        scene.organs,
        scene.mpi_from_organs if is_with_mpi else scene.anatomy_from_organs,
        anatomy=scene.anatomy,
        scan_from_anatomy=scene.mpi_from_anatomy if is_with_mpi else None,
        point_spread=_point_spread(study, first.modality),
        background=study.background if first.modality is Modality.MPI else 0.0,
        merge=study.merge,
        with_margin=study.with_margin,
    )
    where = (
        "the MPI's frame" if is_with_mpi else "the anatomy's frame" if scene.anatomy is not None else "its own frame"
    )
    note = f"dynamic {first.modality}: {len(scan.frames)} frames over {scan.time_s[-1]:g} s, taken to lie in {where}"
    return ScanRows(
        warnings=tuple(f"dynamic {first.modality}: {text}" for text in warnings), notes=(note,), dynamic=tuple(rows)
    )


def _point_spread(study: Study, modality: Modality | None) -> PointSpread | None:
    if not study.spill_over:
        return None
    return study.psf if modality is Modality.MPI else study.pet_psf
