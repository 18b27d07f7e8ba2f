"""Organs taken out stand beside the images, in the same units, and images are compared with them."""

import numpy as np
import pytest

from napari_mpi_track.errors import StudyFileError, TableError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.ex_vivo_table import read_ex_vivo
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((12, 14, 16), 1.0)
LIVER, BONE = (slice(2, 8), slice(2, 10), slice(2, 10)), (slice(8, 11), slice(4, 12), slice(11, 15))
# Three animals of 10 kBq: PET finds 5 % more in the liver than the counter does, in each.
COUNTED_KBQ = {"a1": 3.0, "a2": 4.0, "a3": 5.0}
BIAS = 1.05
STUDY = """\
schema: 1
timezone: Europe/Berlin
reference: injected
organs: organs.csv
conditions: {iron_per_cell_pg: 10}
subjects:
"""
SUBJECT = """\
  - id: {name}
    injection: {{time: 2026-03-01T09:00:00, cells: 1.0e+6, iron_ug: 10, signal: 1000}}
    radiotracer: {{isotope: 89Zr, activity_kBq: 10, activity_per_million_cells_kBq: 10}}
    timepoints:
      - day: 7
        time: 2026-03-08T09:00:00
        {scan}
        organs: organs.nii.gz
        ex_vivo: {name}.csv
"""
PET = "pet: {{path: {name}.nii.gz, unit: Bq/mL}}\n        decay_corrected_to: injection"
# Seven hours after the scan, seven days after the injection: 89Zr has left 2^(-h/78.41).
COUNTED_AT, HOURS = "2026-03-08T16:00:00", 7 * 24 + 7.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ex_vivo")
    labels = np.zeros(GRID.shape, np.uint8)
    labels[LIVER], labels[BONE] = 1, 2
    write_volume(OrganLabels(labels, GRID), folder / "organs.nii.gz")
    (folder / "organs.csv").write_text("label,name\n1,liver\n2,femur\n")
    text = STUDY
    for name, kbq in COUNTED_KBQ.items():
        voxels = np.zeros(GRID.shape)
        # 0.384 mL
        voxels[LIVER], voxels[BONE] = BIAS * kbq * 1e3 / 0.384, 2e3
        write_volume(Volume(voxels.astype(np.float32), GRID, Modality.PET, "Bq/mL"), folder / f"{name}.nii.gz")
        left = 2 ** (-HOURS / 78.41)
        rows = [
            "organ;weight_g;activity_kBq;activity_sd_kBq;counted_at;iron_ng;tissue_iron_ng;method",
            f"liver;1,2;{kbq * left:.9f};{0.01 * kbq * left:.9f};{COUNTED_AT};;;".replace(".", ","),
            f"femur;0,1;{0.2 * left:.9f};;{COUNTED_AT};;;".replace(".", ","),
            "liver;1,2;;;;2500;500;ICP-MS",
        ]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        text += SUBJECT.format(name=name, scan=PET.format(name=name))
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def analysis(folder):
    return analyse_study(load_study(folder / "study.yaml"))


def of(analysis, modality, organ, subject="a1"):
    return next(r for r in analysis.measurements if (r.modality, r.organ, r.subject) == (modality, organ, subject))


def test_an_organ_in_a_gamma_counter_is_brought_to_the_injection(analysis):
    liver = of(analysis, "gamma", "liver")
    assert liver.activity_kBq == pytest.approx(3.0 * 2 ** (-HOURS / 78.41), rel=1e-6)
    assert liver.percent_id == pytest.approx(30.0, rel=1e-4)
    assert liver.percent_id_per_g == pytest.approx(25.0, rel=1e-4)
    assert liver.cells == pytest.approx(0.3e6, rel=1e-4)
    assert (liver.cells_low, liver.cells_high) == pytest.approx((0.3e6 * (1 - 0.0196), 0.3e6 * (1 + 0.0196)), rel=1e-4)
    femur = of(analysis, "gamma", "femur")
    assert (femur.flag, femur.cells) == ("free_89Zr", None)


def test_iron_by_icp_is_less_the_tissues_own(analysis):
    liver = of(analysis, "ICP", "liver")
    assert liver.iron_ng == 2000
    assert liver.percent_id == pytest.approx(20.0)
    # 10 pg a cell.
    assert liver.cells == pytest.approx(2e5)


def test_the_pet_is_compared_with_the_counter(analysis):
    rows = {row.measure: row for row in analysis.days.agreement if row.organ == "liver"}
    ratio = rows["bland_altman_ratio_PET_gamma"]
    assert (ratio.animals, ratio.pairs) == (3, 3)
    assert ratio.value == pytest.approx(BIAS, rel=1e-3)
    assert rows["deming_slope_PET_gamma"].value == pytest.approx(BIAS, rel=1e-3)


def test_what_is_taken_out_is_part_of_the_injected_and_has_no_half_life(analysis):
    kept = {(r.subject, r.modality): r.retention_percent for r in analysis.retention if r.organ == "liver"}
    assert kept["a2", "gamma"] == pytest.approx(40, rel=1e-4)
    assert kept["a2", "ICP"] == pytest.approx(20)
    assert {row.modality for row in analysis.decay} == {"PET"}


def test_iron_of_the_tissue_that_is_not_known_is_told(folder):
    (folder / "iron.csv").write_text("organ,iron_ng\nliver,2500\nspleen,900\n")
    text = (STUDY + SUBJECT.format(name="iron", scan="signal: 500")).replace("        organs: organs.nii.gz\n", "")
    (folder / "iron.yaml").write_text(text, encoding="utf-8")
    study = load_study(folder / "iron.yaml")
    found = analyse_timepoint(study, study.subjects[0], study.subjects[0].timepoints[0])
    assert any("ICP counts the tissue's own iron too (liver, spleen)" in text for text in found.warnings)
    assert found.failures == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("organ,iron_ng\n,5\nliver,many\n", ["line 2: 'organ' is empty", "line 3: 'iron_ng' needs a number"]),
        ("organ,activity_kBq,weight_g\nliver,3,0\n", ["'weight_g' must not be negative"]),
        ("organ,activity_kBq,counted_at\nliver,3,noon\n", ["'counted_at' is a date and time"]),
        ("organ,weight_g\nliver,1.2\n", ["line 2: one of activity_kbq, iron_ng"]),
        ("organ,cells\nliver,1e5\n", ["'method' is gamma or ICP"]),
        ("organ,iron_ng\nliver,5\nliver,6\n", ["line 3: liver is there twice"]),
        ("organ,iron\nliver,5\n", ["unknown columns: iron"]),
        ("tissue,iron_ng\nliver,5\n", ["organ"]),
        ("organ,iron_ng\n", ["holds no organ"]),
    ],
)
def test_faults_of_a_table_are_told_by_line(text, words, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError) as caught:
        read_ex_vivo(tmp_path / "t.csv")
    for word in words:
        assert word in str(caught.value)


def test_a_bad_table_costs_the_scan_nothing(folder):
    (folder / "bad.csv").write_text("organ,iron_ng\nliver,many\n")
    text = STUDY + SUBJECT.format(name="bad", scan=PET.format(name="a1"))
    (folder / "bad.yaml").write_text(text, encoding="utf-8")
    study = load_study(folder / "bad.yaml")
    found = analyse_timepoint(study, study.subjects[0], study.subjects[0].timepoints[0])
    assert [failure.startswith("ex vivo: line 2: 'iron_ng' needs a number") for failure in found.failures] == [True]
    assert {row.modality for row in found.measurements} == {"PET"}


def test_a_table_that_is_not_there_is_a_fault_of_the_study(folder):
    text = STUDY + SUBJECT.format(name="nowhere", scan="signal: 500")
    (folder / "lost.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyFileError, match=r"line 15: there is no file 'nowhere\.csv'"):
        load_study(folder / "lost.yaml")
