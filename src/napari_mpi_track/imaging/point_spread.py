"""A scanner's blur."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.grid import Grid


class PsfShape(StrEnum):
    """Profile of a point source along one axis."""

    GAUSSIAN = "gaussian"
    LORENTZIAN = "lorentzian"


@dataclass(frozen=True, slots=True, eq=False)
class PointSpread:
    """A separable point spread along the axes of the acquired grid, normalised on infinite support.

    Attributes
    ----------
    shape
        Gaussian or Lorentzian along every axis.
    fwhm_mm
        Full width at half maximum along plane, row and column, in mm, shape (3,); 0 is no blur along that axis.
    fwhm_relative_sd
        Relative standard error of the widths, dimensionless (0.05 is 5 %), where it is known.

    Notes
    -----
    A radial Lorentzian has no finite integral in 2-D or 3-D; the separable one does, with heavy tails: at a
    FWHM of 3 mm, 26 % of a point's signal lies outside +-10 mm.
    """

    shape: PsfShape
    fwhm_mm: NDArray[np.float64]
    fwhm_relative_sd: float = 0.0

    def __post_init__(self) -> None:
        widths = np.broadcast_to(np.asarray(self.fwhm_mm, dtype=np.float64), 3)
        if not np.all(np.isfinite(widths)) or np.any(widths < 0):
            raise MeasurementError(f"a point spread needs widths of 0 mm or more, got {self.fwhm_mm}")
        object.__setattr__(self, "shape", PsfShape(self.shape))
        object.__setattr__(self, "fwhm_mm", frozen(widths.copy()))

    __getstate__ = get_state
    __setstate__ = set_state

    def widened(self, factor: float) -> "PointSpread":
        """Return the same point spread with every width multiplied by ``factor``."""
        return PointSpread(self.shape, self.fwhm_mm * factor, self.fwhm_relative_sd)

    def blur(self, source: NDArray[Any], grid: Grid) -> NDArray[np.float64]:
        """Return ``source`` (shape as ``grid.shape``) as the scanner would show it; what leaves the field is lost."""
        blurred = np.asarray(source, dtype=np.float64)
        for axis, (count, spacing, fwhm) in enumerate(zip(grid.shape, grid.spacing_mm, self.fwhm_mm, strict=True)):
            if fwhm > 0 and count > 1:
                kernel = self._kernel(count, float(spacing), float(fwhm))
                product = np.asarray(np.tensordot(kernel, blurred, axes=(1, axis)), dtype=np.float64)
                blurred = np.moveaxis(product, 0, axis)
        return blurred

    def _kernel(self, count: int, spacing: float, fwhm: float) -> NDArray[np.float64]:
        """Return the (count, count) matrix of what each voxel receives of each voxel's signal."""
        distance = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) * spacing
        if fwhm >= 1.5 * spacing:
            # A voxel of occupancy already is a mean over its volume: integrating the kernel over the voxel
            # again would blur twice.
            return self.density(distance, fwhm) * spacing / self._lattice_sum(spacing, fwhm)
        half = spacing / 2
        return self.cumulative(distance + half, fwhm) - self.cumulative(distance - half, fwhm)

    def _lattice_sum(self, spacing: float, fwhm: float) -> float:
        """Return the sum of the sampled line profile over all voxels of an endless line, times the spacing."""
        if self.shape is PsfShape.LORENTZIAN:
            # Both by Poisson summation; here 0.4 % above 1 where the width is two voxels, 1.1 % over three axes.
            return float(1 / np.tanh(np.pi * fwhm / (2 * spacing)))
        sd = fwhm / np.sqrt(8 * np.log(2)) / spacing
        return float(1 + 2 * np.exp(-2 * (np.pi * sd) ** 2) + 2 * np.exp(-8 * (np.pi * sd) ** 2))

    def density(self, x_mm: NDArray[np.float64], fwhm_mm: float) -> NDArray[np.float64]:
        """Return the line profile at ``x_mm``, per mm, for one axis of width ``fwhm_mm``."""
        if self.shape is PsfShape.LORENTZIAN:
            half = fwhm_mm / 2
            return np.asarray(half / np.pi / (x_mm**2 + half**2))
        sd = fwhm_mm / np.sqrt(8 * np.log(2))
        return np.asarray(np.exp(-0.5 * (x_mm / sd) ** 2) / (sd * np.sqrt(2 * np.pi)))

    def cumulative(self, x_mm: NDArray[np.float64], fwhm_mm: float) -> NDArray[np.float64]:
        """Return the part of the line profile below ``x_mm``, dimensionless."""
        if self.shape is PsfShape.LORENTZIAN:
            return np.asarray(0.5 + np.arctan(2 * x_mm / fwhm_mm) / np.pi)
        from scipy.special import ndtr

        return np.asarray(ndtr(x_mm * np.sqrt(8 * np.log(2)) / fwhm_mm))
