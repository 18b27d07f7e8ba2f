"""Two days of one animal: deformed where truth says, within its stated error, refused where it folds."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_mpi_track.errors import AlignmentError, AlignmentRefusedError
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.alignment_files import load_alignment, save_alignment
from napari_mpi_track.registration.images.deformable import align_deformable
from napari_mpi_track.registration.images.jacobian import jacobian_map, volume_change

RIGID = Transform.from_parts(np.eye(3), (1.5, -2.0, 3.0), "day 0", "day 7")


def organs(points: np.ndarray) -> np.ndarray:
    """A body of 32 x 28 x 44 mm with lungs, bones and twenty organs of their own density; HU at LPS points."""
    rng = np.random.default_rng(3)
    found = np.full(points.shape[:-1], -1000.0)
    inside = np.sum((points / [16, 14, 22]) ** 2, axis=-1) < 1
    found[inside] = 40.0
    for value in (*rng.uniform(-100, 250, 20), 700.0, 800.0, -600.0, -650.0):
        centre, radii = rng.uniform(-0.55, 0.55, 3) * [16, 14, 22], rng.uniform(2.0, 4.5, 3)
        found[inside & (np.sum(((points - centre) / radii) ** 2, axis=-1) < 1)] = value
    return found


def waves(points: np.ndarray) -> np.ndarray:
    """Where places of day 7 lie on day 0, less where they are: waves of 0.7 mm, 24 to 35 mm long."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 0.7 * np.stack([np.sin(z / 4.5), np.sin(x / 4.0 + 1), np.sin((z + y) / 5.5 + 2)], axis=-1)


def scanned(body_from_scan, grid: Grid, seed: int, modality: Modality = Modality.CT) -> Volume:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    voxels = organs(body_from_scan(grid.lps_from(index)))
    if modality is Modality.MR:
        # Another tissue is bright: air dark, bone dark, the rest by a curve that does not rise all the way.
        voxels = np.where((voxels < -500) | (voxels > 500), 20.0, 400 + 200 * np.sin(voxels / 60))
    smooth = ndimage.gaussian_filter(voxels, 0.6)
    noisy = smooth + np.random.default_rng(seed).normal(0, 8, grid.shape)
    return Volume(noisy.astype(np.float32), grid, modality, "HU" if modality is Modality.CT else "a.u.")


def grid_of(frame: str, spacing_mm: float, shift: float = 0.0) -> Grid:
    counts = [round(n / spacing_mm) for n in (56, 40, 44)]
    origin = -np.array(counts[::-1]) * spacing_mm / 2 + shift
    return Grid.from_spacing(tuple(counts), (spacing_mm, spacing_mm, 1.05 * spacing_mm), origin, frame)


@pytest.fixture(scope="module")
def days() -> tuple[Volume, Volume]:
    day_0 = scanned(lambda points: points, grid_of("day 0", 0.8), 1)
    day_7 = scanned(lambda y: moved_back(y), grid_of("day 7", 0.8, 0.3), 2)
    return day_0, day_7


def moved_back(points: np.ndarray) -> np.ndarray:
    body = points - RIGID.target_from_source[:3, 3]
    return body + waves(body)


def truth_of(points: np.ndarray) -> np.ndarray:
    """Where places of day 0 lie on day 7."""
    found = points
    for _ in range(50):
        found = points - waves(found)
    return RIGID.map(found)


def places_in_body() -> np.ndarray:
    points = np.random.default_rng(0).uniform(-1, 1, (600, 3)) * [16, 14, 22]
    return points[np.sum((points / [16, 14, 22]) ** 2, axis=-1) < 0.8]


def rms(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sum((found - truth) ** 2, axis=1))))


@pytest.fixture(scope="module")
def found(days) -> Alignment:
    return align_deformable(*days, Alignment(RIGID, "frame", reason="the bed"))


def test_a_deformed_animal_is_found_within_the_error_that_is_stated(found):
    points = places_in_body()
    before, after = (rms(t.map(points), truth_of(points)) for t in (RIGID, found.moving_from_fixed))
    # Waves of 0.7 mm per axis, two voxels short of a control point's step: half of them is followed at least.
    assert after < before / 2
    assert 0.4 < found.expected_target_error_mm / after < 2.5
    assert found.target_error_mm(points)[0] == pytest.approx(found.expected_target_error_mm)
    assert found.model == "bspline"
    assert found.images.after > found.images.before
    assert "the bed; deformed by a B-spline" in found.reason
    assert any("may be larger" in said for said in found.warnings)


def test_the_volumes_it_says_to_change_are_those_of_the_truth(found):
    evidence = found.deformation
    step = 1e-4
    points = places_in_body()
    slopes = [(truth_of(points + step * e) - truth_of(points - step * e)) / (2 * step) for e in np.eye(3)]
    true_change = np.linalg.det(np.stack(slopes, axis=-1))
    change = found.moving_from_fixed.volume_change(points)
    assert evidence.smallest_volume_change <= change.min() + 1e-3
    assert evidence.largest_volume_change >= change.max() - 1e-3
    # Slopes are known to a fifth of the waves' own range, 0.7 to 1.4.
    assert rms(change[:, None], true_change[:, None]) < 0.1
    at = np.array([evidence.smallest_at_mm, evidence.largest_at_mm])
    ends = [evidence.smallest_volume_change, evidence.largest_volume_change]
    np.testing.assert_allclose(found.moving_from_fixed.volume_change(at), ends, atol=1e-4)


def saved_bytes() -> str:
    """Return what another process prints: the digest of the deformation of two small scans."""
    days = [
        scanned(points_back, grid_of(frame, 1.6, shift), seed)
        for points_back, frame, shift, seed in ((np.asarray, "day 0", 0.0, 1), (moved_back, "day 7", 0.3, 2))
    ]
    found = align_deformable(*days, Alignment(RIGID, "frame"))
    return hashlib.sha256(found.moving_from_fixed.deformation.coefficients_mm.tobytes()).hexdigest()


def test_the_same_scans_give_the_same_bytes_in_another_process():
    say = "import test_deformable; print(test_deformable.saved_bytes())"
    here = Path(__file__).parent
    there = subprocess.run([sys.executable, "-c", say], cwd=here, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == saved_bytes()


def scan_that_squeezes(by: float) -> tuple[Volume, Volume]:
    """Return two scans of a body, the second with a sheet of it squeezed to 1 - ``by``."""
    grid = grid_of("day 0", 1.6)
    return scanned(np.asarray, grid, 1), scanned(lattice_that_squeezes(by).map, grid.in_frame("day 7"), 2)


def test_a_deformation_past_belief_is_made_stiffer_and_says_so():
    # The second scan is looked up through the map that squeezes, so the way there grows a sheet sixfold.
    start = Alignment(Transform.identity("day 0", "day 7"), "frame")
    stiff = align_deformable(*scan_that_squeezes(0.85), start)
    assert stiff.deformation.smallest_volume_change >= 0.3
    assert stiff.deformation.largest_volume_change <= 3.0
    assert any("times as stiff as usual" in said for said in stiff.warnings)


def test_a_stop_is_heard(days):
    steps = []
    with pytest.raises(AlignmentError, match="stopped"):
        align_deformable(*days, Alignment(RIGID, "frame"), on_step=steps.append, should_stop=lambda: len(steps) > 3)
    assert len(steps) == 4
    assert steps[-1].moving_from_fixed.deformation is not None
    assert steps[-1].metric > steps[0].metric


def test_a_saved_deformation_keeps_its_evidence_and_its_map(found, tmp_path):
    for name in ("t.tfm", "t.h5"):
        save_alignment(found, tmp_path / name, overwrite=True)
        back = load_alignment(tmp_path / name)
        assert back.deformation == found.deformation
        points = places_in_body()
        np.testing.assert_array_equal(back.moving_from_fixed.map(points), found.moving_from_fixed.map(points))


def test_ct_and_mri_of_two_days_are_brought_together_by_what_they_share(days):
    mri = scanned(lambda y: moved_back(y), grid_of("day 7", 0.9, -0.2), 5, Modality.MR)
    alignment = align_deformable(days[0], mri, Alignment(RIGID, "frame"))
    points = places_in_body()
    before, after = (rms(t.map(points), truth_of(points)) for t in (RIGID, alignment.moving_from_fixed))
    # Two tissues of one brightness in the MRI tell less than a CT.
    assert after < 0.65 * before
    assert alignment.images.metric == "mutual information"


def test_scans_that_differ_by_nothing_but_noise_stay_where_they_are(days):
    again = scanned(lambda points: points, days[0].grid.in_frame("day 7"), 7)
    start = Alignment(Transform.identity("day 0", "day 7"), "frame")
    kept = align_deformable(days[0], again, start)
    points = places_in_body()
    # A tenth of a voxel: noise is lower between voxels, and scans of one lattice are drawn there a little.
    assert rms(kept.moving_from_fixed.map(points), points) < 0.08
    assert kept.model == "bspline" or any("alignment is kept" in said for said in kept.warnings)


def test_what_cannot_be_deformed_is_refused(days):
    start = Alignment(RIGID, "frame")
    mpi = Volume(days[1].voxels, days[1].grid, Modality.MPI)
    for pair in ((days[0], mpi), (mpi, days[0]), (days[0], replace(mpi, modality=Modality.PET))):
        with pytest.raises(AlignmentError, match="tracer and no anatomy"):
            align_deformable(*pair, start)
        with pytest.raises(AlignmentError, match="tracer and no anatomy"):
            align(*pair, model="bspline")
    with pytest.raises(AlignmentError, match="overlap too little"):
        align_deformable(*days, Alignment(Transform.from_parts(np.eye(3), (300, 0, 0), "day 0", "day 7"), "frame"))
    lattice = Deformation(Grid.from_spacing((5, 5, 5), 9.0), np.zeros((3, 5, 5, 5)))
    with pytest.raises(AlignmentError, match="not from a deformed one"):
        align_deformable(*days, Alignment(replace(RIGID, deformation=lattice), "intensity"))
    with pytest.raises(AlignmentError, match="not from a deformed one"):
        align(*days, method="intensity", initial=replace(RIGID, deformation=lattice))


def lattice_that_squeezes(by: float) -> Transform:
    """A sheet of tissue across z = 0 that is squeezed to 1 - ``by`` of its volume."""
    lattice = Grid.from_spacing((17, 9, 9), 4.0, (-16, -16, -32))
    vectors = np.zeros((3, *lattice.shape))
    z = lattice.lps_from(np.stack([np.arange(17), np.zeros(17), np.zeros(17)], axis=-1))[:, 2]
    # Splines of a sine keep its shape: its slope at 0 is -by but for the splines' own smoothing.
    vectors[2] = (-by * np.sin(z / 8) * 8 / (2 / 3 + np.cos(4 / 8) / 3))[:, None, None]
    return Transform(np.eye(4), "day 0", "day 7", Deformation(lattice, vectors))


@pytest.mark.parametrize(
    ("by", "fault"), [(0.5, None), (0.85, "implausible: .* factor of 0.15"), (1.3, "folds: .* factor of -0.")]
)
def test_folds_and_implausible_shrinkage_are_refused_where_they_are(by, fault):
    transform = lattice_that_squeezes(by)
    grid = Grid.from_spacing((31, 11, 11), 0.8, (-4, -4, -12), "day 0")
    change = volume_change(transform, grid, np.ones(grid.shape, dtype=bool))
    assert change.smallest == pytest.approx(1 - by, abs=0.02)
    assert abs(change.smallest_at_mm[2]) < 0.8
    if fault is None:
        change.refuse_implausible()
        return
    with pytest.raises(AlignmentRefusedError, match=fault) as refusal:
        change.refuse_implausible()
    assert "mm LPS of the fixed scan" in str(refusal.value)


@pytest.mark.parametrize("turned", [False, True])
def test_the_jacobian_map_is_the_determinant_at_every_voxel(turned):
    transform = lattice_that_squeezes(0.4)
    grid = Grid.from_spacing((12, 7, 9), (1.5, 1.1, 0.9), (-4, -4, -9), "day 0")
    if turned:
        turn = Transform.from_parts([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]], (0, 0, 0)).target_from_source
        grid = Grid(grid.shape, turn @ grid.lps_from_index, "day 0")
    shown = jacobian_map(transform, grid)
    expected = transform.volume_change(grid.lps_from(np.argwhere(np.ones(grid.shape)))).reshape(grid.shape)
    np.testing.assert_allclose(shown.voxels, expected, atol=1e-5)
    assert shown.grid.frame == "day 0"
    scaled = Transform.from_parts(np.diag([2.0, 1.0, 0.5]) * 1.1, (0, 0, 0), "day 0", "day 7")
    np.testing.assert_allclose(jacobian_map(scaled, grid).voxels, 1.1**3, rtol=1e-6)
