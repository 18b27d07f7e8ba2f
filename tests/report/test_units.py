"""Units of signals: as the scan states them, and never another for pictures than for numbers."""

from dataclasses import replace

import numpy as np
import pytest
from report_examples import example_calibration, example_volume

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.report.overlay import overlay_of
from napari_mpi_track.report.units import SignalUnits, units_of, units_of_samples


@pytest.mark.parametrize(
    ("modality", "stated", "voxel", "total"),
    [
        (Modality.MPI, None, "a.u.", "a.u. mm³"),
        (Modality.PET, None, "Bq/mL", "Bq/mL·mm³"),
        (Modality.PET, "kBq/mL", "kBq/mL", "kBq/mL·mm³"),
    ],
)
def test_a_scan_without_a_unit_has_the_one_it_is_measured_in(
    modality: Modality, stated: str | None, voxel: str, total: str
) -> None:
    scan = replace(example_volume(modality), unit=stated)
    assert units_of(scan) == SignalUnits(voxel, total)
    assert overlay_of(scan, subject="m01", day=0.0).unit == voxel


def test_a_projection_adds_up_over_an_area() -> None:
    plane = Volume(np.ones((1, 4, 4)), Grid.from_spacing((1, 4, 4), (1.0, 1.0, 1.0)), Modality.MPI, is_projection=True)
    assert units_of(plane).total == "a.u. mm²"


def test_a_calibration_made_of_highest_voxels_is_in_the_unit_of_a_voxel() -> None:
    assert units_of_samples(example_calibration()).total == "a.u. mm³"
    assert units_of_samples(replace(example_calibration(), dimensions=2)).total == "a.u. mm²"
    assert units_of_samples(replace(example_calibration(), metric="maximum")).total == "a.u."
