"""Organs drawn in depth, measured in projections of them that are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import FrameMismatchError, GridMismatchError, MeasurementError
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.noise import Noise
from napari_mpi_track.imaging.point_spread import PointSpread
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.measuring import measure_scan
from napari_mpi_track.quantification.shadows import share_shadows
from napari_mpi_track.registration.alignment import Alignment

NAMES = {1: "liver", 2: "stomach", 3: "tumour", 4: "kidney"}
LIT = {1: 3.0, 2: 8.0, 3: 5.0, 4: 2.0}
# Seen along LPS y, from a plane far in front: 40 x 36 pixels of 1.5 mm.
MATRIX = np.array([[0, 0, 1.5, -26.0], [40.0, 0, 0, -90], [0, 1.5, 0, -29.0], [0, 0, 0, 1]])
PLANE = Grid((1, 40, 36), MATRIX, "mpi")
FINE = Grid.from_spacing((70, 48, 64), (0.8, 0.7, 0.75), (-24.0, -17, -28), "ct")


def ball(centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    places = FINE.lps_from(np.stack(np.meshgrid(*map(np.arange, FINE.shape), indexing="ij"), -1))
    return np.linalg.norm(places - centre, axis=-1) < radius_mm


def animal() -> OrganLabels:
    """The stomach behind the liver's rim, the tumour and the kidney alone, at other depths."""
    labels = np.zeros(FINE.shape, np.uint8)
    for value, centre, radius_mm in (
        (1, (-8, -6, 0), 8),
        (2, (-2, 8, 2), 5),
        (3, (14, 3, 14), 4.5),
        (4, (12, -8, -14), 5),
    ):
        labels[ball(centre, radius_mm)] = value
    return OrganLabels(labels, FINE, NAMES)


def projected(organs: OrganLabels, way: Transform | None = None) -> tuple[Volume, dict[int, float]]:
    """The integral of what is lit along the ray, points dropped one by one; and every organ's total."""
    rng = np.random.default_rng(0)
    seen, totals = np.zeros(PLANE.shape), {}
    for value, height in LIT.items():
        index = np.argwhere(organs.voxels == value)
        totals[value] = height * len(index) * FINE.voxel_volume_mm3
        for _ in range(20):
            points = FINE.lps_from(index + rng.uniform(-0.5, 0.5, index.shape))
            points = points if way is None else way.map(points)
            _, row, column = np.rint(PLANE.index_from(points)).astype(int).T
            np.add.at(seen, (0, row, column), height * FINE.voxel_volume_mm3 / 20 / PLANE.pixel_area_mm2)
    return Volume(seen, PLANE, Modality.MPI, "a.u.", is_projection=True), totals


def turned(degrees: float) -> Transform:
    linear = Rotation.from_euler("xyz", (0.2 * degrees, degrees, -0.3 * degrees), degrees=True).as_matrix()
    return Transform.from_parts(linear, (1.3, -7.0, 0.6), "ct", "mpi")


WHITE = Noise(0.01, 0.0, np.ones((1, 1, 1)), "made up")


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_organs_alone_in_their_shadow_are_right_and_those_that_overlap_are_right_together(degrees):
    organs, way = animal(), turned(degrees)
    scan, totals = projected(organs, way)
    alignment = Alignment(way, "fiducials", "rigid")
    point_spread = PointSpread("gaussian", np.full(3, 0.5))
    measured = measure_scan(scan, WHITE, organs, alignment, point_spread=point_spread)
    assert list(measured.signals.organs) == ["liver + stomach", "tumour", "kidney", "outside", "total"]
    expected = {
        "liver + stomach": totals[1] + totals[2],
        "tumour": totals[3],
        "kidney": totals[4],
    }
    for name, total in expected.items():
        # What the rim's pixels hold is cut at the shadow's edge: some percent, which the blur's correction gives back.
        assert measured.signals.organs[name].total == pytest.approx(total, rel=0.06)
        assert measured.signal_of([name])[0].value == pytest.approx(total, rel=0.02)
        assert measured.signals.organs[name].part_in_field == pytest.approx(1.0)
    parts = [measured.signals.organs[name].total for name in (*expected, "outside")]
    assert sum(parts) == pytest.approx(measured.signals.organs["total"].total, rel=1e-12)
    assert sum(parts) == pytest.approx(sum(totals.values()), rel=1e-9)
    (doubt,) = [doubt for doubt in measured.doubts() if "overlap" in doubt]
    assert "liver and stomach overlap along the ray" in doubt
    assert "'liver + stomach'" in doubt


def test_a_shadow_has_the_area_of_the_organs_outline_and_its_lengths_are_what_an_even_organ_shows():
    scan = projected(animal())[0]
    shadows = share_shadows(animal(), scan, Transform.identity("ct", "mpi"))
    tumour = shadows.occupancy.organs["tumour"]
    # A ball drawn in voxels of 0.75 mm: 3 % of its area.
    assert tumour.fraction.sum() * PLANE.pixel_area_mm2 == pytest.approx(np.pi * 4.5**2, rel=0.03)
    # What is lit evenly shows its lengths along the ray, to some percent by chance of the points dropped.
    length = shadows.lengths["tumour"].dense(PLANE.shape)
    shown = np.where(length > 0, scan.voxels, 0.0)
    np.testing.assert_allclose(length, shown / shown.sum() * length.sum(), atol=0.05)
    assert length.max() == 1.0


def test_organs_side_by_side_are_no_group():
    labels = np.zeros(FINE.shape, np.uint8)
    labels[10:40, 10:30, 10:30], labels[10:40, 15:40, 30:50] = 1, 2
    organs = OrganLabels(labels, FINE, NAMES)
    shadows = share_shadows(organs, projected(organs)[0], Transform.identity("ct", "mpi"))
    assert shadows.groups == ()
    assert shadows.doubts() == []
    assert list(shadows.occupancy.organs) == ["liver", "stomach"]
    assert shadows.occupancy.outside().min() > -1e-12
    area = shadows.occupancy.organs["liver"].fraction.sum() * PLANE.pixel_area_mm2
    assert area == pytest.approx(20 * 0.75 * 30 * 0.8, rel=2e-3)


def test_a_bent_way_and_organs_half_beyond_the_field_of_view_are_followed_too():
    organs = animal()
    lattice = Grid.from_spacing((10, 10, 10), 12.0, FINE.centre_mm - 54)
    organs = OrganLabels(np.where(organs.voxels == 3, 3, 0), FINE, NAMES)
    moves = np.random.default_rng(2).uniform(-1, 1, (3, 10, 10, 10))
    way = Transform(np.eye(4), "ct", "mpi", Deformation(lattice, moves))
    scan, totals = projected(organs, way)
    shadows = share_shadows(organs, scan, way)
    tumour = shadows.occupancy.organs["tumour"]
    found = tumour.fraction @ scan.voxels.ravel()[tumour.voxel] * scan.voxel_measure
    assert found == pytest.approx(totals[3], rel=0.07)
    # The tumour's middle is at 14 mm to the left: the field ends there.
    cut = Grid((1, 40, 27), MATRIX, "mpi")
    half = Volume(scan.voxels[:, :, :27], cut, Modality.MPI, is_projection=True)
    tumour = share_shadows(organs, half, Transform.identity("ct", "mpi")).occupancy.organs["tumour"]
    inside = tumour.fraction.sum() * cut.voxel_volume_mm3 / tumour.volume_mm3
    assert inside == pytest.approx(0.4, abs=0.1)


def test_organs_of_another_frame_or_out_of_sight_are_refused_with_what_to_do():
    organs, scan = animal(), projected(animal())[0]
    with pytest.raises(FrameMismatchError, match="organs and scan"):
        share_shadows(organs, scan)
    with pytest.raises(GridMismatchError, match="no organ is seen") as caught:
        share_shadows(organs, scan, Transform.from_parts(np.eye(3), (500, 0, 0), "ct", "mpi"))
    assert "check the alignment" in str(caught.value)
    with pytest.raises(MeasurementError, match="no organ: every voxel is 0"):
        share_shadows(OrganLabels(np.zeros(FINE.shape, np.uint8), FINE), scan, Transform.identity("ct", "mpi"))
