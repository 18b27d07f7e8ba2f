"""MDF 2 files written here from the specification, with the chambers of the Open MPI concentration phantom."""

from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.scans import read_scan, read_scans

# Open MPI Data, concentration phantom: 8 cubes of 2 mm, 12 mm apart in x and y, 6 mm in z. Chamber 1 is at positive
# x and y of the top layer, then clockwise seen from above (+x to the front, +y to the left); 5 to 8 lie below.
CHAMBERS_MM = {
    1: (6, 6, 3),
    2: (6, -6, 3),
    3: (-6, -6, 3),
    4: (-6, 6, 3),
    5: (6, 6, -3),
    6: (6, -6, -3),
    7: (-6, -6, -3),
    8: (-6, 6, -3),
}
MMOL_PER_L = {1: 44.4, 2: 100.0, 3: 29.6, 4: 8.77, 5: 19.7, 6: 66.6, 7: 13.1, 8: 5.85}
SIZE = (38, 37, 19)
FIELD_M = (0.038, 0.037, 0.019)
CENTRE_M = (0.0005, -0.001, 0.002)


def _phantom() -> tuple[np.ndarray, np.ndarray]:
    """Return mol/L at every voxel, shape (x, y, z), and the metres of the voxels' centres, shape (x, y, z, 3)."""
    axes = [
        centre - extent / 2 + (np.arange(count) + 0.5) * extent / count
        for count, extent, centre in zip(SIZE, FIELD_M, CENTRE_M, strict=True)
    ]
    metres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = np.zeros(SIZE)
    for chamber, place_mm in CHAMBERS_MM.items():
        inside = np.all(np.abs(metres * 1000 - place_mm) <= 1.0, axis=-1)
        assert inside.any()
        values[inside] = MMOL_PER_L[chamber] / 1000
    return values, metres


def _write(path: Path, order: str = "xyz", frames: int = 1, channels: int = 1, **changes: Any) -> Path:
    values, _ = _phantom()
    # The last axis of this transpose runs fastest, and the first letter of the order names it.
    flat = values.transpose(["xyz".index(axis) for axis in order[::-1]]).ravel()
    data = np.stack([np.stack([flat * (q + 1) + s for s in range(channels)], axis=-1) for q in range(frames)])
    content: dict[str, Any] = {
        "version": "2.1.0",
        "uuid": "f6b6ae4f-6a3c-4b0f-8b4c-0123456789ab",
        "study/name": "concentration phantom",
        "experiment/name": "static",
        "experiment/subject": "phantom",
        "experiment/isSimulation": np.int8(1),
        "scanner/name": "preclinical",
        "scanner/manufacturer": "Bruker",
        "tracer/name": np.array(["perimag"] if channels == 1 else ["perimag", "synomag"], dtype=object),
        "tracer/concentration": np.array([0.1]),
        "acquisition/startTime": "2026-03-01T10:00:00.5",
        "acquisition/gradient": np.array([-1.0, -1.0, 2.0]),
        "acquisition/numAverages": np.int64(4),
        "acquisition/numFrames": np.int64(frames),
        "acquisition/driveField/cycle": 0.02154,
        "acquisition/numPeriodsPerFrame": np.int64(1),
        "reconstruction/data": data,
        "reconstruction/size": np.array(SIZE),
        "reconstruction/fieldOfView": np.array(FIELD_M),
        "reconstruction/fieldOfViewCenter": np.array(CENTRE_M),
        "reconstruction/order": order,
    }
    content |= changes
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            if value is not None:
                file[key.replace("__", "/")] = value
    return path


def _value_at(volume: Volume, place_mm: tuple[float, float, float]) -> float:
    return float(volume.voxels[tuple(np.rint(volume.grid.index_from(place_mm)).astype(int))])


@pytest.mark.parametrize("order", ["xyz", "zyx", "yxz", "xzy"])
def test_the_chambers_are_where_the_phantom_has_them_in_mol_per_litre(tmp_path: Path, order: str) -> None:
    volume = read_scan(_write(tmp_path / "phantom.mdf", order), unit="mol/L")
    assert volume.grid.shape == SIZE[::-1]
    assert (volume.modality, volume.unit, volume.tracer) == (Modality.MPI, "mol/L", "perimag")
    for chamber, place in CHAMBERS_MM.items():
        assert _value_at(volume, place) == pytest.approx(MMOL_PER_L[chamber] / 1000, rel=1e-12)
    values, metres = _phantom()
    np.testing.assert_array_equal(volume.voxels, values.T)
    index = volume.grid.index_from(metres * 1000)
    expected = np.stack(np.meshgrid(*(np.arange(n) for n in SIZE), indexing="ij"), axis=-1)[..., ::-1]
    np.testing.assert_allclose(index, expected, atol=1e-9)


def test_mdf_states_no_unit_and_so_do_we(tmp_path: Path) -> None:
    assert read_scan(_write(tmp_path / "phantom.mdf")).unit is None


def test_the_frame_is_the_scanners_in_this_session(tmp_path: Path) -> None:
    frame = read_scan(_write(tmp_path / "phantom.mdf")).grid.frame
    assert frame is not None
    assert "preclinical" in frame
    again = read_scan(_write(tmp_path / "later.mdf", uuid="another"))
    assert again.grid.frame != frame


def test_frames_and_channels_are_volumes_with_their_time_and_tracer(tmp_path: Path) -> None:
    volumes = read_scans(_write(tmp_path / "phantom.mdf", frames=3, channels=2))
    assert len(volumes) == 6
    assert [volume.tracer for volume in volumes[:2]] == ["perimag", "synomag"]
    np.testing.assert_allclose([volume.time_s for volume in volumes], np.repeat([0, 1, 2], 2) * 4 * 0.02154)
    for number, volume in enumerate(volumes):
        expected = 0.1 * (number // 2 + 1) + number % 2
        assert _value_at(volume, CHAMBERS_MM[2]) == pytest.approx(expected)
    assert volumes[0].acquired_at == datetime(2026, 3, 1, 10, 0, 0, 500000)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "1.0.5"}, "MDF 1.0.5 is not read"),
        ({"reconstruction__positions": np.zeros((9, 3))}, "irregular grid"),
        ({"reconstruction__order": "xxz"}, "order must name x, y and z"),
        ({"reconstruction/order": "xxz"}, "order must name x, y and z"),
        ({"reconstruction/size": np.array([3, 3, 3])}, "frames x 27 voxels x channels"),
        ({"reconstruction/fieldOfView": np.array([0.01, -1, 0.01])}, "positive lengths"),
        ({"reconstruction/data": np.zeros((1, 26714, 1), dtype=complex)}, "complex"),
        ({"reconstruction/data": None}, "no reconstruction"),
    ],
)
def test_what_is_no_regular_mdf_2_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    if "reconstruction__order" in changes:
        changes = {"reconstruction/order": changes["reconstruction__order"]}
    with pytest.raises(UnreadableScanError, match=reason):
        read_scan(_write(tmp_path / "phantom.mdf", **changes))


def test_an_array_that_claims_more_than_its_file_holds_takes_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "huge.mat", "w") as file:
        file.create_dataset("image", shape=(1 << 14, 1 << 14, 1 << 10), chunks=(64, 64, 64), dtype="f8")
    with pytest.raises(UnreadableScanError, match="claims"):
        read_scan(tmp_path / "huge.mat", spacing_mm=(1, 1, 1))
