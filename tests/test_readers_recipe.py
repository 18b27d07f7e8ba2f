"""The commands of the recipe on several readers run, one after the other, on a simulated animal."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from napari_mpi_track.cli import main

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "docs" / "recipes" / "several-readers.md"


def test_every_command_of_the_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = RECIPE.read_text(encoding="utf-8")
    (table,) = re.findall(r"```csv\n(.*?)```", text, re.DOTALL)
    (tmp_path / "readings.csv").write_text(table)
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.strip().splitlines()]
    # Simulating the animal is tested elsewhere; the one in the repository is of the same kind.
    assert lines[0].startswith("mpi-track sample mice --study car-t")
    (tmp_path / "mice").symlink_to(ROOT / "sample_data" / "car-t")
    for line in lines[1:]:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line)[1:])
        assert end.value.code == 0, f"{line}: {capsys.readouterr().err}"
    with (tmp_path / "agreement.csv").open(newline="") as stream:
        said = {row["statistic"] for row in csv.DictReader(stream)}
    # Every figure that the recipe explains is in the table, and no other.
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE))))
    assert said == explained
    assert "anna" not in (tmp_path / "blind.csv").read_text()
