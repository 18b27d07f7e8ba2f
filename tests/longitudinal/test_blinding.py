"""A blinded reading shows no names until every reading is signed, and keeps who opened them."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.errors import MeasurementError, MpiTrackError, OutputExistsError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.blinding import blind, sign_reading, signed_readings, unblind, unsigned_codes
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.readers.organs import read_organs
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.writers.scans import write_volume

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
GRID = Grid.from_spacing((4, 3, 2), 1.0)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three subjects on two days; every MPI holds a number of its own."""
    lines = ["schema: 1", "alignment: frame", "reference: first", "subjects:"]
    number = 0
    for subject, group in (("wendy", "treated"), ("xaver", "treated"), ("yvonne", "control")):
        lines += [f"  - id: {subject}", f"    group: {group}", "    timepoints:"]
        for day in (1, 14):
            number += 1
            file = f"{subject}_{day}.nii.gz"
            voxels = np.full(GRID.shape, number, np.float32)
            write_volume(Volume(voxels, GRID, Modality.MPI, "a.u.", name=f"{subject} day {day}"), tmp_path / file)
            lines.append(f"      - {{day: {day}, mpi: {file}}}")
    (tmp_path / "study.yaml").write_text("\n".join(lines) + "\n")
    return tmp_path / "study.yaml"


def read_all(folder: Path) -> None:
    for code in unsigned_codes(folder):
        labels = folder / code / "read.nii.gz"
        write_volume(OrganLabels(np.ones(GRID.shape, np.uint8), GRID, {1: "liver"}), labels)
        sign_reading(folder, code, labels, "A. B.", AT)


def test_no_name_day_or_group_is_left_in_what_the_reader_gets(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reading"
    blind(load_study(study), folder, AT, seed=3)
    import gzip

    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for name in (b"wendy", b"xaver", b"yvonne", b"treated", b"control", b"day 14"):
            assert name not in content
            assert name.decode() not in str(file.relative_to(folder))


def test_the_codes_stand_for_the_scans_they_were_made_of(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reading"
    codes = blind(load_study(study), folder, AT, seed=3)
    assert codes == ("R01", "R02", "R03", "R04", "R05", "R06")
    blinded = load_study(folder / "study.yaml")
    assert [subject.id for subject in blinded.subjects] == list(codes)
    read_all(folder)
    numbers = {
        ("wendy", 1): 1,
        ("wendy", 14): 2,
        ("xaver", 1): 3,
        ("xaver", 14): 4,
        ("yvonne", 1): 5,
        ("yvonne", 14): 6,
    }
    opened = unblind(folder, "C. D.", AT)
    for one in opened:
        assert read_scan(folder / one.code / "mpi.nii.gz").voxels.max() == numbers[one.subject, one.day]
    order = [numbers[one.subject, one.day] for one in opened]
    assert sorted(order) == [1, 2, 3, 4, 5, 6]
    assert order != sorted(order)


def test_the_seed_alone_settles_the_order(study: Path, tmp_path: Path) -> None:
    orders = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        blind(load_study(study), tmp_path / folder, AT, seed=seed)
        read_all(tmp_path / folder)
        orders.append([(one.subject, one.day) for one in unblind(tmp_path / folder, "C. D.", AT)])
    assert orders[0] == orders[1] != orders[2]


def test_names_are_opened_only_when_every_reading_is_signed_and_it_is_recorded(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reading"
    blind(load_study(study), folder, AT)
    with pytest.raises(MeasurementError, match=r"6 reading\(s\) are not signed yet: R01, R02"):
        unblind(folder, "C. D.", AT)
    read_all(folder)
    assert {one.reader for one in signed_readings(folder)} == {"A. B."}
    unblind(folder, "C. D.", AT)
    assert json.loads((folder / "sealed.json").read_text())["opened"] == [{"by": "C. D.", "at": AT.isoformat()}]
    with pytest.raises(MeasurementError, match="not blinded any more"):
        sign_reading(folder, "R01", folder / "R01/read.nii.gz", "A. B.", AT)


def test_a_reading_changed_after_it_was_signed_keeps_the_names_shut(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reading"
    blind(load_study(study), folder, AT)
    read_all(folder)
    changed = OrganLabels(np.full(GRID.shape, 2, np.uint8), GRID, {2: "liver"})
    write_volume(changed, folder / "R04/read.nii.gz", overwrite=True)
    with pytest.raises(MeasurementError, match=r"reading of R04 is not the one that A. B. signed"):
        unblind(folder, "C. D.", AT)
    assert json.loads((folder / "sealed.json").read_text())["opened"] == []


def test_a_wrong_code_an_empty_reading_and_a_full_folder_are_refused(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reading"
    blind(load_study(study), folder, AT)
    write_volume(OrganLabels(np.zeros(GRID.shape, np.uint8), GRID), tmp_path / "empty.nii.gz")
    with pytest.raises(MeasurementError, match="the codes are R01"):
        sign_reading(folder, "R77", tmp_path / "empty.nii.gz", "A. B.", AT)
    with pytest.raises(MeasurementError, match="hold no organ"):
        sign_reading(folder, "R01", tmp_path / "empty.nii.gz", "A. B.", AT)
    with pytest.raises(OutputExistsError, match="an empty folder"):
        blind(load_study(study), folder, AT)
    with pytest.raises(MpiTrackError, match="no folder of a blinded reading"):
        unsigned_codes(tmp_path)


def test_organs_that_are_there_go_with_their_scan(study: Path, tmp_path: Path) -> None:
    drawn = OrganLabels(np.ones(GRID.shape, np.uint8), GRID, {1: "liver"})
    write_volume(drawn, tmp_path / "wendy_organs.nii.gz")
    text = study.read_text().replace("mpi: wendy_1.nii.gz", "mpi: wendy_1.nii.gz, organs: wendy_organs.nii.gz")
    study.write_text(text)
    blind(load_study(study), tmp_path / "reading", AT)
    (file,) = (tmp_path / "reading").rglob("organs.nii.gz")
    assert dict(read_organs(file).names) == {1: "liver"}


def test_the_commands_blind_sign_and_open(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "reading"
    run(["blind", str(study), "--out", str(folder), "--seed", "1"])
    assert run(["unblind", str(folder), "--by", "C. D."], status=2) is None
    assert "6 reading(s) are not signed yet" in capsys.readouterr().err
    write_volume(OrganLabels(np.ones(GRID.shape, np.uint8), GRID, {1: "liver"}), tmp_path / "read.nii.gz")
    for number in range(1, 7):
        run(["sign-reading", str(folder), f"R{number:02d}", str(tmp_path / "read.nii.gz"), "--by", "A. B."])
    run(["unblind", str(folder), "--by", "C. D.", "--out", str(tmp_path / "key.csv")])
    with (tmp_path / "key.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["code"] for row in rows] == [f"R{number:02d}" for number in range(1, 7)]
    assert {row["subject"] for row in rows} == {"wendy", "xaver", "yvonne"}


def run(arguments: list[str], status: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == status
