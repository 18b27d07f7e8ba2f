"""Which calibration samples pull a line: shown, and never left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import CalibrationError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.quantification.calibration_line import Calibration

_OUTLIER_LEVEL = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """The part of every sample in a line; every array has shape (n,), the order of the samples.

    Attributes
    ----------
    leverage
        How much a sample's own signal decides the line at its x, 0 to 1.
    standardised
        Residual over its own SD (internally studentised), dimensionless.
    studentised
        Likewise, with the scatter that the other samples show (externally studentised); infinite where they show none.
    cooks_distance
        How far the two numbers of the line move without the sample, in units of their joint error.
    outlier
        Whether the studentised residual is beyond what the largest of n would be in 5 of 100 lines (Bonferroni).
    influential
        Whether Cook's distance is beyond the median of F(p, n - p).
    """

    leverage: NDArray[np.float64]
    standardised: NDArray[np.float64]
    studentised: NDArray[np.float64]
    cooks_distance: NDArray[np.float64]
    outlier: NDArray[np.bool_]
    influential: NDArray[np.bool_]

    __getstate__ = get_state
    __setstate__ = set_state

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            object.__setattr__(self, name, frozen(getattr(self, name)))


def measure_influence(calibration: Calibration) -> Influence:
    """Return how much each sample decides the line, with the line's own weights.

    Raises
    ------
    CalibrationError
        A calibration saved without its samples, or with too few to judge them.

    Notes
    -----
    Cook 1977, doi:10.1080/00401706.1977.10489493; Belsley, Kuh & Welsch 1980, doi:10.1002/0471725153, ch. 2. Weighted
    lines are judged in signals divided by their SD.
    """
    from scipy.special import fdtri, stdtrit

    x, residuals = calibration.x, calibration.residuals
    fitted = 1 if calibration.through_origin else 2
    if x.size < fitted + 2:
        raise CalibrationError(f"samples are judged among {fitted + 2} or more, got {x.size}")
    sd = np.sqrt(np.broadcast_to(calibration.variance_model.variance(x, calibration.signal - residuals), x.shape))
    if not (sd > 0).all():
        sd = np.ones_like(x)
    design = np.stack([np.ones_like(x), x], axis=1)[:, 2 - fitted :] / sd[:, None]
    scaled = residuals / sd
    leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
    squares, degrees = float(scaled @ scaled), x.size - fitted
    rest = np.maximum(1.0 - leverage, np.finfo(float).eps)
    with np.errstate(divide="ignore", invalid="ignore"):
        standardised = np.nan_to_num(scaled / np.sqrt(squares / degrees * rest))
        of_others = np.maximum(squares - scaled**2 / rest, 0.0) / (degrees - 1)
        studentised = np.nan_to_num(scaled / np.sqrt(of_others * rest), nan=0.0, posinf=np.inf, neginf=-np.inf)
    cooks = standardised**2 * leverage / (rest * fitted)
    limit = float(stdtrit(degrees - 1, 1.0 - _OUTLIER_LEVEL / (2 * x.size)))
    return Influence(
        leverage,
        standardised,
        studentised,
        cooks,
        np.abs(studentised) > limit,
        cooks > float(fdtri(fitted, degrees, 0.5)),
    )


def influence_in_words(calibration: Calibration, influence: Influence) -> list[str]:
    """Return a sentence for every sample that stands out or pulls the line; all of them are still in it."""
    said = []
    for at in np.flatnonzero(influence.outlier | influence.influential):
        what = [
            *(["does not fit the others"] if influence.outlier[at] else []),
            *(["pulls the line strongly"] if influence.influential[at] else []),
        ]
        said.append(
            f"sample {at + 1} (x = {calibration.x[at]:g}, signal {calibration.signal[at]:.4g}) {' and '.join(what)} "
            f"(studentised residual {influence.studentised[at]:.2g}, Cook's distance "
            f"{influence.cooks_distance[at]:.2g}); it was kept"
        )
    return said
