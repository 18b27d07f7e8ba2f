"""Scans of tubes with known content: separable Lorentzians on noise that is correlated from voxel to voxel."""

from pathlib import Path

import nibabel
import numpy as np
from scipy.ndimage import gaussian_filter

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume

SHAPE, SPACING, FWHM = (32, 36, 40), (1.0, 0.8, 0.9), (3.0, 3.5, 4.0)


def noise(rng, shape=SHAPE, sd=1.0, correlation=0.8):
    # Noise that wraps round has the same SD at the edges of the field as within.
    field = gaussian_filter(
        rng.normal(size=shape), correlation if shape[0] > 1 else (0, correlation, correlation), mode="wrap"
    )
    return sd * field / field.std()


def tube(index, total, fwhm=FWHM, shape=SHAPE, spacing=SPACING):
    """A point of so much total signal (unit x mm3) as the scanner shows it."""
    lines = [
        width / 2 / np.pi / (((np.arange(n) - at) * step) ** 2 + (width / 2) ** 2)
        for n, at, step, width in zip(shape, index, spacing, fwhm, strict=True)
    ]
    return total * np.einsum("i,j,k", *lines)


def scan(voxels, spacing=SPACING, **known):
    grid = Grid.from_spacing(voxels.shape, spacing)
    return Volume(voxels.astype(np.float32), grid, Modality.MPI, "a.u.", **known)


def save(voxels, path: Path, spacing=SPACING):
    """Write voxels (plane, row, column) as NIfTI, whose index runs the other way round."""
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32).transpose(2, 1, 0), affine), path)
