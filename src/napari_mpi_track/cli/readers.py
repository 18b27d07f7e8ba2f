"""Commands that compare people: compare-readers."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_mpi_track.cli.options import (
    AsJson,
    ModalityOption,
    Overwrite,
    Projection,
    SaturationOption,
    Unit,
    draw,
    note,
    print_json,
    read_one,
    require_drawable,
)
from napari_mpi_track.errors import MpiTrackError, TableError

if TYPE_CHECKING:
    from napari_mpi_track.quantification.reader_study import ReaderStudy, Reading

_COLUMNS = (
    "scan", "organ", "quantity", "statistic", "reader_a", "reader_b", "value", "low", "high", "count", "unit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _File:
    """One label file: who drew it, on which scan; both go by name, or by code."""

    scan: str
    reader: str
    scan_path: Path
    labels: Path


def compare_readers(
    labels: Annotated[
        list[Path] | None, typer.Argument(metavar="LABELS...", help="One file of labels a reader, all of --scan.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Table to write, CSV.", show_default=False)] = None,
    scan: Annotated[Path | None, typer.Option("--scan", help="The scan that LABELS were drawn on.")] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="CSV scan,reader,labels: files of several scans, for LABELS.")
    ] = None,
    names: Annotated[Path | None, typer.Option("--names", help="organs.csv: label,name.")] = None,
    calibration: Annotated[Path | None, typer.Option("--calibration", help="C.json: compare cells too.")] = None,
    background: Annotated[float, typer.Option("--background", help="Taken off every voxel.")] = 0.0,
    blind: Annotated[
        Path | None, typer.Option("--blind", help="Call readers and scans by codes; their key goes to this CSV.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="With --blind: of the codes' order.")] = 0,
    figure: Annotated[Path | None, typer.Option("--figure", help="Also draw it: a .svg or .png file.")] = None,
    projection: Projection = False,
    saturation: SaturationOption = None,
    modality: ModalityOption = None,
    unit: Unit = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Compare readers' organs on the same scans: ICC, Dice, CV and limits of agreement, in signal and cells.

    A reader is called by the name of the label file. ICC and limits of an organ need two scans or more: --table.

    Example: mpi-track compare-readers anna.nii.gz ben.nii.gz --scan mpi.nii.gz --out agreement.csv
    """
    from napari_mpi_track.longitudinal.conditions import scan_facts
    from napari_mpi_track.quantification.calibration import load_calibration, require_match
    from napari_mpi_track.quantification.reader_study import ReaderLabels
    from napari_mpi_track.quantification.reader_study import compare_readers as compare
    from napari_mpi_track.readers.organs import read_organ_names, read_organs
    from napari_mpi_track.writers.whole import require_absent

    if out is None:
        raise MpiTrackError("compare-readers needs --out TABLE.csv")
    for path in (out, blind):
        if path is not None:
            require_absent(path, overwrite)
    require_drawable(figure, overwrite)
    files = _files(labels or [], scan, table)
    scans = {
        file.scan_path: read_one(file.scan_path, None, modality, unit, None, saturation, is_projection=projection)
        for file in files
    }
    line = None if calibration is None else load_calibration(calibration)
    if line is not None:
        for volume in scans.values():
            require_match(line, override=(), file=volume.file, **scan_facts(volume))
    said = None if names is None else read_organ_names(names).names
    shown = files if blind is None else _coded(files, blind, seed, overwrite)
    drawn = [
        ReaderLabels(code.scan, code.reader, scans[file.scan_path], read_organs(file.labels, said))
        for file, code in zip(files, shown, strict=True)
    ]
    study = compare(drawn, line, background=background)
    for warning in study.warnings:
        note(warning)
    quantity = None if line is None else line.x_quantity
    _write_table(study, out, quantity, overwrite)
    if figure is not None:
        from napari_mpi_track.report.reader_figures import readers_figure

        draw(readers_figure(study), figure, overwrite)
    if as_json:
        readings = [_reading_record(reading, quantity) for reading in study.readings]
        print_json({"readings": readings, "agreement": [asdict(row) for row in study.rows]})
        return
    _tell(study)


def _files(labels: Sequence[Path], scan: Path | None, table: Path | None) -> list[_File]:
    """Return the label files that were given, by the command line or by a table."""
    if table is not None:
        if labels or scan is not None:
            raise MpiTrackError("--table names scans and labels itself", remedy="leave out LABELS and --scan")
        return _listed(table)
    if scan is None or not labels:
        raise MpiTrackError("compare-readers needs LABELS... and --scan, or --table")
    readers = [path.name.split(".")[0] for path in labels]
    if len(set(readers)) < len(readers):
        # Such as anna/organs.nii.gz and ben/organs.nii.gz.
        readers = [f"{path.resolve().parent.name}/{name}" for path, name in zip(labels, readers, strict=True)]
    name = scan.name.split(".")[0]
    return [_File(name, reader, scan, path) for reader, path in zip(readers, labels, strict=True)]


def _listed(table: Path) -> list[_File]:
    from napari_mpi_track.readers.tables import require_columns, text_of

    reader = csv.DictReader(text_of(table).splitlines(), skipinitialspace=True)
    needed = ("scan", "reader", "labels")
    require_columns([(name or "").strip() for name in reader.fieldnames or ()], needed, table)
    files = []
    for row in reader:
        cells = {(key or "").strip(): (value or "").strip() for key, value in row.items() if isinstance(value, str)}
        missing = [name for name in needed if not cells.get(name)]
        if missing:
            raise TableError(
                f"{', '.join(missing)} is empty (line {reader.line_num})", file=table, remedy="fill all three cells"
            )
        # Paths are of the folder that the table lies in.
        place = table.parent / cells["scan"]
        files.append(_File(cells["scan"], cells["reader"], place, table.parent / cells["labels"]))
    if not files:
        raise TableError("the table holds no rows", file=table, remedy="give scan, reader and labels, a row each")
    return files


def _coded(files: Sequence[_File], key: Path, seed: int, overwrite: bool) -> list[_File]:
    """Return the files with codes for names, in an order that tells nothing, and write the key."""
    import numpy as np

    from napari_mpi_track.writers.whole import whole_file

    rng = np.random.default_rng(seed)
    codes: dict[tuple[str, str], str] = {}
    for kind in ("reader", "scan"):
        called = sorted({getattr(file, kind) for file in files})
        for number, at in enumerate(rng.permutation(len(called)), start=1):
            codes[kind, called[at]] = f"{kind} {number}"
    with whole_file(key, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("kind", "code", "name"))
        writer.writerows((kind, code, name) for (kind, name), code in codes.items())
    return [replace(file, scan=codes["scan", file.scan], reader=codes["reader", file.reader]) for file in files]


def _write_table(study: "ReaderStudy", out: Path, quantity: str | None, overwrite: bool) -> None:
    """Write every reading and every figure of agreement, a row each."""
    from napari_mpi_track.writers.whole import whole_file

    measured = {"volume": "volume_mm3", "total": "total", **({} if quantity is None else {quantity: "cells"})}
    units = {row.quantity: row.unit for row in study.rows if row.statistic in ("bias", "")}
    records: list[dict[str, Any]] = [
        {
            "scan": reading.scan,
            "organ": reading.organ,
            "quantity": name,
            "statistic": "reading",
            "reader_a": reading.reader,
            "value": getattr(reading, field),
            "unit": units.get(name, ""),
        }
        for reading in study.readings
        for name, field in measured.items()
    ]
    records += [asdict(row) for row in study.rows]
    with whole_file(out, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, _COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in record.items()} for record in records)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else value


def _reading_record(reading: "Reading", quantity: str | None) -> dict[str, Any]:
    record = asdict(reading)
    cells = record.pop("cells")
    return record if quantity is None else {**record, quantity: cells}


def _tell(study: "ReaderStudy") -> None:
    scans, organs = len(study.scans), len(study.organs)
    typer.echo(
        f"{len(study.readers)} readers, {scans} {'scan' if scans == 1 else 'scans'}, "
        f"{organs} {'organ' if organs == 1 else 'organs'}"
    )
    for organ in dict.fromkeys(row.organ for row in study.rows):
        mine = [row for row in study.rows if row.organ == organ]
        words = []
        for row in mine:
            if row.quantity == "volume" or row.reader_a:
                continue
            interval = "" if row.low is None else f" ({row.low:.2f} to {row.high:.2f})"
            name = {"icc_2_1": "ICC(2,1)", "icc_3_1": "ICC(3,1)", "cv_percent": "CV"}[row.statistic]
            value = f"{row.value:.3g} %" if row.unit == "%" else f"{row.value:.2f}{interval}"
            words.append(f"{row.quantity} {name} {value}")
        overlaps = [row.value for row in mine if row.statistic == "dice"]
        if overlaps:
            words.append(f"Dice {min(overlaps):.2f} to {max(overlaps):.2f}")
        typer.echo(f"{organ}: {', '.join(words)}")
        for row in mine:
            if row.statistic == "ratio" and row.quantity == "total":
                typer.echo(f"    {_ratio(row, mine)}")


def _ratio(row: Any, rows: Sequence[Any]) -> str:
    pair = (row.reader_a, row.reader_b, row.quantity)
    limits = {one.statistic: one.value for one in rows if (one.reader_a, one.reader_b, one.quantity) == pair}
    return (
        f"{row.reader_a} / {row.reader_b}: {row.value:.3f} ({row.low:.3f} to {row.high:.3f}), "
        f"limits of agreement {limits['ratio_low']:.3f} to {limits['ratio_high']:.3f}"
    )
