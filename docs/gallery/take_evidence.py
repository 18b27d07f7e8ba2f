"""Take the pictures that an alignment is judged by, from the sample data: markers, two days, and one that is in doubt.

python docs/gallery/take_evidence.py
"""

from pathlib import Path

from napari_mpi_track.imaging.noise import estimate_noise
from napari_mpi_track.imaging.volume import Modality, Volume
from napari_mpi_track.readers.scans import read_scan
from napari_mpi_track.registration.align import align
from napari_mpi_track.report.alignment_figures import evidence_figure
from napari_mpi_track.report.alignment_views import alignment_picture
from napari_mpi_track.report.figures import figure_bytes

HERE = Path(__file__).parent
SCANS = HERE.parents[1] / "sample_data" / "car-t" / "m01"


def take(name: str, fixed: Volume, moving: Volume, method: str, title: str) -> None:
    found = align(fixed, moving, method=method)
    noise_sd = estimate_noise(moving).sd if moving.modality is Modality.MPI else None
    picture = alignment_picture(found, fixed, moving, title=title, noise_sd=noise_sd)
    (HERE / name).write_bytes(figure_bytes(evidence_figure(picture), "png", dots_per_inch=100))


def main() -> None:
    first, later = (read_scan(SCANS / f"day{day}_ct.nii.gz", modality=Modality.CT) for day in ("00", "07"))
    mpi = read_scan(SCANS / "day00_mpi.nii.gz", modality=Modality.MPI)
    take("evidence-mpi.png", first, mpi, "fiducials", "m01, day 0: MPI to CT")
    take("evidence-days.png", first, later, "intensity", "m01, day 7: CT to CT of day 0")
    take("evidence-doubtful.png", first, later, "frame", "m01, day 7 as if it lay as on day 0")


if __name__ == "__main__":
    main()
