"""The body is found in any anatomy."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.foreground import (
    block_average,
    block_grid,
    block_steps,
    body_centre_mm,
    find_body,
    otsu_threshold,
)
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.itk import array_from_itk, array_to_itk, grid_from_itk
from napari_mpi_track.imaging.volume import Modality, Volume

GRID = Grid.from_spacing((60, 50, 40), (1.0, 0.8, 0.9), (-17, -20, -30))


def animal() -> np.ndarray:
    x, y, z = np.moveaxis(GRID.lps_from(np.stack(np.indices(GRID.shape), axis=-1)), -1, 0)
    return (x / 11) ** 2 + (y / 9) ** 2 + (z / 22) ** 2 < 1


@pytest.mark.parametrize(("modality", "air", "tissue"), [(Modality.CT, -1000, 40), (Modality.MR, 0, 300)])
def test_the_body_is_found_with_its_lungs_and_without_the_bed(modality: Modality, air: float, tissue: float) -> None:
    truth = animal()
    scan = np.where(truth, float(tissue), float(air))
    scan[25:35, 22:28, 18:24] = air + 50
    scan[:, 46:48, 5:35] = tissue
    scan += np.random.default_rng(0).normal(0, 20, scan.shape)
    volume = Volume(scan, GRID, modality)
    body = find_body(volume)
    dice = 2 * (body & truth).sum() / (body.sum() + truth.sum())
    assert dice > 0.98
    assert np.linalg.norm(body_centre_mm(body, GRID)) < 0.2


def test_scans_that_show_no_body_are_refused() -> None:
    for voxels, modality in ((np.ones(GRID.shape), Modality.MR), (np.full(GRID.shape, np.nan), Modality.CT)):
        with pytest.raises(MeasurementError):
            find_body(Volume(voxels, GRID, modality))
    with pytest.raises(MeasurementError, match="tracer"):
        find_body(Volume(animal().astype(float), GRID, Modality.MPI))


def test_blocks_average_and_lie_as_itk_bins_them() -> None:
    voxels = np.random.default_rng(1).normal(size=(12, 9, 8)).astype(np.float32)
    grid = Grid.from_spacing((12, 9, 8), (0.5, 0.7, 1.1), (3, 4, 5))
    binned = sitk.BinShrink(array_to_itk(voxels, grid), (2, 3, 4))
    np.testing.assert_allclose(block_average(voxels, (4, 3, 2)), array_from_itk(binned), atol=1e-6)
    assert block_grid(grid, (4, 3, 2)).agrees_with(grid_from_itk(binned), 1e-9)


def test_blocks_are_as_cubic_as_the_voxels_allow() -> None:
    grid = Grid.from_spacing((50, 200, 200), (2.0, 0.5, 0.5))
    assert block_steps(grid, 200_000) == (1, 4, 4)


def test_otsu_parts_two_classes_where_itk_does() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(10, 2, 5000), rng.normal(30, 3, 3000)]).reshape(20, 20, 20)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.SetNumberOfHistogramBins(256)
    otsu.Execute(sitk.GetImageFromArray(values))
    assert otsu_threshold(values) == pytest.approx(otsu.GetThreshold(), abs=0.3)


@pytest.mark.parametrize("modality", [Modality.PET, Modality.SPECT])
@pytest.mark.parametrize("noise_sd", [1.0, 0.0])
@pytest.mark.parametrize("brightness", [1.5, 20.0, 100.0])
def test_the_body_of_an_emission_scan_is_found_dim_around_lit_organs_or_all_lit(modality, noise_sd, brightness):
    index = np.stack(np.indices((80, 50, 46)), axis=-1)
    body = np.sum(((index - [40, 25, 23]) / [30, 15, 14]) ** 2, axis=-1) < 1
    bladder = np.sum(((index - [18, 25, 23]) / 4.0) ** 2, axis=-1) < 1
    liver = np.sum(((index - [45, 27, 20]) / 7.0) ** 2, axis=-1) < 1
    scan = brightness * body + 400.0 * bladder + 60.0 * liver
    scan = ndimage.gaussian_filter(scan, 1.0) + np.random.default_rng(0).normal(0, 1, scan.shape) * noise_sd
    volume = Volume(scan.astype(np.float32), Grid.from_spacing(scan.shape, 0.8), modality)
    found = find_body(volume)
    # Blur of 2.5 voxels moves the outline by about one of them; the body is 14 voxels thick at the least.
    assert 2 * np.sum(found & body) / (found.sum() + body.sum()) > 0.85
