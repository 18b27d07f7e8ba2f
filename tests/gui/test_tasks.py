"""Work off the GUI thread: told of, stopped, and explained when it fails."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer

from napari_mpi_track.errors import AlignmentError, UnreadableScanError
from napari_mpi_track.gui.tasks import Failure, Progress, Task


def told_of(task: Task) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    task.succeeded.connect(lambda result: told.append(("succeeded", result)))
    task.failed.connect(lambda failure: told.append(("failed", failure)))
    task.cancelled.connect(lambda: told.append(("cancelled", None)))
    return told


def finish(qtbot: QtBot, task: Task) -> list[tuple[str, Any]]:
    told = told_of(task)
    with qtbot.waitSignal(task.finished, timeout=10_000):
        task.start()
    return told


def test_the_result_comes_back_on_the_gui_thread(qtbot: QtBot) -> None:
    threads = []
    task = Task(lambda _: threading.current_thread(), "Work")
    task.succeeded.connect(lambda worker: threads.extend([worker, threading.current_thread()]))
    finish(qtbot, task)
    worker, receiver = threads
    assert receiver is threading.main_thread()
    assert worker is not receiver
    assert not worker.is_alive()


def test_progress_arrives_in_order_and_the_window_stays_alive(qtbot: QtBot) -> None:
    ticks, steps = [], []

    def work(progress: Progress) -> str:
        for step in range(5):
            progress.report(step / 5, f"step {step}")
            time.sleep(0.04)
        return "done"

    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(10)
    task = Task(work, "Work")
    task.progressed.connect(lambda fraction, text: steps.append((fraction, text)))
    assert finish(qtbot, task) == [("succeeded", "done")]
    timer.stop()
    assert steps == [(step / 5, f"step {step}") for step in range(5)]
    assert len(ticks) >= 5


def test_cancel_is_read_by_the_work_and_its_result_is_dropped(qtbot: QtBot) -> None:
    started = threading.Event()

    def work(progress: Progress) -> str:
        started.set()
        while not progress.should_stop():
            time.sleep(0.005)
        return "half done"

    task = Task(work, "Work")
    told = told_of(task)
    task.start()
    assert started.wait(5)
    with qtbot.waitSignal(task.finished, timeout=10_000):
        task.cancel()
    assert told == [("cancelled", None)]


@pytest.mark.parametrize("kind", [AlignmentError, UnreadableScanError])
def test_an_error_of_ours_becomes_a_sentence_and_what_to_do(qtbot: QtBot, kind: type) -> None:
    def work(_: Progress) -> None:
        raise kind("the file is cut short", file=Path("/far/away/scan.dcm"), remedy="copy it again")

    ((how, failure),) = finish(qtbot, Task(work, "Work"))
    assert how == "failed"
    assert failure.sentence == "The file is cut short (scan.dcm)."
    assert failure.remedy == "Copy it again"
    assert "/far/away/scan.dcm" in failure.details


def test_a_fault_of_the_program_is_said_without_a_traceback_in_the_face(qtbot: QtBot) -> None:
    ((how, failure),) = finish(qtbot, Task(lambda _: 1 / 0, "Work"))
    assert how == "failed"
    assert isinstance(failure, Failure)
    assert "Traceback" not in failure.sentence + failure.remedy
    assert "1 / 0" in failure.details


def test_stopping_all_leaves_no_thread_behind(qtbot: QtBot) -> None:
    def work(progress: Progress) -> None:
        while not progress.should_stop():
            time.sleep(0.005)

    tasks = [Task(work, f"Work {n}") for n in range(3)]
    for task in tasks:
        task.start()
    with qtbot.waitSignals([task.finished for task in tasks], timeout=10_000):
        Task.stop_all()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mpi-track")]
