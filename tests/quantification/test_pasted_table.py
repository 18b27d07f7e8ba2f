"""Tables as spreadsheets of several countries give them, read to the same numbers."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mpi_track.errors import TableError
from napari_mpi_track.quantification.decimal_marks import to_number
from napari_mpi_track.quantification.pasted_table import parse_table, read_table_file

NUMBERS = st.lists(st.tuples(st.integers(0, 10**9), st.floats(-1e9, 1e9).map(lambda v: round(v, 2))), min_size=1)


@settings(deadline=None, max_examples=60)
@given(NUMBERS)
def test_decimal_comma_and_decimal_point_give_the_same_numbers(samples: list[tuple[int, float]]) -> None:
    english = "x,signal\n" + "".join(f'"{x:,}","{y:,.2f}"\n' for x, y in samples)
    swapped = str.maketrans(",.", ".,")
    german = "x\tsignal\r\n" + "".join(f"{x:,}\t{y:,.2f}\r\n".translate(swapped) for x, y in samples)
    french = "x;signal\n" + "".join(f"{x:,};{y:.2f}\n".replace(",", "\u202f").replace(".", ",") for x, y in samples)
    for text in (english, german, french):
        table = parse_table(text)
        assert table.header == ("x", "signal")
        assert not table.is_mark_guessed
        assert [tuple(map(float, row)) for row in table.numbers()] == [(float(x), y) for x, y in samples]


def test_a_lone_comma_is_a_border_or_a_mark_as_the_caller_knows() -> None:
    assert parse_table("12,5\n13,7").rows == (("12", "5"), ("13", "7"))
    assert parse_table("12,5\n13,7", is_one_column=True).numbers() == (("12.5",), ("13.7",))


def test_a_mark_that_cannot_be_told_is_said_to_be_guessed() -> None:
    assert parse_table("1,000\t2\n").is_mark_guessed
    assert not parse_table("1,000\t2.5\n").is_mark_guessed
    assert not parse_table("0,125\t2\n").is_mark_guessed


@pytest.mark.parametrize(
    ("text", "value"),
    [("1 000,5", 1000.5), ("1'000", 1000.0), ("-3,2e4", -3.2e4), (".5", 0.5), ("5 %", None), ("nan", None), ("", None)],
)
def test_one_cell_is_read_as_a_person_means_it(text: str, value: float | None) -> None:
    assert to_number(text) == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_usual_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("Fe µg;Signal\n1;2,5\n".encode(encoding))
    table = read_table_file(path)
    assert table.header == ("Fe µg", "Signal")
    assert table.numbers() == (("1", "2.5"),)


def test_what_is_no_table_says_so_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "curve.xlsx"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(TableError, match="spreadsheet's own format"):
        read_table_file(path)
    with pytest.raises(TableError, match="cannot be read"):
        read_table_file(tmp_path / "absent.csv")
    for text in ("", "names\tonly\n", '"open\t1\n'):
        with pytest.raises(TableError):
            parse_table(text)


def test_a_typographic_minus_is_a_minus():
    assert to_number("\u22121,5") == -1.5
    assert parse_table("cells\tsignal\n0\t\u22121.5\n").numbers() == (("0", "-1.5"),)
