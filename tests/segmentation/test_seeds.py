"""Organs from a few strokes each, against the organs that were drawn."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from simulated_mice import ct_of, dice, drawn, field

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.segmentation.seeds import SeedMethod, grow_seeds
from napari_mpi_track.simulation.mouse import mouse

GRID = field(1.0, (64, 34, 34))
ORGANS = {1: "tumour", 2: "lungs", 3: "liver", 4: "spleen"}


@pytest.fixture(scope="module")
def ct() -> Volume:
    return ct_of(mouse(), GRID)


@pytest.fixture(scope="module")
def truth() -> OrganLabels:
    labels = drawn(mouse(), GRID)
    return OrganLabels(np.where(labels.voxels <= 4, labels.voxels, 0), GRID, ORGANS)


def painted(truth: OrganLabels) -> OrganLabels:
    """What a person paints: on five planes the middle of each organ, and a ring of background around it."""
    seeds = np.zeros(GRID.shape, np.uint8)
    for value in ORGANS:
        inside = truth.voxels == value
        planes = np.flatnonzero(inside.any(axis=(1, 2)))
        for plane in np.unique(np.quantile(planes, np.linspace(0.1, 0.9, 5)).astype(int)):
            depth = ndimage.distance_transform_edt(inside[plane])
            seeds[plane][depth > 0.45 * depth.max()] = value
            away = ndimage.distance_transform_edt(~inside[plane])
            ring = (away >= 2) & (away < 3.5) & (truth.voxels[plane] == 0) & (seeds[plane] == 0)
            seeds[plane][ring] = 9
    return OrganLabels(seeds, GRID, {**ORGANS, 9: "background"})


def test_a_random_walk_finds_organs_that_hardly_stand_out(ct, truth):
    seeds = painted(truth)
    found = grow_seeds(ct, seeds)
    overlap = {name: dice(found.mask(name), truth.mask(name)) for name in ORGANS.values()}
    # Tumour and spleen are 10 and 20 HU above the tissue around them, in noise of 22 HU; voxels of 1 mm.
    least = {"tumour": 0.8, "lungs": 0.8, "liver": 0.78, "spleen": 0.55}
    assert all(overlap[name] > least[name] for name in least), overlap
    assert "background" not in found.names.values()
    on_organs = np.isin(seeds.voxels, list(ORGANS))
    assert np.array_equal(found.voxels[on_organs], seeds.voxels[on_organs])


def test_a_watershed_finds_organs_with_steep_edges(ct, truth):
    found = grow_seeds(ct, painted(truth), SeedMethod.WATERSHED)
    assert dice(found.mask("lungs"), truth.mask("lungs")) > 0.78
    assert dice(found.mask("tumour"), truth.mask("tumour")) > 0.65


@pytest.mark.parametrize("method", list(SeedMethod))
def test_the_same_seeds_give_the_same_organs(ct, truth, method):
    part = slice(20, 36)
    grid = Grid((16, *GRID.shape[1:]), GRID.lps_from_index, GRID.frame)
    scan = replace(ct, voxels=ct.voxels[part], grid=grid)
    seeds = replace(painted(truth), voxels=painted(truth).voxels[part], grid=grid)
    once, again = (grow_seeds(scan, seeds, method) for _ in range(2))
    assert np.array_equal(once.voxels, again.voxels)


def test_without_background_the_scan_is_shared_out(ct):
    seeds = np.zeros(GRID.shape, np.uint8)
    seeds[10, 17, 17], seeds[50, 17, 17] = 3, 7
    found = grow_seeds(ct, OrganLabels(seeds, GRID, {3: "feet", 7: "head"}), "watershed")
    assert np.all(np.isin(found.voxels, (3, 7)))


def test_seeds_that_cannot_grow_are_refused_by_name(ct):
    alone = np.zeros(GRID.shape, np.uint8)
    alone[30, 17, 17] = 1
    with pytest.raises(MeasurementError, match="two labels or more, here there is liver"):
        grow_seeds(ct, OrganLabels(alone, GRID, {1: "liver"}))
    with pytest.raises(MeasurementError, match="nothing"):
        grow_seeds(ct, OrganLabels(np.zeros_like(alone), GRID))
    with pytest.raises(GridMismatchError, match="painted on another grid"):
        grow_seeds(ct, OrganLabels(np.ones((3, 3, 3), np.uint8), Grid.from_spacing((3, 3, 3), 1.0)))
    both = alone.copy()
    both[40, 17, 17] = 2
    with pytest.raises(MeasurementError, match="flood"):
        grow_seeds(ct, OrganLabels(both, GRID), "flood")
