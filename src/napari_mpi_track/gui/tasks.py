"""Work off the GUI thread: progress, cancel and errors, in one place."""

import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from qtpy.QtCore import QCoreApplication, QObject, Signal  # type: ignore[attr-defined]  # qtpy exports it at run time

from napari_mpi_track.errors import MpiTrackError

# Qt gives Python's lock away at almost every call, and waits this long for it whenever a thread computes: with
# Python's own 5 ms a hundred calls of one redraw may stand still for half a second.
_GIVES_WAY_AFTER_S = 0.0005


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a person is shown it: one sentence, what to do, and the details for who asks."""

    sentence: str
    remedy: str
    details: str


class Progress:
    """What a core function is given to report with, and to ask whether it should stop."""

    def __init__(self, report: Callable[[float, str], None], stop: threading.Event) -> None:
        self.report = report
        self.should_stop: Callable[[], bool] = stop.is_set


class Task(QObject):
    """One call of a core function in a thread of its own.

    ``work`` is called with a :class:`Progress`; exactly one of ``succeeded``, ``failed`` and ``cancelled`` follows
    on the GUI thread, then ``finished``. The work may touch no widget and no layer.
    """

    progressed = Signal(float, str)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    finished = Signal()
    _ended = Signal(object)

    # Python must hold a task until its thread has ended, whoever forgot it.
    _running: ClassVar[set["Task"]] = set()
    _usual_switching_s: ClassVar[float] = sys.getswitchinterval()

    def __init__(self, work: Callable[[Progress], Any], name: str) -> None:
        super().__init__()
        self.name = name
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mpi-track: {name}")
        self._ended.connect(self._tell)

    def start(self) -> None:
        """Begin; returns at once."""
        _stop_all_at_exit()
        if not Task._running:
            Task._usual_switching_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_GIVES_WAY_AFTER_S, Task._usual_switching_s))
        Task._running.add(self)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop; ``cancelled`` follows once it has, and what it returns is dropped."""
        self._stop.set()

    def abandon(self) -> None:
        """Ask the work to stop and tell nobody any more: whoever listened is gone."""
        self.cancel()
        for signal in (self.progressed, self.succeeded, self.failed, self.cancelled, self.finished):
            with suppress(TypeError):  # nobody listened to this one
                signal.disconnect()

    @property
    def is_cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def _run(self) -> None:
        try:
            outcome = self._work(Progress(self.progressed.emit, self._stop))
        except MpiTrackError as error:
            outcome = Failure(_sentence(error), _capitalised(error.remedy), traceback.format_exc())
        except Exception as error:  # the one place where a fault of our own must reach a person, not a console
            outcome = Failure(
                f"The program met something it did not expect ({type(error).__name__}).",
                "Save what you need, and send the details to the developers.",
                traceback.format_exc(),
            )
        self._ended.emit(outcome)

    def _tell(self, outcome: Any) -> None:
        self._thread.join()
        Task._running.discard(self)
        if not Task._running:
            sys.setswitchinterval(Task._usual_switching_s)
        if self.is_cancelled:
            self.cancelled.emit()
        elif isinstance(outcome, Failure):
            self.failed.emit(outcome)
        else:
            self.succeeded.emit(outcome)
        self.finished.emit()

    @classmethod
    def is_any_running(cls) -> bool:
        """Whether any task's end has not been told yet."""
        return bool(cls._running)

    @classmethod
    def stop_all(cls, wait_s: float = 30.0) -> None:
        """Stop every task and wait for the threads: one left running would abort the process at its end."""
        for task in cls._running:
            task.cancel()
        for task in list(cls._running):
            task._thread.join(wait_s)


def _stop_all_at_exit() -> None:
    application = QCoreApplication.instance()
    if application is not None and not application.property("mpi_track_stops_tasks"):
        application.setProperty("mpi_track_stops_tasks", True)
        application.aboutToQuit.connect(Task.stop_all)


def _sentence(error: MpiTrackError) -> str:
    # A file's name is enough on screen; its folder stands in the details.
    place = "" if error.file is None else f" ({error.file.name})"
    return f"{_capitalised(error.what)}{place}."


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]


def unwatched() -> Progress:
    """Return a progress that nobody looks at, for calls that run to their end."""
    return Progress(lambda _fraction, _text: None, threading.Event())
