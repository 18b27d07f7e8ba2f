"""Commands of the anatomy and its organs: remove-bed, segment-seeds, carry-atlas, split-animals, take-animal."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mpi_track.cli.options import (
    AsJson,
    ModalityOption,
    Overwrite,
    ProgressLine,
    Series,
    Spacing,
    Unit,
    note,
    print_json,
    read_one,
)
from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.imaging.volume import Modality


class SeedMethodOption(StrEnum):
    """How organs grow from seeds."""

    RANDOM_WALKER = "random-walker"
    WATERSHED = "watershed"


class CarryModel(StrEnum):
    """What may be done to the atlas."""

    AFFINE = "affine"
    BSPLINE = "bspline"


Names = Annotated[Path | None, typer.Option("--names", help="organs.csv: label,name.")]


def remove_bed(
    volume: Annotated[Path, typer.Argument(help="CT or MR of an animal.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The scan of the animal alone.", show_default=False)],
    body: Annotated[
        Path | None, typer.Option("--body", help="Labels of the animal, say corrected by hand; else it is found.")
    ] = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    overwrite: Overwrite = False,
) -> None:
    """Put air in place of all that is not the animal: bed, holder, markers.

    Alignment finds its markers in the scan itself: keep it.

    Example: mpi-track remove-bed ct.nii.gz --modality CT --out mouse.nii.gz
    """
    from napari_mpi_track.readers.organs import read_organs
    from napari_mpi_track.segmentation.anatomy import find_body, without_bed
    from napari_mpi_track.writers.scans import require_writable, write_volume

    require_writable(out, overwrite)
    scan = read_one(volume, series, modality, unit, spacing_mm)
    animal = find_body(scan) if body is None else read_organs(body)
    write_volume(without_bed(scan, animal), out, overwrite=overwrite)
    _tell_volumes(animal)


def segment_seeds(
    volume: Annotated[Path, typer.Argument(help="The anatomy.", show_default=False)],
    seeds: Annotated[Path, typer.Argument(help="Labels: a few painted voxels per organ.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Labels to write.", show_default=False)],
    method: Annotated[
        SeedMethodOption, typer.Option("--method", help="watershed: to the steepest edges; faster.")
    ] = SeedMethodOption.RANDOM_WALKER,
    names: Names = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    overwrite: Overwrite = False,
) -> None:
    """Grow organs from a few painted voxels each; seeds called "background" hold them back.

    Example: mpi-track segment-seeds ct.nii.gz seeds.nii.gz --names seeds.csv --out organs.nii.gz
    """
    from napari_mpi_track.readers.organs import read_organ_names, read_organs
    from napari_mpi_track.segmentation.seeds import grow_seeds
    from napari_mpi_track.writers.scans import require_writable, write_volume

    require_writable(out, overwrite, is_labels=True)
    scan = read_one(volume, series, modality, unit, spacing_mm)
    painted = read_organs(seeds, None if names is None else read_organ_names(names).names)
    organs = grow_seeds(scan, painted, method.value)
    write_volume(organs, out, overwrite=overwrite)
    _tell_volumes(organs)


def carry_atlas(
    anatomy: Annotated[Path, typer.Argument(help="The scan whose organs are wanted.", show_default=False)],
    atlas_anatomy: Annotated[Path, typer.Argument(help="The scan of the labelled animal.", show_default=False)],
    atlas_labels: Annotated[Path, typer.Argument(help="Its organs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Labels to write, on ANATOMY's grid.", show_default=False)],
    names: Names = None,
    model: Annotated[CarryModel, typer.Option("--model", help="What may be done to the atlas.")] = CarryModel.BSPLINE,
    initial: Annotated[
        Path | None, typer.Option("--initial", help="T.tfm to start from (fixed = ANATOMY, moving = ATLAS).")
    ] = None,
    transform: Annotated[
        Path | None, typer.Option("--transform", help="Also write the alignment, T.tfm, with its evidence.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sampling.")] = 0,
    modality: Annotated[Modality | None, typer.Option("--modality", help="What made ANATOMY.")] = None,
    atlas_modality: Annotated[Modality | None, typer.Option("--atlas-modality", help="What made the atlas.")] = None,
    series: Annotated[int | None, typer.Option("--series", min=1, help="Number of the volume in ANATOMY.")] = None,
    unit: Annotated[str | None, typer.Option("--unit", help="Unit of ANATOMY, where the file does not say.")] = None,
    spacing_mm: Annotated[str | None, typer.Option("--spacing-mm", help="Spacing of ANATOMY, likewise.")] = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Carry the organs of a labelled animal over, each with the overlap (Dice) to expect of it, 0 to 1.

    Example: mpi-track carry-atlas ct.nii.gz atlas_ct.nii.gz atlas_organs.nii.gz --modality CT --atlas-modality CT
    --out organs.nii.gz
    """
    from napari_mpi_track.readers.organs import read_organ_names, read_organs
    from napari_mpi_track.registration.alignment_files import load_alignment, require_saveable, save_alignment
    from napari_mpi_track.segmentation.atlas import LOW_CONFIDENCE
    from napari_mpi_track.segmentation.atlas import carry_atlas as carry
    from napari_mpi_track.writers.scans import require_writable, write_volume

    require_writable(out, overwrite, is_labels=True)
    if transform is not None:
        require_saveable(transform, overwrite)
    scan = read_one(anatomy, series, modality, unit, spacing_mm)
    atlas = read_one(atlas_anatomy, None, atlas_modality)
    labels = read_organs(atlas_labels, None if names is None else read_organ_names(names).names)
    with ProgressLine() as progress:
        carried = carry(
            scan,
            atlas,
            labels,
            model=model.value,
            initial=None if initial is None else load_alignment(initial).moving_from_fixed,
            seed=seed,
            progress=progress,
        )
    write_volume(carried.organs, out, overwrite=overwrite)
    if transform is not None:
        save_alignment(carried.alignment, transform, overwrite)
    for warning in carried.alignment.warnings:
        note(warning)
    for organ in carried.doubtful:
        note(f"{organ}: an overlap of {carried.confidence[organ]:.2f} is to be expected; look at it before it is used")
    if carried.missing:
        note(f"no voxel is in {', '.join(carried.missing)}")
    if as_json:
        print_json(
            {
                "organs": {
                    name: {"confidence": value, "is_low": value < LOW_CONFIDENCE}
                    for name, value in carried.confidence.items()
                },
                "missing": list(carried.missing),
                "model": carried.alignment.model,
                "verdict": carried.alignment.verdict.value,
                "reason": carried.alignment.reason,
                "expected_target_error_mm": carried.alignment.expected_target_error_mm,
            }
        )
        return
    typer.echo(f"aligned ({carried.alignment.model}): {carried.alignment.verdict}; {carried.alignment.reason}")
    for name, value in carried.confidence.items():
        typer.echo(f"{name}: expected overlap {value:.2f}")


def split_animals(
    scan: Annotated[Path, typer.Argument(help="CT, MR or MPI of several animals.", show_default=False)],
    animals: Annotated[int, typer.Option("--animals", min=2, help="How many there are.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Labels to write: one region an animal.", show_default=False)],
    names: Annotated[
        str | None,
        typer.Option("--names", help="NAME,NAME...: by rows from front to back (y), in a row by rising x (LPS)."),
    ] = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Tell the animals of one scan apart, and name them by where they lie.

    Example: mpi-track split-animals hotel_ct.nii.gz --modality CT --animals 3 --names m01,m02,m03 --out animals.nii.gz
    """
    from dataclasses import asdict

    from napari_mpi_track.segmentation.animals import split_animals as split
    from napari_mpi_track.writers.scans import require_writable, write_volume

    require_writable(out, overwrite, is_labels=True)
    called = [name.strip() for name in (names or "").split(",") if name.strip()]
    found = split(read_one(scan, series, modality, unit, spacing_mm), animals, called)
    write_volume(found.labels, out, overwrite=overwrite)
    if as_json:
        print_json({"animals": [asdict(animal) for animal in found.animals]})
        return
    for animal in found.animals:
        centre = ", ".join(f"{value:.1f}" for value in animal.centre_mm)
        typer.echo(f"{animal.label} {animal.name}: {animal.volume_mm3 / 1000:.2f} mL, centre ({centre}) mm LPS")


def take_animal(
    path: Annotated[Path, typer.Argument(help="The anatomy, or with --labels the organs, of all.", show_default=False)],
    animals: Annotated[Path, typer.Argument(help="Their regions, of split-animals.", show_default=False)],
    animal: Annotated[str, typer.Option("--animal", help="Name of the one to take.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="What to write.", show_default=False)],
    labels: Annotated[bool, typer.Option("--labels", help="PATH holds organs.")] = False,
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="With --labels: the others' organs too, as NAME: ORGAN, for quantify.")
    ] = False,
    names: Names = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    overwrite: Overwrite = False,
) -> None:
    """Take one animal out of a scan of several: its organs, or its anatomy with air in place of the others.

    In a study every animal has its own organs and anatomy, and all name the one MPI: what the others shed over it is
    then taken off.

    Example: mpi-track take-animal organs.nii.gz animals.nii.gz --labels --animal m02 --out m02_organs.nii.gz
    """
    from napari_mpi_track.readers.organs import read_organ_names, read_organs
    from napari_mpi_track.segmentation.animals import anatomy_of, organs_of, organs_with_neighbours
    from napari_mpi_track.writers.scans import require_writable, write_volume

    if neighbours and not labels:
        raise MpiTrackError("--neighbours is of organs", remedy="give --labels too, or leave it out")
    require_writable(out, overwrite, is_labels=labels)
    regions = read_organs(animals)
    if not labels:
        scan = read_one(path, series, modality, unit, spacing_mm)
        write_volume(anatomy_of(scan, regions, animal), out, overwrite=overwrite)
        return
    drawn = read_organs(path, None if names is None else read_organ_names(names).names)
    taken = organs_with_neighbours(drawn, regions, animal) if neighbours else organs_of(drawn, regions, animal)
    write_volume(taken, out, overwrite=overwrite)
    _tell_volumes(taken)


def _tell_volumes(organs: Any) -> None:
    import numpy as np

    for value, name in organs.names.items():
        volume = np.count_nonzero(organs.voxels == value) * organs.grid.voxel_volume_mm3
        typer.echo(f"{name}: {volume:.5g} mm3")
