"""A receiver that saturates, undone voxel by voxel before anything is measured."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import CalibrationError, MeasurementError
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.receiver import Receiver, is_beyond_linear_range
from napari_mpi_track.quantification.receiver_curves import LinearReceiver, PolynomialReceiver, TabledReceiver

__all__ = ["Receiver", "Saturation", "is_beyond_linear_range", "linearise", "load_saturation", "save_saturation"]

_SCHEMA = 1
_MODELS = ("rational", "polynomial", "spline", "linear")


@dataclass(frozen=True, slots=True)
class Saturation(Receiver):
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
        return _MODELS[0]

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


def linearise(volume: Volume, curve: Receiver) -> Volume:
    """Return the scan with receiver saturation undone, see :meth:`Receiver.linearise`."""
    return curve.linearise(volume)


def save_saturation(
    curve: Receiver, path: str | Path, overwrite: bool = False, *, fit: Mapping[str, Any] | None = None
) -> None:
    """Write a receiver's curve as JSON: schema, model, the model's numbers, valid_to, and ``fit``: how it was found."""
    from napari_mpi_track.writers.whole import whole_file

    values = {"schema": _SCHEMA, "model": curve.model, **_numbers_of(curve), "valid_to": curve.valid_to}
    if fit is not None:
        values["fit"] = dict(fit)
    with whole_file(Path(path), overwrite) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _numbers_of(curve: Receiver) -> dict[str, Any]:
    if isinstance(curve, Saturation):
        return {"s_sat": curve.s_sat}
    if isinstance(curve, PolynomialReceiver):
        return {"coefficients": list(curve.coefficients)}
    if isinstance(curve, TabledReceiver):
        return {"true": list(curve.true_signals), "measured": list(curve.readings)}
    return {}


def load_saturation(path: str | Path) -> Receiver:
    """Return the receiver's curve kept in a JSON file.

    Raises
    ------
    CalibrationError
        The file is not there, is not JSON, or does not hold {schema: 1, model, valid_to} and the model's numbers:
        s_sat (rational), coefficients (polynomial), true and measured (spline).
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
    try:
        return _curve_of(values)
    except CalibrationError as error:
        raise CalibrationError(error.what, file=path, remedy=error.remedy or remedy) from None


def _curve_of(values: Mapping[str, Any]) -> Receiver:
    model = values.get("model")
    if model not in _MODELS:
        raise CalibrationError(f"the saturation model must be one of {', '.join(_MODELS)}, got {model!r}")
    if model == "spline":
        return TabledReceiver(_several(values, "true"), _several(values, "measured"))
    if model == "rational":
        s_sat = _one(values, "s_sat")
        return Saturation(s_sat, None if values.get("valid_to") is None else _one(values, "valid_to"))
    if model == "polynomial":
        return PolynomialReceiver(_several(values, "coefficients"), _one(values, "valid_to"))
    return LinearReceiver(_one(values, "valid_to"))


def _one(values: Mapping[str, Any], name: str) -> float:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CalibrationError(f"{name} must be a number, got {value!r}")
    return float(value)


def _several(values: Mapping[str, Any], name: str) -> tuple[float, ...]:
    given = values.get(name)
    if not isinstance(given, list):
        raise CalibrationError(f"{name} must be a list of numbers, got {given!r}")
    return tuple(_one({name: value}, name) for value in given)
