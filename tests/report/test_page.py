"""The report: complete, closed in itself, honest about what is missing."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_examples import example_calibration, example_measurements, example_study

from napari_mpi_track.longitudinal.measurement import (
    AgreementRow,
    AlignmentRow,
    ArmRow,
    BudgetRow,
    DecayRow,
    DivisionRow,
    RetentionRow,
    ScoreRow,
)
from napari_mpi_track.longitudinal.study import FreeLabel, Radiotracer, ScanFile, Study
from napari_mpi_track.report.methods_text import NOT_VIABILITY, methods_paragraph
from napari_mpi_track.report.page import report_page
from napari_mpi_track.report.provenance import InputHashes, provenance_of
from napari_mpi_track.report.results import Failure, StudyResults
from napari_mpi_track.report.units import SignalUnits

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Checked(HTMLParser):
    """Reads a page as a browser without a network would: tags closed, nothing fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if told.get("id"):
            self.anchors.add(str(told["id"]))
        if tag == "a":
            self.links.append(str(told.get("href")))
        self.fetched += [str(told[name]) for name in ("src", "srcset") if told.get(name)]
        assert tag not in ("script", "link", "iframe")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def example_results() -> StudyResults:
    measured = tuple(row for day in (0.0, 1.0) for row in example_measurements("m01", day))
    retention = (
        RetentionRow("m01", "labelled", 0.0, "MPI", "liver", "injected", 42.0, 40.0, 44.0),
        RetentionRow("m01", "labelled", 1.0, "MPI", "liver", "injected", None, 0.0, 3.1, "below_detection"),
    )
    decay = (
        DecayRow(
            "m01", "labelled", "MPI", "liver", "exponential", '{"amplitude": 42.0, "rate_per_day": 0.2}', 0.2, 3.47,
            3.1, None, None, 12.0, 0.98, 4, 1, "no_finite_interval",
        ),
    )  # fmt: skip
    alignment = AlignmentRow(
        "m01", 1.0, "MPI", "anatomy", "fiducials", "rigid", "doubtful", "2 of 4 markers disagree by 1.8 mm", 0.2, 0.4,
        None, "transforms/a.tfm",
    )  # fmt: skip
    budget = (BudgetRow("m01", 1.0, "MPI", "liver", "noise", 4.0, False),)
    return StudyResults(measured, retention, decay, budget, (alignment,), example_calibration())


def page_of(study: Study, results: StudyResults, further: dict[str, bytes] | None = None, **told: Any) -> Checked:
    provenance = provenance_of(
        study, InputHashes(study), seeds={"registration": 0}, overrides=told.get("overrides", [])
    )
    figures = {
        "calibration.svg": b"<svg/>", "overlay_m01_day1_MPI.png": b"png", "overlay_m01_day1_MPI.svg": b"<svg/>",
        "decay_m01.svg": b"<svg/>", "retention.svg": b"<svg/>", "budget_MPI.svg": b"<svg/>",
        **(further or {}),
    }  # fmt: skip
    return Checked(report_page(study, results, figures, told.get("failures", ()), told.get("warnings", ()), provenance))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return example_study(tmp_path, ("m01",))


def test_the_page_is_whole_and_fetches_nothing(study: Study) -> None:
    page = page_of(study, example_results())
    assert page.fetched
    assert all(source.startswith("data:image/") for source in page.fetched)
    assert all(link.startswith("#") and link[1:] in page.anchors for link in page.links)


def test_names_are_text_and_never_markup(study: Study) -> None:
    text = page_of(study, example_results(), warnings=["<script>alert(1)</script>"]).text
    assert "Cells <in> the & mouse" in text
    assert "<script>alert(1)</script>" in text


@pytest.mark.parametrize(
    "words",
    [
        "not detected (< 3,120 cells)", "176,000 (168,000 to 184,000)", "spill over dominated",
        "most of the signal came from neighbouring organs", "in-cells", "decision limit", "LOD, 3.3 s/b", "LOQ, 10 s/b",
        "2 of 4 markers disagree by 1.8 mm", "doubtful", "42.0 (40.0 to 44.0)", "not detected (< 3.10)", "3.47",
        "at least 3.10", "geometric transfer matrix", "separable gaussian point spread of FWHM 2.5 x 2.5 x 2.5 mm",
        "ProMag", "B7", "labelled cells", "2026-03-01 09:30", "SHA-256", "m01_organs.nii.gz", "registration: 0",
        "not stated",
    ],
)  # fmt: skip
def test_the_report_holds_what_a_reader_must_know(study: Study, words: str) -> None:
    assert words in page_of(study, example_results()).text


def test_signal_is_not_viability_stands_in_the_report_and_in_the_methods(study: Study) -> None:
    assert page_of(study, example_results()).text.count(NOT_VIABILITY) == 2


def test_what_is_missing_stands_on_top(study: Study) -> None:
    text = page_of(study, example_results(), failures=[Failure("m01", -1.0, "the file is cut short")]).text
    assert "1 of 4 timepoints" in text
    assert "m01, day -1 (before injection): the file is cut short" in text
    assert text.index("the file is cut short") < text.index("How to read the cells")


def test_a_timepoint_of_which_a_part_failed_is_not_said_to_be_missing(study: Study) -> None:
    part = [Failure("m01", 1.0, reason, is_whole=False) for reason in ("PET: no time", "organs: no anatomy")]
    text = page_of(study, example_results(), failures=part).text
    assert "1 of 4 timepoints could be measured only in part; the rest of it is in the tables" in text
    assert "could not be measured" not in text
    both = page_of(study, example_results(), failures=[*part, Failure("m01", 3.0, "the file is cut short")]).text
    assert "1 of 4 timepoints could not be measured; nothing of it is in the tables." in both
    assert both.index("the file is cut short") < both.index("only in part") < both.index("PET: no time")


def test_overrides_are_told(study: Study) -> None:
    text = page_of(study, example_results(), overrides=["calibration_overridden: m01, day 1, MPI"]).text
    assert "Overridden by the user" in text
    assert "calibration_overridden: m01, day 1, MPI" in text


def test_the_radiotracer_stands_with_its_half_life(study: Study) -> None:
    tracer = Radiotracer("89Zr", 10.0, 0.1, None, 20.0)
    labelled = replace(study, subjects=(replace(study.subjects[0], radiotracer=tracer),))
    text = page_of(labelled, example_results()).text
    assert re.search(r"89Zr 78\.4\d* 10\.0 0\.100 not stated 20\.0", text)


def test_signals_stand_with_their_unit(study: Study) -> None:
    text = page_of(study, example_results()).text
    for words in (
        "signal (a.u. mm³) residue (a.u. mm³)", "signal total ± SD (a.u. mm³)", "corrected signal (a.u. mm³)",
        "SD 0.500 to 0.500 a.u. over the scans",
    ):  # fmt: skip
        assert words in text
    for name in ("intercept a", r"residual SD s\(y\|x\)", r"mean of blanks \+ 3 SD"):
        assert re.search(rf"{name} [^a-z]*(\(SE\) )?a\.u\. mm³", text), name
    assert re.search(r"slope b \S+ ± \S+ \(SE\) a\.u\. mm³ per cell", text)


def test_every_modality_has_the_unit_its_scans_state(study: Study) -> None:
    rows = tuple(replace(row, modality=scan) for scan in ("MPI", "PET") for row in example_measurements())
    text = page_of(study, StudyResults(rows)).text
    assert "signal total ± SD (Bq/mL·mm³)" in text
    stated = {"MPI": SignalUnits("ng/mm²", "ng/mm²·mm²"), "PET": SignalUnits("kBq/mL", "kBq/mL·mm³")}
    text = page_of(study, StudyResults(rows, units=stated)).text
    assert "signal total ± SD (ng/mm²·mm²)" in text
    assert "signal total ± SD (kBq/mL·mm³)" in text
    assert "a.u." not in text


def test_times_are_by_the_clock_of_the_study(study: Study) -> None:
    subject = study.subjects[0]
    given = replace(subject.injection, time=datetime(2026, 3, 1, 8, 30, tzinfo=UTC))
    tracer = Radiotracer("89Zr", 10.0, 0.1, datetime(2026, 7, 1, 8, 30, tzinfo=UTC), 20.0)
    changed = replace(study, subjects=(replace(subject, injection=given, radiotracer=tracer),))
    berlin = page_of(replace(changed, timezone="Europe/Berlin"), example_results()).text
    assert "2026-03-01 09:30 500,000" in berlin
    assert "2026-07-01 10:30 20.0" in berlin
    assert "2026-03-01 08:30+00:00" in page_of(changed, example_results()).text


@pytest.mark.parametrize(("errors", "words"), [
    ((None,), "(1 alignment, expected target error not known)"),
    ((0.4, None), "(2 alignments, expected target error 0.40 mm, not known of 1)"),
])  # fmt: skip
def test_an_error_that_is_not_known_is_not_nought(study: Study, errors: tuple[float | None, ...], words: str) -> None:
    results = example_results()
    [row] = results.alignments
    rows = tuple(
        replace(row, method="frame", verdict="good", reason="", fiducial_rms_mm=None, expected_target_error_mm=error)
        for error in errors
    )
    text = page_of(study, replace(results, alignments=rows)).text
    assert words in text
    assert "good not known" in text


def test_a_group_of_one_animal_has_no_row_and_no_flag(study: Study) -> None:
    results = example_results()
    alone = replace(results.decay[0], subject="", model="", half_life_days=None, flag="too_few_points")
    text = page_of(study, replace(results, decay=(*results.decay, alone))).text
    assert "all of the group" not in text
    assert "too few points" not in text
    group = replace(alone, model="geometric mean of animals", half_life_days=3.3, flag="")
    text = page_of(study, replace(results, decay=(*results.decay, group))).text
    assert "all of the group" in text
    assert "Decay was fitted with the exponential model" in text
    assert "A group's half-life is the geometric mean" in text


def test_a_study_of_nothing_says_so_without_a_fault(study: Study) -> None:
    bare = replace(study, calibration=None, psf=None, spill_over=False, tracer=None, name="")
    page = page_of(bare, StudyResults())
    assert "Nothing was measured." in page.text
    assert "No calibration was given" in page.text
    for word in ("None", "nan", "Undefined"):
        assert not re.search(rf"\b{word}\b", page.text)


def test_the_methods_claim_no_more_than_was_done(study: Study) -> None:
    results = example_results()

    def methods(changed: Study, calibration: Any = results.calibration) -> str:
        return methods_paragraph(changed, replace(results, calibration=calibration))

    assert "Rousset" in methods(study)
    assert "No correction for spill-over" in methods(replace(study, spill_over=False))
    assert "saturation" not in methods(study)
    assert "No calibration was given" in methods(study, None)
    assert "(1 alignments" not in methods(study)
    assert "frame by frame" not in methods(study)
    scanned = replace(study.subjects[0].timepoints[0], dynamic=ScanFile(Path("frames.nii")))
    subject = replace(study.subjects[0], timepoints=(scanned,))
    assert "frame by frame" in methods(replace(study, subjects=(subject,)))
    assert "1 alignment, expected target error 0.40 mm, 1 of them doubtful" in methods(study)


@pytest.mark.parametrize(
    ("subjects", "days", "words"),
    [
        (("m01",), (0.0,), "One subject was followed by MPI on day 0."),
        (("m01", "m02"), (0.0, 1.0, 7.0), "2 subjects were followed by MPI on days 0, 1 and 7."),
    ],
)
def test_the_methods_count_in_good_grammar(
    tmp_path: Path, subjects: tuple[str, ...], days: tuple[float, ...], words: str
) -> None:
    whole = example_study(tmp_path, subjects)
    people = [replace(s, timepoints=tuple(t for t in s.timepoints if t.day in days)) for s in whole.subjects]
    assert words in methods_paragraph(replace(whole, subjects=tuple(people)), example_results())


def test_the_methods_name_what_was_done_and_where_it_is_published(study: Study) -> None:
    results = example_results()
    tracer = Radiotracer("89Zr", 10.0, 0.1, None, 20.0)
    pet = tuple(replace(row, modality="PET", flag="free_89Zr") for row in example_measurements())
    arm = ArmRow("MPI", "liver", 1.0, "retention_difference", "a", "b", 1.0, 0.5, 1.5, 3, 3)
    score = ScoreRow("WOMAC", 30.0, "change", "MPI", "liver", 1.0, 0.5, None, None, 4)
    agreed = AgreementRow("liver", "bland_altman_ratio", 1.0, 0.9, 1.1, 3, 9)
    risen = replace(results.decay[0], organ="tumour", model="uptake_from_start", half_life_days=None, flag="rising")
    full = replace(
        results, measurements=(*results.measurements, *pet), arms=(arm,), scores=(score,), agreement=(agreed,),
        decay=(*results.decay, risen),
    )  # fmt: skip
    person = replace(study.subjects[0], radiotracer=tracer)
    text = methods_paragraph(replace(study, subjects=(person,), free_label=FreeLabel(0.1), merge=(("a", "b"),)), full)
    for words in (
        "by MPI and PET on days", "89Zr (half-life 78.4", "10.0 kBq", "reported, and no cells", "Organs were drawn",
        "on 1 of 4 scan days", "not telling them apart: a and b", "with the exponential model", "uptake from start",
        "doi:10.1093/biomet/76.2.297", "Welch", "doi:10.2307/4615733", "Free label (10 %", "Deming",
        "Lin's concordance", "WOMAC was set against retention",
    ):  # fmt: skip
        assert words in text, words
    bare = methods_paragraph(study, StudyResults())
    for word in ("Welch", "Deming", "Spearman", "half-life", "None", "free label"):
        assert word not in bare, word


def test_a_subject_has_a_page_and_the_way_to_it(study: Study) -> None:
    page = page_of(study, example_results())
    assert {"#subject-1", "#doubts", "#cohort"} <= set(page.links)
    assert {"subject-1", "doubts", "cohort"} <= page.anchors


def test_what_is_doubtful_stands_on_top_with_the_way_to_it(study: Study) -> None:
    text = page_of(study, example_results(), warnings=["the vial is dim"]).text
    top = text[text.index("What is doubtful.") : text.index("How to read the cells")]
    assert "doubtful alignment" in top
    assert "m01, day 1, MPI to anatomy: 2 of 4 markers disagree by 1.8 mm" in top
    assert "spill over dominated" in top
    assert "1 sentence on what could not be done" in top
    # A finding is no doubt.
    assert "below detection" not in top
    calm = replace(example_results(), alignments=(), measurements=(), retention=(), decay=(), calibration=None)
    assert "Nothing doubtful was found." in page_of(study, calm).text


def test_the_page_says_how_many_animals_there_are_and_where_mpi_and_pet_part(study: Study) -> None:
    assert "labelled: n = 1. One animal is an observation" in page_of(study, example_results()).text
    rows = tuple(replace(row, modality=scan) for scan in ("MPI", "PET") for row in example_measurements())
    text = page_of(study, StudyResults(rows)).text
    assert "89Zr that dead cells set free settles in bone" in text
    assert "macrophages keep the iron of dead cells" in text
    assert "macrophages keep the iron" not in page_of(study, example_results()).text


def test_a_control_arm_of_one_animal_is_not_compared_and_what_it_shows_is_said(tmp_path: Path) -> None:
    study = example_study(tmp_path)
    control = replace(study.subjects[1], is_control=True, group="free iron")
    text = page_of(replace(study, subjects=(study.subjects[0], control)), example_results()).text
    assert "fewer than two animals each" in text
    assert "it shows how free label leaves" in text
    assert "how free label leaves" not in page_of(study, example_results()).text


def test_arms_scores_and_divisions_stand_in_words(study: Study) -> None:
    arm = ArmRow("MPI", "liver", 7.0, "retention_ratio", "cells", "iron", 1.8, 1.2, 2.7, 6, 4, 0.0004, 0.002, 5)
    score = ScoreRow("WOMAC", 30.0, "change", "MPI", "liver", 7.0, 0.51, -0.4, 0.9, 6, "small_n")
    division = DivisionRow("m01", "", 7.0, "MPI", "liver", 1000.0, 2.0, 0.1, 4000.0, 3500.0, 4600.0)
    text = page_of(study, replace(example_results(), arms=(arm,), scores=(score,), divisions=(division,))).text
    assert "ratio of retention cells / iron 1.80 1.20 to 2.70 6, 4 < 0.001 0.002" in text
    assert "WOMAC, change by day 30 MPI liver 7 0.51 -0.40 to 0.90 6 small n" in text
    assert "1,000 2.00 ± 0.1 4,000 3,500 to 4,600" in text


def test_what_the_study_does_not_state_of_days_and_label_is_named(study: Study) -> None:
    text = page_of(study, example_results()).text
    assert "label free at injection not stated" in text
    assert "divisions of cells not stated" in text
    told = replace(study, free_label=FreeLabel(0.12, 0.02), organ_rules={"liver": "margin"}, merge=(("a", "b"),))
    text = page_of(told, example_results()).text
    assert "label free at injection 12 % ± 2 % of the injected" in text
    assert "with a margin round them liver" in text
    assert "measured as one a and b" in text


def test_the_calibration_s_samples_stand_in_the_report(study: Study) -> None:
    text = page_of(study, example_results()).text
    assert "The 12 samples" in text
    assert "cells signal (a.u. mm³)" in text
