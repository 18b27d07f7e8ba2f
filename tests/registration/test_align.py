"""Scans brought together: by frame, fiducials and intensity, on simulated and real scans."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError, FrameMismatchError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.itk import array_from_itk, grid_from_itk
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Verdict
from napari_mpi_track.registration.images.poses import axis_aligned_rotations
from napari_mpi_track.registration.images.similarity import mutual_information
from napari_mpi_track.registration.resample import resample, resample_organs

TARGETS = np.array([[0.0, 0, 0], [8, 0, 15], [-6, 5, -12], [0, -5, 20]])


def animal(modality: Modality, pose: Transform, spacing_mm: float, seed: int, frame: str) -> Volume:
    """A body without symmetry, of ellipsoids, with noise."""
    counts = np.round(np.array([70, 44, 44]) / spacing_mm).astype(int)
    origin = -(counts[::-1] - 1) * spacing_mm / 2
    grid = Grid.from_spacing(tuple(int(n) for n in counts), spacing_mm, origin, frame)
    points = pose.inverse().map(grid.lps_from(np.stack(np.indices(grid.shape), axis=-1)))
    shapes = [
        ((0, 0, 0), (11, 9, 24), 40, 500),
        ((4, 1, 9), (4, 5, 7), -600, 90),
        ((-4, 1, 7), (4, 4, 6), -600, 90),
        ((-2, -1, -4), (8, 6, 4), 70, 300),
        ((5, 3, -12), (3, 2, 4), 20, 800),
        ((-5, -3, -15), (2, 3, 3), 10, 950),
        ((0, 6, 0), (1.5, 1.2, 20), 290, 60),
        ((6, 2, -18), (1.2, 1.2, 4), 290, 60),
    ]
    scan = np.full(grid.shape, -1000.0 if modality is Modality.CT else 0.0)
    for centre, radii, hounsfield, magnetic in shapes:
        inside = np.sum(((points - np.array(centre)) / radii) ** 2, axis=-1) < 1
        scan[inside] = hounsfield if modality is Modality.CT else magnetic
    scan = ndimage.gaussian_filter(scan, 0.5 / spacing_mm)
    scan += np.random.default_rng(seed).normal(0, 20, scan.shape)
    return Volume(scan.astype(np.float32), grid, modality)


def posed(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> Transform:
    return Transform.from_parts(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), shift)


def error_mm(found: Transform, fixed_pose: Transform, moving_pose: Transform) -> float:
    there = moving_pose.map(TARGETS)
    return float(np.sqrt(np.mean(np.sum((found.map(fixed_pose.map(TARGETS)) - there) ** 2, axis=1))))


@pytest.mark.parametrize("modality", [Modality.CT, Modality.MR])
def test_a_turned_and_flipped_animal_is_aligned_by_what_its_scans_share(modality: Modality) -> None:
    here, there = posed((3, -5, 8), (1, 0, -2)), posed((10, 170, 20), (-2, 1, 2))
    fixed, moving = animal(Modality.CT, here, 0.7, 1, "day 0"), animal(modality, there, 0.8, 2, "day 1")
    said: list[float] = []
    found = align(fixed, moving, method="intensity", progress=lambda part, _: said.append(part))
    # A tenth of a voxel: the simulated edges are soft and the noise is low.
    assert error_mm(found.moving_from_fixed, here, there) < 0.1
    assert found.verdict is Verdict.GOOD, found.reason
    assert found.images is not None
    assert found.images.after > found.images.before
    assert (found.moving_from_fixed.source_frame, found.moving_from_fixed.target_frame) == ("day 0", "day 1")
    assert found.moving_from_fixed.is_rigid
    assert said[0] == 0.0
    assert said[-1] == 1.0


def test_scans_are_compared_only_where_the_mask_says() -> None:
    here, there = posed((0, 0, 0), (0, 0, 0)), posed((6, -4, 8), (2, -1, 1))
    fixed, moving = animal(Modality.CT, here, 1.0, 1, "a"), animal(Modality.CT, there, 1.0, 2, "b")
    mask = np.zeros(fixed.grid.shape, dtype=bool)
    mask[20:50, 8:36, 8:36] = True
    found = align(fixed, moving, method="intensity", fixed_mask=mask)
    assert error_mm(found.moving_from_fixed, here, there) < 0.2
    assert found.verdict is Verdict.GOOD, found.reason


def test_the_same_scans_give_the_same_bytes() -> None:
    fixed = animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.0, 1, "a")
    moving = animal(Modality.CT, posed((8, 5, 0), (1, 2, 0)), 1.0, 2, "b")
    initial = Transform.identity()
    first, second = (align(fixed, moving, method="intensity", initial=initial) for _ in range(2))
    assert np.array_equal(first.moving_from_fixed.target_from_source, second.moving_from_fixed.target_from_source)


def test_an_alignment_stops_when_asked() -> None:
    scan = animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.0, 1, "a")
    asked: list[int] = []
    with pytest.raises(AlignmentError, match="stopped"):
        align(scan, scan, method="intensity", should_stop=lambda: bool(asked.append(1) or len(asked) > 4))


def test_scans_of_nothing_in_common_are_refused_or_doubted() -> None:
    fixed = animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.0, 1, "a")
    noise = np.random.default_rng(0).normal(100, 30, (30, 30, 30)).astype(np.float32)
    other = Volume(noise, Grid.from_spacing((30, 30, 30), 1.0, frame="b"), Modality.MR)
    try:
        found = align(fixed, other, method="intensity")
    except AlignmentError:
        return
    assert found.verdict is not Verdict.GOOD


def test_moments_bring_the_bodies_roughly_together_and_say_so() -> None:
    here, there = posed((0, 0, 0), (0, 0, 0)), posed((0, 0, 180), (4, -3, 2))
    fixed, moving = animal(Modality.CT, here, 1.0, 1, "a"), animal(Modality.CT, there, 1.0, 2, "b")
    found = align(fixed, moving, method="moments")
    assert error_mm(found.moving_from_fixed, here, there) < 3
    assert found.verdict is Verdict.DOUBTFUL


def test_an_mpi_scan_is_never_aligned_by_intensity() -> None:
    scan = animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.4, 1, "a")
    mpi = Volume(scan.voxels, scan.grid, Modality.MPI)
    for method in ("intensity", "moments"):
        with pytest.raises(AlignmentError, match="fiducials"):
            align(scan, mpi, method=method)


def test_a_constant_scan_and_a_single_plane_are_refused() -> None:
    scan = animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.4, 1, "a")
    constant = Volume(np.zeros(scan.grid.shape, np.float32), scan.grid, Modality.MR)
    plane = Volume(scan.voxels[:1], Grid((1, *scan.grid.shape[1:]), scan.grid.lps_from_index), Modality.CT)
    for other in (constant, plane):
        with pytest.raises(AlignmentError):
            align(scan, other, method="intensity")


def test_one_frame_is_the_identity_by_the_users_word_and_scans_apart_are_refused() -> None:
    scan = animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.4, 1, "ct")
    pet = Volume(scan.voxels, scan.grid.in_frame("pet"), Modality.PET)
    found = align(scan, pet, method="frame")
    assert np.array_equal(found.moving_from_fixed.target_from_source, np.eye(4))
    assert (found.moving_from_fixed.source_frame, found.moving_from_fixed.target_frame) == ("ct", "pet")
    far = scan.grid.lps_from_index.copy()
    far[:3, 3] += 500
    with pytest.raises(AlignmentError, match="overlap"):
        align(scan, Volume(scan.voxels, Grid(scan.grid.shape, far), Modality.PET), method="frame")


def test_given_points_are_used_without_being_asked_for_and_their_frame_is_checked() -> None:
    there = posed((10, 20, 30), (5, 4, 3))
    fixed, moving = (animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.4, 1, frame) for frame in ("ct", "mpi"))
    points = Points(["a", "b", "c", "d"], TARGETS)
    found = align(fixed, moving, fixed_points=points, moving_points=Points(points.names, there.map(TARGETS)))
    assert found.method == "fiducials"
    assert error_mm(found.moving_from_fixed, Transform.identity(), there) < 1e-9
    with pytest.raises(FrameMismatchError):
        align(fixed, moving, fixed_points=points.in_frame("elsewhere"), moving_points=points)


def test_points_that_their_scans_could_not_show_are_doubted_and_named() -> None:
    fixed, moving = (animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.4, 1, frame) for frame in ("ct", "mpi"))
    points = Points(["a", "b", "c", "d"], TARGETS)
    # The scans are 70 mm long: the last of these lies 25 mm beyond the end, as when two files are swapped.
    beyond = Points(points.names, TARGETS + [0, 0, 40])
    there = align(fixed, moving, fixed_points=points, moving_points=beyond)
    assert there.verdict is Verdict.DOUBTFUL
    assert "2 of 4 points lie more than 10 mm outside the moving scan" in there.reason
    back = align(fixed, moving, fixed_points=beyond, moving_points=points)
    assert "outside the fixed scan" in back.reason
    assert align(fixed, moving, fixed_points=points, moving_points=points).verdict is Verdict.GOOD


@pytest.mark.parametrize(("method", "model"), [("auto", "elastic"), ("magic", "rigid"), ("moments", "affine")])
def test_what_is_not_there_is_refused_by_name(method: str, model: str) -> None:
    scan = animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.4, 1, "a")
    with pytest.raises(AlignmentError):
        align(scan, scan, method=method, model=model)


def test_resampling_is_that_of_itk_and_checks_frames() -> None:
    scan = animal(Modality.CT, posed((0, 0, 0), (0, 0, 0)), 1.4, 1, "moving")
    onto = Grid.from_spacing((20, 21, 22), (1.5, 1.3, 1.1), (-9, -10, -11), "fixed")
    transform = posed((5, 6, 7), (1, 2, 3)).between("fixed", "moving")
    linear = resample(scan, transform, onto)
    index = scan.grid.index_from(transform.map(onto.lps_from([7, 8, 9])))
    expected = ndimage.map_coordinates(scan.voxels.astype(float), index[:, None], order=1)
    assert linear.voxels[7, 8, 9] == pytest.approx(expected[0], abs=0.01)
    assert linear.grid is onto
    labels = OrganLabels((scan.voxels > 0).astype(np.uint8), scan.grid, {1: "body"})
    moved = resample_organs(labels, transform, onto)
    assert moved.voxels[7, 8, 9] == labels.voxels[tuple(np.round(index).astype(int))]
    with pytest.raises(FrameMismatchError):
        resample(scan, transform.inverse(), onto)


def test_there_are_24_axis_aligned_turns_and_none_is_a_mirror() -> None:
    turns = axis_aligned_rotations()
    assert len({tuple(t.ravel()) for t in turns}) == 24
    assert all(np.linalg.det(t) == pytest.approx(1) for t in turns)
    assert np.array_equal(turns[0], np.eye(3))


def test_the_mutual_information_of_a_picture_with_itself_is_its_entropy() -> None:
    values = np.repeat(np.arange(4) / 23, 100)
    assert mutual_information(values, values) == pytest.approx(np.log(4))
    assert mutual_information(values, np.zeros(400)) == pytest.approx(0.0)


def real(path: Path, modality: Modality) -> Volume:
    image = sitk.ReadImage(str(path))
    return Volume(array_from_itk(image), grid_from_itk(image), modality)


@pytest.mark.real_data
def test_a_real_head_in_ct_and_mr_is_aligned_to_one_place_from_any_start(real_data: Path) -> None:
    ct = real(real_data / "pig-head-phantom/ct.nii.gz", Modality.CT)
    mr = real(real_data / "pig-head-phantom/mr_t2.nii.gz", Modality.MR)
    found = align(ct, mr, method="intensity")
    assert found.verdict is Verdict.GOOD, found.reason
    corners = found.centre_mm + 40 * np.concatenate([np.eye(3), -np.eye(3)])
    for seed in range(3):
        rng = np.random.default_rng(seed)
        turn = Rotation.from_rotvec(rng.normal(0, np.radians(4), 3)).as_matrix()
        start = found.moving_from_fixed.target_from_source @ np.asarray(
            Transform.from_parts(
                turn, found.centre_mm - turn @ found.centre_mm + rng.normal(0, 3, 3)
            ).target_from_source
        )
        again = align(ct, mr, method="intensity", initial=Transform(start), seed=seed + 1)
        spread = np.linalg.norm(again.moving_from_fixed.map(corners) - found.moving_from_fixed.map(corners), axis=1)
        # The voxels are 1.2 and 2.5 mm.
        assert spread.max() < 0.6


@pytest.mark.real_data
def test_in_a_real_head_bone_comes_to_lie_on_bone(real_data: Path) -> None:
    ct = real(real_data / "pig-head-phantom/ct.nii.gz", Modality.CT)
    mr = real(real_data / "pig-head-phantom/mr_t2.nii.gz", Modality.MR)
    whole = align(ct, mr, method="intensity")
    # The flesh moved against the bone between the two scanners, so bone is aligned on the bone and what is near it.
    near = ndimage.binary_dilation(ct.voxels > 1000, iterations=12)
    found = align(ct, mr, method="intensity", fixed_mask=near, initial=whole.moving_from_fixed)
    bone = ct.grid.lps_from(np.argwhere(ct.voxels > 1200))

    def brightness(shift: np.ndarray) -> float:
        index = mr.grid.index_from(found.moving_from_fixed.map(bone + shift))
        return float(ndimage.map_coordinates(mr.voxels.astype(float), index.T, order=1).mean())

    # Dense bone is dark in T2: under the CT's bone the MR is darker here than 3 mm to any side.
    assert all(brightness(np.zeros(3)) < brightness(shift) for shift in 3.0 * np.vstack([np.eye(3), -np.eye(3)]))
    # The alignment of the whole head leaves the bone within one slice of the MR, 2.5 mm.
    moved = found.moving_from_fixed.map(bone) - whole.moving_from_fixed.map(bone)
    assert np.linalg.norm(moved, axis=1).mean() < 2.5


@pytest.mark.real_data
def test_a_real_chest_a_breath_apart_comes_near_its_hundred_points(real_data: Path) -> None:
    folder = real_data / "elastix-lung3dct"
    before = real(folder / "3DCT_lung_baseline.mha", Modality.CT)
    after = real(folder / "3DCT_lung_followup.mha", Modality.CT)
    here = np.loadtxt(folder / "3DCT_lung_baseline_landmarks.txt", skiprows=2)
    there = np.loadtxt(folder / "3DCT_lung_groundtruth_point.txt", skiprows=2)
    found = align(before, after, method="intensity")
    unaligned = np.linalg.norm(here - there, axis=1).mean()
    aligned = np.linalg.norm(found.moving_from_fixed.map(here) - there, axis=1).mean()
    # What moves with a breath no transform of the whole chest follows: elastix's own affine, which may stretch too,
    # leaves 9.3 mm at these points. A rigid one comes as near.
    affine = sitk.AffineTransform(3)
    stated = (folder / "transformparameters.3DCT_lung.affine.txt").read_text()
    numbers = {key: [float(n) for n in _after(stated, key)] for key in ("TransformParameters", "CenterOfRotationPoint")}
    affine.SetParameters(numbers["TransformParameters"])
    affine.SetCenter(numbers["CenterOfRotationPoint"])
    elastix = np.linalg.norm([affine.TransformPoint(point) for point in here.tolist()] - there, axis=1).mean()
    assert unaligned > 30
    assert aligned < 1.2 * elastix


def _after(text: str, key: str) -> list[str]:
    return text.split(f"({key} ")[1].split(")")[0].split()
