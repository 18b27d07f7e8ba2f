"""napari with the plugin's panels: what `mpi-track open` shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import napari

from napari_mpi_track.errors import MpiTrackError, StudyFileError
from napari_mpi_track.gui.open_files import read_layers
from napari_mpi_track.longitudinal.study_file import load_study

if TYPE_CHECKING:
    from napari.viewer import Viewer

_STUDY_FILES = (".yaml", ".yml")
PLUGIN, STUDY_PANEL = "napari-mpi-track", "Study"


def open_napari(paths: Sequence[Path]) -> None:
    """Show napari with the panel *Study*, and in it a study or scans, until the user closes it.

    Raises
    ------
    MpiTrackError
        If a study or a scan cannot be read: before any window appears.
    """
    show(paths)
    napari.run()


def show(paths: Sequence[Path]) -> "Viewer":
    """Return a viewer with the panel *Study* and what ``paths`` name: one study.yaml, or scans.

    Raises
    ------
    MpiTrackError
        If a path is missing, or a study or scan cannot be read; no window appears then.
    """
    for path in paths:
        if not path.exists():
            raise MpiTrackError("there is no such file", file=path, remedy="check the path")
    studies = [path for path in paths if path.suffix in _STUDY_FILES]
    if len(studies) > 1:
        raise StudyFileError(f"one study at a time can be open, got {len(studies)}", remedy="open the others apart")
    if studies:
        load_study(studies[0])
    layers = [layer for path in paths if path not in studies for layer in read_layers(str(path))]
    viewer = napari.Viewer()
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, STUDY_PANEL)
    for layer in layers:
        viewer._add_layer_from_data(*layer)
    if studies:
        panel.open_study(studies[0])
    return viewer
