"""The commands for a bed, a chain and a projection, as a user types them."""

import csv
import json

import numpy as np
import pytest

from napari_mpi_track.cli import main
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.points import Points
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.registration.alignment import Alignment
from napari_mpi_track.registration.alignment_files import load_alignment, save_alignment
from napari_mpi_track.writers.points import write_points
from napari_mpi_track.writers.scans import write_volume

BALLS = np.array([[0.0, 0, 0], [12, 3, -8], [-11, 10, 6], [4, -12, 11], [-9, -6, -14]])


def run(*arguments: object, status: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in arguments])
    assert end.value.code == status


def write_points_of(path, positions) -> None:
    write_points(Points([f"b{k}" for k in range(len(positions))], positions), path)


@pytest.fixture
def phantom(tmp_path):
    """A phantom in CT and MPI with its balls marked, and a later animal's MPI with organs drawn on its CT."""
    grid = Grid.from_spacing((24, 22, 20), 2.0, (-19, -21, -23))
    for name in ("ct", "mpi"):
        write_volume(Volume(np.zeros(grid.shape, np.float32), grid), tmp_path / f"phantom_{name}.nii.gz")
    write_points_of(tmp_path / "ct.csv", BALLS)
    write_points_of(tmp_path / "mpi.csv", BALLS + [4, 0, -2])
    mouse = np.random.default_rng(0).normal(0, 1, grid.shape).astype(np.float32)
    mouse[10:13, 10:13, 11:14] += 100
    write_volume(Volume(mouse, grid, Modality.MPI), tmp_path / "mouse.nii.gz")
    labels = np.zeros(grid.shape, np.uint8)
    labels[9:16, 8:15, 7:14] = 1
    write_volume(OrganLabels(labels, grid), tmp_path / "organs.nii.gz")
    return tmp_path


def test_a_bed_is_measured_dated_and_used_for_another_scan(phantom, capsys) -> None:
    run(
        "align", phantom / "phantom_ct.nii.gz", phantom / "phantom_mpi.nii.gz", "--method", "fiducials",
        "--fixed-points", phantom / "ct.csv", "--moving-points", phantom / "mpi.csv",
        "--measured-at", "2026-03-01", "--out", phantom / "bed.tfm",
    )  # fmt: skip
    assert load_alignment(phantom / "bed.tfm").measured_at == "2026-03-01T00:00:00"
    capsys.readouterr()
    run(
        "quantify", phantom / "mouse.nii.gz", "--organs", phantom / "organs.nii.gz", "--transform", phantom / "bed.tfm",
        "--out", phantom / "rows.csv",
    )  # fmt: skip
    assert "user's word" in capsys.readouterr().err
    rows = list(csv.DictReader((phantom / "rows.csv").read_text(encoding="utf-8").splitlines()))
    assert float(rows[0]["signal_total"]) == pytest.approx(27 * 8 * 100, rel=0.05)
    assert float(rows[0]["alignment_error_mm"]) < 0.05


def test_transforms_are_chained_with_their_errors(tmp_path, capsys) -> None:
    for name, shift, frames in (("a", (1, 0, 0), ("ct0", "ct7")), ("b", (0, 2, 0), ("ct7", "mpi7"))):
        way = Transform.from_parts(np.eye(3), shift, *frames)
        save_alignment(
            Alignment(way, method="fiducials", error_covariance=np.diag([0, 0, 0, 0.01, 0, 0])),
            tmp_path / f"{name}.tfm",
        )
    run("chain", tmp_path / "a.tfm", tmp_path / "b.tfm", "--out", tmp_path / "c.tfm", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["expected_target_error_mm"] == pytest.approx(np.sqrt(0.02))
    whole = load_alignment(tmp_path / "c.tfm").moving_from_fixed
    assert whole.map([0, 0, 0]) == pytest.approx([1, 2, 0])
    run("chain", tmp_path / "b.tfm", tmp_path / "a.tfm", "--out", tmp_path / "d.tfm", status=2)
    assert "other way round" in capsys.readouterr().err
    assert not (tmp_path / "d.tfm").exists()


def test_a_projection_is_aligned_to_a_projected_anatomy_and_measured(tmp_path, capsys) -> None:
    deep = Grid.from_spacing((40, 20, 30), 1.0, (-14.5, -9.5, -19.5))
    ct = np.zeros(deep.shape, np.float32)
    ct[5:35, 4:16, 5:25] = 100
    write_volume(Volume(ct, deep), tmp_path / "ct.nii.gz")
    run("project", tmp_path / "ct.nii.gz", tmp_path / "view.nii.gz", "--along", "y")
    view = read_scan(tmp_path / "view.nii.gz")
    assert view.grid.shape == (1, 40, 30)
    assert view.voxels[0, 20, 15] == pytest.approx(60)
    labels = np.zeros(view.grid.shape, np.uint8)
    labels[0, 10:25, 8:20] = 1
    write_volume(OrganLabels(labels, view.grid), tmp_path / "organs.nii.gz")
    seen = view.grid.lps_from_index.copy()
    seen[:3, 3] += [2.0, 33.0, -1.0]
    mpi = np.random.default_rng(0).normal(0, 1, view.grid.shape)
    mpi[0, 13:20, 11:16] += 50
    write_volume(Volume(mpi.astype(np.float32), Grid(mpi.shape, seen), Modality.MPI), tmp_path / "mpi.nii.gz")
    write_points_of(tmp_path / "ct.csv", BALLS)
    write_points_of(tmp_path / "mpi.csv", BALLS + [2, 0, -1])
    run(
        "align", tmp_path / "ct.nii.gz", tmp_path / "mpi.nii.gz", "--projection", "--fixed-points", tmp_path / "ct.csv",
        "--moving-points", tmp_path / "mpi.csv", "--out", tmp_path / "t.tfm", "--resampled", tmp_path / "on_ct.nii.gz",
        "--json",
    )  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert told["method"] == "projection (fiducials)"
    assert any("nothing of depth" in warning for warning in told["warnings"])
    # For looking, the projection is drawn along its whole ray.
    drawn = read_scan(tmp_path / "on_ct.nii.gz").voxels
    assert drawn[16, :, 13] == pytest.approx(mpi[0, 16, 13], abs=1e-4)
    run(
        "quantify", tmp_path / "mpi.nii.gz", "--projection", "--organs", tmp_path / "organs.nii.gz",
        "--transform", tmp_path / "t.tfm", "--out", tmp_path / "rows.csv",
    )  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()))
    assert float(rows[0]["signal_total"]) == pytest.approx(35 * 50, rel=0.05)
    assert rows[0]["organ_volume_mm3"] == ""
    run("align", tmp_path / "ct.nii.gz", tmp_path / "ct.nii.gz", "--projection", "--out", tmp_path / "u.tfm", status=2)
    assert "a projection has one plane" in capsys.readouterr().err
