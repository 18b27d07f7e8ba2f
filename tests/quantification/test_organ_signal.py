"""Totals that add up to the scan, with the error that many simulated scans show."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage
from scipy.spatial.transform import Rotation
from strategies import affine_transforms, any_grids, organ_labels, seeds

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import Occupancy, measure_occupancy
from napari_mpi_track.quantification.organ_displacement import displacement_sensitivity
from napari_mpi_track.quantification.organ_signal import measure_organs

WHITE = Noise(1.0, 0.0, np.ones((1, 1, 1)), "made up")
FRAME = "bed"


@given(organ_labels(any_grids()), any_grids(), affine_transforms(), seeds())
@settings(deadline=None, max_examples=25)
def test_organs_and_outside_add_up_to_the_total_whatever_the_alignment(organs, grid, transform, seed):
    rng = np.random.default_rng(seed)
    middle = organs.grid.lps_from(np.argwhere(organs.voxels).mean(axis=0))
    linear = transform.target_from_source[:3, :3]
    centred = Transform.from_parts(linear, grid.centre_mm - linear @ middle, organs.grid.frame, grid.frame)
    try:
        occupancy = measure_occupancy(organs, grid, centred)
    except GridMismatchError:
        return
    scan = Volume(rng.lognormal(3, 1, grid.shape).astype(np.float32), grid)
    for background in (0.0, 4.2):
        signals = measure_organs(scan, occupancy, WHITE, background)
        together = signals.totals().sum() + signals.organs["outside"].total
        # The contract's 1e-6, and as much again of the whole scan where background cancels it.
        whole = float(scan.voxels.astype(float).sum() - background * scan.voxels.size) * grid.voxel_volume_mm3
        assert signals.organs["total"].total == pytest.approx(whole, rel=1e-9)
        assert together == pytest.approx(whole, rel=1e-6)
        volumes = sum(occupancy.volume_in_field_mm3(name) for name in signals.names)
        assert volumes + signals.organs["outside"].volume_mm3 == pytest.approx(signals.organs["total"].volume_mm3)


def two_organs() -> tuple[OrganLabels, Grid]:
    fine = Grid.from_spacing((40, 44, 48), 0.5, frame=FRAME)
    voxels = np.zeros(fine.shape, np.uint8)
    voxels[8:30, 8:20, 10:36] = 1
    voxels[12:26, 21:34, 12:30] = 2
    return OrganLabels(voxels, fine, {1: "liver", 2: "spleen"}), Grid.from_spacing(
        (26, 28, 30), (1.1, 1.0, 0.9), (-2.3, -2.1, -2.2), FRAME
    )


def test_an_evenly_lit_scan_gives_every_organ_its_volume_times_its_level():
    organs, grid = two_organs()
    signals = measure_organs(Volume(np.full(grid.shape, 5.0), grid), measure_occupancy(organs, grid), WHITE, 2.0)
    for name, value in (("liver", 1), ("spleen", 2)):
        organ = signals.organs[name]
        volume = (organs.voxels == value).sum() * 0.125
        assert organ.volume_mm3 == pytest.approx(volume)
        assert organ.total == pytest.approx(3.0 * volume, rel=2e-3)
        assert organ.mean == pytest.approx(3.0)
        assert organ.maximum == pytest.approx(5.0)
        assert organ.part_in_field == pytest.approx(1.0, rel=2e-3)
    assert signals.organs["total"].mean == pytest.approx(3.0)
    assert signals.background == 2.0


def test_the_maximum_is_of_voxels_at_least_half_inside():
    grid = Grid.from_spacing((4, 5, 6), 1.0, frame=FRAME)
    fine = Grid.from_spacing((8, 10, 12), 0.5, (-0.25, -0.25, -0.25), FRAME)
    voxels = np.zeros(fine.shape, np.uint8)
    # Columns 2 to 4.25 of the scan: the voxel at column 4 is a quarter inside.
    voxels[2:6, 2:8, 4:8] = 1
    voxels[2:6, 2:4, 8] = 1
    hot = np.ones(grid.shape)
    hot[1, 1, 4], hot[1, 2, 3] = 100.0, 7.0
    signals = measure_organs(Volume(hot, grid), measure_occupancy(OrganLabels(voxels, fine), grid), WHITE)
    assert signals.organs["1"].maximum in (7.0, 100.0)
    fraction = measure_occupancy(OrganLabels(voxels, fine), grid).organs["1"].dense(grid.shape)[1, 1, 4]
    assert signals.organs["1"].maximum == (100.0 if fraction >= 0.5 else 7.0)


def test_a_voxel_without_a_number_holds_nothing_to_share_out():
    organs, grid = two_organs()
    voxels = np.ones(grid.shape)
    voxels[10, 10, 10] = np.nan
    voxels[0, 0, 0] = np.inf
    signals = measure_organs(Volume(voxels, grid), measure_occupancy(organs, grid), WHITE)
    assert signals.organs["total"].total == pytest.approx((np.prod(grid.shape) - 2) * grid.voxel_volume_mm3)
    assert np.isfinite(signals.totals()).all()


def test_a_projections_totals_are_over_area():
    plane = Grid.from_spacing((1, 10, 12), (40.0, 2.0, 0.5), frame=FRAME)
    voxels = np.zeros(plane.shape, np.uint8)
    voxels[0, 2:6, 3:9] = 1
    scan = Volume(np.full(plane.shape, 3.0), plane, is_projection=True)
    signals = measure_organs(scan, measure_occupancy(OrganLabels(voxels, plane), plane), WHITE)
    assert signals.organs["1"].total == pytest.approx(3.0 * 24 * 1.0)
    assert signals.organs["1"].mean == pytest.approx(3.0)
    bare = Volume(np.ones(plane.shape), plane, has_thickness=False)
    with pytest.raises(MeasurementError, match="thickness"):
        measure_organs(bare, Occupancy(plane, {}), WHITE)


def test_an_occupancy_of_another_grid_is_refused():
    organs, grid = two_organs()
    shifted = Grid.from_spacing(grid.shape, grid.spacing_mm, grid.origin_mm + [0, 0, 0.01], FRAME)
    with pytest.raises(GridMismatchError, match="another grid"):
        measure_organs(Volume(np.zeros(grid.shape), shifted), measure_occupancy(organs, grid), WHITE)


def test_the_errors_of_totals_and_what_they_share_are_those_of_many_scans():
    organs, grid = two_organs()
    occupancy = measure_occupancy(organs, grid)
    kernel = ndimage.gaussian_filter(np.eye(1, 15**3, 15**3 // 2).reshape(15, 15, 15), 1.0)
    gain = np.sqrt((kernel**2).sum())
    correlation = ndimage.correlate(kernel, kernel, mode="constant") / gain**2
    noise = Noise(2.0, 0.0, correlation, "made up")
    found, outside, whole = [], [], []
    for seed in range(200):
        white = np.random.default_rng(seed).normal(size=tuple(n + 16 for n in grid.shape))
        scan = 2.0 * ndimage.gaussian_filter(white, 1.0)[8:-8, 8:-8, 8:-8] / gain
        shown = measure_organs(Volume(scan, grid), occupancy, WHITE)
        found.append(shown.totals())
        outside.append(shown.organs["outside"].total)
        whole.append(shown.organs["total"].total)
    signals = measure_organs(Volume(scan, grid), occupancy, noise)
    simulated = np.cov(np.array(found).T)
    # 200 scans know an SD to 5 %, a correlation to 0.07.
    for row, name in enumerate(signals.names):
        assert signals.noise_sd_of(name) == pytest.approx(np.sqrt(simulated[row, row]), rel=0.17)
    assert signals.noise_sd_of("outside") == pytest.approx(np.std(outside), rel=0.17)
    assert signals.noise_sd_of("total") == pytest.approx(np.std(whole), rel=0.17)
    sds = np.sqrt(np.diag(simulated))
    shared = signals.noise_covariance[0, 1] / np.sqrt(np.prod(np.diag(signals.noise_covariance)))
    assert shared == pytest.approx(simulated[0, 1] / np.prod(sds), abs=0.2)
    assert shared > 0


@pytest.mark.parametrize(("seed", "deformed_mm", "columns"), [(0, 0.0, range(6)), (1, 0.0, range(6)), (2, 0.6, (2, 3))])
def test_the_sensitivity_to_displacement_is_the_change_measured_again(seed, deformed_mm, columns):
    organs, _ = two_organs()
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix() * [0.9, 0.8, 1.0]
    matrix[:3, 3] = rng.uniform(-50, 50, 3) - matrix[:3, :3] @ np.array([21.0, 20.0, 22.0])
    grid = Grid((43, 41, 45), matrix, "mpi")
    rotation = Rotation.random(random_state=seed + 10).as_matrix()
    middle = organs.grid.centre_mm
    mpi_from_organs = Transform.from_parts(rotation, grid.centre_mm - rotation @ middle, FRAME, "mpi")
    if deformed_mm:
        lattice = Grid.from_spacing((10, 9, 8), 8.0, middle - 32.0)
        vectors = rng.uniform(-deformed_mm, deformed_mm, (3, *lattice.shape))
        mpi_from_organs = replace(mpi_from_organs, deformation=Deformation(lattice, vectors))
    spots = np.zeros(grid.shape)
    spots[tuple(rng.integers(12, 28, (3, 40)))] = rng.uniform(100, 1000, 40)
    scan = Volume(ndimage.gaussian_filter(spots, 2.5), grid)

    def totals(rotvec, shift, growth=0.0):
        turn = np.exp(growth) * Rotation.from_rotvec(rotvec).as_matrix()
        step = Transform.from_parts(turn, middle - turn @ middle + shift, FRAME, FRAME)
        occupancy = measure_occupancy(organs, grid, mpi_from_organs @ step, samples_per_axis=6)
        return measure_organs(scan, occupancy, WHITE).totals()

    occupancy = measure_occupancy(organs, grid, mpi_from_organs, samples_per_axis=6)
    slopes = displacement_sensitivity(scan, occupancy, mpi_from_organs, middle)
    assert slopes.shape == (2, 7)
    measured = np.zeros((2, 6))
    for column in columns:
        step = np.zeros(6)
        step[column] = 0.04 if column < 3 else 0.3
        forth, back = totals(step[:3], step[3:]), totals(-step[:3], -step[3:])
        measured[:, column] = (forth - back) / (2 * step[column])
    # 3 % of the steepest direction: np.gradient flattens a blur of 2.5 voxels by about 2 %.
    for kind in (slice(0, 3), slice(3, 6)):
        scale = np.abs(measured[:, kind]).max()
        tried = [column for column in range(6)[kind] if column in columns]
        np.testing.assert_allclose(slopes[:, tried], measured[:, tried], atol=0.05 * scale)
    grown = (totals(np.zeros(3), np.zeros(3), 0.02) - totals(np.zeros(3), np.zeros(3), -0.02)) / 0.04
    np.testing.assert_allclose(slopes[:, 6], grown, atol=0.05 * np.abs(grown).max())


def test_a_displacement_does_not_change_an_evenly_lit_scan():
    organs, grid = two_organs()
    occupancy = measure_occupancy(organs, grid)
    scan = Volume(np.full(grid.shape, 3.0), grid)
    slopes = displacement_sensitivity(scan, occupancy, Transform.identity(FRAME, FRAME), np.zeros(3))
    np.testing.assert_allclose(slopes[:, :6], 0.0, atol=1e-12)
    # Only growth takes in more: three times its part of the volume.
    np.testing.assert_allclose(slopes[:, 6], 3 * measure_organs(scan, occupancy, WHITE).totals(), rtol=1e-9)


@given(seeds())
@settings(deadline=None, max_examples=5)
def test_numbers_do_not_depend_on_the_kind_of_number_a_file_holds(seed):
    organs, grid = two_organs()
    counts = np.random.default_rng(seed).integers(0, 200, grid.shape)
    occupancy = measure_occupancy(organs, grid)
    reference = measure_organs(Volume(counts.astype(float), grid), occupancy, WHITE).totals()
    for dtype in ("u1", ">i2", "<f4"):
        totals = measure_organs(Volume(counts.astype(dtype), grid), occupancy, WHITE).totals()
        np.testing.assert_array_equal(totals, reference)
