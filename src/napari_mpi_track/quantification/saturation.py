"""A receiver that saturates, undone voxel by voxel before anything is measured."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import CalibrationError, MeasurementError
from napari_mpi_track.imaging.volume import Volume

_SCHEMA = 1
_MODEL = "rational"


@dataclass(frozen=True, slots=True)
class Saturation:
    """A receiver whose reading is S/(1 + S/s_sat) of a true signal S.

    Attributes
    ----------
    s_sat
        In the unit of the voxels: the reading that no signal exceeds, and the true signal that is read as half
        of itself.
    valid_to
        The highest reading the curve was measured to, in the unit of the voxels; ``None`` when not stated.
    """

    s_sat: float
    valid_to: float | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.s_sat) and self.s_sat > 0):
            raise CalibrationError(f"s_sat must be a positive number, got {self.s_sat}")
        if self.valid_to is not None and not 0 < self.valid_to < self.s_sat:
            raise CalibrationError(
                f"a receiver saturating at {self.s_sat:g} cannot have been measured to {self.valid_to:g}",
                remedy="valid_to is a reading, below s_sat",
            )

    @property
    def model(self) -> str:
        """The name of the formula."""
        return _MODEL

    def measured(self, true_signal: ArrayLike) -> NDArray[np.float64]:
        """Return what the receiver reads for a true signal; readings below zero (noise) are left as they are."""
        signal = np.asarray(true_signal, dtype=np.float64)
        return signal / (1.0 + np.maximum(signal, 0.0) / self.s_sat)

    def true(self, measured_signal: ArrayLike) -> NDArray[np.float64]:
        """Return the true signal behind a reading: the inverse of :meth:`measured`.

        Raises
        ------
        MeasurementError
            A reading at or beyond ``s_sat``, which no true signal gives.
        """
        reading = np.asarray(measured_signal, dtype=np.float64)
        highest = float(np.max(reading, initial=-np.inf))
        if highest >= self.s_sat:
            raise MeasurementError(
                f"a reading of {highest:.6g} lies at or beyond the saturation level {self.s_sat:.6g}",
                remedy="use the saturation curve of this scanner and mode, or correct s_sat",
            )
        return reading / (1.0 - np.maximum(reading, 0.0) / self.s_sat)

    def is_beyond_range(self, measured_signal: ArrayLike) -> NDArray[np.bool_]:
        """Return where a reading is above the range the curve was measured over (nowhere when not stated)."""
        reading = np.asarray(measured_signal, dtype=np.float64)
        return np.zeros(reading.shape, dtype=bool) if self.valid_to is None else reading > self.valid_to

    def linearise(self, volume: Volume) -> Volume:
        """Return the scan with true signals (float32), said to be linearised.

        Voxels above the measured range are corrected all the same, and a warning on the Volume says how many.

        Raises
        ------
        MeasurementError
            The scan is linearised already, or holds a reading at or beyond ``s_sat``.
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
        return volume.with_voxels(corrected.astype(np.float32), is_linearised=True, warnings=(*volume.warnings, *said))


def linearise(volume: Volume, saturation: Saturation) -> Volume:
    """Return the scan with receiver saturation undone, see :meth:`Saturation.linearise`."""
    return saturation.linearise(volume)


def save_saturation(saturation: Saturation, path: str | Path, overwrite: bool = False) -> None:
    """Write a saturation curve as JSON: schema, model, s_sat, valid_to."""
    from napari_mpi_track.writers.whole import whole_file

    values = {"schema": _SCHEMA, "model": _MODEL, "s_sat": saturation.s_sat, "valid_to": saturation.valid_to}
    with whole_file(Path(path), overwrite) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def load_saturation(path: str | Path) -> Saturation:
    """Return the saturation curve kept in a JSON file.

    Raises
    ------
    CalibrationError
        The file is not there, is not JSON, or does not hold {schema: 1, model: "rational", s_sat, valid_to}.
    """
    path = Path(path)
    remedy = 'it holds {"schema": 1, "model": "rational", "s_sat": NUMBER, "valid_to": NUMBER or null}'
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"the saturation curve cannot be read: {error.strerror or error}"
        raise CalibrationError(what, file=path, remedy="check the path") from None
    except ValueError:
        raise CalibrationError("the saturation curve is not JSON", file=path, remedy=remedy) from None
    if not isinstance(values, dict) or values.get("schema") != _SCHEMA:
        raise CalibrationError("this is not a saturation curve of schema 1", file=path, remedy=remedy)
    if values.get("model") != _MODEL:
        what = f"the saturation model must be {_MODEL!r}, got {values.get('model')!r}"
        raise CalibrationError(what, file=path, remedy=remedy)
    s_sat: Any = values.get("s_sat")
    valid_to: Any = values.get("valid_to")
    for name, value in (("s_sat", s_sat), ("valid_to", 1.0 if valid_to is None else valid_to)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CalibrationError(f"{name} must be a number, got {value!r}", file=path, remedy=remedy)
    try:
        return Saturation(float(s_sat), None if valid_to is None else float(valid_to))
    except CalibrationError as error:
        raise CalibrationError(error.what, file=path, remedy=error.remedy or remedy) from None
