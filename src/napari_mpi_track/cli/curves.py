"""Commands that compare calibrations: compare-curves, compare-dilutions."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mpi_track.cli.options import AsJson, Overwrite, draw, note, print_json, require_drawable
from napari_mpi_track.errors import CalibrationError

Figure = Annotated[Path | None, typer.Option("--figure", help="Also draw it: a .svg or .png file.")]


def compare_curves(
    first: Annotated[Path, typer.Argument(metavar="A", help="The reference, C.json.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other, C.json.", show_default=False)],
    figure: Figure = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Compare two curves: how far B lies from A in percent over the range both cover, and whether slopes are equal.

    One against cells and one against the iron in such cells tell the iron per cell instead.

    Example: mpi-track compare-curves solution.json cells.json --figure comparison.svg
    """
    from napari_mpi_track.quantification.calibration import CalibrationKind, load_calibration
    from napari_mpi_track.quantification.curve_comparison import compare_curves as compare

    require_drawable(figure, overwrite)
    curves = load_calibration(first), load_calibration(second)
    if {curve.kind for curve in curves} == {CalibrationKind.IN_CELLS, CalibrationKind.IN_CELLS_IRON}:
        _tell_iron_per_cell(curves, figure, as_json)
        return
    comparison = compare(*curves)
    if figure is not None:
        from napari_mpi_track.report.calibration_figures import curves_figure

        draw(curves_figure(comparison, names=(first.stem, second.stem)), figure, overwrite)
    for difference in comparison.differences:
        note(f"the curves differ in {difference.name}: {difference.calibration} and {difference.scan}")
    if as_json:
        print_json(_curves_record(comparison))
        return
    low, high = comparison.common_range
    unit = "cells" if comparison.first.x_quantity == "cells" else "ng iron"
    typer.echo(f"common range {low:.4g} to {high:.4g} {unit}; percentages are of {first.name}")
    typer.echo(f"signal over the range: {_in_words(comparison.over_range)}")
    typer.echo(f"slope: {_in_words(comparison.of_slopes)}")
    test, own = comparison.equal_slopes, comparison.equal_slopes_own_scatter
    typer.echo(f"equal slopes, ANCOVA: F(1, {test.degrees_of_freedom:g}) = {test.f_ratio:.4g}, p = {test.p_value:.3g}")
    typer.echo(
        f"equal slopes, each with its own scatter: F(1, {own.degrees_of_freedom:.3g}) = {own.f_ratio:.4g}, "
        f"p = {own.p_value:.3g}"
    )


def _tell_iron_per_cell(curves: Any, figure: Path | None, as_json: bool) -> None:
    from napari_mpi_track.quantification.iron_per_cell import iron_per_cell

    if figure is not None:
        raise CalibrationError("curves against cells and against iron share no figure", remedy="leave out --figure")
    of_cells, of_iron = sorted(curves, key=lambda curve: curve.x_quantity != "cells")
    iron = iron_per_cell(of_cells, of_iron)
    if as_json:
        record = {"iron_per_cell_pg": iron.value_pg, "iron_per_cell_pg_low": iron.low_pg}
        print_json({**record, "iron_per_cell_pg_high": iron.high_pg})
        return
    interval = f"95 % interval {iron.low_pg:.3g} to {iron.high_pg:.3g}" if iron.is_finite else "no finite interval"
    typer.echo(f"iron per cell: {iron.value_pg:.3g} pg ({interval})")


def compare_dilutions(
    fixed_concentration: Annotated[
        Path, typer.Argument(help="CSV: iron_ng, volume_ul, maximum, total, fwhm_mm; undiluted.", show_default=False)
    ],
    fixed_volume: Annotated[Path, typer.Argument(help="CSV, likewise; diluted in one volume.", show_default=False)],
    fwhm: Annotated[str, typer.Option("--fwhm", help="Column of widths, fwhm_row_mm for one axis.")] = "fwhm_mm",
    figure: Figure = None,
    spacing_figure: Annotated[
        Path | None,
        typer.Option("--spacing-figure", help="Draw the maxima beside the interparticle model: .svg or .png."),
    ] = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Compare the same iron undiluted and diluted: percent against dilution ratio, for maximum, total and FWHM.

    The tables are those of measure-tubes. The series of one volume stands beside the interparticle model
    S_ref (d_ref/d)^3 too, d being the spacing of particles that follows from the concentration.

    Example: mpi-track compare-dilutions fixed_concentration.csv fixed_volume.csv --figure dilution.svg
    --spacing-figure spacing.svg
    """
    from napari_mpi_track.quantification.dilution import compare_dilutions as compare
    from napari_mpi_track.quantification.dilution import compare_with_spacing
    from napari_mpi_track.quantification.sample_tables import read_dilution_samples

    require_drawable(figure, overwrite)
    require_drawable(spacing_figure, overwrite)
    diluted = read_dilution_samples(fixed_volume, fwhm_column=fwhm)
    effects = compare(read_dilution_samples(fixed_concentration, fwhm_column=fwhm), diluted)
    spacing = _beside_the_model(diluted)
    if figure is not None:
        from napari_mpi_track.report.calibration_figures import dilution_figure

        draw(dilution_figure(effects), figure, overwrite)
    if spacing_figure is not None:
        from napari_mpi_track.report.calibration_figures import spacing_figure as drawn

        # What keeps the model away is told where it was asked for.
        draw(drawn(spacing or compare_with_spacing(diluted)), spacing_figure, overwrite)
    if as_json:
        print_json({"effects": [_effect_record(effect) for effect in effects], "spacing": [asdict(p) for p in spacing]})
        return
    for effect in effects:
        shift = f", {effect.diluted - effect.reference:+.2f} mm" if effect.measure == "fwhm_mm" else ""
        typer.echo(
            f"{effect.measure}, {effect.iron_ng:g} ng, diluted {effect.dilution_ratio:.3g} times: "
            f"{_in_words(effect.percent)}{shift}"
        )
    for point in spacing[1:]:
        percent = 100 * (point.measured / point.expected - 1)
        typer.echo(
            f"maximum, {point.concentration_ng_per_ul:g} ng/uL: {percent:+.2f} % beside the interparticle model "
            f"(d/d_ref = {point.relative_spacing:.3g})"
        )


def _beside_the_model(diluted: Any) -> Any:
    """Return the series of fixed volume beside the interparticle model; empty where it is not such a series."""
    from napari_mpi_track.quantification.dilution import compare_with_spacing

    try:
        return compare_with_spacing(diluted)
    except CalibrationError:
        return []


def _in_words(difference: Any) -> str:
    if not difference.is_finite:
        return f"{difference.value:+.2f} % (no finite interval)"
    return f"{difference.value:+.2f} % (95 % interval {difference.low:+.2f} to {difference.high:+.2f})"


def _curves_record(comparison: Any) -> dict[str, Any]:
    return {
        "x_quantity": comparison.first.x_quantity,
        "common_range": comparison.common_range,
        **_percent_record("percent_difference", comparison.over_range),
        **_percent_record("slope_percent_difference", comparison.of_slopes),
        "equal_slopes": _test_record(comparison.equal_slopes),
        "equal_slopes_own_scatter": _test_record(comparison.equal_slopes_own_scatter),
        "by_x": [
            {"x": x, "percent_difference": value, "low": low, "high": high}
            for x, (value, low, high) in zip(comparison.x.tolist(), comparison.at_x.tolist(), strict=True)
        ],
        "differences": [{"name": d.name, "first": d.calibration, "second": d.scan} for d in comparison.differences],
    }


def _percent_record(name: str, difference: Any) -> dict[str, float]:
    return {name: difference.value, f"{name}_low": difference.low, f"{name}_high": difference.high}


def _test_record(test: Any) -> dict[str, float]:
    return {"f_ratio": test.f_ratio, "degrees_of_freedom": test.degrees_of_freedom, "p_value": test.p_value}


def _effect_record(effect: Any) -> dict[str, Any]:
    names = ("measure", "iron_ng", "dilution_ratio", "reference", "diluted", "replicates")
    record = {name: getattr(effect, name) for name in names}
    return {**record, **_percent_record("percent_difference", effect.percent)}
