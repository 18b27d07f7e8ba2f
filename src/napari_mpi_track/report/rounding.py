"""Numbers without their last bits, which differ from run to run: sums over threads, memory alignment, BLAS kernels."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from napari_mpi_track.quantification.estimate import Estimate


def rounded(thing: Any, digits: int) -> Any:
    """Return ``thing`` with every float in it rounded to ``digits`` significant digits.

    Parameters
    ----------
    thing
        A number, an array, a tuple, or a dataclass of these; whatever else it holds is left as it is.
    digits
        Significant digits.
    """
    if isinstance(thing, float):
        return float(f"{thing:.{digits}g}")
    if isinstance(thing, np.ndarray) and thing.dtype == np.float64:
        return np.array([float(f"{value:.{digits}g}") for value in thing.ravel()]).reshape(thing.shape)
    if isinstance(thing, Estimate):
        shared = {name: rounded(value, digits) for name, value in thing.shared.items()}
        return Estimate(rounded(thing.value, digits), rounded(thing.own_sd, digits), shared)
    if isinstance(thing, tuple):
        return tuple(rounded(part, digits) for part in thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{field.name: rounded(getattr(thing, field.name), digits) for field in fields(thing)})
    return thing
