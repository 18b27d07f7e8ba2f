"""Open Sample: simulated once into the user's cache, then found there."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from napari_mpi_track.gui import samples

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data"


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the studies that were simulated; what they would be is copied from sample_data."""
    names: list[str] = []

    def copy(folder: Path, *, study: str, size: str, seed: int, progress: Any) -> Path:
        assert (size, seed) == ("small", 0)
        progress(0.5, "m01, day 0")
        names.append(study)
        shutil.copytree(SAMPLE_DATA / study, folder)
        return folder / "study.yaml"

    monkeypatch.setattr(samples, "simulate_study", copy)
    monkeypatch.setattr(samples, "user_cache_path", lambda _name: tmp_path / "cache")
    return names


def test_a_sample_is_simulated_once(simulated: list[str]) -> None:
    first = samples.sample_study("car-t")
    assert samples.sample_study("car-t") == first
    assert simulated == ["car-t"]


def test_a_simulation_that_was_interrupted_is_begun_again(simulated: list[str]) -> None:
    left = samples.sample_study("knee").parent
    left.rename(left.with_name("knee.unfinished"))
    (left.with_name("knee.unfinished") / "study.yaml").unlink()
    assert samples.sample_study("knee").is_file()
    assert simulated == ["knee", "knee"]
    assert not left.with_name("knee.unfinished").exists()


@pytest.mark.usefixtures("simulated")
def test_the_mouse_opens_with_mpi_on_the_anatomy() -> None:
    layers = samples.open_car_t()
    kinds = [(settings["name"], kind) for _, settings, kind in layers]
    assert ("MPI m01 day 3", "image") in kinds
    anatomy, mpi = (next(s for _, s, _ in layers if s["name"].startswith(name)) for name in ("CT", "MPI"))
    assert mpi["scale"] == anatomy["scale"]
    assert mpi["translate"] == anatomy["translate"]


@pytest.mark.usefixtures("simulated")
def test_the_knee_opens_with_its_mpi() -> None:
    names = [settings["name"] for _, settings, _ in samples.open_knee()]
    assert any(name.startswith("MPI") and name.endswith("day 7") for name in names)
