"""19F-MRI and bioluminescence through the same estimates as MPI."""

import numpy as np
import pytest
from scipy.stats import rice

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.bioluminescence import relative_flux, total_flux
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.fluorine import (
    SD_OF_VOXEL,
    cells_from_fluorine,
    magnitude_noise_sd,
    organ_fluorine,
    rician_signal,
    voxel_fluorine,
)


@pytest.mark.parametrize("snr", [0.5, 1.0, 2.0, 5.0, 10.0, 25.0])
def test_the_mean_of_a_rice_distribution_is_undone(snr):
    np.testing.assert_allclose(rician_signal(2.5 * rice.mean(snr), 2.5), 2.5 * snr, rtol=1e-8)


def test_pure_noise_is_no_signal():
    np.testing.assert_array_equal(rician_signal([1.0, np.sqrt(np.pi / 2), 0.0], 1.0), 0.0)
    with pytest.raises(MeasurementError, match="positive SD"):
        rician_signal(1.0, 0.0)


def test_at_ten_sd_the_correction_is_half_a_percent():
    assert rice.mean(10.0) / 10.0 - 1 == pytest.approx(0.005, abs=2e-4)


@pytest.mark.parametrize("snr", [2.0, 4.0, 15.0])
def test_an_organs_sum_is_right_with_the_error_it_states(snr):
    rng = np.random.default_rng(0)
    sums = [organ_fluorine(np.abs(snr + rng.normal(size=200) + 1j * rng.normal(size=200)), 1.0) for _ in range(400)]
    values = np.array([s.value for s in sums])
    np.testing.assert_allclose(values.mean(), 200 * snr, rtol=0.01)
    np.testing.assert_allclose(np.mean([s.own_sd for s in sums]), values.std(), rtol=0.12)
    # Uncorrected magnitudes are too high by what the correction takes off.
    assert rice.mean(snr) > snr


def complex_noise(rng, shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


# What the docstring says: too low by so many SDs at a signal of so many; 400,000 draws tell it to 0.003.
@pytest.mark.parametrize(
    ("signal", "bias"), [(0, 0.0), (1, -0.47), (2, -0.30), (3, -0.10), (4, -0.02), (6, 0.0), (20, 0.0)]
)
def test_a_voxels_noise_sums_to_nothing_and_its_signal_stays(signal, bias):
    found = voxel_fluorine(np.abs(signal + complex_noise(np.random.default_rng(0), 400_000)), 1.0)
    assert found.mean() - signal == pytest.approx(bias, abs=0.01)
    # Of a voxel with some signal the SD is 1 to 1.4.
    assert found.std() == pytest.approx(SD_OF_VOXEL, rel=0.01) if signal == 0 else found.std() < 1.4


def test_a_spot_in_a_dark_organ_is_summed_where_a_mean_would_read_several_times_too_much():
    rng = np.random.default_rng(1)
    signal = np.zeros(1000)
    signal[:10] = 20.0
    scans = [np.abs(signal + complex_noise(rng, 1000)) for _ in range(500)]
    sums = np.array([voxel_fluorine(scan, 1.0).sum() for scan in scans])
    # The SD of one sum is 39, of 500 of them 1.7.
    assert sums.mean() == pytest.approx(200, abs=6)
    assert sums.std() == pytest.approx(SD_OF_VOXEL * np.sqrt(1000), rel=0.1)
    by_mean = np.mean([organ_fluorine(scan, 1.0).value for scan in scans])
    assert by_mean > 3 * 200


@pytest.mark.parametrize("lit", [0.0, 0.05])
def test_noise_is_measured_from_magnitudes_without_signal(lit):
    magnitude = 3.0 * np.abs(complex_noise(np.random.default_rng(2), 100_000))
    magnitude[: int(lit * magnitude.size)] += 300
    magnitude[-1000:] = 0.0
    # Each lit voxel moves the median up: 5 % of them by 3 %.
    assert magnitude_noise_sd(magnitude) == pytest.approx(3.0, rel=0.01 + lit)
    with pytest.raises(MeasurementError, match="its background is zero"):
        magnitude_noise_sd(np.zeros(10))


def test_scans_share_the_error_of_a_cells_spins_and_not_that_of_their_capillaries():
    per_cell = Estimate(3e12, 0.0, {"19F:label": 3e11})
    first, second = (
        cells_from_fluorine(
            Estimate(1500.0), Estimate(50.0, 1.0), spins_per_reference_voxel=1e18, spins_per_cell=per_cell, session=day
        )
        for day in ("day 0", "day 2")
    )
    np.testing.assert_allclose((first / second).shared_sd, np.hypot(0.02, 0.02))


def test_cells_follow_from_the_capillary_with_its_error_shared():
    reference, per_cell = Estimate(50.0, 1.0), Estimate(3e12, 0.0, {"19F:label": 3e11})
    organs = [
        cells_from_fluorine(Estimate(s, 10.0), reference, spins_per_reference_voxel=1e18, spins_per_cell=per_cell)
        for s in (1500.0, 300.0)
    ]
    assert organs[0].value == pytest.approx(1500 / 50 * 1e18 / 3e12)
    np.testing.assert_allclose(organs[0].shared_sd / organs[0].value, np.hypot(0.02, 0.1))
    assert (organs[0] / organs[1]).shared_sd == pytest.approx(0, abs=1e-9)
    with pytest.raises(MeasurementError, match="spins per cell must be positive"):
        cells_from_fluorine(Estimate(1.0), reference, spins_per_reference_voxel=1e18, spins_per_cell=0.0)


def test_flux_is_radiance_over_area_and_all_directions():
    # 1e5 photons/s/cm2/sr over 4 pixels of 25 mm2 are 1 cm2 of it.
    assert total_flux(np.full(4, 1e5), 25.0) == pytest.approx(4 * np.pi * 1e5)
    found = relative_flux(Estimate(50.0, 5.0), Estimate(200.0, 10.0))
    assert found.value == 25
    np.testing.assert_allclose(found.sd, 25 * np.hypot(0.1, 0.05))
    for fault in (lambda: total_flux([1.0], 0.0), lambda: relative_flux(found, Estimate(0.0))):
        with pytest.raises(MeasurementError, match="positive"):
            fault()
