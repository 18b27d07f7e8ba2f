"""The evidence for an alignment: in words with units, in the report, in files and through the cache."""

from pathlib import Path

import numpy as np
from posed_animals import moving_from_fixed, pose, posed_animal
from report_examples import example_study
from test_page import example_results, page_of

from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.measurement import AlignmentRow
from napari_mpi_track.registration.alignment import Alignment, Verdict
from napari_mpi_track.registration.evidence import FiducialEvidence, ImageEvidence, LandmarkEvidence
from napari_mpi_track.report.alignment_evidence import (
    AlignmentEvidence,
    alignment_evidence,
    evidence_facts,
    evidence_files,
)
from napari_mpi_track.report.alignment_views import alignment_picture
from napari_mpi_track.report.finished import FinishedTimepoint, find_finished, keep
from napari_mpi_track.report.page_alignment import alignment_blocks, curve_points
from napari_mpi_track.report.results import StudyResults

IMAGES = ImageEvidence("mutual information", 0.12, 0.456, (0.2, 0.4, 0.456), 0.31, 42.0, 0.95, 0.88)


def with_everything() -> Alignment:
    points = Points(["a", "b"], np.zeros((2, 3)), "fixed"), Points(["a", "b"], np.zeros((2, 3)), "moving")
    return Alignment(
        Transform.identity("fixed", "moving"),
        "intensity",
        verdict=Verdict.DOUBTFUL,
        reason="two poses alike",
        error_covariance=np.eye(6) * 1e-2,
        expected_target_error_mm=0.1732,
        images=IMAGES,
        fiducials=FiducialEvidence(*points, np.array([0.3, 0.4]), np.array([0.6, np.nan])),
        landmarks=LandmarkEvidence(*points, np.array([0.2, 0.4])),
    )


def test_what_is_known_is_said_in_words_with_units() -> None:
    assert dict(evidence_facts(with_everything())) == {
        "method": "intensity, rigid",
        "expected error at the body's centre": "0.173 mm",
        "error at landmarks": "0.300 mm mean of 2, worst 0.400 mm (b)",
        "fiducials": "2 pairs, 0.354 mm rms",
        "each from all the others": "0.600 mm rms",
        "bodies overlap": "0.95 (Dice, 1 is all)",
        "edges inside the body agree": "0.88 (1 is all, 0 is chance)",
        "mutual information": "0.12 before, 0.456 after",
        "next best pose": "0.31, 42.0 mm away",
    }
    assert dict(evidence_facts(Alignment(Transform.identity(), "frame"))) == {
        "method": "frame, rigid",
        "expected error at the body's centre": "not known",
    }


def test_a_timepoints_evidence_is_kept_for_a_later_run(tmp_path: Path) -> None:
    entry = AlignmentEvidence("m01_day7", (("method", "intensity, rigid"),), (0.1, 0.4), b"\xff\xd8picture")
    keep(FinishedTimepoint("m01", 7.0, evidence=(entry,)), "key", tmp_path)
    found = find_finished("key", [tmp_path])
    assert found is not None
    assert found.evidence == (entry,)


def test_the_same_scans_give_the_same_jpeg() -> None:
    fixed, moving = (
        posed_animal(Modality.CT, pose((0, 0, 0), (0, 0, 0))),
        posed_animal(Modality.MR, pose((9, 0, 0), (0, 0, 0))),
    )
    truth = Alignment(
        moving_from_fixed(pose((0, 0, 0), (0, 0, 0)), pose((9, 0, 0), (0, 0, 0))), "intensity", images=IMAGES
    )
    first, second = (alignment_evidence("a", truth, fixed, moving, title="MR to CT") for _ in range(2))
    assert first == second
    assert first.picture.startswith(b"\xff\xd8\xff")
    # Some hundred of them stand in one report.
    assert len(first.picture) < 250_000
    assert first.trace == IMAGES.trace


def test_files_are_written_for_every_kind_of_picture() -> None:
    here = pose((0, 0, 0), (0, 0, 0))
    fixed, moving = posed_animal(Modality.CT, here), posed_animal(Modality.MR, here)
    picture = alignment_picture(with_everything(), fixed, moving)
    files = evidence_files(picture)
    assert set(files) == {
        "evidence.png", "outline.png", "checkerboard.png", "blend.png", "error.png", "metric.png",
    }  # fmt: skip
    assert all(content.startswith(b"\x89PNG") for content in files.values())


def row(day: float, verdict: str) -> AlignmentRow:
    return AlignmentRow(
        "m01", day, "MPI", "anatomy", "fiducials", "rigid", verdict, f"why on day {day:g}", 0.2, 0.4, None,
        f"transforms/day{day:g}.tfm",
    )  # fmt: skip


def test_doubtful_alignments_stand_first_and_open() -> None:
    rows = [row(0, "good"), row(1, "doubtful"), row(3, "good"), row(7, "failed"), row(9, "good")]
    known = [AlignmentEvidence(f"day{day}", (("method", "fiducials"),), (), b"") for day in (7, 3, 1, 0)]
    blocks = alignment_blocks(rows, known, {"alignment_day1": "data:"})
    assert [block["title"] for block in blocks] == [f"m01, day {day}: MPI to anatomy" for day in (1, 7, 0, 3)]
    assert [block["is_open"] for block in blocks] == [True, True, False, False]
    assert [block["picture"] for block in blocks] == ["alignment_day1", "", "", ""]


def test_a_curve_of_one_value_is_none_and_a_rising_one_rises() -> None:
    assert curve_points((0.5,)) == ""
    places = [tuple(map(float, point.split(","))) for point in curve_points((0.1, 0.2, 0.4)).split()]
    across, down = zip(*places, strict=True)
    assert list(across) == sorted(across)
    # Down the page is smaller.
    assert list(down) == sorted(down, reverse=True)


def test_the_report_shows_the_evidence_with_its_pictures_inside_it(tmp_path: Path) -> None:
    plain = example_results()
    entry = AlignmentEvidence("a", evidence_facts(with_everything()), IMAGES.trace, b"\xff\xd8\xff")
    results = StudyResults(
        plain.measurements, plain.retention, plain.decay, plain.budget, plain.alignments, plain.calibration,
        evidence=(entry,),
    )  # fmt: skip
    page = page_of(example_study(tmp_path, ("m01",)), results, {"alignment_a.jpg": b"\xff\xd8\xff"})
    for words in ("0.173 mm", "worst 0.400 mm (b)", "0.88 (1 is all, 0 is chance)", "m01, day 1: MPI to anatomy"):
        assert words in page.text
    assert any(source.startswith("data:image/jpeg") for source in page.fetched)
