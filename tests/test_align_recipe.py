"""The commands of the recipe on aligning a session run, one after the other, on a simulated animal."""

import re
import shlex
from pathlib import Path

import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.registration.alignment_files import load_alignment

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "docs" / "recipes" / "align-a-session.md"


def test_every_command_of_the_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", RECIPE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.strip().splitlines()]
    assert len(lines) >= 8
    # Simulating the animal is tested elsewhere; the one in the repository is of the same kind.
    assert lines[0].startswith("mpi-track sample mice --study car-t")
    (tmp_path / "mice").symlink_to(ROOT / "sample_data" / "car-t")
    for line in lines[1:]:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line)[1:])
        assert end.value.code == 0, f"{line}: {capsys.readouterr().err}"
    assert load_alignment("bed.tfm").measured_at == "2026-02-27T00:00:00"
    assert load_alignment("day0_organs_to_day1_mpi.tfm").method == "intensity + fiducials"
    assert load_alignment("day0_organs_to_day1_mpi.tfm").error_covariance is not None
