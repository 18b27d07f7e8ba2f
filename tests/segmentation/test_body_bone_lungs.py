"""The animal, its bones and lungs: against the mouse that was drawn, and on real scans of others."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from simulated_mice import ct_of, dice, drawn, field, on_bed, skin

from napari_mpi_track.errors import GridMismatchError, MeasurementError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.segmentation.anatomy import find_body, find_bone, find_lungs, without_bed
from napari_mpi_track.simulation.mouse import mouse
from napari_mpi_track.simulation.scanner import labelled

GRID = field(0.6)


@pytest.fixture(scope="module")
def ct() -> Volume:
    return ct_of(mouse(), GRID, bed=True)


@pytest.fixture(scope="module")
def body(ct) -> OrganLabels:
    return find_body(ct)


def test_the_body_is_found_and_the_bed_it_lies_on_is_not_of_it(body):
    inside = body.voxels > 0
    assert dice(inside, skin(mouse(), GRID)) > 0.98
    bed = on_bed(GRID, skin(mouse(), GRID))
    # What is left is the skin's own blurred edge where it lies on the bed.
    assert np.count_nonzero(inside & bed) < 0.05 * np.count_nonzero(bed)


def test_lungs_and_gut_gas_belong_to_the_body_and_markers_do_not(body):
    inside = body.voxels > 0
    assert np.all(inside[drawn(mouse(), GRID).mask("lungs")])
    for marker in mouse().markers:
        at = tuple(np.rint(GRID.index_from(marker.parts[0].centre_mm)).astype(int))
        assert not inside[at]


def test_bones_are_found_and_neither_bed_nor_markers_are_bone(ct):
    found = find_bone(ct).voxels > 0
    ribs = labelled({"ribs": mouse().tissues[-2].solid}, GRID, np.eye(4)) > 0
    truth = drawn(mouse(), GRID).mask("bone") | ribs
    # Ribs and limbs are one voxel thick here; at 0.3 mm the overlap is 0.95.
    assert dice(found, truth) > 0.83
    assert dice(found & ~ribs, drawn(mouse(), GRID).mask("bone")) > 0.88
    assert not np.any(found & ~skin(mouse(), GRID) & on_bed(GRID, skin(mouse(), GRID)))


def test_lungs_are_found_without_windpipe_and_gut_gas(ct):
    found = find_lungs(ct).voxels > 0
    assert dice(found, drawn(mouse(), GRID).mask("lungs")) > 0.94
    gas = GRID.index_from(np.array([[5.4, -4.4, -11.2], [0.0, -2.0, 29.0]]))
    assert not found[tuple(np.rint(gas).astype(int).T)].any()


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0)])
def test_the_way_the_array_runs_makes_no_difference(ct, body, axes):
    turned_matrix = ct.grid.lps_from_index[:, [*axes, 3]]
    turned = replace(
        ct,
        voxels=np.transpose(ct.voxels, axes),
        grid=Grid(tuple(ct.grid.shape[a] for a in axes), turned_matrix, ct.grid.frame),
    )
    found = find_body(turned)
    back = np.transpose(found.voxels, np.argsort(axes))
    assert dice(back > 0, body.voxels > 0) > 0.999


def test_thick_slices_show_the_same_body(ct):
    thick = ct.voxels[: ct.voxels.shape[0] // 4 * 4].reshape(-1, 4, *ct.voxels.shape[1:]).mean(axis=1)
    matrix = ct.grid.lps_from_index.copy()
    matrix[:3, 3] = ct.grid.lps_from((1.5, 0, 0))
    matrix[:3, 0] *= 4
    grid = Grid(thick.shape, matrix, ct.grid.frame)
    found = find_body(Volume(thick.astype(np.float32), grid, Modality.CT, "HU"))
    assert dice(found.voxels > 0, skin(mouse(), grid)) > 0.96


def test_an_mr_with_a_coil_five_times_brighter_on_one_side_shows_the_whole_body():
    grid = field(1.0)
    truth = skin(mouse(), grid)
    rng = np.random.default_rng(1)
    tissue = ndimage.gaussian_filter(np.where(truth, 400.0, 0.0) * (1 + 0.3 * rng.random(grid.shape)), 0.5)
    shaded = tissue * np.exp(np.linspace(-0.8, 0.8, grid.shape[1]))[None, :, None]
    noisy = np.hypot(shaded + rng.normal(0, 12, grid.shape), rng.normal(0, 12, grid.shape))
    found = find_body(Volume(noisy.astype(np.float32), grid, Modality.MR, "a.u."))
    assert dice(found.voxels > 0, truth) > 0.96


def test_a_ct_without_hounsfield_units_shows_its_body(ct):
    shifted = Volume((ct.voxels.astype(np.float32) + 1024) * 0.5, ct.grid, Modality.CT)
    assert dice(find_body(shifted).voxels > 0, skin(mouse(), GRID)) > 0.96
    with pytest.raises(MeasurementError, match="Hounsfield"):
        find_lungs(shifted)


def test_the_bed_is_set_to_air(ct, body):
    bare = without_bed(ct, body)
    outside = body.voxels == 0
    assert np.all(bare.voxels[outside] == -1000)
    assert np.array_equal(bare.voxels[~outside], ct.voxels[~outside])
    assert bare.voxels.dtype == ct.voxels.dtype
    with pytest.raises(GridMismatchError):
        without_bed(ct, OrganLabels(np.ones((2, 2, 2), np.uint8), Grid.from_spacing((2, 2, 2), 1.0)))


def test_what_shows_no_anatomy_is_refused_by_name(ct):
    with pytest.raises(MeasurementError, match="CT only"):
        find_bone(replace(ct, modality=Modality.MR))
    with pytest.raises(MeasurementError, match="tracer"):
        find_body(replace(ct, modality=Modality.MPI))
    with pytest.raises(MeasurementError, match="no bone"):
        find_bone(replace(ct, voxels=np.minimum(ct.voxels, 200)))


@pytest.mark.real_data
@pytest.mark.parametrize("breath", ["baseline", "followup"])
def test_lungs_of_a_person_are_those_that_others_drew(breath):
    from napari_mpi_track.readers.scans import read_scan

    folder = Path(os.environ["MPI_TRACK_REAL_DATA"]) / "elastix-lung3dct"
    scan = read_scan(folder / f"3DCT_lung_{breath}.mha", modality=Modality.CT)
    lungs = np.asarray(read_scan(folder / f"3DCT_lung_{breath}_mask.mha").voxels) > 0
    # Half of the second, breathed in deep, is within 50 HU of the air of its scan; it is cut through a lung.
    # Their mask fills the vessels, ours leaves the large ones out.
    assert dice(find_lungs(scan).voxels > 0, lungs) > 0.94


@pytest.mark.real_data
def test_a_pig_head_phantom_is_found_in_its_container():
    from napari_mpi_track.readers.scans import read_scan

    folder = Path(os.environ["MPI_TRACK_REAL_DATA"]) / "pig-head-phantom"
    ct = find_body(read_scan(folder / "ct.nii.gz", modality=Modality.CT))
    mr = find_body(read_scan(folder / "mr_t2.nii.gz", modality=Modality.MR))
    volumes = [np.count_nonzero(b.voxels) * b.grid.voxel_volume_mm3 for b in (ct, mr)]
    # The same piece of meat; the MR cuts a little of it off.
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)
