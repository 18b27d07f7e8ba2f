"""Compiled passes of the occupancy: which voxels lie in one label alone, and what the points in the others hit.

Imported where they are used only. Places are in label indices plus one half, so that a label voxel is a whole part.
"""

import numpy as np
from numba import njit

MIXED = -1


@njit(cache=True, nogil=True)
def _label_of_box(labels, low, high):  # pragma: no cover
    """Return the one label of a box of label voxels (``high`` included; beyond the labels is 0), or ``MIXED``."""
    is_beyond = False
    for axis in range(3):
        if high[axis] < 0 or low[axis] >= labels.shape[axis]:
            return 0
        if low[axis] < 0 or high[axis] >= labels.shape[axis]:
            is_beyond = True
            low[axis], high[axis] = max(low[axis], 0), min(high[axis], labels.shape[axis] - 1)
    value = labels[low[0], low[1], low[2]]
    if is_beyond and value != 0:
        return MIXED
    # The far corner first: most mixed boxes differ there already.
    if labels[high[0], high[1], high[2]] != value:
        return MIXED
    for plane in range(low[0], high[0] + 1):
        for row in range(low[1], high[1] + 1):
            for column in range(low[2], high[2] + 1):
                if labels[plane, row, column] != value:
                    return MIXED
    return np.int64(value)


@njit(cache=True, nogil=True)
def whole_voxels(labels, middles, steps, found):  # pragma: no cover
    """Write to ``found`` (n,) the label every voxel lies in wholly, or ``MIXED`` where that is not sure.

    ``middles`` (n, 3) are the voxels' centres, ``steps`` (1, 3, 3) or (n, 3, 3) how a place changes along their axes.
    """
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for voxel in range(len(middles)):
        step = steps[voxel if len(steps) > 1 else 0]
        for axis in range(3):
            reach = 0.5 * (abs(step[axis, 0]) + abs(step[axis, 1]) + abs(step[axis, 2]))
            low[axis] = np.int64(np.floor(middles[voxel, axis] - reach))
            high[axis] = np.int64(np.floor(middles[voxel, axis] + reach))
        found[voxel] = _label_of_box(labels, low, high)


@njit(cache=True, nogil=True)
def count_hits(labels, codes, middles, steps, points, hits):  # pragma: no cover
    """Add to ``hits`` (n, organs + 1) how many of ``points`` (m, 3; -0.5..0.5) of every voxel lie in each organ.

    ``codes`` gives the organ's number by label.
    """
    flat = labels.reshape(-1)
    planes, rows, columns = labels.shape
    moves = points @ np.ascontiguousarray(steps[0].T)
    for voxel in range(len(middles)):
        if len(steps) > 1 and voxel > 0:
            moves = points @ np.ascontiguousarray(steps[voxel].T)
        row_of_hits = hits[voxel]
        a, b, c = middles[voxel]
        for k in range(len(moves)):
            x, y, z = a + moves[k, 0], b + moves[k, 1], c + moves[k, 2]
            if 0 <= x < planes and 0 <= y < rows and 0 <= z < columns:
                row_of_hits[codes[flat[(np.int64(x) * rows + np.int64(y)) * columns + np.int64(z)]]] += 1
            else:
                row_of_hits[0] += 1
