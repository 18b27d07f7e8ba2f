"""Commands that find organs in the anatomy: what they print, and how they refuse."""

import json

import nibabel
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


def test_a_bed_is_taken_out_as_found_or_as_drawn(tmp_path, capsys):
    plane, row, column = np.indices(GRID.shape)
    animal = (row - 14) ** 2 + (column - 30) ** 2 < 100
    # A plate all along, which the animal lies on.
    voxels = np.where(animal, 40.0, np.where((row == 24) & (abs(column - 30) < 18), 120.0, -1000.0)).astype(np.float32)
    write_volume(Volume(voxels, GRID, Modality.CT, "HU"), tmp_path / "ct.nii.gz")
    write_volume(OrganLabels((plane < 9).astype(np.uint8), GRID, {1: "body"}), tmp_path / "drawn.nii.gz")
    words = ("remove-bed", tmp_path / "ct.nii.gz", "--modality", "CT", "--out")
    assert run(*words, tmp_path / "found.nii.gz") == 0
    assert "body:" in capsys.readouterr().out
    found = np.asarray(nibabel.load(tmp_path / "found.nii.gz").dataobj).T
    # One voxel thick, the plate cannot be told from skin right under the animal.
    assert not np.any(found[abs(column - 30) > 5] == 120)
    # The voxels next to the plate may go with its blurred edge.
    kept = np.count_nonzero(found[animal & (row < 22)] == 40) / np.count_nonzero(animal & (row < 22))
    assert kept > 0.99
    assert run(*words, tmp_path / "cut.nii.gz", "--body", tmp_path / "drawn.nii.gz") == 0
    cut = np.asarray(nibabel.load(tmp_path / "cut.nii.gz").dataobj).T
    assert np.array_equal(cut, np.where(plane < 9, voxels, -1000))
    assert run(*words, tmp_path / "ct.nii.gz") == 2


def test_a_wrong_call_names_the_help_of_its_command(capsys):
    assert run("remove-bed", "ct.nii.gz", "--bed") == 2
    assert "see mpi-track remove-bed --help" in capsys.readouterr().err


def test_what_nobody_foresaw_is_one_line_and_a_traceback_on_request(hotel, monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("napari_mpi_track.segmentation.anatomy.find_body", fail)
    words = ("remove-bed", hotel / "ct.nii.gz", "--modality", "CT", "--out", hotel / "o.nii.gz")
    assert run(*words) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "ZeroDivisionError: no such luck" in error
    assert run(*words, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


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
