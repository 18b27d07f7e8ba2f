"""Commands of a blinded reading: blind, sign-reading, unblind."""

import csv
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from napari_mpi_track.cli.options import AsJson, Overwrite, print_json

Folder = Annotated[Path, typer.Argument(help="The folder that blind wrote.", show_default=False)]


def blind(
    study: Annotated[Path, typer.Argument(help="study.yaml.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="A new folder, one a reader.", show_default=False)],
    seed: Annotated[int | None, typer.Option("--seed", help="Of the order of the codes; else nobody knows it.")] = None,
) -> None:
    """Hide whose scan is whose: every subject on every day gets a code, in shuffled order, in a study of its own.

    Names are hidden, not encrypted: sealed.json in the folder holds them, packed.

    Example: mpi-track blind study.yaml --out reading_ab
    """
    from napari_mpi_track.longitudinal.blinding import blind as hide
    from napari_mpi_track.longitudinal.study_file import load_study

    codes = hide(load_study(study), out, _now(), seed)
    typer.echo(f"{len(codes)} scans to read in {out / 'study.yaml'}: {codes[0]} to {codes[-1]}")


def sign_reading(
    folder: Folder,
    code: Annotated[str, typer.Argument(help="The scan's code.", show_default=False)],
    labels: Annotated[Path, typer.Argument(help="The organs as read.", show_default=False)],
    by: Annotated[str, typer.Option("--by", help="Who read it and stands by it.", show_default=False)],
) -> None:
    """Sign the reading of one code: its file is kept to by its fingerprint.

    Example: mpi-track sign-reading reading_ab R01 reading_ab/R01/organs.nii.gz --by "A. B."
    """
    from napari_mpi_track.longitudinal.blinding import sign_reading as sign
    from napari_mpi_track.longitudinal.blinding import unsigned_codes

    sign(folder, code, labels, by, _now())
    waiting = unsigned_codes(folder)
    typer.echo(f"{code} is signed; " + (f"not yet: {', '.join(waiting)}" if waiting else "all readings are"))


def unblind(
    folder: Folder,
    by: Annotated[str, typer.Option("--by", help="Who opens the names.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Table to write: code, subject, day, group, reader.")
    ] = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Tell what the codes stand for, once every reading is signed; who opened them and when is recorded.

    Example: mpi-track unblind reading_ab --by "C. D." --out key.csv
    """
    from napari_mpi_track.longitudinal.blinding import signed_readings
    from napari_mpi_track.longitudinal.blinding import unblind as open_names
    from napari_mpi_track.writers.whole import require_absent, whole_file

    if out is not None:
        require_absent(out, overwrite)
    opened = open_names(folder, by, _now())
    readings = {one.code: one for one in signed_readings(folder)}
    rows = [
        {
            "code": one.code,
            "subject": one.subject,
            "day": one.day,
            "group": one.group,
            "reader": readings[one.code].reader,
            "signed_at": readings[one.code].at,
            "file": readings[one.code].file,
        }
        for one in opened
    ]
    if out is not None:
        with whole_file(out, overwrite) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if as_json:
        print_json({"readings": rows})
        return
    for row in rows:
        typer.echo(f"{row['code']}: {row['subject']}, day {row['day']:g}, read by {row['reader']}")


def _now() -> datetime:
    return datetime.now().astimezone().replace(microsecond=0)
