"""The commands of the recipe on studies from folders and tables run, one after the other, and its examples load."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.longitudinal.study_file import load_study

ROOT = Path(__file__).parents[1]
RECIPE = (ROOT / "docs" / "recipes" / "study-from-a-folder.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", RECIPE, re.DOTALL)


def test_every_command_of_the_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.strip().splitlines()]
    assert lines[0].startswith("mpi-track sample mice --study car-t")
    assert len(lines) == 5
    # Simulating the mouse is tested elsewhere; the one in the repository is of the same kind.
    shutil.copytree(ROOT / "sample_data" / "car-t", tmp_path / "mice")
    (tmp_path / "mice" / "study.yaml").unlink()
    (tmp_path / "mice" / "days.csv").write_text(blocks("csv")[0], encoding="utf-8")
    for line in lines[1:]:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line)[1:])
        assert end.value.code == 0, f"{line}: {capsys.readouterr().err}"
    assert [t.day for t in load_study("mice/proposed.yaml").subjects[0].timepoints] == [0.0, 1.0, 3.0, 7.0]
    table = Path("handheld-results/retention.csv").read_text(encoding="utf-8")
    assert [line.split(",")[2] for line in table.splitlines() if ",total," in line] == ["0", "2", "5"]


def test_the_longer_example_loads(tmp_path):
    example = next(block for block in blocks("yaml") if "dynamic:" in block)
    for name in re.findall(r"m0\d/[\w.]+", example):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "study.yaml").write_text(f"schema: 1\n{example}", encoding="utf-8")
    labelled, reporter = load_study(tmp_path / "study.yaml").subjects
    assert labelled.timepoints[0].dynamic.path.name == "bolus.mdf"
    assert labelled.timepoints[1].ex_vivo.name == "organs_out.csv"
    assert (reporter.radiotracer.reporter, reporter.timepoints[0].dose.activity_kBq) == ("NIS", 9500)
