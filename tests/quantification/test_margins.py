"""A deposit in an organ's core measured with a margin, and organs too close measured as one."""

import numpy as np
import pytest

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise as ScanNoise
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.quantification.margins import margin_mm, margin_of, merged
from napari_mpi_track.quantification.occupancy import OUTSIDE, TOTAL, measure_occupancy
from napari_mpi_track.simulation.anatomy import Solid, ellipsoid
from napari_mpi_track.simulation.scanner import Blur, blurred, labelled

GRID = Grid.from_spacing((30, 34, 38), 1.0, frame="bed")
SOLIDS = {
    "liver": Solid((ellipsoid((11, 16, 14), (7, 7, 8)),)),
    "tumour": Solid((ellipsoid((28, 14, 16), (4, 4, 4)),)),
    "lymph node": Solid((ellipsoid((28, 21, 16), (1.5, 1.5, 1.5)),)),
}
DEPOSIT = Solid((ellipsoid((28.7, 13.2, 16.4), (1, 1, 1)),))
QUIET = ScanNoise(0.05, 0.0, np.ones((1, 1, 1)), "made up")
BOTH = pytest.mark.parametrize("shape", list(PsfShape))


@pytest.fixture(scope="module")
def organs():
    fine = Grid.from_spacing((91, 103, 115), 0.33, frame="bed")
    return OrganLabels(labelled(SOLIDS, fine, np.eye(4)), fine, dict(enumerate(SOLIDS, 1)))


def scan(shape, *, liver=4e5, deposit=3e4, node=0.0, fwhm_mm=3.0):
    """A bright liver, a deposit in the tumour off its middle, a lymph node next to it; voxel means, no noise."""
    lit = [(SOLIDS["liver"], liver), (DEPOSIT, deposit), (SOLIDS["lymph node"], node)]
    return Volume(blurred(lit, GRID, np.eye(4), Blur(shape.value, (fwhm_mm,) * 3)), GRID)


def measured(organs, volume, shape, fwhm_mm=3.0, **more):
    return measure_scan(volume, QUIET, organs, None, point_spread=PointSpread(shape, fwhm_mm), **more)


@BOTH
@pytest.mark.parametrize("fwhm_mm", [2.0, 4.0])
def test_a_deposit_in_the_core_of_a_tumour_comes_out_within_2_percent_and_lit_evenly_it_would_not(
    organs, shape, fwhm_mm
):
    volume = scan(shape, fwhm_mm=fwhm_mm)
    with_margin = measured(organs, volume, shape, fwhm_mm, with_margin=("tumour",))
    evenly = measured(organs, volume, shape, fwhm_mm)
    assert with_margin.signal_of(["tumour"])[0].value == pytest.approx(3e4, rel=0.02)
    assert with_margin.signal_of(["liver"])[0].value == pytest.approx(4e5, rel=0.02)
    assert evenly.signal_of(["tumour"])[0].value > 1.3 * 3e4
    assert evenly.spill.uniformity.is_uneven("tumour")
    assert "not_uniform" in evenly.flags_of("tumour")
    assert "not_uniform" not in with_margin.flags_of("tumour")
    assert any("tumour is measured with a margin" in said for said in with_margin.doubts())


def test_organs_with_a_margin_and_outside_still_add_up_to_the_scan(organs):
    shown = measured(organs, scan(PsfShape.GAUSSIAN), PsfShape.GAUSSIAN, with_margin=("tumour",)).signals
    parts = sum(shown.organs[name].total for name in (*shown.names, OUTSIDE))
    assert parts == pytest.approx(shown.organs[TOTAL].total, rel=1e-9)
    assert shown.organs["tumour"].volume_mm3 == pytest.approx(4 / 3 * np.pi * 64, rel=0.02)


def test_a_margin_with_another_lit_organ_in_it_is_refused_by_name(organs):
    volume = scan(PsfShape.GAUSSIAN, node=1e4)
    with pytest.raises(MeasurementError, match=r"'lymph node' lies within it and lights .* % .*merge"):
        measured(organs, volume, PsfShape.GAUSSIAN, with_margin=("tumour",))
    # The same node without light of its own is no reason.
    measured(organs, scan(PsfShape.GAUSSIAN), PsfShape.GAUSSIAN, with_margin=("tumour",))


def test_a_deposit_that_has_faded_into_the_noise_is_measured_as_what_is_left(organs):
    rng = np.random.default_rng(0)
    faded = Volume(rng.normal(0, 1.0, GRID.shape), GRID)
    noise = ScanNoise(1.0, 0.0, np.ones((1, 1, 1)), "made up")
    psf = PointSpread(PsfShape.GAUSSIAN, 3.0)
    found = measure_scan(faded, noise, organs, None, point_spread=psf, with_margin=("tumour",))
    value, errors = found.signal_of(["tumour"])
    # Some 1,000 voxels of SD 1.
    assert abs(value.value) < 4 * errors.noise
    assert errors.noise == pytest.approx(np.sqrt(found.occupancy.organs["tumour"].fraction.sum()), rel=0.1)


def test_without_a_point_spread_nothing_may_lie_within_a_margin(organs):
    volume = scan(PsfShape.GAUSSIAN)
    with pytest.raises(MeasurementError, match="lymph node"):
        measure_scan(volume, QUIET, organs, None, with_margin=("tumour",))
    alone = organs.renamed(organs.names)
    alone = OrganLabels(np.where(alone.voxels == 3, 0, alone.voxels), alone.grid, {1: "liver", 2: "tumour"})
    total = measure_scan(volume, QUIET, alone, None, with_margin=("tumour",)).signal_of(["tumour"])[0].value
    assert total == pytest.approx(3e4, rel=0.05)


def test_a_margin_reaches_as_far_as_the_blur_and_takes_no_other_organ_s_voxels(organs):
    assert margin_mm(None) == 3.0
    assert margin_mm(PointSpread(PsfShape.GAUSSIAN, (2.0, 1.0, 2.0))) == 3.0
    assert margin_mm(PointSpread(PsfShape.GAUSSIAN, (2.0, 4.5, 2.0))) == 4.5
    occupancy = measure_occupancy(organs, GRID)
    margin = margin_of(scan(PsfShape.GAUSSIAN), occupancy, "tumour", 3.0)
    assert margin.within == ("lymph node",)
    node, taken = occupancy.organs["lymph node"].dense(GRID.shape), margin.region.dense(GRID.shape)
    assert (node + taken).max() <= 1 + 1e-9
    index = np.stack(np.nonzero(taken), axis=-1)
    farthest = np.linalg.norm(GRID.lps_from(index) - [28, 14, 16], axis=1).max()
    # A tumour of 4 mm radius, a margin of 3 mm, and half a voxel's diagonal.
    assert 6.5 < farthest < 7.9
    deposit = np.average(
        np.stack(np.unravel_index(margin.deposit.voxel, GRID.shape), axis=-1), axis=0, weights=margin.deposit.fraction
    )
    np.testing.assert_allclose(GRID.lps_from(deposit), [28.7, 13.2, 16.4], atol=0.3)


def test_organs_measured_as_one_have_the_voxels_of_both_and_stand_where_the_first_did(organs):
    occupancy = measure_occupancy(organs, GRID)
    one = merged(occupancy, [["lymph node", "tumour"]])
    assert list(one.organs) == ["liver", "lymph node + tumour"]
    both = one.organs["lymph node + tumour"]
    parts = [occupancy.organs[name] for name in ("tumour", "lymph node")]
    np.testing.assert_allclose(both.dense(GRID.shape), sum(part.dense(GRID.shape) for part in parts), atol=1e-12)
    assert both.volume_mm3 == pytest.approx(sum(part.volume_mm3 for part in parts))
    assert list(merged(occupancy, [["spleen", "tumour"]]).organs) == ["liver", "spleen + tumour", "lymph node"]
    assert merged(occupancy, []).organs.keys() == occupancy.organs.keys()


def test_two_halves_of_an_organ_the_blur_cannot_tell_apart_are_measured_as_one_on_request(organs):
    halves = organs.voxels.copy()
    halves[(halves == 3) & (np.arange(115) % 2 == 1)] = 4
    both = OrganLabels(halves, organs.grid, {**organs.names, 3: "left half", 4: "right half"})
    volume = scan(PsfShape.GAUSSIAN, deposit=0, node=1e4)
    noise = ScanNoise(1.0, 0.0, np.ones((1, 1, 1)), "made up")
    psf = PointSpread(PsfShape.GAUSSIAN, 3.0)
    apart = measure_scan(volume, noise, both, None, point_spread=psf)
    assert any("left half and right half are hardly told apart" in said for said in apart.doubts())
    assert any("--merge 'left half,right half'" in said for said in apart.doubts())
    assert "spill_over_dominated" in apart.flags_of("left half")
    one = measure_scan(volume, noise, both, None, point_spread=psf, merge=[["left half", "right half"]])
    assert one.signal_of(["left half + right half"])[0].value == pytest.approx(1e4, rel=0.05)
