"""Commands that find organs in the anatomy: what they print, and how they refuse."""

import json

import numpy as np
import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.organs import read_organs
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((24, 30, 60), 1.0)


@pytest.fixture
def hotel(tmp_path):
    """Two round animals in a CT, and an organ in each."""
    plane, row, column = np.indices(GRID.shape)
    voxels = np.full(GRID.shape, -1000.0, np.float32)
    organs = np.zeros(GRID.shape, np.uint8)
    for x in (15, 44):
        voxels[((row - 15) ** 2 + (column - x) ** 2 < 100) & (plane > 2) & (plane < 21)] = 40.0
        organs[8:14, 12:18, x - 3 : x + 3] = 1
    write_volume(Volume(voxels, GRID, Modality.CT, "HU"), tmp_path / "ct.nii.gz")
    write_volume(OrganLabels(organs, GRID, {1: "liver"}), tmp_path / "organs.nii.gz")
    return tmp_path


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_animals_are_told_as_json_and_taken_one_by_one(hotel, capsys):
    regions = hotel / "animals.nii.gz"
    assert run("split-animals", hotel / "ct.nii.gz", "--animals", 2, "--names", "a,b", "--out", regions, "--json") == 0
    told = json.loads(capsys.readouterr().out)["animals"]
    assert [animal["name"] for animal in told] == ["a", "b"]
    assert told[0]["centre_mm"][0] == pytest.approx(15, abs=0.5)
    own, both = hotel / "b.nii.gz", hotel / "b_and_a.nii.gz"
    assert run("take-animal", hotel / "organs.nii.gz", regions, "--labels", "--animal", "b", "--out", own) == 0
    assert np.flatnonzero(read_organs(own).voxels.any(axis=(0, 1))).min() > 30
    words = ("--labels", "--neighbours", "--animal", "b", "--out", both)
    assert run("take-animal", hotel / "organs.nii.gz", regions, *words) == 0
    assert set(read_organs(both).names.values()) == {"liver", "a: liver"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("split-animals", "ct.nii.gz", "--animals", "3", "--out", "o.nii.gz"),
            "2 animals are seen in the scan, not 3",
        ),
        (("split-animals", "ct.nii.gz", "--animals", "2", "--names", "a", "--out", "o.nii.gz"), "need 2 names"),
        (
            ("segment-seeds", "ct.nii.gz", "organs.nii.gz", "--out", "o.nii.gz"),
            "two labels or more, here there is liver",
        ),
        (("segment-seeds", "ct.nii.gz", "organs.nii.gz", "--out", "o.txt"), "end its name in"),
        (
            ("take-animal", "ct.nii.gz", "organs.nii.gz", "--neighbours", "--animal", "a", "--out", "o.nii.gz"),
            "--labels",
        ),
        (("take-animal", "ct.nii.gz", "organs.nii.gz", "--animal", "a", "--out", "o.nii.gz"), "no animal 'a'"),
        (
            ("carry-atlas", "ct.nii.gz", "ct.nii.gz", "organs.nii.gz", "--modality", "MPI", "--out", "o.nii.gz"),
            "shows tracer and no anatomy",
        ),
    ],
)
def test_faults_are_one_line_that_names_them(hotel, monkeypatch, capsys, words, said):
    monkeypatch.chdir(hotel)
    assert run(*words) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.strip().count("\n") == 0
    assert not (hotel / "o.nii.gz").exists()
