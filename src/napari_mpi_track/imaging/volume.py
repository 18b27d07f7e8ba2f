"""One scan: voxels in their own unit, on the grid they were acquired on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

from numpy.typing import NDArray

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid


class Modality(StrEnum):
    """How an image was made."""

    MPI = "MPI"
    MR = "MR"
    CT = "CT"
    PET = "PET"
    SPECT = "SPECT"
    F19 = "19F"
    BLI = "BLI"


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Read-only voxels of one scan with all that is known of it; what is not known is ``None``.

    Attributes
    ----------
    voxels
        Real numbers in ``unit``, shape (planes, rows, columns) as ``grid.shape``.
    grid
        Where the voxels lie.
    modality
        How the image was made.
    unit
        Unit of the voxels as the file says it ("HU", "Bq/mL", "a.u.", "mol/L").
    name
        What a person would call the scan (series description, file name).
    is_projection
        A 2-D projection: one plane whose values are summed along the ray; totals are over mm2.
    has_thickness
        False for a single slice whose thickness is unknown: it has no volume.
    acquired_at
        When the acquisition began.
    time_s
        Start of this frame in seconds after the first of its series, for scans of several frames.
    tracer
        Tracer or radiopharmaceutical, where the file says.
    is_linearised
        Whether receiver saturation has been corrected.
    file, file_format, series
        Where it was read from: path, name of the format, number of the series in that path (from 1).
    metadata
        Further facts the file states, by plain names with their unit ("injected_activity_bq").
    warnings
        What the reader could not be sure of, one sentence each.
    """

    voxels: NDArray[Any]
    grid: Grid
    modality: Modality | None = None
    unit: str | None = None
    name: str = ""
    is_projection: bool = False
    has_thickness: bool = True
    acquired_at: datetime | None = None
    time_s: float | None = None
    tracer: str | None = None
    is_linearised: bool = False
    file: str | None = None
    file_format: str | None = None
    series: int = 1
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        voxels = frozen(self.voxels)
        if voxels.shape != self.grid.shape:
            raise GridMismatchError(f"voxels have shape {voxels.shape}, their grid {self.grid.shape}")
        if voxels.dtype.kind not in "biuf":
            raise MeasurementError(f"voxels must be real numbers, got {voxels.dtype}")
        if self.is_projection and self.grid.shape[0] != 1:
            raise GridMismatchError(f"a projection has one plane, got {self.grid.shape[0]}")
        object.__setattr__(self, "voxels", voxels)
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        object.__setattr__(self, "warnings", tuple(self.warnings))

    __getstate__ = get_state
    __setstate__ = set_state

    @property
    def voxel_measure(self) -> float:
        """What one voxel covers: mm3, or mm2 for a projection.

        Raises
        ------
        MeasurementError
            For a single slice of unknown thickness that is not a projection.
        """
        if self.is_projection:
            return self.grid.pixel_area_mm2
        if not self.has_thickness:
            raise MeasurementError(
                "a single slice of unknown thickness has no volume",
                file=self.file,
                remedy="give its spacing (--spacing-mm plane,row,column), or say that it is a projection",
            )
        return self.grid.voxel_volume_mm3

    def with_voxels(self, voxels: NDArray[Any], **changes: Any) -> Self:
        """Return the same scan with other voxels on the same grid."""
        return replace(self, voxels=voxels, **changes)

    def in_frame(self, frame: str | None) -> Self:
        """Return the same scan, its grid said to lie in ``frame``; voxels are shared."""
        return replace(self, grid=self.grid.in_frame(frame))

    def __repr__(self) -> str:
        return f"Volume({self.name!r}, {self.modality}, {self.voxels.dtype}, unit={self.unit!r}, {self.grid!r})"
