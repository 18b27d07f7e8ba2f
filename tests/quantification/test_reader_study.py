"""Readers compared on scans of known totals."""

from dataclasses import replace

import numpy as np
import pytest

from napari_mpi_track.errors import GridMismatchError, MeasurementError, TableError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.quantification.calibration import fit_calibration
from napari_mpi_track.quantification.reader_agreement import icc_agreement
from napari_mpi_track.quantification.reader_study import ALL_ORGANS, ReaderLabels, compare_readers

SHAPE = (10, 14, 16)
VOXEL_MM3 = 0.8 * 0.5 * 0.6
NAMES = {1: "liver", 2: "spleen"}


def scan(brightness, **facts):
    voxels = np.zeros(SHAPE, dtype=np.float32)
    voxels[2:8, 2:8, 2:12] = brightness
    voxels[3:6, 9:13, 4:9] = 3 * brightness
    return Volume(voxels, Grid.from_spacing(SHAPE, (0.8, 0.5, 0.6), frame="f"), Modality.MPI, "a.u.", **facts)


def labels(volume, liver_to=12, spleen_to=9, names=NAMES):
    """What a reader draws: the liver and the spleen up to a column."""
    drawn = np.zeros(SHAPE, dtype=np.uint8)
    drawn[2:8, 2:8, 2:liver_to], drawn[3:6, 9:13, 4:spleen_to] = 1, 2
    return OrganLabels(drawn, volume.grid, names)


@pytest.fixture
def drawn():
    volumes = {f"day {day}": scan(brightness) for day, brightness in enumerate((40.0, 25.0, 10.0))}
    columns = {"anna": (12, 9), "ben": (11, 9), "cleo": (12, 8)}
    return [
        ReaderLabels(day, reader, volume, labels(volume, *ends))
        for day, volume in volumes.items()
        for reader, ends in columns.items()
    ]


def test_readings_are_the_signal_of_what_was_drawn(drawn):
    study = compare_readers(drawn, background=2.0)
    found = {(one.scan, one.organ, one.reader): one for one in study.readings}
    ben = found["day 1", "liver", "ben"]
    assert ben.volume_mm3 == pytest.approx(6 * 6 * 9 * VOXEL_MM3)
    assert ben.total == pytest.approx(6 * 6 * 9 * VOXEL_MM3 * 23)
    assert ben.maximum == 25
    assert study.readers == ("anna", "ben", "cleo")
    assert study.warnings == ()


def test_agreement_is_that_of_the_readings(drawn):
    study = compare_readers(drawn)
    liver = np.array([40.0, 25.0, 10.0])[:, None] * 36 * VOXEL_MM3 * np.array([10, 9, 10])
    np.testing.assert_allclose(study.table("liver", "total"), liver)
    row, truth = study.row("liver", "total", "icc_2_1"), icc_agreement(liver)
    assert (row.value, row.low, row.high) == pytest.approx((truth.value, truth.low, truth.high))
    assert row.count == 3
    assert study.row(ALL_ORGANS, "total", "icc_2_1").count == 6
    # Readings of 10, 9 and 10 columns.
    assert study.row("liver", "total", "cv_percent").value == pytest.approx(100 * np.std([10, 9, 10], ddof=1) / 29 * 3)
    ratios = {
        (r.reader_a, r.reader_b): r
        for r in study.rows
        if (r.organ, r.quantity, r.statistic) == ("liver", "total", "ratio")
    }
    assert ratios["anna", "ben"].value == pytest.approx(10 / 9)
    assert ratios["anna", "cleo"].value == pytest.approx(1)


def test_overlap_is_told_for_every_two_readers_and_organ(drawn):
    study = compare_readers(drawn)
    overlap = {(r.organ, r.reader_a, r.reader_b): r.value for r in study.rows if r.statistic == "dice"}
    assert overlap["liver", "anna", "ben"] == pytest.approx(2 * 9 / 19)
    assert overlap["spleen", "anna", "cleo"] == pytest.approx(2 * 4 / 9)
    voxels = {"liver": 360, "spleen": 60}
    both, each = 324 + 60, 2 * sum(voxels.values()) - 36
    assert overlap[ALL_ORGANS, "anna", "ben"] == pytest.approx(2 * both / each)


def test_cells_are_compared_as_the_calibration_reads_them(drawn):
    x = np.array([0.0, 0, 1e3, 2e3, 4e3, 8e3])
    line = fit_calibration(x, 5.0 + 0.5 * x, kind="in-cells", weights="none")
    study = compare_readers(drawn, line)
    for one in study.readings:
        assert one.cells == pytest.approx((one.total - 5.0) / 0.5)
    bias = next(r for r in study.rows if (r.organ, r.quantity, r.statistic) == ("liver", "cells", "bias"))
    assert bias.unit == "cells"
    assert bias.value == pytest.approx(25 * 36 * VOXEL_MM3 / 0.5)


def test_one_scan_has_overlap_and_variation_but_no_coefficient_of_an_organ(drawn):
    study = compare_readers(drawn[:3])
    assert study.row("liver", "total", "cv_percent") is not None
    assert study.row("liver", "total", "icc_2_1") is None
    assert study.row(ALL_ORGANS, "total", "icc_2_1") is not None


def test_what_a_reader_did_not_draw_is_left_out_and_said_not_counted_as_zero(drawn):
    last = drawn[-1]
    only_liver = np.where(last.organs.voxels == 1, 1, 0).astype(np.uint8)
    gap = [*drawn[:-1], replace(last, organs=OrganLabels(only_liver, last.organs.grid, NAMES))]
    study = compare_readers(gap)
    assert study.warnings == ("scan 'day 2': spleen was not drawn by cleo; it is left out for all",)
    assert study.row("spleen", "total", "icc_2_1").count == 2
    assert study.row("liver", "total", "icc_2_1").count == 3


def test_voxels_without_a_number_are_left_out_and_said(drawn):
    voxels = np.array(drawn[0].volume.voxels)
    voxels[2, 2, 2] = np.nan
    holed = drawn[0].volume.with_voxels(voxels)
    study = compare_readers([replace(one, volume=holed) if one.scan == "day 0" else one for one in drawn])
    assert "1 voxels hold no number" in study.warnings[0]
    assert np.isfinite(study.table("liver", "total")).all()


def test_readings_of_a_projection_are_over_mm2(drawn):
    plane = Volume(np.ones((1, 8, 9)), Grid.from_spacing((1, 8, 9), (30, 0.5, 0.6)), Modality.MPI, is_projection=True)
    square = np.zeros((1, 8, 9), dtype=np.uint8)
    square[0, 2:6, 2:5] = 1
    readers = [ReaderLabels("s", name, plane, OrganLabels(square, plane.grid, {1: "knee"})) for name in "ab"]
    study = compare_readers(readers)
    assert study.readings[0].total == pytest.approx(12 * 0.3)
    with pytest.raises(MeasurementError, match="projections and volumes"):
        compare_readers([*readers, *drawn])


def test_faults_of_a_study_say_what_to_do(drawn):
    with pytest.raises(TableError, match="two readers or more"):
        compare_readers(drawn[:1])
    with pytest.raises(TableError, match="'anna' comes twice"):
        compare_readers([drawn[0], drawn[1], drawn[0]])
    small = np.ones((3, 4, 5), dtype=np.uint8)
    elsewhere = OrganLabels(small, Grid.from_spacing((3, 4, 5), 1.0))
    with pytest.raises(GridMismatchError, match="'ben' lie on another grid"):
        compare_readers([drawn[0], replace(drawn[1], organs=elsewhere)])
    with pytest.raises(MeasurementError, match="drew no organ"):
        compare_readers(
            [drawn[0], replace(drawn[1], organs=OrganLabels(np.zeros(SHAPE, np.uint8), drawn[1].organs.grid))]
        )
    renamed = replace(drawn[1], organs=drawn[1].organs.renamed({1: "Leber", 2: "Milz"}))
    with pytest.raises(MeasurementError, match="no organ was drawn by all 2 readers"):
        compare_readers([drawn[0], renamed])
