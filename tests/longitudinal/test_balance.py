"""What was injected is found or missing, in signal; what was there before the injection is taken off once."""

import numpy as np
import pytest

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Volume
from napari_mpi_track.longitudinal.analysis import analyse_study, analyse_timepoint
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.writers.scans import write_volume

SHAPE = (20, 18, 16)
# Voxels of 1 mm3: a gut that was lit before, a liver that the injection lights.
GUT, LIVER = 27 * 40.0, 27 * 100.0
STUDY = """schema: 1
repeatability: 0.01
reference: injected
subjects:
  - id: m01
    injection: {{signal: 4000, residue_signal: 100}}
    timepoints:
      - {{day: -1, baseline: true, mpi: before.nii.gz{organs}}}
      - {{day: 1, mpi: after.nii.gz, organs: organs.nii.gz}}
{background}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("balance")
    grid = Grid.from_spacing(SHAPE, 1.0)
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 3:6, 3:6], labels[12:15, 10:13, 9:12] = 1, 2
    write_volume(OrganLabels(labels, grid), place / "organs.nii.gz")
    for name, liver in (("before", 0.0), ("after", 100.0)):
        voxels = rng.normal(0, 0.5, SHAPE) + 40 * (labels == 1) + liver * (labels == 2)
        write_volume(Volume(voxels.astype(np.float32), grid), place / f"{name}.nii.gz")
    return place


def study(folder, background="", organs=", organs: organs.nii.gz"):
    file = folder / "study.yaml"
    file.write_text(STUDY.format(background=background, organs=organs), encoding="utf-8")
    return load_study(file)


def test_injected_is_found_and_missing(folder):
    (row,) = analyse_study(study(folder)).balance
    assert (row.day, row.injected) == (1.0, 3900.0)
    assert row.found == pytest.approx(LIVER, abs=4 * row.found_sd)
    assert row.found + row.missing == pytest.approx(row.injected)
    assert row.missing_percent == pytest.approx(100 * row.missing / row.injected)
    assert row.organs + row.fiducials + row.outside == pytest.approx(row.total, rel=1e-6)
    # The syringe and both scans scatter by 1 % each; noise comes on top.
    assert row.missing_sd >= np.hypot(row.injected_sd, row.found_sd) * 0.999
    assert row.injected_sd == pytest.approx(40.0)


def test_the_scan_before_is_a_background_with_a_term_of_its_own(folder):
    plain, taken = (analyse_study(study(folder, background)) for background in ("", "background: pre-injection\n"))
    before, after = ({r.organ: r for r in a.measurements if r.day == 1} for a in (plain, taken))
    assert before["1"].signal.value == pytest.approx(GUT, rel=0.02)
    assert after["1"].signal.value == pytest.approx(0, abs=4 * after["1"].signal.own_sd)
    assert after["1"].signal_total == before["1"].signal_total
    assert after["1"].signal_total_local == pytest.approx(after["1"].signal_total_corrected)
    assert "below_detection" not in after["2"].flag
    terms = {(row.organ, row.term): row.sd for row in taken.budget}
    assert terms["1", "background"] > 0
    assert after["1"].signal.own_sd == pytest.approx(np.hypot(before["1"].signal.own_sd, terms["1", "background"]))


def test_what_is_taken_off_once_is_not_taken_off_retention_again(folder):
    plain, taken = (analyse_study(study(folder, background)) for background in ("", "background: pre-injection\n"))
    kept = [{r.organ: r.retention_percent for r in a.retention} for a in (plain, taken)]
    assert kept[0]["2"] == pytest.approx(kept[1]["2"], rel=1e-9)
    assert kept[1]["2"] == pytest.approx(100 * LIVER / 3900, rel=0.02)
    assert plain.balance == taken.balance


def test_a_scan_before_without_organs_corrects_the_whole_alone(folder):
    analysis = analyse_study(study(folder, "background: pre-injection\n", organs=""))
    rows = {row.organ: row for row in analysis.measurements if row.day == 1}
    assert "no_baseline" in rows["1"].flag
    assert rows["1"].signal.value == pytest.approx(GUT, rel=0.02)
    assert rows["total"].signal.value == pytest.approx(LIVER, rel=0.1)
    assert {row.organ for row in analysis.budget} == set()


def test_rules_are_a_term_only_where_the_study_asks(folder):
    for background, has_rules in (("", False), ("rules: compare\n", True)):
        asked = study(folder, background)
        analysis = analyse_timepoint(asked, asked.subjects[0], asked.subjects[0].timepoint(1))
        assert bool(analysis.rules) is has_rules
        assert ("rule" in {row.term for row in analysis.budget}) is has_rules
