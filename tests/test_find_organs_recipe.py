"""The commands of the recipe on finding organs run, one after the other."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from simulated_mice import ct_of, drawn, field

from napari_mpi_track.cli import main
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.readers.organs import read_organs
from napari_mpi_track.registration.alignment_files import load_alignment
from napari_mpi_track.simulation.hotel import hotel
from napari_mpi_track.simulation.mouse import mouse
from napari_mpi_track.writers.scans import write_volume

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "docs" / "recipes" / "find-organs.md"


def paint_seeds(folder: Path) -> None:
    """What a person paints: the middle of liver and lungs, and a ring round both."""
    organs = read_organs(folder / "mice/m01/day00_organs.nii.gz")
    seeds = np.zeros(organs.grid.shape, np.uint8)
    near = ndimage.binary_dilation(organs.voxels > 0, iterations=3)
    seeds[near & ~ndimage.binary_dilation(organs.voxels > 0, iterations=2)] = 9
    for value in (2, 3):
        seeds[ndimage.binary_erosion(organs.voxels == value, iterations=3)] = value
    write_volume(OrganLabels(seeds, organs.grid), folder / "seeds.nii.gz")
    (folder / "seeds.csv").write_text("label,name\n2,lungs\n3,liver\n9,background\n", encoding="utf-8")


def house_two_mice(folder: Path) -> None:
    both = hotel({"m01": (mouse(), (-16.0, 0, 0)), "m02": (mouse(0.96), (16.0, 0, 0))})
    grid = field(1.0, (104, 36, 80), "hotel")
    write_volume(ct_of(both, grid), folder / "hotel_ct.nii.gz")
    labels = drawn(both, grid)
    kinds = dict(enumerate(mouse().organs, 1))
    kind = np.where(labels.voxels > 0, (labels.voxels.astype(int) - 1) % len(kinds) + 1, 0)
    write_volume(OrganLabels(kind.astype(np.uint8), grid, kinds), folder / "hotel_organs.nii.gz")


def test_every_command_of_the_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", RECIPE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.strip().splitlines()]
    assert len(lines) >= 10
    assert lines[0].startswith("mpi-track sample mice --study car-t")
    (tmp_path / "mice").symlink_to(ROOT / "sample_data" / "car-t")
    paint_seeds(tmp_path)
    house_two_mice(tmp_path)
    for line in lines[1:]:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line)[1:])
        assert end.value.code == 0, f"{line}: {capsys.readouterr().err}"
    assert "liver: expected overlap 0." in capsys.readouterr().out
    assert load_alignment("day01_to_atlas.tfm").method == "intensity"
    assert set(read_organs("by_seeds.nii.gz").names.values()) == {"lungs", "liver"}
    assert set(read_organs("m02_organs.nii.gz").names.values()) == set(mouse().organs)
