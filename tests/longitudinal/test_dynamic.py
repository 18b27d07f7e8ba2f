"""Organs followed over the frames of one scan; the truth is the curve that the frames were made with."""

import csv
import tracemalloc

import nibabel
import numpy as np
import pytest

from napari_mpi_track.cli.main import main
from napari_mpi_track.errors import MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.dynamic import dynamic_scan, dynamic_summaries, measure_dynamic
from napari_mpi_track.longitudinal.measurement import DynamicRow
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.report.run import run_study
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((16, 14, 12), (2.0, 1.0, 1.0), frame="one")
HEART, LIVER = (slice(2, 6), slice(2, 7), slice(2, 7)), (slice(8, 14), slice(4, 12), slice(2, 10))
HEART_MM3, LIVER_MM3 = 4 * 5 * 5 * 2.0, 6 * 8 * 8 * 2.0
STEP_S, NOISE = 2.0, 1.0
TIMES = np.arange(40) * STEP_S
# A bolus that peaks in the heart after 6 s, and fills the liver as it leaves.
HEART_CURVE = 100 * (TIMES / 6) * np.exp(1 - TIMES / 6)
LIVER_CURVE = 20 * (1 - np.exp(-TIMES / 15))


def frames(noise=NOISE):
    rng = np.random.default_rng(1)
    for heart, liver in zip(HEART_CURVE, LIVER_CURVE, strict=True):
        voxels = rng.normal(0, noise, GRID.shape)
        voxels[HEART] += heart
        voxels[LIVER] += liver
        yield voxels.astype(np.float32)


def volumes(times=TIMES):
    return [
        Volume(voxels, GRID, Modality.MPI, "a.u.", name="bolus", time_s=time)
        for voxels, time in zip(frames(), times, strict=True)
    ]


@pytest.fixture(scope="module")
def organs():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[HEART], labels[LIVER] = 1, 2
    return OrganLabels(labels, GRID, {1: "heart", 2: "liver"})


@pytest.fixture(scope="module")
def rows(organs):
    found, _ = measure_dynamic(DynamicRow("a1", "", 0.0, "MPI"), dynamic_scan(volumes()), organs, None)
    return found


def curve(rows, organ):
    return np.array([row.signal_total for row in rows if row.organ == organ])


def test_every_frame_gives_every_organs_total_with_the_error_of_its_noise(rows):
    heart = curve(rows, "heart")
    sd = NOISE * 2.0 * np.sqrt(4 * 5 * 5)
    assert len(heart) == len(TIMES)
    # 40 frames: of normal scatter one may lie beyond three SDs, none beyond four.
    assert np.abs(heart - HEART_CURVE * HEART_MM3).max() < 4 * sd
    assert [row.signal_total_sd for row in rows if row.organ == "heart"] == pytest.approx([sd] * 40, rel=0.1)
    parts = curve(rows, "heart") + curve(rows, "liver") + curve(rows, "outside")
    assert parts == pytest.approx(curve(rows, "total"), rel=1e-9)
    assert [row.time_s for row in rows if row.organ == "liver"] == TIMES.tolist()


def test_area_peak_and_time_to_peak_are_those_of_the_curve(rows):
    summaries = {row.organ: row for row in dynamic_summaries(rows)}
    heart = summaries["heart"]
    area = np.trapezoid(HEART_CURVE, TIMES) * HEART_MM3
    assert abs(heart.area_under_curve - area) < 3 * heart.area_under_curve_sd
    # 39 steps of 2 s, each frame's error 20.
    assert heart.area_under_curve_sd == pytest.approx(STEP_S * 20 * np.sqrt(38.5), rel=0.1)
    assert heart.time_to_peak_s == 6.0
    assert heart.peak == pytest.approx(100 * HEART_MM3, abs=4 * heart.peak_sd)
    assert (heart.frames, heart.duration_s, heart.flag) == (40, 78.0, "")


def test_a_curve_whose_highest_frame_is_the_last_is_still_rising(organs):
    growing = [
        Volume(np.full(GRID.shape, 5.0 * n) + voxels, GRID, Modality.MPI, time_s=float(n))
        for n, voxels in enumerate(list(frames())[:4])
    ]
    found, _ = measure_dynamic(DynamicRow("a", "", 0.0, "MPI"), dynamic_scan(growing), organs, None)
    assert {row.flag for row in dynamic_summaries(found) if row.organ == "total"} == {"still_rising"}


def test_frames_are_measured_one_by_one_in_memory(organs, tmp_path):
    """Frames of a file's map: 200 of 21 kB as doubles, of which only some may ever be there at once."""
    data = np.zeros((*GRID.shape[::-1], 200), np.float32)
    data[:, :, :, :40] = np.stack([voxels.T for voxels in frames()], axis=-1)
    np.save(tmp_path / "frames.npy", data.T)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    scan = dynamic_scan([Volume(mapped[n], GRID, Modality.MPI, time_s=float(n)) for n in range(200)])
    measure_dynamic(DynamicRow("a", "", 0.0, "MPI"), dynamic_scan(volumes()), organs, None)
    tracemalloc.start()
    found, _ = measure_dynamic(DynamicRow("a", "", 0.0, "MPI"), scan, organs, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 4 * 200
    # All frames as doubles would be 4.3 MB, beside 0.4 MB of rows; the noise's transforms take most of what is left.
    assert peak < 3e6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v[:1], "two frames or more"),
        (lambda _: volumes([None] * 40), "times of the frames are not stated"),
        (lambda _: volumes([1.0] * 40), "two frames are of the same time"),
        (lambda v: [*v, Volume(v[0].voxels, GRID, name="other", time_s=0.0)], "one dynamic scan was needed, 2"),
    ],
)
def test_what_is_no_dynamic_scan_is_refused(change, words):
    with pytest.raises(MeasurementError, match=words):
        dynamic_scan(change(volumes()))


def test_a_background_round_organs_is_refused_for_frames(organs):
    with pytest.raises(MeasurementError, match="'shell' is not for frames"):
        measure_dynamic(DynamicRow("a", "", 0.0, "MPI"), dynamic_scan(volumes()), organs, None, background="shell")


@pytest.fixture(scope="module")
def folder(organs, tmp_path_factory):
    """The frames as one NIfTI of four dimensions, with the organs drawn on them."""
    folder = tmp_path_factory.mktemp("dynamic")
    data = np.stack([voxels.T for voxels in frames()], axis=-1)
    image = nibabel.Nifti1Image(data, np.diag([-1.0, -1.0, 2.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((1.0, 1.0, 2.0, STEP_S))
    nibabel.save(image, folder / "bolus.nii")
    drawn = nibabel.Nifti1Image(np.asarray(organs.voxels).T, np.diag([-1.0, -1.0, 2.0, 1.0]))
    nibabel.save(drawn, folder / "organs.nii")
    (folder / "organs.csv").write_text("label,name\n1,heart\n2,liver\n")
    return folder


def test_the_command_writes_curves_and_tells_their_peaks(folder, tmp_path, capsys):
    arguments = ["measure-dynamic", str(folder / "bolus.nii"), "--organs", str(folder / "organs.nii")]
    arguments += ["--names", str(folder / "organs.csv"), "--out", str(tmp_path / "d.csv")]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--figure", str(tmp_path / "d.svg")])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert "heart: peak 20," in told
    assert "at 6.00 s" in told
    with (tmp_path / "d.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [float(row["time_s"]) for row in found if row["organ"] == "heart"] == TIMES.tolist()
    assert "heart: peak" in (tmp_path / "d.svg").read_text(encoding="utf-8")


def test_a_study_with_a_dynamic_scan_alone_runs_to_its_tables_and_figure(folder, tmp_path):
    (folder / "study.yaml").write_text(
        "schema: 1\nreference: first\norgans: organs.csv\nsubjects:\n  - id: a1\n    timepoints:\n"
        "      - {day: 0, dynamic: bolus.nii, organs: organs.nii}\n"
    )
    summary = run_study(load_study(folder / "study.yaml"), tmp_path / "out")
    assert summary.failures == ()
    with (tmp_path / "out" / "dynamic_summary.csv").open(newline="") as stream:
        found = {row["organ"]: row for row in csv.DictReader(stream)}
    assert float(found["heart"]["time_to_peak_s"]) == 6.0
    assert (tmp_path / "out" / "figures" / "dynamic_a1_day0_MPI.svg").exists()
    assert "dynamic MPI of a1, day 0" in summary.report.read_text(encoding="utf-8")
    again = run_study(load_study(folder / "study.yaml"), tmp_path / "out", resume=True)
    assert (again.measured, again.reused) == (0, 1)
    assert again.analysis.dynamic == summary.analysis.dynamic


def test_labels_drawn_elsewhere_fail_by_name(folder, tmp_path):
    other = Grid.from_spacing((8, 8, 8), 1.0)
    write_volume(OrganLabels(np.ones(other.shape, np.uint8), other), folder / "elsewhere.nii.gz", overwrite=True)
    (folder / "bad.yaml").write_text(
        "schema: 1\nreference: first\nsubjects:\n  - id: a1\n    timepoints:\n"
        "      - {day: 0, signal: 5, dynamic: bolus.nii, organs: elsewhere.nii.gz}\n"
    )
    summary = run_study(load_study(folder / "bad.yaml"), tmp_path / "out")
    [failure] = summary.failures
    assert "dynamic: " in failure.reason
    assert "not drawn on this dynamic scan" in failure.reason
