"""Overlap of bodies, agreement of edges and errors at landmarks: right alignments tell themselves from wrong ones."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from posed_animals import moving_from_fixed, pose, posed_animal
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError
from napari_mpi_track.imaging.foreground import body_centre_mm, find_body
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.alignment_files import load_alignment, save_alignment
from napari_mpi_track.registration.evidence import ImageEvidence
from napari_mpi_track.registration.quality import body_overlap, checked, edge_agreement, landmark_evidence

HERE, THERE = pose((4, -6, 9), (1, -1, 2)), pose((-8, 3, 20), (-2, 1, -1))
TRUTH = moving_from_fixed(HERE, THERE)
PAIRS = [(Modality.CT, Modality.MR), (Modality.MR, Modality.CT), (Modality.CT, Modality.CT)]


def scans(first: Modality, second: Modality) -> tuple[Volume, Volume]:
    return posed_animal(first, HERE, frame="fixed"), posed_animal(second, THERE, spacing_mm=0.8, frame="moving")


def turned(degrees: tuple[float, float, float]) -> Transform:
    """The truth after a turn of the fixed animal about its own middle."""
    middle = HERE.map(np.zeros(3))
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return TRUTH @ Transform.from_parts(rotation, middle - rotation @ middle, "fixed", "fixed")


def shifted(millimetres: float) -> Transform:
    return TRUTH @ Transform.from_parts(np.eye(3), np.full(3, millimetres / np.sqrt(3)), "fixed", "fixed")


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_edges_agree_under_the_right_transform_and_under_no_wrong_one(first: Modality, second: Modality) -> None:
    fixed, moving = scans(first, second)
    right = edge_agreement(fixed, moving, TRUTH)
    flips = [edge_agreement(fixed, moving, turned(d)) for d in ((180, 0, 0), (0, 180, 0), (0, 0, 180))]
    far = edge_agreement(fixed, moving, shifted(6.0))
    assert right is not None
    assert right > 0.6
    # Chance gives 0; a body turned round shares its outline, which is left out, and little else.
    for wrong in (*flips, far):
        assert wrong is not None
        assert wrong < 0.2
    nearer = [edge_agreement(fixed, moving, shifted(mm)) for mm in (3.0, 1.5, 0.0)]
    assert nearer == sorted(nearer)


def test_the_edges_of_noise_agree_as_chance_does() -> None:
    fixed, _ = scans(Modality.CT, Modality.CT)
    noise = np.random.default_rng(5).normal(200, 60, fixed.grid.shape).astype(np.float32)
    noise[~find_body(fixed)] = 0.0
    other = Volume(noise, fixed.grid, Modality.MR)
    found = edge_agreement(fixed, other, Transform.identity())
    # The noise of a share of some 0.13 among a few hundred edges is 0.02.
    assert found == pytest.approx(0.0, abs=0.15)


def test_a_moving_scan_of_a_part_of_the_body_is_judged_by_that_part() -> None:
    fixed, moving = scans(Modality.CT, Modality.MR)
    cut = moving.voxels[10:55]
    grid = Grid.from_spacing((45, *moving.grid.shape[1:]), 0.8, moving.grid.lps_from([10, 0, 0]), "moving")
    part = replace(moving, voxels=cut, grid=grid)
    overlap, edges = body_overlap(fixed, part, TRUTH), edge_agreement(fixed, part, TRUTH)
    assert overlap is not None
    assert edges is not None
    assert overlap > 0.9
    assert edges > 0.6


def test_voxels_that_are_no_numbers_outside_the_body_change_nothing_much() -> None:
    fixed, moving = scans(Modality.CT, Modality.MR)
    holes = moving.voxels.copy()
    holes[:, :3] = np.nan
    with_holes = edge_agreement(fixed, moving.with_voxels(holes), TRUTH)
    assert with_holes == pytest.approx(edge_agreement(fixed, moving, TRUTH), abs=0.02)


def boxes(shift_voxels: int) -> tuple[Volume, Volume]:
    """Two bright boxes of 20 x 20 x 20 voxels on one grid, the second shifted along x."""
    grid = Grid.from_spacing((32, 32, 40), 1.0, (0, 0, 0), "fixed")
    both = []
    for start in (5, 5 + shift_voxels):
        voxels = np.zeros(grid.shape, np.float32)
        voxels[6:26, 6:26, start : start + 20] = 100.0
        both.append(Volume(voxels, grid, Modality.MR))
    return both[0], both[1]


@pytest.mark.parametrize(("shift", "dice"), [(0, 1.0), (5, 0.75), (10, 0.5)])
def test_bodies_overlap_by_the_part_they_share(shift: int, dice: float) -> None:
    fixed, moving = boxes(shift)
    assert body_overlap(fixed, moving, Transform.identity()) == pytest.approx(dice, abs=1e-9)


def test_where_there_is_no_anatomy_nothing_is_claimed() -> None:
    fixed, moving = scans(Modality.CT, Modality.MR)
    tracer = replace(moving, modality=Modality.MPI)
    blank = moving.with_voxels(np.zeros(moving.grid.shape, np.float32))
    plane = Volume(np.ones((1, 20, 20), np.float32), Grid.from_spacing((1, 20, 20), 1.0), Modality.MR)
    for other in (tracer, replace(tracer, modality=Modality.PET), blank, plane):
        assert body_overlap(fixed, other, TRUTH) is None
        assert edge_agreement(fixed, other, TRUTH) is None
        alignment = Alignment(TRUTH, "frame")
        assert checked(alignment, fixed, other) is alignment
    # A body without anything in it has an outline and no edges to compare.
    assert edge_agreement(*boxes(0), Transform.identity()) is None


def test_a_frame_alignment_of_two_anatomies_gets_evidence() -> None:
    fixed, moving = scans(Modality.CT, Modality.MR)
    found = checked(Alignment(TRUTH, "frame", reason="by the user's word"), fixed, moving)
    assert found.verdict is Verdict.GOOD
    assert found.reason == "by the user's word"
    assert found.images is not None
    assert found.images.metric == "agreement of edges"
    assert found.images.before < found.images.after == found.images.edge_agreement
    assert found.images.body_overlap == pytest.approx(0.95, abs=0.05)


def test_what_the_images_were_compared_by_stays() -> None:
    fixed, moving = scans(Modality.CT, Modality.MR)
    images = ImageEvidence("mutual information", 0.1, 0.5, (0.2, 0.5), 0.3, 40.0, body_overlap=0.91)
    found = checked(Alignment(TRUTH, "intensity", images=images), fixed, moving)
    assert found.images is not None
    assert found.images.edge_agreement is not None
    assert replace(found.images, edge_agreement=None) == images


def test_a_good_alignment_whose_edges_do_not_meet_becomes_doubtful_and_says_why() -> None:
    fixed, moving = scans(Modality.CT, Modality.CT)
    found = checked(Alignment(turned((0, 180, 0)), "fiducials", reason="4 pairs, 0.1 mm"), fixed, moving)
    assert found.verdict is Verdict.DOUBTFUL
    assert found.reason.startswith("4 pairs, 0.1 mm; edges inside the body agree hardly better than by chance (")


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_an_alignment_a_few_millimetres_off_is_doubted_and_told_how_far(first: Modality, second: Modality) -> None:
    fixed, moving = scans(first, second)
    off = checked(Alignment(shifted(2.2), "frame"), fixed, moving)
    assert off.verdict is Verdict.DOUBTFUL
    said = re.search(r"would agree better ([0-9.]+) mm away", off.reason)
    assert said is not None, off.reason
    # Blocks of a millimetre, and the shift alone is off.
    assert float(said[1]) == pytest.approx(2.2, abs=0.6)
    # What lies right, or off by less than a block, is left alone; and what has looked at the voxels needs no telling.
    for near in (TRUTH, shifted(0.7)):
        assert checked(Alignment(near, "fiducials"), fixed, moving).verdict is Verdict.GOOD
    looked = ImageEvidence("mutual information", 0.1, 0.5, body_overlap=0.9)
    assert checked(Alignment(shifted(1.5), "intensity", images=looked), fixed, moving).verdict is Verdict.GOOD


def test_landmarks_are_paired_by_name_and_their_errors_are_distances() -> None:
    alignment = Alignment(Transform.from_parts(np.eye(3), (10.0, 0, 0), "fixed", "moving"), "frame")
    fixed = Points(["spine", "knee", "nose"], np.array([[0.0, 0, 0], [1, 2, 3], [5, 5, 5]]), "fixed")
    moving = Points(["tail", "knee", "spine"], np.array([[9.0, 9, 9], [11, 2, 7], [13.0, 0, 0]]), "moving")
    found = landmark_evidence(alignment, fixed, moving)
    assert found.fixed.names == found.moving.names == ("spine", "knee")
    assert found.errors_mm.tolist() == [3.0, 4.0]
    assert found.mean_mm == 3.5
    assert found.rms_mm == pytest.approx(np.sqrt(12.5), rel=1e-12)
    assert found.worst == ("knee", 4.0)
    strangers = Points(["a", "b"], np.zeros((2, 3)))
    with pytest.raises(AlignmentError, match="share no name"):
        landmark_evidence(alignment, fixed, strangers)


def test_errors_at_landmarks_are_kept_in_the_file_beside_the_transform(tmp_path: Path) -> None:
    alignment = Alignment(Transform.from_parts(np.eye(3), (1.5, 0, 0), "fixed", "moving"), "frame")
    points = (
        Points(["a", "b"], np.array([[0.1, 0, 0], [1, 2, 3]]), "fixed"),
        Points(["b", "a"], np.eye(3)[:2], "moving"),
    )
    known = replace(alignment, landmarks=landmark_evidence(alignment, *points))
    save_alignment(known, tmp_path / "t.tfm")
    back = load_alignment(tmp_path / "t.tfm").landmarks
    assert back is not None
    assert known.landmarks is not None
    assert (back.fixed.names, back.fixed.frame, back.moving.frame) == (("a", "b"), "fixed", "moving")
    for name in ("fixed", "moving"):
        assert np.array_equal(getattr(back, name).positions_mm, getattr(known.landmarks, name).positions_mm)
    assert np.array_equal(back.errors_mm, known.landmarks.errors_mm)
    save_alignment(alignment, tmp_path / "t.tfm", overwrite=True)
    assert load_alignment(tmp_path / "t.tfm").landmarks is None


def test_every_way_of_aligning_two_anatomies_compares_them() -> None:
    fixed, moving = scans(Modality.CT, Modality.MR)
    known = np.array([[0, 0, 0], [9, 0, 10], [-8, 5, -12], [0, -8, 15]], dtype=float)
    names = ["a", "b", "c", "d"]
    points = Points(names, HERE.map(known), "fixed"), Points(names, THERE.map(known), "moving")
    found = align(fixed, moving, fixed_points=points[0], moving_points=points[1])
    assert found.images is not None
    assert found.images.edge_agreement == pytest.approx(edge_agreement(fixed, moving, TRUTH), abs=0.05)
    assert found.images.body_overlap is not None
    by_word = align(fixed, moving, method="frame")
    assert by_word.verdict is Verdict.DOUBTFUL
    assert "edges inside the body" in by_word.reason


@pytest.mark.real_data
def test_edges_of_a_real_head_agree_in_ct_and_mr_only_the_right_way_round(real_data: Path) -> None:
    folder = real_data / "pig-head-phantom"
    ct = read_scan(folder / "ct.nii.gz", modality=Modality.CT)
    mr = read_scan(folder / "mr_t2.nii.gz", modality=Modality.MR)
    # Found by mutual information, seen to be right in the pictures: bones and outline meet.
    matrix = [
        [-0.99716, -0.066127, -0.036049, -12.696862],
        [-0.065262, 0.997563, -0.02467, 16.785338],
        [0.037592, -0.022247, -0.999045, -15.795804],
    ]
    right = Transform(np.vstack([matrix, [0, 0, 0, 1]]), "ct", "mr")
    agreed = edge_agreement(ct, mr, right)
    assert agreed is not None
    # Far fewer edges are shared than in simulated animals; still well above the limit of 0.2.
    assert agreed > 0.3
    middle = body_centre_mm(find_body(ct), ct.grid)
    for degrees in ((180, 0, 0), (0, 180, 0), (0, 0, 180)):
        turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
        wrong = edge_agreement(ct, mr, right @ Transform.from_parts(turn, middle - turn @ middle, "ct", "ct"))
        assert wrong is not None
        assert wrong < 0.15
