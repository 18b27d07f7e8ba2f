"""A tiny study, and the end of all tasks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from tiny_mouse import write_tiny_study

from napari_mpi_track.gui.tasks import Task


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a small study.yaml."""
    return write_tiny_study(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tasks_end(qtbot: QtBot) -> Iterator[Callable[[], None]]:
    """Wait until every task has ended and told so; none outlives the test."""

    def wait() -> None:
        qtbot.waitUntil(lambda: not Task.is_any_running(), timeout=60_000)

    yield wait
    Task.stop_all()
    wait()
