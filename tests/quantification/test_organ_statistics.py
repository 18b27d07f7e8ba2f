"""Statistics of organs on the scan's own grid, beside numpy's on every organ's voxels."""

import numpy as np
import pytest

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import Occupancy, OrganOccupancy, measure_occupancy
from napari_mpi_track.quantification.organ_statistics import organ_statistics, signal_place

# Rows of words of 8 bytes and rows that are none.
SHAPES = ((7, 30, 200), (35, 9, 61))


def oblique(shape: tuple[int, int, int]) -> Grid:
    """A sheared, anisotropic grid far from the origin."""
    matrix = np.array([[0.1, 0.5, 0.2, 40], [0.9, 0.1, 0, -7], [0, 0.1, 0.7, 300], [0, 0, 0, 1]])
    return Grid(shape, matrix, "bed")


def scene(shape: tuple[int, int, int], voxel_type: str, label_type: str) -> tuple[Volume, OrganLabels]:
    """Noise on a large offset, a few voxels without a number, organs in long runs and in crumbs."""
    rng = np.random.default_rng(0)
    voxels = rng.normal(120, 30, shape)
    values = np.array([0, 1, 77, np.iinfo(label_type).max], dtype=label_type)
    labels = rng.integers(0, 4, shape)
    labels[:, :, 20:55] = 2
    labels[1:3] = 0
    if "f" in voxel_type:
        voxels += 1e5
        voxels[rng.random(shape) < 0.02] = np.nan
        voxels[0, 0, :2] = np.inf
    volume = Volume(
        np.clip(voxels, 0, 255).astype(voxel_type) if "f" not in voxel_type else voxels.astype(voxel_type),
        oblique(shape),
    )
    return volume, OrganLabels(values[labels], oblique(shape))


@pytest.mark.parametrize(
    ("shape", "voxel_type", "label_type"),
    [
        (SHAPES[0], "f4", "u1"),
        (SHAPES[1], "f4", "u1"),
        (SHAPES[0], ">f8", "<i2"),
        (SHAPES[1], "u1", ">i2"),
        (SHAPES[0], "<i2", "u8"),
    ],
)
def test_every_number_is_numpys(shape, voxel_type, label_type):
    volume, organs = scene(shape, voxel_type, label_type)
    found = organ_statistics(volume, organs).organs
    assert list(found) == [str(value) for value in organs.names]
    for value, name in organs.names.items():
        inside = organs.voxels == value
        numbers = volume.voxels[inside].astype(np.float64)
        is_number = np.isfinite(numbers)
        numbers, places = numbers[is_number], np.argwhere(inside)
        organ = found[name]
        assert (organ.count, organ.missing) == (is_number.sum(), (~is_number).sum())
        assert organ.volume_mm3 == pytest.approx(inside.sum() * volume.grid.voxel_volume_mm3)
        assert (organ.minimum, organ.maximum, organ.median) == (numbers.min(), numbers.max(), np.median(numbers))
        assert organ.total == pytest.approx(numbers.sum(), rel=1e-12)
        assert organ.mean == pytest.approx(numbers.mean(), rel=1e-12)
        # Sums of 1e5 with a spread of 30: the squares alone would leave 1e-9 of it.
        assert organ.sd == pytest.approx(numbers.std(ddof=1), rel=1e-9)
        np.testing.assert_allclose(organ.centre_mm, volume.grid.lps_from(places[is_number].mean(axis=0)), rtol=1e-12)
        weighted = volume.grid.lps_from(numbers @ places[is_number] / numbers.sum())
        np.testing.assert_allclose(organ.centre_of_mass_mm, weighted, rtol=1e-12)
        low, high = places.min(axis=0), places.max(axis=0) + 1
        np.testing.assert_array_equal(organ.box, np.stack([low, high], axis=1))
        np.testing.assert_allclose(organ.extent_mm, (high - low) * volume.grid.spacing_mm)
        assert organ.longest_extent_mm == max(organ.extent_mm)


def test_windows_without_a_common_voxel_add_up_to_the_whole():
    volume, organs = scene(SHAPES[0], "f4", "u1")
    whole = organ_statistics(volume, organs, with_median=False).organs
    windows = [(slice(a, b), slice(None), slice(None)) for a, b in ((0, 2), (2, 5), (5, 7))]
    parts = [organ_statistics(volume, organs, with_median=False, window=window).organs for window in windows]
    for name, organ in whole.items():
        mine = [part[name] for part in parts if name in part]
        assert sum(part.count for part in mine) == organ.count
        assert sum(part.total for part in mine) == pytest.approx(organ.total, rel=1e-12)
        assert organ.median is None


def test_a_constant_organ_one_voxel_and_an_organ_without_a_number_are_told_as_they_are():
    grid = oblique((3, 4, 8))
    voxels, labels = np.full(grid.shape, -2.5, np.float32), np.zeros(grid.shape, np.uint8)
    labels[0], labels[1, 1, 1], labels[2] = 1, 2, 3
    voxels[2] = np.nan
    found = organ_statistics(Volume(voxels, grid), OrganLabels(labels, grid)).organs
    constant, single, empty = (found[name] for name in "123")
    assert (constant.median, constant.sd, constant.minimum) == (-2.5, 0.0, -2.5)
    # Nothing above zero has no middle of its signal.
    assert constant.centre_of_mass_mm is None
    assert (single.count, single.sd, single.median) == (1, None, -2.5)
    assert (empty.count, empty.missing, empty.mean, empty.median, empty.centre_mm) == (0, 32, None, None, None)
    assert empty.box == ((2, 3), (0, 4), (0, 8))


def test_labels_of_another_grid_or_without_an_organ_are_refused_with_what_to_do():
    volume, organs = scene(SHAPES[0], "f4", "u1")
    with pytest.raises(GridMismatchError, match="another grid") as caught:
        organ_statistics(Volume(np.zeros(SHAPES[1]), oblique(SHAPES[1])), organs)
    assert "measure_occupancy" in str(caught.value)
    with pytest.raises(MeasurementError, match="no organ") as caught:
        organ_statistics(volume, OrganLabels(np.zeros(SHAPES[0], np.uint8), oblique(SHAPES[0])))
    assert "draw an organ" in str(caught.value)
    with pytest.raises(MeasurementError, match="window"):
        organ_statistics(volume, organs, window=(slice(3, 3), slice(None), slice(None)))


def test_the_place_of_a_shared_out_signal_is_that_of_the_organ_it_comes_from():
    fine = Grid.from_spacing((60, 60, 60), 0.5, frame="bed")
    voxels = np.zeros(fine.shape, np.uint8)
    voxels[20:41, 12:48, 15:44] = 1
    grid = Grid.from_spacing((20, 22, 24), (1.6, 1.5, 1.4), (-0.7, -0.9, -1.1), "bed")
    occupancy = measure_occupancy(OrganLabels(voxels, fine, {1: "liver"}), grid)
    ramp = np.broadcast_to(np.arange(24.0), grid.shape) + 3
    place = signal_place(Volume(ramp, grid), occupancy, "liver", background=1.0)
    middle = fine.lps_from(np.argwhere(voxels).mean(axis=0))
    # Two hundredths of a millimetre: parts of voxels, not whole ones, are weighed.
    np.testing.assert_allclose(place.centre_mm, middle, atol=0.02)
    np.testing.assert_allclose(place.extent_mm, (10.5, 18.0, 14.5), atol=0.05)
    assert place.longest_extent_mm == place.extent_mm[1]
    assert place.centre_of_mass_mm is not None
    assert place.centre_of_mass_mm[0] > middle[0] + 0.5
    assert place.centre_of_mass_mm[1:] == pytest.approx(middle[1:], abs=0.02)
    nothing = signal_place(Volume(np.full(grid.shape, np.nan), grid), occupancy, "liver")
    assert nothing.centre_of_mass_mm is None


def test_an_organ_that_is_not_in_the_scan_has_no_place():
    grid = oblique((3, 4, 8))
    away = OrganOccupancy(np.zeros(0, np.int64), np.zeros(0), 5.0)
    with pytest.raises(MeasurementError, match="'spleen'"):
        signal_place(Volume(np.zeros(grid.shape), grid), Occupancy(grid, {"spleen": away}), "spleen")
