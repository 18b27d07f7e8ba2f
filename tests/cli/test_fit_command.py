"""mpi-track fit: odd tables are refused by row, and what has no half-life says why."""

import pytest

from napari_mpi_track.cli import main


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    captured = capsys.readouterr()
    return end.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("day,v\n2026-03-02,9\n", [], "row 2, column 'day': a number was needed, got '2026-03-02'"),
        ("day,v\n0,9\n1,<5\n", [], "row 3, column 'v': a number was needed, got '<5'"),
        ("day,v,v\n0,9,8\n", [], "the column 'v' is there twice"),
        ("day,v\n0,9\n1\n", [], "row 3 does not have the 2 cells of the header"),
        ("day,v,sd\n0,9,1\n1,5,0\n", ["--error", "sd"], "row 3, column 'sd': an error must be above 0, got 0"),
        ("day,v,o\n0,1e300,a\n1,1e299,a\n2,1e299,a\n", ["--by", "o"], "a: a value of 1e+300 is beyond"),
    ],
)
def test_a_table_of_curves_that_means_nothing_is_refused_by_row(text, more, words, tmp_path, capsys):
    table, out = tmp_path / "curves.csv", tmp_path / "fits.csv"
    table.write_text(text)
    status, _, told = run(capsys, "fit", str(table), "--time", "day", "--value", "v", "--out", str(out), *more)
    assert (status, out.exists()) == (2, False)
    assert words in told
    assert "curves.csv" in told


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([10, 30, 60, 80, 90, 92], "6 points: the signal rises: an uptake, without a half-life"),
        ([100, 80, 72, 68, 66.5, 66], "6 points: the plateau is above one half of the first day"),
        ([0, 0, 0, 0, 0, 0], "6 points: there is no signal above zero that could leave"),
        ([100], "1 point: exponential decay with unknown errors needs 5 points"),
    ],
)
def test_fit_says_in_words_why_there_is_no_half_life(values, words, tmp_path, capsys):
    table, out = tmp_path / "curves.csv", tmp_path / "fits.csv"
    # Any order will do, and a day without a value is none.
    rows = [f"{day},{value}" for day, value in zip([0, 1, 2, 3, 7, 14], values, strict=False)][::-1]
    table.write_text("\n".join(["day,v", *rows, "2,"]) + "\n")
    status, told, _ = run(capsys, "fit", str(table), "--time", "day", "--value", "v", "--out", str(out))
    assert status == 0
    assert f"all rows: no half-life, {words}" in told
    assert words.partition(": ")[2] in out.read_text()
