"""What part of each acquired voxel lies in each organ, beside exact overlap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from strategies import affine_transforms, any_grids, organ_labels, rigid_transforms, seeds

from napari_mpi_track.errors import FrameMismatchError, GridMismatchError, MeasurementError
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.itk import to_itk_transform
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.occupancy import Occupancy, measure_occupancy
from napari_mpi_track.quantification.organ_signal import measure_organs

quick = settings(deadline=None, max_examples=12)
FRAME = "bed"


def overlaps(low: float, high: float, origin: float, spacing: float, count: int) -> np.ndarray:
    """The exact part of every voxel of a line within [low, high]."""
    faces = origin + spacing * (np.arange(count + 1) - 0.5)
    return np.clip(np.minimum(faces[1:], high) - np.maximum(faces[:-1], low), 0, None) / spacing


def box_and_scan(seed: int):
    """A box drawn on fine voxels, a coarser scan with every axis parallel, and the exact occupancy."""
    rng = np.random.default_rng(seed)
    fine = Grid.from_spacing((72, 80, 88), (0.31, 0.25, 0.28), rng.uniform(-1, 1, 3), FRAME)
    voxels = np.zeros(fine.shape, np.uint8)
    low, high = rng.integers(3, 10, 3), np.array(fine.shape) - rng.integers(3, 10, 3)
    voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    spacing = rng.uniform(0.8, 1.4, 3)
    grid = Grid.from_spacing((32, 30, 34), spacing, rng.uniform(-6, -4, 3), FRAME)
    planes, rows, columns = (
        overlaps(
            fine.origin_mm[2 - axis] + fine.spacing_mm[axis] * (low[axis] - 0.5),
            fine.origin_mm[2 - axis] + fine.spacing_mm[axis] * (high[axis] - 0.5),
            grid.origin_mm[2 - axis],
            spacing[axis],
            grid.shape[axis],
        )
        for axis in range(3)
    )
    exact = planes[:, None, None] * rows[:, None] * columns
    return OrganLabels(voxels, fine, {1: "liver"}), grid, exact


@pytest.mark.parametrize("seed", range(8))
def test_a_box_is_its_exact_overlap_to_a_thousandth(seed):
    organs, grid, exact = box_and_scan(seed)
    liver = measure_occupancy(organs, grid).organs["liver"]
    found = liver.dense(grid.shape)
    # A thousandth of the organ, and of its signal where that is not uniform.
    assert found.sum() == pytest.approx(exact.sum(), rel=1e-3)
    ramp = 1 + 0.05 * np.arange(grid.shape[1])[:, None]
    assert (found * ramp).sum() == pytest.approx((exact * ramp).sum(), rel=1e-3)
    # 125 points a voxel: none is wrong by more than 0.07, an edge of three faces included.
    np.testing.assert_allclose(found, exact, atol=0.07)
    assert liver.volume_mm3 == pytest.approx((organs.voxels > 0).sum() * organs.grid.voxel_volume_mm3, rel=1e-9)


def test_a_face_halfway_through_the_scans_voxels_is_halfway():
    # The trap of a cubic raster: points of every voxel of the layer fall on the organ's face at once.
    fine = Grid.from_spacing((20, 22, 24), 1.0, (0.5, 0.5, 0.5), FRAME)
    voxels = np.zeros(fine.shape, np.uint8)
    voxels[4:12, 5:15, 6:18] = 1
    grid = Grid.from_spacing((24, 26, 28), 1.0, (-2.0, -2.0, -2.0), FRAME)
    liver = measure_occupancy(OrganLabels(voxels, fine), grid).organs["1"]
    assert liver.fraction.sum() == pytest.approx(voxels.sum(), rel=2e-3)
    assert liver.dense(grid.shape)[6, 12, 12] == pytest.approx(0.5, abs=0.01)


def test_organs_on_the_scans_own_grid_fill_whole_voxels():
    rng = np.random.default_rng(0)
    grid = Grid.from_spacing((8, 9, 10), (1.0, 0.7, 0.4), (3.0, -4.0, 5.0), FRAME)
    voxels = rng.integers(0, 4, grid.shape)
    occupancy = measure_occupancy(OrganLabels(voxels, grid), grid)
    for value in (1, 2, 3):
        np.testing.assert_array_equal(occupancy.organs[str(value)].dense(grid.shape), voxels == value)
    np.testing.assert_allclose(occupancy.outside(), voxels == 0, atol=1e-12)


@pytest.mark.parametrize("radius_mm", [4.0, 7.5])
@given(seed=seeds())
@settings(deadline=None, max_examples=6)
def test_a_sphere_keeps_its_volume_on_an_oblique_scan(radius_mm, seed):
    rng = np.random.default_rng(seed)
    fine = Grid.from_spacing((44, 48, 56), (0.4, 0.37, 0.33), frame=FRAME)
    centre = fine.centre_mm + rng.uniform(-0.4, 0.4, 3)
    places = fine.lps_from(np.stack(np.meshgrid(*map(np.arange, fine.shape), indexing="ij"), -1))
    ball = ((places - centre) ** 2).sum(-1) <= radius_mm**2
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=int(seed)).as_matrix() * [1.3, 0.9, 1.1]
    matrix[:3, 3] = fine.centre_mm - matrix[:3, :3] @ (np.array((30, 31, 32)) - 1) / 2
    grid = Grid((30, 31, 32), matrix, FRAME)
    occupancy = measure_occupancy(OrganLabels(ball.astype(np.uint8), fine), grid)
    drawn = ball.sum() * fine.voxel_volume_mm3
    assert occupancy.organs["1"].volume_mm3 == pytest.approx(drawn, rel=1e-9)
    # 0.5 %: a ball of 4 mm is all surface at voxels of 1.3 mm.
    assert occupancy.volume_in_field_mm3("1") == pytest.approx(drawn, rel=5e-3)
    # The voxels it was drawn on are a percent off the ball itself.
    assert occupancy.volume_in_field_mm3("1") == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.02)
    # Its middle stays where it is, so that no signal is looked for beside it: a fiftieth of a voxel.
    weights = occupancy.organs["1"].dense(grid.shape)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1).reshape(-1, 3)
    middle = grid.lps_from(weights.ravel() @ index / weights.sum())
    np.testing.assert_allclose(middle, places[ball].mean(axis=0), atol=0.02)


@given(organ_labels(any_grids()), any_grids(), affine_transforms(), seeds())
@quick
def test_organs_and_outside_fill_every_voxel_once_whatever_the_alignment(organs, grid, transform, seed):
    # Bring the organs' middle to the scan's, so that the most oblique of them still meet.
    centred = _centred(organs, grid, transform)
    try:
        occupancy = measure_occupancy(organs, grid, centred)
    except GridMismatchError:
        return
    together = occupancy.outside() + sum(organ.dense(grid.shape) for organ in occupancy.organs.values())
    np.testing.assert_allclose(together, 1.0, rtol=0, atol=1e-12)
    for organ in occupancy.organs.values():
        assert np.all((organ.fraction > 0) & (organ.fraction <= 1))
    signal = np.random.default_rng(seed).lognormal(size=grid.shape)
    shared_out = float((occupancy.outside() * signal).sum())
    shared_out += sum(float(organ.fraction @ signal.ravel()[organ.voxel]) for organ in occupancy.organs.values())
    assert shared_out == pytest.approx(signal.sum(), rel=1e-12)


def _centred(organs: OrganLabels, grid: Grid, transform: Transform) -> Transform:
    middle = organs.grid.lps_from(np.argwhere(organs.voxels).mean(axis=0))
    linear = transform.target_from_source[:3, :3]
    return Transform.from_parts(linear, grid.centre_mm - linear @ middle, organs.grid.frame, grid.frame)


@given(organ_labels(), rigid_transforms())
@quick
def test_an_alignment_moves_the_organs_and_not_the_scan(organs, transform):
    # Organs carried over by hand and organs carried over by the transform are one.
    grid = Grid.from_spacing((13, 14, 15), (1.5, 1.7, 2.1))
    placed = _centred(organs, grid, transform)
    by_transform = measure_occupancy(organs, grid, placed)
    moved = Grid(organs.grid.shape, placed.target_from_source @ organs.grid.lps_from_index, "scan")
    by_hand = measure_occupancy(OrganLabels(organs.voxels, moved, organs.names), grid.in_frame("scan"))
    for name, organ in by_transform.organs.items():
        # A few points on a face may round to either side.
        assert organ.fraction.sum() == pytest.approx(by_hand.organs[name].fraction.sum(), rel=1e-6, abs=0.1)


def test_an_organ_partly_beyond_the_scan_keeps_its_volume_and_shows_what_is_in_field():
    fine = Grid.from_spacing((20, 21, 22), 1.0, frame=FRAME)
    voxels = np.zeros(fine.shape, np.uint8)
    voxels[:10], voxels[10:] = 1, 2
    near = Grid.from_spacing((5, 21, 22), (1.0, 1.0, 1.0), (0, 0, 7.0), FRAME)
    occupancy = measure_occupancy(OrganLabels(voxels, fine), near)
    assert occupancy.organs["1"].volume_mm3 == pytest.approx(10 * 21 * 22)
    assert occupancy.volume_in_field_mm3("1") == pytest.approx(3 * 21 * 22)
    assert occupancy.volume_in_field_mm3("2") == pytest.approx(2 * 21 * 22)
    only_first = Grid.from_spacing((5, 21, 22), 1.0, frame=FRAME)
    assert measure_occupancy(OrganLabels(voxels, fine), only_first).organs["2"].fraction.size == 0


def half_full() -> tuple[OrganLabels, Grid]:
    voxels = np.zeros((40, 30, 36), np.uint8)
    voxels[8:32, 7:23, 9:27] = 1
    voxels[8:32, 7:23, 18:27] = 2
    organs = OrganLabels(voxels, Grid.from_spacing(voxels.shape, 0.5, frame="ct"), {1: "liver", 2: "spleen"})
    return organs, Grid.from_spacing((30, 26, 24), (1.1, 0.9, 1.2), (-5, -5, -6), "mpi")


def test_an_organ_that_is_stretched_has_the_volume_it_has_in_the_scan():
    organs, grid = half_full()
    stretched = Transform.from_parts(np.diag([1.1, 1.0, 0.9]), (0, 0, 0), "ct", "mpi")
    for organ in measure_occupancy(organs, grid, stretched).organs.values():
        assert organ.volume_mm3 == pytest.approx(24 * 16 * 9 * 0.125 * 0.99)
        # All of it lies in the field: the two agree to what 125 points a voxel resolve.
        assert organ.fraction.sum() * grid.voxel_volume_mm3 == pytest.approx(organ.volume_mm3, rel=2e-3)


def test_a_lattice_that_stretches_evenly_is_the_affine_it_amounts_to():
    organs, grid = half_full()
    stretch = np.array([[0.08, 0.03, 0.0], [0.0, -0.1, 0.02], [0.04, 0.0, 0.05]])
    lattice = Grid.from_spacing((12, 11, 13), 4.0, (-12, -12, -12))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in lattice.shape], indexing="ij"), axis=-1)
    vectors = np.moveaxis(lattice.lps_from(index) @ stretch.T, -1, 0)
    deformed = Transform(np.eye(4), "ct", "mpi", Deformation(lattice, vectors))
    affine = Transform.from_parts(np.eye(3) + stretch, (0, 0, 0), "ct", "mpi")
    found, expected = (measure_occupancy(organs, grid, t) for t in (deformed, affine))
    for name, organ in expected.organs.items():
        # Linear functions are cubic splines; a deformed organ's volume is that of its parts: the points' 0.02 %.
        assert found.organs[name].volume_mm3 == pytest.approx(organ.volume_mm3, rel=4e-4)
        np.testing.assert_allclose(found.organs[name].dense(grid.shape), organ.dense(grid.shape), atol=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_deformed_organs_lie_where_itk_takes_their_points(seed):
    organs, grid = half_full()
    # Control points 5 mm apart along the labels' axes, each displaced by up to half a millimetre.
    placed = Grid.from_spacing((8, 7, 8), 5.0, (-8, -8, -8))
    rng = np.random.default_rng(seed)
    deformed = Transform(np.eye(4), "ct", "mpi", Deformation(placed, rng.uniform(-0.5, 0.5, (3, 8, 7, 8))))
    occupancy = measure_occupancy(organs, grid, deformed)
    itk = to_itk_transform(deformed)
    for value, name in organs.names.items():
        inside = np.argwhere(organs.voxels == value)
        index = inside[rng.integers(0, len(inside), 4000)] + rng.uniform(-0.5, 0.5, (4000, 3))
        mapped = np.array([itk.TransformPoint(point) for point in organs.grid.lps_from(index).tolist()])
        organ = occupancy.organs[name]
        fractions = organ.dense(grid.shape)
        # Every point of the organ lands in a voxel that holds some of it, but for the very rim.
        at = np.rint(grid.index_from(mapped)).astype(int)
        assert np.mean(fractions[tuple(at.T)] > 0) > 0.995
        middle = np.average(np.argwhere(fractions >= 0), axis=0, weights=fractions.ravel())
        # Points spread evenly over the organ weigh less where it is stretched: mended by the local volume.
        weights = deformed.volume_change(organs.grid.lps_from(index))
        expected = np.average(grid.index_from(mapped), axis=0, weights=weights)
        # 4000 points over 18 voxels leave 0.08 of a voxel at most.
        np.testing.assert_allclose(middle, expected, atol=0.3)
        assert organ.volume_mm3 == pytest.approx(len(inside) * 0.125 * weights.mean(), rel=0.01)
        assert fractions.sum() * grid.voxel_volume_mm3 == pytest.approx(organ.volume_mm3, rel=5e-3)


def test_a_scan_larger_than_the_labels_is_outside_beyond_them():
    fine = Grid.from_spacing((4, 5, 6), 1.0, frame=FRAME)
    wide = Grid.from_spacing((14, 15, 16), 1.0, (-5, -5, -5), FRAME)
    occupancy = measure_occupancy(OrganLabels(np.ones(fine.shape, np.uint8), fine), wide)
    assert occupancy.organs["1"].fraction.sum() == pytest.approx(4 * 5 * 6)
    assert occupancy.outside().sum() == pytest.approx(14 * 15 * 16 - 4 * 5 * 6)


@pytest.mark.parametrize("value", [1, 255, 65535, 614_454_277])
def test_label_values_may_be_as_large_as_an_atlas_pleases(value):
    fine = Grid.from_spacing((4, 5, 6), 1.0, frame=FRAME)
    voxels = np.zeros(fine.shape, np.uint32)
    voxels[1:3, 1:3, 1:3] = value
    voxels[0, 0, 0] = value // 2 + 3
    occupancy = measure_occupancy(OrganLabels(voxels, fine, {value: "cortex"}), fine)
    assert occupancy.organs["cortex"].fraction.sum() == pytest.approx(8)


def test_labels_of_true_and_false_are_one_organ():
    fine = Grid.from_spacing((4, 5, 6), 1.0, frame=FRAME)
    voxels = np.zeros(fine.shape, bool)
    voxels[1:3] = True
    occupancy = measure_occupancy(OrganLabels(voxels, fine), fine)
    assert occupancy.organs["1"].volume_mm3 == pytest.approx(60)


def test_many_points_a_voxel_do_not_overflow_their_count():
    organs, grid, exact = box_and_scan(1)
    small = Grid(grid.shape, grid.lps_from_index, FRAME)
    found = measure_occupancy(organs, small, samples_per_axis=7).organs["liver"].dense(grid.shape)
    # 343 points: more than a byte counts to.
    np.testing.assert_allclose(found, exact, atol=0.03)


@pytest.mark.parametrize(("first", "second"), [(None, None), ("ct", None), (None, "mpi"), ("ct", "mpi")])
def test_organs_of_another_frame_need_a_transform(first, second):
    fine = Grid.from_spacing((4, 5, 6), 1.0)
    organs = OrganLabels(np.ones(fine.shape, np.uint8), fine.in_frame(first))
    with pytest.raises(FrameMismatchError, match="organs and scan"):
        measure_occupancy(organs, fine.in_frame(second))
    assert measure_occupancy(organs, fine.in_frame(second), Transform.identity(first, second)).organs


def test_organs_that_miss_the_scan_and_labels_without_organs_are_refused():
    fine = Grid.from_spacing((4, 5, 6), 1.0, frame=FRAME)
    away = Grid.from_spacing((4, 5, 6), 1.0, (100, 0, 0), FRAME)
    with pytest.raises(GridMismatchError, match="no organ lies inside") as caught:
        measure_occupancy(OrganLabels(np.ones(fine.shape, int), fine), away)
    assert "check the alignment" in str(caught.value)
    with pytest.raises(MeasurementError, match="no organ: every voxel is 0") as caught:
        measure_occupancy(OrganLabels(np.zeros(fine.shape, int), fine), fine)
    assert "draw an organ" in str(caught.value)


def test_organs_in_space_are_not_shared_out_over_a_plane():
    fine = Grid.from_spacing((4, 5, 6), 1.0, frame=FRAME)
    plane = Grid.from_spacing((1, 5, 6), 1.0, frame=FRAME)
    with pytest.raises(GridMismatchError, match="single plane"):
        measure_occupancy(OrganLabels(np.ones(fine.shape, int), fine), plane)
    drawn = measure_occupancy(OrganLabels(np.ones(plane.shape, int), plane), plane)
    assert drawn.organs["1"].fraction.sum() == pytest.approx(30)


@pytest.mark.parametrize("name", ["outside", "total", "fiducials", "rest of body"])
def test_a_name_that_is_a_row_of_its_own_is_refused(name):
    fine = Grid.from_spacing((4, 5, 6), 1.0, frame=FRAME)
    with pytest.raises(MeasurementError, match=f"'{name}'"):
        measure_occupancy(OrganLabels(np.ones(fine.shape, int), fine, {1: name}), fine)


def _empty(grid: Grid) -> Occupancy:
    return Occupancy(grid, {})


@given(any_grids(frames=(FRAME,)), st.floats(0.5, 6.0), seeds())
@quick
def test_balls_take_from_outside_only_and_nothing_twice(grid, radius_mm, seed):
    rng = np.random.default_rng(seed)
    centres = grid.lps_from(rng.uniform(-1, np.array(grid.shape), (3, 3)))
    occupied = _empty(grid).with_balls(Points("ab", centres[:2], FRAME), radius_mm)
    occupied = Occupancy(grid, {"organ": occupied.organs["fiducials 1"]}).with_balls(
        Points("abc", centres, FRAME), radius_mm
    )
    together = occupied.outside() + sum(organ.dense(grid.shape) for organ in occupied.organs.values())
    np.testing.assert_allclose(together, 1.0, atol=1e-9)
    assert occupied.outside().min() > -1e-9
    assert list(occupied.organs) == ["organ", "fiducials 1", "fiducials 2", "fiducials 3"]


def test_a_ball_has_the_volume_of_a_ball():
    grid = Grid.from_spacing((20, 24, 30), (1.1, 0.9, 0.7), frame=FRAME)
    balls = _empty(grid).with_balls(Points("a", [grid.centre_mm + 0.21], FRAME), 5.0)
    exact = 4 / 3 * np.pi * 125
    assert balls.organs["fiducials 1"].volume_mm3 == pytest.approx(exact)
    assert balls.volume_in_field_mm3("fiducials 1") == pytest.approx(exact, rel=3e-3)
    cut = _empty(grid).with_balls(Points("a", [grid.lps_from((-0.5, 12, 15))], FRAME), 5.0)
    assert cut.volume_in_field_mm3("fiducials 1") == pytest.approx(exact / 2, rel=1e-2)
    away = _empty(grid).with_balls(Points("a", [(500.0, 0, 0)], FRAME), 5.0)
    assert away.organs["fiducials 1"].fraction.size == 0


def test_the_rest_of_the_body_is_what_no_organ_holds_of_it():
    organs, grid, exact = box_and_scan(3)
    body = np.zeros(grid.shape)
    body[4:-4, 4:-4, 4:-4] = 1.0
    occupancy = measure_occupancy(organs, grid).with_rest_of_body(body)
    rest = occupancy.organs["rest of body"].dense(grid.shape)
    np.testing.assert_allclose(rest, np.minimum(body, 1 - exact), atol=0.05)
    assert occupancy.organs["rest of body"].volume_mm3 == pytest.approx(rest.sum() * grid.voxel_volume_mm3)
    together = occupancy.outside() + rest + occupancy.organs["liver"].dense(grid.shape)
    np.testing.assert_allclose(together, 1.0, atol=1e-12)


def upsampled(organs: OrganLabels, factors: tuple[int, int, int]) -> OrganLabels:
    """The same shapes on a grid finer by whole factors."""
    voxels = organs.voxels
    for axis, factor in enumerate(factors):
        voxels = voxels.repeat(factor, axis=axis)
    matrix = organs.grid.lps_from_index.copy()
    matrix[:3, :3] /= factors
    # The first small voxel lies half a large one less half its own before the large one's centre.
    matrix[:3, 3] += organs.grid.lps_from_index[:3, :3] @ ((1 / np.array(factors) - 1) / 2)
    return OrganLabels(voxels, Grid(voxels.shape, matrix, organs.grid.frame), organs.names)


def reoriented(organs: OrganLabels, order: tuple[int, int, int], flips: tuple[int, ...]) -> OrganLabels:
    """The same shapes with the file's axes in another order, some of them the other way round."""
    matrix = organs.grid.lps_from_index.copy()
    for axis in flips:
        matrix[:3, 3] += matrix[:3, axis] * (organs.grid.shape[axis] - 1)
        matrix[:3, axis] *= -1
    voxels = np.flip(organs.voxels, flips).transpose(order)
    matrix = matrix[:, [*order, 3]]
    return OrganLabels(np.ascontiguousarray(voxels), Grid(voxels.shape, matrix, organs.grid.frame), organs.names)


def renumbered(organs: OrganLabels) -> OrganLabels:
    """The same organs under other numbers, in another order."""
    values = np.array([0, 900_000, 70_000, 3])
    names = {int(values[value]): name for value, name in organs.names.items()}
    return OrganLabels(values[organs.voxels], organs.grid, names)


def curved(organs: OrganLabels) -> Transform:
    lattice = Grid.from_spacing((9, 9, 9), 4.0, organs.grid.centre_mm - 16)
    moves = np.random.default_rng(3).uniform(-0.6, 0.6, (3, 9, 9, 9))
    return Transform(np.eye(4), FRAME, FRAME, Deformation(lattice, moves))


@pytest.mark.parametrize("pose", ["parallel, face on face", "oblique", "curved"])
def test_the_fractions_are_the_same_whatever_the_order_orientation_and_spacing_of_the_label_file(pose):
    rng = np.random.default_rng(8)
    voxels = np.kron(rng.integers(0, 4, (5, 6, 4)), np.ones((3, 2, 4), int))
    voxels[:2] = voxels[-2:] = voxels[:, :2] = voxels[:, -2:] = 0
    fine = Grid.from_spacing(voxels.shape, (0.5, 0.25, 0.5), frame=FRAME)
    organs = OrganLabels(voxels, fine, {1: "liver", 2: "spleen", 3: "tumour"})
    # Every face of the labels on the faces, or the middles, of the scan's voxels: rounding would decide about points.
    grid = Grid.from_spacing((12, 9, 13), (1.0, 0.5, 1.0), (-0.25, -0.125, -0.25), FRAME)
    way = curved(organs) if pose == "curved" else Transform.identity(FRAME, FRAME)
    if pose == "oblique":
        turn = Rotation.from_euler("xyz", (31, 17, 59), degrees=True).as_matrix()
        way = Transform.from_parts(turn, grid.centre_mm - turn @ fine.centre_mm, FRAME, FRAME)
    expected = measure_occupancy(organs, grid, way).organs
    others = (
        upsampled(organs, (2, 3, 2)),
        upsampled(organs, (5, 1, 4)),
        reoriented(organs, (2, 0, 1), (0, 2)),
        reoriented(upsampled(organs, (1, 2, 3)), (1, 0, 2), (1,)),
        renumbered(organs),
    )
    for other in others:
        found = measure_occupancy(other, grid, way).organs
        assert set(found) == set(expected)
        for name, organ in expected.items():
            np.testing.assert_array_equal(found[name].voxel, organ.voxel)
            # Not one point of half a million may fall to another side: 1e-6 of a voxel.
            np.testing.assert_allclose(found[name].fraction, organ.fraction, atol=1e-6)
            assert found[name].volume_mm3 == pytest.approx(organ.volume_mm3, rel=1e-6)


@pytest.mark.parametrize("radius_mm", [0.7, 1.1, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_small_organ_keeps_its_volume_to_a_thousandth(radius_mm, seed):
    rng = np.random.default_rng(seed)
    fine = Grid.from_spacing((26, 24, 30), (0.2, 0.23, 0.19), frame=FRAME)
    places = fine.lps_from(np.stack(np.meshgrid(*map(np.arange, fine.shape), indexing="ij"), -1))
    ball = np.linalg.norm(places - fine.centre_mm - rng.uniform(-0.1, 0.1, 3), axis=-1) <= radius_mm
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix() * [1.2, 0.9, 1.05]
    matrix[:3, 3] = fine.centre_mm - matrix[:3, :3] @ rng.uniform(4.5, 5.5, 3)
    occupancy = measure_occupancy(OrganLabels(ball, fine), Grid((11, 12, 13), matrix, FRAME))
    assert occupancy.volume_in_field_mm3("1") == pytest.approx(ball.sum() * fine.voxel_volume_mm3, rel=1e-3)


def test_a_scan_that_holds_no_number_in_places_and_an_organ_beyond_it_spoil_nothing_else():
    fine = Grid.from_spacing((20, 21, 22), 1.0, frame=FRAME)
    labels = np.zeros(fine.shape, np.uint8)
    labels[2:6, 3:9, 3:9], labels[15:19, 3:9, 3:9] = 1, 2
    near = Grid.from_spacing((8, 21, 22), 1.0, frame=FRAME)
    voxels = np.ones(near.shape)
    voxels[3, 4, 4:6] = np.nan
    occupancy = measure_occupancy(OrganLabels(labels, fine, {1: "liver", 2: "tumour"}), near)
    signals = measure_organs(Volume(voxels, near), occupancy, Noise(1.0, 0.0, np.ones((1, 1, 1)), "made up"))
    assert signals.organs["liver"].total == pytest.approx(4 * 6 * 6 - 2)
    assert signals.organs["tumour"].part_in_field == 0.0
    assert occupancy.organs["tumour"].volume_mm3 == pytest.approx(4 * 6 * 6)
    assert signals.organs["outside"].total == pytest.approx(8 * 21 * 22 - 4 * 6 * 6)
