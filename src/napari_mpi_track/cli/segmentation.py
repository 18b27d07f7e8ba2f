"""Commands that find where signal is: segment."""

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mpi_track.cli.options import (
    ModalityOption,
    Overwrite,
    Projection,
    SaturationOption,
    Series,
    Spacing,
    Unit,
    note,
    read_one,
)
from napari_mpi_track.errors import GridMismatchError, MeasurementError, MpiTrackError
from napari_mpi_track.segmentation.signal_rules import RuleSettings, SignalRule


def segment(
    volume: Annotated[Path, typer.Argument(help="A scan.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Labels to write.", show_default=False)],
    rule: Annotated[SignalRule, typer.Option("--rule", help="How the threshold is chosen.")] = SignalRule.NOISE,
    times_sd: Annotated[float, typer.Option("--times-sd", help="noise: multiple of the noise's SD.")] = 5.0,
    noise_sd: Annotated[
        float | None, typer.Option("--noise-sd", help="noise: SD of the noise in the scan's unit; else measured.")
    ] = None,
    background: Annotated[
        Path | None, typer.Option("--background", help="noise: labels of a place without signal, to measure it in.")
    ] = None,
    fraction: Annotated[float, typer.Option("--fraction", help="fraction-of-max: part of the maximum.")] = 0.5,
    classes: Annotated[int, typer.Option("--classes", help="kmeans: classes of intensity, 2 to 5.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="kmeans: of its random starts.")] = 0,
    minimum_volume_mm3: Annotated[
        float, typer.Option("--minimum-volume-mm3", help="Leave out places smaller than this (mm2 of a projection).")
    ] = 0.0,
    split: Annotated[
        bool, typer.Option("--split", help="Each place an organ of its own, blobs that touch apart.")
    ] = False,
    projection: Projection = False,
    saturation: SaturationOption = None,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw organs by a rule: where the scan's signal is.

    Example: mpi-track segment mpi.nii.gz --rule noise --times-sd 5 --out signal.nii.gz
    """
    import numpy as np

    from napari_mpi_track.segmentation.components import split_touching
    from napari_mpi_track.segmentation.signal_rules import rule_threshold, voxels_without_number
    from napari_mpi_track.segmentation.signal_rules import segment as segment_above
    from napari_mpi_track.writers.scans import write_volume
    from napari_mpi_track.writers.whole import require_absent

    require_absent(out, overwrite)
    settings = RuleSettings(rule, times_sd, fraction, classes, seed, minimum_volume_mm3)
    scan = read_one(volume, series, modality, unit, spacing_mm, saturation, is_projection=projection)
    empty = voxels_without_number(scan)
    if empty:
        note(f"{volume}: {empty} voxels hold no number; they are left out")
    noise = _noise(scan, noise_sd, background, is_needed=rule is SignalRule.NOISE or split)
    threshold = rule_threshold(scan, settings, noise)
    organs = segment_above(scan, threshold, minimum_volume_mm3)
    if split:
        organs = split_touching(organs.voxels > 0, scan, noise)
    write_volume(organs, out, overwrite=overwrite)
    count = int(np.count_nonzero(organs.voxels))
    typer.echo(f"{count} voxels are above {threshold:.5g} {scan.unit or ''}".rstrip())


def _noise(scan: Any, noise_sd: float | None, background: Path | None, *, is_needed: bool) -> Any:
    """Return the noise that was given, or that of a marked background, or of the whole scan; None if nobody asks."""
    import numpy as np

    from napari_mpi_track.imaging.noise import Noise, estimate_noise
    from napari_mpi_track.readers.organs import read_organs

    if noise_sd is not None and background is not None:
        raise MpiTrackError("--noise-sd and --background both say what the noise is", remedy="give one of them")
    if noise_sd is not None:
        if not noise_sd > 0:
            raise MeasurementError(f"the noise needs a positive SD, got {noise_sd:g}")
        return Noise(noise_sd, 0.0, np.ones((1, 1, 1)), "given")
    if background is None:
        return estimate_noise(scan) if is_needed else None
    quiet = read_organs(background)
    if not quiet.grid.agrees_with(scan.grid):
        raise GridMismatchError(
            f"the background was drawn on another grid ({quiet.grid!r}) than the scan's ({scan.grid!r})",
            file=background,
            remedy="draw it on this scan",
        )
    return estimate_noise(scan, quiet.voxels > 0)
