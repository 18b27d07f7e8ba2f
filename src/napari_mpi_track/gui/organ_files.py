"""Organs and their numbers to files and into the study, as the panel *Organs* asks for them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.gui.organ_day import MeasuredOrgans, OrganScene
from napari_mpi_track.gui.organ_draft import OrganDraft, drawn
from napari_mpi_track.gui.study_lines import with_day, write_day_lines
from napari_mpi_track.imaging.approval import Approval
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.longitudinal.measurement import Measurement
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.readers.organs import read_organ_names
from napari_mpi_track.report.figures import figure_bytes
from napari_mpi_track.report.organ_figures import spill_figure, waterfall_figure
from napari_mpi_track.report.tables import write_table
from napari_mpi_track.writers.scans import write_volume
from napari_mpi_track.writers.whole import whole_file

_FOLDER = "organs"


@dataclass(frozen=True, slots=True, eq=False)
class UsedOrgans:
    """Organs written beside a study: the study that uses them, the draft as it is now, and the scene with both.

    ``lines`` are the day's keys in the study file that make it use them too; ``None`` for one that goes.
    """

    scene: OrganScene
    draft: OrganDraft
    lines: Mapping[str, str | None]
    changes: Mapping[str, Any]

    @property
    def study(self) -> Study:
        """The study that uses the organs."""
        return self.scene.study

    def in_words(self) -> str:
        """Return which keys of the day its study file lacks: "organ_edits and approved"."""
        return " and ".join(self.lines)


def save_organs(organs: OrganLabels, path: Path) -> None:
    """Write organs as labels with their names (NIfTI, NRRD, MetaImage, DICOM SEG), in place of a file of that name."""
    write_volume(organs, path, overwrite=True)


def save_table(measured: MeasuredOrgans, path: Path) -> None:
    """Write what was measured as CSV, its columns those of measurements.csv."""
    write_table(measured.rows.measurements, Measurement, path, overwrite=True)


def error_picture(measured: MeasuredOrgans, organ: str, width_px: int) -> bytes:
    """Return the terms of one organ's error as a PNG so many pixels wide."""
    rows = [row for row in measured.rows.budget if row.organ == organ]
    figure = waterfall_figure(rows, _signals(measured), measured.unit)
    return figure_bytes(figure, "png", dots_per_inch=max(1, int(width_px / figure.get_figwidth())))


def save_errors(measured: MeasuredOrgans, path: Path) -> None:
    """Write the terms of every organ's error as a picture, its kind by the file's ending."""
    _save_figure(waterfall_figure(measured.rows.budget, _signals(measured), measured.unit), path)


def save_matrix(measured: MeasuredOrgans, path: Path) -> None:
    """Write the matrix of spill-over as a picture, its kind by the file's ending."""
    _save_figure(spill_figure(measured.rows.spill), path)


def _save_figure(figure: Any, path: Path) -> None:
    with whole_file(path, overwrite=True) as temporary:
        temporary.write_bytes(figure_bytes(figure, "svg" if path.suffix.lower() == ".svg" else "png"))


def _signals(measured: MeasuredOrgans) -> dict[str, float]:
    """Return each organ's signal that its errors are of."""
    totals = {row.organ: (row.signal_total_corrected, row.signal_total) for row in measured.rows.measurements}
    shown = {organ: plain if corrected is None else corrected for organ, (corrected, plain) in totals.items()}
    return {organ: signal for organ, signal in shown.items() if signal is not None}


def use_in_study(day: OrganScene, draft: OrganDraft) -> UsedOrgans:
    """Return the study with these organs, which are written beside it: edits as edits, never over an earlier file.

    Raises
    ------
    MeasurementError
        If nothing is drawn, or the folder cannot be written to.
    """
    if not drawn(draft).names:
        raise MeasurementError("no organ has a voxel yet", remedy="draw or find one first")
    folder = day.study.file.parent / _FOLDER
    stem = f"{day.subject.id}_day{day.timepoint.day:g}".replace(" ", "-")
    base, edits = draft.base, draft.edits
    is_kept = draft.is_of_study and all(draft.names.get(n, name) == name for n, name in base.names.items())
    changes: dict[str, Any] = {"organ_edits": None, "approved": _approved(draft)}
    try:
        folder.mkdir(exist_ok=True)
        if not base.names:
            changes["organs"] = _written(_for_study(drawn(draft), {}, day.study), folder, f"{stem}_organs")
        else:
            if not is_kept:
                changes["organs"] = _written(_for_study(base, draft.names, day.study), folder, f"{stem}_organs")
            if edits.voxel.size:
                changes["organ_edits"] = _written(edits.as_labels(), folder, f"{stem}_edits")
    except OSError as error:
        raise MeasurementError(
            f"the organs cannot be written beside the study: {error.strerror or error}",
            file=folder,
            remedy="copy the study to a folder that can be written to",
        ) from None
    study = with_day(day.study, day.subject.id, day.timepoint.day, **changes)
    subject = study.subject(day.subject.id)
    used = replace(
        day, study=study, subject=subject, timepoint=subject.timepoint(day.timepoint.day),
        carried=None if "organs" in changes else day.carried,
    )  # fmt: skip
    kept = draft if "organs" not in changes else replace(draft, is_of_study=True, origin=changes["organs"].name)
    return UsedOrgans(used, kept, _lines(day, changes), changes)


def write_in_study_file(used: UsedOrgans) -> None:
    """Write the lines of used organs into the study's file, all other lines as they are.

    Raises
    ------
    StudyFileError
        If that day is written so that a line cannot be put in, or the file has changed since.
    """
    subject, day = used.scene.subject.id, used.scene.timepoint.day
    write_day_lines(
        used.study.file, subject, day, used.lines, lambda study: with_day(study, subject, day, **used.changes)
    )


def _approved(draft: OrganDraft) -> dict[str, Approval]:
    return {draft.names[label]: approval for label, approval in draft.approved.items()}


def _written(labels: OrganLabels, folder: Path, stem: str) -> Path:
    """Write labels under a name that is free: an earlier file is what undo leads back to."""
    for number in range(1, 1000):
        path = folder / f"{stem}{'' if number == 1 else f'_{number}'}.nii.gz"
        if not path.exists():
            write_volume(labels, path)
            return path
    raise MeasurementError("there are a thousand such files already", file=folder, remedy="move some elsewhere")


def _for_study(organs: OrganLabels, names: Mapping[int, str], study: Study) -> OrganLabels:
    """Return organs under these names, numbered so that the study's table of names calls none of them otherwise."""
    names = {label: names.get(label, name) for label, name in organs.names.items()}
    if study.organ_names is None:
        return organs.renamed(names)
    taken = dict(read_organ_names(study.organ_names).names)
    used = set(taken) | {label for label, name in names.items() if taken.get(label, name) == name}
    voxels, given = np.array(organs.voxels), {}
    for label, name in names.items():
        number = label
        if taken.get(label, name) != name:
            number = next((n for n, other in taken.items() if other == name), 0)
            number = number or next(n for n in range(1, len(used) + 2) if n not in used)
            used.add(number)
        given[label] = number
    voxels = voxels.astype(np.min_scalar_type(max(given.values(), default=0)))
    for label, number in given.items():
        voxels[organs.voxels == label] = number
    return replace(organs, voxels=voxels, names={given[label]: name for label, name in names.items()})


def _lines(day: OrganScene, changes: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the lines that change in the study's file: a path beside it, approvals in one line."""
    lines: dict[str, str | None] = {}
    for key, value in changes.items():
        if value == getattr(day.timepoint, key):
            continue
        if isinstance(value, Path):
            lines[key] = json.dumps(value.relative_to(day.study.file.parent).as_posix())
        elif value:
            said = [f"{json.dumps(organ)}: {_approval(approval)}" for organ, approval in value.items()]
            lines[key] = f"{{{', '.join(said)}}}"
        else:
            lines[key] = None
    return lines


def _approval(approval: Approval) -> str:
    said = {"by": approval.by, "at": approval.at.isoformat(), "sha256": approval.sha256}
    return json.dumps({key: value for key, value in said.items() if value is not None})
