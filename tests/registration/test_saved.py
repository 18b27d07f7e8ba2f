"""Saved alignments put to use: a bed of another session, chains, and the date of both."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_mpi_track.errors import AlignmentError, FrameMismatchError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.registration.align import align
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.alignment_files import load_alignment, save_alignment
from napari_mpi_track.registration.saved import chained, checked_by_markers, for_session

PHANTOM = np.array([[0.0, 0, 0], [22, 3, -8], [-15, 18, 6], [4, -17, 21], [-9, -6, -24]])
NAMES = ["a", "b", "c", "d", "e"]


def way(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> Transform:
    return Transform.from_parts(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), shift)


def scan(frame: str | None, modality: Modality, at: datetime | None = None) -> Volume:
    grid = Grid.from_spacing((20, 20, 20), 4.0, (-38, -38, -38), frame)
    return Volume(np.zeros(grid.shape, np.float32), grid, modality, acquired_at=at)


def measured_bed(true: Transform, frames: tuple[str | None, str | None] = ("phantom ct", "phantom mpi")) -> Alignment:
    """The bed of a phantom whose five balls were found to 0.1 mm, on 1 March."""
    off = np.random.default_rng(1).normal(0, 0.06, (5, 3))
    return align(
        scan(frames[0], Modality.CT),
        scan(frames[1], Modality.MPI, datetime(2026, 3, 1, 9)),
        fixed_points=Points(NAMES, PHANTOM),
        moving_points=Points(NAMES, true.map(PHANTOM) + off),
    )


def test_a_bed_is_used_in_later_sessions_with_its_own_error_and_date(tmp_path) -> None:
    save_alignment(measured_bed(way((2, -1, 30), (4, 5, -6))), tmp_path / "bed.tfm")
    bed = load_alignment(tmp_path / "bed.tfm")
    assert bed.measured_at == "2026-03-01T09:00:00"
    used = for_session(
        bed, "bed.tfm", fixed_frame="mouse ct", moving_frame="mouse mpi", scanned_at=datetime(2026, 4, 4, 15)
    )
    assert used.method == "bed (fiducials)"
    assert used.reason.startswith("bed measured 2026-03-01, 34 days before this scan")
    assert (used.moving_from_fixed.source_frame, used.moving_from_fixed.target_frame) == ("mouse ct", "mouse mpi")
    assert np.array_equal(used.error_covariance, bed.error_covariance)
    assert used.verdict is bed.verdict
    assert any("put back in the same place" in warning for warning in used.warnings)
    # Used once more, it does not become the bed of a bed.
    save_alignment(used, tmp_path / "again.tfm")
    again = for_session(load_alignment(tmp_path / "again.tfm"), "again.tfm", fixed_frame="x", moving_frame="y")
    assert again.method == "bed (fiducials)"


@pytest.mark.parametrize(
    ("scanned_at", "words"),
    [
        (datetime(2026, 2, 27), "2 days after this scan"),
        (datetime(2026, 3, 1, 20, tzinfo=UTC), "on the day of this scan"),
        (datetime(2026, 3, 2, 9), "1 day before this scan"),
        (None, "when this scan was made is not known"),
    ],
)
def test_the_age_of_a_bed_is_told(scanned_at, words) -> None:
    bed = measured_bed(way((0, 0, 0), (1, 0, 0)))
    used = for_session(bed, "bed.tfm", fixed_frame="ct", moving_frame="mpi", scanned_at=scanned_at)
    assert words in used.reason
    assert any("predates the phantom" in warning for warning in used.warnings) is ("after this" in words)


def test_a_sessions_own_alignment_is_no_bed() -> None:
    own = measured_bed(way((0, 0, 0), (1, 0, 0)))
    used = for_session(own, "t.tfm", fixed_frame="phantom ct", moving_frame="phantom mpi")
    assert (used.method, used.warnings) == (own.method, own.warnings)
    nameless = replace(own, moving_from_fixed=own.moving_from_fixed.between(None, None))
    same_day = for_session(nameless, "t.tfm", fixed_frame=None, moving_frame=None, scanned_at=datetime(2026, 3, 1, 10))
    assert same_day.method == "fiducials"
    unknown = for_session(nameless, "t.tfm", fixed_frame=None, moving_frame=None)
    assert unknown.method == "saved (fiducials)"
    assert "user's word" in unknown.warnings[-1]


def test_the_way_back_and_another_animals_pose_are_refused() -> None:
    bed = measured_bed(way((0, 0, 0), (1, 0, 0)))
    with pytest.raises(FrameMismatchError, match="the other way"):
        for_session(bed, "bed.tfm", fixed_frame="phantom mpi", moving_frame="phantom ct")
    with pytest.raises(FrameMismatchError, match="its own scans alone"):
        for_session(replace(bed, method="intensity"), "t.tfm", fixed_frame="ct 2", moving_frame="mpi 2")


@pytest.mark.parametrize(("moved_mm", "verdict"), [(0.0, Verdict.GOOD), (2.0, Verdict.DOUBTFUL)])
def test_a_sessions_own_fiducials_tell_whether_the_bed_lies_where_it_was(moved_mm, verdict) -> None:
    true = way((2, -1, 30), (4, 5, -6))
    bed = for_session(measured_bed(true), "bed.tfm", fixed_frame="ct", moving_frame="mpi")
    here = PHANTOM[:4] + [3.0, -2.0, 5.0]
    off = np.random.default_rng(2).normal(0, 0.06, (4, 3))
    checked, seen = checked_by_markers(
        bed,
        scan("ct", Modality.CT),
        scan("mpi", Modality.MPI),
        Points(NAMES[:4], here),
        Points(NAMES[:4], true.map(here) + off + [moved_mm, 0, 0]),
    )
    assert checked.verdict is verdict
    assert checked.landmarks is not None
    assert seen is not None
    assert len(seen) == 4
    assert checked.landmarks.rms_mm == pytest.approx(moved_mm, abs=0.25)
    assert f"{checked.landmarks.rms_mm:.2f} mm from where it puts them" in checked.reason


def test_without_fiducials_there_is_nothing_to_check_a_bed_by() -> None:
    bed = for_session(measured_bed(way((0, 0, 0), (1, 0, 0))), "bed.tfm", fixed_frame="a", moving_frame="b")
    assert checked_by_markers(bed, scan("a", Modality.CT), scan("b", Modality.MPI), None, None) == (bed, None)


def test_a_chain_of_days_covers_the_error_it_states() -> None:
    """MPI(day 7) from anatomy(day 7) from anatomy(day 0), each wrong by a draw from its own covariance."""
    rng = np.random.default_rng(3)
    first_true = way((5, 10, 170), (3, -8, 2)).between("ct day 0", "ct day 7")
    second_true = way((-4, 0, 20), (1, 2, 3)).between("ct day 7", "mpi day 7")
    sizes = np.array([0.01, 0.004, 0.008, 0.1, 0.3, 0.15])
    parts = []
    for true, centre in ((first_true, (2.0, 1, -5)), (second_true, (4.0, -3, 6))):
        mixing = np.linalg.qr(rng.normal(size=(6, 6)))[0]
        covariance = np.diag(sizes) @ mixing @ np.diag([1, 0.5, 0.2, 0.8, 1, 0.3]) @ mixing.T @ np.diag(sizes)
        parts.append(Alignment(true, method="fiducials", error_covariance=covariance, centre_mm=np.array(centre)))
    whole = chained([("days.tfm", parts[0]), ("mpi.tfm", parts[1])])
    assert (whole.moving_from_fixed.source_frame, whole.moving_from_fixed.target_frame) == ("ct day 0", "mpi day 7")
    targets = np.array([[0.0, 0, 0], [10, -6, 25], [-12, 8, -20]])
    there = whole.moving_from_fixed.map(targets)
    draws = zip(parts[0].drawn(1500, 4), parts[1].drawn(1500, 5), strict=True)
    off = np.array([(second @ first).map(targets) - there for first, second in draws])
    met = np.sqrt(np.mean(np.sum(off**2, axis=2), axis=0))
    # 1500 draws of three numbers: the root is known to 2 %, and turns of 0.01 rad are not quite linear.
    assert whole.target_error_mm(targets) == pytest.approx(met, rel=0.06)


def test_steps_that_do_not_meet_are_not_chained_and_nameless_ones_by_the_users_word() -> None:
    one = measured_bed(way((0, 0, 10), (1, 0, 0)), ("a", "b"))
    other = measured_bed(way((0, 5, 0), (0, 2, 0)), ("b", "c"))
    assert chained([("1", one), ("2", other)]).warnings == ()
    nameless = replace(other, moving_from_fixed=other.moving_from_fixed.between(None, "c"))
    joined = chained([("1", one), ("2", nameless)])
    assert joined.warnings == ("that 1 ends where 2 starts is the user's word",)
    assert joined.moving_from_fixed.map(PHANTOM) == pytest.approx(
        other.moving_from_fixed.map(one.moving_from_fixed.map(PHANTOM))
    )
    bed = measured_bed(way((0, 5, 0), (0, 2, 0)), ("phantom", "mpi"))
    assert "bed (fiducials)" in chained([("1", one), ("bed", bed)]).method
    with pytest.raises(FrameMismatchError, match="other way round"):
        chained([("2", other), ("1", one)])
    with pytest.raises(FrameMismatchError, match="starts in 'phantom'"):
        chained([("1", one), ("2", replace(bed, method="intensity"))])
    with pytest.raises(AlignmentError, match="two transforms or more"):
        chained([("1", one)])
