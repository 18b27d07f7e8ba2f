"""Many calls of one function, here or in worker processes, with the same answers in the same order."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from os import environ
from types import TracebackType
from typing import Any, Self

from napari_mpi_track.errors import MpiTrackError

ShouldStop = Callable[[], bool]
_LOOK_SECONDS = 0.2
_worker_stop: Any = None


class RunStopped(MpiTrackError):  # noqa: N818 - it is the user's wish, no error
    """The user stopped a run."""

    def __init__(self) -> None:
        super().__init__("the run was stopped", remedy="what was finished is kept: --resume goes on from there")

    def __reduce__(self) -> tuple[object, ...]:
        return RunStopped, ()


class Workers:
    """A context in which calls are spread over ``count`` processes; with one, they run in this process.

    Processes are spawned, never forked: threads of ITK, Qt or BLAS do not survive a fork.
    """

    def __init__(self, count: int, should_stop: ShouldStop | None = None) -> None:
        self.count = max(1, count)
        self._asked_to_stop = should_stop or (lambda: False)
        self._pool: ProcessPoolExecutor | None = None
        self._stop: Any = None

    def __enter__(self) -> Self:
        if self.count > 1:
            context = get_context("spawn")
            self._stop = context.Event()
            self._pool = ProcessPoolExecutor(self.count, context, _begin_worker, (self._stop,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            if kind is not None:
                self._stop.set()
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def should_stop(self) -> ShouldStop:
        """What a call in this process asks; calls in workers ask :func:`worker_should_stop`."""
        return self._asked_to_stop

    def each(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yield (number of the call, its result or the ``MpiTrackError`` it raised), in any order.

        Raises
        ------
        RunStopped
            When the user asked to stop; calls under way are asked too.
        MpiTrackError
            When a worker died (of memory, most often).
        """
        if self._pool is None:
            for at, call in enumerate(calls):
                self._require_going()
                outcome = outcome_of(function, *call)
                if isinstance(outcome, MpiTrackError):
                    self._require_going()
                yield at, outcome
            return
        pending: dict[Future[Any], int] = {}
        try:
            pending = {self._pool.submit(outcome_of, function, *call): at for at, call in enumerate(calls)}
            while pending:
                self._require_going()
                done, _ = wait(pending, _LOOK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    yield pending.pop(future), future.result()
        except BrokenProcessPool:
            raise MpiTrackError(
                "a worker process ended without an answer, most often for want of memory",
                remedy="run again with --resume and fewer workers",
            ) from None

    def _require_going(self) -> None:
        if self._asked_to_stop():
            raise RunStopped


def outcome_of(function: Callable[..., Any], *call: Any) -> Any:
    """Return what ``function`` returns, or the ``MpiTrackError`` it raises."""
    try:
        return function(*call)
    except MpiTrackError as error:
        return error


def worker_should_stop() -> bool:
    """Return whether the process that started this worker asked it to stop; False outside a worker."""
    return _worker_stop is not None and bool(_worker_stop.is_set())


def _begin_worker(stop: Any) -> None:
    global _worker_stop
    _worker_stop = stop
    # One thread a worker: ITK would start as many as there are cores in each.
    environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
