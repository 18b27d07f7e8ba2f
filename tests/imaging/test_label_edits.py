"""Edits are kept apart from the labels they were painted over, and come through files as they were."""

import pickle

import numpy as np
import pytest
from assertions import assert_same_scan
from hypothesis import given, settings
from strategies import seeds

from napari_mpi_track.errors import FrameMismatchError, GridMismatchError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.label_edits import LabelEdits
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.readers.organs import read_organs
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((3, 4, 5), (1.0, 0.5, 0.7), frame="ct")
NAMES = {1: "liver", 2: "spleen", 3: "knee"}


def organs(voxels: object, names: dict[int, str] = NAMES, grid: Grid = GRID) -> OrganLabels:
    return OrganLabels(np.asarray(voxels), grid, names)


@given(seeds())
@settings(max_examples=30, deadline=None)
def test_edits_laid_over_what_was_before_give_what_was_after(seed: int) -> None:
    before, after = np.random.default_rng(seed).integers(0, 4, (2, *GRID.shape), dtype=np.uint8)
    edits = LabelEdits.between(organs(before), organs(after))
    assert edits.voxel.size == np.count_nonzero(before != after)
    assert_same_scan(edits.applied_to(organs(before)), organs(after))


def test_edits_meet_organs_by_name_whatever_their_values() -> None:
    before = np.zeros(GRID.shape, np.uint8)
    after = before.copy()
    after[0, 0, :3] = (1, 2, 3)
    edits = LabelEdits.between(organs(before), organs(after))
    elsewhere = np.full(GRID.shape, 1, np.uint8)
    elsewhere[2] = 7
    painted = edits.applied_to(organs(elsewhere, {1: "spleen", 7: "liver"}))
    assert painted.mask("liver")[0, 0, 0]
    assert painted.mask("spleen")[0, 0, 1]
    # 3 was free, so the new organ keeps it.
    assert painted.names[3] == "knee"
    assert painted.mask("knee").sum() == 1


def test_a_new_organ_whose_value_is_taken_gets_the_next_one() -> None:
    before = np.zeros(GRID.shape, np.uint8)
    after = before.copy()
    after[0, 0, 0] = 3
    edits = LabelEdits.between(organs(before), organs(after))
    painted = edits.applied_to(organs(np.full(GRID.shape, 3, np.uint8), {3: "lung"}))
    assert dict(painted.names) == {3: "lung", 4: "knee"}
    assert painted.mask("lung").sum() == 59


def test_a_locked_organ_loses_no_voxel_and_gains_none() -> None:
    before = np.zeros(GRID.shape, np.uint8)
    before[0], before[1] = 1, 2
    after = before.copy()
    after[0, 0, :] = 3  # out of the liver
    after[2, 0, :] = 1  # into the liver
    after[1, 0, :] = 0  # erased from the spleen
    edits = LabelEdits.between(organs(before), organs(after))
    painted = edits.applied_to(organs(before), locked=["liver"])
    np.testing.assert_array_equal(painted.mask("liver"), before == 1)
    assert painted.mask("spleen").sum() == 15
    assert edits.kept_out(organs(before), ["liver"]) == 10
    assert edits.kept_out(organs(before), []) == 0


@pytest.mark.parametrize("ending", [".nii.gz", ".seg.nrrd"])
def test_edits_come_back_from_a_file_with_erased_voxels_and_names(tmp_path, ending: str) -> None:
    before = np.full(GRID.shape, 2, np.uint8)
    after = before.copy()
    after[0, 1, 2], after[2, 3, 4] = 0, 1
    edits = LabelEdits.between(organs(before), organs(after))
    write_volume(edits.as_labels(), tmp_path / f"edits{ending}")
    back = LabelEdits.from_labels(read_organs(tmp_path / f"edits{ending}"))
    np.testing.assert_array_equal(back.voxel, [1 * 5 + 2, 2 * 20 + 3 * 5 + 4])
    np.testing.assert_array_equal(back.value, [0, 1])
    assert dict(back.names) == {1: "liver"}


def test_edits_from_a_file_without_names_meet_organs_by_number(tmp_path) -> None:
    before = np.full(GRID.shape, 2, np.uint8)
    after = before.copy()
    after[0, 1, 2], after[2, 3, 4] = 0, 1
    write_volume(LabelEdits.between(organs(before), organs(after)).as_labels(), tmp_path / "edits.mha")
    back = LabelEdits.from_labels(read_organs(tmp_path / "edits.mha"))
    before[0, 0, 0] = 1
    after[0, 0, 0] = 1
    assert_same_scan(back.applied_to(organs(before)), organs(after))


def test_later_edits_go_over_earlier_ones() -> None:
    empty = np.zeros(GRID.shape, np.uint8)
    first, second = empty.copy(), empty.copy()
    first[0, 0, :3] = 1
    second[0, 0, 2:5] = 1
    earlier = LabelEdits.between(organs(empty), organs(first, {1: "liver"}))
    later = LabelEdits.between(organs(empty), organs(second, {1: "knee"}))
    both = earlier.then(later).applied_to(organs(empty))
    assert both.mask("liver").sum() == 2
    assert both.mask("knee").sum() == 3


def test_edits_of_another_grid_or_frame_are_refused() -> None:
    empty = organs(np.zeros(GRID.shape, np.uint8))
    edits = LabelEdits(GRID, np.array([4]), np.array([1]))
    with pytest.raises(FrameMismatchError, match="carry the organs"):
        edits.applied_to(empty.in_frame("mri"))
    moved = Grid.from_spacing(GRID.shape, (1.0, 0.5, 0.7), (0, 0, 3))
    with pytest.raises(GridMismatchError, match="3 mm away"):
        edits.applied_to(organs(np.zeros(GRID.shape, np.uint8), grid=moved))


def test_renaming_is_not_taken_for_painting() -> None:
    ones = np.ones(GRID.shape, np.uint8)
    with pytest.raises(MeasurementError, match="'liver' before and 'Leber' after"):
        LabelEdits.between(organs(ones), organs(ones, {1: "Leber"}))


def test_edits_survive_pickling_and_cannot_be_written_to() -> None:
    edits = pickle.loads(pickle.dumps(LabelEdits(GRID, np.array([4, 1]), np.array([1, 0]), {1: "liver"})))
    assert edits.voxel.tolist() == [1, 4]
    with pytest.raises(ValueError, match="read-only"):
        edits.value[0] = 1
