"""What a user says of a scan because its file does not."""

from dataclasses import dataclass, replace

import numpy as np

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.volume import Modality, Volume


@dataclass(frozen=True, slots=True)
class Declared:
    """The user's word on a scan; ``None`` leaves it to the file.

    Attributes
    ----------
    modality
        How the image was made.
    unit
        Unit of the voxels.
    spacing_mm
        Distance of voxel centres along (plane, row, column), or (row, column) of a flat image whose thickness
        is unknown; mm, positive.
    """

    modality: Modality | None = None
    unit: str | None = None
    spacing_mm: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.spacing_mm is None:
            return
        spacing = tuple(float(value) for value in self.spacing_mm)
        if len(spacing) not in (2, 3) or not all(np.isfinite(value) and value > 0 for value in spacing):
            raise UnreadableScanError(
                f"a spacing needs three positive lengths in mm, got {self.spacing_mm}",
                remedy="give --spacing-mm plane,row,column",
            )
        object.__setattr__(self, "spacing_mm", spacing)


def declare(volume: Volume, declared: Declared) -> Volume:
    """Return ``volume`` with the user's word in place of the file's; where they differ in spacing, a warning."""
    if declared.modality is not None:
        volume = replace(volume, modality=declared.modality)
    if declared.unit is not None:
        volume = replace(volume, unit=declared.unit)
    if declared.spacing_mm is None:
        return volume
    return _respaced(volume, declared.spacing_mm)


def _respaced(volume: Volume, spacing_mm: tuple[float, ...]) -> Volume:
    stated = volume.grid.spacing_mm
    asked = np.array([stated[0], *spacing_mm] if len(spacing_mm) == 2 else spacing_mm)
    knows_thickness = volume.has_thickness or len(spacing_mm) == 3
    compared = slice(0, 3) if volume.has_thickness else slice(1, 3)
    if np.allclose(asked[compared], stated[compared], rtol=1e-4) and knows_thickness == volume.has_thickness:
        return volume
    matrix = volume.grid.lps_from_index.copy()
    matrix[:3, :3] = volume.grid.directions * asked
    warnings = volume.warnings
    if not np.allclose(asked[compared], stated[compared], rtol=1e-4):
        said = " x ".join(f"{value:.6g}" for value in stated)
        warnings = (*warnings, f"the spacing given by the user replaces the file's {said} mm (plane x row x column)")
    grid = replace(volume.grid, lps_from_index=matrix)
    return replace(volume, grid=grid, has_thickness=knows_thickness, warnings=warnings)
