"""The transform that brings paired points together, in closed form."""

import numpy as np
from numpy.typing import NDArray


def closed_form(
    fixed_mm: NDArray[np.float64],
    moving_mm: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    *,
    scaled: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (linear (k, d, d), translation (k, d)) of least squares, moving = linear @ fixed + translation.

    ``fixed_mm`` and ``moving_mm`` are k sets of n paired points in d = 3 dimensions, or 2 within a plane, shape
    (k, n, d); ``weights`` are one number a point, shape (n,), equal without. The linear part is a rotation
    (determinant +1, never a mirror), times one scale when ``scaled``.

    Notes
    -----
    Kabsch 1976, doi:10.1107/S0567739476001873; Umeyama 1991, doi:10.1109/34.88573.
    """
    share = np.ones(fixed_mm.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    share = (share / share.sum())[None, :, None]
    fixed_centre = (share * fixed_mm).sum(axis=1, keepdims=True)
    moving_centre = (share * moving_mm).sum(axis=1, keepdims=True)
    fixed_arms, moving_arms = fixed_mm - fixed_centre, moving_mm - moving_centre
    left, stretches, right = np.linalg.svd(np.einsum("kni,knj->kij", share * moving_arms, fixed_arms))
    signs = np.ones_like(stretches)
    signs[:, -1] = np.sign(np.linalg.det(left @ right))
    linear = (left * signs[:, None, :]) @ right
    if scaled:
        spread = np.sum(share * fixed_arms**2, axis=(1, 2))
        linear = linear * (np.sum(stretches * signs, axis=1) / spread)[:, None, None]
    translation = moving_centre[:, 0] - np.einsum("kij,kj->ki", linear, fixed_centre[:, 0])
    return linear, translation
