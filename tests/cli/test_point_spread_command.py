"""A scanner's blur measured on the command line, kept, and used."""

import csv
import json

import numpy as np
import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.point_spread import PsfShape
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.point_spread_file import load_point_spread
from napari_mpi_track.simulation.anatomy import Solid, ellipsoid
from napari_mpi_track.simulation.scanner import Blur, blurred, labelled
from napari_mpi_track.writers.scans import write_volume


def run(arguments, status=0):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == status


@pytest.fixture
def scan(tmp_path):
    """A ball of 1 mm under a Lorentzian of 3, 2.5 and 2 mm, and a little noise."""
    grid = Grid.from_spacing((24, 24, 24), 1.0, frame="bed")
    clean = blurred(
        [(Solid((ellipsoid((11.2, 12.4, 11.7), [0.5] * 3),)), 300.0)],
        grid,
        np.eye(4),
        Blur("lorentzian", (3.0, 2.5, 2.0)),
    )
    voxels = clean + np.random.default_rng(0).normal(0, clean.max() / 300, clean.shape)
    write_volume(Volume(voxels.astype(np.float32), grid), tmp_path / "point.nii.gz")
    return tmp_path / "point.nii.gz"


def test_a_scan_of_a_ball_becomes_a_point_spread(scan, tmp_path, capsys):
    out, figure = tmp_path / "psf.json", tmp_path / "psf.svg"
    command = ["measure-psf", scan, "--source-diameter-mm", "1", "--modality", "MPI", "--out", out]
    run([*command, "--figure", figure])
    said = capsys.readouterr().out
    assert said.startswith("lorentzian (probability 1): FWHM in mm plane")
    psf = load_point_spread(out)
    assert psf.shape is PsfShape.LORENTZIAN
    np.testing.assert_allclose(psf.fwhm_mm, [3.0, 2.5, 2.0], rtol=0.03)
    assert np.all((psf.fwhm_relative_sd > 0) & (psf.fwhm_relative_sd < 0.03))
    assert not psf.is_one_error
    picture = figure.read_text(encoding="utf-8")
    assert all(word in picture for word in ("plane: FWHM", "column: FWHM", "gaussian", "residual"))
    run([*command, "--json", "--overwrite"])
    told = json.loads(capsys.readouterr().out)
    kept = json.loads(out.read_text())
    assert told["shape"] == kept["shape"] == "lorentzian"
    assert told["fits"]["gaussian"]["misfit"] > told["fits"]["lorentzian"]["misfit"]
    assert kept["source"] == {"form": "ball", "size_mm": [1.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "the source's size is needed, once"),
        (["--source-diameter-mm", "1", "--source-size-mm", "1,1,5"], "once"),
        (["--source-size-mm", "1,1"], "one size or three lengths"),
        (["--source-diameter-mm", "1", "--source-form", "capillary"], "give --source-size-mm instead"),
        (["--source-diameter-mm", "1", "--near-mm", "here"], "--near-mm needs X,Y,Z"),
        (["--source-diameter-mm", "9"], "does not look like a blurred source of this size"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(scan, tmp_path, capsys, more, words):
    run(["measure-psf", scan, "--modality", "MPI", "--out", tmp_path / "psf.json", *more], status=2)
    error = capsys.readouterr().err
    assert words in error
    assert not (tmp_path / "psf.json").exists()


@pytest.fixture
def mouse(tmp_path):
    """Two organs, the one a deposit in its core and the other lit evenly, under a Gaussian of 2.5 mm; its labels."""
    grid = Grid.from_spacing((24, 26, 28), 1.0, frame="bed")
    liver, tumour = ellipsoid((8, 13, 12), (5, 6, 7)), ellipsoid((21, 12, 12), (3.5, 3.5, 3.5))
    core = ellipsoid((21, 12, 12), (1, 1, 1))
    lit = [(Solid((liver,)), 6e4), (Solid((core,)), 1e4)]
    clean = blurred(lit, grid, np.eye(4), Blur("gaussian", (2.5,) * 3))
    voxels = clean + np.random.default_rng(0).normal(0, 0.5, clean.shape)
    write_volume(Volume(voxels.astype(np.float32), grid), tmp_path / "mpi.nii.gz")
    drawn = labelled({"liver": Solid((liver,)), "tumour": Solid((tumour,))}, grid, np.eye(4))
    write_volume(OrganLabels(drawn, grid), tmp_path / "organs.nii.gz")
    (tmp_path / "organs.csv").write_text("label,name\n1,liver\n2,tumour\n")
    (tmp_path / "psf.json").write_text(
        '{"schema": 1, "shape": "gaussian", "fwhm_mm": [2.5, 2.5, 2.5], "fwhm_sd_mm": [0.05, 0.05, 0.05]}'
    )
    return [
        "quantify", tmp_path / "mpi.nii.gz", "--modality", "MPI", "--organs", tmp_path / "organs.nii.gz",
        "--names", tmp_path / "organs.csv", "--out", tmp_path / "table.csv", "--overwrite",
    ]  # fmt: skip


def totals(tmp_path):
    with (tmp_path / "table.csv").open() as stream:
        return {row["organ"]: row for row in csv.DictReader(stream)}


def test_organs_are_measured_with_a_measured_point_spread_a_margin_or_as_one(mouse, tmp_path, capsys):
    psf = ["--psf", tmp_path / "psf.json", "--spill-over"]
    run([*mouse, *psf])
    evenly = totals(tmp_path)
    assert "not_uniform" in evenly["tumour"]["flag"]
    run([*mouse, *psf, "--margin", "tumour"])
    assert "tumour is measured with a margin" in capsys.readouterr().err
    with_margin = totals(tmp_path)
    assert float(with_margin["tumour"]["signal_total_corrected"]) == pytest.approx(1e4, rel=0.05)
    assert float(evenly["tumour"]["signal_total_corrected"]) > 1.2e4
    run([*mouse, *psf, "--merge", "liver, tumour"])
    # Labels of whole voxels, half of the difference between the two organs' corrections.
    assert float(totals(tmp_path)["liver + tumour"]["signal_total_corrected"]) == pytest.approx(7e4, rel=0.08)
    run([*mouse, *psf, "--margin", "tumor"], status=2)
    assert "there is no organ 'tumor'" in capsys.readouterr().err
    run([*mouse, *psf, "--psf-fwhm-mm", "2"], status=2)
    assert "keep one" in capsys.readouterr().err
    run([*mouse, "--spill-over"], status=2)
    assert "give --psf" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '{"schema": 2}', '{"schema": 1, "shape": "airy", "fwhm_mm": [1, 1, 1], "fwhm_sd_mm": [0, 0, 0]}'],
)
def test_a_file_that_is_no_point_spread_is_told(tmp_path, text):
    path = tmp_path / "psf.json"
    path.write_text(text)
    with pytest.raises(MeasurementError) as told:
        load_point_spread(path)
    assert "psf.json" in str(told.value)
    assert "measure-psf" in str(told.value)
