"""`mpi-track align` and `check` prove an alignment: errors at landmarks, pictures, words."""

import json
from pathlib import Path

import numpy as np
import pytest
from posed_animals import moving_from_fixed, pose, posed_animal

from napari_mpi_track.cli.main import main
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.writers.scans import write_volume

HERE, THERE = pose((0, 0, 0), (0, 0, 0)), pose((6, -4, 170), (2, -1, 1))
PLACES = {"spine": (0.0, 6.0, 3.0), "tail": (1.0, 2.0, -21.0), "left side": (9.0, 0.0, 4.0), "belly": (0.0, -8.0, 9.0)}
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT and an MR of one animal in two poses, with four places marked in both."""
    place = tmp_path_factory.mktemp("pair")
    write_volume(posed_animal(Modality.CT, HERE), place / "ct.nii.gz")
    write_volume(posed_animal(Modality.MR, THERE), place / "mr.nii.gz")
    for name, pose_of in (("ct", HERE), ("mr", THERE)):
        lines = [
            f"{label},{x:.6f},{y:.6f},{z:.6f}"
            for label, (x, y, z) in zip(PLACES, pose_of.map(np.array(list(PLACES.values()))), strict=True)
        ]
        (place / f"{name}.csv").write_text("\n".join(["label,x_mm,y_mm,z_mm", *lines]) + "\n")
    return place


def run(arguments: list[str], status: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == status


def scans(folder: Path) -> list[str]:
    return [str(folder / "ct.nii.gz"), str(folder / "mr.nii.gz"), "--fixed-modality", "CT", "--modality", "MR"]


def test_landmarks_tell_the_error_of_an_alignment_they_took_no_part_in(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    landmarks = ["--fixed-landmarks", str(folder / "ct.csv"), "--moving-landmarks", str(folder / "mr.csv")]
    out = tmp_path / "t.tfm"
    pictures = ["--evidence", str(tmp_path / "pictures")]
    run(["align", *scans(folder), "--method", "intensity", "--out", str(out), "--json", *landmarks, *pictures])
    found = json.loads(capsys.readouterr().out)
    assert set(found["landmark_errors_mm"]) == set(PLACES)
    # The truth is known: what is printed is the distance between mapped and true places.
    assert found["landmark_mean_mm"] == pytest.approx(np.mean(list(found["landmark_errors_mm"].values())), rel=1e-12)
    # Scans of 1 mm of a plain body: a third of a voxel.
    assert found["landmark_mean_mm"] < 0.35
    assert found["edge_agreement"] > 0.5
    assert found["body_overlap"] > 0.9
    written = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert {"evidence.png", "outline.png", "checkerboard.png", "blend.png", "error.png"} <= written
    assert all(file.read_bytes().startswith(PNG) for file in (tmp_path / "pictures").iterdir())
    assert {row["name"] for row in json.loads((tmp_path / "t.json").read_text())["landmarks"]} == set(PLACES)
    # Pictures of an earlier alignment are not replaced unasked, and nothing is aligned before that is known.
    run(["align", *scans(folder), "--out", str(tmp_path / "other.tfm"), *pictures], 2)
    assert "--overwrite" in capsys.readouterr().err
    assert not (tmp_path / "other.tfm").exists()


def test_a_transform_of_another_program_is_judged_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = moving_from_fixed(HERE, THERE).target_from_source
    for name, matrix in (("right", truth), ("wrong", np.eye(4))):
        numbers = " ".join(f"{value:.12f}" for value in (*matrix[:3, :3].ravel(), *matrix[:3, 3]))
        (tmp_path / f"{name}.tfm").write_text(
            "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
            f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
        )
    run(["check", str(tmp_path / "right.tfm"), *scans(folder)])
    said = capsys.readouterr().out
    assert said.startswith("good: ")
    assert "edges inside the body agree: 0." in said
    run(["check", str(tmp_path / "wrong.tfm"), *scans(folder), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "doubtful"
    assert "edges inside the body" in found["reason"]
    assert found["expected_target_error_mm"] is None


def test_landmarks_of_one_scan_alone_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["align", *scans(folder), "--out", str(tmp_path / "t.tfm"), "--fixed-landmarks", str(folder / "ct.csv")]
    run(arguments, 2)
    assert "landmarks are needed of both scans" in capsys.readouterr().err
