"""A round blob's shape on voxels: a line profile along each axis, integrated over the voxel, and its derivatives."""

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


GAUSSIAN = Profile("gaussian", float(np.sqrt(8 * np.log(2))))
LORENTZIAN = Profile("lorentzian", 2.0)


def blob_and_gradient(
    profile: Profile, shape: tuple[int, ...], parameters: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a blob of height 1 over voxels, shape (voxels,), and its derivatives, shape (voxels, 6).

    ``parameters`` are the centre (3, voxels) and the logarithms of the widths (3, voxels), along the array's axes.
    """
    counts = [n + 1 for n in shape]
    # Neighbouring voxels share a face: the profile is worked out once for each, all three axes at once.
    faces = np.concatenate([np.arange(n) - 0.5 for n in counts])
    widths = np.exp(parameters[3:6])
    x = (faces - np.repeat(parameters[:3], counts)) / np.repeat(widths, counts)
    primitive, density = profile.primitive(x), profile.density(x)
    lever = x * density
    lines, by_centre, by_width = [], [], []
    end = 0
    for count, width in zip(counts, widths, strict=True):
        start, end = end, end + count
        left, right = slice(start, end - 1), slice(start + 1, end)
        integral = primitive[right] - primitive[left]
        lines.append(width * integral)
        by_centre.append(density[left] - density[right])
        by_width.append(width * (integral - lever[right] + lever[left]))
    gradient = np.empty((*shape, 6))
    for k in range(3):
        gradient[..., k] = _outer([*lines[:k], by_centre[k], *lines[k + 1 :]])
        gradient[..., 3 + k] = _outer([*lines[:k], by_width[k], *lines[k + 1 :]])
    return _outer(lines).ravel(), gradient.reshape(-1, 6)


def _outer(lines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray((lines[0][:, None] * lines[1])[:, :, None] * lines[2])
