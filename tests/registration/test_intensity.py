"""Alignment by intensity: the metric and its slope, the search, the error that is measured, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation
from test_align import TARGETS, animal, error_mm, posed, real

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Verdict
from napari_mpi_track.registration.evidence import AlignmentStep
from napari_mpi_track.registration.images.climbing import FREEDOMS, Movements
from napari_mpi_track.registration.images.distinctness import Distinctness, distinctness
from napari_mpi_track.registration.images.pictures import pictured
from napari_mpi_track.registration.images.search import FINE, Search, Watch
from napari_mpi_track.registration.images.similarity import compared
from napari_mpi_track.registration.images.verdict import Finding, Overlap, Rival, judged

CLEAR = Distinctness(0.3, 0.3, 0.3)
HERE, THERE = posed((3, -5, 8), (1, 0, -2)), posed((8, 4, 12), (-2, 1, 2))


@pytest.fixture(scope="module")
def ct() -> Volume:
    return animal(Modality.CT, HERE, 1.0, 1, "ct")


@pytest.fixture(scope="module")
def mr() -> Volume:
    return animal(Modality.MR, THERE, 1.1, 2, "mr")


@pytest.mark.parametrize("model", list(FREEDOMS))
@pytest.mark.parametrize("same", [True, False])
def test_the_slope_of_the_metric_is_that_of_its_differences(ct: Volume, mr: Volume, model: str, same: bool) -> None:
    fixed, moving = pictured(ct, "fixed"), pictured(mr, "moving")
    comparison = compared(fixed.blurred(1.5), moving.blurred(1.5), same, 4000, 0)
    movements = Movements(model, fixed.centre_mm, fixed.radius_mm)
    pose = (
        THERE.target_from_source @ HERE.inverse().target_from_source @ posed((2, 3, -2), (1, -1, 1)).target_from_source
    )
    push = comparison.likeness(pose, with_push=True).push
    assert push is not None
    slope = movements.gradient(push, comparison.arms_mm)
    step = 1e-3
    differences = [
        (
            comparison.likeness(pose @ movements.matrix(step * row)).metric
            - comparison.likeness(pose @ movements.matrix(-step * row)).metric
        )
        / (2 * step)
        for row in np.eye(movements.count)
    ]
    # Where a difference steps over a voxel's border or a bin's, the slope changes within it: a few percent.
    assert slope == pytest.approx(differences, rel=0.05, abs=0.02 * float(np.abs(slope).max()))


@pytest.mark.parametrize(
    ("model", "stretch"), [("similarity", (1.025, 1.025, 1.025)), ("affine", (1.025, 0.975, 1.02))]
)
def test_an_animal_that_is_scaled_or_stretched_is_found_so(model: str, stretch: tuple[float, float, float]) -> None:
    linear = THERE.target_from_source[:3, :3] @ np.diag(stretch)
    there = Transform.from_parts(linear, THERE.target_from_source[:3, 3])
    fixed, moving = animal(Modality.CT, HERE, 0.8, 1, "ct"), animal(Modality.MR, there, 0.8, 2, "mr")
    found = align(fixed, moving, method="intensity", model=model, effort="fast")
    # 0.4 of a voxel: the soft edge of a CT that is clamped at -300 HU lies a part of one within the MR's, which a scale
    # takes up. At 0.2 mm voxels the benchmark finds 0.015 mm. Without a scale the targets are 0.5 mm off.
    assert error_mm(found.moving_from_fixed, HERE, there) < 0.32
    assert found.model == model
    assert not found.moving_from_fixed.is_rigid


def test_the_stated_error_is_that_of_many_alignments() -> None:
    errors, stated = [], []
    for seed in range(3):
        fixed = animal(Modality.CT, HERE, 1.3, seed, "ct")
        moving = animal(Modality.MR, THERE, 1.4, seed + 50, "mr")
        found = align(fixed, moving, method="intensity", effort="fast")
        errors.append(error_mm(found.moving_from_fixed, HERE, THERE))
        stated.append(np.sqrt(np.mean(found.target_error_mm(HERE.map(TARGETS)) ** 2)))
    # The benchmark holds it to a third over a hundred seeds; three of one pose tell a factor of two and a half.
    assert 0.4 < np.sqrt(np.mean(np.square(errors))) / np.sqrt(np.mean(np.square(stated))) < 2.5


def test_every_start_ends_on_one_top_and_every_step_is_told(ct: Volume, mr: Volume) -> None:
    ends = []
    steps: list[AlignmentStep] = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        away = Transform.from_parts(Rotation.from_rotvec(rng.normal(0, 0.15, 3)).as_matrix(), rng.normal(0, 3, 3))
        start = THERE.target_from_source @ HERE.inverse().target_from_source @ away.target_from_source
        found = align(ct, mr, method="intensity", initial=Transform(start), effort="fast", on_step=steps.append)
        ends.append(found.moving_from_fixed.map(TARGETS))
    # A hundredth of a voxel: Newton's steps on the smoothed metric end on one top.
    assert np.abs(np.array(ends) - ends[0]).max() < 0.01
    assert found.images is not None
    assert len(found.images.trace) > 3
    assert steps[-1].metric > steps[0].metric
    assert steps[0].stage == "refining the best poses"


def test_a_start_that_leads_astray_is_left_for_the_better_pose(ct: Volume, mr: Volume) -> None:
    flipped = THERE.target_from_source @ posed((0, 0, 180), (0, 0, 0)).target_from_source
    found = align(
        ct, mr, method="intensity", initial=Transform(flipped @ HERE.inverse().target_from_source), effort="fast"
    )
    assert error_mm(found.moving_from_fixed, HERE, THERE) < 0.2


def test_an_alignment_is_stopped_within_a_step(ct: Volume, mr: Volume) -> None:
    steps: list[AlignmentStep] = []
    with pytest.raises(AlignmentError, match="stopped"):
        align(ct, mr, method="intensity", effort="fast", on_step=steps.append, should_stop=lambda: len(steps) > 1)
    assert len(steps) == 2


def test_part_of_an_animal_is_found_in_the_whole(ct: Volume) -> None:
    whole = animal(Modality.MR, THERE, 1.1, 2, "mr")
    planes = whole.grid.shape[0]
    kept = slice(planes // 3, planes)
    matrix = whole.grid.lps_from_index.copy()
    matrix[:3, 3] = whole.grid.lps_from((kept.start, 0, 0))
    voxels = whole.voxels[kept]
    part = Volume(voxels, Grid(voxels.shape, matrix, "mr"), Modality.MR)  # type: ignore[arg-type]
    found = align(ct, part, method="intensity", effort="fast")
    assert error_mm(found.moving_from_fixed, HERE, THERE) < 0.3


def test_voxels_without_a_number_are_left_out(ct: Volume, mr: Volume) -> None:
    voxels = mr.voxels.copy()
    voxels[np.random.default_rng(0).random(voxels.shape) < 0.02] = np.nan
    voxels[20:24, 18:22, 18:22] = np.inf
    found = align(ct, mr.with_voxels(voxels), method="intensity", effort="fast")
    assert error_mm(found.moving_from_fixed, HERE, THERE) < 0.2
    empty = mr.with_voxels(np.full(voxels.shape, np.nan, np.float32))
    with pytest.raises(AlignmentError, match="finite"):
        align(ct, empty, method="intensity")


def test_a_start_without_overlap_an_empty_mask_and_a_single_slice_are_refused(ct: Volume, mr: Volume) -> None:
    far = Transform.from_parts(np.eye(3), (500.0, 0, 0))
    with pytest.raises(AlignmentError, match="overlap"):
        align(ct, mr, method="intensity", initial=far)
    with pytest.raises(AlignmentError, match="mask"):
        align(ct, mr, method="intensity", fixed_mask=np.zeros(ct.grid.shape, dtype=bool))
    one = Volume(mr.voxels[30:31], Grid((1, *mr.grid.shape[1:]), mr.grid.lps_from_index), Modality.MR)
    with pytest.raises(AlignmentError, match="planes"):
        align(ct, one, method="intensity")
    with pytest.raises(AlignmentError, match="effort"):
        align(ct, mr, method="intensity", effort="enormous")


def test_a_second_pose_that_comes_near_makes_an_alignment_doubtful() -> None:
    found = Finding(0.8, 0.1, 5.0, 0.8, Rival(0.75, 0.75, 20.0), CLEAR, True, False, Overlap(0.95, 0.97), 0.01, 0.3)
    assert judged(found, False)[0] is Verdict.DOUBTFUL
    assert "hardly to be told apart" in judged(found, False)[1]
    clear = Finding(0.8, 0.1, 5.0, 0.8, Rival(0.3, 0.3, 20.0), CLEAR, True, False, Overlap(0.95, 0.97), 0.01, 0.3)
    assert judged(clear, False)[0] is Verdict.GOOD


def test_only_another_pose_that_tells_more_speaks_against_one() -> None:
    for moved_mm, verdict in ((5.0, Verdict.DOUBTFUL), (0.01, Verdict.GOOD)):
        found = Finding(
            0.8, 0.81, moved_mm, 0.8, Rival(0.3, 0.3, 20.0), CLEAR, True, False, Overlap(0.95, 0.97), 0.01, 0.3
        )
        assert judged(found, False)[0] is verdict


@pytest.mark.parametrize(
    "vague", [Distinctness(0.7, 0.3, 0.3), Distinctness(0.3, 0.9, 0.3), Distinctness(0.3, 0.3, 1.0)]
)
def test_a_pose_that_does_not_stand_out_inside_the_body_is_doubtful(vague: Distinctness) -> None:
    found = Finding(0.8, 0.1, 5.0, 0.8, Rival(0.3, 0.3, 20.0), vague, True, False, Overlap(0.95, 0.97), 0.01, 0.3)
    assert judged(found, False)[0] is Verdict.DOUBTFUL


def test_a_pose_stands_out_where_it_is_right_and_not_where_the_body_lies_the_other_way_round(
    ct: Volume, mr: Volume
) -> None:
    search = Search(pictured(ct, "fixed"), pictured(mr, "moving"), False, 0, HERE.map((0, 0, 0)), 21.0, Watch())
    whole, inside = search.at(FINE), search.inside_at(FINE)
    right = THERE.target_from_source @ HERE.inverse().target_from_source
    turn = posed((0, 180, 0), (0, 0, 0)).target_from_source
    flipped = right @ HERE.target_from_source @ turn @ HERE.inverse().target_from_source
    stands, lies = (distinctness(whole, inside, search.rigid, m, []) for m in (right, flipped))
    assert stands.beside < 0.45
    assert stands.beside_inside < 0.5
    # The limit is 0.6.
    assert lies.beside_inside > 0.7
    assert distinctness(whole, inside, search.rigid, flipped, [right]).rival_inside > 1.5


def test_a_bed_that_one_scan_alone_shows_is_left_out(ct: Volume, mr: Volume) -> None:
    places = ct.grid.lps_from(np.moveaxis(np.indices(ct.grid.shape), 0, -1))
    points = HERE.inverse().map(places)
    # A plate that the belly lies on.
    plate = (np.abs(points[..., 1] - 10.0) < 1.5) & (np.abs(points[..., 0]) < 15) & (ct.voxels < -300)
    voxels = ct.voxels.copy()
    voxels[plate] = 100
    with_bed, moving = pictured(ct.with_voxels(voxels), "fixed"), pictured(mr, "moving")
    animal_alone = pictured(ct, "fixed").body
    right = THERE.target_from_source @ HERE.inverse().target_from_source
    compared_where = with_bed.shared_with(moving, right).compared_where
    seen = mr.grid.contains(Transform(right).map(places))
    beside = plate & seen & ~ndimage.binary_dilation(animal_alone, iterations=3)
    assert np.count_nonzero(with_bed.body & beside) > 1000
    assert not np.any(compared_where & beside)
    # All but what lies near the plate's own parts.
    assert np.count_nonzero(compared_where & animal_alone) > 0.7 * np.count_nonzero(animal_alone)


def test_a_body_without_features_is_never_called_well_aligned() -> None:
    grid = Grid.from_spacing((30, 30, 30), 1.0, (-14.5, -14.5, -14.5), "a")
    distance = np.linalg.norm(grid.lps_from(np.stack(np.indices(grid.shape), axis=-1)), axis=-1)
    ball = ndimage.gaussian_filter((distance < 10).astype(np.float32), 1.0) * 500
    noise = np.random.default_rng(0)
    fixed, moving = (
        Volume((ball + noise.normal(0, 10, ball.shape)).astype(np.float32), grid.in_frame(frame), modality)
        for frame, modality in (("a", Modality.MR), ("b", Modality.PET))
    )
    try:
        found = align(fixed, moving, method="intensity", effort="fast")
    except AlignmentError:
        return
    assert found.verdict is Verdict.DOUBTFUL


@pytest.mark.real_data
def test_a_real_head_turned_upside_down_is_found_where_it_was(real_data: Path) -> None:
    ct = real(real_data / "pig-head-phantom/ct.nii.gz", Modality.CT)
    mr = real(real_data / "pig-head-phantom/mr_t2.nii.gz", Modality.MR)
    turn = Transform.from_parts(Rotation.from_euler("xyz", (175, 20, 60), degrees=True).as_matrix(), (30, -50, 20))
    turned = Volume(mr.voxels, Grid(mr.grid.shape, turn.target_from_source @ mr.grid.lps_from_index), Modality.MR)
    first, second = (align(ct, scan, method="intensity") for scan in (mr, turned))
    corners = first.centre_mm + 80 * np.concatenate([np.eye(3), -np.eye(3)])
    there = turn.map(first.moving_from_fixed.map(corners))
    # The issue allows 0.2 mm of spread; the smoothed metric has one top, within a hundredth.
    assert np.abs(second.moving_from_fixed.map(corners) - there).max() < 0.1
