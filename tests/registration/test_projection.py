"""Projections brought together within their plane: simulated pictures whose turn and shift are known."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError, AlignmentRefusedError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Verdict
from napari_mpi_track.registration.alignment_files import load_alignment, save_alignment
from napari_mpi_track.registration.view import project

# Across (x) and along (z) the animal, seen along y as a coronal projection is, mm.
MARKERS = np.array([[-11.0, -26], [12, -21], [-12, 19], [10, 24], [-9, 3]])
TUMOUR = np.array([[4.0, 3], [-3, -9]])


def coronal(pixels: int, spacing_mm: float, frame: str, depth_mm: float = 0.0) -> Grid:
    """A plane seen along y: rows along z, columns along x."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]) * spacing_mm
    middle = (pixels - 1) / 2 * spacing_mm
    matrix[:3, 3] = -middle, depth_mm, -middle
    return Grid((1, pixels, pixels), matrix, frame)


def picture(places, heights, *, grid: Grid, fwhm_mm: float, noise_sd: float, modality: Modality, seed: int) -> Volume:
    """Round blobs at places (x, z) in correlated noise, summed along y."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    seen = grid.lps_from(index)[..., [0, 2]]
    sd = fwhm_mm / np.sqrt(8 * np.log(2))
    shown = sum(
        h * np.exp(-np.sum((seen - p) ** 2, axis=-1) / (2 * sd**2)) for p, h in zip(places, heights, strict=True)
    )
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=grid.shape), (0, 0.8, 0.8), mode="wrap")
    return Volume((shown + noise_sd * noise / noise.std()).astype(np.float32), grid, modality, is_projection=True)


def turned(degrees: float, shift: tuple[float, float], places: np.ndarray) -> np.ndarray:
    turn = np.radians(degrees)
    return places @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]).T + shift


def pair(degrees: float, shift: tuple[float, float], *, seed: int = 0, mirror: bool = False) -> tuple[Volume, Volume]:
    """An X-ray with the markers and an MPI projection with markers and two lit tumours."""
    xray = picture(
        MARKERS, [90] * 5, grid=coronal(140, 0.5, "x-ray"), fwhm_mm=1.6, noise_sd=2, modality=Modality.CT, seed=seed
    )
    there = turned(degrees, shift, np.vstack([MARKERS, TUMOUR]))
    lit = picture(
        there * [-1.0, 1.0] if mirror else there,
        [20] * 5 + [90, 60],
        grid=coronal(90, 1.0, "mpi", depth_mm=7.0),
        fwhm_mm=3.0,
        noise_sd=0.7,
        modality=Modality.MPI,
        seed=seed + 1,
    )
    return xray, lit


def as_points(places: np.ndarray, depth_mm: float | np.ndarray = 0.0) -> Points:
    at = np.column_stack([places[:, 0], np.broadcast_to(depth_mm, len(places)), places[:, 1]])
    return Points([f"p{k}" for k in range(len(places))], at)


@pytest.mark.parametrize("degrees", [4.0, 171.0])
def test_a_projection_put_in_the_other_way_round_is_found_among_lit_tumours(degrees: float) -> None:
    xray, mpi = pair(degrees, (3.0, -2.0))
    found = align(xray, mpi)
    expected = turned(degrees, (3.0, -2.0), TUMOUR)
    mapped = found.moving_from_fixed.map(as_points(TUMOUR).positions_mm)
    # The markers' centres are known to some 0.05 mm each.
    assert np.linalg.norm(mapped[:, [0, 2]] - expected, axis=1).max() < 0.15
    assert found.method == "projection (fiducials)"
    assert found.verdict is Verdict.GOOD, found.reason
    assert found.moving_from_fixed.is_rigid
    assert np.linalg.det(found.moving_from_fixed.target_from_source[:3, :3]) == pytest.approx(1)
    assert np.abs(found.ray) == pytest.approx([0, 1, 0])
    assert "in-plane error" in found.reason
    assert any("nothing of depth" in warning for warning in found.warnings)
    # Depth is kept: the plane of one comes to lie on the plane of the other.
    assert mapped[:, 1] == pytest.approx(7.0)


def test_points_of_an_anatomy_in_three_dimensions_are_seen_along_the_ray() -> None:
    depths = np.array([-4.0, 5, 2, -3, 0])
    ct = Volume(np.zeros((20, 16, 12), np.float32), Grid.from_spacing((20, 16, 12), 4.0, (-22, -30, -38), "ct"))
    mpi = pair(0, (0, 0))[1]
    there = as_points(turned(33.0, (1.0, 2.0), MARKERS), 99.0)
    found = align(ct, mpi, fixed_points=as_points(MARKERS, depths), moving_points=there)
    assert found.fiducials is not None
    assert found.fiducials.rms_mm < 1e-9
    mapped = found.moving_from_fixed.map(as_points(MARKERS, depths).positions_mm)
    assert mapped[:, [0, 2]] == pytest.approx(there.positions_mm[:, [0, 2]])
    # The middle of the anatomy goes to the plane at 7 mm.
    assert mapped[:, 1] == pytest.approx(7.0 + depths)
    assert (found.moving_from_fixed.source_frame, found.moving_from_fixed.target_frame) == ("ct", "mpi")


@pytest.mark.parametrize("are_named", [True, False])
def test_an_animal_the_other_way_up_shows_mirrored_and_is_refused(are_named: bool) -> None:
    xray, mpi = pair(20.0, (1.0, 0.0), mirror=True)
    if not are_named:
        with pytest.raises(AlignmentRefusedError, match="mirrored"):
            align(xray, mpi)
        return
    there = as_points(turned(20.0, (1.0, 0.0), MARKERS) * [-1.0, 1.0])
    with pytest.raises(AlignmentRefusedError, match="the other way up"):
        align(xray, mpi, fixed_points=as_points(MARKERS), moving_points=there)


def test_two_fiducials_are_enough_and_doubtful() -> None:
    xray, mpi = pair(0, (0, 0))
    there = as_points(turned(40.0, (1.0, 2.0), MARKERS[:2]) + [[0, 0], [0.1, 0]])
    found = align(xray, mpi, fixed_points=as_points(MARKERS[:2]), moving_points=there)
    assert found.verdict is Verdict.DOUBTFUL
    assert "two fiducials" in found.reason
    assert found.fiducials is not None
    assert np.isnan(found.fiducials.leave_one_out_mm).all()
    with pytest.raises(AlignmentError, match="two fiducials or more"):
        align(xray, mpi, fixed_points=as_points(MARKERS[:1]), moving_points=there)


def test_the_error_expected_in_the_plane_is_the_one_met() -> None:
    # Only the points count: pictures of few pixels, over the whole field.
    grid = coronal(20, 4.0, "plane")
    xray, mpi = (
        Volume(np.zeros(grid.shape, np.float32), grid, m, is_projection=True) for m in (Modality.CT, Modality.MPI)
    )
    there, target = turned(25.0, (2.0, 1.0), MARKERS), as_points(TUMOUR[:1]).positions_mm
    true = turned(25.0, (2.0, 1.0), TUMOUR[:1])[0]
    met, told = [], []
    for seed in range(250):
        off = np.random.default_rng(seed).normal(0, 0.3, (2, 5, 2))
        found = align(xray, mpi, fixed_points=as_points(MARKERS + off[0]), moving_points=as_points(there + off[1]))
        met.append(np.sum((found.moving_from_fixed.map(target)[0, [0, 2]] - true) ** 2))
        told.append(found.target_error_mm(target)[0] ** 2)
    # 500 squares and 1750 degrees of freedom: the ratio of the two roots is known to 4 %.
    assert np.sqrt(np.mean(told) / np.mean(met)) == pytest.approx(1, abs=0.1)


def test_what_a_projection_cannot_be_aligned_by_is_refused_by_name() -> None:
    xray, mpi = pair(0, (0, 0))
    for method in ("intensity", "moments"):
        with pytest.raises(AlignmentError, match="projection cannot be aligned"):
            align(xray, mpi, method=method)
    with pytest.raises(AlignmentError, match="model similarity"):
        align(xray, mpi, model="similarity")
    plane = Volume(xray.voxels, xray.grid, Modality.CT)
    with pytest.raises(AlignmentError, match="single plane that nobody calls a projection"):
        align(plane, mpi)


def test_one_frame_by_the_users_word_needs_overlap_in_the_plane_only() -> None:
    xray, mpi = pair(0, (0, 0))
    found = align(xray, mpi, method="frame")
    assert found.method == "projection (frame)"
    assert np.array_equal(found.moving_from_fixed.target_from_source, np.eye(4))
    far = mpi.grid.lps_from_index.copy()
    far[2, 3] += 500
    with pytest.raises(AlignmentError, match="overlap in the plane"):
        align(xray, Volume(mpi.voxels, Grid(mpi.grid.shape, far), Modality.MPI, is_projection=True), method="frame")


def test_rays_that_the_files_put_apart_are_said_to_be() -> None:
    xray, mpi = pair(0, (0, 0))
    axial = Volume(xray.voxels, Grid.from_spacing(xray.grid.shape, 0.5, (-34.75, -34.75, 0)), is_projection=True)
    here = Points([f"p{k}" for k in range(5)], np.column_stack([MARKERS, np.zeros(5)]))
    found = align(axial, mpi, fixed_points=here, moving_points=as_points(MARKERS))
    assert found.verdict is Verdict.DOUBTFUL
    assert "90 degrees apart" in found.reason


def test_the_ray_and_the_date_come_back_from_the_file(tmp_path) -> None:
    xray, mpi = pair(10.0, (0, 0))
    found = align(xray, mpi, fixed_points=as_points(MARKERS), moving_points=as_points(MARKERS))
    save_alignment(found, tmp_path / "t.tfm")
    back = load_alignment(tmp_path / "t.tfm")
    assert np.array_equal(back.ray, found.ray)
    assert back.method == "projection (fiducials)"


def test_a_projected_anatomy_lies_in_its_middle_and_holds_means_or_maxima() -> None:
    turn = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn * [2.0, 1.5, 1.0]
    matrix[:3, 3] = 5, 6, 7
    voxels = np.random.default_rng(0).random((6, 7, 8)).astype(np.float32)
    scan = Volume(voxels, Grid(voxels.shape, matrix, "ct"), Modality.CT)
    seen = project(scan, turn[:, 1])
    assert seen.is_projection
    assert seen.voxels[0] == pytest.approx(voxels.mean(axis=1))
    assert project(scan, -turn[:, 1], "maximum").voxels[0] == pytest.approx(voxels.max(axis=1))
    # Row 2, column 3 of the picture is plane 2, column 3 of the scan, at the middle of its rows.
    assert seen.grid.lps_from([0, 2, 3]) == pytest.approx(scan.grid.lps_from([2, 3, 3]))
    assert seen.grid.spacing_mm == pytest.approx([7 * 1.5, 2.0, 1.0])
    with pytest.raises(MeasurementError, match="degrees off"):
        project(scan, [1, 1, 1])
