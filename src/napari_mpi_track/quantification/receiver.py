"""What every receiver's curve can do: say the true signal behind a reading, voxel by voxel."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.volume import Volume

# Key of Volume.metadata: the true signal up to which the receiver's curve was measured, in the unit of the voxels.
LINEAR_TO = "linear_to"
# Voxels are kept as float32.
_ROUNDING = 1e-6


class Receiver(ABC):
    """A monotone curve from true signals to a receiver's readings, both in the unit of the voxels."""

    __slots__ = ()

    valid_to: float | None

    @property
    @abstractmethod
    def model(self) -> str:
        """The name of the formula."""

    @abstractmethod
    def measured(self, true_signal: ArrayLike) -> NDArray[np.float64]:
        """Return what the receiver reads for a true signal; readings below zero (noise) are left as they are."""

    @abstractmethod
    def true(self, measured_signal: ArrayLike) -> NDArray[np.float64]:
        """Return the true signal behind a reading: the inverse of :meth:`measured`."""

    def is_beyond_range(self, measured_signal: ArrayLike) -> NDArray[np.bool_]:
        """Return where a reading is above the range the curve was measured over (nowhere when not stated)."""
        reading = np.asarray(measured_signal, dtype=np.float64)
        return np.zeros(reading.shape, dtype=bool) if self.valid_to is None else reading > self.valid_to

    def linearise(self, volume: Volume) -> Volume:
        """Return the scan with true signals (float32), said to be linearised.

        Voxels above the measured range are corrected all the same; a warning on the Volume says how many, and
        :func:`is_beyond_linear_range` where.

        Raises
        ------
        MeasurementError
            The scan is linearised already, or holds a reading that no true signal gives.
        """
        if volume.is_linearised:
            raise MeasurementError("the scan is linearised already", file=volume.file, remedy="correct it once only")
        try:
            corrected = self.true(volume.voxels)
        except MeasurementError as error:
            raise MeasurementError(error.what, file=volume.file, remedy=error.remedy) from None
        beyond = int(np.count_nonzero(self.is_beyond_range(volume.voxels)))
        said = (
            (f"{beyond} voxels are above {self.valid_to:g}, the highest reading the saturation curve was measured to",)
            if beyond
            else ()
        )
        limit = {} if self.valid_to is None else {LINEAR_TO: float(self.true(self.valid_to))}
        return volume.with_voxels(
            corrected.astype(np.float32),
            is_linearised=True,
            warnings=(*volume.warnings, *said),
            metadata={**volume.metadata, **limit},
        )


def is_beyond_linear_range(volume: Volume) -> NDArray[np.bool_]:
    """Return where a linearised scan lies above the range that its receiver's curve was measured over.

    Shape as the scan's grid; nowhere for a scan that was not linearised, or by a curve of unstated range.
    """
    limit = volume.metadata.get(LINEAR_TO)
    if limit is None:
        return np.zeros(volume.grid.shape, dtype=bool)
    return np.asarray(volume.voxels > limit * (1 + _ROUNDING))
