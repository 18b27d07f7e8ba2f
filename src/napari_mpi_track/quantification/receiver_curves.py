"""Receivers' curves that are not S/(1 + S/S_sat): none at all, a polynomial, a monotone curve through points."""

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.quantification.receiver import Receiver

if TYPE_CHECKING:
    from scipy.interpolate import PchipInterpolator

_TABLE = 4097


@dataclass(frozen=True, slots=True)
class LinearReceiver(Receiver):
    """A receiver that did not saturate up to ``valid_to``, a reading in the unit of the voxels."""

    valid_to: float | None

    def __post_init__(self) -> None:
        _require_positive(self.valid_to)

    @property
    def model(self) -> str:
        """The name of the formula."""
        return "linear"

    def measured(self, true_signal: ArrayLike) -> NDArray[np.float64]:
        """Return the signal itself."""
        return np.asarray(true_signal, dtype=np.float64)

    def true(self, measured_signal: ArrayLike) -> NDArray[np.float64]:
        """Return the reading itself."""
        return np.asarray(measured_signal, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class PolynomialReceiver(Receiver):
    """A receiver whose reading is S + c2 S^2 + c3 S^3 ... of a true signal S.

    Attributes
    ----------
    coefficients
        c2, c3 ..., in the unit of the voxels to the power -1, -2 ...
    valid_to
        The highest reading the curve was measured to; beyond it the curve goes on as its tangent.
    """

    coefficients: tuple[float, ...]
    valid_to: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "coefficients", tuple(float(c) for c in self.coefficients))
        if self.valid_to is None or not self.coefficients or not all(map(isfinite, self.coefficients)):
            raise CalibrationError("a polynomial receiver needs finite coefficients and valid_to")
        _require_positive(self.valid_to)
        self._end()

    @property
    def model(self) -> str:
        """The name of the formula."""
        return "polynomial"

    def measured(self, true_signal: ArrayLike) -> NDArray[np.float64]:
        """Return what the receiver reads for a true signal; readings below zero (noise) are left as they are."""
        signal = np.asarray(true_signal, dtype=np.float64)
        end = self._end()
        inside = self._polynomial(np.clip(signal, 0.0, end))
        return np.asarray(inside + np.minimum(signal, 0.0) + self._slope(end) * np.maximum(signal - end, 0.0))

    def true(self, measured_signal: ArrayLike) -> NDArray[np.float64]:
        """Return the true signal behind a reading: the inverse of :meth:`measured`."""
        reading = np.asarray(measured_signal, dtype=np.float64)
        end = self._end()
        grid = np.linspace(0.0, end, _TABLE)
        inside = np.clip(reading, 0.0, self.valid_to)
        signal = np.interp(inside, self._polynomial(grid), grid)
        for _ in range(3):
            signal = np.clip(signal - (self._polynomial(signal) - inside) / self._slope(signal), 0.0, end)
        beyond = np.maximum(reading - self._limit(), 0.0) / self._slope(end)
        return np.asarray(signal + np.minimum(reading, 0.0) + beyond)

    def _limit(self) -> float:
        return float(self.valid_to or 0.0)

    def _polynomial(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.polynomial.polynomial.polyval(signal, (0.0, 1.0, *self.coefficients)))

    def _slope(self, signal: NDArray[np.float64] | float) -> NDArray[np.float64]:
        derivative = np.polynomial.polynomial.polyder((0.0, 1.0, *self.coefficients))
        return np.asarray(np.polynomial.polynomial.polyval(signal, derivative))

    def _end(self) -> float:
        """Return the true signal that is read as ``valid_to``: the polynomial must rise until there."""
        roots = np.polynomial.polynomial.polyroots((-self._limit(), 1.0, *self.coefficients))
        real = sorted(float(r.real) for r in roots if abs(r.imag) < 1e-9 * abs(r) and r.real > 0)
        if real and (self._slope(np.linspace(0.0, real[0] * (1 - 1e-12), _TABLE)) > 0).all():
            return real[0]
        raise CalibrationError(
            f"the polynomial does not rise up to a reading of {self._limit():g}", remedy="measure the series again"
        )


@dataclass(frozen=True, slots=True)
class TabledReceiver(Receiver):
    """A monotone curve through points (0, 0) and (true, measured), cubic between them without overshoot.

    Attributes
    ----------
    true_signals, readings
        Both rising, in the unit of the voxels. Below the first and beyond the last the curve goes on straight.
    valid_to
        The last reading, and nothing else.
    """

    true_signals: tuple[float, ...]
    readings: tuple[float, ...]
    valid_to: float | None = None

    def __post_init__(self) -> None:
        true, readings = np.array(self.true_signals, dtype=float), np.array(self.readings, dtype=float)
        is_rising = true.size == readings.size >= 3 and all(
            np.isfinite(v).all() and v[0] > 0 and (np.diff(v) > 0).all() for v in (true, readings)
        )
        if not is_rising:
            raise CalibrationError(
                "a receiver's table needs three pairs or more of true signal and reading, positive and rising",
                remedy="sort it, and leave out the blank",
            )
        object.__setattr__(self, "true_signals", tuple(true.tolist()))
        object.__setattr__(self, "readings", tuple(readings.tolist()))
        object.__setattr__(self, "valid_to", float(readings[-1]))

    @property
    def model(self) -> str:
        """The name of the formula."""
        return "spline"

    def measured(self, true_signal: ArrayLike) -> NDArray[np.float64]:
        """Return what the receiver reads for a true signal; readings below zero (noise) are left as they are."""
        signal = np.asarray(true_signal, dtype=np.float64)
        fine = np.linspace(0.0, self.readings[-1], 16 * _TABLE)
        end = self.true_signals[-1]
        inside = np.interp(np.clip(signal, 0.0, end), self.true(fine), fine)
        return np.asarray(inside + np.minimum(signal, 0.0) + np.maximum(signal - end, 0.0) / self._last_slope())

    def true(self, measured_signal: ArrayLike) -> NDArray[np.float64]:
        """Return the true signal behind a reading: the inverse of :meth:`measured`."""
        reading = np.asarray(measured_signal, dtype=np.float64)
        last = self.readings[-1]
        inside = self._inverse()(np.clip(reading, 0.0, last))
        beyond = np.maximum(reading - last, 0.0) * self._last_slope()
        return np.asarray(inside + np.minimum(reading, 0.0) + beyond)

    def up_to(self, reading: float) -> "TabledReceiver":
        """Return the same curve, measured only up to a reading within its table."""
        # So many points that the cubics between them are those of the whole table.
        readings = np.linspace(0.0, reading, 65)[1:]
        return TabledReceiver(tuple(self.true(readings).tolist()), tuple(readings.tolist()))

    def _last_slope(self) -> float:
        true, readings = self.true_signals, self.readings
        return (true[-1] - true[-2]) / (readings[-1] - readings[-2])

    def _inverse(self) -> "PchipInterpolator":
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator((0.0, *self.readings), (0.0, *self.true_signals))


def _require_positive(valid_to: float | None) -> None:
    if valid_to is not None and not (isfinite(valid_to) and valid_to > 0):
        raise CalibrationError(f"valid_to must be a positive reading, got {valid_to}")
