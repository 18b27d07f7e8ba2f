"""The commands of the recipe on organs and readings run, one after the other, on a simulated animal."""

import re
import shlex
from pathlib import Path

import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.readers.organs import read_organs

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "docs" / "recipes" / "organs-and-readings.md"


def test_every_command_of_the_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", RECIPE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.strip().splitlines()]
    # Simulating the animal is tested elsewhere; the one in the repository is of the same kind.
    assert lines[0].startswith("mpi-track sample mice --study car-t")
    (tmp_path / "mice").symlink_to(ROOT / "sample_data" / "car-t")
    for line in lines[1:]:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line)[1:])
        # One of the readings is signed: the names stay shut.
        assert end.value.code == (2 if " unblind " in line else 0), f"{line}: {capsys.readouterr().err}"
    assert "are not signed yet" in capsys.readouterr().err
    before, after = read_organs("organs.seg.nrrd"), read_organs("organs.nii.gz")
    assert {name: int(before.mask(name).sum()) for name in before.names.values()} == {
        name: int(after.mask(name).sum()) for name in after.names.values()
    }
    assert "m01" not in Path("shared/truth.csv").read_text()
