"""Loading: this package beside SimpleITK (and a plain read of the bytes), in one run on one machine.

    python benchmarks/loading.py [--slices 500] [--size 512] [--repeats 5] [--nifti-gb 0]

Writes a simulated DICOM series (int16, identity scaling, and again with intercept -1024) and, if asked, a NIfTI of
float32 into a temporary folder; prints the best wall time of each reader. The files are in the page cache.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from napari_mpi_track.readers.scans import read_scan


def write_series(folder: Path, slices: int, size: int, intercept: int) -> None:
    """Write a CT series of random int16 into ``folder``."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    series, frame = generate_uid(), generate_uid()
    for number in range(slices):
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = CTImageStorage
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        header.SeriesInstanceUID, header.FrameOfReferenceUID = series, frame
        header.Modality, header.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.AcquisitionDate, header.AcquisitionTime = "20260301", "100000"
        header.SeriesNumber, header.InstanceNumber = 1, number + 1
        header.ImagePositionPatient, header.ImageOrientationPatient = [0, 0, number * 0.5], [1, 0, 0, 0, 1, 0]
        header.PixelSpacing, header.SliceThickness = [0.2, 0.2], 0.5
        header.RescaleSlope, header.RescaleIntercept = 1, intercept
        header.Rows = header.Columns = size
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated = header.BitsStored = 16
        header.HighBit, header.PixelRepresentation = 15, 1
        header.PixelData = rng.integers(-1000, 3000, (size, size), dtype=np.int16).tobytes()
        header["PixelData"].VR = "OW"
        header.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)


def read_by_simpleitk(folder: Path) -> np.ndarray:
    """Return what SimpleITK's series reader gives, as an array."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return np.asarray(sitk.GetArrayFromImage(reader.Execute()))


def read_bytes(folder: Path) -> int:
    """Return the sum of the lengths of all files, each read whole: the floor."""
    return sum(len(path.read_bytes()) for path in folder.iterdir())


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """Return the least wall time of ``repeats`` calls, in s."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def report(name: str, contenders: dict[str, Callable[[], object]], repeats: int) -> None:
    """Print the best wall time of each contender, and its ratio to the first."""
    print(name)
    times = {who: best_of(repeats, work) for who, work in contenders.items()}
    ours = next(iter(times.values()))
    for who, seconds in times.items():
        print(f"  {who:<24} {seconds:8.3f} s   {seconds / ours:6.2f} x ours")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--nifti-gb", type=float, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for intercept in (0, -1024):
            folder = Path(temporary) / f"series{intercept}"
            write_series(folder, arguments.slices, arguments.size, intercept)
            ours, theirs = read_scan(folder).voxels, read_by_simpleitk(folder)
            assert np.array_equal(ours, theirs), "the readers disagree"
            del ours, theirs
            contenders = {
                "napari-mpi-track": lambda folder=folder: read_scan(folder),
                "SimpleITK": lambda folder=folder: read_by_simpleitk(folder),
                "bytes only": lambda folder=folder: read_bytes(folder),
            }
            name = f"DICOM {arguments.slices} x {arguments.size} x {arguments.size} int16, intercept {intercept}"
            report(name, contenders, arguments.repeats)
        if arguments.nifti_gb:
            path = Path(temporary) / "scan.nii"
            planes = round(arguments.nifti_gb * 1e9 / 4 / 512 / 512)
            nib.save(nib.Nifti1Image(np.ones((512, 512, planes), dtype=np.float32), np.eye(4)), path)
            contenders = {
                "napari-mpi-track": lambda: read_scan(path),
                "napari-mpi-track + sum": lambda: read_scan(path).voxels.sum(),
                "SimpleITK": lambda: sitk.GetArrayFromImage(sitk.ReadImage(str(path))),
            }
            report(f"NIfTI {path.stat().st_size / 1e9:.2f} GB float32", contenders, min(arguments.repeats, 3))


if __name__ == "__main__":
    main()
