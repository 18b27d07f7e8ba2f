"""A round blob's shape on voxels: line profiles integrated over each voxel, and their derivatives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special


@dataclass(frozen=True, slots=True)
class Profile:
    """A line profile: its primitive and density (1 at the centre), and its FWHM in units of its scale."""

    name: str
    fwhm: float

    def primitive(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the integral of the density up to ``x`` (up to a constant), x in units of the scale."""
        if self.name == "gaussian":
            return np.asarray(np.sqrt(2 * np.pi) * special.ndtr(x))
        return np.arctan(x)

    def density(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the profile, 1 at 0."""
        if self.name == "gaussian":
            return np.asarray(np.exp(-0.5 * x * x))
        return np.asarray(1 / (1 + x * x))

    def line(
        self, x: NDArray[np.float64], centre: float, width: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the profile integrated over voxels at ``x``, and its derivatives by centre and by log width."""
        right, left = (x + 0.5 - centre) / width, (x - 0.5 - centre) / width
        integral = self.primitive(right) - self.primitive(left)
        by_centre = self.density(left) - self.density(right)
        by_width = width * (integral - right * self.density(right) + left * self.density(left))
        return width * integral, by_centre, by_width


GAUSSIAN = Profile("gaussian", float(np.sqrt(8 * np.log(2))))
LORENTZIAN = Profile("lorentzian", 2.0)


def blob_and_gradient(
    profile: Profile, shape: tuple[int, ...], parameters: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a blob of height 1 over voxels, shape (voxels,), and its derivatives, shape (voxels, 6).

    ``parameters`` are the centre (3, voxels) and the logarithms of the widths (3, voxels), along the array's axes.
    """
    lines, by_centre, by_width = zip(
        *(
            profile.line(np.arange(n, dtype=np.float64), centre, width)
            for n, centre, width in zip(shape, parameters[:3], np.exp(parameters[3:6]), strict=True)
        ),
        strict=True,
    )
    columns = [_outer([*lines[:k], by_centre[k], *lines[k + 1 :]]) for k in range(3)]
    columns += [_outer([*lines[:k], by_width[k], *lines[k + 1 :]]) for k in range(3)]
    return _outer(lines), np.stack(columns, axis=1)


def _outer(lines: tuple[NDArray[np.float64], ...] | list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray((lines[0][:, None, None] * lines[1][None, :, None] * lines[2][None, None, :]).ravel())
