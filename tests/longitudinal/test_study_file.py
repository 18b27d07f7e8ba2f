"""A study file is read strictly: the contract's example loads, and every fault is told at once with its line."""

import textwrap
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from assertions import assert_one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_mpi_track.errors import StudyFileError
from napari_mpi_track.imaging.point_spread import PsfShape
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.longitudinal.study_file import load_study

# The example of the contract, word for word but for its comments.
EXAMPLE = """\
schema: 1
name: MSC in the knee
timezone: Europe/Berlin               # for times without an offset; mixing both kinds is a fault
tracer: ProMag
calibration:                          # or the path of a saved curve: calibration: promag_msc.json
  table: calibration.csv
  kind: in-cells
  x: cells                            # column: cells | iron_ng
  signal: signal_total                # column
  cell_type: D1 MSC
  scan_mode: high sensitivity 3-D
signal_metric: total                  # total | maximum
organs: organs.csv                    # names
alignment: fiducials
psf: {shape: gaussian, fwhm_mm: [3.0, 3.0, 3.0]}   # plane, row, column
spill_over: true
reference: injected                   # injected | first | DAY
subjects:
  - id: m01
    group: labelled
    control: false                    # true: the cell-free arm
    weight_g: 24.1
    injection: {time: 2026-03-01T09:30:00, cells: 5.0e5, signal: 812.0, residue_signal: 3.1, iron_ug: 8.1}
    radiotracer: {isotope: 89Zr, activity_kBq: 10.0, residual_kBq: 0.1,
      assayed_at: 2026-03-01T08:00:00, activity_per_million_cells_kBq: 20.0}
    scores: {WOMAC: {0: 52, 42: 31}}
    timepoints:
      - day: 1                        # elapsed 24 h since injection, may be 0.17; or time: ISO 8601
        mpi: m01/day01_mpi.nii.gz
        anatomy: m01/day01_ct.nii.gz
        organs: m01/day01_organs.nii.gz
        pet: m01/day01_pet.nii.gz
        decay_corrected_to: scan
        fiducials: {mpi: m01/day01_mpi.csv, anatomy: m01/day01_ct.csv}   # else found in the images
        alignment: fiducials
      - day: -1
        baseline: true
        mpi: m01/pre_mpi.nii.gz
"""
FILES = (
    *("calibration.csv", "organs.csv", "curve.json", "pose.tfm", "m01/day01_mpi.nii.gz", "m01/day01_ct.nii.gz"),
    *("m01/day01_organs.nii.gz", "m01/day01_pet.nii.gz", "m01/day01_mpi.csv", "m01/day01_ct.csv", "m01/pre_mpi.nii.gz"),
)
SMALL = """\
schema: 1
subjects:
  - id: a
    timepoints:
      - day: 0
        signal: 5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("study")
    for name in FILES:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).touch()
    return place


@pytest.fixture
def load(folder):
    def load_text(text: str) -> Study:
        file = folder / "study.yaml"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return load_study(file)

    return load_text


@pytest.fixture
def faults(load):
    """The text of the one line a faulty study is refused with."""

    def refused(text: str) -> str:
        with pytest.raises(StudyFileError) as caught:
            load(text)
        assert_one_line(caught.value)
        assert "study.yaml" in str(caught.value)
        return caught.value.what

    return refused


def changed(old: str, new: str, text: str = EXAMPLE) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def line_of(part: str, text: str) -> int:
    lines = [number for number, line in enumerate(text.split("\n"), start=1) if part in line]
    assert len(lines) == 1, lines
    return lines[0]


def test_the_example_of_the_contract_loads(load, folder):
    study = load(EXAMPLE)
    assert (study.name, study.timezone, study.tracer) == ("MSC in the knee", "Europe/Berlin", "ProMag")
    assert (study.signal_metric, study.alignment, study.spill_over) == ("total", "fiducials", True)
    assert study.reference == "injected"
    assert study.organ_names == folder / "organs.csv"
    assert study.psf.shape is PsfShape.GAUSSIAN
    np.testing.assert_array_equal(study.psf.fwhm_mm, [3, 3, 3])
    assert study.calibration.table == folder / "calibration.csv"
    assert (study.calibration.kind, study.calibration.x, study.calibration.signal) == (
        *("in-cells", "cells", "signal_total"),
    )
    assert dict(study.calibration.stated) == {"cell_type": "D1 MSC", "scan_mode": "high sensitivity 3-D"}
    subject = study.subject("m01")
    assert (subject.group, subject.is_control, subject.weight_g) == ("labelled", False, 24.1)
    assert subject.injection.cells == 5e5
    assert (subject.injection.signal, subject.injection.residue_signal) == (812.0, 3.1)
    assert subject.radiotracer.isotope == "89Zr"
    assert subject.radiotracer.activity_per_million_cells_kBq == 20.0
    assert subject.scores == {"WOMAC": {0: 52, 42: 31}}
    # In order of day, the baseline first.
    assert [t.day for t in subject.timepoints] == [-1, 1] == list(study.days)
    assert subject.baseline.mpi.path == folder / "m01/pre_mpi.nii.gz"
    day = subject.timepoint(1)
    assert day.mpi.path == folder / "m01/day01_mpi.nii.gz"
    assert day.mpi_fiducials == folder / "m01/day01_mpi.csv"
    assert day.decay_corrected_to == "scan"
    assert subject.day_with_organs(-1) is day


def test_times_without_an_offset_are_of_the_studys_timezone(load):
    study = load(EXAMPLE)
    # Berlin is an hour ahead of UTC on 1 March.
    assert study.subjects[0].injection.time == datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    assert study.subjects[0].radiotracer.assayed_at == datetime(2026, 3, 1, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize("offset", ["+02:00", "Z", "+00:00", "-0330", " +05:30"])
def test_times_with_an_offset_keep_their_instant(load, offset):
    written = f"2026-03-01T09:30:00{offset}"
    study = load(SMALL.replace("    timepoints", f"    injection: {{time: {written}}}\n    timepoints"))
    expected = datetime.fromisoformat(written.replace(" ", ""))
    assert study.subjects[0].injection.time == expected
    assert study.subjects[0].injection.time.utcoffset() is not None


def test_a_day_across_the_clock_change_is_counted_in_elapsed_hours(load):
    # Clocks in Berlin went forward at 2 on 29 March 2026: from noon to noon are 23 hours.
    text = """\
        schema: 1
        timezone: Europe/Berlin
        subjects:
          - id: a
            injection: {time: 2026-03-28T12:00:00}
            timepoints:
              - {time: 2026-03-29T12:00:00, signal: 1}
        """
    subject = load(text).subjects[0]
    assert subject.timepoints[0].day == pytest.approx(23 / 24)
    assert (subject.timepoints[0].time - subject.injection.time).total_seconds() == 23 * 3600


def test_a_scan_may_say_what_its_file_does_not(load, folder):
    scan = "mpi: {path: m01/pre_mpi.nii.gz, series: 2, modality: MPI, unit: mg/mL, spacing_mm: [1, 0.5, 0.25]}"
    study = load(changed("mpi: m01/pre_mpi.nii.gz", scan))
    found = study.subjects[0].baseline.mpi
    assert (found.path, found.series, found.modality) == (folder / "m01/pre_mpi.nii.gz", 2, Modality.MPI)
    assert (found.unit, found.spacing_mm) == ("mg/mL", (1, 0.5, 0.25))


@pytest.mark.parametrize("alignment", ["frame", "fiducials", "intensity", "moments"])
def test_an_alignment_is_a_method_or_the_path_of_a_transform(load, folder, faults, alignment):
    assert load(changed("\nalignment: fiducials", f"\nalignment: {alignment}")).alignment == alignment
    assert load(changed("\nalignment: fiducials", "\nalignment: pose.tfm")).alignment == str(folder / "pose.tfm")
    assert "there is no file 'away.tfm'" in faults(changed("\nalignment: fiducials", "\nalignment: away.tfm"))
    assert "an alignment is frame" in faults(changed("\nalignment: fiducials", "\nalignment: by-eye"))


@pytest.mark.parametrize(
    ("psf", "shape", "fwhm_mm"),
    [
        ("psf: {shape: lorentzian, fwhm_mm: 2.5}", PsfShape.LORENTZIAN, [2.5] * 3),
        ("psf: {shape: gaussian, fwhm_mm: [1, 2, 3], fwhm_relative_sd: 0.05}", PsfShape.GAUSSIAN, [1, 2, 3]),
        (
            "psf: {shape: gaussian, fwhm_mm: [1, 2, 3], fwhm_relative_sd: [0.05, 0.04, 0.03]}",
            PsfShape.GAUSSIAN,
            [1, 2, 3],
        ),
        ("psf_fwhm_mm: 3.0", PsfShape.GAUSSIAN, [3.0] * 3),
    ],
)
def test_a_point_spread_is_a_shape_with_widths_or_one_width(load, psf, shape, fwhm_mm):
    study = load(SMALL + psf + "\npet_" + psf)
    for found in (study.psf, study.pet_psf):
        assert found.shape is shape
        np.testing.assert_array_equal(found.fwhm_mm, fwhm_mm)


def test_organs_are_measured_with_a_margin_or_as_one_where_the_study_says_so(load):
    study = load(SMALL + "organ_rules: {tumour: margin, liver: uniform}\nmerge: [[stomach, spleen], [lungs, heart]]")
    assert study.with_margin == ("tumour",)
    assert study.merge == (("stomach", "spleen"), ("lungs", "heart"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("organ_rules: {tumour: rim}", "organ_rules.tumour"),
        ("merge: [[liver]]", "merge"),
        ("merge: [[liver, spleen], [spleen, gut]]", "'spleen' is merged twice"),
        ("merge: [[liver, spleen]]\norgan_rules: {spleen: margin}", "give the margin to 'liver + spleen'"),
    ],
)
def test_rules_and_groups_at_fault_are_told(faults, text, words):
    assert words in faults(SMALL + text)


PSF_JSON = '{"schema": 1, "shape": "lorentzian", "fwhm_mm": [2, 3, 4], "fwhm_sd_mm": [0.1, 0.1, 0.1]}'


def test_a_measured_point_spread_may_stand_for_a_given_one(load, folder):
    (folder / "psf.json").write_text(PSF_JSON)
    study = load(SMALL + "psf: psf.json\npet_psf: {shape: gaussian, fwhm_mm: 1}")
    assert study.psf.shape is PsfShape.LORENTZIAN
    np.testing.assert_allclose(study.psf.fwhm_relative_sd, [0.05, 0.1 / 3, 0.025])
    assert study.psf_files == (folder / "psf.json",)
    assert study.pet_psf.shape is PsfShape.GAUSSIAN


@pytest.mark.parametrize(
    ("psf", "words"),
    [
        ("psf: none.json", "there is no file 'none.json'"),
        ("psf: calibration.csv", "the point spread cannot be read"),
        ("psf: {shape: gaussian, fwhm_mm: 3}\npsf_fwhm_mm: 3", "both given"),
        ("psf: {shape: gaussian, fwhm_mm: [3, 3]}", "fwhm_mm"),
        ("psf: {shape: gaussian, fwhm_mm: -1}", "0 mm or more"),
        ("psf: {shape: airy, fwhm_mm: 3}", "gaussian"),
        ("psf: {shape: gaussian}", "'fwhm_mm' is missing from psf"),
        ("psf_fwhm_mm: wide", "psf_fwhm_mm"),
    ],
)
def test_a_point_spread_at_fault_is_told(faults, psf, words):
    text = faults(SMALL + psf)
    assert words in text
    assert text.count("line 7") == 1
    assert "faults" not in text


def test_a_saved_curve_may_stand_for_the_calibration(load, folder):
    assert load(SMALL + "calibration: curve.json").calibration.curve == folder / "curve.json"


@pytest.mark.parametrize("reference", ["injected", "first", "0", "0.0"])
def test_the_reference_is_injected_first_or_a_day(load, reference):
    expected = reference if reference.isalpha() else "0"
    assert load(SMALL + f"reference: {reference}").reference == expected


@pytest.mark.parametrize(("reference", "words"), [("7", "no subject has a timepoint"), ("last", "is injected, first")])
def test_a_reference_nobody_was_scanned_on_is_told(faults, reference, words):
    text = faults(SMALL + f"reference: {reference}")
    assert text.startswith("line 7: ")
    assert words in text


def test_an_unknown_key_is_told_with_its_line_and_the_key_that_was_meant(faults):
    for old, new, meant in (
        ("    weight_g: 24.1", "    wieght_g: 24.1", "weight_g"),
        ("        anatomy: m01/day01_ct.nii.gz", "        anatomie: m01/day01_ct.nii.gz", "anatomy"),
        ("spill_over: true", "spillover: true", "spill_over"),
    ):
        text = changed(old, new)
        key = new.strip().split(":")[0]
        assert faults(text) == f"line {line_of(key, text)}: unknown key '{key}' (is '{meant}' meant?)"
    inside = changed("mpi: m01/pre_mpi.nii.gz", "mpi: {path: m01/pre_mpi.nii.gz, seris: 2}")
    assert faults(inside) == f"line {line_of('seris', inside)}: unknown key 'seris' (is 'series' meant?)"


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("curve.json", "pose.tfm")])
def test_a_missing_file_is_told_with_its_line(faults, name):
    text = changed(f" {name}", f" gone/{name}", EXAMPLE) if EXAMPLE.count(f" {name}") == 1 else EXAMPLE
    if text == EXAMPLE:
        pytest.fail(f"{name} is not once in the example")
    assert faults(text) == f"line {line_of('gone/', text)}: there is no file 'gone/{name}'"


def test_a_doubled_subject_a_doubled_day_and_a_doubled_key_are_told(faults):
    subject = SMALL + SMALL.split("subjects:\n")[1]
    assert faults(subject) == "line 7: subject 'a' is there twice"
    day = SMALL + "      - day: 0.0\n        signal: 6\n"
    assert faults(day) == "line 7: day '0' is there twice"
    key = SMALL + "        signal: 6\n"
    assert faults(key).startswith("line 7: found duplicate key")


def test_a_time_before_injection_is_a_fault_unless_it_is_the_baseline(load, faults):
    assert "line 5: day -2 is before injection" in faults(changed("day: 0", "day: -2", SMALL))
    assert load(changed("day: 0", "{baseline: true, day: -2, signal: 5}", SMALL).replace("        signal: 5\n", ""))
    timed = """\
        schema: 1
        subjects:
          - id: a
            injection: {time: 2026-03-02T12:00:00}
            timepoints:
              - {time: 2026-03-01T12:00:00, signal: 1}
        """
    assert "day -1 is before injection" in faults(timed)
    assert load(timed.replace("signal: 1", "signal: 1, baseline: true")).subjects[0].baseline.day == -1


def test_two_baselines_and_a_day_with_nothing_to_measure_are_told(faults):
    two = SMALL + "      - {day: -1, baseline: true, signal: 1}\n      - {day: -2, baseline: true, signal: 1}\n"
    assert "more than one baseline" in faults(two)
    assert faults(changed("        signal: 5\n", "", SMALL)) == (
        "line 5: day 0 holds nothing to measure: give mpi, signal, pet, spect, fluorine, bli, ex_vivo or dynamic"
    )
    both = changed("mpi: m01/pre_mpi.nii.gz", "mpi: m01/pre_mpi.nii.gz\n        signal: 3")
    assert "day -1 has both an mpi scan and a signal" in faults(both)


@pytest.mark.parametrize("quote", ["", '"'])
def test_times_with_and_without_an_offset_are_not_mixed(faults, quote):
    assayed = "assayed_at: 2026-03-01T08:00:00"
    text = changed(assayed, f"assayed_at: {quote}2026-03-01T08:00:00+01:00{quote}")
    assert "some times have an offset from UTC and some have none" in faults(text)
    assert faults(text).startswith(f"line {line_of('assayed_at', text)}: ")


def test_a_timepoint_needs_a_day_or_a_time_and_both_must_agree(faults):
    assert "a timepoint needs a day or a time" in faults(changed("day: 0", "alignment: frame", SMALL))
    alone = changed("day: 0", "time: 2026-03-01T12:00:00", SMALL)
    assert "needs the time of injection too" in faults(alone)
    timed = EXAMPLE.replace("      - day: 1 ", "      - time: 2026-03-09T09:30:00\n        day: 1 ")
    assert "day 1 and its time (8.00 days after injection) disagree" in faults(timed)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe", '""', "../../etc/passwd", "x" * 500, '"a\\0b"'])
def test_an_unknown_timezone_is_told(faults, zone):
    assert "line 7: unknown timezone" in faults(SMALL + f"timezone: {zone}")


def test_an_activity_that_is_not_cells_times_specific_activity_is_told(faults):
    text = changed("activity_kBq: 10.0", "activity_kBq: 10000.0")
    assert f"line {line_of('activity_kBq: 10000', text)}: activity_kBq 10000 is not cells" in faults(text)


def test_a_time_is_a_date_and_no_bare_number(faults):
    for value in ("9", "20260301", "0.5", "true"):
        assert "time" in faults(changed("{time: 2026-03-01T09:30:00,", f"{{time: {value},"))


@pytest.mark.parametrize("spacing", ["[0, 1, 1]", "[1, -1, 1]", "[1, 1]", "[1, 1, .inf]"])
def test_a_spacing_is_three_lengths(faults, spacing):
    text = changed("mpi: m01/pre_mpi.nii.gz", f"mpi: {{path: m01/pre_mpi.nii.gz, spacing_mm: {spacing}}}")
    assert faults(text).startswith(f"line {line_of('spacing_mm', text)}: ")


def test_a_value_of_the_wrong_kind_is_one_fault(faults):
    for old, new in (
        ("schema: 1\n", "schema: 2\n"),
        ("weight_g: 24.1", "weight_g: heavy"),
        ("control: false", "control: maybe"),
        ("signal_metric: total", "signal_metric: mean"),
        ("mpi: m01/pre_mpi.nii.gz", "mpi: 5"),
        ("kind: in-cells", "kind: in-vivo"),
        ("isotope: 89Zr", "isotope: [1]"),
        ("id: m01", "id: []"),
        ("decay_corrected_to: scan", "decay_corrected_to: noon"),
        ("reference: injected", "reference: [1]"),
    ):
        text = changed(old, new)
        told = faults(text)
        assert told.startswith(f"line {line_of(new.strip(), text)}: "), told
        assert "faults" not in told


def test_a_key_that_is_missing_is_told_beside_the_other_faults(faults):
    text = EXAMPLE.replace("  kind: in-cells\n", "").replace("weight_g", "wait_g").replace("organs.csv", "gone.csv")
    told = faults(text)
    assert told.startswith("3 faults: ")
    assert "'kind' is missing from calibration" in told
    assert "unknown key 'wait_g'" in told
    assert "there is no file 'gone.csv'" in told


def test_all_faults_are_told_at_once_in_order_of_their_lines(faults):
    text = EXAMPLE
    for old, new in (
        ("timezone: Europe/Berlin", "timezone: Europe/Atlantis"),
        ("tracer: ProMag", "tarcer: ProMag"),
        ("table: calibration.csv", "table: gone.csv"),
        ("weight_g: 24.1", "weight_g: heavy"),
        ("m01/day01_pet.nii.gz", "m01/gone_pet.nii.gz"),
        ("- day: -1", "- day: 1"),
    ):
        text = changed(old, new, text)
    told = faults(text)
    assert told.startswith("6 faults: ")
    lines = [int(part.split(":")[0]) for part in told.split("line ")[1:]]
    assert lines == sorted(lines)
    assert lines == [
        line_of(part, text)
        for part in ("Atlantis", "tarcer", "table: gone.csv", "weight_g: heavy", "gone_pet", "baseline: true")
    ][:5] + [line_of("baseline: true", text) - 1]


BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BOMB.encode(), "aliases"),
        (b"a: &a [*a]\n", "aliases"),
        (b"a: &a {b: *a}\n", "aliases"),
        (b"base: &base {x: 1}\nother: {<<: *base}\n", "aliases"),
        (b"", "keys and values"),
        (b"\n# only a comment\n", "keys and values"),
        (b"- 1\n- 2\n", "keys and values"),
        (b"just words", "keys and values"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\xff\xfe", "UTF-8"),
        (b"\x00\x01\x02", ""),
        ("schema: 1\n".encode("utf-16"), "UTF-8"),
        (b"schema: 1\nsubjects: [", "line "),
        (b"schema: 1\n\tsubjects: 3", "line 2"),
        (b"schema: 1\n---\nschema: 1\n", ""),
        (b"[" * 5000, ""),
        (b"a: " * 1, ""),
        (b"x: " + b"9" * 5000, ""),
        (b"time: 2026-13-45T99:00:00\n", ""),
        (b"time: 0001-01-01T00:00:00+10:00\n", ""),
        (b"? [1, 2]\n: 3\n", ""),
        (b"? |\n  two\n  lines\n: 3\n", ""),
        (b'"\\u2028\\x85": 3\n', ""),
        (b"!!python/object:os.system {}\n", ""),
        (b"x: !!int abc\n", ""),
        (b"x: !!binary '***'\n", ""),
        (b"%YAML 9.9\n---\nschema: 1\n", ""),
        (b"a" * 2_100_000, "2 MB"),
    ],
    ids=lambda value: repr(value[:16]) if isinstance(value, bytes) else None,
)
def test_a_file_that_is_no_study_is_refused_in_one_line(tmp_path, content, words):
    file = tmp_path / "study.yaml"
    file.write_bytes(content)
    with pytest.raises(StudyFileError) as caught:
        load_study(file)
    assert_one_line(caught.value)
    assert words in str(caught.value)


def test_a_star_in_words_is_no_alias(load):
    study = load(SMALL + "name: 'dose: *high*'   # see: *note*\ntracer: 5 * 4\n")
    assert study.name == "dose: *high*"


def test_a_byte_order_mark_is_no_fault(folder):
    file = folder / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load_study(file).subjects[0].id == "a"


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path):
    for place in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(StudyFileError, match="cannot be read") as caught:
            load_study(place)
        assert_one_line(caught.value)


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, '"a\\nb"', '"a\\0b"', '""', '"\\ud800"'])
def test_a_path_that_cannot_be_is_a_missing_file(faults, name):
    assert "there is no file" in faults(SMALL + f"organs: {name}\n")


def test_the_earliest_and_latest_times_do_not_break_the_reading(faults):
    for year in ("0001-01-01T00:00:00", "9999-12-31T23:59:59"):
        for zone in ("Asia/Tokyo", "America/New_York"):
            text = changed("2026-03-01T09:30:00", year).replace("Europe/Berlin", zone)
            try:
                faults(text)
            except pytest.fail.Exception:
                # It is far away, but it is a time.
                assert year


KEYS = st.sampled_from(
    [
        "schema",
        "name",
        "timezone",
        "calibration",
        "table",
        "kind",
        "x",
        "signal",
        "organs",
        "alignment",
        "psf",
        "shape",
        "fwhm_mm",
        "spill_over",
        "reference",
        "subjects",
        "id",
        "group",
        "injection",
        "time",
        "cells",
        "radiotracer",
        "isotope",
        "activity_kBq",
        "scores",
        "timepoints",
        "day",
        "mpi",
        "path",
        "series",
        "spacing_mm",
        "baseline",
        "pet",
        "fiducials",
        "unknown",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["2026-03-01T09:30:00", "gaussian", "calibration.csv", "first", "~", "*a", "&a 1", "!!set {1}", "2026-02-30"]
    ),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)


def flow(node) -> str:
    """A tree as YAML in flow style; scalars bare, so that some are not what they were."""
    if isinstance(node, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(value)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(flow(value) for value in node) + "]"
    return str(node)


def refuses_or_reads(folder: Path, text: str) -> None:
    file = folder / "fuzz.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_study(file)
    except StudyFileError as error:
        assert_one_line(error)


fuzz = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.text(alphabet=st.sampled_from("abc: -\n{}[]&*!|>%@`'\"#?,01.\t~<=\\\x85\u2028é"), max_size=60))
@fuzz
def test_random_marks_raise_nothing_but_a_study_file_error(folder, text):
    refuses_or_reads(folder, text)


@given(st.dictionaries(KEYS, TREES, max_size=6))
@fuzz
def test_random_trees_of_known_keys_raise_nothing_but_a_study_file_error(folder, tree):
    refuses_or_reads(folder, "\n".join(f"{key}: {flow(value)}" for key, value in tree.items()))


@given(st.data())
@fuzz
def test_the_example_with_a_value_exchanged_raises_nothing_but_a_study_file_error(folder, data):
    lines = EXAMPLE.split("\n")
    at = data.draw(st.integers(0, len(lines) - 2))
    key = lines[at].split(":")[0]
    lines[at] = f"{key}: {flow(data.draw(TREES))}"
    refuses_or_reads(folder, "\n".join(lines))


def test_a_timepoint_without_a_day_hides_no_fault_of_the_others(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(
        "schema: 1\nsubjects:\n  - id: a1\n    timepoints:\n      - day: 0\n        mpi: missing.nii.gz\n"
        "      - {day: 1, signal: 2}\n      - {day: 1, signal: 3}\n      - baseline: false\n",
        encoding="utf-8",
    )
    with pytest.raises(StudyFileError) as told:
        load_study(study)
    for fault in ("line 6: there is no file", "day '1' is there twice", "line 9"):
        assert fault in str(told.value)
