"""Follow labelled cells by magnetic particle imaging: from scans to apparent cells per organ per day.

The public names load on first use, so that importing the package costs nothing and needs neither napari nor Qt.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mpi_track.errors import MpiTrackError
    from napari_mpi_track.imaging.grid import Grid
    from napari_mpi_track.imaging.labels import OrganLabels
    from napari_mpi_track.imaging.points import Points
    from napari_mpi_track.imaging.transform import Transform
    from napari_mpi_track.imaging.volume import Modality, Volume

__version__ = "0.1.0"

_HOME = {
    "MpiTrackError": "errors",
    "Grid": "imaging.grid",
    "Volume": "imaging.volume",
    "Modality": "imaging.volume",
    "OrganLabels": "imaging.labels",
    "Points": "imaging.points",
    "Transform": "imaging.transform",
}

__all__ = ["Grid", "Modality", "MpiTrackError", "OrganLabels", "Points", "Transform", "Volume"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
