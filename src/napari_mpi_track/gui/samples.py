"""Open Sample: small simulated studies of known truth, made in the user's cache folder on first use."""

import shutil
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from napari_mpi_track import __version__
from napari_mpi_track.gui.day_picture import day_picture
from napari_mpi_track.gui.day_scans import brightest_mpi, scans_at_first_look
from napari_mpi_track.gui.layers import LayerTuple
from napari_mpi_track.gui.tasks import Progress, unwatched
from napari_mpi_track.longitudinal.study_file import load_study
from napari_mpi_track.simulation.studies import simulate_study

SampleStudy = Literal["car-t", "knee"]


def sample_study(study: SampleStudy, progress: Progress | None = None) -> Path:
    """Return the path of the study.yaml of a sample; simulated if it is not in the cache yet.

    The folder carries the version of the package: another version may simulate otherwise.
    """
    folder = user_cache_path("napari-mpi-track") / "samples" / __version__ / study
    file = folder / "study.yaml"
    if file.exists():
        return file
    # What an interrupted simulation left is no study: made beside its place, and moved there once it is whole.
    unfinished = folder.with_name(f"{study}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    report = (progress or unwatched()).report
    simulate_study(unfinished, study=study, size="small", seed=0, progress=report)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return file


def open_car_t() -> list[LayerTuple]:
    """Return the layers of one mouse with CAR-T cells on day 3: MPI, CT and 89Zr-PET."""
    return _day_of("car-t", 3)


def open_knee() -> list[LayerTuple]:
    """Return the layers of one knee with labelled MSCs on day 7: MPI and MR."""
    return _day_of("knee", 7)


def _day_of(name: SampleStudy, day: float) -> list[LayerTuple]:
    study = load_study(sample_study(name))
    subject = study.subjects[0]
    scans = scans_at_first_look(study, subject, subject.timepoint(day), unwatched())
    return list(day_picture(subject.id, day, scans, brightest_mpi(study, subject)).layers)
