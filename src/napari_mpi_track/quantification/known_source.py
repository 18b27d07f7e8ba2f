"""A small source of known form and size, as a point spread is measured with."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.frozen import frozen, get_state, set_state


class SourceForm(StrEnum):
    """What the source looks like."""

    BALL = "ball"
    CAPILLARY = "capillary"
    BOX = "box"


@dataclass(frozen=True, slots=True, eq=False)
class KnownSource:
    """A uniformly filled source; its lengths lie along the axes of the scan's grid.

    Attributes
    ----------
    form
        Ball, capillary (a cylinder along one axis) or box.
    size_mm
        Its lengths along plane, row and column in mm, shape (3,). One number is a diameter (ball) or all edges
        (box). Of a capillary, the two lengths that are equal are its diameter.

    Raises
    ------
    MeasurementError
        Lengths of no such form.
    """

    form: SourceForm
    size_mm: NDArray[np.float64]

    def __post_init__(self) -> None:
        form = SourceForm(self.form)
        sizes = np.asarray(self.size_mm, dtype=np.float64)
        if sizes.shape not in ((), (1,), (3,)) or not np.all(np.isfinite(sizes)) or np.any(sizes < 0):
            raise MeasurementError(
                f"a source has one size or three lengths of 0 mm or more, got {self.size_mm}",
                remedy="give a ball's diameter, or lengths along plane, row and column",
            )
        lengths = np.broadcast_to(sizes, 3).copy()
        if form is SourceForm.BALL and np.ptp(lengths) > 0:
            raise MeasurementError("a ball has one diameter", remedy="give one number, or another form")
        object.__setattr__(self, "form", form)
        object.__setattr__(self, "size_mm", frozen(lengths))
        if form is SourceForm.CAPILLARY:
            self.along()

    __getstate__ = get_state
    __setstate__ = set_state

    @classmethod
    def ball(cls, diameter_mm: float) -> "KnownSource":
        """Return a ball; a diameter of 0 is a point."""
        return cls(SourceForm.BALL, np.asarray(diameter_mm))

    @classmethod
    def box(cls, lengths_mm: ArrayLike) -> "KnownSource":
        """Return a box of these lengths along plane, row and column."""
        return cls(SourceForm.BOX, np.asarray(lengths_mm))

    def along(self) -> int:
        """Return the axis of the scan's grid that a capillary lies along.

        Raises
        ------
        MeasurementError
            If no two lengths, or all three, are equal.
        """
        alone = [axis for axis in range(3) if np.ptp(np.delete(self.size_mm, axis)) <= 1e-9]
        if len(alone) != 1:
            raise MeasurementError(
                "of a capillary's three lengths two are its diameter and the third its length",
                remedy="give lengths along plane, row and column such as 1,1,10",
            )
        return alone[0]

    def points(self, finest_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return points that stand for the source, shape (q, 3) in mm from its centre, and their shares, shape (q,).

        Parameters
        ----------
        finest_mm
            The scale on which what is integrated over the source changes (a blur's width, a voxel).

        Notes
        -----
        Gauss's quadrature along every direction of the form, with r^2 (ball) or r (capillary) in the weight.
        """
        if self.form is SourceForm.BOX:
            steps = [_line(length, finest_mm) for length in self.size_mm]
            grids = np.meshgrid(*[x for x, _ in steps], indexing="ij")
            shares = np.einsum("a,b,c->abc", *[w for _, w in steps])
            return np.stack(grids, axis=-1).reshape(-1, 3), shares.ravel()
        if self.form is SourceForm.BALL:
            return _ball(float(self.size_mm[0]) / 2, finest_mm)
        axis = self.along()
        x, along = _line(float(self.size_mm[axis]), finest_mm)
        disc, across = _disc(float(np.delete(self.size_mm, axis)[0]) / 2, finest_mm)
        points = np.concatenate([np.insert(disc, axis, at, axis=1) for at in x])
        return points, np.asarray(np.outer(along, across).ravel(), dtype=np.float64)


def _line(length: float, finest: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(max(2, int(np.ceil(2 + 2 * length / finest))))
    return nodes * length / 2, weights / 2


def _radii(radius: float, finest: float, power: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.special import roots_jacobi

    # On -1..1 with weight (1 + x)^power: r = R (1 + x) / 2 has the weight r^power.
    nodes, weights = roots_jacobi(max(2, int(np.ceil(1 + 2 * radius / finest))), 0, power)
    return radius * (1 + nodes) / 2, weights / weights.sum()


def _disc(radius: float, finest: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r, share = _radii(radius, finest, 1)
    count = 2 * int(np.ceil(3 + 3 * radius / finest))
    angle = 2 * np.pi * (np.arange(count) + 0.5) / count
    points = np.stack([np.outer(r, np.cos(angle)), np.outer(r, np.sin(angle))], axis=-1)
    return points.reshape(-1, 2), np.repeat(share / count, count)


def _ball(radius: float, finest: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r, share = _radii(radius, finest, 2)
    half = int(np.ceil(3 + 3 * radius / finest))
    cosine, polar = np.polynomial.legendre.leggauss(half)
    angle = 2 * np.pi * (np.arange(2 * half) + 0.5) / (2 * half)
    sine = np.sqrt(1 - cosine**2)
    sphere = np.stack(
        [
            np.repeat(cosine, 2 * half),
            np.outer(sine, np.cos(angle)).ravel(),
            np.outer(sine, np.sin(angle)).ravel(),
        ],
        axis=-1,
    )
    weights = np.repeat(polar / 2, 2 * half) / (2 * half)
    return (r[:, None, None] * sphere).reshape(-1, 3), np.asarray(np.outer(share, weights).ravel(), dtype=np.float64)
