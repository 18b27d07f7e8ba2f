"""What a trial may share: every number of the run, and nothing of who it is of."""

import csv
import io
import json
from pathlib import Path

import pytest
from report_examples import example_measurements

from napari_mpi_track.cli import main
from napari_mpi_track.longitudinal.measurement import AlignmentRow, DecayRow, RetentionRow
from napari_mpi_track.report.provenance import PACKAGE
from napari_mpi_track.report.results import StudyResults
from napari_mpi_track.report.shared_tables import is_results, shared_tables
from napari_mpi_track.report.study_tables import write_study_tables
from napari_mpi_track.writers.identities import Identities

NAMES = ("Meyer_Anna", "Li Wei")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    results = StudyResults(
        measurements=tuple(row for name in NAMES for row in example_measurements(name)),
        retention=tuple(
            RetentionRow(name, "labelled", day, "MPI", "knee", "injected", left, left - 1, left + 1)
            for name in NAMES
            for day, left in ((0.0, 90.0), (7.0, 40.5))
        ),
        decay=(
            *(
                DecayRow(
                    name, "labelled", "MPI", "knee", "exponential", '{"amplitude": 90.0}', 0.115, 6.03, 5.5, 6.6, None,
                    1.0, 0.9, 4, 0,
                )
                for name in NAMES
            ),
            DecayRow("", "labelled", "MPI", "knee", "mixed model", "", 0.1, 6.9, 5, 9, None, None, None, 8, 0),
        ),
        alignments=(
            AlignmentRow(NAMES[0], 0.0, "MPI", "anatomy", "fiducials", "rigid", "good", "", 0.1, 0.2, None, "a.tfm"),
        ),
    )  # fmt: skip
    place = tmp_path / "results"
    place.mkdir()
    write_study_tables(results, place)
    (place / "provenance.json").write_text(json.dumps({"package": PACKAGE, "study": {"subjects": NAMES}}))
    (place / "report.html").write_text("Meyer_Anna, 2026-03-01")
    return place


def test_nothing_shared_names_a_subject_or_a_file(folder: Path) -> None:
    shared = shared_tables(folder, Identities())
    assert {"measurements.csv", "retention.csv", "decay.csv", "participants.csv"} <= set(shared)
    assert "alignments.csv" not in shared
    for name, text in shared.items():
        for secret in ("Meyer", "Anna", "Li Wei", ".tfm", "2026"):
            assert secret not in text, name


def test_a_participant_has_retention_by_day_and_a_rate_of_decay(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(shared_tables(folder, Identities())["participants.csv"])))
    assert [row["participant"] for row in rows] == ["S001", "S002"]
    [row, _] = rows
    assert (row["retention_percent_day_0"], row["retention_percent_day_7"], row["retention_high_day_7"]) == (
        "90", "40.5", "41.5",
    )  # fmt: skip
    assert (row["decay_model"], row["decay_rate_per_day"], row["half_life_days"]) == ("exponential", "0.115", "6.03")


def status_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in arguments])
    return int(ended.value.code or 0)


def test_the_command_shares_the_results_of_a_run_and_leaves_the_rest(folder: Path, tmp_path: Path) -> None:
    assert is_results(folder)
    assert not is_results(tmp_path)
    out, key = tmp_path / "shared", tmp_path / "key.json"
    assert status_of("deidentify", folder, out, "--key", key) == 0
    names = {file.name for file in out.iterdir()}
    assert "participants.csv" in names
    assert not names & {"report.html", "provenance.json", "retention.json", "alignments.csv"}
    assert Identities.load(key).codes == {NAMES[0]: "S001", NAMES[1]: "S002"}
    assert status_of("deidentify", folder, out, "--key", key) == 2
