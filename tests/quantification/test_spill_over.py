"""Blur between simulated organs undone; the simulation blurs on a finer grid and by its own means."""

import numpy as np
import pytest
from scipy import ndimage

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import OrganOccupancy, measure_occupancy
from napari_mpi_track.quantification.organ_signal import measure_organs
from napari_mpi_track.quantification.spill_over import correct_spill_over

FRAME = "bed"
WHITE = Noise(1e-6, 0.0, np.ones((1, 1, 1)), "none")
FINE_MM, FACTOR, FWHM_MM = 0.25, 4, 2.5
LEVELS = {"liver": 50.0, "lungs": 20.0, "tumour": 80.0, "bone": 0.0}
BOTH = pytest.mark.parametrize("shape", list(PsfShape))


def organs() -> OrganLabels:
    """A large and a middling organ side by side, a small hot one, and an empty one between them."""
    grid = Grid.from_spacing((96, 104, 112), FINE_MM, frame=FRAME)
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    voxels = np.zeros(grid.shape, np.uint8)
    voxels[((z - 40) / 22) ** 2 + ((y - 40) / 18) ** 2 + ((x - 42) / 26) ** 2 < 1] = 1
    voxels[(((z - 44) / 18) ** 2 + ((y - 76) / 15) ** 2 + ((x - 50) / 20) ** 2 < 1) & (voxels == 0)] = 2
    voxels[((z - 62) ** 2 + (y - 60) ** 2 + (x - 84) ** 2) < 9**2] = 3
    voxels[78:84, 30:80, 30:70] = 4
    return OrganLabels(voxels, grid, {1: "liver", 2: "lungs", 3: "tumour", 4: "bone"})


def coarse_grid(labels: OrganLabels) -> Grid:
    """The scan's voxels, each of 4 x 4 x 4 fine ones."""
    shape = tuple(n // FACTOR for n in labels.grid.shape)
    first = FINE_MM * (FACTOR - 1) / 2
    return Grid.from_spacing(shape, FINE_MM * FACTOR, (first, first, first), FRAME)


def blurred(source: np.ndarray, shape: PsfShape) -> np.ndarray:
    """The source as a scanner of FWHM 2.5 mm shows it, worked out on the fine voxels."""
    if shape is PsfShape.GAUSSIAN:
        return ndimage.gaussian_filter(source, FWHM_MM / 2.35482 / FINE_MM, mode="constant", truncate=6)
    reach = np.arange(-112, 113) * FINE_MM
    line = (FWHM_MM / 2 / np.pi) / (reach**2 + (FWHM_MM / 2) ** 2) * FINE_MM
    for axis in range(3):
        source = ndimage.convolve1d(source, line, axis=axis, mode="constant")
    return source


def averaged(fine: np.ndarray) -> np.ndarray:
    a, b, c = (n // FACTOR for n in fine.shape)
    return fine.reshape(a, FACTOR, b, FACTOR, c, FACTOR).mean(axis=(1, 3, 5))


class Scanned:
    """The simulated scan under one point spread, and what is truly in every organ."""

    def __init__(self, shape: PsfShape) -> None:
        labels = organs()
        self.grid = coarse_grid(labels)
        source = np.zeros(labels.grid.shape)
        self.truth = {}
        for value, name in labels.names.items():
            source[labels.voxels == value] = LEVELS[name]
            self.truth[name] = LEVELS[name] * (labels.voxels == value).sum() * FINE_MM**3
        self.scan = Volume(averaged(blurred(source, shape)), self.grid)
        self.occupancy = measure_occupancy(labels, self.grid)
        self.signals = measure_organs(self.scan, self.occupancy, WHITE)

    def corrected(self, psf: PointSpread):
        return correct_spill_over(self.scan, self.occupancy, self.signals, WHITE, psf)


@pytest.fixture(scope="module", params=list(PsfShape), ids=str)
def scanned(request):
    return request.param, Scanned(request.param)


@pytest.fixture(scope="module")
def gaussian():
    return Scanned(PsfShape.GAUSSIAN)


def test_the_right_point_spread_gives_every_organ_its_own_back(scanned):
    shape, simulated = scanned
    spill = simulated.corrected(PointSpread(shape, FWHM_MM))
    assert spill.names == ("liver", "lungs", "tumour", "bone")
    largest = simulated.truth["liver"]
    for name, uncorrected, corrected in zip(spill.names, simulated.signals.totals(), spill.totals, strict=True):
        truth = simulated.truth[name]
        if truth:
            assert corrected == pytest.approx(truth, rel=0.03), name
            assert abs(uncorrected / truth - 1) > 0.1, name
            assert abs(uncorrected - truth) > 5 * abs(corrected - truth), name
        else:
            assert abs(corrected) < 0.005 * largest
            assert uncorrected > 2 * abs(corrected)


def test_the_wrong_shape_or_width_is_worse_than_the_right_one(scanned):
    shape, simulated = scanned

    def error(psf):
        spill = simulated.corrected(psf)
        return max(
            abs(total / simulated.truth[name] - 1)
            for name, total in zip(spill.names, spill.totals, strict=True)
            if simulated.truth[name]
        )

    right = error(PointSpread(shape, FWHM_MM))
    other = PsfShape.LORENTZIAN if shape is PsfShape.GAUSSIAN else PsfShape.GAUSSIAN
    assert error(PointSpread(shape, 1.2 * FWHM_MM)) > 3 * right
    assert error(PointSpread(other, FWHM_MM)) > 5 * right


@BOTH
@pytest.mark.parametrize("fwhm_mm", [0.0, 0.5, 1.5, 2.0, 3.0, 6.0])
def test_no_organ_shows_more_signal_than_it_has(gaussian, shape, fwhm_mm):
    spill = gaussian.corrected(PointSpread(shape, fwhm_mm))
    columns = spill.transfer.sum(axis=0)
    assert np.all(spill.transfer >= 0)
    assert np.all(columns <= 1 + 1e-6)
    np.testing.assert_allclose([spill.lost[name] for name in spill.names], 1 - columns, atol=1e-12)
    rows = spill.transfer / np.linalg.norm(spill.transfer, axis=1)[:, None]
    assert spill.condition == pytest.approx(np.linalg.cond(rows))
    assert all(np.diag(spill.transfer) > 0)


def test_what_came_from_neighbours_is_told(gaussian):
    spill = gaussian.corrected(PointSpread(PsfShape.GAUSSIAN, FWHM_MM))
    assert spill.spill_in["bone"] == pytest.approx(1.0, abs=0.5)
    assert 0.0 < spill.spill_in["liver"] < spill.spill_in["lungs"] < 0.5
    change = np.array([1.0, -2.0, 0.5, 0.0])
    np.testing.assert_allclose(spill.transfer @ spill.corrected(change), change, atol=1e-12)


def test_every_pair_of_organs_has_what_the_one_received_of_the_other(scanned):
    shape, simulated = scanned
    spill = simulated.corrected(PointSpread(shape, FWHM_MM))
    measured = simulated.signals.organs["lungs"].total
    only_liver = np.zeros(organs().grid.shape)
    only_liver[organs().voxels == 1] = LEVELS["liver"]
    shown = Volume(averaged(blurred(only_liver, shape)), simulated.grid)
    from_liver = measure_organs(shown, simulated.occupancy, WHITE).organs["lungs"].total
    assert spill.spill_in_from("lungs", "liver") == pytest.approx(from_liver / measured, abs=0.005)
    np.testing.assert_allclose(spill.arriving.sum(axis=1), 1.0)
    for name in spill.names:
        assert spill.spill_in[name] == pytest.approx(1 - spill.spill_in_from(name, name))


def test_two_organs_the_blur_hardly_tells_apart_are_named(gaussian):
    # Two sheets of a voxel side by side in the liver, under a blur of four voxels.
    voxels = np.zeros(gaussian.grid.shape, np.uint8)
    voxels[8:13, 8:13, 8], voxels[8:13, 8:13, 9], voxels[8:13, 18:23, 8] = 1, 2, 3
    occupancy = measure_occupancy(OrganLabels(voxels, gaussian.grid, {1: "left", 2: "right", 3: "far"}), gaussian.grid)
    noise = Noise(1.0, 0.0, np.ones((1, 1, 1)), "made up")
    signals = measure_organs(gaussian.scan, occupancy, noise)
    spill = correct_spill_over(gaussian.scan, occupancy, signals, noise, PointSpread(PsfShape.GAUSSIAN, 4.0))
    assert spill.too_close() == (("left", "right"),)
    assert spill.inflation["left"] > 3 > 1.1 > spill.inflation["far"] > 0.99
    assert gaussian.corrected(PointSpread(PsfShape.GAUSSIAN, FWHM_MM)).too_close() == ()


def test_the_covariance_of_corrected_totals_is_that_of_many_scans(gaussian):
    sd, psf = 4.0, PointSpread(PsfShape.GAUSSIAN, FWHM_MM)
    kernel = ndimage.gaussian_filter(np.eye(1, 11**3, 11**3 // 2).reshape(11, 11, 11), 0.8)
    gain = np.sqrt((kernel**2).sum())
    noise = Noise(sd, 0.0, ndimage.correlate(kernel, kernel, mode="constant") / gain**2, "made up")
    found = []
    for seed in range(150):
        white = np.random.default_rng(seed).normal(size=tuple(n + 12 for n in gaussian.grid.shape))
        added = sd * ndimage.gaussian_filter(white, 0.8)[6:-6, 6:-6, 6:-6] / gain
        scan = gaussian.scan.with_voxels(gaussian.scan.voxels + added)
        signals = measure_organs(scan, gaussian.occupancy, WHITE)
        found.append(correct_spill_over(scan, gaussian.occupancy, signals, WHITE, psf).totals)
    signals = measure_organs(scan, gaussian.occupancy, noise)
    foretold = correct_spill_over(scan, gaussian.occupancy, signals, noise, psf).noise_covariance
    simulated = np.cov(np.array(found).T)
    # 150 scans know an SD to 6 %, a correlation to 0.08.
    np.testing.assert_allclose(np.sqrt(np.diag(foretold)), np.sqrt(np.diag(simulated)), rtol=0.2)
    scale = np.sqrt(np.outer(np.diag(simulated), np.diag(simulated)))
    np.testing.assert_allclose(foretold / scale, simulated / scale, atol=0.3)
    np.testing.assert_allclose(np.mean(found, axis=0), gaussian.corrected(psf).totals, atol=0.3 * np.sqrt(scale.max()))


def test_the_sensitivity_to_each_width_is_the_change_under_another_width(gaussian):
    spill = gaussian.corrected(PointSpread(PsfShape.GAUSSIAN, FWHM_MM, 0.05))
    for axis in range(3):
        factor = np.ones(3)
        factor[axis] = 1.03
        up, down = (
            gaussian.corrected(PointSpread(PsfShape.GAUSSIAN, FWHM_MM * w)).totals for w in (factor, 2 - factor)
        )
        slope = (up - down) / 0.06
        np.testing.assert_allclose(spill.psf_sensitivity[:, axis], slope, atol=0.03 * np.abs(slope).max())
        assert np.abs(spill.psf_sensitivity[:, axis]).max() > 0
    assert not gaussian.corrected(PointSpread(PsfShape.GAUSSIAN, FWHM_MM)).psf_covariance.any()


def test_an_error_shared_by_all_widths_adds_up_and_errors_of_their_own_do_not(gaussian):
    shared = gaussian.corrected(PointSpread(PsfShape.GAUSSIAN, FWHM_MM, 0.05))
    own = gaussian.corrected(PointSpread(PsfShape.GAUSSIAN, FWHM_MM, (0.05, 0.05, 0.05)))
    together = 0.05 * np.abs(shared.psf_sensitivity.sum(axis=1))
    apart = 0.05 * np.linalg.norm(own.psf_sensitivity, axis=1)
    np.testing.assert_allclose(np.sqrt(np.diag(shared.psf_covariance)), together, rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(own.psf_covariance)), apart, rtol=1e-9)
    # Widening any axis takes signal out of an organ, so what is shared counts for more.
    assert np.all(together > apart)


def test_an_organ_lit_evenly_fits_and_a_deposit_does_not(gaussian):
    psf = PointSpread(PsfShape.GAUSSIAN, FWHM_MM)
    even = gaussian.corrected(psf).misfit
    assert all(even[name] < 0.1 for name in ("liver", "lungs", "tumour"))
    labels = organs()
    source = np.zeros(labels.grid.shape)
    source[38:42, 38:42, 40:44] = 5e4
    scan = Volume(averaged(blurred(source, PsfShape.GAUSSIAN)), gaussian.grid)
    signals = measure_organs(scan, gaussian.occupancy, WHITE)
    assert correct_spill_over(scan, gaussian.occupancy, signals, WHITE, psf).misfit["liver"] > 0.5


def test_an_organ_no_brighter_than_noise_has_no_misfit_to_show(gaussian):
    scan = gaussian.scan.with_voxels(np.random.default_rng(0).normal(0, 3.0, gaussian.grid.shape))
    noise = Noise(3.0, 0.0, np.ones((1, 1, 1)), "made up")
    signals = measure_organs(scan, gaussian.occupancy, noise)
    misfit = correct_spill_over(scan, gaussian.occupancy, signals, noise, PointSpread(PsfShape.GAUSSIAN, 2.5)).misfit
    assert set(misfit.values()) == {0.0}


def test_a_background_taken_off_is_not_explained_by_organs(gaussian):
    psf = PointSpread(PsfShape.GAUSSIAN, FWHM_MM)
    lifted = gaussian.scan.with_voxels(gaussian.scan.voxels + 7.0)
    signals = measure_organs(lifted, gaussian.occupancy, WHITE, background=7.0)
    spill = correct_spill_over(lifted, gaussian.occupancy, signals, WHITE, psf)
    plain = gaussian.corrected(psf)
    np.testing.assert_allclose(spill.totals, plain.totals, rtol=1e-6, atol=1e-6)
    assert spill.misfit == pytest.approx(dict(plain.misfit), abs=1e-6)


def test_a_small_source_within_the_region_it_is_measured_in_is_recovered():
    # A vial of 1.5 mm radius measured within the ball that collects its blur.
    grid = Grid.from_spacing((96, 104, 112), FINE_MM, frame=FRAME)
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    squared = (z - 48) ** 2 + (y - 52) ** 2 + (x - 56) ** 2
    source = np.where(squared < 6**2, 100.0, 0.0)
    truth = source.sum() * FINE_MM**3
    ball = OrganLabels((squared < 12**2).astype(np.uint8), grid, {1: "vial"})
    small = OrganLabels((squared < 6**2).astype(np.uint8), grid, {1: "vial"})
    coarse = coarse_grid(ball)
    scan = Volume(averaged(blurred(source, PsfShape.GAUSSIAN)), coarse)
    occupancy, inner = measure_occupancy(ball, coarse), measure_occupancy(small, coarse).organs
    signals, psf = measure_organs(scan, occupancy, WHITE), PointSpread(PsfShape.GAUSSIAN, FWHM_MM)
    right = correct_spill_over(scan, occupancy, signals, WHITE, psf, inner).totals[0]
    wrong = correct_spill_over(scan, occupancy, signals, WHITE, psf).totals[0]
    assert right == pytest.approx(truth, rel=0.03)
    assert abs(wrong / truth - 1) > 0.1


def test_organs_that_cannot_be_told_apart_are_refused_with_what_to_do(gaussian):
    organ = gaussian.occupancy.organs["liver"]
    twice = type(gaussian.occupancy)(gaussian.grid, {"liver": organ, "liver again": organ})
    signals = measure_organs(gaussian.scan, twice, WHITE)
    said = r"liver and liver again cannot be told apart.*merge: \[\[liver, liver again\]\]"
    with pytest.raises(MeasurementError, match=said):
        correct_spill_over(gaussian.scan, twice, signals, WHITE, PointSpread(PsfShape.GAUSSIAN, FWHM_MM))


def test_a_sliver_of_an_organ_at_the_edge_of_the_field_costs_no_other_its_correction(gaussian):
    sliver = OrganOccupancy(np.array([0]), np.array([1e-5]), 300.0)
    with_it = type(gaussian.occupancy)(gaussian.grid, {**gaussian.occupancy.organs, "tail": sliver})
    signals = measure_organs(gaussian.scan, with_it, WHITE)
    psf = PointSpread(PsfShape.GAUSSIAN, FWHM_MM)
    found = correct_spill_over(gaussian.scan, with_it, signals, WHITE, psf)
    alone = gaussian.corrected(psf)
    at = [found.names.index(name) for name in alone.names]
    np.testing.assert_allclose(found.totals[at], alone.totals, rtol=1e-3)


def test_an_organ_beyond_the_field_of_view_is_refused_by_name(gaussian):
    nothing = OrganOccupancy(np.zeros(0, int), np.zeros(0), 12.0)
    with_one_away = type(gaussian.occupancy)(gaussian.grid, {**gaussian.occupancy.organs, "paw": nothing})
    signals = measure_organs(gaussian.scan, with_one_away, WHITE)
    with pytest.raises(MeasurementError, match="'paw' lies outside the field of view"):
        correct_spill_over(gaussian.scan, with_one_away, signals, WHITE, PointSpread(PsfShape.GAUSSIAN, FWHM_MM))
