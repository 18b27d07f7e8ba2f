"""Voxels that nobody can change, shared without copies."""

import mmap
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from assertions import assert_frozen, assert_same_scan
from hypothesis import given, settings
from strategies import any_grids, organ_labels, seeds, volumes

from napari_mpi_track.errors import GridMismatchError, MeasurementError, TableError
from napari_mpi_track.imaging.frozen import frozen
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Modality, Volume

quick = settings(deadline=None, max_examples=25)
GRID = Grid.from_spacing((2, 3, 4), (2.0, 1.0, 0.5))


@given(any_grids(), seeds())
@quick
def test_writing_to_voxels_raises_even_through_what_the_caller_keeps(grid, seed):
    kept = np.random.default_rng(seed).normal(size=grid.shape)
    view = kept[:]
    view.flags.writeable = False
    for given_voxels in (kept, view, kept[::-1]):
        scan = Volume(given_voxels, grid)
        before = scan.voxels.copy()
        kept += 1
        np.testing.assert_array_equal(scan.voxels, before)
        assert_frozen(scan.voxels)


def test_a_frozen_array_is_shared_not_copied():
    voxels = frozen(np.arange(24.0).reshape(GRID.shape))
    scan = Volume(voxels, GRID)
    assert np.shares_memory(scan.voxels, voxels)
    assert np.shares_memory(Volume(voxels[::-1], GRID).voxels, voxels)
    assert np.shares_memory(Volume(voxels.reshape(GRID.shape), GRID).voxels, voxels)


def test_a_read_only_memory_map_is_shared_and_a_writeable_one_copied(tmp_path):
    file = tmp_path / "voxels.raw"
    np.arange(24, dtype=">i2").tofile(file)
    read_only = np.memmap(file, dtype=">i2", mode="r", shape=GRID.shape)
    scan = Volume(read_only, GRID)
    assert np.shares_memory(scan.voxels, read_only)
    assert scan.voxels.dtype == np.dtype(">i2")
    for mode in ("r+", "c"):
        writeable = np.memmap(file, dtype=">i2", mode=mode, shape=GRID.shape)
        copied = Volume(writeable, GRID)
        assert not np.shares_memory(copied.voxels, writeable)
        writeable[:] = -1
        assert copied.voxels.max() == 23
        del writeable
        np.arange(24, dtype=">i2").tofile(file)


def test_a_view_of_a_buffer_that_others_can_write_is_copied():
    buffer = bytearray(np.arange(24.0).tobytes())
    view = np.frombuffer(buffer).reshape(GRID.shape)
    view.flags.writeable = False
    scan = Volume(view, GRID)
    buffer[:] = bytes(len(buffer))
    assert scan.voxels.max() == 23


def test_a_view_of_a_writeable_mapping_is_copied():
    with mmap.mmap(-1, 24 * 8) as mapping:
        view = np.frombuffer(mapping).reshape(GRID.shape)
        view.flags.writeable = False
        scan = Volume(view, GRID)
        shares = np.shares_memory(scan.voxels, view)
        del view
        assert not shares
        del scan


def test_bytes_cannot_be_written_and_are_shared():
    view = np.frombuffer(np.arange(24.0).tobytes()).reshape(GRID.shape)
    assert np.shares_memory(Volume(view, GRID).voxels, view)


@given(volumes())
@quick
def test_a_scan_survives_pickling_and_stays_frozen(scan):
    noted = replace(scan, metadata={"injected_activity_bq": 1e4}, warnings=["spacing given by hand"], name="day 1")
    again = pickle.loads(pickle.dumps(noted))
    assert_same_scan(again, noted)
    assert_frozen(again.voxels)
    assert_frozen(again.grid.lps_from_index)
    assert again.voxels.dtype == noted.voxels.dtype.newbyteorder("=")
    assert dict(again.metadata) == {"injected_activity_bq": 1e4}
    assert again.warnings == ("spacing given by hand",)
    with pytest.raises(TypeError):
        again.metadata["injected_activity_bq"] = 0


@given(organ_labels())
@quick
def test_labels_survive_pickling_and_stay_frozen(labels):
    coloured = replace(labels, colours=dict.fromkeys(labels.names, (1.0, 0.0, 0.5)))
    again = pickle.loads(pickle.dumps(coloured))
    assert_same_scan(again, coloured)
    assert_frozen(again.voxels)
    assert dict(again.names) == dict(labels.names)
    assert dict(again.colours) == dict(coloured.colours)
    with pytest.raises(TypeError):
        again.names[1] = "liver"


@given(volumes())
@quick
def test_a_changed_scan_is_a_new_scan_that_shares_voxels(scan):
    for changed in (replace(scan, name="other"), scan.in_frame("bed")):
        assert np.shares_memory(changed.voxels, scan.voxels)
    assert scan.in_frame("bed").grid.frame == "bed"
    other = scan.with_voxels(np.zeros(scan.grid.shape), is_linearised=True)
    assert other.grid is scan.grid
    assert other.is_linearised
    with pytest.raises(FrozenInstanceError):
        scan.name = "other"


def test_metadata_kept_by_the_caller_cannot_change_a_scan():
    kept = {"weight_g": 24.0}
    scan = Volume(np.zeros(GRID.shape), GRID, metadata=kept)
    kept["weight_g"] = 0.0
    assert scan.metadata["weight_g"] == 24.0


@pytest.mark.parametrize(
    "voxels", [np.zeros((2, 3, 4), complex), np.zeros((2, 3, 4), "U1"), np.zeros((2, 3, 4), "M8[s]")]
)
def test_only_real_numbers_are_voxels(voxels):
    with pytest.raises(MeasurementError, match="real numbers"):
        Volume(voxels, GRID)


def test_voxels_and_grid_must_have_one_shape():
    with pytest.raises(GridMismatchError, match=r"\(4, 3, 2\)"):
        Volume(np.zeros((4, 3, 2)), GRID)
    with pytest.raises(GridMismatchError, match="labels have shape"):
        OrganLabels(np.zeros((4, 3, 2), int), GRID)


def test_a_projection_is_measured_by_area_a_volume_by_volume_and_a_bare_slice_not_at_all():
    plane = Grid.from_spacing((1, 3, 4), (7.0, 2.0, 0.5))
    voxels = np.ones(plane.shape)
    assert Volume(voxels, plane, is_projection=True).voxel_measure == pytest.approx(1.0)
    assert Volume(voxels, plane).voxel_measure == pytest.approx(7.0)
    with pytest.raises(MeasurementError, match="thickness"):
        _ = Volume(voxels, plane, has_thickness=False).voxel_measure
    with pytest.raises(GridMismatchError, match="one plane"):
        Volume(np.zeros(GRID.shape), GRID, Modality.MPI, is_projection=True)


def test_an_organ_without_a_name_is_called_by_its_number():
    voxels = np.zeros(GRID.shape, np.uint16)
    voxels[0, 0, 0], voxels[1, 2, 3] = 7, 300
    labels = OrganLabels(voxels, GRID, {7: "liver", 9: "not there"})
    assert dict(labels.names) == {7: "liver", 300: "300"}
    assert labels.mask("300").sum() == 1
    assert dict(labels.renamed({300: "spleen"}).names) == {7: "7", 300: "spleen"}
    with pytest.raises(MeasurementError, match="'lung'"):
        labels.mask("lung")


def test_labels_that_are_no_labels_are_refused():
    with pytest.raises(MeasurementError, match="integers"):
        OrganLabels(np.zeros(GRID.shape), GRID)
    negative = np.zeros(GRID.shape, np.int8)
    negative[0, 0, 0] = -1
    with pytest.raises(MeasurementError, match="negative"):
        OrganLabels(negative, GRID)
    two = np.zeros(GRID.shape, np.int8)
    two.flat[:2] = 1, 2
    with pytest.raises(MeasurementError, match="share one name"):
        OrganLabels(two, GRID, {1: "lung", 2: "lung"})


def test_points_are_named_finite_and_frozen():
    kept = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    points = Points(["a", "b"], kept, "bed")
    kept[:] = 0
    assert points.positions_mm[1, 2] == 6.0
    assert_frozen(points.positions_mm)
    assert_frozen(pickle.loads(pickle.dumps(points)).positions_mm)
    assert len(points) == 2
    assert points.in_frame(None).frame is None
    for names, positions in ((["a"], kept), (["a", "a"], kept), (["a", "b"], kept * np.nan)):
        with pytest.raises(TableError):
            Points(names, positions)
