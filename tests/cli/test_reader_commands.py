"""``mpi-track compare-readers``: label files in, one table of readings and agreement out."""

import csv
import json

import nibabel
import numpy as np
import pytest

from napari_mpi_track.cli import main

AFFINE = np.diag([-0.6, -0.5, 0.8, 1.0])
SHAPE = (18, 16, 12)


def run(*words, status=0):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == status


def write(path, voxels):
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), path)
    return path


@pytest.fixture
def study(tmp_path):
    """Three scans, two readers: Ben draws a tenth more than Anna."""
    lines = ["scan,reader,labels"]
    for day, brightness in enumerate((50, 20, 10)):
        voxels = np.zeros(SHAPE, dtype=np.float32)
        voxels[2:16, 3:12, 2:10] = brightness
        write(tmp_path / f"day{day}.nii.gz", voxels)
        for reader, end in (("Anna", 12), ("Ben", 13)):
            labels = np.zeros(SHAPE, dtype=np.uint8)
            labels[2:end, 3:12, 2:10] = 1
            write(tmp_path / reader / f"day{day}.nii.gz", labels)
            lines.append(f"day{day}.nii.gz,{reader},{reader}/day{day}.nii.gz")
    table = tmp_path / "readings.csv"
    table.write_text("\n".join(lines) + "\n")
    (tmp_path / "organs.csv").write_text("label,name\n1,liver\n")
    return table


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_table_of_readers_becomes_a_table_of_agreement_and_a_figure(study, tmp_path, capsys):
    out, figure = tmp_path / "agreement.csv", tmp_path / "agreement.png"
    options = ["--names", tmp_path / "organs.csv", "--modality", "MPI", "--figure", figure]
    run("compare-readers", "--table", study, *options, "--out", out)
    rows = rows_of(out)
    readings = [row for row in rows if row["statistic"] == "reading" and row["quantity"] == "total"]
    assert len(readings) == 6
    assert float(readings[0]["value"]) == pytest.approx(50 * 10 * 9 * 8 * 0.6 * 0.5 * 0.8)
    ratio = next(row for row in rows if row["statistic"] == "ratio" and row["quantity"] == "total")
    assert (ratio["organ"], ratio["reader_a"], ratio["reader_b"], ratio["count"]) == ("liver", "Anna", "Ben", "3")
    assert float(ratio["value"]) == pytest.approx(10 / 11)
    overlap = next(row for row in rows if row["statistic"] == "dice")
    assert float(overlap["value"]) == pytest.approx(20 / 21)
    assert figure.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "2 readers, 3 scans, 1 organ\n" in said
    assert "ICC(2,1)" in said


def test_label_files_of_one_scan_are_called_by_their_names_or_folders(study, capsys):
    folder = study.parent
    anna, ben = (folder / name / "day0.nii.gz" for name in ("Anna", "Ben"))
    run("compare-readers", anna, ben, "--scan", folder / "day0.nii.gz", "--out", folder / "a.csv", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [one["reader"] for one in found["readings"]] == ["Anna/day0", "Ben/day0"]
    assert {row["statistic"] for row in found["agreement"]} == {"cv_percent", "dice"}


def test_a_blinded_comparison_names_nobody_and_keeps_the_key(study, tmp_path, capsys):
    out, key = tmp_path / "blind.csv", tmp_path / "key.csv"
    run("compare-readers", "--table", study, "--blind", key, "--seed", "4", "--out", out)
    said = capsys.readouterr().out + out.read_text()
    for name in ("Anna", "Ben", "day0", "day1"):
        assert name not in said
    codes = {row["name"]: row["code"] for row in rows_of(key)}
    assert set(codes) == {"Anna", "Ben", "day0.nii.gz", "day1.nii.gz", "day2.nii.gz"}
    dim = next(r for r in rows_of(out) if r["scan"] == codes["day2.nii.gz"] and r["quantity"] == "total")
    assert float(dim["value"]) in (pytest.approx(10 * 720 * 0.24), pytest.approx(10 * 792 * 0.24))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x.csv"], "needs LABELS... and --scan, or --table"),
        (["--table", "readings.csv"], "needs --out"),
        (["--table", "readings.csv", "--scan", "day0.nii.gz", "--out", "x.csv"], "leave out LABELS and --scan"),
        (["--table", "gap.csv", "--out", "x.csv"], "labels is empty (line 2)"),
        (["--table", "none.csv", "--out", "x.csv"], "holds no rows"),
        (["--table", "readings.csv", "--out", "x.csv", "--figure", "f.pdf"], ".svg or .png"),
        (["Anna/day0.nii.gz", "--scan", "day0.nii.gz", "--out", "x.csv"], "two readers or more"),
    ],
)
def test_a_call_that_makes_no_sense_says_what_to_do(study, monkeypatch, capsys, words, said):
    folder = study.parent
    monkeypatch.chdir(folder)
    (folder / "gap.csv").write_text("scan,reader,labels\nday0.nii.gz,Anna,\n")
    (folder / "none.csv").write_text("scan,reader,labels\n")
    run("compare-readers", *words, status=2)
    assert said in capsys.readouterr().err
    assert not (folder / "x.csv").exists()
