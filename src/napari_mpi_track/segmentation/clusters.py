"""Classes of intensity: K-means++ and Otsu, on a fine histogram of a scan's voxels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state
from napari_mpi_track.imaging.volume import Volume

# So fine that no threshold moves by more than 1/65536 of the scan's range; every bin keeps the mean of its voxels.
_BINS = 65_536
_STARTS = 50
_MOST_STEPS = 500
_LEAST_CLASSES, _MOST_CLASSES = 2, 5


@dataclass(frozen=True, slots=True, eq=False)
class IntensityClasses:
    """Voxels sorted into classes by their intensity alone.

    Attributes
    ----------
    centres
        Mean intensity of every class in the scan's unit, rising, shape (k,).
    borders
        Intensity between neighbouring classes in the scan's unit, shape (k - 1,): a voxel above it is of the higher.
    counts
        Number of voxels of every class, shape (k,).
    scatter
        Sum over all voxels of the squared distance to their class's centre, unit squared.
    seed
        Of the random starts.
    """

    centres: NDArray[np.float64]
    borders: NDArray[np.float64]
    counts: NDArray[np.int64]
    scatter: float
    seed: int

    def __post_init__(self) -> None:
        for name in ("centres", "borders", "counts"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    __getstate__ = get_state
    __setstate__ = set_state


@dataclass(frozen=True, slots=True, eq=False)
class _Histogram:
    """Bins that hold voxels, rising: how many, their sum and their mean; ``top`` is each one's upper edge."""

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    means: NDArray[np.float64]
    top: NDArray[np.float64]


def intensity_classes(volume: Volume, classes: int = 3, seed: int = 0) -> IntensityClasses:
    """Return the voxels' intensities in ``classes`` classes by K-means++; voxels without a number are left out.

    Parameters
    ----------
    volume
        A linearised scan.
    classes
        How many classes, 2 to 5.
    seed
        Of the random starts: one seed gives one answer.

    Raises
    ------
    MeasurementError
        For another number of classes, or a scan with fewer different intensities than classes.

    Notes
    -----
    Starts are drawn as in K-means++ (Arthur & Vassilvitskii 2007, doi:10.5555/1283383.1283494): each next centre
    with a probability that grows with the squared distance to the nearest one. Lloyd's steps follow; of 50 starts the
    one of least scatter is kept. Two classes have Otsu's border.
    """
    if not _LEAST_CLASSES <= classes <= _MOST_CLASSES:
        raise MeasurementError(
            f"K-means++ sorts into {_LEAST_CLASSES} to {_MOST_CLASSES} classes, got {classes}",
            remedy="3 part background, signal and the brightest places",
        )
    bins = _histogram(volume)
    if bins.means.size < classes:
        raise MeasurementError(
            f"the scan holds {bins.means.size} different intensities, too few for {classes} classes",
            file=volume.file,
            remedy="ask for fewer classes; a scan that was thresholded already needs no rule",
        )
    rng = np.random.default_rng(seed)
    # Sums from the lowest bin up give any class's mean at once, as classes are intervals.
    count, total = np.r_[0.0, np.cumsum(bins.counts)], np.r_[0.0, np.cumsum(bins.sums)]
    found = [_lloyd(_first_centres(bins, classes, rng), bins, count, total) for _ in range(_STARTS)]
    between = [_between(ends, count, total) for ends in found]
    ends = found[int(np.argmax(between))]
    counts, sums = np.diff(count[ends]), np.diff(total[ends])
    centres = sums / counts
    of_bin = np.repeat(centres, np.diff(ends))
    return IntensityClasses(
        centres,
        (centres[1:] + centres[:-1]) / 2,
        counts.astype(np.int64),
        float(bins.counts @ (bins.means - of_bin) ** 2),
        seed,
    )


def otsu_threshold(volume: Volume) -> float:
    """Return the threshold, in the scan's unit, that parts its voxels into two classes of least scatter.

    Raises
    ------
    MeasurementError
        If the scan is constant or holds no number.

    Notes
    -----
    Otsu 1979, doi:10.1109/TSMC.1979.4310076: the variance between the classes is the greatest possible.
    """
    bins = _histogram(volume)
    if bins.means.size < 2:
        raise MeasurementError(
            f"the scan is constant ({bins.means[0]:.4g}): it cannot be parted into signal and background",
            file=volume.file,
            remedy="give the scan itself, not a mask of it",
        )
    count, total = np.cumsum(bins.counts)[:-1], np.cumsum(bins.sums)[:-1]
    voxels, everything = bins.counts.sum(), bins.sums.sum()
    between = (everything * count - total * voxels) ** 2 / (count * (voxels - count))
    return float(bins.top[int(np.argmax(between))])


def _histogram(volume: Volume) -> _Histogram:
    values: NDArray[Any] = np.asarray(volume.voxels).ravel()
    if values.dtype.kind == "f":
        is_number = np.isfinite(values)
        values = values if is_number.all() else values[is_number]
    if not values.size:
        raise MeasurementError("the scan holds no number", file=volume.file, remedy="export it again")
    low, high = float(values.min()), float(values.max())
    if not high > low:
        one = np.array([low])
        return _Histogram(np.array([float(values.size)]), one * values.size, one, one)
    number = ((values.astype(np.float64) - low) * ((_BINS - 1) / (high - low))).astype(np.uint16)
    counts = np.bincount(number, minlength=_BINS).astype(np.float64)
    sums = np.bincount(number, weights=values, minlength=_BINS).astype(np.float64)
    held = np.flatnonzero(counts)
    top = np.asarray(low + (held + 1) * ((high - low) / (_BINS - 1)), dtype=np.float64)
    return _Histogram(counts[held], sums[held], np.asarray(sums[held] / counts[held], dtype=np.float64), top)


def _first_centres(bins: _Histogram, classes: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the centres that K-means++ starts from, rising."""
    centres: list[float] = []
    weights = bins.counts
    while len(centres) < classes:
        sums = np.cumsum(weights)
        at = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
        # One draw, not the best of several: the best of several shuns the same answers in every start.
        centres.append(float(bins.means[min(at, bins.means.size - 1)]))
        nearest = np.min([np.abs(bins.means - centre) for centre in centres], axis=0)
        weights = bins.counts * nearest**2
    return np.sort(centres)


def _lloyd(
    centres: NDArray[np.float64], bins: _Histogram, count: NDArray[np.float64], total: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return where classes begin and end among the bins, shape (k + 1,), when no voxel changes its class any more."""
    ends = np.zeros(0, dtype=np.int64)
    for _ in range(_MOST_STEPS):
        inner = np.searchsorted(bins.means, (centres[1:] + centres[:-1]) / 2, side="right")
        new = np.r_[0, inner, bins.means.size].astype(np.int64)
        # A class whose voxels all lie far to both sides of its mean can run empty: what came before it stands.
        if np.array_equal(new, ends) or not np.diff(new).all():
            break
        ends = new
        centres = np.diff(total[ends]) / np.diff(count[ends])
    return ends


def _between(ends: NDArray[np.int64], count: NDArray[np.float64], total: NDArray[np.float64]) -> float:
    """Return the part of the scatter that lies between classes, but for a constant: greatest where theirs is least."""
    return float(np.sum(np.diff(total[ends]) ** 2 / np.diff(count[ends])))
