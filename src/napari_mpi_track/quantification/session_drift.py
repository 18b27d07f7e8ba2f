"""A scanner that is not the same from session to session, seen through a reference vial in every scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.estimate import Estimate

# A vial that lost less than this is not worth a warning, however certain the loss.
_LEAST_LOSS = 0.02
_FALSE_WARNINGS = 0.05
_REFERENCE = "vial:reference"
_OF_SESSIONS = ("vial:", "19F:reference")


@dataclass(frozen=True, slots=True, eq=False)
class SessionDrift:
    """A vial's signal in the reference session and today, same metric; ``session`` names today's."""

    reference: Estimate
    today: Estimate
    session: str

    @property
    def factor(self) -> float:
        """What a signal of today is multiplied by, dimensionless."""
        return self.undone(Estimate(1.0)).value

    def undone(self, signal: Estimate) -> Estimate:
        """Return a signal as it would have been in the reference session, see :func:`corrected_for_drift`."""
        return corrected_for_drift(signal, self.reference, self.today, session=self.session)


def error_of_sessions(signal: Estimate) -> float:
    """Return the SD that a signal's own session gave it through its vial or capillary: days do not share it."""
    of_day = [sd for name, sd in signal.shared.items() if name.startswith(_OF_SESSIONS) and name != _REFERENCE]
    return sqrt(sum(sd * sd for sd in of_day))


def corrected_for_drift(signal: Estimate, reference: Estimate, today: Estimate, *, session: str = "") -> Estimate:
    """Return a signal as it would have been in the reference session: S F_ref/F.

    Parameters
    ----------
    signal
        Of today's session.
    reference, today
        The vial's signal in the reference session (the calibration's) and in today's, same metric.
    session
        Names today's, so that all signals of one session share the error of its vial; the reference's is shared by
        all sessions.

    Raises
    ------
    MeasurementError
        A vial without a positive signal.
    """
    for vial in (reference, today):
        if not vial.value > 0:
            raise MeasurementError(
                f"a reference vial needs a positive signal, got {vial.value:g}", remedy="measure it again"
            )
    return signal * _sharing(reference, _REFERENCE) / _sharing(today, f"vial:{session}")


def vial_warnings(days: Sequence[float], signals: Sequence[float]) -> tuple[str, ...]:
    """Return what speaks against dividing by a vial, one sentence each.

    Parameters
    ----------
    days, signals
        Of the vial in every session, in any order.

    Notes
    -----
    A one-sided t test of the slope at 5 %: a vial that dries out or settles falls, and dividing by it would raise all
    signals. It needs three sessions.
    """
    from scipy.special import stdtr

    if len(days) != len(signals):
        raise MeasurementError(f"a vial needs a day for every signal, got {len(days)} and {len(signals)}")
    x, y = np.asarray(days, dtype=np.float64), np.asarray(signals, dtype=np.float64)
    if x.size < 3 or np.ptp(x) == 0 or not (y > 0).all():
        return ()
    dx = x - x.mean()
    slope = float(dx @ y / (dx @ dx))
    loss = -slope * float(np.ptp(x)) / float(y.mean() - slope * (x.mean() - x.min()))
    residual = y - y.mean() - slope * dx
    error = float(np.sqrt(residual @ residual / (x.size - 2) / (dx @ dx)))
    chance = float(stdtr(x.size - 2, slope / error)) if error > 0 else float(slope >= 0)
    if loss < _LEAST_LOSS or chance > _FALSE_WARNINGS:
        return ()
    return (
        f"the reference vial lost {100 * loss:.2g} % over {np.ptp(x):g} days (p = {chance:.2g}): it may be drying out, "
        "and correcting by it would raise every signal",
    )


def _sharing(vial: Estimate, source: str) -> Estimate:
    return Estimate(vial.value, 0.0, {**vial.shared, source: vial.own_sd})
