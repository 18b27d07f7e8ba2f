"""A point spread measured from a small source; the simulation blurs in closed form, by means of its own."""

import numpy as np
import pytest

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.point_spread import PsfShape
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.known_source import KnownSource, SourceForm
from napari_mpi_track.quantification.point_source import measure_point_spread
from napari_mpi_track.simulation.anatomy import Solid, capsule, ellipsoid
from napari_mpi_track.simulation.scanner import Blur, Noise, blurred, noise_field

FWHM_MM = (2.6, 3.2, 2.3)
MIDDLE_MM = np.array([15.3, 14.6, 15.9])
BOTH = pytest.mark.parametrize("shape", list(PsfShape))


def scan_of(part, shape="gaussian", peak_over_noise=100.0, seed=0, base=0.0, correlation=1.0):
    """30 x 32 x 31 voxels of 1 mm, averaged over voxels of 0.5 mm, under noise correlated over a voxel."""
    planes, rows, columns = 30, 32, 31
    fine = Grid.from_spacing((2 * planes, 2 * rows, 2 * columns), 0.5, (-0.25, -0.25, -0.25), frame="bed")
    clean = blurred([(Solid((part,)), 500.0)], fine, np.eye(4), Blur(shape, FWHM_MM))
    clean = clean.reshape(planes, 2, rows, 2, columns, 2).mean(axis=(1, 3, 5))
    rng = np.random.default_rng(seed)
    added = noise_field(clean.shape, Noise(clean.max() / peak_over_noise, correlation), rng)
    return Volume(clean + added + base, Grid.from_spacing(clean.shape, 1.0, frame="bed"))


def ball(diameter_mm):
    return ellipsoid(MIDDLE_MM, [diameter_mm / 2] * 3)


@BOTH
@pytest.mark.parametrize("diameter_mm", [0.6, 2.0])
def test_widths_place_and_total_come_out_whatever_the_size_of_the_source(shape, diameter_mm):
    scan = scan_of(ball(diameter_mm), shape, peak_over_noise=2000, base=0.3)
    found = measure_point_spread(scan, diameter_mm)
    assert found.shape is shape
    assert found.probability > 0.999
    assert found.verdict == "good"
    # 2 %: half of it is the simulation's own raster of the source (0.125 mm); the widths' own SD is 0.2 %.
    np.testing.assert_allclose(found.fit.fwhm_mm, FWHM_MM, rtol=0.02)
    np.testing.assert_allclose(found.fit.centre_mm, MIDDLE_MM, atol=0.03)
    assert found.fit.total == pytest.approx(500, rel=0.02)
    assert found.fit.background == pytest.approx(0.3, abs=0.01)
    assert np.all(found.fit.fwhm_sd_mm < 0.02)


def test_a_source_taken_for_a_point_looks_wider_than_the_blur():
    scan = scan_of(ball(2.5), peak_over_noise=2000)
    as_point = measure_point_spread(scan, 0.0).fit.fwhm_mm
    # A ball of diameter d has the variance d^2/20 along each axis.
    expected = np.sqrt(np.array(FWHM_MM) ** 2 + 8 * np.log(2) * 2.5**2 / 20)
    np.testing.assert_allclose(as_point, expected, rtol=0.03)


def test_a_capillary_is_taken_out_along_its_own_axis():
    tube = capsule(MIDDLE_MM - [0, 0, 3.0], MIDDLE_MM + [0, 0, 3.0], 0.5)
    scan = scan_of(tube, peak_over_noise=2000)
    # LPS z is the plane axis of this grid. The capsule's round ends make it 6.67 mm of cylinder in volume.
    found = measure_point_spread(scan, KnownSource(SourceForm.CAPILLARY, (6.67, 1.0, 1.0)), shape=PsfShape.GAUSSIAN)
    np.testing.assert_allclose(found.fit.fwhm_mm[1:], FWHM_MM[1:], rtol=0.02)
    assert found.fit.fwhm_mm[0] == pytest.approx(FWHM_MM[0], rel=0.05)


@pytest.mark.parametrize(
    ("source", "variance_mm2"),
    [
        (KnownSource.ball(3.0), [9 / 20] * 3),
        (KnownSource.box((1.0, 2.0, 3.0)), [1 / 12, 4 / 12, 9 / 12]),
        (KnownSource(SourceForm.CAPILLARY, (2.0, 5.0, 2.0)), [4 / 16, 25 / 12, 4 / 16]),
    ],
)
def test_the_points_that_stand_for_a_source_have_its_moments(source, variance_mm2):
    points, shares = source.points(1.0)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares @ points, 0, atol=1e-12)
    np.testing.assert_allclose(shares @ points**2, variance_mm2, rtol=1e-9)


def test_the_stated_error_is_the_scatter_of_many_scans_of_correlated_noise():
    widths, sds = [], []
    for seed in range(16):
        found = measure_point_spread(scan_of(ball(1.0), peak_over_noise=60, seed=seed), 1.0, shape=PsfShape.GAUSSIAN)
        widths.append(found.fit.fwhm_mm)
        sds.append(found.fit.fwhm_sd_mm)
    scatter, stated = np.std(widths, axis=0, ddof=1), np.mean(sds, axis=0)
    # 16 scans of three axes know an SD to 10 %; the textbook's error under white noise is a third of it.
    assert float(np.mean(stated / scatter)) == pytest.approx(1, abs=0.3)


def test_a_projection_has_no_width_along_its_ray():
    scan = scan_of(ball(1.0), peak_over_noise=400)
    flat = scan.voxels.sum(axis=0, keepdims=True)
    projection = Volume(flat, Grid.from_spacing(flat.shape, 1.0, frame="bed"), is_projection=True)
    found = measure_point_spread(projection, 1.0)
    assert found.shape is PsfShape.GAUSSIAN
    assert found.fit.fwhm_mm[0] == 0
    np.testing.assert_allclose(found.fit.fwhm_mm[1:], FWHM_MM[1:], rtol=0.04)
    assert found.point_spread.fwhm_relative_sd[0] == 0


def test_a_faint_source_does_not_tell_the_shape_and_is_not_taken_for_either():
    undecided = 0
    for seed in range(8):
        found = measure_point_spread(
            scan_of(ball(1.0), "gaussian", peak_over_noise=12, correlation=1.0, seed=seed), 1.0
        )
        assert found.shape is not PsfShape.LORENTZIAN
        if found.shape is None:
            undecided += 1
            assert found.verdict == "doubtful"
            with pytest.raises(MeasurementError, match="--shape"):
                _ = found.point_spread
    assert undecided >= 1


def test_what_is_neither_shape_is_doubted():
    flat_top = scan_of(ellipsoid(MIDDLE_MM, [4.5] * 3), peak_over_noise=2000)
    assert measure_point_spread(flat_top, 0.5).verdict == "doubtful"


def test_of_several_sources_the_one_asked_for_is_measured():
    first, second = scan_of(ball(1.0), peak_over_noise=200), np.zeros((30, 32, 31))
    second[4, 5, 4] = 900.0
    both = first.with_voxels(first.voxels + second)
    found = measure_point_spread(both, 1.0, shape=PsfShape.GAUSSIAN, near_mm=MIDDLE_MM + 1.5)
    np.testing.assert_allclose(found.fit.centre_mm, MIDDLE_MM, atol=0.1)


def test_a_second_source_a_cut_off_top_and_one_at_the_rim_are_told():
    clean = scan_of(ball(1.0), peak_over_noise=200)
    beside = clean.voxels + 0.4 * np.roll(clean.voxels, 8, axis=1)
    two = measure_point_spread(clean.with_voxels(beside), 1.0, shape=PsfShape.GAUSSIAN)
    assert any("something else shines 8 mm from the source" in doubt for doubt in two.doubts)
    cut = clean.with_voxels(np.minimum(clean.voxels, 0.85 * clean.voxels.max()))
    assert any("top is flat" in doubt for doubt in measure_point_spread(cut, 1.0, shape=PsfShape.GAUSSIAN).doubts)
    with pytest.raises(MeasurementError, match="brightest at its edge"):
        measure_point_spread(clean.with_voxels(np.roll(clean.voxels, 15, axis=2)), 1.0)


def test_noise_alone_and_a_source_larger_than_all_that_is_seen_are_refused():
    rng = np.random.default_rng(0)
    grid = Grid.from_spacing((20, 20, 20), 1.0, frame="bed")
    with pytest.raises(MeasurementError):
        measure_point_spread(Volume(rng.normal(size=grid.shape), grid), 1.0)
    with pytest.raises(MeasurementError):
        measure_point_spread(scan_of(ball(0.5), peak_over_noise=500), 8.0)
    with pytest.raises(MeasurementError):
        measure_point_spread(Volume(np.zeros(grid.shape), grid), 1.0)


@pytest.mark.parametrize(
    ("form", "size"), [("ball", (1.0, 2.0, 1.0)), ("capillary", 1.0), ("capillary", (1.0, 2.0, 3.0)), ("box", -1.0)]
)
def test_sizes_of_no_such_form_are_refused(form, size):
    with pytest.raises(MeasurementError):
        KnownSource(form, size)
