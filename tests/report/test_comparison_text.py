"""The sentences of comparisons claim what was compared, and say what it does not show."""

from pathlib import Path

from napari_mpi_track.longitudinal.measurement import AgreementRow, ArmRow
from napari_mpi_track.longitudinal.study import FreeLabel, Study, Subject
from napari_mpi_track.report.comparison_text import agreement_text, arms_text

ROW = ArmRow("MPI", "joint", 7.0, "retention_difference", "cells", "SPIO", 40.0, 20.0, 60.0, 4, 3, 0.01, 0.03, 3)


def a_study(**more):
    return Study("s", Path("s.yaml"), (Subject("a", "cells"), Subject("x", "SPIO", True)), **more)


def test_arms_say_their_number_their_comparisons_and_that_it_is_no_count_of_cells():
    text = " ".join(arms_text(a_study(), [ROW]))
    assert "retention difference: 3" in text
    assert "smallest arm has 3 animals" in text
    assert "no count of cells" in text
    assert "fraction was not given" in text
    assert arms_text(a_study(), []) == []


def test_a_given_fraction_of_free_label_is_told_with_its_formula():
    text = " ".join(arms_text(a_study(free_label=FreeLabel(0.2, 0.05)), [ROW]))
    assert "f = 20 % (SD 5 %)" in text
    assert "not given" not in text


def ratio(organ, value, low, high):
    return AgreementRow(organ, "bland_altman_ratio", value, low, high, 4, 12)


def test_organs_where_both_part_ways_say_which_is_known_to_err():
    bone, liver, lungs, node, _ = agreement_text(
        [
            ratio("bone", 0.3, 0.2, 0.5),
            ratio("liver", 1.4, 1.2, 1.6),
            ratio("lungs", 1.02, 0.9, 1.1),
            ratio("lymph_node", 2.0, 1.5, 2.6),
        ]
    )
    assert "MPI kept less than PET" in bone
    assert "89Zr set free" in bone
    assert "macrophages keep the iron" in liver
    assert "do not part measurably" in lungs
    assert "not known" in node
    assert agreement_text([]) == []
