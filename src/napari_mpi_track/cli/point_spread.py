"""The command that measures a scanner's blur from a point source: measure-psf."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mpi_track.cli.options import (
    AsJson,
    ModalityOption,
    Overwrite,
    Projection,
    SaturationOption,
    Series,
    Spacing,
    Unit,
    draw,
    note,
    numbers,
    print_json,
    read_one,
    require_drawable,
)
from napari_mpi_track.errors import MpiTrackError
from napari_mpi_track.quantification.known_source import SourceForm


class ShapeOption(StrEnum):
    """Which shape to fit."""

    AUTO = "auto"
    GAUSSIAN = "gaussian"
    LORENTZIAN = "lorentzian"


def measure_psf(
    scan: Annotated[Path, typer.Argument(help="Scan of one small source.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Point spread to write, JSON.", show_default=False)],
    source_diameter_mm: Annotated[
        float | None, typer.Option("--source-diameter-mm", help="The source is a ball of this diameter.")
    ] = None,
    source_size_mm: Annotated[
        str | None, typer.Option("--source-size-mm", help="PLANE,ROW,COLUMN: lengths of a box or capillary.")
    ] = None,
    source_form: Annotated[
        SourceForm | None, typer.Option("--source-form", help="Of --source-size-mm: box (default) or capillary.")
    ] = None,
    shape: Annotated[ShapeOption, typer.Option("--shape", help="auto: what the scan speaks for.")] = ShapeOption.AUTO,
    near_mm: Annotated[
        str | None, typer.Option("--near-mm", help="X,Y,Z (LPS): the source near here, of several.")
    ] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="Profiles with their fits, .svg or .png.")] = None,
    saturation: SaturationOption = None,
    projection: Projection = False,
    series: Series = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    spacing_mm: Spacing = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure a scanner's blur from a point source of known size: shape, and width with its error along each axis.

    The source's own size is taken out. A scan that does not tell a Gaussian from a Lorentzian is refused.

    Example: mpi-track measure-psf point.nii.gz --source-diameter-mm 1 --out psf.json --figure psf.svg
    """
    from napari_mpi_track.imaging.point_spread import PsfShape
    from napari_mpi_track.quantification.point_source import measure_point_spread
    from napari_mpi_track.quantification.point_spread_file import point_spread_to_json, save_point_spread
    from napari_mpi_track.writers.whole import require_absent

    require_absent(out, overwrite)
    require_drawable(figure, overwrite)
    source = _source(source_diameter_mm, source_size_mm, source_form)
    volume = read_one(scan, series, modality, unit, spacing_mm, saturation, is_projection=projection)
    measured = measure_point_spread(
        volume,
        source,
        shape=None if shape is ShapeOption.AUTO else PsfShape(shape.value),
        near_mm=_place(near_mm),
    )
    if figure is not None:
        from napari_mpi_track.report.point_spread_figure import point_spread_figure

        draw(point_spread_figure(measured), figure, overwrite)
    save_point_spread(measured, out, overwrite)
    for doubt in measured.doubts:
        note(doubt)
    if as_json:
        print_json(point_spread_to_json(measured))
        return
    fit = measured.fit
    widths = ", ".join(
        f"{name} {width:.3g} +- {sd:.1g}"
        for name, width, sd in zip(("plane", "row", "column"), fit.fwhm_mm, fit.fwhm_sd_mm, strict=True)
        if width > 0
    )
    sure = "" if len(measured.fits) == 1 else f" (probability {measured.probability:.3g})"
    typer.echo(f"{measured.shape}{sure}: FWHM in mm {widths}; {measured.verdict}")


def _source(diameter_mm: float | None, size_mm: str | None, form: SourceForm | None) -> Any:
    from napari_mpi_track.quantification.known_source import KnownSource

    if (diameter_mm is None) == (size_mm is None):
        raise MpiTrackError(
            "the source's size is needed, once",
            remedy="give --source-diameter-mm of a ball, or --source-size-mm of a box or capillary",
        )
    if diameter_mm is not None:
        if form not in (None, SourceForm.BALL):
            raise MpiTrackError(
                f"--source-diameter-mm is a ball's, --source-form says {form}", remedy="give --source-size-mm instead"
            )
        return KnownSource.ball(diameter_mm)
    lengths = numbers(size_mm, "--source-size-mm") or ()
    return KnownSource(form or SourceForm.BOX, lengths if len(lengths) > 1 else lengths[0])  # type: ignore[arg-type]


def _place(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise MpiTrackError(f"--near-mm needs X,Y,Z in mm, got '{text}'") from None
    return x, y, z
