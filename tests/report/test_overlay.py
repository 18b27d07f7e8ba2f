"""The picture of a timepoint: everything where it lies, whatever the grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import example_organs, example_volume

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.report.figures import figure_bytes
from napari_mpi_track.report.overlay import overlay_figure, overlay_of


def anatomy_with_a_spot(order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """One bright voxel at LPS (+6, -4, +10) mm from the middle, in an array whose axes run any way."""
    shape = np.array([40, 30, 24])
    spacing = np.array([1.0, 1.0, 1.0])
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    lps_of_axis = [2, 1, 0]
    voxel_count = [int(shape[i]) for i in order]
    for axis, world in enumerate(order):
        matrix[lps_of_axis[world], axis] = -spacing[world] if flips[axis] else spacing[world]
    middle = (np.array(voxel_count) - 1) / 2
    matrix[:3, 3] = -matrix[:3, :3] @ middle
    grid = Grid((voxel_count[0], voxel_count[1], voxel_count[2]), matrix, "anatomy")
    voxels = np.zeros(grid.shape, np.float32)
    voxels[tuple(np.rint(grid.index_from([6.5, -4.5, 10.5])).astype(int))] = 100.0
    return Volume(voxels, grid, Modality.MPI, unit="a.u.")


@given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
@settings(deadline=None, max_examples=30)
def test_left_is_right_of_the_picture_and_the_head_on_top_however_the_scan_is_stored(
    order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    scan = anatomy_with_a_spot((order[0], order[1], order[2]), flips)
    views = {view.name: view for view in overlay_of(scan, subject="m", day=0).views}
    assert {name: view.letters for name, view in views.items()} == {
        "coronal": "RLIS",
        "sagittal": "APIS",
        "axial": "RLPA",
    }
    # Rows count from the bottom: z grows upwards, y (to the back) grows to the right or, in axial views, downwards.
    assert np.argwhere(views["coronal"].signal > 50).tolist() == [[30, 18]]
    assert np.argwhere(views["sagittal"].signal > 50).tolist() == [[30, 10]]
    assert np.argwhere(views["axial"].signal > 50).tolist() == [[29 - 10, 18]]


def test_the_scan_is_drawn_where_the_alignment_puts_it() -> None:
    scan = example_volume(Modality.MPI, frame="mpi")
    anatomy = example_volume(Modality.MR, seed=3, frame="anatomy")
    moved = Transform.from_parts(np.eye(3), (2.0, 0.0, 0.0), "anatomy", "mpi")
    still = overlay_of(scan, subject="m", day=0, anatomy=anatomy)
    shifted = overlay_of(scan, subject="m", day=0, anatomy=anatomy, scan_from_anatomy=moved)
    columns_still = still.views[0].signal.sum(axis=0)
    columns_shifted = shifted.views[0].signal.sum(axis=0)
    # A point of the anatomy at x shows the scan at x + 2 mm: the picture moves two 1 mm columns to the left.
    np.testing.assert_allclose(columns_shifted[:-2], columns_still[2:], rtol=1e-4)


def test_organs_are_drawn_on_the_anatomy_and_set_the_colour_scale() -> None:
    organs = example_organs()
    scan = example_volume()
    outshining = scan.with_voxels(np.where(np.arange(12)[:, None, None] == 11, 900.0, scan.voxels).astype(np.float32))
    overlay = overlay_of(outshining, subject="m", day=0, organs=organs)
    assert overlay.maximum < 50
    assert set(overlay.views[0].organs) == {"liver", "bone"}
    np.testing.assert_array_equal(overlay.views[0].organs["liver"], organs.mask("liver").any(axis=1))


def test_organs_of_another_day_come_through_their_alignment() -> None:
    organs = example_organs(frame="day 0")
    anatomy = example_volume(Modality.MR, frame="day 3")
    carried = Transform.from_parts(np.eye(3), (1.0, 0.0, 0.0), "day 0", "day 3")
    overlay = overlay_of(
        example_volume(frame="mpi"), subject="m", day=3, anatomy=anatomy, organs=organs, anatomy_from_organs=carried
    )
    before = organs.mask("liver").any(axis=1)
    after = overlay.views[0].organs["liver"]
    np.testing.assert_array_equal(after[:, 1:], before[:, :-1])


def test_a_projection_has_one_view() -> None:
    voxels = np.zeros((1, 20, 16), np.float32)
    voxels[0, 5:9, 4:8] = 10
    grid = Grid.from_spacing((1, 20, 16), (1.0, 0.5, 0.5), frame="mpi")
    scan = Volume(voxels, grid, Modality.MPI, unit="a.u.", is_projection=True)
    overlay = overlay_of(scan, subject="m", day=0)
    assert [view.name for view in overlay.views] == ["axial"]
    assert figure_bytes(overlay_figure(overlay), "png").startswith(b"\x89PNG")


def test_a_large_scan_is_thinned_but_keeps_its_size_in_mm() -> None:
    scan = Volume(
        np.zeros((700, 20, 21), np.int16), Grid.from_spacing((700, 20, 21), (0.2, 1.0, 1.0), frame="mpi"), Modality.MPI
    )
    view = overlay_of(scan, subject="m", day=0).views[0]
    assert view.signal.shape[0] <= 260
    # One thinned voxel is 0.6 mm.
    assert view.size_mm[0] == pytest.approx(140.0, abs=0.6)


def test_noise_is_clear_and_signal_is_not() -> None:
    overlay = overlay_of(example_volume(), subject="m", day=2, noise_sd=0.5)
    picture = overlay_figure(overlay).axes[0].images[0].get_array()
    grey = np.ptp(np.asarray(picture, dtype=int), axis=-1) == 0
    signal = overlay.views[0].signal
    assert grey[signal <= 2.5].all()
    assert not grey[signal > 10].any()


def test_voxels_without_a_number_are_drawn_as_nothing() -> None:
    scan = example_volume()
    holed = scan.voxels.copy()
    holed[0, 0, 0] = np.nan
    overlay = overlay_of(scan.with_voxels(holed), subject="m", day=0)
    assert np.isfinite(overlay.views[0].signal).all()


def test_a_constant_anatomy_is_still_a_picture() -> None:
    flat = example_volume(Modality.MR)
    flat = flat.with_voxels(np.full(flat.grid.shape, 5.0, np.float32))
    overlay = overlay_of(example_volume(), subject="m", day=0, anatomy=flat, organs=example_organs())
    assert figure_bytes(overlay_figure(overlay, maximum=80.0), "svg") == figure_bytes(
        overlay_figure(overlay, maximum=80.0), "svg"
    )


def test_the_picture_says_who_and_when_how_long_and_in_what_unit() -> None:
    words = figure_bytes(
        overlay_figure(overlay_of(example_volume(), subject="m07", day=3, noise_sd=0.5)), "svg"
    ).decode()
    for word in ("MPI m07, day 3", "mm<", "MPI signal (a.u.)", "5 x noise"):
        assert word in words
    baseline = overlay_of(example_volume(), subject="m07", day=-1)
    assert "MPI m07, before injection" in figure_bytes(overlay_figure(baseline), "svg").decode()


def test_labels_of_no_organ_draw_no_outline() -> None:
    grid = example_organs().grid
    empty = OrganLabels(np.zeros(grid.shape, np.uint8), grid)
    overlay = overlay_of(example_volume(), subject="m", day=0, organs=empty)
    assert overlay.views[0].organs == {}


def test_a_photograph_of_light_names_no_sides_of_the_body() -> None:
    grid = Grid.from_spacing((1, 40, 30), (1.0, 0.5, 0.5))
    light = Volume(np.ones(grid.shape, np.float32), grid, Modality.BLI, is_projection=True)
    [view] = overlay_of(light, subject="m01", day=1.0).views
    assert (view.name, view.letters.strip()) == ("", "")


def test_a_picture_is_at_most_as_wide_as_two_columns_in_print() -> None:
    for anatomy in (None, example_volume(Modality.MR)):
        wide, _ = overlay_figure(overlay_of(example_volume(), subject="m", day=0, anatomy=anatomy)).get_size_inches()
        assert 25.4 * wide <= 180.0 + 1e-6
