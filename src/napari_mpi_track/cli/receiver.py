"""The command that finds how a receiver saturates: calibrate-receiver."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_mpi_track.cli.options import AsJson, Overwrite, note, print_json


class ReceiverModel(StrEnum):
    """How a receiver may saturate."""

    AUTO = "auto"
    LINEAR = "linear"
    RATIONAL = "rational"
    POLYNOMIAL = "polynomial"
    SPLINE = "spline"
    KINKED = "kinked"


def calibrate_receiver(
    table: Annotated[Path, typer.Argument(help="CSV of a dilution series, one row a sample.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Curve to write, S.json.", show_default=False)],
    x: Annotated[str, typer.Option("--x", help="Column that the true signal is proportional to.")] = "iron_ng",
    reading: Annotated[
        str, typer.Option("--reading", help="Column of readings: voxels, background taken off.")
    ] = "maximum",
    model: Annotated[
        ReceiverModel, typer.Option("--model", help="auto: the simplest within 2 of the lowest AICc.")
    ] = ReceiverModel.AUTO,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit how the receiver saturates from a dilution series: S/(1 + S/S_sat), polynomial, monotone spline, or kinked.

    The curve is what --saturation and a study's `saturation:` take: scans are linearised voxel by voxel with it.

    Example: mpi-track calibrate-receiver dilutions.csv --x iron_ng --reading maximum --out receiver.json
    """
    from napari_mpi_track.quantification.calibration import read_calibration_table
    from napari_mpi_track.quantification.receiver_fit import fit_receiver
    from napari_mpi_track.quantification.saturation import save_saturation

    amounts, readings = read_calibration_table(table, x, reading)
    fit = fit_receiver(amounts, readings, model=model.value)
    candidates = [
        {
            "model": c.description,
            "parameters": c.parameters,
            "aicc": c.aicc if math.isfinite(c.aicc) else None,
            "refused": c.refused,
        }
        for c in fit.candidates
    ]
    record = {
        "table": table.name, "samples": fit.n, "gain": fit.gain, "residual_sd": fit.residual_sd,
        "lack_of_fit_p": fit.lack_of_fit_p, "doubts": list(fit.doubts), "candidates": candidates,
    }  # fmt: skip
    save_saturation(fit.curve, out, overwrite, fit=record)
    for doubt in fit.doubts:
        note(doubt)
    if as_json:
        print_json({"model": fit.curve.model, "valid_to": fit.curve.valid_to, **record})
        return
    for candidate in fit.candidates:
        refused = f" (refused: {candidate.refused})" if candidate.refused else ""
        typer.echo(f"{candidate.description}: AICc {candidate.aicc:.1f}{refused}")
    typer.echo(f"chosen: {fit.curve.model}, measured up to a reading of {fit.curve.valid_to:.4g}")
