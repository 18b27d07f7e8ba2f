"""A tiny study of two days of one mouse, made in a second: one spot of signal, a tumour around it."""

from pathlib import Path

import numpy as np

from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.writers.points import write_points
from napari_mpi_track.writers.scans import write_volume

SPOT_MM = np.array([-4.0, 5.0, 3.0])
MARKERS_MM = np.array([[-9.0, -9, -8], [9, -8, -6], [8, 9, -2], [-8, 8, 9], [1, -9, 8]])
# The animal lay in the MPI turned by a quarter about z, and shifted.
MPI_FROM_ANATOMY = Transform.from_parts([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (30.0, -12.0, 7.0))
STUDY = """\
schema: 1
name: Two days of one mouse
calibration: {table: calibration.csv, kind: in-cells, x: cells, signal: signal_total}
organs: organs.csv
alignment: fiducials
subjects:
  - id: m01
    group: labelled
    injection: {time: 2026-03-01T09:00:00, cells: 1.0e5, signal: 40000.0}
    timepoints:
      - day: 0
        mpi: mpi0.mha
        anatomy: {path: ct.mha, modality: CT}
        organs: organs.nrrd
        fiducials: {mpi: mpi.csv, anatomy: ct.csv}
      - day: 7
        mpi: mpi7.mha
        anatomy: {path: ct.mha, modality: CT}
        organs: organs.nrrd
        fiducials: {mpi: mpi.csv, anatomy: ct.csv}
"""


def distances_mm(grid: Grid, centre_mm: np.ndarray) -> np.ndarray:
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    return np.linalg.norm(grid.lps_from(index) - centre_mm, axis=-1)


def write_tiny_study(folder: Path) -> Path:
    """The path of a study.yaml in ``folder``: one spot of signal at ``SPOT_MM`` of the anatomy."""
    anatomy = Grid.from_spacing((26, 28, 30), 1.0, (-14.5, -13.5, -12.5))
    body = np.where(distances_mm(anatomy, np.zeros(3)) < 11, 400.0, 0.0)
    body[distances_mm(anatomy, SPOT_MM) < 1.6] = 1600.0
    write_volume(Volume(body.astype(np.float32), anatomy, Modality.CT), folder / "ct.mha")
    tumour = (distances_mm(anatomy, SPOT_MM) < 5).astype(np.uint8)
    write_volume(OrganLabels(tumour, anatomy, {1: "tumour"}), folder / "organs.nrrd")
    spot = MPI_FROM_ANATOMY.map(SPOT_MM)
    mpi = Grid.from_spacing((30, 32, 34), 1.2, MPI_FROM_ANATOMY.map(np.zeros(3)) - [20.4, 19.2, 18.0])
    for day, height in ((0, 600.0), (7, 200.0)):
        noise = np.random.default_rng(day).normal(0.0, 2.0, mpi.shape)
        signal = height * np.exp(-((distances_mm(mpi, spot) / 1.8) ** 2))
        write_volume(Volume((signal + noise).astype(np.float32), mpi, Modality.MPI), folder / f"mpi{day}.mha")
    names = [f"F{n}" for n in range(len(MARKERS_MM))]
    write_points(Points(names, MARKERS_MM), folder / "ct.csv")
    write_points(Points(names, MPI_FROM_ANATOMY.map(MARKERS_MM)), folder / "mpi.csv")
    (folder / "organs.csv").write_text("label,name\n1,tumour\n")
    rng = np.random.default_rng(5)
    rows = [f"{x},{0.1 * x + rng.normal(0, 20)}" for x in (0, 5e3, 2e4, 5e4, 1e5) for _ in range(3)]
    (folder / "calibration.csv").write_text("\n".join(["cells,signal_total", *rows]) + "\n")
    (folder / "study.yaml").write_text(STUDY)
    return folder / "study.yaml"
