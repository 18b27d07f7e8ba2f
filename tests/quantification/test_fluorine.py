"""19F-MRI and bioluminescence through the same estimates as MPI."""

import numpy as np
import pytest
from scipy.stats import rice

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.quantification.bioluminescence import relative_flux, total_flux
from napari_mpi_track.quantification.estimate import Estimate
from napari_mpi_track.quantification.fluorine import cells_from_fluorine, organ_fluorine, rician_signal


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
