"""Organs corrected and approved on a day, from the study file to the tables of a run."""

import csv
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from posed_animals import pose, posed_animal

from napari_mpi_track.cli import main
from napari_mpi_track.errors import FrameMismatchError, GridMismatchError, StudyFileError
from napari_mpi_track.imaging.approval import approve
from napari_mpi_track.imaging.deformation import Deformation
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.label_edits import LabelEdits
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.transform import Transform
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.longitudinal.day_organs import carried_back, carried_onto, with_edits
from napari_mpi_track.longitudinal.scene import set_scene
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.readers.organs import read_organs
from napari_mpi_track.writers.scans import write_volume

GRID = Grid.from_spacing((20, 18, 16), 1.0, (-7.5, -8.5, -9.5), "day 3")


def labels_of(grid: Grid, **boxes: tuple[slice, slice, slice]) -> OrganLabels:
    voxels = np.zeros(grid.shape, np.uint8)
    for value, box in enumerate(boxes.values(), start=1):
        voxels[box] = value
    return OrganLabels(voxels, grid, dict(enumerate(boxes, start=1)))


def block(plane: int, row: int, column: int, size: int = 4) -> tuple[slice, slice, slice]:
    return slice(plane, plane + size), slice(row, row + size), slice(column, column + size)


def way(x_mm: float, turn_deg: float = 0.0) -> Transform:
    return pose((0, 0, turn_deg), (x_mm, 0, 0)).between("day 0", "day 3")


def test_carried_organs_move_with_the_alignment_and_edits_stay(tmp_path: Path) -> None:
    organs = labels_of(GRID.in_frame("day 0"), liver=block(8, 8, 4), spleen=block(2, 2, 4))
    painted = np.zeros(GRID.shape, np.uint8)
    painted[10, 10, 12] = 1
    empty = labels_of(GRID)
    write_volume(
        LabelEdits.between(empty, OrganLabels(painted, GRID, {1: "node"})).as_labels(), tmp_path / "edits.nii.gz"
    )
    for x_mm in (0.0, 2.0):
        carried = carried_onto(organs, way(x_mm), GRID)
        corrected = with_edits(carried, tmp_path / "edits.nii.gz")
        assert np.argwhere(corrected.mask("liver"))[:, 2].min() == 4 + x_mm
        assert np.argwhere(corrected.mask("node")).tolist() == [[10, 10, 12]]
        back = carried_back(organs, way(x_mm), carried, corrected)
        assert_same_place(back, "liver", organs)
        at = way(x_mm).map(places_of(back, "node"))
        np.testing.assert_allclose(at.mean(axis=0), GRID.lps_from([10, 10, 12]), atol=1e-9)


def test_organs_carried_through_a_deformation_lie_where_it_takes_them() -> None:
    lattice = Grid.from_spacing((6, 6, 6), 10.0, (-25.0, -25.0, -25.0))
    moves = np.zeros((3, 6, 6, 6))
    moves[0] = np.linspace(0.0, 3.0, 6)[:, None, None]
    bent = Transform(np.eye(4), "day 0", "day 3", Deformation(lattice, moves))
    organs = labels_of(GRID.in_frame("day 0"), liver=block(8, 8, 4))
    carried = carried_onto(organs, bent, GRID)
    where = bent.map(organs.grid.lps_from(np.argwhere(organs.mask("liver"))))
    found = carried.grid.lps_from(np.argwhere(carried.mask("liver")))
    # Nearest voxels of 1 mm: their mean moves by less than a third of one.
    np.testing.assert_allclose(found.mean(axis=0), where.mean(axis=0), atol=0.3)
    painted = drawn_over(carried, block(12, 3, 12, 3), 2)
    back = carried_back(organs, bent, carried, painted)
    assert_same_place(back, "liver", organs)
    node, truth = bent.map(places_of(back, "2")), places_of(painted, "2")
    # Voxels of a quarter of a mm: at most half of one, and the bend within the block.
    np.testing.assert_allclose(node.mean(axis=0), truth.mean(axis=0), atol=0.17)


def test_a_folder_of_masks_serves_as_the_organs_of_a_day(two_days: Path) -> None:
    drawn = read_organs(two_days / "organs0.nii.gz")
    write_volume(drawn, two_days / "masks/liver.nii.gz", overwrite=True)
    (two_days / "study.yaml").write_text((STUDY % ("", "")).replace("organs0.nii.gz", "masks"))
    study = load_study(two_days / "study.yaml")
    scene = set_scene(study, study.subjects[0], study.subjects[0].timepoint(0))
    assert scene.organs is not None
    assert list(scene.organs.names.values()) == ["liver"]


def places_of(organs: OrganLabels, organ: str) -> NDArray[np.float64]:
    return organs.grid.lps_from(np.argwhere(organs.mask(organ)))


def assert_same_place(found: OrganLabels, organ: str, truth: OrganLabels) -> None:
    """Every voxel of a finer grid lies in one of the truth's own, and their volumes are one."""
    at = truth.grid.index_from(places_of(found, organ))
    assert truth.mask(organ)[tuple(np.rint(at).astype(int).T)].all()
    volumes = [np.count_nonzero(one.mask(organ)) * one.grid.voxel_volume_mm3 for one in (found, truth)]
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-9)


def drawn_over(organs: OrganLabels, box: tuple[slice, slice, slice], value: int) -> OrganLabels:
    voxels = organs.voxels.copy()
    voxels[box] = value
    return OrganLabels(voxels, organs.grid, organs.names)


@pytest.mark.parametrize(("x_mm", "turn_deg"), [(0.0, 0.0), (0.5, 0.0), (1.4, 13.0)])
def test_what_was_not_touched_keeps_its_outlines_whatever_the_way(x_mm: float, turn_deg: float) -> None:
    organs = labels_of(GRID.in_frame("day 0"), liver=block(8, 8, 4), spleen=block(3, 9, 8, 3))
    by = way(x_mm, turn_deg)
    carried = carried_onto(organs, by, GRID)
    assert np.array_equal(carried_back(organs, by, carried, carried).voxels, organs.voxels)
    back = carried_back(organs, by, carried, drawn_over(carried, block(14, 2, 2, 3), 9))
    for organ in ("liver", "spleen"):
        assert_same_place(back, organ, organs)
    node = by.map(places_of(back, "9"))
    # 27 voxels of 1 mm3, laid out in voxels of a quarter of a mm: at most half of one out of place.
    np.testing.assert_allclose(node.mean(axis=0), GRID.lps_from([15, 3, 3]), atol=0.17)
    assert len(node) * back.grid.voxel_volume_mm3 == pytest.approx(27, rel=0.1)


@pytest.mark.parametrize(("x_mm", "turn_deg"), [(0.5, 0.0), (1.4, 13.0)])
def test_an_organ_erased_or_joined_on_another_day_leaves_no_rim(x_mm: float, turn_deg: float) -> None:
    organs = labels_of(GRID.in_frame("day 0"), liver=block(8, 8, 4), spleen=block(8, 8, 8, 3))
    by = way(x_mm, turn_deg)
    carried = carried_onto(organs, by, GRID)
    erased = carried.voxels.copy()
    erased[carried.mask("spleen")] = 0
    back = carried_back(organs, by, carried, OrganLabels(erased, GRID, {1: "liver"}))
    assert dict(back.names) == {1: "liver"}
    assert_same_place(back, "liver", organs)
    joined = carried.voxels.copy()
    joined[carried.mask("spleen")] = 1
    back = carried_back(organs, by, carried, OrganLabels(joined, GRID, {1: "both"}))
    assert dict(back.names) == {1: "both"}
    assert_same_place(back, "both", OrganLabels((organs.voxels > 0).astype(np.uint8), organs.grid, {1: "both"}))


def test_strokes_beyond_the_other_days_grid_are_kept_and_organs_beyond_this_days_stay() -> None:
    organs = labels_of(GRID.in_frame("day 0"), liver=block(8, 8, 4), tail=block(1, 1, 0, 2))
    by = way(-5.0)
    carried = carried_onto(organs, by, GRID)
    # The tail lies beyond this day's field: label 2 looks free there.
    assert dict(carried.names) == {1: "liver"}
    drawn = drawn_over(carried, block(4, 12, 13, 3), 2)
    back = carried_back(organs, by, carried, drawn.renamed({1: "liver", 2: "node"}))
    assert sorted(back.names.values()) == ["liver", "node", "tail"]
    assert_same_place(back, "tail", organs)
    np.testing.assert_allclose(by.map(places_of(back, "node")).mean(axis=0), GRID.lps_from([5, 13, 14]), atol=1e-9)


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An animal on two days in two poses; organs drawn on the first, a node lit on the second where none was drawn."""
    folder = tmp_path_factory.mktemp("study")
    first, second = pose((0, 0, 0), (0, 0, 0)), pose((2, -3, 4), (2, -1, 3))
    for day, where in ((0, first), (3, second)):
        ct = posed_animal(Modality.CT, where)
        write_volume(ct, folder / f"ct{day}.nii.gz")
        points = where.inverse().map(ct.grid.lps_from(np.stack(np.indices(ct.grid.shape), axis=-1)))
        liver = np.sum(((points - np.array([-2, -1, -4])) / [8, 6, 4]) ** 2, axis=-1) < 1
        mpi = np.random.default_rng(day).normal(0, 1, ct.grid.shape) + 10 * liver
        if day == 0:
            write_volume(OrganLabels(liver.astype(np.uint8), ct.grid, {1: "liver"}), folder / "organs0.nii.gz")
        else:
            mpi[20:24, 20:24, 20:24] += 50
            node = np.zeros(ct.grid.shape, np.uint8)
            node[20:24, 20:24, 20:24] = 1
            edits = LabelEdits.between(OrganLabels(node * 0, ct.grid), OrganLabels(node, ct.grid, {1: "node"}))
            write_volume(edits.as_labels(), folder / "edits3.nii.gz")
        write_volume(Volume(mpi.astype(np.float32), ct.grid), folder / f"mpi{day}.nii.gz")
    return folder


STUDY = """schema: 1
alignment: frame
reference: first
subjects:
  - id: m01
    timepoints:
      - day: 0
        mpi: mpi0.nii.gz
        anatomy: ct0.nii.gz
        organs: organs0.nii.gz%s
      - day: 3
        mpi: mpi3.nii.gz
        anatomy: ct3.nii.gz%s
"""


def study_of(folder: Path, first: str = "", second: str = "") -> Path:
    (folder / "study.yaml").write_text(STUDY % (first, second), encoding="utf-8")
    return folder / "study.yaml"


def test_a_run_measures_organs_as_corrected_and_tells_who_approved_them(two_days: Path, tmp_path: Path) -> None:
    drawn = read_organs(two_days / "organs0.nii.gz")
    approval = approve(drawn, "liver", "A. B.", datetime(2026, 11, 21))
    said = "\n        approved: {liver: {by: A. B., at: 2026-11-21T10:00:00, sha256: %s}}"
    edits = "\n        organ_edits: edits3.nii.gz"
    file = study_of(two_days, said % approval.sha256, edits + said % ("a" * 64))
    with pytest.raises(SystemExit) as end:
        main(["run", str(file), "--out", str(tmp_path / "out")])
    assert end.value.code == 0
    with (tmp_path / "out/measurements.csv").open() as lines:
        rows = {(row["day"], row["organ"]): row for row in csv.DictReader(lines)}
    # 64 voxels of 1 mm3 at 50, noise of SD 1: 3200 with an SD of 8; laid out in the other day's grid of a quarter of
    # a mm, the cube of 4 mm may lie half of that off along each axis: 3 x 3 % at most.
    assert float(rows["3", "node"]["signal_total"]) == pytest.approx(3200, abs=300)
    # Without blur, what voxels of 1 mm at the rim hold is half lost where outlines were drawn on another day's voxels.
    assert float(rows["3", "liver"]["signal_total"]) == pytest.approx(
        float(rows["0", "liver"]["signal_total"]), rel=0.12
    )
    assert float(rows["3", "liver"]["alignment_error_mm"]) > 0
    provenance = json.loads((tmp_path / "out/provenance.json").read_text())
    told = " ".join(str(entry) for entry in (*provenance["warnings"], *provenance["notes"]))
    assert "organ 'liver': approved by A. B., 2026-11-21, unchanged since" in told
    assert "organ 'liver' was approved by A. B., 2026-11-21 but has changed since" in told
    assert "edits3.nii.gz" in provenance["inputs"]
    page = (tmp_path / "out/report.html").read_text()
    assert "has changed since" in page
    assert "m01 day 0: liver by A. B., 2026-11-21; m01 day 3: liver" in page
    assert "m01 day 3 (edits3.nii.gz)" in page


def test_a_days_own_organs_are_corrected_too(two_days: Path) -> None:
    drawn = read_organs(two_days / "organs0.nii.gz")
    voxels = drawn.voxels.copy()
    voxels[np.nonzero(voxels)[0].min()] = 0
    edits = LabelEdits.between(drawn, OrganLabels(voxels, drawn.grid, drawn.names))
    write_volume(edits.as_labels(), two_days / "edits0.nii.gz", overwrite=True)
    study = load_study(study_of(two_days, "\n        organ_edits: edits0.nii.gz"))
    scene = set_scene(study, study.subjects[0], study.subjects[0].timepoint(0))
    assert scene.organs is not None
    np.testing.assert_array_equal(scene.organs.voxels, voxels)


def test_edits_painted_on_another_grid_are_refused_by_file(two_days: Path) -> None:
    write_volume(LabelEdits(GRID, np.array([3]), np.array([1])).as_labels(), two_days / "other.nii.gz", overwrite=True)
    study = load_study(study_of(two_days, "\n        organ_edits: other.nii.gz"))
    with pytest.raises(GridMismatchError, match=r"edits were painted on another grid.*other\.nii\.gz"):
        set_scene(study, study.subjects[0], study.subjects[0].timepoint(0))


def test_labels_of_another_frame_of_reference_than_their_scan_are_refused(two_days: Path) -> None:
    from simulated_dicom import write_series

    ct = posed_animal(Modality.CT, Transform.identity())
    write_series(two_days / "ct_dicom", np.zeros(ct.grid.shape, np.int16), ct.grid.in_frame("1.2.3.4"))
    drawn = read_organs(two_days / "organs0.nii.gz")
    write_volume(drawn.in_frame("1.2.3.5"), two_days / "organs0.dcm", overwrite=True)
    text = STUDY.replace("ct0.nii.gz", "ct_dicom").replace("organs0.nii.gz", "organs0.dcm") % ("", "")
    (two_days / "study.yaml").write_text(text)
    study = load_study(two_days / "study.yaml")
    with pytest.raises(FrameMismatchError, match=r"the organs lie in the frame of reference 1\.2\.3\.5"):
        set_scene(study, study.subjects[0], study.subjects[0].timepoint(0))


def test_labels_without_an_organ_and_names_without_a_voxel_are_told(
    two_days: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mpi, drawn = str(two_days / "mpi0.nii.gz"), read_organs(two_days / "organs0.nii.gz")
    write_volume(OrganLabels(drawn.voxels * 0, drawn.grid), two_days / "none.nii.gz", overwrite=True)
    (two_days / "names.csv").write_text("label,name\n1,liver\n7,spleen\n")
    for file, status in (("none.nii.gz", 2), ("organs0.nii.gz", 0)):
        with pytest.raises(SystemExit) as end:
            main(
                ["quantify", mpi, "--organs", str(two_days / file), "--names", str(two_days / "names.csv")]
                + ["--out", str(two_days / "q.csv"), "--overwrite"]
            )
        assert end.value.code == status
    said = capsys.readouterr().err
    assert "the labels hold no organ: every voxel is 0" in said
    assert "no voxel has the label of 7 'spleen'" in said


def test_faults_of_edits_and_approvals_are_told_with_their_lines(two_days: Path) -> None:
    text = (STUDY % ("", "")).replace("        organs: organs0.nii.gz", "        organ_edits: edits3.nii.gz")
    (two_days / "study.yaml").write_text(text)
    with pytest.raises(StudyFileError, match="line 10: day 0 has organ_edits but no organs"):
        load_study(two_days / "study.yaml")
    file = study_of(two_days, "\n        approved: {liver: {at: 2026-11-21T10:00:00, sha256: abc}}")
    with pytest.raises(StudyFileError) as fault:
        load_study(file)
    assert "'by' is missing" in str(fault.value)
    assert "sha256" in str(fault.value)
