"""A scan is drawn where SimpleITK says its voxels lie, and comes back as it was acquired."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels
from napari.layers import Points as PointsLayer
from strategies import any_grids, organ_labels, seeds, volumes

from napari_mpi_track.errors import GridMismatchError
from napari_mpi_track.gui.display_grid import display_grid
from napari_mpi_track.gui.layers import (
    METADATA_KEY,
    layer_name,
    organ_layer,
    organs_from_layer,
    points_from_layer,
    points_layer,
    scan_from_layer,
    scan_layer,
    scan_layer_onto,
)
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.itk import to_itk
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.report.figures import organ_colour

SIGNED_PERMUTATIONS = [
    np.eye(3)[:, list(order)] * signs for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@st.composite
def grids(draw: st.DrawFn, degrees: float) -> Grid:
    """Anisotropic, never cubic, permuted and flipped grids, tilted by up to ``degrees`` about any axis."""
    shape = tuple(draw(st.permutations([5, 7, 9])))
    spacing = draw(st.tuples(*[st.floats(0.3, 2.0)] * 3))
    axis = np.array(draw(st.tuples(*[st.floats(0.1, 1.0)] * 3)))
    turned = rotation(axis, draw(st.floats(-degrees, degrees)) if degrees else 0.0)
    matrix = np.eye(4)
    matrix[:3, :3] = turned @ draw(st.sampled_from(SIGNED_PERMUTATIONS)) * np.asarray(spacing)
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-80, 80)] * 3))
    return Grid(shape, matrix, draw(st.sampled_from([None, "scanner"])))


def itk_points(grid: Grid) -> np.ndarray:
    """Every voxel centre by SimpleITK, LPS mm, shape (planes, rows, columns, 3)."""
    image = to_itk(Volume(np.zeros(grid.shape, np.float32), grid))
    points = [image.TransformIndexToPhysicalPoint((i, j, k)) for k, j, i in np.ndindex(*grid.shape)]
    return np.reshape(points, (*grid.shape, 3))


def layer_index(layer: tuple, points_mm: np.ndarray) -> np.ndarray:
    """Where napari draws LPS points, as fractional index of the layer's array."""
    place = layer[1]
    return (points_mm[..., ::-1] - np.asarray(place["translate"])) / np.asarray(place["scale"])


@settings(deadline=None, max_examples=60)
@given(grids(degrees=0), st.integers(0, 2**32 - 1))
def test_every_voxel_of_a_permuted_and_flipped_scan_is_drawn_where_simpleitk_puts_it(grid: Grid, seed: int) -> None:
    scan = Volume(np.random.default_rng(seed).normal(size=grid.shape), grid, Modality.MR)
    layer = scan_layer(scan)
    index = layer_index(layer, itk_points(grid))
    nearest = np.rint(index).astype(int)
    assert np.abs(index - nearest).max() < 1e-6
    np.testing.assert_array_equal(layer[0][tuple(np.moveaxis(nearest, -1, 0))], scan.voxels)


def test_a_scan_along_the_axes_is_shown_without_a_copy() -> None:
    grid = Grid.from_spacing((4, 5, 6), (1.0, 2.0, 3.0))
    scan = Volume(np.zeros(grid.shape, np.float32), grid, Modality.CT)
    assert np.shares_memory(scan_layer(scan)[0], scan.voxels)


@settings(deadline=None, max_examples=40)
@given(grids(degrees=40))
def test_an_oblique_scan_is_drawn_where_simpleitk_puts_it(grid: Grid) -> None:
    # A ramp over the world survives linear interpolation exactly, so every drawn voxel must show its own place.
    slope = np.array([0.7, -1.3, 2.1])
    scan = Volume(itk_points(grid) @ slope + 5000.0, grid, Modality.MR)
    voxels, place, _ = scan_layer(scan)
    display = display_grid(grid)
    zyx = np.moveaxis(np.indices(voxels.shape), 0, -1) * np.asarray(place["scale"]) + np.asarray(place["translate"])
    points = zyx[..., ::-1]
    inside = np.all((grid.index_from(points) > 0.01) & (grid.index_from(points) < np.array(grid.shape) - 1.01), axis=-1)
    error_mm = np.abs(voxels - (points @ slope + 5000.0))[inside] / np.linalg.norm(slope)
    # Drawn unresampled only where no voxel is more than a quarter of the finest spacing off its place.
    allowed = 1e-3 if display.ordering is None else 0.25 * grid.spacing_mm.min() + 1e-6
    assert error_mm.max(initial=0.0) <= allowed
    # Nothing of the scan lies outside the picture.
    box = Grid.from_spacing(voxels.shape, place["scale"], place["translate"][::-1])
    assert display.ordering is not None or box.contains(itk_points(grid)).all()


@settings(deadline=None, max_examples=40)
@given(grids(degrees=40), st.sampled_from([np.float32, np.int16, np.uint8, np.dtype(">i2"), np.bool_]))
def test_a_scan_comes_back_from_napari_as_it_was_acquired(grid: Grid, dtype: type) -> None:
    scan = Volume(
        (np.arange(np.prod(grid.shape)).reshape(grid.shape) % 100).astype(dtype), grid, Modality.CT, unit="HU"
    )
    voxels, place, _ = scan_layer(scan)
    voxels, place, _ = Image(voxels, **place).as_layer_data_tuple()
    assert scan_from_layer(voxels, place) is scan


@settings(deadline=None, max_examples=60)
@given(volumes(any_grids()))
def test_any_scan_comes_back_and_is_drawn_within_a_quarter_voxel_or_resampled(scan: Volume) -> None:
    voxels, place, _ = scan_layer(scan)
    assert scan_from_layer(voxels, place) is scan
    display = display_grid(scan.grid)
    assert voxels.shape == display.grid.shape
    if display.ordering is None:
        return
    index = layer_index((voxels, place), itk_points(scan.grid))
    nearest = np.rint(index).astype(int)
    off_mm = np.linalg.norm((index - nearest) * place["scale"], axis=-1)
    assert off_mm.max() <= 0.25 * scan.grid.spacing_mm.min() + 1e-6
    np.testing.assert_array_equal(voxels[tuple(np.moveaxis(nearest, -1, 0))], scan.voxels)


@settings(deadline=None, max_examples=40)
@given(organ_labels(any_grids()), seeds())
def test_any_organs_come_back_and_only_painted_voxels_change(organs: OrganLabels, seed: int) -> None:
    painted, place, _ = organ_layer(organs)
    np.testing.assert_array_equal(organs_from_layer(painted, place).voxels, organs.voxels)
    rng = np.random.default_rng(seed)
    touched = tuple(int(rng.integers(n)) for n in painted.shape)
    painted[touched] = 201
    back = organs_from_layer(painted, place)
    changed_mm = itk_points(organs.grid)[back.voxels != organs.voxels]
    painted_mm = (np.array(touched) * place["scale"] + place["translate"])[::-1]
    reach_mm = np.linalg.norm(place["scale"]) + np.linalg.norm(organs.grid.spacing_mm)
    assert np.linalg.norm(changed_mm - painted_mm, axis=1).max(initial=0.0) <= reach_mm


@settings(deadline=None, max_examples=40)
@given(grids(degrees=0))
def test_changed_voxels_come_back_in_the_acquired_order(grid: Grid) -> None:
    scan = Volume(np.arange(float(np.prod(grid.shape))).reshape(grid.shape), grid)
    voxels, place, _ = scan_layer(scan)
    back = scan_from_layer(voxels + 1.0, place)
    np.testing.assert_array_equal(back.voxels, scan.voxels + 1.0)
    assert back.grid is grid


@settings(deadline=None, max_examples=40)
@given(grids(degrees=40), st.data())
def test_a_painted_organ_comes_back_at_the_place_it_was_painted(grid: Grid, data: st.DataObject) -> None:
    organs = OrganLabels(np.zeros(grid.shape, np.uint8), grid, {})
    voxels, place, _ = organ_layer(organs)
    # Paint a block of about 3 mm around the place of one true voxel well inside.
    centre_index = np.array([data.draw(st.integers(1, n - 2)) for n in grid.shape])
    centre = grid.lps_from(centre_index)
    drawn = np.rint(layer_index((voxels, place), centre)).astype(int)
    voxels[tuple(slice(max(0, i - 1), i + 2) for i in drawn)] = 4
    features = {"index": [0, 4], "name": ["", "tumour"]}
    back = organs_from_layer(voxels, {**place, "features": features})
    assert back.grid is grid
    assert back.voxels[tuple(centre_index)] == 4
    assert back.names == {4: "tumour"}
    painted_mm = grid.lps_from(np.argwhere(back.voxels == 4))
    reach = np.linalg.norm(1.5 * np.asarray(place["scale"])) + np.linalg.norm(grid.spacing_mm)
    assert np.linalg.norm(painted_mm - centre, axis=1).max() <= reach


@settings(deadline=None, max_examples=30)
@given(grids(degrees=40))
def test_unpainted_organs_come_back_untouched_with_names_through_napari(grid: Grid) -> None:
    voxels = (np.arange(np.prod(grid.shape)).reshape(grid.shape) % 3).astype(np.int32)
    organs = OrganLabels(voxels, grid, {1: "liver", 2: "tumour"})
    painted, place, _ = organ_layer(organs)
    painted, place, _ = Labels(painted, **place).as_layer_data_tuple()
    back = organs_from_layer(painted, place)
    np.testing.assert_array_equal(back.voxels, voxels)
    assert back.grid is grid
    assert dict(back.names) == {1: "liver", 2: "tumour"}


def test_an_organ_keeps_its_colour_whatever_its_number() -> None:
    grid = Grid.from_spacing((2, 3, 4), 1.0)
    voxels = np.zeros(grid.shape, np.uint8)
    voxels[0], voxels[1] = 1, 2
    for names in ({1: "liver", 2: "femur"}, {1: "femur", 2: "liver"}):
        layer = organ_layer(OrganLabels(voxels, grid, names))
        number = next(value for value, name in names.items() if name == "femur")
        assert layer[1]["colormap"][number][:3] == organ_colour("femur")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(*[st.floats(-90, 90)] * 3), min_size=1, max_size=5))
def test_points_come_back_with_their_names(positions: list) -> None:
    points = Points([f"marker {n}" for n in range(len(positions))], np.array(positions), "scanner")
    xyz, place, _ = points_layer(points)
    back = points_from_layer(*PointsLayer(xyz, **place).as_layer_data_tuple()[:2])
    np.testing.assert_allclose(back.positions_mm, points.positions_mm, atol=1e-9)
    assert back.names == points.names
    assert back.frame == "scanner"


def test_mpi_is_additive_and_starts_at_five_times_its_noise() -> None:
    rng = np.random.default_rng(3)
    grid = Grid.from_spacing((12, 24, 26), 1.0)
    voxels = rng.normal(0.0, 2.0, grid.shape)
    voxels[6, 12, 13] = 400.0
    _, place, kind = scan_layer(Volume(voxels, grid, Modality.MPI, unit="a.u."), maximum=800.0)
    assert kind == "image"
    assert place["blending"] == "additive"
    assert place["contrast_limits"][0] == pytest.approx(10.0, rel=0.1)
    assert place["contrast_limits"][1] == 800.0
    assert place["colormap"]["colors"][0][:3] == [0, 0, 0]


def test_a_scan_without_noise_or_signal_still_opens() -> None:
    grid = Grid.from_spacing((3, 4, 5), 1.0)
    for value in (0.0, 7.0, np.nan):
        for modality in (Modality.MPI, Modality.CT, None):
            low, high = scan_layer(Volume(np.full(grid.shape, value), grid, modality))[1]["contrast_limits"]
            assert low < high


def test_an_aligned_scan_keeps_what_was_acquired() -> None:
    mpi_grid = Grid.from_spacing((6, 7, 8), 1.0, (5.0, 5.0, 5.0), "mpi")
    voxels = np.zeros(mpi_grid.shape)
    voxels[3, 3, 3] = 9.0
    mpi = Volume(voxels, mpi_grid, Modality.MPI)
    anatomy = Grid.from_spacing((10, 11, 12), 1.0, (0.0, 0.0, 0.0), "ct")
    shift = Transform.from_parts(np.eye(3), (4.0, 3.0, 2.0), "ct", "mpi")
    drawn, place, _ = scan_layer_onto(mpi, shift, anatomy, layer_name("MPI", "m01", 7))
    hot = np.unravel_index(np.argmax(drawn), drawn.shape)
    np.testing.assert_allclose(anatomy.lps_from(hot), np.array([8.0, 8.0, 8.0]) - [4.0, 3.0, 2.0])
    assert scan_from_layer(drawn, place) is mpi
    assert place["name"] == "MPI m01 day 7"


def test_a_foreign_layer_becomes_a_scan_at_the_place_napari_draws_it() -> None:
    layer = Image(np.zeros((4, 5, 6)), scale=(2, 1, 0.5), translate=(10, 20, 30), units="um", rotate=[0, 0, 30])
    voxels, place, _ = layer.as_layer_data_tuple()
    scan = scan_from_layer(voxels, place)
    world_um = np.asarray(layer.data_to_world((1, 2, 3)))
    np.testing.assert_allclose(scan.grid.lps_from((1, 2, 3)), world_um[::-1] / 1000, atol=1e-9)


def test_a_layer_in_pixels_is_refused_with_the_way_out() -> None:
    voxels, place, _ = Image(np.zeros((4, 5, 6))).as_layer_data_tuple()
    with pytest.raises(GridMismatchError, match=r"mm along each axis.*set the layer's units"):
        scan_from_layer(voxels, place)


def test_a_layer_the_user_moved_is_taken_from_where_it_stands() -> None:
    grid = Grid.from_spacing((4, 5, 6), 1.0)
    voxels, place, _ = scan_layer(Volume(np.zeros(grid.shape), grid, Modality.CT))
    layer = Image(voxels, **place)
    layer.translate = (3.0, 0.0, 0.0)
    scan = scan_from_layer(*layer.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(scan.grid.origin_mm, (0.0, 0.0, 3.0))
    assert scan.modality is Modality.CT
    assert place["metadata"][METADATA_KEY].scan.grid is grid
