"""Bad input: one clear line on stderr, exit 2, nothing written, no traceback."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_mpi_track.cli import main


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, check that it ends with status 2 and one error line, and return that line."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    assert end.value.code == 2, captured.err
    lines = captured.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    assert "Traceback" not in captured.err
    return errors[0]


def a_scan(path: Path, shape: tuple[int, int, int] = (12, 10, 8), affine: np.ndarray | None = None) -> Path:
    voxels = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def some_labels(path: Path, shape: tuple[int, int, int] = (12, 10, 8), affine: np.ndarray | None = None) -> Path:
    voxels = np.zeros(shape, np.uint8)
    voxels[3:6, 3:6, 3:6] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def a_table(path: Path, text: str = "cells,signal\n0,1\n0,2\n1000,11\n2000,22\n4000,39\n8000,82\n") -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_truncated_dicom_is_refused_by_name(tmp_path, capsys):
    from pydicom.data import get_testdata_file

    whole = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(whole[: len(whole) // 2])
    assert "broken.dcm" in refused(["info", str(broken)], capsys)


def test_a_folder_of_pdfs_holds_no_scan(tmp_path, capsys):
    for number in range(3):
        (tmp_path / f"paper{number}.pdf").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n")
    error = refused(["info", str(tmp_path)], capsys)
    assert "3 files" in error


def test_labels_on_another_grid_far_away_are_refused(tmp_path, capsys):
    scan = a_scan(tmp_path / "mpi.nii.gz")
    affine = np.eye(4)
    affine[:3, 3] = 500
    labels = some_labels(tmp_path / "organs.nii.gz", affine=affine)
    out = tmp_path / "table.csv"
    error = refused(["quantify", str(scan), "--organs", str(labels), "--out", str(out)], capsys)
    assert "organs.nii.gz" in error
    assert "another grid" in error
    assert not out.exists()


def test_text_in_a_number_of_a_calibration_names_row_and_column(tmp_path, capsys):
    table = a_table(tmp_path / "calibration.csv", "cells,signal\n0,1\n1000,abc\n2000,3\n")
    out = tmp_path / "c.json"
    arguments = ["calibrate", str(table), "--x", "cells", "--signal", "signal", "--kind", "in-cells"]
    error = refused([*arguments, "--tracer", "ProMag", "--out", str(out)], capsys)
    assert "abc" in error
    assert "row 3" in error
    assert "signal" in error
    assert not out.exists()


def test_a_study_with_a_missing_file_and_a_wrong_key_lists_both_with_their_lines(tmp_path, capsys):
    study = tmp_path / "study.yaml"
    study.write_text(
        "schema: 1\nspil_over: true\nsubjects:\n  - id: m01\n    timepoints:\n      - {day: 1, mpi: nowhere.nii.gz}\n",
        encoding="utf-8",
    )
    out = tmp_path / "results"
    error = refused(["run", str(study), "--out", str(out)], capsys)
    assert "line 2: unknown key 'spil_over' (is 'spill_over' meant?)" in error
    assert "line 6: there is no file 'nowhere.nii.gz'" in error
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["info"],
        ["info", "nowhere.nii.gz"],
        ["convert", "nowhere.nii.gz", "out.nii.gz"],
        ["align", "a.nii.gz", "b.nii.gz", "--out", "t.tfm", "--method", "magic"],
        ["run", "nowhere.yaml", "--out", "results"],
        ["count", "12", "--calibration", "nowhere.json"],
        ["fit", "nowhere.csv", "--time", "day", "--value", "v", "--out", "d.csv"],
        ["quantify", "nowhere.nii.gz", "--organs", "o.nii.gz", "--out", "t.csv"],
        ["sample", "somewhere", "--study", "elephant"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]) or "nothing",
)
def test_a_wrong_call_is_one_line_and_status_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if not arguments:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code in (0, 2)
        return
    refused(arguments, capsys)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unless_asked(tmp_path, capsys):
    scan = a_scan(tmp_path / "scan.nii.gz")
    out = tmp_path / "out.nrrd"
    out.write_text("mine")
    assert "--overwrite" in refused(["convert", str(scan), str(out)], capsys)
    assert out.read_text() == "mine"


def test_a_nifti_without_orientation_opens_with_its_warning(tmp_path, capsys):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), None)
    image.header.set_sform(np.eye(4), code=0)
    image.header.set_qform(np.eye(4), code=0)
    nibabel.save(image, tmp_path / "plain.nii")
    with pytest.raises(SystemExit) as end:
        main(["info", str(tmp_path / "plain.nii")])
    assert end.value.code == 0
    assert "orientation" in capsys.readouterr().out


def test_labels_on_another_grid_are_refused_though_they_overlap(tmp_path, capsys):
    scan = a_scan(tmp_path / "mpi.nii.gz")
    labels = some_labels(tmp_path / "organs.nii.gz", affine=np.diag([0.9, 1, 1, 1]))
    out = tmp_path / "table.csv"
    error = refused(["quantify", str(scan), "--organs", str(labels), "--out", str(out)], capsys)
    assert "another grid" in error
    assert not out.exists()


def test_a_study_whose_organs_lie_on_another_grid_than_their_anatomy_writes_nothing(tmp_path, capsys):
    a_scan(tmp_path / "mpi.nii.gz")
    a_scan(tmp_path / "ct.nii.gz")
    some_labels(tmp_path / "organs.nii.gz", affine=np.diag([1.1, 1, 1, 1]))
    study = tmp_path / "study.yaml"
    study.write_text(
        "schema: 1\nalignment: frame\nsubjects:\n  - id: m01\n    timepoints:\n"
        "      - {day: 1, mpi: mpi.nii.gz, anatomy: ct.nii.gz, organs: organs.nii.gz}\n",
        encoding="utf-8",
    )
    out = tmp_path / "results"
    assert "another grid" in refused(["run", str(study), "--out", str(out)], capsys)
    assert not out.exists()


def test_a_signal_that_is_no_number_is_not_counted(tmp_path, capsys):
    table = a_table(tmp_path / "calibration.csv")
    line = tmp_path / "c.json"
    with pytest.raises(SystemExit):
        main(
            ["calibrate", str(table), "--x", "cells", "--signal", "signal", "--kind", "in-cells"]
            + ["--tracer", "ProMag", "--weights", "none", "--out", str(line)]
        )
    assert "finite" in refused(["count", "nan", "--calibration", str(line)], capsys)


def test_an_output_in_an_impossible_place_is_one_line(tmp_path, capsys):
    scan = a_scan(tmp_path / "scan.nii.gz")
    (tmp_path / "file").write_text("no folder")
    refused(["convert", str(scan), str(tmp_path / "file" / "out.nii.gz")], capsys)


def test_a_missing_path_among_good_ones_is_skipped_and_said(tmp_path, capsys):
    scan = a_scan(tmp_path / "scan.nii.gz")
    with pytest.raises(SystemExit) as end:
        main(["info", str(scan), str(tmp_path / "nowhere")])
    assert end.value.code == 3
    captured = capsys.readouterr()
    assert "scan.nii.gz" in captured.out
    assert "nowhere" in captured.err


def test_a_scan_without_a_number_is_refused(tmp_path, capsys):
    nibabel.save(nibabel.Nifti1Image(np.full((12, 10, 8), np.nan, np.float32), np.eye(4)), tmp_path / "nan.nii.gz")
    labels = some_labels(tmp_path / "organs.nii.gz")
    arguments = ["quantify", str(tmp_path / "nan.nii.gz"), "--organs", str(labels)]
    assert "holds no number" in refused([*arguments, "--out", str(tmp_path / "t.csv")], capsys)


def points_of_a_triangle(path: Path) -> Path:
    path.write_text("label,x_mm,y_mm,z_mm\na,-2,-2,1\nb,-9,-3,2\nc,-4,-8,6\nd,-7,-7,3\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--resampled", "shown.png"], "not written as .png"),
        (["--resampled", "both.nii.gz", "--jacobian", "both.nii.gz"], "two outputs have one name"),
        (["--out", "t.mat"], "a transform is written as"),
        (["--seed", "-1"], "--seed"),
        (["--method", "intensity"], "the method intensity takes no points"),
        (["--initial", "bed.tfm"], "the method fiducials takes no start"),
        (["--fixed-mask", "nothing.nii.gz"], "the mask of the fixed scan is empty"),
    ],
)
def test_an_alignment_that_cannot_be_written_or_heeded_is_refused_before_anything_is(
    wrong, told, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    a_scan(Path("ct.nii.gz"))
    nibabel.save(nibabel.Nifti1Image(np.zeros((12, 10, 8), np.uint8), np.eye(4)), "nothing.nii.gz")
    points_of_a_triangle(Path("points.csv"))
    there = sorted(tmp_path.iterdir())
    arguments = ["align", "ct.nii.gz", "ct.nii.gz", "--method", "fiducials", "--out", "t.tfm"]
    arguments += ["--fixed-points", "points.csv", "--moving-points", "points.csv", *wrong]
    assert told in refused(arguments, capsys)
    assert sorted(tmp_path.iterdir()) == there


@pytest.mark.parametrize("method", ["fiducials", "intensity", "moments", "frame"])
def test_a_scan_without_a_number_is_refused_by_every_method(method, tmp_path, capsys):
    scan = a_scan(tmp_path / "ct.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.full((12, 10, 8), np.nan, np.float32), np.eye(4)), tmp_path / "empty.nii.gz")
    out = tmp_path / "t.tfm"
    error = refused(["align", str(scan), str(tmp_path / "empty.nii.gz"), "--method", method, "--out", str(out)], capsys)
    assert "no finite voxel (" in error
    assert "empty.nii.gz" in error
    assert not out.exists()
