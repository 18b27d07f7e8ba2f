"""A calibration table from tubes that were measured and a sheet that says what was in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_mpi_track.errors import TableError
from napari_mpi_track.quantification.sample_tables import read_table
from napari_mpi_track.quantification.tubes import TubeSignal
from napari_mpi_track.quantification.unit_suspicion import suspected_amounts

COLUMNS = (
    "name", "scan", "cells", "iron_ng", "volume_ul", "replicate", "maximum", "total", "total_sd", "fwhm_mm",
    "fwhm_se_mm", "fwhm_plane_mm", "fwhm_plane_se_mm", "fwhm_row_mm", "fwhm_row_se_mm", "fwhm_column_mm",
    "fwhm_column_se_mm", "x_mm", "y_mm", "z_mm", "background", "noise_sd", "rule", "flag",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """What was in one tube; what the sheet does not say is ``None`` or empty."""

    name: str
    cells: float | None = None
    iron_ng: float | None = None
    volume_ul: float | None = None
    replicate: str = ""


def read_sample_sheet(path: str | Path, *, units_checked: bool = False) -> dict[str, Sample]:
    """Return what was in each tube, by its name: a CSV with the column name and any of cells, iron_ng, volume_ul,
    replicate.

    Parameters
    ----------
    path
        The sheet.
    units_checked
        The user has looked: amounts that seem off by a thousand are taken as they are.

    Raises
    ------
    TableError
        No column ``name``, neither cells nor iron_ng, a name that is there twice, a cell that is not a number or
        negative, or an amount whose unit looks a thousand times off.
    """
    table = read_table(path, ("name",))
    header = table.header
    if "cells" not in header and "iron_ng" not in header:
        raise TableError(
            f"the sheet says neither cells nor iron_ng, it has {', '.join(header)}",
            file=path,
            remedy="add the column cells, or iron_ng",
        )
    samples: dict[str, Sample] = {}
    for row in table.rows:
        number, name = row.number, row.text("name")
        if not name or name in samples:
            what = f"row {number} repeats the name '{name}'" if name else f"row {number} has no name"
            raise TableError(what, file=path, remedy="give every tube a name of its own; replicates too")
        cells, iron_ng, volume_ul = map(row.number_in, ("cells", "iron_ng", "volume_ul"))
        if min(amount or 0.0 for amount in (cells, iron_ng, volume_ul)) < 0:
            raise TableError(f"row {number} ('{name}') holds a negative amount", file=path, remedy="correct it")
        question = "" if units_checked else suspected_amounts(cells, iron_ng, volume_ul)
        if question:
            raise TableError(
                f"row {number} ('{name}'): {question}", file=path, remedy="correct it, or say --units-checked"
            )
        samples[name] = Sample(name, cells, iron_ng, volume_ul, row.text("replicate"))
    return samples


def find_sample_sheet(folder: str | Path) -> Path | None:
    """Return the sample sheet that lies in a folder: the one CSV with a name and an amount in its header, or ``None``.

    Raises
    ------
    TableError
        Several are there.
    """
    sheets = [path for path in sorted(Path(folder).glob("*.csv")) if _is_sheet(path)]
    if len(sheets) > 1:
        raise TableError(
            f"several sample sheets lie there: {', '.join(path.name for path in sheets)}",
            file=folder,
            remedy="leave only one of them beside the scans",
        )
    return sheets[0] if sheets else None


def _is_sheet(path: Path) -> bool:
    try:
        header = read_table(path, ("name",)).header
    except TableError:
        return False
    # A table of tubes measured before has amounts too, and signals.
    return bool({"cells", "iron_ng"} & set(header)) and "total_sd" not in header


def join_sheet(
    tubes: Sequence[TubeSignal], samples: Mapping[str, Sample], *, file: str | Path | None = None
) -> tuple[list[tuple[TubeSignal, Sample]], list[str]]:
    """Return the tubes with what was in them, in the sheet's order, and the names of tubes the sheet does not know.

    Raises
    ------
    TableError
        The sheet names a tube that was not found.
    """
    by_name = {tube.name: tube for tube in tubes}
    absent = [name for name in samples if name not in by_name]
    if absent:
        raise TableError(
            f"the sheet names {', '.join(absent[:8])}, but the tubes found are {', '.join(list(by_name)[:12])}",
            file=file,
            remedy="name tubes as their scans (SCAN, or SCAN/1, SCAN/2 ... of a scan with several)",
        )
    unknown = [name for name in by_name if name not in samples]
    return [(by_name[name], sample) for name, sample in samples.items()], unknown


def table_rows(joined: Sequence[tuple[TubeSignal, Sample]]) -> list[list[str]]:
    """Return the cells of a calibration table, a row a tube, columns as :data:`COLUMNS`; numbers with nine digits."""
    return [[_text(value) for value in _cells(tube, sample)] for tube, sample in joined]


def _cells(tube: TubeSignal, sample: Sample) -> list[float | str | None]:
    widths: list[float | str | None] = []
    for width in tube.widths:
        widths += [None, None] if width is None else [width.fwhm_mm, width.se_mm]
    return [
        tube.name, tube.scan, sample.cells, sample.iron_ng, sample.volume_ul, sample.replicate,
        tube.maximum, tube.total, tube.total_sd, tube.fwhm_mm, tube.fwhm_se_mm, *widths,
        *tube.position_mm, tube.background, tube.noise_sd, tube.rule, tube.flag,
    ]  # fmt: skip


def _text(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.9g}"
