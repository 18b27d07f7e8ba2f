"""Rows whose organ holds voxels beyond the receiver's measured range say so."""

import numpy as np

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.single_scan import quantify_scan
from napari_mpi_track.quantification.saturation import Saturation


def test_only_the_saturated_organ_and_the_total_are_flagged():
    grid = Grid.from_spacing((16, 18, 20), (1.0, 1.1, 1.2), frame="scanner")
    voxels = np.random.default_rng(0).normal(0, 1, grid.shape)
    labels = np.zeros(grid.shape, np.uint8)
    labels[3:6, 3:6, 3:6], labels[10:13, 10:13, 10:13] = 1, 2
    voxels[4, 4, 4] += 300
    voxels[11, 11, 11] += 100
    scan = Volume(voxels.astype(np.float32), grid, Modality.MPI, "a.u.")
    organs = OrganLabels(labels, grid, {1: "liver", 2: "spleen"})
    for curve, expected in (
        (Saturation(1000.0, 200.0), {"liver": True, "spleen": False, "outside": False, "total": True}),
        (Saturation(1000.0), dict.fromkeys(("liver", "spleen", "outside", "total"), False)),
    ):
        rows = quantify_scan(curve.linearise(scan), organs).measurements
        assert {row.organ: "saturated" in row.flag.split(";") for row in rows} == expected
