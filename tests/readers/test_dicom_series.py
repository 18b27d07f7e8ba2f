"""DICOM series of known place and values, shuffled, scaled, cut and mixed as they come."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from assertions import assert_frozen, assert_one_line, assert_same_place
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    EncapsulatedPDFStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)
from simulated_dicom import SYNTAXES, save, set_pixels, write_enhanced, write_series
from strategies import grids, seeds, sheared_grids

from napari_mpi_track.errors import UnreadableScanError
from napari_mpi_track.imaging.grid import Grid
from napari_mpi_track.imaging.volume import Modality
from napari_mpi_track.readers.scans import find_scans, read_scan, read_scans

GRID = Grid.from_spacing((4, 5, 6), (2.0, 0.7, 0.3), (1.0, -20.0, 33.0), frame="1.2.840.99")
VOXELS = np.arange(120, dtype=np.int16).reshape(4, 5, 6) - 60


def _along_the_normal(grid: Grid, voxels: np.ndarray) -> tuple[Grid, np.ndarray]:
    """Return the same voxels with planes in the order of DICOM's normal, row x column."""
    axes = grid.lps_from_index[:3, :3]
    if np.linalg.det(axes[:, [2, 1, 0]]) > 0:
        return grid, voxels
    matrix = grid.lps_from_index.copy()
    matrix[:3, 3] = grid.lps_from((grid.shape[0] - 1, 0, 0))
    matrix[:3, 0] *= -1
    return Grid(grid.shape, matrix, grid.frame), voxels[::-1]


@settings(deadline=None, max_examples=12)
@given(grid=grids(frames=("1.2.840.99",)), seed=seeds(), syntax=st.sampled_from(SYNTAXES))
def test_slices_find_their_place_whatever_their_numbers_and_encoding(grid: Grid, seed: int, syntax: str) -> None:
    rng = np.random.default_rng(seed)
    voxels = rng.integers(-2000, 2000, grid.shape).astype(rng.choice(["i2", "i4"]))
    with TemporaryDirectory() as folder:
        write_series(Path(folder), voxels, grid, order=rng.permutation(len(voxels)), syntax=syntax)
        volume = read_scan(folder)
    expected_grid, expected = _along_the_normal(grid, voxels)
    assert_same_place(volume.grid, expected_grid)
    np.testing.assert_array_equal(volume.voxels, expected)
    assert volume.voxels.dtype == voxels.dtype
    assert volume.grid.frame == "1.2.840.99"
    assert_frozen(volume.voxels)


@settings(deadline=None, max_examples=8)
@given(grid=sheared_grids(frames=("1.2",)))
def test_slices_shifted_within_their_plane_make_a_sheared_grid(grid: Grid) -> None:
    # Rows and columns of DICOM are perpendicular; only the plane's step may lean.
    matrix = grid.lps_from_index.copy()
    row, column = matrix[:3, 1], matrix[:3, 2]
    matrix[:3, 1] = row - (row @ column) / (column @ column) * column
    grid = Grid(grid.shape, matrix, grid.frame)
    voxels = np.arange(np.prod(grid.shape), dtype=np.uint16).reshape(grid.shape)
    with TemporaryDirectory() as folder:
        write_series(Path(folder), voxels, grid)
        volume = read_scan(folder)
    expected_grid, expected = _along_the_normal(grid, voxels)
    assert_same_place(volume.grid, expected_grid)
    np.testing.assert_array_equal(volume.voxels, expected)


def test_simpleitk_places_the_same_series_alike(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, GRID, order=[2, 0, 3, 1])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    volume = read_scan(tmp_path)
    np.testing.assert_array_equal(volume.voxels, sitk.GetArrayFromImage(image))
    for corner in ((0, 0, 0), (3, 4, 5)):
        at = image.TransformIndexToPhysicalPoint([int(index) for index in corner[::-1]])
        np.testing.assert_allclose(volume.grid.lps_from(corner), at, atol=1e-4)


def test_every_slice_has_its_own_slope_even_where_the_first_is_an_integer(tmp_path: Path) -> None:
    # SimpleITK 2.5.7 reads these slopes as 9, 4 and 3 (SimpleITK#1636).
    scaling = [(9, 0), (4.5, 0), (3.33, 0), (1e-8, -2.5)]
    write_series(tmp_path, VOXELS, GRID, scaling=scaling)
    volume = read_scan(tmp_path)
    expected = np.stack([plane * slope + shift for plane, (slope, shift) in zip(VOXELS, scaling, strict=True)])
    assert volume.voxels.dtype == np.float32
    np.testing.assert_allclose(volume.voxels, expected, rtol=1e-6)


def test_ct_numbers_are_exact_and_in_hounsfield_units(tmp_path: Path) -> None:
    stored = (VOXELS + 60).astype(np.uint16)
    write_series(tmp_path, stored, GRID, scaling=[(1, -1024)] * 4, Modality="CT")
    volume = read_scan(tmp_path)
    assert (volume.modality, volume.unit) == (Modality.CT, "HU")
    np.testing.assert_array_equal(volume.voxels, stored.astype(int) - 1024)


def test_frames_of_an_enhanced_file_have_their_own_place_and_scaling(tmp_path: Path) -> None:
    scaling = [(1.5, 2), (2.5, -1), (0.25, 0), (4, 3)]
    write_enhanced(tmp_path / "enhanced.dcm", VOXELS[::-1].copy(), GRID, scaling)
    volume = read_scan(tmp_path / "enhanced.dcm")
    expected = np.stack([plane * s + i for plane, (s, i) in zip(VOXELS[::-1], scaling, strict=True)])
    assert_same_place(volume.grid, GRID)
    np.testing.assert_allclose(volume.voxels, expected, rtol=1e-6)


def test_stray_bits_above_the_stored_ones_are_no_part_of_the_value(tmp_path: Path) -> None:
    stored = (VOXELS & 0x0FFF).astype(np.int16)
    for path in write_series(tmp_path, stored, GRID):
        header = pydicom.dcmread(path)
        header.BitsStored, header.HighBit = 12, 11
        header.save_as(path)
    np.testing.assert_array_equal(read_scan(tmp_path).voxels, VOXELS)


def test_a_missing_slice_is_named_and_refused(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, GRID)[2].unlink()
    with pytest.raises(UnreadableScanError, match=r"1 slice.* missing between slice 2 and 3"):
        read_scan(tmp_path)


def test_a_truncated_slice_refuses_its_whole_series_and_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOXELS, GRID)
    paths[3].write_bytes(paths[3].read_bytes()[:-20])
    found = find_scans(tmp_path)
    assert found.volumes == ()
    (skipped,) = found.skipped
    assert skipped.path == str(paths[3])
    assert skipped.reason == (
        "the file slice0003.dcm of this series is truncated: 60 bytes of pixels were announced, 40 are there; "
        "its 3 other slice(s) are left out: export or copy it again"
    )
    for read in (read_scan, read_scans):
        with pytest.raises(UnreadableScanError, match=r"slice0003.dcm of this series is truncated") as refusal:
            read(tmp_path)
        assert_one_line(refusal.value)


@pytest.mark.parametrize("syntax", [*SYNTAXES, RLELossless])
def test_a_last_slice_cut_anywhere_is_never_left_out_in_silence(tmp_path: Path, syntax: str) -> None:
    paths = write_series(tmp_path, VOXELS, GRID, syntax=SYNTAXES[0] if syntax == RLELossless else syntax)
    if syntax == RLELossless:
        for path in paths:
            header = pydicom.dcmread(path)
            header.compress(RLELossless, generate_instance_uid=False)
            header.save_as(path)
    whole = paths[3].read_bytes()
    # 16 bytes of a packed file end its list of fragments; the pixels are whole without them.
    for length in range(0, len(whole) - (16 if syntax == RLELossless else 0), 11):
        paths[3].write_bytes(whole[:length])
        found = find_scans(tmp_path)
        assert found.volumes == (), f"cut at {length} of {len(whole)}"
        assert any("slice0003.dcm" in skipped.path for skipped in found.skipped)


def test_a_truncated_slice_leaves_the_other_series_of_its_folder(tmp_path: Path) -> None:
    damaged = write_series(tmp_path, VOXELS, GRID)
    write_series(tmp_path, VOXELS + 1, GRID, order=np.arange(4) + 10, SeriesNumber=2)
    damaged[3].write_bytes(damaged[3].read_bytes()[:-20])
    found = find_scans(tmp_path)
    (volume,) = found.volumes
    np.testing.assert_array_equal(volume.voxels, VOXELS + 1)
    assert any("another series of this folder is left out: slice0003.dcm" in line for line in volume.warnings)
    assert [Path(skipped.path).name for skipped in found.skipped] == ["slice0003.dcm"]


def test_a_slice_cut_before_its_series_is_told_refuses_all_of_its_folder(tmp_path: Path) -> None:
    damaged = write_series(tmp_path / "a", VOXELS, GRID)
    write_series(tmp_path / "a", VOXELS, GRID, order=np.arange(4) + 10, SeriesNumber=2)
    write_series(tmp_path / "b", VOXELS, GRID)
    damaged[3].write_bytes(damaged[3].read_bytes()[:300])
    found = find_scans(tmp_path)
    assert [Path(volume.file or "").name for volume in found.volumes] == ["b"]
    (skipped,) = found.skipped
    assert "slice0003.dcm" in skipped.reason
    assert "7 other slice" in skipped.reason


def test_an_emptied_slice_refuses_what_lies_beside_it_but_a_stray_text_does_not(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOXELS, GRID)
    (tmp_path / "notes.txt").touch()
    assert len(find_scans(tmp_path).volumes) == 1
    for content in (b"", bytes(5000)):
        paths[3].write_bytes(content)
        assert find_scans(tmp_path).volumes == ()


def test_a_file_copied_twice_counts_once(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOXELS, GRID)
    (tmp_path / "copy.dcm").write_bytes(paths[1].read_bytes())
    volume = read_scan(tmp_path)
    assert volume.grid.shape == (4, 5, 6)
    assert any("repeated" in warning for warning in volume.warnings)


def test_two_series_in_one_folder_are_two_volumes_in_order_of_their_number(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS, GRID, SeriesNumber=7, SeriesDescription="late")
    for path in write_series(tmp_path / "b", VOXELS + 1, GRID, SeriesNumber=2, SeriesDescription="early"):
        path.rename(tmp_path / "a" / f"other_{path.name}")
    volumes = read_scans(tmp_path / "a")
    assert [(volume.series, volume.name) for volume in volumes] == [(1, "early"), (2, "late")]
    with pytest.raises(UnreadableScanError, match="--series N: 1 'early' 4x5x6; 2 'late' 4x5x6"):
        read_scan(tmp_path / "a")
    assert read_scan(tmp_path / "a", series=2).name == "late"
    with pytest.raises(UnreadableScanError, match="there is no series 3"):
        read_scan(tmp_path / "a", series=3)


def test_images_at_one_position_are_told_apart_by_their_times(tmp_path: Path) -> None:
    uid = generate_uid()
    for frame in range(3):
        write_series(
            tmp_path,
            VOXELS + frame,
            GRID,
            order=np.arange(4) + 10 * (2 - frame),
            SeriesInstanceUID=uid,
            AcquisitionDate="20260301",
            AcquisitionTime=f"2359{50 + 5 * frame:02d}" if frame < 2 else "235959.5",
            TemporalPositionIdentifier=frame + 1,
        )
    volumes = read_scans(tmp_path)
    assert [volume.time_s for volume in volumes] == [0.0, 5.0, 9.5]
    for frame, volume in enumerate(volumes):
        np.testing.assert_array_equal(volume.voxels, VOXELS + frame)


def test_what_is_no_scan_is_named_and_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, GRID)
    for sop_class, name in (
        (RTStructureSetStorage, "rt"),
        (EncapsulatedPDFStorage, "pdf"),
        (SegmentationStorage, "seg"),
    ):
        header = Dataset()
        header.SOPClassUID, header.SOPInstanceUID = sop_class, generate_uid()
        header.Rows = header.Columns = 4
        if name != "seg":
            del header.Rows, header.Columns
        save(header, np.zeros((4, 4), np.uint8), tmp_path / f"{name}.dcm")
        if name != "seg":
            header = pydicom.dcmread(tmp_path / f"{name}.dcm")
            del header.PixelData
            header.save_as(tmp_path / f"{name}.dcm")
    write_series(tmp_path / "x", VOXELS[:1], GRID, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    set_pixels(header, np.zeros((4, 4), np.uint8))
    save(header, np.zeros((4, 4), np.uint8), tmp_path / "screen.dcm")
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7 ...")
    (tmp_path / "DICOM is not in here.txt").write_text("no")
    found = find_scans(tmp_path)
    reasons = {Path(entry.path).name: entry.reason for entry in found.skipped}
    assert len(found.volumes) == 1
    assert "RT Structure Set Storage holds no image" in reasons["rt.dcm"]
    assert "Encapsulated PDF Storage holds no image" in reasons["pdf.dcm"]
    assert "labels" in reasons["seg.dcm"]
    assert "localiser" in reasons["slice0000.dcm"]
    assert "secondary capture" in reasons["screen.dcm"]
    assert "PDF document" in reasons["paper.pdf"]
    assert "no known format" in reasons["DICOM is not in here.txt"]


def test_pet_brings_its_unit_its_dose_and_its_times(tmp_path: Path) -> None:
    dose, isotope = Dataset(), Dataset()
    isotope.CodeValue, isotope.CodingSchemeDesignator, isotope.CodeMeaning = "C-168A4", "SRT", "^89^Zirconium"
    dose.RadionuclideCodeSequence = [isotope]
    dose.Radiopharmaceutical = "oxine"
    dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = "1.2e6", "282240"
    dose.RadiopharmaceuticalStartTime = "233000.00"
    write_series(
        tmp_path,
        VOXELS,
        GRID,
        scaling=[(0.5, 0)] * 4,
        Modality="PT",
        SOPClassUID=PositronEmissionTomographyImageStorage,
        Units="BQML",
        DecayCorrection="START",
        PatientWeight="0.024",
        SeriesDate="20260302",
        SeriesTime="001500",
        AcquisitionDate="20260302",
        AcquisitionTime="001700.5",
        TimezoneOffsetFromUTC="+0000",
        ActualFrameDuration="600000",
        RadiopharmaceuticalInformationSequence=[dose],
    )
    volume = read_scan(tmp_path)
    assert (volume.modality, volume.unit, volume.tracer) == (Modality.PET, "Bq/mL", "oxine")
    assert volume.acquired_at == datetime(2026, 3, 2, 0, 17, 0, 500000, tzinfo=UTC)
    facts = volume.metadata
    assert facts["decay_correction"] == "START"
    assert facts["injected_activity_bq"] == 1.2e6
    assert facts["half_life_s"] == 282240
    # 23:30 is after the series began at 00:15: it was the evening before.
    assert facts["injected_at"] == datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    assert facts["series_at"] == datetime(2026, 3, 2, 0, 15, tzinfo=UTC)
    assert (facts["patient_weight_kg"], facts["isotope"], facts["frame_duration_s"]) == (0.024, "89Zr", 600)


def test_only_the_maker_or_the_user_makes_a_scan_mpi(tmp_path: Path) -> None:
    write_series(tmp_path / "other", VOXELS, GRID, Modality="OT")
    write_series(tmp_path / "momentum", VOXELS, GRID, Modality="OT", Manufacturer="Magnetic Insight, Inc.")
    assert read_scan(tmp_path / "other").modality is None
    assert read_scan(tmp_path / "other", modality=Modality.MPI).modality is Modality.MPI
    assert read_scan(tmp_path / "momentum").modality is Modality.MPI
    assert not read_scan(tmp_path / "momentum").is_projection


def test_one_mpi_plane_is_a_projection_only_where_the_file_says_so(tmp_path: Path) -> None:
    maker = {"Modality": "OT", "Manufacturer": "Magnetic Insight", "SliceThickness": "5"}
    write_series(tmp_path / "slice", VOXELS[:1], GRID, **maker)
    write_series(tmp_path / "flat", VOXELS[:1], GRID, ImageType=["DERIVED", "PRIMARY", "PROJECTION IMAGE"], **maker)
    assert not read_scan(tmp_path / "slice").is_projection
    assert read_scan(tmp_path / "slice").voxel_measure == pytest.approx(5 * 0.7 * 0.3)
    assert read_scan(tmp_path / "flat").is_projection


def test_a_single_slice_without_thickness_has_no_volume_until_the_user_says(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS[:1], GRID)
    assert not read_scan(tmp_path).has_thickness
    given_by_user = read_scan(tmp_path, spacing_mm=(1.5, 0.7, 0.3))
    assert given_by_user.has_thickness
    assert given_by_user.voxel_measure == pytest.approx(1.5 * 0.7 * 0.3)


def test_slices_without_position_are_stacked_only_at_the_users_word(tmp_path: Path) -> None:
    for path in write_series(tmp_path, VOXELS, GRID):
        header = pydicom.dcmread(path)
        del header.ImagePositionPatient
        header.save_as(path)
    with pytest.raises(UnreadableScanError, match="--spacing-mm plane,row,column"):
        read_scan(tmp_path)
    volume = read_scan(tmp_path, spacing_mm=(2.0, 0.7, 0.3))
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert any("position unknown" in warning for warning in volume.warnings)


def test_a_dataset_without_preamble_is_still_dicom(tmp_path: Path) -> None:
    for path in write_series(tmp_path, VOXELS, GRID, syntax=SYNTAXES[1]):
        content = path.read_bytes()
        meta_length = int.from_bytes(content[140:144], "little")
        path.with_suffix("").write_bytes(content[144 + meta_length :])
        path.unlink()
    np.testing.assert_array_equal(read_scan(tmp_path).voxels, VOXELS)


def test_a_quadruped_is_read_with_a_warning_to_confirm_its_axes(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, GRID, AnatomicalOrientationType="QUADRUPED")
    assert any("quadruped" in warning for warning in read_scan(tmp_path).warnings)
