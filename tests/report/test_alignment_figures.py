"""The pictures of an alignment: everything where it lies, in the right colours, with its marks and its error."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from posed_animals import moving_from_fixed, pose, posed_animal

from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.evidence import FiducialEvidence, ImageEvidence, LandmarkEvidence
from napari_mpi_track.report.alignment_figures import (
    RESIDUALS_DRAWN,
    comparison_figure,
    evidence_figure,
    metric_figure,
    target_error_figure,
)
from napari_mpi_track.report.alignment_pixels import highest_error_mm, pixels_of
from napari_mpi_track.report.alignment_views import AlignmentPicture, AlignmentView, alignment_picture
from napari_mpi_track.report.figures import figure_bytes

HERE, THERE = pose((0, 0, 0), (0, 0, 0)), pose((20, -10, 160), (3, -2, 4))
TRUTH = moving_from_fixed(HERE, THERE)
COVARIANCE = np.diag([1e-4, 1e-4, 1e-4, 0.01, 0.01, 0.01])


def alignment(**changes: object) -> Alignment:
    return replace(Alignment(TRUTH, "intensity", error_covariance=COVARIANCE), **changes)


def ct_and_mr(found: Alignment | None = None) -> AlignmentPicture:
    fixed = posed_animal(Modality.CT, HERE, frame="fixed")
    moving = posed_animal(Modality.MR, THERE, frame="moving")
    return alignment_picture(found or alignment(), fixed, moving)


def view_of(picture: AlignmentPicture, name: str) -> AlignmentView:
    return next(view for view in picture.views if view.name == name)


def pixel_of(view: AlignmentView, point_mm: tuple[float, float, float]) -> tuple[int, int]:
    """Row and column of a point of the fixed frame."""
    along = (np.dot(view.up, point_mm) - view.corner_mm[1]) / view.mm_per_pixel
    across = (np.dot(view.right, point_mm) - view.corner_mm[0]) / view.mm_per_pixel
    return int(along), int(across)


def spot(at_mm: tuple[float, float, float], modality: Modality, frame: str) -> Volume:
    """One bright voxel of 1 mm in an empty scan of 41 x 31 x 25 voxels about the origin."""
    grid = Grid.from_spacing((41, 31, 25), 1.0, (-12, -15, -20), frame)
    voxels = np.zeros(grid.shape, np.float32)
    voxels[tuple(np.rint(grid.index_from(at_mm)).astype(int))] = 50.0
    return Volume(voxels, grid, modality, "a.u.")


def test_both_scans_show_the_same_places_where_the_transform_is_right() -> None:
    picture = ct_and_mr()
    for view in picture.views:
        # Bodies are lit and air is dark in CT and MR alike; the bone is bright in CT and dark in MR.
        body, other = view.fixed > 25, view.moving > 25
        # Pixels are half a voxel: the soft rim of the two bodies differs by one or two of them.
        assert np.mean(body == other) > 0.93
    sagittal = view_of(picture, "sagittal")
    row, column = pixel_of(sagittal, (0, 6, 0))
    assert sagittal.fixed[row, column] > 200
    assert sagittal.moving[row, column] < 60


def test_tracer_is_drawn_where_the_alignment_puts_it_and_the_way_a_radiologist_looks() -> None:
    fixed = posed_animal(Modality.CT, HERE, frame="fixed")
    moved = Transform.from_parts(np.eye(3), (2.0, 0.0, -3.0), "fixed", "moving")
    place = (6.0, -4.0, 10.0)
    tracer = spot((8.0, -4.0, 7.0), Modality.MPI, "moving")
    picture = alignment_picture(Alignment(moved, "frame"), fixed, tracer, noise_sd=1.0)
    assert picture.kinds == ("overlay",)
    assert picture.floor == pytest.approx(5 / float(picture.brightest.split()[0]), rel=0.01)
    for view in picture.views:
        row, column = np.unravel_index(int(np.argmax(view.moving)), view.moving.shape)
        wanted = pixel_of(view, place)
        # The projection is sampled at about a millimetre.
        assert abs(row - wanted[0]) * view.mm_per_pixel < 1.0
        assert abs(column - wanted[1]) * view.mm_per_pixel < 1.0
        shown = pixels_of(picture, view, "overlay")[row, column]
        assert shown[0] == 255
    assert {view.name: view.letters for view in picture.views} == {
        "coronal": "RLIS",
        "sagittal": "APIS",
        "axial": "RLPA",
    }


def test_a_checkerboard_shows_either_scan_and_a_blend_both() -> None:
    picture = ct_and_mr()
    view = picture.views[0]
    checkered = pixels_of(picture, view, "checkerboard").astype(int)
    is_grey = (checkered[..., 0] == checkered[..., 2]) & (checkered[..., 0] == view.fixed)
    is_blue = np.abs(checkered[..., 2] - view.moving.astype(int)) <= 1
    assert np.all(is_grey | is_blue)
    assert 0.3 < np.mean(is_grey[view.moving > 40]) < 0.7
    blend = pixels_of(picture, view, "blend")
    assert np.array_equal(blend[..., 1], view.fixed)
    assert np.array_equal(blend[..., 0], view.moving)


def test_the_moving_scans_outline_follows_the_body() -> None:
    picture = ct_and_mr()
    axial = view_of(picture, "axial")
    rows, columns = np.nonzero(axial.edges)
    x = axial.corner_mm[0] + (columns + 0.5) * axial.mm_per_pixel
    y = -(axial.corner_mm[1] + (rows + 0.5) * axial.mm_per_pixel)
    # At the height of the body's centre of mass its outline is very nearly the ellipse with half axes 11 and 9 mm.
    radius = np.hypot(x / 11, y / 9)
    on_outline = np.abs(radius - 1) < 0.1
    angles = np.degrees(np.arctan2(y / 9, x / 11))[on_outline]
    assert len(np.unique(angles // 15)) >= 20
    coloured = pixels_of(picture, axial, "outline")[axial.edges]
    assert np.all(coloured == coloured[0])


def test_the_map_of_expected_errors_is_the_alignments_own() -> None:
    picture = ct_and_mr()
    found = alignment()
    for view in picture.views:
        inside = np.isfinite(view.error_mm)
        assert 0.2 < np.mean(inside) < 0.9
    coronal = view_of(picture, "coronal")
    row, column = pixel_of(coronal, (0.0, 0.0, 15.0))
    # The slice lies at the body's centre of mass, within a millimetre or two of y = 0.
    assert coronal.error_mm[row, column] == pytest.approx(found.target_error_mm([[0.0, 0.0, 15.0]])[0], rel=0.03)
    assert "error" in picture.kinds
    assert highest_error_mm(picture) >= max(float(np.nanmax(view.error_mm)) for view in picture.views)
    unknown = ct_and_mr(alignment(error_covariance=None))
    assert "error" not in unknown.kinds


def test_a_deformed_alignment_shows_where_volumes_change() -> None:
    lattice = Grid.from_spacing((8, 8, 8), 16.0, (-56, -56, -56))
    places = np.moveaxis(lattice.lps_from(np.moveaxis(np.indices(lattice.shape), 0, -1)), -1, 0)
    # Control points that move in proportion to their place stretch everything by 4 % a side.
    stretched = replace(TRUTH, deformation=Deformation(lattice, 0.04 * places))
    picture = ct_and_mr(alignment(moving_from_fixed=stretched, model="bspline"))
    assert picture.kinds[-1] == "volume"
    for view in picture.views:
        assert np.nanmedian(view.volume_change) == pytest.approx(1.04**3, rel=1e-3)
    words = [text.get_text() for text in comparison_figure(picture, "volume").axes[0].texts]
    assert "1.2 x" in words
    # A larger place is green, and rigid alignments have no such picture.
    red, green, _ = np.median(pixels_of(picture, picture.views[0], "volume").reshape(-1, 3), axis=0)
    assert green >= red
    assert "volume" not in ct_and_mr().kinds


def test_markers_are_ringed_with_arrows_ten_times_their_residual() -> None:
    fixed_points = Points(["a", "b", "c"], np.array([[5.0, 0, 5], [-5, 3, 0], [0, -4, -9]]), "fixed")
    apart = np.array([[0.3, 0, 0], [0, 0.4, 0], [0, 0, 0.5]])
    moving_points = Points(["1", "2", "3"], TRUTH.map(fixed_points.positions_mm + apart), "moving")
    fiducials = FiducialEvidence(fixed_points, moving_points, np.array([0.3, 0.4, 0.5]), np.full(3, np.nan))
    known = LandmarkEvidence(fixed_points, moving_points, np.array([0.3, 0.4, 0.5]))
    picture = ct_and_mr(alignment(fiducials=fiducials, landmarks=known))
    assert [mark.is_landmark for mark in picture.marks] == [False] * 3 + [True] * 3
    assert np.allclose([mark.apart_mm for mark in picture.marks[:3]], apart, atol=1e-12)
    axes = comparison_figure(picture, "outline").axes[0]
    (arrows,) = [part for part in axes.collections if hasattr(part, "U")]
    coronal = view_of(picture, "coronal")
    assert arrows.U[0] * coronal.mm_per_pixel == pytest.approx(RESIDUALS_DRAWN * 0.3, rel=1e-9)
    assert "arrows" in " ".join(text.get_text().replace("\n", " ") for text in axes.texts)


def test_a_marker_is_seen_in_its_ring_though_it_lies_in_none_of_the_slices() -> None:
    fixed = posed_animal(Modality.CT, HERE, frame="fixed")
    marker = (10.0, -12.0, 18.0)
    index = np.moveaxis(np.indices(fixed.grid.shape), 0, -1)
    voxels = fixed.voxels.copy()
    voxels[np.linalg.norm(fixed.grid.lps_from(index) - marker, axis=-1) < 1.5] = 2500.0
    points = Points(["a"], np.array([marker]), "fixed")
    same = Transform.identity("fixed", "moving")
    known = LandmarkEvidence(points, points.in_frame("moving"), np.zeros(1))
    found = Alignment(same, "frame", landmarks=known)
    picture = alignment_picture(found, fixed.with_voxels(voxels), spot(marker, Modality.MPI, "moving"))
    without = alignment_picture(
        replace(found, landmarks=None), fixed.with_voxels(voxels), spot(marker, Modality.MPI, "moving")
    )
    for view in picture.views:
        row, column = pixel_of(view, marker)
        assert view.fixed[row, column] == 255
        # Air lies there in the slice through the body's centre.
        plain = view_of(without, view.name)
        outside = pixel_of(plain, marker)
        if all(0 <= at < side for at, side in zip(outside, plain.fixed.shape, strict=True)):
            assert plain.fixed[outside] < 40


def test_figures_say_what_they_show_with_a_bar_in_mm_and_the_verdict() -> None:
    picture = replace(ct_and_mr(alignment(verdict=Verdict.DOUBTFUL)), title="m01 <day 7>: MR to CT")
    words = [text.get_text() for text in evidence_figure(picture).axes[0].texts]
    for needed in ("doubtful", "m01 <day 7>: MR to CT", "10 mm", "R", "L", "A", "P", "S", "I"):
        assert needed in words, needed
    assert any(word.endswith(" mm") for word in words)
    map_words = [text.get_text() for text in target_error_figure(picture).axes[0].texts]
    assert f"{highest_error_mm(picture):.3g} mm" in map_words


def test_the_same_alignment_gives_the_same_bytes_also_from_a_worker() -> None:
    picture = ct_and_mr()
    packed = pickle.dumps(picture)
    # Small enough to cross from process to process: no volumes in it.
    assert len(packed) < 2_000_000
    once = figure_bytes(evidence_figure(picture), "png", dots_per_inch=60)
    again = figure_bytes(evidence_figure(pickle.loads(packed)), "png", dots_per_inch=60)
    assert once == again


def test_a_flat_projection_and_a_scan_without_a_body_are_drawn_too() -> None:
    fixed = posed_animal(Modality.CT, HERE, frame="fixed")
    grid = Grid.from_spacing((1, 50, 40), (1.0, 1.0, 1.0), (-20, -25, 0), "moving")
    voxels = np.zeros(grid.shape, np.float32)
    voxels[0, 25, 20] = 9.0
    flat = Volume(voxels, grid, Modality.MPI, "a.u.", is_projection=True)
    identity = Transform.identity("fixed", "moving")
    picture = alignment_picture(Alignment(identity, "frame"), fixed, flat)
    assert all(view.moving.max() > 100 for view in picture.views)
    tracer = spot((0, 0, 0), Modality.MPI, "fixed")
    on_nothing = alignment_picture(Alignment(identity, "frame"), tracer, spot((1, 0, 0), Modality.PET, "moving"))
    assert on_nothing.views[0].moving.max() > 100
    figure_bytes(evidence_figure(on_nothing), "png", dots_per_inch=40)


def test_the_metric_is_drawn_step_by_step() -> None:
    figure = metric_figure(ImageEvidence("mutual information", 0.12, 0.45, (0.2, 0.3, 0.44, 0.45)))
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata().tolist() == [0.2, 0.3, 0.44, 0.45]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["every step", "before: 0.12", "after: 0.45"]
    assert "mutual information" in axes.get_ylabel()
