"""Calls here or in worker processes."""

from pathlib import Path

import pytest

from napari_mpi_track.errors import CalibrationError, MpiTrackError, TableError
from napari_mpi_track.report.tables import three_digits
from napari_mpi_track.report.workers import RunStopped, Workers
from napari_mpi_track.writers.whole import require_absent


@pytest.mark.parametrize("count", [1, 2])
def test_answers_belong_to_their_calls_whatever_the_workers(count: int) -> None:
    calls = [(float(value),) for value in range(1, 8)]
    with Workers(count) as team:
        found = dict(team.each(three_digits, calls))
    assert [found[at] for at in range(7)] == [f"{value}.00" for value in range(1, 8)]


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_is_an_answer_and_the_others_go_on(count: int, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("")
    with Workers(count) as team:
        found = dict(team.each(require_absent, [(tmp_path / "there", False), (tmp_path / "absent", False)]))
    assert isinstance(found[0], MpiTrackError)
    assert found[0].file == tmp_path / "there"
    assert found[1] is None


def test_a_wish_to_stop_ends_the_calls() -> None:
    asked = iter([False, False, True, True])
    with Workers(1, lambda: next(asked)) as team:
        answers = team.each(three_digits, [(1.0,)] * 10)
        seen = [next(answers), next(answers)]
        with pytest.raises(RunStopped, match="--resume"):
            next(answers)
    assert seen == [(0, "1.00"), (1, "1.00")]


def test_an_error_raised_because_of_the_wish_to_stop_is_not_a_failure() -> None:
    stopping: list[bool] = []

    def gives_up() -> None:
        stopping.append(True)
        raise TableError("stopped in the middle")

    with Workers(1, lambda: bool(stopping)) as team, pytest.raises(RunStopped):
        list(team.each(gives_up, [()]))


def test_a_fault_of_the_program_is_not_swallowed() -> None:
    with Workers(1) as team, pytest.raises(ZeroDivisionError):
        list(team.each(lambda: 1 / 0, [()]))


def test_stopping_leaves_as_an_error_that_crosses_processes() -> None:
    import pickle

    again = pickle.loads(pickle.dumps(RunStopped()))
    assert isinstance(again, RunStopped)
    assert again.remedy == RunStopped().remedy
    assert isinstance(pickle.loads(pickle.dumps(CalibrationError("a", file="b", remedy="c"))), CalibrationError)
