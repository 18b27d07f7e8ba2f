"""Several animals in one MPI scan: what the others hold of it, each by its own organs and its own alignment."""

from collections.abc import Callable
from dataclasses import replace

from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.longitudinal.scan_parts import Neighbour
from napari_mpi_track.longitudinal.scene import Scene, set_scene
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.registration.alignment import Alignment


def sharing_scan(study: Study, subject: Subject, timepoint: Timepoint) -> list[tuple[Subject, Timepoint]]:
    """Return the other subjects' timepoints that name the same MPI, file and series, as this one."""
    if timepoint.mpi is None:
        return []
    here = timepoint.mpi.path.resolve(), timepoint.mpi.series
    return [
        (other, theirs)
        for other in study.subjects
        if other.id != subject.id
        for theirs in other.timepoints
        if theirs.mpi is not None and (theirs.mpi.path.resolve(), theirs.mpi.series) == here
    ]


def with_neighbours(
    study: Study,
    subject: Subject,
    timepoint: Timepoint,
    scene: Scene,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> Scene:
    """Return the scene with the other animals of its MPI, each with its organs where they lie in the scan.

    One that cannot be read or aligned is left out and named in the warnings: what it sheds over this animal's organs
    is then not known.
    """
    found: list[Neighbour] = []
    warnings: list[str] = []
    for other, theirs in sharing_scan(study, subject, timepoint):
        if scene.mpi is None or scene.mpi.grid.frame is None:
            break
        try:
            # Their PET and light are their own matter.
            alone = replace(theirs, pet=None, fluorine=None, bli=None, bli_organs=None)
            animal = replace(other, timepoints=tuple(alone if t is theirs else t for t in other.timepoints))
            found.append(_neighbour(other.id, set_scene(study, animal, alone, should_stop=should_stop), scene))
        except MpiTrackError as error:
            warnings.append(f"MPI: {other.id} lies in the same scan, and its spill-over is not counted: {error}")
    return replace(scene, neighbours=tuple(found), warnings=(*scene.warnings, *warnings))


def _neighbour(name: str, theirs: Scene, here: Scene) -> Neighbour:
    """Return another animal's scene as seen from this one, whose MPI is the same under another frame's name."""
    assert here.mpi is not None
    frame = here.mpi.grid.frame
    assert frame is not None
    organs, markers, anatomy = theirs.organs, theirs.mpi_fiducials, theirs.anatomy
    return Neighbour(
        name,
        organs,
        None if organs is None else _ending_in(theirs.mpi_from_organs, organs.grid.frame, frame),
        None if markers is None else markers.in_frame(frame),
        anatomy,
        None if anatomy is None else _ending_in(theirs.mpi_from_anatomy, anatomy.grid.frame, frame),
    )


def _ending_in(way: Alignment | None, source: str | None, frame: str) -> Alignment:
    """Return a way into the same scan under the name it goes by here; drawn on the scan itself, it is the identity."""
    if way is None:
        return Alignment(Transform.identity(source, frame), "frame")
    return replace(way, moving_from_fixed=way.moving_from_fixed.between(way.moving_from_fixed.source_frame, frame))
