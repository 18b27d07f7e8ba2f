"""Commands for whole studies: init, run, sample, open."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_mpi_track.cli.options import AsJson, Overwrite, ProgressLine, note, print_json
from napari_mpi_track.errors import MpiTrackError


class StudyKind(StrEnum):
    """Which study is simulated."""

    KNEE = "knee"
    CAR_T = "car-t"


class Size(StrEnum):
    """How large a study is simulated."""

    SMALL = "small"
    FULL = "full"


def init(
    source: Annotated[
        Path, typer.Argument(help="Folder of scans, or a CSV of timepoints.", show_default=False, metavar="FOLDER|CSV")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="study.yaml to write, beside the scans; else it is printed.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Propose a study.yaml from a folder of scans, or from a table of timepoints; what could not be told is said.

    A table has the columns subject, day (or time), mpi, anatomy, organs, pet, spect, signal, group, control, weight_g,
    injection_time, injected_cells, injected_signal, residue_signal, injected_iron_ug, isotope, activity_kBq ...

    Example: mpi-track init scans/ --out scans/study.yaml
    """
    from napari_mpi_track.longitudinal.study_proposal import propose_study
    from napari_mpi_track.longitudinal.study_table import import_study
    from napari_mpi_track.writers.whole import whole_file

    if not source.is_file():
        with ProgressLine() as progress:
            text = propose_study(source, progress)
    else:
        text = import_study(source)
    if out is None:
        typer.echo(text, nl=False)
        return
    home = source if source.is_dir() else source.parent
    if out.parent.resolve() != home.resolve():
        raise MpiTrackError(
            "the paths in a proposed study are relative to its scans", file=out, remedy=f"save it in {home}"
        )
    with whole_file(out, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    count = text.count("# could not tell:")
    typer.echo(f"study: {out}" + (f"; {count} things could not be told, look for 'could not tell'" if count else ""))


def run(
    study: Annotated[Path, typer.Argument(help="study.yaml", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, figures and report.", show_default=False)],
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes side by side.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Repeat only what is missing or changed.")] = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> int:
    """Run a whole study: from its scans to apparent cells per organ per day, curves and a report.

    Example: mpi-track run sample_data/car-t/study.yaml --out results
    """
    from napari_mpi_track.longitudinal.study_file import load_study
    from napari_mpi_track.report.run import run_study
    from napari_mpi_track.report.tables import organ_table

    loaded = load_study(study)
    with ProgressLine() as progress:
        summary = run_study(loaded, out, workers=workers, resume=resume, overwrite=overwrite, progress=progress)
    for warning in summary.warnings:
        note(warning)
    for failure in summary.failures:
        word = "failed" if failure.is_whole else "failed in part"
        print(f"{word}: {' '.join(str(failure).split())}", file=sys.stderr)
    if as_json:
        print_json(
            {
                "folder": summary.folder,
                "report": summary.report,
                "measurements": len(summary.measurements),
                "failures": [str(failure) for failure in summary.failures],
                "warnings": list(summary.warnings),
            }
        )
    else:
        typer.echo(organ_table(summary.measurements, summary.analysis.calibration))
        typer.echo(f"\nreport: {summary.report}")
    return 3 if summary.failures else 0


def sample(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.", show_default=False)],
    study: Annotated[StudyKind, typer.Option("--study", help="Which study.")] = StudyKind.CAR_T,
    size: Annotated[Size, typer.Option("--size", help="small: coarse grids, few animals.")] = Size.SMALL,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is random.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a study of known truth: scans, tables, study.yaml, and truth.csv.

    Example: mpi-track sample mice --study car-t --size small
    """
    from napari_mpi_track.simulation.studies import simulate_study

    with ProgressLine() as progress:
        path = simulate_study(
            folder, study=study.value, size=size.value, seed=seed, overwrite=overwrite, progress=progress
        )
    typer.echo(f"study: {path}")


def open_(
    paths: Annotated[list[Path] | None, typer.Argument(help="A study.yaml, or scans.", show_default=False)] = None,
) -> None:
    """Open napari with the plugin's panels, and a study or scans in it.

    Example: mpi-track open sample_data/car-t/study.yaml
    """
    try:
        from napari_mpi_track.gui.launch import open_napari
    except ImportError as missing:
        raise MpiTrackError(
            f"napari is not installed ({missing.name})", remedy='pip install "napari-mpi-track[all]"'
        ) from None
    open_napari(paths or [])
