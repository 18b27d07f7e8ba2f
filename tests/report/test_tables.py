"""Tables as CSV and as text."""

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import example_calibration, example_measurements

from napari_mpi_track.errors import OutputExistsError
from napari_mpi_track.longitudinal.measurement import (
    AgreementRow,
    AlignmentRow,
    BudgetRow,
    DecayRow,
    Measurement,
    RetentionRow,
)
from napari_mpi_track.report.tables import (
    FLAG_WORDS,
    cells_in_words,
    columns,
    organ_table,
    table_json,
    table_text,
    three_digits,
    uncorrected_in_words,
    write_table,
)

# CONTRACT.md, "What `run` writes", word for word.
CONTRACT = {
    Measurement: "subject group day modality organ organ_volume_mm3 signal_total signal_total_sd "
    "signal_total_corrected signal_mean signal_max background_mean noise_sd spill_in_fraction alignment_error_mm cells "
    "cells_low cells_high iron_ng iron_ng_low iron_ng_high activity_kBq percent_id percent_id_per_g suv_mean flag",
    RetentionRow: "subject group day modality organ reference retention_percent retention_low retention_high flag",
    DecayRow: "subject group modality organ model parameters rate_per_day half_life_days half_life_low_days "
    "half_life_high_days plateau_percent aicc r_squared points censored_points flag",
    BudgetRow: "subject day modality organ term sd shared",
    AlignmentRow: "subject day moving fixed method model verdict reason fiducial_rms_mm expected_target_error_mm "
    "metric transform",
    AgreementRow: "organ measure value low high animals pairs",
}
CONTRACT_FLAGS = (
    "below_detection above_calibration no_calibration calibration_overridden saturated doubtful_alignment "
    "outside_field_of_view spill_over_dominated not_uniform psf_mismatch no_baseline no_finite_interval free_89Zr "
    "rising too_few_points interpolated small_n physiological_uptake margin_refused inseparable"
)


# What was added to it since (CHANGELOG.md) stands behind.
ADDED = {
    Measurement: "background_sd background_local signal_total_local centre_x_mm centre_y_mm centre_z_mm "
    "extent_plane_mm extent_row_mm extent_column_mm noise_degrees_of_freedom",
    DecayRow: "reason",
}


@pytest.mark.parametrize("kind", CONTRACT)
def test_the_columns_are_those_of_the_contract(kind: type) -> None:
    assert columns(kind) == (*CONTRACT[kind].split(), *ADDED.get(kind, "").split())


def test_every_flag_of_the_contract_is_explained_in_words() -> None:
    assert sorted(FLAG_WORDS) == sorted(CONTRACT_FLAGS.split())


def test_the_rows_as_json_are_those_of_the_csv() -> None:
    rows = example_measurements()
    read = json.loads(table_json(rows, Measurement))
    cells = list(csv.DictReader(StringIO(table_text(rows, Measurement))))
    assert [tuple(row) for row in read] == [tuple(row) for row in cells]
    for ours, theirs in zip(read, cells, strict=True):
        for name, value in ours.items():
            if value is None:
                assert theirs[name] == ""
            else:
                assert value == (theirs[name] if isinstance(value, str) else float(theirs[name]))
    assert table_json([], Measurement) == "[]\n"


def test_parameters_of_a_decay_are_an_object_in_json() -> None:
    row = DecayRow(
        "{m01", "", "MPI", "liver", "exponential", '{"amplitude": 42.0}', 0.1, 3.0, None, float("inf"), None, None,
        None, 4, 0,
    )  # fmt: skip
    [read] = json.loads(table_json([row], DecayRow))
    assert read["parameters"] == {"amplitude": 42.0}
    assert (read["subject"], read["half_life_high_days"], read["points"]) == ("{m01", None, 4)


def test_what_is_missing_is_an_empty_cell_and_never_a_zero() -> None:
    header, line = table_text([Measurement("m01", "", 1.0, "MPI", "liver")], Measurement).splitlines()
    assert line == "m01,,1,MPI,liver" + "," * (len(header.split(",")) - 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_an_empty_cell(value: float) -> None:
    row = next(
        csv.DictReader(StringIO(table_text([BudgetRow("m01", 0.0, "MPI", "liver", "noise", value, True)], BudgetRow)))
    )
    assert row["sd"] == ""
    assert row["shared"] == "true"


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, max_examples=200)
def test_numbers_keep_nine_significant_digits(value: float) -> None:
    row = next(
        csv.DictReader(StringIO(table_text([BudgetRow("m", 0.0, "MPI", "o", "noise", value, False)], BudgetRow)))
    )
    # Half a unit of the ninth digit, of a number whose first digit is 1.
    assert float(row["sd"]) == pytest.approx(value, rel=5.0000001e-9, abs=0)
    assert not row["sd"].startswith("-0") or float(row["sd"]) != 0


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=30))
@settings(deadline=None, max_examples=100)
def test_any_name_survives_the_table(name: str) -> None:
    rows = list(
        csv.DictReader(StringIO(table_text([BudgetRow(name, 0.0, "MPI", "o", "noise", 1.0, False)], BudgetRow)))
    )
    assert [row["subject"] for row in rows] == [name]


def test_a_table_ends_its_lines_alike_on_every_system(tmp_path: Path) -> None:
    write_table(example_measurements(), Measurement, tmp_path / "measurements.csv")
    content = (tmp_path / "measurements.csv").read_bytes()
    assert b"\r" not in content
    assert content.count(b"\n") == 4
    assert b"below_detection;spill_over_dominated" in content


def test_a_table_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "measurements.csv"
    path.write_text("mine")
    with pytest.raises(OutputExistsError):
        write_table([], Measurement, path)
    assert path.read_text() == "mine"
    write_table([], Measurement, path, overwrite=True)
    assert path.read_text().startswith("subject,")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (209512.3, "210,000"),
        (3123.4, "3,120"),
        (999.6, "1,000"),
        (12.345, "12.3"),
        (0.012345, "0.0123"),
        (-4321.0, "-4,320"),
        (1.234e-5, "1.23e-05"),
        (99.96, "100"),
    ],
)
def test_a_person_reads_three_digits(value: float, words: str) -> None:
    assert three_digits(value) == words


def test_below_detection_reads_as_words_with_the_bound() -> None:
    liver, bone, _ = example_measurements()
    assert cells_in_words(bone) == "not detected (< 3,120 cells)"
    assert cells_in_words(liver) == "176,000 (168,000 to 184,000)"
    assert cells_in_words(replace(liver, cells_low=None, cells_high=None)) == "176,000 (no finite interval)"


def test_iron_reads_as_iron() -> None:
    row = Measurement("m", "", 0, "MPI", "o", iron_ng=12.0, iron_ng_low=11.0, iron_ng_high=13.0)
    assert cells_in_words(row) == "12.0 ng iron (11.0 to 13.0)"
    hidden = replace(row, iron_ng=None, iron_ng_low=0.0, iron_ng_high=4.0, flag="below_detection")
    assert cells_in_words(hidden) == "not detected (< 4.00 ng iron)"


def test_the_uncorrected_cells_are_those_of_the_uncorrected_signal() -> None:
    calibration = example_calibration()
    liver, bone, total = example_measurements(day=0.0)
    expected = (liver.signal_total - calibration.intercept) / calibration.slope  # type: ignore[operator]
    assert uncorrected_in_words(liver, calibration) == three_digits(expected)
    # What spilled into an empty bone would have been counted as cells.
    assert uncorrected_in_words(bone, calibration) not in ("", "not detected")
    assert uncorrected_in_words(total, calibration) == ""


def test_the_table_for_a_terminal_shows_every_organ_with_both_cells() -> None:
    text = organ_table(example_measurements("m01", 0.0) + example_measurements("m02", 0.0), example_calibration())
    assert "uncorrected cells" in text
    assert "not detected (< 3,120 cells)" in text
    assert "below detection, spill over dominated" in text
    lines = text.splitlines()
    assert max(map(len, lines)) < 160
    assert [line.split()[0] for line in lines if "liver" in line] == ["m01", "m02"]


def test_a_table_of_nothing_is_its_head() -> None:
    assert organ_table([]).splitlines()[0].startswith("subject")
