"""Draw the figures of calibration-study.md: a simulated calibration study with published effects, taken apart again.

Run: python docs/recipes/calibration_study.py FOLDER [--seed 0]

FOLDER gets the scans, the tables, the curves (JSON) and the figures (SVG).
"""

import argparse
from pathlib import Path

from napari_mpi_track.cli import main
from napari_mpi_track.quantification.calibration import load_calibration
from napari_mpi_track.quantification.curve_comparison import compare_curves
from napari_mpi_track.report.calibration_figures import curves_figure
from napari_mpi_track.report.figures import figure_bytes
from napari_mpi_track.simulation.calibration_study import SERIES, TRACERS, simulate_calibration_study

KINDS = {
    "fixed_concentration": "solution-fixed-concentration",
    "fixed_volume": "solution-fixed-volume",
    "in_cells": "in-cells-iron",
}


def run(*arguments):
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        if end.code:
            raise


def study(folder, tracer, seed):
    """Simulate one tracer, measure its tubes and fit its curves, all by the commands of the recipe."""
    simulate_calibration_study(folder, tracer=tracer, seed=seed)
    for series in SERIES:
        table = folder / f"{series}.csv"
        run(
            "measure-tubes", folder / series, "--sheet", folder / series / "samples.csv", "--projection",
            "--modality", "MPI", "--margin-mm", 30, "--out", table,
        )  # fmt: skip
        for metric in ("maximum", "total"):
            run(
                "calibrate", table, "--x", "iron_ng", "--signal", metric, "--kind", KINDS[series], "--tracer", tracer,
                "--metric", metric, "--projection", "--out", folder / f"{series}_{metric}.json",
            )  # fmt: skip


def draw(folder, tracer):
    """Draw the study's figures with the commands, and the one that has none."""
    for metric in ("maximum", "total"):
        curves = [folder / f"{series}_{metric}.json" for series in ("fixed_concentration", "in_cells")]
        run("compare-curves", *curves, "--figure", folder / f"cells_{metric}.svg")
        solutions = [load_calibration(folder / f"{series}_{metric}.json") for series in SERIES[:2]]
        drawn = curves_figure(compare_curves(*solutions), title=f"{tracer}, {metric}: two ways to dilute")
        (folder / f"solutions_{metric}.svg").write_bytes(figure_bytes(drawn, "svg"))
    tables = [folder / f"{series}.csv" for series in SERIES[:2]]
    figures = ["--figure", folder / "dilution.svg", "--spacing-figure", folder / "spacing.svg"]
    run("compare-dilutions", *tables, "--fwhm", "fwhm_row_mm", *figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    for name in TRACERS:
        study(wanted.folder / name, name, wanted.seed)
        draw(wanted.folder / name, name)
