"""A whole run, with the analysis of a timepoint replaced by one that is made up at once."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
from report_examples import example_analysis, example_study, read_json

from napari_mpi_track.errors import AlignmentError, OutputError, OutputExistsError, TableError, UnreadableScanError
from napari_mpi_track.longitudinal.analysis import TimepointAnalysis
from napari_mpi_track.longitudinal.study import Study, Subject, Timepoint
from napari_mpi_track.report import run
from napari_mpi_track.report.alignment_evidence import AlignmentEvidence
from napari_mpi_track.report.overlay import Overlay
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.run import run_study
from napari_mpi_track.report.workers import RunStopped

TABLES = (
    "measurements", "retention", "decay", "budget", "alignments", "agreement", "arms", "scores", "divisions",
    "spill_over", "balance", "rules", "dynamic", "dynamic_summary",
)  # fmt: skip
EVERYTHING = {
    *(f"{name}.{kind}" for name in TABLES for kind in ("csv", "json")),
    "transforms", "figures", "report.html", "provenance.json", ".resume",
}  # fmt: skip


class Analyses:
    """Stands in for the analysis: counts what it was asked, and fails where it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        self.failing: dict[tuple[str, float], Exception] = {}

    def __call__(self, _study: Study, subject: Subject, timepoint: Timepoint, **told: Any) -> TimepointAnalysis:
        self.asked.append((subject.id, timepoint.day))
        if (subject.id, timepoint.day) in self.failing:
            raise self.failing[subject.id, timepoint.day]
        if told.get("progress"):
            told["progress"](0.5, "measuring organs")
        # A clock that never shows the same time twice.
        return example_analysis(subject.id, timepoint.day, seconds=float(len(self.asked)))


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> Analyses:
    """Made-up timepoints, and pictures of a few bytes: most of what a run does is neither."""
    stand_in = Analyses()
    monkeypatch.setattr(run, "analyse_timepoint", stand_in)
    monkeypatch.setattr(run, "draw_all", names_for_pictures)
    monkeypatch.setattr(run, "alignment_evidence", evidence_without_picture)
    return stand_in


@pytest.fixture
def drawing_analyses(monkeypatch: pytest.MonkeyPatch) -> Analyses:
    """Made-up timepoints, and their real pictures."""
    stand_in = Analyses()
    monkeypatch.setattr(run, "analyse_timepoint", stand_in)
    return stand_in


def names_for_pictures(
    _study: Study, results: StudyResults, overlays: Sequence[Overlay], _team: Any
) -> dict[str, bytes]:
    told = [f"{overlay.subject} {overlay.day} {overlay.views[0].signal.sum():.9g}" for overlay in overlays]
    return {"retention.svg": "\n".join([*told, str(len(results.retention))]).encode()}


def evidence_without_picture(name: str, *_scans: Any, **_told: Any) -> AlignmentEvidence:
    return AlignmentEvidence(name, (("method", "fiducials, rigid"),), (), b"")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "study").mkdir()
    return example_study(tmp_path / "study", ("m01",))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run_writes_everything_and_leaves_nothing_else(
    drawing_analyses: Analyses, study: Study, tmp_path: Path
) -> None:
    summary = run_study(study, tmp_path / "out")
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == EVERYTHING
    assert {entry.name for entry in tmp_path.iterdir()} == {"study", "out"}
    assert summary.report == tmp_path / "out" / "report.html"
    assert (summary.measured, summary.reused, summary.failures) == (4, 0, ())
    assert len(table(tmp_path / "out" / "measurements.csv")) == len(summary.measurements) == 12
    assert len(drawing_analyses.asked) == 4
    for row in table(tmp_path / "out" / "alignments.csv"):
        assert (tmp_path / "out" / row["transform"]).is_file()
    figures = {entry.name for entry in (tmp_path / "out" / "figures").iterdir()}
    stems = ["calibration", "retention", "decay_m01", "budget_MPI", *(f"overlay_m01_day{d}_MPI" for d in (0, 1, 3, 7))]
    # Of the day whose errors are largest beside its signals.
    stems.append("waterfall_m01_day7_MPI")
    evidence = {f"alignment_m01_day{d}_MPI_to_anatomy.jpg" for d in (0, 1, 3, 7)}
    assert figures == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "png", "pdf")} | evidence
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/jpeg") == 4
    for name, content in contents(tmp_path / "out").items():
        # Neither machine nor clock: the same study gives the same bytes wherever and whenever it is run.
        assert str(tmp_path).encode() not in content, name
        assert not re.search(rb"<dc:date>|tEXtSoftware|tIME|CreationDate|/Producer", content), name
    assert (tmp_path / "out" / "agreement.csv").read_text() == "organ,measure,value,low,high,animals,pairs\n"
    assert (tmp_path / "out" / "agreement.json").read_text() == "[]\n"


@pytest.mark.usefixtures("analyses")
def test_the_same_study_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    run_study(study, tmp_path / "one")
    run_study(study, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_timepoint_that_fails_is_told_and_the_others_go_on(analyses: Analyses, study: Study, tmp_path: Path) -> None:
    elsewhere = tmp_path / "study" / "m01_3_mpi.nii.gz"
    analyses.failing["m01", 3.0] = UnreadableScanError("the scan is cut short", file=elsewhere, remedy="copy it again")
    summary = run_study(study, tmp_path / "out")
    [failure] = summary.failures
    assert (failure.subject, failure.day) == ("m01", 3.0)
    assert failure.reason == "the scan is cut short (m01_3_mpi.nii.gz): copy it again"
    assert str(failure) == f"m01, day 3: {failure.reason}"
    assert {row["day"] for row in table(tmp_path / "out" / "measurements.csv")} == {"0", "1", "7"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What is missing" in page
    assert "the scan is cut short" in page
    assert read_json(tmp_path / "out" / "provenance.json")["failures"] == [
        {"subject": "m01", "day": 3.0, "reason": failure.reason, "is_whole": True}
    ]


def test_a_scan_that_fails_alone_is_told_and_the_rest_of_its_day_stands(
    monkeypatch: pytest.MonkeyPatch, study: Study, tmp_path: Path
) -> None:
    def without_pet(_study: Study, subject: Subject, timepoint: Timepoint, **_told: Any) -> TimepointAnalysis:
        return replace(example_analysis(subject.id, timepoint.day), failures=("PET: its unit is not known",))

    monkeypatch.setattr(run, "analyse_timepoint", without_pet)
    monkeypatch.setattr(run, "draw_all", names_for_pictures)
    summary = run_study(study, tmp_path / "out")
    assert [failure.reason for failure in summary.failures] == ["PET: its unit is not known"] * 4
    assert not any(failure.is_whole for failure in summary.failures)
    assert "nothing of them is in the tables" not in summary.report.read_text()
    assert len(summary.measurements) == 12


def test_units_come_from_the_scans_all_of_them(monkeypatch: pytest.MonkeyPatch, study: Study, tmp_path: Path) -> None:
    def in_its_own_unit(_study: Study, subject: Subject, timepoint: Timepoint, **_told: Any) -> TimepointAnalysis:
        analysis = example_analysis(subject.id, timepoint.day)
        assert analysis.mpi is not None
        return replace(analysis, mpi=replace(analysis.mpi, unit="mV" if timepoint.day < 5 else "uV"))

    monkeypatch.setattr(run, "analyse_timepoint", in_its_own_unit)
    monkeypatch.setattr(run, "draw_all", names_for_pictures)
    summary = run_study(study, tmp_path / "out")
    assert "signal total ± SD (mV mm³ or uV mm³)" in summary.report.read_text()


def test_when_nothing_can_be_measured_the_reason_is_raised_and_nothing_is_written(
    analyses: Analyses, study: Study, tmp_path: Path
) -> None:
    for day in (0.0, 1.0, 3.0, 7.0):
        analyses.failing["m01", day] = AlignmentError(f"no markers on day {day:g}")
    with pytest.raises(AlignmentError, match="no markers on day 0"):
        run_study(study, tmp_path / "out")
    assert {entry.name for entry in tmp_path.iterdir()} == {"study"}


def test_a_faulty_calibration_is_told_before_any_work(analyses: Analyses, study: Study, tmp_path: Path) -> None:
    assert study.calibration is not None
    assert study.calibration.table is not None
    study.calibration.table.write_text("cells,signal\n0,1\n1000,three\n2000,5\n")
    with pytest.raises(TableError, match="three"):
        run_study(study, tmp_path / "out")
    assert analyses.asked == []
    assert {entry.name for entry in tmp_path.iterdir()} == {"study"}


def test_a_fault_of_the_program_leaves_no_output(analyses: Analyses, study: Study, tmp_path: Path) -> None:
    analyses.failing["m01", 7.0] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run_study(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stopped_run_keeps_what_it_finished(analyses: Analyses, study: Study, tmp_path: Path) -> None:
    with pytest.raises(RunStopped):
        run_study(study, tmp_path / "out", should_stop=lambda: len(analyses.asked) >= 2)
    assert not (tmp_path / "out").exists()
    analyses.asked.clear()
    summary = run_study(study, tmp_path / "out", resume=True)
    assert analyses.asked == [("m01", 3.0), ("m01", 7.0)]
    assert (summary.measured, summary.reused) == (2, 2)
    run_study(study, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_resume_repeats_only_what_changed_or_failed(analyses: Analyses, study: Study, tmp_path: Path) -> None:
    analyses.failing["m01", 7.0] = AlignmentError("a marker fell off")
    run_study(study, tmp_path / "out")
    analyses.asked.clear()
    analyses.failing.clear()
    (tmp_path / "study" / "m01_1_mpi.nii.gz").write_bytes(b"scanned again")
    summary = run_study(study, tmp_path / "out", resume=True)
    assert analyses.asked == [("m01", 1.0), ("m01", 7.0)]
    assert summary.failures == ()
    run_study(study, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_after_one_changed_organ_file_only_that_subject_is_measured_again(analyses: Analyses, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    study = example_study(tmp_path / "study", ("m01", "m02", "m03"))
    run_study(study, tmp_path / "out")
    before = table(tmp_path / "out" / "measurements.csv")
    analyses.asked.clear()
    (tmp_path / "study" / "m02_organs.nii.gz").write_bytes(b"drawn again")
    summary = run_study(study, tmp_path / "out", resume=True)
    # Its organs were drawn once and serve all its days.
    assert analyses.asked == [("m02", day) for day in (0.0, 1.0, 3.0, 7.0)]
    assert (summary.measured, summary.reused) == (4, 8)
    assert table(tmp_path / "out" / "measurements.csv") == before


def test_a_run_without_resume_starts_anew(analyses: Analyses, study: Study, tmp_path: Path) -> None:
    with pytest.raises(RunStopped):
        run_study(study, tmp_path / "out", should_stop=lambda: len(analyses.asked) >= 2)
    analyses.asked.clear()
    run_study(study, tmp_path / "out")
    assert len(analyses.asked) == 4


@pytest.mark.usefixtures("analyses")
def test_results_are_not_replaced_unasked(study: Study, tmp_path: Path) -> None:
    run_study(study, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        run_study(study, tmp_path / "out")
    assert contents(tmp_path / "out") == before


@pytest.mark.usefixtures("analyses")
def test_overwriting_replaces_results_and_keeps_files_of_others(study: Study, tmp_path: Path) -> None:
    run_study(study, tmp_path / "out")
    (tmp_path / "out" / "my notes.txt").write_text("keep me")
    (tmp_path / "out" / "figures" / "stale.png").write_bytes(b"old")
    (tmp_path / "out" / "measurements.csv").write_text("edited")
    run_study(study, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "my notes.txt").read_text() == "keep me"
    assert not (tmp_path / "out" / "figures" / "stale.png").exists()
    assert (tmp_path / "out" / "measurements.csv").read_text().startswith("subject,")
    assert {entry.name for entry in tmp_path.iterdir()} == {"study", "out"}


@pytest.mark.usefixtures("analyses")
@pytest.mark.parametrize("how", [{"overwrite": True}, {"resume": True}, {}])
def test_a_folder_of_somebody_elses_files_is_never_touched(how: dict[str, bool], study: Study, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(OutputExistsError):
        run_study(study, tmp_path / "thesis", **how)
    assert contents(tmp_path / "thesis") == {"chapter1.tex": b"years of work"}


@pytest.mark.usefixtures("analyses")
def test_a_file_where_the_folder_should_be_is_refused(study: Study, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputExistsError, match="where a file is"):
        run_study(study, tmp_path / "out", overwrite=True)


def test_a_place_that_cannot_be_written_is_told_before_any_work(
    analyses: Analyses, study: Study, tmp_path: Path
) -> None:
    # A file on the way refuses everybody, the superuser too.
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written: .*notes\.txt.out\): give a folder"):
        run_study(study, tmp_path / "notes.txt" / "out")
    assert analyses.asked == []


@pytest.mark.parametrize("beginning", [b'{"schema"', b"m01 0.0", b"<!doctype html>"])
@pytest.mark.usefixtures("analyses")
def test_a_disk_that_fills_up_on_the_way_is_told_in_one_line(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch, study: Study, tmp_path: Path
) -> None:
    write = Path.write_bytes

    def filling(path: Path, content: bytes) -> int:
        if content.startswith(beginning):
            raise OSError(ENOSPC, "No space left on device", str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", filling)
    with pytest.raises(OutputError, match="No space left on device") as told:
        run_study(study, tmp_path / "out")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("analyses")
def test_an_empty_folder_and_a_deep_one_are_filled(study: Study, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run_study(study, tmp_path / "empty").report.is_file()
    assert run_study(study, tmp_path / "deep" / "er").report.is_file()


@pytest.mark.usefixtures("analyses")
def test_progress_only_grows_and_ends_at_one(study: Study, tmp_path: Path) -> None:
    told: list[float] = []
    tell: Callable[[float, str], None] = lambda part, _text: told.append(part)  # noqa: E731
    run_study(study, tmp_path / "out", progress=tell)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.usefixtures("drawing_analyses")
def test_odd_subject_names_make_files_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    study = example_study(tmp_path / "study", ("m01",))
    odd = replace(study.subjects[0], id="mäuse: #1*")
    run_study(replace(study, subjects=(odd,)), tmp_path / "out")
    names = [entry.name for entry in (tmp_path / "out" / "figures").iterdir()]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
    assert "overlay_m" in "".join(names)
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/png") == 4
