"""What holds for the package as a whole."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import napari_mpi_track

HEAVY = ("napari", "qtpy", "PyQt6", "PySide6", "PyQt5", "magicgui", "SimpleITK", "numpy", "scipy", "matplotlib")


def test_importing_the_package_loads_nothing_heavy():
    asked = f"import sys, napari_mpi_track; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", napari_mpi_track.__all__)
def test_every_public_name_is_there(name):
    assert getattr(napari_mpi_track, name).__doc__
    assert name in dir(napari_mpi_track)


def test_a_name_that_is_not_public_is_not_there():
    with pytest.raises(AttributeError, match="'no_such_thing'"):
        _ = napari_mpi_track.no_such_thing


def test_the_version_is_the_one_the_project_states():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = project.get("version", napari_mpi_track.__version__)
    assert napari_mpi_track.__version__ == stated
