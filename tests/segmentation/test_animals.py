"""Several mice in one scan: told apart, named by their places, and each measured for itself."""

from dataclasses import replace

import numpy as np
import pytest
from simulated_mice import ct_of, dice, drawn, field, skin

from napari_mpi_track.errors import FrameMismatchError, MeasurementError
from napari_mpi_track.imaging.foreground import find_body
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread, PsfShape
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.segmentation.animals import (
    anatomy_of,
    organs_of,
    organs_with_neighbours,
    split_animals,
)
from napari_mpi_track.simulation.hotel import hotel
from napari_mpi_track.simulation.mouse import mouse
from napari_mpi_track.simulation.scanner import Blur, blurred

MICE = {"m01": mouse(), "m02": mouse(0.97)}


def places(apart_mm: float) -> dict[str, tuple[float, float, float]]:
    low, high = mouse().tissues[0].solid.box_mm
    step = float(high[0] - low[0]) + apart_mm
    return {"m01": (-step / 2, 0.0, 0.0), "m02": (step / 2, 0.0, 0.0)}


def together(apart_mm: float):
    where = places(apart_mm)
    return hotel({name: (one, where[name]) for name, one in MICE.items()})


@pytest.fixture(scope="module")
def grid() -> Grid:
    return field(0.8, (104, 36, 84), "hotel")


@pytest.fixture(scope="module")
def ct(grid) -> Volume:
    return ct_of(together(8.0), grid)


@pytest.fixture(scope="module")
def animals(ct) -> OrganLabels:
    return split_animals(ct, 2, ("m01", "m02")).labels


def all_organs(grid: Grid) -> OrganLabels:
    """Organs as a person draws them for all animals at once: one label a kind of organ."""
    labels = drawn(together(8.0), grid)
    kinds = list(mouse().organs)
    return OrganLabels(
        np.where(labels.voxels > 0, (labels.voxels.astype(int) - 1) % len(kinds) + 1, 0),
        grid,
        dict(enumerate(kinds, 1)),
    )


def test_two_mice_on_one_bed_are_told_apart(animals, grid):
    for name, at in places(8.0).items():
        assert dice(animals.mask(name), skin(MICE[name], grid, at)) > 0.96


def test_mice_that_touch_each_other_are_parted_where_they_are_thinnest():
    grid = field(0.8, (104, 36, 76), "hotel")
    split = split_animals(ct_of(together(-0.6), grid), 2)
    assert [one.name for one in split.animals] == ["animal 1", "animal 2"]
    for one, (name, at) in zip(split.animals, places(-0.6).items(), strict=True):
        assert dice(split.labels.mask(one.name), skin(MICE[name], grid, at)) > 0.96
        assert one.low_mm[0] < one.centre_mm[0] < one.high_mm[0]
    assert split.animals[0].centre_mm[0] < split.animals[1].centre_mm[0]


def test_animals_are_named_by_rows_from_front_to_back():
    grid = Grid.from_spacing((30, 60, 60), 1.0, frame="h")
    plane, row, column = np.indices(grid.shape)
    voxels = np.full(grid.shape, -1000.0, np.float32)
    for y, x in ((14, 45), (16, 15), (44, 14), (46, 44)):
        voxels[((row - y) ** 2 + (column - x) ** 2 < 100) & (plane > 3) & (plane < 26)] = 40.0
    split = split_animals(Volume(voxels, grid, Modality.CT, "HU"), 4, ("a", "b", "c", "d"))
    middles = {one.name: (round(one.centre_mm[0]), round(one.centre_mm[1])) for one in split.animals}
    assert middles == {"a": (15, 16), "b": (45, 14), "c": (14, 44), "d": (44, 46)}


def test_without_anatomy_lit_places_share_the_field_out_or_are_refused():
    grid = Grid.from_spacing((40, 20, 60), 1.0, frame="mpi")
    rng = np.random.default_rng(0)
    voxels = rng.normal(0, 1, grid.shape)
    for at in ((10, 10, 12), (28, 9, 15), (12, 11, 45), (30, 8, 48)):
        box = tuple(slice(n - 2, n + 3) for n in at)
        voxels[box] += 60
    scan = Volume(voxels.astype(np.float32), grid, Modality.MPI, "a.u.")
    labels = split_animals(scan, 2, ("m01", "m02")).labels
    assert labels.voxels[10, 10, 12] == labels.voxels[28, 9, 15] == 1
    assert labels.voxels[12, 11, 45] == labels.voxels[30, 8, 48] == 2
    assert np.all(labels.voxels > 0)
    with pytest.raises(MeasurementError, match="do not fall into 5 groups"):
        split_animals(scan, 5)


def test_organs_drawn_for_all_are_given_to_whose_they_are(animals, grid):
    organs = all_organs(grid)
    truth = drawn(together(8.0), grid)
    own = organs_of(organs, animals, "m02")
    assert set(own.names.values()) == set(mouse().organs)
    both = organs_with_neighbours(organs, animals, "m02")
    for organ in mouse().organs:
        assert dice(own.mask(organ), truth.mask(f"m02 {organ}")) > 0.99
        assert dice(both.mask(f"m01: {organ}"), truth.mask(f"m01 {organ}")) > 0.99


def test_a_hot_liver_next_door_leaves_the_other_mouse_its_own_totals(animals, grid):
    """The truth is blurred on cells a quarter of a voxel wide, by other code."""
    held = {"m01 liver": 90_000.0, "m01 spleen": 6000.0, "m02 liver": 5000.0, "m02 lungs": 3000.0, "m02 tumour": 1500.0}
    mpi_grid = Grid.from_spacing((70, 30, 60), 1.25, (-36.9, -18.1, -43.1), "hotel")
    body = together(8.0)
    truth = blurred([(body.organs[k], v) for k, v in held.items()], mpi_grid, np.eye(4), Blur("lorentzian", (4.0,) * 3))
    noise = Noise(0.5, 0.0, np.ones((1, 1, 1)), "given")
    scan = truth + np.random.default_rng(0).normal(0, 0.5, truth.shape)
    mpi = Volume(scan.astype(np.float32), mpi_grid, Modality.MPI, "a.u.")
    spread = PointSpread(PsfShape.LORENTZIAN, 4.0)
    organs = all_organs(grid)

    def liver(labels: OrganLabels) -> float:
        measured = measure_scan(mpi, noise, labels, None, point_spread=spread)
        return float(measured.signal_of(["liver"])[0].value)

    # The tails of a Lorentzian reach the next mouse; without its liver as a source they are taken for this one's.
    assert liver(organs_of(organs, animals, "m02")) > 1.1 * 5000
    assert liver(organs_with_neighbours(organs, animals, "m02")) == pytest.approx(5000, rel=0.05)
    assert liver(organs_with_neighbours(organs, animals, "m01")) == pytest.approx(90_000, rel=0.03)


def test_an_anatomy_of_one_animal_shows_its_body_alone(ct, animals, grid):
    alone = anatomy_of(ct, animals, "m02")
    assert dice(find_body(alone), skin(MICE["m02"], grid, places(8.0)["m02"])) > 0.93


def test_wrong_counts_and_names_are_told(ct, animals, grid):
    with pytest.raises(MeasurementError, match="2 animals are seen in the scan, not 4"):
        split_animals(ct, 4)
    with pytest.raises(MeasurementError, match="need 2 names"):
        split_animals(ct, 2, ("m01", "m01"))
    with pytest.raises(MeasurementError, match="two animals or more"):
        split_animals(ct, 1)
    organs = all_organs(grid)
    with pytest.raises(MeasurementError, match="no animal 'm09'"):
        organs_of(organs, animals, "m09")
    with pytest.raises(FrameMismatchError):
        organs_of(organs.in_frame("other"), animals, "m01")
    only_first = replace(organs, voxels=np.where(animals.voxels == 1, organs.voxels, 0))
    with pytest.raises(MeasurementError, match="no organ lies in the animal 'm02'"):
        organs_of(only_first, animals, "m02")
