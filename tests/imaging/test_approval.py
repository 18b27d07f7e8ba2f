"""An approval belongs to an organ's voxels in their place, however a file holds them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from strategies import organ_labels

from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.approval import Approval, approve, is_as_approved
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.readers.organs import read_organs
from napari_mpi_track.writers.scans import write_volume

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
GRID = Grid.from_spacing((5, 6, 7), (0.5, 0.25, 0.125), (7.0, -8.5, 9.25))


def organs() -> OrganLabels:
    voxels = np.zeros(GRID.shape, np.uint8)
    voxels[1:4, 2:5, 3:6], voxels[0, 0, 0] = 1, 2
    return OrganLabels(voxels, GRID, {1: "liver", 2: "spleen"})


def test_an_organ_that_gained_lost_or_moved_a_voxel_is_not_as_approved() -> None:
    labels = organs()
    approval = approve(labels, "liver", " A. B. ", AT)
    assert (approval.by, str(approval)) == ("A. B.", "A. B., 2026-11-21")
    assert is_as_approved(labels, "liver", approval) is True
    for place, value in (((1, 2, 3), 0), ((4, 4, 4), 1)):
        changed = labels.voxels.copy()
        changed[place] = value
        assert is_as_approved(OrganLabels(changed, GRID, labels.names), "liver", approval) is False
    moved = Grid.from_spacing(GRID.shape, (0.5, 0.25, 0.125), (7.0, -8.5, 9.75))
    assert is_as_approved(OrganLabels(labels.voxels, moved, labels.names), "liver", approval) is False


def test_other_organs_values_and_a_cut_out_take_no_part() -> None:
    labels = organs()
    approval = approve(labels, "liver", "A. B.", AT)
    relabelled = np.where(labels.voxels == 1, 9, 0)[1:]
    cut_out = Grid.from_spacing((4, 6, 7), (0.5, 0.25, 0.125), (7.0, -8.5, 9.75))
    assert is_as_approved(OrganLabels(relabelled, cut_out, {9: "liver"}), "liver", approval) is True


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=organ_labels())
def test_an_approval_stands_in_every_order_of_axes_and_through_files(tmp_path: Path, labels: OrganLabels) -> None:
    name = next(iter(labels.names.values()))
    write_volume(labels, tmp_path / "a.nii.gz", overwrite=True)
    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    turned = sitk.DICOMOrient(image, "PIR")
    for index, one in enumerate((sitk.DICOMOrient(image, "LPS"), turned)):
        sitk.WriteImage(one, str(tmp_path / f"{index}.nrrd"))
    approval = approve(labels, name, "A. B.", AT)
    for index in (0, 1):
        assert is_as_approved(read_organs(tmp_path / f"{index}.nrrd", labels.names), name, approval) is True


def test_without_a_fingerprint_nobody_can_tell_and_without_a_name_nobody_approves() -> None:
    assert is_as_approved(organs(), "liver", Approval("A. B.", AT)) is None
    with pytest.raises(MeasurementError, match="needs a name"):
        approve(organs(), "liver", "  ", AT)
    with pytest.raises(MeasurementError, match="there is no organ 'kidney'"):
        approve(organs(), "kidney", "A. B.", AT)
