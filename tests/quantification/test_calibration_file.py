"""Tables of samples and saved calibrations, good and broken."""

import json
import pickle

import numpy as np
import pytest

from napari_mpi_track.errors import CalibrationError, OutputExistsError, TableError
from napari_mpi_track.quantification.calibration import (
    calibration_to_json,
    fit_calibration,
    load_calibration,
    read_calibration_table,
    save_calibration,
)
from napari_mpi_track.quantification.pasted_table import read_table_file

CONTRACT_KEYS = {
    "schema", "kind", "tracer", "batch", "cell_type", "metric", "total_rule", "dimensions", "scan_mode",
    "reconstruction", "x_quantity", "weights", "variance_model", "intercept", "slope", "covariance", "residual_sd",
    "degrees_of_freedom", "r_squared", "n", "x_range", "decision_limit", "detection_limit", "lod_3_3_sd", "loq_10_sd",
    "points", "provenance",
}  # fmt: skip
OF_THE_CELLS = {
    "field_of_view": "60 x 60 x 100 mm", "iron_per_cell_pg": 16.2, "labelling_efficiency_percent": 95.0,
    "viability_percent": 98.5, "date": "2026-02-11",
}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "samples.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


@pytest.fixture
def calibration():
    x = np.repeat([0.0, 1e4, 5e4, 1e5], 3)
    return fit_calibration(x, 2 + 1e-3 * x + np.sin(x + np.arange(12)), kind="in-cells", tracer="ProMag", dimensions=3)


def test_a_table_with_blanks_further_columns_and_a_byte_order_mark_is_read(table):
    path = table("sample, cells ,signal_total\nA,0,1.5\n\nB,1e4,12.25\nC,20000,23\n", "utf-8-sig")
    x, signal = read_calibration_table(path, "cells", "signal_total")
    np.testing.assert_array_equal(x, [0, 1e4, 2e4])
    np.testing.assert_array_equal(signal, [1.5, 12.25, 23])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cells,signal\n0,1\n1e4,twelve\n", "row 3, column 'signal' must be a number, got 'twelve'"),
        ("cells,signal\n0,1\n\n1e4,\n", "row 4, column 'signal' must be a number, got an empty cell"),
        ("cells,signal\n0,1\n1e4\n", "row 3, column 'signal' must be a number, got an empty cell"),
        ("cells,signal\n0,1\ninf,2\n", "row 3, column 'cells' must be a finite number, got 'inf'"),
        ("cells,total,max\n0,1,2\n", "no column 'signal', it has cells, total, max"),
        ("cells;signal\n0;1,000\n2,000;3\n", "row 2, column 'signal' holds '1,000', which may be 1000 or 1"),
        ("cells\tsignal\n5\t1.000\n", "row 2, column 'signal' holds '1.000', which may be 1 or 1000"),
        ("cells,signal,signal\n0,1,2\n", "2 columns 'signal'"),
        ("cells,signal\n", "a header and no samples"),
        ("", "the table is empty"),
    ],
)
def test_a_faulty_table_is_refused_with_row_column_and_file(table, text, words):
    with pytest.raises(TableError) as raised:
        read_calibration_table(table(text), "cells", "signal")
    assert words in str(raised.value)
    assert "samples.csv" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "cells;signal;flag\n0;1,5;\n\n1.000;2,25;a,b\n20000;1.023,5;\n",
        "cells\tsignal\tdate\n0\t1,5\t12.05.2026\n1000\t2,25\t\n20 000\t1.023,5\t\n",
        "cells,signal,flag\n0,1.5,far;faint\n\n1000,2.250,far;faint\n20000,1023.5,\n",
        'cells,signal\n0,1.5\n"1,000",2.25\n2e4,"1,023.5"\n',
    ],
)
def test_a_table_of_any_country_is_read_to_the_same_numbers_as_in_the_panel(table, text):
    path = table(text)
    x, signal = read_calibration_table(path, "cells", "signal")
    np.testing.assert_array_equal(x, [0, 1e3, 2e4])
    np.testing.assert_array_equal(signal, [1.5, 2.25, 1023.5])
    rows = read_table_file(path).numbers()
    np.testing.assert_array_equal([[float(cell) for cell in row[:2]] for row in rows], np.stack([x, signal], axis=1))


def test_numbers_of_three_decimals_between_commas_are_not_doubted(table):
    _, signal = read_calibration_table(table("cells,signal\n0,1.000\n5,2.125\n"), "cells", "signal")
    assert signal.tolist() == [1.0, 2.125]


def test_iron_in_another_unit_is_not_taken_for_ng(table):
    with pytest.raises(TableError, match="in ng, but the column is called 'iron_ug'"):
        read_calibration_table(table("iron_ug,signal\n0,1\n"), "iron_ug", "signal")


@pytest.mark.parametrize("column", ["iron [ug]", "Fe (µg)", "iron_pg", "cells (x10^3)", "million cells", "kcells"])
def test_a_header_with_another_unit_is_asked_to_be_multiplied_out(table, column):
    with pytest.raises(TableError, match="but the column is called"):
        read_calibration_table(table(f"{column},signal\n0,1\n"), column, "signal")


@pytest.mark.parametrize("column", ["cells", "iron_ng", "Fe [ng]", "cells per tube", "MSC cells 2026", "iron, ng"])
def test_a_header_with_the_usual_unit_is_taken(table, column):
    x, _ = read_calibration_table(table(f'"{column}",signal\n0,1\n'), column, "signal")
    assert x.tolist() == [0.0]


def test_a_missing_table_and_a_table_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        read_calibration_table(tmp_path / "none.csv", "cells", "signal")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(TableError, match="is not text"):
        read_calibration_table(tmp_path / "binary.csv", "cells", "signal")


def test_a_saved_calibration_comes_back_the_same_and_holds_what_the_contract_says(tmp_path, calibration):
    path = tmp_path / "C.json"
    save_calibration(calibration, path)
    written = json.loads(path.read_text())
    assert set(written) >= CONTRACT_KEYS
    assert (written["schema"], written["batch"], written["tracer"]) == (1, None, "ProMag")
    loaded = load_calibration(path)
    assert calibration_to_json(loaded) == calibration_to_json(calibration)
    assert loaded.decision_signal(3) == calibration.decision_signal(3)


def test_what_is_known_of_cells_and_scanner_is_kept_and_unknown_is_null(tmp_path, calibration):
    known = fit_calibration(calibration.x, calibration.signal, kind="in-cells", **OF_THE_CELLS)
    for curve, expected in ((known, OF_THE_CELLS), (calibration, dict.fromkeys(OF_THE_CELLS))):
        path = tmp_path / "C.json"
        save_calibration(curve, path, overwrite=True)
        written = json.loads(path.read_text())
        assert {name: written[name] for name in OF_THE_CELLS} == expected
        assert {name: getattr(load_calibration(path), name) for name in OF_THE_CELLS} == expected


def test_a_calibration_written_before_these_were_kept_still_loads(tmp_path, calibration):
    path = tmp_path / "C.json"
    save_calibration(calibration, path)
    old = {name: value for name, value in json.loads(path.read_text()).items() if name not in OF_THE_CELLS}
    path.write_text(json.dumps(old))
    assert calibration_to_json(load_calibration(path)) == calibration_to_json(calibration)


def test_a_calibration_survives_pickling_and_stays_read_only(calibration):
    copy = pickle.loads(pickle.dumps(calibration))
    assert calibration_to_json(copy) == calibration_to_json(calibration)
    assert not copy.x.flags.writeable


def test_a_calibration_is_not_overwritten_unasked(tmp_path, calibration):
    path = tmp_path / "C.json"
    save_calibration(calibration, path)
    with pytest.raises(OutputExistsError):
        save_calibration(calibration, path)
    save_calibration(calibration, path, overwrite=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "not JSON"),
        ("[]", "got 'list'"),
        ('{"schema": 7}', "schema 1 was needed, got 7"),
        ('{"schema": 1, "kind": "in-cells"}', "lacks a value"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path, text, words):
    path = tmp_path / "C.json"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=words) as raised:
        load_calibration(path)
    assert "C.json" in str(raised.value)


def test_a_missing_calibration_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_calibration(tmp_path / "C.json")
