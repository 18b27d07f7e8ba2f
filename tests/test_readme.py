"""What the README and the docs tell a user to type exists and works."""

import re
from pathlib import Path

import pytest

import napari_mpi_track
from napari_mpi_track.cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_benchmark_a_page_names_is_there(page):
    for script in re.findall(r"python (benchmarks/[\w/]+\.py)", page.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), script


def test_every_command_of_the_readme_is_one(capsys):
    commands = re.findall(r"^mpi-track ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"info", "run", "open"} <= set(commands)
    for command in set(commands):
        with pytest.raises(SystemExit) as end:
            main(["--help"] if command.startswith("--") else [command, "--help"])
        assert end.value.code == 0
    assert "Example: mpi-track" in capsys.readouterr().out


def test_the_python_of_the_readme_uses_names_that_are_there():
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    compile(block, "README.md", "exec")
    used = set(re.findall(r"mpt\.(\w+)", block))
    assert used
    for name in used:
        assert callable(getattr(napari_mpi_track, name))
    columns = set(re.findall(r"row\.(\w+)", block))
    from napari_mpi_track.longitudinal.measurement import Measurement

    assert columns <= set(Measurement.__dataclass_fields__)


def test_the_study_of_the_readme_loads():
    study = napari_mpi_track.load_study(ROOT / "sample_data" / "car-t" / "study.yaml")
    assert len(study.days) == 4
