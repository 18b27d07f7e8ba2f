"""study.yaml -> Study: read strictly, every fault listed at once with its line."""

from pathlib import Path

from napari_mpi_track.longitudinal.study import Study
from napari_mpi_track.longitudinal.study_builder import StudyBuilder
from napari_mpi_track.longitudinal.study_faults import fault_list, validated
from napari_mpi_track.longitudinal.yaml_text import parse_yaml


def load_study(path: str | Path) -> Study:
    """Return the study that a file describes.

    Parameters
    ----------
    path
        A study.yaml of schema 1; the paths in it are relative to its folder.

    Raises
    ------
    StudyFileError
        If the file cannot be read as YAML, or anything in it is at fault: unknown keys, missing files, values of
        the wrong kind, doubled subjects or days, times before injection. All faults are listed, each with its line.
    """
    file = Path(path)
    tree = parse_yaml(file)
    document, faults = validated(tree)
    if document is not None:
        builder = StudyBuilder(file, tree)
        study = builder.study(document)
        faults += builder.faults
        if not faults:
            return study
    raise fault_list(file, faults)
