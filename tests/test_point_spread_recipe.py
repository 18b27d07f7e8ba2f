"""The commands of the recipe on the point spread run, one after the other, on a simulated ball and mouse."""

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.quantification.point_spread_file import load_point_spread
from napari_mpi_track.simulation.anatomy import Solid, ellipsoid
from napari_mpi_track.simulation.scanner import Blur, Noise, blurred, noise_field
from napari_mpi_track.writers.scans import write_volume

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "docs" / "recipes" / "point-spread.md"


def test_every_command_of_the_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    grid = Grid.from_spacing((32, 32, 32), 0.8, frame="bed")
    ball = Solid((ellipsoid((12.3, 12.6, 12.1), (0.5, 0.5, 0.5)),))
    clean = blurred([(ball, 500.0)], grid, np.eye(4), Blur("gaussian", (2.5, 2.5, 2.5)))
    voxels = clean + noise_field(clean.shape, Noise(clean.max() / 300, 1.0), np.random.default_rng(0))
    write_volume(Volume(voxels.astype(np.float32), grid), tmp_path / "point.nii.gz")
    # Simulating the animal is tested elsewhere; the one in the repository is of the same kind.
    (tmp_path / "mice").symlink_to(ROOT / "sample_data" / "car-t")
    blocks = re.findall(r"```sh\n(.*?)```", RECIPE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.strip().splitlines()]
    assert len(lines) == 6
    for line in lines:
        if line.startswith("mpi-track sample mice"):
            continue
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line)[1:])
        assert end.value.code == 0, f"{line}: {capsys.readouterr().err}"
    np.testing.assert_allclose(load_point_spread("psf.json").fwhm_mm, 2.5, rtol=0.02)
    with Path("merged.csv").open(newline="", encoding="utf-8") as stream:
        assert "liver + spleen" in [row["organ"] for row in csv.DictReader(stream)]
