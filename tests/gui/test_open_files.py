"""Scans and organs through napari's own Open and Save, where SimpleITK says they lie."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from npe2 import PluginManifest, _pytest_plugin
from npe2.io_utils import read, write

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.gui.layers import METADATA_KEY, organ_layer, scan_layer
from napari_mpi_track.gui.open_files import get_reader, read_layers
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.labels import OrganLabels
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.organs import read_organs
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.writers.scans import write_volume

PLUGIN = "napari-mpi-track"


@pytest.fixture
def plugin(npe2pm: _pytest_plugin.TestPluginManager) -> None:
    """This plugin alone in napari's registry: nothing else that is installed here reads or writes."""
    npe2pm.register(PluginManifest.from_distribution(PLUGIN))


def oblique_grid() -> Grid:
    """Sagittal planes, tilted by 12 degrees in the plane, flipped along two axes."""
    matrix = np.eye(4)
    turn = np.deg2rad(12)
    matrix[:3, 0] = np.array([-1, 0, 0]) * 2.0
    matrix[:3, 1] = np.array([0, np.sin(turn), -np.cos(turn)]) * 0.5
    matrix[:3, 2] = np.array([0, np.cos(turn), np.sin(turn)]) * 0.7
    matrix[:3, 3] = (11.0, -20.0, 35.0)
    return Grid((5, 9, 8), matrix)


@pytest.fixture
def scan_file(tmp_path: Path) -> Path:
    values = np.arange(360.0).reshape(5, 9, 8).astype(np.float32)
    path = tmp_path / "oblique.mha"
    write_volume(Volume(values, oblique_grid(), Modality.MR), path)
    return path


def test_the_manifest_is_valid_and_says_all_that_it_promises() -> None:
    done = subprocess.run([sys.executable, "-m", "npe2", "validate", PLUGIN], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    offered = PluginManifest.from_distribution(PLUGIN).contributions
    for kind in (offered.readers, offered.writers, offered.widgets, offered.menus):
        assert kind
    assert {sample.key for sample in offered.sample_data} == {"car-t", "knee"}


def test_every_command_of_the_manifest_can_be_imported() -> None:
    for command in PluginManifest.from_distribution(PLUGIN).contributions.commands:
        assert callable(command.python_name and _imported(command.python_name))


@pytest.mark.usefixtures("plugin")
def test_a_file_opens_through_napari_at_the_place_simpleitk_gives_it(scan_file: Path) -> None:
    ((voxels, place, kind),) = read([str(scan_file)], stack=False, plugin_name=PLUGIN)
    assert kind == "image"
    image = sitk.ReadImage(str(scan_file))
    hot = (3, 6, 5)
    x, y, z = image.TransformIndexToPhysicalPoint(hot[::-1])
    drawn = (np.array([z, y, x]) - place["translate"]) / place["scale"]
    assert voxels[tuple(np.rint(drawn).astype(int))] == pytest.approx(image[hot[::-1]], abs=30)
    assert place["units"] == ("mm", "mm", "mm")


@pytest.mark.usefixtures("plugin")
def test_a_scan_saved_by_napari_is_the_scan_that_was_opened(scan_file: Path, tmp_path: Path) -> None:
    (layer,) = read([str(scan_file)], stack=False, plugin_name=PLUGIN)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        (saved,) = write(str(tmp_path / f"saved{suffix}"), [layer], plugin_name=PLUGIN)
        was, now = read_scan(scan_file), read_scan(saved)
        np.testing.assert_array_equal(now.voxels, was.voxels)
        assert now.grid.farthest_corner_mm(was.grid) < 1e-4


@pytest.mark.usefixtures("plugin")
def test_painted_organs_are_saved_with_their_names_at_their_place(tmp_path: Path) -> None:
    organs = OrganLabels(np.zeros((5, 9, 8), np.uint8), oblique_grid())
    voxels, place, kind = organ_layer(organs)
    voxels[tuple(n // 2 for n in voxels.shape)] = 2
    place["features"] = {"index": [0, 2], "name": ["", "tumour"]}
    # The painted voxel of the picture may fall between those of a scan tilted so: a block holds one for sure.
    middle = tuple(slice(n // 2 - 1, n // 2 + 2) for n in voxels.shape)
    voxels[middle] = 2
    (saved,) = write(str(tmp_path / "organs.nii.gz"), [(voxels, place, kind)], plugin_name=PLUGIN)
    back = read_organs(saved)
    assert dict(back.names) == {2: "tumour"}
    assert back.grid.farthest_corner_mm(organs.grid) < 1e-4
    (opened,) = read_layers(saved)
    assert opened[2] == "labels"


@pytest.mark.usefixtures("plugin")
def test_a_folder_opens_with_all_its_scans(scan_file: Path) -> None:
    write_volume(read_scan(scan_file), scan_file.with_name("second.nrrd"))
    layers = read([str(scan_file.parent)], stack=False, plugin_name=PLUGIN)
    assert [kind for _, _, kind in layers] == ["image", "image"]


def test_a_folder_without_scans_says_so(tmp_path: Path) -> None:
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.4 nothing here")
    with pytest.raises(UnreadableScanError, match=r"letter\.pdf"):
        read_layers(str(tmp_path))


def test_what_is_not_for_this_plugin_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("schema: 1")
    (tmp_path / "cells.zarr").mkdir()
    assert get_reader(str(tmp_path / "study.yaml")) is None
    assert get_reader(str(tmp_path / "cells.zarr")) is None
    assert get_reader(str(tmp_path / "missing.nii")) is None


def test_a_scan_keeps_itself_in_one_metadata_key() -> None:
    scan = Volume(np.zeros((5, 9, 8)), oblique_grid())
    metadata = scan_layer(scan)[1]["metadata"]
    assert list(metadata) == [METADATA_KEY]
    assert metadata[METADATA_KEY].scan is scan


def _imported(python_name: str) -> object:
    module, _, name = python_name.partition(":")
    __import__(module)
    return getattr(sys.modules[module], name)


def test_dicom_segmentations_open_as_labels_alone_and_in_a_folder(scan_file: Path, tmp_path: Path) -> None:
    voxels = np.zeros((3, 4, 5), np.uint8)
    voxels[1, 2, 3] = 1
    organs = OrganLabels(voxels, Grid.from_spacing(voxels.shape, (2, 1, 0.5)), {1: "liver"})
    folder = tmp_path / "day"
    folder.mkdir()
    write_volume(organs, folder / "organs.dcm")
    (alone,) = read_layers(str(folder / "organs.dcm"))
    assert alone[2] == "labels"
    assert int(np.count_nonzero(alone[0])) == 1
    (folder / scan_file.name).write_bytes(scan_file.read_bytes())
    assert sorted(layer[2] for layer in read_layers(str(folder))) == ["image", "labels"]
