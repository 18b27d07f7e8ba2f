"""The command deidentify: DICOM and tables without identity."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from napari_mpi_track.cli.options import Overwrite, note
from napari_mpi_track.errors import MpiTrackError, OutputError


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file or folder: DICOM, CSV.", show_default=False)],
    out: Annotated[
        Path, typer.Argument(help="The folder to write; for one file also its new name.", show_default=False)
    ],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="KEY.json: codes and dates as in an earlier run, and kept for a later one."),
    ] = None,
    overwrite: Overwrite = False,
) -> int:
    """Take identity out of DICOM files (PS3.15 basic profile) and tables: codes for subjects, moved dates.

    Only what images are read by stays; files of other kinds are left out. Pixels are not looked at. Of the results of
    `mpi-track run` the derived tables are written, and participants.csv: retention and rate of decay per participant.

    Example: mpi-track deidentify scans/ shared/ --key kept_apart.json
    """
    from napari_mpi_track.report.shared_tables import is_results
    from napari_mpi_track.writers.deidentified_tables import (
        deidentified_table,
        hidden_in,
        read_text_table,
        subjects_in,
    )
    from napari_mpi_track.writers.deidentify import deidentified, place_of, read_dicom, subject_of, write_dicom
    from napari_mpi_track.writers.identities import Identities
    from napari_mpi_track.writers.whole import whole_file

    files = _files(source, out, key)
    if is_results(source):
        return _share_results(source, out, key, overwrite)
    is_renamed = source.is_file() and out.suffix.lower() in (".csv", ".tsv", ".dcm")
    identities = Identities() if key is None else Identities.load(key)
    tables = {file: read_text_table(file) for file in files if file.suffix.lower() in (".csv", ".tsv")}
    # All names first: one may stand in a table of the others.
    for table in tables.values():
        for subject in subjects_in(table):
            identities.code_of(subject)
    left: list[str] = []
    others: list[Path] = []
    copies: Counter[Path] = Counter()
    written = 0
    for file in files:
        if file in tables:
            continue
        dataset = read_dicom(file)
        if dataset is None:
            others.append(file)
            continue
        identities.code_of(subject_of(dataset))
        try:
            clean = deidentified(dataset, identities, file)
            place = out if is_renamed else place_of(clean, out)
            copies[place] += 1
            # Copies of one object, in other encodings or folders, are kept apart.
            place = place if copies[place] == 1 else place.with_stem(f"{place.stem}_{copies[place]}")
            write_dicom(clean, place, overwrite=overwrite)
            written += 1
        except OutputError as fault:
            if not fault.remedy.startswith(("leave it out", "convert it")):
                raise
            left.append(str(fault))
    known = [name for name in identities.codes if any(letter.isalpha() for letter in name)]
    for file, table in tables.items():
        above = file.relative_to(source).parts if source.is_dir() else (file.name,)
        parts = [hidden_in(part, known, identities) for part in above]
        with whole_file(out if is_renamed else out.joinpath(*parts), overwrite) as temporary:
            temporary.write_text(deidentified_table(table, identities), encoding="utf-8")
        written += 1
    if key is not None:
        identities.save(key)
    for reason in left:
        note(f"left out: {reason}")
    if others:
        kinds = ", ".join(sorted({file.suffix or "no ending" for file in others}))
        note(f"left out: {len(others)} file(s) that are neither DICOM nor a table ({kinds}), such as {others[0]}")
    if not written:
        raise MpiTrackError("nothing could be de-identified", file=source, remedy="give DICOM files or CSV tables")
    typer.echo(f"{written} file(s) of {len(identities.codes)} subject(s) in {out}, {len(left) + len(others)} left out")
    return 3 if left or others else 0


def _share_results(source: Path, out: Path, key: Path | None, overwrite: bool) -> int:
    """Write the derived tables of a run without identity; its report, figures and transforms are left out."""
    from napari_mpi_track.report.shared_tables import shared_tables
    from napari_mpi_track.writers.identities import Identities
    from napari_mpi_track.writers.whole import whole_file

    identities = Identities() if key is None else Identities.load(key)
    shared = shared_tables(source, identities)
    for name, text in shared.items():
        with whole_file(out / name, overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if key is not None:
        identities.save(key)
    typer.echo(f"{len(shared)} tables of {len(identities.codes)} participant(s) in {out}; report and figures left out")
    return 0


def _files(source: Path, out: Path, key: Path | None) -> list[Path]:
    if not source.exists():
        raise MpiTrackError("there is no such file or folder", file=source, remedy="check the path")
    if out.resolve().is_relative_to(source.resolve()) or (
        key is not None and key.resolve().is_relative_to(out.resolve())
    ):
        raise MpiTrackError(
            "the output must lie outside the input, and the key outside the output",
            file=out,
            remedy="name another folder: what has no identity and what tells it are to be kept apart",
        )
    if source.is_file():
        return [source]
    return sorted(file for file in source.rglob("*") if file.is_file() and not file.name.startswith("."))
