"""Follow labelled cells by magnetic particle imaging: from scans to apparent cells per organ per day.

The public names load on first use, so that importing the package costs nothing and needs neither napari nor Qt.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mpi_track.errors import MpiTrackError
    from napari_mpi_track.imaging.grid import Grid
    from napari_mpi_track.imaging.labels import OrganLabels
    from napari_mpi_track.imaging.noise import estimate_noise
    from napari_mpi_track.imaging.point_spread import PointSpread
    from napari_mpi_track.imaging.points import Points
    from napari_mpi_track.imaging.transform import Transform
    from napari_mpi_track.imaging.volume import Modality, Volume
    from napari_mpi_track.longitudinal.analysis import analyse_study
    from napari_mpi_track.longitudinal.decay import fit_decay as fit_retention
    from napari_mpi_track.longitudinal.single_scan import quantify_scan
    from napari_mpi_track.longitudinal.study import Study
    from napari_mpi_track.longitudinal.study_file import load_study
    from napari_mpi_track.longitudinal.study_writing import save_study
    from napari_mpi_track.quantification.calibration import Calibration, fit_calibration
    from napari_mpi_track.quantification.cell_number import count_cells
    from napari_mpi_track.quantification.estimate import Estimate
    from napari_mpi_track.quantification.occupancy import measure_occupancy
    from napari_mpi_track.quantification.organ_signal import measure_organs
    from napari_mpi_track.quantification.organ_statistics import organ_statistics
    from napari_mpi_track.readers.organs import read_organs
    from napari_mpi_track.readers.points import read_points
    from napari_mpi_track.readers.scans import read_scans
    from napari_mpi_track.registration.align import align
    from napari_mpi_track.registration.alignment import Alignment
    from napari_mpi_track.registration.resample import resample
    from napari_mpi_track.report.run import run_study
    from napari_mpi_track.segmentation.components import connected_organs
    from napari_mpi_track.segmentation.signal_rules import find_signal, segment
    from napari_mpi_track.simulation.studies import simulate_study
    from napari_mpi_track.writers.scans import write_volume

__version__ = "0.1.0"

# Public name -> where it lives; a name that is called otherwise there is given with a colon.
_HOME = {
    "MpiTrackError": "errors",
    "Grid": "imaging.grid",
    "Volume": "imaging.volume",
    "Modality": "imaging.volume",
    "OrganLabels": "imaging.labels",
    "Points": "imaging.points",
    "Transform": "imaging.transform",
    "PointSpread": "imaging.point_spread",
    "estimate_noise": "imaging.noise",
    "read_scans": "readers.scans",
    "read_organs": "readers.organs",
    "read_points": "readers.points",
    "write_volume": "writers.scans",
    "align": "registration.align",
    "Alignment": "registration.alignment",
    "resample": "registration.resample",
    "find_signal": "segmentation.signal_rules",
    "connected_organs": "segmentation.components",
    "segment": "segmentation.signal_rules",
    "Estimate": "quantification.estimate",
    "measure_occupancy": "quantification.occupancy",
    "measure_organs": "quantification.organ_signal",
    "organ_statistics": "quantification.organ_statistics",
    "fit_calibration": "quantification.calibration",
    "Calibration": "quantification.calibration",
    "count_cells": "quantification.cell_number",
    "Study": "longitudinal.study",
    "load_study": "longitudinal.study_file",
    "save_study": "longitudinal.study_writing",
    "analyse_study": "longitudinal.analysis",
    "quantify_scan": "longitudinal.single_scan",
    "fit_retention": "longitudinal.decay:fit_decay",
    "run_study": "report.run",
    "simulate_study": "simulation.studies",
}

__all__ = [
    "Alignment",
    "Calibration",
    "Estimate",
    "Grid",
    "Modality",
    "MpiTrackError",
    "OrganLabels",
    "PointSpread",
    "Points",
    "Study",
    "Transform",
    "Volume",
    "align",
    "analyse_study",
    "connected_organs",
    "count_cells",
    "estimate_noise",
    "find_signal",
    "fit_calibration",
    "fit_retention",
    "load_study",
    "measure_occupancy",
    "measure_organs",
    "organ_statistics",
    "quantify_scan",
    "read_organs",
    "read_points",
    "read_scans",
    "resample",
    "run_study",
    "save_study",
    "segment",
    "simulate_study",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute or name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
