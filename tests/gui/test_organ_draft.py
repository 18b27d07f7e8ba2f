"""Organs being drawn, without a window: strokes, undo, locks, names, and the voxels that are painted on."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.gui.alignment_look import Look
from napari_mpi_track.gui.alignment_slices import FACINGS
from napari_mpi_track.gui.organ_brush import brushed
from napari_mpi_track.gui.organ_day import signal_in
from napari_mpi_track.gui.organ_draft import (
    OrganDraft,
    begun,
    drawn,
    joined,
    painted,
    rebased,
    renamed,
    voxels_of,
    with_approval,
    with_lock,
    with_organ,
    without_organ,
)
from napari_mpi_track.gui.organ_finding import label_voxels_in
from napari_mpi_track.gui.organ_look import OrganLook, colour_rows
from napari_mpi_track.gui.organ_work import WorkingLabels, differing
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.quantification.occupancy import measure_occupancy

GRID = Grid.from_spacing((12, 14, 16), (0.8, 1.0, 1.2), (-3.0, 2.0, 5.0))


def two_organs(grid: Grid = GRID) -> OrganDraft:
    voxels = np.zeros(grid.shape, np.uint8)
    voxels[2:6, 2:6, 2:6], voxels[7:10, 8:12, 8:12] = 1, 2
    return begun(OrganLabels(voxels, grid, {1: "liver", 2: "tumour"}), "a file")


def places(*index: tuple[int, int, int]) -> NDArray[np.int64]:
    return np.ravel_multi_index(tuple(np.array(index).T), GRID.shape).astype(np.int64)


def oblique(grid: Grid) -> Grid:
    turn = Transform.from_parts(
        [[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]], (0.0, 0.0, 0.0)
    )
    return Grid(grid.shape, turn.target_from_source @ grid.lps_from_index)


def test_what_is_painted_lies_over_the_labels_and_can_be_painted_back() -> None:
    draft = two_organs()
    over = painted(draft, places((2, 2, 2), (0, 0, 0)), np.array([0, 2], np.uint8))
    assert drawn(over).voxels[2, 2, 2] == 0
    assert drawn(over).voxels[0, 0, 0] == 2
    assert over.edits.voxel.size == 2
    back = painted(over, places((2, 2, 2), (0, 0, 0)), np.array([1, 0], np.uint8))
    assert back.edits.voxel.size == 0
    assert np.array_equal(voxels_of(back), draft.base.voxels)


def test_an_organ_is_added_renamed_joined_and_taken_away() -> None:
    draft, label = with_organ(two_organs(), "spleen")
    assert label == 3
    draft = renamed(draft, 2, "left tumour")
    draft = painted(draft, places((0, 0, 0)), np.array([3], np.uint8))
    assert drawn(draft).names == {1: "liver", 2: "left tumour", 3: "spleen"}
    whole = joined(draft, 3, 2, voxels_of(draft))
    assert whole.names == {1: "liver", 2: "left tumour"}
    assert drawn(whole).voxels[0, 0, 0] == 2
    gone = without_organ(whole, 2, voxels_of(whole))
    assert drawn(gone).names == {1: "liver"}


@pytest.mark.parametrize("name", ["liver", " "])
def test_two_organs_of_one_name_and_none_without_a_name(name: str) -> None:
    with pytest.raises(MeasurementError):
        with_organ(two_organs(), name)


def test_an_approved_organ_says_who_and_when_and_keeps_its_name_until_it_is_opened() -> None:
    draft = two_organs()
    draft = with_approval(draft, 1, "A. Reader", datetime(2026, 3, 1, 9, 30), voxels_of(draft))
    with pytest.raises(MeasurementError, match=r"approved by A\. Reader, 2026-03-01 09:30"):
        renamed(draft, 1, "other")
    assert draft.shut == {1}
    opened = with_lock(draft, 1, is_locked=False)
    assert renamed(opened, 1, "other").names[1] == "other"


def test_edits_stay_where_they_were_painted_when_the_labels_beneath_come_anew() -> None:
    draft = painted(two_organs(), places((0, 0, 0), (2, 2, 2)), np.array([2, 0], np.uint8))
    moved = np.roll(draft.base.voxels, 1, axis=2)
    # The other file numbers its organs the other way round: they meet by their names.
    swapped = np.array([0, 2, 1], np.uint8)[moved]
    again = rebased(draft, OrganLabels(swapped, GRID, {1: "tumour", 2: "liver"}), "carried again")
    now = drawn(again)
    assert now.names[int(now.voxels[0, 0, 0])] == "tumour"
    assert now.voxels[2, 2, 2] == 0
    assert now.names[int(now.voxels[3, 3, 6])] == "liver"


def test_strokes_on_the_shown_array_are_found_and_taken_back() -> None:
    draft = two_organs(Grid(GRID.shape, GRID.lps_from_index @ np.diag([1, -1, 1, 1.0])))
    work = WorkingLabels(draft)
    assert np.shares_memory(work.shown, work.voxels)
    work.shown[0, :2, :3] = 2
    voxel, before, now = work.take_painted()
    assert voxel.size == 6
    assert not before.any()
    assert (now == 2).all()
    assert work.counts[2] == np.count_nonzero(work.voxels == 2)
    after = painted(draft, voxel, now)
    assert work.show(after).size == 0
    assert work.show(draft).size == 6
    assert np.array_equal(work.voxels, draft.base.voxels)
    assert work.counts[2] == np.count_nonzero(draft.base.voxels == 2)


def test_organs_on_an_oblique_grid_are_painted_upright_and_kept_in_their_own_voxels() -> None:
    draft = two_organs(oblique(GRID))
    work = WorkingLabels(draft)
    assert not work.is_shared
    place = draft.base.grid.lps_from(np.array([10.0, 3.0, 3.0]))
    there = np.rint(work.shown_grid.index_from(place)).astype(int)
    work.shown[tuple(slice(i - 1, i + 2) for i in there)] = 1
    voxel, _, now = work.take_painted()
    assert set(now) == {1}
    own = draft.base.grid.lps_from(np.stack(np.unravel_index(voxel, GRID.shape), axis=-1))
    # 27 upright voxels about the place hold about as much volume in its own voxels.
    assert np.abs(own - place).max() < 3.0
    upright, slanted = 27 * work.shown_grid.voxel_volume_mm3, voxel.size * GRID.voxel_volume_mm3
    assert abs(slanted / upright - 1) < 0.35
    before = work.shown.copy()
    work.show(painted(draft, voxel, now))
    work.show(draft)
    assert np.array_equal(work.voxels, draft.base.voxels)
    assert not np.array_equal(work.shown, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_differing_voxels_are_those_numpy_finds(dtype: type) -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 4, (7, 11, 13)).astype(dtype)
    other = one.copy()
    at = rng.choice(one.size, 40, replace=False)
    other.reshape(-1)[at] += 1
    other.reshape(-1)[-1] += 2
    assert np.array_equal(np.sort(differing(one, other)), np.flatnonzero(one != other))


def test_a_brush_covers_what_lies_within_its_radius_of_the_path() -> None:
    start, end = GRID.lps_from(np.array([[5.0, 4.0, 4.0], [5.0, 9.0, 9.0]]))
    ball = brushed(GRID, [start, end], 1.5)
    centres = GRID.lps_from(np.moveaxis(np.indices(GRID.shape), 0, -1)).reshape(-1, 3)
    along = (end - start) / np.linalg.norm(end - start)
    part = np.clip((centres - start) @ along, 0, np.linalg.norm(end - start))
    truth = np.linalg.norm(centres - start - part[:, None] * along, axis=1) <= 1.5
    assert np.array_equal(np.sort(ball), np.flatnonzero(truth))
    flat = brushed(GRID, [start, end], 1.5, plane=(0, 0, 1))
    planes = np.unravel_index(flat, GRID.shape)[0]
    assert set(planes) == {5}
    assert set(flat) <= set(ball)


def test_a_brush_beyond_the_grid_paints_nothing() -> None:
    assert brushed(GRID, [[500.0, 0, 0]], 2.0).size == 0


def test_the_signal_of_label_voxels_adds_up_to_what_occupancy_measures() -> None:
    draft = two_organs()
    scan_grid = Grid.from_spacing((8, 9, 10), 2.1, (-6.0, -2.0, 1.0), "mpi")
    voxels = np.random.default_rng(1).uniform(1, 5, scan_grid.shape)
    scan = Volume(voxels, scan_grid, Modality.MPI)
    turn = Transform.from_parts([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (19.0, 1.0, 0.5))
    occupancy = measure_occupancy(drawn(draft), scan_grid, turn.between(None, "mpi"), samples_per_axis=16)
    organ = occupancy.organs["tumour"]
    truth = float(organ.fraction @ (voxels.ravel()[organ.voxel] - 0.5)) * scan_grid.voxel_volume_mm3
    voxel = np.flatnonzero(draft.base.voxels == 2)
    reckoned = signal_in(scan, 0.5, turn, draft.base.grid, voxel).sum()
    # A label voxel a third of the scan's in size is looked up at 4 x 4 x 4 points.
    assert reckoned == pytest.approx(truth, rel=0.01)


def test_voxels_of_a_mask_are_those_whose_centres_lie_in_it() -> None:
    scan_grid = Grid.from_spacing((8, 9, 10), 2.1, (-6.0, -2.0, 1.0))
    mask = np.zeros(scan_grid.shape, bool)
    mask[2:5, 3:6, 3:7] = True
    shift = Transform.from_parts(np.eye(3), (0.3, -0.2, 0.4))
    found = label_voxels_in(mask, scan_grid, shift, GRID)
    centres = GRID.lps_from(np.moveaxis(np.indices(GRID.shape), 0, -1)).reshape(-1, 3)
    there = np.rint(scan_grid.index_from(shift.map(centres))).astype(int)
    inside = ((there >= 0) & (there < scan_grid.shape)).all(axis=1)
    truth = np.zeros(len(centres), bool)
    truth[inside] = mask[tuple(there[inside].T)]
    assert np.array_equal(np.sort(found), np.flatnonzero(truth))


@pytest.mark.parametrize("matrix", [np.diag([1, 1, 1, 1.0]), np.diag([1, -1, 1, 1.0]), np.eye(4)[[1, 0, 2, 3]]])
@pytest.mark.parametrize("is_oblique", [False, True])
def test_each_pixel_of_a_view_shows_the_label_under_it(matrix: Any, is_oblique: bool) -> None:
    grid = Grid(GRID.shape, matrix @ GRID.lps_from_index)
    grid = oblique(grid) if is_oblique else grid
    draft = two_organs(grid)
    scan = Volume(np.random.default_rng(0).normal(size=grid.shape), grid, Modality.CT)
    middle = grid.lps_from(np.array([8.2, 9.4, 9.7]))
    look = OrganLook(replace(Look.at(scan, None), cross_mm=middle), draft.base.voxels, grid, colour_rows({}))
    for facing in FACINGS.values():
        pane = look.look.pane(facing, 0.37, 60, 50)
        index = np.rint(grid.index_from(pane.points_mm())).astype(int)
        inside = ((index >= 0) & (index < grid.shape)).all(axis=-1)
        truth = np.where(inside, draft.base.voxels[tuple(np.moveaxis(index * inside[..., None], -1, 0))], 0)
        assert np.array_equal(look.labels_at(pane), truth)
        assert set(np.unique(truth)) == {0, 2}
