"""Calibrations from and to files and studies, as the panel *Calibrate* asks for them."""

from pathlib import Path

from napari_mpi_track.errors import CalibrationError, OutputExistsError
from napari_mpi_track.gui.calibration_draft import Draft, draft_of, fitted
from napari_mpi_track.longitudinal.conditions import study_calibration
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.quantification.calibration import Calibration, load_calibration, save_calibration
from napari_mpi_track.report.calibration_figures import calibration_figure
from napari_mpi_track.report.figures import figure_bytes
from napari_mpi_track.writers.whole import whole_file

_COUNTED = {"cells": "cells", "iron_ng": "iron"}


def draft_of_file(path: str | Path) -> Draft:
    """Return the samples of a saved curve and what is said of them."""
    return draft_of(load_calibration(path), Path(path).name)


def draft_of_study(study: Study) -> Draft:
    """Return the samples of the calibration that a study names, and what is said of them."""
    calibration = study_calibration(study)
    if calibration is None:
        raise CalibrationError(f"the study {study.name} names no calibration", remedy="paste or open a table")
    return draft_of(calibration, f"the study {study.name}")


def curve_beside(draft: Draft, path: str | Path) -> tuple[str, Calibration]:
    """Return a saved curve with its file's name, to be drawn beside a draft.

    Raises
    ------
    CalibrationError
        If the two count different things.
    """
    other = load_calibration(path)
    mine = draft.settings.x_quantity
    if other.x_quantity != mine:
        raise CalibrationError(
            f"that curve counts {_COUNTED[other.x_quantity]} and this one {_COUNTED[mine]}",
            file=path,
            remedy="compare curves against the same amount",
        )
    return Path(path).name, other


def save_draft(draft: Draft, path: str | Path) -> None:
    """Write the curve through a draft: JSON, or a picture where the name ends in .png or .svg; replaces the file.

    Raises
    ------
    CalibrationError
        Without a curve there is nothing to write.
    OutputExistsError
        If the file cannot be written there.
    """
    path = Path(path)
    fit = fitted(draft)
    if fit.calibration is None:
        raise CalibrationError("there is no curve to save", remedy="complete the table first")
    try:
        if path.suffix.lower() == ".json":
            save_calibration(fit.calibration, path, overwrite=True)
            return
        kind = path.suffix.lower()
        if kind not in (".png", ".svg"):
            raise CalibrationError("a picture is PNG or SVG", file=path, remedy="let its name end in .png or .svg")
        drawn = figure_bytes(calibration_figure(fit.calibration), "svg" if kind == ".svg" else "png")
        with whole_file(path, overwrite=True) as temporary:
            temporary.write_bytes(drawn)
    except OSError as error:
        if isinstance(error, OutputExistsError):
            raise
        raise OutputExistsError(
            f"the file cannot be written: {error.strerror or error}", file=path, remedy="choose another folder"
        ) from None
