"""An alignment being made, without a window: poses by hand, pairs of points, what can be aligned, slices, the study."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Layer
from scipy.spatial.transform import Rotation
from tiny_mouse import MARKERS_MM, MPI_FROM_ANATOMY

from napari_mpi_track.errors import AlignmentError, StudyFileError, TableError
from napari_mpi_track.gui.alignment_draft import (
    EMPTY_ALIGNMENT,
    AlignmentDraft,
    AlignmentSettings,
    ChosenScan,
    Found,
    button_text,
    chosen,
    posed,
    why_not,
    with_result,
    with_settings,
)
from napari_mpi_track.gui.alignment_files import (
    accept_in_study,
    brought_layer,
    held_by,
    line_for_study,
    write_in_study_file,
)
from napari_mpi_track.gui.alignment_pairs import (
    fit_of,
    next_side,
    pairs_of,
    renamed,
    with_point,
    with_point_moved,
    with_points,
    with_use,
    without,
)
from napari_mpi_track.gui.alignment_pose import (
    Position,
    boxes_meet,
    centre_seen,
    centred,
    pose_at,
    position_of,
    rotation_about,
    shifted,
    turned,
)
from napari_mpi_track.gui.alignment_scans import DayOfStudy, Offer, usual_pair
from napari_mpi_track.gui.alignment_slices import FACINGS, Pane, Tones, fused, overlaid, sampled
from napari_mpi_track.gui.layers import organ_layer, points_layer
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.registration.alignment import Alignment

FIXED = Grid.from_spacing((20, 22, 24), 1.0, (-12.0, -11.0, -9.0))
MOVING = Grid.from_spacing((16, 18, 20), 1.2, (30.0, 5.0, -3.0))


def scan(name: str, grid: Grid, modality: Modality | None) -> ChosenScan:
    return ChosenScan(name, Volume(np.zeros(grid.shape, dtype=np.float32), grid, modality))


@pytest.fixture
def draft() -> AlignmentDraft:
    return AlignmentDraft(scan("CT m01 day 0", FIXED, Modality.CT), scan("MPI m01 day 0", MOVING, Modality.MPI))


@pytest.fixture
def paired(draft: AlignmentDraft) -> AlignmentDraft:
    noise = np.random.default_rng(3).normal(0, 0.1, MARKERS_MM.shape)
    for here, there in zip(MARKERS_MM, MPI_FROM_ANATOMY.map(MARKERS_MM) + noise, strict=True):
        draft = with_point(with_point(draft, "fixed", here), "moving", there)
    return draft


def test_a_shift_moves_the_moving_scan_by_as_much_where_it_is_seen() -> None:
    pose = turned(Transform.identity(), rotation_about("z", 30), (1, 2, 3))
    by = np.array([1.5, -2.0, 4.0])
    np.testing.assert_allclose(centre_seen(shifted(pose, by), MOVING), centre_seen(pose, MOVING) + by, atol=1e-9)


def test_a_turn_is_right_handed_about_the_point_given() -> None:
    turn = Rotation.from_euler("y", 20, degrees=True)
    np.testing.assert_allclose(rotation_about("y", 20), turn.as_matrix(), atol=1e-12)
    centre = np.array([3.0, -1.0, 2.0])
    pose = turned(Transform.identity(), rotation_about("y", 20), centre)
    tip = np.array([5.0, 4.0, -6.0])
    np.testing.assert_allclose(pose.inverse().map(tip), turn.apply(tip - centre) + centre, atol=1e-9)
    np.testing.assert_allclose(pose.map(centre), centre, atol=1e-9)


@pytest.mark.parametrize("turns", [(10, 20, 30), (0, 90, 0), (180, 0, 0), (-170, -90, 40), (5, 89.9, -60)])
def test_numbers_put_in_come_back_as_a_pose_of_the_same_place(turns: tuple[float, float, float]) -> None:
    position = Position((3.0, -4.0, 12.5), turns)
    pose = pose_at(Transform.identity(), position, MOVING)
    read = position_of(pose, MOVING)
    np.testing.assert_allclose(read.shift_mm, position.shift_mm, atol=1e-9)
    wanted = Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    np.testing.assert_allclose(
        Rotation.from_euler("xyz", read.turn_degrees, degrees=True).as_matrix(), wanted, atol=1e-7
    )
    assert pose.is_rigid


def test_a_scale_survives_moving_by_hand() -> None:
    scaled = Transform.from_parts(1.1 * np.eye(3), (1, 2, 3))
    moved = pose_at(scaled, Position((5, 0, 0), (0, 0, 45)), MOVING)
    assert np.linalg.det(moved.target_from_source[:3, :3]) == pytest.approx(1.1**3)


def test_two_scans_apart_meet_once_centred() -> None:
    far = Transform.from_parts(np.eye(3), (200, 0, 0))
    assert not boxes_meet(far, FIXED, MOVING)
    pose = centred(far, FIXED, MOVING)
    assert boxes_meet(pose, FIXED, MOVING)
    np.testing.assert_allclose(centre_seen(pose, MOVING), FIXED.centre_mm, atol=1e-9)


def test_a_click_in_one_scan_and_one_in_the_other_make_a_pair(draft: AlignmentDraft) -> None:
    assert next_side(draft) == "fixed"
    draft = with_point(draft, "fixed", np.array([1.0, 2, 3]))
    assert next_side(draft) == "moving"
    draft = with_point(draft, "moving", np.array([4.0, 5, 6]))
    assert next_side(draft) == "fixed"
    (pair,) = draft.pairs
    assert (pair.name, pair.fixed_mm, pair.moving_mm) == ("P1", (1, 2, 3), (4, 5, 6))
    assert "2 more pairs" in fit_of(draft).why_none


def test_residuals_are_those_of_the_least_squares_fit(paired: AlignmentDraft) -> None:
    fit = fit_of(paired)
    here = np.array([pair.fixed_mm for pair in paired.pairs])
    there = np.array([pair.moving_mm for pair in paired.pairs])
    turn, _ = Rotation.align_vectors(there - there.mean(axis=0), here - here.mean(axis=0))
    expected = np.linalg.norm(turn.apply(here - here.mean(axis=0)) - (there - there.mean(axis=0)), axis=1)
    np.testing.assert_allclose([fit.of(p.name)[0] for p in paired.pairs], expected, rtol=1e-6)
    assert all(fit.of(p.name)[1] > fit.of(p.name)[0] for p in paired.pairs)
    assert 0 < fit.alignment.expected_target_error_mm < 0.3


def test_a_pair_left_out_no_longer_pulls_and_shows_its_own_error(paired: AlignmentDraft) -> None:
    wrong = with_point_moved(paired, "P2", "moving", np.array(paired.pairs[1].moving_mm) + [3.0, 0, 0])
    assert fit_of(wrong).of("P1")[0] > 0.35
    left_out = with_use(wrong, "P2", is_used=False)
    residual, leave_one_out = fit_of(left_out).of("P2")
    assert residual == pytest.approx(3.0, abs=0.5)
    assert leave_one_out is None
    assert fit_of(left_out).of("P1")[0] < 0.3
    arrow = np.array(fit_of(left_out).arrows_mm["P2"])
    # The anatomy's axes are the MPI's turned back by a quarter about z: +x of the MPI is -y there.
    assert arrow[1] == pytest.approx(-3.0, abs=0.5)


def test_three_points_on_a_line_are_refused_in_words(draft: AlignmentDraft) -> None:
    for x in (0.0, 5.0, 10.0):
        draft = with_point(with_point(draft, "fixed", np.array([x, 0, 0])), "moving", np.array([x, 1, 0]))
    assert "line" in fit_of(draft).why_none


def test_pairs_are_named_once_and_go_when_deleted(paired: AlignmentDraft) -> None:
    named = renamed(paired, "P1", " ear ")
    assert named.pairs[0].name == "ear"
    with pytest.raises(TableError, match="already"):
        renamed(named, "P2", "ear")
    with pytest.raises(TableError, match="name"):
        renamed(named, "P2", "  ")
    assert [p.name for p in without(named, {"ear", "P3"}).pairs] == ["P2", "P4", "P5"]


def test_points_of_two_files_meet_by_name(draft: AlignmentDraft) -> None:
    names = [f"F{n}" for n in range(5)]
    draft = with_points(draft, "fixed", Points(names, MARKERS_MM))
    draft = with_points(draft, "moving", Points(names[::-1], MPI_FROM_ANATOMY.map(MARKERS_MM)[::-1]))
    assert all(pair.is_complete for pair in draft.pairs)
    assert fit_of(draft).alignment.fiducials.rms_mm < 1e-9


def test_what_cannot_be_aligned_says_why(draft: AlignmentDraft) -> None:
    assert "Choose two scans" in why_not(EMPTY_ALIGNMENT)
    assert why_not(draft) == ""
    assert button_text(draft) == "Align MPI to CT"
    assert "tracer" in why_not(with_settings(draft, AlignmentSettings("intensity")))
    assert "Three points" in why_not(with_point(draft, "fixed", np.zeros(3)))
    assert "different" in why_not(replace(draft, moving=draft.fixed)) or "same scan" in why_not(
        replace(draft, moving=draft.fixed)
    )
    assert why_not(with_settings(draft, AlignmentSettings("auto", "bspline")))
    assert "anatomy only" in why_not(with_settings(draft, AlignmentSettings("frame", "bspline")))
    assert "another model" in why_not(with_settings(draft, AlignmentSettings("auto", "affine")))
    assert with_settings(draft, AlignmentSettings("frame", "affine")).settings.model == "rigid"


def test_a_modality_that_no_file_states_can_be_said(draft: AlignmentDraft) -> None:
    unknown = chosen(draft, "moving", scan("Image", MOVING, None))
    assert button_text(unknown) == "Align Image to CT"
    said = with_settings(unknown, replace(unknown.settings, moving_modality="MR"))
    assert said.volume("moving").modality is Modality.MR
    assert button_text(said) == "Align MR to CT"


def test_moving_by_hand_drops_the_result_it_no_longer_shows(draft: AlignmentDraft) -> None:
    found = with_result(draft, Found(Alignment(MPI_FROM_ANATOMY, "fiducials")))
    np.testing.assert_array_equal(found.pose.target_from_source, MPI_FROM_ANATOMY.target_from_source)
    moved = posed(found, shifted(found.pose, (1, 0, 0)))
    assert moved.found is None
    assert moved.settings.is_from_here


def test_another_scan_begins_a_new_alignment_and_keeps_how(paired: AlignmentDraft) -> None:
    other = chosen(with_settings(paired, AlignmentSettings("fiducials")), "moving", scan("PET", MOVING, Modality.PET))
    assert other.settings.method == "fiducials"
    assert not other.is_begun
    assert other.fixed is paired.fixed


def test_the_pair_one_would_mean_is_mpi_onto_an_anatomy() -> None:
    offered = (Offer("PET", "PET"), Offer("MPI", "MPI"), Offer("mine", ""), Offer("MR", "MR"))
    assert usual_pair(offered) == ("MR", "MPI")
    assert usual_pair(offered[2:]) == ("MR", "mine")
    assert usual_pair(offered[:1]) is None


@pytest.mark.parametrize("name", list(FACINGS))
def test_every_pixel_of_a_slice_shows_what_lies_there(name: str) -> None:
    """A scan whose values are a plane's: linear interpolation is exact, so every pixel tells its own place."""
    tilt = Rotation.from_euler("xyz", [10, -25, 40], degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = tilt @ np.diag([1.1, 0.9, 1.3]), (-15, -12, -14)
    grid = Grid((30, 31, 32), matrix)
    normal = np.array([0.3, -1.0, 2.0])
    voxels = (grid.lps_from(np.moveaxis(np.indices(grid.shape), 0, -1)) @ normal).astype(np.float64)
    pose = Transform.from_parts(rotation_about("x", 12), (1, 2, -3))
    pane = Pane(FACINGS[name], np.array([0.5, 1.0, 2.0]), 0.31, 40, 50)
    values = sampled(voxels, grid, pose, pane)
    expected = pose.map(pane.points_mm()) @ normal
    inside = np.isfinite(values)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(values[inside], expected[inside], atol=1e-4)
    x, y = pane.pixel_at(pane.mm_at(12.5, 7.5))
    assert (x, y) == pytest.approx((12.5, 7.5))
    np.testing.assert_allclose(pane.points_mm()[7, 12], pane.mm_at(12.5, 7.5), atol=1e-12)


@pytest.fixture
def bent() -> Transform:
    lattice = Grid.from_spacing((8, 8, 8), 12.0, (-42.0, -42.0, -42.0))
    push = np.random.default_rng(2).normal(0, 1.0, (3, 8, 8, 8))
    return replace(Transform.from_parts(rotation_about("z", 5), (1, 2, 3)), deformation=Deformation(lattice, push))


def test_a_deformed_scan_is_drawn_where_its_transform_says(bent: Transform) -> None:
    grid = Grid.from_spacing((40, 42, 44), 1.0, (-21.0, -20.0, -19.0))
    normal = np.array([1.0, -2.0, 0.5])
    voxels = grid.lps_from(np.moveaxis(np.indices(grid.shape), 0, -1)) @ normal
    pane = Pane(FACINGS["coronal"], np.array([0.0, 1.0, 0.0]), 0.3, 60, 70)
    values = sampled(voxels, grid, bent, pane)
    # Between every eighth pixel (2.4 mm) the way is taken as straight; the lattice bends over 12 mm.
    np.testing.assert_allclose(values, bent.map(pane.points_mm()) @ normal, atol=0.05)
    draft = AlignmentDraft(pose=bent)
    assert draft.is_moved
    moved = shifted(bent, (1.0, 0, 0))
    assert moved.deformation is None


def test_points_follow_a_deformation_back_and_labels_say_that_they_cannot(bent: Transform) -> None:
    fixed = Volume(
        np.zeros((40, 42, 44), dtype=np.float32), Grid.from_spacing((40, 42, 44), 1.0, (-21.0, -20.0, -19.0))
    )
    truth = np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, -6.0]])
    content, settings, kind = points_layer(Points(["a", "b"], bent.map(truth)))
    positions, _, _ = brought_layer(held_by(Layer.create(content, settings, kind)), bent, fixed, "fixed")
    np.testing.assert_allclose(positions[:, ::-1], truth, atol=1e-5)
    organs = OrganLabels(np.ones((4, 4, 4), dtype=np.uint8), Grid.from_spacing((4, 4, 4), 1.0), {1: "liver"})
    content, settings, kind = organ_layer(organs)
    with pytest.raises(AlignmentError, match="inverse"):
        brought_layer(held_by(Layer.create(content, settings, kind)), bent, fixed, "moving")


def test_where_the_upper_scan_is_dark_the_lower_one_is_seen_unchanged() -> None:
    tones = Tones.of(
        Volume(np.linspace(0, 100, 8).reshape(2, 2, 2).astype(np.float32), Grid.from_spacing((2, 2, 2), 1.0))
    )
    below = np.array([[40, 200]], dtype=np.uint8)
    np.testing.assert_array_equal(overlaid(below, np.zeros_like(below), tones.colours, 0.0)[..., 0], below)
    bright = overlaid(below, np.full_like(below, 255), tones.colours, 1.0)
    assert (bright.astype(int) > 120).all()


def test_two_anatomies_are_grey_where_they_agree_and_coloured_where_they_do_not() -> None:
    light = np.array([[0, 120]], dtype=np.uint8)
    agree = fused(light, light, 0.5)[0].astype(int)
    assert agree[0].tolist() == [0, 0, 0]
    assert np.ptp(agree[1]) < 12
    only_fixed, only_moving = fused(light, 0 * light, 0.5)[0, 1], fused(0 * light, light, 0.5)[0, 1]
    assert int(only_fixed[2]) - int(only_fixed[0]) > 80
    assert int(only_moving[0]) - int(only_moving[2]) > 80


@pytest.fixture
def day(tiny_study: Path, tmp_path: Path) -> DayOfStudy:
    import shutil

    folder = shutil.copytree(tiny_study.parent, tmp_path / "study")
    study = load_study(folder / "study.yaml")
    return DayOfStudy(study, study.subjects[0], study.subjects[0].timepoint(7), "MPI")


def test_an_accepted_alignment_is_the_days_and_stays_beside_earlier_ones(day: DayOfStudy) -> None:
    study, first = accept_in_study(day, Alignment(MPI_FROM_ANATOMY, "fiducials"))
    _, second = accept_in_study(day, Alignment(Transform.identity(), "manual"))
    assert (first.name, second.name) == ("m01_day7_MPI_to_anatomy.tfm", "m01_day7_MPI_to_anatomy_2.tfm")
    assert first.with_suffix(".json").is_file()
    assert study.subject("m01").timepoint(7).alignment == str(first)
    assert study.subject("m01").timepoint(0).alignment is None


def test_the_study_file_takes_one_line_and_reads_as_accepted(day: DayOfStudy) -> None:
    file = day.study.file
    before = file.read_text().splitlines()
    for matrix in (MPI_FROM_ANATOMY, Transform.identity()):
        study, path = accept_in_study(day, Alignment(matrix, "manual"))
        write_in_study_file(day, path)
        assert load_study(file) == study
    after = file.read_text().splitlines()
    assert [line for line in after if line not in before] == [f"        {line_for_study(day, path)}"]
    assert len(after) == len(before) + 1
    assert after[after.index("      - day: 7") + 1] == "        alignment: transforms/m01_day7_MPI_to_anatomy_2.tfm"
    assert not list(file.parent.glob(".*"))


def test_a_day_written_in_one_line_is_left_to_a_hand(day: DayOfStudy) -> None:
    file = day.study.file
    text = file.read_text()
    start = text.index("      - day: 7")
    file.write_text(text[:start] + "      - {day: 7, mpi: mpi7.mha, anatomy: {path: ct.mha, modality: CT}}\n")
    before = file.read_bytes()
    _, path = accept_in_study(day, Alignment(MPI_FROM_ANATOMY, "fiducials"))
    with pytest.raises(StudyFileError) as caught:
        write_in_study_file(day, path)
    assert "alignment: transforms/m01_day7_MPI_to_anatomy.tfm" in caught.value.remedy
    assert file.read_bytes() == before


def test_markers_that_were_found_become_pairs(paired: AlignmentDraft) -> None:
    alignment = fit_of(paired).alignment
    assert pairs_of(alignment) == paired.pairs
