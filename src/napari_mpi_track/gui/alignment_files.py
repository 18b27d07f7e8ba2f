"""Alignments and points from and to files, layers and studies, as the panel *Align* asks for them."""

from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi_track.errors import AlignmentError, TableError
from napari_mpi_track.gui.alignment_draft import AlignmentDraft, Side
from napari_mpi_track.gui.alignment_scans import ALIGNED_KEY, DayOfStudy, in_mm
from napari_mpi_track.gui.layers import (
    LayerTuple,
    organ_layer_onto,
    organs_from_layer,
    points_from_layer,
    points_layer,
    scan_from_layer,
    scan_layer_onto,
)
from napari_mpi_track.gui.study_lines import with_day, write_day_lines
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.alignment_files import save_alignment
from napari_mpi_track.writers.points import write_points

_KEYS = {"MPI": "alignment", "PET": "pet_alignment"}


def save_points(draft: AlignmentDraft, side: Side, path: str | Path) -> None:
    """Write the points of one scan as CSV or 3D Slicer's markups, in place of a file of that name."""
    placed = [(pair.name, pair.on(side)) for pair in draft.pairs if pair.on(side) is not None]
    if not placed:
        raise TableError(f"there is no point in the {side} scan to save", remedy="place points first")
    write_points(Points([name for name, _ in placed], [place for _, place in placed]), path, overwrite=True)  # type: ignore[arg-type]


def aligned_layer(scan: Volume, name: str, moving_from_fixed: Transform, fixed: Volume) -> LayerTuple:
    """Return the layer of the moving scan resampled on the fixed scan's grid, for looking."""
    return _marked(scan_layer_onto(scan, moving_from_fixed, fixed.grid, f"{name} (aligned)"))


def held_by(layer: Any) -> LayerTuple:
    """Return what a layer holds now, to be worked on off the window's thread: painting goes on meanwhile."""
    content, settings, kind = in_mm(layer)
    return content if kind == "image" else np.array(content), settings, kind


def brought_layer(layer: LayerTuple, moving_from_fixed: Transform, onto: Volume, side: Side) -> LayerTuple:
    """Return a new layer with what another one holds, brought onto the scan ``onto``, which is the ``side`` scan.

    Scans and labels are resampled on its grid, points are moved.

    Raises
    ------
    AlignmentError
        If the transform has no way back and one is needed.
    """
    content, settings, kind = layer
    name = f"{settings['name']} (aligned)"
    here = onto.grid
    if kind == "points":
        points = points_from_layer(content, settings)
        way = moving_from_fixed.map_back if side == "fixed" else moving_from_fixed.map
        return _marked(points_layer(Points(points.names, way(points.positions_mm), here.frame), name))
    source_from_onto = moving_from_fixed if side == "fixed" else moving_from_fixed.inverse()
    if kind == "labels":
        organs = organs_from_layer(content, settings)
        return _marked(organ_layer_onto(organs, source_from_onto.between(here.frame, organs.grid.frame), here, name))
    scan = scan_from_layer(content, settings)
    return _marked(scan_layer_onto(scan, source_from_onto.between(here.frame, scan.grid.frame), here, name))


def accept_in_study(day: DayOfStudy, alignment: Alignment) -> tuple[Study, Path]:
    """Return the study with this alignment for its day, and the file beside the study it was written to.

    A file of another alignment that is there already is left alone: undo leads back to it.
    """
    name = f"{day.subject.id}_day{day.timepoint.day:g}_{day.what}_to_anatomy".replace(" ", "-")
    folder = day.study.file.parent / "transforms"
    try:
        folder.mkdir(exist_ok=True)
        path = next(p for n in range(1, 1000) if not (p := folder / f"{name}{'' if n == 1 else f'_{n}'}.tfm").exists())
        save_alignment(alignment, path)
    except OSError as error:
        raise AlignmentError(
            f"the transform cannot be written beside the study: {error.strerror or error}",
            file=folder,
            remedy="copy the study to a folder that can be written to",
        ) from None
    return _using(day.study, day, path), path


def _using(study: Study, day: DayOfStudy, path: Path) -> Study:
    """Return a study in which that day's scan is aligned by the transform of ``path``."""
    return with_day(study, day.subject.id, day.timepoint.day, **{_KEYS[day.what]: str(path)})


def line_for_study(day: DayOfStudy, path: Path) -> str:
    """Return the line that keeps an accepted alignment in the study's file: "alignment: transforms/..."."""
    return f"{_KEYS[day.what]}: {path.relative_to(day.study.file.parent).as_posix()}"


def write_in_study_file(day: DayOfStudy, path: Path) -> None:
    """Write the line of an accepted alignment into the study's file, all other lines as they are.

    Raises
    ------
    StudyFileError
        If that day is written so that a line cannot be put in, or the file has changed since.
    """
    file, key = day.study.file, _KEYS[day.what]
    value = line_for_study(day, path).removeprefix(f"{key}: ")
    write_day_lines(file, day.subject.id, day.timepoint.day, {key: value}, lambda study: _using(study, day, path))


def _marked(layer: LayerTuple) -> LayerTuple:
    content, settings, kind = layer
    return content, {**settings, "metadata": {**settings["metadata"], ALIGNED_KEY: True}}, kind
